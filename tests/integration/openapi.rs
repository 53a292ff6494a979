//! The OpenAPI document is true: the service accepts its examples and answers as described.

use jsonschema::{Draft, Validator};
use models::values::id::UserId;
use openapi::ALWAYS_SENT;
use serde_json::{Value, json};
use tests::{Reply, World, cases};

use crate::portal::{contact, contact_type, lines, portal, signing_in, stage, token};

/// The user in the document's examples.
const NANCY: UserId = UserId::from_u128(0x4e6f_7274_6877_8e64_8000_0000_0000_0001);
const TOKEN: &str = "nancy-reads-and-writes-0123456789abcdef";
const JSON_TYPE: &str = "application/json";
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
const JSON: &[(&str, &str)] = &[("content-type", JSON_TYPE)];

/// A portal that fits the examples, with a finished job, a waiting job and a rule.
struct Scene {
    world: World,
    done: String,
    waiting: String,
    /// A finished preview.
    preview: String,
}

impl Scene {
    async fn new() -> Self {
        let mut values = vec![
            portal("northwind", "Europe/Berlin", 1),
            signing_in(NANCY, "Nancy Davolio", true, "nancy.davolio@northwind.example", "PASSWORD"),
            token(TOKEN, NANCY, &["read", "write"]),
        ];
        values.extend((1..=3).flat_map(|id| [stage(id), contact_type(id)]));
        let members = json!({
            "Created": "1997-08-25T07:00:00Z", "ContactStatus": { "id": 2 }, "ContactType": { "id": 2 },
            "Tags": ["Germany"], "CreateBy": { "Id": NANCY }, "IsCompany": true,
            "Currency": { "Title": "Euro", "Symbol": "€", "Abbreviation": "EUR" },
            "Addresses": [{ "City": "Berlin" }], "CommonData": [{ "Data": "030-0074321", "id": 1 }],
            "CustomFields": [{ "Label": "Birthdate", "id": 1 }],
        });
        values.extend((1..=3).map(|id| contact(id, members.clone())));
        let world = World::with(&lines(values)).await.unwrap();
        let body = json!({ "isPrivate": true, "managerList": [NANCY] }).to_string();
        assert_eq!(world.post("snapshots", TOKEN).await.unwrap().status, 202);
        let path = "/api/2.0/crm/contact/filter/access";
        let waits = [JSON, &[("prefer", "respond-async")]].concat();
        let preview = world.call("PUT", &format!("{path}?dryRun=true"), TOKEN, &waits, &body).await.unwrap();
        world.work().await.unwrap();
        let done = world.call("PUT", path, TOKEN, JSON, &body).await.unwrap();
        let waiting = world.call("PUT", path, TOKEN, &waits, &body).await.unwrap();
        let rule = json!({ "filter": {}, "target": { "isPrivate": true }, "cron": "0 2 29 2 *" }).to_string();
        let rule = world.call("PUT", "/api/2.0/crm/access/rules/nightly", TOKEN, JSON, &rule).await.unwrap();
        assert_eq!((done.status.as_u16(), waiting.status.as_u16(), rule.status.as_u16()), (200, 202, 200));
        let job = |reply: &Reply| reply.header("x-job-id").to_owned();
        Self { done: job(&done), waiting: job(&waiting), preview: job(&preview), world }
    }

    /// Returns a described path with this portal's values for its parameters.
    fn path(&self, described: &str) -> String {
        let job = match described.rsplit('/').next() {
            Some("cancel") => &self.waiting,
            Some("apply") => &self.preview,
            _ => &self.done,
        };
        let path = described.replace("{contactid}", "1").replace("{name}", "nightly").replace("{jobid}", job);
        path.replace("{userid}", "@self")
    }
}

/// A described operation.
struct Operation {
    document: Value,
    method: String,
    path: String,
    described: Value,
}

