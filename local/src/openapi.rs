//! The description of the API, OpenAPI 3.1, made from the endpoints and from the types that answer.
//!
//! What is described of an endpoint is a row of a table; a row without an endpoint, or an endpoint without a row, is an
//! error of the tests. Answers have the schemas that are derived from their types, in each style of keys. The description
//! is strict: what it admits is taken, everything else is refused.
//!
//! It is committed as `docs/openapi.json`, which the service answers with.

mod operations;
mod requests;
mod schemas;

use std::collections::BTreeSet;

use api::Endpoint;
use api::endpoint::Conditions;
use api::failure::KINDS;
use models::portal::Scope;
use models::wire::{KeyStyle, Suffix};
use serde_json::{Map, Value, json};

use crate::endpoints;
use operations::{OPERATIONS, Operation, Shows, Success};

/// An endpoint's path as its callers write it. The endpoint of who calls has a parameter where they write `@self`.
fn called(path: &str) -> &str {
    match path {
        "/api/2.0/people/{userid}" => "/api/2.0/people/@self",
        _ => path,
    }
}

/// The paths that an endpoint is called by: its own, and its own with each suffix, unless it has one already. Where the
/// path ends in a parameter one route takes all of them.
pub fn paths(endpoint: &Endpoint) -> Vec<(String, Option<Suffix>)> {
    let path = called(endpoint.path);
    let suffixes: &[Suffix] = if Suffix::split(path).1.is_none() { &Suffix::ALL } else { &[] };
    let others = suffixes.iter().map(|suffix| (format!("{path}{}", suffix.text()), Some(*suffix)));
    std::iter::once((path.to_owned(), None)).chain(others).collect()
}

/// The description. An endpoint that no row is about is left out, which a test does not let pass.
pub fn document() -> Value {
    let mut paths_of = Map::new();
    let mut answers = Map::new();
    for endpoint in endpoints() {
        let Some(row) = OPERATIONS.iter().find(|row| (row.method, row.path) == (endpoint.method, endpoint.path)) else {
            continue;
        };
        for (path, suffix) in paths(endpoint) {
            let described = operation(row, endpoint, suffix, &mut answers);
            let methods = paths_of.entry(path).or_insert_with(|| json!({}));
            methods[endpoint.method.to_ascii_lowercase()] = described;
        }
    }
    for (status, kind) in OF_NO_ENDPOINT {
        failure_answer(status, &[kind], None, &mut answers);
    }
    let mut components = json!({
        "headers": headers(),
        "parameters": requests::parameters(),
        "requestBodies": {},
        "responses": answers,
        "securitySchemes": {
            "bearer": { "type": "http", "scheme": "bearer", "description": "A token behind the word Bearer." },
            "token": { "type": "apiKey", "in": "header", "name": "Authorization", "description": "A token alone." },
        },
    });
    components["requestBodies"] = requests::bodies();
    let used = referred(&[&Value::Object(paths_of.clone()), &components]);
    components["schemas"] = schemas::components(used);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "crm-access",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Who may see and edit which CRM contacts.",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths_of,
        "components": components,
    })
}

/// The description as it is committed and served.
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// Failures of calls that reach no endpoint: nothing has the path or the method, or `serve` refuses the connection, the
/// host or a body that is late.
pub const OF_NO_ENDPOINT: [(u16, &str); 5] = [
    (404, "endpoint-not-found"),
    (405, "method-not-allowed"),
    (408, "request-timeout"),
    (421, "host-not-allowed"),
    (503, "too-many-connections"),
];

/// What holds for every operation.
const ABOUT: &str = "Sets who may see and edit CRM contacts: one, several, or every contact that a filter selects.

**Keys.** One object is answered in an envelope, with the keys that its type declares; a list is a bare array, with `ID` \
for `id`. A path with `.json` or `.xml` answers in ONLYOFFICE's envelope, with camelCase keys.

**XML.** A path without a suffix answers in XML to `Accept: text/xml` or `application/xml`, one with `.xml` always: the \
members of the JSON under `<result>`, a list as one `<response>` after another, an array as its element repeated, booleans \
as `True` and `False`.

**Errors.** Whatever goes wrong is answered in one form, and `type` is a stable word. Where no endpoint has the path it is \
404 `endpoint-not-found`, where it has another method 405 `method-not-allowed` with `Allow`. API Gateway answers 429 by \
itself to calls beyond its throttling limits.

**Unknown names** of query parameters and of body fields are refused: a misspelt filter field would otherwise select every \
contact. Names of query parameters and of form fields are compared without case.";

