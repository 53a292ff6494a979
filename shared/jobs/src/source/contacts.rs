//! Contacts that a call names.

use std::collections::BTreeMap;

use models::values::id::{ContactId, PortalId};
use store::contacts::AccessState;
use store::index::PAGE_MATCHES;
use store::jobs::Checkpoint;
use store::{Store, StoreError};

use crate::source::judge::{Judged, Terms, Verdict};
use crate::source::{NoPage, PageKind, Step};

/// Named contacts whose access gets the same change.
#[derive(Debug)]
pub(crate) struct ContactSource<'a> {
    pub(super) store: &'a Store,
    pub(super) portal: &'a PortalId,
    pub(super) contacts: &'a [ContactId],
    /// Number of contacts already read.
    pub(super) passed: usize,
    /// The contacts' access, if already read.
    pub(super) known: Option<&'a BTreeMap<ContactId, AccessState>>,
    pub(super) terms: Terms<'a>,
}

impl<'a> ContactSource<'a> {
    /// Returns a source that reads the access of each page's contacts from the table.
    pub(crate) fn new(
        store: &'a Store,
        portal: &'a PortalId,
        contacts: &'a [ContactId],
        checkpoint: Option<Checkpoint>,
        terms: Terms<'a>,
    ) -> Self {
        let passed = match checkpoint {
            Some(Checkpoint::Contacts(passed)) => passed,
            _ => 0,
        };
        Self { store, portal, contacts, passed, known: None, terms }
    }

    /// Takes the access from `known` instead of the table. A contact that is not in `known` does not exist.
    pub(crate) fn with_access(self, known: &'a BTreeMap<ContactId, AccessState>) -> Self {
        Self { known: Some(known), ..self }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        let remaining = self.contacts.get(self.passed..).unwrap_or_default();
        let Some(page) = remaining.chunks(PAGE_MATCHES).next() else { return Ok(None) };
        let read = async {
            Ok(match self.known {
                Some(_) => BTreeMap::new(),
                None => self.read(page).await?,
            })
        };
        let (actor, mut read) = futures::try_join!(self.terms.rights.actor(), read)?;
        let judge = self.terms.judge(actor);
        let first = self.passed;
        self.passed += page.len();
        let items = page.iter().zip(first + 1..).map(|(&contact, passed)| {
            let state = match self.known {
                Some(known) => known.get(&contact).cloned(),
                None => read.remove(&contact),
            };
            let verdict = match state {
                Some(state) => judge.judge(contact, None, state),
                None => Verdict::Hidden,
            };
            Judged { verdict, after: Checkpoint::Contacts(passed) }
        });
        Ok(Some(Step {
            items: items.collect(),
            examined: page.len() as u64,
            after: Checkpoint::Contacts(self.passed),
            kind: if self.passed == self.contacts.len() { PageKind::Last } else { PageKind::Inner },
        }))
    }

    /// Reads the current access of the contacts that exist. A mark replaces the access record of a removed contact, so
    /// only contacts without a record are checked for existence.
    pub(super) async fn read(&self, page: &[ContactId]) -> Result<BTreeMap<ContactId, AccessState>, StoreError> {
        let mut accesses = self.store.current_access_of(self.portal, page).await?;
        let states = page.iter().map(|&contact| Ok((contact, accesses.take(contact)?)));
        let mut states: BTreeMap<ContactId, AccessState> = states.collect::<Result<_, StoreError>>()?;
        let unrecorded: Vec<ContactId> =
            states.iter().filter(|(_, state)| state.revision.is_none()).map(|(contact, _)| *contact).collect();
        let existing = self.store.existing(self.portal, &unrecorded).await?;
        states.retain(|contact, state| state.revision.is_some() || existing.contains(contact));
        Ok(states)
    }
}
