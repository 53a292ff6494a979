//! Postings: for each manager, the contacts assigned to that manager. A list of one manager's contacts reads the
//! postings instead of scanning an index.
//!
//! A posting is written before the access records of its contacts. So a manager's postings name every contact of the
//! manager, and also contacts that the manager lost or has not received yet. A reader checks the access of each
//! contact. The key of a posting is a hash of its contents, so assigning the same contacts again rewrites the same
//! item, for example when a rule alternates between two manager lists.
//!
//! [`crate::compaction`] removes superfluous postings, and relies on a rule for each write of an access record. The
//! write either follows a posting for each of its managers by at most [`models::limits::POSTING_SETTLED_MILLIS`], or
//! has a condition: the record must still hold the managers for whom no posting was written.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write as _;
use std::ops::ControlFlow;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use models::access::Access;
use models::filter::listing::posting_budget;
use models::limits::MAX_PACKED_CONTACTS;
use models::values::id::{ContactId, PortalId, UserId};
use models::values::sorted_ids;
use models::values::timestamp::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::inflate::inflate;
use crate::jobs::chunk_format::MAX_CHUNK_CONTACTS;
use crate::keys::{Key, PostingHash, Range};

/// Maximum postings of the first query. Each further query reads four times as many. So a manager with few postings
/// takes one round trip, and the first read of a manager with too many postings stays small.
const FIRST_POSTINGS: usize = 64;

/// Maximum contacts of a manager that are read by identifier. Their identifiers take some megabytes.
const MAX_CANDIDATES: u64 = 250_000;

/// Maximum bytes of a posting before compression: a number of at most five bytes for each contact, and their count.
const MAX_POSTING_BYTES: usize = 5 * (MAX_PACKED_CONTACTS + 1);

// The other postings are smaller than those of a compaction.
const _: () = assert!(MAX_CHUNK_CONTACTS <= MAX_PACKED_CONTACTS);

/// Attribute with a posting's contacts.
const IDS: &str = "ids";
/// Attribute with the time of a posting's last write.
pub(crate) const INDEXED_AT: &str = "indexed_at";

/// The postings to write: managers, each with the contacts assigned to that manager.
#[derive(Clone, Debug, Default)]
pub struct Postings {
    contacts: HashMap<UserId, Vec<ContactId>>,
}

impl Postings {
    /// Adds all managers of a contact, for an unconditional write.
    pub fn add_all(&mut self, contact: ContactId, after: &Access) {
        self.add(contact, &Access::UNRECORDED, after);
    }

    /// Adds the managers of `after` that `before` lacks, for a write on condition that the access is still `before`.
    pub fn add(&mut self, contact: ContactId, before: &Access, after: &Access) {
        let had: HashSet<&UserId> = before.managers.iter().collect();
        for manager in after.managers.iter().filter(|manager| !had.contains(manager)) {
            self.contacts.entry(*manager).or_default().push(contact);
        }
    }

    /// Returns whether there are no postings to write.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    fn writes(&self, portal: &PortalId, at: Timestamp) -> Result<Vec<Write>, StoreError> {
        self.contacts
            .iter()
            .map(|(manager, contacts)| {
                let (hash, body) = encode(contacts)?;
                Ok(Write::put(posting_item(&Key::Posting(portal.clone(), *manager, hash), body, at)))
            })
            .collect()
    }
}

fn posting_item(key: &Key, body: Vec<u8>, at: Timestamp) -> Item {
    let mut item = items::keyed(key);
    item.insert(IDS.into(), items::b(body));
    item.insert(INDEXED_AT.into(), items::n(at.ticks()));
    item
}

/// A posting as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) key: Key,
    /// Time of the last write; none for a posting of an earlier schema, which no migration has reached yet.
    pub(crate) indexed_at: Option<Timestamp>,
    /// The contacts, ascending.
    pub(crate) contacts: Vec<ContactId>,
}

impl Posting {
    pub(crate) fn from_item(item: &Item) -> Result<Self, StoreError> {
        let indexed_at = item.contains_key(INDEXED_AT).then(|| items::number(item, INDEXED_AT)).transpose()?;
        Ok(Self {
            key: items::key_of(item)?,
            indexed_at: indexed_at.map(Timestamp::from_ticks),
            contacts: decode(items::bytes(item, IDS)?)?,
        })
    }

