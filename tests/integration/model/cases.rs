//! Random portals and calls, and their import lines and requests.

use std::fmt::Write as _;

use jiff::civil::{Date, date};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::{Map, Value, json};

use super::portal::{Access, Contact, Edge, Filter, Model, NOW, SEARCHES, TAGS, Ticks, USERS, display_name, user_id};

/// Maximum number of contacts of the largest portals.
const MAX_CONTACTS: usize = 300;
/// Maximum number of calls in a case.
const MAX_STEPS: usize = 6;

/// Zones with offsets of whole and half hours, on both sides of UTC. All except UTC changed their clock on one of
/// [`DAYS`], São Paulo at midnight.
const ZONES: [&str; 5] = ["UTC", "Europe/Riga", "America/Sao_Paulo", "Australia/Lord_Howe", "America/New_York"];

/// Days of the contacts' creation.
const DAYS: [Date; 5] =
    [date(2018, 11, 3), date(2018, 11, 4), date(2020, 3, 29), date(2020, 10, 4), date(2020, 10, 25)];

/// First identifiers: small, at a change of length, and so large that a full portal still fits.
const FIRST_IDS: [i32; 4] = [1, 1, 95, i32::MAX - 600];

/// A day, in units of 100 ns.
const DAY: Ticks = 24 * 3600 * 10_000_000;

/// A portal and its steps.
#[derive(Clone, Debug)]
pub(super) struct Case {
    zone: &'static str,
    shards: u16,
    first_id: i32,
    contacts: Vec<Draft>,
    pub(super) steps: Vec<Step>,
}

/// A contact without its identifier.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The gap before the identifier of the next contact.
    gap: i32,
    created: Created,
    tags: Vec<(usize, Index)>,
    stage: i32,
    kind: i32,
    is_company: bool,
    has_opportunity: bool,
    name: Vec<usize>,
    access: Access,
}

/// An instant near a significant one.
#[derive(Clone, Debug)]
enum Created {
    /// The number of ticks from the midnight that begins a day in the portal.
    Midnight(Date, Ticks),
    /// Noon in UTC.
    Noon(Date),
    /// The number of ticks from the time of the calls.
    Now(Ticks),
}

/// A step of a case.
#[derive(Clone, Debug)]
pub(super) enum Step {
    One(One),
    Many(Many),
    /// Loads a new or a changed contact.
    Load(Index, Draft),
    /// Removes a contact by an import line.
    Remove(Index),
}

/// The owner or kind of a call's token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Caller {
    User(usize),
    ReadOnly,
    Unknown,
    Expired,
}

/// The `If-Match` header of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum IfMatch {
    Absent,
    Any,
    Current,
    NoRecord,
    Other,
}

/// The contact in a path.
#[derive(Clone, Debug)]
enum Named {
    Existing(Index),
    Text(&'static str),
}

/// A call for one contact.
#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) caller: Caller,
    contact: Named,
    pub(super) is_shared: bool,
    pub(super) managers: Vec<usize>,
    pub(super) dry_run: bool,
    pub(super) if_match: IfMatch,
}

/// A call for all contacts that match a filter.
#[derive(Clone, Debug)]
pub(super) struct Many {
    pub(super) caller: Caller,
    pub(super) filter: FilterRequest,
    pub(super) is_private: bool,
    pub(super) managers: Vec<usize>,
    pub(super) dry_run: bool,
    pub(super) max_affected: Option<usize>,
    pub(super) count: Option<usize>,
    pub(super) start_index: Option<usize>,
}

/// A filter as written in a request.
#[derive(Clone, Debug)]
pub(super) struct FilterRequest {
    tags: Vec<(usize, Index)>,
    stages: Option<AnyOf>,
    kinds: Option<AnyOf>,
    view: Option<(u8, bool)>,
    from: Option<When>,
    to: Option<When>,
    searches: Vec<usize>,
}

#[derive(Clone, Debug)]
enum AnyOf {
    Number(i32),
    Array(Vec<i32>),
}

/// A date as written in a request.
#[derive(Clone, Debug)]
enum When {
    Day(Date),
    Wall(Date, i8),
    Instant(Created),
    WithOffset(Created, i8),
}

