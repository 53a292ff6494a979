//! Contacts and their access records.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use models::access::{Access, Author, ShareType};
use models::contact::ContactRecord;
use models::filter::listing::Facts;
use models::job::{JobId, Revision};
use models::limits::REMOVED_MARK_HOURS;
use models::values::fold::{fold, fold_tag};
use models::values::id::{ContactId, PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{BatchOptions, Consistency};
use crate::dynamodb::statements::Statement;
use crate::error::StoreError;
use crate::keys::{EXPIRES, Index, IndexPosition, Key, PK, Partition, SK};

// The attributes of an index entry, which a contact's own item and the items of its tags share.
pub(crate) const STAGE: &str = "stage";
pub(crate) const TYPE: &str = "type";
pub(crate) const COMPANY: &str = "company";
pub(crate) const OPPORTUNITY: &str = "opportunity";
pub(crate) const TAGS: &str = "tags";
pub(crate) const NAME: &str = "name";

/// Attribute of a contact: its record.
pub(crate) const RECORD: &str = "doc";

// The attributes of an access record. They are short, because each change of access writes them.
const SHARE: &str = "share";
const MANAGERS: &str = "managers";
pub(crate) const REVISION: &str = "rev";
const SET_BY: &str = "by";
const SET_AT: &str = "at";
/// The chunk of the job that holds the change; missing if the job's record holds the change, and for an import.
const REVISION_CHUNK: &str = "chunk";
/// The job whose record this record replaced; missing if there was none.
const REPLACED: &str = "prev";
/// True if an import removed the contact, and this item stands in place of the access record.
const REMOVED: &str = "removed";

/// The access of a contact, with its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessState {
    /// Share type and managers of the contact.
    pub access: Access,
    /// The write that set the access; none without a record.
    pub revision: Option<Revision>,
    /// True if an import removed the contact.
    pub is_removed: bool,
}

impl AccessState {
    /// The state of a contact that has no access record.
    pub const UNRECORDED: Self = Self { access: Access::UNRECORDED, revision: None, is_removed: false };

    /// Returns the job that wrote the access record.
    pub fn job(&self) -> Option<JobId> {
        self.revision.map(|revision| revision.job)
    }

    /// Returns whether `job` wrote the access record.
    pub fn is_written_by(&self, job: JobId) -> bool {
        self.job() == Some(job)
    }
}

/// The origin of an access record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The time at which the access was set; none without a record.
    pub set_at: Option<Timestamp>,
    /// The job whose record this record replaced; none if there was no record.
    pub replaced: Option<JobId>,
}

/// The access of each requested contact, or a value derived from the access. Contacts without an access record are
/// included, and contacts that were not requested are not.
#[derive(Clone, Debug)]
pub struct Accesses<T = AccessState> {
    states: HashMap<ContactId, T>,
}

impl<T> Accesses<T> {
    /// Returns the access of a requested contact. The contact need not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for a contact that was not requested, because its access is unknown.
    pub fn of(&self, contact: ContactId) -> Result<&T, StoreError> {
        self.states.get(&contact).ok_or_else(|| not_requested(contact))
    }

    /// Removes and returns the access of a requested contact, so that memory holds a long manager list once.
    ///
    /// # Errors
    ///
    /// As [`Self::of`], and for a contact whose access was already removed.
    pub fn take(&mut self, contact: ContactId) -> Result<T, StoreError> {
        self.states.remove(&contact).ok_or_else(|| not_requested(contact))
    }

    /// Returns the access of a requested contact for modification.
    ///
    /// # Errors
    ///
    /// As [`Self::of`].
    pub fn of_mut(&mut self, contact: ContactId) -> Result<&mut T, StoreError> {
        self.states.get_mut(&contact).ok_or_else(|| not_requested(contact))
    }
}

impl Accesses {
    /// Creates the access of requested contacts, without access records until [`Self::record`] adds them.
    pub(crate) fn without_records(contacts: &[ContactId]) -> Self {
        Self { states: contacts.iter().map(|&contact| (contact, AccessState::UNRECORDED)).collect() }
    }

    /// Sets the access of a contact from its access record.
    pub(crate) fn record(&mut self, contact: ContactId, item: &Item) -> Result<(), StoreError> {
        *self.of_mut(contact)? = access_state(item)?;
        Ok(())
    }
}

