//! Requests in one step, parsed and with their dates in a time zone, and the tables of their fields.

use jiff::tz::TimeZone;
use models::filter::AccessCriteria;
use models::invalid::Invalid;
use models::request::field::Field;
use models::request::{
    ListContacts, ListPeople, RequestBody, RunOnce, SetContactAccess, SetContactsAccess, SetFilterAccess, SetRule,
    SignInRequest, bodies, fields_of_person, queries,
};
use models::values::id::ContactId;
use serde_json::{Map, Value, json};

pub(crate) fn list_contacts(query: &str, zone: &TimeZone) -> Result<ListContacts, Invalid> {
    ListContacts::parse(query)?.resolve(zone)
}

pub(crate) fn set_filter_access<'a>(
    body: impl Into<RequestBody<'a>>,
    filter_value: Option<&str>,
    zone: &TimeZone,
) -> Result<SetFilterAccess, Invalid> {
    SetFilterAccess::parse(body, filter_value, AccessCriteria::default())?.resolve(zone)
}

pub(crate) fn set_rule<'a>(body: impl Into<RequestBody<'a>>, zone: &TimeZone) -> Result<SetRule, Invalid> {
    SetRule::parse(body)?.resolve(zone)
}

pub(crate) fn run_once(payload: &[u8], zone: &TimeZone) -> Result<RunOnce, Invalid> {
    RunOnce::parse(payload)?.resolve(zone)
}

#[test]
fn every_field_of_a_body_is_read() {
    let check = |fields: &[Field], parse: fn(&[u8]) -> Result<(), Invalid>| {
        let members: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), json!({"x": 1}))).collect();
        let fault = parse(Value::Object(members).to_string().as_bytes()).unwrap_err().to_string();
        assert!(!fault.contains("is not a field of this endpoint"), "{fault}");
    };
    check(bodies::SET_CONTACT_ACCESS, |body| SetContactAccess::parse(body, ContactId::MIN).map(drop));
    check(bodies::SET_CONTACTS_ACCESS, |body| SetContactsAccess::parse(body).map(drop));
    check(bodies::SET_FILTER_ACCESS, |body| SetFilterAccess::parse(body, None, AccessCriteria::default()).map(drop));
    check(bodies::SET_RULE, |body| SetRule::parse(body).map(drop));
    check(bodies::RUN_ONCE, |body| RunOnce::parse(body).map(drop));
    check(bodies::SIGN_IN, |body| SignInRequest::parse(body).map(drop));
}

#[test]
fn every_parameter_of_a_query_is_read() {
    let check = |parameters: &[Field], parse: fn(&str) -> Result<(), Invalid>| {
        let pairs: Vec<String> = parameters.iter().map(|parameter| format!("{}[x]=1", parameter.name)).collect();
        let fault = parse(&pairs.join("&")).unwrap_err().to_string();
        assert!(!fault.contains("is not a query parameter of this endpoint"), "{fault}");
    };
    check(queries::LIST_CONTACTS, |query| ListContacts::parse(query).map(drop));
    check(queries::LIST_PEOPLE, |query| ListPeople::parse(query).map(drop));
    check(queries::SHOW_PERSON, |query| fields_of_person(query).map(drop));
}

#[test]
fn date_without_offset_needs_a_known_zone_only_when_it_is_resolved() {
    let body = br#"{"filter":{"fromDate":"2020-12-08"},"target":{"isPrivate":true},"cron":"0 2 * * *"}"#;
    let parsed = SetRule::parse(body.as_slice()).unwrap();
    assert!(parsed.clone().resolve(&TimeZone::UTC).is_ok());
    let Invalid { faults } = parsed.resolve(&TimeZone::unknown()).unwrap_err();
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["filter.fromDate", "timeZone"]);
    assert!(faults[0].message.ends_with("the time zone of the portal is not known; it is \"2020-12-08\""));
}

#[test]
fn bad_cron_and_bad_time_zone_are_both_reported() {
    for (zone, expected) in [
        (r#","timeZone":5"#, &["cron", "timeZone"][..]),
        (r#","timeZone":"Mars""#, &["cron", "timeZone"]),
        (r#","timeZone":"Factory""#, &["cron", "timeZone"]),
        ("", &["cron"]),
    ] {
        let body = format!(r#"{{"filter":{{}},"target":{{"isPrivate":true}},"cron":"61 2 * * *"{zone}}}"#);
        let Invalid { faults } = set_rule(body.as_bytes(), &TimeZone::unknown()).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, expected, "{body}");
    }
}
