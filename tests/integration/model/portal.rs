//! The model: the promises of the service, in plain Rust.
//!
//! The model shares no code with the service. It lists equal spellings in tables instead of folding texts, and takes a
//! day from the portal's calendar instead of computing a range of instants.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::cases::{Caller, IfMatch, Many, One};

/// Units of 100 ns since 1970.
pub(super) type Ticks = i64;

/// Current time of a world.
pub(super) const NOW: Ticks = tests::NEW_YEAR_2026;
/// Number of users of a portal. User 0 is its administrator, and the number itself is a user of no portal.
pub(super) const USERS: usize = 5;

/// Tags, each with its equal spellings. No contact has the last tag.
pub(super) const TAGS: [&[&str]; 7] = [
    &["VIP", "vip", "  Vip "],
    &["Straße", "STRASSE", "strasse"],
    &["Été", "ÉTÉ", "e\u{301}te\u{301}"],
    &["ΣΊΣΥΦΟΣ", "σίσυφος", "σίσυφοσ"],
    &["a#b", "A#B"],
    &["a", "A"],
    &["nobody's"],
];

/// Words in names.
pub(super) const WORDS: [&str; 6] = ["Anna", "HANNAH", "Müller", "groß", "Ann", "Łódź"];

/// Search words, and the indexes of the [`WORDS`] that contain them.
pub(super) const SEARCHES: [(&str, &[usize]); 8] = [
    ("ann", &[0, 1, 4]),
    ("ANNA", &[0, 1]),
    ("hannah", &[1]),
    ("MÜLL", &[2]),
    ("GROSS", &[3]),
    ("łó", &[5]),
    ("e", &[2]),
    ("zz", &[]),
];

/// The access of a contact: the users who may see and edit the contact.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Access {
    pub(super) share: u8,
    pub(super) managers: Vec<usize>,
}

impl Access {
    /// Returns whether the access differs from the access of a contact without a record.
    pub(super) fn is_set(&self) -> bool {
        self.share != 1 || !self.managers.is_empty()
    }

    pub(super) fn is_visible_to(&self, user: usize) -> bool {
        user == 0 || self.share == 1 || self.share == 2 || self.managers.contains(&user)
    }

    fn is_edited_by(&self, user: usize) -> bool {
        user == 0 || self.share == 1 || self.managers.contains(&user)
    }
}

/// A contact.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) id: i32,
    pub(super) created: Ticks,
    /// Tag indexes with the spelling used.
    pub(super) tags: Vec<(usize, &'static str)>,
    pub(super) stage: i32,
    pub(super) kind: i32,
    pub(super) is_company: bool,
    pub(super) has_opportunity: bool,
    pub(super) name: Vec<usize>,
    pub(super) access: Access,
    /// The access record's revision.
    pub(super) revision: Option<String>,
}

/// One end of a date range.
#[derive(Clone, Debug)]
pub(super) enum Edge {
    Day(Date),
    Instant(Ticks),
}

/// Selects contacts. An empty list does not restrict its field.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) tags: Vec<usize>,
    pub(super) stages: Vec<i32>,
    pub(super) kinds: Vec<i32>,
    pub(super) view: u8,
    pub(super) from: Option<Edge>,
    pub(super) to: Option<Edge>,
    pub(super) searches: Vec<usize>,
}

/// The expected answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) shown: Vec<Value>,
    /// Contacts whose access changes. `target` is their new access.
    pub(super) changed: Vec<i32>,
    pub(super) target: Option<Access>,
    pub(super) matched: usize,
    pub(super) unchanged: usize,
    pub(super) skipped: usize,
    pub(super) invisible: usize,
    pub(super) next: Option<usize>,
    /// The revision before the call.
    pub(super) revision: Option<String>,
}

