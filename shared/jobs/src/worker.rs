//! Handles messages: works on a shard from its checkpoint to its end or until the deadline.

use jiff::SignedDuration;
use models::job::{Job, ShardSummary, State, Task};
use models::limits::{self, MAX_TRIES, MESSAGE_DEADLINE_MILLIS, MOVES_KEPT_HOURS, RETRY_MILLIS};
use models::values::id::PortalId;
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::jobs::{Claim, Lease, Progress, Release, Saved, ShardFailure, ShardState};
use tokio::time::Instant;

use crate::context::{Events, Jobs};
use crate::events::{BusError, JobEvent};
use crate::give_up::KILLED;
use crate::panics::{Panicked, catch_panic};
use crate::queue::Message;
use crate::shard::{Deadline, ShardWork, Stopped, lease_end, new_owner};
use crate::source::{ChangeSource, ContactSource, MatchSource, NoPage, Purpose, Rights, Selection, Source, Terms};

/// The result of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// Nothing to do: the job is over, or another worker has the shard.
    Nothing,
    /// The shard is finished.
    ShardDone,
    /// The deadline passed; the rest was requeued.
    HandedOn,
}

/// Why a message must be delivered again.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The table failed. Finished work is recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event bus did not accept the job's event.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The work panicked. Its lease expires by itself.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// Log line of each job that fails. The deployment's alarm counts these lines, so they are errors, which every log
/// level lets through.
pub const JOB_FAILED: &str = "job failed";

/// The error of a job that was given up because the table refused its writes.
const REFUSED: &str = "the database did not take all changes, however often they were tried";
/// The error of a job whose user was removed.
const USER_REMOVED: &str = "the user on whose behalf the job acts is no longer in the portal; what the job had changed \
                            before stays changed, and an administrator can undo it";
/// The error of a job that was given up because it outlived the journal of moves.
const TOO_LONG: &str = "the job took longer than a day, so contacts that an import moved may be left out; run it again";

