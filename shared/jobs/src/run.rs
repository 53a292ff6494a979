//! Synchronous runs: record the job, process its shards concurrently, and requeue unfinished shards at the deadline.

pub mod contact;
pub mod contacts;
pub mod filter;
pub mod snapshot;

use std::cmp::Reverse;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, Stream, StreamExt as _};
use jiff::SignedDuration;
use models::filter::top_k::TopK;
use models::job::{Counts, Job, State, Task};
use models::limits::{self, LEASE_MARGIN_MILLIS, MAX_SHARDS, RUN_GRACE_MILLIS};
use models::request::Page;
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::dynamodb::batch::Priority;
use store::index::PAGE_MATCHES;
use store::jobs::chunk_format::MAX_CHUNK_CONTACTS;
use store::jobs::{Created, Lease, Progress, Release};
use store::keys::IndexPosition;
use tokio::time::timeout_at;

use crate::closing::{Finished, over_limit};
use crate::context::Jobs;
use crate::queue::Message;
use crate::shard::{Deadline, HeldLease, ShardRef, ShardWork, Stopped, lease_end};
use crate::source::Source;

/// Maximum shards of one run that are processed concurrently.
pub const SHARDS_AT_ONCE: usize = 8;

// Pages and chunks have the same size, so a run whose contacts all change writes one chunk per page.
const _: () = assert!(PAGE_MATCHES == MAX_CHUNK_CONTACTS);
const _: () = assert!(SHARDS_AT_ONCE <= MAX_SHARDS as usize);

/// Time after the deadline in which a run may finish its current page.
const GRACE: Duration = Duration::from_millis(RUN_GRACE_MILLIS);
/// Maximum time until the writes of an interrupted shard reach the table.
const LEASE_MARGIN: SignedDuration = limits::duration(LEASE_MARGIN_MILLIS);

/// The result of a run or a preview.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Counts of the changes that the run made, or that a previewed run would make.
    pub counts: Counts,
    /// The contacts on the answer's page, latest first. The caller may edit them. Empty if the call named the contacts.
    pub page: Vec<IndexPosition>,
    /// Contacts that the call named and the run left unchanged: while the run wrote, others removed the contacts, or
    /// changed their access so that the caller may no longer edit them.
    pub left_out: Vec<ContactId>,
}

/// The result of a synchronous run.
#[derive(Debug)]
pub enum Applied {
    /// The run finished.
    Completed {
        /// The job's final record.
        job: Box<Job>,
        /// The run's result.
        outcome: Outcome,
    },
    /// The deadline passed, or the table failed, and workers process the remaining contacts. Or the job failed, because
    /// more contacts would be changed than `maxAffected` allows.
    Requeued(Box<Job>),
}

/// The latest index positions of a run, up to the end of the answer's page.
#[derive(Debug)]
pub(crate) struct LatestPositions(TopK<Reverse<IndexPosition>>);

impl LatestPositions {
    /// Returns an empty collection of at most `limit` positions.
    pub(crate) fn new(limit: usize) -> Self {
        Self(TopK::new(limit))
    }

    /// Adds the position if it is among the latest.
    pub(crate) fn offer(&mut self, position: IndexPosition) {
        self.0.offer(Reverse(position), ());
    }

    /// Adds the positions of another collection.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    /// Returns a page of the positions, latest first.
    pub(crate) fn page(self, page: Page) -> Vec<IndexPosition> {
        let (positions, _) = self.0.page(page);
        positions.into_iter().map(|(Reverse(position), ())| position).collect()
    }
}

/// The progress of a run, with the positions for the answer.
pub(crate) struct Ran {
    pub(crate) job: Box<Job>,
    latest: LatestPositions,
    left_out: Vec<ContactId>,
    pub(crate) end: RunEnd,
}

/// The end of a synchronous run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// All shards are finished.
    Completed,
    /// Workers process the remaining shards.
    Requeued,
    /// The job failed, because more contacts would be changed than `maxAffected` allows.
    OverLimit {
        /// The changes that were made or found.
        found: u64,
    },
}

impl Ran {
    /// Returns the run's result, with the positions on the answer's page.
    pub(crate) fn applied(self, page: Page) -> Applied {
        let Self { job, latest, left_out, end } = self;
        match end {
            RunEnd::Completed => {
                Applied::Completed { outcome: Outcome { counts: job.counts, page: latest.page(page), left_out }, job }
            }
            RunEnd::Requeued | RunEnd::OverLimit { .. } => Applied::Requeued(job),
        }
    }
}

/// The reason why a job was not started. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The user has the maximum number of open jobs.
    #[error("the user has too many open jobs")]
    TooManyOpenJobs,
    /// The user has the maximum number of previews, and none of them has ended.
    #[error("the user has too many previews")]
    TooManyPreviews,
    /// The table failed before the job was recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of the shards of a run.
