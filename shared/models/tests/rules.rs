//! Standing rules: bodies in `snapshots/rule-bodies.snap` and `snapshots/run-payloads.snap`, times in
//! `snapshots/schedules.snap`, the record and the answer in `snapshots/rule.snap`.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use models::answer::{KeyStyle, Keyed};
use models::filter::Filter;
use models::invalid::Invalid;
use models::limits::{
    MAX_CRON_BYTES, MAX_FAULTS, MAX_FILTER_VALUE_BYTES, MAX_IDEMPOTENCY_KEY_BYTES, MAX_RULE_NAME_CHARS,
};
use models::request::SetRule;
use models::rule::{Rule, RuleName, Schedule};
use models::values::id::{JobId, UserId};
use models::values::timestamp::Timestamp;
use proptest::prelude::*;

use crate::requests::{run_once, set_rule};

fn riga() -> TimeZone {
    TimeZone::get("Europe/Riga").unwrap()
}

fn rule(body: &[u8]) -> Result<String, Invalid> {
    let SetRule { filter, target, schedule, enabled, max_affected, note } = set_rule(body, &riga())?;
    let (filter, target) = (json(&filter.view()), json(&target.view()));
    let limit = max_affected.map(|limit| format!(", at most {limit}")).unwrap_or_default();
    let note = note.map(|note| format!(", note {note:?}")).unwrap_or_default();
    Ok(format!(
        "{filter} -> {target} at {} in {}, enabled {enabled}{limit}{note}",
        schedule.cron(),
        schedule.time_zone()
    ))
}

