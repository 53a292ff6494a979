//! The parameters and bodies of calls.

use std::collections::BTreeMap;

use models::filter::ListView;
use models::filter::listing::SortBy;
use models::limits::{
    MAX_EMAIL_BYTES, MAX_FILTER_VALUE_BYTES, MAX_JOBS_START_INDEX, MAX_LIST_VALUES, MAX_NAMED_CONTACTS, MAX_PAGE,
    MAX_PORTAL_BYTES, MAX_QUERY_VALUES, MAX_TAG_BYTES,
};
use models::request::{ACTIVATION_STATUSES, EMPLOYEE_STATUSES, MAX_IDEMPOTENCY_KEY_BYTES, PeopleOrder};
use models::rule::{MAX_CRON_BYTES, MAX_RULE_NAME_CHARS};
use models::values::id::ContactId;
use serde_json::{Map, Value, json};

use super::{component, identifier};

/// A date, or a date with a time, with or without an offset. 29 February occurs only in leap years.
const DATE: &str = "^(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|\
                    (?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|\
                    (?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)\
                    (?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?$";

/// An e-mail address: one `@`, and no spaces, control characters or `#`.
const EMAIL: &str = "^[^@#\\s\\x00-\\x1f\\x7f-\\x9f]+@[^@#\\s\\x00-\\x1f\\x7f-\\x9f]+$";

/// The default number of jobs on a page.
const DEFAULT_JOBS: usize = 25;

/// A UUID.
const UUID: &str = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";

/// Nancy Davolio of the demo portal.
const MANAGER: &str = "4e6f7274-6877-8e64-8000-000000000001";

fn boolean(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn whole(most: u64) -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": most })
}

fn array(items: Value, description: &str) -> Value {
    json!({ "type": "array", "items": items, "maxItems": MAX_LIST_VALUES, "description": description })
}

fn contact_id() -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": ContactId::MIN, "maximum": ContactId::MAX })
}

fn user() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn managers() -> Value {
    array(user(), "Users of the portal, in the order that answers show. A user who is named twice counts once.")
}

fn words() -> Value {
    json!({
        "type": "string",
        "maxLength": MAX_FILTER_VALUE_BYTES,
        "pattern": NOT_BLANK,
        "description": format!("Words of the display name, all of them; at most {MAX_FILTER_VALUE_BYTES} bytes in UTF-8."),
    })
}

/// A character that is neither Unicode white space nor of zero width.
const NOT_BLANK: &str =
    "[^\\t-\\r \\x85\\xa0\\xad\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff]";

/// Lets `null` stand for an absent optional member of a JSON body.
fn with_nulls(mut body: Value) -> Value {
    let required = body["required"].clone();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|own| own == name));
    for (name, schema) in body["properties"].as_object_mut().into_iter().flatten() {
        if is_required(name) {
            continue;
        }
        let nothing = json!({ "type": "null" });
        if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
            any.push(nothing);
        } else if let Some(target) = schema.as_object_mut().and_then(|schema| schema.remove("$ref")) {
            schema["anyOf"] = json!([{ "$ref": target }, nothing]);
        } else {
            schema["type"] = json!([schema["type"], "null"]);
        }
    }
    body
}

/// Returns the array variant of a schema that accepts one value or an array: a query writes both alike.
fn array_alone(mut schema: Value) -> Value {
    let any = schema["anyOf"].as_array().cloned().unwrap_or_default();
    let Some(mut array) = any.into_iter().find(|part| part["type"] == "array") else { return schema };
    array["description"] = schema["description"].take();
    array
}

/// Returns the fields of a filter. A field that accepts one value or an array has both variants.
fn filter_fields() -> Map<String, Value> {
    let number = component("schemas", "FilterNumber");
    let any_of = |kind: &str| {
        json!({
            "anyOf": [number, { "type": "array", "items": number, "maxItems": MAX_LIST_VALUES }],
            "description": format!("Contacts in any of these {kind}; 0 is without one, a negative number any."),
        })
    };
    let date = |description: &str| {
        let mut date = component("schemas", "FilterDate");
        date["description"] = json!(description);
        date
    };
    fields([
        ("tags", array(component("schemas", "Tag"), "Contacts with all of these tags; case does not matter.")),
        ("contactStage", any_of("stages")),
        ("contactType", any_of("types")),
        ("contactListView", component("schemas", "ListView")),
        ("fromDate", date("The earliest creation date, inclusive.")),
        ("toDate", date("The latest creation date, inclusive.")),
    ])
}

