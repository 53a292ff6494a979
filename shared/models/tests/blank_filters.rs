//! A filter whose fields are blank never becomes "every contact" in a change of access.

use jiff::tz::TimeZone;
use models::filter::Filter;
use models::invalid::Invalid;
use models::request::{ListContacts, Query, RequestBody, RunOnce, SetContactAccess, SignInRequest, queries};
use models::values::id::ContactId;
use serde_json::{Value, json};

use crate::requests::{list_contacts, run_once, set_filter_access, set_rule};

/// Texts that look blank.
const BLANK: [&str; 8] =
    ["", " ", "\t\r\n", "\u{a0}\u{3000}", "\u{200b}", "\u{feff}", " \u{200c}\u{200d} ", "\u{2060}\u{ad}\u{180e}"];

const ZONE: TimeZone = TimeZone::UTC;

/// Parses the filter in every request that changes access by filter.
fn changes(filter: &Value) -> [(&'static str, Result<Filter, Invalid>); 3] {
    let mut body = filter.clone();
    // The bulk change has the words in its query, not in its body.
    let words = body.as_object_mut().unwrap().remove("filterValue");
    body["isPrivate"] = json!(true);
    let target = json!({"isPrivate": true});
    let rule = json!({"filter": filter, "target": target, "cron": "0 2 * * *"}).to_string();
    let run = json!({"portal": "acme", "filter": filter, "access": target}).to_string();
    let words = words.as_ref().and_then(Value::as_str);
    [
        ("bulk", set_filter_access(body.to_string().as_bytes(), words, &ZONE).map(|request| request.filter)),
        ("rule", set_rule(rule.as_bytes(), &ZONE).map(|request| request.filter)),
        ("run", run_once(run.as_bytes(), &ZONE).map(|request| request.filter)),
    ]
}

#[track_caller]
fn refused<T: std::fmt::Debug>(what: &str, result: Result<T, Invalid>, expected: &str) {
    let fault = result.unwrap_err().to_string();
    assert!(fault.contains(expected), "{what}: {fault}");
}

#[test]
fn blank_words_are_refused() {
    for blank in BLANK {
        for mut filter in [json!({}), json!({"tags": ["vip"]})] {
            filter["filterValue"] = json!(blank);
            for (way, result) in changes(&filter) {
                refused(&format!("{way} {filter}"), result, "filterValue must not be blank");
            }
        }
        let form: String = form_urlencoded(&[("filter[filterValue]", blank), ("target[isPrivate]", "1")]);
        let form = form.replace("=1", "=true") + "&cron=0+2+*+*+*";
        refused(&form, set_rule(RequestBody::Form(form.as_bytes()), &ZONE), "filter.filterValue must not be blank");
    }
    // In a list, a blank means any.
    for blank in BLANK {
        let query = form_urlencoded(&[("filterValue", blank)]);
        assert_eq!(list_contacts(&query, &ZONE).unwrap().filter, Filter::default(), "{query}");
    }
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect::<Vec<_>>().join("&")
}

#[test]
fn blank_tags_are_refused() {
    for blank in BLANK {
        for (way, result) in changes(&json!({"tags": [blank]})) {
            refused(&format!("{way} {blank:?}"), result, "tags[0] must not be blank");
        }
        for (way, result) in changes(&json!({"tags": ["vip", blank]})) {
            refused(&format!("{way} {blank:?}"), result, "tags[1] must not be blank");
        }
        for name in ["tags", "tags[]", "tags[0]"] {
            let form = form_urlencoded(&[(name, blank), ("isPrivate", "true")]);
            let body = RequestBody::Form(form.as_bytes());
            refused(&form, set_filter_access(body, None, &ZONE), "must not be blank");
            let form = form_urlencoded(&[(&format!("filter[{}", name.replacen("tags", "tags]", 1)), blank)]);
            refused(&form, set_rule(RequestBody::Form(form.as_bytes()), &ZONE), "must not be blank");
        }
    }
    for name in ["contactStage", "contactType", "contactStage[]", "contactListView", "fromDate", "toDate"] {
        for blank in BLANK {
            let form = form_urlencoded(&[(name, blank), ("isPrivate", "true")]);
            let result = set_filter_access(RequestBody::Form(form.as_bytes()), None, &ZONE);
            refused(&form, result, name.trim_end_matches("[]"));
        }
    }
}

#[test]
fn filter_with_only_empty_fields_is_refused() {
    for filter in [
        json!({"tags": null}),
        json!({"tags": []}),
        json!({"contactStage": null}),
        json!({"contactType": null, "toDate": null}),
        json!({"tags": [], "contactListView": null}),
        json!({"tags": null, "contactStage": null, "contactType": null, "contactListView": null, "fromDate": null,
            "toDate": null}),
    ] {
        for (way, result) in changes(&filter) {
            refused(&format!("{way} {filter}"), result, "leave the filter fields out to select every contact");
        }
    }
}

#[test]
fn null_means_absent_if_another_field_has_a_value() {
    let vip = Filter { tags: vec!["vip".into()], ..Filter::default() };
    for (filter, expected) in [
        (json!({"tags": ["vip"], "contactStage": null, "contactListView": null, "fromDate": null}), vip.clone()),
        (json!({"tags": ["\u{feff}\u{200b} VIP \u{200b}"]}), vip),
        (json!({"tags": null, "filterValue": "anna"}), Filter { words: vec!["anna".into()], ..Filter::default() }),
        (json!({"tags": [], "contactStage": 3}), Filter { stages: vec![3], ..Filter::default() }),
        // These filters select every contact, each in a documented way.
        (json!({}), Filter::default()),
        (json!({"contactStage": []}), Filter::default()),
        (json!({"tags": [], "contactStage": [], "contactType": []}), Filter::default()),
        (json!({"contactStage": -1, "contactType": [-1]}), Filter::default()),
        (json!({"contactListView": "All", "tags": null}), Filter::default()),
    ] {
        for (way, result) in changes(&filter) {
            assert_eq!(result.unwrap(), expected, "{way} {filter}");
        }
    }
}

#[test]
fn null_means_absent_in_every_body() {
    let contact = |body: &str| SetContactAccess::parse(body.as_bytes(), ContactId::MIN);
    assert_eq!(contact(r#"{"isShared":true,"managerList":null}"#), contact(r#"{"isShared":true}"#));
    refused("single", contact(r#"{"isShared":null}"#), "isShared is required");
    refused("single", contact(r#"{"isShared":true,"color":null}"#), "color is not a field");
    refused("single", contact(r#"{"isShared":true,"managerList":[null]}"#), "managerList[0]");
    let rule = |more: &str| {
        let body =
            format!(r#"{{"filter":{{}},"target":{{"isPrivate":true,"managerList":null}},"cron":"0 2 * * *"{more}}}"#);
        set_rule(body.as_bytes(), &ZONE)
    };
    assert_eq!(rule(r#","timeZone":null,"enabled":null"#), rule(""));
    refused("rule", set_rule(r#"{"filter":null,"target":null,"cron":null}"#.as_bytes(), &ZONE), "filter is required");
    let sign_in = |portal: &str| {
        let body = format!(r#"{{"userName":"ada@example.com","password":"a long password"{portal}}}"#);
        SignInRequest::parse(body.as_bytes())
    };
    assert_eq!(sign_in(r#","portal":null"#).unwrap(), sign_in("").unwrap());
    refused(
        "sign-in",
        SignInRequest::parse(br#"{"userName":null,"password":null}"#.as_slice()),
        "password is required",
    );
    let run = r#"{"portal":"acme","filter":{},"access":{"isPrivate":true},"maxAffected":null,"idempotencyKey":null}"#;
    assert_eq!(run_once(run.as_bytes(), &ZONE).unwrap().max_affected, None);
}

#[test]
fn empty_date_ranges_are_refused() {
    for (from, to, is_refused) in [
        ("2020-12-09", "2020-12-08", true),
        ("2020-12-08", "2020-12-08", false),
        ("2020-12-08T12:00:00Z", "2020-12-08", false),
        ("2020-12-08T10:00:00Z", "2020-12-08T10:00:00+02:00", true),
        ("2020-12-08T10:00:00Z", "2020-12-08T10:00:00Z", false),
    ] {
        let what = format!("{from} to {to}");
        let mut results: Vec<_> = changes(&json!({"fromDate": from, "toDate": to})).into();
        let query = form_urlencoded(&[("fromDate", from), ("toDate", to)]);
        results.push(("list", list_contacts(&query, &ZONE).map(|request| request.filter)));
        for (way, result) in results {
            match is_refused {
                true => refused(&format!("{way} {what}"), result, "fromDate is after toDate"),
                false => assert!(result.is_ok(), "{way} {what}: {result:?}"),
            }
        }
    }
}

#[test]
fn dates_are_compared_in_the_time_zone_of_the_portal() {
    // Midnight in Riga is 22:00Z of the day before, so the range is valid. In UTC the range is not.
    let (from, to) = ("2020-12-08T00:00:00", "2020-12-07T23:00:00Z");
    let riga = TimeZone::get("Europe/Riga").unwrap();
    let query = form_urlencoded(&[("fromDate", from), ("toDate", to)]);
    assert!(ListContacts::parse(&query).is_ok());
    assert!(list_contacts(&query, &riga).is_ok());
    refused("UTC", list_contacts(&query, &ZONE), "fromDate is after toDate");
    let filter = json!({"fromDate": from, "toDate": to});
    let run = json!({"portal": "acme", "filter": filter, "access": {"isPrivate": true}}).to_string();
    assert!(RunOnce::parse(run.as_bytes()).is_ok());
    assert!(run_once(run.as_bytes(), &riga).is_ok());
    refused("UTC", run_once(run.as_bytes(), &ZONE), "fromDate is after toDate");
}

#[test]
fn unknown_key_is_refused_with_the_nearest_key() {
    for (fields, expected) in [
        ("display_name", "did you mean displayName?"),
        ("id,displyName", "did you mean displayName?"),
        ("xyzzy", "which is not a key of a contact. The keys of a contact are addresses"),
    ] {
        refused(fields, list_contacts(&format!("fields={fields}"), &ZONE), expected);
        let mut query = Query::new(&format!("fields={fields}"), queries::SHOW_CONTACT);
        query.fields();
        refused(fields, query.finish(), expected);
    }
    assert!(list_contacts("fields=ID,+displayname,CREATEBY,", &ZONE).unwrap().fields.is_some());
    assert!(list_contacts("fields=", &ZONE).unwrap().fields.is_none());
}
