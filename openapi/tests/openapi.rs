//! The description of the API is complete, and equals the committed file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use api::failure::KINDS;
use local::endpoints;
use openapi::{OF_NO_ENDPOINT, text};
use serde_json::Value;

#[test]
fn the_committed_description_is_the_one_that_the_code_makes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    #[expect(clippy::disallowed_methods, reason = "who runs the test says whether it writes the file anew")]
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, text(&document())).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        committed == text(&document()),
        "docs/openapi.json is out of date: UPDATE_OPENAPI=1 cargo test --workspace --test openapi writes it anew"
    );
}

/// Returns the description of all endpoints of the service.
fn document() -> Value {
    openapi::document(endpoints())
}

/// Returns every method of every path of a description.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.to_ascii_uppercase(), path.clone(), operation.clone()))
    });
    operations.collect()
}

#[test]
fn every_endpoint_is_described_once_and_nothing_else() {
    let described = operations(&document()).into_iter().map(|(method, path, _)| (method, path));
    let offered = endpoints().map(|endpoint| (endpoint.method.to_owned(), endpoint.path.to_owned()));
    assert_eq!(described.collect::<BTreeSet<_>>(), offered.collect());
}

#[test]
fn operations_have_names_of_their_own() {
    let document = document();
    let operations = operations(&document);
    let ids: BTreeSet<&str> =
        operations.iter().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
}

/// Visits every value of a description, with the keys that lead to it.
fn walk<'a>(value: &'a Value, keys: &mut Vec<&'a str>, visit: &mut dyn FnMut(&[&'a str], &'a Value)) {
    visit(keys, value);
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                keys.push(key);
                walk(member, keys, visit);
                keys.pop();
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, keys, visit)),
        _ => {}
    }
}

#[test]
fn components_are_all_referred_to_and_references_lead_to_components() {
    let document = document();
    let mut referred = BTreeSet::new();
    walk(&document, &mut Vec::new(), &mut |keys, value| {
        if keys.last() == Some(&"$ref") {
            referred.insert(value.as_str().unwrap().to_owned());
        }
    });
    let there = document["components"].as_object().unwrap().iter().filter(|(kind, _)| *kind != "securitySchemes");
    let there: BTreeSet<String> = there
        .flat_map(|(kind, parts)| {
            parts.as_object().unwrap().keys().map(move |name| format!("#/components/{kind}/{name}"))
        })
        .collect();
    assert_eq!(referred, there);
}

#[test]
fn generators_of_clients_understand_the_description() {
    let document = document();
    let mut names = BTreeSet::new();
    let is_identifier = |name: &str| name.chars().all(|char| char.is_ascii_alphanumeric());
    for (kind, parts) in document["components"].as_object().unwrap() {
        for name in parts.as_object().unwrap().keys() {
            assert!(is_identifier(name), "{kind}/{name}");
            // Some generators write a file for each component, and some file systems ignore case.
            assert!(names.insert(name.to_ascii_lowercase()), "{name} is the name of two components");
        }
    }
    for (_, _, operation) in operations(&document) {
        assert!(is_identifier(operation["operationId"].as_str().unwrap()), "{}", operation["operationId"]);
    }
    walk(&document, &mut Vec::new(), &mut |keys, value| {
        let is_of_a_schema = keys.iter().any(|key| ["schema", "schemas"].contains(key)) && !keys.contains(&"examples");
        let (Some(members), false) = (value.as_object(), keys.last() == Some(&"properties")) else { return };
        if is_of_a_schema {
            for word in ["const", "oneOf", "not"] {
                assert!(!members.contains_key(word), "{keys:?} has {word}");
            }
            assert!(!members.contains_key("enum") || members.contains_key("type"), "{keys:?} has no type");
        }
    });
}

/// Returns the kinds of failures that a description names.
fn kinds(description: &Value) -> impl Iterator<Item = String> {
    description.as_str().unwrap().split('`').skip(1).step_by(2).map(str::to_owned)
}

#[test]
fn every_failure_is_described_and_nothing_else() {
    let document = document();
    let mut described: BTreeSet<(u16, String)> = OF_NO_ENDPOINT.map(|(status, kind)| (status, kind.to_owned())).into();
    for (status, kind) in &described {
        let text = document["info"]["description"].as_str().unwrap();
        assert!(text.contains(&format!("{status} `{kind}`")), "{kind}");
    }
    for (_, _, operation) in operations(&document) {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let status: u16 = status.parse().unwrap();
            if status >= 400 {
                let shared = document.pointer(answer["$ref"].as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                let of_all: Vec<String> = kinds(&shared["description"]).collect();
                let own: Vec<String> = kinds(answer.get("description").unwrap_or(&shared["description"])).collect();
                assert!(own.iter().all(|kind| of_all.contains(kind)), "{answer}");
                described.extend(own.into_iter().map(|kind| (status, kind)));
            }
        }
    }
    assert_eq!(described, KINDS.iter().map(|(status, kind)| (*status, (*kind).to_owned())).collect());
}
