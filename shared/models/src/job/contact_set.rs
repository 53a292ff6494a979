//! A compact set of named contacts, stored in the record of a job.

use std::fmt;

use serde::de::Visitor;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::id::ContactId;
use crate::values::sorted_ids;

/// Contacts without duplicates, in the order of their identifiers.
///
/// The set is serialized as the bytes of [`sorted_ids`]. A thousand contacts take 1,002 bytes if their identifiers are
/// close together, and at most 4,002 bytes otherwise. Gaps of five bytes are rare: each uses as
/// much of the range of identifiers as 128 gaps of four bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactSet(Vec<ContactId>);

impl ContactSet {
    /// Returns the contacts, in the order of their identifiers.
    pub fn as_slice(&self) -> &[ContactId] {
        &self.0
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
        serializer.serialize_bytes(&sorted_ids::encode(&self.0).map_err(S::Error::custom)?)
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
                let contacts = sorted_ids::decode(bytes).map(ContactSet);
                contacts.ok_or_else(|| E::custom("the bytes are not a set of contacts"))
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
            let bytes = postcard::to_stdvec(&contacts).unwrap();
            prop_assert_eq!(postcard::from_bytes::<ContactSet>(&bytes).unwrap(), set(ids.clone()));
            ids.sort_unstable();
            ids.dedup();
            let decoded: Vec<i64> = contacts.as_slice().iter().map(|id| i64::from(id.get())).collect();
            prop_assert_eq!(decoded, ids);
        }
    }

    #[test]
    fn a_thousand_contacts_take_at_most_4002_bytes() {
        let largest = i64::from(i32::MAX);
        let even = (1..=1000).map(|i| i * (largest / 1000));
        // Seven gaps of five bytes. The other gaps share the remaining range evenly.
        let far = (1..=7).map(|i| i << 28);
        let uneven = far.chain((1..=993).map(|i| (7 << 28) + i * ((largest - (7 << 28)) / 993)));
        for (contacts, bytes) in [(set(1..=1000), 1000), (set(even), 4000), (set(uneven), 7 * 5 + 993 * 3)] {
            // The number of contacts takes two bytes.
            let encoded = sorted_ids::encode(contacts.as_slice()).unwrap();
            assert_eq!((contacts.as_slice().len(), encoded.len()), (1000, 2 + bytes));
        }
    }
}
