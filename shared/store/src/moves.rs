//! The journal of moves: contacts that an import was about to move between index partitions, with the time of each
//! move.
//!
//! A run reads a shard partition by partition. The run would miss a contact that moves from an unread partition to a
//! partition already read. So an import writes a journal entry before any other write of a contact whose index entry
//! changes, and of a recently removed contact that is added again. After the indexes, a run reads the journal and then
//! the contacts' own items.
//!
//! An entry names the contacts of one shard that an import moves in one batch, in a few bytes each. A contact stays in
//! its shard, so each shard has its own journal. The import sends every announced write within [`MOVE_WRITE_MILLIS`] of
//! the entry. So the entries of the last minutes before the start of a run name every move that the indexes may not
//! show yet.
//!
//! A removed contact leaves an item in the table for a day. Without that item, an import would treat a contact that is
//! added again as new. The import would then write no journal entry, because a run need not include new contacts.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use models::directory::Portal;
use models::filter::IndexEntry;
use models::job::JobId;
use models::job::contact_set::ContactSet;
use models::limits::MOVE_RETENTION_HOURS;
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use uuid::Uuid;

use crate::contacts::Accesses;
use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::keys::{EXPIRES, Index, Key, Range, moves_from};

#[cfg(doc)]
use models::limits::MOVE_WRITE_MILLIS;

const MOVED_CONTACTS: &str = "moved_contacts";
const READDED_CONTACTS: &str = "readded_contacts";
const REVISION: &str = "revision";

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Contacts that an import is about to move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// Contacts whose index entries change.
    pub(crate) moved: Vec<ContactId>,
    /// Recently removed contacts that are added again.
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
    /// Time of the write, by the import's clock.
    pub at: Timestamp,
    /// Identifier that distinguishes entries of the same time.
    pub id: Uuid,
    /// Contacts whose index entries change.
    pub moved: ContactSet,
    /// Recently removed contacts that are added again.
    pub returned: ContactSet,
    /// The revision of the access records that the import writes with this batch.
    pub revision: JobId,
}

/// The state of contacts from their own items, which may be newer than the indexes.
#[derive(Clone, Debug)]
pub struct OwnItems {
    /// Index entries of the contacts that exist.
    pub entries: HashMap<ContactId, IndexEntry>,
    /// Access of every requested contact.
    pub accesses: Accesses,
}

/// Builds the expiry attribute of an item written at `at`.
fn expires(at: Timestamp) -> Item {
    let end = at + SignedDuration::from_hours(MOVE_RETENTION_HOURS);
    Item::from([(EXPIRES.into(), items::n(end.to_jiff().as_second()))])
}

impl Store {
    /// Writes journal entries for `moves`: 1 write unit per KB for each shard with such contacts.
    pub(crate) async fn write_journal(
        &self,
        portal: &Portal,
        moves: &Moves,
        revision: JobId,
        at: Timestamp,
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
            for (name, contacts) in [(MOVED_CONTACTS, of.moved), (READDED_CONTACTS, of.returned)] {
                if !contacts.is_empty() {
                    item.insert(name.into(), items::to_document(&contacts.into_iter().collect::<ContactSet>())?);
                }
            }
            item.insert(REVISION.into(), items::b(*revision.as_bytes()));
            item.extend(expires(at));
            Ok(Write::put(item))
        });
        self.write_all(entries.collect::<Result<_, StoreError>>()?, Priority::Bulk).await
    }

    /// Reads the journal of a shard from `from` to the end of the hour of `to`, consistently: 1 read unit per 4 KB, at
    /// least 1 per hour.
    pub async fn journal(
        &self,
        portal: &PortalId,
        shard: u16,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let mut entries = Vec::new();
        let (mut hour, (last, _)) = (from, Range::Moves(portal.clone(), shard, to).encode());
        loop {
            let range = Range::Moves(portal.clone(), shard, hour);
            let options = QueryOptions {
                consistency: Consistency::Strong,
                from: Some(moves_from(from)),
                ..QueryOptions::default()
            };
            for mut item in self.query_with(&range, options).await? {
                let Key::Move(_, _, at, id) = items::key_of(&item)? else {
                    return Err(StoreError::Corrupt("an item among the moves is not a journal entry".into()));
                };
                let mut contacts = |name| match item.contains_key(name) {
                    true => items::document(&mut item, name),
                    false => Ok(ContactSet::default()),
                };
                let (moved, returned) = (contacts(MOVED_CONTACTS)?, contacts(READDED_CONTACTS)?);
                entries.push(JournalEntry { at, id, moved, returned, revision: items::id(&item, REVISION)? });
            }
            if hour >= to || range.encode().0 == last {
                return Ok(entries);
            }
            hour = hour + HOUR;
        }
    }

    /// Reads the index entries of contacts from the contacts' own items: half a read unit per 4 KB of each item.
    pub async fn own_entries(
        &self,
        portal: &PortalId,
        contacts: &[ContactId],
    ) -> Result<HashMap<ContactId, IndexEntry>, StoreError> {
        let keys: Vec<Key> = contacts.iter().map(|&id| Key::Contact(portal.clone(), id)).collect();
        let mut entries = HashMap::with_capacity(contacts.len());
        self.get_each(&keys, Consistency::Eventual, |item| {
            let entry = crate::index::entry(&item, Index::Stage)?;
            entries.insert(entry.contact, entry);
            Ok(())
        })
        .await?;
        Ok(entries)
    }

    /// Reads contacts from their own items, consistently: 1 read unit per 4 KB of each item, and 1 for each access
    /// record.
    pub async fn own_items(&self, portal: &PortalId, contacts: &[ContactId]) -> Result<OwnItems, StoreError> {
        let keys = |id| [Key::Contact(portal.clone(), id), Key::Access(portal.clone(), id)];
        let keys: Vec<Key> = contacts.iter().flat_map(|&id| keys(id)).collect();
        let (mut entries, mut accesses) = (HashMap::new(), Accesses::without_records(contacts));
        // A contact's item may be long, so keep no item in memory.
        self.get_each(&keys, Consistency::Strong, |item| match items::key_of(&item)? {
            Key::Contact(_, id) => {
                entries.insert(id, crate::index::entry(&item, Index::Stage)?);
                Ok(())
            }
            Key::Access(_, id) => accesses.record(id, &item),
            other => Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
        })
        .await?;
        Ok(OwnItems { entries, accesses })
    }

    /// Records that a contact is about to be removed: 1 write unit.
    pub(crate) async fn record_removal(
        &self,
        portal: &PortalId,
        contact: ContactId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::Removed(portal.clone(), contact));
        item.extend(expires(at));
        self.write_all(vec![Write::put(item)], Priority::Bulk).await
    }

    /// Returns the recently removed contacts: 1 read unit each.
    pub(crate) async fn recently_removed(
        &self,
        portal: &PortalId,
        contacts: &[ContactId],
    ) -> Result<HashSet<ContactId>, StoreError> {
        let keys: Vec<Key> = contacts.iter().map(|&id| Key::Removed(portal.clone(), id)).collect();
        let mut removed = HashSet::new();
        self.get_each(&keys, Consistency::Strong, |item| match items::key_of(&item)? {
            Key::Removed(_, id) => {
                removed.insert(id);
                Ok(())
            }
            other => Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
        })
        .await?;
        Ok(removed)
    }
}
