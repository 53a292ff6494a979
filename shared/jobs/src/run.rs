//! What runs that a call waits for have in common: the job is recorded, its shards are worked through side by side, and
//! what does not fit the time is handed over to workers.

pub mod contacts;
pub mod filter;

use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, Stream, StreamExt as _};
use jiff::SignedDuration;
use models::job::{Counts, Job, State};
use models::limits::{self, LEASE_MARGIN_MILLIS, MAX_SHARDS, RUN_GRACE_MILLIS};
use models::values::id::{LeaseOwner, PortalId};
use models::values::moment::Moment;
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

/// Shards of one run that are worked through side by side.
pub const SHARDS_AT_ONCE: usize = 8;

// Pages and chunks are of one size, so that a run whose contacts all change writes one chunk a page.
const _: () = assert!(PAGE_MATCHES == MAX_CHUNK_CONTACTS);
const _: () = assert!(SHARDS_AT_ONCE <= MAX_SHARDS as usize);

/// What a run may still finish after its time is up.
const GRACE: Duration = Duration::from_millis(RUN_GRACE_MILLIS);
/// How long what was on its way when a shard was cut off may take to arrive.
const LEASE_MARGIN: SignedDuration = limits::duration(LEASE_MARGIN_MILLIS);

/// What a run or a preview came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done, or in a preview would be.
    pub counts: Counts,
    /// The page of the answer: contacts that the caller may edit, latest first. Empty where the call named them.
    pub page: Vec<IndexPosition>,
}

/// What became of a run that was to be made at once.
#[derive(Debug)]
pub enum Applied {
    /// It is through.
    Whole {
        /// The job's record as it was left.
        job: Box<Job>,
        /// What the run came to.
        outcome: Outcome,
    },
    /// It did not get through in its time, or the table failed on the way: workers do the rest.
    HandedOver(Box<Job>),
}

/// How far a run got, with what it kept for an answer.
pub(crate) struct Ran {
    job: Box<Job>,
    top: Top,
    whole: bool,
}

impl Ran {
    /// What became of the run; `page` takes the answer's page from what was kept for it.
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
    /// Its user has as many open jobs as there may be.
    #[error("the user has too many open jobs")]
    TooManyOpenJobs,
    /// The table failed before the job was recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A shard that a run did not get through with.
struct Rest {
    shard: u16,
    /// How far it is.
    progress: Progress,
    /// Why it goes no further.
    stopped: Stopped,
}

/// As many of the futures at once as shards are worked on.
pub(crate) fn side_by_side<'a, F: Future + Send + 'a>(
    futures: impl Iterator<Item = F>,
) -> impl Stream<Item = F::Output> + Send + Unpin {
    // Boxed, because the compiler cannot tell of a stream of futures that borrow that it may be sent between threads.
    stream::iter(futures.map(FutureExt::boxed).collect::<Vec<_>>()).buffer_unordered(SHARDS_AT_ONCE)
}

impl Jobs {
    /// Records a job, works through its shards, of each of which `sources` has the contacts, and records how it ended; of
    /// the contacts that it met it keeps the latest `most`. What does not fit the time is handed over.
    ///
    /// # Errors
    ///
    /// When the table fails before the job is recorded, and so before anything is changed.
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
            // Someone cancelled it when there was nothing left to stop; a sweep finds that out.
            Ok(false) => self.send(vec![Message { portal: portal.clone(), job: id, shard: None }]).await,
            // The contacts are changed by now, so a record that cannot be closed must not turn the answer into a
            // failure: it stays open, and a sweep closes it.
            Err(error) => {
                tracing::error!(job = %id, error = &error as &dyn std::error::Error, "job record not closed");
            }
        }
        Ok(Ran { job: Box::new(job), top, whole })
    }

    /// Works through the shards, and says which are not through. A shard that fails does not stop the others.
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
            // Cut off in the middle of a chunk, the chunk itself tells what may have been written of it.
            Some(at) => timeout_at(at + GRACE, run).await.unwrap_or(Err(Stopped::CutOff)),
            None => run.await,
        };
        (shard, work, ended)
    }

    /// Records a new job, and asks for a worker for each of its shards.
    pub(crate) async fn enqueue(&self, portal: &PortalId, job: &Job) -> Result<(), StartError> {
        self.create(portal, job, None, self.message_deadline()).await?;
        self.ask_for_workers(portal, job, 0..job.shards).await;
        Ok(())
    }

    async fn create(&self, portal: &PortalId, job: &Job, lease: Option<&Lease>, due: Moment) -> Result<(), StartError> {
        match self.store.create_job(portal, job, lease, due).await? {
            Created::Yes => Ok(()),
            Created::TooManyOpen => Err(StartError::TooManyOpenJobs),
        }
    }

    /// Asks for a worker for each of the shards.
    pub(crate) async fn ask_for_workers(&self, portal: &PortalId, job: &Job, shards: impl IntoIterator<Item = u16>) {
        let message = |shard| Message { portal: portal.clone(), job: job.id, shard: Some(shard) };
        self.send(shards.into_iter().map(message).collect()).await;
    }

    /// Lets go of shards and asks for workers for them.
    async fn hand_over(&self, portal: &PortalId, job: &Job, owner: LeaseOwner, rest: Vec<Rest>) {
        let mut handed = side_by_side(rest.iter().map(|rest| self.hand_over_shard(portal, job, owner, rest)));
        let mut free = Vec::new();
        while let Some((shard, result)) = handed.next().await {
            match result {
                Ok(true) => free.push(shard),
                Ok(false) => {}
                // Its lease ends by itself.
                Err(error) => {
                    tracing::warn!(job = %job.id, shard, error = &error as &dyn std::error::Error, "shard not let go of");
                }
            }
        }
        drop(handed);
        self.ask_for_workers(portal, job, free).await;
    }

    /// Lets go of a shard, and says whether a worker may have it at once.
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
                // What it was writing may be on its way still, so nobody may be at the shard before that has arrived;
                // then a sweep finds it.
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
