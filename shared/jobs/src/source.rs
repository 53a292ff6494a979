//! What a shard of a job is about, page by page: the matches of a plan, or the changes of the job that is undone.

use std::collections::{HashMap, HashSet};

use models::access::{Access, Caller};
use models::id::{ContactId, PortalId};
use models::job::{Change, JobId};
use models::plan::Plan;
use store::contacts::AccessState;
use store::jobs::Place;
use store::keys::Position;
use store::matches::{Cursor, MatchPage, Matches};
use store::{Store, StoreError};

/// A page of what a shard is about, judged.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) items: Vec<Judged>,
    /// Index entries or changes that were looked at for it.
    pub(crate) looked: u64,
    /// Where the reading goes on behind it.
    pub(crate) behind: Place,
    /// Whether nothing follows. Unset, something may.
    pub(crate) last: bool,
}

/// A contact, and where the reading goes on behind it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) behind: Place,
}

/// What is to become of a contact.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It does not exist for the caller, or is met twice.
    Hidden,
    /// It is done by this very job.
    Done,
    /// The caller may not edit it.
    Skipped,
    /// It is as asked.
    Unchanged(Option<Position>),
    /// It is to change, or is a conflict.
    Change(Change, Option<Position>),
}

/// Where a shard's pages come from.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Matches(MatchSource<'a>),
    Changes(ChangeSource<'a>),
}

impl Source<'_> {
    pub(crate) async fn next(&mut self) -> Result<Option<Step>, StoreError> {
        match self {
            Self::Matches(source) => source.next().await,
            Self::Changes(source) => source.next().await,
        }
    }
}

/// What matches are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be counted and shown.
    Preview,
    /// To be written by this job.
    Write(JobId),
}

/// The matches of a plan, each of which is to have the same access.
#[derive(Debug)]
pub(crate) struct MatchSource<'a> {
    store: &'a Store,
    portal: &'a PortalId,
    matches: Matches<'a>,
    end: Cursor,
    caller: Caller,
    target: &'a Access,
    purpose: Purpose,
}

impl<'a> MatchSource<'a> {
    pub(crate) fn new(
        store: &'a Store,
        portal: &'a PortalId,
        (plan, shard): (&'a Plan, u16),
        place: Option<Place>,
        caller: Caller,
        target: &'a Access,
        purpose: Purpose,
    ) -> Self {
        let cursor = match place {
            Some(Place::Matches(cursor)) => cursor,
            _ => Cursor::default(),
        };
        Self {
            store,
            portal,
            matches: Matches::new(store, portal, plan, shard, cursor),
            end: Cursor { partition: plan.source.partitions(), after: None },
            caller,
            target,
            purpose,
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Step>, StoreError> {
        let Some(page) = self.matches.next().await? else { return Ok(None) };
        let ids: Vec<ContactId> = page.matches.iter().map(|found| found.position.contact).collect();
        let states = self.store.access_of(self.portal, &ids).await?;
        Ok(Some(self.judged(&page, &states)))
    }

    fn judged(&self, page: &MatchPage, states: &HashMap<ContactId, AccessState>) -> Step {
        let public = AccessState::default();
        let mut met = HashSet::with_capacity(page.matches.len());
        let items = page
            .matches
            .iter()
            .map(|found| {
                let contact = found.position.contact;
                let state = states.get(&contact).unwrap_or(&public);
                // A contact that was moved behind the reading is met again; the same records cannot be written side by
                // side.
                let verdict = if met.insert(contact) { self.judge(found.position, state) } else { Verdict::Hidden };
                Judged { verdict, behind: Place::Matches(found.cursor) }
            })
            .collect();
        Step {
            items,
            looked: page.looked,
            behind: Place::Matches(page.next.unwrap_or(self.end)),
            last: page.next.is_none(),
        }
    }

    fn judge(&self, position: Position, state: &AccessState) -> Verdict {
        // It was moved to another partition while the run was under way, or another worker is at the same shard.
        if matches!(self.purpose, Purpose::Write(job) if state.revision == Some(job)) {
            return Verdict::Done;
        }
        if !self.caller.may_see(&state.access) {
            Verdict::Hidden
        } else if !self.caller.may_edit(&state.access) {
            Verdict::Skipped
        } else if state.access == *self.target {
            Verdict::Unchanged(Some(position))
        } else {
            let change = Change {
                contact: position.contact,
                before: state.access.clone(),
                revision: state.revision,
                after: None,
                conflict: false,
            };
            Verdict::Change(change, Some(position))
        }
    }
}

/// What another job changed, each to be as it was.
#[derive(Debug)]
pub(crate) struct ChangeSource<'a> {
    store: &'a Store,
    portal: &'a PortalId,
    /// The job that is undone, and which of its shards.
    undone: JobId,
    shard: u16,
    /// Whether it keeps its one change in its record.
    single: bool,
    number: u32,
    entries: usize,
    /// The job that restores.
    job: JobId,
}

impl<'a> ChangeSource<'a> {
    pub(crate) fn new(
        store: &'a Store,
        portal: &'a PortalId,
        (undone, shard, single): (JobId, u16, bool),
        place: Option<Place>,
        job: JobId,
    ) -> Self {
        let (number, entries) = match place {
            Some(Place::Chunk { number, entries }) => (number, entries),
            _ => (0, 0),
        };
        Self { store, portal, undone, shard, single, number, entries, job }
    }

    async fn next(&mut self) -> Result<Option<Step>, StoreError> {
        let changes = if self.single {
            let changes =
                if self.number == 0 { self.store.single_change(self.portal, self.undone).await? } else { vec![] };
            (!changes.is_empty()).then_some(changes)
        } else {
            self.store.chunk(self.portal, self.undone, self.shard, self.number).await?.map(|chunk| chunk.changes)
        };
        let Some(changes) = changes else { return Ok(None) };
        let (number, skipped) = (self.number, self.entries);
        let rest: Vec<Change> = changes.into_iter().skip(skipped).collect();
        let ids: Vec<ContactId> = rest.iter().map(|change| change.contact).collect();
        let states = self.store.current_access_of(self.portal, &ids).await?;
        let looked = rest.len() as u64;
        let items = rest
            .into_iter()
            .enumerate()
            .map(|(i, change)| {
                let state = states.get(&change.contact).cloned().unwrap_or_default();
                let behind = Place::Chunk { number, entries: skipped + i + 1 };
                Judged { verdict: self.judge(change, state), behind }
            })
            .collect();
        self.number += 1;
        self.entries = 0;
        let behind = Place::Chunk { number: self.number, entries: 0 };
        Ok(Some(Step { items, looked, behind, last: false }))
    }

    fn judge(&self, change: Change, state: AccessState) -> Verdict {
        if change.conflict {
            // The job that is undone left it alone itself.
            Verdict::Hidden
        } else if state.revision == Some(self.job) {
            Verdict::Done
        } else if state.revision == Some(self.undone) {
            let restored = Change {
                contact: change.contact,
                before: state.access,
                revision: state.revision,
                after: Some(change.before),
                conflict: false,
            };
            Verdict::Change(restored, None)
        } else if state.revision == change.revision {
            // The job broke off before it came to this one.
            Verdict::Unchanged(None)
        } else {
            let after = Some(state.access.clone());
            let contact = change.contact;
            Verdict::Change(
                Change { contact, before: state.access, revision: state.revision, after, conflict: true },
                None,
            )
        }
    }
}
