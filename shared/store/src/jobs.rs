//! Job records, the shards of a job's work with their leases, and chunks.

use std::collections::{BTreeSet, HashMap, HashSet};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use models::job::{Change, Counts, Job, Kind, ShardSummary, State};
use models::limits::MAX_OPEN_JOBS;
use models::values::id::{ContactId, JobId, LeaseOwner, PortalId, UserId};
use models::values::moment::Moment;
use serde::{Deserialize, Serialize};

use crate::batch::{Write, pauses};
use crate::chunk::{self, ChunkBuilder};
use crate::client::{Part, Store};
use crate::contacts::{AccessRecord, AccessState};
use crate::error::StoreError;
use crate::items::{self, Item};
use crate::keys::{EXPIRES, Key, Range};
use crate::matches::Cursor;

/// Where a shard's reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the partitions of an index.
    Matches(Cursor),
    /// Among contacts that are named: how many of them are behind.
    Contacts(usize),
    /// In the chunks of the job that is undone: the number of one, and how many of its entries are behind.
    Chunk {
        /// The chunk's number.
        number: u32,
        /// How many of its entries are behind.
        entries: usize,
    },
}

/// How far a shard of a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where the reading goes on; none at its beginning.
    pub place: Option<Place>,
    /// Number of the next chunk.
    pub next_chunk: u32,
    /// Index entries, named contacts or changes looked at so far.
    pub looked: u64,
    /// What was done so far.
    pub counts: Counts,
}

/// Why a shard was closed before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardFailure {
    /// The table did not take all changes, however often they were tried.
    GivenUp,
    /// Its workers died, one after another.
    Killed,
    /// The user on whose behalf the job acts is no longer in the portal.
    UserRemoved,
}

impl ShardFailure {
    const ALL: [Self; 3] = [Self::GivenUp, Self::Killed, Self::UserRemoved];

    /// The word for it in storage.
    const fn name(self) -> &'static str {
        match self {
            Self::GivenUp => "given-up",
            Self::Killed => "killed",
            Self::UserRemoved => "user-removed",
        }
    }
}

/// A shard of a job as the table has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardState {
    /// How far it is.
    pub progress: Progress,
    /// Whether it is through, or was closed before its end.
    pub done: bool,
    /// Why it was closed before its end, where it was.
    pub failed: Option<ShardFailure>,
    /// Whether it is to stop.
    pub cancelled: bool,
    /// Who works on it.
    pub owner: Option<LeaseOwner>,
    /// From when on it is left alone by whoever works on it, or waits for a worker for too long.
    pub due: Option<Moment>,
    /// How often it was taken up since it last got on.
    pub tries: u32,
    /// How many changes were counted, where they had to be counted first.
    pub counted: Option<u64>,
}

impl ShardState {
    /// What a caller is told of it.
    pub fn summary(&self) -> ShardSummary {
        // A shard that failed or was stopped is closed, and not through.
        let done = self.done && self.failed.is_none() && !self.cancelled;
        ShardSummary { done, looked: self.progress.looked, counts: self.progress.counts }
    }
}

/// The right to work on a shard, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who works on it.
    pub owner: LeaseOwner,
    /// Until when nobody else does.
    pub until: Moment,
}

/// The state of a shard that its worker lets go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release<'a> {
    /// How far the shard is.
    pub progress: &'a Progress,
    /// When the sweep looks after it, if nobody claims it before.
    pub due: Moment,
    /// How often it was claimed without progress.
    pub tries: u32,
}

/// A job that is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    /// Its portal.
    pub portal: PortalId,
    /// The job.
    pub job: JobId,
    /// When the sweep looks after it next.
    pub due: Moment,
    /// The user for whose number of open jobs it counts.
    pub user: Option<UserId>,
}

/// What came of creating a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is created.
    Yes,
    /// Its user has as many open jobs as there may be; nothing was written.
    TooManyOpen,
}

/// A page of a list of open jobs.
#[derive(Clone, Debug)]
pub struct OpenJobs {
    /// The jobs, in order of portals.
    pub jobs: Vec<OpenJob>,
    /// Where the next page begins; none at the end.
    pub next: Option<OpenJobsCursor>,
}