impl Expected {
    fn failure(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Returns the expected count headers.
    pub(super) fn counts(&self) -> [(&'static str, Option<usize>); 5] {
        [
            ("x-matched-count", Some(self.matched)),
            ("x-updated-count", Some(self.changed.len())),
            ("x-unchanged-count", Some(self.unchanged)),
            ("x-skipped-count", Some(self.skipped)),
            ("x-next-index", self.next),
        ]
    }
}

/// A portal.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) zone: TimeZone,
    pub(super) contacts: BTreeMap<i32, Contact>,
}

/// Returns a user's identifier, the same in every portal.
pub(super) fn user_id(user: usize) -> String {
    format!("00000000-0000-4000-8000-{user:012}")
}

fn show(contact: &Contact, access: &Access, user: usize) -> Value {
    let is_private = access.share == 0;
    let managers: Vec<String> = access.managers.iter().map(|&manager| user_id(manager)).collect();
    json!({
        "id": contact.id,
        "DisplayName": display_name(&contact.name),
        "IsCompany": contact.is_company,
        "IsPrivate": is_private,
        "IsShared": !is_private,
        "ShareType": access.share,
        "AccessList": if is_private { managers } else { Vec::new() },
        "CanEdit": access.is_edited_by(user),
        "CanDelete": access.is_edited_by(user),
    })
}

pub(super) fn display_name(words: &[usize]) -> String {
    words.iter().map(|&word| WORDS[word]).collect::<Vec<_>>().join(" ")
}

fn target(is_private: bool, managers: &[usize]) -> Access {
    let mut once = Vec::new();
    managers.iter().for_each(|manager| {
        if !once.contains(manager) {
            once.push(*manager);
        }
    });
    Access { share: if is_private { 0 } else { 1 }, managers: once }
}

fn is_known(managers: &[usize]) -> bool {
    managers.iter().all(|&manager| manager < USERS)
}

impl Model {
    fn day(&self, at: Ticks) -> Date {
        let at = Timestamp::from_nanosecond(i128::from(at) * 100).unwrap_or_default();
        at.to_zoned(self.zone.clone()).date()
    }

    pub(super) fn selects(&self, filter: &Filter, contact: &Contact) -> bool {
        let has_tag = |tag: &usize| contact.tags.iter().any(|(has, _)| has == tag);
        let has_word = |search: &usize| contact.name.iter().any(|word| SEARCHES[*search].1.contains(word));
        let any_of = |ids: &[i32], has: i32| ids.is_empty() || ids.iter().any(|&id| id < 0 || id == has);
        filter.tags.iter().all(has_tag)
            && filter.searches.iter().all(has_word)
            && any_of(&filter.stages, contact.stage)
            && any_of(&filter.kinds, contact.kind)
            && match filter.view {
                1 => contact.is_company,
                2 => !contact.is_company,
                3 => contact.has_opportunity,
                _ => true,
            }
            && match filter.from {
                None => true,
                Some(Edge::Day(day)) => self.day(contact.created) >= day,
                Some(Edge::Instant(at)) => contact.created >= at,
            }
            && match filter.to {
                None => true,
                Some(Edge::Day(day)) => self.day(contact.created) <= day,
                Some(Edge::Instant(at)) => contact.created <= at,
            }
    }

    /// Returns whether a filter's earliest date is after its latest date.
    pub(super) fn is_backwards(&self, filter: &Filter) -> bool {
        let midnight = |day: Date| {
            let midnight = day.to_zoned(self.zone.clone()).and_then(|day| day.start_of_day()).unwrap();
            i64::try_from(midnight.timestamp().as_nanosecond() / 100).unwrap()
        };
        let first = |edge: &Edge| match edge {
            Edge::Day(day) => midnight(*day),
            Edge::Instant(at) => *at,
        };
        let last = |edge: &Edge| match edge {
            Edge::Day(day) => midnight(day.tomorrow().unwrap()) - 1,
            Edge::Instant(at) => *at,
        };
        matches!((&filter.from, &filter.to), (Some(from), Some(to)) if first(from) > last(to))
    }

