//! Input is never silently ignored: a call either follows the input or is refused.

use axum::body::Body;
use futures::future::LocalBoxFuture;
use jobs::Deadline;
use lambda_http::http::Request;
use local::endpoints;
use serde_json::{Value, json};
use tests::{Reply, World, cases};

use crate::callers::{About, call};
use crate::portal::{ADA_TOKEN, MIKE_TOKEN, acme_with, contact};

async fn world() -> World {
    acme_with([contact(1, json!({"Tags": ["cell"]}))]).await
}

/// Returns the state that calls could change.
async fn state(world: &World) -> String {
    let portal = crate::portal::id("acme");
    let jobs = world.jobs_of(&portal, None).await.unwrap();
    let rules = world.rules_of(&portal).await.unwrap();
    format!("{:?} {jobs:?} {rules:?}", crate::portal::access(world, "acme", 1..=9).await)
}

/// Calls each endpoint with extra headers, and with `body`, if given, instead of the endpoint's normal body. Checks
/// that each answer has the status and contains the text, and that nothing changes. The future is boxed, because a test
/// awaits many of these large futures.
fn refused<'a>(
    takes: impl Fn(&api::Endpoint) -> bool + 'a,
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: Option<&'a str>,
    status: u16,
    text: &'a str,
) -> LocalBoxFuture<'a, ()> {
    Box::pin(async move {
        let world = world().await;
        for endpoint in endpoints().filter(|endpoint| takes(endpoint)) {
            let about = About::named(&world, endpoint, ADA_TOKEN).await;
            let before = state(&world).await;
            let (path, own) = call(endpoint, endpoint.path, &about, &json!([]));
            let joint = if path.contains('?') { "&" } else { "?" };
            let path = if query.is_empty() { path } else { format!("{path}{joint}{query}") };
            let own = if own.is_null() { String::new() } else { own.to_string() };
            let mut request = Request::builder().method(endpoint.method).uri(path).header("authorization", ADA_TOKEN);
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request = request.header("content-type", "application/json");
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let body = body.map_or(own, str::to_owned);
            let reply = world.request(request.body(Body::from(body)).unwrap()).await.unwrap();
            let what = format!("{} {} {headers:?}: {}", endpoint.method, endpoint.path, reply.text);
            assert_eq!(reply.status, status, "{what}");
            assert!(reply.text.contains(text), "{what} without {text:?}");
            assert_eq!(state(&world).await, before, "{what}");
        }
    })
}

fn is_get(endpoint: &api::Endpoint) -> bool {
    endpoint.method == "GET"
}

fn takes_no_body(endpoint: &api::Endpoint) -> bool {
    !is_get(endpoint) && endpoint.payload == api::endpoint::Payload::None
}

#[tokio::test]
async fn get_with_a_body_is_refused() {
    for body in ["{\"tags\":[\"vip\"]}", "{}", " ", "tags=vip"] {
        refused(is_get, "", &[], Some(body), 400, "into the query").await;
    }
}

#[tokio::test]
async fn call_without_fields_refuses_any_field() {
    for (body, named) in [
        ("{\"dryRun\":true}", "dryRun is not accepted"),
        ("{\"dryRun\":null}", "dryRun"),
        ("{\"a\":1,\"a\":1}", "a is not accepted"),
        ("[]", "array"),
        ("null", "null"),
        ("true", "true"),
        ("{", "JSON"),
        ("{} {}", "JSON"),
        ("dryRun=true", "JSON"),
    ] {
        refused(takes_no_body, "", &[], Some(body), 400, named).await;
    }
    let text = [("content-type", "text/plain")];
    refused(takes_no_body, "", &text, Some("dryRun"), 415, "text/plain").await;
}

#[tokio::test]
async fn call_without_fields_accepts_an_empty_body() {
    for body in ["", " \r\n", "{}", " { } "] {
        let world = world().await;
        for endpoint in endpoints().filter(|endpoint| takes_no_body(endpoint)) {
            let about = About::made(&world, endpoint, ADA_TOKEN).await;
            let (path, _) = call(endpoint, endpoint.path, &about, &json!([]));
            let headers = [("content-type", "application/json")];
            let reply = world.call(endpoint.method, &path, ADA_TOKEN, &headers, body).await.unwrap();
            assert!(reply.status.is_success(), "{} {path}: {}", endpoint.method, reply.text);
        }
    }
}

