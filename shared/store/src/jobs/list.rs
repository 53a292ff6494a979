//! Lists of jobs, newest first, read a few records at a time.

use std::collections::{HashMap, VecDeque};

use models::job::{Job, JobId};
use models::request::JobsStart;
use models::values::id::{PortalId, UserId};

use crate::dynamodb::batch::READ_BATCH;
use crate::dynamodb::client::{QueryOptions, Store};
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::jobs::DOC;
use crate::keys::{Key, Range};

/// Records of a user's jobs that are read together at first: those of a page as most callers ask for it.
const FIRST_TOGETHER: usize = 25;
/// Bytes of a user's job records that are read together, by the sizes of those before them. What is read of a portal's
/// jobs together, DynamoDB bounds by the same number.
const BYTES_TOGETHER: usize = 1024 * 1024;

/// A place in a list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedJob {
    /// The job's identifier.
    pub id: JobId,
    /// The job; none when its record is missing, because its writer died first, or does not read back.
    pub job: Option<Job>,
}

/// Reads a list of jobs from the newest to the oldest. At most about a megabyte of records is in memory at a time.
#[derive(Debug)]
pub struct JobReader<'a> {
    store: &'a Store,
    portal: PortalId,
    range: Range,
    part: QueryOptions,
    /// The item after which the list goes on; none at its beginning.
    after: Option<Item>,
    /// Whether the table holds nothing more of the list.
    ended: bool,
    /// Jobs of a user whose records are still to be read.
    unread: VecDeque<JobId>,
    /// How many records of a user's jobs are read together.
    together: usize,
}

impl Store {
    /// A reader of jobs, of all of the portal or of one user. 1 read unit per 4 KB of records; of a user's jobs 1 read
    /// unit each and 4 KB, and what their entries take. The price does not depend on where a page by key starts. With a
    /// start index all that is passed over is paid for.
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
        let mut part = QueryOptions { backwards: true, consistent: true, ..QueryOptions::default() };
        let (mut after, mut ended) = (None, false);
        match start {
            // The sort keys of a portal's jobs and of a user's are the same.
            JobsStart::Before(job) => part.below = Some(Key::Job(portal.clone(), job).encode().1),
            JobsStart::Index(0) => {}
            JobsStart::Index(skip) => {
                after = self.skip_items(&range, &part, skip).await?;
                ended = after.is_none();
            }
        }
        let (portal, unread) = (portal.clone(), VecDeque::new());
        Ok(JobReader { store: self, portal, range, part, after, ended, unread, together: FIRST_TOGETHER })
    }
}

impl JobReader<'_> {
    /// Whether the list may go on.
    pub fn may_have_more(&self) -> bool {
        !self.ended || !self.unread.is_empty()
    }

    /// The next places of the list, at most `most`; none at its end.
    ///
    /// # Errors
    ///
    /// When the table fails. A record that does not read back is no failure: it would hide all others.
    pub async fn next(&mut self, most: usize) -> Result<Vec<ListedJob>, StoreError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        loop {
            if !self.unread.is_empty() {
                return self.records(most).await;
            }
            if self.ended {
                return Ok(Vec::new());
            }
            let after = self.after.take();
            let (found, after) = self.store.query_page(&self.range, &self.part, Some(most), after).await?;
            (self.ended, self.after) = (after.is_none(), after);
            let mut jobs = Vec::with_capacity(found.len());
            for item in found {
                match items::key_of(&item) {
                    Ok(Key::Job(_, id)) => jobs.push(ListedJob { id, job: record(id, item) }),
                    Ok(Key::JobEntry(_, _, id)) => self.unread.push_back(id),
                    Ok(other) => tracing::error!(?other, "not an entry of a list of jobs"),
                    Err(error) => tracing::error!(%error, "entry of a list of jobs does not read back"),
                }
            }
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }

    /// The records of a user's next jobs.
    async fn records(&mut self, most: usize) -> Result<Vec<ListedJob>, StoreError> {
        let count = self.together.min(most).min(self.unread.len());
        let ids: Vec<JobId> = self.unread.drain(..count).collect();
        let keys: Vec<Key> = ids.iter().map(|id| Key::Job(self.portal.clone(), *id)).collect();
        let (mut found, mut bytes) = (HashMap::with_capacity(count), 0);
        for item in self.store.get_many(&keys, true).await? {
            bytes += items::size(&item);
            if let Key::Job(_, id) = items::key_of(&item)? {
                found.insert(id, item);
            }
        }
        let average = bytes / found.len().max(1);
        self.together = (BYTES_TOGETHER / average.max(1)).clamp(1, READ_BATCH);
        let listed =
            ids.into_iter().map(|id| ListedJob { id, job: found.remove(&id).and_then(|item| record(id, item)) });
        Ok(listed.collect())
    }
}

/// The job in an item.
fn record(id: JobId, mut item: Item) -> Option<Job> {
    items::document(&mut item, DOC)
        .inspect_err(|error| tracing::error!(job = %id, %error, "job record does not read back"))
        .ok()
}