struct ShardsRun {
    counts: Counts,
    latest: LatestPositions,
    left_out: Vec<ContactId>,
    unfinished: Vec<UnfinishedShard>,
}

impl ShardsRun {
    /// Returns how the run ends. If shards stopped for different reasons, workers continue all of them.
    fn end(&self) -> RunEnd {
        if self.unfinished.is_empty() {
            return RunEnd::Completed;
        }
        let additional = self.unfinished.iter().map(|shard| match shard.stopped {
            Stopped::OverLimit { found } => Some(found.saturating_sub(shard.progress.counts.updated)),
            _ => None,
        });
        match additional.sum::<Option<u64>>() {
            Some(additional) => RunEnd::OverLimit { found: self.counts.updated + additional },
            None => RunEnd::Requeued,
        }
    }
}

/// A shard that a run did not finish.
struct UnfinishedShard {
    number: u16,
    /// The progress from which a worker continues.
    progress: Progress,
    /// The reason why the run stopped.
    stopped: Stopped,
}

/// Runs the futures concurrently, at most [`SHARDS_AT_ONCE`] at a time.
pub(crate) fn concurrently<'a, F: Future + Send + 'a>(
    futures: impl Iterator<Item = F>,
) -> impl Stream<Item = F::Output> + Send + Unpin {
    // Boxed, because the compiler cannot prove that a stream of borrowing futures is `Send`.
    stream::iter(futures.map(FutureExt::boxed).collect::<Vec<_>>()).buffer_unordered(SHARDS_AT_ONCE)
}

impl Jobs {
    /// Records a job, processes its shards and records the end. Shard 0 reads the first source, and so on. Stores the
    /// latest `limit` positions for the answer. Requeues unfinished shards at the deadline.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the user has too many open jobs or the table fails before the job is recorded; then nothing
    /// was changed.
    pub(crate) async fn run_now(
        &self,
        portal: &PortalId,
        mut job: Job,
        sources: Vec<Source<'_>>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Ran, StartError> {
        let (id, held) = (job.id, HeldLease::new());
        let lease = Lease { owner: held.owner, until: lease_end(self) };
        self.create(portal, &job, Some(&lease), lease.until).await?;

        let shards = self.run_shards(portal, &job, sources, held, limit, deadline).await;
        let end = shards.end();
        let ShardsRun { counts, latest, left_out, unfinished } = shards;
        if end == RunEnd::Requeued {
            tracing::info!(job = %id, shards = unfinished.len(), "job requeued");
            self.requeue_shards(portal, &job, held, unfinished).await;
            job.counts = counts;
            return Ok(Ran { job: Box::new(job), latest, left_out, end });
        }
        job.counts = counts;
        let (state, error) = match end {
            RunEnd::OverLimit { .. } => (State::Failed, Some(over_limit(&job))),
            _ => {
                job.percent = 100;
                (State::Done, None)
            }
        };
        match self.finish(portal, &mut job, state, error).await {
            Ok(Finished::Written) => {}
            // A caller cancelled the job after its last write. A worker closes the job.
            Ok(Finished::RecordChanged) => {
                self.send(vec![Message { portal: portal.clone(), job: id, shard: None }]).await;
            }
            // The contacts are already changed, so a failure to record the end must not fail the call. A sweep closes
            // the job.
            Err(error) => {
                tracing::error!(job = %id, error = &error as &dyn std::error::Error, "job record not closed");
            }
        }
        Ok(Ran { job: Box::new(job), latest, left_out, end })
    }

    /// Processes the shards. Returns the unfinished shards. A shard that fails does not stop the others.
    async fn run_shards(
        &self,
        portal: &PortalId,
        job: &Job,
        sources: Vec<Source<'_>>,
        held: HeldLease,
        limit: usize,
        deadline: &Deadline,
    ) -> ShardsRun {
        let mut ran = ShardsRun {
            counts: Counts::default(),
            latest: LatestPositions::new(limit),
            left_out: Vec::new(),
            unfinished: Vec::new(),
        };
        let shards = (0u16..).zip(sources).map(|(number, source)| {
            self.run_one_shard(ShardRef { portal, job, number }, source, held, limit, deadline)
        });
        let mut shards = concurrently(shards);
        while let Some((number, work, ended)) = shards.next().await {
            ran.counts += work.progress.counts;
            if let Err(stopped) = ended {
                tracing::warn!(job = %job.id, shard = number, why = ?stopped, "shard stopped before its end");
                let progress = if matches!(stopped, Stopped::Overtaken) { *work.recorded() } else { work.progress };
                ran.unfinished.push(UnfinishedShard { number, progress, stopped });
            }
            ran.latest.merge(work.latest);
            ran.left_out.extend(work.left_out);
        }
        ran
    }