    /// Builds the write of a posting of these contacts.
    pub(crate) fn write(key: &Key, contacts: &[ContactId], at: Timestamp) -> Result<Write, StoreError> {
        Ok(Write::put(posting_item(key, encode(contacts)?.1, at)))
    }
}

/// The contacts that the postings of a manager name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexedContacts {
    /// Distinct contacts, unordered.
    pub contacts: Vec<ContactId>,
    /// Number of entries in the postings with a date. A contact may have several.
    pub entries: usize,
}

/// Returns the hash and the body of a posting. The body is the compressed form of [`sorted_ids`]. The hash covers the
/// uncompressed form, so the hash does not depend on the compressor.
///
/// # Errors
///
/// [`StoreError::Unbuildable`] is part of the compressor's interface and does not occur in memory.
pub fn encode(contacts: &[ContactId]) -> Result<(PostingHash, Vec<u8>), StoreError> {
    const WHAT: &str = "the body of a posting";
    let plain = sorted_ids::encode(contacts).map_err(|error| StoreError::unbuildable(WHAT, error))?;
    let digest = Sha256::digest(&plain);
    let mut hash = PostingHash::default();
    hash.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain).map_err(|error| StoreError::unbuildable(WHAT, error))?;
    Ok((hash, encoder.finish().map_err(|error| StoreError::unbuildable(WHAT, error))?))
}

/// Decodes the contacts of a posting's body, ascending.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for a body that [`encode`] does not write.
pub fn decode(body: &[u8]) -> Result<Vec<ContactId>, StoreError> {
    let plain = inflate(body, MAX_POSTING_BYTES)
        .map_err(|error| StoreError::corrupt("the body of a posting is not compressed", error))?;
    sorted_ids::decode(&plain).ok_or_else(|| StoreError::Corrupt("the body of a posting has another form".into()))
}

impl Store {
    /// Writes postings dated `at`. Call this function before writing the access records of the contacts. Costs 1 write
    /// unit per manager and KB, enough for about a thousand contacts with close identifiers.
    pub async fn index_managers(
        &self,
        portal: &PortalId,
        postings: &Postings,
        at: Timestamp,
        priority: Priority,
    ) -> Result<(), StoreError> {
        if postings.is_empty() {
            return Ok(());
        }
        self.write_all(postings.writes(portal, at)?, priority).await
    }

