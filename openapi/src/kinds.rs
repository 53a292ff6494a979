//! The schemas of the values that fields of bodies and parameters of queries accept.

use std::collections::BTreeMap;

use models::filter::ListView;
use models::limits::{
    MAX_CRON_BYTES, MAX_EMAIL_BYTES, MAX_FILTER_VALUE_BYTES, MAX_IDEMPOTENCY_KEY_BYTES, MAX_LIST_VALUES,
    MAX_NAMED_CONTACTS, MAX_NOTE_CHARS, MAX_PORTAL_BYTES, MAX_QUERY_VALUES, MAX_STORED_RULE_NAME_BYTES, MAX_TAG_BYTES,
};
use models::request::field::{Blank, Field, Kind};
use models::values::id::ContactId;
use serde_json::{Value, json};

use super::component;

/// A date, or a date with a time, with or without an offset. 29 February occurs only in leap years.
const DATE: &str = "^(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|\
                    (?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|\
                    (?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)\
                    (?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?$";

/// An e-mail address: one `@`, and no spaces, control characters or `#`.
const EMAIL: &str = "^[^@#\\s\\x00-\\x1f\\x7f-\\x9f]+@[^@#\\s\\x00-\\x1f\\x7f-\\x9f]+$";

/// A character that is neither Unicode white space nor of zero width.
const NOT_BLANK: &str =
    "[^\\t-\\r \\x85\\xa0\\xad\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff]";

/// Returns the schema of a field of a body, with its description.
pub(super) fn in_body(field: &Field) -> Value {
    let mut schema = of(field.kind);
    // The schemas of a view and of an object have descriptions of their own.
    if !matches!(field.kind, Kind::View | Kind::Object(_)) {
        schema["description"] = json!(description(field));
    }
    schema
}

/// Returns the schema of a query parameter. A query writes a single value like an array with one element.
pub(super) fn in_query(kind: Kind) -> Value {
    let schema = of(kind);
    let alternatives = schema["anyOf"].as_array().cloned().unwrap_or_default();
    let mut schema = alternatives.into_iter().find(|part| part["type"] == "array").unwrap_or(schema);
    if schema["type"] == "array" {
        schema["maxItems"] = json!(MAX_QUERY_VALUES);
    }
    schema
}

/// Returns the description of a field, with the maximum of the field's kind.
pub(super) fn description(field: &Field) -> String {
    let max = match field.kind {
        Kind::Words(_) => MAX_FILTER_VALUE_BYTES,
        Kind::Count { max, .. } => max,
        Kind::Note => MAX_NOTE_CHARS,
        _ => return field.description.unwrap_or_default().to_owned(),
    };
    field.description.unwrap_or_default().replace("{max}", &max.to_string())
}

fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items, "maxItems": MAX_LIST_VALUES })
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

/// Returns the schema of the values of a kind in JSON. A kind that accepts one value or an array has both variants.
pub(super) fn of(kind: Kind) -> Value {
    match kind {
        Kind::Boolean(_) => json!({ "type": "boolean" }),
        Kind::Whole { max, .. } => json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": max }),
        Kind::Count { default, .. } => json!({ "type": "integer", "minimum": 0, "default": default }),
        Kind::Contact | Kind::ContactOfPath => {
            json!({ "type": "integer", "format": "int32", "minimum": ContactId::MIN, "maximum": ContactId::MAX })
        }
        Kind::Contacts => {
            let one = of(Kind::ContactOfPath);
            let several = json!({ "type": "array", "items": one, "minItems": 1, "maxItems": MAX_NAMED_CONTACTS });
            json!({ "anyOf": [one, several] })
        }
        Kind::User | Kind::Job => uuid(),
        Kind::RuleName => json!({
            "type": "string", "minLength": 1, "maxLength": MAX_STORED_RULE_NAME_BYTES, "pattern": "^[A-Za-z0-9._-]+$",
        }),
        Kind::Users => array(uuid()),
        Kind::Tags => array(component("schemas", "Tag")),
        Kind::Numbers => {
            let number = component("schemas", "FilterNumber");
            json!({ "anyOf": [number, array(number)] })
        }
        Kind::View => component("schemas", "ListView"),
        Kind::Date => component("schemas", "FilterDate"),
        Kind::Words(Blank::Any) => json!({ "type": "string", "maxLength": MAX_FILTER_VALUE_BYTES }),
        Kind::Words(Blank::Refused) => {
            json!({ "type": "string", "maxLength": MAX_FILTER_VALUE_BYTES, "pattern": NOT_BLANK })
        }
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Keys => json!({ "type": "string" }),
        Kind::Cron => json!({ "type": "string", "format": "cron", "minLength": 9, "maxLength": MAX_CRON_BYTES }),
        Kind::TimeZone => json!({ "type": "string", "format": "time-zone", "minLength": 1 }),
        Kind::Email => json!({ "type": "string", "minLength": 3, "maxLength": MAX_EMAIL_BYTES, "pattern": EMAIL }),
        Kind::Password => json!({ "type": "string", "format": "password" }),
        Kind::Portal => json!({
            "type": "string", "maxLength": MAX_PORTAL_BYTES, "pattern": "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$",
        }),
        Kind::IdempotencyKey => json!({
            "type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_BYTES, "pattern": "^[!-~]+$",
        }),
        Kind::Note => json!({ "type": "string", "maxLength": MAX_NOTE_CHARS }),
        Kind::Object(object) => component("schemas", object.schema),
    }
}

/// Returns the schemas to which the schemas of kinds refer.
pub(super) fn shared() -> BTreeMap<String, Value> {
    BTreeMap::from([
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
                "description": "A date without a time means the whole day. A date without an offset is in the portal's time zone.",
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
    ])
}
