//! Handles the queue's messages: processes a shard from its checkpoint to its end or until the deadline.

mod counting;
mod snapshot;

use models::filter::AccessCriteria;
use models::job::{FilterTask, PreviewTask, State, Task, UndoLog};
use models::limits::{self, MAX_TRIES, MESSAGE_DEADLINE_MILLIS, RETRY_MILLIS};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::dynamodb::batch::Priority;
use store::jobs::{Chunk, Claim, Lease, Progress, Release, Saved, ShardFailure, ShardState};

use crate::context::Jobs;
use crate::events::BusError;
use crate::panics::{Panicked, catch_panic};
use crate::queue::Message;
use crate::shard::{ClaimEnd, Deadline, HeldLease, ShardRef, ShardWork, Stopped, lease_end};
use crate::source::{
    Aim, ChangeSource, ContactSource, MatchSource, NoPage, Purpose, RecordedShard, Rights, Selection, Source, Terms,
};
use counting::LimitCheck;
pub(crate) use counting::{shard_limits, too_many_affected};

/// The result of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// Nothing to do: the job has ended, or another worker holds the shard.
    Nothing,
    /// The shard is finished.
    ShardDone,
    /// The shard is unfinished and was requeued.
    Requeued,
}

/// The reason why a message must be delivered again.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The table failed. Finished work is recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event bus did not accept the job's event.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The work panicked. The shard's lease expires without a release.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// A shard that this worker claimed.
#[derive(Debug)]
struct ClaimedShard<'a> {
    shard: ShardRef<'a>,
    lease: Lease,
    /// The shard's state when the worker claimed it.
    state: ShardState,
    /// True if the claim starts the job.
    is_first: bool,
}

impl ClaimedShard<'_> {
    /// Returns whether the changes of the shard must be counted before any is written.
    fn must_be_counted(&self) -> bool {
        self.shard.job.counts_first() && self.state.counted.is_none()
    }
}

/// The end of a worker's claim of a shard.
#[derive(Debug)]
enum ShardEnd {
    /// The shard is finished and closed.
    Completed,
    /// The shard's changes are counted, and the shard is released.
    Counted,
    /// The changes wait for the counts of other shards.
    WaitsForCounts,
    /// The deadline passed, or the turn ended.
    OutOfTime,
    /// Another worker wrote a chunk of the shard that must be finished first.
    Overtaken,
    /// Another worker holds the shard.
    Lost,
    /// A caller cancelled the job.
    Cancelled,
    /// The user on whose behalf the job acts is no longer in the portal, or may no longer run the job.
    UserRemoved,
    /// The shard would change more contacts than its part of `maxAffected` allows.
    OverLimit,
    /// The table failed, and the shard is tried again.
    Failed(StoreError),
    /// The table failed on every attempt.
    GivenUp(StoreError),
}

impl ShardEnd {
    /// Returns the end of a claim whose work stopped early.
    fn of(stopped: Stopped, claimed: &ClaimedShard<'_>, work: &ShardWork<'_>) -> Self {
        match stopped {
            Stopped::OutOfTime | Stopped::CutOff => Self::OutOfTime,
            Stopped::Overtaken => Self::Overtaken,
            Stopped::Lost => Self::Lost,
            Stopped::Cancelled => Self::Cancelled,
            Stopped::UserRemoved => Self::UserRemoved,
            Stopped::OverLimit { .. } => Self::OverLimit,
            Stopped::Failed(error) if claimed.state.tries >= MAX_TRIES && !work.made_progress => Self::GivenUp(error),
            Stopped::Failed(error) => Self::Failed(error),
        }
    }
}

impl Jobs {
    /// Returns the time at which a sweep repeats a message sent now, unless a worker acts on the message first.
    pub(crate) fn message_deadline(&self) -> Timestamp {
        self.now() + limits::duration(MESSAGE_DEADLINE_MILLIS)
    }

    /// Handles a message. A second delivery has no effect.
    ///
    /// # Errors
    ///
    /// [`WorkError`] when the message must be delivered again.
    pub async fn work(&self, message: &Message, deadline: &Deadline) -> Result<Worked, WorkError> {
        catch_panic(self.work_on(message, deadline)).await?
    }

