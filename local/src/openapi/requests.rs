//! What calls bring with them: parameters and bodies, as JSON and as forms.

use models::filter::ListView;
use models::id::ContactId;
use models::limits::{
    MAX_EMAIL_BYTES, MAX_FILTER_VALUE_BYTES, MAX_JOBS_START_INDEX, MAX_LIST_VALUES, MAX_NAMED_CONTACTS, MAX_PAGE,
    MAX_PORTAL_BYTES, MAX_QUERY_VALUES, MAX_TAG_BYTES,
};
use models::listing::SortBy;
use models::request::MAX_IDEMPOTENCY_KEY_BYTES;
use models::rule::{MAX_CRON_BYTES, MAX_RULE_NAME_CHARS};
use models::wire::Suffix;
use serde_json::{Map, Value, json};

/// A date, or a date with a time, with an offset or without one. 29 February is in leap years only.
const DATE: &str = "^(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|\
                    (?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|\
                    (?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)\
                    (?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?$";

/// An e-mail address: one @, and neither spaces nor control characters nor #.
const EMAIL: &str = "^[^@#\\s\\x00-\\x1f\\x7f-\\x9f]+@[^@#\\s\\x00-\\x1f\\x7f-\\x9f]+$";

/// The demo's Nancy Davolio.
const MANAGER: &str = "4e6f7274-6877-8e64-8000-000000000001";

fn boolean(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn whole(most: u64, description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": most, "description": description })
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
    array(user(), "Users of the portal. What is mentioned twice counts once; the order is kept.")
}

fn date(end: &str) -> Value {
    json!({
        "type": "string",
        "pattern": DATE,
        "description": format!(
            "The {end} creation date, inclusive. A date alone is that whole day; without an offset it is meant in the \
             portal's time zone."
        ),
    })
}

fn words() -> Value {
    json!({
        "type": "string",
        "maxLength": MAX_FILTER_VALUE_BYTES,
        "pattern": NOT_BLANK,
        "description": format!("Words that the name has, all of them; at most {MAX_FILTER_VALUE_BYTES} bytes in UTF-8."),
    })
}

/// A character that is neither white space, as Unicode has it, nor without width.
const NOT_BLANK: &str =
    "[^\\t-\\r \\x85\\xa0\\xad\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff]";

fn tag() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_TAG_BYTES, "pattern": NOT_BLANK })
}

/// The same members of a JSON body, in which `null` stands for an optional one that is absent.
fn with_nulls(mut body: Value) -> Value {
    let required = body["required"].clone();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|own| own == name));
    for (name, schema) in body["properties"].as_object_mut().into_iter().flatten() {
        if is_required(name) {
            if schema["type"] == "object" {
                *schema = with_nulls(schema.take());
            }
            continue;
        }
        if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
            any.push(json!({ "type": "null" }));
        } else if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            values.push(Value::Null);
        } else {
            schema["type"] = json!([schema["type"], "null"]);
        }
    }
    body
}

/// The same filter, without the ways to name fields and still to select every contact: a field that is null or a list of
/// no tags, and none beside it that holds something.
fn not_empty(mut filter: Value) -> Value {
    let names: Vec<String> =
        filter_fields().into_iter().map(|(name, _)| name).chain(["filterValue".to_owned()]).collect();
    let nothing = |name: &str| if name == "tags" { json!({ "enum": [null, []] }) } else { json!({ "type": "null" }) };
    let nothing: Map<String, Value> = names.iter().map(|name| (name.clone(), nothing(name))).collect();
    let is_null = |name: &String| json!({ "required": [name], "properties": { (name.as_str()): { "type": "null" } } });
    let mut named: Vec<Value> = names.iter().map(is_null).collect();
    named.push(json!({ "required": ["tags"] }));
    filter["not"] = json!({ "properties": nothing, "anyOf": named });
    filter
}

/// The members of a form: an array of one can be the value alone, and no managers an empty text. An array of none is
/// nothing that a form can write.
fn form_of(mut body: Value) -> Value {
    let Some(members) = body["properties"].as_object_mut() else { return body };
    for schema in members.values_mut() {
        if schema["type"] == "array" {
            let description = schema["description"].take();
            let mut any = vec![schema.clone(), schema["items"].clone()];
            if let Some(array) = any[0].as_object_mut() {
                array.remove("description");
            }
            if schema["items"] == user() {
                any.push(json!({ "const": "" }));
            }
            *schema = json!({ "anyOf": any, "description": description });
        }
        let any = schema.get_mut("anyOf").and_then(Value::as_array_mut);
        for array in any.into_iter().flatten().filter(|schema| schema["type"] == "array") {
            array["minItems"] = json!(1);
        }
    }
    body
}

