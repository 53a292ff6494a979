//! The description of the API in OpenAPI 3.1, generated from the endpoints and the types of answers.
//!
//! Each row of a table describes one endpoint. A test fails for a row without an endpoint and for an endpoint without a
//! row. The schemas of answers are derived from the types. The description is strict: the service accepts every request
//! that the description allows, and refuses all others. The only exceptions are the alternative spellings that the
//! description's text names.
//!
//! Generators make clients from the description. To avoid duplicate methods, the description has each call once, by its
//! path without a suffix. The schemas use only features that generators understand. They contain no `const`, no `oneOf`
//! and no `not`, and all names are identifiers.
//!
//! The description is committed as `docs/openapi.json`, which the service serves.

mod kinds;
mod operations;
mod requests;
mod schemas;
mod text;

use std::collections::BTreeSet;

use api::Endpoint;
use api::endpoint::{Conditions, Dialect};
use api::failure::KINDS;
use serde_json::{Map, Value, json};

use operations::{Link, OPERATIONS, Operation, Shows, Success};

/// Returns the description of these endpoints. The description omits an endpoint without a row, and a test then fails.
pub fn document<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Value {
    let mut paths = json!({});
    for endpoint in endpoints {
        let row = OPERATIONS.iter().find(|row| (row.method, row.path) == (endpoint.method, endpoint.path));
        if let Some(row) = row {
            paths[endpoint.path][endpoint.method.to_ascii_lowercase()] = operation(row, endpoint);
        }
    }
    let mut components = json!({
        "headers": headers(),
        "links": links(),
        "parameters": requests::parameters(),
        "responses": shared_answers(),
        "securitySchemes": {
            "bearer": { "type": "http", "scheme": "bearer", "description": "The word Bearer and a token." },
            "token": { "type": "apiKey", "in": "header", "name": "Authorization", "description": "A token without a scheme." },
        },
    });
    let used = schemas::referred(&[&paths, &components]);
    components["schemas"] = schemas::components(used);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "crm-access",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Sets who may see and edit CRM contacts.",
            "description": about(),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "token": [] }],
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": components,
    })
}

/// Returns a description as the text that is committed and served.
pub fn text(document: &Value) -> String {
    text::text(document)
}

/// Headers of every answer. The description's text names them once, for all operations.
pub const ALWAYS_SENT: [&str; 3] = ["Cache-Control", "Vary", "X-Request-Id"];

/// Failures of calls that reach no endpoint: the path or the method is unknown, or `serve` refuses the connection, the
/// host, a late body or a long head.
pub const OF_NO_ENDPOINT: [(u16, &str); 6] = [
    (404, "endpoint-not-found"),
    (405, "method-not-allowed"),
    (408, "request-timeout"),
    (421, "host-not-allowed"),
    (431, "head-too-long"),
    (503, "too-many-connections"),
];

/// Returns the text about all operations.
fn about() -> String {
    let [cache_control, vary, request_id] = ALWAYS_SENT;
    let of_no_endpoint = OF_NO_ENDPOINT.map(|(status, kind)| format!("{status} `{kind}`")).join(", ");
    format!(
        "Sets who may see and edit CRM contacts: one contact, several contacts, or every contact that a filter selects.

**Dialects.** Each call is described once, by its path without a suffix. `setContactAccess` and `setAccessByFilter` answer \
as ONLYOFFICE documents these two calls: keys in PascalCase, one contact in an envelope of two members, a list as a bare \
array. All other calls answer in the dialect of ONLYOFFICE's server: keys in camelCase, in an envelope with `count`, \
`startIndex`, `status` and `statusCode`. A job is always shown in the dialect of ONLYOFFICE's server.

**Suffixes.** Every path but the path of this description also works with `.json` or `.xml` at its end. The suffix decides \
between JSON and XML, and the answer has the dialect of ONLYOFFICE's server.

**XML.** A call without a suffix answers in XML if its `Accept` prefers `text/xml` or `application/xml` to JSON. The XML \
has the members of the JSON under `<result>`. An array repeats its element, and a list repeats `<response>`. Booleans are \
`True` and `False`, `null` and an empty text are an empty element, and empty arrays are left out. An `Accept` that admits \
neither JSON nor XML is answered in JSON.

**Forms.** Every call with a JSON body also accepts the same fields as `application/x-www-form-urlencoded`, and then answers \
in the dialect of ONLYOFFICE's server. An array is its name repeated (`managerList=…&managerList=…`, also with `[]` or \
`[0]`). A field within an object has the object's name before it (`filter[tags]=…`).

**Names.** An unknown query parameter or an unknown field of a body is refused, because a misspelt filter field would \
otherwise select every contact. Upper and lower case are the same in names of query parameters and of form fields. `null` \
in an optional field of a JSON body means that the field is absent.

**Headers.** Every answer carries `{request_id}`, for a search in the log, `{cache_control}: private, no-store`, and \
`{vary}`.

**Errors.** Every error has the form of `ErrorAnswer`, and `error.type` is a stable word. Operations do not list the \
errors that can answer any call: {of_no_endpoint}. A 405 lists the methods of the path in `Allow`. API Gateway itself \
answers 429 and 503 in its own form to calls beyond its limits."
    )
}

