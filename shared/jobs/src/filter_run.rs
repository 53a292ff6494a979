//! Setting access by filter: previewed, limited, recorded, run at once or handed over.

use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, Stream, StreamExt as _};
use jiff::SignedDuration;
use models::access::{Access, Caller};
use models::filter::Filter;
use models::id::PortalId;
use models::job::{Counts, Job, JobId, Kind, State, Work};
use models::limits::{self, LEASE_MARGIN_MILLIS, MAX_SHARDS, RUN_GRACE_MILLIS};
use models::moment::Moment;
use models::plan::Plan;
use models::request::Page;
use store::StoreError;
use store::chunk::MAX_CHUNK_CONTACTS;
use store::jobs::{Lease, Progress};
use store::keys::Position;
use store::matches::PAGE_MATCHES;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::context::Jobs;
use crate::queue::Message;
use crate::shard::{Deadline, ShardWork, Stopped, lease_end};
use crate::source::{MatchSource, Purpose, Source, Verdict};
use crate::top::Top;

/// Shards of one run that are worked through side by side.
pub const SHARDS_AT_ONCE: usize = 8;

// Pages and chunks are of one size, so that a run whose matches all change writes one chunk a page.
const _: () = assert!(PAGE_MATCHES == MAX_CHUNK_CONTACTS);
const _: () = assert!(SHARDS_AT_ONCE <= MAX_SHARDS as usize);

/// What a run may still finish after its time is up.
const GRACE: Duration = Duration::from_millis(RUN_GRACE_MILLIS);
/// How long what was on its way when a shard was cut off may take to arrive.
const LEASE_MARGIN: SignedDuration = limits::duration(LEASE_MARGIN_MILLIS);

/// What is to be done, decided before anything is read of the contacts.
#[derive(Clone, Debug)]
pub struct FilterRun {
    /// The portal.
    pub portal: PortalId,
    /// On whose behalf.
    pub caller: Caller,
    /// Which contacts, as asked; the job's record keeps it.
    pub filter: Filter,
    /// Which contacts, as planned.
    pub plan: Plan,
    /// About how many index entries that is.
    pub expected: u64,
    /// What their access becomes.
    pub target: Access,
    /// Which part of them the answer shows.
    pub page: Page,
    /// Over how many changes nothing is written.
    pub max_affected: Option<u64>,
    /// When the run started: contacts created later are not its.
    pub started: Moment,
    /// The standing rule that started it.
    pub rule: Option<String>,
}

/// What a run or a preview came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done, or in a preview would be.
    pub counts: Counts,
    /// The page of the answer: contacts that the caller may edit, latest first.
    pub page: Vec<Position>,
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

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// More contacts would be changed than was allowed. Nothing was written.
    #[error("{would_change} contacts would be changed")]
    TooManyAffected {
        /// How many.
        would_change: u64,
    },
    /// The preview did not fit its time. Nothing was written.
    #[error("the matches were not counted in time")]
    NotCounted,
    /// The table failed before the first contact was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The page of an answer, of what was kept for it.
fn page_of(top: Top, page: Page) -> Vec<Position> {
    let mut latest = top.into_sorted();
    // A contact that moved between partitions while the run was under way may have been met twice.
    latest.dedup();
    latest.into_iter().skip(page.start_index).take(page.count).collect()
}

impl FilterRun {
    fn most(&self) -> usize {
        self.page.start_index.saturating_add(self.page.count)
    }

    fn check_limit(&self, counts: &Counts) -> Result<(), RunError> {
        match self.max_affected {
            Some(most) if counts.updated > most => Err(RunError::TooManyAffected { would_change: counts.updated }),
            _ => Ok(()),
        }
    }

    /// What [`Self::apply`] would come to, with nothing written. Half a read unit per match, and the index entries.
    ///
    /// # Errors
    ///
    /// [`RunError`]; a preview is whole or it is none.
    pub async fn preview(&self, jobs: &Jobs, deadline: &Deadline) -> Result<Outcome, RunError> {
        let mut top = Top::new(self.most());
        let mut outcome = Outcome::default();
        let shards = (0..self.plan.shards).map(|shard| self.preview_shard(jobs, shard, deadline));
        let mut shards = side_by_side(shards);
        while let Some(shard) = shards.next().await {
            let (counts, shard_top) = shard?;
            outcome.counts += counts;
            top.merge(shard_top);
        }
        self.check_limit(&outcome.counts)?;
        outcome.page = page_of(top, self.page);
        Ok(outcome)
    }

