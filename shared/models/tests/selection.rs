//! Test that a plan finds the contacts of its filter, by comparison with a direct check of each contact.

use jiff::tz::TimeZone;
use models::directory::Statistics;
use models::filter::IndexEntry;
use models::filter::plan::{AccessPath, Plan, plan};
use models::request::SetFilterAccess;
use models::values::fold::{fold, fold_tag};
use models::values::id::ContactId;
use models::values::timestamp::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use crate::requests::set_filter_access;

const TAGS: &[&str] = &["VIP", "uk", "Straße", "gold"];
const NAMES: &[&str] = &["Maria", "ANDERS", "alfreds", "Groß", "M"];
/// The directory has the stages 1 to 3; a filter may name others.
const STAGES: i32 = 3;

/// A day of January 2024, an hour, and ticks of 100 ns.
type Time = (u8, u8, u64);

const TICKS_PER_HOUR: u64 = 3_600 * 10_000_000;

#[derive(Clone, Debug)]
struct Contact {
    created: Time,
    stage: i32,
    contact_type: i32,
    is_company: bool,
    has_opportunity: bool,
    tags: Vec<String>,
    name: String,
}

#[derive(Clone, Debug)]
struct Request {
    tags: Vec<String>,
    stages: Vec<i32>,
    types: Vec<i32>,
    view: u8,
    from: Option<(u8, Option<u8>)>,
    to: Option<(u8, Option<u8>)>,
    words: Vec<String>,
}

/// Returns whether `request` selects `contact`, according to ONLYOFFICE's reference pages.
fn is_selected(request: &Request, contact: &Contact) -> bool {
    let same = |a: &str, b: &str| a.trim().to_uppercase() == b.trim().to_uppercase();
    let any = |numbers: &[i32], number: i32| {
        numbers.is_empty() || numbers.iter().any(|n| *n < 0) || numbers.contains(&number)
    };
    let (day, ..) = contact.created;
    request.tags.iter().all(|required| contact.tags.iter().any(|tag| same(tag, required)))
        && any(&request.stages, contact.stage)
        && any(&request.types, contact.contact_type)
        && [true, contact.is_company, !contact.is_company, contact.has_opportunity][usize::from(request.view)]
        && request.from.is_none_or(|(from, hour)| hour.map_or(day >= from, |hour| contact.created >= (from, hour, 0)))
        && request.to.is_none_or(|(to, hour)| hour.map_or(day <= to, |hour| contact.created <= (to, hour, 0)))
        && request.words.iter().all(|word| contact.name.to_uppercase().contains(&word.to_uppercase()))
}

fn timestamp((day, hour, ticks): Time) -> Timestamp {
    let start: Timestamp = format!("2024-01-{day:02}T{hour:02}:00:00Z").parse().unwrap();
    Timestamp::from_ticks(start.ticks() + i64::try_from(ticks).unwrap())
}

fn read(request: &Request) -> SetFilterAccess {
    let date = |(day, hour): (u8, Option<u8>)| match hour {
        None => format!("2024-01-{day:02}"),
        Some(hour) => format!("2024-01-{day:02}T{hour:02}:00:00Z"),
    };
    let mut body = json!({
        "tags": request.tags, "contactStage": request.stages, "contactType": request.types,
        "contactListView": request.view, "isPrivate": true,
    });
    for (field, end) in [("fromDate", request.from), ("toDate", request.to)] {
        if let Some(end) = end {
            body[field] = date(end).into();
        }
    }
    let words = Some(request.words.join("  ")).filter(|words| !words.is_empty());
    set_filter_access(body.to_string().as_bytes(), words.as_deref(), &TimeZone::UTC).unwrap()
}

fn entry(index: usize, contact: &Contact) -> IndexEntry {
    IndexEntry {
        contact: ContactId::try_from(i64::try_from(index).unwrap() + 1).unwrap(),
        created: timestamp(contact.created),
        stage: contact.stage,
        contact_type: contact.contact_type,
        is_company: contact.is_company,
        has_opportunity: contact.has_opportunity,
        tags: contact.tags.iter().map(|tag| fold_tag(tag)).collect(),
        name: fold(&contact.name),
    }
}

/// Returns the contacts that an executor of the plan finds, partition by partition. A contact in two partitions occurs
/// twice.
fn execute(plan: &Plan, entries: &[IndexEntry]) -> Vec<i32> {
    let mut found = Vec::new();
    for shard in 0..plan.shards {
        for partition in 0..plan.source.partitions() {
            let is_in_partition = |entry: &&IndexEntry| match &plan.source {
                AccessPath::Tag(tag) => entry.tags.contains(tag),
                AccessPath::Stages(stages) => entry.stage == stages[partition],
                AccessPath::Postings(_) => panic!("no index has postings"),
            };
            let range = plan.from..=plan.to;
            found.extend(
                entries
                    .iter()
                    .filter(|entry| entry.contact.shard(plan.shards) == shard)
                    .filter(is_in_partition)
                    .filter(|entry| range.contains(&entry.created) && plan.selects(entry))
                    .map(|entry| entry.contact.get()),
            );
        }
    }
    found.sort_unstable();
    found
}

