//! One pass over the matches of a plan, writing or only counting.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use models::access::{Access, Caller};
use models::id::{ContactId, PortalId};
use models::job::{Before, Counts, JobId};
use models::limits::{MAX_SHARDS, RUN_GRACE_MILLIS};
use models::moment::Moment;
use models::plan::Plan;
use models::request::Page;
use store::chunk::{ChunkBuilder, MAX_CHUNK_CONTACTS};
use store::contacts::{AccessRecord, AccessState};
use store::jobs::Progress;
use store::keys::Position;
use store::matches::{Cursor, Match, MatchPage, Matches, PAGE_MATCHES};
use store::{Store, StoreError};
use tokio::time::{Instant, timeout_at};

use crate::top::Top;

/// Shards of one run that are worked through side by side.
pub const SHARDS_AT_ONCE: usize = 8;

// Pages and chunks are of one size, so that a run whose matches all change writes one chunk a page.
const _: () = assert!(PAGE_MATCHES == MAX_CHUNK_CONTACTS);
const _: () = assert!(SHARDS_AT_ONCE <= MAX_SHARDS as usize);

/// When a run stops taking up work; none: when it is through. What it is at by then it may still finish, for a short
/// grace.
pub type Deadline = Option<Instant>;

/// How long that grace is.
const GRACE: Duration = Duration::from_millis(RUN_GRACE_MILLIS);

/// Why a run ended before its end. What it had done by then is counted and stays done.
#[derive(Debug)]
pub enum Stopped {
    /// Its time was up.
    OutOfTime,
    /// The table failed.
    Failed(StoreError),
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done, or in a preview would be.
    pub counts: Counts,
    /// The page of the answer: contacts that the caller may edit, latest first.
    pub page: Vec<Position>,
    /// Why it ended early, if it did.
    pub stopped: Option<Stopped>,
}

/// What the matches of a plan are to become, on whose behalf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) store: &'a Store,
    pub(crate) portal: &'a PortalId,
    pub(crate) plan: &'a Plan,
    pub(crate) caller: Caller,
    pub(crate) target: &'a Access,
    pub(crate) page: Page,
    pub(crate) deadline: Deadline,
    /// The job that writes; none in a preview.
    pub(crate) job: Option<Writing>,
}

/// The job on whose behalf a pass writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    pub(crate) job: JobId,
    pub(crate) at: Moment,
}

impl Pass<'_> {
    /// Works through every shard. A shard that fails does not stop the others: what they do is done.
    pub(crate) async fn run(&self) -> Outcome {
        let most = self.page.start_index.saturating_add(self.page.count);
        let mut top = Top::new(most);
        let mut outcome = Outcome::default();
        let mut shards = stream::iter(0..self.plan.shards)
            .map(|shard| async move {
                let mut work = ShardWork::new(self, shard, most);
                let stopped = match self.deadline {
                    // Cut off in the middle of a chunk, what was settled before it counts. The chunk itself tells
                    // what may have been written of it.
                    Some(deadline) => {
                        timeout_at(deadline + GRACE, work.run()).await.unwrap_or(Some(Stopped::OutOfTime))
                    }
                    None => work.run().await,
                };
                (work, stopped)
            })
            .buffer_unordered(SHARDS_AT_ONCE);
        while let Some((work, stopped)) = shards.next().await {
            outcome.counts += work.counts;
            top.merge(work.top);
            // A failure says more than a time limit, which other shards will have met as well.
            match (&outcome.stopped, stopped) {
                (Some(Stopped::Failed(_)), _) | (_, None) => {}
                (_, stopped) => outcome.stopped = stopped,
            }
        }
        let mut latest = top.into_sorted();
        // A contact that moved between partitions while the run was under way may have been met twice.
        latest.dedup();
        outcome.page = latest.into_iter().skip(self.page.start_index).take(self.page.count).collect();
        outcome
    }
}

/// A page of matches with the access of each.
struct Prepared {
    page: MatchPage,
    states: HashMap<ContactId, AccessState>,
}

/// One shard of a pass.
struct ShardWork<'a> {
    pass: &'a Pass<'a>,
    shard: u16,
    /// What was done.
    counts: Counts,
    top: Top,
    /// What was looked at since then.
    pending: Counts,
    chunk: ChunkBuilder,
    contacts: Vec<ContactId>,
    positions: Vec<Position>,
    /// Behind the last contact that was looked at.
    cursor: Cursor,
    next_chunk: u32,
}

impl<'a> ShardWork<'a> {
    fn new(pass: &'a Pass<'a>, shard: u16, most: usize) -> Self {
        Self {
            pass,
            shard,
            counts: Counts::default(),
            top: Top::new(most),
            pending: Counts::default(),
            chunk: ChunkBuilder::default(),
            contacts: Vec::new(),
            positions: Vec::new(),
            cursor: Cursor::default(),
            next_chunk: 0,
        }
    }