pub(super) fn any_case() -> impl Strategy<Value = Case> {
    let contacts = prop_oneof![
        1 => vec(any_draft(), 0..2),
        10 => vec(any_draft(), 2..12),
        6 => vec(any_draft(), 12..60),
        3 => vec(any_draft(), 60..=MAX_CONTACTS),
        2 => vec(any_draft(), MAX_CONTACTS),
    ];
    let steps = vec(any_step(), 1..=MAX_STEPS);
    (select(&ZONES[..]), 1..=8_u16, select(&FIRST_IDS[..]), contacts, steps)
        .prop_map(|(zone, shards, first_id, contacts, steps)| Case { zone, shards, first_id, contacts, steps })
}

pub(super) fn any_draft() -> impl Strategy<Value = Draft> {
    let tag = (0..TAGS.len() - 1, any::<Index>());
    (
        (1..=2_i32, any_created(), vec(tag, 0..4)),
        (0..=3_i32, 0..=2_i32, any::<bool>(), any::<bool>()),
        subsequence(vec![0, 1, 2, 3, 4, 5], 0..=3),
        prop_oneof![2 => Just(1_u8), 2 => Just(0), 1 => Just(2)],
        prop_oneof![1 => Just(Vec::new()), 1 => subsequence((0..USERS).collect::<Vec<_>>(), 1..=3).prop_shuffle()],
    )
        .prop_map(|((gap, created, tags), (stage, kind, is_company, has_opportunity), name, share, managers)| {
            Draft {
                gap,
                created,
                tags,
                stage,
                kind,
                is_company,
                has_opportunity,
                name,
                access: Access { share, managers },
            }
        })
}

fn any_created() -> impl Strategy<Value = Created> {
    prop_oneof![
        10 => (select(&DAYS[..]), -1..=1_i64).prop_map(|(day, off)| Created::Midnight(day, off)),
        5 => select(&DAYS[..]).prop_map(Created::Noon),
        1 => select(&[-1, 0, 1, DAY, 50 * 365 * DAY][..]).prop_map(Created::Now),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any_one().prop_map(Step::One),
        6 => any_many().prop_map(Step::Many),
        1 => (any::<Index>(), any_draft()).prop_map(|(at, draft)| Step::Load(at, draft)),
        1 => any::<Index>().prop_map(Step::Remove),
    ]
}

fn any_caller() -> impl Strategy<Value = Caller> {
    prop_oneof![
        8 => Just(Caller::User(0)),
        16 => (1..USERS).prop_map(Caller::User),
        1 => Just(Caller::ReadOnly),
        1 => Just(Caller::Unknown),
        1 => Just(Caller::Expired),
    ]
}

/// Managers, some of them twice, occasionally one who is no user.
fn any_managers() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![8 => Just(Vec::new()), 16 => vec(0..USERS, 1..5), 2 => vec(0..=USERS, 1..5)]
}

fn any_one() -> impl Strategy<Value = One> {
    let contact = prop_oneof![
        12 => any::<Index>().prop_map(Named::Existing),
        1 => select(&["1000000", "2147483647", "0", "2147483648", "x", "-1"][..]).prop_map(Named::Text),
    ];
    let if_match = prop_oneof![
        6 => Just(IfMatch::Absent),
        1 => Just(IfMatch::Any),
        3 => Just(IfMatch::Current),
        1 => Just(IfMatch::NoRecord),
        1 => Just(IfMatch::Other),
    ];
    (any_caller(), contact, any::<bool>(), any_managers(), weighted(0.2, Just(true)), if_match).prop_map(
        |(caller, contact, is_shared, managers, dry_run, if_match)| One {
            caller,
            contact,
            is_shared,
            managers,
            dry_run: dry_run.is_some(),
            if_match,
        },
    )
}

fn any_many() -> impl Strategy<Value = Many> {
    let size = || prop_oneof![0..6_usize, 0..=MAX_CONTACTS];
    (
        (any_caller(), any_filter()),
        (any::<bool>(), any_managers()),
        weighted(0.2, Just(true)),
        (weighted(0.2, size()), weighted(0.4, size()), weighted(0.3, size())),
    )
        .prop_map(|((caller, filter), (is_private, managers), dry_run, (max_affected, count, start_index))| Many {
            caller,
            filter,
            is_private,
            managers,
            dry_run: dry_run.is_some(),
            max_affected,
            count,
            start_index,
        })
}

