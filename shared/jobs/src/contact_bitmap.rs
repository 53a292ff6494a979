//! A set of contacts of one shard, as bitmaps.

use std::collections::HashMap;

use models::values::id::ContactId;

/// A set of contacts of one shard. A contact takes one bit where the identifiers are dense, and about twenty bytes
/// where they are sparse.
#[derive(Debug)]
pub(crate) struct ContactBitmap {
    /// The distance between identifiers of one shard: the portal's number of shards.
    step: u32,
    /// Bits of 64 consecutive identifiers of the shard, by row number.
    rows: HashMap<u32, u64>,
}

impl ContactBitmap {
    /// Returns an empty set for a shard of a portal with `shards` shards.
    pub(crate) fn new(shards: u16) -> Self {
        Self { step: u32::from(shards).max(1), rows: HashMap::new() }
    }

    /// Adds a contact. Returns whether the contact is new.
    pub(crate) fn insert(&mut self, contact: ContactId) -> bool {
        let (row, bit) = self.bit_of(contact);
        let row = self.rows.entry(row).or_default();
        let is_new = *row & bit == 0;
        *row |= bit;
        is_new
    }

    pub(crate) fn contains(&self, contact: ContactId) -> bool {
        let (row, bit) = self.bit_of(contact);
        self.rows.get(&row).is_some_and(|row| row & bit != 0)
    }

    /// Returns the row of a contact and its bit in the row.
    fn bit_of(&self, contact: ContactId) -> (u32, u64) {
        let index = contact.get().unsigned_abs() / self.step;
        (index / u64::BITS, 1 << (index % u64::BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_is_new_only_once() {
        for shards in [1, 4, 64] {
            let mut contacts = ContactBitmap::new(shards);
            for number in [1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 1_000_000, 33_000_000] {
                let contact = ContactId::try_from(number * i64::from(shards) + 1).unwrap();
                assert!(!contacts.contains(contact) && contacts.insert(contact), "{number}");
                assert!(contacts.contains(contact) && !contacts.insert(contact), "{number}");
            }
        }
    }

    #[test]
    fn consecutive_contacts_share_rows() {
        let mut contacts = ContactBitmap::new(16);
        (0..10_000).for_each(|number| assert!(contacts.insert(ContactId::try_from(5 + 16 * number).unwrap())));
        assert!(contacts.rows.len() <= 10_000 / 64 + 2, "{}", contacts.rows.len());
    }
}