/// Generates one of `words`, unchanged or in capitals.
fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    (prop::sample::select(words), any::<bool>())
        .prop_map(|(word, upper)| if upper { word.to_uppercase() } else { word.to_owned() })
}

/// Generates a tag in any case, with white space around it.
fn tag() -> impl Strategy<Value = String> {
    (word(TAGS), prop::sample::select(&["", " ", "\t"][..])).prop_map(|(tag, space)| format!("{space}{tag}{space}"))
}

fn contact() -> impl Strategy<Value = Contact> {
    let tags = prop::sample::subsequence(TAGS, 0..=TAGS.len());
    let created = (15..25u8, 0..24u8, prop::sample::select(&[0, 1, TICKS_PER_HOUR - 1][..]));
    (created, 0..=STAGES, 0..4, any::<[bool; 2]>(), tags, prop::collection::vec(word(NAMES), 0..3)).prop_map(
        |(created, stage, contact_type, [is_company, has_opportunity], tags, names)| Contact {
            created,
            stage,
            contact_type,
            is_company,
            has_opportunity,
            tags: tags.into_iter().map(str::to_owned).collect(),
            name: names.join(" "),
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let end = || prop::option::of((14..26u8, prop::option::of(0..24u8)));
    let seldom = |values| prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(values, 0..3)];
    (
        prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(tag(), 0..3)],
        seldom(-1..STAGES + 2),
        seldom(-1..5),
        prop_oneof![2 => Just(0), 1 => 0..4u8],
        end(),
        end(),
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(word(NAMES), 0..3)],
    )
        .prop_map(|(tags, stages, types, view, from, to, words)| {
            // A request with a range that ends before it begins is refused.
            let (from, to) = match (from, to) {
                (Some(from), Some(to)) if from.0 > to.0 => (Some(to), Some(from)),
                (Some((day, _)), Some((end, _))) if day == end => (Some((day, None)), Some((end, None))),
                ends => ends,
            };
            Request { tags, stages, types, view, from, to, words }
        })
}

/// Generates counters for every stage of the directory, which may be far from the true counts. Counters affect the
/// index that the plan reads, but not the result.
fn statistics() -> impl Strategy<Value = Statistics> {
    let count = || prop_oneof![Just(0), 0..40u64, Just(1_000_000)];
    let stages = (prop::option::of(count()), prop::array::uniform3(count()));
    (stages, prop::collection::vec(prop::option::of(count()), TAGS.len())).prop_map(|((without, stages), tags)| {
        Statistics {
            stages: without.into_iter().map(|count| (0, count)).chain((1..).zip(stages)).collect(),
            tags: TAGS.iter().zip(tags).filter_map(|(tag, count)| Some((fold_tag(tag), count?))).collect(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn plan_finds_each_selected_contact_once_and_no_other(
        contacts in prop::collection::vec(contact(), 0..60),
        request in request(),
        statistics in statistics(),
        shards in prop::sample::select(&[1, 2, 4, 64][..]),
    ) {
        let entries: Vec<IndexEntry> = contacts.iter().enumerate().map(|(i, contact)| entry(i, contact)).collect();
        let expected: Vec<i32> = contacts
            .iter()
            .zip(&entries)
            .filter(|(contact, _)| is_selected(&request, contact))
            .map(|(_, entry)| entry.contact.get())
            .collect();
        let filter = read(&request).filter;
        let plan = plan(&filter, &statistics, shards);
        prop_assert_eq!(&execute(&plan, &entries), &expected, "{}", &plan);
        prop_assert!(!plan.is_empty() || expected.is_empty(), "{}", &plan);
        // Callers without a plan test the filter itself.
        let selected = entries.iter().filter(|entry| filter.selects(entry));
        let selected: Vec<i32> = selected.map(|entry| entry.contact.get()).collect();
        prop_assert_eq!(&selected, &expected);
    }

    #[test]
    fn a_contact_is_in_one_shard_of_its_portal(id in 1..=i32::MAX, shards in 1..=64u16) {
        let id = ContactId::try_from(i64::from(id)).unwrap();
        prop_assert!(id.shard(shards) < shards);
        prop_assert_eq!(id.shard(1), 0);
    }
}
