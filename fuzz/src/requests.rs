//! Requests: JSON bodies, forms and queries. The three have one reader, so equal requests in two formats must have
//! equal values.

use std::fmt::Debug;

use jiff::tz::TimeZone;
use models::access::Target;
use models::filter::listing::SortBy;
use models::filter::{AccessCriteria, Filter};
use models::invalid::Invalid;
use models::limits::{MAX_FILTER_VALUE_BYTES, MAX_QUERY_VALUES};
use models::request::{
    ListContacts, ListPeople, Query, RequestBody, RunOnce, SetContactAccess, SetContactsAccess, SetFilterAccess,
    SetRule, ShowSchedule, SignInRequest, UnresolvedFilter, check_no_fields, fields_of_person, queries,
};
use models::rule::Schedule;
use models::values::id::ContactId;
use serde_json::{Map, Value, json};

use crate::allocations::bounded;
use crate::messages::check_faults;

/// The fields of a change by filter that set the access.
const OF_TARGET: [&str; 4] = ["isprivate", "managerlist", "addmanagers", "removemanagers"];

/// The conditions of a filter that a change by filter has in its query.
const OF_QUERY: [&str; 3] = ["filterValue", "isShared", "responsibleid"];

/// The contact in the path of a change of one contact.
fn contact() -> ContactId {
    ContactId::try_from(5).unwrap_or_else(|_| unreachable!("5 is a contact"))
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/Riga").unwrap_or(TimeZone::UTC)
}

/// Every request that a body may hold, read from the same bytes.
struct Bodies {
    contact: Option<SetContactAccess>,
    contacts: Option<SetContactsAccess>,
    filter: Option<SetFilterAccess>,
    rule: Option<SetRule<Filter, Schedule>>,
    sign_in: Option<SignInRequest>,
}

impl Bodies {
    /// Reads a body as every request, and checks the faults.
    fn read(body: RequestBody<'_>) -> Self {
        let (RequestBody::Json(bytes) | RequestBody::Form(bytes)) = body;
        let read = Reader { bytes };
        read.value(|| check_no_fields(body));
        let zone = zone();
        Self {
            contact: read.value(|| SetContactAccess::parse(body, contact())),
            contacts: read.value(|| SetContactsAccess::parse(body)),
            filter: read.value(|| SetFilterAccess::parse(body, None, AccessCriteria::default())?.resolve(&zone)),
            rule: read.value(|| SetRule::parse(body)?.resolve(&zone)),
            sign_in: read.value(|| SignInRequest::parse(body)),
        }
    }

    /// Checks that each request, written as JSON and as a form, has the same value again.
    fn check_written(&self) {
        if let Some(request) = &self.contact {
            let body = shared_target(&request.target).into();
            check_both(request, &body, |body| SetContactAccess::parse(body, contact()));
        }
        if let Some(request) = &self.contacts {
            let contacts: Vec<i32> = request.contacts.iter().map(|id| id.get()).collect();
            let mut fields = target(&request.target);
            if let Some(managers) = fields.remove("ManagerList") {
                fields.insert("accessList".to_owned(), managers);
            }
            fields.insert("contactid".to_owned(), contacts.into());
            check_both(request, &fields.into(), |body| SetContactsAccess::parse(body));
        }
        if let Some(request) = &self.filter {
            let mut body = filter(&request.filter).0;
            body.extend(target(&request.target));
            check_both(request, &body.into(), |body| {
                SetFilterAccess::parse(body, None, AccessCriteria::default())?.resolve(&zone())
            });
        }
        if let Some(request) = &self.rule
            && let (filter, true) = filter(&request.filter)
        {
            let (cron, zone_name) = (request.schedule.cron(), request.schedule.time_zone());
            let target = target(&request.target);
            let mut body = json!({
                "filter": filter, "target": target, "cron": cron, "timeZone": zone_name, "enabled": request.enabled,
            });
            if let Some(limit) = request.max_affected {
                body["maxAffected"] = limit.into();
            }
            if let Some(note) = &request.note {
                body["note"] = note.as_str().into();
            }
            check_both(request, &body, |body| SetRule::parse(body)?.resolve(&zone()));
        }
        if let Some(request) = &self.sign_in {
            let body = match request {
                SignInRequest::Code(code) => json!({ "code": code }),
                SignInRequest::Password(of) => match &of.portal {
                    Some(portal) => {
                        json!({"userName": of.user_name.as_str(), "password": of.password, "portal": portal})
                    }
                    None => json!({"userName": of.user_name.as_str(), "password": of.password}),
                },
            };
            check_both(request, &body, |body| SignInRequest::parse(body));
        }
    }
}

/// Reads values from the bytes of an input.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    /// Reads a value, with bounded memory. Checks the faults and returns `None` if the value cannot be read.
    fn value<T>(&self, read: impl FnOnce() -> Result<T, Invalid>) -> Option<T> {
        bounded(self.bytes.len(), read).map_err(|invalid| check_faults(&invalid, self.bytes)).ok()
    }
}

