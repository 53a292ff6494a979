//! Query parameters, in `snapshots/query.snap`.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use models::invalid::Invalid;
use models::limits::{MAX_FILTER_VALUE_BYTES, MAX_QUERY_VALUES};
use models::request::{Page, Query, queries};

use crate::requests::list_contacts;

/// Reads the query parameters of `PUT …/contact/filter/access`.
fn read(pairs: &[(&str, &str)]) -> Result<(bool, Option<u64>, Page, Option<String>), Invalid> {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let mut query = Query::new(&text, queries::SET_FILTER_ACCESS);
    let read = (query.dry_run(), query.max_affected(), query.page(), query.filter_value());
    query.fields();
    query.finish().map(|()| read)
}

fn check(pairs: &[(&str, &str)]) -> String {
    let shown: Vec<String> = pairs
        .iter()
        .map(|(name, value)| match value.char_indices().nth(40) {
            Some((end, _)) => format!("{name}={}… ({} bytes)", &value[..end], value.len()),
            None => format!("{name}={value}"),
        })
        .collect();
    let mut text = format!("?{}\n", shown.join("&"));
    match read(pairs) {
        Ok((dry_run, max_affected, page, words)) => writeln!(
            text,
            "    dry run {dry_run}, at most {max_affected:?}, {} from {}, name {words:?}",
            page.count, page.start_index
        )
        .unwrap(),
        Err(Invalid { faults }) => {
            for fault in faults {
                writeln!(text, "    400 {} {}", fault.field, fault.message).unwrap();
            }
        }
    }
    text
}

#[test]
fn query_parameters_are_read() {
    let long = "ä".repeat(MAX_FILTER_VALUE_BYTES / 2);
    let too_long = "ä".repeat(MAX_FILTER_VALUE_BYTES / 2 + 1);
    let long_name = "x".repeat(300);
    let cases: &[&[(&str, &str)]] = &[
        &[],
        &[("dryRun", "true")],
        &[("dryRun", "False")],
        &[("DRYRUN", "TRUE")],
        &[("dryRun", "")],
        &[("dryRun", "1")],
        &[("dryRun", "yes")],
        &[("dryRun", "true "), ("count", "1")],
        &[("dryRun", "true"), ("dryRun", "true")],
        &[("dryRun", "true"), ("dryrun", "false")],
        &[("maxAffected", "0")],
        &[("maxAffected", "2147483647")],
        &[("maxAffected", "2147483648")],
        &[("maxAffected", "-1")],
        &[("maxAffected", "1.5")],
        &[("maxAffected", "+5")],
        &[("maxAffected", "ten")],
        &[("maxAffected", "99999999999999999999999999")],
        &[("count", "1")],
        &[("count", "0")],
        &[("count", "1000")],
        &[("count", "1001")],
        &[("count", "-1")],
        &[("count", "")],
        &[("count", "00010")],
        &[("count", "1e3")],
        &[("count", "٣")],
        &[("count", " 5")],
        &[("startIndex", "0")],
        &[("startIndex", "2147483647")],
        &[("startIndex", "2147483648")],
        &[("StartIndex", "-1")],
        &[("count", "10"), ("startIndex", "20")],
        &[("count", "many"), ("startIndex", "few"), ("maxAffected", "some"), ("dryRun", "perhaps")],
        &[("filterValue", "")],
        &[("filterValue", "Maria Anders")],
        &[("filtervalue", "Ana")],
        &[("filterValue", &long)],
        &[("filterValue", &too_long)],
        &[("filterValue", "a"), ("filterValue", "b")],
        &[("dry-run", "true")],
        &[("dry_run", "true")],
        &[("dryrn", "true")],
        &[("maxAfected", "1")],
        &[("limit", "10")],
        &[("offset", "10")],
        &[("isPrivate", "true")],
        &[("fields", "id")],
        &[("", "")],
        &[("foo", "1"), ("foo", "2")],
        &[(&long_name, "1")],
    ];
    crate::check_file("query", &cases.iter().map(|pairs| check(pairs)).collect::<String>());
}

#[test]
fn absent_parameters_have_defaults() {
    let read = read(&[]).unwrap();
    assert_eq!(read, (false, None, Page::default(), None));
    assert_eq!(Page::default(), Page { count: 1000, start_index: 0 });
}

#[test]
fn query_refuses_more_values_than_api_gateway_can_transmit() {
    let list = |values: usize| list_contacts(&"tags=a&".repeat(values), &TimeZone::UTC);
    assert_eq!(list(MAX_QUERY_VALUES).unwrap().filter.tags, ["a"]);
    let Err(Invalid { faults }) = list(MAX_QUERY_VALUES + 1) else { panic!("too many tags were read") };
    assert_eq!(faults[0].message, "has 33 values; at most 32 are allowed");
}

#[test]
fn filter_value_above_the_maximum_is_cut_before_its_words_are_compared() {
    for letter in ["x ", "ä "] {
        let text = letter.repeat(MAX_FILTER_VALUE_BYTES);
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let mut query = Query::new(&format!("filterValue={encoded}"), queries::SET_FILTER_ACCESS);
        let words = query.filter_value().unwrap();
        assert!((MAX_FILTER_VALUE_BYTES - 1..=MAX_FILTER_VALUE_BYTES).contains(&words.len()), "{} bytes", words.len());
        assert!(text.starts_with(&words));
        assert_eq!(query.finish().unwrap_err().faults.len(), 1);
    }
}