    async fn run(&mut self) -> Option<Stopped> {
        let pass = self.pass;
        let mut matches = Matches::new(pass.store, pass.portal, pass.plan, self.shard, Cursor::default());
        let late = || pass.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late() {
            return Some(Stopped::OutOfTime);
        }
        let mut ahead = prepare(pass, &mut matches).await;
        loop {
            let prepared = match ahead {
                Ok(Some(prepared)) => prepared,
                Ok(None) => return None,
                Err(error) => return Some(Stopped::Failed(error)),
            };
            if late() {
                return Some(Stopped::OutOfTime);
            }
            let (read, taken) = futures::join!(prepare(pass, &mut matches), self.take(prepared));
            if let Err(error) = taken {
                return Some(Stopped::Failed(error));
            }
            ahead = read;
        }
    }

    /// Takes up a page, and leaves nothing of it open: what is to change is written before the next page is taken, so
    /// that little time passes between the reading of an access and its writing.
    async fn take(&mut self, prepared: Prepared) -> Result<(), StoreError> {
        let mut met = HashSet::with_capacity(prepared.page.matches.len());
        for found in &prepared.page.matches {
            // A contact that was moved behind the reading is met again; the same records cannot be written side by side.
            if met.insert(found.position.contact) {
                self.take_one(found, prepared.states.get(&found.position.contact)).await?;
            }
            self.cursor = found.cursor;
        }
        self.cursor = prepared.page.next.unwrap_or(self.end());
        self.flush().await?;
        self.settle();
        Ok(())
    }

    /// Behind the last contact of the shard.
    fn end(&self) -> Cursor {
        Cursor { partition: self.pass.plan.source.partitions(), after: None }
    }

    async fn take_one(&mut self, found: &Match, state: Option<&AccessState>) -> Result<(), StoreError> {
        let public = AccessState::default();
        let state = state.unwrap_or(&public);
        let Pass { caller, target, job, .. } = *self.pass;
        if job.is_some_and(|writing| state.revision == Some(writing.job)) {
            // It was moved to another partition while the run was under way, and is done.
            return Ok(());
        }
        if !caller.may_see(&state.access) {
            return Ok(());
        }
        if !caller.may_edit(&state.access) {
            self.pending.matched += 1;
            self.pending.skipped += 1;
            return Ok(());
        }
        if state.access == *target {
            self.pending.matched += 1;
            self.pending.unchanged += 1;
            self.positions.push(found.position);
            return Ok(());
        }
        if job.is_some() {
            let entry =
                Before { contact: found.position.contact, access: state.access.clone(), revision: state.revision };
            if !self.chunk.push(&entry) {
                self.flush().await?;
                self.chunk.push(&entry);
            }
            self.contacts.push(found.position.contact);
        }
        self.pending.matched += 1;
        self.pending.updated += 1;
        self.positions.push(found.position);
        Ok(())
    }

    /// Counts what was looked at as done.
    fn settle(&mut self) {
        self.counts += std::mem::take(&mut self.pending);
        self.positions.drain(..).for_each(|position| self.top.offer(position));
    }

    /// Writes the open chunk, then its records, then how far the shard is.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let Pass { store, portal, target, caller, job, .. } = *self.pass;
        let (Some(Writing { job, at }), false) = (job, self.chunk.is_empty()) else { return Ok(()) };
        let mut counts = self.counts;
        counts += self.pending;
        let after = Progress { cursor: self.cursor, next_chunk: self.next_chunk + 1, counts };
        store.write_chunk(portal, job, self.shard, self.next_chunk, &self.chunk, &after).await?;
        self.chunk = ChunkBuilder::default();
        self.next_chunk += 1;
        let record = AccessRecord { access: target, revision: job, set_by: caller.user, set_at: at };
        let (unwritten, error) = store.write_access(portal, self.contacts.drain(..), &record).await;
        if let Some(error) = error {
            // What was written is done; only what was refused is not.
            self.pending.updated = self.pending.updated.saturating_sub(unwritten as u64);
            self.settle();
            return Err(error);
        }
        self.settle();
        store.save_progress(portal, job, self.shard, &after).await
    }
}

/// Reads the next page and the access of its contacts.
async fn prepare(pass: &Pass<'_>, matches: &mut Matches<'_>) -> Result<Option<Prepared>, StoreError> {
    let Some(page) = matches.next().await? else { return Ok(None) };
    let ids: Vec<ContactId> = page.matches.iter().map(|found| found.position.contact).collect();
    let states = pass.store.access_of(pass.portal, &ids).await?;
    Ok(Some(Prepared { page, states }))
}
