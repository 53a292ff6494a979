//! The contacts that an answer shows, collected while a run streams through its matches.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use store::keys::IndexPosition;

/// The latest of the offered positions, at most `most`.
#[derive(Debug)]
pub(crate) struct Top {
    most: usize,
    heap: BinaryHeap<Reverse<IndexPosition>>,
}

impl Top {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, heap: BinaryHeap::new() }
    }

    pub(crate) fn offer(&mut self, position: IndexPosition) {
        if self.heap.len() < self.most {
            self.heap.push(Reverse(position));
        } else if let Some(mut earliest) = self.heap.peek_mut()
            && position > earliest.0
        {
            *earliest = Reverse(position);
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        other.heap.into_iter().for_each(|Reverse(position)| self.offer(position));
    }

    /// Returns the positions, latest first.
    pub(crate) fn into_sorted(self) -> Vec<IndexPosition> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(position)| position).collect()
    }
}