pub(super) fn any_filter() -> impl Strategy<Value = FilterRequest> {
    let any_of = |maximum: i32| {
        // Includes an unknown number and "any".
        let id = prop_oneof![8 => 0..=maximum, 1 => Just(99), 1 => Just(-1)].boxed();
        prop_oneof![id.clone().prop_map(AnyOf::Number), vec(id, 0..4).prop_map(AnyOf::Array)]
    };
    (
        weighted(0.4, vec((0..TAGS.len(), any::<Index>()), 1..4)),
        weighted(0.3, any_of(3)),
        weighted(0.2, any_of(2)),
        weighted(0.3, (0..=3_u8, any::<bool>())),
        weighted(0.25, any_when()),
        weighted(0.25, any_when()),
        weighted(0.25, vec(0..SEARCHES.len(), 0..3)),
    )
        .prop_map(|(tags, stages, kinds, view, from, to, searches)| FilterRequest {
            tags: tags.unwrap_or_default(),
            stages,
            kinds,
            view,
            from,
            to,
            searches: searches.unwrap_or_default(),
        })
}

fn any_when() -> impl Strategy<Value = When> {
    prop_oneof![
        3 => (select(&DAYS[..]), -1..=1_i8).prop_map(|(day, off)| When::Day(day.saturating_add(off.days()))),
        1 => (select(&DAYS[..]), select(&[0_i8, 12, 23][..])).prop_map(|(day, hour)| When::Wall(day, hour)),
        2 => any_created().prop_map(When::Instant),
        1 => (any_created(), select(&[-8_i8, 2, 14][..])).prop_map(|(at, hours)| When::WithOffset(at, hours)),
    ]
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

fn ticks(at: Timestamp) -> Ticks {
    i64::try_from(at.as_nanosecond() / 100).unwrap_or(0)
}

fn timestamp(at: Ticks) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at) * 100).unwrap_or_default()
}

impl Created {
    fn resolve(&self, zone: &TimeZone) -> Ticks {
        match self {
            Self::Midnight(day, off) => {
                let midnight = day.to_zoned(zone.clone()).and_then(|day| day.start_of_day());
                ticks(midnight.map(|midnight| midnight.timestamp()).unwrap_or_default()) + off
            }
            Self::Noon(day) => ticks(TimeZone::UTC.to_timestamp(day.at(12, 0, 0, 0)).unwrap_or_default()),
            Self::Now(off) => NOW + off,
        }
    }
}

impl When {
    fn resolve(&self, zone: &TimeZone) -> Edge {
        match self {
            Self::Day(day) => Edge::Day(*day),
            Self::Wall(day, hour) => {
                Edge::Instant(ticks(zone.to_timestamp(day.at(*hour, 0, 0, 0)).unwrap_or_default()))
            }
            Self::Instant(at) | Self::WithOffset(at, _) => Edge::Instant(at.resolve(zone)),
        }
    }

    fn text(&self, zone: &TimeZone) -> String {
        match self {
            Self::Day(day) => day.to_string(),
            Self::Wall(day, hour) => day.at(*hour, 0, 0, 0).to_string(),
            Self::Instant(at) => timestamp(at.resolve(zone)).to_string(),
            Self::WithOffset(at, hours) => {
                timestamp(at.resolve(zone)).display_with_offset(Offset::constant(*hours)).to_string()
            }
        }
    }
}

impl AnyOf {
    fn ids(&self) -> Vec<i32> {
        match self {
            Self::Number(id) => vec![*id],
            Self::Array(ids) => ids.clone(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Number(id) => json!(id),
            Self::Array(ids) => json!(ids),
        }
    }
}

impl FilterRequest {
    /// Returns the filter's meaning in a portal of this zone.
    pub(super) fn resolve(&self, zone: &TimeZone) -> Filter {
        Filter {
            tags: self.tags.iter().map(|(tag, _)| *tag).collect(),
            stages: self.stages.as_ref().map(AnyOf::ids).unwrap_or_default(),
            kinds: self.kinds.as_ref().map(AnyOf::ids).unwrap_or_default(),
            view: self.view.map_or(0, |(view, _)| view),
            from: self.from.as_ref().map(|when| when.resolve(zone)),
            to: self.to.as_ref().map(|when| when.resolve(zone)),
            searches: self.searches.clone(),
        }
    }