/// Returns a reference to a component.
fn component(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// Returns the component name of a parameter, a header or an operation, which is always an identifier.
fn identifier(name: &str) -> String {
    let words = name.split(['-', '.']).map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

fn operation(row: &Operation, endpoint: &Endpoint) -> Value {
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let always = [
        ("If-Match", row.method == "GET" || endpoint.conditions != Conditions::None),
        ("If-None-Match.new", endpoint.conditions == Conditions::IfMatchOrNew),
        ("Idempotency-Key", endpoint.accepts_idempotency_key()),
        ("If-None-Match", row.method == "GET"),
    ];
    let always = always.into_iter().filter_map(|(name, holds)| holds.then_some(name));
    let in_query = requests::described(row.query).map(|field| field.component);
    let names = in_path.chain(in_query).chain(row.headers.iter().copied()).chain(always);
    let parameters: Vec<Value> = names.map(|name| component("parameters", &requests::parameter_name(name))).collect();
    let mut operation = json!({
        "operationId": row.id,
        "summary": row.summary,
        "description": row.description,
        "tags": [row.tag],
        "responses": answers(row, endpoint),
    });
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if !endpoint.needs_token() {
        operation["security"] = json!([]);
    }
    if let Some(body) = row.body {
        operation["requestBody"] = requests::body(body);
    }
    operation
}

/// Returns the answers of an operation by status: successes and failures.
fn answers(row: &Operation, endpoint: &Endpoint) -> Value {
    let mut answers = Map::new();
    for success in row.answers {
        let answer = match success.shows {
            Shows::StartedJob => component("responses", "JobStarted"),
            _ => success_answer(success, row.method, endpoint.dialect),
        };
        answers.insert(success.status.to_string(), answer);
    }
    if row.method == "GET" {
        answers.insert("304".into(), component("responses", "NotModified"));
    }
    let kinds: BTreeSet<(u16, &str)> = row.failures.iter().copied().chain(common_failures(endpoint)).collect();
    let statuses: BTreeSet<u16> = kinds.iter().map(|(status, _)| *status).collect();
    for status in statuses {
        let mut answer = component("responses", status_name(status));
        // A description next to a reference replaces the description of the component.
        let (own, of_all) = (named_kinds(&kinds, status), named_kinds(KINDS, status));
        if own != of_all {
            answer["description"] = json!(own);
        }
        answers.insert(status.to_string(), answer);
    }
    Value::Object(answers)
}

/// Lists the kinds of failures that have a status, as text.
fn named_kinds<'a>(kinds: impl IntoIterator<Item = &'a (u16, &'a str)>, status: u16) -> String {
    let kinds = kinds.into_iter().filter(|(with, _)| *with == status).map(|(_, kind)| format!("`{kind}`"));
    kinds.collect::<Vec<_>>().join(" or ")
}

/// Returns the failures that any call of the endpoint can get.
fn common_failures(endpoint: &Endpoint) -> Vec<(u16, &'static str)> {
    // Body and Content-Encoding are checked even if the endpoint reads no body.
    let mut kinds = vec![
        (400, "invalid-request"),
        (413, "body-too-large"),
        (415, "unsupported-media-type"),
        (500, "internal-error"),
    ];
    if endpoint.needs_token() {
        kinds.extend([(401, "unauthenticated"), (503, "database-unavailable"), (503, "throttled")]);
    }
    if endpoint.scope().is_some() {
        kinds.push((403, "scope-missing"));
    }
    // The router finds no endpoint if the identifier in the path is invalid.
    if endpoint.path.contains("{contactid}") || endpoint.path.contains("{userid}") {
        kinds.push((404, "endpoint-not-found"));
    }
    if endpoint.accepts_idempotency_key() {
        kinds.extend([(409, "idempotency-key-in-use"), (422, "idempotency-key-reused"), (503, "contended")]);
    }
    if endpoint.method == "GET" || endpoint.conditions != Conditions::None {
        kinds.push((412, "revision-changed"));
    }
    kinds
}

fn json_content(schema: Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn success_answer(success: &Success, method: &str, dialect: Dialect) -> Value {
    let mut names = success.headers.to_vec();
    if method == "GET" {
        names.push("ETag");
    }
    let mut answer = json!({ "description": success.description });
    match success.shows {
        Shows::Nothing => {}
        Shows::Description => {
            answer["content"] = json_content(json!({ "type": "object", "additionalProperties": true }));
        }
        Shows::One(name) => answer["content"] = json_content(schemas::one(name, dialect)),
        Shows::StartedJob => answer["content"] = json_content(schemas::one("Job", Dialect::OnlyOffice)),
        Shows::List(name) => {
            names.extend(["X-Next-Index", "X-Total-Count"]);
            answer["content"] = json_content(schemas::list(name, dialect));
        }
    }
    if !names.is_empty() {
        answer["headers"] = headers_of(&names);
    }
    let links = success.links.iter().map(|to| ((*to).to_owned(), component("links", &identifier(to))));
    let links: Map<String, Value> = links.collect();
    if !links.is_empty() {
        answer["links"] = Value::Object(links);
    }
    answer
}

/// Returns the links from answers to operations.
fn links() -> Value {
    let link = |link: &Link| {
        let Link { to, parameter, value } = link;
        (identifier(to), json!({ "operationId": to, "parameters": { *parameter: value } }))
    };
    Value::Object(operations::LINKS.iter().map(link).collect())
}

/// The statuses of failures of operations, with the names of their shared answers.
const STATUS_NAMES: [(u16, &str); 13] = [
    (400, "BadRequest"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "NotFound"),
    (409, "Conflict"),
    (410, "Gone"),
    (412, "PreconditionFailed"),
    (413, "ContentTooLarge"),
    (415, "UnsupportedMediaType"),
    (422, "UnprocessableContent"),
    (429, "TooManyRequests"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
];

fn status_name(status: u16) -> &'static str {
    STATUS_NAMES.iter().find(|(known, _)| *known == status).map_or("InternalServerError", |(_, name)| name)
}

/// Returns the answers that operations share.
fn shared_answers() -> Value {
    let mut answers = json!({
        "JobStarted": success_answer(&operations::JOB_STARTED, "POST", Dialect::OnlyOffice),
        "NotModified": {
            "description": "The answer still has the version that If-None-Match names.",
            "headers": headers_of(&["ETag", "X-Next-Index", "X-Total-Count", "X-Total-Is-Lower-Bound"]),
        },
    });
    for (status, name) in STATUS_NAMES {
        let mut answer = json!({
            "description": named_kinds(KINDS, status),
            "content": json_content(component("schemas", schemas::ERROR)),
        });
        match status {
            401 => answer["headers"] = headers_of(&["WWW-Authenticate"]),
            409 | 429 | 503 => answer["headers"] = headers_of(&["Retry-After"]),
            _ => {}
        }
        answers[name] = answer;
    }
    answers
}

/// Returns the headers of answers.
fn headers() -> Value {
    let of = |schema: Value, description: &str| json!({ "description": description, "schema": schema });
    let required =
        |schema: Value, description: &str| json!({ "required": true, "description": description, "schema": schema });
    let count = || json!({ "type": "integer", "format": "int64", "minimum": 0 });
    let job = || json!({ "type": "string", "format": "uuid" });
    let text = || json!({ "type": "string" });
    let tag = json!({ "type": "string", "pattern": "^\"[0-9a-z.-]+\"$" });
    let headers = [
        ("ETag", required(tag, "The version of the answer. If-Match and If-None-Match accept the version.")),
        ("Location", required(json!({ "type": "string", "format": "uri-reference" }), "The path of the job.")),
        (
            "Preference-Applied",
            of(json!({ "type": "string", "enum": ["respond-async"] }), "The preference that the call followed."),
        ),
        (
            "Retry-After",
            of(json!({ "type": "integer", "minimum": 1 }), "Seconds after which the client may repeat the call."),
        ),
        ("WWW-Authenticate", required(text(), "How to authenticate.")),
        (
            "X-Failed-Count",
            of(count(), "Contacts whose manager list would become too long, and which were not written; absent if 0."),
        ),
        ("X-Job-Id", of(job(), "The job that recorded the change; absent if nothing was changed.")),
        ("X-Matched-Count", required(count(), "Named or selected contacts that the caller may see.")),
        ("X-Next", of(job(), "The `before` of the next page, if there is a next page.")),
        ("X-Next-Index", of(count(), "The `startIndex` of the next page, if there is a next page.")),
        ("X-Skipped-Count", required(count(), "Contacts that the caller may see but not edit.")),
        ("X-Total-Count", of(count(), "The length of the list, if the length is known.")),
        (
            "X-Total-Is-Lower-Bound",
            of(json!({ "type": "string", "enum": ["true"] }), "Present if the list may be longer than X-Total-Count."),
        ),
        ("X-Unchanged-Count", required(count(), "Contacts that already had the access, and were not written.")),
        ("X-Updated-Count", required(count(), "Contacts that were written.")),
    ];
    Value::Object(headers.into_iter().map(|(name, header)| (identifier(name), header)).collect())
}

fn headers_of(names: &[&str]) -> Value {
    Value::Object(names.iter().map(|name| ((*name).to_owned(), component("headers", &identifier(name)))).collect())
}
