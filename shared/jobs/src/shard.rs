//! One shard of a job: writes the contacts of its source, chunk by chunk, under a lease.

mod deadline;
mod effect;
mod lease;
mod writes;

use models::job::{Change, Counts, Job};
use models::values::id::{ContactId, PortalId};
use store::StoreError;
use store::dynamodb::batch::Priority;
use store::jobs::Progress;
use store::jobs::chunk_format::ChunkBuilder;
use store::keys::IndexPosition;

use crate::context::Jobs;
use crate::run::LatestPositions;
use crate::shard::effect::EffectWork;
use crate::source::{NoPage, PageKind, Source, Step, Verdict};

pub use deadline::Deadline;
pub(crate) use lease::{ClaimEnd, HeldLease, lease_end};

/// One shard of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardRef<'a> {
    /// The job's portal.
    pub(crate) portal: &'a PortalId,
    /// The job.
    pub(crate) job: &'a Job,
    /// The number of the shard.
    pub(crate) number: u16,
}

/// The reason why the work on a shard stopped early. The finished work is recorded.
#[derive(Debug)]
pub enum Stopped {
    /// The deadline passed.
    OutOfTime,
    /// A caller cancelled the job; the shard is closed.
    Cancelled,
    /// The deadline passed during a write.
    CutOff,
    /// Another worker holds the shard.
    Lost,
    /// Another worker worked on the shard concurrently and wrote a chunk that must be finished first.
    Overtaken,
    /// The user on whose behalf the job acts is no longer in the portal.
    UserRemoved,
    /// The shard would change more contacts than its part of `maxAffected` allows. The changes of the last page are not
    /// written.
    OverLimit {
        /// The changes that the shard has made or found.
        found: u64,
    },
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
    /// The priority of the writes.
    priority: Priority,
    lease: HeldLease,
    /// The current progress. The recorded progress is older if the last pages had nothing to write.
    pub(crate) progress: Progress,
    /// The recorded progress.
    recorded: Progress,
    /// Counts of the items judged after `progress`.
    pending: Counts,
    /// Number of items read after `progress`.
    examined: u64,
    /// True if the source returned a contact that the job has already changed.
    found_done: bool,
    chunk: ChunkBuilder,
    changes: Vec<Change>,
    /// Positions of the pending contacts that an answer may show.
    positions: Vec<IndexPosition>,
    /// Contacts that a call named and the shard left unchanged, because others changed or removed them meanwhile.
    pub(crate) left_out: Vec<ContactId>,
    /// Maximum changes of the shard: its part of `maxAffected`, if the job has this limit.
    pub(crate) max_changes: Option<u64>,
    /// The effect of a preview's changes on users; none for other jobs.
    effect: Option<Box<EffectWork>>,
    pub(crate) latest: LatestPositions,
    /// True once progress was recorded.
    pub(crate) made_progress: bool,
    ended: bool,
}

impl<'a> ShardWork<'a> {
    /// Returns the work on a shard, which starts at `progress` under a lease. Stores the latest `limit` positions for
    /// an answer.
    pub(crate) fn new(
        jobs: &'a Jobs,
        shard: ShardRef<'a>,
        priority: Priority,
        lease: HeldLease,
        progress: Progress,
        limit: usize,
    ) -> Self {
        let ShardRef { portal, job, number } = shard;
        Self {
            jobs,
            portal,
            job,
            shard: number,
            priority,
            lease,
            progress,
            recorded: progress,
            pending: Counts::default(),
            examined: 0,
            found_done: false,
            chunk: ChunkBuilder::default(),
            changes: Vec::new(),
            positions: Vec::new(),
            left_out: Vec::new(),
            max_changes: None,
            effect: None,
            latest: LatestPositions::new(limit),
            made_progress: false,
            ended: false,
        }
    }

    /// Processes the shard to its end.
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
            let (next, processed) = futures::join!(source.next(), self.process(step));
            processed?;
            if deadline.turn_has_ended() && !self.ended {
                return Err(Stopped::OutOfTime);
            }
            ahead = next;
        }
        if self.ended { Ok(()) } else { self.end(self.progress.checkpoint).await }
    }

    /// Processes a page. Writes all changes of the page before the shard reads the next page, so that little time passes
    /// between reading and writing an access.
    async fn process(&mut self, step: Step) -> Result<(), Stopped> {
        let mut checkpoint = self.progress.checkpoint;
        for item in step.items {
            let counts = item.verdict.counts();
            match item.verdict {
                Verdict::Hidden | Verdict::Skipped | Verdict::Failed => {}
                Verdict::Done => self.found_done = true,
                Verdict::Unchanged(position) => self.positions.extend(position),
                Verdict::Change(change, position) => {
                    if !self.chunk.push(&change) {
                        self.flush(checkpoint, PageKind::Inner).await?;
                        self.chunk.push(&change);
                    }
                    self.changes.push(change);
                    self.positions.extend(position);
                }
            }
            self.pending += counts;
            checkpoint = Some(item.after);
        }
        self.examined = step.examined;
        if self.chunk.is_empty() {
            self.progress.checkpoint = Some(step.after);
            self.add_pending();
            return match step.kind {
                PageKind::Last => self.end(Some(step.after)).await,
                PageKind::Inner => self.renew().await,
            };
        }
        self.flush(Some(step.after), step.kind).await
    }

    /// Adds the pending counts and positions to the progress.
    fn add_pending(&mut self) {
        self.progress.counts += std::mem::take(&mut self.pending);
        self.progress.examined += std::mem::take(&mut self.examined);
        self.positions.drain(..).for_each(|position| self.latest.offer(position));
    }
}