    pub(super) fn members(&self, zone: &TimeZone) -> Map<String, Value> {
        let mut members = Map::new();
        if !self.tags.is_empty() {
            let tags: Vec<&str> = self.tags.iter().map(|(tag, spelling)| *spelling.get(TAGS[*tag])).collect();
            members.insert("tags".into(), json!(tags));
        }
        for (name, any_of) in [("contactStage", &self.stages), ("contactType", &self.kinds)] {
            members.extend(any_of.iter().map(|any_of| (name.to_owned(), any_of.json())));
        }
        members.extend(self.view.map(|(view, by_name)| {
            let name = ["All", "company", "Person", "WithOpportunity"][usize::from(view)];
            ("contactListView".to_owned(), if by_name { json!(name) } else { json!(view) })
        }));
        for (name, when) in [("fromDate", &self.from), ("toDate", &self.to)] {
            members.extend(when.iter().map(|when| (name.to_owned(), json!(when.text(zone)))));
        }
        members
    }
}

fn managers_json(managers: &[usize]) -> Value {
    managers.iter().map(|&manager| json!(user_id(manager))).collect()
}

pub(super) fn token(portal: &str, caller: Caller) -> String {
    match caller {
        Caller::User(user) => format!("{portal}-token-of-user-{user}-0000000000"),
        Caller::ReadOnly => format!("{portal}-token-to-read-0000000000000000"),
        Caller::Unknown => format!("{portal}-token-of-nobody-00000000000000"),
        Caller::Expired => format!("{portal}-token-of-last-year-00000000000"),
    }
}

fn query_text(pairs: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() {
                text.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                write!(text, "%{byte:02X}").unwrap_or(());
            }
        }
    }
    text
}

impl Case {
    pub(super) fn zone(&self) -> TimeZone {
        zone(self.zone)
    }

    fn ids(&self) -> impl Iterator<Item = i32> {
        self.contacts.iter().scan(self.first_id, |next, draft| {
            let id = *next;
            *next += draft.gap;
            Some(id)
        })
    }

    /// Returns the contact at an index of the load; none in an empty portal.
    pub(super) fn id_at(&self, at: Index) -> Option<i32> {
        (!self.contacts.is_empty()).then(|| self.ids().nth(at.index(self.contacts.len())))?
    }

    pub(super) fn contact(&self, at: Index, draft: &Draft) -> Option<Contact> {
        self.id_at(at).map(|id| draft.contact(id, &self.zone()))
    }

    fn portal_line(&self, portal: &str) -> String {
        json!({"portal": {"Id": portal, "TimeZone": self.zone, "Shards": self.shards}}).to_string()
    }

    /// Returns the portal's model and the lines that load it.
    pub(super) fn portal(&self, portal: &str) -> (Model, String) {
        let zone = self.zone();
        let mut lines = vec![self.portal_line(portal)];
        let mut line = |value: Value| lines.push(value.to_string());
        for user in 0..USERS {
            line(json!({"user": {"Id": user_id(user), "DisplayName": format!("User {user}"), "IsAdmin": user == 0}}));
        }
        for id in 1..=3 {
            line(json!({"stage": {"id": id, "Title": format!("Stage {id}")}}));
        }
        for id in 1..=2 {
            line(json!({"type": {"id": id, "Title": format!("Type {id}")}}));
        }
        let callers = (0..USERS).map(Caller::User).chain([Caller::ReadOnly, Caller::Expired]);
        for caller in callers {
            let (user, scopes) = match caller {
                Caller::User(user) => (user, json!(["write"])),
                Caller::ReadOnly => (0, json!(["read"])),
                _ => (0, json!(["read", "write"])),
            };
            let expires = (caller == Caller::Expired).then_some("2025-12-31T23:59:59Z");
            line(json!({"token": {
                "Token": token(portal, caller), "UserId": user_id(user), "Scopes": scopes, "Expires": expires,
            }}));
        }
        let contacts: Vec<Contact> =
            self.ids().zip(&self.contacts).map(|(id, draft)| draft.contact(id, &zone)).collect();
        contacts.iter().for_each(|contact| line(contact.line()));
        let contacts = contacts.into_iter().map(|contact| (contact.id, contact)).collect();
        (Model { zone, contacts }, lines.join("\n"))
    }