#[tokio::test]
async fn preconditions_are_evaluated_or_refused() {
    use api::endpoint::Conditions;
    let writes_with = |conditions: &'static [Conditions]| {
        move |endpoint: &api::Endpoint| !is_get(endpoint) && conditions.contains(&endpoint.conditions)
    };
    for tag in ["*", "\"0\"", "W/\"0\"", "nonsense"] {
        refused(writes_with(&[Conditions::None]), "", &[("if-match", tag)], None, 400, "If-Match").await;
        let unsupported = writes_with(&[Conditions::None, Conditions::IfMatch]);
        refused(unsupported, "", &[("if-none-match", tag)], None, 400, "If-None-Match").await;
        if tag != "*" {
            let rules = writes_with(&[Conditions::IfMatchOrNew]);
            refused(rules, "", &[("if-none-match", tag)], None, 400, "If-None-Match").await;
        }
    }
    let date = [("if-unmodified-since", "Thu, 01 Jan 2026 00:00:00 GMT")];
    refused(|endpoint| !is_get(endpoint), "", &date, None, 400, "If-Unmodified-Since").await;
    let writing = |endpoint: &api::Endpoint| endpoint.conditions != Conditions::None;
    refused(writing, "", &[("if-match", "W/\"0\", W/\"1\"")], None, 412, "weak tag").await;
    refused(writing, "", &[("if-match", "\"another\"")], None, 412, "revision-changed").await;
    refused(writing, "", &[("if-match", "another")], None, 412, "revision-changed").await;
    refused(writes_with(&[Conditions::IfMatchOrNew]), "", &[("if-none-match", "*")], None, 412, "revision-changed")
        .await;
}

#[tokio::test]
async fn body_with_a_content_encoding_is_refused() {
    let codings = [
        ("gzip", "\\\"gzip\\\""),
        ("BR", "BR"),
        ("identity, gzip", "gzip"),
        ("nonsense", "nonsense"),
        ("", "\\\"\\\""),
    ];
    for (coding, named) in cases::part(codings, 2) {
        refused(|_| true, "", &[("content-encoding", coding)], None, 415, named).await;
    }
    refused(|_| true, "", &[("content-range", "bytes 0-1/2")], None, 400, "Content-Range").await;
    let world = world().await;
    let identity = [("content-encoding", "identity")];
    assert_eq!(world.put_with("1/access", ADA_TOKEN, "{\"isShared\":false}", &identity).await.unwrap().status, 200);
}

#[tokio::test]
async fn unknown_query_parameter_is_refused_by_every_endpoint() {
    for query in cases::part(["nonsense=1", "dryrn=true", "=1", "nonsense"], 2) {
        refused(|_| true, query, &[], None, 400, "is not a query parameter").await;
    }
    let is_write_without = |name: &'static str| {
        move |endpoint: &api::Endpoint| {
            let takes = match name {
                "maxAffected" => endpoint.path.ends_with("/filter/access"),
                _ => endpoint.path.ends_with("/access") || endpoint.path.ends_with("/undo"),
            };
            !takes
        }
    };
    refused(is_write_without("maxAffected"), "maxAffected=1", &[], None, 400, "maxAffected").await;
    let blank = |endpoint: &api::Endpoint| endpoint.method == "PUT" && !endpoint.path.contains("rules");
    for query in cases::part(["dryRun=", "dryRun", "dryRun=%20true", "dryRun=yes"], 2) {
        refused(blank, query, &[], None, 400, "dryRun").await;
    }
}