    async fn run_one_shard<'a>(
        &'a self,
        shard: ShardRef<'a>,
        mut source: Source<'_>,
        held: HeldLease,
        limit: usize,
        deadline: &Deadline,
    ) -> (u16, ShardWork<'a>, Result<(), Stopped>) {
        // A user waits for the named contacts, a thousand at most.
        let priority = match shard.job.task {
            Task::Contacts { .. } => Priority::Call,
            _ => Priority::Bulk,
        };
        let mut work = ShardWork::new(self, shard, priority, held, Progress::default(), limit);
        work.max_changes = shard.job.task.shard_limit(shard.number);
        let run = work.run(&mut source, deadline);
        let ended = match deadline.instant() {
            // An interrupted shard is safe: its chunk lists every contact that may have been written.
            Some(at) => timeout_at(at + GRACE, run).await.unwrap_or(Err(Stopped::CutOff)),
            None => run.await,
        };
        (shard.number, work, ended)
    }

    /// Records a new job and requests a worker for each of its shards.
    pub(crate) async fn enqueue(&self, portal: &PortalId, job: &Job) -> Result<(), StartError> {
        self.create(portal, job, None, self.message_deadline()).await?;
        self.request_workers(portal, job, 0..job.shards).await;
        Ok(())
    }

    async fn create(
        &self,
        portal: &PortalId,
        job: &Job,
        lease: Option<&Lease>,
        due: Timestamp,
    ) -> Result<(), StartError> {
        match self.store.create_job(portal, job, lease, due).await? {
            Created::Yes => Ok(()),
            Created::TooManyOpen => Err(StartError::TooManyOpenJobs),
            Created::TooManyPreviews => Err(StartError::TooManyPreviews),
        }
    }

    /// Requests a worker for each of the shards.
    pub(crate) async fn request_workers(&self, portal: &PortalId, job: &Job, shards: impl IntoIterator<Item = u16>) {
        let message = |shard| Message { portal: portal.clone(), job: job.id, shard: Some(shard) };
        self.send(shards.into_iter().map(message).collect()).await;
    }

    /// Releases unfinished shards and requests a worker for each.
    async fn requeue_shards(&self, portal: &PortalId, job: &Job, held: HeldLease, unfinished: Vec<UnfinishedShard>) {
        let releases = unfinished
            .iter()
            .map(|shard| async move { (shard.number, self.release_unfinished(portal, job, held, shard).await) });
        let mut releases = concurrently(releases);
        let mut free = Vec::new();
        while let Some((number, result)) = releases.next().await {
            match result {
                Ok(Released::Free) => free.push(number),
                Ok(Released::Leased) => {}
                // The lease expires without a release.
                Err(error) => {
                    tracing::warn!(job = %job.id, shard = number, error = &error as &dyn std::error::Error, "shard lease not released");
                }
            }
        }
        drop(releases);
        self.request_workers(portal, job, free).await;
    }

    /// Releases a shard, unless its lease must last until the writes in flight have arrived.
    async fn release_unfinished(
        &self,
        portal: &PortalId,
        job: &Job,
        held: HeldLease,
        shard: &UnfinishedShard,
    ) -> Result<Released, StoreError> {
        let (id, owner, number, now) = (job.id, held.owner, shard.number, self.now());
        let tries = match shard.stopped {
            // Let the lease end as soon as the writes in flight have arrived; then a sweep finds the shard.
            Stopped::CutOff => {
                let lease = Lease { owner, until: now + LEASE_MARGIN };
                // The claim still counts, so the next worker looks for a chunk to complete.
                self.store.renew_shard(portal, id, number, &lease).await?;
                self.store.postpone_job(portal, id, lease.until).await?;
                return Ok(Released::Leased);
            }
            Stopped::Lost => return Ok(Released::Leased),
            // A worker closes the shard of a removed user or a shard over its limit, which ends the job.
            Stopped::OutOfTime | Stopped::Cancelled | Stopped::UserRemoved | Stopped::OverLimit { .. } => 0,
            Stopped::Overtaken | Stopped::Failed(_) => 1,
        };
        let lease = Lease { owner, until: now };
        let release = Release { progress: &shard.progress, due: self.message_deadline(), tries };
        self.store.release_shard(portal, id, number, &lease, release).await?;
        Ok(Released::Free)
    }
}

/// The availability of an unfinished shard.
enum Released {
    /// A worker may claim the shard at once.
    Free,
    /// A lease must expire first.
    Leased,
}
