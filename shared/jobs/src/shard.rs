//! One shard of a job: what its source yields is written, chunk by chunk, under a lease.

use std::collections::HashSet;
use std::time::Duration;

use models::access::Actor;
use models::job::{Change, Counts, Job};
use models::limits::{self, LEASE_MARGIN_MILLIS, LEASE_MILLIS, RENEW_MILLIS};
use models::values::id::{ContactId, LeaseOwner, PortalId};
use store::StoreError;
use store::contacts::AccessRecord;
use store::jobs::chunk_format::ChunkBuilder;
use store::jobs::{Chunk, Lease, Place, Progress, Saved, ShardFailure, ShardState};
use store::keys::Position;
use store::postings::Postings;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::context::Jobs;
use crate::source::{NoPage, Source, Step, Verdict};
use crate::top::Top;

/// How long a lease holds, from its last renewal.
const LEASE: Duration = Duration::from_millis(LEASE_MILLIS);
/// How much of a lease must be left for a write to be sent: one that is on its way may arrive as late.
const MARGIN: Duration = Duration::from_millis(LEASE_MARGIN_MILLIS);
/// After how long a lease is renewed where nothing is written that renews it.
const RENEW: Duration = Duration::from_millis(RENEW_MILLIS);

/// When a worker starts no new page. The current page is still finished.
#[derive(Clone, Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    told: Option<watch::Receiver<bool>>,
    turn_end: Option<Instant>,
}

impl Deadline {
    /// When it is through.
    pub fn never() -> Self {
        Self::default()
    }

    /// At an instant.
    pub fn at(at: Instant) -> Self {
        Self { at: Some(at), ..Self::default() }
    }

    /// When it is told to.
    pub fn when_told(told: watch::Receiver<bool>) -> Self {
        Self { told: Some(told), ..Self::default() }
    }

    /// The same deadline for a worker that hands its shard on after `turn`, so that others get their turn. Unlike a
    /// deadline, a turn ends only after a page, so that each turn makes progress.
    #[must_use]
    pub fn with_turn(self, turn: Duration) -> Self {
        Self { turn_end: Some(Instant::now() + turn), ..self }
    }

    /// Whether the turn is over.
    fn turn_is_over(&self) -> bool {
        self.turn_end.is_some_and(|end| Instant::now() >= end)
    }

    /// The same, or when it is told to, whichever comes first.
    #[must_use]
    pub fn or_when_told(self, told: Option<watch::Receiver<bool>>) -> Self {
        Self { told, ..self }
    }

    /// Whether it has come.
    pub fn is_up(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at) || self.told.as_ref().is_some_and(|told| *told.borrow())
    }

    /// The instant, if it is one.
    pub(crate) fn instant(&self) -> Option<Instant> {
        self.at
    }
}

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