impl Jobs {
    /// Returns when a message is sent again if no worker has acted on it.
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
            tracing::warn!(job = %id, "message about a job that is not there");
            return Ok(Worked::Nothing);
        };
        let Some(shard) = shard.filter(|shard| *shard < job.shards && !job.is_over()) else {
            self.close_if_done(portal, job).await?;
            return Ok(Worked::Nothing);
        };
        if deadline.is_up() {
            self.send(vec![message.clone()]).await;
            return Ok(Worked::HandedOn);
        }
        let (owner, asked) = (new_owner(), Instant::now());
        let lease = Lease { owner, until: lease_end(self) };
        let state = match self.store.claim_shard(portal, *id, shard, &lease, self.now()).await? {
            Claim::Taken(state) => state,
            Claim::Held => return Ok(Worked::Nothing),
            Claim::Done => {
                self.close_if_done(portal, job).await?;
                return Ok(Worked::Nothing);
            }
        };
        let is_first = job.state == State::Queued;
        if is_first {
            self.store.start_job(portal, *id, self.now()).await?;
            // `finish` overwrites the record only in the state that was read, so read the new state.
            job = self.store.job(portal, *id).await?.unwrap_or(job);
        }
        if state.tries > MAX_TRIES {
            self.give_up_shard((portal, &job, shard), &lease, &state).await?;
            self.close_if_done(portal, job).await?;
            return Ok(Worked::ShardDone);
        }
        if is_first || state.tries > 1 {
            // From now on, a sweep checks the job as soon as the lease expires.
            self.store.postpone_job(portal, *id, lease.until).await?;
        }
        let mut work = ShardWork::new(self, (portal, &job, shard), owner, asked, state.progress, 0);
        let ended = self.run_shard(&mut work, (portal, &job, shard), &state, deadline).await;
        let gives_up = matches!(ended, Err(Stopped::Failed(_))) && state.tries >= MAX_TRIES && !work.got_on;
        let is_closed = gives_up || matches!(ended, Err(Stopped::Cancelled | Stopped::UserRemoved));
        if is_closed && state.counted.is_none() && job.counts_first() {
            // The counted changes were not made.
            work.progress = Progress::default();
        }
        let was_cancelled = matches!(ended, Err(Stopped::Cancelled));
        let ended = match ended {
            Err(Stopped::Cancelled) => work.close(None).await.map(|()| true),
            Err(Stopped::UserRemoved) => {
                tracing::warn!(job = %id, shard, "shard closed: its user is no longer in the portal");
                work.close(Some(ShardFailure::UserRemoved)).await.map(|()| true)
            }
            Err(Stopped::Failed(error)) if gives_up => {
                tracing::error!(job = %id, shard, error = &error as &dyn std::error::Error, "shard given up");
                work.give_up().await.map(|()| true)
            }
            ended => ended,
        };
        match ended {
            Ok(true) => {
                self.close_if_done(portal, job).await?;
                Ok(Worked::ShardDone)
            }
            Ok(false) if state.counted.is_some() => {
                // The worker that counts the last shard requests workers for the released shards. So release this shard
                // first, then check whether the release was in time.
                let tries = work.tries_after(&state, None);
                let release = Release { progress: &work.progress, due: self.message_deadline(), tries };
                let saved = self.store.release_shard(portal, *id, shard, &lease, release).await?;
                let shards = self.store.shards(portal, &job).await?;
                if saved == Saved::Cancelled || shards.iter().all(|shard| shard.counted.is_some()) {
                    self.send(vec![message.clone()]).await;
                }
                Ok(Worked::Nothing)
            }
            // The count released the shard. The next worker closes it.
            Err(Stopped::Lost | Stopped::Cancelled) if was_cancelled => {
                self.send(vec![message.clone()]).await;
                Ok(Worked::HandedOn)
            }
            Ok(false) | Err(Stopped::Lost | Stopped::Cancelled | Stopped::UserRemoved) => Ok(Worked::Nothing),
            Err(stopped @ (Stopped::OutOfTime | Stopped::CutOff | Stopped::Overtaken)) => {
                let progress = work.releasable(&stopped);
                let tries = work.tries_after(&state, Some(&stopped));
                let release = Release { progress: &progress, due: self.message_deadline(), tries };
                let saved = self.store.release_shard(portal, *id, shard, &lease, release).await?;
                if matches!((&stopped, saved), (Stopped::Overtaken, Saved::Lost)) {
                    return Ok(Worked::Nothing);
                }
                self.send(vec![message.clone()]).await;
                Ok(Worked::HandedOn)
            }
            Err(stopped @ Stopped::Failed(_)) => {
                let retry = self.now() + limits::duration(RETRY_MILLIS);
                let tries = work.tries_after(&state, Some(&stopped));
                let Stopped::Failed(error) = stopped else { return Ok(Worked::Nothing) };
                tracing::warn!(job = %id, shard, error = &error as &dyn std::error::Error, "shard not through");
                let release = Release { progress: &work.progress, due: retry, tries };
                self.store.release_shard(portal, *id, shard, &lease, release).await?;
                self.store.postpone_job(portal, *id, retry).await?;
                Err(error.into())
            }
        }
    }

    /// Works on a leased shard. Returns true when it is finished, false when it waits for the counts of other shards.
    async fn run_shard(
        &self,
        work: &mut ShardWork<'_>,
        (portal, job, shard): (&PortalId, &Job, u16),
        state: &ShardState,
        deadline: &Deadline,
    ) -> Result<bool, Stopped> {
        let rights = Rights::Current { store: &self.store, portal, author: job.created_by };
        let write = Purpose::Write(job.id);
        // A new shard has no chunk to finish.
        let is_new = state.tries == 1 && state.progress == Progress::default() && state.counted.is_none();
        if !is_new
            && let number = work.progress.next_chunk
            && let Some(chunk) = self.store.chunk(portal, job.id, shard, number).await?
        {
            // Judge the previous worker's open chunk again, by the current rights.
            match rights.actor().await {
                Ok(actor) => work.resume(number, chunk, Some(&actor)).await?,
                Err(NoPage::UserRemoved) => {
                    work.resume(number, chunk, None).await?;
                    return Err(Stopped::UserRemoved);
                }
                Err(NoPage::Store(error)) => return Err(error.into()),
            }
        }
        if state.cancelled || job.state == State::Cancelled {
            return Err(Stopped::Cancelled);
        }
        let plan;
        let mut source = match &job.task {
            Task::Filter(task) => {
                plan = task.plan.restored(&task.filter);
                let started = job.started.unwrap_or(job.created);
                let selection = Selection { filter: &task.filter, plan: &plan, started };
                let matches = |place, purpose| {
                    let terms = Terms { rights, target: &task.target, purpose };
                    Source::Matches(Box::new(MatchSource::new(self, portal, selection, shard, place, terms)))
                };
                if let Some(most) = task.max_affected {
                    let just_counted = state.counted.is_none();
                    if just_counted {
                        work.count(&mut matches(work.progress.place, Purpose::Preview), deadline).await?;
                    }
                    if !self.is_within_limit(portal, job, most, just_counted).await? || just_counted {
                        // Counting a shard releases it. A worker claims it again for the writes.
                        return Ok(false);
                    }
                }
                matches(work.progress.place, write)
            }
            Task::Contacts { contacts, target } => {
                let (contacts, terms) = (contacts.as_slice(), Terms { rights, target, purpose: write });
                Source::Contacts(ContactSource::new(&self.store, portal, contacts, work.progress.place, terms))
            }
            Task::Undo { undone, log } => {
                let undone = (*undone, shard, *log);
                Source::Changes(ChangeSource::new(&self.store, portal, undone, work.progress.place, job.id, rights))
            }
            // A single change is written together with its record, so nothing remains to be done.
            Task::Contact { .. } => return work.close(None).await.map(|()| true),
        };
        work.run(&mut source, deadline).await.map(|()| true)
    }

    /// Returns whether all shards are counted and their sum is within the limit. Above the limit, the job fails. The
    /// worker that counts the last shard requests workers for the others.
    async fn is_within_limit(
        &self,
        portal: &PortalId,
        job: &Job,
        most: u64,
        just_counted: bool,
    ) -> Result<bool, StoreError> {
        let shards = self.store.shards(portal, job).await?;
        let Some(counted) = shards.iter().map(|shard| shard.counted).sum::<Option<u64>>() else { return Ok(false) };
        if counted > most {
            let error = format!(
                "Nothing was changed: {counted} contacts would be, and maxAffected allows {most}. Narrow the filter or \
                 raise maxAffected."
            );
            self.finish(portal, &mut job.clone(), State::Failed, Some(error)).await.or_else(|error| match error {
                WorkError::Store(error) => Err(error),
                // The job stays open, and a sweep publishes its event.
                WorkError::Bus(_) | WorkError::Panicked(_) => Ok(false),
            })?;
            return Ok(false);
        }
        if just_counted {
            let waiting = shards.iter().zip(0u16..).filter(|(shard, _)| shard.owner.is_none()).map(|(_, shard)| shard);
            self.ask_for_workers(portal, job, waiting).await;
        }
        Ok(true)
    }

    /// Ends a job whose shards are all finished, and publishes the event of a job that is over.
    pub(crate) async fn close_if_done(&self, portal: &PortalId, mut job: Job) -> Result<(), WorkError> {
        // Repeat if someone cancels the job meanwhile.
        loop {
            if job.is_over() {
                // Messages may be late or duplicated. The event of a closed job was published.
                return if self.store.is_open(portal, job.id).await? {
                    self.publish(portal, &job).await
                } else {
                    Ok(())
                };
            }
            let shards = self.store.shards(portal, &job).await?;
            if shards.iter().any(|shard| !shard.done) {
                return Ok(());
            }
            job.counts = shards.iter().map(|shard| shard.progress.counts).sum();
            let failed = |failure| shards.iter().any(|shard| shard.failed == Some(failure));
            let (state, error) = if failed(ShardFailure::UserRemoved) {
                (State::Failed, Some(USER_REMOVED.to_owned()))
            } else if failed(ShardFailure::Killed) {
                (State::Failed, Some(KILLED.to_owned()))
            } else if failed(ShardFailure::GivenUp) {
                let age = self.now().since(job.started.unwrap_or(job.created));
                let outlived =
                    matches!(job.task, Task::Filter(_)) && age > SignedDuration::from_hours(MOVES_KEPT_HOURS);
                (State::Failed, Some(if outlived { TOO_LONG } else { REFUSED }.to_owned()))
            } else if job.state == State::Cancelled {
                (State::Cancelled, None)
            } else {
                (State::Done, None)
            };
            // A shard that was stopped or failed is closed, and counts up to its progress.
            let is_through = |shard: &ShardState| state == State::Failed && shard.failed.is_none();
            let summaries: Vec<_> =
                shards.iter().map(|shard| ShardSummary { done: is_through(shard), ..shard.summary() }).collect();
            job.percent = if state == State::Done { 100 } else { job.percent_of(&summaries) };
            if self.finish(portal, &mut job, state, error).await? {
                return Ok(());
            }
            match self.store.job(portal, job.id).await? {
                Some(found) => job = found,
                None => return Ok(()),
            }
        }
    }

    /// Writes the end of a job and publishes its event. Returns false when the record was changed meanwhile.
    pub(crate) async fn finish(
        &self,
        portal: &PortalId,
        job: &mut Job,
        state: State,
        error: Option<String>,
    ) -> Result<bool, WorkError> {
        let seen = job.state;
        let before = job.clone();
        job.state = state;
        job.error = error;
        job.finished = Some(self.now());
        if !self.store.finish_job(portal, job, seen).await? {
            *job = before;
            return Ok(false);
        }
        match state {
            State::Failed => tracing::error!(job = %job.id, reason = job.error, counts = ?job.counts, "{JOB_FAILED}"),
            _ => tracing::info!(job = %job.id, state = job.state.name(), counts = ?job.counts, "job ended"),
        }
        self.publish(portal, job).await?;
        Ok(true)
    }

    /// Publishes the event of a job that is over, if there is a bus, and closes the job.
    async fn publish(&self, portal: &PortalId, job: &Job) -> Result<(), WorkError> {
        // Free the place first: an unreachable bus must not use up the user's open jobs.
        self.store.leave_place_of(portal, job).await?;
        match &self.events {
            Events::Off => {}
            Events::Here(bus) => bus.put(JobEvent::new(portal.clone(), job)).await?,
            Events::Elsewhere => {
                self.send(vec![Message { portal: portal.clone(), job: job.id, shard: None }]).await;
                return Ok(());
            }
        }
        Ok(self.store.close_job(portal, job.id).await?)
    }
}
