//! The first items of an order, up to the end of a page.

use std::collections::BTreeMap;

use models::filter::listing::Rank;
use models::request::Page;

/// The first items of an order, at most `most`.
#[derive(Debug)]
pub(super) struct TopK<V> {
    pub(super) most: usize,
    pub(super) items: BTreeMap<Rank, V>,
}

impl<V> TopK<V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, items: BTreeMap::new() }
    }

    pub(super) fn offer(&mut self, rank: Rank, value: V) {
        if self.items.len() == self.most {
            if self.items.last_key_value().is_some_and(|(last, _)| *last <= rank) {
                return;
            }
            self.items.insert(rank, value);
            // A contact offered again at the same rank reitems its own entry.
            if self.items.len() > self.most {
                self.items.pop_last();
            }
            return;
        }
        self.items.insert(rank, value);
    }

    /// Returns a page of the items, and whether more follow.
    pub(super) fn page(self, page: Page) -> (Vec<(Rank, V)>, bool) {
        let more = self.items.len() > page.start_index.saturating_add(page.count);
        (self.items.into_iter().skip(page.start_index).take(page.count).collect(), more)
    }
}
