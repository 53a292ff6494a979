//! A chunk's compressed body: each contact's access before the job and, where it differs per contact, after the job.
//!
//! Identifiers of managers and revisions come from few users and few jobs. So a chunk lists each identifier once and
//! refers to identifiers by number: forty managers of a contact take about forty bytes before compression.

use std::collections::HashMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use models::access::{Access, ShareType};
use models::job::{Change, Revision};
use models::values::id::{ContactId, JobId, UserId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::inflate::inflate;

/// Maximum number of contacts in a chunk.
pub const MAX_CHUNK_CONTACTS: usize = 1000;
/// Maximum bytes of a chunk's body before compression, so that the item fits DynamoDB's 400 KB even if compression
/// gains nothing.
pub const MAX_CHUNK_BYTES: usize = 350 * 1024;

/// Maximum bytes of a number below `MAX_CHUNK_BYTES`, as a variable-length integer.
const INDEX_BYTES: usize = 3;
/// Maximum bytes of an entry without its managers: identifier, share type, revision, the managers' count and the
/// revision's chunk.
const ENTRY_BYTES: usize = 5 + 1 + 1 + INDEX_BYTES + INDEX_BYTES + AFTER_BYTES + 1 + 1 + 5;
/// Maximum bytes of an entry's access after the job, without its managers.
const AFTER_BYTES: usize = 1 + 1 + INDEX_BYTES;
const UUID_BYTES: usize = 16;
/// Maximum bytes of the numbers of identifiers, of entries and of chunks of revisions.
const LENGTHS_BYTES: usize = 3 * INDEX_BYTES;

// One contact with the maximum number of managers in a request must always fit an empty chunk.
const _: () = assert!(ENTRY_BYTES + 2 * models::limits::MAX_LIST_VALUES * (INDEX_BYTES + UUID_BYTES) < MAX_CHUNK_BYTES);

#[derive(Default, Serialize, Deserialize)]
struct Body {
    /// Identifiers of managers and revisions, each once.
    ids: Vec<[u8; UUID_BYTES]>,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    contact: u32,
    share: u8,
    revision: Option<u32>,
    managers: Vec<u32>,
    after: Option<(u8, Vec<u32>)>,
    conflict: bool,
}

/// For each entry, the number of the chunk that the replaced revision names. This array follows the body; chunks of
/// earlier versions lack the array.
type RevisionChunks = Vec<Option<u32>>;

/// A chunk under construction.
#[derive(Default)]
pub struct ChunkBuilder {
    body: Body,
    revision_chunks: RevisionChunks,
    number_of: HashMap<[u8; UUID_BYTES], u32>,
    bytes: usize,
}

impl std::fmt::Debug for ChunkBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkBuilder").field("contacts", &self.body.entries.len()).field("bytes", &self.bytes).finish()
    }
}

impl ChunkBuilder {
    /// Adds a contact. Returns false and changes nothing if the chunk is full.
    pub fn push(&mut self, change: &Change) -> bool {
        let after = change.after.as_ref();
        let managers = || change.before.managers.iter().chain(after.into_iter().flat_map(|after| &after.managers));
        let job = change.replaced_job();
        let ids = managers().map(UserId::as_bytes).chain(job.as_ref().map(JobId::as_bytes));
        let new_ids = ids.filter(|id| !self.number_of.contains_key(*id)).count();
        let bytes = ENTRY_BYTES + managers().count() * INDEX_BYTES + new_ids * UUID_BYTES;
        if self.body.entries.len() == MAX_CHUNK_CONTACTS || self.bytes + bytes > MAX_CHUNK_BYTES {
            return false;
        }
        self.bytes += bytes;
        let entry = Entry {
            contact: change.contact.get().unsigned_abs(),
            share: change.before.share.number(),
            revision: job.map(|id| self.number(*id.as_bytes())),
            managers: self.numbers(&change.before.managers),
            after: after.map(|after| (after.share.number(), self.numbers(&after.managers))),
            conflict: change.conflict,
        };
        self.body.entries.push(entry);
        self.revision_chunks.push(change.revision.and_then(|revision| revision.chunk));
        true
    }

