//! Request, filter and plan, in `snapshots/plans.snap`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use models::directory::Statistics;
use models::filter::plan::plan;

use crate::requests::set_filter_access;

/// Counters of a portal: its directory has the stages 1 to 4, and stage 0 is counted too.
fn statistics() -> Statistics {
    Statistics {
        stages: BTreeMap::from([(0, 500), (1, 100), (2, 50), (3, 10), (4, 0)]),
        tags: HashMap::from(
            [("uk", 200), ("vip", 50), ("gold", 50), ("rare", 1), ("straße", 5), ("strasse", 7)]
                .map(|(tag, contacts)| (tag.to_owned(), contacts)),
        ),
    }
}

/// A claim, its request, and the number of shards of the plan.
struct Case {
    claim: &'static str,
    fields: &'static str,
    filter_value: Option<&'static str>,
    shards: u16,
}

const fn body(claim: &'static str, fields: &'static str) -> Case {
    Case { claim, fields, filter_value: None, shards: 1 }
}

const fn words(claim: &'static str, fields: &'static str, filter_value: &'static str) -> Case {
    Case { claim, fields, filter_value: Some(filter_value), shards: 1 }
}

const fn sharded(claim: &'static str, fields: &'static str, shards: u16) -> Case {
    Case { claim, fields, filter_value: None, shards }
}

