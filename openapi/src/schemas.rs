//! The schemas of answers: derived from the types, then converted to each key style.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use api::endpoint::Dialect;
use api::failure::KINDS;
use models::answer::{ErrorBody, KeyStyle};
use models::contact::{Contact, Employee};
use models::directory::{Profile, Settings, SignInCode, SignedIn};
use models::filter::listing::{ListChoice, SimpleEntry, TagChoice};
use models::job::daily::DailyCount;
use models::job::history::{HistoryEntry, Why};
use models::job::snapshot::SnapshotView;
use models::job::view::{ChangeView, JobView, UndoPreview};
use models::limits::MAX_PAGE;
use models::rule::{RuleView, ScheduleView};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::operations::{OPERATIONS, Shows, Success};
use super::{component, requests};

/// The schema whose members are all optional, because `fields=` selects members of contacts.
const TRIMMED: &str = "Contact";

/// The name of the schema of failures. Generated clients have a type of this name. The name `Error` would conflict with
/// a type of many languages.
pub(super) const ERROR: &str = "ErrorAnswer";

fn with<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

/// Returns the derived schemas by name, with the keys that the types declare. Objects have no other members.
fn derived() -> BTreeMap<String, Value> {
    let mut schemas = Vec::new();
    with::<Contact<'_>>(&mut schemas);
    with::<Employee>(&mut schemas);
    with::<JobView<'_>>(&mut schemas);
    with::<ChangeView<'_>>(&mut schemas);
    with::<UndoPreview>(&mut schemas);
    with::<HistoryEntry<'_>>(&mut schemas);
    with::<Why<'_>>(&mut schemas);
    with::<DailyCount>(&mut schemas);
    with::<SnapshotView>(&mut schemas);
    with::<ScheduleView<'_>>(&mut schemas);
    with::<RuleView<'_>>(&mut schemas);
    with::<Profile>(&mut schemas);
    with::<SignedIn>(&mut schemas);
    with::<SignInCode>(&mut schemas);
    with::<Settings>(&mut schemas);
    with::<SimpleEntry<'_>>(&mut schemas);
    with::<ListChoice>(&mut schemas);
    with::<TagChoice>(&mut schemas);
    with::<ErrorBody>(&mut schemas);
    let schemas = schemas.into_iter().map(|(name, schema)| {
        // A schema consists only of JSON values, so serialization cannot fail.
        let mut schema = serde_json::to_value(schema).unwrap_or_default();
        if let Some(members) = schema["properties"].as_object() {
            // The derive macro marks a member as optional if it can be null or if an import can omit it. In answers
            // these members are always present.
            let declared = schema["required"].as_array().cloned().unwrap_or_default();
            let is_required = |key: &str, member: &Value| {
                declared.iter().any(|own| own == key) || member.get("default").is_some() || is_nullable(member)
            };
            let required = members.iter().filter(|(key, member)| is_required(key, member)).map(|(key, _)| key.clone());
            let required: Vec<String> = required.collect();
            schema["required"] = json!(required);
            schema["additionalProperties"] = json!(false);
            if name == TRIMMED {
                schema.as_object_mut().map(|schema| schema.remove("required"));
            }
        }
        (name, plain(schema))
    });
    schemas.collect()
}

fn is_nullable(schema: &Value) -> bool {
    let has_null = |types: &Value| types.as_array().is_some_and(|types| types.contains(&json!("null")));
    has_null(&schema["type"])
        || schema["oneOf"].as_array().is_some_and(|parts| parts.contains(&json!({ "type": "null" })))
}

/// Rewrites a derived schema in common keywords: a nullable value is an `anyOf` with the description outside, and no
/// member has a default.
fn plain(schema: Value) -> Value {
    match schema {
        Value::Object(mut members) => {
            members.remove("default");
            if let Some(text) = members.get("description").and_then(Value::as_str) {
                let text = text.replace('\n', " ");
                members.insert("description".into(), json!(text));
            }
            if let Some(Value::Array(mut parts)) = members.remove("oneOf") {
                parts.sort_by_key(|part| part.get("$ref").is_none());
                let description = parts[0].as_object_mut().and_then(|part| part.remove("description"));
                members.extend(description.map(|description| ("description".to_owned(), description)));
                members.insert("anyOf".into(), Value::Array(parts));
            }
            Value::Object(members.into_iter().map(|(key, member)| (key, plain(member))).collect())
        }
        Value::Array(parts) => parts.into_iter().map(plain).collect(),
        other => other,
    }
}

