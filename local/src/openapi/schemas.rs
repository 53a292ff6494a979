//! The schemas of answers: derived from the types, then written in each style of keys.

use std::collections::{BTreeMap, BTreeSet};

use models::contact::{Contact, Employee};
use models::job_view::{ChangeView, JobView, UndoPreview};
use models::limits::MAX_PAGE;
use models::portal::{Profile, SignedIn};
use models::rule::RuleView;
use models::wire::{ErrorBody, KeyStyle};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::{all_kinds, referred};

/// The schema whose members a caller can choose from, so that none of them must be there: `fields=` trims contacts.
const TRIMMED: &str = "Contact";

/// What a style adds to the name of a schema that looks different in it.
const fn mark(style: KeyStyle) -> &'static str {
    match style {
        KeyStyle::Documents => "",
        KeyStyle::UpperId => ".ID",
        KeyStyle::Camel => ".camel",
    }
}

fn with<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

/// The derived schemas by name, with the keys that the types declare. All members of an object are always there, and no
/// others.
fn derived() -> BTreeMap<String, Value> {
    let mut schemas = Vec::new();
    with::<Contact>(&mut schemas);
    with::<Employee>(&mut schemas);
    with::<JobView<'_>>(&mut schemas);
    with::<ChangeView>(&mut schemas);
    with::<UndoPreview>(&mut schemas);
    with::<RuleView<'_>>(&mut schemas);
    with::<Profile>(&mut schemas);
    with::<SignedIn>(&mut schemas);
    with::<ErrorBody>(&mut schemas);
    let schemas = schemas.into_iter().map(|(name, schema)| {
        // A schema is made of strings, numbers and lists of them, which JSON has.
        let mut schema = serde_json::to_value(schema).unwrap_or_default();
        if let Some(members) = schema["properties"].as_object() {
            let keys: Vec<String> = members.keys().cloned().collect();
            schema["additionalProperties"] = json!(false);
            schema["required"] = json!(keys);
            if name == TRIMMED {
                schema.as_object_mut().map(|schema| schema.remove("required"));
            }
        }
        (name, schema)
    });
    schemas.collect()
}

/// The names of schemas that look different in a style: those with such a key, and those that refer to one of these.
fn changed(derived: &BTreeMap<String, Value>, style: KeyStyle) -> BTreeSet<String> {
    let has_key = |schema: &Value| {
        schema["properties"].as_object().is_some_and(|members| members.keys().any(|key| style.written(key) != *key))
    };
    let mut changed: BTreeSet<String> =
        derived.iter().filter(|(_, schema)| has_key(schema)).map(|(name, _)| name.clone()).collect();
    loop {
        let more: Vec<String> = derived
            .iter()
            .filter(|(name, schema)| !changed.contains(*name) && !referred(&[schema]).is_disjoint(&changed))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return changed;
        }
        changed.extend(more);
    }
}

/// A schema in a style: the keys of its members, and the schemas that it refers to.
fn styled(schema: &Value, style: KeyStyle, changed: &BTreeSet<String>) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let members = members.iter().map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                let property =
                    |(key, property): (&String, &Value)| (style.written(key), styled(property, style, changed));
                Value::Object(properties.iter().map(property).collect())
            }
            ("required", Value::Array(keys)) => {
                keys.iter().filter_map(Value::as_str).map(|key| style.written(key)).collect()
            }
            ("$ref", Value::String(target)) => {
                let name = target.rsplit('/').next().unwrap_or_default();
                let mark = if changed.contains(name) { mark(style) } else { "" };
                Value::String(format!("{target}{mark}"))
            }
            (_, Value::Array(parts)) => parts.iter().map(|part| styled(part, style, changed)).collect(),
            (_, value) => styled(value, style, changed),
        };
        (key.clone(), value)
    });
    Value::Object(members.collect())
}

/// The schemas of these names, in their styles, and of those that they refer to.
pub(super) fn components(names: BTreeSet<String>) -> Value {
    let derived = derived();
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for style in [KeyStyle::Documents, KeyStyle::UpperId, KeyStyle::Camel] {
        let changed = changed(&derived, style);
        for (name, schema) in &derived {
            let mark = if changed.contains(name) { mark(style) } else { "" };
            all.insert(format!("{name}{mark}"), styled(schema, style, &changed));
        }
    }
    all.insert("Error".into(), error());
    let mut used = Map::new();
    let mut open: Vec<String> = names.into_iter().collect();
    while let Some(name) = open.pop() {
        let Some(schema) = all.get(&name).filter(|_| !used.contains_key(&name)) else { continue };
        open.extend(referred(&[schema]));
        used.insert(name, schema.clone());
    }
    if let Some(body) = used.get_mut("ErrorBody") {
        body["properties"]["type"] =
            json!({ "type": "string", "enum": all_kinds(), "description": "A stable word for a program." });
    }
    Value::Object(used)
}

/// Where a schema of this name is, in a style.
fn at(name: &str, style: KeyStyle) -> Value {
    let mark = if changed(&derived(), style).contains(name) { mark(style) } else { "" };
    json!({ "$ref": format!("#/components/schemas/{name}{mark}") })
}