const CASES: &[Case] = &[
    // No field, and fields without effect.
    body("no filter field reads every stage, stage 0 first", ""),
    sharded("no filter field, four shards", "", 4),
    body("empty arrays have no effect", r#""tags":[],"contactStage":[],"contactType":[]"#),
    body("view All has no effect", r#""contactListView":0"#),
    // Tags.
    body("one tag reads its partition and leaves nothing to test", r#""tags":["vip"]"#),
    sharded("one tag, four shards", r#""tags":["vip"]"#, 4),
    sharded("one tag, maximum number of shards", r#""tags":["vip"]"#, 64),
    body("tags are trimmed and folded", r#""tags":["  VIP "]"#),
    body("tags that fold alike are one", r#""tags":["vip","VIP"," Vip "]"#),
    body("sharp s folds to double s", r#""tags":["STRAßE"]"#),
    body("the rarer of two tags is read, the other tested", r#""tags":["uk","rare"]"#),
    body("the order of tags has no effect", r#""tags":["rare","uk"]"#),
    body("of two equally rare tags the first is read", r#""tags":["vip","gold"]"#),
    body("of three tags the rarest is read, two are tested", r#""tags":["uk","vip","rare"]"#),
    body("an unknown tag has no contacts, so it is read", r#""tags":["uk","nowhere"]"#),
    body("an unknown tag alone", r#""tags":["nowhere"]"#),
    // Stages.
    body("one stage as a number", r#""contactStage":2"#),
    body("one stage as an array", r#""contactStage":[2]"#),
    sharded("one stage, four shards", r#""contactStage":2"#, 4),
    body("several stages are several partitions", r#""contactStage":[3,1]"#),
    body("a stage given twice is read once", r#""contactStage":[3,1,3]"#),
    body("stage 0 reads the contacts without a stage", r#""contactStage":0"#),
    body("stage 0 and another stage", r#""contactStage":[0,3]"#),
    body("a negative stage means any stage", r#""contactStage":-1"#),
    body("a negative stage and others mean any stage", r#""contactStage":[3,-1]"#),
    body("an unknown stage reads nothing", r#""contactStage":77"#),
    body("an unknown stage next to a known stage is skipped", r#""contactStage":[77,3]"#),
    body("the largest stage", r#""contactStage":2147483647"#),
    body("a stage of the directory without contacts is read: counters are estimates", r#""contactStage":4"#),
    // A tag together with a stage.
    body("the tag is rarer than the stage", r#""tags":["rare"],"contactStage":1"#),
    body("the stage is rarer than the tag", r#""tags":["uk"],"contactStage":3"#),
    body("on a tie the tag is read, because it has one partition", r#""tags":["vip"],"contactStage":2"#),
    body("stages count together: 110 against 200", r#""tags":["uk"],"contactStage":[1,3]"#),
    body("stages count together: 60 against 50", r#""tags":["vip"],"contactStage":[2,3]"#),
    body("two tags and a rarer stage: both tags are tested", r#""tags":["uk","vip"],"contactStage":3"#),
    body("two tags and a stage: the rarest tag is read", r#""tags":["uk","rare"],"contactStage":[1,2]"#),
    body("a tag against the contacts without a stage", r#""tags":["uk"],"contactStage":0"#),
    body("a tag and an unknown stage reads nothing", r#""tags":["vip"],"contactStage":77"#),
    body("an unknown tag and a stage", r#""tags":["nowhere"],"contactStage":3"#),
    body("an unknown tag and an unknown stage", r#""tags":["nowhere"],"contactStage":77"#),
    body("a tag and any stage", r#""tags":["uk"],"contactStage":-1"#),
    body("a tag and a stage without contacts", r#""tags":["rare"],"contactStage":4"#),
    // Types.
    body("one type is tested in every stage", r#""contactType":2"#),
    body("types as an array, each once", r#""contactType":[2,1,2]"#),
    body("type 0: contacts without a type", r#""contactType":0"#),
    body("a negative type means any type", r#""contactType":[-5]"#),
    body("a type in a stage", r#""contactStage":3,"contactType":[1,2]"#),
    // Views.
    body("view Company by number", r#""contactListView":1"#),
    body("view Person by number", r#""contactListView":2"#),
    body("view WithOpportunity by number", r#""contactListView":3"#),
    body("view All by name", r#""contactListView":"All""#),
    body("view Company by name", r#""contactListView":"Company""#),
    body("view Person by name, in any case", r#""contactListView":"PERSON""#),
    body("view WithOpportunity by name, in any case", r#""contactListView":"withopportunity""#),
    // Dates; the portal is in Riga, and the run starts on 2024-06-01 at 12:00 UTC.
    body("an earliest date", r#""fromDate":"2024-01-15""#),
    body("a latest date, to the end of the day", r#""toDate":"2024-01-15""#),
    body("one day", r#""fromDate":"2024-01-15","toDate":"2024-01-15""#),
    body(
        "instants with an offset",
        r#""fromDate":"2024-01-15T10:00:00+01:00","toDate":"2024-01-15T10:00:00.1234567Z""#,
    ),
    body("local times of the portal", r#""fromDate":"2024-01-15T10:00:00","toDate":"2024-01-15T11:00:00""#),
    body("a date in the future", r#""toDate":"2030-01-01""#),
    body("a range after the start of the run reads nothing", r#""fromDate":"2030-01-01""#),
    body("the first and the last day of the calendar", r#""fromDate":"0001-01-01","toDate":"9999-12-31""#),
    // Words.
    words("one word", "", "Alfreds"),
    words("words are folded, each once", "", " Futterkiste  ALFREDS alfreds "),
    words("words and a tag", r#""tags":["uk"]"#, "horn"),
    words("any white space separates words", "", "around\tthe\u{a0}horn"),
    // Every field together.
    Case {
        claim: "every field, the tag is rarest",
        fields: r#""tags":["VIP","rare"],"contactStage":[1,2],"contactType":[1],"contactListView":2,"fromDate":"2024-01-01","toDate":"2024-03-31""#,
        filter_value: Some("maria"),
        shards: 4,
    },
    Case {
        claim: "every field, the stage is rarest",
        fields: r#""tags":["uk","vip"],"contactStage":3,"contactType":[1,0],"contactListView":"Company","fromDate":"2024-01-01","toDate":"2024-03-31""#,
        filter_value: Some("maria anders"),
        shards: 4,
    },
    body("the order of fields has no effect", r#""contactType":1,"tags":["vip"]"#),
];

fn check(case: &Case, statistics: &Statistics) -> String {
    let separator = if case.fields.is_empty() { "" } else { "," };
    let body = format!("{{{}{separator}\"isPrivate\":true}}", case.fields);
    let zone = TimeZone::get("Europe/Riga").unwrap();
    let request = set_filter_access(body.as_bytes(), case.filter_value, &zone).unwrap();
    let plan = plan(&request.filter, statistics, case.shards);
    let query = case.filter_value.map(|words| format!(" ?filterValue={words:?}")).unwrap_or_default();
    let empty = if plan.is_empty() { "  (nothing is read)" } else { "" };
    format!("{}\n    {body}{query}\n    {plan}{empty}\n\n", case.claim)
}

#[test]
fn plans_of_requests() {
    let statistics = statistics();
    let text: String = CASES.iter().map(|case| check(case, &statistics)).collect();
    crate::check_file("plans", &text);
}

/// The same request gets another plan under other counters.
#[test]
fn statistics_select_the_access_path() {
    let case = body("", r#""tags":["uk","vip"],"contactStage":[1,2]"#);
    let mut text = String::new();
    for (uk, vip, stages) in [
        (None, None, None),
        (Some(1), Some(2), Some(3)),
        (Some(2), Some(1), Some(3)),
        (Some(9), Some(9), Some(4)),
        (Some(9), Some(9), Some(5)),
        (Some(9), None, Some(1)),
        (Some(u64::MAX), Some(u64::MAX), Some(1)),
    ] {
        let counted = |tag: &str, contacts: Option<u64>| contacts.map(|contacts| (tag.to_owned(), contacts));
        let statistics = Statistics {
            stages: stages.map(|contacts| BTreeMap::from([(1, contacts), (2, contacts)])).unwrap_or_default(),
            tags: counted("uk", uk).into_iter().chain(counted("vip", vip)).collect(),
        };
        writeln!(
            text,
            "uk {uk:?}, vip {vip:?}, stages 1 and 2 each {stages:?}{}",
            check(&case, &statistics).trim_end()
        )
        .unwrap();
    }
    crate::check_file("plans-by-statistics", &text);
}