    /// Reads the contacts in a manager's postings; none if there are more than `max_contacts`. Costs 1 read unit per 8
    /// KB, for about ten thousand contacts assigned in chunks, or seventy assigned one by one.
    pub async fn contacts_indexed_for(
        &self,
        portal: &PortalId,
        manager: UserId,
        max_contacts: usize,
    ) -> Result<Option<IndexedContacts>, StoreError> {
        let (mut contacts, mut entries, mut is_too_many) = (HashSet::new(), 0, false);
        self.each_posting(portal, manager, Consistency::Eventual, |item, indexed| {
            if item.contains_key(INDEXED_AT) {
                entries += indexed.len();
            }
            contacts.extend(indexed);
            is_too_many = contacts.len() > max_contacts;
            if is_too_many { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        let contacts = (!is_too_many).then(|| contacts.into_iter().collect());
        Ok(contacts.map(|contacts| IndexedContacts { contacts, entries }))
    }

    /// Reads the contacts in a manager's postings if reading each contact is cheaper than a scan; returns none
    /// otherwise. A scan reads `expected` index entries, and a scan in index order ends after `until` matches. Costs as
    /// [`Self::contacts_indexed_for`].
    pub(crate) async fn cheap_postings(
        &self,
        portal: &PortalId,
        manager: UserId,
        expected: u64,
        until: Option<u64>,
    ) -> Result<Option<IndexedContacts>, StoreError> {
        let max_contacts = posting_budget(expected, until).min(MAX_CANDIDATES);
        match usize::try_from(max_contacts).unwrap_or(usize::MAX) {
            0 => Ok(None),
            max_contacts => self.contacts_indexed_for(portal, manager, max_contacts).await,
        }
    }

    /// Reads the contacts of one of `shards` shards in a manager's postings after the contact `after`, ascending and
    /// consistently: 1 read unit per 4 KB of all postings of the manager. Memory holds the contacts of the shard.
    pub async fn contacts_indexed_in_shard(
        &self,
        portal: &PortalId,
        manager: UserId,
        shard: u16,
        shards: u16,
        after: Option<ContactId>,
    ) -> Result<Vec<ContactId>, StoreError> {
        let mut contacts = BTreeSet::new();
        self.each_posting(portal, manager, Consistency::Strong, |_, indexed| {
            let is_wanted = |contact: &ContactId| contact.shard(shards) == shard && Some(*contact) > after;
            contacts.extend(indexed.into_iter().filter(is_wanted));
            ControlFlow::Continue(())
        })
        .await?;
        Ok(contacts.into_iter().collect())
    }

    /// Reads a manager's postings and their contacts, until `visit` breaks.
    async fn each_posting(
        &self,
        portal: &PortalId,
        manager: UserId,
        consistency: Consistency,
        mut visit: impl FnMut(&Item, Vec<ContactId>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let range = Range::Postings(portal.clone(), manager);
        let options = QueryOptions { consistency, ..QueryOptions::default() };
        let (mut start, mut limit) = (None, FIRST_POSTINGS);
        loop {
            let (items, next) = self.query_page(&range, &options, Some(limit), start).await?;
            limit = limit.saturating_mul(4);
            for item in &items {
                if visit(item, decode(items::bytes(item, IDS)?)?).is_break() {
                    return Ok(());
                }
            }
            if next.is_none() {
                return Ok(());
            }
            start = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: i32) -> ContactId {
        i64::from(number).try_into().unwrap()
    }

    proptest! {
        #[test]
        fn postings_round_trip_and_hash_their_contacts(
            numbers in prop::collection::btree_set(1..=i32::MAX, 1..200),
            other in prop::collection::btree_set(1..=i32::MAX, 1..200),
            twice in any::<prop::sample::Index>(),
        ) {
            let ids: Vec<ContactId> = numbers.iter().copied().map(id).collect();
            let (hash, body) = encode(&ids).unwrap();
            prop_assert_eq!(decode(&body).unwrap(), &ids[..]);
            let mut otherwise: Vec<ContactId> = ids.iter().rev().copied().collect();
            otherwise.push(ids[twice.index(ids.len())]);
            prop_assert_eq!(encode(&otherwise).unwrap(), (hash, body));
            let others: Vec<ContactId> = other.iter().copied().map(id).collect();
            prop_assert_eq!(encode(&others).unwrap().0 == hash, numbers == other);
        }
    }

    #[test]
    fn earlier_managers_of_a_contact_get_no_posting() {
        let [a, b, c] = [1, 2, 3].map(UserId::from_u128);
        let access = |managers: &[UserId]| Access { managers: managers.to_vec(), ..Access::UNRECORDED };
        let mut postings = Postings::default();
        postings.add(id(1), &access(&[a, b]), &access(&[b, a]));
        postings.add(id(1), &access(&[a, b]), &access(&[]));
        assert!(postings.is_empty());
        postings.add(id(1), &access(&[a]), &access(&[b, a, c]));
        postings.add(id(2), &access(&[c]), &access(&[b]));
        assert_eq!(postings.contacts, HashMap::from([(b, vec![id(1), id(2)]), (c, vec![id(1)])]));
    }

    #[test]
    fn thousand_scattered_contacts_fit_two_kilobytes_and_neighbours_one_hundred_bytes() {
        let ids = |step: i32| (1..=1000).map(|n| id(n * step)).collect::<Vec<_>>();
        let bytes = |step| encode(&ids(step)).unwrap().1.len();
        assert!(bytes(1) < 100, "{}", bytes(1));
        let mut random = fastrand::Rng::with_seed(7);
        let mut any: Vec<ContactId> = (0..1000).map(|_| id(random.i32(1..1_000_000))).collect();
        assert!(encode(&any).unwrap().1.len() < 2 * 1024, "{}", encode(&any).unwrap().1.len());
        any = (0..1000).map(|_| id(random.i32(1..100_000))).collect();
        assert!(encode(&any).unwrap().1.len() < 1024 + 512, "{}", encode(&any).unwrap().1.len());
    }

    #[test]
    fn posting_that_inflates_above_the_maximum_is_refused() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&vec![0; 100 * MAX_POSTING_BYTES]).unwrap();
        let error = decode(&encoder.finish().unwrap()).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("more than"), "{error:?}");
    }

    #[test]
    fn largest_packed_posting_round_trips() {
        let contacts = i32::try_from(MAX_PACKED_CONTACTS).unwrap();
        let ids: Vec<ContactId> = (1..=contacts).map(|n| id(n * (i32::MAX / contacts))).collect();
        assert_eq!(decode(&encode(&ids).unwrap().1).unwrap(), ids);
    }
}