    async fn preview_shard(&self, jobs: &Jobs, shard: u16, deadline: &Deadline) -> Result<(Counts, Top), RunError> {
        let (place, purpose) = ((&self.plan, shard), Purpose::Preview);
        let mut source = MatchSource::new(&jobs.store, &self.portal, place, None, self.caller, &self.target, purpose);
        let (mut counts, mut top) = (Counts::default(), Top::new(self.most()));
        while !deadline.is_up() {
            let Some(step) = source.next().await? else { return Ok((counts, top)) };
            for item in step.items {
                let position = match item.verdict {
                    Verdict::Hidden | Verdict::Done => continue,
                    Verdict::Skipped => {
                        counts.skipped += 1;
                        None
                    }
                    Verdict::Unchanged(position) => {
                        counts.unchanged += 1;
                        position
                    }
                    Verdict::Change(_, position) => {
                        counts.updated += 1;
                        position
                    }
                };
                counts.matched += 1;
                position.into_iter().for_each(|position| top.offer(position));
            }
            if step.last {
                return Ok((counts, top));
            }
        }
        Err(RunError::NotCounted)
    }

    /// The record of the run as a job.
    pub fn job(&self, jobs: &Jobs, id: JobId, state: State, count_first: bool) -> Job {
        Job {
            id,
            kind: Kind::Filter,
            state,
            created_by: self.caller.user,
            created: self.started,
            started: (state == State::Running).then_some(self.started),
            finished: None,
            filter: Some(self.filter.clone()),
            target: Some(self.target.clone()),
            rule: self.rule.clone(),
            undo_of: None,
            counts: Counts::default(),
            error: None,
            percent: 0,
            shards: self.plan.shards,
            expected: self.expected,
            changes_until: jobs.retention.map(|retention| self.started + retention),
            work: Work::Filter {
                plan: self.plan.clone(),
                is_admin: self.caller.is_admin,
                max_affected: self.max_affected.filter(|_| count_first),
            },
        }
    }

    /// Records the run as a job that workers do. What `max_affected` limits they count first, when it is not known yet.
    ///
    /// # Errors
    ///
    /// When the table fails before the job is recorded.
    pub async fn enqueue(&self, jobs: &Jobs, id: JobId, count_first: bool) -> Result<Job, StoreError> {
        let job = self.job(jobs, id, State::Queued, count_first);
        tracing::info!(job = %id, plan = %self.plan, "job queued");
        jobs.enqueue(&self.portal, &job).await?;
        Ok(job)
    }

    /// Sets the access of every match, or as far as the time goes: workers do the rest. The job's record is written
    /// before the first contact and once more at the end. Per contact that changes, 1 write unit and its share of a
    /// chunk.
    ///
    /// # Errors
    ///
    /// [`RunError`] when nothing was run.
    pub async fn apply(&self, jobs: &Jobs, id: JobId, deadline: &Deadline) -> Result<Applied, RunError> {
        if self.max_affected.is_some() {
            // Counting first reads everything twice; only who sets a limit pays for it.
            match self.preview(jobs, deadline).await {
                Ok(_) => {}
                Err(RunError::NotCounted) => {
                    return Ok(Applied::HandedOver(Box::new(self.enqueue(jobs, id, true).await?)));
                }
                Err(error) => return Err(error),
            }
        }
        let mut job = self.job(jobs, id, State::Running, false);
        let (owner, renewed) = (Uuid::now_v7(), Instant::now());
        let lease = Lease { owner, until: lease_end(jobs) };
        jobs.store.create_job(&self.portal, &job, Some(&lease), lease.until).await?;
        tracing::info!(job = %id, plan = %self.plan, "job started");

        let (done, rest) = self.run_shards(jobs, &job, owner, renewed, deadline).await;
        if !rest.is_empty() {
            tracing::info!(job = %id, shards = rest.len(), "job handed over");
            jobs.hand_over(&self.portal, &job, owner, rest).await;
            job.counts = done.counts;
            return Ok(Applied::HandedOver(Box::new(job)));
        }
        job.counts = done.counts;
        job.percent = 100;
        match jobs.finish(&self.portal, &mut job, State::Done, None).await {
            Ok(true) => {}
            // Someone cancelled it when there was nothing left to stop; a sweep finds that out.
            Ok(false) => jobs.send(vec![Message { portal: self.portal.clone(), job: id, shard: None }]).await,
            // The contacts are changed by now, so a record that cannot be closed must not turn the answer into a
            // failure: it stays open, and a sweep closes it.
            Err(error) => {
                tracing::error!(job = %id, error = &error as &dyn std::error::Error, "job record not closed");
            }
        }
        Ok(Applied::Whole { job: Box::new(job), outcome: done })
    }

