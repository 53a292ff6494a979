//! The description of the API is complete, and equals the committed file.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::path::Path;

use api::failure::KINDS;
use local::endpoints;
use openapi::{OF_NO_ENDPOINT, text};
use serde_json::Value;

#[test]
fn committed_description_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    #[expect(
        clippy::disallowed_methods,
        reason = "the person who runs the test decides whether to regenerate the file"
    )]
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, text(&document())).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        committed == text(&document()),
        "docs/openapi.json is out of date: UPDATE_OPENAPI=1 cargo test --workspace --test openapi regenerates the file"
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
fn description_has_exactly_the_endpoints() {
    let described = operations(&document()).into_iter().map(|(method, path, _)| (method, path));
    let offered = endpoints().map(|endpoint| (endpoint.method.to_owned(), endpoint.path.to_owned()));
    assert_eq!(described.collect::<BTreeSet<_>>(), offered.collect());
}

#[test]
fn operations_have_unique_names() {
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
fn every_component_is_referenced_and_every_reference_exists() {
    let document = document();
    let mut referred = BTreeSet::new();
    walk(&document, &mut Vec::new(), &mut |keys, value| {
        if keys.last() == Some(&"$ref") {
            referred.insert(value.as_str().unwrap().to_owned());
        }
    });
    let defined = document["components"].as_object().unwrap().iter().filter(|(kind, _)| *kind != "securitySchemes");
    let defined: BTreeSet<String> = defined
        .flat_map(|(kind, parts)| {
            parts.as_object().unwrap().keys().map(move |name| format!("#/components/{kind}/{name}"))
        })
        .collect();
    assert_eq!(referred, defined);
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
        let is_in_a_schema = keys.iter().any(|key| ["schema", "schemas"].contains(key)) && !keys.contains(&"examples");
        let (Some(members), false) = (value.as_object(), keys.last() == Some(&"properties")) else { return };
        if is_in_a_schema {
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
fn description_has_exactly_the_failures() {
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