    fn numbers(&mut self, ids: &[UserId]) -> Vec<u32> {
        ids.iter().map(|id| self.number(*id.as_bytes())).collect()
    }

    fn number(&mut self, id: [u8; UUID_BYTES]) -> u32 {
        let ids = &mut self.body.ids;
        *self.number_of.entry(id).or_insert_with(|| {
            ids.push(id);
            // MAX_CHUNK_BYTES holds far fewer identifiers than u32 counts.
            u32::try_from(ids.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Returns whether the chunk is empty.
    pub fn is_empty(&self) -> bool {
        self.body.entries.is_empty()
    }

    /// Encodes the chunk's body.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        const WHAT: &str = "the body of a chunk";
        let plain = postcard::to_stdvec(&(&self.body, &self.revision_chunks));
        let plain = plain.map_err(|error| StoreError::unbuildable(WHAT, error))?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).map_err(|error| StoreError::unbuildable(WHAT, error))?;
        encoder.finish().map_err(|error| StoreError::unbuildable(WHAT, error))
    }
}

/// Decodes a chunk's body.
pub fn decode(bytes: &[u8]) -> Result<Vec<Change>, StoreError> {
    let corrupt = || StoreError::Corrupt("the body of a chunk holds an unknown number".into());
    let plain = inflate(bytes, MAX_CHUNK_BYTES + LENGTHS_BYTES)
        .map_err(|error| StoreError::corrupt("the body of a chunk is not compressed", error))?;
    let another_form = |error| StoreError::corrupt("the body of a chunk has another form", error);
    let (body, rest): (Body, _) = postcard::take_from_bytes(&plain).map_err(another_form)?;
    let revision_chunks: RevisionChunks = match rest {
        [] => Vec::new(),
        rest => postcard::from_bytes(rest).map_err(another_form)?,
    };
    let id = |number: u32| {
        let index = usize::try_from(number).map_err(|_| corrupt())?;
        body.ids.get(index).copied().ok_or_else(corrupt)
    };
    let access = |share: u8, managers: &[u32]| {
        Ok(Access {
            share: ShareType::from_number(i64::from(share)).ok_or_else(corrupt)?,
            managers: managers.iter().map(|&number| id(number).map(UserId::from_bytes)).collect::<Result<_, _>>()?,
        })
    };
    let revision_chunks = revision_chunks.into_iter().chain(std::iter::repeat(None));
    body.entries
        .iter()
        .zip(revision_chunks)
        .map(|(entry, chunk)| {
            let revision = entry.revision.map(|number| Ok(Revision { job: JobId::from_bytes(id(number)?), chunk }));
            Ok(Change {
                contact: ContactId::try_from(i64::from(entry.contact)).map_err(|_| corrupt())?,
                before: access(entry.share, &entry.managers)?,
                revision: revision.transpose()?,
                after: entry.after.as_ref().map(|(share, managers)| access(*share, managers)).transpose()?,
                conflict: entry.conflict,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn access() -> impl Strategy<Value = Access> {
        let id = (0u128..50).prop_map(UserId::from_u128);
        (0usize..3, prop::collection::vec(id, 0..40))
            .prop_map(|(share, managers)| Access { share: ShareType::ALL[share], managers })
    }

    fn change() -> impl Strategy<Value = Change> {
        let revision = (0u128..50, prop::option::of(any::<u32>()));
        let id = revision.prop_map(|(job, chunk)| Revision { job: JobId::from_u128(job), chunk });
        (1..=i32::MAX, access(), prop::option::of(id), prop::option::of(access()), any::<bool>()).prop_map(
            |(contact, before, revision, after, conflict)| Change {
                contact: i64::from(contact).try_into().unwrap(),
                before,
                revision,
                after,
                conflict,
            },
        )
    }

    proptest! {
        #[test]
        fn chunks_round_trip(entries in prop::collection::vec(change(), 0..100)) {
            let mut chunk = ChunkBuilder::default();
            for entry in &entries {
                prop_assert!(chunk.push(entry));
            }
            prop_assert_eq!(decode(&chunk.encode().unwrap()).unwrap(), entries);
        }
    }

    #[test]
    fn chunks_of_earlier_versions_have_no_chunks_of_revisions() {
        let change = Change {
            contact: 7.try_into().unwrap(),
            before: Access::UNRECORDED,
            revision: Some(Revision { job: JobId::from_u128(3), chunk: None }),
            after: None,
            conflict: false,
        };
        let mut chunk = ChunkBuilder::default();
        chunk.push(&change);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&postcard::to_stdvec(&chunk.body).unwrap()).unwrap();
        assert_eq!(decode(&encoder.finish().unwrap()).unwrap(), [change]);
    }

    #[test]
    fn full_chunk_of_incompressible_managers_fits_an_item() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut chunk = ChunkBuilder::default();
        let mut contact = 0;
        loop {
            contact += 1;
            let mut access = || {
                let managers = (0..1000).map(|_| UserId::from_u128(random.u128(..))).collect();
                Access { share: ShareType::None, managers }
            };
            let change = Change {
                contact: i64::from(contact).try_into().unwrap(),
                before: access(),
                after: Some(access()),
                revision: Some(Revision { job: JobId::from_u128(random.u128(..)), chunk: Some(u32::MAX) }),
                conflict: false,
            };
            if !chunk.push(&change) {
                break;
            }
        }
        assert!(contact > 5);
        assert!(chunk.encode().unwrap().len() < 400 * 1024 - 4096, "{}", chunk.encode().unwrap().len());
    }

    #[test]
    fn chunk_with_forty_managers_each_costs_under_a_tenth_of_a_unit_per_contact() {
        let mut random = fastrand::Rng::with_seed(7);
        let users: Vec<UserId> = (0..200).map(|_| UserId::from_u128(random.u128(..))).collect();
        let mut chunk = ChunkBuilder::default();
        for contact in 1..=1000 {
            let managers = (0..40).map(|_| users[random.usize(..users.len())]).collect();
            let before = Access { share: ShareType::None, managers };
            let revision = Some(Revision { job: JobId::from_u128(random.u128(..)), chunk: Some(random.u32(..1000)) });
            let contact = i64::from(contact).try_into().unwrap();
            assert!(chunk.push(&Change { contact, before, revision, after: None, conflict: false }));
        }
        let bytes = chunk.encode().unwrap().len();
        assert!(bytes < 100 * 1024 * 9 / 10, "{bytes}");
    }

    #[test]
    fn chunk_of_edits_of_forty_managers_costs_under_a_tenth_of_a_unit_per_contact() {
        let mut random = fastrand::Rng::with_seed(7);
        let users: Vec<UserId> = (0..200).map(|_| UserId::from_u128(random.u128(..))).collect();
        let mut chunk = ChunkBuilder::default();
        for contact in 1..=1000 {
            let managers: Vec<UserId> = (0..40).map(|_| users[random.usize(..users.len())]).collect();
            let after = managers[1..].iter().copied().chain([users[0]]).collect();
            let [before, after] = [managers, after].map(|managers| Access { share: ShareType::None, managers });
            let revision = Some(Revision { job: JobId::from_u128(random.u128(..)), chunk: Some(random.u32(..1000)) });
            let contact = i64::from(contact).try_into().unwrap();
            assert!(chunk.push(&Change { contact, before, revision, after: Some(after), conflict: false }));
        }
        let bytes = chunk.encode().unwrap().len();
        assert!(bytes < 100 * 1024, "{bytes}");
    }

    #[test]
    fn chunk_that_inflates_above_the_maximum_is_refused() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&vec![0; 100 * MAX_CHUNK_BYTES]).unwrap();
        let error = decode(&encoder.finish().unwrap()).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("more than"), "{error:?}");
    }
}
