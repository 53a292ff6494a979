//! The stored form of a set of contacts.
//!
//! The form is the gaps between the ascending identifiers, as postcard writes a `Vec<u32>`: the number of contacts,
//! then each gap, all as varints. A gap takes one byte if the identifiers are close together.

use crate::values::id::ContactId;

/// Encodes contacts. Their order and duplicates do not matter.
///
/// # Errors
///
/// [`postcard::Error`] is part of postcard's interface and does not occur for numbers.
pub fn encode(contacts: &[ContactId]) -> Result<Vec<u8>, postcard::Error> {
    let mut gaps: Vec<u32> = contacts.iter().map(|id| id.get().unsigned_abs()).collect();
    gaps.sort_unstable();
    gaps.dedup();
    let mut previous = 0;
    for gap in &mut gaps {
        (*gap, previous) = (*gap - previous, *gap);
    }
    postcard::to_stdvec(&gaps)
}

/// Decodes contacts, ascending and without duplicates. Returns `None` for bytes that [`encode`] does not write.
///
/// The length of `bytes` bounds the memory, even if the bytes declare a larger number of contacts.
pub fn decode(bytes: &[u8]) -> Option<Vec<ContactId>> {
    let gaps: Vec<u32> = postcard::from_bytes(bytes).ok()?;
    let mut id = 0_i64;
    let mut contacts = Vec::with_capacity(gaps.len());
    for gap in gaps {
        id += i64::from(gap);
        contacts.push(ContactId::try_from(id).ok()?);
    }
    // postcard accepts bytes after the value, and varints longer than necessary. A duplicate has the gap 0.
    let is_canonical = encode(&contacts).is_ok_and(|canonical| canonical == bytes);
    is_canonical.then_some(contacts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(numbers: impl IntoIterator<Item = i64>) -> Vec<ContactId> {
        numbers.into_iter().map(|id| ContactId::try_from(id).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn contacts_round_trip(numbers in prop::collection::vec(prop_oneof![1..300i64, 1..=i64::from(i32::MAX)], 0..100)) {
            let contacts = ids(numbers);
            let mut sorted = contacts.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(decode(&encode(&contacts).unwrap()), Some(sorted));
        }

        #[test]
        fn decoded_bytes_are_the_bytes_of_the_contacts(bytes: Vec<u8>) {
            if let Some(contacts) = decode(&bytes) {
                prop_assert!(contacts.is_sorted_by(|a, b| a < b));
                prop_assert_eq!(encode(&contacts).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn stored_bytes_are_the_count_and_the_gaps() {
        assert_eq!(encode(&[]).unwrap(), [0]);
        assert_eq!(encode(&ids([1, 2, 130, 300])).unwrap(), [4, 1, 1, 0x80, 0x01, 0xaa, 0x01]);
    }

    #[test]
    fn malformed_bytes_are_refused() {
        for bytes in [
            &[][..],
            // The contact 0 and a duplicate.
            &[1, 0],
            &[2, 5, 0],
            // A gap and a count that do not end.
            &[1, 0x80],
            &[0x80],
            // Fewer and more gaps than declared.
            &[2, 1],
            &[1, 1, 1],
            // A gap and a count that are longer than necessary.
            &[1, 0x81, 0],
            &[0x81, 0, 1],
            // Identifiers above the largest: in one gap, and in two.
            &[1, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[2, 0xff, 0xff, 0xff, 0xff, 0x07, 1],
            // A gap and a count of too many bits.
            &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1],
        ] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }
}
