//! The record of a job, and each user's set of open jobs.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use jiff::civil::Date;
use models::job::{Change, Job, Kind, State};
use models::limits::MAX_OPEN_JOBS;
use models::values::id::{ContactId, JobId, PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::contacts::{AccessRecord, AccessState};
use crate::dynamodb::backoff::pauses;
use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::jobs::chunk_format::{self, ChunkBuilder};
use crate::jobs::chunks::chunk_expiry;
use crate::jobs::open::open_item;
use crate::jobs::sets::JobSet;
use crate::jobs::shards::{Lease, shard_item};
use crate::jobs::{names, values};
use crate::keys::{EXPIRES, Key};

/// Attribute of a job: its record.
pub(crate) const JOB: &str = "job";
/// Attribute of a job of one contact: the contact's access before the job, as a chunk of one change.
pub(super) const CHUNK: &str = "chunk";
/// Attribute of an entry in a user's list: true if the job changed one contact by a single call.
pub(super) const SINGLE: &str = "single";

/// The result of creating a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The job was created.
    Yes,
    /// The user has the maximum number of open jobs; nothing was written.
    TooManyOpen,
    /// The user has the maximum number of previews, and none of them has ended; nothing was written.
    TooManyPreviews,
}

fn open_jobs_of(portal: &PortalId, user: UserId) -> JobSet {
    JobSet { key: Key::OpenJobsOf(portal.clone(), user), most: MAX_OPEN_JOBS }
}

/// Returns the time to live of the items of a preview; none for another job, whose record is never deleted.
pub(super) fn preview_expiry(job: &Job) -> Option<AttributeValue> {
    chunk_expiry(job).filter(|_| job.task.is_preview())
}

/// The job that records a change of one contact.
#[derive(Clone, Copy, Debug)]
pub struct RecordedJob<'a> {
    /// The job, which has ended.
    pub job: &'a Job,
    /// True if the job stays open until its event is published.
    pub open: bool,
}

pub(super) fn job_item(portal: &PortalId, job: &Job) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::Job(portal.clone(), job.id));
    item.insert(JOB.into(), items::to_document(job)?);
    item.extend(preview_expiry(job).map(|at| (EXPIRES.to_owned(), at)));
    Ok(item)
}

/// Returns the job's entry in its user's list; none for a job of the operator, which only the portal's list holds.
pub(super) fn entry_item(portal: &PortalId, job: &Job) -> Option<Item> {
    let user = job.created_by.user()?;
    let mut item = items::keyed(&Key::JobEntry(portal.clone(), user, job.id));
    if job.task.kind() == Kind::Contact {
        item.insert(SINGLE.into(), AttributeValue::Bool(true));
    }
    item.extend(preview_expiry(job).map(|at| (EXPIRES.to_owned(), at)));
    Some(item)
}

/// Returns the user whose limit of open jobs applies to the job. No limit applies to the operator, nor to a change of
/// one contact, which ends when it is recorded.
pub(super) fn limited_user(job: &Job) -> Option<UserId> {
    job.created_by.user().filter(|_| job.task.kind() != Kind::Contact)
}

impl Store {
    /// Writes a new job, unless its user has [`MAX_OPEN_JOBS`] open jobs. Costs 7 write units. A filter of over about
    /// 500 bytes costs more, and so do named contacts, whose record takes at most 4 KB. With a lease, claims all shards
    /// at once, for 1 write unit each. The sweep checks the job if no worker has claimed it by `due`.
    ///
    /// The job enters its user's set of open jobs in one transaction with its open-job entry. A preview enters its
    /// user's set of previews in the same transaction, for 2 write units, and its shards get their time to live, for 1
    /// write unit each.
    pub async fn create_job(
        &self,
        portal: &PortalId,
        job: &Job,
        lease: Option<&Lease>,
        due: Timestamp,
    ) -> Result<Created, StoreError> {
        // Write the open-job entry first, so that the sweep finds the job if its creator dies before it writes the
        // record.
        let created = self.open_job(portal, job, due).await?;
        if created != Created::Yes {
            return Ok(created);
        }
        let expiry = preview_expiry(job);
        if lease.is_some() || expiry.is_some() {
            let item = |shard| shard_item(portal, job.id, shard, lease, expiry.as_ref());
            self.write_all((0..job.shards).map(|shard| Write::put(item(shard))).collect(), Priority::Call).await?;
        }
        self.put(job_item(portal, job)?).await?;
        Ok(Created::Yes)
    }

