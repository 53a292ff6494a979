//! Invalid input is refused with a reason, changes nothing, and never causes an internal error.

use std::collections::BTreeMap;

use axum::body::Body;
use lambda_http::http::Request;
use lambda_http::http::request::Builder;
use models::access::ShareType;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use store::contacts::AccessState;
use tests::{Reply, World};

use crate::portal::{ADA_TOKEN, MIKE, access, acme_with, contact, contact_with};

const CONTACTS: i64 = 4;
const PREFIX: &str = "/api/2.0/crm/contact/";

/// A world, and the access of its contacts, which no refused request may change.
struct Watched {
    world: World,
    state: BTreeMap<i32, AccessState>,
}

impl Watched {
    async fn new() -> Self {
        let world = acme_with([
            contact(1, json!({"Tags": ["vip"]})),
            contact_with(2, ShareType::None, &[MIKE]),
            contact_with(3, ShareType::Read, &[MIKE]),
            contact(4, json!({})),
        ])
        .await;
        let state = access(&world, "acme", 1..=CONTACTS).await;
        Self { world, state }
    }

    fn put(path: &str) -> Builder {
        Request::put(format!("{PREFIX}{path}"))
            .header("authorization", ADA_TOKEN)
            .header("content-type", "application/json")
    }

    /// Sends a request that must be refused. Returns the answer.
    async fn refused(&self, what: &str, request: Builder, body: impl Into<Body>, status: u16, kind: &str) -> Reply {
        let writes = self.world.trips.spent().writes;
        let reply = self.world.request(request.body(body.into()).unwrap()).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (status, kind), "{what}: {}", reply.text);
        check_form(what, &reply);
        assert_eq!(self.world.trips.spent().writes, writes, "{what}: something was written");
        reply
    }

    /// Sends JSON that must be refused for `field`.
    async fn refused_for(&self, path: &str, body: &Value, field: &str) {
        let text = body.to_string();
        let what = format!("{path} {text:.100}");
        let reply = self.refused(&what, Self::put(path), text, 400, "invalid-request").await;
        let details = reply.json()["error"]["details"].clone();
        let fields: Vec<&str> =
            details.as_array().unwrap().iter().filter_map(|detail| detail["field"].as_str()).collect();
        let stem = |name: &str| name.split('[').next().unwrap_or_default().to_owned();
        assert!(fields.iter().any(|name| stem(name) == field), "{what}: {fields:?} do not name {field}");
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(field) && message.starts_with("Nothing was changed"), "{what}: {message}");
    }

    async fn unchanged(&self) {
        assert_eq!(access(&self.world, "acme", 1..=CONTACTS).await, self.state);
    }
}

/// Checks the common form of errors.
fn check_form(what: &str, reply: &Reply) {
    assert!(reply.status.is_client_error(), "{what}: {}", reply.status);
    let answer = reply.json();
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default()
    };
    assert_eq!(keys(&answer), ["error", "status", "statusCode"], "{what}: {}", reply.text);
    assert_eq!((&answer["status"], &answer["statusCode"]), (&json!(1), &json!(reply.status.as_u16())), "{what}");
    let error = &answer["error"];
    assert_eq!(keys(error), ["details", "message", "requestId", "type"], "{what}");
    let text = |name: &str| error[name].as_str().unwrap_or_default();
    assert!(!text("message").is_empty() && !text("type").is_empty(), "{what}: {error}");
    assert!(!text("requestId").is_empty(), "{what}: {error}");
    assert_eq!(reply.header("x-request-id"), text("requestId"), "{what}");
    assert_eq!(reply.header("content-type"), "application/json; charset=utf-8", "{what}");
    assert!(error["details"].is_array(), "{what}: {error}");
    // The answer shows neither internals nor long parts of the input.
    for inside in ["DynamoDB", "dynamodb", "aws", "Sdk", "panicked", "serde", "src/", "test-"] {
        assert!(!reply.text.contains(inside), "{what}: {inside} in {}", reply.text);
    }
}