/// The fields of a filter, each as one value or an array where it can be either.
fn filter_fields() -> Map<String, Value> {
    let number = || json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX });
    let any_of = |what: &str| {
        json!({
            "anyOf": [number(), { "type": "array", "items": number(), "maxItems": MAX_LIST_VALUES }],
            "description": format!("In any of these {what}; 0 is without one, a negative number any."),
        })
    };
    let views: Vec<Value> = ListView::ALL
        .iter()
        .map(|view| json!(view.number()))
        .chain(ListView::ALL.iter().map(|view| json!(view.name())))
        .collect();
    let tags =
        format!("With all of these tags; case does not matter. A tag has at most {MAX_TAG_BYTES} bytes in UTF-8.");
    Map::from_iter([
        ("tags".into(), array(tag(), &tags)),
        ("contactStage".into(), any_of("stages")),
        ("contactType".into(), any_of("types")),
        ("contactListView".into(), json!({ "enum": views, "description": "Which kind of contacts." })),
        ("fromDate".into(), date("earliest")),
        ("toDate".into(), date("latest")),
    ])
}

fn exactly(members: Map<String, Value>, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": members, "required": required, "additionalProperties": false })
}

fn fields<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

const SHARED: &str = "true: everyone sees and edits it; false: only its managers and administrators.";
const PRIVATE: &str = "true: only the managers and administrators see it; false: everyone sees and edits it.";

fn set_contact() -> Value {
    exactly(fields([("isShared", boolean(SHARED)), ("managerList", managers())]), &["isShared"])
}

fn set_contacts() -> Value {
    let several = json!({
        "type": "array", "items": contact_id(), "minItems": 1, "maxItems": MAX_NAMED_CONTACTS,
    });
    let contacts =
        json!({ "anyOf": [contact_id(), several], "description": "The contacts, in the order of the answer." });
    let members = fields([
        ("contactid", contacts),
        ("isShared", boolean(SHARED)),
        ("managerList", managers()),
        ("isPrivate", boolean("The opposite of isShared, in place of it.")),
        ("accessList", array(user(), "The same as managerList, in place of it.")),
    ]);
    let mut body = exactly(members, &["contactid"]);
    // A field that holds null is absent.
    let given = |name: &str| json!({ "required": [name], "properties": { (name): { "not": { "type": "null" } } } });
    body["oneOf"] = json!([given("isShared"), given("isPrivate")]);
    body["not"] = json!({ "allOf": [given("managerList"), given("accessList")] });
    body
}

fn target() -> Map<String, Value> {
    fields([("isPrivate", boolean(PRIVATE)), ("managerList", managers())])
}

fn set_filter() -> Value {
    exactly(filter_fields().into_iter().chain(target()).collect(), &["isPrivate"])
}

fn schedule() -> Map<String, Value> {
    let cron = json!({
        "type": "string", "format": "cron", "minLength": 9, "maxLength": MAX_CRON_BYTES,
        "description": "Minute, hour, day of the month, month, day of the week; also L, 15W, LW, TUE#2, FRIL.",
    });
    let zone = json!({
        "type": "string", "format": "time-zone", "minLength": 1,
        "description": "A name of the IANA database; the portal's, when left out.",
    });
    fields([("cron", cron), ("timeZone", zone), ("enabled", boolean("false keeps the rule without running it."))])
}

fn set_rule() -> Value {
    let filter = filter_fields().into_iter().chain(fields([("filterValue", words())]));
    let filter = not_empty(exactly(filter.collect(), &[]));
    let own = fields([("filter", filter), ("target", exactly(target(), &["isPrivate"]))]);
    exactly(own.into_iter().chain(schedule()).collect(), &["filter", "target", "cron"])
}

/// The same as a form, in which members of an object have their names in brackets. At least one field of the filter must
/// be there, as a form has no empty object.
fn set_rule_form() -> Value {
    let inside = |object: &'static str, members: Map<String, Value>| {
        members.into_iter().map(move |(name, schema)| (format!("{object}[{name}]"), schema))
    };
    let filter: Vec<(String, Value)> =
        inside("filter", filter_fields().into_iter().chain(fields([("filterValue", words())])).collect()).collect();
    let any: Vec<Value> = filter.iter().map(|(name, _)| json!({ "required": [name] })).collect();
    let members = filter.into_iter().chain(inside("target", target())).chain(schedule());
    let mut form = exactly(members.collect(), &["target[isPrivate]", "cron"]);
    form["anyOf"] = Value::Array(any);
    form
}