/// Returns the fields of a filter, and whether the filter's words are short enough for a request: folding can lengthen
/// them.
fn filter(filter: &Filter) -> (Map<String, Value>, bool) {
    let view = filter.view();
    let fits = view.filter_value.as_ref().is_none_or(|words| words.len() <= MAX_FILTER_VALUE_BYTES);
    let Ok(Value::Object(mut fields)) = serde_json::to_value(view) else { unreachable!("a filter is an object") };
    let is_empty = |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    fields.retain(|_, value| !is_empty(value));
    (fields, fits)
}

/// Returns the fields of a change of access.
fn target(target: &Target) -> Map<String, Value> {
    let Ok(Value::Object(fields)) = serde_json::to_value(target.view()) else { unreachable!("a target is an object") };
    fields
}

/// Returns the fields of a change of access, with `isShared` in place of `isPrivate`.
fn shared_target(of: &Target) -> Map<String, Value> {
    let mut fields = target(of);
    if let Some(is_private) = fields.remove("IsPrivate").and_then(|value| value.as_bool()) {
        fields.insert("isShared".to_owned(), (!is_private).into());
    }
    fields
}

/// Checks that JSON, and the form with the same fields, are read as `expected`.
fn check_both<T: PartialEq + Debug>(expected: &T, body: &Value, read: impl Fn(RequestBody<'_>) -> Result<T, Invalid>) {
    let json = body.to_string();
    assert_eq!(read(RequestBody::Json(json.as_bytes())).as_ref(), Ok(expected), "{json}");
    if let Some(form) = form_of(body) {
        assert_eq!(read(RequestBody::Form(form.as_bytes())).as_ref(), Ok(expected), "{json} as the form {form}");
    }
}

/// Writes a JSON object as a form or a query. Returns `None` for an object that no form expresses: with an empty
/// object, or with arrays of arrays and of objects.
fn form_of(body: &Value) -> Option<String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    let mut put = |name: &str, value: &Value| {
        match value {
            Value::Null => {}
            Value::Array(values) => {
                let texts: Vec<String> = values.iter().map(scalar).collect::<Option<_>>()?;
                // A form writes an empty array as JSON. An array with a text that begins with `[` is written as JSON
                // too.
                if texts.is_empty() || texts.iter().any(|text| text.trim_start().starts_with('[')) {
                    form.append_pair(name, &value.to_string());
                } else {
                    texts.iter().for_each(|text| {
                        form.append_pair(&format!("{name}[]"), text);
                    });
                }
            }
            value => {
                form.append_pair(name, &scalar(value)?);
            }
        }
        Some(())
    };
    for (name, value) in body.as_object()? {
        if name.contains(['[', ']']) {
            return None;
        }
        match value {
            Value::Object(members) if members.values().all(Value::is_null) => return None,
            Value::Object(members) => {
                for (member, value) in members {
                    put(&format!("{name}[{member}]"), value)?;
                }
            }
            value => put(name, value)?,
        }
    }
    Some(form.finish())
}

/// Returns the text of a boolean, a number or a string in a form.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        // A form accepts only digits. In JSON `5.0` is the same number as `5`.
        Value::Number(number) if number.is_f64() => number.as_f64().map(|number| format!("{number:.0}")),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Returns the value of a field, whose name has any case. Returns `None` if the field is absent or has two spellings.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut found = object.as_object()?.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}

