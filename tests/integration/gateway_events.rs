//! Events of API Gateway through the functions' entry point: each gets an answer in the service's form, whatever its
//! content.

use api::lambda::{answer_event, answer_site_event};
use api::site;
use lambda_http::Context;
use local::endpoints;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tests::{World, cases};

use crate::portal::{ADA_TOKEN, access, acme_with, contact};

/// Returns the function's answer to an event.
async fn answer(world: &World, event: &RawValue) -> Value {
    let endpoints: Vec<api::Endpoint> = endpoints().copied().collect();
    let mut context = Context::default();
    context.request_id = "request".into();
    context.deadline = u64::MAX;
    let answer = match is_of_site(event) {
        true => answer_site_event(&web_console::SITE, event, context),
        false => answer_event(&endpoints, &world.app, event, context).await,
    };
    let mut answer = serde_json::to_value(answer).unwrap();
    let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
    answer["body"] = body.unwrap_or_else(|| answer["body"].take());
    answer
}

/// Returns whether an event has a route of the site.
fn is_of_site(event: &RawValue) -> bool {
    let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
    let path = event["routeKey"].as_str().and_then(|route| route.split(' ').next_back());
    path.is_some_and(|path| site::PATHS.contains(&path))
}

/// Returns whether a value equals the expected one, in which `*` matches anything.
fn matches_expected(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::String(any), _) if any == "*" => true,
        (Value::Object(expected), Value::Object(actual)) => {
            let member = |(name, value)| actual.get(name).is_some_and(|actual| matches_expected(value, actual));
            expected.len() == actual.len() && expected.iter().all(member)
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len() && expected.iter().zip(actual).all(|(a, b)| matches_expected(a, b))
        }
        _ => expected == actual,
    }
}

#[tokio::test]
async fn each_api_event_gets_the_answer_in_its_file() {
    let mut checked = 0;
    for (file, event) in crate::house::events() {
        if event.get("requestContext").is_none() {
            continue;
        }
        let documents = include_str!("../fixtures/documents.ndjson");
        let world = World::with(documents).await.unwrap();
        let answer = answer(&world, &to_raw_value(&event).unwrap()).await;
        let expected = &crate::house::events()[&file.replace(".json", ".expected.json")];
        assert_eq!(answer["statusCode"], expected["statusCode"], "{file}: {answer:#}");
        for (name, value) in expected["headers"].as_object().into_iter().flatten() {
            assert!(matches_expected(value, &answer["headers"][name]), "{file}, {name}: {answer:#}");
        }
        let body = if answer["body"].is_null() { json!("") } else { answer["body"].clone() };
        assert!(matches_expected(&expected["body"], &body), "{file}: {answer:#}");
        checked += 1;
    }
    assert!(checked >= 16, "{checked} events");
}

fn event(route: &str, path: &str, query: &str) -> Value {
    let (method, _) = route.split_once(' ').unwrap();
    json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"authorization": ADA_TOKEN, "host": "abc.example.com"},
        "pathParameters": {"contactid": "1"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "domainName": "abc.example.com",
            "domainPrefix": "abc",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "a"},
            "requestId": "id",
            "routeKey": route,
            "stage": "$default",
            "time": "08/Dec/2020:17:37:04 +0000",
            "timeEpoch": 1_607_449_024_591_i64,
        },
        "isBase64Encoded": false,
    })
}

const LIST: &str = "GET /api/2.0/crm/contact/filter";
const LIST_PATH: &str = "/api/2.0/crm/contact/filter";
const SET: &str = "PUT /api/2.0/crm/contact/{contactid}/access";
const SET_PATH: &str = "/api/2.0/crm/contact/1/access";

/// Sends an event, which must get one of the statuses and no internal error.
async fn check(world: &World, event: &Value, statuses: &[u64], what: &str) -> Value {
    let answer = answer(world, &to_raw_value(event).unwrap()).await;
    let status = answer["statusCode"].as_u64().unwrap();
    assert!(statuses.contains(&status), "{what}: {answer:#}");
    assert_eq!(answer["headers"]["x-request-id"], "request", "{what}: {answer:#}");
    if status >= 400 && answer["body"].is_object() {
        assert_eq!(answer["body"]["error"]["requestId"], "request", "{what}: {answer:#}");
    }
    answer
}

/// Returns the printable ASCII characters and some control and multi-byte ones.
fn characters() -> impl Iterator<Item = String> {
    let further =
        ["ä", "€", "😀", "\u{feff}", "\u{7f}", "\0", "\n", "\r\n", "\t", "\u{85}", "\u{2028}", "%", "%zz", "%ff"];
    (' '..='~').map(String::from).chain(further.map(String::from))
}

#[tokio::test]
async fn every_character_of_a_query_is_read_or_refused() {
    let world = acme_with([contact(1, json!({}))]).await;
    for text in characters() {
        let query = format!("filterValue=x{text}y");
        let what = format!("query {query:?}");
        let refused = ["\"", "#", "<", ">", " ", "\u{7f}", "\0", "\n", "\r\n", "\t"].contains(&text.as_str());
        let statuses: &[u64] = match text.as_str() {
            _ if refused => &[400],
            // `&` begins an unknown parameter, and a text must be UTF-8.
            "&" | "%ff" => &[400],
            _ => &[200],
        };
        let answer = check(&world, &event(LIST, LIST_PATH, &query), statuses, &what).await;
        // A caller without a token gets the same refusal, in XML if XML was requested.
        if refused {
            assert_eq!(answer["body"]["error"]["type"], "invalid-request", "{what}");
            let mut without = event(LIST, LIST_PATH, &query);
            without["headers"] = json!({"accept": "text/xml"});
            let answer = check(&world, &without, &[400], &what).await;
            assert!(answer["body"].as_str().unwrap().starts_with("<result>"), "{what}: {answer:#}");
        }
    }
    check(&world, &event(LIST, LIST_PATH, &format!("filterValue={}", "x".repeat(70_000))), &[400], "too long").await;
}

