//! Cost of planning a filter, testing an index entry and deciding about access.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use models::access::{Access, Caller, ShareType};
use models::directory::Statistics;
use models::filter::plan::plan;
use models::filter::{AccessCriteria, Filter, IndexEntry};
use models::limits::MAX_PAGE;
use models::request::SetFilterAccess;
use models::values::id::{ContactId, UserId};
use models::values::timestamp::Timestamp;

const BODY: &[u8] = br#"{"tags":["VIP","UK"],"contactStage":[1,2,3],"contactType":[1,2],"contactListView":"Person",
    "fromDate":"2020-12-08","toDate":"2024-12-08T17:37:04Z","isPrivate":true,
    "managerList":["9924256A-739C-462b-AF15-E652A3B1B6EB"]}"#;

/// Maximum managers of a private contact whose write still costs one write unit.
const MANAGERS: u128 = 40;

fn filter() -> Filter {
    let request =
        SetFilterAccess::parse(BODY, Some("maria anders"), AccessCriteria::default()).expect("the body is good");
    request.resolve(&TimeZone::UTC).expect("the range is not empty").filter
}

fn statistics() -> Statistics {
    Statistics {
        stages: (0..20).zip((0..).step_by(1000)).collect(),
        tags: [("vip".to_owned(), 500), ("uk".to_owned(), 40_000)].into(),
    }
}

fn entry(index: usize) -> IndexEntry {
    let id = i32::try_from(index).expect("a page is small") + 1;
    IndexEntry {
        contact: ContactId::try_from(i64::from(id)).expect("it is positive"),
        created: Timestamp::MIN,
        stage: id % 4,
        contact_type: id % 3,
        is_company: id % 2 == 0,
        has_opportunity: false,
        tags: vec!["customer".to_owned(), "vip".to_owned(), "uk".to_owned()],
        name: format!("maria anders {id}"),
    }
}

fn plans(criterion: &mut Criterion) {
    let (filter, statistics) = (filter(), statistics());
    criterion.bench_function("parse/filter body", |bench| {
        bench.iter(|| {
            SetFilterAccess::parse(black_box(BODY), Some("maria anders"), AccessCriteria::default())?
                .resolve(&TimeZone::UTC)
        });
    });
    criterion.bench_function("plan/every field", |bench| {
        bench.iter(|| plan(black_box(&filter), black_box(&statistics), 4));
    });
    criterion.bench_function("plan/no field", |bench| {
        bench.iter(|| plan(black_box(&Filter::default()), black_box(&statistics), 4));
    });

    let plan = plan(&filter, &statistics, 4);
    let entries: Vec<IndexEntry> = (0..MAX_PAGE).map(entry).collect();
    let mut group = criterion.benchmark_group("select");
    group.throughput(Throughput::Elements(MAX_PAGE as u64));
    group.bench_function("a page of entries", |bench| {
        bench.iter(|| entries.iter().filter(|entry| plan.selects(black_box(entry))).count());
    });
    group.finish();
}

fn access(criterion: &mut Criterion) {
    let managers: Vec<UserId> = (1..=MANAGERS).map(UserId::from_u128).collect();
    let records: Vec<Access> = ShareType::ALL
        .into_iter()
        .cycle()
        .take(MAX_PAGE)
        .map(|share| Access { share, managers: managers.clone() })
        .collect();
    let mut group = criterion.benchmark_group("access");
    group.throughput(Throughput::Elements(MAX_PAGE as u64));
    for (name, user) in [("last manager", UserId::from_u128(MANAGERS)), ("stranger", UserId::from_u128(MANAGERS + 1))] {
        let caller = Caller { user, is_admin: false };
        group.bench_function(format!("see and edit, {name}"), |bench| {
            bench.iter(|| {
                let allowed = |record: &&Access| caller.may_see(black_box(record)) && caller.may_edit(record);
                records.iter().filter(allowed).count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, plans, access);
criterion_main!(benches);