fn run(body: &[u8]) -> Result<String, Invalid> {
    let run = run_once(body, &riga())?;
    let (filter, target) = (json(&run.filter.view()), json(&run.target.view()));
    Ok(format!("{}: {filter} -> {target}, at most {:?}, key {:?}", run.portal, run.max_affected, run.idempotency_key))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn abridged(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

type Read = fn(&[u8]) -> Result<String, Invalid>;

fn check(read: Read, body: &str) -> String {
    let mut text = format!("{}\n", abridged(body));
    match read(body.as_bytes()) {
        Ok(accepted) => writeln!(text, "    accepted: {accepted}").unwrap(),
        Err(Invalid { faults }) => {
            assert!(!faults.is_empty(), "{body}");
            for fault in faults {
                let field = if fault.field.is_empty() { "(body)" } else { &fault.field };
                writeln!(text, "    400 {field} {}", fault.message).unwrap();
            }
        }
    }
    text
}

const FILTERS: &[&str] = &[
    "{}",
    r#"{"tags":[" VIP ","vip"],"contactStage":3,"contactType":[1,2],"contactListView":2,"fromDate":"2020-12-08","toDate":"2020-12-09T10:00:00Z","filterValue":" Anna  RIGA anna"}"#,
    "null",
    "[]",
    "\"\"",
    r#"{"tag":["vip"]}"#,
    r#"{"filter_value":"x"}"#,
    r#"{"isPrivate":true}"#,
    r#"{"":1}"#,
    r#"{"tags":["ok",""],"contactStage":"3","contactListView":9,"fromDate":"today","toDate":5,"filterValue":null}"#,
    r#"{"filterValue":["x"]}"#,
    r#"{"tags":["uk"],"tags":[]}"#,
    r#"{"tags":[{"a":1,"a":2}]}"#,
    r#"{"tags":["uk"],"t\u0061gs":["uk"],"foo":1,"foo":2}"#,
    r#"{"isShared":false,"responsibleid":"9924256A-739C-462b-AF15-E652A3B1B6EB"}"#,
    r#"{"responsibleId":"00000000-0000-0000-0000-000000000000"}"#,
    r#"{"isShared":"false","responsibleid":"mike"}"#,
    r#"{"isShared":null,"responsibleid":null}"#,
    r#"{"tags":[],"isShared":true}"#,
];

const TARGETS: &[&str] = &[
    r#"{"isPrivate":false}"#,
    r#"{"isPrivate":true,"managerList":["9924256A-739C-462b-AF15-E652A3B1B6EB","9924256a-739c-462b-af15-e652a3b1b6eb"]}"#,
    "{}",
    "true",
    r#"{"isPrivate":null,"managerList":[1]}"#,
    r#"{"isShared":true}"#,
    r#"{"isPrivate":true,"isPrivate":false}"#,
    r#"{"isPrivate":true,"tags":[]}"#,
    r#"{"addManagers":["9924256a-739c-462b-af15-e652a3b1b6eb"],"removeManagers":["00000000-0000-0000-0000-000000000001"]}"#,
    r#"{"addManagers":["9924256a-739c-462b-af15-e652a3b1b6eb"],"managerList":[]}"#,
    r#"{"removeManagers":["9924256a-739c-462b-af15-e652a3b1b6eb"],"addManagers":["9924256A-739C-462B-AF15-E652A3B1B6EB"]}"#,
    r#"{"addManagers":[]}"#,
];

#[test]
fn bodies_of_a_rule() {
    let mut bodies: Vec<String> =
        ["", "[]", "{}", "{\"filter\":{}}", "{\"filter\":{\"a\":1,}}"].map(str::to_owned).into();
    bodies.extend(
        FILTERS.iter().map(|f| format!(r#"{{"filter":{f},"target":{{"isPrivate":true}},"cron":"0 2 * * *"}}"#)),
    );
    bodies.extend(TARGETS.iter().map(|t| format!(r#"{{"filter":{{}},"target":{t},"cron":"0 2 * * *"}}"#)));
    bodies.push(format!(
        r#"{{"filter":{{"filterValue":"{}"}},"target":{{"isPrivate":true}},"cron":"0 2 * * *"}}"#,
        "x".repeat(MAX_FILTER_VALUE_BYTES + 1)
    ));
    let minutes = vec!["0"; MAX_CRON_BYTES].join(",");
    for rest in [
        r#""cron":" 0  2 * *\tmon-FRI ","timeZone":"america/new_york","enabled":false"#,
        r#""timeZone":"UTC""#,
        r#""timeZone":"Mars""#,
        r#""timeZone":null"#,
        r#""cron":"0 2 * * *","timeZone":null"#,
        r#""cron":"0 2 * * *","timeZone":"EET""#,
        r#""cron":"0 2 * * *","timeZone":"""#,
        r#""cron":"0 2 * * *","timeZone":"+02:00""#,
        r#""cron":"0 2 * * *","enabled":null"#,
        r#""cron":"0 2 * * *","enabled":"true""#,
        r#""cron":"0 2 * * *","zone":"UTC""#,
        r#""cron":"0 2 * * *","cron":"0 3 * * *""#,
        r#""cron":"61 2 * * *","timeZone":"Mars""#,
        r#""cron":120"#,
        &format!(r#""cron":"{minutes} 2 * * *""#),
    ] {
        bodies.push(format!(r#"{{"filter":{{}},"target":{{"isPrivate":true}},{rest}}}"#));
    }
    for cron in [
        "",
        "@daily",
        "0 2 * *",
        "0 2 * * * *",
        "0 2 * * * UTC",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "* * * * 0-7",
        "5-1 * * * *",
        "* * * * SAT-SUN",
        "*/0 * * * *",
        "*/70 * * * *",
        "1/* * * * *",
        "1,,2 * * * *",
        "0 2 L * *",
        "0 2 l,15w,1-3 * *",
        "0 2 LW * *",
        "0 2 L,LW * *",
        "0 2 L-3 * *",
        "0 2 12WX * *",
        "0 2 32W * *",
        "0 2 W * *",
        "0 2 5L * *",
        "0 2 * * 5#3",
        "0 2 * * tue#2,fril",
        "0 2 * * 5L",
        "0 2 * * L",
        "0 2 * * 5#6",
        "0 2 * * 5#L",
        "0 2 * * +5",
        "0 MON * * *",
        "0 2 JAN * *",
        "0 2 * * 1MON",
        "0 2 * jan-MAR,12 *",
        "0\u{2003} 2 * * *",
        "0 2 ? * *",
        "H 2 * * *",
        "0 2 * FOO *",
        "0 2 * june *",
        "0 2 * jun *",
        "-1 * * * *",
        "é 2 * * *",
        "0 2 31 2 *",
        "0 2 30 2 *",
        "0 2 31 4,6 *",
        "0 2 29 2 *",
        "0 2 29 2 */7",
        "0 2 31 2 1",
        "0 2 30W 2 *",
        "0 2 15W * */7",
        "1.5 * * * *",
        "99999999999999999999 * * * *",
    ] {
        bodies.push(format!(r#"{{"filter":{{}},"target":{{"isPrivate":true}},"cron":"{cron}"}}"#));
    }
    crate::check_file("rule-bodies", &bodies.iter().map(|body| check(rule, body)).collect::<String>());
}

#[test]
fn payloads_of_a_run() {
    let mut bodies: Vec<String> = ["", "null", "{}"].map(str::to_owned).into();
    bodies.extend(FILTERS.iter().map(|f| format!(r#"{{"portal":"acme","filter":{f},"access":{{"isPrivate":true}}}}"#)));
    bodies.extend(TARGETS.iter().map(|t| format!(r#"{{"portal":"acme","filter":{{}},"access":{t}}}"#)));
    for portal in ["\"Acme\"", "\"\"", "1", "null", "\"a#b\""] {
        bodies.push(format!(r#"{{"portal":{portal},"filter":{{}},"access":{{"isPrivate":true}}}}"#));
    }
    let key = |length: usize| format!(r#""idempotencyKey":"{}""#, "k".repeat(length));
    for rest in [
        r#""maxAffected":100,"idempotencyKey":"2026-01-01""#,
        r#""maxAffected":0"#,
        r#""maxAffected":2147483648"#,
        r#""maxAffected":-1"#,
        r#""maxAffected":1.0"#,
        r#""maxAffected":"1""#,
        r#""maxAffected":null"#,
        r#""idempotencyKey":"""#,
        r#""idempotencyKey":"a b""#,
        r#""idempotencyKey":7"#,
        &key(MAX_IDEMPOTENCY_KEY_BYTES),
        &key(MAX_IDEMPOTENCY_KEY_BYTES + 1),
        r#""target":{}"#,
        r#""maxaffected":1"#,
        r#""dryRun":true"#,
    ] {
        bodies.push(format!(r#"{{"portal":"acme","filter":{{}},"access":{{"isPrivate":true}},{rest}}}"#));
    }
    crate::check_file("run-payloads", &bodies.iter().map(|body| check(run, body)).collect::<String>());
}

#[test]
fn a_body_full_of_inner_faults_has_a_short_answer() {
    let unknown = (0..50_000).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(",");
    let repeated = vec!["\"x\":1,\"y\":1"; 50_000].join(",");
    let many = (0..50_000).map(|i| format!("\"{i}\":1,\"{i}\":1")).collect::<Vec<_>>().join(",");
    let deep = format!("{}{{\"x\":1,\"x\":2}}{}", "{\"long-name-of-a-member\":".repeat(100), "}".repeat(100));
    for inner in [format!("{{{unknown}}}"), format!("{{{repeated}}}"), format!("{{{many}}}"), deep] {
        for read in [rule as Read, run] {
            let invalid = read(format!("{{\"filter\":{inner},\"target\":{inner}}}").as_bytes()).unwrap_err();
            assert!(
                invalid.faults.len() <= MAX_FAULTS + 1 && invalid.to_string().len() < 1024 * MAX_FAULTS,
                "{invalid}"
            );
        }
    }
}

/// Lists the times of a schedule after a time, on the zone's clock.
fn times(cron: &str, zone: &str, after: &str, count: usize) -> String {
    let schedule = Schedule::parse(cron, zone).unwrap();
    let time_zone = TimeZone::get(zone).unwrap();
    let mut text = format!("{cron} in {zone} after {after}\n");
    let mut time = after.parse::<Timestamp>().unwrap();
    for _ in 0..count {
        let Some(next) = schedule.next_after(time) else {
            text += "    never again\n";
            break;
        };
        assert!(next > time);
        time = next;
        let zoned = time.to_jiff().to_zoned(time_zone.clone());
        writeln!(text, "    {time}  {}", zoned.strftime("%a %Y-%m-%d %H:%M %:z")).unwrap();
    }
    text
}

#[test]
fn schedules_follow_the_clock() {
    // Riga's clock goes from 03:00 to 04:00 on 2025-03-30 at 01:00Z, and from 04:00 to 03:00 on 2025-10-26 at 01:00Z.
    let (spring, autumn) = ("2025-03-29T12:00:00Z", "2025-10-25T12:00:00Z");
    let (spring_night, autumn_night) = ("2025-03-30T00:00:00Z", "2025-10-25T23:10:00Z");
    let text = [
        times("30 2 * * *", "Europe/Riga", spring, 2),
        times("30 3 * * *", "Europe/Riga", spring, 3),
        times("0 4 * * *", "Europe/Riga", spring, 2),
        times("0,30 3,4 * * *", "Europe/Riga", spring, 5),
        times("*/15 3 * * *", "Europe/Riga", spring, 1),
        times("30 * * * *", "Europe/Riga", spring_night, 3),
        times("30 2 * * *", "Europe/Riga", autumn, 2),
        times("30 3 * * *", "Europe/Riga", autumn, 2),
        times("30 3 * * *", "Europe/Riga", "2025-10-26T01:10:00Z", 1),
        times("0,30 3,4 * * *", "Europe/Riga", autumn, 5),
        times("30 * * * *", "Europe/Riga", autumn_night, 5),
        times("*/20 * * * *", "Europe/Riga", autumn_night, 12),
        times("0 */2 * * *", "Europe/Riga", autumn_night, 4),
        times("0 1-23/2 * * *", "Europe/Riga", autumn_night, 4),
        // Scoresbysund's clock goes from 23:00 on that Saturday to 00:00 on Sunday.
        times("30 23 * * *", "America/Scoresbysund", "2025-03-29T12:00:00Z", 2),
        times("30 23 * * SAT", "America/Scoresbysund", "2025-03-29T12:00:00Z", 2),
        times("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2),
        times("0 12 30 * *", "Pacific/Apia", "2011-12-01T00:00:00Z", 2),
        times("30 3 * * *", "Asia/Kathmandu", "2025-01-01T00:00:00Z", 1),
        times("0 2 31 * *", "UTC", "2025-01-31T02:00:00Z", 3),
        times("0 2 13 * 5", "UTC", "2025-06-01T00:00:00Z", 4),
        times("0 2 * */6 mon-fri", "UTC", "2025-01-31T00:00:00Z", 2),
        times("0 2 * * sat-SUN", "UTC", "2025-01-31T00:00:00Z", 3),
        times("0 2 L * *", "UTC", "2023-12-30T00:00:00Z", 5),
        times("0 2 L 2 *", "Europe/Riga", "2024-02-28T12:00:00Z", 2),
        times("0 2 L,15 * *", "UTC", "2025-11-30T12:00:00Z", 3),
        // The 15th is a Saturday, a Monday and a Sunday. 1 March 2025 and 31 August 2025 are at a weekend and have no
        // nearer weekday within their month.
        times("0 2 15W * *", "UTC", "2025-02-10T00:00:00Z", 1),
        times("0 2 15W * *", "UTC", "2025-09-10T00:00:00Z", 1),
        times("0 2 15W * *", "UTC", "2025-06-10T00:00:00Z", 1),
        times("0 2 1W * *", "UTC", "2025-02-28T00:00:00Z", 1),
        times("0 2 31W * *", "UTC", "2025-08-20T00:00:00Z", 2),
        times("0 2 LW * *", "UTC", "2025-08-20T00:00:00Z", 4),
        times("0 2 * * tue#2", "UTC", "2025-01-01T00:00:00Z", 3),
        times("0 2 * * SUN#5", "UTC", "2025-01-01T00:00:00Z", 2),
        times("0 2 * * FRIL", "UTC", "2025-11-01T00:00:00Z", 3),
        times("0 2 * * 7L", "UTC", "2024-02-01T00:00:00Z", 2),
        times("0 2 29 2 *", "UTC", "2096-02-29T02:00:00Z", 1),
        times("0 2 29 2 */7", "UTC", "2088-03-01T00:00:00Z", 2),
        times("* * 29 2 */7", "Europe/Riga", "2088-03-01T00:00:00Z", 1),
        times("0 2 * * *", "Europe/Riga", "4999-12-30T12:00:00Z", 3),
        times("0 2 * * *", "Europe/Riga", "9999-12-30T00:00:00Z", 1),
        times("* * * * *", "Europe/Riga", "9999-12-30T22:00:00.9Z", 1),
        times("0 2 * * *", "Europe/Riga", "0001-01-01T00:00:00Z", 1),
    ];
    crate::check_file("schedules", &text.join(""));
}

#[test]
fn names_of_rules_are_path_segments() {
    let longest = "n".repeat(MAX_RULE_NAME_CHARS);
    for good in ["a", "nightly-vip", "Q1_2026.v2", ".x", "0", &longest] {
        let name = good.parse::<RuleName>().unwrap();
        assert_eq!(name.to_string(), good);
        assert_eq!(json(&name), format!("\"{good}\""));
        assert_eq!(serde_json::from_str::<RuleName>(&json(&name)).unwrap(), name);
    }
    for bad in ["", ".", "..", "a b", "a/b", "a#b", "ä", "a\n", &format!("{longest}n")] {
        assert!(bad.parse::<RuleName>().is_err(), "{bad}");
        // An earlier version may have stored the name.
        assert_eq!(serde_json::from_value::<RuleName>(bad.into()).unwrap(), RuleName::stored(bad));
    }
    assert!("a b".parse::<RuleName>().unwrap_err().to_string().ends_with("an example is nightly-vip"));
}

#[test]
fn rule_round_trips_and_has_a_view() {
    let body = format!(r#"{{"filter":{},"target":{},"cron":"0  2 * * *"}}"#, FILTERS[1], TARGETS[1]);
    let SetRule { filter, target, schedule, enabled, .. } = set_rule(body.as_bytes(), &riga()).unwrap();
    let created = "2026-01-01T00:00:00Z".parse().unwrap();
    let full = Rule {
        name: "nightly-vip".parse().unwrap(),
        filter,
        target,
        next: schedule.next_after(created),
        schedule,
        enabled,
        created_by: UserId::from_u128(1),
        created,
        modified: created,
        last_run: Some(created),
        last_job: Some(JobId::from_u128(2)),
        error: Some("The portal does not exist.".to_owned()),
        max_affected: Some(100),
        note: Some("asked for by Nancy".to_owned()),
    };
    let bare = Rule {
        filter: Filter::default(),
        enabled: false,
        next: None,
        last_run: None,
        last_job: None,
        error: None,
        max_affected: None,
        note: None,
        ..full.clone()
    };
    let mut text = String::new();
    for rule in [full, bare] {
        let stored = json(&rule);
        assert_eq!(serde_json::from_str::<Rule>(&stored).unwrap(), rule);
        let view = rule.view();
        writeln!(text, "stored {stored}\nshown  {}", json(&view)).unwrap();
        writeln!(text, "camel  {}\n", json(&Keyed::new(&view, KeyStyle::Camel))).unwrap();
    }
    crate::check_file("rule", &text);
}

#[test]
fn invalid_stored_schedule_stays_readable_and_has_faults() {
    let stored = r#"{"Cron":"0 2 31 2 *","TimeZone":"Mars"}"#;
    let schedule: Schedule = serde_json::from_str(stored).unwrap();
    assert_eq!((schedule.cron(), schedule.time_zone()), ("0 2 31 2 *", "Mars"));
    assert_eq!((schedule.next_after(Timestamp::MIN), json(&schedule)), (None, stored.to_owned()));
    let fault = schedule.fault().unwrap().to_string();
    assert!(fault.starts_with("cron never occurs") && fault.contains("; timeZone must be a time zone"), "{fault}");
}

/// Generates a simple field with numbers from `min` to `max`, and the numbers up to `last` that the field matches.
fn field(min: i8, max: i8, last: i8) -> impl Strategy<Value = (String, Vec<i8>)> {
    prop_oneof![
        Just(("*".to_owned(), (min..=last).collect())),
        (min..=max).prop_map(|n| (n.to_string(), vec![n])),
        (min..=max, min..=max).prop_map(|(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            (format!("{a}-{b}"), (a..=b).collect())
        }),
        (min..=max, min..=max).prop_map(|(a, b)| (format!("{a},{b}"), vec![a, b])),
        (1..=max).prop_map(move |step| {
            (format!("*/{step}"), (min..=last).step_by(step.unsigned_abs().into()).collect())
        }),
    ]
}

proptest! {
    #[test]
    fn next_due_time_is_later_and_matches_the_fields(
        minute in field(0, 59, 59), hour in field(0, 23, 23), day in field(1, 28, 31), month in field(1, 12, 12), weekday in field(0, 6, 6),
        by_weekday: bool, seconds in 0_i64..4_000_000_000,
        zone in prop::sample::select(&["UTC", "Europe/Riga", "America/New_York", "Australia/Lord_Howe"][..]),
    ) {
        // Only one of day of month and day of week is given, so the test need not combine the two.
        let (day, weekday) = match by_weekday {
            true => (("*".to_owned(), (1..=31).collect()), weekday),
            false => (day, ("*".to_owned(), (0..=6).collect())),
        };
        let cron = format!("{} {} {} {} {}", minute.0, hour.0, day.0, month.0, weekday.0);
        let schedule = Schedule::parse(&cron, zone).unwrap();
        let after = Timestamp::from_ticks(seconds * 10_000_000 + 1);
        let next = schedule.next_after(after).unwrap();
        prop_assert!(next > after);
        prop_assert_eq!(next.to_jiff().as_second().rem_euclid(60), 0);
        prop_assert_eq!(next.to_jiff().subsec_nanosecond(), 0);
        let zoned = next.to_jiff().to_zoned(TimeZone::get(zone).unwrap());
        let matches = |zoned: &jiff::Zoned| {
            minute.1.contains(&zoned.minute())
                && hour.1.contains(&zoned.hour())
                && day.1.contains(&zoned.day())
                && month.1.contains(&zoned.month())
                && weekday.1.contains(&zoned.weekday().to_sunday_zero_offset())
        };
        // One minute of one hour is a time of day; any other schedule is an interval.
        let is_one = |values: &[i8]| values.iter().all(|value| *value == values[0]);
        let is_time_of_day = is_one(&minute.1) && is_one(&hour.1);
        // The time matches the fields, or the clock has just skipped a matching time of day.
        let is_after_gap = zoned.time_zone().preceding(next.to_jiff() + jiff::SignedDuration::from_nanos(1)).next()
            .is_some_and(|transition| transition.timestamp() == next.to_jiff());
        prop_assert!(matches(&zoned) || is_time_of_day && is_after_gap, "{} {}", cron, zoned);
        // No match within a day and a half was skipped, except a time of day that the clock repeats.
        let mut between = after.to_jiff().to_zoned(TimeZone::get(zone).unwrap());
        for _ in 0..36 * 60 {
            between = between.round(jiff::ZonedRound::new().mode(jiff::RoundMode::Trunc).smallest(jiff::Unit::Minute)).unwrap()
                + jiff::SignedDuration::from_mins(1);
            if between >= zoned {
                break;
            }
            let ambiguous = zoned.time_zone().to_ambiguous_timestamp(between.datetime());
            let second = ambiguous.is_ambiguous() && ambiguous.earlier().unwrap() < between.timestamp();
            prop_assert!(second && is_time_of_day || !matches(&between), "{} skips {}", cron, between);
        }
    }

    #[test]
    fn any_text_is_a_schedule_or_has_faults(
        fields in "([0-9*,/LWMON#+?@-]{1,4} ){5}", near in "[0-9*,/LWMON# -]{0,24}", any in ".{0,40}", zone in "[A-Za-z/]{0,12}",
    ) {
        for cron in [fields, near, any] {
            for zone in [&*zone, &*cron, "UTC", "Europe/Riga"] {
                match Schedule::parse(&cron, zone) {
                    Ok(schedule) => prop_assert!(schedule.next_after(Timestamp::from_ticks(0)).is_some(), "{}", cron),
                    Err(invalid) => prop_assert!(!invalid.faults.is_empty()),
                }
            }
        }
    }

    #[test]
    fn due_times_follow_until_the_search_ends(
        ticks in Timestamp::MIN.ticks()..=Timestamp::MAX.ticks(),
        cron in prop::sample::select(&["* * * * *", "30 3 * * *", "0 2 L * *", "0 2 29 2 */7", "59 23 31 12 *", "*/7 1-3 15W * TUE#2"][..]),
        zone in prop::sample::select(&["UTC", "Europe/Riga", "Pacific/Apia", "America/Juneau", "Antarctica/Troll", "Australia/Lord_Howe"][..]),
    ) {
        let schedule = Schedule::parse(cron, zone).unwrap();
        let time = Timestamp::from_ticks(ticks);
        match schedule.next_after(time) {
            Some(next) => prop_assert!(next > time),
            None => prop_assert!(time.to_jiff().to_zoned(TimeZone::UTC).year() > 4950, "{}", time),
        }
    }
}