    /// `PUT …/contact/{contactid}/access`.
    pub(super) fn set_one(&self, call: &One, path: &str) -> Expected {
        let user = match call.caller {
            Caller::User(user) => user,
            Caller::Unknown | Caller::Expired => return Expected::failure(401),
            Caller::ReadOnly => return Expected::failure(403),
        };
        let named = path.split('/').next().unwrap_or_default();
        if !named.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) {
            // The service has no such path.
            return Expected::failure(404);
        }
        let id: i32 = named.parse().unwrap_or(0);
        if id < 1 || !is_known(&call.managers) {
            return Expected::failure(400);
        }
        let Some(contact) = self.contacts.get(&id).filter(|contact| contact.access.is_visible_to(user)) else {
            return Expected::failure(404);
        };
        if !contact.access.is_edited_by(user) {
            return Expected::failure(403);
        }
        let holds = match call.if_match {
            IfMatch::Absent | IfMatch::Any | IfMatch::Current => true,
            IfMatch::NoRecord => contact.revision.is_none(),
            IfMatch::Other => false,
        };
        if !holds {
            return Expected::failure(412);
        }
        let target = target(!call.is_shared, &call.managers);
        Expected {
            status: 200,
            shown: vec![show(contact, &target, user)],
            changed: if target == contact.access { Vec::new() } else { vec![id] },
            revision: contact.revision.clone(),
            target: Some(target),
            ..Expected::default()
        }
    }

    /// `PUT …/contact/filter/access`.
    pub(super) fn set_many(&self, call: &Many) -> Expected {
        let user = match call.caller {
            Caller::User(user) => user,
            Caller::Unknown | Caller::Expired => return Expected::failure(401),
            Caller::ReadOnly => return Expected::failure(403),
        };
        if !is_known(&call.managers) {
            return Expected::failure(400);
        }
        let filter = call.filter.resolve(&self.zone);
        if self.is_backwards(&filter) {
            return Expected::failure(400);
        }
        let target = target(call.is_private, &call.managers);
        let (visible, invisible): (Vec<&Contact>, Vec<&Contact>) = self
            .contacts
            .values()
            .filter(|contact| self.selects(&filter, contact))
            .partition(|contact| contact.access.is_visible_to(user));
        let mut listed: Vec<&Contact> =
            visible.iter().copied().filter(|contact| contact.access.is_edited_by(user)).collect();
        listed.sort_by_key(|contact| std::cmp::Reverse((contact.created, contact.id)));
        let changed: Vec<i32> =
            listed.iter().filter(|contact| contact.access != target).map(|contact| contact.id).collect();
        if call.max_affected.is_some_and(|limit| changed.len() > limit) {
            return Expected::failure(422);
        }
        let (start, count) = (call.start_index.unwrap_or(0), call.count.unwrap_or(1000));
        let page: Vec<&Contact> = listed.iter().copied().skip(start).take(count).collect();
        let end = start + page.len();
        Expected {
            status: 200,
            shown: page.into_iter().map(|contact| show(contact, &target, user)).collect(),
            matched: visible.len(),
            unchanged: listed.len() - changed.len(),
            skipped: visible.len() - listed.len(),
            invisible: invisible.len(),
            next: (end < listed.len() && !listed[start..end].is_empty()).then_some(end),
            changed,
            target: Some(target),
            revision: None,
        }
    }

    /// Applies the effects of an answered call.
    pub(super) fn take_over(&mut self, expected: &Expected, dry_run: bool, job: Option<String>) {
        let (Some(target), false) = (&expected.target, dry_run) else { return };
        for id in &expected.changed {
            if let Some(contact) = self.contacts.get_mut(id) {
                contact.access = target.clone();
                contact.revision.clone_from(&job);
            }
        }
    }

    /// Loads a contact for the first time or again; an existing contact keeps its access. Returns whether it is new.
    pub(super) fn load(&mut self, mut contact: Contact) -> bool {
        let before = self.contacts.remove(&contact.id);
        let is_new = before.is_none();
        if let Some(before) = before {
            (contact.access, contact.revision) = (before.access, before.revision);
        }
        self.contacts.insert(contact.id, contact);
        is_new
    }
}
