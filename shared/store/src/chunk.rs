//! A chunk's body: what each of its contacts had before the job, compressed.
//!
//! Identifiers of managers and revisions come from few users and few jobs, so a chunk lists each once and refers to
//! it by number: forty managers of a contact take about forty bytes before compression.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use models::access::{Access, ShareType};
use models::id::ContactId;
use models::job::Before;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;

/// Contacts in a chunk at most.
pub const MAX_CHUNK_CONTACTS: usize = 1000;
/// Bytes of a chunk's body at most, before compression, so that the item fits DynamoDB's 400 KB whatever compression
/// makes of it.
pub const MAX_CHUNK_BYTES: usize = 350 * 1024;

/// Bytes that a number below `MAX_CHUNK_BYTES` takes at most, as a variable-length integer.
const INDEX_BYTES: usize = 3;
/// Bytes that an entry takes at most besides its managers: identifier, share type, revision and the managers' count.
const ENTRY_BYTES: usize = 5 + 1 + 1 + INDEX_BYTES + INDEX_BYTES;
const UUID_BYTES: usize = 16;

// One contact with as many managers as a request can give must always fit an empty chunk.
const _: () = assert!(ENTRY_BYTES + models::limits::MAX_LIST_VALUES * (INDEX_BYTES + UUID_BYTES) < MAX_CHUNK_BYTES);

#[derive(Default, Serialize, Deserialize)]
struct Body {
    /// Managers and revisions, each once.
    ids: Vec<[u8; UUID_BYTES]>,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    contact: u32,
    share: u8,
    revision: Option<u32>,
    managers: Vec<u32>,
}

/// A chunk being filled.
#[derive(Default)]
pub struct ChunkBuilder {
    body: Body,
    numbers: HashMap<Uuid, u32>,
    bytes: usize,
}

impl std::fmt::Debug for ChunkBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkBuilder").field("contacts", &self.body.entries.len()).field("bytes", &self.bytes).finish()
    }
}

impl ChunkBuilder {
    /// Adds a contact, unless the chunk is full: then it returns false and the chunk is as it was.
    pub fn push(&mut self, before: &Before) -> bool {
        let ids = || before.access.managers.iter().chain(&before.revision);
        let new_ids = ids().filter(|id| !self.numbers.contains_key(id)).count();
        let bytes = ENTRY_BYTES + before.access.managers.len() * INDEX_BYTES + new_ids * UUID_BYTES;
        if self.body.entries.len() == MAX_CHUNK_CONTACTS || self.bytes + bytes > MAX_CHUNK_BYTES {
            return false;
        }
        self.bytes += bytes;
        let entry = Entry {
            contact: before.contact.get().unsigned_abs(),
            share: before.access.share.number(),
            revision: before.revision.map(|id| self.number(id)),
            managers: before.access.managers.iter().map(|&id| self.number(id)).collect(),
        };
        self.body.entries.push(entry);
        true
    }

    fn number(&mut self, id: Uuid) -> u32 {
        let ids = &mut self.body.ids;
        *self.numbers.entry(id).or_insert_with(|| {
            ids.push(id.into_bytes());
            // MAX_CHUNK_BYTES holds far fewer identifiers than u32 counts.
            u32::try_from(ids.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.body.entries.is_empty()
    }

    /// The chunk's body.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("a chunk: {error}"));
        let plain = postcard::to_stdvec(&self.body).map_err(|error| corrupt(&error))?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).map_err(|error| corrupt(&error))?;
        encoder.finish().map_err(|error| corrupt(&error))
    }
}

/// Reads a chunk's body.
pub fn decode(bytes: &[u8]) -> Result<Vec<Before>, StoreError> {
    let corrupt = || StoreError::Corrupt("a chunk's body does not read back".into());
    let mut plain = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut plain).map_err(|_| corrupt())?;
    let body: Body = postcard::from_bytes(&plain).map_err(|_| corrupt())?;
    let id = |number: u32| {
        let index = usize::try_from(number).map_err(|_| corrupt())?;
        body.ids.get(index).copied().map(Uuid::from_bytes).ok_or_else(corrupt)
    };
    body.entries
        .iter()
        .map(|entry| {
            Ok(Before {
                contact: ContactId::try_from(i64::from(entry.contact)).map_err(|_| corrupt())?,
                access: Access {
                    share: ShareType::from_number(i64::from(entry.share)).ok_or_else(corrupt)?,
                    managers: entry.managers.iter().map(|&number| id(number)).collect::<Result<_, _>>()?,
                },
                revision: entry.revision.map(id).transpose()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn before() -> impl Strategy<Value = Before> {
        let id = || (0u128..50).prop_map(Uuid::from_u128);
        (1..=i32::MAX, 0usize..3, prop::collection::vec(id(), 0..40), prop::option::of(id())).prop_map(
            |(contact, share, managers, revision)| Before {
                contact: i64::from(contact).try_into().unwrap(),
                access: Access { share: ShareType::ALL[share], managers },
                revision,
            },
        )
    }

    proptest! {
        #[test]
        fn chunks_round_trip(entries in prop::collection::vec(before(), 0..100)) {
            let mut chunk = ChunkBuilder::default();
            for entry in &entries {
                prop_assert!(chunk.push(entry));
            }
            prop_assert_eq!(decode(&chunk.encode().unwrap()).unwrap(), entries);
        }
    }

    #[test]
    fn a_full_chunk_of_incompressible_managers_fits_an_item() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut chunk = ChunkBuilder::default();
        let mut contact = 0;
        loop {
            contact += 1;
            let managers = (0..1000).map(|_| Uuid::from_u128(random.u128(..))).collect();
            let before = Before {
                contact: i64::from(contact).try_into().unwrap(),
                access: Access { share: ShareType::None, managers },
                revision: Some(Uuid::from_u128(random.u128(..))),
            };
            if !chunk.push(&before) {
                break;
            }
        }
        assert!(contact > 10);
        assert!(chunk.encode().unwrap().len() < 400 * 1024 - 4096, "{}", chunk.encode().unwrap().len());
    }

    #[test]
    fn a_chunk_of_forty_managers_each_costs_under_a_tenth_of_a_unit_per_contact() {
        let mut random = fastrand::Rng::with_seed(7);
        let users: Vec<Uuid> = (0..200).map(|_| Uuid::from_u128(random.u128(..))).collect();
        let mut chunk = ChunkBuilder::default();
        for contact in 1..=1000 {
            let managers = (0..40).map(|_| users[random.usize(..users.len())]).collect();
            let access = Access { share: ShareType::None, managers };
            let revision = Some(Uuid::from_u128(random.u128(..)));
            assert!(chunk.push(&Before { contact: i64::from(contact).try_into().unwrap(), access, revision }));
        }
        let bytes = chunk.encode().unwrap().len();
        assert!(bytes < 100 * 1024 * 9 / 10, "{bytes}");
    }
}
