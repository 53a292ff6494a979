//! The previews of each user, and the run of a preview.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use jiff::SignedDuration;
use models::job::{Job, JobId};
use models::limits::{MAX_PREVIEWS, PREVIEW_HOURS};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::dynamodb::backoff::pauses;
use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::error::StoreError;
use crate::jobs::record::JOB;
use crate::jobs::sets::JobSet;
use crate::jobs::{names, values};
use crate::keys::Key;

/// The result of creating the run of a preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviewRun {
    /// The run was created.
    Created,
    /// The preview has a run already; nothing was written.
    Exists(JobId),
    /// The preview was removed; nothing was written.
    Missing,
    /// The user has the maximum number of open jobs; nothing was written.
    TooManyOpen,
}

fn previews_of(portal: &PortalId, user: UserId) -> JobSet {
    JobSet { key: Key::PreviewsOf(portal.clone(), user), most: MAX_PREVIEWS }
}

impl Store {
    /// Returns the write that adds a preview to its user's previews; none for another job.
    pub(super) fn add_to_previews(
        &self,
        portal: &PortalId,
        job: &Job,
    ) -> Result<Option<TransactWriteItem>, StoreError> {
        let user = job.created_by.user().filter(|_| job.task.is_preview());
        user.map(|user| self.add_to_set(&previews_of(portal, user), job.id)).transpose()
    }

    /// Removes a user's oldest finished preview if the user has the maximum number of previews. Returns false if none
    /// of these previews is finished. Costs 1 read unit, and at the maximum 1 for each preview read and 3 write units.
    ///
    /// The chunks of the removed preview expire later, because a run may still read them.
    pub(super) async fn make_room_for_preview(&self, portal: &PortalId, job: &Job) -> Result<bool, StoreError> {
        let Some(user) = job.created_by.user().filter(|_| job.task.is_preview()) else { return Ok(true) };
        let set = previews_of(portal, user);
        let mut previews = self.jobs_in(&set).await?;
        if set.has_room_for(&previews, job.id) {
            return Ok(true);
        }
        // The identifiers of jobs sort by time.
        previews.sort_unstable();
        // A preview without a record has expired, or a concurrent call is about to write the record.
        let oldest = JobId::first_at(job.created + -SignedDuration::from_hours(PREVIEW_HOURS));
        for preview in previews {
            if self.job(portal, preview).await?.map_or(preview < oldest, |found| found.is_over()) {
                self.delete(&Key::Job(portal.clone(), preview)).await?;
                self.delete(&Key::JobEntry(portal.clone(), user, preview)).await?;
                self.remove_from_set(&set, preview).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Creates the run of a finished preview, unless the preview has a run, in one transaction. Costs 8 write units,
    /// and 2 per KB of the preview's record, which takes up to 10 KB. A filter of over about 500 bytes costs more.
    pub async fn create_run_of_preview(
        &self,
        portal: &PortalId,
        preview: JobId,
        run: &Job,
        due: Timestamp,
    ) -> Result<PreviewRun, StoreError> {
        let mark = Update::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(&Key::Job(portal.clone(), preview))))
            .update_expression("SET #job.#run = :run")
            .condition_expression("attribute_exists(#job) AND attribute_not_exists(#job.#run)")
            .set_expression_attribute_names(Some(names([("#job", JOB), ("#run", "AppliedBy")])))
            .set_expression_attribute_values(Some(values([(":run", items::to_document(&run.id)?)])))
            .build()
            .map_err(|error| StoreError::unbuildable("the mark of a preview", error))?;
        let mut writes = self.new_job_writes(portal, run, due)?;
        writes.push(TransactWriteItem::builder().update(mark).build());
        let mut pauses = pauses();
        loop {
            match self.transact(writes.clone()).await {
                Ok(()) => return Ok(PreviewRun::Created),
                Err(error) if error.is_condition_failed() => {}
                Err(error) => return Err(error),
            }
            match self.job(portal, preview).await? {
                None => return Ok(PreviewRun::Missing),
                Some(Job { applied_by: Some(run), .. }) => return Ok(PreviewRun::Exists(run)),
                Some(_) => {}
            }
            if !self.fits_open_jobs(portal, run).await? {
                return Ok(PreviewRun::TooManyOpen);
            }
            // Another call of the same user changed the set of open jobs concurrently.
            match pauses.next() {
                Some(pause) => self.time.pause(pause).await,
                None => return Err(StoreError::Contended { operation: "TransactWriteItems" }),
            }
        }
    }
}
