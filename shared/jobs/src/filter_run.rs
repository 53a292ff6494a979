//! Setting access by filter: previewed, limited, recorded, run.

use models::access::{Access, Caller};
use models::filter::Filter;
use models::id::PortalId;
use models::job::{Counts, Job, JobId, Kind, State};
use models::moment::Moment;
use models::plan::Plan;
use models::request::Page;
use store::{Store, StoreError};

use crate::engine::{Deadline, Outcome, Pass, Stopped, Writing};

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
    /// What their access becomes.
    pub target: Access,
    /// Which part of them the answer shows.
    pub page: Page,
    /// Over how many changes nothing is written.
    pub max_affected: Option<u64>,
    /// When the run started: contacts created later are not its.
    pub started: Moment,
}

/// A run that came to an end, its own or that of its time.
#[derive(Debug)]
pub struct Report {
    /// The job's record as it was left.
    pub job: Job,
    /// What the run came to.
    pub outcome: Outcome,
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
    /// The count that `max_affected` asks for, or the preview, did not fit its time. Nothing was written.
    #[error("the matches were not counted in time")]
    NotCounted,
    /// The table failed before the first contact was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FilterRun {
    fn pass<'a>(&'a self, store: &'a Store, deadline: Deadline, job: Option<Writing>) -> Pass<'a> {
        Pass {
            store,
            portal: &self.portal,
            plan: &self.plan,
            caller: self.caller,
            target: &self.target,
            page: self.page,
            deadline,
            job,
        }
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
    pub async fn preview(&self, store: &Store, deadline: Deadline) -> Result<Outcome, RunError> {
        let outcome = self.pass(store, deadline, None).run().await;
        match outcome.stopped {
            None => {
                self.check_limit(&outcome.counts)?;
                Ok(outcome)
            }
            Some(Stopped::OutOfTime) => Err(RunError::NotCounted),
            Some(Stopped::Failed(error)) => Err(error.into()),
        }
    }

    /// Sets the access of every match. The job's record is written before the first contact and once more at the end,
    /// which `now` tells the time of. Per contact that changes, 1 write unit and its share of a chunk.
    ///
    /// # Errors
    ///
    /// [`RunError`] when nothing was run. What ended a run early is in the report.
    pub async fn apply(
        &self,
        store: &Store,
        id: JobId,
        deadline: Deadline,
        now: impl Fn() -> Moment,
    ) -> Result<Report, RunError> {
        if self.max_affected.is_some() {
            // Counting first reads everything twice; only who sets a limit pays for it.
            self.preview(store, deadline).await?;
        }
        let mut job = Job {
            id,
            kind: Kind::Filter,
            state: State::Running,
            created_by: self.caller.user,
            created: self.started,
            finished: None,
            filter: Some(self.filter.clone()),
            target: self.target.clone(),
            counts: Counts::default(),
            error: None,
        };
        store.create_job(&self.portal, &job).await?;
        tracing::info!(job = %id, plan = %self.plan, "job started");

        let outcome = self.pass(store, deadline, Some(Writing { job: id, at: self.started })).run().await;

        job.counts = outcome.counts;
        job.finished = Some(now());
        (job.state, job.error) = match &outcome.stopped {
            None => (State::Done, None),
            Some(Stopped::OutOfTime) => (State::Failed, Some("the time of one call was up".into())),
            // The cause may name what is inside; it goes to the log, not to the record that callers read.
            Some(Stopped::Failed(error)) => {
                tracing::error!(job = %id, error = error as &dyn std::error::Error, "job failed");
                (State::Failed, Some("the database did not take all changes".into()))
            }
        };
        // The contacts are changed by now, so a record that cannot be closed must not turn the answer into a failure:
        // it stays "running" with its chunks, which is what an interrupted job looks like.
        if let Err(error) = store.save_job(&self.portal, &job).await {
            tracing::error!(job = %id, error = &error as &dyn std::error::Error, "job record not closed");
        }
        tracing::info!(job = %id, state = ?job.state, counts = ?job.counts, "job ended");
        Ok(Report { job, outcome })
    }
}
