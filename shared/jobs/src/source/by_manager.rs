//! The contacts that the postings of a manager name: all matches of a filter that seeks one manager, and others.

use std::collections::HashMap;

use models::filter::IndexEntry;
use models::values::id::{ContactId, UserId};
use store::StoreError;
use store::contacts::AccessState;
use store::index::PAGE_MATCHES;
use store::jobs::Checkpoint;
use store::keys::IndexPosition;

use crate::source::judge::{Judge, Judged, Verdict};
use crate::source::matches::{MatchSource, Phase};
use crate::source::{NoPage, Step};

/// The contacts of a shard in the postings of a manager, ascending.
///
/// A run may remove the manager whose postings it reads. The changed contacts stay in the postings until a compaction
/// removes them. Neither affects the run, because the run reads only contacts after its checkpoint.
#[derive(Debug)]
pub(super) struct ManagerMatches {
    manager: UserId,
    /// The last contact read before; none at the beginning.
    after: Option<ContactId>,
    /// The contacts that are still to be read; none until the postings are read.
    remaining: Option<std::vec::IntoIter<ContactId>>,
}

impl ManagerMatches {
    /// Returns the contacts of `manager` after the contact `after`.
    pub(super) const fn new(manager: UserId, after: Option<ContactId>) -> Self {
        Self { manager, after, remaining: None }
    }
}

impl MatchSource<'_> {
    /// Judges the next page of contacts in the postings; none at the end. Reads the journal after the last page.
    pub(super) async fn next_by_manager(&mut self) -> Result<Option<Step>, NoPage> {
        let Some(mut by_manager) = self.by_manager.take() else { return Ok(None) };
        let mut remaining = match by_manager.remaining.take() {
            Some(remaining) => remaining,
            None => {
                let ManagerMatches { manager, after, .. } = by_manager;
                let store = &self.jobs.store;
                let contacts =
                    store.contacts_indexed_in_shard(self.portal, manager, self.shard, self.shards, after).await?;
                contacts.into_iter()
            }
        };
        let contacts: Vec<ContactId> = remaining.by_ref().take(PAGE_MATCHES).collect();
        let Some(last) = contacts.last().copied() else { return Ok(None) };
        let items = self.judged_by_manager(&contacts).await?;
        let is_last = remaining.as_slice().is_empty();
        if is_last {
            self.end_of_matches().await?;
        } else {
            self.by_manager = Some(ManagerMatches { after: Some(last), remaining: Some(remaining), ..by_manager });
        }
        Ok(Some(Step {
            items,
            examined: contacts.len() as u64,
            after: if is_last { Checkpoint::Matches(self.end) } else { Checkpoint::Posted(last) },
            kind: self.page_kind(),
        }))
    }

    /// Judges contacts by their access, and reads the own items only of contacts that may match.
    async fn judged_by_manager(&mut self, contacts: &[ContactId]) -> Result<Vec<Judged>, NoPage> {
        let accesses = async { Ok(self.jobs.store.current_access_of(self.portal, contacts).await?) };
        let (actor, mut accesses) = futures::try_join!(self.terms.rights.actor(), accesses)?;
        let judge = self.terms.judge(actor);
        let mut states = Vec::new();
        for &contact in contacts {
            let state = accesses.take(contact)?;
            if judge.may_match(&state) {
                states.push((contact, state));
            }
        }
        let ids: Vec<ContactId> = states.iter().map(|(contact, _)| *contact).collect();
        let entries = self.jobs.store.own_entries(self.portal, &ids).await?;
        let judged = states.into_iter().filter_map(|(contact, state)| {
            let verdict = self.posted_verdict(judge, &entries, contact, state)?;
            Some(Judged { verdict, after: Checkpoint::Posted(contact) })
        });
        Ok(judged.collect())
    }

    /// Returns the verdict about a contact, or none if the contact does not match the filter.
    fn posted_verdict(
        &mut self,
        judge: Judge<'_>,
        entries: &HashMap<ContactId, IndexEntry>,
        contact: ContactId,
        state: AccessState,
    ) -> Option<Verdict> {
        let entry = entries.get(&contact).filter(|entry| self.filter.selects(entry))?;
        self.judged.insert(contact);
        Some(judge.judge(contact, Some(IndexPosition { created: entry.created, contact }), state))
    }

    /// Ends the reading of the matches: reads the journal, and ends the source if the journal is empty.
    async fn end_of_matches(&mut self) -> Result<(), StoreError> {
        self.moved.read().await?;
        let is_over = !self.moved.are_waiting(&self.judged);
        self.phase = if is_over { Phase::Ended } else { Phase::Moves };
        Ok(())
    }
}