/// Returns values of a wrong type or an absurd size, for a field.
fn wrong(field: &str) -> Vec<Value> {
    let many = |value: Value| Value::Array(vec![value; 1001]);
    let mut values = vec![json!({}), json!({"a": 1})];
    // `null` is documented as "no managers", but is refused as the only field of a filter.
    values.extend((field != "managerList").then_some(Value::Null));
    values.extend(match field {
        "isShared" | "isPrivate" => {
            vec![json!("true"), json!("false"), json!(0), json!(1), json!([]), json!([true]), json!("")]
        }
        "managerList" => vec![
            json!(""),
            json!(MIKE),
            json!(1),
            json!(true),
            json!([1]),
            json!([null]),
            json!([[]]),
            json!([""]),
            json!(["mike"]),
            json!([MIKE, "9924256a-739c-462b-af15"]),
            json!(["x".repeat(100_000)]),
            many(json!(MIKE)),
        ],
        "tags" => vec![
            json!("vip"),
            json!(1),
            json!(true),
            json!([1]),
            json!([null]),
            json!([["vip"]]),
            json!([""]),
            json!(["vip", "  \t"]),
            json!(["x".repeat(256)]),
            json!(["ä".repeat(128)]),
            json!(["x".repeat(500_000)]),
            many(json!("vip")),
        ],
        "contactStage" | "contactType" => vec![
            json!("1"),
            json!(""),
            json!(true),
            json!(1.5),
            json!(2_147_483_648_i64),
            json!(-2_147_483_649_i64),
            json!(1e300),
            json!(["1"]),
            json!([null]),
            json!([1.5]),
            json!([2_147_483_648_i64]),
            json!([[1]]),
            many(json!(1)),
        ],
        "contactListView" => vec![
            json!(4),
            json!(-1),
            json!(1.5),
            json!(2_147_483_648_i64),
            json!(""),
            json!("Everyone"),
            json!("1"),
            json!(true),
            json!([]),
            json!([1]),
            json!("x".repeat(100_000)),
        ],
        "fromDate" | "toDate" => vec![
            json!(""),
            json!("string"),
            json!("yesterday"),
            json!("2020-13-01"),
            json!("2020-02-30"),
            json!("20201208"),
            json!("2020-12-08T25:00:00Z"),
            json!("10000-01-01"),
            json!("0000-01-01"),
            json!(0),
            json!(20_201_208),
            json!(true),
            json!(["2020-12-08"]),
            json!("2".repeat(100_000)),
        ],
        other => panic!("{other} has no wrong values here"),
    });
    values
}

const FIELDS: [(&str, &[&str], &str); 2] = [
    ("1/access", &["isShared", "managerList"], "isShared"),
    (
        "filter/access",
        &["tags", "contactStage", "contactType", "contactListView", "fromDate", "toDate", "isPrivate", "managerList"],
        "isPrivate",
    ),
];

#[tokio::test]
async fn each_field_accepts_only_its_own_type() {
    let watched = Watched::new().await;
    for (path, fields, required) in FIELDS {
        for &field in fields {
            for value in wrong(field) {
                let mut body = Map::from_iter([(required.to_owned(), json!(true))]);
                body.insert(field.to_owned(), value);
                watched.refused_for(path, &Value::Object(body), field).await;
            }
        }
        watched.refused_for(path, &json!({"managerList": [MIKE]}), required).await;
    }
    watched.unchanged().await;
}

#[tokio::test]
async fn unknown_field_is_refused_with_the_nearest_name() {
    let watched = Watched::new().await;
    for (path, known, misspelt, near) in [
        ("1/access", json!({"isShared": false}), "managerlists", "managerList"),
        ("1/access", json!({"isShared": false}), "managers", "managerList"),
        ("1/access", json!({"isShared": false}), "is_shared", "isShared"),
        ("1/access", json!({}), "isshred", "isShared"),
        ("filter/access", json!({"isPrivate": true}), "tag", "tags"),
        ("filter/access", json!({"isPrivate": true}), "tagz", "tags"),
        ("filter/access", json!({"isPrivate": true}), "contactStages", "contactStage"),
        ("filter/access", json!({"isPrivate": true}), "contacttypes", "contactType"),
        ("filter/access", json!({"isPrivate": true}), "listView", "contactListView"),
        ("filter/access", json!({"isPrivate": true}), "from", "fromDate"),
        ("filter/access", json!({"isPrivate": true}), "to_date", "toDate"),
        ("filter/access", json!({}), "is_private", "isPrivate"),
        ("filter/access", json!({"isPrivate": true}), "managerlst", "managerList"),
    ] {
        let mut body = known;
        body[misspelt] = json!(["vip"]);
        watched.refused_for(path, &body, misspelt).await;
        let reply = watched.refused("misspelt", Watched::put(path), body.to_string(), 400, "invalid-request").await;
        let message = reply.json()["error"]["details"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(&format!("did you mean {near}?")), "{misspelt}: {message}");
    }
    // Fields of the other endpoint and unknown names are refused.
    for (path, body, field) in [
        ("1/access", json!({"isShared": true, "isPrivate": true}), "isPrivate"),
        ("filter/access", json!({"isPrivate": true, "isShared": true}), "isShared"),
        ("filter/access", json!({"isPrivate": true, "filterValue": "a"}), "filterValue"),
        ("filter/access", json!({"isPrivate": true, "__proto__": {}}), "__proto__"),
        ("filter/access", json!({"isPrivate": true, "": 1}), "\"\""),
    ] {
        watched.refused_for(path, &body, field).await;
    }
    let long = "x".repeat(100_000);
    let body = json!({"isPrivate": true, long: 1}).to_string();
    let reply = watched.refused("a long name", Watched::put("filter/access"), body, 400, "invalid-request").await;
    assert!(reply.text.len() < 2000, "{} bytes", reply.text.len());
    watched.unchanged().await;
}

