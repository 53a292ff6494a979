//! Closes jobs: writes their end, publishes their event, and removes their open entry.

use jiff::SignedDuration;
use models::job::{Job, ShardSummary, State, Task};
use models::limits::MOVES_KEPT_HOURS;
use models::values::id::PortalId;
use store::jobs::{ShardFailure, ShardState};

use crate::context::{Events, Jobs};
use crate::events::JobEvent;
use crate::give_up::KILLED;
use crate::queue::Message;
use crate::worker::WorkError;

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

/// Whether the end of a job was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The end was written.
    Written,
    /// Somebody else changed the job's record since it was read. Nothing was written.
    RecordChanged,
}

impl Jobs {
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
            let (state, error) = self.end_of(&job, &shards);
            job.percent = percent_at_end(&job, state, &shards);
            if self.finish(portal, &mut job, state, error).await? == Finished::Written {
                return Ok(());
            }
            match self.store.job(portal, job.id).await? {
                Some(found) => job = found,
                None => return Ok(()),
            }
        }
    }

    /// Returns the state in which a job ends whose shards are all closed, and the reason if the job failed.
    fn end_of(&self, job: &Job, shards: &[ShardState]) -> (State, Option<String>) {
        let failed = |failure| shards.iter().any(|shard| shard.failed == Some(failure));
        let reason = if failed(ShardFailure::UserRemoved) {
            USER_REMOVED
        } else if failed(ShardFailure::Killed) {
            KILLED
        } else if failed(ShardFailure::GivenUp) {
            let age = self.now().since(job.started.unwrap_or(job.created));
            let outlived = matches!(job.task, Task::Filter(_)) && age > SignedDuration::from_hours(MOVES_KEPT_HOURS);
            if outlived { TOO_LONG } else { REFUSED }
        } else if job.state == State::Cancelled {
            return (State::Cancelled, None);
        } else {
            return (State::Done, None);
        };
        (State::Failed, Some(reason.to_owned()))
    }

    /// Writes the end of a job and publishes its event.
    pub(crate) async fn finish(
        &self,
        portal: &PortalId,
        job: &mut Job,
        state: State,
        error: Option<String>,
    ) -> Result<Finished, WorkError> {
        let seen = job.state;
        let before = job.clone();
        job.state = state;
        job.error = error;
        job.finished = Some(self.now());
        if !self.store.finish_job(portal, job, seen).await? {
            *job = before;
            return Ok(Finished::RecordChanged);
        }
        match state {
            State::Failed => tracing::error!(job = %job.id, reason = job.error, counts = ?job.counts, "{JOB_FAILED}"),
            _ => tracing::info!(job = %job.id, state = job.state.name(), counts = ?job.counts, "job ended"),
        }
        self.publish(portal, job).await?;
        Ok(Finished::Written)
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

/// Returns the progress in percent of a job that ends in `state`.
fn percent_at_end(job: &Job, state: State, shards: &[ShardState]) -> u8 {
    if state == State::Done {
        return 100;
    }
    // A shard that was stopped or failed is closed, and counts up to its progress.
    let is_finished = |shard: &ShardState| state == State::Failed && shard.failed.is_none();
    let summaries: Vec<_> =
        shards.iter().map(|shard| ShardSummary { done: is_finished(shard), ..shard.summary() }).collect();
    job.percent_of(&summaries)
}