#[tokio::test]
async fn header_with_two_different_values_is_refused() {
    let guarded = |endpoint: &api::Endpoint| endpoint.needs_token();
    refused(guarded, "", &[("authorization", MIKE_TOKEN)], None, 400, "Authorization").await;
    let writes = |endpoint: &api::Endpoint| endpoint.accepts_idempotency_key();
    let keys = [("idempotency-key", "a"), ("idempotency-key", "b")];
    refused(writes, "", &keys, None, 400, "Idempotency-Key").await;
    let types = [("content-type", "application/json"), ("content-type", "text/plain")];
    let bodies = |endpoint: &api::Endpoint| endpoint.payload == api::endpoint::Payload::Fields;
    refused(bodies, "", &types, None, 415, "text/plain").await;
    // Two equal values are unambiguous.
    let world = world().await;
    let twice = [("authorization", ADA_TOKEN), ("content-type", "application/json")];
    let reply = world.put_with("1/access", ADA_TOKEN, "{\"isShared\":false}", &twice).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
}

fn rule(tag: &str) -> Value {
    json!({"filter": {"tags": [tag]}, "target": {"isPrivate": true}, "cron": "0 2 * * *"})
}

async fn rules(world: &World, method: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    world.access_with(method, "rules/nightly", ADA_TOKEN, body, headers).await.unwrap()
}

#[tokio::test]
async fn if_match_changes_a_rule_only_at_the_version_read() {
    let world = world().await;
    let put = async |headers: &[(&str, &str)], tag: &str| {
        let reply = rules(&world, "PUT", headers, &rule(tag).to_string()).await;
        (reply.status.as_u16(), reply.header("etag").to_owned())
    };
    assert_eq!(put(&[("if-match", "*")], "a").await.0, 412);
    assert_eq!(put(&[("if-match", "\"0\"")], "a").await.0, 412);
    assert_eq!(rules(&world, "DELETE", &[("if-match", "*")], "").await.status, 404);
    let (status, first) = put(&[("if-none-match", "*")], "a").await;
    assert_eq!(status, 200);
    assert_eq!(put(&[("if-none-match", "*")], "b").await.0, 412);
    // A read and a change show the same tag for a version. A rule that is set again without a difference gets a new
    // version.
    let read = rules(&world, "GET", &[], "").await.header("etag").to_owned();
    let (status, second) = put(&[("if-match", &read)], "a").await;
    assert_eq!((status, first == second), (200, false));
    assert_eq!(put(&[("if-match", &read)], "c").await.0, 412);
    assert_eq!(put(&[("if-match", &format!("\"x\", {second}"))], "c").await.0, 200);
    assert_eq!(put(&[("if-match", "*")], "d").await.0, 200);
    assert_eq!(rules(&world, "DELETE", &[("if-match", &second)], "").await.status, 412);
    assert_eq!(rules(&world, "DELETE", &[("if-none-match", "*")], "").await.status, 412);
    let read = rules(&world, "GET", &[], "").await.header("etag").to_owned();
    assert_eq!(rules(&world, "DELETE", &[("if-match", &read)], "").await.status, 204);
    assert_eq!(rules(&world, "GET", &[], "").await.status, 404);
}

#[tokio::test]
async fn run_of_a_rule_does_not_change_its_version() {
    let world = world().await;
    let set = rules(&world, "PUT", &[], &rule("cell").to_string()).await;
    world.set_clock("2026-01-02T12:00:00Z".parse().unwrap());
    assert_eq!(world.jobs().run_due_rules(&Deadline::never()).await.unwrap(), 1);
    let shown = rules(&world, "GET", &[], "").await;
    assert_ne!(shown.json()["response"]["lastRun"], Value::Null);
    let reply = rules(&world, "PUT", &[("if-match", set.header("etag"))], &rule("b").to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[tokio::test]
async fn idempotency_key_covers_the_preconditions() {
    let world = world().await;
    let body = rule("cell").to_string();
    let key = ("idempotency-key", "one");
    assert_eq!(rules(&world, "PUT", &[key, ("if-none-match", "*")], &body).await.status, 200);
    for headers in [vec![key], vec![key, ("if-match", "*")]] {
        let reply = rules(&world, "PUT", &headers, &body).await;
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (422, "idempotency-key-reused"));
    }
    assert_eq!(rules(&world, "PUT", &[key, ("if-none-match", "*")], &body).await.status, 200);
}
