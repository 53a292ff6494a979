//! The last phase of a shard: contacts that an import moved while the shard was read.
//!
//! A run reads the partitions of a shard one after another. It misses a contact that moves from an unread partition to
//! one already read. The import therefore writes the contacts to move into the journal first. After the last partition,
//! the run reads the journal and judges those contacts by their own items. It repeats this until the journal holds
//! nothing new.
//!
//! Then every contact that matched before the run started and matches at the last reading of the journal was judged.
//! Either no write of an import touched its index entries from the run's start to the end of the last partition: then
//! the run met it there. Or an import made such a write: then its journal entry precedes the write, and the run has
//! read the entry. The contact's own item is then the one before or after the move, and either matches. An own item
//! that does not match may belong to a contact between two moves. So contacts of young entries that did not match are
//! judged once more after the last reading of the journal, when every announced move is visible.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use models::job::JobId;
use models::limits::{
    self, CLOCK_SKEW_MILLIS, MOVE_WRITE_MILLIS, MOVES_BEFORE_MILLIS, MOVES_KEPT_HOURS, WRITE_ARRIVAL_MILLIS,
};
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use uuid::Uuid;

use crate::context::Jobs;
use crate::met::Met;

const BEFORE: SignedDuration = limits::duration(MOVES_BEFORE_MILLIS);
const SKEW: SignedDuration = limits::duration(CLOCK_SKEW_MILLIS);
/// Time after its journal entry, by this clock, for which a move may still be in flight.
const ON_ITS_WAY: SignedDuration = limits::duration(MOVE_WRITE_MILLIS + WRITE_ARRIVAL_MILLIS + CLOCK_SKEW_MILLIS);

/// A contact that an import moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MovedContact {
    pub(crate) contact: ContactId,
    pub(crate) state: MoveState,
}

/// The state of an import's move of a contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MoveState {
    /// Every write of the move has arrived.
    #[default]
    Arrived,
    /// Writes of the move may be in flight.
    MayBeInFlight,
}

/// Contacts that an import moved, to be judged by their own items.
pub(crate) struct Moved<'a> {
    jobs: &'a Jobs,
    portal: &'a PortalId,
    shard: u16,
    /// When the run started.
    started: Timestamp,
    /// Start of the next reading of the journal.
    from: Timestamp,
    /// Entries already read.
    read: HashSet<Uuid>,
    /// Contacts to judge.
    waiting: Vec<MovedContact>,
    /// Contacts that did not match and whose move may be in flight.
    unsettled: Vec<MovedContact>,
    /// Contacts that an import added again, with the revision of the import's access records.
    returned: HashMap<ContactId, JobId>,
    /// Whether the journal was read for the last time.
    closing: bool,
}

impl std::fmt::Debug for Moved<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moved")
            .field("shard", &self.shard)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Moved<'a> {
    pub(crate) fn new(jobs: &'a Jobs, portal: &'a PortalId, shard: u16, started: Timestamp) -> Self {
        Self {
            jobs,
            portal,
            shard,
            started,
            from: started + -BEFORE,
            read: HashSet::new(),
            waiting: Vec::new(),
            unsettled: Vec::new(),
            returned: HashMap::new(),
            closing: false,
        }
    }

    /// Reads new journal entries. Returns whether there were any. Costs 1 read unit, or more for many entries.
    pub(crate) async fn read(&mut self) -> Result<bool, StoreError> {
        let now = self.jobs.now();
        if now.since(self.started) > SignedDuration::from_hours(MOVES_KEPT_HOURS) - BEFORE {
            return Err(StoreError::Corrupt("the journal of moves does not reach back to the start of the run".into()));
        }
        let entries = self.jobs.store.journal(self.portal, self.shard, self.from, now + SKEW).await?;
        let mut is_new = false;
        for entry in entries {
            if !self.read.insert(entry.id) {
                continue;
            }
            is_new = true;
            let is_young = now.since(entry.at) < ON_ITS_WAY;
            let state = if is_young { MoveState::MayBeInFlight } else { MoveState::Arrived };
            self.returned.extend(entry.returned.as_slice().iter().map(|&contact| (contact, entry.revision)));
            let contacts = entry.moved.as_slice().iter().chain(entry.returned.as_slice());
            self.waiting.extend(contacts.map(|&contact| MovedContact { contact, state }));
        }
        // No write is sent under an entry older than this, so older entries that appear later do not matter.
        self.from = self.from.max(now + -ON_ITS_WAY);
        Ok(is_new)
    }

    /// Drops the contacts that were met and need no second judgement. Returns whether others are waiting. A contact
    /// that was added again must be judged again.
    pub(crate) fn are_waiting(&mut self, met: &Met) -> bool {
        self.waiting.retain(|moved| !met.contains(moved.contact) || self.returned.contains_key(&moved.contact));
        !self.waiting.is_empty()
    }

    /// Removes and returns the next contacts to judge, each once, at most `most`.
    pub(crate) fn take(&mut self, met: &Met, most: usize) -> Vec<MovedContact> {
        self.are_waiting(met);
        let mut taken: HashMap<ContactId, MoveState> = HashMap::new();
        while taken.len() < most
            && let Some(MovedContact { contact, state }) = self.waiting.pop()
        {
            let latest = taken.entry(contact).or_default();
            *latest = state.max(*latest);
        }
        taken.into_iter().map(|(contact, state)| MovedContact { contact, state }).collect()
    }

    /// Puts back contacts that were not judged.
    pub(crate) fn put_back(&mut self, contacts: Vec<MovedContact>) {
        self.waiting.extend(contacts);
    }

    /// Records that a contact does not exist or does not match.
    pub(crate) fn does_not_match(&mut self, moved: MovedContact) {
        if moved.state == MoveState::MayBeInFlight && !self.closing {
            self.unsettled.push(moved);
        }
    }

    /// Begins the last round, which judges again the contacts whose move may have been in flight. Returns false when
    /// there are none.
    pub(crate) fn close(&mut self) -> bool {
        self.closing = true;
        self.waiting = std::mem::take(&mut self.unsettled);
        !self.waiting.is_empty()
    }

    /// Returns whether the journal was read for the last time.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Returns whether an import added the contact again and nobody has set its access since.
    pub(crate) fn is_as_added_again(&self, contact: ContactId, revision: Option<JobId>) -> bool {
        self.returned.get(&contact).is_some_and(|import| revision.is_none_or(|revision| revision == *import))
    }
}
