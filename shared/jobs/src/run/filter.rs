//! Sets access by filter: preview, limit, record, run now or queue.

use futures::stream::StreamExt as _;
use models::access::{Access, Actor};
use models::filter::Filter;
use models::filter::plan::Plan;
use models::job::{Counts, FilterTask, Job, JobId, State, Task};
use models::request::Page;
use models::values::id::PortalId;
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::keys::IndexPosition;

use crate::context::Jobs;
use crate::run::{Applied, Outcome, StartError, side_by_side};
use crate::shard::Deadline;
use crate::source::{Judged, MatchSource, NoPage, Purpose, Rights, Selection, Source, Terms, Verdict};
use crate::top::Top;

/// A run, planned before any contact is read.
#[derive(Clone, Debug)]
pub struct FilterRun {
    /// The portal.
    pub portal: PortalId,
    /// The actor on whose behalf the run acts.
    pub actor: Actor,
    /// The filter as requested; the job's record keeps it.
    pub filter: Filter,
    /// The plan of the filter.
    pub plan: Plan,
    /// Estimated number of index entries.
    pub expected: u64,
    /// The access to set.
    pub target: Access,
    /// The page of matches that the answer shows.
    pub page: Page,
    /// The number of changes above which nothing is written.
    pub max_affected: Option<u64>,
    /// When the run started.
    pub started: Timestamp,
    /// The standing rule that started the run.
    pub rule: Option<String>,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// More contacts would be changed than was allowed. Nothing was written.
    #[error("{would_change} contacts would be changed")]
    TooManyAffected {
        /// The number of changes.
        would_change: u64,
    },
    /// The preview missed its deadline. Nothing was written.
    #[error("the matches were not counted in time")]
    NotCounted,
    /// The user on whose behalf the run acts is no longer in the portal. Nothing was written.
    #[error("the user is no longer in the portal")]
    UserRemoved,
    /// The user has the maximum number of open jobs.
    #[error("the user has too many open jobs")]
    TooManyOpenJobs,
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

impl From<StartError> for RunError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::TooManyOpenJobs => Self::TooManyOpenJobs,
            StartError::Store(error) => Self::Store(error),
        }
    }
}

/// Returns the answer's page of the kept positions.
fn page_of(top: Top, page: Page) -> Vec<IndexPosition> {
    top.into_sorted().into_iter().skip(page.start_index).take(page.count).collect()
}

/// Counts the verdicts of a whole source, and passes to `show` the positions that an answer may show.
///
/// # Errors
///
/// [`RunError::NotCounted`] when the deadline comes first.
pub(crate) async fn preview_source(
    source: &mut Source<'_>,
    deadline: &Deadline,
    mut show: impl FnMut(IndexPosition),
) -> Result<Counts, RunError> {
    let mut counts = Counts::default();
    while !deadline.is_up() {
        let Some(step) = source.next().await? else { return Ok(counts) };
        for Judged { verdict, .. } in step.items {
            counts += verdict.counts();
            if let Verdict::Unchanged(Some(position)) | Verdict::Change(_, Some(position)) = verdict {
                show(position);
            }
        }
        if step.last {
            return Ok(counts);
        }
    }
    Err(RunError::NotCounted)
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

    /// Returns the result that [`Self::apply`] would have. Writes nothing. Costs half a read unit per match, and the
    /// index entries.
    ///
    /// # Errors
    ///
    /// [`RunError`]. There is no partial preview.
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
        let mut source = self.source(jobs, shard, Purpose::Preview);
        let mut top = Top::new(self.most());
        let counts = preview_source(&mut source, deadline, |position| top.offer(position)).await?;
        Ok((counts, top))
    }

    /// Returns a source of a shard's matches, from the beginning.
    fn source<'a>(&'a self, jobs: &'a Jobs, shard: u16, purpose: Purpose) -> Source<'a> {
        let rights = match purpose {
            // A preview uses the rights at the time of the call.
            Purpose::Preview => Rights::Known(self.actor),
            Purpose::Write(_) => {
                Rights::Current { store: &jobs.store, portal: &self.portal, author: self.actor.author() }
            }
        };
        let terms = Terms { rights, target: &self.target, purpose };
        let selection = Selection { filter: &self.filter, plan: &self.plan, started: self.started };
        Source::Matches(Box::new(MatchSource::new(jobs, &self.portal, selection, shard, None, terms)))
    }

    /// Returns the run's job record.
    pub fn job(&self, jobs: &Jobs, id: JobId, state: State, count_first: bool) -> Job {
        Job {
            id,
            state,
            created_by: self.actor.author(),
            created: self.started,
            started: (state == State::Running).then_some(self.started),
            finished: None,
            counts: Counts::default(),
            error: None,
            percent: 0,
            shards: self.plan.shards,
            expected: self.expected,
            changes_until: jobs.retention.map(|retention| self.started + retention),
            task: Task::Filter(Box::new(FilterTask {
                filter: self.filter.clone(),
                plan: self.plan.clone(),
                max_affected: self.max_affected.filter(|_| count_first),
                rule: self.rule.clone(),
                target: self.target.clone(),
            })),
        }
    }

    /// Records the run as a job for workers. With `count_first`, they check `max_affected` before they write.
    ///
    /// # Errors
    ///
    /// [`StartError`] when no job was recorded.
    pub async fn enqueue(&self, jobs: &Jobs, id: JobId, count_first: bool) -> Result<Job, StartError> {
        let job = self.job(jobs, id, State::Queued, count_first);
        tracing::info!(job = %id, shards = self.plan.shards, expected = self.expected, "job queued");
        jobs.enqueue(&self.portal, &job).await?;
        Ok(job)
    }

    /// Sets the access of every match until the deadline; workers do the rest. Writes the job's record before the first
    /// contact and once more at the end. Costs 1 write unit per changed contact and its share of a chunk.
    ///
    /// # Errors
    ///
    /// [`RunError`] when nothing was run.
    pub async fn apply(&self, jobs: &Jobs, id: JobId, deadline: &Deadline) -> Result<Applied, RunError> {
        if self.max_affected.is_some() {
            // Counting first reads everything twice. Only a caller that sets a limit pays for it.
            match self.preview(jobs, deadline).await {
                Ok(_) => {}
                Err(RunError::NotCounted) => {
                    return Ok(Applied::HandedOver(Box::new(self.enqueue(jobs, id, true).await?)));
                }
                Err(error) => return Err(error),
            }
        }
        let job = self.job(jobs, id, State::Running, false);
        tracing::info!(job = %id, shards = self.plan.shards, expected = self.expected, "job starts");
        let sources = (0..self.plan.shards).map(|shard| self.source(jobs, shard, Purpose::Write(id))).collect();
        let ran = jobs.run_now(&self.portal, job, sources, self.most(), deadline).await?;
        Ok(ran.applied(|top| page_of(top, self.page)))
    }
}
