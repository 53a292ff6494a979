//! Good and bad bodies of the endpoints that set access, in `snapshots/contact-bodies.snap`,
//! `snapshots/contacts-bodies.snap` and `snapshots/filter-bodies.snap`.
//!
//! The snapshots show each message as the client gets the message. It must say how to correct the request.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use models::access::{Access, AccessEdit, Target};
use models::invalid::Invalid;
use models::limits::{MAX_FAULTS, MAX_LIST_VALUES, MAX_NAMED_CONTACTS, MAX_TAG_BYTES};
use models::request::{SetContactAccess, SetContactsAccess};
use models::values::id::{ContactId, UserId};
use proptest::prelude::*;

use crate::requests::set_filter_access;

const MIKE: &str = "9924256a-739c-462b-af15-e652a3b1b6eb";

fn contact(body: &[u8]) -> Result<String, Invalid> {
    let contact = ContactId::try_from(5).unwrap();
    SetContactAccess::parse(body, contact).map(|request| target(&request.target))
}

fn contacts(body: &[u8]) -> Result<String, Invalid> {
    let request = SetContactsAccess::parse(body)?;
    let ids = request.contacts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    Ok(format!("{} contact(s) {} -> {}", request.contacts.len(), abridged(&ids), target(&request.target)))
}

fn filter(body: &[u8]) -> Result<String, Invalid> {
    let request = set_filter_access(body, None, &TimeZone::UTC)?;
    let filter = request.filter;
    let tags = filter.tags.iter().map(|tag| abridged(tag)).collect::<Vec<_>>();
    Ok(format!(
        "tags {tags:?}, stages {:?}, types {:?}, {}, {} to {} -> {}",
        abridged(&format!("{:?}", filter.stages)),
        abridged(&format!("{:?}", filter.types)),
        filter.view.name(),
        filter.from_date.map(|date| date.to_string()).unwrap_or_default(),
        filter.to_date.map(|date| date.to_string()).unwrap_or_default(),
        target(&request.target)
    ))
}