fn operations() -> Vec<Operation> {
    let document = openapi::document(local::endpoints());
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(|(method, described)| Operation {
            document: document.clone(),
            method: method.to_ascii_uppercase(),
            path: path.clone(),
            described: described.clone(),
        })
    });
    operations.collect()
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Returns a part of the document, following its `$ref`.
    fn part<'a>(&'a self, part: &'a Value) -> &'a Value {
        match part["$ref"].as_str() {
            Some(target) => self.document.pointer(target.strip_prefix('#').unwrap()).unwrap(),
            None => part,
        }
    }

    /// Returns a validator for a schema, which may refer to other schemas of the document.
    fn validator(&self, schema: &Value) -> Validator {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    #[track_caller]
    fn check_value(&self, schema: &Value, value: &Value) {
        let faults: Vec<String> = self.validator(schema).iter_errors(value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}\nof {value:#}", self.name());
    }

    /// Returns each example body as JSON and as a form, with the content type. Returns an empty body if the operation
    /// has no body.
    fn examples(&self) -> Vec<(&'static str, String)> {
        let Some(body) = self.described.get("requestBody") else { return vec![("", String::new())] };
        let content = &body["content"][JSON_TYPE];
        let mut examples = Vec::new();
        for example in content["examples"].as_object().unwrap().values() {
            let value = &example["value"];
            self.check_value(&content["schema"], value);
            examples.push((JSON_TYPE, value.to_string()));
            examples.push((FORM_TYPE, form(value)));
        }
        examples
    }

    /// Returns whether the operation answers in the dialect of the reference pages. Forms and suffixes get ONLYOFFICE's
    /// dialect.
    fn is_of_the_documents(&self) -> bool {
        self.described["responses"]["200"]["content"].to_string().contains("/Document")
    }

    /// Returns the described parameters.
    fn parameters(&self) -> impl Iterator<Item = &Value> {
        let parameters = self.described["parameters"].as_array().into_iter().flatten();
        parameters.map(|parameter| self.part(parameter))
    }

    /// Returns a query parameter with an arbitrary valid value.
    fn pair(&self, parameter: &Value) -> String {
        format!("{}={}", parameter["name"].as_str().unwrap(), self.value_of(&parameter["schema"]))
    }

    /// Returns an arbitrary valid value of a parameter.
    fn value_of(&self, schema: &Value) -> String {
        let schema = self.part(schema);
        match schema["type"].as_str() {
            Some("boolean") => "true".into(),
            Some("integer") if schema["enum"].is_array() => schema["enum"][0].to_string(),
            Some("integer") => schema.get("maximum").unwrap_or(&schema["minimum"]).to_string(),
            Some("array") => self.value_of(&schema["items"]),
            _ if schema["enum"].is_array() => schema["enum"][0].to_string().replace('"', ""),
            _ if schema["anyOf"].is_array() => self.value_of(&schema["anyOf"][0]),
            _ if schema["format"] == "uuid" => NANCY.to_string(),
            _ if schema["format"] == "cron" => "0+2+*+*+*".into(),
            _ if schema["format"] == "time-zone" => "UTC".into(),
            _ if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("0[13578]")) => "1996-07-01".into(),
            _ => "id".into(),
        }
    }

    /// Makes the call with `ending` (a suffix or a query) after its path.
    async fn call(&self, scene: &Scene, token: &str, ending: &str, kind: &str, body: &str) -> Reply {
        let headers = if kind.is_empty() { vec![] } else { vec![("content-type", kind)] };
        self.call_with(scene, token, ending, &headers, body).await
    }

    /// Makes the call like [`Self::call`], with these headers.
    async fn call_with(&self, scene: &Scene, token: &str, ending: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let (suffix, query) = ending.split_once('?').unwrap_or((ending, ""));
        let required =
            self.parameters().filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
        let required = required.map(|parameter| self.pair(parameter));
        let pairs: Vec<String> = required.chain((!query.is_empty()).then(|| query.to_owned())).collect();
        let path = format!("{}{suffix}?{}", scene.path(&self.path), pairs.join("&"));
        scene.world.call(&self.method, &path, token, headers, body).await.unwrap()
    }

    /// Checks an answer against the description of its status.
    #[track_caller]
    fn check(&self, reply: &Reply) {
        let status = reply.status.as_u16().to_string();
        let Some(answer) = self.described["responses"].get(&status) else {
            panic!("{} answers {status}, which is not described: {}", self.name(), reply.text);
        };
        let answer = self.part(answer);
        for name in ALWAYS_SENT {
            assert!(reply.headers.contains_key(name), "{} is without {name}", self.name());
        }
        let headers = answer["headers"].as_object().cloned().unwrap_or_default();
        for (name, header) in &headers {
            match reply.headers.get(name.to_ascii_lowercase()).map(|value| value.to_str().unwrap()) {
                None => assert!(self.part(header)["required"] != true, "{} is without {name}", self.name()),
                Some(text) => {
                    let schema = &self.part(header)["schema"];
                    let value =
                        if schema["type"] == "integer" { text.parse::<i64>().unwrap().into() } else { json!(text) };
                    self.check_value(schema, &value);
                }
            }
        }
        let everywhere = [&ALWAYS_SENT[..], &["Content-Type", "Content-Length"]].concat();
        let described = |name: &str| {
            headers
                .keys()
                .map(String::as_str)
                .chain(everywhere.iter().copied())
                .any(|own| own.eq_ignore_ascii_case(name))
        };
        for name in reply.headers.keys() {
            assert!(described(name.as_str()), "{} answers {status} with {name}, which is not described", self.name());
        }
        let Some(content) = answer.get("content") else {
            assert_eq!(reply.text, "", "{}", self.name());
            return;
        };
        let kind = reply.header("content-type").split(';').next().unwrap();
        assert!(content.get(kind).is_some(), "{} answers {kind}: {}", self.name(), reply.text);
        if kind == "application/json" {
            self.check_value(&content[kind]["schema"], &reply.json());
        }
    }
}

