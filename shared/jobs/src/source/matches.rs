//! The contacts that a filter selects.

use models::filter::plan::{AccessPath, Plan};
use models::filter::{Filter, IndexEntry};
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::contacts::AccessState;
use store::index::{MatchPage, Matches, PAGE_MATCHES, ScanCursor};
use store::jobs::Checkpoint;
use store::keys::IndexPosition;
use store::moves::OwnItems;

use crate::contact_bitmap::ContactBitmap;
use crate::context::Jobs;
use crate::moves::{Moved, MovedContact};
use crate::source::by_manager::ManagerMatches;
use crate::source::judge::{Judge, Judged, Purpose, Terms, Verdict};
use crate::source::{NoPage, PageKind, Step};

/// The matches of a plan, whose access gets the same change. Contacts that imports move during the run come last.
#[derive(Debug)]
pub(crate) struct MatchSource<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) portal: &'a PortalId,
    pub(super) shard: u16,
    pub(super) shards: u16,
    pub(super) filter: &'a Filter,
    /// The matches in the plan's index; empty for a plan that reads postings.
    pub(super) matches: Matches<'a>,
    /// The contacts in the plan's postings; none if the plan reads an index, and after the last contact.
    pub(super) by_manager: Option<ManagerMatches>,
    pub(super) end: ScanCursor,
    pub(super) terms: Terms<'a>,
    pub(super) phase: Phase,
    /// Contacts that this source has returned.
    pub(super) judged: ContactBitmap,
    /// Contacts in the shard's chunks; none until the chunks are read. Only a resumed source reads the chunks.
    pub(super) written: Option<ContactBitmap>,
    /// True if another worker has processed a part of the shard.
    pub(super) is_resumed: bool,
    pub(super) moved: Moved<'a>,
    /// True if all items that this source returned are written.
    pub(super) is_all_written: bool,
}

/// The phase of the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The index or the postings of the plan.
    Index,
    /// The journal of moves, and the contacts' own items.
    Moves,
    /// Nothing more.
    Ended,
}

/// The contacts that a run selects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection<'a> {
    /// The filter.
    pub(crate) filter: &'a Filter,
    /// The filter's plan.
    pub(crate) plan: &'a Plan,
    /// When the run started.
    pub(crate) started: Timestamp,
}

