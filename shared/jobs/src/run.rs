//! Synchronous runs: record the job, work on its shards concurrently, and hand the rest to workers at the deadline.

pub mod contacts;
pub mod filter;

use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, Stream, StreamExt as _};
use jiff::SignedDuration;
use models::job::{Counts, Job, State};
use models::limits::{self, LEASE_MARGIN_MILLIS, MAX_SHARDS, RUN_GRACE_MILLIS};
use models::values::id::{LeaseOwner, PortalId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::index::PAGE_MATCHES;
use store::jobs::chunk_format::MAX_CHUNK_CONTACTS;
use store::jobs::{Created, Lease, Progress, Release};
use store::keys::IndexPosition;
use tokio::time::{Instant, timeout_at};

use crate::context::Jobs;
use crate::queue::Message;
use crate::shard::{Deadline, ShardWork, Stopped, lease_end, new_owner};
use crate::source::Source;
use crate::top::Top;

/// Shards of one run that are worked on concurrently.
pub const SHARDS_AT_ONCE: usize = 8;

// Pages and chunks have the same size, so a run whose contacts all change writes one chunk per page.
const _: () = assert!(PAGE_MATCHES == MAX_CHUNK_CONTACTS);
const _: () = assert!(SHARDS_AT_ONCE <= MAX_SHARDS as usize);

/// Time after the deadline in which a run may finish its current page.
const GRACE: Duration = Duration::from_millis(RUN_GRACE_MILLIS);
/// Time in which the writes of a cut-off shard arrive.
const LEASE_MARGIN: SignedDuration = limits::duration(LEASE_MARGIN_MILLIS);

/// The result of a run or a preview.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Counts of the changes made, or in a preview of the changes that would be made.
    pub counts: Counts,
    /// The page of the answer: contacts that the caller may edit, latest first. Empty if the call named the contacts.
    pub page: Vec<IndexPosition>,
}

/// The result of a synchronous run.
#[derive(Debug)]
pub enum Applied {
    /// The run finished.
    Whole {
        /// The job's final record.
        job: Box<Job>,
        /// The run's result.
        outcome: Outcome,
    },
    /// The deadline passed, or the table failed: workers do the rest.
    HandedOver(Box<Job>),
}

/// The progress of a run, with the positions kept for the answer.
pub(crate) struct Ran {
    job: Box<Job>,
    top: Top,
    whole: bool,
}

impl Ran {
    /// Returns the run's result; `page` takes the answer's page from the kept positions.
    pub(crate) fn applied(self, page: impl FnOnce(Top) -> Vec<IndexPosition>) -> Applied {
        let Self { job, top, whole } = self;
        if !whole {
            return Applied::HandedOver(job);
        }
        Applied::Whole { outcome: Outcome { counts: job.counts, page: page(top) }, job }
    }
}

/// Why a job was not started. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The user has the maximum number of open jobs.
    #[error("the user has too many open jobs")]
    TooManyOpenJobs,
    /// The table failed before the job was recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A shard that a run did not finish.
struct Rest {
    shard: u16,
    /// The shard's progress.
    progress: Progress,
    /// Why the run stopped.
    stopped: Stopped,
}

/// Runs the futures concurrently, at most [`SHARDS_AT_ONCE`] at a time.
pub(crate) fn side_by_side<'a, F: Future + Send + 'a>(
    futures: impl Iterator<Item = F>,
) -> impl Stream<Item = F::Output> + Send + Unpin {
    // Boxed, because the compiler cannot prove that a stream of borrowing futures is `Send`.
    stream::iter(futures.map(FutureExt::boxed).collect::<Vec<_>>()).buffer_unordered(SHARDS_AT_ONCE)
}

impl Jobs {
    /// Records a job, works on its shards, each with its source of `sources`, and records the end. Keeps the latest
    /// `most` contacts that it met. Hands unfinished shards to workers at the deadline.
    ///
    /// # Errors
    ///
    /// When the table fails before the job is recorded; then nothing was changed.
    pub(crate) async fn run_now(
        &self,
        portal: &PortalId,
        mut job: Job,
        sources: Vec<Source<'_>>,
        most: usize,
        deadline: &Deadline,
    ) -> Result<Ran, StartError> {
        let (id, owner, renewed) = (job.id, new_owner(), Instant::now());
        let lease = Lease { owner, until: lease_end(self) };
        self.create(portal, &job, Some(&lease), lease.until).await?;

        let (counts, top, rest) = self.run_shards((portal, &job), sources, (owner, renewed), most, deadline).await;
        let whole = rest.is_empty();
        if !whole {
            tracing::info!(job = %id, shards = rest.len(), "job handed over");
            self.hand_over(portal, &job, owner, rest).await;
            job.counts = counts;
            return Ok(Ran { job: Box::new(job), top, whole });
        }
        job.counts = counts;
        job.percent = 100;
        match self.finish(portal, &mut job, State::Done, None).await {
            Ok(true) => {}
            // Someone cancelled the job after its last write. A worker closes it.
            Ok(false) => self.send(vec![Message { portal: portal.clone(), job: id, shard: None }]).await,
            // The contacts are changed by now, so a record that cannot be closed must not fail the answer: it stays
            // open, and a sweep closes it.
            Err(error) => {
                tracing::error!(job = %id, error = &error as &dyn std::error::Error, "job record not closed");
            }
        }
        Ok(Ran { job: Box::new(job), top, whole })
    }

