//! Job records, the progress of their shards, and their chunks.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::tz::TimeZone;
use models::id::{ContactId, PortalId};
use models::job::{Before, Counts, Job, JobId};
use serde::{Deserialize, Serialize};

use crate::batch::Write;
use crate::chunk::{self, ChunkBuilder};
use crate::client::Store;
use crate::contacts::{AccessRecord, AccessState};
use crate::error::StoreError;
use crate::items::{self, Item};
use crate::keys::{Key, Range};
use crate::matches::Cursor;

/// How far a shard of a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where the reading goes on.
    pub cursor: Cursor,
    /// Number of the next chunk.
    pub next_chunk: u32,
    /// What was done so far.
    pub counts: Counts,
}

fn job_item(portal: &PortalId, job: &Job) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::Job(portal.clone(), job.id));
    item.insert("doc".into(), items::to_document(job)?);
    Ok(item)
}

/// The job's place in the list of its day.
fn entry_item(portal: &PortalId, job: &Job) -> Item {
    let day = TimeZone::UTC.to_datetime(job.created.timestamp()).date();
    let mut item = items::keyed(&Key::JobEntry(portal.clone(), day, job.id));
    item.insert("by".into(), items::b(*job.created_by.as_bytes()));
    item
}

impl Store {
    /// Writes a new job and its place in the list: 2 write units, more for a filter of over about 500 bytes.
    pub async fn create_job(&self, portal: &PortalId, job: &Job) -> Result<(), StoreError> {
        self.write_all(vec![Write::put(entry_item(portal, job)), Write::put(job_item(portal, job)?)]).await
    }

    /// Writes a job's record anew: 1 write unit per KB.
    pub async fn save_job(&self, portal: &PortalId, job: &Job) -> Result<(), StoreError> {
        self.put(job_item(portal, job)?).await
    }

    /// Reads a job: 1 read unit per 4 KB.
    pub async fn job(&self, portal: &PortalId, id: JobId) -> Result<Option<Job>, StoreError> {
        let item = self.get(&Key::Job(portal.clone(), id)).await?;
        item.map(|mut item| items::document(&mut item, "doc")).transpose()
    }

    /// Writes one contact's access together with the job that records it, or neither: 6 write units, 2 for each of
    /// the access record, the job (which holds what was before) and its place in the list.
    ///
    /// # Errors
    ///
    /// [`StoreError::ConditionFailed`] when the contact's access is no longer `before`.
    pub async fn write_access_with_job(
        &self,
        portal: &PortalId,
        contact: ContactId,
        before: &AccessState,
        record: &AccessRecord<'_>,
        job: &Job,
    ) -> Result<(), StoreError> {
        let mut chunk = ChunkBuilder::default();
        chunk.push(&Before { contact, access: before.access.clone(), revision: before.revision });
        let mut job_item = job_item(portal, job)?;
        job_item.insert("chunk".into(), items::b(chunk.encode()?));

        let access = Put::builder().table_name(&self.table).set_item(Some(record.item(portal, contact)));
        let access = match before.revision {
            Some(revision) => access
                .condition_expression("rev = :before")
                .expression_attribute_values(":before", items::b(*revision.as_bytes())),
            None => access.condition_expression("attribute_not_exists(rev)"),
        };
        let others =
            [job_item, entry_item(portal, job)].map(|item| Put::builder().table_name(&self.table).set_item(Some(item)));
        let writes = std::iter::once(access)
            .chain(others)
            .map(|put| {
                let put = put.build().map_err(|error| StoreError::Corrupt(error.to_string()))?;
                Ok(TransactWriteItem::builder().put(put).build())
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.transact(writes).await
    }

    /// Writes a chunk, and with it where the shard will be once the chunk's records are written:
    /// 1 write unit per KB, which is some tens of bytes a contact.
    pub async fn write_chunk(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        number: u32,
        chunk: &ChunkBuilder,
        after: &Progress,
    ) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::Chunk(portal.clone(), job, shard, number));
        item.insert("body".into(), items::b(chunk.encode()?));
        item.insert("after".into(), items::to_document(after)?);
        self.put(item).await
    }

    /// Writes how far a shard of a job is: 1 write unit.
    pub async fn save_progress(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        progress: &Progress,
    ) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::JobShard(portal.clone(), job, shard));
        item.insert("doc".into(), items::to_document(progress)?);
        self.put(item).await
    }

    /// Reads how far each shard of a job is, by shard; those that have not begun are left out: 1 read unit per 4 KB.
    pub async fn progress(&self, portal: &PortalId, job: JobId) -> Result<Vec<(u16, Progress)>, StoreError> {
        let mut shards = Vec::new();
        for mut item in self.query(&Range::JobShards(portal.clone(), job), true).await? {
            if let Key::JobShard(_, _, shard) = items::key_of(&item)? {
                shards.push((shard, items::document(&mut item, "doc")?));
            }
        }
        Ok(shards)
    }

    /// Reads what every contact of a job had before it, in the order of its chunks: 1 read unit per 4 KB.
    pub async fn before(&self, portal: &PortalId, job: JobId) -> Result<Vec<Before>, StoreError> {
        if let Some(item) = self.get(&Key::Job(portal.clone(), job)).await?
            && item.contains_key("chunk")
        {
            return chunk::decode(items::bytes(&item, "chunk")?);
        }
        let mut before = Vec::new();
        for item in self.query(&Range::Chunks(portal.clone(), job), true).await? {
            before.extend(chunk::decode(items::bytes(&item, "body")?)?);
        }
        Ok(before)
    }
}