impl<'a> MatchSource<'a> {
    pub(crate) fn new(
        jobs: &'a Jobs,
        portal: &'a PortalId,
        selection: Selection<'a>,
        shard: u16,
        checkpoint: Option<Checkpoint>,
        terms: Terms<'a>,
    ) -> Self {
        let Selection { filter, plan, started } = selection;
        let end = ScanCursor { partition: plan.source.partitions(), after: None };
        let cursor = match checkpoint {
            Some(Checkpoint::Matches(cursor)) => cursor,
            _ => ScanCursor::default(),
        };
        let after = match checkpoint {
            Some(Checkpoint::Posted(contact)) => Some(contact),
            _ => None,
        };
        let by_manager = match &plan.source {
            AccessPath::Postings(manager) if cursor != end => Some(ManagerMatches::new(*manager, after)),
            _ => None,
        };
        Self {
            jobs,
            portal,
            shard,
            shards: plan.shards,
            filter,
            matches: Matches::new(&jobs.store, portal, plan, shard, cursor),
            by_manager,
            end,
            terms,
            phase: if plan.is_empty() { Phase::Ended } else { Phase::Index },
            judged: ContactBitmap::new(plan.shards),
            written: None,
            is_resumed: cursor != ScanCursor::default() || after.is_some(),
            moved: Moved::new(jobs, portal, shard, started),
            is_all_written: false,
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        if self.phase == Phase::Index {
            if let Some(step) = Box::pin(self.next_by_manager()).await? {
                return Ok(Some(step));
            }
            if let Some(page) = self.matches.next().await? {
                return self.matched(&page).await.map(Some);
            }
            self.moved.read().await?;
            self.phase = Phase::Moves;
        }
        match self.phase {
            Phase::Moves => self.next_moved().await,
            Phase::Index | Phase::Ended => Ok(None),
        }
    }

    /// Judges a page of the index. Reads the journal, which is mostly empty, concurrently with the last page.
    pub(super) async fn matched(&mut self, page: &MatchPage) -> Result<Step, NoPage> {
        let ids: Vec<ContactId> = page.matches.iter().map(|found| found.position.contact).collect();
        let store = &self.jobs.store;
        let accesses = async {
            // A write on a stale access is rejected and repeated, but a contact that a stale access excludes is missed.
            Ok(match self.filter.access.seeks_nothing() {
                true => store.access_of(self.portal, &ids).await?,
                false => store.current_access_of(self.portal, &ids).await?,
            })
        };
        let (actor, mut accesses) = if page.next.is_none() {
            self.phase = Phase::Moves;
            let journal = async { Ok(self.moved.read().await?) };
            let (actor, accesses, _) = futures::try_join!(self.terms.rights.actor(), accesses, journal)?;
            (actor, accesses)
        } else {
            futures::try_join!(self.terms.rights.actor(), accesses)?
        };
        let judge = self.terms.judge(actor);
        let items = page.matches.iter().map(|found| {
            let contact = found.position.contact;
            // A contact that moved to an unread partition appears again. The contact counts once, and its record must
            // not be written twice concurrently.
            let verdict = match self.judged.insert(contact) {
                true => judge.judge(contact, Some(found.position), accesses.take(contact)?),
                false => Verdict::Hidden,
            };
            Ok(Judged { verdict, after: Checkpoint::Matches(found.cursor) })
        });
        let items = items.collect::<Result<_, StoreError>>()?;
        if self.phase == Phase::Moves && !self.moved.are_waiting(&self.judged) {
            self.phase = Phase::Ended;
        }
        Ok(Step {
            items,
            examined: page.examined,
            after: Checkpoint::Matches(page.next.unwrap_or(self.end)),
            kind: self.page_kind(),
        })
    }

    /// Judges contacts that an import moved.
    pub(super) async fn next_moved(&mut self) -> Result<Option<Step>, NoPage> {
        loop {
            let contacts = self.moved.take(&self.judged, PAGE_MATCHES);
            if contacts.iter().any(|moved| self.judged.contains(moved.contact)) && !self.is_all_written {
                // The caller reads the next step while it writes the current step. After an empty step, the caller has
                // finished all earlier writes. So return an empty step before judging contacts a second time.
                self.moved.put_back(contacts);
                self.is_all_written = true;
                return Ok(Some(self.step(Vec::new())));
            }
            if !contacts.is_empty() {
                let items = self.judged_by_own_items(contacts).await?;
                self.is_all_written = items.is_empty();
                if self.moved.is_closing() && !self.moved.are_waiting(&self.judged) {
                    self.phase = Phase::Ended;
                }
                return Ok(Some(self.step(items)));
            }
            if self.moved.is_closing() || !self.moved.read().await? && !self.moved.close() {
                self.phase = Phase::Ended;
                return Ok(None);
            }
        }
    }

    pub(super) fn step(&self, items: Vec<Judged>) -> Step {
        Step { items, examined: 0, after: Checkpoint::Matches(self.end), kind: self.page_kind() }
    }

    /// Returns the kind of the current page.
    pub(super) fn page_kind(&self) -> PageKind {
        if self.phase == Phase::Ended { PageKind::Last } else { PageKind::Inner }
    }

    pub(super) async fn judged_by_own_items(&mut self, contacts: Vec<MovedContact>) -> Result<Vec<Judged>, NoPage> {
        let ids: Vec<ContactId> = contacts.iter().map(|moved| moved.contact).collect();
        let own = async { Ok(self.jobs.store.own_items(self.portal, &ids).await?) };
        let (actor, OwnItems { entries, mut accesses }) = futures::try_join!(self.terms.rights.actor(), own)?;
        let judge = self.terms.judge(actor);
        let mut items = Vec::new();
        for moved in contacts {
            let contact = moved.contact;
            let Some(entry) = entries.get(&contact).filter(|entry| self.filter.selects(entry)) else {
                self.moved.does_not_match(moved);
                continue;
            };
            let verdict = self.judge_moved(judge, entry, accesses.take(contact)?).await?;
            items.push(Judged { verdict, after: Checkpoint::Matches(self.end) });
        }
        Ok(items)
    }

    /// Judges a contact that an import moved and that the run may have judged before.
    ///
    /// Each contact is counted once, and changes that others made since the first judgement are kept. The exception is
    /// a contact that an import removed and added again: the import removed the access that this job had set, so the
    /// job sets the access again. A resumed source finds the contacts that earlier workers changed in the shard's
    /// chunks, and assumes that all others were counted. A counting pass has no chunks, so a resumed pass may count a
    /// contact twice.
    pub(super) async fn judge_moved(
        &mut self,
        judge: Judge<'_>,
        entry: &IndexEntry,
        state: AccessState,
    ) -> Result<Verdict, StoreError> {
        let (contact, written_by) = (entry.contact, state.job());
        let position = IndexPosition { created: entry.created, contact };
        let verdict = judge.judge(contact, Some(position), state);
        let is_new = self.judged.insert(contact);
        let is_counted = match &verdict {
            Verdict::Hidden | Verdict::Done => return Ok(verdict),
            _ if !is_new => true,
            Verdict::Change(..) => self.is_resumed && self.is_in_chunks(contact).await?,
            Verdict::Unchanged(_) | Verdict::Skipped | Verdict::Failed => self.is_resumed,
        };
        let writes = matches!(self.terms.purpose, Purpose::Write(_));
        let may_change = writes && self.moved.is_as_added_again(contact, written_by);
        Ok(match verdict {
            Verdict::Change(..) if may_change => verdict,
            _ if is_counted => Verdict::Hidden,
            verdict => verdict,
        })
    }

    /// Returns whether a chunk of the shard holds a contact. Reads the shard's chunks once: 1 read unit per 4 KB.
    pub(super) async fn is_in_chunks(&mut self, contact: ContactId) -> Result<bool, StoreError> {
        if let (None, Some(job)) = (&self.written, self.terms.purpose.log()) {
            let mut written = ContactBitmap::new(self.shards);
            for number in 0.. {
                let Some(chunk) = self.jobs.store.chunk(self.portal, job, self.shard, number).await? else { break };
                chunk.changes.iter().for_each(|change| {
                    written.insert(change.contact);
                });
            }
            self.written = Some(written);
        }
        Ok(self.written.as_ref().is_some_and(|written| written.contains(contact)))
    }
}
