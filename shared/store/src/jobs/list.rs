//! Lists of jobs, newest first, read a few records at a time.

use std::collections::{HashMap, VecDeque};

use models::job::{Job, JobId};
use models::request::JobsStart;
use models::values::id::{PortalId, UserId};

use crate::dynamodb::batch::READ_BATCH;
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{Consistency, Direction, QueryOptions};
use crate::error::StoreError;
use crate::jobs::record::JOB;
use crate::keys::{Key, Range};

/// Number of a user's job records in the first read: the page size that most callers request.
const FIRST_READ_RECORDS: usize = 25;
/// Bytes of a user's job records per read, estimated from the records already read. DynamoDB limits a read of a
/// portal's jobs to the same number of bytes.
const READ_BYTES: usize = 1024 * 1024;

/// An entry of a list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedJob {
    /// The job's identifier.
    pub id: JobId,
    /// The job; none if its record is missing, because its writer died first, or cannot be decoded.
    pub job: Option<Job>,
}

/// Reads a list of jobs from the newest to the oldest. Holds at most about a megabyte of records in memory.
#[derive(Debug)]
pub struct JobReader<'a> {
    store: &'a Store,
    portal: PortalId,
    range: Range,
    options: QueryOptions,
    /// The item after which the list continues; none at its beginning.
    after: Option<Item>,
    /// True if the table holds no further items of the list.
    ended: bool,
    /// Jobs whose records are not read yet: of a user, or of a list of identifiers.
    unread: VecDeque<JobId>,
    /// Number of a user's job records per read.
    records_per_read: usize,
}

impl Store {
    /// Returns a reader of these jobs, in this order: 1 read unit per 4 KB of each record.
    pub fn listed_jobs(&self, portal: &PortalId, jobs: Vec<JobId>) -> JobReader<'_> {
        JobReader {
            store: self,
            portal: portal.clone(),
            range: Range::Jobs(portal.clone()),
            options: QueryOptions::default(),
            after: None,
            ended: true,
            unread: jobs.into(),
            records_per_read: FIRST_READ_RECORDS,
        }
    }

    /// Returns a reader of the jobs of a portal or of one user. A portal's jobs cost 1 read unit per 4 KB of records. A
    /// user's jobs cost 1 read unit per 4 KB of each record, plus their list entries. A start key costs nothing extra.
    /// A start index costs as much as reading all skipped items.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn jobs(
        &self,
        portal: &PortalId,
        of: Option<UserId>,
        start: JobsStart,
    ) -> Result<JobReader<'_>, StoreError> {
        let range = match of {
            Some(user) => Range::JobsOf(portal.clone(), user),
            None => Range::Jobs(portal.clone()),
        };
        let mut options = QueryOptions {
            direction: Direction::Descending,
            consistency: Consistency::Strong,
            ..QueryOptions::default()
        };
        let (mut after, mut ended) = (None, false);
        match start {
            // The sort keys of a portal's jobs and of a user's jobs are the same.
            JobsStart::Before(job) => options.below = Some(Key::Job(portal.clone(), job).encode().1),
            JobsStart::Index(0) => {}
            JobsStart::Index(skip) => {
                after = self.skip_items(&range, &options, skip).await?;
                ended = after.is_none();
            }
        }
        let (portal, unread) = (portal.clone(), VecDeque::new());
        Ok(JobReader {
            store: self,
            portal,
            range,
            options,
            after,
            ended,
            unread,
            records_per_read: FIRST_READ_RECORDS,
        })
    }
}

impl JobReader<'_> {
    /// Returns whether the list may continue.
    pub fn may_have_more(&self) -> bool {
        !self.ended || !self.unread.is_empty()
    }

    /// Returns the next entries of the list, at most `limit`; none at its end.
    ///
    /// # Errors
    ///
    /// When the table fails. A record that cannot be decoded is not an error, because the error would hide all other
    /// records.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<ListedJob>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        loop {
            if !self.unread.is_empty() {
                return self.records(limit).await;
            }
            if self.ended {
                return Ok(Vec::new());
            }
            let after = self.after.take();
            let (found, after) = self.store.query_page(&self.range, &self.options, Some(limit), after).await?;
            (self.ended, self.after) = (after.is_none(), after);
            let mut jobs = Vec::with_capacity(found.len());
            for item in found {
                match items::key_of(&item) {
                    Ok(Key::Job(_, id)) => jobs.push(ListedJob { id, job: record(id, item) }),
                    Ok(Key::JobEntry(_, _, id)) => self.unread.push_back(id),
                    Ok(other) => tracing::error!(?other, "not an entry of a list of jobs"),
                    Err(error) => tracing::error!(%error, "entry of a list of jobs cannot be decoded"),
                }
            }
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }

    /// Reads the records of a user's next jobs.
    async fn records(&mut self, limit: usize) -> Result<Vec<ListedJob>, StoreError> {
        let count = self.records_per_read.min(limit).min(self.unread.len());
        let ids: Vec<JobId> = self.unread.drain(..count).collect();
        let keys: Vec<Key> = ids.iter().map(|id| Key::Job(self.portal.clone(), *id)).collect();
        let (mut found, mut bytes) = (HashMap::with_capacity(count), 0);
        for item in self.store.get_many(&keys, Consistency::Strong).await? {
            bytes += items::size(&item);
            if let Key::Job(_, id) = items::key_of(&item)? {
                found.insert(id, item);
            }
        }
        let average = bytes / found.len().max(1);
        self.records_per_read = (READ_BYTES / average.max(1)).clamp(1, READ_BATCH);
        let listed =
            ids.into_iter().map(|id| ListedJob { id, job: found.remove(&id).and_then(|item| record(id, item)) });
        Ok(listed.collect())
    }
}

/// Returns the job in an item, if it can be decoded.
fn record(id: JobId, mut item: Item) -> Option<Job> {
    items::document(&mut item, JOB)
        .inspect_err(|error| tracing::error!(job = %id, %error, "job record cannot be decoded"))
        .ok()
}