/// Fuzzes the readers of JSON bodies. A body that is accepted as JSON is accepted as a form with the same value; a
/// rule, a single run and a change by filter read one filter alike, and a list reads it alike from a query.
///
/// # Panics
///
/// If a property of a reader does not hold.
pub fn bodies(data: &[u8]) {
    let zone = zone();
    let bodies = Bodies::read(RequestBody::Json(data));
    let run = Reader { bytes: data }.value(|| RunOnce::parse(data)?.resolve(&zone));
    bodies.check_written();
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };

    if let Some(form) = form_of(&body) {
        let as_form = Bodies::read(RequestBody::Form(form.as_bytes()));
        let check = |is_equal: bool| assert!(is_equal, "JSON and form differ: {body} and {form}");
        check(bodies.contact.is_none() || bodies.contact == as_form.contact);
        check(bodies.contacts.is_none() || bodies.contacts == as_form.contacts);
        check(bodies.filter.is_none() || bodies.filter == as_form.filter);
        check(bodies.rule.is_none() || bodies.rule == as_form.rule);
        // Sign-in ignores blank fields of any type, which a form cannot express.
        let has_only_texts = body.as_object().is_some_and(|fields| fields.values().all(Value::is_string));
        check(bodies.sign_in.is_none() || !has_only_texts || bodies.sign_in == as_form.sign_in);
    }

    let flat = match (&bodies.rule, &run) {
        (Some(rule), _) => Some(("target", &rule.filter, &rule.target)),
        (None, Some(run)) => Some(("access", &run.filter, &run.target)),
        (None, None) => None,
    };
    if let Some((target_name, filter, target)) = flat
        && let (Some(filter_value), Some(target_value)) = (field(&body, "filter"), field(&body, target_name))
    {
        let words = field(filter_value, "filterValue");
        if words.is_none() && filter_value.to_string().to_ascii_lowercase().contains("\"filtervalue\":") {
            return;
        }
        let words = words.and_then(Value::as_str);
        let mut fields = filter_value.as_object().cloned().unwrap_or_default();
        // A call by filter takes these conditions from its query.
        fields.retain(|name, _| !OF_QUERY.iter().any(|of_query| of_query.eq_ignore_ascii_case(name)));
        fields.extend(target_value.as_object().cloned().unwrap_or_default());
        let flat = Value::from(fields).to_string();
        let read =
            SetFilterAccess::parse(flat.as_bytes(), words, filter.access).and_then(|request| request.resolve(&zone));
        let expected = SetFilterAccess { filter: filter.clone(), target: target.clone() };
        assert_eq!(read.as_ref(), Ok(&expected), "{flat} with the words {words:?}");
    }

    if let Some(request) = &bodies.filter {
        let is_condition = |name: &str| !OF_TARGET.contains(&name.to_ascii_lowercase().as_str());
        let fits = |value: &Value| value.as_array().is_none_or(|values| values.len() <= MAX_QUERY_VALUES);
        let mut fields = body.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| is_condition(name));
        if fields.values().all(fits)
            && fields.len()
                == fields.keys().map(|name| name.to_ascii_lowercase()).collect::<std::collections::BTreeSet<_>>().len()
            && let Some(query) = form_of(&fields.into())
        {
            check_query(&query, request);
        }
    }
}

/// Checks that a list reads a filter from a query as a change by filter reads the filter from its body.
fn check_query(query: &str, expected: &SetFilterAccess) {
    let list = ListContacts::parse(query).and_then(|list| list.resolve(&zone()));
    assert_eq!(list.as_ref().map(|list| &list.filter), Ok(&expected.filter), "{query}");
}

/// Fuzzes the readers of forms. A form that is accepted has the value of the JSON body with the same fields, and the
/// fields of a filter have the same value in a query.
///
/// # Panics
///
/// If a property of a reader does not hold.
pub fn forms(data: &[u8]) {
    let bodies = Bodies::read(RequestBody::Form(data));
    bodies.check_written();
    if let Some(request) = &bodies.filter {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut values = 0;
        for (name, value) in form_urlencoded::parse(data) {
            let field = name.split('[').next().unwrap_or_default().to_ascii_lowercase();
            if !OF_TARGET.contains(&field.as_str()) {
                query.append_pair(&name, &value);
                values += 1 + value.matches(',').count();
            }
        }
        if values <= MAX_QUERY_VALUES {
            check_query(&query.finish(), request);
        }
    }
}

/// Fuzzes the readers of queries. The query of a list of contacts, written again, has the same value.
///
/// # Panics
///
/// If a property of a reader does not hold.
pub fn queries(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let read = Reader { bytes: data };
    read.value(|| ListPeople::parse(query));
    read.value(|| fields_of_person(query));
    read.value(|| ShowSchedule::parse(query)?.resolve(&zone()));
    read.value(|| {
        let mut query = Query::new(query, queries::SET_FILTER_ACCESS);
        let page = query.page();
        assert!(page.count <= models::limits::MAX_PAGE);
        query.dry_run();
        query.max_affected();
        query.fields();
        query.filter_value();
        query.access_criteria();
        query.note();
        query.finish()
    });
    read.value(|| {
        let mut query = Query::new(query, queries::LIST_JOBS);
        query.jobs_page();
        let filter = query.job_filter();
        query.finish()?;
        filter.resolve(&zone())
    });
    let list = read.value::<ListContacts<UnresolvedFilter>>(|| ListContacts::parse(query));
    let Some(list) = list.and_then(|list| read.value(|| list.resolve(&zone()))) else { return };
    let (mut fields, true) = filter(&list.filter) else { return };
    let too_many = fields.values().any(|value| value.as_array().is_some_and(|values| values.len() > MAX_QUERY_VALUES));
    assert!(!too_many, "{query}");
    let by = SortBy::ALL.iter().find(|(_, by)| *by == list.order.by).map(|(name, _)| *name);
    fields.extend([
        ("sortBy".to_owned(), by.into()),
        ("sortOrder".to_owned(), if list.order.descending { "descending" } else { "ascending" }.into()),
        ("count".to_owned(), list.page.count.into()),
        ("startIndex".to_owned(), list.page.start_index.into()),
        ("total".to_owned(), list.total.into()),
    ]);
    let Some(again) = form_of(&fields.into()) else { return };
    let expected = ListContacts { fields: None, ..list };
    assert_eq!(ListContacts::parse(&again).and_then(|list| list.resolve(&zone())).as_ref(), Ok(&expected), "{again}");
}