/// Returns the schemas that differ between two styles: those that `differ` selects, and those that refer to them.
fn differing(derived: &BTreeMap<String, Value>, differ: impl Fn(&str, &Value) -> bool) -> BTreeSet<String> {
    let picked = derived.iter().filter(|(name, schema)| differ(name, schema)).map(|(name, _)| name.clone());
    let mut differing: BTreeSet<String> = picked.collect();
    loop {
        let more: Vec<String> = derived
            .iter()
            .filter(|(name, schema)| !differing.contains(*name) && !referred(&[schema]).is_disjoint(&differing))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return differing;
        }
        differing.extend(more);
    }
}

/// The schemas of the types in every key style. A schema that is equal in two styles exists once.
struct Styles {
    derived: BTreeMap<String, Value>,
    /// Schemas that differ between camelCase and the documents' dialect: in their keys, in the format of times, or in a
    /// schema that they refer to.
    in_documents: BTreeSet<String>,
    /// The subset of `in_documents` that differs again in a list of the documents' dialect.
    in_document_lists: BTreeSet<String>,
}

static STYLES: LazyLock<Styles> = LazyLock::new(Styles::new);

impl Styles {
    fn new() -> Self {
        let derived = derived();
        let has_key = |schema: &Value, one: KeyStyle, other: KeyStyle| {
            let members = schema["properties"].as_object();
            members.is_some_and(|members| members.keys().any(|key| one.written(key) != other.written(key)))
        };
        let in_documents = differing(&derived, |name, schema| {
            name == "Timestamp" || has_key(schema, KeyStyle::Camel, KeyStyle::Documents)
        });
        let in_document_lists =
            differing(&derived, |_, schema| has_key(schema, KeyStyle::Documents, KeyStyle::UpperId));
        Self { derived, in_documents, in_document_lists }
    }

    /// Returns the name of a schema in a style.
    fn name(&self, name: &str, style: KeyStyle) -> String {
        match style {
            KeyStyle::UpperId if self.in_document_lists.contains(name) => format!("DocumentList{name}"),
            KeyStyle::UpperId | KeyStyle::Documents if self.in_documents.contains(name) => format!("Document{name}"),
            _ => name.to_owned(),
        }
    }

    /// Converts a schema to a style: the keys of its members, and the schemas that it refers to.
    fn styled(&self, schema: &Value, style: KeyStyle) -> Value {
        let Value::Object(members) = schema else { return schema.clone() };
        let members = members.iter().map(|(key, value)| match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                let is_shown = |key: &str| style == KeyStyle::Camel || !Contact::ONLYOFFICE_KEYS.contains(&key);
                let properties = properties.iter().filter(|(key, _)| is_shown(key));
                let properties = properties.map(|(key, property)| (style.written(key), self.styled(property, style)));
                (key.clone(), Value::Object(properties.collect()))
            }
            ("required", Value::Array(keys)) => {
                (key.clone(), keys.iter().filter_map(Value::as_str).map(|key| style.written(key)).collect())
            }
            ("$ref", Value::String(target)) => {
                let name = target.rsplit('/').next().unwrap_or_default();
                (key.clone(), json!(format!("#/components/schemas/{}", self.name(name, style))))
            }
            (_, Value::Array(parts)) => (key.clone(), parts.iter().map(|part| self.styled(part, style)).collect()),
            (_, value) => (key.clone(), self.styled(value, style)),
        });
        Value::Object(members.collect())
    }

    /// Returns the schemas of every type in every style.
    fn schemas(&self) -> BTreeMap<String, Value> {
        let mut schemas = BTreeMap::new();
        for style in [KeyStyle::UpperId, KeyStyle::Documents, KeyStyle::Camel] {
            for (name, schema) in &self.derived {
                let mut schema = self.styled(schema, style);
                let own_name = self.name(name, style);
                if own_name != *name {
                    schema = without_descriptions(schema);
                    schema["description"] = json!(format!("`{name}` with the keys of the documents' dialect."));
                }
                if name == "Contact" && style != KeyStyle::UpperId {
                    schema["examples"] = json!([contact_example(style)]);
                }
                schemas.insert(own_name, schema);
            }
        }
        schemas.insert("Timestamp".into(), onlyoffice_timestamp());
        schemas
    }
}

