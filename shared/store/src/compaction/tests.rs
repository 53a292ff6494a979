use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

/// Number of contacts in the model.
const CONTACTS: i32 = 6;

/// Maximum seconds from the start of a compaction to its last write.
const COMPACTION_SECONDS: i64 = 60;

fn id(number: i32) -> ContactId {
    i64::from(number).try_into().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::MIN + SignedDuration::from_secs(100_000 + seconds)
}

fn raw(contacts: &BTreeSet<ContactId>) -> Key {
    let mut hash = [0; 16];
    contacts.iter().for_each(|contact| hash[contact.get().unsigned_abs() as usize] = 1);
    Key::Posting("acme".parse().unwrap(), UserId::NIL, hash)
}

/// A manager's postings and contacts, with concurrent writers, readers and compactions.
#[derive(Default)]
struct Model {
    seconds: i64,
    postings: BTreeMap<(String, String), Posting>,
    own: BTreeSet<ContactId>,
    /// Contacts that a writer has indexed but not assigned yet, each with the deadline of the writer.
    indexed: Vec<(i64, BTreeSet<ContactId>)>,
    compactions: [Compaction; 2],
    reader: Option<Reader>,
}

#[derive(Default)]
struct Compaction {
    read: Vec<Posting>,
    started: i64,
    own: HashSet<ContactId>,
    removals: Vec<Posting>,
    /// Posting to write after all removals.
    packed: Option<Key>,
}

struct Reader {
    /// Last key read.
    after: Option<(String, String)>,
    found: HashSet<ContactId>,
    /// Contacts that the manager has had since the read began.
    constant: BTreeSet<ContactId>,
}

#[derive(Clone, Debug)]
enum Event {
    Wait(i64),
    Index(BTreeSet<i32>),
    Write(usize),
    Remove(i32),
    /// A compaction reads postings, and then access with `Access`.
    Begin(usize),
    Access(usize),
    /// A compaction makes its next write.
    Step(usize),
    Read,
    ContinueRead,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (1..120i64).prop_map(Event::Wait),
        3 => prop::collection::btree_set(1..=CONTACTS, 1..4).prop_map(Event::Index),
        3 => (0..4usize).prop_map(Event::Write),
        2 => (1..=CONTACTS).prop_map(Event::Remove),
        2 => (0..2usize).prop_map(Event::Begin),
        2 => (0..2usize).prop_map(Event::Access),
        5 => (0..2usize).prop_map(Event::Step),
        1 => Just(Event::Read),
        4 => Just(Event::ContinueRead),
    ]
}

impl Model {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Wait(seconds) => {
                self.seconds += seconds;
                // A writer must finish within half of the settling time.
                let now = self.seconds;
                self.indexed.retain(|(until, _)| *until >= now);
                // The deadline of a sweep ends its compactions.
                for compaction in &mut self.compactions {
                    if now > compaction.started + COMPACTION_SECONDS {
                        *compaction = Compaction { started: now, ..Compaction::default() };
                    }
                }
            }
            Event::Index(contacts) => {
                let contacts: BTreeSet<ContactId> = contacts.into_iter().map(id).collect();
                let key = raw(&contacts);
                let posting = Posting {
                    key: key.clone(),
                    indexed_at: Some(at(self.seconds)),
                    contacts: contacts.iter().copied().collect(),
                };
                self.postings.insert(key.encode(), posting);
                self.indexed.push((self.seconds + 90, contacts));
            }
            Event::Write(which) if which < self.indexed.len() => {
                let (_, contacts) = self.indexed.remove(which);
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
                compaction.packed = (!own.is_empty() && !compaction.read.is_empty())
                    .then(|| Key::PackedPosting("acme".parse().unwrap(), UserId::NIL, generation, Uuid::now_v7()));
                compaction.own = own;
            }
            Event::Step(which) => self.step(which),
            Event::Read => {
                self.reader = Some(Reader { after: None, found: HashSet::new(), constant: self.own.clone() });
            }
            Event::ContinueRead => self.continue_read(),
            Event::Write(_) => {}
        }
    }

    fn step(&mut self, which: usize) {
        let compaction = &mut self.compactions[which];
        if let Some(removed) = compaction.removals.pop() {
            let key = removed.key.encode();
            if self.postings.get(&key).is_some_and(|posting| posting.indexed_at == removed.indexed_at) {
                self.postings.remove(&key);
            }
        } else if let Some(key) = compaction.packed.take() {
            let mut contacts: Vec<ContactId> = compaction.own.iter().copied().collect();
            contacts.sort_unstable();
            // Postings carry the time at which the compaction started, even if written later.
            let indexed_at = Some(at(compaction.started));
            self.postings.insert(key.encode(), Posting { key, indexed_at, contacts });
        }
    }

    /// Reads one more posting. At the end, the reader must have found every contact that the manager had during the
    /// whole read.
    fn continue_read(&mut self) {
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

/// Returns the number of random cases: all, as in CI, or an eighth.
fn cases() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "the environment names the number of cases")]
    let is_all = std::env::var("CRM_ACCESS_TEST_CASES").is_ok_and(|cases| cases == "all");
    if is_all { 2000 } else { 250 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn postings_name_every_contact_in_any_interleaving(
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
fn later_postings_make_covered_postings_superfluous() {
    let key = |number: u32| Key::PackedPosting("acme".parse().unwrap(), UserId::NIL, number, Uuid::nil());
    let posting = |number: u32, seconds: Option<i64>, contacts: &[i32]| Posting {
        key: key(number),
        indexed_at: seconds.map(at),
        contacts: contacts.iter().copied().map(id).collect(),
    };
    let postings = [
        posting(1, Some(0), &[1, 2, 9]),
        posting(2, Some(0), &[1, 8]),
        posting(3, Some(0), &[7, 9]),
        posting(4, Some(60), &[1, 2, 3]),
        posting(5, Some(0), &[2, 3, 9]),
        posting(6, Some(60), &[7]),
        posting(7, None, &[1, 2, 3, 7, 8, 9]),
    ];
    // The posting without a date has six further entries.
    assert_eq!(dated_entries(&postings), 14);
    let check = |own: &[i32], expected: &[u32]| {
        let own = own.iter().copied().map(id).collect();
        let keys: Vec<Key> =
            superfluous(&postings, &own, at(59)).into_iter().map(|posting| posting.key.clone()).collect();
        assert_eq!(keys, expected.iter().copied().map(key).collect::<Vec<_>>());
    };
    // A posting that is not settled or has no date is never removed and covers nothing.
    check(&[], &[5, 3, 2, 1]);
    check(&[1], &[5, 3, 1]);
    check(&[1, 2], &[3, 1]);
    check(&[1, 2, 3, 7, 8, 9], &[1]);
}