/// On which condition access records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// On none: the last writer wins, at the price of a batch.
    None,
    /// If the access still is the one that was read.
    StillAsRead,
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
    positions: Vec<Position>,
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

    /// Until when it is sure that nobody else works on the shard.
    fn sure_until(&self) -> Instant {
        self.renewed + LEASE - MARGIN
    }

    fn lease(&self) -> Lease {
        Lease { owner: self.owner, until: lease_end(self.jobs) }
    }

    fn keep(&mut self, asked: Instant, saved: Saved) -> Result<(), Stopped> {
        match saved {
            Saved::Kept => {
                (self.renewed, self.got_on) = (asked, true);
                Ok(())
            }
            Saved::Cancelled => {
                self.renewed = asked;
                Err(Stopped::Cancelled)
            }
            Saved::Lost => Err(Stopped::Lost),
        }
    }

    /// Holds on to the shard where nothing was written for a while.
    async fn renew(&mut self) -> Result<(), Stopped> {
        if self.renewed.elapsed() < RENEW {
            return Ok(());
        }
        self.save().await
    }

    /// Records how far the shard is.
    async fn save(&mut self) -> Result<(), Stopped> {
        let asked = Instant::now();
        let lease = self.lease();
        let saved = self.jobs.store.save_progress(self.portal, self.job.id, self.shard, &lease, &self.progress).await?;
        self.recorded = self.progress;
        self.keep(asked, saved)
    }

    /// Records that the shard is through.
    async fn end(&mut self, place: Option<Place>) -> Result<(), Stopped> {
        self.progress.place = place;
        let number = self.progress.next_chunk;
        // What is done and stands in no chunk that is known here was done by another worker, and is counted in its chunk.
        if self.met_done && self.jobs.store.chunk(self.portal, self.job.id, self.shard, number).await?.is_some() {
            return Err(Stopped::Overtaken);
        }
        self.close(None).await
    }

    /// Closes the shard as it is: at its end, or before its end for a reason.
    pub(crate) async fn close(&mut self, failed: Option<ShardFailure>) -> Result<(), Stopped> {
        let lease = self.lease();
        let Self { jobs, portal, job, shard, progress, .. } = self;
        match jobs.store.end_shard(portal, job.id, *shard, &lease, progress, failed).await? {
            // The answer to a write that was made may be lost, and a second attempt finds the shard let go of.
            Saved::Lost => {
                let found = jobs.store.shard(portal, job.id, *shard).await?;
                if !(found.done && found.progress == *progress) {
                    return Err(Stopped::Lost);
                }
            }
            Saved::Kept | Saved::Cancelled => {}
        }
        self.ended = true;
        Ok(())
    }

    /// How often the shard was claimed without progress, once its work `stopped`, or ended to wait for other shards.
    ///
    /// A claim that is given back in order is no try: only a failure or a worker's death is. A worker that was overtaken
    /// leaves its try, by which the next worker knows that there may be a chunk to finish.
    pub(crate) fn tries_after(&self, claimed: &ShardState, stopped: Option<&Stopped>) -> u32 {
        match stopped {
            _ if self.got_on => 0,
            Some(Stopped::Failed(_) | Stopped::Overtaken) => claimed.tries,
            _ if self.progress != claimed.progress => 0,
            _ => claimed.tries.saturating_sub(1),
        }
    }

    /// How far the shard is for whoever takes it up next.
    pub(crate) fn releasable(&self, stopped: &Stopped) -> Progress {
        // What was counted beside another worker's chunk is counted again behind it.
        if matches!(stopped, Stopped::Overtaken) { self.recorded } else { self.progress }
    }

    /// Closes the shard as one that was given up. Of the chunk that it is at, what the table did not take has failed, and
    /// the rest is done.
    pub(crate) async fn give_up(&mut self) -> Result<(), Stopped> {
        if let Some(after) = self.open.take() {
            let unwritten = self.unwritten as u64;
            self.progress = after;
            self.progress.counts.updated = after.counts.updated.saturating_sub(unwritten);
            self.progress.counts.failed += unwritten;
        }
        self.close(Some(ShardFailure::GivenUp)).await
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

    /// Writes the open chunk, then its records, then how far the shard is.
    async fn flush(&mut self, place: Option<Place>, last: bool) -> Result<(), Stopped> {
        let mut counts = self.progress.counts;
        counts += self.pending;
        let number = self.progress.next_chunk;
        let looked = self.progress.looked + self.looked;
        let after = Progress { place, next_chunk: number + 1, looked, counts };
        let chunk = std::mem::take(&mut self.chunk);
        let changes = std::mem::take(&mut self.changes);
        let Self { jobs, portal, job, shard, .. } = *self;
        if Instant::now() >= self.sure_until() {
            return Err(Stopped::Lost);
        }
        // What its records are found by comes before them like the chunk itself, and beside it.
        let condition = if job.task.target().is_some() { Condition::None } else { Condition::StillAsRead };
        let postings = self.postings(&changes, condition);
        let (written, posted) = futures::join!(
            jobs.store.write_chunk(portal, job, shard, number, &chunk, &after),
            jobs.store.post(portal, &postings, jobs.now()),
        );
        if !written? {
            // Someone else got as far, or the answer to this very write was lost; what was written is as good.
            return Err(Stopped::Overtaken);
        }
        let open: Vec<&Change> = changes.iter().filter(|change| !change.conflict).collect();
        (self.open, self.unwritten) = (Some(after), open.len());
        posted?;
        let late = self.write(open.into_iter(), condition).await?;
        self.settle();
        self.finish_chunk(number, after, &late, last).await
    }

    /// The managers that are posted for a chunk before its records are written. What an undo restores is posted too: the
    /// posting that it had may have been compacted since.
    fn postings(&self, changes: &[Change], condition: Condition) -> Postings {
        let mut postings = Postings::default();
        for change in changes.iter().filter(|change| !change.conflict) {
            let Some(after) = change.after.as_ref().or(self.job.task.target()) else { continue };
            match condition {
                Condition::None => postings.add_all(change.contact, after),
                Condition::StillAsRead => postings.add(change.contact, &change.before, after),
            }
        }
        postings
    }

    /// Writes the records of changes, and says which were found changed by others since. One target for all is
    /// written whatever is there by now, the price of a batch; what differs from contact to contact only where the
    /// access is still the one that was read.
    async fn write(
        &mut self,
        changes: impl Iterator<Item = &Change>,
        condition: Condition,
    ) -> Result<Vec<ContactId>, Stopped> {
        let Self { jobs, portal, job, .. } = *self;
        let record = |access| AccessRecord { access, revision: job.id, set_by: job.created_by, set_at: job.created };
        let sure = self.sure_until();
        // A time limit that has passed still lets a future make one step.
        if Instant::now() >= sure {
            return Err(Stopped::Lost);
        }
        if condition == Condition::None
            && let Some(target) = job.task.target()
        {
            let contacts: Vec<ContactId> = changes.map(|change| change.contact).collect();
            let record = record(target);
            // Past the lease nothing more is sent: another worker may be finishing this very chunk.
            let written = timeout_at(sure, jobs.store.write_access(portal, contacts, &record)).await;
            let Ok((unwritten, error)) = written else { return Err(Stopped::Lost) };
            self.unwritten = unwritten;
            return error.map_or(Ok(Vec::new()), |error| Err(error.into()));
        }
        let records = changes
            .map(|change| {
                let access = change.after.as_ref().or(job.task.target());
                let access =
                    access.ok_or_else(|| StoreError::Corrupt("a change without what comes after it".into()))?;
                Ok((change.contact, change.revision, record(access)))
            })
            .collect::<Result<_, StoreError>>()?;
        let written = timeout_at(sure, jobs.store.write_access_where(portal, records)).await;
        let Ok(written) = written else { return Err(Stopped::Lost) };
        self.unwritten = written.unwritten;
        if let Some(error) = written.error {
            return Err(error.into());
        }
        if written.refused.is_empty() {
            return Ok(Vec::new());
        }
        // A write whose answer was lost is refused when it is sent again, and was made all the same.
        let accesses = jobs.store.current_access_of(portal, &written.refused).await?;
        let mut refused = Vec::new();
        for contact in written.refused {
            if accesses.of(contact)?.revision != Some(job.id) {
                refused.push(contact);
            }
        }
        Ok(refused)
    }

    /// Records that the records of a chunk are written, all but those that were found changed.
    async fn finish_chunk(
        &mut self,
        number: u32,
        mut after: Progress,
        late: &[ContactId],
        last: bool,
    ) -> Result<(), Stopped> {
        // What a filter set and someone else changed in the same moment is set and then changed; what an undo finds
        // changed is a conflict.
        if self.job.task.target().is_none() && !late.is_empty() {
            after.counts.updated = after.counts.updated.saturating_sub(late.len() as u64);
            after.counts.conflicts += late.len() as u64;
            self.jobs.store.write_late_conflicts(self.portal, self.job.id, self.shard, number, late).await?;
        }
        self.open = None;
        self.looked = 0;
        self.progress = after;
        if last { self.end(after.place).await } else { self.save().await }
    }

    /// Finishes a chunk that a worker before this one had written, from the chunk itself: the table may hold half of
    /// it. What someone else changed since then stays as it is. What is not written yet and `actor` may not change by now
    /// is taken out of the chunk; without an actor, who was removed, that is all that is not written yet.
    pub(crate) async fn resume(&mut self, number: u32, chunk: Chunk, actor: Option<&Actor>) -> Result<(), Stopped> {
        let Self { jobs, portal, job, .. } = *self;
        let open: Vec<&Change> = chunk.changes.iter().filter(|change| !change.conflict).collect();
        let ids: Vec<ContactId> = open.iter().map(|change| change.contact).collect();
        (self.open, self.unwritten) = (Some(chunk.after), open.len());
        // The worker before this one may have ended before it posted what it was to write.
        let postings = self.postings(&chunk.changes, Condition::StillAsRead);
        let (accesses, ()) = futures::try_join!(
            jobs.store.current_access_of(portal, &ids),
            jobs.store.post(portal, &postings, jobs.now())
        )?;
        let (mut same, mut other, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for change in open {
            match accesses.of(change.contact)?.revision {
                Some(revision) if revision == job.id => {}
                // A contact that had no record and has none may have been removed; then it is not to get one.
                None if change.revision.is_none() => bare.push(change),
                revision if revision == change.revision => same.push(change),
                _ => other.push(change),
            }
        }
        let ids: Vec<ContactId> = bare.iter().map(|change| change.contact).collect();
        let existing = jobs.store.existing(portal, &ids).await?;
        for change in bare {
            if existing.contains(&change.contact) { same.push(change) } else { other.push(change) }
        }
        let (same, void): (Vec<&Change>, Vec<&Change>) =
            same.into_iter().partition(|change| actor.is_some_and(|actor| may_write(job, actor, change)));
        let after = self.void(number, &chunk, &void, actor).await?;
        // Those that the worker before this one had found changed are to be counted still.
        let mut late: HashSet<ContactId> = chunk.late.into_iter().collect();
        late.extend(other.iter().map(|change| change.contact));
        late.extend(self.write(same.into_iter(), Condition::StillAsRead).await?);
        let late: Vec<ContactId> = late.into_iter().collect();
        self.finish_chunk(number, after, &late, false).await
    }

    /// Takes contacts out of a chunk, which the actor may no longer change, and says where the shard is behind the chunk
    /// without them. Those that the actor may see count as skipped, and others nowhere.
    async fn void(
        &mut self,
        number: u32,
        chunk: &Chunk,
        void: &[&Change],
        actor: Option<&Actor>,
    ) -> Result<Progress, Stopped> {
        let mut after = chunk.after;
        if void.is_empty() {
            return Ok(after);
        }
        let seen = void.iter().filter(|change| actor.is_some_and(|actor| actor.may_see(&change.before))).count() as u64;
        let all = void.len() as u64;
        after.counts.updated = after.counts.updated.saturating_sub(all);
        after.counts.skipped += seen;
        after.counts.matched = after.counts.matched.saturating_sub(all - seen);
        let contacts: Vec<ContactId> =
            chunk.void.iter().copied().chain(void.iter().map(|change| change.contact)).collect();
        self.jobs.store.void_changes(self.portal, self.job.id, self.shard, number, &contacts, &after).await?;
        self.open = Some(after);
        Ok(after)
    }
}

/// Whether the author of a job may still change a contact as a chunk says, which the contact's access is still as.
fn may_write(job: &Job, actor: &Actor, change: &Change) -> bool {
    match &change.after {
        Some(restored) if job.task.undo_of().is_some() => actor.may_restore(&change.before, restored),
        _ => actor.may_edit(&change.before),
    }
}

/// A name for a worker that asks for a lease.
pub(crate) fn new_owner() -> LeaseOwner {
    Uuid::now_v7().into()
}

/// When a lease that is had or renewed now ends.
pub(crate) fn lease_end(jobs: &Jobs) -> models::values::moment::Moment {
    jobs.now() + limits::duration(LEASE_MILLIS)
}
