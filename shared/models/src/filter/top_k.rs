//! Selection of the first items of an order from many items.

use std::collections::BTreeMap;

use crate::request::Page;

/// The first items of an order, at most a given number. A smaller rank is earlier, and two items of one rank are the
/// same item.
#[derive(Debug)]
pub struct TopK<R, V = ()> {
    limit: usize,
    items: BTreeMap<R, V>,
}

impl<R: Ord, V> TopK<R, V> {
    /// Returns an empty collection that holds at most `limit` items.
    pub const fn new(limit: usize) -> Self {
        Self { limit, items: BTreeMap::new() }
    }

    /// Adds the item if its rank is among the first. The item replaces an item of the same rank.
    pub fn offer(&mut self, rank: R, value: V) {
        if self.items.len() < self.limit {
            self.items.insert(rank, value);
        } else if self.items.last_key_value().is_some_and(|(last, _)| rank < *last) {
            self.items.insert(rank, value);
            // The new item may have replaced an item of the same rank.
            if self.items.len() > self.limit {
                self.items.pop_last();
            }
        }
    }

    /// Adds the items of another collection.
    pub fn merge(&mut self, other: Self) {
        other.items.into_iter().for_each(|(rank, value)| self.offer(rank, value));
    }

    /// Returns a page of the items, and whether more items follow.
    pub fn page(self, page: Page) -> (Vec<(R, V)>, bool) {
        let more = self.items.len() > page.start_index.saturating_add(page.count);
        (self.items.into_iter().skip(page.start_index).take(page.count).collect(), more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: usize, offered: &[u32], expected: &[u32]) {
        let mut top = TopK::new(limit);
        offered.iter().for_each(|&rank| top.offer(rank, ()));
        let (page, more) = top.page(Page { start_index: 0, count: usize::MAX });
        assert_eq!(page.into_iter().map(|(rank, ())| rank).collect::<Vec<_>>(), expected);
        assert!(!more);
    }

    #[test]
    fn first_items_stay_in_order() {
        check(3, &[5, 1, 4, 2, 3], &[1, 2, 3]);
        check(3, &[2, 1], &[1, 2]);
        check(0, &[1], &[]);
    }

    #[test]
    fn item_that_is_offered_twice_stays_once() {
        check(2, &[2, 1, 1, 1], &[1, 2]);
    }

    #[test]
    fn merged_collections_keep_the_first_items_of_both() {
        let (mut one, mut other) = (TopK::new(2), TopK::new(2));
        [4, 1].into_iter().for_each(|rank| one.offer(rank, ()));
        [3, 2].into_iter().for_each(|rank| other.offer(rank, ()));
        one.merge(other);
        assert_eq!(one.page(Page { start_index: 1, count: 1 }), (vec![(2, ())], false));
    }
}
