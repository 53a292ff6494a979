//! Open-job entries, by which a sweep finds unfinished jobs.

use models::job::Job;
use models::values::id::{JobId, PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::jobs::record::limited_user;
use crate::jobs::{names, ticks, values};
use crate::keys::{Key, Range};

// The attributes of an open-job entry.
const DUE: &str = "due";
const USER: &str = "user";
const TRIES: &str = "tries";

/// A job that is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    /// The job's portal.
    pub portal: PortalId,
    /// The job.
    pub job: JobId,
    /// Time of the sweep's next check.
    pub due: Timestamp,
    /// The user whose limit of open jobs applies to the job.
    pub user: Option<UserId>,
}

/// A page of a list of open jobs.
#[derive(Clone, Debug)]
pub struct OpenJobs {
    /// The jobs, in order of portals.
    pub jobs: Vec<OpenJob>,
    /// The start of the next page; none at the end.
    pub next: Option<OpenJobsCursor>,
}

/// The start of a page of open jobs.
#[derive(Clone, Debug)]
pub struct OpenJobsCursor(Item);

/// Maximum number of open jobs per query.
pub(super) const OPEN_JOBS_PAGE: usize = 1000;

pub(super) fn open_item(portal: &PortalId, job: &Job, due: Timestamp) -> Item {
    let mut item = items::keyed(&Key::OpenJob(portal.clone(), job.id));
    item.insert(DUE.into(), items::n(due.ticks()));
    if let Some(user) = limited_user(job) {
        item.insert(USER.into(), items::b(*user.as_bytes()));
    }
    item
}

impl Store {
    /// Reads a page of the open jobs of all portals in one bucket: 1 read unit per 4 KB, at least 1.
    pub async fn open_jobs(&self, bucket: u8, from: Option<OpenJobsCursor>) -> Result<OpenJobs, StoreError> {
        let options = QueryOptions { consistency: Consistency::Strong, ..QueryOptions::default() };
        let start = from.map(|OpenJobsCursor(key)| key);
        let (items, next) = self.query_page(&Range::OpenJobs(bucket), &options, Some(OPEN_JOBS_PAGE), start).await?;
        let jobs = items.iter().map(|item| match items::key_of(item)? {
            Key::OpenJob(portal, job) => {
                let user = item.contains_key(USER).then(|| items::id(item, USER)).transpose()?;
                Ok(OpenJob { portal, job, due: Timestamp::from_ticks(items::number(item, DUE)?), user })
            }
            other => Err(StoreError::Corrupt(format!("a {other:?} item is among the open jobs").into())),
        });
        Ok(OpenJobs { jobs: jobs.collect::<Result<_, _>>()?, next: next.map(OpenJobsCursor) })
    }

    /// Counts a check of a due open job, before any other work for the job, and postpones the next check to `next`: 1
    /// write unit. Returns the number of checks since the last [`Self::postpone_job`], including this check; none if
    /// another process checks the job.
    pub async fn count_check(&self, open: &OpenJob, next: Timestamp) -> Result<Option<u32>, StoreError> {
        let checked = self
            .update_if(
                &Key::OpenJob(open.portal.clone(), open.job),
                "SET #due = :next ADD #tries :one",
                Some("#due = :seen"),
                names([("#due", DUE), ("#tries", TRIES)]),
                values([(":next", ticks(next)), (":seen", ticks(open.due)), (":one", items::n(1))]),
            )
            .await?;
        checked.map(|item| items::number(&item, TRIES)).transpose()
    }

    /// Sets the next check of an open job to `due` and resets the count of checks: 1 write unit. A job that was closed
    /// meanwhile stays closed.
    pub async fn postpone_job(&self, portal: &PortalId, id: JobId, due: Timestamp) -> Result<(), StoreError> {
        self.update_if(
            &Key::OpenJob(portal.clone(), id),
            "SET #due = :due REMOVE #tries",
            Some("attribute_exists(#due)"),
            names([("#due", DUE), ("#tries", TRIES)]),
            values([(":due", ticks(due))]),
        )
        .await
        .map(drop)
    }
}