/// An operation on one of its endpoint's paths.
fn operation(row: &Operation, endpoint: &Endpoint, suffix: Option<Suffix>, answers: &mut Map<String, Value>) -> Value {
    let inside = |name: &str| {
        // A list takes a blank filterValue, which a change refuses.
        let name = if row.method == "GET" && name == "filterValue" { "filterValue.list" } else { name };
        json!({ "$ref": format!("#/components/parameters/{name}") })
    };
    let is_write = endpoint.scope() == Some(Scope::Write);
    let in_path = called(row.path).split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let always = [
        ("If-Match", endpoint.conditions != Conditions::None),
        ("If-None-Match.new", endpoint.conditions == Conditions::IfMatchOrNew),
        ("Idempotency-Key", is_write),
        ("If-None-Match", row.method == "GET"),
    ];
    let always = always.into_iter().filter_map(|(name, holds)| holds.then_some(name));
    let parameters: Vec<Value> =
        in_path.chain(row.query.iter().copied()).chain(row.headers.iter().copied()).chain(always).map(inside).collect();
    let mut responses = Map::new();
    for success in row.answers {
        responses.insert(success.status.to_string(), success_answer(success, row.method, suffix));
    }
    if row.method == "GET" {
        let is_list = row.answers.iter().any(|answer| matches!(answer.shows, Shows::List(_) | Shows::ListByKey(_)));
        let of_list: &[&str] = if is_list { &["X-Next-Index", "X-Total-Count"] } else { &[] };
        let not_modified = json!({
            "description": "If-None-Match names what would be answered.",
            "headers": headers_of(&[&["Cache-Control", "ETag", "Vary", "X-Request-Id"], of_list].concat()),
        });
        responses.insert("304".into(), not_modified);
    }
    let mut kinds = row.failures.to_vec();
    kinds.extend(common_failures(endpoint));
    let statuses: BTreeSet<u16> = kinds.iter().map(|(status, _)| *status).collect();
    for status in statuses {
        let of: BTreeSet<&str> = kinds.iter().filter(|(with, _)| *with == status).map(|(_, kind)| *kind).collect();
        let of: Vec<&str> = of.into_iter().collect();
        let name = failure_answer(status, &of, suffix, answers);
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    let mut operation = json!({
        "operationId": operation_id(row.id, suffix),
        "summary": row.summary,
        "description": row.description,
        "tags": [row.tag],
        "parameters": parameters,
        "responses": responses,
        "security": if endpoint.asks_for_token() { json!([{ "bearer": [] }, { "token": [] }]) } else { json!([]) },
    });
    if let Some(body) = row.body {
        let name = if suffix.is_some() { format!("{body}.form") } else { body.to_owned() };
        operation["requestBody"] = json!({ "$ref": format!("#/components/requestBodies/{name}") });
    }
    operation
}

fn operation_id(id: &str, suffix: Option<Suffix>) -> String {
    match suffix {
        None => id.to_owned(),
        Some(Suffix::Json) => format!("{id}Json"),
        Some(Suffix::Xml) => format!("{id}Xml"),
    }
}

/// What can keep any call of such an endpoint from its answer.
fn common_failures(endpoint: &Endpoint) -> Vec<(u16, &'static str)> {
    // A request is refused for a body and for Content-Encoding even where no body is read.
    let mut kinds = vec![
        (400, "invalid-request"),
        (413, "body-too-large"),
        (415, "unsupported-media-type"),
        (500, "internal-error"),
    ];
    if endpoint.asks_for_token() {
        kinds.extend([(401, "unauthenticated"), (503, "database-unavailable"), (503, "throttled")]);
    }
    if endpoint.scope().is_some() {
        kinds.push((403, "scope-missing"));
    }
    // A last part that is no number belongs to a path that does not exist.
    if endpoint.path.contains("{contactid}") || endpoint.path.contains("{userid}") {
        kinds.push((404, "endpoint-not-found"));
    }
    if endpoint.scope() == Some(Scope::Write) {
        kinds.extend([(409, "idempotency-key-in-use"), (422, "idempotency-key-reused"), (503, "contended")]);
    }
    if endpoint.conditions != Conditions::None {
        kinds.push((412, "revision-changed"));
    }
    kinds
}

/// The content types of an answer, JSON among them with its schema.
fn content(suffix: Option<Suffix>, schema: Value, example: Option<Value>) -> Value {
    let mut content = Map::new();
    if suffix != Some(Suffix::Xml) {
        let mut json = json!({ "schema": schema });
        if let Some(example) = example {
            json["example"] = example;
        }
        content.insert("application/json".into(), json);
    }
    if suffix != Some(Suffix::Json) {
        // What XML looks like is said once for all: it is no schema of JSON.
        content.extend(["text/xml", "application/xml"].map(|kind| (kind.to_owned(), json!({}))));
    }
    Value::Object(content)
}

fn success_answer(success: &Success, method: &str, suffix: Option<Suffix>) -> Value {
    let style_of_list = if suffix.is_some() { KeyStyle::Camel } else { KeyStyle::UpperId };
    let style_of_one = if suffix.is_some() { KeyStyle::Camel } else { KeyStyle::Documents };
    let mut names = vec!["Cache-Control", "Vary", "X-Request-Id"];
    names.extend(success.headers);
    if method == "GET" {
        names.push("ETag");
    }
    let mut answer = json!({ "description": success.description });
    match success.shows {
        Shows::Nothing => {}
        Shows::Description => {
            let schema = json!({ "type": "object", "required": ["openapi", "info", "paths"] });
            answer["content"] = json!({ "application/json": { "schema": schema } });
        }
        Shows::One(name) => {
            let (schema, example) = schemas::one(name, style_of_one, suffix.is_some(), success.status);
            answer["content"] = content(suffix, schema, example);
        }
        Shows::List(name) => {
            names.extend(["X-Next-Index", "X-Total-Count"]);
            answer["content"] = content(suffix, schemas::list(name, style_of_list, suffix.is_some()), None);
        }
        Shows::ListByKey(name) => {
            names.extend(["X-Next-Index", "X-Total-Count"]);
            answer["content"] = content(suffix, schemas::list_by_key(name, style_of_list, suffix.is_some()), None);
        }
    }
    answer["headers"] = headers_of(&names);
    let links = success.links.iter().map(|link| {
        let to = json!({
            "operationId": operation_id(link.to, suffix),
            "parameters": { link.parameter: link.value },
        });
        (link.to.to_owned(), to)
    });
    let links: Map<String, Value> = links.collect();
    if !links.is_empty() {
        answer["links"] = Value::Object(links);
    }
    answer
}

/// Describes an answer that reports one of these failures, and gives its name.
fn failure_answer(status: u16, kinds: &[&str], suffix: Option<Suffix>, answers: &mut Map<String, Value>) -> String {
    let name = format!("{status}.{}{}", kinds.join("."), suffix.map_or("", Suffix::text));
    answers.entry(name.clone()).or_insert_with(|| {
        let schema = json!({ "allOf": [
            { "$ref": "#/components/schemas/Error" },
            { "properties": {
                "statusCode": { "const": status },
                "error": { "properties": { "type": { "enum": kinds } } },
            } },
        ] });
        let mut names = vec!["Cache-Control", "Vary", "X-Request-Id"];
        match status {
            401 => names.push("WWW-Authenticate"),
            405 => names.push("Allow"),
            429 => names.push("Retry-After"),
            409 | 503 => names.push("Retry-After.optional"),
            _ => {}
        }
        let example = schemas::error_example(status, kinds.first().copied().unwrap_or_default());
        json!({
            "description": kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or "),
            "headers": headers_of(&names),
            "content": content(suffix, schema, Some(example)),
        })
    });
    name
}

/// The word for every failure, as the schema of an error lists them.
fn all_kinds() -> BTreeSet<&'static str> {
    KINDS.iter().map(|(_, kind)| *kind).collect()
}