    async fn work_on(&self, message: &Message, deadline: &Deadline) -> Result<Worked, WorkError> {
        let Message { portal, job: id, shard } = message;
        let Some(mut job) = self.store.job(portal, *id).await? else {
            tracing::warn!(job = %id, "message about a missing job");
            return Ok(Worked::Nothing);
        };
        let Some(number) = shard.filter(|shard| *shard < job.shards && !job.is_over()) else {
            self.close_if_done(portal, job).await?;
            return Ok(Worked::Nothing);
        };
        if deadline.is_up() {
            self.send(vec![message.clone()]).await;
            return Ok(Worked::Requeued);
        }
        let held = HeldLease::new();
        let lease = Lease { owner: held.owner, until: lease_end(self) };
        let state = match self.store.claim_shard(portal, *id, number, &lease, self.now()).await? {
            Claim::Claimed(state) => state,
            Claim::Held => return Ok(Worked::Nothing),
            Claim::Done => {
                self.close_if_done(portal, job).await?;
                return Ok(Worked::Nothing);
            }
        };
        let is_first = job.state == State::Queued;
        if is_first {
            self.store.start_job(portal, *id, self.now()).await?;
            // `finish` overwrites the record only if its state is unchanged, so read the new state.
            job = self.store.job(portal, *id).await?.unwrap_or(job);
        }
        let shard = ShardRef { portal, job: &job, number };
        self.work_on_claimed(&ClaimedShard { shard, lease, state, is_first }, held, deadline).await
    }

    async fn work_on_claimed(
        &self,
        claimed: &ClaimedShard<'_>,
        held: HeldLease,
        deadline: &Deadline,
    ) -> Result<Worked, WorkError> {
        let ClaimedShard { shard, lease, state, is_first } = claimed;
        if state.tries > MAX_TRIES {
            Box::pin(self.give_up_shard(*shard, lease, state)).await?;
            self.close_if_done(shard.portal, shard.job.clone()).await?;
            return Ok(Worked::ShardDone);
        }
        if *is_first || state.tries > 1 {
            // From now on, a sweep checks the job as soon as the lease expires.
            self.store.postpone_job(shard.portal, shard.job.id, lease.until).await?;
        }
        let mut work = ShardWork::new(self, *shard, Priority::Bulk, held, state.progress, 0);
        let end = match self.run_claimed(claimed, &mut work, deadline).await {
            Ok(end) => end,
            Err(stopped) => ShardEnd::of(stopped, claimed, &work),
        };
        self.end_claim(claimed, work, end).await
    }

    /// Processes a claimed shard.
    async fn run_claimed(
        &self,
        claimed: &ClaimedShard<'_>,
        work: &mut ShardWork<'_>,
        deadline: &Deadline,
    ) -> Result<ShardEnd, Stopped> {
        let ShardRef { portal, job, number } = claimed.shard;
        let rights = Rights::Current { store: &self.store, portal, author: job.created_by };
        Box::pin(self.finish_open_chunk(claimed, work, rights)).await?;
        if claimed.state.cancelled || job.state == State::Cancelled {
            return Err(Stopped::Cancelled);
        }
        if job.task.is_preview() {
            work.load_effect().await?;
        }
        let checkpoint = work.progress.checkpoint;
        let mut source = match &job.task {
            Task::Filter(task) | Task::Preview(PreviewTask::Filter(task)) => {
                return Box::pin(self.run_filter_shard(claimed, task, rights, work, deadline)).await;
            }
            Task::Contacts { contacts, target } | Task::Preview(PreviewTask::Contacts { contacts, target }) => {
                let criteria = AccessCriteria::default();
                let purpose = if job.task.is_preview() { Purpose::Record(job.id) } else { Purpose::Write(job.id) };
                let terms = Terms { rights, criteria, target, purpose };
                let contacts = contacts.as_slice();
                Source::Contacts(ContactSource::new(&self.store, portal, contacts, checkpoint, terms))
            }
            Task::Undo { undone, log } => {
                let undone = RecordedShard { job: *undone, number, log: *log };
                Source::Changes(ChangeSource::new(self, portal, undone, Aim::Undo, checkpoint, job.id, rights))
            }
            Task::Apply(task) => {
                let shown = RecordedShard { job: task.preview, number, log: UndoLog::Chunks };
                let aim = Aim::Apply { previewed: task.previewed };
                Source::Changes(ChangeSource::new(self, portal, shown, aim, checkpoint, job.id, rights))
            }
            Task::Snapshot(task) => {
                Box::pin(self.count_contacts(claimed.shard, task, rights, work, deadline)).await?;
                return Ok(ShardEnd::Completed);
            }
            // A change of one contact is written together with its job, so no work remains.
            Task::Contact { .. } => {
                work.close(None).await?;
                return Ok(ShardEnd::Completed);
            }
        };
        work.run(&mut source, deadline).await?;
        Ok(ShardEnd::Completed)
    }