#[tokio::test]
async fn every_character_of_a_path_is_read() {
    let world = acme_with([contact(1, json!({}))]).await;
    for text in characters() {
        let path = format!("/api/2.0/crm/contact/{text}/access");
        let mut event = event(SET, &path, "");
        event["pathParameters"] = json!({"contactid": text});
        event["body"] = json!("{\"isShared\":true}");
        // `1` is the contact, other numbers are not a contact, and paths with anything else do not exist.
        let expected: &[u64] = match text.as_str() {
            "1" => &[200],
            "0" => &[400],
            _ => &[404],
        };
        check(&world, &event, expected, &format!("path {path:?}")).await;
    }
    for path in ["", "no-slash", "//", "/?a", "/#", &"/x".repeat(40_000), "*", "http://other.example.com/x"] {
        check(&world, &event(LIST, path, ""), &[200], &format!("path {path:.40?}")).await;
    }
}

#[tokio::test]
async fn every_part_set_by_the_caller_is_read_or_refused() {
    let world = acme_with([contact(1, json!({}))]).await;
    const NAMES: [&str; 8] =
        ["x-any", "host", "user-agent", "accept", "cookie", "x-forwarded-proto", "x-forwarded-host", "prefer"];
    for (position, text) in characters().enumerate() {
        for (_, name) in NAMES.iter().enumerate().filter(|(at, _)| cases::is_played(&[position, *at], NAMES.len())) {
            let mut event = event(LIST, LIST_PATH, "");
            event["headers"][*name] = json!(format!("a{text}b"));
            event["cookies"] = json!([format!("a{text}b"), ""]);
            event["requestContext"]["http"]["userAgent"] = json!(text);
            event["requestContext"]["domainName"] = json!(format!("a{text}b"));
            event["queryStringParameters"] = json!({format!("a{text}b"): format!("a{text}b")});
            let statuses: &[u64] = match text.as_str() {
                "\u{7f}" | "\0" | "\n" | "\r\n" => &[400],
                _ => &[200],
            };
            check(&world, &event, statuses, &format!("{name}: a{text:?}b")).await;
        }
        let mut event = event(LIST, LIST_PATH, "");
        event["headers"][format!("x{text}y")] = json!("value");
        check(&world, &event, &[200, 400], &format!("a header named x{text:?}y")).await;
    }
    for (part, value) in [
        ("headers", json!(null)),
        ("headers", json!({"authorization": ["a"]})),
        ("headers", json!({"authorization": "ä"})),
        ("pathParameters", json!(null)),
        ("rawPath", json!(null)),
        ("rawQueryString", json!(null)),
        ("body", json!(null)),
        ("body", json!({})),
        ("requestContext", json!(null)),
        ("requestContext", json!({})),
        ("isBase64Encoded", json!("true")),
    ] {
        let mut event = event(LIST, LIST_PATH, "");
        event[part] = value.clone();
        check(&world, &event, &[200, 400, 401, 404], &format!("{part}: {value}")).await;
    }
    let surrogate = to_raw_value(&event(LIST, LIST_PATH, ""))
        .unwrap()
        .get()
        .replace("\"rawQueryString\":\"\"", "\"rawQueryString\":\"\\ud800\"");
    let surrogate = RawValue::from_string(surrogate).unwrap();
    assert_eq!(answer(&world, &surrogate).await["statusCode"], 400);
    for no_event in ["{}", "null", "[]", "\"x\"", "7"] {
        let no_event = RawValue::from_string(no_event.into()).unwrap();
        assert_eq!(answer(&world, &no_event).await["statusCode"], 400, "{no_event}");
    }
}

#[tokio::test]
async fn base64_body_is_decoded_and_checked_against_its_length() {
    // {"isShared":false}
    const PRIVATE: &str = "eyJpc1NoYXJlZCI6ZmFsc2V9";
    let world = acme_with([contact(1, json!({}))]).await;
    let with = |body: &str, length: &str| {
        let mut event = event(SET, SET_PATH, "");
        event["body"] = json!(body);
        event["isBase64Encoded"] = json!(true);
        event["headers"]["content-length"] = json!(length);
        event
    };
    let before = access(&world, "acme", [1]).await;
    for (body, length) in [
        // Base64 with a wrong length, cut short or malformed.
        (PRIVATE, "24"),
        (PRIVATE, "17"),
        (&PRIVATE[..23], "18"),
        (&PRIVATE[..20], "18"),
        ("eyJpc1NoYXJlZCI6ZmFsc2V9=", "18"),
        ("eyJpc1No YXJlZCI6ZmFsc2V9", "18"),
        ("%%%%", "18"),
        ("ä", "18"),
    ] {
        check(&world, &with(body, length), &[400], &format!("{body} of {length}")).await;
    }
    assert_eq!(access(&world, "acme", [1]).await, before);
    check(&world, &with(PRIVATE, "18"), &[200], "complete").await;
    assert_ne!(access(&world, "acme", [1]).await, before);
}
