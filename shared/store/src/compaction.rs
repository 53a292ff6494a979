//! Compaction of postings: removes those of a manager that name nothing that other postings do not name.
//!
//! The invariant that it keeps: **every contact that is a manager's is named by a posting of the manager**, at every moment
//! and for every reader. A compaction is made of single writes, so any call and any other compaction may come between
//! two of them. Three rules make each of its writes safe by itself:
//!
//! 1. A posting is removed only if it is settled: written longer than [`POSTING_SETTLED_MILLIS`] ago, and not written
//!    again since it was read. Whatever write it was for has been made by then. A contact that was not the manager's when
//!    its access was read can only become the manager's by a write that posts the contact anew.
//! 2. A contact that is the manager's must be named by another settled posting, whose key is greater. Keys are in one
//!    order, so two compactions never remove two postings that each relied on the other, and the posting with the
//!    greatest key stays.
//! 3. Where no posting covers the manager's contacts well, the compaction writes one that does, with a greater key than
//!    all it has read. The postings that it replaces are removed by a later compaction, when the new posting is settled and
//!    so is seen by eventually consistent reads that began before the removal.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use models::limits::{self, MAX_COMPACTED_CONTACTS, MAX_PACKED_CONTACTS, POSTING_SETTLED_MILLIS, WASTED_ENTRIES};
use models::values::id::{ContactId, PortalId, UserId};
use models::values::moment::Moment;
use uuid::Uuid;

use crate::dynamodb::batch::IN_FLIGHT;
use crate::dynamodb::client::{Part, Store};
use crate::dynamodb::items;
use crate::error::StoreError;
use crate::keys::{Key, Range};
use crate::postings::{POSTED_AT, Posting};

/// Contacts whose access is read together.
const ACCESS_TOGETHER: usize = 500;
/// How many times as many are read side by side.
const ACCESS_AT_ONCE: usize = 4;

/// A manager whose postings are to be compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCompaction {
    /// The portal.
    pub portal: PortalId,
    /// The manager.
    pub manager: UserId,
    /// From when on.
    pub due: Moment,
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Postings that were removed.
    pub removed: usize,
    /// Postings that were written. When there are any, another compaction removes those that they replace.
    pub written: usize,
}

/// Whether so many entries of a manager's postings are too many for the contacts that are its own.
pub(crate) fn is_wasteful(entries: usize, own: usize) -> bool {
    entries > 2 * own + WASTED_ENTRIES
}

/// A posting of this time or an earlier one is settled at `now`.
fn settled_before(now: Moment) -> Moment {
    now + -limits::duration(POSTING_SETTLED_MILLIS)
}

/// The postings that may be removed, of `postings` in the order of their keys: each was written before `settled`, and
/// names no contact of `own` that no later one of them names which stays and was written before `settled` too.
fn superfluous<'a>(postings: &'a [Posting], own: &HashSet<ContactId>, settled: Moment) -> Vec<&'a Posting> {
    let mut covered: HashSet<ContactId> = HashSet::with_capacity(own.len());
    let mut superfluous = Vec::new();
    for posting in postings.iter().rev().filter(|posting| posting.posted_at.is_none_or(|at| at <= settled)) {
        let mut own = posting.contacts.iter().filter(|contact| own.contains(contact)).peekable();
        if own.clone().all(|contact| covered.contains(contact)) {
            superfluous.push(posting);
        } else if own.peek().is_some() {
            covered.extend(own);
        }
    }
    superfluous
}

/// The generation of the postings that a compaction writes which has read these.
fn next_generation(postings: &[Posting]) -> u32 {
    let generations = postings.iter().map(|posting| match posting.key {
        Key::PackedPosting(_, _, generation, _) => generation,
        _ => 0,
    });
    generations.max().unwrap_or(0).saturating_add(1)
}

