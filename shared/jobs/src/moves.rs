//! The last phase of a shard: contacts that imports move between index partitions while a run reads the shard.
//!
//! A run reads the partitions of a shard one after another. The run misses a contact that moves from an unread
//! partition to a partition already read. An import therefore writes a journal entry before it moves contacts. After
//! the last partition, the run reads the journal and judges the moved contacts by their own items. The run repeats
//! these two steps until the journal holds no new entry.
//!
//! The run then has judged every contact that matched when the run started and still matches at the last reading of the
//! journal. There are two cases:
//!
//! - No import wrote the contact's index entries between the run's start and the end of the last partition. Then the
//!   run found the contact in the index.
//! - An import wrote the index entries. The journal entry precedes these writes, so the run reads the entry and then
//!   the contact's own item. The own item dates from before or after the move, and matches in both states.
//!
//! A contact between two moves may have an own item that does not match. So after the last reading of the journal, the
//! run judges the contacts of recent entries again if they did not match. By then, every announced move is visible.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use models::job::JobId;
use models::limits::{
    self, CLOCK_SKEW_MILLIS, MOVE_RETENTION_HOURS, MOVE_WRITE_MILLIS, MOVES_BEFORE_MILLIS, WRITE_ARRIVAL_MILLIS,
};
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use uuid::Uuid;

use crate::contact_bitmap::ContactBitmap;
use crate::context::Jobs;

/// Time before the run's start from which the run reads the journal.
const LEAD_TIME: SignedDuration = limits::duration(MOVES_BEFORE_MILLIS);
/// Maximum difference between the clocks of two processes.
const SKEW: SignedDuration = limits::duration(CLOCK_SKEW_MILLIS);
/// Time after its journal entry, by this process's clock, for which a move may still be in flight.
const IN_FLIGHT: SignedDuration = limits::duration(MOVE_WRITE_MILLIS + WRITE_ARRIVAL_MILLIS + CLOCK_SKEW_MILLIS);

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

/// The contacts that imports moved. The run judges moved contacts by their own items.
pub(crate) struct Moved<'a> {
    jobs: &'a Jobs,
    portal: &'a PortalId,
    shard: u16,
    /// When the run started.
    started: Timestamp,
    /// The time from which the journal is read next.
    from: Timestamp,
    /// Identifiers of the entries already read.
    read: HashSet<Uuid>,
    /// Contacts to judge.
    waiting: Vec<MovedContact>,
    /// Contacts that did not match and whose moves may be in flight.
    unsettled: Vec<MovedContact>,
    /// Contacts that an import added again, with the revision of the import's access records.
    returned: HashMap<ContactId, JobId>,
    /// True after the last reading of the journal.
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
            from: started + -LEAD_TIME,
            read: HashSet::new(),
            waiting: Vec::new(),
            unsettled: Vec::new(),
            returned: HashMap::new(),
            closing: false,
        }
    }

    /// Reads the journal. Returns whether the journal holds new entries. Costs 1 read unit, or more for many entries.
    pub(crate) async fn read(&mut self) -> Result<bool, StoreError> {
        let now = self.jobs.now();
        if now.since(self.started) > SignedDuration::from_hours(MOVE_RETENTION_HOURS) - LEAD_TIME {
            return Err(StoreError::Corrupt("the journal of moves no longer covers the start of the run".into()));
        }
        let entries = self.jobs.store.journal(self.portal, self.shard, self.from, now + SKEW).await?;
        let mut is_new = false;
        for entry in entries {
            if !self.read.insert(entry.id) {
                continue;
            }
            is_new = true;
            let is_young = now.since(entry.at) < IN_FLIGHT;
            let state = if is_young { MoveState::MayBeInFlight } else { MoveState::Arrived };
            self.returned.extend(entry.returned.as_slice().iter().map(|&contact| (contact, entry.revision)));
            let contacts = entry.moved.as_slice().iter().chain(entry.returned.as_slice());
            self.waiting.extend(contacts.map(|&contact| MovedContact { contact, state }));
        }
        // An import sends no write for an entry that is older than this time, so later readings need no older entries.
        self.from = self.from.max(now + -IN_FLIGHT);
        Ok(is_new)
    }

    /// Drops the waiting contacts that the run has already judged, except contacts that an import added again. Returns
    /// whether contacts are still waiting.
    pub(crate) fn are_waiting(&mut self, judged: &ContactBitmap) -> bool {
        self.waiting.retain(|moved| !judged.contains(moved.contact) || self.returned.contains_key(&moved.contact));
        !self.waiting.is_empty()
    }

    /// Removes and returns the next contacts to judge, each once, at most `limit`.
    pub(crate) fn take(&mut self, judged: &ContactBitmap, limit: usize) -> Vec<MovedContact> {
        self.are_waiting(judged);
        let mut next: HashMap<ContactId, MoveState> = HashMap::new();
        while next.len() < limit
            && let Some(MovedContact { contact, state }) = self.waiting.pop()
        {
            let latest = next.entry(contact).or_default();
            *latest = state.max(*latest);
        }
        next.into_iter().map(|(contact, state)| MovedContact { contact, state }).collect()
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

    /// Begins the last round, which judges contacts again whose moves may have been in flight. Returns false if there
    /// are no such contacts.
    pub(crate) fn close(&mut self) -> bool {
        self.closing = true;
        self.waiting = std::mem::take(&mut self.unsettled);
        !self.waiting.is_empty()
    }

    /// Returns whether the last round has begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Returns whether an import added the contact again and nobody has set its access since.
    pub(crate) fn is_as_added_again(&self, contact: ContactId, written_by: Option<JobId>) -> bool {
        self.returned.get(&contact).is_some_and(|import| written_by.is_none_or(|writer| writer == *import))
    }
}
