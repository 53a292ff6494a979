//! One shard of a job: writes the contacts of its source, chunk by chunk, under a lease.

mod deadline;
mod lease;
mod writes;

use models::job::{Change, Counts, Job};
use models::values::id::{LeaseOwner, PortalId};
use store::StoreError;
use store::jobs::chunk_format::ChunkBuilder;
use store::jobs::{Progress, Saved};
use store::keys::IndexPosition;
use tokio::time::Instant;

use crate::context::Jobs;
use crate::source::{NoPage, Source, Step, Verdict};
use crate::top::Top;

pub use deadline::Deadline;
pub(crate) use lease::{lease_end, new_owner};

/// Why the work on a shard stopped before its end. Finished work is recorded.
#[derive(Debug)]
pub enum Stopped {
    /// The deadline passed.
    OutOfTime,
    /// A caller cancelled the job; the shard is closed.
    Cancelled,
    /// The deadline passed during a write.
    CutOff,
    /// Another worker has the shard.
    Lost,
    /// Another worker worked on the shard at the same time and wrote a chunk that must be finished first.
    Overtaken,
    /// The user on whose behalf the job acts is no longer in the portal.
    UserRemoved,
    /// The table failed.
    Failed(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<NoPage> for Stopped {
    fn from(reason: NoPage) -> Self {
        match reason {
            NoPage::UserRemoved => Self::UserRemoved,
            NoPage::Store(error) => Self::Failed(error),
        }
    }
}

/// Work in progress on a shard of a job.
#[derive(Debug)]
pub(crate) struct ShardWork<'a> {
    jobs: &'a Jobs,
    portal: &'a PortalId,
    job: &'a Job,
    shard: u16,
    owner: LeaseOwner,
    renewed: Instant,
    /// The current progress. It is ahead of `recorded` if the last pages had nothing to write.
    pub(crate) progress: Progress,
    /// The recorded progress.
    recorded: Progress,
    /// Counts of the items judged since `progress`.
    pending: Counts,
    /// Items read since `progress`.
    looked: u64,
    /// Whether a contact was met that the job has already changed.
    met_done: bool,
    chunk: ChunkBuilder,
    changes: Vec<Change>,
    /// Positions of the pending contacts that an answer may show.
    positions: Vec<IndexPosition>,
    pub(crate) top: Top,
    /// The progress after the open chunk, if there is one.
    open: Option<Progress>,
    /// Records of the open chunk that are not written.
    unwritten: usize,
    /// Whether progress was recorded.
    pub(crate) got_on: bool,
    ended: bool,
}

impl<'a> ShardWork<'a> {
    /// Returns the work on a shard from `progress` on, for `owner`, whose lease was renewed at `renewed`. Keeps the
    /// latest `most` contacts for an answer.
    pub(crate) fn new(
        jobs: &'a Jobs,
        (portal, job, shard): (&'a PortalId, &'a Job, u16),
        owner: LeaseOwner,
        renewed: Instant,
        progress: Progress,
        most: usize,
    ) -> Self {
        Self {
            jobs,
            portal,
            job,
            shard,
            owner,
            renewed,
            progress,
            recorded: progress,
            pending: Counts::default(),
            looked: 0,
            met_done: false,
            chunk: ChunkBuilder::default(),
            changes: Vec::new(),
            positions: Vec::new(),
            top: Top::new(most),
            open: None,
            got_on: false,
            unwritten: 0,
            ended: false,
        }
    }

    /// Works to the end of the shard.
    pub(crate) async fn run(&mut self, source: &mut Source<'_>, deadline: &Deadline) -> Result<(), Stopped> {
        if deadline.is_up() {
            return Err(Stopped::OutOfTime);
        }
        let mut ahead = source.next().await;
        while let Some(step) = ahead? {
            if deadline.is_up() {
                return Err(Stopped::OutOfTime);
            }
            // Read the next page while the current page is written.
            let (read, taken) = futures::join!(source.next(), self.take(step));
            taken?;
            if deadline.turn_is_over() && !self.ended {
                return Err(Stopped::OutOfTime);
            }
            ahead = read;
        }
        if self.ended { Ok(()) } else { self.end(self.progress.place).await }
    }

    /// Processes a page and writes all its changes before the next page, so that little time passes between reading an
    /// access and writing it.
    async fn take(&mut self, step: Step) -> Result<(), Stopped> {
        let mut place = self.progress.place;
        for item in step.items {
            let counts = item.verdict.counts();
            match item.verdict {
                Verdict::Hidden | Verdict::Skipped => {}
                Verdict::Done => self.met_done = true,
                Verdict::Unchanged(position) => self.positions.extend(position),
                Verdict::Change(change, position) => {
                    if !self.chunk.push(&change) {
                        self.flush(place, false).await?;
                        self.chunk.push(&change);
                    }
                    self.changes.push(change);
                    self.positions.extend(position);
                }
            }
            self.pending += counts;
            place = Some(item.behind);
        }
        self.looked = step.looked;
        if self.chunk.is_empty() {
            self.progress.place = Some(step.behind);
            self.settle();
            if step.last {
                return self.end(Some(step.behind)).await;
            }
            return self.renew().await;
        }
        self.flush(Some(step.behind), step.last).await
    }

    /// Adds the pending counts and positions to the progress.
    fn settle(&mut self) {
        self.progress.counts += std::mem::take(&mut self.pending);
        self.progress.looked += std::mem::take(&mut self.looked);
        self.positions.drain(..).for_each(|position| self.top.offer(position));
    }

    /// Counts the changes without writing them, and records their number.
    pub(crate) async fn count(&mut self, source: &mut Source<'_>, deadline: &Deadline) -> Result<(), Stopped> {
        while let Some(step) = source.next().await? {
            if deadline.is_up() {
                return Err(Stopped::OutOfTime);
            }
            self.progress.counts.updated +=
                step.items.iter().filter(|item| matches!(item.verdict, Verdict::Change(..))).count() as u64;
            self.progress.place = Some(step.behind);
            self.progress.looked += step.looked;
            self.renew().await?;
            if deadline.turn_is_over() {
                return Err(Stopped::OutOfTime);
            }
        }
        let (lease, counted) = (self.lease(), self.progress.counts.updated);
        match self.jobs.store.save_counted(self.portal, self.job.id, self.shard, &lease, counted).await? {
            Saved::Kept => Ok(()),
            Saved::Cancelled => Err(Stopped::Cancelled),
            Saved::Lost => Err(Stopped::Lost),
        }
    }
}
