//! Sets access by filter: preview, limit, record, run now or queue.

use futures::stream::StreamExt as _;
use jiff::SignedDuration;
use models::access::{Actor, Target};
use models::filter::Filter;
use models::filter::plan::Plan;
use models::job::{Counts, FilterTask, Job, JobId, NewJob, PreviewTask, Task};
use models::limits::PREVIEW_HOURS;
use models::request::Page;
use models::values::id::PortalId;
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::keys::IndexPosition;

use crate::context::Jobs;
use crate::run::{Applied, LatestPositions, Outcome, RunEnd, StartError, concurrently};
use crate::shard::Deadline;
use crate::source::{Judged, MatchSource, NoPage, PageKind, Purpose, Rights, Selection, Source, Terms, Verdict};
use crate::worker::shard_limits;

/// Returns the time at which a preview expires.
pub(crate) fn preview_end(started: Timestamp) -> Timestamp {
    started + SignedDuration::from_hours(PREVIEW_HOURS)
}

/// A run over the contacts that a filter selects.
#[derive(Clone, Debug)]
pub struct FilterRun {
    /// The portal.
    pub portal: PortalId,
    /// The actor on whose behalf the run acts.
    pub actor: Actor,
    /// The filter of the request. The job's record stores the filter.
    pub filter: Filter,
    /// The plan of the filter.
    pub plan: Plan,
    /// Estimated number of index entries that the plan reads.
    pub expected: u64,
    /// The change of each contact's access.
    pub target: Target,
    /// The page of matches that the answer shows.
    pub page: Page,
    /// Maximum number of changes. A run that would change more contacts writes nothing.
    pub max_affected: Option<u64>,
    /// When the run started.
    pub started: Timestamp,
    /// The standing rule that started the run.
    pub rule: Option<String>,
    /// The note that the job shows.
    pub note: Option<String>,
}

/// The reason why a run wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// More contacts would change than `max_affected` allows. Nothing was written.
    #[error("{would_change} contacts would be changed")]
    TooManyAffected {
        /// The number of changes.
        would_change: u64,
    },
    /// The preview missed its deadline. Nothing was written.
    #[error("the matches were not counted before the deadline")]
    NotCounted,
    /// The user on whose behalf the run acts is no longer in the portal. Nothing was written.
    #[error("the user is no longer in the portal")]
    UserRemoved,
    /// The run's job was not recorded.
    #[error(transparent)]
    NotStarted(#[from] StartError),
    /// The table failed before the first contact was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NoPage> for RunError {
    fn from(reason: NoPage) -> Self {
        match reason {
            NoPage::UserRemoved => Self::UserRemoved,
            NoPage::Store(error) => Self::Store(error),
        }
    }
}

/// Counts the verdicts of a whole source. Passes the positions that an answer may show to `found`.
///
/// # Errors
///
/// [`RunError::NotCounted`] when the deadline passes before the source ends.
pub(crate) async fn preview_source(
    source: &mut Source<'_>,
    deadline: &Deadline,
    mut found: impl FnMut(IndexPosition),
) -> Result<Counts, RunError> {
    let mut counts = Counts::default();
    while !deadline.is_up() {
        let Some(step) = source.next().await? else { return Ok(counts) };
        for Judged { verdict, .. } in step.items {
            counts += verdict.counts();
            if let Verdict::Unchanged(Some(position)) | Verdict::Change(_, Some(position)) = verdict {
                found(position);
            }
        }
        if step.kind == PageKind::Last {
            return Ok(counts);
        }
    }
    Err(RunError::NotCounted)
}

impl FilterRun {
    /// Returns the number of positions up to the end of the answer's page.
    fn position_limit(&self) -> usize {
        self.page.start_index.saturating_add(self.page.count)
    }

    fn check_limit(&self, counts: &Counts) -> Result<(), RunError> {
        match self.max_affected {
            Some(limit) if counts.updated > limit => Err(RunError::TooManyAffected { would_change: counts.updated }),
            _ => Ok(()),
        }
    }

    /// Returns the result that [`Self::apply`] would produce. Writes nothing. Costs half a read unit per match, and 1
    /// read unit per 8 KB of index entries.
    ///
    /// # Errors
    ///
    /// [`RunError`]. There is no partial preview.
    pub async fn preview(&self, jobs: &Jobs, deadline: &Deadline) -> Result<Outcome, RunError> {
        Ok(self.count(jobs, deadline).await?.0)
    }

    /// Returns the result that [`Self::apply`] would produce, and the number of changes of each shard.
    async fn count(&self, jobs: &Jobs, deadline: &Deadline) -> Result<(Outcome, Vec<u64>), RunError> {
        let jobs = &jobs.for_bulk();
        let mut latest = LatestPositions::new(self.position_limit());
        let mut outcome = Outcome::default();
        let mut changes = vec![0; usize::from(self.plan.shards)];
        let shards = changes.iter_mut().zip(0..).map(|(changes, shard)| async move {
            let (counts, latest) = self.preview_shard(jobs, shard, deadline).await?;
            *changes = counts.updated;
            Ok::<_, RunError>((counts, latest))
        });
        let mut shards = concurrently(shards);
        while let Some(shard) = shards.next().await {
            let (counts, shard_latest) = shard?;
            outcome.counts += counts;
            latest.merge(shard_latest);
        }
        drop(shards);
        self.check_limit(&outcome.counts)?;
        outcome.page = latest.page(self.page);
        Ok((outcome, changes))
    }