/// Removes the descriptions of a schema's members.
fn without_descriptions(schema: Value) -> Value {
    match schema {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(key, text)| key != "description" || !text.is_string());
            Value::Object(members.map(|(key, member)| (key, without_descriptions(member))).collect())
        }
        Value::Array(parts) => parts.into_iter().map(without_descriptions).collect(),
        other => other,
    }
}

/// Returns the schema of a timestamp in the dialect of ONLYOFFICE's server.
fn onlyoffice_timestamp() -> Value {
    json!({
        "type": "string",
        "format": "date-time",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{7}[+-][0-9]{2}:[0-9]{2}$",
        "description": "An instant with the offset of the portal's time zone and seven decimals.",
    })
}

/// Returns the schemas of these names, and all schemas that they refer to.
pub(super) fn components(names: BTreeSet<String>) -> Value {
    let mut all = STYLES.schemas();
    all.extend(envelopes());
    all.extend(requests::schemas());
    all.insert(ERROR.into(), error());
    let kinds: BTreeSet<&str> = KINDS.iter().map(|(_, kind)| *kind).collect();
    all.insert(
        "FaultType".into(),
        json!({ "type": "string", "enum": kinds, "description": "A stable word for a program." }),
    );
    if let Some(fault) = all.get_mut("Fault") {
        fault["properties"]["type"] = component("schemas", "FaultType");
    }
    all.insert("SuccessStatus".into(), json!({ "type": "integer", "enum": [0] }));
    all.insert("ErrorStatus".into(), json!({ "type": "integer", "enum": [1] }));
    if let Some(share_type) = all.get_mut("ShareType") {
        // Names of the numbers for generated clients. `None` would be invalid as a member of a Python class.
        share_type["x-enum-varnames"] = json!(["NONE", "READ_WRITE", "READ"]);
    }
    let mut used = Map::new();
    let mut pending: Vec<String> = names.into_iter().collect();
    while let Some(name) = pending.pop() {
        let Some(schema) = all.get(&name).filter(|_| !used.contains_key(&name)) else { continue };
        pending.extend(referred(&[schema]));
        used.insert(name, schema.clone());
    }
    Value::Object(used)
}

/// Returns the envelopes of the dialect of ONLYOFFICE's server, and the envelope of a single object in the documents'
/// dialect.
fn envelopes() -> BTreeMap<String, Value> {
    let statuses = |of: &str| {
        let shows = |success: &&Success| match success.shows {
            Shows::One(name) => name == of,
            Shows::StartedJob => of == "Job",
            _ => false,
        };
        OPERATIONS
            .iter()
            .flat_map(|row| row.answers)
            .filter(shows)
            .map(|success| success.status)
            .collect::<BTreeSet<_>>()
    };
    let mut envelopes = BTreeMap::new();
    for name in STYLES.derived.keys() {
        let schema = |style| component("schemas", &STYLES.name(name, style));
        envelopes.insert(format!("{name}Answer"), envelope_of_one(schema(KeyStyle::Camel), &statuses(name)));
        envelopes.insert(format!("{name}ListAnswer"), envelope_of_list(name, schema(KeyStyle::Camel)));
        let document = exactly(json!({ "status": success_status(), "response": schema(KeyStyle::Documents) }), &[]);
        envelopes.insert(format!("Document{name}Answer"), document);
    }
    envelopes
}

fn success_status() -> Value {
    component("schemas", "SuccessStatus")
}

fn envelope_of_one(response: Value, statuses: &BTreeSet<u16>) -> Value {
    let number = |number: u8| json!({ "type": "integer", "minimum": number, "maximum": number });
    exactly(
        json!({
            "count": number(1),
            "startIndex": number(0),
            "status": success_status(),
            "statusCode": { "type": "integer", "enum": statuses },
            "response": response,
        }),
        &[],
    )
}