impl Store {
    /// Asks for the postings of a manager to be compacted, unless that is asked already: 1 write unit.
    pub async fn request_compaction(&self, portal: &PortalId, manager: UserId, now: Moment) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::DueCompaction(portal.clone(), manager));
        item.insert("due".into(), items::n(now.steps()));
        self.put_if(item, "attribute_not_exists(#pk)", []).await.map(drop)
    }

    /// Reads for which managers postings are to be compacted: 1 read unit per 4 KB, at least 1. At most about a megabyte
    /// of them is read.
    pub async fn due_compactions(&self, now: Moment) -> Result<Vec<DueCompaction>, StoreError> {
        let part = Part { consistent: true, ..Part::default() };
        let (items, _) = self.query_page(&Range::DueCompactions, &part, None, None).await?;
        let all = items.iter().map(|item| match items::key_of(item)? {
            Key::DueCompaction(portal, manager) => {
                Ok(DueCompaction { portal, manager, due: Moment::from_steps(items::number(item, "due")?) })
            }
            other => Err(StoreError::Corrupt(format!("{other:?} among the compactions that are due"))),
        });
        let all = all.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(all.into_iter().filter(|compaction| compaction.due <= now).collect())
    }

    /// Postpones a compaction that is still as it was read, and says whether it was: 1 write unit.
    pub async fn postpone_compaction(&self, seen: &DueCompaction, due: Moment) -> Result<bool, StoreError> {
        let text = |name: &str, of: &str| (name.to_owned(), of.to_owned());
        let postponed = self
            .update_if(
                &Key::DueCompaction(seen.portal.clone(), seen.manager),
                "SET #due = :due",
                Some("#due = :seen"),
                [text("#due", "due")].into(),
                [(":due".to_owned(), items::n(due.steps())), (":seen".to_owned(), items::n(seen.due.steps()))].into(),
            )
            .await?;
        Ok(postponed.is_some())
    }

    /// Forgets a compaction that is done: 1 write unit.
    pub async fn forget_compaction(&self, done: &DueCompaction) -> Result<(), StoreError> {
        self.delete(&Key::DueCompaction(done.portal.clone(), done.manager)).await
    }

    /// Compacts the postings of a manager at the time `now`. It reads the postings and half a read unit for each contact
    /// that they name, removes what is superfluous for 1 write unit per KB, and writes what covers the manager's contacts
    /// where too little was superfluous, for 1 write unit per KB. It may end after any of its calls.
    pub async fn compact_postings(
        &self,
        portal: &PortalId,
        manager: UserId,
        now: Moment,
    ) -> Result<Compacted, StoreError> {
        let postings = self.postings_of(portal, manager).await?;
        let own = self.own_contacts(portal, manager, &postings).await?;
        let settled = settled_before(now);
        let superfluous = superfluous(&postings, &own, settled);
        let mut compacted = Compacted { removed: superfluous.len(), written: 0 };
        let of_superfluous: usize = superfluous.iter().map(|posting| posting.contacts.len()).sum();
        let entries = postings.iter().map(|posting| posting.contacts.len()).sum::<usize>() - of_superfluous;
        let removals: Vec<_> = superfluous.into_iter().map(|posting| self.remove_posting(posting)).collect();
        stream::iter(removals).buffer_unordered(IN_FLIGHT).boxed().try_collect::<()>().await?;

        // A packed posting that is not settled yet will make others superfluous.
        let is_packed = |posting: &Posting| {
            matches!(posting.key, Key::PackedPosting(..)) && posting.posted_at.is_some_and(|at| at > settled)
        };
        if is_wasteful(entries, own.len()) && !postings.iter().any(is_packed) {
            let mut own: Vec<ContactId> = own.into_iter().collect();
            own.sort_unstable();
            let generation = next_generation(&postings);
            let writes = own.chunks(MAX_PACKED_CONTACTS).map(|contacts| {
                let key = Key::PackedPosting(portal.clone(), manager, generation, Uuid::now_v7());
                Posting::write(&key, contacts, now)
            });
            let writes = writes.collect::<Result<Vec<_>, _>>()?;
            compacted.written = writes.len();
            self.write_all(writes).await?;
        }
        Ok(compacted)
    }

    /// The postings of a manager in the order of their keys, at most about [`MAX_COMPACTED_CONTACTS`] entries of them; the
    /// packed ones always.
    async fn postings_of(&self, portal: &PortalId, manager: UserId) -> Result<Vec<Posting>, StoreError> {
        let packed = self.query(&Range::PackedPostings(portal.clone(), manager), false).await?;
        let packed = packed.iter().map(Posting::from_item).collect::<Result<Vec<_>, _>>()?;
        let mut entries: usize = packed.iter().map(|posting| posting.contacts.len()).sum();
        let (mut postings, mut start) = (Vec::new(), None);
        loop {
            let range = Range::RawPostings(portal.clone(), manager);
            let (items, next) = self.query_page(&range, &Part::default(), None, start).await?;
            for item in &items {
                let posting = Posting::from_item(item)?;
                entries += posting.contacts.len();
                postings.push(posting);
            }
            start = next;
            if start.is_none() || entries >= MAX_COMPACTED_CONTACTS {
                break;
            }
        }
        postings.extend(packed);
        Ok(postings)
    }

    /// The contacts that the postings name and that are the manager's now.
    async fn own_contacts(
        &self,
        portal: &PortalId,
        manager: UserId,
        postings: &[Posting],
    ) -> Result<HashSet<ContactId>, StoreError> {
        let named: HashSet<ContactId> = postings.iter().flat_map(|posting| &posting.contacts).copied().collect();
        let named: Vec<ContactId> = named.into_iter().collect();
        let reads = named.chunks(ACCESS_TOGETHER).map(|ids| async move {
            (ids, self.access_with(portal, ids, |state, _| state.access.managers.contains(&manager)).await)
        });
        let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(ACCESS_AT_ONCE).boxed();
        let mut own = HashSet::new();
        while let Some((ids, accesses)) = reads.next().await {
            let accesses = accesses?;
            for id in ids {
                if *accesses.of(*id)? {
                    own.insert(*id);
                }
            }
        }
        Ok(own)
    }

    /// Removes a posting, unless it was written again since it was read.
    async fn remove_posting(&self, posting: &Posting) -> Result<(), StoreError> {
        let names = HashMap::from([("#at".to_owned(), POSTED_AT.to_owned())]);
        match posting.posted_at {
            Some(at) => {
                let values = HashMap::from([(":at".to_owned(), items::n(at.steps()))]);
                self.delete_if(&posting.key, "#at = :at", names, values).await
            }
            None => self.delete_if(&posting.key, "attribute_not_exists(#at)", names, HashMap::new()).await,
        }
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    /// Contacts of the model.
    const CONTACTS: i32 = 6;

    fn id(number: i32) -> ContactId {
        i64::from(number).try_into().unwrap()
    }

    fn at(seconds: i64) -> Moment {
        Moment::MIN + SignedDuration::from_secs(100_000 + seconds)
    }

    fn raw(contacts: &BTreeSet<ContactId>) -> Key {
        let mut hash = [0; 16];
        contacts.iter().for_each(|contact| hash[contact.get().unsigned_abs() as usize] = 1);
        Key::Posting("acme".parse().unwrap(), UserId::NIL, hash)
    }

    /// A manager's postings and contacts, with writers, readers and compactions under way.
    #[derive(Default)]
    struct Model {
        seconds: i64,
        postings: BTreeMap<(String, String), Posting>,
        own: BTreeSet<ContactId>,
        /// Contacts that a writer has posted and not written yet, each with the time by which it must write.
        posted: Vec<(i64, BTreeSet<ContactId>)>,
        compactions: [Compaction; 2],
        reader: Option<Reader>,
    }

    #[derive(Default)]
    struct Compaction {
        read: Vec<Posting>,
        started: i64,
        own: HashSet<ContactId>,
        removals: Vec<Posting>,
        /// What is written when all is removed.
        packs: Option<Key>,
    }

    struct Reader {
        /// The last key that it has read.
        after: Option<(String, String)>,
        found: HashSet<ContactId>,
        /// The contacts that were the manager's all the time.
        constant: BTreeSet<ContactId>,
    }

    #[derive(Clone, Debug)]
    enum Event {
        Wait(i64),
        Post(BTreeSet<i32>),
        Write(usize),
        Remove(i32),
        /// A compaction reads postings and then access.
        Begin(usize),
        Access(usize),
        /// A compaction makes its next write.
        Step(usize),
        Read,
        ReadOn,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            2 => (1..120i64).prop_map(Event::Wait),
            3 => prop::collection::btree_set(1..=CONTACTS, 1..4).prop_map(Event::Post),
            3 => (0..4usize).prop_map(Event::Write),
            2 => (1..=CONTACTS).prop_map(Event::Remove),
            2 => (0..2usize).prop_map(Event::Begin),
            2 => (0..2usize).prop_map(Event::Access),
            5 => (0..2usize).prop_map(Event::Step),
            1 => Just(Event::Read),
            4 => Just(Event::ReadOn),
        ]
    }

    impl Model {
        fn apply(&mut self, event: Event) {
            match event {
                Event::Wait(seconds) => {
                    self.seconds += seconds;
                    // Half of the time to settle is what a writer has at most.
                    let now = self.seconds;
                    self.posted.retain(|(until, _)| *until >= now);
                }
                Event::Post(contacts) => {
                    let contacts: BTreeSet<ContactId> = contacts.into_iter().map(id).collect();
                    let key = raw(&contacts);
                    let posting = Posting {
                        key: key.clone(),
                        posted_at: Some(at(self.seconds)),
                        contacts: contacts.iter().copied().collect(),
                    };
                    self.postings.insert(key.encode(), posting);
                    self.posted.push((self.seconds + 90, contacts));
                }
                Event::Write(which) if which < self.posted.len() => {
                    let (_, contacts) = self.posted.remove(which);
                    self.own.extend(contacts);
                }
                Event::Remove(contact) => {
                    self.own.remove(&id(contact));
                    if let Some(reader) = &mut self.reader {
                        reader.constant.remove(&id(contact));
                    }
                }
                Event::Begin(which) => {
                    let read = self.postings.values().cloned().collect();
                    self.compactions[which] = Compaction { read, started: self.seconds, ..Compaction::default() };
                }
                Event::Access(which) => {
                    let own = self.own.iter().copied().collect();
                    let compaction = &mut self.compactions[which];
                    let settled = settled_before(at(compaction.started));
                    compaction.removals = superfluous(&compaction.read, &own, settled).into_iter().cloned().collect();
                    let generation = next_generation(&compaction.read);
                    compaction.packs = (!own.is_empty() && !compaction.read.is_empty())
                        .then(|| Key::PackedPosting("acme".parse().unwrap(), UserId::NIL, generation, Uuid::now_v7()));
                    compaction.own = own;
                }
                Event::Step(which) => self.step(which),
                Event::Read => {
                    self.reader = Some(Reader { after: None, found: HashSet::new(), constant: self.own.clone() });
                }
                Event::ReadOn => self.read_on(),
                Event::Write(_) => {}
            }
        }

        fn step(&mut self, which: usize) {
            let (now, compaction) = (self.seconds, &mut self.compactions[which]);
            if let Some(removed) = compaction.removals.pop() {
                let key = removed.key.encode();
                if self.postings.get(&key).is_some_and(|posting| posting.posted_at == removed.posted_at) {
                    self.postings.remove(&key);
                }
            } else if let Some(key) = compaction.packs.take() {
                let mut contacts: Vec<ContactId> = compaction.own.iter().copied().collect();
                contacts.sort_unstable();
                // Dated as the compaction began, and seen by readers from now on.
                let posted_at = Some(at(now.max(compaction.started)));
                self.postings.insert(key.encode(), Posting { key, posted_at, contacts });
            }
        }

        /// Reads one posting more. A reader that is at the end has found what was the manager's all the time.
        fn read_on(&mut self) {
            let Some(reader) = &mut self.reader else { return };
            let next = self.postings.iter().find(|(key, _)| reader.after.as_ref().is_none_or(|after| *key > after));
            if let Some((key, posting)) = next {
                reader.after = Some(key.clone());
                reader.found.extend(&posting.contacts);
                return;
            }
            for contact in &reader.constant {
                assert!(reader.found.contains(contact), "a list misses contact {contact}");
            }
            self.reader = None;
        }

        fn check(&self) {
            for contact in &self.own {
                assert!(
                    self.postings.values().any(|posting| posting.contacts.contains(contact)),
                    "no posting names contact {contact}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn no_contact_is_lost_whatever_a_compaction_is_interleaved_with(
            events in prop::collection::vec(event(), 1..120),
        ) {
            let mut model = Model::default();
            for event in events {
                model.apply(event);
                model.check();
            }
        }
    }

    #[test]
    fn superfluous_postings_are_those_that_later_ones_cover() {
        let key = |number: u32| Key::PackedPosting("acme".parse().unwrap(), UserId::NIL, number, Uuid::nil());
        let posting = |number: u32, seconds: Option<i64>, contacts: &[i32]| Posting {
            key: key(number),
            posted_at: seconds.map(at),
            contacts: contacts.iter().copied().map(id).collect(),
        };
        let postings = [
            posting(1, Some(0), &[1, 2, 9]),
            posting(2, None, &[1, 8]),
            posting(3, Some(0), &[7, 9]),
            posting(4, Some(60), &[1, 2, 3]),
            posting(5, Some(0), &[2, 3, 9]),
            posting(6, Some(60), &[7]),
        ];
        let check = |own: &[i32], expected: &[u32]| {
            let own = own.iter().copied().map(id).collect();
            let keys: Vec<Key> =
                superfluous(&postings, &own, at(59)).into_iter().map(|posting| posting.key.clone()).collect();
            assert_eq!(keys, expected.iter().copied().map(key).collect::<Vec<_>>());
        };
        // Nothing that is not settled is removed, or covers anything.
        check(&[], &[5, 3, 2, 1]);
        check(&[1], &[5, 3, 1]);
        check(&[1, 2], &[3, 1]);
        check(&[1, 2, 3, 7, 8, 9], &[1]);
    }
}