    /// Completes the chunk that a previous worker of the shard left open, under the author's current rights.
    async fn finish_open_chunk(
        &self,
        claimed: &ClaimedShard<'_>,
        work: &mut ShardWork<'_>,
        rights: Rights<'_>,
    ) -> Result<(), Stopped> {
        let state = &claimed.state;
        let is_new = state.tries == 1 && state.progress == Progress::default() && state.counted.is_none();
        if is_new {
            // A new shard has no chunk to finish.
            return Ok(());
        }
        let Some((number, chunk)) = self.last_chunk(claimed.shard, work.progress.next_chunk).await? else {
            return Ok(());
        };
        match rights.actor().await {
            Ok(actor) => work.resume(number, chunk, Some(&actor)).await,
            Err(NoPage::UserRemoved) => {
                work.resume(number, chunk, None).await?;
                Err(Stopped::UserRemoved)
            }
            Err(NoPage::Store(error)) => Err(error.into()),
        }
    }

    /// Returns the last chunk of a shard from number `first` on. The contacts of the earlier chunks are decided.
    pub(crate) async fn last_chunk(&self, shard: ShardRef<'_>, first: u32) -> Result<Option<(u32, Chunk)>, StoreError> {
        let ShardRef { portal, job, number: shard } = shard;
        let mut last = None;
        for number in first.. {
            let Some(chunk) = self.store.chunk(portal, job.id, shard, number).await? else { break };
            last = Some((number, chunk));
        }
        Ok(last)
    }

    /// Processes a shard of a filter's matches. Counts the changes first if the run has an unchecked limit. A preview
    /// only records the changes.
    async fn run_filter_shard(
        &self,
        claimed: &ClaimedShard<'_>,
        task: &FilterTask,
        rights: Rights<'_>,
        work: &mut ShardWork<'_>,
        deadline: &Deadline,
    ) -> Result<ShardEnd, Stopped> {
        let ShardRef { portal, job, number } = claimed.shard;
        let plan = task.plan.restored(&task.filter);
        let selection = Selection { filter: &task.filter, plan: &plan, started: job.started.unwrap_or(job.created) };
        let checkpoint = work.progress.checkpoint;
        let matches = |purpose| {
            let terms = Terms { rights, criteria: task.filter.access, target: &task.target, purpose };
            Source::Matches(Box::new(MatchSource::new(self, portal, selection, number, checkpoint, terms)))
        };
        if job.task.is_preview() {
            work.run(&mut matches(Purpose::Record(job.id)), deadline).await?;
            return Ok(ShardEnd::Completed);
        }
        work.max_changes = job.task.shard_limit(number);
        if let Some(limit) = task.max_affected {
            if claimed.must_be_counted() {
                // A worker claims the shard again for the writes.
                self.count_shard(claimed.shard, limit, work, &mut matches(Purpose::Count), deadline).await?;
                return Ok(ShardEnd::Counted);
            }
            match self.check_limit(claimed.shard, limit).await? {
                LimitCheck::Within(shards) => {
                    let counted = shards.iter().filter_map(|shard| shard.counted).collect::<Vec<_>>();
                    work.max_changes = shard_limits(&counted, limit).get(usize::from(number)).copied();
                }
                LimitCheck::NotCounted | LimitCheck::Exceeded => return Ok(ShardEnd::WaitsForCounts),
            }
        }
        work.run(&mut matches(Purpose::Write(job.id)), deadline).await?;
        Ok(ShardEnd::Completed)
    }

    /// Closes, releases or requeues the shard, depending on how its claim ended.
    async fn end_claim(
        &self,
        claimed: &ClaimedShard<'_>,
        mut work: ShardWork<'_>,
        end: ShardEnd,
    ) -> Result<Worked, WorkError> {
        let (job, shard) = (claimed.shard.job.id, claimed.shard.number);
        match end {
            ShardEnd::Completed => self.shard_closed(claimed).await,
            ShardEnd::Counted | ShardEnd::Lost => Ok(Worked::Nothing),
            ShardEnd::WaitsForCounts => self.release_until_counted(claimed, &work).await,
            ShardEnd::OutOfTime => {
                work.store_effect().await;
                self.requeue(claimed, &work).await
            }
            ShardEnd::Overtaken => self.requeue_overtaken(claimed, &work).await,
            ShardEnd::Failed(error) => self.retry_later(claimed, &work, error).await,
            ShardEnd::Cancelled => {
                work.progress = progress_at_closing(claimed, &work);
                match work.close(None).await {
                    // The count released the shard. The next worker closes the shard.
                    Err(Stopped::Lost) => {
                        self.request_workers(claimed.shard.portal, claimed.shard.job, [shard]).await;
                        Ok(Worked::Requeued)
                    }
                    closed => self.after_closing(claimed, &work, closed).await,
                }
            }
            ShardEnd::UserRemoved => {
                tracing::warn!(%job, shard, "shard closed: its user left the portal, or may no longer run the job");
                work.progress = progress_at_closing(claimed, &work);
                let closed = work.close(Some(ShardFailure::UserRemoved)).await;
                self.after_closing(claimed, &work, closed).await
            }
            ShardEnd::OverLimit => {
                tracing::warn!(%job, shard, "shard closed: it would change more contacts than maxAffected allows");
                let closed = work.close(Some(ShardFailure::OverLimit)).await;
                self.after_closing(claimed, &work, closed).await
            }
            ShardEnd::GivenUp(error) => {
                tracing::error!(%job, shard, error = &error as &dyn std::error::Error, "shard given up");
                work.progress = progress_at_closing(claimed, &work);
                let closed = Box::pin(work.give_up()).await;
                self.after_closing(claimed, &work, closed).await
            }
        }
    }