/// Where a page of a list of open jobs begins.
#[derive(Clone, Debug)]
pub struct OpenJobsCursor(Item);

/// What came of asking for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The shard is the caller's.
    Taken(ShardState),
    /// Someone else works on it.
    Held,
    /// It is through.
    Done,
}

/// What came of saving a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The shard still is the caller's.
    Kept,
    /// It is, and it is to stop.
    Cancelled,
    /// Someone else has it.
    Lost,
}

/// A chunk as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What it is about.
    pub changes: Vec<Change>,
    /// Those among them that were found changed by others only when they were written.
    pub late: Vec<ContactId>,
    /// Contacts that were taken out of the chunk before they were written; they are not among the changes.
    pub void: Vec<ContactId>,
    /// Where its shard is once its records are written.
    pub after: Progress,
}

/// How long chunks are kept beyond the time in which an undo can be asked for, so that one that was asked for in the last
/// moment finds all of them: a week.
const UNDO_SECONDS: i64 = 7 * 24 * 60 * 60;

/// The attribute that holds a job.
pub(crate) const DOC: &str = "doc";
const CHUNK: &str = "chunk";
const BODY: &str = "body";
const AFTER: &str = "after";
const LATE: &str = "late";
const VOID: &str = "void";
const DUE: &str = "due";
const USER: &str = "user";
const JOBS: &str = "jobs";
const TRIES: &str = "tries";

/// Open jobs that one query reads.
const OPEN_JOBS_PAGE: usize = 1000;

fn job_item(portal: &PortalId, job: &Job) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::Job(portal.clone(), job.id));
    item.insert(DOC.into(), items::to_document(job)?);
    Ok(item)
}

/// The job's place in its user's list; none for a job of the operator, which is in the portal's list alone.
fn entry_item(portal: &PortalId, job: &Job) -> Option<Item> {
    let user = job.created_by.user()?;
    Some(items::keyed(&Key::JobEntry(portal.clone(), user, job.id)))
}

fn open_item(portal: &PortalId, job: &Job, due: Moment) -> Item {
    let mut item = items::keyed(&Key::OpenJob(portal.clone(), job.id));
    item.insert(DUE.into(), items::n(due.steps()));
    if let Some(user) = limited_user(job) {
        item.insert(USER.into(), items::b(*user.as_bytes()));
    }
    item
}

/// The user whose number of open jobs the job counts for. A single change is over when it is recorded, and the operator
/// has no limit.
fn limited_user(job: &Job) -> Option<UserId> {
    job.created_by.user().filter(|_| job.task.kind() != Kind::Contact)
}

fn shard_item(portal: &PortalId, job: JobId, shard: u16, lease: &Lease) -> Item {
    let mut item = items::keyed(&Key::JobShard(portal.clone(), job, shard));
    item.insert("owner".into(), items::b(*lease.owner.as_bytes()));
    item.insert(DUE.into(), items::n(lease.until.steps()));
    item.insert("tries".into(), items::n(1));
    item
}

fn shard_failure(name: &str) -> Result<ShardFailure, StoreError> {
    let found = ShardFailure::ALL.into_iter().find(|failure| failure.name() == name);
    found.ok_or_else(|| StoreError::Corrupt(format!("a shard failed by {name:?}")))
}

fn shard_state(mut item: Item) -> Result<ShardState, StoreError> {
    let is = |name| item.contains_key(name).then(|| items::boolean(&item, name)).transpose();
    let (done, cancelled) = (is("done")?, is("cancelled")?);
    let failed = match item.get("failed") {
        Some(_) => Some(shard_failure(items::text(&item, "failed")?)?),
        None => None,
    };
    let due = item.contains_key(DUE).then(|| items::number(&item, DUE)).transpose()?;
    Ok(ShardState {
        done: done.unwrap_or(false),
        failed,
        cancelled: cancelled.unwrap_or(false),
        owner: item.contains_key("owner").then(|| items::id(&item, "owner")).transpose()?,
        due: due.map(Moment::from_steps),
        tries: item.contains_key("tries").then(|| items::number(&item, "tries")).transpose()?.unwrap_or(0),
        counted: item.contains_key("counted").then(|| items::number(&item, "counted")).transpose()?,
        progress: if item.contains_key(DOC) { items::document(&mut item, DOC)? } else { Progress::default() },
    })
}