fn target(target: &Target) -> String {
    let listed =
        |managers: &[UserId]| abridged(&managers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    match target {
        Target::Replace(Access { share, managers }) => format!("{share:?} [{}]", listed(managers)),
        Target::Edit(AccessEdit { share, add, remove }) => {
            format!("{share:?}, add [{}], remove [{}]", listed(add), listed(remove))
        }
    }
}

fn abridged(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

type Read = fn(&[u8]) -> Result<String, Invalid>;

/// Returns a body and its parsed form, or at most `SHOWN_FAULTS` of its faults.
fn check(read: Read, body: &[u8]) -> String {
    const SHOWN_FAULTS: usize = 4;
    let mut text =
        format!("{}\n", abridged(&String::from_utf8_lossy(body).escape_debug().to_string().replace("\\\"", "\"")));
    match read(body) {
        Ok(accepted) => writeln!(text, "    accepted: {accepted}").unwrap(),
        Err(Invalid { faults }) => {
            for fault in faults.iter().take(SHOWN_FAULTS) {
                let field = if fault.field.is_empty() { "(body)" } else { &fault.field };
                writeln!(text, "    400 {field} {}", fault.message).unwrap();
            }
            if faults.len() > SHOWN_FAULTS {
                writeln!(text, "    … {} faults in all", faults.len()).unwrap();
            }
        }
    }
    text
}

/// Values that at least one field refuses.
const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "1.0",
    "1.5",
    "2147483648",
    "1e400",
    "\"\"",
    "\"3\"",
    "\"true\"",
    "\"9924256A-739C-462b-AF15-E652A3B1B6EB\"",
    "[]",
    "[null]",
    "[true]",
    "[1]",
    "[1.5]",
    "[\"\"]",
    "[\"x\"]",
    "[[1]]",
    "[{}]",
    "{}",
    "{\"Id\":\"9924256a-739c-462b-af15-e652a3b1b6eb\"}",
];

/// Checks every value for every field, together with the required field.
fn every_value(read: Read, fields: &[&str], required: &str) -> String {
    let mut text = String::new();
    for field in fields {
        for value in VALUES {
            let body = match *field == required {
                true => format!("{{\"{field}\":{value}}}"),
                false => format!("{{\"{field}\":{value},\"{required}\":true}}"),
            };
            text += &check(read, body.as_bytes());
        }
        text.push('\n');
    }
    text
}

/// Checks bodies that are not an object of fields.
fn not_an_object(read: Read) -> String {
    let deep_array = "[".repeat(500);
    let deep_object = "{\"tags\":".repeat(500);
    let bodies: &[&[u8]] = &[
        b"",
        b" \r\n\t",
        b"null",
        b"true",
        b"1",
        b"\"isShared\"",
        b"[]",
        b"[{\"isShared\":true}]",
        b"{",
        b"{}x",
        b"{} {}",
        b"{'isShared':true}",
        b"{isShared:true}",
        b"{\"isShared\":True}",
        b"{\"isShared\":true,}",
        b"isShared=true&managerList[]=1",
        b"<isShared>true</isShared>",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{\"isShared\":true,\"isPrivate\":true}",
        b"{\"is\xffShared\":true}",
        b"{\"isShared\":NaN}",
        b"\0",
        deep_array.as_bytes(),
        deep_object.as_bytes(),
    ];
    bodies.iter().map(|body| check(read, body)).collect()
}

/// Checks bodies that add and remove managers. `fixed` stands before the fields, and `privacy` is the field that makes
/// the contacts private or public.
fn edits(read: Read, fixed: &str, privacy: &str) -> String {
    const ANNA: &str = "00000000-0000-0000-0000-000000000001";
    let bodies = [
        format!(r#""addManagers":["{MIKE}"]"#),
        format!(r#""removeManagers":["{MIKE}","{MIKE}"]"#),
        format!(r#""addManagers":["{ANNA}","{ANNA}"],"removeManagers":["{MIKE}"]"#),
        format!(r#""AddManagers":["{ANNA}"],"{privacy}":true"#),
        format!(r#""addManagers":["{ANNA}","{MIKE}"],"removeManagers":["{MIKE}","{ANNA}"]"#),
        format!(r#""addManagers":["{MIKE}"],"managerList":[]"#),
        format!(r#""removeManagers":[],"managerList":["{MIKE}"],"{privacy}":false"#),
        format!(r#""addManagers":["{MIKE}"],"managerList":null,"{privacy}":null"#),
        r#""addManagers":[]"#.to_owned(),
        r#""addManagers":[],"removeManagers":[]"#.to_owned(),
        format!(r#""addManagers":[],"{privacy}":true"#),
        r#""addManagers":null"#.to_owned(),
        format!(r#""addManagers":null,"removeManagers":null,"{privacy}":true"#),
        format!(r#""addManagers":"{MIKE}""#),
        r#""addManagers":["mike"],"removeManagers":[1]"#.to_owned(),
        format!(r#""addManager":["{MIKE}"]"#),
        format!(r#""addManagers":{}"#, list(&format!("\"{MIKE}\""), MAX_LIST_VALUES + 1)),
    ];
    bodies.iter().map(|body| check(read, format!("{{{fixed}{body}}}").as_bytes())).collect()
}

fn list(value: &str, times: usize) -> String {
    format!("[{}]", vec![value; times].join(","))
}

#[test]
fn bodies_of_set_contact_access() {
    let long_name = "x".repeat(300);
    let mike = format!("\"{MIKE}\"");
    let bodies = [
        r#"{"isShared":true}"#.to_owned(),
        r#"{"isShared":false,"managerList":[]}"#.to_owned(),
        r#"{ "isShared": true, "managerList": [ "9924256A-739C-462b-AF15-E652A3B1B6EB" ] }"#.to_owned(),
        format!(
            r#"{{"isShared":false,"managerList":["00000000-0000-0000-0000-000000000001",{mike},"{{9924256A-739C-462B-AF15-E652A3B1B6EB}}",{mike}]}}"#
        ),
        format!(r#"{{"isShared":false,"managerList":{}}}"#, list(&mike, MAX_LIST_VALUES)),
        format!(r#"{{"isShared":false,"managerList":{}}}"#, list(&mike, MAX_LIST_VALUES + 1)),
        format!(r#"{{"isShared":false,"managerList":{}}}"#, list("3", MAX_LIST_VALUES)),
        r#"{"managerList":["9924256a-739c-462b-af15-e652a3b1b6e"]}"#.to_owned(),
        format!(r#"{{"isShared":false,"managerList":["{}"]}}"#, "9".repeat(10_000)),
        "{}".to_owned(),
        r#"{"managerList":[]}"#.to_owned(),
        r#"{"IsShared":true}"#.to_owned(),
        r#"{"is_shared":true}"#.to_owned(),
        r#"{"isPrivate":true}"#.to_owned(),
        r#"{"isShared":true,"isPrivate":false}"#.to_owned(),
        r#"{"isShared":true,"managers":[]}"#.to_owned(),
        r#"{"isShared":true,"accessList":[]}"#.to_owned(),
        r#"{"isShared":true,"ManagerList":[]}"#.to_owned(),
        r#"{"isShared":true,"contactid":5}"#.to_owned(),
        r#"{"isShared":true,"":1}"#.to_owned(),
        r#"{"isShared":true,"foo":1,"foo":2}"#.to_owned(),
        r#"{"isShared":true,"isShared":false}"#.to_owned(),
        r#"{"isShared":true,"is\u0053hared":true}"#.to_owned(),
        format!(r#"{{"isShared":true,"{long_name}":1}}"#),
        r#"{"isShared":1,"managerList":"x","color":null}"#.to_owned(),
    ];
    let text = not_an_object(contact)
        + "\n"
        + &bodies.iter().map(|body| check(contact, body.as_bytes())).collect::<String>()
        + "\n"
        + &every_value(contact, &["isShared", "managerList", "contactid"], "isShared")
        + &edits(contact, "", "isShared");
    crate::check_file("contact-bodies", &text);
}

#[test]
fn bodies_of_set_contacts_access() {
    let with = |ids: &str| format!(r#"{{"contactid":{ids},"isShared":false}}"#);
    let numbers = |ids: std::ops::RangeInclusive<usize>| ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let maximum = numbers(1..=MAX_NAMED_CONTACTS);
    let mut bodies = vec![
        r#"{"contactid":[5,7],"isShared":true}"#.to_owned(),
        format!(r#"{{"contactid":5,"isShared":false,"managerList":["{MIKE}","{MIKE}"]}}"#),
        // In the order of the request, without duplicates.
        with("[9,2147483647,1,9,2147483647,3]"),
        with("7.0"),
        with("[]"),
        with("0"),
        with("[-5,0,1,2147483648,18446744073709551616,2.5,\"7\",null]"),
        // The maximum number of contacts, each three times; then one contact too many.
        with(&format!("[{maximum},{maximum},{maximum}]")),
        with(&format!("[{}]", numbers(1..=MAX_NAMED_CONTACTS + 1))),
        with(&list("\"x\"", 100_000)),
        "{}".to_owned(),
        r#"{"isShared":true}"#.to_owned(),
        r#"{"contactid":[5]}"#.to_owned(),
        r#"{"contactid":[5],"contactid":[7],"isShared":true}"#.to_owned(),
        r#"{"contactid":[5],"isPrivate":true}"#.to_owned(),
        r#"{"contactid":0,"isShared":1,"managerList":"x","color":null}"#.to_owned(),
    ];
    for field in ["contactId", "contactIds", "contactids", "ContactID", "ids", "id", "contacts", "contactId[0]"] {
        bodies.push(format!(r#"{{"{field}":[5],"isShared":true}}"#));
    }
    let with_field = |field: &str, value: &str| match field {
        "contactid" => format!(r#"{{"contactid":{value},"isShared":true}}"#),
        "isShared" => format!(r#"{{"contactid":5,"isShared":{value}}}"#),
        _ => format!(r#"{{"contactid":5,"isShared":true,"{field}":{value}}}"#),
    };
    let values = ["contactid", "isShared", "managerList"].map(|field| {
        VALUES.iter().map(|value| check(contacts, with_field(field, value).as_bytes())).collect::<String>() + "\n"
    });
    let text = not_an_object(contacts)
        + "\n"
        + &bodies.iter().map(|body| check(contacts, body.as_bytes())).collect::<String>()
        + "\n"
        + &values.concat()
        + &edits(contacts, r#""contactid":[5,7],"#, "isShared");
    crate::check_file("contacts-bodies", &text);
}

#[test]
fn bodies_of_set_filter_access() {
    let tag = |bytes: usize| format!(r#"{{"tags":["{}"],"isPrivate":true}}"#, "t".repeat(bytes));
    let with = |fields: &str| format!("{{{fields},\"isPrivate\":true}}");
    let mut bodies = vec![
        r#"{"isPrivate":true}"#.to_owned(),
        r#"{"tags":["vip"],"contactStage":3,"contactType":[1,2],"contactListView":"Person","fromDate":"2020-12-08","toDate":"2020-12-09","isPrivate":false,"managerList":["9924256A-739C-462b-AF15-E652A3B1B6EB"]}"#.to_owned(),
        "{}".to_owned(),
        r#"{"isPrivate":true,"isPrivate":false}"#.to_owned(),
        r#"{"tags":["uk"],"tags":[],"isPrivate":true}"#.to_owned(),
        r#"{"isPrivate":true,"foo":1,"foo":2}"#.to_owned(),
        // Tags around the maximum length: plain, with white space around, of two-byte letters, and of letters that grow
        // when folded.
        tag(MAX_TAG_BYTES),
        tag(MAX_TAG_BYTES + 1),
        tag(100_000),
        with(&format!(r#""tags":["  {}  "]"#, "t".repeat(MAX_TAG_BYTES))),
        with(&format!(r#""tags":["{}"]"#, "ä".repeat(MAX_TAG_BYTES / 2 + 1))),
        with(&format!(r#""tags":["{}"]"#, "ΐ".repeat(MAX_TAG_BYTES / 2))),
        with(r#""tags":["   "]"#),
        with("\"tags\":[\"\\u00a0\\t\"]"),
        with(r#""tags":["ok","",3]"#),
        with(&format!(r#""tags":{}"#, list("\"uk\"", MAX_LIST_VALUES))),
        with(&format!(r#""tags":{}"#, list("\"uk\"", MAX_LIST_VALUES + 1))),
        with(&format!(r#""contactStage":{}"#, list("3", MAX_LIST_VALUES + 1))),
        with(&format!(r#""contactType":{}"#, list("3", MAX_LIST_VALUES + 1))),
        with(&format!(r#""managerList":{}"#, list(&format!("\"{MIKE}\""), MAX_LIST_VALUES + 1))),
    ];
    // Misspelt and misplaced fields.
    for field in [
        "tag",
        "Tags",
        "tagName",
        "contactStages",
        "stage",
        "stages",
        "contactStatus",
        "contactTypes",
        "type",
        "listView",
        "contactListview",
        "contactlistview",
        "from",
        "to",
        "fromdate",
        "from_date",
        "isShared",
        "IsPrivate",
        "private",
        "managers",
        "managerlist",
        "shareType",
        "count",
        "dryRun",
        "filterValue",
        "responsibleid",
        "contactid",
        "xyz",
    ] {
        bodies.push(with(&format!("\"{field}\":1")));
    }
    // The misspelt field comes before the missing one.
    bodies.push(r#"{"isprivate":true}"#.to_owned());
    bodies.push(r#"{"isShared":true}"#.to_owned());
    for view in ["4", "-1", "1e0", "\"Persons\"", "\"person\"", "\"1\"", "\" Person\"", "[1]", "99999999999999999999"] {
        bodies.push(with(&format!("\"contactListView\":{view}")));
    }
    for stage in [
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "[1,2147483648]",
        "[1,\"2\",3.0]",
        "[-1,\"x\"]",
        "1e2",
        "18446744073709551616",
    ] {
        bodies.push(with(&format!("\"contactStage\":{stage}")));
        bodies.push(with(&format!("\"contactType\":{stage}")));
    }
    for date in [
        "today",
        "2020-13-01",
        "2020-02-30",
        "2021-02-29",
        "2020-2-3",
        "20201208",
        "08.12.2020",
        "12/08/2020",
        "0000-01-01",
        "10000-01-01",
        "2020-12-08T25:00:00Z",
        "2020-12-08T10:00",
        "2020-12-08 10:00:00",
        "2020-12-08T10:00:00+99:00",
        "2020-12-08Z",
        " 2020-12-08",
        "2020-12-08T10:00:00[Europe/Riga]",
        "2020-12-08T10:00:00+02:00[Europe/Paris]",
        "2020-12-08T23:59:60Z",
        "1607449024",
    ] {
        bodies.push(with(&format!("\"fromDate\":\"{date}\"")));
        bodies.push(with(&format!("\"toDate\":\"{date}\"")));
    }
    bodies.push(with(r#""fromDate":1607449024"#));
    bodies.push(
        r#"{"tags":"uk","contactStage":"3","contactListView":9,"fromDate":"x","toDate":5,"managerList":[1],"color":0}"#
            .to_owned(),
    );
    let fields =
        ["isPrivate", "tags", "contactStage", "contactType", "contactListView", "fromDate", "toDate", "managerList"];
    let text = not_an_object(filter)
        + "\n"
        + &bodies.iter().map(|body| check(filter, body.as_bytes())).collect::<String>()
        + "\n"
        + &every_value(filter, &fields, "isPrivate")
        + &edits(filter, "", "isPrivate");
    crate::check_file("filter-bodies", &text);
}

#[test]
fn a_body_full_of_faults_has_a_short_answer() {
    let unknown = (0..100_000).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(",");
    let repeated = vec!["\"x\":1,\"y\":1"; 50_000].join(",");
    let values = list("3", MAX_LIST_VALUES);
    for body in [
        format!("{{{unknown}}}"),
        format!("{{{repeated}}}"),
        format!("{{\"managerList\":{values},\"tags\":{values}}}"),
        format!("{{\"contactid\":{}}}", list("0", 100_000)),
    ] {
        for read in [contact as Read, contacts, filter] {
            let invalid = read(body.as_bytes()).unwrap_err();
            assert!(
                invalid.faults.len() <= MAX_FAULTS + 1 && invalid.to_string().len() < 1024 * MAX_FAULTS,
                "{invalid}"
            );
        }
    }
}

/// Generates JSON of any shape, with field names of the endpoints among its keys.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(
            &[
                "contactid",
                "isShared",
                "isPrivate",
                "managerList",
                "tags",
                "contactStage",
                "contactType",
                "contactListView",
                "fromDate",
                "toDate"
            ][..]
        )
        .prop_map(str::to_owned),
        ".{0,12}",
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_accepted_or_refused_with_a_message(value in json()) {
        let body = value.to_string();
        for read in [contact as Read, contacts, filter] {
            if let Err(invalid) = read(body.as_bytes()) {
                prop_assert!(!invalid.faults.is_empty());
                prop_assert!(invalid.faults.iter().all(|fault| !fault.message.is_empty() && fault.message.chars().count() < 512), "{invalid}");
            }
        }
    }

    #[test]
    fn any_bytes_are_accepted_or_refused(body: Vec<u8>) {
        for read in [contact as Read, contacts, filter] {
            if let Err(invalid) = read(&body) {
                prop_assert!(!invalid.faults.is_empty());
            }
        }
    }
}