    /// Handles the result of closing a shard: closes the job, or tries again later after a failure.
    async fn after_closing(
        &self,
        claimed: &ClaimedShard<'_>,
        work: &ShardWork<'_>,
        closed: Result<(), Stopped>,
    ) -> Result<Worked, WorkError> {
        match closed {
            Ok(()) => self.shard_closed(claimed).await,
            Err(Stopped::Failed(error)) => self.retry_later(claimed, work, error).await,
            Err(_) => Ok(Worked::Nothing),
        }
    }

    /// Closes the job of a closed shard if no other shard is open.
    async fn shard_closed(&self, claimed: &ClaimedShard<'_>) -> Result<Worked, WorkError> {
        self.close_if_done(claimed.shard.portal, claimed.shard.job.clone()).await?;
        Ok(Worked::ShardDone)
    }

    /// Releases a shard at its current progress, and requests another worker.
    async fn requeue(&self, claimed: &ClaimedShard<'_>, work: &ShardWork<'_>) -> Result<Worked, WorkError> {
        let tries = work.tries_after(&claimed.state, ClaimEnd::Orderly);
        let release = Release { progress: &work.progress, due: self.message_deadline(), tries };
        self.release(claimed, release).await?;
        self.request_workers(claimed.shard.portal, claimed.shard.job, [claimed.shard.number]).await;
        Ok(Worked::Requeued)
    }

    /// Releases a shard at its recorded progress and requests another worker, unless another worker holds the shard.
    /// The next worker first completes the other worker's chunk, then counts the contacts after the chunk.
    async fn requeue_overtaken(&self, claimed: &ClaimedShard<'_>, work: &ShardWork<'_>) -> Result<Worked, WorkError> {
        let tries = work.tries_after(&claimed.state, ClaimEnd::Failed);
        let release = Release { progress: work.recorded(), due: self.message_deadline(), tries };
        if self.release(claimed, release).await? == Saved::Lost {
            return Ok(Worked::Nothing);
        }
        self.request_workers(claimed.shard.portal, claimed.shard.job, [claimed.shard.number]).await;
        Ok(Worked::Requeued)
    }

    /// Releases a shard after an error. The message is delivered again, or the sweep requests a worker.
    async fn retry_later(
        &self,
        claimed: &ClaimedShard<'_>,
        work: &ShardWork<'_>,
        error: StoreError,
    ) -> Result<Worked, WorkError> {
        let ShardRef { portal, job, number } = claimed.shard;
        let retry = self.now() + limits::duration(RETRY_MILLIS);
        let tries = work.tries_after(&claimed.state, ClaimEnd::Failed);
        let id = job.id;
        tracing::warn!(job = %id, shard = number, error = &error as &dyn std::error::Error, "shard stopped before its end");
        self.release(claimed, Release { progress: &work.progress, due: retry, tries }).await?;
        self.store.postpone_job(portal, job.id, retry).await?;
        Err(error.into())
    }

    async fn release(&self, claimed: &ClaimedShard<'_>, release: Release<'_>) -> Result<Saved, StoreError> {
        let ShardRef { portal, job, number } = claimed.shard;
        self.store.release_shard(portal, job.id, number, &claimed.lease, release).await
    }
}

/// Returns the progress with which a shard is closed early. A shard that was only being counted has made no changes.
fn progress_at_closing(claimed: &ClaimedShard<'_>, work: &ShardWork<'_>) -> Progress {
    if claimed.must_be_counted() { Progress::default() } else { work.progress }
}
