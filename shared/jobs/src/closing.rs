//! Closes jobs: writes the end, publishes the event, and removes the open-job entry.

use jiff::SignedDuration;
use models::job::{Job, PreviewTask, ShardSummary, State, Task};
use models::limits::MOVE_RETENTION_HOURS;
use models::rule::RuleName;
use models::values::id::PortalId;
use store::jobs::{ShardFailure, ShardState};

use crate::context::{Events, Jobs};
use crate::events::JobEvent;
use crate::give_up::KILLED;
use crate::queue::Message;
use crate::worker::{WorkError, too_many_affected};

/// Log message of each failed job. The deployment's alarm counts these messages, so their level is ERROR, which every
/// log level includes.
pub const JOB_FAILED: &str = "job failed";

/// The error of a job that was given up because the table refused its writes.
const REFUSED: &str = "The database refused some changes on every attempt.";
/// The error of a job whose user was removed.
const USER_REMOVED: &str = "The user on whose behalf the job acts is no longer in the portal. The changes made so far \
                            remain, and an administrator can undo them.";
/// The error of a preview whose shards did not all end.
const NOT_PREVIEWED: &str = "The preview stopped before its end. No contact was changed. Start a new preview.";
/// The error of a snapshot whose shards did not all end.
const NOT_COUNTED: &str = "The snapshot stopped before its end. The latest snapshot stays. Only administrators may start a \
                           new snapshot.";
/// The error of a job that was given up because it ran longer than the retention of the journal of moves.
const TOO_LONG: &str =
    "The job took longer than a day, so it may have missed contacts that an import moved. Run the job again.";

/// Returns the error of a job that stopped at its limit after the count of its changes.
pub(crate) fn over_limit(job: &Job) -> String {
    let limit = match &job.task {
        Task::Filter(task) => task.max_affected.unwrap_or_else(|| task.shard_limits.iter().sum()),
        _ => 0,
    };
    format!(
        "More contacts came to need a change after the job had counted the changes, and maxAffected allows {limit}. The \
         job changed {} contacts, then stopped. Run the job again, or raise maxAffected.",
        job.counts.updated
    )
}

/// The result of writing the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The end was written.
    Written,
    /// Somebody else changed the job's record after it was read. Nothing was written.
    RecordChanged,
}

impl Jobs {
    /// Ends a job if all its shards are closed. If the job has ended but its open entry remains, publishes the event.
    pub(crate) async fn close_if_done(&self, portal: &PortalId, mut job: Job) -> Result<(), WorkError> {
        // Repeat if a caller cancels the job meanwhile.
        loop {
            if job.is_over() {
                // Messages may be late or duplicated. The event of a closed job is already published.
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
            if job.task.is_preview() && state == State::Done {
                job.effect = Some(self.effect_of_preview(portal, &job, &shards).await?);
            }
            job.percent = percent_at_end(&job, state, &shards);
            if let (State::Done, Task::Snapshot(task)) = (state, &job.task) {
                self.store_snapshot(portal, &job, task, self.now()).await?;
            }
            if self.finish(portal, &mut job, state, error).await? == Finished::Written {
                return Ok(());
            }
            match self.store.job(portal, job.id).await? {
                Some(found) => job = found,
                None => return Ok(()),
            }
        }
    }

    /// Returns the final state of a job whose shards are all closed, and the reason if the job failed.
    fn end_of(&self, job: &Job, shards: &[ShardState]) -> (State, Option<String>) {
        let failed = |failure| shards.iter().any(|shard| shard.failed == Some(failure));
        let reason = if failed(ShardFailure::UserRemoved) {
            USER_REMOVED
        } else if failed(ShardFailure::Killed) {
            KILLED
        } else if failed(ShardFailure::GivenUp) {
            let age = self.now().since(job.started.unwrap_or(job.created));
            let is_too_old = job.task.matches().is_some() && age > SignedDuration::from_hours(MOVE_RETENTION_HOURS);
            if is_too_old { TOO_LONG } else { REFUSED }
        } else if job.state == State::Cancelled {
            return (State::Cancelled, None);
        } else if failed(ShardFailure::OverLimit) {
            return (State::Failed, Some(over_limit(job)));
        } else if let Task::Preview(PreviewTask::Filter(task)) = &job.task
            && let Some(limit) = task.max_affected.filter(|limit| job.counts.updated > *limit)
        {
            return (State::Failed, Some(too_many_affected(job.counts.updated, limit)));
        } else {
            return (State::Done, None);
        };
        let reason = match &job.task {
            Task::Preview(_) => NOT_PREVIEWED,
            Task::Snapshot(_) => NOT_COUNTED,
            _ => reason,
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
        let state_before = job.state;
        let before = job.clone();
        job.state = state;
        job.error = error;
        let now = self.now();
        job.finished = Some(now);
        let day = match job.day_counts() {
            Some(_) => Some(self.day_of(portal, now).await?),
            None => None,
        };
        if !self.store.finish_job(portal, job, state_before, day).await? {
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

    /// Records the failure of a rule's job in the rule, publishes the event of the ended job, if there is a bus, and
    /// closes the job. A preview and a snapshot have no event, because they change nothing.
    async fn publish(&self, portal: &PortalId, job: &Job) -> Result<(), WorkError> {
        // A rule shows why its last job failed. The open-job entry stays until the rule is written.
        if let (State::Failed, Some(error), Some(rule)) = (job.state, &job.error, job.task.rule()) {
            self.store.record_rule_failure(portal, &RuleName::stored(rule), job.id, error).await?;
        }
        // Remove the job from its user's open jobs first: an unreachable bus must not use up the limit of open jobs.
        self.store.remove_from_open_jobs_of_user(portal, job).await?;
        match &self.events {
            _ if !job.task.changes_contacts() => {}
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
    // A cancelled or failed shard was closed early, and counts up to its progress.
    let is_finished = |shard: &ShardState| state == State::Failed && shard.failed.is_none();
    let summaries: Vec<_> =
        shards.iter().map(|shard| ShardSummary { done: is_finished(shard), ..shard.summary() }).collect();
    job.percent_of(&summaries)
}
