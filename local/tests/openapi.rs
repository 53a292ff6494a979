//! The description of the API is complete, and is the one that is committed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use api::failure::KINDS;
use local::endpoints;
use local::openapi::{OF_NO_ENDPOINT, document, paths, text};
use serde_json::Value;

#[test]
fn the_committed_description_is_the_one_that_the_code_makes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    #[expect(clippy::disallowed_methods, reason = "who runs the test says whether it writes the file anew")]
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, text()).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        committed == text(),
        "docs/openapi.json is out of date: UPDATE_OPENAPI=1 cargo test -p local writes it anew"
    );
}

/// Every method of every path of a description.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.to_ascii_uppercase(), path.clone(), operation.clone()))
    });
    operations.collect()
}

#[test]
fn every_way_to_call_an_endpoint_is_described_and_nothing_else() {
    let document = document();
    let described: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let offered: BTreeSet<(String, String)> = endpoints()
        .flat_map(|endpoint| paths(endpoint).into_iter().map(|(path, _)| (endpoint.method.to_owned(), path)))
        .collect();
    assert_eq!(described, offered);
    // What is routed is called like this, but where a parameter takes the suffix with it or stands for `@self`.
    let routed = endpoints().flat_map(|endpoint| endpoint.routes().map(|path| (endpoint.method.to_owned(), path)));
    for (method, path) in routed.filter(|(_, path)| !path.ends_with("{userid}")) {
        assert!(described.contains(&(method.clone(), path.clone())), "{method} {path}");
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let document = document();
    let operations = operations(&document);
    let ids: BTreeSet<&str> =
        operations.iter().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
}

#[test]
fn what_is_referred_to_is_there_and_what_is_there_is_referred_to() {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| collect(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut referred = BTreeSet::new();
    collect(&document, &mut referred);
    let there = document["components"].as_object().unwrap().iter().filter(|(kind, _)| *kind != "securitySchemes");
    let there: BTreeSet<String> = there
        .flat_map(|(kind, parts)| {
            parts.as_object().unwrap().keys().map(move |name| format!("#/components/{kind}/{name}"))
        })
        .collect();
    referred.extend(OF_NO_ENDPOINT.map(|(status, kind)| format!("#/components/responses/{status}.{kind}")));
    assert_eq!(referred, there);
}

#[test]
fn every_failure_is_described_and_nothing_else() {
    let document = document();
    let mut described = BTreeSet::new();
    for answer in document["components"]["responses"].as_object().unwrap().values() {
        let Some(schema) = answer["content"].get("application/json").map(|json| &json["schema"]["allOf"][1]) else {
            continue;
        };
        let status = schema["properties"]["statusCode"]["const"].as_u64().unwrap();
        let kinds = schema["properties"]["error"]["properties"]["type"]["enum"].as_array().unwrap();
        described.extend(kinds.iter().map(|kind| (status, kind.as_str().unwrap().to_owned())));
    }
    let failures = KINDS.iter().map(|(status, kind)| (u64::from(*status), (*kind).to_owned()));
    assert_eq!(described, failures.collect());
}