fn sign_in() -> Value {
    let name = json!({
        "type": "string", "minLength": 3, "maxLength": MAX_EMAIL_BYTES, "pattern": EMAIL,
        "description": "The user's e-mail address.",
    });
    let portal = json!({
        "type": "string", "maxLength": MAX_PORTAL_BYTES, "pattern": "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$",
        "description": "Which portal, for whose address is known in several.",
    });
    let password = json!({ "type": "string", "format": "password", "description": "The user's password." });
    exactly(fields([("userName", name), ("password", password), ("portal", portal)]), &["userName", "password"])
}

/// A body: what it is as JSON and as a form, and examples of it.
struct Body {
    name: &'static str,
    json: Value,
    form: Value,
    examples: Vec<Example>,
}

/// An example of a body.
struct Example {
    about: &'static str,
    json: Value,
    /// The fields of a form.
    form: Value,
}

/// An example that is the same as JSON and as a form.
fn both(about: &'static str, example: Value) -> Example {
    Example { about, json: example.clone(), form: example }
}

/// Examples as a content type has them, by name.
fn named<'a>(examples: impl Iterator<Item = (&'static str, &'a Value)>) -> Value {
    let name = |about: &str| about.to_lowercase().replace(',', "").replace(' ', "-");
    Value::Object(examples.map(|(about, value)| (name(about), json!({ "summary": about, "value": value }))).collect())
}

fn all() -> [Body; 5] {
    let rule = json!({
        "filter": { "tags": ["Germany"], "contactStage": [2, 3] },
        "target": { "isPrivate": true, "managerList": [MANAGER] },
        "cron": "0 2 29 2 *",
        "timeZone": "Europe/Berlin",
    });
    let rule_form = json!({
        "filter[tags]": ["Germany"],
        "filter[contactStage]": [2, 3],
        "target[isPrivate]": true,
        "target[managerList]": [MANAGER],
        "cron": "0 2 29 2 *",
        "timeZone": "Europe/Berlin",
    });
    let paused = json!({
        "filter": { "filterValue": "anna riga" },
        "target": { "isPrivate": false },
        "cron": "30 4 LW JAN,JUL *",
        "enabled": false,
    });
    let paused_form = json!({
        "filter[filterValue]": "anna riga",
        "target[isPrivate]": false,
        "cron": "30 4 LW JAN,JUL *",
        "enabled": false,
    });
    [
        Body {
            name: "setContactAccess",
            json: with_nulls(set_contact()),
            form: form_of(set_contact()),
            examples: vec![
                both("Private to a manager", json!({ "isShared": false, "managerList": [MANAGER] })),
                both("Everyone's", json!({ "isShared": true })),
            ],
        },
        Body {
            name: "setContactsAccess",
            json: with_nulls(set_contacts()),
            form: form_of(set_contacts()),
            examples: vec![
                both("Two contacts", json!({ "contactid": [1, 2], "isShared": false, "managerList": [MANAGER] })),
                both("One contact", json!({ "contactid": 3, "isShared": true })),
                both("As ONLYOFFICE's panel", json!({ "contactid": [1], "isPrivate": true, "accessList": [MANAGER] })),
            ],
        },
        Body {
            name: "setFilterAccess",
            json: not_empty(with_nulls(set_filter())),
            form: form_of(set_filter()),
            examples: vec![
                both(
                    "By tag, stage and date",
                    json!({
                        "tags": ["Germany"], "contactStage": [2, 3], "contactListView": "Company", "fromDate": "1996-07-01",
                        "toDate": "1998-04-30T12:00:00Z", "isPrivate": true, "managerList": [MANAGER],
                    }),
                ),
                both(
                    "By type",
                    json!({ "contactType": 2, "contactListView": 2, "fromDate": "1996-02-29", "isPrivate": false }),
                ),
            ],
        },
        Body {
            name: "setRule",
            json: with_nulls(set_rule()),
            form: form_of(set_rule_form()),
            examples: vec![
                Example { about: "At night", json: rule, form: rule_form },
                Example { about: "Not run for now", json: paused, form: paused_form },
            ],
        },
        Body {
            name: "signIn",
            json: with_nulls(sign_in()),
            form: sign_in(),
            examples: vec![both(
                "A user of the demo",
                json!({ "userName": "nancy.davolio@northwind.example", "password": "PASSWORD", "portal": "northwind" }),
            )],
        },
    ]
}

/// The bodies by name: as JSON alone, and behind `.form` as they are taken on paths with a suffix.
pub(super) fn bodies() -> Value {
    let mut bodies = Map::new();
    for Body { name, json: schema, form, examples } in all() {
        let as_json = named(examples.iter().map(|example| (example.about, &example.json)));
        let as_form = named(examples.iter().map(|example| (example.about, &example.form)));
        let as_json = json!({ "schema": schema, "examples": as_json });
        let as_form = json!({ "schema": form, "examples": as_form });
        bodies.insert(name.to_owned(), json!({ "required": true, "content": { "application/json": as_json } }));
        let content = json!({ "application/json": as_json, "application/x-www-form-urlencoded": as_form });
        bodies.insert(format!("{name}.form"), json!({ "required": true, "content": content }));
    }
    Value::Object(bodies)
}