fn not_requested(contact: ContactId) -> StoreError {
    StoreError::Corrupt(format!("the access of contact {contact} was not requested").into())
}

/// An access record to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRecord<'a> {
    /// The access.
    pub access: &'a Access,
    /// The new revision.
    pub revision: Revision,
    /// The job whose record this record replaces; none if there is no record.
    pub replaced: Option<JobId>,
    /// The author of the change.
    pub set_by: Author,
    /// Time of the change.
    pub set_at: Timestamp,
}

impl AccessRecord<'_> {
    /// Builds the item: under 1 KB with up to 40 managers, so 1 write unit.
    pub(crate) fn item(&self, portal: &PortalId, contact: ContactId) -> Item {
        let mut item = items::keyed(&Key::Access(portal.clone(), contact));
        let managers: Vec<u8> = self.access.managers.iter().flat_map(|id| *id.as_bytes()).collect();
        item.insert(SHARE.into(), items::n(self.access.share.number()));
        if !managers.is_empty() {
            item.insert(MANAGERS.into(), items::b(managers));
        }
        item.insert(REVISION.into(), items::b(*self.revision.job.as_bytes()));
        if let Some(chunk) = self.revision.chunk {
            item.insert(REVISION_CHUNK.into(), items::n(chunk));
        }
        if let Some(replaced) = self.replaced {
            item.insert(REPLACED.into(), items::b(*replaced.as_bytes()));
        }
        if let Some(user) = self.set_by.user() {
            item.insert(SET_BY.into(), items::b(*user.as_bytes()));
        }
        item.insert(SET_AT.into(), items::n(self.set_at.ticks()));
        item
    }

    pub(crate) fn write(&self, portal: &PortalId, contact: ContactId) -> Write {
        Write::put(self.item(portal, contact))
    }

    /// Builds the statement that writes the record, if the contact still has the record to be replaced, or still has
    /// none.
    fn statement(&self, table: &str, portal: &PortalId, contact: ContactId) -> Statement<ContactId> {
        let mut item = self.item(portal, contact);
        let mut parameters = Vec::with_capacity(item.len() + 1);
        let Some(replaced) = self.replaced else {
            let mut members = String::new();
            for name in [PK, SK].into_iter().chain(ATTRIBUTES) {
                let Some(value) = item.remove(name) else { continue };
                members.push_str(if members.is_empty() { "'" } else { ", '" });
                members.push_str(name);
                members.push_str("': ?");
                parameters.push(value);
            }
            let text = format!("INSERT INTO \"{table}\" VALUE {{{members}}}");
            return Statement { tag: contact, text, parameters };
        };
        let (pk, sk) = (item.remove(PK), item.remove(SK));
        let mut text = format!("UPDATE \"{table}\"");
        for name in ATTRIBUTES {
            match item.remove(name) {
                Some(value) => {
                    text.push_str(" SET \"");
                    text.push_str(name);
                    text.push_str("\"=?");
                    parameters.push(value);
                }
                None => {
                    text.push_str(" REMOVE \"");
                    text.push_str(name);
                    text.push('"');
                }
            }
        }
        text.push_str(&format!(" WHERE \"{PK}\"=? AND \"{SK}\"=? AND \"{REVISION}\"=?"));
        parameters.extend(pk.into_iter().chain(sk).chain([items::b(*replaced.as_bytes())]));
        Statement { tag: contact, text, parameters }
    }
}

/// The statements of access records. Each statement is built when the iterator reaches it, so that memory holds the
/// manager lists of the batches in flight only.
struct Statements<'a> {
    table: &'a str,
    portal: &'a PortalId,
    records: std::vec::IntoIter<(ContactId, AccessRecord<'a>)>,
}

impl Iterator for Statements<'_> {
    type Item = Statement<ContactId>;

    fn next(&mut self) -> Option<Self::Item> {
        let (contact, record) = self.records.next()?;
        Some(record.statement(self.table, self.portal, contact))
    }
}

/// The attributes of an access record besides its key.
const ATTRIBUTES: [&str; 7] = [SHARE, MANAGERS, REVISION, REVISION_CHUNK, REPLACED, SET_BY, SET_AT];