fn envelope_of_list(name: &str, item: Value) -> Value {
    let number = |max: u64| json!({ "type": "integer", "minimum": 0, "maximum": max });
    let max = u64::from(i32::MAX.unsigned_abs());
    let mut members = json!({
        "count": number(MAX_PAGE as u64),
        "startIndex": number(max),
        "nextIndex": { "type": "integer", "minimum": 1, "maximum": max + MAX_PAGE as u64 },
        "total": number(max),
        "status": success_status(),
        "statusCode": { "type": "integer", "enum": [200] },
        "response": { "type": "array", "items": item, "maxItems": MAX_PAGE },
    });
    if name == "Job" {
        // Jobs are paged by key.
        members["nextBefore"] = json!({ "type": "string", "format": "uuid" });
    }
    exactly(members, &["nextIndex", "nextBefore", "total"])
}

fn exactly(members: Value, optional: &[&str]) -> Value {
    let keys: Vec<String> = members.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    let required: Vec<String> = keys.into_iter().filter(|key| !optional.contains(&key.as_str())).collect();
    json!({ "type": "object", "required": required, "properties": members, "additionalProperties": false })
}

/// Returns the schema of an answer with one object of the named schema.
pub(super) fn one(name: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::Documents => component("schemas", &format!("Document{name}Answer")),
        Dialect::OnlyOffice => component("schemas", &format!("{name}Answer")),
    }
}

/// Returns the schema of an answer with a list of objects of the named schema.
pub(super) fn list(name: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::Documents => {
            let item = component("schemas", &STYLES.name(name, KeyStyle::UpperId));
            json!({ "type": "array", "items": item, "maxItems": MAX_PAGE })
        }
        Dialect::OnlyOffice => component("schemas", &format!("{name}ListAnswer")),
    }
}

/// Returns the schema of the answer that reports a failure.
fn error() -> Value {
    let statuses: BTreeSet<u16> = KINDS.iter().map(|(status, _)| *status).collect();
    let mut schema = exactly(
        json!({
            "status": component("schemas", "ErrorStatus"),
            "statusCode": { "type": "integer", "enum": statuses },
            "error": component("schemas", "Fault"),
        }),
        &[],
    );
    schema["examples"] = json!([{
        "status": 1,
        "statusCode": 400,
        "error": {
            "message": "Nothing was changed: isShared is required: true makes the contact public, false private.",
            "type": "invalid-request",
            "details": [{ "field": "isShared", "message": "is required: true makes the contact public, false private" }],
            "requestId": "0199f4ec-8cb2-7d2a-9a49-6f2b3f1c7d10",
        },
    }]);
    schema
}

/// Returns the names of the schemas that these values refer to.
pub(super) fn referred(values: &[&Value]) -> BTreeSet<String> {
    fn collect(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match (key.as_str(), member) {
                        ("$ref", Value::String(target)) => {
                            names.extend(target.strip_prefix("#/components/schemas/").map(str::to_owned));
                        }
                        _ => collect(member, names),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    values.iter().for_each(|value| collect(value, &mut names));
    names
}

/// Converts the keys of an object and of all objects in it to a style.
fn renamed(value: &Value, style: KeyStyle) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (style.written(key), renamed(value, style))).collect())
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, style)).collect(),
        other => other.clone(),
    }
}

/// Returns an example contact in a style.
fn contact_example(style: KeyStyle) -> Value {
    let nancy = json!({
        "Id": "4e6f7274-6877-8e64-8000-000000000001",
        "DisplayName": "Nancy Davolio",
        "Title": "Sales Representative",
        "AvatarSmall": "",
        "ProfileUrl": "/Products/People/Profile.aspx?user=nancy.davolio",
    });
    let mut contact = json!({
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
    });
    if style == KeyStyle::Camel {
        contact["Created"] = json!("1997-08-25T09:00:00.0000000+02:00");
        contact["CompanyName"] = json!("Alfreds Futterkiste");
    }
    renamed(&contact, style)
}