fn exactly(members: Value, optional: &[&str]) -> Value {
    let keys: Vec<String> = members.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    let required: Vec<String> = keys.into_iter().filter(|key| !optional.contains(&key.as_str())).collect();
    json!({ "type": "object", "required": required, "properties": members, "additionalProperties": false })
}

/// The answer that holds one object, and an example of it where there is one.
pub(super) fn one(name: &str, style: KeyStyle, has_suffix: bool, status: u16) -> (Value, Option<Value>) {
    let (status_member, response) = (json!({ "const": 0, "type": "integer" }), at(name, style));
    let schema = if has_suffix {
        exactly(
            json!({
                "count": { "const": 1, "type": "integer" },
                "startIndex": { "const": 0, "type": "integer" },
                "status": status_member,
                "statusCode": { "const": status, "type": "integer" },
                "response": response,
            }),
            &[],
        )
    } else {
        exactly(json!({ "status": status_member, "response": response }), &[])
    };
    let example = example(name).map(|response| {
        let response = renamed(&response, style);
        match has_suffix {
            true => json!({ "count": 1, "startIndex": 0, "status": 0, "statusCode": status, "response": response }),
            false => json!({ "status": 0, "response": response }),
        }
    });
    (schema, example)
}

/// The answer that holds a list.
pub(super) fn list(name: &str, style: KeyStyle, has_suffix: bool) -> Value {
    let items = json!({ "type": "array", "items": at(name, style), "maxItems": MAX_PAGE });
    if !has_suffix {
        return items;
    }
    let number = |most: u64| json!({ "type": "integer", "minimum": 0, "maximum": most });
    let most = u64::from(i32::MAX.unsigned_abs());
    exactly(
        json!({
            "count": number(MAX_PAGE as u64),
            "startIndex": number(most),
            "nextIndex": { "type": "integer", "minimum": 1, "maximum": most + MAX_PAGE as u64 },
            "total": number(most),
            "status": { "const": 0, "type": "integer" },
            "statusCode": { "const": 200, "type": "integer" },
            "response": items,
        }),
        &["nextIndex", "total"],
    )
}

/// The answer that holds a list which is paged by key.
pub(super) fn list_by_key(name: &str, style: KeyStyle, has_suffix: bool) -> Value {
    let mut schema = list(name, style, has_suffix);
    if has_suffix {
        schema["properties"]["nextBefore"] = json!({ "type": "string", "format": "uuid" });
    }
    schema
}

/// The answer that reports a failure.
fn error() -> Value {
    exactly(
        json!({
            "status": { "const": 1, "type": "integer" },
            "statusCode": { "type": "integer", "minimum": 400, "maximum": 599 },
            "error": { "$ref": "#/components/schemas/ErrorBody" },
        }),
        &[],
    )
}

/// An error of this kind.
pub(super) fn error_example(status: u16, kind: &str) -> Value {
    json!({
        "status": 1,
        "statusCode": status,
        "error": {
            "message": "What happened, and what to do about it.",
            "type": kind,
            "details": [],
            "requestId": "0199f4ec-8cb2-7d2a-9a49-6f2b3f1c7d10",
        },
    })
}

/// An object's keys, and those of what it holds, in a style.
fn renamed(value: &Value, style: KeyStyle) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (style.written(key), renamed(value, style))).collect())
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, style)).collect(),
        other => other.clone(),
    }
}

/// What one of these looks like, with the keys that its type declares.
fn example(name: &str) -> Option<Value> {
    let nancy = json!({
        "Id": "4e6f7274-6877-8e64-8000-000000000001",
        "DisplayName": "Nancy Davolio",
        "Title": "Sales Representative",
        "AvatarSmall": "",
        "ProfileUrl": "/Products/People/Profile.aspx?user=nancy.davolio",
    });
    Some(match name {
        "Contact" => json!({
            "Addresses": [{
                "Street": "Obere Str. 57", "City": "Berlin", "State": "", "Zip": "12209", "Country": "Germany",
                "Category": 2, "CategoryName": "Office", "IsPrimary": true,
            }],
            "CreateBy": nancy,
            "Created": "1997-08-25T07:00:00.0000000Z",
            "About": "",
            "Industry": "Food and beverages",
            "ContactStatus": { "id": 2, "Title": "Warm", "Description": "", "Color": "#f9a825", "SortOrder": 2 },
            "ContactType": null,
            "CommonData": [{
                "InfoType": 0, "Category": 1, "Data": "030-0074321", "CategoryName": "Work", "IsPrimary": true, "id": 1,
            }],
            "CustomFields": [],
            "Tags": ["Germany", "Berlin"],
            "TaskCount": 0,
            "HaveLateTasks": false,
            "id": 1,
            "SmallFotoUrl": "",
            "MediumFotoUrl": "",
            "DisplayName": "Alfreds Futterkiste",
            "IsCompany": true,
            "AccessList": [nancy],
            "IsPrivate": true,
            "IsShared": false,
            "ShareType": 0,
            "Currency": null,
            "CanEdit": true,
            "CanDelete": true,
        }),
        "SignedIn" => json!({
            "Token": "5f0c5b0f7f0f4a0e9c41d2a0b1a6a7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e",
            "Expires": "2026-01-08T00:00:00.0000000Z",
        }),
        _ => return None,
    })
}