#[tokio::test]
async fn unknown_or_invalid_query_parameter_is_refused() {
    let watched = Watched::new().await;
    let body =
        |path: &str| if path.starts_with("filter") { json!({"isPrivate": true}) } else { json!({"isShared": false}) };
    for (path, field) in [
        ("1/access?dryrn=true", "dryrn"),
        ("filter/access?dryrn=true", "dryrn"),
        ("filter/access?dry_run=true", "dry_run"),
        ("1/access?count=5", "count"),
        ("1/access?dryRun=yes", "dryRun"),
        ("1/access?dryRun", "dryRun"),
        ("filter/access?dryRun=2", "dryRun"),
        ("filter/access?dryRun=true&dryRun=false", "dryRun"),
        ("filter/access?maxAffected=-1", "maxAffected"),
        ("filter/access?maxAffected=ten", "maxAffected"),
        ("filter/access?maxAffected=99999999999999999999", "maxAffected"),
        ("filter/access?maxAfected=1", "maxAfected"),
        ("filter/access?count=-1", "count"),
        ("filter/access?count=", "count"),
        ("filter/access?startIndex=2147483648", "startIndex"),
        ("filter/access?startIndex=1.5", "startIndex"),
        ("filter/access?tags=vip", "tags"),
        ("filter/access?%FF=1", "\u{fffd}"),
        (&format!("filter/access?filterValue={}", "x".repeat(1025)), "filterValue"),
        ("filter/access?filterValue=", "filterValue"),
        ("filter/access?filterValue=%20%20", "filterValue"),
        ("filter/access?filterValue=%09%E2%80%8B%EF%BB%BF%C2%A0", "filterValue"),
    ] {
        watched.refused_for(path, &body(path), field).await;
    }
    let reply = watched.refused("", Watched::put("1/access?dryrn=true"), "{}", 400, "invalid-request").await;
    assert!(reply.text.contains("did you mean dryRun?"), "{}", reply.text);
    watched.unchanged().await;
}

#[tokio::test]
async fn body_that_is_no_json_object_is_refused() {
    let watched = Watched::new().await;
    let nested = "[".repeat(200_000);
    for path in ["1/access", "filter/access"] {
        for body in [
            b"".as_slice(),
            b"   \n",
            b"{",
            b"}",
            b"[]",
            b"[{\"isShared\":true}]",
            b"null",
            b"true",
            b"5",
            b"\"isShared\"",
            b"{\"isShared\":true,}",
            b"{'isShared':true}",
            b"{isShared:true}",
            b"{\"isShared\":True}",
            b"{\"isShared\":true} {}",
            b"{\"isShared\":1e999}",
            b"isShared=true",
            b"<isShared>true</isShared>",
            b"{\"isShared\":\"\xff\xfe\"}",
            b"\xff",
            b"\xef\xbb\xbf{}",
            b"{\"isShared\":true,\"managerList\":[\"\\ud800\"]}",
            nested.as_bytes(),
        ] {
            let what = format!("{path} {:.60}", String::from_utf8_lossy(body));
            watched.refused(&what, Watched::put(path), body.to_vec(), 400, "invalid-request").await;
        }
    }
    watched.unchanged().await;
}