    pub(super) async fn open_job(&self, portal: &PortalId, job: &Job, due: Timestamp) -> Result<Created, StoreError> {
        let mut pauses = pauses();
        loop {
            let items = [Some(open_item(portal, job, due)), entry_item(portal, job)].into_iter().flatten();
            let writes = items.map(|item| self.transact_put(item, None, []));
            let mut writes = writes.collect::<Result<Vec<_>, _>>()?;
            writes.extend(self.add_to_open_jobs(portal, job)?);
            writes.extend(self.add_to_previews(portal, job)?);
            match self.transact(writes).await {
                Ok(()) => return Ok(Created::Yes),
                Err(error) if error.is_condition_failed() => {}
                Err(error) => return Err(error),
            }
            if !self.fits_open_jobs(portal, job).await? {
                return Ok(Created::TooManyOpen);
            }
            if !self.make_room_for_preview(portal, job).await? {
                return Ok(Created::TooManyPreviews);
            }
            // Another call of the same user changed the set concurrently.
            match pauses.next() {
                Some(pause) => self.time.pause(pause).await,
                None => return Err(StoreError::Contended { operation: "TransactWriteItems" }),
            }
        }
    }

    /// Returns the write that adds the job to its user's set of open jobs; none if there is no limit.
    pub(super) fn add_to_open_jobs(
        &self,
        portal: &PortalId,
        job: &Job,
    ) -> Result<Option<TransactWriteItem>, StoreError> {
        limited_user(job).map(|user| self.add_to_set(&open_jobs_of(portal, user), job.id)).transpose()
    }

    /// Returns whether the job is in its user's set of open jobs, or fits into the set: 1 read unit.
    pub async fn fits_open_jobs(&self, portal: &PortalId, job: &Job) -> Result<bool, StoreError> {
        let Some(user) = limited_user(job) else { return Ok(true) };
        let set = open_jobs_of(portal, user);
        Ok(set.has_room_for(&self.jobs_in(&set).await?, job.id))
    }

    /// Removes a job from its user's set of open jobs: 1 write unit, also if the job is not in the set.
    pub async fn remove_from_open_jobs(&self, portal: &PortalId, user: UserId, job: JobId) -> Result<(), StoreError> {
        self.remove_from_set(&open_jobs_of(portal, user), job).await
    }

    /// Removes an ended job from its user's set of open jobs, if a limit applies.
    pub async fn remove_from_open_jobs_of_user(&self, portal: &PortalId, job: &Job) -> Result<(), StoreError> {
        match limited_user(job) {
            Some(user) => self.remove_from_open_jobs(portal, user, job.id).await,
            None => Ok(()),
        }
    }

    /// Returns the writes that create a job within a transaction: 2 write units each. The transaction fails if the user
    /// has too many open jobs.
    pub(crate) fn new_job_writes(
        &self,
        portal: &PortalId,
        job: &Job,
        due: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let items = [Some(job_item(portal, job)?), entry_item(portal, job), Some(open_item(portal, job, due))];
        let puts = items.into_iter().flatten().map(|item| self.transact_put(item, None, []));
        let puts = puts.collect::<Result<Vec<_>, _>>()?;
        Ok(puts.into_iter().chain(self.add_to_open_jobs(portal, job)?).collect())
    }

    /// Reads a job: 1 read unit per 4 KB.
    pub async fn job(&self, portal: &PortalId, id: JobId) -> Result<Option<Job>, StoreError> {
        let item = self.get(&Key::Job(portal.clone(), id)).await?;
        item.map(|mut item| items::document(&mut item, JOB)).transpose()
    }

    /// Marks a queued job as running since `now`: 1 write unit per KB. Leaves a job in another state unchanged.
    pub async fn start_job(&self, portal: &PortalId, id: JobId, now: Timestamp) -> Result<(), StoreError> {
        let now = items::to_document(&now)?;
        self.update_if(
            &Key::Job(portal.clone(), id),
            "SET #job.#state = :running, #job.#started = :now",
            Some("#job.#state = :queued"),
            names([("#job", JOB), ("#state", "State"), ("#started", "Started")]),
            values([
                (":running", items::s(State::Running.name())),
                (":queued", items::s(State::Queued.name())),
                (":now", now),
            ]),
        )
        .await
        .map(drop)
    }

    /// Marks a job as cancelled. Returns false if the job has ended or was cancelled before. Costs 1 write unit per KB.
    pub async fn cancel_job(&self, portal: &PortalId, id: JobId) -> Result<bool, StoreError> {
        let cancelled = self
            .update_if(
                &Key::Job(portal.clone(), id),
                "SET #job.#state = :cancelled",
                Some("#job.#state IN (:queued, :running) AND attribute_not_exists(#job.#finished)"),
                names([("#job", JOB), ("#state", "State"), ("#finished", "Finished")]),
                values([
                    (":cancelled", items::s(State::Cancelled.name())),
                    (":queued", items::s(State::Queued.name())),
                    (":running", items::s(State::Running.name())),
                ]),
            )
            .await?;
        Ok(cancelled.is_some())
    }