/// Builds the item that stands in place of a removed contact's access record. The item has a revision of its own, so no
/// job that read the contact before the removal can write an access record.
pub(crate) fn removed_item(portal: &PortalId, contact: ContactId, revision: JobId, at: Timestamp) -> Item {
    let mut item = items::keyed(&Key::Access(portal.clone(), contact));
    // No user but administrators sees the contact, while indexes still show the contact.
    item.insert(SHARE.into(), items::n(ShareType::None.number()));
    item.insert(REVISION.into(), items::b(*revision.as_bytes()));
    item.insert(SET_AT.into(), items::n(at.ticks()));
    item.insert(REMOVED.into(), AttributeValue::Bool(true));
    item.insert(EXPIRES.into(), items::n(at.to_jiff().as_second() + REMOVED_MARK_HOURS * 60 * 60));
    item
}

pub(crate) fn access_state(item: &Item) -> Result<AccessState, StoreError> {
    let share = items::number(item, SHARE)?;
    let share = ShareType::from_number(share)
        .ok_or_else(|| StoreError::Corrupt(format!("the share type {share} is unknown").into()))?;
    let bytes = if item.contains_key(MANAGERS) { items::bytes(item, MANAGERS)? } else { &[] };
    let managers = bytes.chunks(16).map(|id| id.try_into().map(UserId::from_bytes)).collect::<Result<_, _>>();
    let managers = managers.map_err(|_| StoreError::Corrupt("the managers are not UUIDs".into()))?;
    let chunk = item.contains_key(REVISION_CHUNK).then(|| items::number(item, REVISION_CHUNK)).transpose()?;
    Ok(AccessState {
        access: Access { share, managers },
        revision: Some(Revision { job: items::id(item, REVISION)?, chunk }),
        is_removed: is_removal_mark(item),
    })
}

/// Returns whether an item stands in place of a removed contact's access record.
pub(crate) fn is_removal_mark(item: &Item) -> bool {
    item.contains_key(REMOVED)
}

fn origin(item: &Item) -> Result<Origin, StoreError> {
    let replaced = item.contains_key(REPLACED).then(|| items::id(item, REPLACED)).transpose()?;
    Ok(Origin { set_at: Some(Timestamp::from_ticks(items::number(item, SET_AT)?)), replaced })
}

fn index_entry(record: &ContactRecord) -> Item {
    let mut item = Item::from([
        (STAGE.into(), items::n(record.stage)),
        (TYPE.into(), items::n(record.contact_type)),
        (COMPANY.into(), AttributeValue::Bool(record.is_company)),
        (OPPORTUNITY.into(), AttributeValue::Bool(record.has_opportunity)),
    ]);
    if !record.display_name.is_empty() {
        item.insert(NAME.into(), items::s(fold(&record.display_name)));
    }
    if !record.tags.is_empty() {
        let tags = record.tags.iter().map(|tag| items::s(fold_tag(tag))).collect();
        item.insert(TAGS.into(), AttributeValue::L(tags));
    }
    item
}

fn index_keys(index: Index, partition: &Partition, record: &ContactRecord) -> [(String, AttributeValue); 2] {
    let position = IndexPosition { created: record.created, contact: record.id };
    [(index.pk().into(), items::s(partition.encode())), (index.sk().into(), items::s(position.encode()))]
}

/// Builds the contact's own item, which is also its entry in the stage index.
pub(crate) fn contact_item(portal: &PortalId, shards: u16, record: &ContactRecord) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::Contact(portal.clone(), record.id));
    item.extend(index_entry(record));
    let partition = Partition::Stage(portal.clone(), record.id.shard(shards), record.stage);
    item.extend(index_keys(Index::Stage, &partition, record));
    item.insert(RECORD.into(), items::to_document(record)?);
    Ok(item)
}

/// Builds the items of the contact's tags, which are its entries in the tag index.
pub(crate) fn tag_items(portal: &PortalId, shards: u16, record: &ContactRecord) -> Vec<Item> {
    record
        .tags
        .iter()
        .map(|tag| {
            let tag = fold_tag(tag);
            let mut item = items::keyed(&Key::ContactTag(portal.clone(), record.id, tag.clone()));
            item.extend(index_entry(record));
            let partition = Partition::Tag(portal.clone(), record.id.shard(shards), tag);
            item.extend(index_keys(Index::Tag, &partition, record));
            item
        })
        .collect()
}