#[tokio::test]
async fn body_without_a_json_content_type_is_refused() {
    let watched = Watched::new().await;
    for path in ["1/access", "filter/access"] {
        for content_type in [
            "text/plain",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/json; charset=iso-8859-1",
            "application/jsonx",
            "json",
            "",
        ] {
            let request = Request::put(format!("{PREFIX}{path}"))
                .header("authorization", ADA_TOKEN)
                .header("content-type", content_type);
            let body = "{\"isShared\":false}";
            watched.refused(content_type, request, body, 415, "unsupported-media-type").await;
        }
        // The content type that curl sends with JSON by default.
        let request = Request::put(format!("{PREFIX}{path}"))
            .header("authorization", ADA_TOKEN)
            .header("content-type", "application/x-www-form-urlencoded");
        let reply = watched.refused("JSON as a form", request, "{\"isShared\":false}", 400, "invalid-request").await;
        assert!(reply.text.contains("Content-Type: application/json"), "{}", reply.text);
    }
    watched.unchanged().await;
}

#[tokio::test]
async fn body_over_the_limit_is_refused_and_body_at_the_limit_is_read() {
    const LIMIT: usize = 1024 * 1024;
    let watched = Watched::new().await;
    let padded = |body: &str, bytes: usize| format!("{body}{}", " ".repeat(bytes - body.len()));
    for (path, body) in
        [("1/access", "{\"isShared\":true}"), ("filter/access", "{\"tags\":[\"none\"],\"isPrivate\":true}")]
    {
        for bytes in [LIMIT + 1, 2 * LIMIT, 11 * LIMIT] {
            watched.refused(path, Watched::put(path), padded(body, bytes), 413, "body-too-large").await;
        }
        let request = Watched::put(&format!("{path}?dryRun=true")).body(Body::from(padded(body, LIMIT))).unwrap();
        let reply = watched.world.request(request).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    }
    watched.unchanged().await;
}

#[tokio::test]
async fn contact_identifier_is_a_positive_int32() {
    let watched = Watched::new().await;
    for id in [
        "",
        "0",
        "-1",
        "+1",
        "2147483648",
        "-2147483648",
        "99999999999999999999",
        "abc",
        "1.5",
        "1e3",
        "0x1",
        "1,2",
        "%20",
        "1%20",
        "%D9%A1",
        "..%2F1",
        "1%2F..",
        "{contactid}",
        "%7Bcontactid%7D",
        "%00",
        "%FF",
    ] {
        let id = id.replace('{', "%7B").replace('}', "%7D");
        let path = format!("{id}/access");
        let body = json!({"isShared": false});
        let digits = id.strip_prefix('-').unwrap_or(&id);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            watched.refused_for(&path, &body, "contactid").await;
        } else {
            // A path without a valid contact identifier does not exist.
            watched.refused(&path, Watched::put(&path), body.to_string(), 404, "endpoint-not-found").await;
        }
    }
    for (id, status) in [("2147483647", 404), ("0000000001", 200), ("%31", 200)] {
        let reply = watched.world.put(&format!("{id}/access?dryRun=true"), ADA_TOKEN, &json!({"isShared": true})).await;
        assert_eq!(reply.unwrap().status, status, "{id}");
    }
    watched.unchanged().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let watched = Watched::new().await;
    let body = "{\"isShared\":false,\"isPrivate\":true}";
    for path in [
        "/index.html",
        "/console/app.js",
        "/api/2.0/crm/contact",
        "/api/2.0/crm/contact/1/2/access",
        "/api/2.0/crm/contact/1/acces",
        "/API/2.0/crm/contact/1/access",
        "/api/1.0/crm/contact/1/access",
        "/api/2.0/crm/contact/filter/access/1",
        "/api/2.0/crm/contact/byname",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        let request = Request::put(path).header("authorization", ADA_TOKEN).header("content-type", "application/json");
        let reply = watched.refused(path, request, body, 404, "endpoint-not-found").await;
        assert_eq!(reply.header("allow"), "", "{path}");
    }
    for (path, allowed) in [("1/access", "GET, PUT"), ("1", "GET"), ("filter", "GET"), ("filter/access.json", "PUT")] {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if allowed.contains(method) {
                continue;
            }
            let request = Request::builder()
                .method(method)
                .uri(format!("{PREFIX}{path}"))
                .header("authorization", ADA_TOKEN)
                .header("content-type", "application/json");
            let reply = watched.refused(method, request, body, 405, "method-not-allowed").await;
            assert_eq!(reply.header("allow"), allowed, "{method} {path}");
        }
        // The answer to HEAD has no body.
        let reply = watched.world.call("HEAD", &format!("{PREFIX}{path}"), ADA_TOKEN, &[], "").await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, allowed), "HEAD {path}");
    }
    watched.unchanged().await;
}

