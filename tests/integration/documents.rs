//! The answers, compared with the two reference pages in `tests/documents`.

use axum::body::Body;
use lambda_http::http::Request;
use serde_json::{Value, json};
use tests::{Reply, World};

const LINES: &str = include_str!("../fixtures/documents.ndjson");
const CONTACT_PAGE: &str = include_str!("../documents/set-contact-access.txt");
const FILTER_PAGE: &str = include_str!("../documents/set-filter-access.txt");

/// Mike is an administrator on the reference pages.
const TOKEN: &str = "0123456789abcdef0123456789abcdef-admin";
const MIKE: &str = "00000000-0000-0000-0000-000000000000";

const CONTACT: &str = "1234/access";
const FILTER: &str = "filter/access";

/// The request that gives the contact the access on the reference pages: private, managed by Mike.
fn body(path: &str) -> Value {
    match path {
        CONTACT => json!({"isShared": false, "managerList": [MIKE]}),
        _ => json!({"tags": ["Tag1", "tag2"], "contactStage": [1234], "contactType": [1234], "contactListView": 2,
            "fromDate": "2020-12-08", "toDate": "2020-12-08", "isPrivate": true, "managerList": [MIKE]}),
    }
}

async fn answer(path: &str, accept: &str) -> Reply {
    let world = World::with(LINES).await.unwrap();
    world.put_with(path, TOKEN, &body(path).to_string(), &[("accept", accept)]).await.unwrap()
}

/// Returns the text between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0
}

fn json_of_000() -> Value {
    let text = between(CONTACT_PAGE, "Example Response\n\napplication/json\n", "\ntext/xml\n");
    serde_json::from_str(text).unwrap()
}

fn xml_of_000() -> String {
    format!("<result>{}</result>", between(CONTACT_PAGE, "<result>", "</result>"))
}

fn array_of_001() -> Value {
    let text = between(FILTER_PAGE, "\n[\n", "\n]\n");
    as_the_schema_says(serde_json::from_str(&format!("[{text}]")).unwrap())
}

/// Converts the examples of the reference pages to the types of their schema. The examples have strings instead of
/// numbers and booleans, and joined tags.
fn as_the_schema_says(value: Value) -> Value {
    match value {
        Value::String(text) => match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) if text == "true" || text == "false" => (text == "true").into(),
            Err(_) => text.into(),
        },
        Value::Array(values) => values.into_iter().map(as_the_schema_says).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let value = match (name.as_str(), &value[0]) {
                    ("Tags", Value::String(joined)) => joined.split(',').collect(),
                    _ => as_the_schema_says(value),
                };
                (name, value)
            })
            .collect(),
        other => other,
    }
}

/// Returns XML without the white space between elements.
fn without_indentation(xml: &str) -> String {
    let piece = |piece: &str| {
        let start = piece.trim_start();
        if start.starts_with('<') || start.is_empty() { start.to_owned() } else { piece.to_owned() }
    };
    xml.split('>').map(piece).collect::<Vec<_>>().join(">")
}

#[tokio::test]
async fn json_of_a_contact_matches_the_reference_page() {
    let reply = answer(CONTACT, "application/json").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json(), json_of_000());
    assert_eq!(reply.json()["response"].as_object().unwrap().len(), 24);
}

#[tokio::test]
async fn json_of_a_contact_has_its_keys_in_the_order_of_the_reference_page() {
    let reply = answer(CONTACT, "application/json").await;
    let keys = |text: &str| -> Vec<String> {
        // Every second piece is a string. A colon follows a key.
        let pieces: Vec<&str> = text.split('"').collect();
        let strings = pieces.chunks(2).zip(pieces.iter().skip(2).step_by(2));
        strings.filter(|(_, after)| after.trim_start().starts_with(':')).map(|(pair, _)| pair[1].to_owned()).collect()
    };
    let document = between(CONTACT_PAGE, "Example Response\n\napplication/json\n", "\ntext/xml\n");
    assert_eq!(keys(&reply.text), keys(document));
    assert_eq!(keys(document).first().map(String::as_str), Some("status"));
}