/// Contacts with their access, and users read in the same round trip.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The contacts that exist, with their access.
    pub contacts: HashMap<ContactId, (ContactRecord, AccessState)>,
    /// Contacts that do not exist but have an item at the key of the access record: the mark of a removal, or a record
    /// that somebody wrote during the removal.
    pub orphans: HashSet<ContactId>,
    /// The users that exist.
    pub users: HashMap<UserId, models::directory::User>,
}

/// A contact whose write was rejected, because the contact no longer had the record to be replaced, or had its first
/// record by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectedWrite {
    /// The contact.
    pub contact: ContactId,
    /// True if an attempt had no answer. The attempt may have written the record.
    pub may_be_written: bool,
}

/// The outcome of conditional writes.
#[derive(Debug, Default)]
pub struct Conditional {
    /// Contacts whose write was rejected.
    pub rejected: Vec<RejectedWrite>,
    /// Number of other contacts whose write is not known to have succeeded.
    pub unwritten: usize,
    /// The first error; present if `unwritten` is not 0.
    pub error: Option<StoreError>,
}

impl Store {
    /// Reads contacts, their access records and users in one round trip, consistently: 1 read unit per 4 KB of each
    /// item.
    pub async fn load(
        &self,
        portal: &PortalId,
        contacts: &[ContactId],
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<Loaded, StoreError> {
        let users: HashSet<UserId> = users.into_iter().collect();
        let keys: Vec<Key> = contacts
            .iter()
            .flat_map(|&id| [Key::Contact(portal.clone(), id), Key::Access(portal.clone(), id)])
            .chain(users.into_iter().map(|id| Key::User(portal.clone(), id)))
            .collect();
        let mut loaded = Loaded::default();
        let (mut records, mut accesses) = (Vec::new(), Accesses::without_records(contacts));
        self.get_each(&keys, Consistency::Strong, |mut item| {
            match items::key_of(&item)? {
                Key::Contact(_, id) => {
                    records.push((id, items::document(&mut item, RECORD)?));
                }
                Key::Access(_, id) => {
                    accesses.record(id, &item)?;
                    loaded.orphans.insert(id);
                }
                Key::User(_, id) => {
                    loaded.users.insert(id, crate::directory::user(&mut item)?);
                }
                other => return Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
            }
            Ok(())
        })
        .await?;
        for (id, record) in records {
            loaded.orphans.remove(&id);
            loaded.contacts.insert(id, (record, accesses.take(id)?));
        }
        Ok(loaded)
    }

    /// Reads contacts without their access: half a read unit per 4 KB of each contact.
    pub async fn contacts(
        &self,
        portal: &PortalId,
        ids: &[ContactId],
    ) -> Result<HashMap<ContactId, ContactRecord>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|&id| Key::Contact(portal.clone(), id)).collect();
        let mut contacts = HashMap::with_capacity(ids.len());
        self.get_each(&keys, Consistency::Eventual, |mut item| {
            let record: ContactRecord = items::document(&mut item, RECORD)?;
            contacts.insert(record.id, record);
            Ok(())
        })
        .await?;
        Ok(contacts)
    }

    /// Reads the names by which lists are sorted: half a read unit per 4 KB of each contact.
    pub(crate) async fn sorting_names(
        &self,
        portal: &PortalId,
        ids: &[ContactId],
    ) -> Result<HashMap<ContactId, (String, String)>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|&id| Key::Contact(portal.clone(), id)).collect();
        let mut names = HashMap::with_capacity(ids.len());
        self.get_each(&keys, Consistency::Eventual, |mut item| {
            let record: ContactRecord = items::document(&mut item, RECORD)?;
            names.insert(record.id, Facts::names_of(&record));
            Ok(())
        })
        .await?;
        Ok(names)
    }

    /// Reads the display names of contacts: half a read unit per 4 KB of each contact. Only the names stay in memory.
    pub async fn display_names(
        &self,
        portal: &PortalId,
        ids: &[ContactId],
    ) -> Result<HashMap<ContactId, String>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|&id| Key::Contact(portal.clone(), id)).collect();
        let mut names = HashMap::with_capacity(ids.len());
        self.get_each(&keys, Consistency::Eventual, |mut item| {
            let record: ContactRecord = items::document(&mut item, RECORD)?;
            names.insert(record.id, record.display_name);
            Ok(())
        })
        .await?;
        Ok(names)
    }

    /// Reads the access of many contacts: half a read unit per 4 KB of each record, and half a unit without a record.
    ///
    /// The read is eventually consistent, at half the price of a consistent read. The read may miss a change of about
    /// the last second. The table rejects a write that is based on such a read.
    pub async fn access_of(&self, portal: &PortalId, ids: &[ContactId]) -> Result<Accesses, StoreError> {
        self.access_with(portal, ids, |state, _| state).await
    }

    /// Reads access like [`Self::access_of`], and stores only the result of `derive` for each contact. `derive`
    /// receives the access and its origin. Small results keep a thousand long manager lists out of memory.
    pub async fn access_with<T>(
        &self,
        portal: &PortalId,
        ids: &[ContactId],
        derive: impl Fn(AccessState, Origin) -> T,
    ) -> Result<Accesses<T>, StoreError> {
        self.read_access(portal, ids, Consistency::Eventual, derive).await
    }

    /// Reads the access of many contacts consistently: 1 read unit per 4 KB of each record, and 1 without a record.
    pub async fn current_access_of(&self, portal: &PortalId, ids: &[ContactId]) -> Result<Accesses, StoreError> {
        self.read_access(portal, ids, Consistency::Strong, |state, _| state).await
    }

    /// Reads the access of many contacts with its origin, consistently: 1 read unit per 4 KB of each record, and 1
    /// without a record.
    pub async fn current_access_with_origin(
        &self,
        portal: &PortalId,
        ids: &[ContactId],
    ) -> Result<Accesses<(AccessState, Origin)>, StoreError> {
        self.read_access(portal, ids, Consistency::Strong, |state, origin| (state, origin)).await
    }

    /// Reads only the revisions of access records, consistently: 1 read unit per 4 KB of each record.
    pub async fn revisions(
        &self,
        portal: &PortalId,
        ids: &[ContactId],
    ) -> Result<HashMap<ContactId, JobId>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|&id| Key::Access(portal.clone(), id)).collect();
        let mut revisions = HashMap::with_capacity(ids.len());
        let options = BatchOptions { consistency: Consistency::Strong, attributes: Some("pk, sk, rev") };
        self.read_each(&keys, options, |item| match items::key_of(&item)? {
            Key::Access(_, id) => {
                revisions.insert(id, items::id(&item, REVISION)?);
                Ok(())
            }
            other => Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
        })
        .await?;
        Ok(revisions)
    }

    /// Returns the contacts that exist, read consistently: 1 read unit per 4 KB of each contact.
    pub async fn existing(&self, portal: &PortalId, ids: &[ContactId]) -> Result<HashSet<ContactId>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|&id| Key::Contact(portal.clone(), id)).collect();
        let mut existing = HashSet::with_capacity(ids.len());
        self.get_each(&keys, Consistency::Strong, |item| match items::key_of(&item)? {
            Key::Contact(_, id) => {
                existing.insert(id);
                Ok(())
            }
            other => Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
        })
        .await?;
        Ok(existing)
    }

    async fn read_access<T>(
        &self,
        portal: &PortalId,
        ids: &[ContactId],
        consistency: Consistency,
        derive: impl Fn(AccessState, Origin) -> T,
    ) -> Result<Accesses<T>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|&id| Key::Access(portal.clone(), id)).collect();
        let mut accesses = Accesses {
            states: ids.iter().map(|&id| (id, derive(AccessState::UNRECORDED, Origin::default()))).collect(),
        };
        self.get_each(&keys, consistency, |item| match items::key_of(&item)? {
            Key::Access(_, id) => {
                *accesses.of_mut(id)? = derive(access_state(&item)?, origin(&item)?);
                Ok(())
            }
            other => Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
        })
        .await?;
        Ok(accesses)
    }

    /// Writes access records, each on condition that the contact still has the record to be replaced, or still has
    /// none. Returns the outcome. Costs 1 write unit each with up to 40 managers, also if the table rejects the write.
    pub async fn write_access(
        &self,
        portal: &PortalId,
        records: Vec<(ContactId, AccessRecord<'_>)>,
        priority: Priority,
    ) -> Conditional {
        let statements = Statements { table: &self.table, portal, records: records.into_iter() };
        let executed = self.execute_each(statements, priority).await;
        let rejected = executed.rejected.into_iter();
        Conditional {
            rejected: rejected
                .map(|rejected| RejectedWrite { contact: rejected.tag, may_be_written: rejected.may_be_written })
                .collect(),
            unwritten: executed.unwritten.len(),
            error: executed.error,
        }
    }
}
