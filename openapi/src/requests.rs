//! The parameters and bodies of calls, from the tables with which the service reads requests.

use std::collections::BTreeMap;

use models::limits::MAX_RULE_NAME_CHARS;
use models::request::bodies;
use models::request::field::{Field, Kind, Need};
use serde_json::{Map, Value, json};

use super::operations::OPERATIONS;
use super::{component, identifier, kinds};

/// A UUID.
const UUID: &str = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";

/// Nancy Davolio of the demo portal.
const MANAGER: &str = "4e6f7274-6877-8e64-8000-000000000001";

/// Allows `null` for each optional member of a JSON body, with the meaning of an absent member.
fn with_nulls(mut body: Value) -> Value {
    let required = body["required"].clone();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|own| own == name));
    for (name, schema) in body["properties"].as_object_mut().into_iter().flatten() {
        if is_required(name) {
            continue;
        }
        let null_schema = json!({ "type": "null" });
        if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
            any.push(null_schema);
        } else if let Some(target) = schema.as_object_mut().and_then(|schema| schema.remove("$ref")) {
            schema["anyOf"] = json!([{ "$ref": target }, null_schema]);
        } else {
            schema["type"] = json!([schema["type"], "null"]);
        }
    }
    body
}

/// Returns the fields that the description shows. Other spellings are read, but not shown.
pub(super) fn described(fields: &'static [Field]) -> impl Iterator<Item = &'static Field> {
    fields.iter().filter(|field| field.description.is_some())
}

/// Returns the schema of an object with these fields. A field that is required unless another is present is optional in
/// the schema, and its description states the condition: client generators do not understand a schema with such a
/// condition.
fn object(fields: &'static [Field]) -> Value {
    let members: Map<String, Value> =
        described(fields).map(|field| (field.name.to_owned(), kinds::in_body(field))).collect();
    let required = described(fields).filter(|field| field.need == Need::Required).map(|field| field.name);
    let required: Vec<&str> = required.collect();
    with_nulls(json!({ "type": "object", "properties": members, "required": required, "additionalProperties": false }))
}

/// Returns the schemas that parameters and bodies share, and those of the bodies and of the objects within.
pub(super) fn schemas() -> BTreeMap<String, Value> {
    let mut schemas = kinds::shared();
    for body in all() {
        for field in described(body.fields) {
            if let Kind::Object(inner) = field.kind {
                schemas.insert(inner.schema.to_owned(), object(inner.fields));
            }
        }
        schemas.insert(body.name.to_owned(), object(body.fields));
    }
    schemas
}

/// A body: its fields and its examples.
struct Body {
    name: &'static str,
    fields: &'static [Field],
    examples: Vec<(&'static str, Value)>,
}

fn all() -> [Body; 5] {
    [
        Body {
            name: "SetContactAccess",
            fields: bodies::SET_CONTACT_ACCESS,
            examples: vec![
                ("Private to a manager", json!({ "isShared": false, "managerList": [MANAGER] })),
                ("Shared with everyone", json!({ "isShared": true })),
                ("One more manager", json!({ "addManagers": [MANAGER] })),
            ],
        },
        Body {
            name: "SetContactsAccess",
            fields: bodies::SET_CONTACTS_ACCESS,
            examples: vec![
                ("Two contacts", json!({ "contactid": [1, 2], "isShared": false, "managerList": [MANAGER] })),
                ("One contact", json!({ "contactid": [3], "isShared": true })),
                ("Without a manager", json!({ "contactid": [1, 3], "isShared": true, "removeManagers": [MANAGER] })),
            ],
        },
        Body {
            name: "SetAccessByFilter",
            fields: bodies::SET_FILTER_ACCESS,
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
                ("One more manager", json!({ "tags": ["Germany"], "addManagers": [MANAGER] })),
            ],
        },
        Body {
            name: "SetRule",
            fields: bodies::SET_RULE,
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
                    "Disabled",
                    json!({
                        "filter": { "filterValue": "anna riga" },
                        "target": { "isPrivate": false },
                        "cron": "30 4 LW JAN,JUL *",
                        "enabled": false,
                    }),
                ),
                (
                    "Without a manager",
                    json!({
                        "filter": { "responsibleid": MANAGER },
                        "target": { "removeManagers": [MANAGER] },
                        "cron": "0 2 29 2 *",
                    }),
                ),
            ],
        },
        Body {
            name: "SignIn",
            fields: bodies::SIGN_IN,
            examples: vec![(
                "A user of the demo",
                json!({ "userName": "nancy.davolio@northwind.example", "password": "PASSWORD", "portal": "northwind" }),
            )],
        },
    ]
}

/// Returns the named body. Its only content type is JSON. The description's text names forms, because generators cannot
/// handle two content types: they create methods with an optional body, or methods that do not compile.
pub(super) fn body(name: &str) -> Value {
    let examples = all().into_iter().filter(|body| body.name == name).flat_map(|body| body.examples);
    let key = |about: &str| about.to_lowercase().replace(',', "").replace(' ', "-");
    let examples = examples.map(|(about, value)| (key(about), json!({ "summary": about, "value": value })));
    let examples = Value::Object(examples.collect());
    let content = json!({ "schema": component("schemas", name), "examples": examples });
    json!({ "required": true, "content": { "application/json": content } })
}

/// Returns the name of a parameter's component. Generated clients have one namespace for all components.
pub(super) fn parameter_name(name: &str) -> String {
    identifier(name) + "Parameter"
}

/// Returns every parameter, by component name.
pub(super) fn parameters() -> Value {
    let mut parameters = Map::new();
    let mut put = |location: &str, name: &str, schema: Value, description: &str| {
        // The suffix after a dot distinguishes two descriptions of one name.
        let own = name.split('.').next().unwrap_or(name);
        let mut parameter = json!({ "name": own, "in": location, "schema": schema, "description": description });
        if location == "path" {
            parameter["required"] = json!(true);
        }
        parameters.insert(parameter_name(name), parameter);
    };
    put("path", "contactid", kinds::of(Kind::ContactOfPath), "The number of the contact.");
    put("path", "jobid", kinds::of(Kind::Job), "The identifier of the job, from X-Job-Id.");
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
        "The case-sensitive name of the standing rule. The name does not end in `.json` or `.xml`.",
    );

    for field in OPERATIONS.iter().flat_map(|row| described(row.query)) {
        put("query", field.component, kinds::in_query(field.kind), &kinds::description(field));
    }

    let text = "The key of the call. A repeated call with the same key within 24 hours has no second effect.";
    put("header", "Idempotency-Key", kinds::of(Kind::IdempotencyKey), text);
    let text = "The call answers, or makes its change, only if this ETag names the current version. A weak ETag never matches.";
    put("header", "If-Match", json!({ "type": "string" }), text);
    put("header", "If-None-Match", json!({ "type": "string" }), "The answer is 304 if its version is still this ETag.");
    let only = json!({ "type": "string", "enum": ["*"], "x-enum-varnames": ["ANY"] });
    put("header", "If-None-Match.new", only, "The call makes its change only if the resource does not exist yet.");
    put(
        "header",
        "Prefer",
        json!({ "type": "string" }),
        "`respond-async`: a job makes the change, and the answer is 202.",
    );
    for field in OPERATIONS.iter().flat_map(|row| described(row.query)).filter(|field| field.need == Need::Required) {
        parameters[&parameter_name(field.component)]["required"] = json!(true);
    }
    Value::Object(parameters)
}