#[tokio::test]
async fn xml_of_a_contact_matches_the_reference_page() {
    let reply = answer(CONTACT, "text/xml").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(without_indentation(&reply.text), without_indentation(&xml_of_000()));
}

#[tokio::test]
async fn json_of_a_list_matches_the_reference_page() {
    let reply = answer(FILTER, "application/json").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.json(), array_of_001());
    assert_eq!(reply.json()[0].as_object().unwrap().len(), 24);
}

#[tokio::test]
async fn xml_of_a_list_repeats_the_response_of_a_contact() {
    let reply = answer(FILTER, "text/xml").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(without_indentation(&reply.text), without_indentation(&xml_of_000()));

    let world = World::with(LINES).await.unwrap();
    world.import(&LINES.replace("\"id\":1234,\"SmallFotoUrl\"", "\"id\":1235,\"SmallFotoUrl\"")).await.unwrap();
    let reply = world.put_with(FILTER, TOKEN, &body(FILTER).to_string(), &[("accept", "text/xml")]).await.unwrap();
    let one = xml_of_000();
    let response = format!("<response>{}</response>", between(&one, "<response>", "</response>"));
    let first = response.replace("<id>1234</id>\n    <SmallFotoUrl>", "<id>1235</id>\n    <SmallFotoUrl>");
    assert_ne!(first, response);
    let two = format!("<result><status>0</status>{first}{response}</result>");
    assert_eq!(without_indentation(&reply.text), without_indentation(&two));
}

#[tokio::test]
async fn empty_list_is_written_as_an_empty_list() {
    let world = World::with(LINES).await.unwrap();
    let body = json!({"tags": ["none has this"], "isPrivate": true}).to_string();
    for (accept, expected) in [("application/json", "[]"), ("text/xml", "<result><status>0</status></result>")] {
        let reply = world.put_with(FILTER, TOKEN, &body, &[("accept", accept)]).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, expected));
    }
}

#[tokio::test]
async fn accept_decides_between_json_and_xml() {
    const JSON: &str = "application/json; charset=utf-8";
    const TEXT_XML: &str = "text/xml; charset=utf-8";
    const APPLICATION_XML: &str = "application/xml; charset=utf-8";
    let world = World::with(LINES).await.unwrap();
    for (accept, status, content_type) in [
        (Some("application/json"), 200, JSON),
        (Some("text/xml"), 200, TEXT_XML),
        (Some("application/xml"), 200, APPLICATION_XML),
        (Some("*/*"), 200, JSON),
        (Some("application/json;q=0.4, application/xml;q=0.8"), 200, APPLICATION_XML),
        (Some("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"), 200, JSON),
        (None, 200, JSON),
        (Some("image/png"), 200, JSON),
        (Some("text/html"), 200, JSON),
    ] {
        for path in [CONTACT, FILTER] {
            let request = Request::put(format!("/api/2.0/crm/contact/{path}"))
                .header("authorization", TOKEN)
                .header("content-type", "application/json");
            let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
            let reply = world.request(request.body(Body::from(body(path).to_string())).unwrap()).await.unwrap();
            assert_eq!(reply.status, status, "{accept:?} {path}: {}", reply.text);
            assert_eq!(reply.header("content-type"), content_type, "{accept:?} {path}");
            let is_xml = reply.text.starts_with("<result>");
            assert_eq!(is_xml, content_type != JSON, "{accept:?} {path}: {}", reply.text);
        }
    }
}

#[test]
fn reference_pages_are_parsed_completely() {
    assert_eq!(json_of_000()["response"]["DisplayName"], "Tadjeddine Bachir");
    assert_eq!(array_of_001()[0]["Tags"], json!(["Tag1", "Tag2"]));
    assert_eq!(array_of_001()[0]["ID"], 1234);
    assert_eq!(without_indentation("<a>\n  <b> x </b>\n</a>"), "<a><b> x </b></a>");
}