    /// Works on the shards and returns the unfinished ones. A shard that fails does not stop the others.
    async fn run_shards(
        &self,
        (portal, job): (&PortalId, &Job),
        sources: Vec<Source<'_>>,
        lease: (LeaseOwner, Instant),
        most: usize,
        deadline: &Deadline,
    ) -> (Counts, Top, Vec<Rest>) {
        let (mut counts, mut top, mut rest) = (Counts::default(), Top::new(most), Vec::new());
        let shards = (0u16..).zip(sources);
        let shards =
            shards.map(|(shard, source)| self.run_one_shard((portal, job, shard), source, lease, most, deadline));
        let mut shards = side_by_side(shards);
        while let Some((shard, work, ended)) = shards.next().await {
            counts += work.progress.counts;
            if let Err(stopped) = ended {
                tracing::warn!(job = %job.id, shard, why = ?stopped, "shard not through");
                rest.push(Rest { shard, progress: work.releasable(&stopped), stopped });
            }
            top.merge(work.top);
        }
        (counts, top, rest)
    }

    async fn run_one_shard<'a>(
        &'a self,
        (portal, job, shard): (&'a PortalId, &'a Job, u16),
        mut source: Source<'_>,
        (owner, renewed): (LeaseOwner, Instant),
        most: usize,
        deadline: &Deadline,
    ) -> (u16, ShardWork<'a>, Result<(), Stopped>) {
        let mut work = ShardWork::new(self, (portal, job, shard), owner, renewed, Progress::default(), most);
        let run = work.run(&mut source, deadline);
        let ended = match deadline.instant() {
            // A chunk that is cut off records what may have been written.
            Some(at) => timeout_at(at + GRACE, run).await.unwrap_or(Err(Stopped::CutOff)),
            None => run.await,
        };
        (shard, work, ended)
    }

    /// Records a new job and requests a worker for each of its shards.
    pub(crate) async fn enqueue(&self, portal: &PortalId, job: &Job) -> Result<(), StartError> {
        self.create(portal, job, None, self.message_deadline()).await?;
        self.ask_for_workers(portal, job, 0..job.shards).await;
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
        }
    }

    /// Requests a worker for each of the shards.
    pub(crate) async fn ask_for_workers(&self, portal: &PortalId, job: &Job, shards: impl IntoIterator<Item = u16>) {
        let message = |shard| Message { portal: portal.clone(), job: job.id, shard: Some(shard) };
        self.send(shards.into_iter().map(message).collect()).await;
    }

    /// Releases shards and requests workers for them.
    async fn hand_over(&self, portal: &PortalId, job: &Job, owner: LeaseOwner, rest: Vec<Rest>) {
        let mut handed = side_by_side(rest.iter().map(|rest| self.hand_over_shard(portal, job, owner, rest)));
        let mut free = Vec::new();
        while let Some((shard, result)) = handed.next().await {
            match result {
                Ok(true) => free.push(shard),
                Ok(false) => {}
                // The lease expires by itself.
                Err(error) => {
                    tracing::warn!(job = %job.id, shard, error = &error as &dyn std::error::Error, "shard not let go of");
                }
            }
        }
        drop(handed);
        self.ask_for_workers(portal, job, free).await;
    }

    /// Releases a shard. Returns whether a worker may claim it at once.
    async fn hand_over_shard(
        &self,
        portal: &PortalId,
        job: &Job,
        owner: LeaseOwner,
        rest: &Rest,
    ) -> (u16, Result<bool, StoreError>) {
        let (id, shard, now) = (job.id, rest.shard, self.now());
        let result = async {
            match rest.stopped {
                // Writes may still be in flight. Keep the lease until they have arrived; then a sweep finds the shard.
                Stopped::CutOff => {
                    let lease = Lease { owner, until: now + LEASE_MARGIN };
                    self.store.save_progress(portal, id, shard, &lease, &rest.progress).await?;
                    self.store.postpone_job(portal, id, lease.until).await?;
                    Ok(false)
                }
                Stopped::Lost => Ok(false),
                Stopped::OutOfTime
                | Stopped::Cancelled
                | Stopped::Overtaken
                // A worker closes the shard, which ends the job.
                | Stopped::UserRemoved
                | Stopped::Failed(_) => {
                    let lease = Lease { owner, until: now };
                    let tries = u32::from(matches!(rest.stopped, Stopped::Overtaken | Stopped::Failed(_)));
                    let release = Release { progress: &rest.progress, due: self.message_deadline(), tries };
                    self.store.release_shard(portal, id, shard, &lease, release).await?;
                    Ok(true)
                }
            }
        };
        (shard, result.await)
    }
}