/// Writes fields as a form: an array repeats its name, and members of an object are prefixed with the object's name.
fn form(fields: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut pairs = Vec::new();
    for (name, value) in fields.as_object().unwrap() {
        if let Some(members) = value.as_object() {
            pairs.extend(members.iter().map(|(key, value)| form(&json!({ (format!("{name}[{key}]")): value }))));
            continue;
        }
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        pairs.extend(values.iter().map(|value| format!("{}={}", escaped(name), escaped(&text(value)))));
    }
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[tokio::test]
async fn every_example_is_accepted_and_answered_as_described() {
    let (mut calls, mut bodies) = (0, 0);
    // Reads change nothing, so all reads share one scene.
    let read = Scene::new().await;
    for operation in operations() {
        for (number, (kind, body)) in operation.examples().into_iter().enumerate() {
            // The suffix makes no difference to the body: unless all cases are played, one example has the suffix.
            let suffixes = if number == 0 || cases::are_all() { &["", ".json"][..] } else { &[""] };
            for suffix in suffixes.iter().filter(|suffix| suffix.is_empty() || !operation.path.ends_with(**suffix)) {
                let changed = if operation.method == "GET" { None } else { Some(Scene::new().await) };
                let reply = operation.call(changed.as_ref().unwrap_or(&read), TOKEN, suffix, kind, &body).await;
                assert!(reply.status.is_success(), "{}{suffix} with {body}: {}", operation.name(), reply.text);
                if operation.is_of_the_documents() && (kind == FORM_TYPE || !suffix.is_empty()) {
                    assert_eq!(reply.json()["statusCode"], 200, "{}{suffix} with {body}", operation.name());
                } else {
                    operation.check(&reply);
                }
                calls += 1;
                bodies += usize::from(!body.is_empty());
            }
        }
    }
    assert!(calls > 70 && bodies > 30, "{calls} calls, {bodies} bodies");
}

#[tokio::test]
async fn every_described_query_parameter_is_accepted() {
    let mut accepted = 0;
    let read = Scene::new().await;
    for operation in operations() {
        let Some((kind, body)) = operation.examples().into_iter().next() else { continue };
        let parameters: Vec<&Value> = operation.parameters().filter(|parameter| parameter["in"] == "query").collect();
        if parameters.is_empty() {
            continue;
        }
        let changed = if operation.method == "GET" { None } else { Some(Scene::new().await) };
        let scene = changed.as_ref().unwrap_or(&read);
        for parameter in parameters {
            let query = format!("?{}", operation.pair(parameter));
            let reply = operation.call(scene, TOKEN, &query, kind, &body).await;
            assert!(reply.status.is_success(), "{}{query}: {}", operation.name(), reply.text);
            operation.check(&reply);
            accepted += 1;
        }
    }
    assert!(accepted > 60, "{accepted} parameters");
}

#[tokio::test]
async fn failures_are_answered_as_described() {
    let scene = Scene::new().await;
    let is = |reply: &Reply, operation: &Operation, statuses: &[u16]| {
        assert!(statuses.contains(&reply.status.as_u16()), "{}: {}", operation.name(), reply.text);
        operation.check(reply);
    };
    for operation in operations() {
        let (kind, body) = operation.examples().into_iter().next().unwrap();
        is(&operation.call(&scene, TOKEN, "?nonsense=1", kind, &body).await, &operation, &[400]);
        if operation.described["security"] != json!([]) {
            is(&operation.call(&scene, "", "", kind, &body).await, &operation, &[401]);
        }
        if !body.is_empty() {
            is(&operation.call(&scene, TOKEN, "", "application/json", "[]").await, &operation, &[400]);
            is(&operation.call(&scene, TOKEN, "", "text/plain", &body).await, &operation, &[415]);
        }
        if operation.method == "GET" {
            let held = [("if-none-match", "*")];
            is(&operation.call_with(&scene, TOKEN, "", &held, "").await, &operation, &[304]);
        }
    }
}
