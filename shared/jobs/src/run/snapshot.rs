//! Starts a snapshot, a job that counts all contacts of a portal by their access.

use std::cmp::Reverse;

use models::access::{Author, Caller};
use models::directory::Portal;
use models::filter::Filter;
use models::job::{Job, JobId, NewJob, SnapshotTask, Task};
use models::limits::MAX_SNAPSHOT_TAGS;
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::planner::Planned;

use crate::context::Jobs;
use crate::run::StartError;

/// A snapshot to start.
#[derive(Clone, Debug)]
pub struct SnapshotRun {
    /// The portal.
    pub portal: Portal,
    /// The administrator who asks for the snapshot.
    pub caller: Caller,
    /// When the snapshot was requested.
    pub started: Timestamp,
    /// The note that the job shows.
    pub note: Option<String>,
}

impl SnapshotRun {
    /// Records the snapshot as a job for workers: a job of a filter, and the portal's tags.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn enqueue(self, jobs: &Jobs, id: JobId) -> Result<Job, StartError> {
        let Self { portal, caller, started, note } = self;
        let (planner, tags) = futures::try_join!(jobs.store.planner(&portal.id, &[]), most_used_tags(jobs, &portal))?;
        let Planned { plan, expected } = planner.plan(&Filter::default(), portal.shards);
        let job = NewJob {
            id,
            created_by: Author::User(caller.user),
            created: started,
            shards: plan.shards,
            expected,
            changes_until: None,
            note,
            task: Task::Snapshot(Box::new(SnapshotTask { plan, tags })),
        };
        let job = job.queued();
        tracing::info!(job = %id, expected, "snapshot queued");
        jobs.enqueue(&portal.id, &job).await?;
        Ok(job)
    }
}

/// Returns the tags with the most contacts, at most [`MAX_SNAPSHOT_TAGS`].
async fn most_used_tags(jobs: &Jobs, portal: &Portal) -> Result<Vec<String>, StoreError> {
    let mut tags = jobs.store.counted_tags(&portal.id).await?;
    tags.sort_by_key(|tag| Reverse(tag.contacts));
    Ok(tags.into_iter().take(MAX_SNAPSHOT_TAGS).map(|tag| tag.tag).collect())
}