/// A list of contacts under one attribute of a chunk; none when it is not there.
fn contacts(item: &Item, name: &str) -> Result<HashSet<ContactId>, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("the contacts {name} of a chunk"));
    let Some(listed) = item.get(name) else { return Ok(HashSet::new()) };
    let id = |id: &AttributeValue| id.as_n().ok().and_then(|digits| digits.parse().ok()).ok_or_else(corrupt);
    listed.as_l().map_err(|_| corrupt())?.iter().map(id).collect()
}

fn moment(at: Moment) -> AttributeValue {
    items::n(at.steps())
}

fn yes() -> AttributeValue {
    AttributeValue::Bool(true)
}

fn names<const N: usize>(names: [(&str, &str); N]) -> HashMap<String, String> {
    names.into_iter().map(|(name, stands_for)| (name.to_owned(), stands_for.to_owned())).collect()
}

fn values<const N: usize>(values: [(&str, AttributeValue); N]) -> HashMap<String, AttributeValue> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Store {
    /// Writes a new job, unless its user has [`MAX_OPEN_JOBS`] that are not over: 7 write units, more for a filter of over
    /// about 500 bytes and for contacts that are named, at most 4 KB of them. With a lease all its shards are claimed at
    /// once, for 1 write unit each. The sweep looks after a job that nobody claimed by `due`.
    ///
    /// The job takes its place among the open jobs of its user in one transaction with its open-job entry. The places are
    /// a set of identifiers, so taking or leaving a place twice changes nothing, and the number is exact whatever dies.
    pub async fn create_job(
        &self,
        portal: &PortalId,
        job: &Job,
        lease: Option<&Lease>,
        due: Moment,
    ) -> Result<Created, StoreError> {
        // The open-job entry comes first, so that the sweep finds the job if its creator dies before its record.
        if self.open_job(portal, job, due).await? == Created::TooManyOpen {
            return Ok(Created::TooManyOpen);
        }
        let shards = lease.into_iter().flat_map(|lease| (0..job.shards).map(move |shard| (shard, lease)));
        let shards = shards.map(|(shard, lease)| Write::put(shard_item(portal, job.id, shard, lease)));
        self.write_all(shards.collect()).await?;
        self.put(job_item(portal, job)?).await?;
        Ok(Created::Yes)
    }

    async fn open_job(&self, portal: &PortalId, job: &Job, due: Moment) -> Result<Created, StoreError> {
        let mut pauses = pauses();
        loop {
            let items = [Some(open_item(portal, job, due)), entry_item(portal, job)].into_iter().flatten();
            let writes = items.map(|item| self.transact_put(item, None, []));
            let mut writes = writes.collect::<Result<Vec<_>, _>>()?;
            writes.extend(self.take_place(portal, job)?);
            match self.transact(writes).await {
                Ok(()) => return Ok(Created::Yes),
                Err(error) if error.is_condition_failed() => {}
                Err(error) => return Err(error),
            }
            if !self.has_place(portal, job).await? {
                return Ok(Created::TooManyOpen);
            }
            // Another call of the same user was under way at this moment.
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(StoreError::Contended { operation: "TransactWriteItems" }),
            }
        }
    }

    /// The write that takes a place among the open jobs of the job's user; none where there is no limit.
    fn take_place(&self, portal: &PortalId, job: &Job) -> Result<Option<TransactWriteItem>, StoreError> {
        let Some(user) = limited_user(job) else { return Ok(None) };
        let id = Blob::new(*job.id.as_bytes());
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(&Key::OpenJobsOf(portal.clone(), user))))
            .update_expression("ADD #jobs :one")
            .condition_expression("attribute_not_exists(#jobs) OR size(#jobs) < :most OR contains(#jobs, :id)")
            .set_expression_attribute_names(Some(names([("#jobs", JOBS)])))
            .set_expression_attribute_values(Some(values([
                (":one", AttributeValue::Bs(vec![id.clone()])),
                (":id", AttributeValue::B(id)),
                (":most", items::n(MAX_OPEN_JOBS)),
            ])))
            .build()
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(Some(TransactWriteItem::builder().update(update).build()))
    }

    /// Whether the job has, or could have, a place among the open jobs of its user: 1 read unit.
    pub async fn has_place(&self, portal: &PortalId, job: &Job) -> Result<bool, StoreError> {
        let Some(user) = limited_user(job) else { return Ok(true) };
        let item = self.get(&Key::OpenJobsOf(portal.clone(), user)).await?.unwrap_or_default();
        let open = match item.get(JOBS) {
            Some(AttributeValue::Bs(open)) => open.as_slice(),
            _ => &[],
        };
        Ok(open.len() < MAX_OPEN_JOBS || open.iter().any(|id| id.as_ref() == job.id.as_bytes()))
    }

    /// Leaves the place that a job has among the open jobs of its user: 1 write unit, also where it has none.
    pub async fn leave_place(&self, portal: &PortalId, user: UserId, job: JobId) -> Result<(), StoreError> {
        let id = Blob::new(*job.as_bytes());
        self.update_if(
            &Key::OpenJobsOf(portal.clone(), user),
            "DELETE #jobs :one",
            Some("contains(#jobs, :id)"),
            names([("#jobs", JOBS)]),
            values([(":one", AttributeValue::Bs(vec![id.clone()])), (":id", AttributeValue::B(id))]),
        )
        .await
        .map(drop)
    }

    /// Leaves the place of a job that is over, if it took one.
    pub async fn leave_place_of(&self, portal: &PortalId, job: &Job) -> Result<(), StoreError> {
        match limited_user(job) {
            Some(user) => self.leave_place(portal, user, job.id).await,
            None => Ok(()),
        }
    }

    /// The writes that make a job together with something else, or not at all: 2 write units each. They fail if its user
    /// has too many open jobs.
    pub(crate) fn new_job_writes(
        &self,
        portal: &PortalId,
        job: &Job,
        due: Moment,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let items = [Some(job_item(portal, job)?), entry_item(portal, job), Some(open_item(portal, job, due))];
        let puts = items.into_iter().flatten().map(|item| self.transact_put(item, None, []));
        let puts = puts.collect::<Result<Vec<_>, _>>()?;
        Ok(puts.into_iter().chain(self.take_place(portal, job)?).collect())
    }

    pub(crate) fn transact_put<const N: usize>(
        &self,
        item: Item,
        condition: Option<&str>,
        of: [(&str, AttributeValue); N],
    ) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_condition_expression(condition.map(ToOwned::to_owned))
            .set_expression_attribute_values(Some(values(of)).filter(|values| !values.is_empty()))
            .build()
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    pub(crate) fn transact_delete<const N: usize>(
        &self,
        key: &Key,
        condition: Option<&str>,
        of: [(&str, AttributeValue); N],
    ) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(key)))
            .set_condition_expression(condition.map(ToOwned::to_owned))
            .set_expression_attribute_values(Some(values(of)).filter(|values| !values.is_empty()))
            .build()
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// Reads a job: 1 read unit per 4 KB.
    pub async fn job(&self, portal: &PortalId, id: JobId) -> Result<Option<Job>, StoreError> {
        let item = self.get(&Key::Job(portal.clone(), id)).await?;
        item.map(|mut item| items::document(&mut item, DOC)).transpose()
    }

    /// Writes that a queued job was taken up at `now`: 1 write unit per KB. A job in another state stays as it is.
    pub async fn start_job(&self, portal: &PortalId, id: JobId, now: Moment) -> Result<(), StoreError> {
        let now = items::to_document(&now)?;
        self.update_if(
            &Key::Job(portal.clone(), id),
            "SET #doc.#state = :running, #doc.#started = :now",
            Some("#doc.#state = :queued"),
            names([("#doc", DOC), ("#state", "State"), ("#started", "Started")]),
            values([
                (":running", items::s(State::Running.name())),
                (":queued", items::s(State::Queued.name())),
                (":now", now),
            ]),
        )
        .await
        .map(drop)
    }

    /// Writes that a job is to stop, and says whether it still can: 1 write unit per KB.
    pub async fn cancel_job(&self, portal: &PortalId, id: JobId) -> Result<bool, StoreError> {
        let cancelled = self
            .update_if(
                &Key::Job(portal.clone(), id),
                "SET #doc.#state = :cancelled",
                Some("#doc.#state IN (:queued, :running) AND attribute_not_exists(#doc.#finished)"),
                names([("#doc", DOC), ("#state", "State"), ("#finished", "Finished")]),
                values([
                    (":cancelled", items::s(State::Cancelled.name())),
                    (":queued", items::s(State::Queued.name())),
                    (":running", items::s(State::Running.name())),
                ]),
            )
            .await?;
        Ok(cancelled.is_some())
    }

    /// Writes how a job ended, if it is still in the state `seen` and not over, and says whether it was: 1 write unit
    /// per KB.
    pub async fn finish_job(&self, portal: &PortalId, job: &Job, seen: State) -> Result<bool, StoreError> {
        let finished = self
            .update_if(
                &Key::Job(portal.clone(), job.id),
                "SET #doc = :doc",
                Some("#doc.#state = :seen AND attribute_not_exists(#doc.#finished)"),
                names([("#doc", DOC), ("#state", "State"), ("#finished", "Finished")]),
                values([(":doc", items::to_document(job)?), (":seen", items::s(seen.name()))]),
            )
            .await?;
        Ok(finished.is_some())
    }

    /// Forgets that a job is open: 1 write unit.
    pub async fn close_job(&self, portal: &PortalId, id: JobId) -> Result<(), StoreError> {
        self.delete(&Key::OpenJob(portal.clone(), id)).await
    }

    /// Whether a job is open: 1 read unit.
    pub async fn is_open(&self, portal: &PortalId, id: JobId) -> Result<bool, StoreError> {
        Ok(self.get(&Key::OpenJob(portal.clone(), id)).await?.is_some())
    }

    /// Reads a page of the open jobs of all portals in one of the buckets: 1 read unit per 4 KB, at least 1.
    pub async fn open_jobs(&self, bucket: u8, from: Option<OpenJobsCursor>) -> Result<OpenJobs, StoreError> {
        let part = Part { consistent: true, ..Part::default() };
        let start = from.map(|OpenJobsCursor(key)| key);
        let (items, next) = self.query_page(&Range::OpenJobs(bucket), &part, Some(OPEN_JOBS_PAGE), start).await?;
        let jobs = items.iter().map(|item| match items::key_of(item)? {
            Key::OpenJob(portal, job) => {
                let user = item.contains_key(USER).then(|| items::id(item, USER)).transpose()?;
                Ok(OpenJob { portal, job, due: Moment::from_steps(items::number(item, DUE)?), user })
            }
            other => Err(StoreError::Corrupt(format!("{other:?} among the open jobs"))),
        });
        Ok(OpenJobs { jobs: jobs.collect::<Result<_, _>>()?, next: next.map(OpenJobsCursor) })
    }

    /// Counts a look at an open job that is due, before anything else is done for the job, and postpones the next look
    /// to `next`: 1 write unit. Answers how many looks ended without [`Self::postpone_job`], this one among them; none
    /// when someone else looks after the job.
    pub async fn count_look(&self, open: &OpenJob, next: Moment) -> Result<Option<u32>, StoreError> {
        let looked = self
            .update_if(
                &Key::OpenJob(open.portal.clone(), open.job),
                "SET #due = :next ADD #tries :one",
                Some("#due = :seen"),
                names([("#due", DUE), ("#tries", TRIES)]),
                values([(":next", moment(next)), (":seen", moment(open.due)), (":one", items::n(1))]),
            )
            .await?;
        looked.map(|item| items::number(&item, TRIES)).transpose()
    }

    /// Says when an open job is to be looked after next, and that it needs no look counted: 1 write unit. A job that was
    /// closed meanwhile stays closed.
    pub async fn postpone_job(&self, portal: &PortalId, id: JobId, due: Moment) -> Result<(), StoreError> {
        self.update_if(
            &Key::OpenJob(portal.clone(), id),
            "SET #due = :due REMOVE #tries",
            Some("attribute_exists(#due)"),
            names([("#due", DUE), ("#tries", TRIES)]),
            values([(":due", moment(due))]),
        )
        .await
        .map(drop)
    }

    /// Writes that a job failed, without reading its record, unless it is over: 1 write unit per KB. True when it was
    /// not over before.
    pub async fn fail_job(&self, portal: &PortalId, id: JobId, error: &str, now: Moment) -> Result<bool, StoreError> {
        let failed = self
            .update_if(
                &Key::Job(portal.clone(), id),
                "SET #doc.#state = :failed, #doc.#error = :error, #doc.#finished = :now",
                Some("attribute_exists(#doc) AND attribute_not_exists(#doc.#finished)"),
                names([("#doc", DOC), ("#state", "State"), ("#error", "Error"), ("#finished", "Finished")]),
                values([
                    (":failed", items::s(State::Failed.name())),
                    (":error", items::s(error)),
                    (":now", items::to_document(&now)?),
                ]),
            )
            .await?;
        Ok(failed.is_some())
    }

    /// Asks for a shard of a job, for which nobody else must have a lease at `now`: 1 write unit, and 1 read unit when
    /// it cannot be had.
    pub async fn claim_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        now: Moment,
    ) -> Result<Claim, StoreError> {
        let key = Key::JobShard(portal.clone(), job, shard);
        let claimed = self
            .update_if(
                &key,
                "SET #owner = :me, #due = :until ADD #tries :one",
                Some("attribute_not_exists(#done) AND (attribute_not_exists(#owner) OR #owner = :me OR #due <= :now)"),
                names([("#done", "done"), ("#owner", "owner"), ("#due", DUE), ("#tries", "tries")]),
                values([
                    (":me", items::b(*lease.owner.as_bytes())),
                    (":until", moment(lease.until)),
                    (":one", items::n(1)),
                    (":now", moment(now)),
                ]),
            )
            .await?;
        if let Some(item) = claimed {
            return Ok(Claim::Taken(shard_state(item)?));
        }
        let item = self.get(&key).await?;
        let done = item.map(shard_state).transpose()?.is_some_and(|state| state.done);
        Ok(if done { Claim::Done } else { Claim::Held })
    }

    /// Writes how far a shard is, and holds on to it: 1 write unit.
    pub async fn save_progress(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        progress: &Progress,
    ) -> Result<Saved, StoreError> {
        self.keep_shard(
            (portal, job, shard),
            lease,
            "SET #doc = :doc, #due = :until, #tries = :none",
            &[("#doc", DOC), ("#due", DUE), ("#tries", "tries")],
            values([(":doc", items::to_document(progress)?), (":until", moment(lease.until)), (":none", items::n(0))]),
        )
        .await
    }

    /// Writes how many changes a shard counted; its work then begins at its beginning: 1 write unit.
    pub async fn save_counted(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        counted: u64,
    ) -> Result<Saved, StoreError> {
        self.keep_shard(
            (portal, job, shard),
            lease,
            "SET #counted = :counted, #due = :until, #tries = :none REMOVE #doc, #me",
            &[("#doc", DOC), ("#due", DUE), ("#tries", "tries"), ("#counted", "counted")],
            values([(":counted", items::n(counted)), (":until", moment(lease.until)), (":none", items::n(0))]),
        )
        .await
    }

    /// Writes that a shard is through, or why it is closed before its end, and lets go of it: 1 write unit.
    pub async fn end_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        progress: &Progress,
        failed: Option<ShardFailure>,
    ) -> Result<Saved, StoreError> {
        let mut with = vec![("#doc", DOC), ("#done", "done"), ("#due", DUE)];
        let mut of = values([(":doc", items::to_document(progress)?), (":yes", yes())]);
        let mut set = "";
        if let Some(failure) = failed {
            set = ", #failed = :failed";
            with.push(("#failed", "failed"));
            of.insert(":failed".into(), items::s(failure.name()));
        }
        self.keep_shard(
            (portal, job, shard),
            lease,
            &format!("SET #doc = :doc, #done = :yes{set} REMOVE #me, #due"),
            &with,
            of,
        )
        .await
    }

    /// Writes how far a shard is that is not through, and lets go of it: 1 write unit.
    pub async fn release_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        release: Release<'_>,
    ) -> Result<Saved, StoreError> {
        let Release { progress, due, tries } = release;
        self.keep_shard(
            (portal, job, shard),
            lease,
            "SET #doc = :doc, #due = :due, #tries = :tries REMOVE #me",
            &[("#doc", DOC), ("#due", DUE), ("#tries", TRIES)],
            values([(":doc", items::to_document(progress)?), (":due", moment(due)), (":tries", items::n(tries))]),
        )
        .await
    }

    /// Changes a shard that is the lease's. `#me` is its owner in the expression.
    async fn keep_shard(
        &self,
        (portal, job, shard): (&PortalId, JobId, u16),
        lease: &Lease,
        expression: &str,
        of: &[(&str, &str)],
        mut with: HashMap<String, AttributeValue>,
    ) -> Result<Saved, StoreError> {
        let mut of: HashMap<String, String> =
            of.iter().map(|(name, attribute)| ((*name).to_owned(), (*attribute).to_owned())).collect();
        of.insert("#me".into(), "owner".into());
        with.insert(":me".into(), items::b(*lease.owner.as_bytes()));
        let key = Key::JobShard(portal.clone(), job, shard);
        let saved = self.update_if(&key, expression, Some("#me = :me"), of, with).await?;
        Ok(match saved.map(shard_state).transpose()? {
            None => Saved::Lost,
            Some(state) if state.cancelled => Saved::Cancelled,
            Some(_) => Saved::Kept,
        })
    }

    /// Reads one shard of a job: 1 read unit.
    pub async fn shard(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<ShardState, StoreError> {
        let item = self.get(&Key::JobShard(portal.clone(), job, shard)).await?;
        item.map_or(Ok(ShardState::default()), shard_state)
    }

    /// Tells whoever works on a shard to stop, and whoever takes it up: 1 write unit. Says whether it is through.
    pub async fn cancel_shard(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<bool, StoreError> {
        let told = self
            .update_if(
                &Key::JobShard(portal.clone(), job, shard),
                "SET #cancelled = :yes",
                Some("attribute_not_exists(#done)"),
                names([("#cancelled", "cancelled"), ("#done", "done")]),
                values([(":yes", yes())]),
            )
            .await?;
        Ok(told.is_none())
    }

    /// Takes a shard from whoever had it, if it still is `due` when it was seen to be, and says when it is to be looked
    /// after next; false when it was taken up or got on meanwhile. 1 write unit.
    pub async fn postpone_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        seen: Option<Moment>,
        due: Moment,
    ) -> Result<bool, StoreError> {
        let mut with = values([(":due", moment(due))]);
        let unchanged = match seen {
            Some(seen) => {
                with.insert(":seen".into(), moment(seen));
                "#due = :seen AND attribute_not_exists(#done)"
            }
            None => "attribute_not_exists(#due) AND attribute_not_exists(#done)",
        };
        let postponed = self
            .update_if(
                &Key::JobShard(portal.clone(), job, shard),
                "SET #due = :due REMOVE #owner",
                Some(unchanged),
                names([("#due", DUE), ("#done", "done"), ("#owner", "owner")]),
                with,
            )
            .await?;
        Ok(postponed.is_some())
    }

    /// Reads the shards of a job, each by its number; those that nobody took up are as new: 1 read unit per 4 KB.
    pub async fn shards(&self, portal: &PortalId, job: &Job) -> Result<Vec<ShardState>, StoreError> {
        let mut shards = vec![ShardState::default(); usize::from(job.shards)];
        for item in self.query(&Range::JobShards(portal.clone(), job.id), true).await? {
            if let Key::JobShard(_, _, shard) = items::key_of(&item)?
                && let Some(state) = shards.get_mut(usize::from(shard))
            {
                *state = shard_state(item)?;
            }
        }
        Ok(shards)
    }

    /// Writes one contact's access together with the job that records it, or neither: 6 write units, 2 for each of
    /// the access record, the job (which holds what was before) and its place in its user's list, and 2 more when it
    /// stays `open` until the event bus was told. The managers that the contact gets are posted before.
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
        open: bool,
    ) -> Result<(), StoreError> {
        let mut chunk = ChunkBuilder::default();
        chunk.push(&Change {
            contact,
            before: before.access.clone(),
            revision: before.revision,
            after: None,
            conflict: false,
        });
        let mut job_item = job_item(portal, job)?;
        job_item.insert(CHUNK.into(), items::b(chunk.encode()?));

        let record = record.item(portal, contact);
        let mut writes = vec![match before.revision {
            Some(revision) => {
                self.transact_put(record, Some("rev = :before"), [(":before", items::b(*revision.as_bytes()))])?
            }
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

    /// Writes a chunk, and with it where the shard will be once the chunk's records are written; false when there is
    /// one of that number already, which is never overwritten. 1 write unit per KB, which is some bytes a contact.
    pub async fn write_chunk(
        &self,
        portal: &PortalId,
        job: &Job,
        shard: u16,
        number: u32,
        chunk: &ChunkBuilder,
        after: &Progress,
    ) -> Result<bool, StoreError> {
        let mut item = items::keyed(&Key::Chunk(portal.clone(), job.id, shard, number));
        item.insert(BODY.into(), items::b(chunk.encode()?));
        item.insert(AFTER.into(), items::to_document(after)?);
        if let Some(until) = job.changes_until {
            item.insert(EXPIRES.into(), items::n(until.timestamp().as_second() + UNDO_SECONDS));
        }
        self.put_if(item, "attribute_not_exists(#pk)", []).await
    }

    /// Adds to a chunk which of its contacts were found changed only when they were written: 1 write unit per KB of
    /// the chunk.
    pub async fn write_late_conflicts(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        number: u32,
        contacts: &[ContactId],
    ) -> Result<(), StoreError> {
        let late = contacts.iter().map(|contact| items::n(contact.get())).collect();
        self.update(
            &Key::Chunk(portal.clone(), job, shard, number),
            "SET #late = :late",
            names([("#late", LATE)]),
            values([(":late", AttributeValue::L(late))]),
        )
        .await
    }

    /// Takes contacts out of a chunk, all of them so far, and writes where its shard is without them: 1 write unit per KB
    /// of the chunk.
    pub async fn void_changes(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        number: u32,
        contacts: &[ContactId],
        after: &Progress,
    ) -> Result<(), StoreError> {
        let void = contacts.iter().map(|contact| items::n(contact.get())).collect();
        self.update(
            &Key::Chunk(portal.clone(), job, shard, number),
            "SET #void = :void, #after = :after",
            names([("#void", VOID), ("#after", AFTER)]),
            values([(":void", AttributeValue::L(void)), (":after", items::to_document(after)?)]),
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
        let mut changes = chunk::decode(items::bytes(&item, BODY)?)?;
        let (late, void) = (contacts(&item, LATE)?, contacts(&item, VOID)?);
        changes.retain(|change| !void.contains(&change.contact));
        for change in changes.iter_mut().filter(|change| late.contains(&change.contact)) {
            change.conflict = true;
        }
        let in_order =
            |contacts: HashSet<ContactId>| contacts.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let (late, void) = (in_order(late), in_order(void));
        Ok(Some(Chunk { changes, late, void, after: items::document(&mut item, AFTER)? }))
    }

    /// Reads only where a shard is once the records of a chunk are written, and not the chunk's contacts: 1 read unit per
    /// 4 KB.
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

    /// Reads what a job about one contact keeps in its record: 1 read unit per 4 KB.
    pub async fn single_change(&self, portal: &PortalId, job: JobId) -> Result<Vec<Change>, StoreError> {
        match self.get(&Key::Job(portal.clone(), job)).await? {
            Some(item) if item.contains_key(CHUNK) => chunk::decode(items::bytes(&item, CHUNK)?),
            _ => Ok(Vec::new()),
        }
    }
}
