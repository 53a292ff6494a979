//! Requests about existing jobs: progress, undo, apply and cancel.

use futures::stream::StreamExt as _;
use models::access::{Actor, Author, Caller};
use models::job::{ApplyTask, Counts, Job, JobId, NewJob, ShardSummary, State, Task};
use models::values::id::PortalId;
use store::StoreError;
use store::jobs::{PreviewRun, ShardState};

use crate::context::Jobs;
use crate::run::filter::{RunError, preview_source};
use crate::run::{StartError, concurrently};
use crate::shard::Deadline;
use crate::source::{Aim, ChangeSource, RecordedShard, Rights, Source};

impl Jobs {
    /// Reads the progress of each shard of a running job (1 read unit). Reads and returns nothing for an ended job.
    ///
    /// # Errors
    ///
    /// When the table fails.
    pub async fn summaries(&self, portal: &PortalId, job: &Job) -> Result<Vec<ShardSummary>, StoreError> {
        if job.is_over() {
            return Ok(Vec::new());
        }
        Ok(self.store.shards(portal, job).await?.iter().map(ShardState::summary).collect())
    }

    /// Starts a job that restores the access from before `undone`, for each contact that nobody changed since. The job
    /// shows the `note`.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn undo(
        &self,
        portal: &PortalId,
        caller: &Caller,
        undone: &Job,
        id: JobId,
        note: Option<String>,
    ) -> Result<Job, StartError> {
        let now = self.now();
        let job = NewJob {
            id,
            created_by: Author::User(caller.user),
            created: now,
            task: Task::Undo { undone: undone.id, log: undone.task.log() },
            shards: undone.shards.max(1),
            expected: undone.counts.updated,
            changes_until: self.changes_until(now),
            note,
        };
        let job = job.queued();
        tracing::info!(job = %id, undone = %undone.id, "undo queued");
        self.enqueue(portal, &job).await?;
        Ok(job)
    }

    /// Starts the run of a finished preview. The run makes the recorded changes, each for a contact whose access nobody
    /// changed since. The run shows the `note`, or the preview's note. Returns the earlier run if the preview has a run
    /// already, and none if the preview was removed. Costs 8 write units, and 2 per KB of the preview's record.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn apply_preview(
        &self,
        portal: &PortalId,
        preview: &Job,
        id: JobId,
        note: Option<String>,
    ) -> Result<Option<Job>, StartError> {
        if let Some(earlier) = preview.applied_by {
            return Ok(self.store.job(portal, earlier).await?);
        }
        let Task::Preview(task) = &preview.task else { return Ok(None) };
        let (filter, target, now) = (task.filter().cloned(), task.target().clone(), self.now());
        let run = NewJob {
            id,
            created_by: preview.created_by,
            created: now,
            task: Task::Apply(Box::new(ApplyTask { preview: preview.id, previewed: preview.created, filter, target })),
            shards: preview.shards,
            expected: preview.counts.updated,
            changes_until: self.changes_until(now),
            note: note.or_else(|| preview.note.clone()),
        };
        let run = run.queued();
        match self.store.create_run_of_preview(portal, preview.id, &run, self.message_deadline()).await? {
            PreviewRun::Created => {
                tracing::info!(job = %id, preview = %preview.id, "run of a preview queued");
                self.request_workers(portal, &run, 0..run.shards).await;
                Ok(Some(run))
            }
            PreviewRun::Exists(earlier) => Ok(self.store.job(portal, earlier).await?),
            PreviewRun::Missing => Ok(None),
            PreviewRun::TooManyOpen => Err(StartError::TooManyOpenJobs),
        }
    }

    /// Returns the counts that an undo of `undone` by the caller would produce now. Writes nothing. Costs 1 read unit
    /// per changed contact and per 4 KB of the chunks.
    ///
    /// # Errors
    ///
    /// [`RunError::NotCounted`] when the deadline passes first; [`RunError::Store`] when the table fails.
    pub async fn preview_undo(
        &self,
        portal: &PortalId,
        caller: Caller,
        undone: &Job,
        deadline: &Deadline,
    ) -> Result<Counts, RunError> {
        let (log, rights) = (undone.task.log(), Rights::Known(Actor::User(caller)));
        // No record carries this identifier, because a preview records no job.
        let id = self.new_id();
        let shards = (0..undone.shards.max(1)).map(|number| async move {
            let shard = RecordedShard { job: undone.id, number, log };
            let changes = ChangeSource::new(self, portal, shard, Aim::Undo, None, id, rights);
            preview_source(&mut Source::Changes(changes), deadline, |_| {}).await
        });
        let mut shards = concurrently(shards);
        let mut counts = Counts::default();
        while let Some(shard) = shards.next().await {
            counts += shard?;
        }
        Ok(counts)
    }

    /// Cancels a job. Its workers finish their current page. Returns false if the job has ended.
    ///
    /// # Errors
    ///
    /// When the table fails; the call may be repeated.
    pub async fn cancel(&self, portal: &PortalId, job: &Job) -> Result<bool, StoreError> {
        if job.is_over() {
            return Ok(false);
        }
        if !self.store.cancel_job(portal, job.id).await? {
            // The job ended meanwhile, or is already cancelled. Mark the shards of a cancelled job again.
            let found = self.store.job(portal, job.id).await?;
            if found.is_none_or(|found| found.is_over() || found.state != State::Cancelled) {
                return Ok(false);
            }
        }
        let mut cancelled = concurrently((0..job.shards).map(|shard| self.store.cancel_shard(portal, job.id, shard)));
        while let Some(result) = cancelled.next().await {
            result?;
        }
        drop(cancelled);
        // A worker closes each shard that is not claimed.
        self.request_workers(portal, job, 0..job.shards).await;
        Ok(true)
    }
}
