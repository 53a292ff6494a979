//! The journal of moves: contacts that an import was about to move between partitions of the indexes, and when.
//!
//! A run reads a shard partition by partition. A contact that moves meanwhile from a partition that the run has not read
//! yet to one that it has read would be missed. So an import writes a journal entry before it writes anything else of a
//! contact whose index entry changes, or of a contact that was removed of late and is added again. A run reads the journal
//! when it has read the indexes, and then the contacts' own items.
//!
//! An entry names the contacts of one shard that one flush of an import moves, in a few bytes each. A contact stays in its
//! shard, so each shard has a journal of its own. Every write that an entry announces is sent within
//! [`MOVE_WRITE_MILLIS`] of the entry, so a run that reads the entries of the last minutes before its start knows every
//! move that its indexes may not show yet.
//!
//! A contact that is removed leaves an item that tells of it for a day. Without that item an import would take the contact
//! that is added again for a new one, which a run need not meet, and write no entry for it.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use models::directory::Portal;
use models::filter::IndexEntry;
use models::job::JobId;
use models::job::contact_set::ContactSet;
use models::limits::MOVES_KEPT_HOURS;
use models::values::id::{ContactId, PortalId};
use models::values::moment::Moment;
use uuid::Uuid;

use crate::contacts::Accesses;
use crate::dynamodb::batch::Write;
use crate::dynamodb::client::{QueryOptions, Store};
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::keys::{EXPIRES, Index, Key, Range, moves_from};

#[cfg(doc)]
use models::limits::MOVE_WRITE_MILLIS;

const MOVED: &str = "moved";
const RETURNED: &str = "returned";
const REVISION: &str = "rev";

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Contacts that an import is about to move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// Contacts whose index entries change.
    pub(crate) moved: Vec<ContactId>,
    /// Contacts that were removed of late and are added again.
    pub(crate) returned: Vec<ContactId>,
}

impl Moves {
    pub(crate) fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.returned.is_empty()
    }
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// When the import wrote it, by the import's clock.
    pub at: Moment,
    /// What tells it from other entries of the same moment.
    pub id: Uuid,
    /// Contacts whose index entries change.
    pub moved: ContactSet,
    /// Contacts that were removed of late and are added again.
    pub returned: ContactSet,
    /// The revision of the access records that the import writes.
    pub revision: JobId,
}

/// Contacts as their own items say, whatever the indexes show.
#[derive(Clone, Debug)]
pub struct OwnItems {
    /// What a filter asks, of those that exist.
    pub entries: HashMap<ContactId, IndexEntry>,
    /// The access of all that were asked for.
    pub accesses: Accesses,
}

/// When an item of the journal may be forgotten.
fn expires(at: Moment) -> Item {
    let end = at + SignedDuration::from_hours(MOVES_KEPT_HOURS);
    Item::from([(EXPIRES.into(), items::n(end.timestamp().as_second()))])
}

impl Store {
    /// Writes what an import is about to move: 1 write unit per KB for each shard that has such contacts.
    pub(crate) async fn write_journal(
        &self,
        portal: &Portal,
        moves: &Moves,
        revision: JobId,
        at: Moment,
    ) -> Result<(), StoreError> {
        let mut shards: HashMap<u16, Moves> = HashMap::new();
        for &contact in &moves.moved {
            shards.entry(contact.shard(portal.shards)).or_default().moved.push(contact);
        }
        for &contact in &moves.returned {
            shards.entry(contact.shard(portal.shards)).or_default().returned.push(contact);
        }
        let entries = shards.into_iter().map(|(shard, of)| {
            let mut item = items::keyed(&Key::Move(portal.id.clone(), shard, at, Uuid::now_v7()));
            for (name, contacts) in [(MOVED, of.moved), (RETURNED, of.returned)] {
                if !contacts.is_empty() {
                    item.insert(name.into(), items::to_document(&contacts.into_iter().collect::<ContactSet>())?);
                }
            }
            item.insert(REVISION.into(), items::b(*revision.as_bytes()));
            item.extend(expires(at));
            Ok(Write::put(item))
        });
        self.write_all(entries.collect::<Result<_, StoreError>>()?).await
    }

    /// Reads the journal of a shard from `from` to the end of the hour of `to`, consistently: 1 read unit per 4 KB, at
    /// least 1 for each hour.
    pub async fn journal(
        &self,
        portal: &PortalId,
        shard: u16,
        from: Moment,
        to: Moment,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let mut entries = Vec::new();
        let (mut hour, (last, _)) = (from, Range::Moves(portal.clone(), shard, to).encode());
        loop {
            let range = Range::Moves(portal.clone(), shard, hour);
            let part = QueryOptions { consistent: true, from: Some(moves_from(from)), ..QueryOptions::default() };
            for mut item in self.query_part(&range, part).await? {
                let Key::Move(_, _, at, id) = items::key_of(&item)? else {
                    return Err(StoreError::Corrupt("an item in the journal of moves".into()));
                };
                let mut contacts = |name| match item.contains_key(name) {
                    true => items::document(&mut item, name),
                    false => Ok(ContactSet::default()),
                };
                let (moved, returned) = (contacts(MOVED)?, contacts(RETURNED)?);
                entries.push(JournalEntry { at, id, moved, returned, revision: items::id(&item, REVISION)? });
            }
            if hour >= to || range.encode().0 == last {
                return Ok(entries);
            }
            hour = hour + HOUR;
        }
    }

    /// Reads contacts by their own items, consistently: 1 read unit each per 4 KB, and 1 for the access.
    pub async fn own_items(&self, portal: &PortalId, contacts: &[ContactId]) -> Result<OwnItems, StoreError> {
        let keys = |id| [Key::Contact(portal.clone(), id), Key::Access(portal.clone(), id)];
        let keys: Vec<Key> = contacts.iter().flat_map(|&id| keys(id)).collect();
        let (mut entries, mut accesses) = (HashMap::new(), Accesses::asked(contacts));
        // A contact's item may be long, so none is kept.
        self.get_each(&keys, true, |item| match items::key_of(&item)? {
            Key::Contact(_, id) => {
                entries.insert(id, crate::index::entry(&item, Index::Stage)?);
                Ok(())
            }
            Key::Access(_, id) => accesses.record(id, &item),
            other => Err(StoreError::Corrupt(format!("{other:?} was not asked for"))),
        })
        .await?;
        Ok(OwnItems { entries, accesses })
    }

    /// Writes that a contact is about to be removed: 1 write unit.
    pub(crate) async fn note_removal(
        &self,
        portal: &PortalId,
        contact: ContactId,
        at: Moment,
    ) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::Removed(portal.clone(), contact));
        item.extend(expires(at));
        self.write_all(vec![Write::put(item)]).await
    }

    /// Says which contacts were removed of late: 1 read unit each.
    pub(crate) async fn removed_of_late(
        &self,
        portal: &PortalId,
        contacts: &[ContactId],
    ) -> Result<HashSet<ContactId>, StoreError> {
        let keys: Vec<Key> = contacts.iter().map(|&id| Key::Removed(portal.clone(), id)).collect();
        let mut removed = HashSet::new();
        self.get_each(&keys, true, |item| match items::key_of(&item)? {
            Key::Removed(_, id) => {
                removed.insert(id);
                Ok(())
            }
            other => Err(StoreError::Corrupt(format!("{other:?} was not asked for"))),
        })
        .await?;
        Ok(removed)
    }
}