/// Every parameter, by the name that it is referred to by.
pub(super) fn parameters() -> Value {
    let most = u64::from(i32::MAX.unsigned_abs());
    let mut parameters = Map::new();
    let mut put = |place: &str, name: &str, schema: Value, description: &str| {
        // The part behind a dot tells two descriptions of one name apart.
        let own = name.split('.').next().unwrap_or(name);
        let mut parameter = json!({
            "name": own, "in": place, "required": place == "path", "schema": schema, "description": description,
        });
        if schema_is_array(&schema) {
            parameter["explode"] = json!(true);
        }
        parameters.insert(name.to_owned(), parameter);
    };
    put("path", "contactid", contact_id(), "The number of the contact.");
    put("path", "jobid", json!({ "type": "string", "format": "uuid" }), "The job, as X-Job-Id names it.");
    let rule = json!({
        "type": "string", "minLength": 1, "maxLength": MAX_RULE_NAME_CHARS,
        "pattern": "^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        "not": { "pattern": format!("(?:{})$", Suffix::ALL.map(|suffix| suffix.text().replace('.', "\\.")).join("|")) },
    });
    put("path", "name", rule, "The name of the standing rule; case counts.");

    for (name, mut schema) in filter_fields().into_iter().chain(fields([("filterValue", words())])) {
        let description = schema["description"].as_str().unwrap_or_default().to_owned();
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("description");
        }
        for array in ["/maxItems", "/anyOf/1/maxItems"] {
            if let Some(most) = schema.pointer_mut(array) {
                *most = json!(MAX_QUERY_VALUES);
            }
        }
        put("query", &name, schema, &description);
    }
    let mut any_words = words();
    if let Some(schema) = any_words.as_object_mut() {
        schema.remove("pattern");
        schema.remove("description");
    }
    let text = "Words of the display name. A list takes a blank one for any name.";
    put("query", "filterValue.list", any_words, text);
    put("query", "dryRun", json!({ "type": "boolean" }), "Answers what would be, and writes nothing.");
    let text = "If more contacts than this would be changed: 422 with their number, and nothing is written.";
    put("query", "maxAffected", whole(most, ""), text);
    put("query", "count", whole(MAX_PAGE as u64, ""), "How many items the answer shows at most.");
    put("query", "startIndex", whole(most, ""), "How many items are passed over first.");
    let job = json!({ "type": "string", "format": "uuid" });
    put("query", "before", job, "The job that the page follows: nextBefore of the page before.");
    let text = "To which of its keys each contact is trimmed: names with commas in between, without case.";
    put("query", "fields", json!({ "type": "string" }), text);
    put("query", "responsibleid", user(), "Only contacts whose manager list holds this user.");
    put("query", "isShared", json!({ "type": "boolean" }), "false: only private contacts; true: only the others.");
    let orders = SortBy::ALL.map(|(name, _)| name);
    put("query", "sortBy", json!({ "type": "string", "enum": orders }), "What the list is in order of.");
    let orders = json!({ "type": "string", "enum": ["ascending", "descending"] });
    put("query", "sortOrder", orders, "In which direction.");
    put("query", "total", json!({ "type": "boolean" }), "false spares the counting.");

    let key = json!({
        "type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_BYTES, "pattern": "^[!-~]+$",
    });
    let text = "Makes the call once, however often it is sent within 24 hours.";
    put("header", "Idempotency-Key", key, text);
    let text = "Makes the change only while this ETag names the current version. A weak tag never does.";
    put("header", "If-Match", json!({ "type": "string" }), text);
    put("header", "If-None-Match", json!({ "type": "string" }), "Answers 304 if this is what would be answered.");
    let text = "Makes the change only where there is nothing yet.";
    put("header", "If-None-Match.new", json!({ "const": "*", "type": "string" }), text);
    put("header", "Prefer", json!({ "type": "string" }), "`respond-async` does not wait for the change: 202.");
    let mut start = parameters["startIndex"].clone();
    start["schema"] = whole(MAX_JOBS_START_INDEX as u64, "");
    start["description"] = json!("How many jobs are passed over first; before leads further.");
    parameters.insert("startIndex.jobs".into(), start);
    Value::Object(parameters)
}

fn schema_is_array(schema: &Value) -> bool {
    schema["type"] == "array" || schema["anyOf"].as_array().is_some_and(|of| of.iter().any(schema_is_array))
}