/// Returns the schemas that parameters and bodies share, and those of the bodies.
pub(super) fn schemas() -> BTreeMap<String, Value> {
    let mut filter = filter_fields();
    filter.insert("filterValue".into(), words());
    let rule_filter = with_nulls(exactly(filter, &[]));
    let mut schemas = BTreeMap::from([
        (
            "Tag".into(),
            json!({
                "type": "string", "minLength": 1, "maxLength": MAX_TAG_BYTES, "pattern": NOT_BLANK,
                "description": format!("A tag has at most {MAX_TAG_BYTES} bytes in UTF-8."),
            }),
        ),
        (
            "FilterNumber".into(),
            json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX }),
        ),
        (
            "FilterDate".into(),
            json!({
                "type": "string",
                "pattern": DATE,
                "description": "A date alone is that whole day. Without an offset, the date is meant in the portal's time zone.",
            }),
        ),
        (
            "ListView".into(),
            json!({
                "anyOf": [component("schemas", "ListViewNumber"), component("schemas", "ListViewName")],
                "description": "The kind of contacts.",
            }),
        ),
        (
            "ListViewNumber".into(),
            json!({
                "type": "integer", "enum": ListView::ALL.map(ListView::number),
                "x-enum-varnames": ListView::ALL.map(ListView::name),
            }),
        ),
        ("ListViewName".into(), json!({ "type": "string", "enum": ListView::ALL.map(ListView::name) })),
        ("RuleFilter".into(), rule_filter),
        ("RuleTarget".into(), with_nulls(exactly(target(), &["isPrivate"]))),
    ]);
    schemas.extend(all().into_iter().map(|body| (body.name.to_owned(), with_nulls(body.schema))));
    schemas
}

fn exactly(members: Map<String, Value>, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": members, "required": required, "additionalProperties": false })
}

fn fields<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

const SHARED: &str = "true: everyone sees and edits the contact; false: only its managers and administrators.";
const PRIVATE: &str =
    "true: only the managers and administrators see the contacts; false: everyone sees and edits them.";

fn set_contact() -> Value {
    exactly(fields([("isShared", boolean(SHARED)), ("managerList", managers())]), &["isShared"])
}

fn set_contacts() -> Value {
    let several = json!({ "type": "array", "items": contact_id(), "minItems": 1, "maxItems": MAX_NAMED_CONTACTS });
    let contacts =
        json!({ "anyOf": [contact_id(), several], "description": "The contacts, in the order of the answer." });
    let members = [("contactid", contacts), ("isShared", boolean(SHARED)), ("managerList", managers())];
    exactly(fields(members), &["contactid", "isShared"])
}

fn target() -> Map<String, Value> {
    fields([("isPrivate", boolean(PRIVATE)), ("managerList", managers())])
}

fn set_by_filter() -> Value {
    exactly(filter_fields().into_iter().chain(target()).collect(), &["isPrivate"])
}

fn schedule() -> Map<String, Value> {
    let cron = json!({
        "type": "string", "format": "cron", "minLength": 9, "maxLength": MAX_CRON_BYTES,
        "description": "Minute, hour, day of the month, month, day of the week; also L, 15W, LW, TUE#2, FRIL.",
    });
    let zone = json!({
        "type": "string", "format": "time-zone", "minLength": 1,
        "description": "A name of the IANA database; without one, the portal's time zone.",
    });
    fields([("cron", cron), ("timeZone", zone), ("enabled", boolean("false keeps the rule without running it."))])
}

fn set_rule() -> Value {
    let own = fields([("filter", component("schemas", "RuleFilter")), ("target", component("schemas", "RuleTarget"))]);
    exactly(own.into_iter().chain(schedule()).collect(), &["filter", "target", "cron"])
}

fn sign_in() -> Value {
    let name = json!({
        "type": "string", "minLength": 3, "maxLength": MAX_EMAIL_BYTES, "pattern": EMAIL,
        "description": "The user's e-mail address.",
    });
    let portal = json!({
        "type": "string", "maxLength": MAX_PORTAL_BYTES, "pattern": "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$",
        "description": "The portal, for an address that is known in several.",
    });
    let password = json!({ "type": "string", "format": "password", "description": "The user's password." });
    exactly(fields([("userName", name), ("password", password), ("portal", portal)]), &["userName", "password"])
}

