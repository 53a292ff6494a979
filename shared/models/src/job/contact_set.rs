//! A compact set of named contacts, stored in the record of a job.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::id::ContactId;

/// Contacts without duplicates, in the order of their identifiers.
///
/// The set is serialized as bytes: the gaps between the identifiers as LEB128 varints. A thousand contacts take 1,000
/// bytes if their identifiers are close together, and 4,000 at most: a five-byte gap is as large as 128 four-byte gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactSet(Vec<ContactId>);

/// Bits of a gap in one byte.
const GROUP_BITS: u32 = 7;
/// Mask of a gap's bits in one byte.
const GROUP: u8 = 0x7f;
/// Flag of a byte whose gap continues in the next byte.
const MORE: u8 = 0x80;

impl ContactSet {
    /// Returns the contacts, in the order of their identifiers.
    pub fn as_slice(&self) -> &[ContactId] {
        &self.0
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * self.0.len());
        let mut before = 0;
        for contact in &self.0 {
            let mut gap = (contact.get() - before).unsigned_abs();
            before = contact.get();
            loop {
                let [low, ..] = gap.to_le_bytes();
                gap >>= GROUP_BITS;
                if gap == 0 {
                    bytes.push(low & GROUP);
                    break;
                }
                bytes.push(low & GROUP | MORE);
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut contacts = Vec::new();
        let (mut before, mut gap, mut bits) = (0i64, 0i64, 0);
        for byte in bytes {
            // No gap between identifiers has more bits.
            if bits >= i32::BITS {
                return None;
            }
            gap |= i64::from(byte & GROUP) << bits;
            bits += GROUP_BITS;
            if byte & MORE != 0 {
                continue;
            }
            before += gap;
            contacts.push(ContactId::try_from(before).ok().filter(|_| gap > 0)?);
            (gap, bits) = (0, 0);
        }
        (bits == 0).then_some(Self(contacts))
    }
}

impl FromIterator<ContactId> for ContactSet {
    fn from_iter<I: IntoIterator<Item = ContactId>>(contacts: I) -> Self {
        let mut contacts: Vec<ContactId> = contacts.into_iter().collect();
        contacts.sort_unstable();
        contacts.dedup();
        Self(contacts)
    }
}

impl Serialize for ContactSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encode())
    }
}

impl<'de> Deserialize<'de> for ContactSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = ContactSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a set of contacts")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<ContactSet, E> {
                ContactSet::decode(bytes).ok_or_else(|| E::custom("a set of contacts does not read back"))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ids: impl IntoIterator<Item = i64>) -> ContactSet {
        ids.into_iter().map(|id| ContactId::try_from(id).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn sets_round_trip(mut ids in prop::collection::vec(prop_oneof![1..300i64, 1..=i64::from(i32::MAX)], 0..100)) {
            let contacts = set(ids.clone());
            prop_assert_eq!(ContactSet::decode(&contacts.encode()), Some(contacts.clone()));
            ids.sort_unstable();
            ids.dedup();
            let held: Vec<i64> = contacts.as_slice().iter().map(|id| i64::from(id.get())).collect();
            prop_assert_eq!(held, ids);
        }

        #[test]
        fn any_bytes_are_a_set_or_none(bytes: Vec<u8>) {
            if let Some(contacts) = ContactSet::decode(&bytes) {
                prop_assert!(contacts.as_slice().is_sorted_by(|a, b| a < b));
            }
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for bytes in [&[0][..], &[5, 0], &[0x80], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff, 0xff, 0xff, 0xff, 0xff, 1]] {
            assert_eq!(ContactSet::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_thousand_contacts_take_under_four_kilobytes_wherever_they_are() {
        let most = i64::from(i32::MAX);
        let even = (1..=1000).map(|i| i * (most / 1000));
        // Seven gaps of five bytes. The other gaps share the remaining range evenly.
        let far = (1..=7).map(|i| i << 28);
        let uneven = far.chain((1..=993).map(|i| (7 << 28) + i * ((most - (7 << 28)) / 993)));
        for (contacts, bytes) in [(set(1..=1000), 1000), (set(even), 4000), (set(uneven), 7 * 5 + 993 * 3)] {
            assert_eq!((contacts.as_slice().len(), contacts.encode().len()), (1000, bytes));
        }
    }
}