    async fn preview_shard(
        &self,
        jobs: &Jobs,
        shard: u16,
        deadline: &Deadline,
    ) -> Result<(Counts, LatestPositions), RunError> {
        let mut source = self.source(jobs, shard, Purpose::Count);
        let mut latest = LatestPositions::new(self.position_limit());
        let counts = preview_source(&mut source, deadline, |position| latest.offer(position)).await?;
        Ok((counts, latest))
    }

    /// Returns a source of a shard's matches, from the beginning.
    fn source<'a>(&'a self, jobs: &'a Jobs, shard: u16, purpose: Purpose) -> Source<'a> {
        let rights = match purpose {
            // A preview uses the rights at the time of the call.
            Purpose::Count => Rights::Known(self.actor),
            Purpose::Record(_) | Purpose::Write(_) => {
                Rights::Current { store: &jobs.store, portal: &self.portal, author: self.actor.author() }
            }
        };
        let terms = Terms { rights, criteria: self.filter.access, target: &self.target, purpose };
        let selection = Selection { filter: &self.filter, plan: &self.plan, started: self.started };
        Source::Matches(Box::new(MatchSource::new(jobs, &self.portal, selection, shard, None, terms)))
    }

    /// Returns the record of the run's job for workers. The workers check `max_affected` before they write.
    pub(crate) fn queued_job(&self, jobs: &Jobs, id: JobId) -> Job {
        self.record(jobs, id, self.max_affected).queued()
    }

    /// Returns the run's job record. `unchecked_limit` is `max_affected`, if the changes are not counted yet.
    fn record(&self, jobs: &Jobs, id: JobId, unchecked_limit: Option<u64>) -> NewJob {
        NewJob {
            id,
            created_by: self.actor.author(),
            created: self.started,
            shards: self.plan.shards,
            expected: self.expected,
            changes_until: jobs.changes_until(self.started),
            note: self.note.clone(),
            task: Task::Filter(Box::new(self.task(unchecked_limit))),
        }
    }

    fn task(&self, max_affected: Option<u64>) -> FilterTask {
        FilterTask {
            filter: self.filter.clone(),
            plan: self.plan.clone(),
            max_affected,
            shard_limits: Vec::new(),
            rule: self.rule.clone(),
            target: self.target.clone(),
        }
    }

    /// Records a preview of the run as a job for workers. The workers record the changes and write no contact.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn enqueue_preview(&self, jobs: &Jobs, id: JobId) -> Result<Job, StartError> {
        let preview = NewJob {
            changes_until: Some(preview_end(self.started)),
            task: Task::Preview(PreviewTask::Filter(Box::new(self.task(self.max_affected)))),
            ..self.record(jobs, id, None)
        };
        let job = preview.queued();
        tracing::info!(job = %id, shards = self.plan.shards, expected = self.expected, "preview queued");
        jobs.enqueue(&self.portal, &job).await?;
        Ok(job)
    }

    /// Records the run as a job for workers. The workers check `max_affected` before they write.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn enqueue(&self, jobs: &Jobs, id: JobId) -> Result<Job, StartError> {
        let job = self.queued_job(jobs, id);
        tracing::info!(job = %id, shards = self.plan.shards, expected = self.expected, "job queued");
        jobs.enqueue(&self.portal, &job).await?;
        Ok(job)
    }

    /// Sets the access of every match until the deadline. Workers process the remaining matches. Writes the job's
    /// record before the first contact and again at the end. Costs 1 write unit per changed contact and its share of a
    /// chunk.
    ///
    /// # Errors
    ///
    /// [`RunError`] when the run wrote nothing.
    pub async fn apply(&self, jobs: &Jobs, id: JobId, deadline: &Deadline) -> Result<Applied, RunError> {
        let mut limits = Vec::new();
        if let Some(limit) = self.max_affected {
            // A count before the writes reads all matches twice, so only a run with a limit counts first.
            match self.count(jobs, deadline).await {
                Ok((_, changes)) => limits = shard_limits(&changes, limit),
                Err(RunError::NotCounted) => {
                    return Ok(Applied::Requeued(Box::new(self.enqueue(jobs, id).await?)));
                }
                Err(error) => return Err(error),
            }
        }
        let jobs = &jobs.for_bulk();
        let task = FilterTask { shard_limits: limits, ..self.task(None) };
        let job = NewJob { task: Task::Filter(Box::new(task)), ..self.record(jobs, id, None) }.running();
        tracing::info!(job = %id, shards = self.plan.shards, expected = self.expected, "job starts");
        let sources = (0..self.plan.shards).map(|shard| self.source(jobs, shard, Purpose::Write(id))).collect();
        let ran = jobs.run_now(&self.portal, job, sources, self.position_limit(), deadline).await?;
        match ran.end {
            // The job's record shows that more contacts came to match, and that the job changed none.
            RunEnd::OverLimit { found } if ran.job.counts.updated == 0 => {
                Err(RunError::TooManyAffected { would_change: found })
            }
            _ => Ok(ran.applied(self.page)),
        }
    }
}