/// A body: its schema and its examples.
struct Body {
    name: &'static str,
    schema: Value,
    examples: Vec<(&'static str, Value)>,
}

fn all() -> [Body; 5] {
    [
        Body {
            name: "SetContactAccess",
            schema: set_contact(),
            examples: vec![
                ("Private to a manager", json!({ "isShared": false, "managerList": [MANAGER] })),
                ("Shared with everyone", json!({ "isShared": true })),
            ],
        },
        Body {
            name: "SetContactsAccess",
            schema: set_contacts(),
            examples: vec![
                ("Two contacts", json!({ "contactid": [1, 2], "isShared": false, "managerList": [MANAGER] })),
                ("One contact", json!({ "contactid": [3], "isShared": true })),
            ],
        },
        Body {
            name: "SetAccessByFilter",
            schema: set_by_filter(),
            examples: vec![
                (
                    "By tag, stage and date",
                    json!({
                        "tags": ["Germany"], "contactStage": [2, 3], "contactListView": "Company", "fromDate": "1996-07-01",
                        "toDate": "1998-04-30T12:00:00Z", "isPrivate": true, "managerList": [MANAGER],
                    }),
                ),
                (
                    "By type",
                    json!({ "contactType": 2, "contactListView": 2, "fromDate": "1996-02-29", "isPrivate": false }),
                ),
            ],
        },
        Body {
            name: "SetRule",
            schema: set_rule(),
            examples: vec![
                (
                    "Every year",
                    json!({
                        "filter": { "tags": ["Germany"], "contactStage": [2, 3] },
                        "target": { "isPrivate": true, "managerList": [MANAGER] },
                        "cron": "0 2 29 2 *",
                        "timeZone": "Europe/Berlin",
                    }),
                ),
                (
                    "Not run for now",
                    json!({
                        "filter": { "filterValue": "anna riga" },
                        "target": { "isPrivate": false },
                        "cron": "30 4 LW JAN,JUL *",
                        "enabled": false,
                    }),
                ),
            ],
        },
        Body {
            name: "SignIn",
            schema: sign_in(),
            examples: vec![(
                "A user of the demo",
                json!({ "userName": "nancy.davolio@northwind.example", "password": "PASSWORD", "portal": "northwind" }),
            )],
        },
    ]
}

/// Returns the named body. Its content does not include forms, which only the description's text names: for two content
/// types, generators create methods with an optional body, or methods that do not compile.
pub(super) fn body(name: &str) -> Value {
    let examples = all().into_iter().filter(|body| body.name == name).flat_map(|body| body.examples);
    let key = |about: &str| about.to_lowercase().replace(',', "").replace(' ', "-");
    let examples = examples.map(|(about, value)| (key(about), json!({ "summary": about, "value": value })));
    let examples = Value::Object(examples.collect());
    let content = json!({ "schema": component("schemas", name), "examples": examples });
    json!({ "required": true, "content": { "application/json": content } })
}

/// Separates a schema from its description, which belongs to the parameter.
fn undescribed(mut schema: Value) -> (Value, String) {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
    (schema, description.as_str().unwrap_or_default().to_owned())
}

/// Returns the name of a parameter's component. Generated clients have one namespace for all components.
pub(super) fn parameter_name(name: &str) -> String {
    identifier(name) + "Parameter"
}

/// Returns every parameter, by component name.
pub(super) fn parameters() -> Value {
    let most = u64::from(i32::MAX.unsigned_abs());
    let mut parameters = Map::new();
    let mut put = |place: &str, name: &str, schema: Value, description: &str| {
        // The suffix after a dot distinguishes two descriptions of one name.
        let own = name.split('.').next().unwrap_or(name);
        let mut parameter = json!({ "name": own, "in": place, "schema": schema, "description": description });
        if place == "path" {
            parameter["required"] = json!(true);
        }
        parameters.insert(parameter_name(name), parameter);
    };
    put("path", "contactid", contact_id(), "The number of the contact.");
    put("path", "jobid", json!({ "type": "string", "format": "uuid" }), "The job, as X-Job-Id names it.");
    let text = "The user's UUID or e-mail address, or `@self` for the caller.";
    let pattern = format!("^(?:@self|{UUID}|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+)$");
    put("path", "userid", json!({ "type": "string", "pattern": pattern }), text);
    let rule = json!({
        "type": "string", "minLength": 1, "maxLength": MAX_RULE_NAME_CHARS,
        "pattern": "^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$",
    });
    put(
        "path",
        "name",
        rule,
        "The name of the standing rule; case counts. The name does not end in `.json` or `.xml`.",
    );

    for (name, schema) in filter_fields().into_iter().chain(fields([("filterValue", words())])) {
        // In a query, a single value is an array with one element.
        let (mut schema, description) = undescribed(array_alone(schema));
        if schema["type"] == "array" {
            schema["maxItems"] = json!(MAX_QUERY_VALUES);
        }
        let description = if name == "contactListView" { "The kind of contacts." } else { &description };
        put("query", &name, schema, description);
    }
    let mut any_words = undescribed(words()).0;
    if let Some(schema) = any_words.as_object_mut() {
        schema.remove("pattern");
    }
    put(
        "query",
        "filterValue.list",
        any_words,
        "Words of the display name, all of them. A blank text stands for any name.",
    );
    put("query", "dryRun", json!({ "type": "boolean" }), "true answers what the call would do, and writes nothing.");
    let text =
        "If more contacts than this would be changed, the answer is 422 with their number, and nothing is written.";
    put("query", "maxAffected", whole(most), text);
    let count = |default: usize| json!({ "type": "integer", "minimum": 0, "default": default });
    let text = format!("How many items the answer shows at most. More than {MAX_PAGE} are taken as {MAX_PAGE}.");
    put("query", "count", count(MAX_PAGE), &text);
    put("query", "count.jobs", count(DEFAULT_JOBS), &text);
    let text = "How many items are passed over first.";
    put("query", "startIndex", whole(most), text);
    put(
        "query",
        "startIndex.jobs",
        whole(MAX_JOBS_START_INDEX as u64),
        "How many jobs are passed over first; `before` leads further.",
    );
    let job = json!({ "type": "string", "format": "uuid" });
    put("query", "before", job, "The job that the page follows: `nextBefore` of the page before.");
    let text = "The keys to which each contact is trimmed: names with commas in between; case does not matter.";
    put("query", "fields", json!({ "type": "string" }), text);
    put("query", "responsibleid", user(), "Only contacts whose manager list holds this user.");
    put("query", "isShared", json!({ "type": "boolean" }), "false: only private contacts; true: only the others.");
    let orders = SortBy::ALL.map(|(name, _)| name);
    put("query", "sortBy", json!({ "type": "string", "enum": orders }), "The order of the list.");
    let orders = PeopleOrder::ALL.map(|(name, _)| name);
    put("query", "sortBy.people", json!({ "type": "string", "enum": orders }), "The order of the list.");
    let statuses = EMPLOYEE_STATUSES.map(|(name, _)| name);
    let text =
        "A state in ONLYOFFICE's EmployeeStatus. Every user is active, so that the list is empty for other states.";
    put("query", "employeeStatus", json!({ "type": "string", "enum": statuses }), text);
    let statuses = ACTIVATION_STATUSES.map(|(name, _)| name);
    let text = "A state in ONLYOFFICE's EmployeeActivationStatus. Every user is activated.";
    put("query", "activationStatus", json!({ "type": "string", "enum": statuses }), text);
    let text = "true: only administrators; false: only the others.";
    put("query", "isAdministrator", json!({ "type": "boolean" }), text);
    put(
        "query",
        "fullTextSearch",
        json!({ "type": "boolean" }),
        "Has no effect; ONLYOFFICE's pages send the parameter.",
    );
    let orders = json!({ "type": "string", "enum": ["ascending", "descending"] });
    put("query", "sortOrder", orders, "The direction of the order.");
    put("query", "total", json!({ "type": "boolean" }), "false spares the counting.");

    let key = json!({
        "type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_BYTES, "pattern": "^[!-~]+$",
    });
    let text = "The key of the call: a call that is sent again with the same key within 24 hours does nothing twice.";
    put("header", "Idempotency-Key", key, text);
    let text = "Makes the change only while this ETag names the current version. A weak tag never does.";
    put("header", "If-Match", json!({ "type": "string" }), text);
    put("header", "If-None-Match", json!({ "type": "string" }), "Answers 304 if this is the version of the answer.");
    let only = json!({ "type": "string", "enum": ["*"], "x-enum-varnames": ["ANY"] });
    put("header", "If-None-Match.new", only, "Makes the change only where there is nothing yet.");
    put(
        "header",
        "Prefer",
        json!({ "type": "string" }),
        "`respond-async`: a job makes the change, and the answer is 202.",
    );
    Value::Object(parameters)
}