    /// Works through the shards, and says which are not through. A shard that fails does not stop the others.
    async fn run_shards(
        &self,
        jobs: &Jobs,
        job: &Job,
        owner: Uuid,
        renewed: Instant,
        deadline: &Deadline,
    ) -> (Outcome, Vec<Rest>) {
        let mut top = Top::new(self.most());
        let mut outcome = Outcome::default();
        let mut rest = Vec::new();
        let shards = (0..self.plan.shards).map(|shard| self.run_shard(jobs, (job, shard), owner, renewed, deadline));
        let mut shards = side_by_side(shards);
        while let Some((shard, work, ended)) = shards.next().await {
            outcome.counts += work.progress.counts;
            if let Err(stopped) = ended {
                tracing::warn!(job = %job.id, shard, why = ?stopped, "shard not through");
                rest.push(Rest { shard, progress: work.releasable(&stopped), stopped });
            }
            top.merge(work.top);
        }
        outcome.page = page_of(top, self.page);
        (outcome, rest)
    }

    async fn run_shard<'a>(
        &'a self,
        jobs: &'a Jobs,
        (job, shard): (&'a Job, u16),
        owner: Uuid,
        renewed: Instant,
        deadline: &Deadline,
    ) -> (u16, ShardWork<'a>, Result<(), Stopped>) {
        let of = (&self.portal, job, shard);
        let mut work = ShardWork::new(jobs, of, owner, renewed, Progress::default(), self.most());
        let (place, purpose) = ((&self.plan, shard), Purpose::Write(job.id));
        let source = MatchSource::new(&jobs.store, &self.portal, place, None, self.caller, &self.target, purpose);
        let mut source = Source::Matches(source);
        let run = work.run(&mut source, deadline);
        let ended = match deadline.instant() {
            // Cut off in the middle of a chunk, the chunk itself tells what may have been written of it.
            Some(at) => timeout_at(at + GRACE, run).await.unwrap_or(Err(Stopped::CutOff)),
            None => run.await,
        };
        (shard, work, ended)
    }
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
    /// Records a new job, and asks for a worker for each of its shards.
    pub(crate) async fn enqueue(&self, portal: &PortalId, job: &Job) -> Result<(), StoreError> {
        self.store.create_job(portal, job, None, self.patience()).await?;
        self.ask_for_workers(portal, job, 0..job.shards).await;
        Ok(())
    }

    /// Asks for a worker for each of the shards.
    pub(crate) async fn ask_for_workers(&self, portal: &PortalId, job: &Job, shards: impl IntoIterator<Item = u16>) {
        let message = |shard| Message { portal: portal.clone(), job: job.id, shard: Some(shard) };
        self.send(shards.into_iter().map(message).collect()).await;
    }

    /// Lets go of shards and asks for workers for them.
    async fn hand_over(&self, portal: &PortalId, job: &Job, owner: Uuid, rest: Vec<Rest>) {
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
        owner: Uuid,
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
                Stopped::OutOfTime | Stopped::Cancelled | Stopped::Overtaken | Stopped::Failed(_) => {
                    let lease = Lease { owner, until: now };
                    self.store.release_shard(portal, id, shard, &lease, &rest.progress, self.patience()).await?;
                    Ok(true)
                }
            }
        };
        (shard, result.await)
    }
}