    /// Writes the end of a job, if the stored job has not ended and still has the state `read_state`. Adds the job to
    /// the counters of `day`, if given; a job that changed contacts must be given its day. Returns whether the end was
    /// written. Costs 1 write unit per KB; if the job changed contacts, 2 per KB, and 2 for each of two counters.
    pub async fn finish_job(
        &self,
        portal: &PortalId,
        job: &Job,
        read_state: State,
        day: Option<Date>,
    ) -> Result<bool, StoreError> {
        const SET: &str = "SET #job = :job";
        const UNENDED: &str = "#job.#state = :seen AND attribute_not_exists(#job.#finished)";
        let key = Key::Job(portal.clone(), job.id);
        let names = names([("#job", JOB), ("#state", "State"), ("#finished", "Finished")]);
        let values = values([(":job", items::to_document(job)?), (":seen", items::s(read_state.name()))]);
        let counters = day.map(|day| self.day_writes(portal, job, day)).transpose()?.unwrap_or_default();
        if counters.is_empty() {
            return Ok(self.update_if(&key, SET, Some(UNENDED), names, values).await?.is_some());
        }
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(&key)))
            .update_expression(SET)
            .condition_expression(UNENDED)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .build()
            .map_err(|error| StoreError::unbuildable("the update of an ended job", error))?;
        let ending = TransactWriteItem::builder().update(update).build();
        let writes: Vec<_> = std::iter::once(ending).chain(counters).collect();
        let mut pauses = pauses();
        loop {
            match self.transact(writes.clone()).await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_condition_failed() => {}
                Err(error) => return Err(error),
            }
            // Another transaction may have written the same counter at the same moment.
            let is_unended = |found: &Job| found.state == read_state && !found.is_over();
            if !self.job(portal, job.id).await?.as_ref().is_some_and(is_unended) {
                return Ok(false);
            }
            match pauses.next() {
                Some(pause) => self.time.pause(pause).await,
                None => return Err(StoreError::Contended { operation: "TransactWriteItems" }),
            }
        }
    }

    /// Removes the open-job entry of a job: 1 write unit.
    pub async fn close_job(&self, portal: &PortalId, id: JobId) -> Result<(), StoreError> {
        self.delete(&Key::OpenJob(portal.clone(), id)).await
    }

    /// Returns whether a job is open: 1 read unit.
    pub async fn is_open(&self, portal: &PortalId, id: JobId) -> Result<bool, StoreError> {
        Ok(self.get(&Key::OpenJob(portal.clone(), id)).await?.is_some())
    }

    /// Marks a job as failed without reading its record, unless the job has ended. Returns whether the job was marked.
    /// Costs 1 write unit per KB.
    pub async fn fail_job(
        &self,
        portal: &PortalId,
        id: JobId,
        error: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let failed = self
            .update_if(
                &Key::Job(portal.clone(), id),
                "SET #job.#state = :failed, #job.#error = :error, #job.#finished = :now",
                Some("attribute_exists(#job) AND attribute_not_exists(#job.#finished)"),
                names([("#job", JOB), ("#state", "State"), ("#error", "Error"), ("#finished", "Finished")]),
                values([
                    (":failed", items::s(State::Failed.name())),
                    (":error", items::s(error)),
                    (":now", items::to_document(&now)?),
                ]),
            )
            .await?;
        Ok(failed.is_some())
    }

    /// Writes one contact's access together with the job that records it, or neither. Costs 6 write units: 2 each for
    /// the access record, the job (which holds the previous access), and the job's entry in its user's list. A job that
    /// stays `open` until its event is published costs 2 more. The caller writes the postings of the contact's managers
    /// first.
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
        recorded: RecordedJob<'_>,
    ) -> Result<(), StoreError> {
        let RecordedJob { job, open } = recorded;
        let mut chunk = ChunkBuilder::default();
        chunk.push(&Change {
            contact,
            before: before.access.clone(),
            revision: before.revision,
            after: (job.task.replacement() != Some(record.access)).then(|| record.access.clone()),
            conflict: false,
        });
        let mut job_item = job_item(portal, job)?;
        job_item.insert(CHUNK.into(), items::b(chunk.encode()?));

        let record = record.item(portal, contact);
        let mut writes = vec![match before.job() {
            Some(job) => self.transact_put(record, Some("rev = :before"), [(":before", items::b(*job.as_bytes()))])?,
            None => self.transact_put(record, Some("attribute_not_exists(rev)"), [])?,
        }];
        writes.push(self.transact_put(job_item, None, [])?);
        if let Some(entry) = entry_item(portal, job) {
            writes.push(self.transact_put(entry, None, [])?);
        }
        if open {
            writes.push(self.transact_put(open_item(portal, job, job.created), None, [])?);
        }
        self.transact(writes).await
    }

    /// Reads the change from the record of a job of one contact: 1 read unit per 4 KB.
    pub async fn single_change(&self, portal: &PortalId, job: JobId) -> Result<Vec<Change>, StoreError> {
        match self.get(&Key::Job(portal.clone(), job)).await? {
            Some(item) if item.contains_key(CHUNK) => chunk_format::decode(items::bytes(&item, CHUNK)?),
            _ => Ok(Vec::new()),
        }
    }
}
