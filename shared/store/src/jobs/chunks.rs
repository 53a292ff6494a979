//! Chunks: the changes of a job, each with the previous access.

use std::collections::{BTreeSet, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use models::job::{Change, Job};
use models::values::id::{ContactId, JobId, PortalId};

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::jobs::chunk_format::{self, ChunkBuilder};
use crate::jobs::shards::Progress;
use crate::jobs::{names, values};
use crate::keys::{EXPIRES, Key};

/// A chunk as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The changes that the chunk holds.
    pub changes: Vec<Change>,
    /// Contacts that a worker removed from the chunk, because the table rejected their access records, or that did not
    /// fit the chunk. `changes` does not hold them. The worker judges them again, for a following chunk.
    pub void: Vec<ContactId>,
    /// The shard's progress once the chunk's access records are written.
    pub after: Progress,
}

/// Retention of chunks after the last possible undo request: a week, so that a late undo finds all chunks.
pub(super) const UNDO_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Returns the time to live of a job's chunks; none if they never expire.
pub(super) fn chunk_expiry(job: &Job) -> Option<AttributeValue> {
    job.changes_until.map(|until| items::n(until.to_jiff().as_second() + UNDO_SECONDS))
}

// The attributes of a chunk.
const BODY: &str = "body";
const AFTER: &str = "after";
/// Contacts that an undo of an earlier version found changed by others. Later versions remove such contacts from the
/// chunk, and record their conflicts in a following chunk.
const LATE: &str = "late";
const VOID: &str = "void";

/// Returns the list of contacts in an attribute of a chunk; empty if the attribute is missing.
fn contacts(item: &Item, name: &str) -> Result<HashSet<ContactId>, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("{name} of a chunk is not a list of contacts").into());
    let Some(listed) = item.get(name) else { return Ok(HashSet::new()) };
    let id = |id: &AttributeValue| id.as_n().ok().and_then(|digits| digits.parse().ok()).ok_or_else(corrupt);
    listed.as_l().map_err(|_| corrupt())?.iter().map(id).collect()
}

fn contact_list(contacts: &[ContactId]) -> AttributeValue {
    AttributeValue::L(contacts.iter().map(|contact| items::n(contact.get())).collect())
}

impl Store {
    /// Writes a chunk and the shard's progress after it. `waiting` are contacts that have to be judged again after this
    /// chunk. Returns false if a chunk of that number exists, because a chunk is never overwritten. Costs 1 write unit
    /// per KB; a contact takes some bytes.
    #[expect(clippy::too_many_arguments, reason = "the parts of the chunk's item and of its key")]
    pub async fn write_chunk(
        &self,
        portal: &PortalId,
        job: &Job,
        shard: u16,
        number: u32,
        chunk: &ChunkBuilder,
        waiting: &[ContactId],
        after: &Progress,
    ) -> Result<bool, StoreError> {
        let mut item = items::keyed(&Key::Chunk(portal.clone(), job.id, shard, number));
        item.insert(BODY.into(), items::b(chunk.encode()?));
        item.insert(AFTER.into(), items::to_document(after)?);
        if !waiting.is_empty() {
            item.insert(VOID.into(), contact_list(waiting));
        }
        item.extend(chunk_expiry(job).map(|at| (EXPIRES.to_owned(), at)));
        self.put_if(item, "attribute_not_exists(#pk)", []).await
    }

    /// Removes contacts from a chunk and writes the shard's progress without them. `contacts` replaces the earlier
    /// list, so `contacts` must hold all contacts removed so far. Costs 1 write unit per KB of the chunk.
    pub async fn void_changes(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        number: u32,
        contacts: &[ContactId],
        after: &Progress,
    ) -> Result<(), StoreError> {
        self.update(
            &Key::Chunk(portal.clone(), job, shard, number),
            "SET #void = :void, #after = :after",
            names([("#void", VOID), ("#after", AFTER)]),
            values([(":void", contact_list(contacts)), (":after", items::to_document(after)?)]),
        )
        .await
    }

    /// Reads a chunk: 1 read unit per 4 KB.
    pub async fn chunk(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        number: u32,
    ) -> Result<Option<Chunk>, StoreError> {
        let Some(mut item) = self.get(&Key::Chunk(portal.clone(), job, shard, number)).await? else {
            return Ok(None);
        };
        let mut changes = chunk_format::decode(items::bytes(&item, BODY)?)?;
        let (late, void) = (contacts(&item, LATE)?, contacts(&item, VOID)?);
        changes.retain(|change| !void.contains(&change.contact));
        for change in changes.iter_mut().filter(|change| late.contains(&change.contact)) {
            change.conflict = true;
        }
        let void = void.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        Ok(Some(Chunk { changes, void, after: items::document(&mut item, AFTER)? }))
    }

    /// Reads only the shard's progress after a chunk, without the chunk's contacts: 1 read unit per 4 KB of the chunk.
    pub async fn chunk_end(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        number: u32,
    ) -> Result<Option<Progress>, StoreError> {
        let item = self.get_attribute(&Key::Chunk(portal.clone(), job, shard, number), AFTER).await?;
        item.map(|mut item| items::document(&mut item, AFTER)).transpose()
    }
}
