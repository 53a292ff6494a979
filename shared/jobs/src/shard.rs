//! One shard of a job: what its source yields is written, chunk by chunk, under a lease.

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

/// Why the work on a shard ended before its end. What was done by then is recorded.
#[derive(Debug)]
pub enum Stopped {
    /// Its time was up.
    OutOfTime,
    /// A caller cancelled the job; the shard is closed.
    Cancelled,
    /// Its time was up while it was writing.
    CutOff,
    /// Someone else works on it.
    Lost,
    /// Someone else worked on it at the same time and wrote a chunk that is to be finished first.
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

/// A shard of a job at work.
#[derive(Debug)]
pub(crate) struct ShardWork<'a> {
    jobs: &'a Jobs,
    portal: &'a PortalId,
    job: &'a Job,
    shard: u16,
    owner: LeaseOwner,
    renewed: Instant,
    /// What is recorded, or would be if there had been anything to write.
    pub(crate) progress: Progress,
    /// What is recorded.
    recorded: Progress,
    /// What was looked at since then.
    pending: Counts,
    /// How much of it.
    looked: u64,
    /// Whether something was met that the job has done already.
    met_done: bool,
    chunk: ChunkBuilder,
    changes: Vec<Change>,
    /// What an answer shows of it.
    positions: Vec<IndexPosition>,
    pub(crate) top: Top,
    /// Where the shard is once the chunk is written that it is at, if there is one.
    open: Option<Progress>,
    /// How many of that chunk's records the table did not take.
    unwritten: usize,
    /// Whether it was recorded that the shard got on.
    pub(crate) got_on: bool,
    ended: bool,
}

impl<'a> ShardWork<'a> {
    /// The work on a shard that `owner` has had a lease of since `renewed`, from `progress` on. It keeps the latest
    /// `most` contacts for an answer.
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
            // While one page is written the next is read.
            let (read, taken) = futures::join!(source.next(), self.take(step));
            taken?;
            if deadline.turn_is_over() && !self.ended {
                return Err(Stopped::OutOfTime);
            }
            ahead = read;
        }
        if self.ended { Ok(()) } else { self.end(self.progress.place).await }
    }

    /// Takes up a page, and leaves nothing of it open: what is to change is written before the next page is taken, so
    /// that little time passes between the reading of an access and its writing.
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

    /// Counts what was looked at as done.
    fn settle(&mut self) {
        self.progress.counts += std::mem::take(&mut self.pending);
        self.progress.looked += std::mem::take(&mut self.looked);
        self.positions.drain(..).for_each(|position| self.top.offer(position));
    }

    /// Records what was counted, instead of writing it.
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