/// Headers that are described once. What stands behind a dot in a name here is no part of the header's own.
fn headers() -> Value {
    let count = |description: &str| json!({ "description": description, "schema": { "type": "integer", "format": "int64", "minimum": 0 } });
    let text = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    let always = |mut header: Value| {
        header["required"] = json!(true);
        header
    };
    let wait = || text("Seconds after which the call may be made again.", json!({ "type": "integer", "minimum": 1 }));
    json!({
        "Allow": always(text("The methods that the path takes.", json!({ "type": "string" }))),
        "Cache-Control": always(text(
            "Answers are about one caller's rights at one moment.", json!({ "const": "private, no-store", "type": "string" })
        )),
        "ETag": always(text(
            "What is shown: of a contact the revision of its access, and behind a dot a digest of the answer.",
            json!({ "type": "string", "pattern": "^\"[0-9a-z.-]+\"$" })
        )),
        "Location": always(text("The path of the job.", json!({ "type": "string", "format": "uri-reference" }))),
        "Preference-Applied": text(
            "That the call was not waited for, as it preferred.", json!({ "type": "string", "const": "respond-async" })
        ),
        "Retry-After": always(wait()),
        "Retry-After.optional": wait(),
        "Vary": always(text("What the answer depends on.", json!({ "type": "string" }))),
        "WWW-Authenticate": always(text("How to authenticate.", json!({ "type": "string" }))),
        "X-Job-Id": text(
            "The job that recorded the change; absent where nothing was changed.",
            json!({ "type": "string", "format": "uuid" })
        ),
        "X-Job-Id.always": always(text("The job.", json!({ "type": "string", "format": "uuid" }))),
        "X-Matched-Count": always(count("Contacts that the call is about and the caller may see.")),
        "X-Next": text(
            "The before of the next page, where there is one.", json!({ "type": "string", "format": "uuid" })
        ),
        "X-Next-Index": count("The startIndex of the next page, where there is one."),
        "X-Request-Id": always(text("By which the log is searched.", json!({ "type": "string", "minLength": 1 }))),
        "X-Skipped-Count": always(count("Contacts that the caller may see but not edit.")),
        "X-Total-Count": count("How long the list is, where that is known."),
        "X-Unchanged-Count": always(count("Contacts that were as asked already, and not written.")),
        "X-Updated-Count": always(count("Contacts that were written.")),
    })
}

fn headers_of(names: &[&str]) -> Value {
    let header = |name: &&str| {
        let own = name.split('.').next().unwrap_or(name);
        (own.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
    };
    Value::Object(names.iter().map(header).collect())
}

/// The names of the schemas that these values refer to.
fn referred(values: &[&Value]) -> BTreeSet<String> {
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