    pub(super) fn contact_lines(&self, portal: &str, contact: &Contact) -> String {
        format!("{}\n{}", self.portal_line(portal), contact.line())
    }

    pub(super) fn remove_lines(&self, portal: &str, contact: i32) -> String {
        format!("{}\n{}", self.portal_line(portal), json!({"delete": {"contact": contact}}))
    }

    /// Returns path, token, body and `If-Match` of a call.
    pub(super) fn one_request(
        &self,
        model: &Model,
        portal: &str,
        call: &One,
    ) -> (String, String, String, Option<String>) {
        let contact = match call.contact {
            Named::Existing(at) => self.id_at(at).unwrap_or(1).to_string(),
            Named::Text(text) => text.to_owned(),
        };
        let known = contact.parse().ok().and_then(|id: i32| model.contacts.get(&id)?.revision.clone());
        let if_match = match call.if_match {
            IfMatch::Absent => None,
            IfMatch::Any => Some("*".to_owned()),
            IfMatch::Current => Some(format!("\"other\", \"{}\"", known.as_deref().unwrap_or("0"))),
            IfMatch::NoRecord => Some("\"0\"".to_owned()),
            // A weak tag never matches.
            IfMatch::Other => Some(format!("W/\"{}\"", known.as_deref().unwrap_or("0"))),
        };
        let body = json!({"isShared": call.is_shared, "managerList": managers_json(&call.managers)}).to_string();
        let query: Vec<(&str, String)> = call.dry_run.then(|| ("dryRun", "true".to_owned())).into_iter().collect();
        (format!("{contact}/access{}", query_text(&query)), token(portal, call.caller), body, if_match)
    }

    /// Returns path, token and body of a call.
    pub(super) fn many_request(&self, portal: &str, call: &Many) -> (String, String, String) {
        let mut body = call.filter.members(&self.zone());
        body.insert("isPrivate".into(), call.is_private.into());
        if !call.managers.is_empty() {
            body.insert("managerList".into(), managers_json(&call.managers));
        }
        let mut query = Vec::new();
        if call.dry_run {
            query.push(("dryRun", "true".to_owned()));
        }
        for (name, number) in
            [("maxAffected", call.max_affected), ("count", call.count), ("startIndex", call.start_index)]
        {
            query.extend(number.map(|number| (name, number.to_string())));
        }
        let searches: Vec<&str> = call.filter.searches.iter().map(|&search| SEARCHES[search].0).collect();
        if !searches.is_empty() {
            query.push(("filterValue", searches.join(" ")));
        }
        (format!("filter/access{}", query_text(&query)), token(portal, call.caller), Value::Object(body).to_string())
    }
}

impl Draft {
    fn contact(&self, id: i32, zone: &TimeZone) -> Contact {
        Contact {
            id,
            created: self.created.resolve(zone),
            tags: self.tags.iter().map(|(tag, spelling)| (*tag, *spelling.get(TAGS[*tag]))).collect(),
            stage: self.stage,
            kind: self.kind,
            is_company: self.is_company,
            has_opportunity: self.has_opportunity,
            name: self.name.clone(),
            access: self.access.clone(),
            revision: None,
        }
    }
}

impl Contact {
    fn line(&self) -> Value {
        let tags: Vec<&str> = self.tags.iter().map(|(_, text)| *text).collect();
        let managers: Vec<Value> = self.access.managers.iter().map(|&user| json!({"Id": user_id(user)})).collect();
        json!({"contact": {
            "id": self.id,
            "Created": timestamp(self.created).to_string(),
            "DisplayName": display_name(&self.name),
            "Tags": tags,
            "ContactStatus": {"id": self.stage},
            "ContactType": {"id": self.kind},
            "IsCompany": self.is_company,
            "HasOpportunity": self.has_opportunity,
            "ShareType": self.access.share,
            "AccessList": managers,
        }})
    }
}