#[tokio::test]
async fn failures_are_written_in_xml_on_request() {
    let watched = Watched::new().await;
    for (path, method, body, status, kind) in [
        ("1/access", "PUT", "{\"isShared\":1}", 400, "invalid-request"),
        ("filter/access", "PUT", "{\"tag\":[\"<&>\"]}", 400, "invalid-request"),
        ("99/access", "PUT", "{\"isShared\":true}", 404, "contact-not-found"),
        ("1/access", "DELETE", "", 405, "method-not-allowed"),
        ("1/nothing", "PUT", "", 404, "endpoint-not-found"),
    ] {
        for accept in ["text/xml", "application/xml"] {
            let request = Request::builder()
                .method(method)
                .uri(format!("{PREFIX}{path}"))
                .header("authorization", ADA_TOKEN)
                .header("accept", accept);
            let reply = watched.world.request(request.body(Body::from(body)).unwrap()).await.unwrap();
            assert_eq!(reply.status, status, "{}", reply.text);
            assert_eq!(reply.header("content-type"), format!("{accept}; charset=utf-8"));
            let start = format!("<result><status>1</status><statusCode>{status}</statusCode><error><message>");
            assert!(reply.text.starts_with(&start), "{}", reply.text);
            assert!(reply.text.contains(&format!("<type>{kind}</type>")), "{}", reply.text);
            let request_id = format!("<requestId>{}</requestId></error></result>", reply.header("x-request-id"));
            assert!(reply.text.ends_with(&request_id), "{}", reply.text);
        }
    }
    watched.unchanged().await;
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_forbids_caching() {
    let watched = Watched::new().await;
    let mut request_ids = std::collections::HashSet::new();
    for (path, body) in
        [("1/access", "{\"isShared\":true}"), ("filter/access?dryRun=true", "{\"isPrivate\":true}"), ("x", "")]
    {
        let request = Watched::put(path).body(Body::from(body)).unwrap();
        let reply = watched.world.request(request).await.unwrap();
        assert!(request_ids.insert(reply.header("x-request-id").to_owned()), "{path}");
        assert_eq!(reply.header("cache-control"), "private, no-store", "{path}");
    }
    assert!(!request_ids.contains(""));
}

/// Returns a strategy for any JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["vip", "2020-12-08", "2020-12-08T01:02:03Z", "Company", "9999-12-31", "0001-01-01"])
            .prop_map(Value::from),
        Just(json!(MIKE)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "isShared",
        "isPrivate",
        "managerList",
        "tags",
        "contactStage",
        "contactType",
        "contactListView",
        "fromDate",
        "toDate",
        "tag",
    ]);
    let object = prop::collection::vec((names, value()), 0..5)
        .prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
    prop_oneof![
        6 => object.prop_map(|body| body.to_string().into_bytes()),
        1 => value().prop_map(|body| body.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Percent-encodes a text for a URI.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn query() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => prop::sample::select(vec!["dryRun", "count", "startIndex", "maxAffected", "filterValue"]).prop_map(str::to_owned),
        1 => ".{0,6}",
    ];
    let value = prop_oneof![
        2 => prop::sample::select(vec!["true", "false", "0", "3", "1000", "2147483647"]).prop_map(str::to_owned),
        1 => ".{0,10}",
    ];
    prop::collection::vec((name, value), 0..3).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect::<Vec<_>>().join("&")
    })
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("filter".to_owned()),
        4 => (0i64..6).prop_map(|id| id.to_string()),
        1 => ".{0,8}".prop_map(|text| escaped(&text)),
    ]
}

#[test]
fn any_request_gets_an_answer_without_an_internal_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let watched = runtime.block_on(Watched::new());
    let header = prop::option::of(prop_oneof![
        prop::sample::select(vec!["*/*", "text/xml", "application/json", "*", "\"0\"", "W/\"x\"", "a;q=", ","])
            .prop_map(str::to_owned),
        "[ -~]{0,20}",
    ]);
    let names = prop::sample::select(vec!["accept", "content-type", "if-match", "content-length", "x-any"]);
    let request = (segment(), query(), names, header, body());
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner
        .run(&request, |(segment, query, name, value, body)| {
            let request = Watched::put(&format!("{segment}/access?{query}"));
            let request = value.iter().fold(request, |request, value| request.header(name, value.as_str()));
            let request = request.body(Body::from(body)).map_err(|error| TestCaseError::reject(error.to_string()))?;
            let reply =
                runtime.block_on(watched.world.request(request)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(!reply.status.is_server_error(), "{} {}", reply.status, reply.text);
            prop_assert!(!reply.header("x-request-id").is_empty());
            Ok(())
        })
        .unwrap();
}
