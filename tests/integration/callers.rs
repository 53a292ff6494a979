//! Authentication and authorization of every endpoint: tokens, scopes, portals, and the table of answers to each
//! caller.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use api::Endpoint;
use axum::body::Body;
use lambda_http::http::Request;
use local::endpoints;
use models::access::ShareType;
use models::directory::Scope;
use models::job::{Job, JobId, State};
use models::rule::Rule;
use models::sign_in::password::{Password, SALT_BYTES};
use models::values::id::UserId;
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::contacts::AccessState;
use tests::{Reply, World, cases};
use uuid::Uuid;

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, READER_TOKEN, SAM, SAM_TOKEN, ZOE, ZOE_TOKEN, access, access_of, acme, acme_with,
    contact, contact_with, lines, private, signing_in, zenith,
};

/// The function whose endpoints concern jobs and rules. The others set the access of contact 1.
const JOBS: &str = "access-jobs";

/// The job and the rule that a call names.
#[derive(Debug)]
pub(crate) struct About {
    job: JobId,
    rule: String,
}

impl About {
    /// Returns a job and a rule that do not exist.
    fn none() -> Self {
        Self { job: Uuid::now_v7().into(), rule: Uuid::now_v7().to_string() }
    }

    /// Creates a job and a rule like [`Self::made`] if a call of the endpoint needs one.
    pub(crate) async fn named(world: &World, endpoint: &Endpoint, token: &str) -> Self {
        let needs = ["{jobid}", "{name}", "/latest"].iter().any(|part| endpoint.path.contains(part));
        if needs { Self::made(world, endpoint, token).await } else { Self::none() }
    }

    /// Creates a job and a rule of the owner of `token`, for a call of the endpoint. For a cancel the job is queued.
    /// For an apply the job is a finished preview. Otherwise the job has changed contact 9, which only such jobs
    /// change.
    pub(crate) async fn made(world: &World, endpoint: &Endpoint, token: &str) -> Self {
        let acme = crate::portal::portal("acme", "Europe/Riga", 4);
        let nine = contact_with(9, ShareType::ReadWrite, &[]);
        world.import_as(&lines([acme, nine]), true).await.unwrap();
        let waits = [("prefer", "respond-async")];
        let of_none = json!({"tags": ["none"], "isPrivate": true});
        let (path, body, headers) = match endpoint.path.rsplit('/').next() {
            Some("cancel") => ("filter/access", of_none, &waits[..]),
            Some("apply") => ("filter/access?dryRun=true", of_none, &waits[..]),
            _ => ("9/access", json!({"isShared": true, "managerList": [SAM]}), &[][..]),
        };
        let reply = world.put_with(path, token, &body.to_string(), headers).await.unwrap();
        if path.contains("dryRun") {
            world.work().await.unwrap();
        }
        let job = crate::portal::job(&reply).unwrap_or_else(|| panic!("{}", reply.text));
        // Each token has one rule, because a user has a limited number of rules. The rule is created again, because an
        // earlier call may have changed its owner.
        let rule = format!("of-{token}");
        if endpoint.path.ends_with("/snapshots/latest") {
            // The token may have ended; then an earlier snapshot exists.
            let started = world.post("snapshots", ADA_TOKEN).await.unwrap();
            assert!(!started.status.is_server_error(), "{}", started.text);
            world.work().await.unwrap();
        }
        let gone = world.access_with("DELETE", &format!("rules/{rule}"), ADA_TOKEN, "", &[]).await.unwrap();
        assert!(!gone.status.is_server_error(), "{}", gone.text);
        let reply =
            world.access_with("PUT", &format!("rules/{rule}"), token, &rule_of(&json!([])).to_string(), &[]).await;
        assert_eq!(reply.unwrap().status, 200);
        Self { job, rule }
    }
}

fn rule_of(managers: &Value) -> Value {
    json!({"filter": {"tags": ["cell"]}, "target": {"isPrivate": true, "managerList": managers}, "cron": "0 2 * * *"})
}

/// Returns a call of an endpoint, with `managers` if the endpoint accepts managers. A change of access makes contact 1
/// private.
pub(crate) fn call(endpoint: &Endpoint, route: &str, about: &About, managers: &Value) -> (String, Value) {
    let mut query = "";
    let body = match (endpoint.function, endpoint.method) {
        ("set-contact-access", "PUT") => json!({"isShared": false, "managerList": managers}),
        ("set-contacts-access", "PUT") => json!({"contactid": [1], "isShared": false, "managerList": managers}),
        ("set-filter-access", "PUT") => json!({"tags": ["cell"], "isPrivate": true, "managerList": managers}),
        (JOBS, "PUT") => rule_of(managers),
        ("session", "DELETE") => Value::Null,
        ("session", "POST") if endpoint.path.ends_with("/code") => Value::Null,
        ("session", "POST") => json!({"userName": EMAIL, "password": PASSWORD}),
        ("list-contacts", "GET") if endpoint.path.ends_with("/filter") => {
            query = "?tags=cell";
            Value::Null
        }
        ("list-contacts", "GET") => Value::Null,
        (JOBS, "GET") if endpoint.path.ends_with("/schedule") => {
            query = "?cron=0+2+*+*+*";
            Value::Null
        }
        ("get-contact" | "session", "GET") | (JOBS, "GET" | "POST" | "DELETE") => Value::Null,
        other => panic!("{other:?} has no call here: give it one, so that its callers are tested"),
    };
    let path = route.replace("{contactid}", "1").replace("{name}", &about.rule).replace("{userid}", "@self");
    (path.replace("{jobid}", &about.job.to_string()) + query, body)
}

async fn send(
    world: &World,
    endpoint: &Endpoint,
    authorization: Option<&str>,
    about: &About,
    managers: &Value,
) -> Reply {
    send_to(world, endpoint, endpoint.path, authorization, about, managers).await
}

async fn send_to(
    world: &World,
    endpoint: &Endpoint,
    route: &str,
    authorization: Option<&str>,
    about: &About,
    managers: &Value,
) -> Reply {
    let (path, body) = call(endpoint, route, about, managers);
    let request = Request::builder().method(endpoint.method).uri(path);
    let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
    let request = match body {
        Value::Null => request.body(Body::empty()),
        body => request.header("content-type", "application/json").body(Body::from(body.to_string())),
    };
    world.request(request.unwrap()).await.unwrap()
}

/// Returns the endpoints that require a token, with the scope required. Endpoints without a scope come last, because
/// signing out ends the token.
fn guarded() -> impl Iterator<Item = (&'static Endpoint, Option<Scope>)> {
    let of = |with_scope: bool| {
        let asking = endpoints().filter(|endpoint| endpoint.needs_token()).map(|endpoint| (endpoint, endpoint.scope()));
        asking.filter(move |(_, scope)| scope.is_some() == with_scope)
    };
    of(true).chain(of(false))
}

/// Returns the endpoints that require a scope.
fn scoped() -> impl Iterator<Item = (&'static Endpoint, Scope)> {
    guarded().filter_map(|(endpoint, scope)| Some((endpoint, scope?)))
}

/// Returns whether the endpoint sets access.
fn sets_access(endpoint: &Endpoint) -> bool {
    endpoint.method == "PUT" && endpoint.function != JOBS
}

/// The state of a portal that the calls could change.
#[derive(Debug, PartialEq)]
struct PortalState {
    access: BTreeMap<i32, AccessState>,
    jobs: Vec<Job>,
    rules: Vec<Rule>,
}

impl PortalState {
    async fn of(world: &World, portal: &str) -> Self {
        let id = crate::portal::id(portal);
        Self {
            access: access(world, portal, 1..=9).await,
            jobs: world.jobs_of(&id, None).await.unwrap(),
            rules: world.rules_of(&id).await.unwrap(),
        }
    }
}

fn tagged(id: i64) -> Value {
    contact(id, json!({"Tags": ["cell"]}))
}

/// Checks that every endpoint that requires a token refuses each of the `Authorization` headers, and that no such call
/// changes the portal.
async fn refused(world: &World, authorizations: &[Option<&str>]) {
    for (endpoint, _) in guarded() {
        let about = About::named(world, endpoint, MIKE_TOKEN).await;
        let (before, writes) = (PortalState::of(world, "acme").await, world.trips.spent().writes);
        for authorization in authorizations {
            let reply = send(world, endpoint, *authorization, &about, &json!([])).await;
            assert_eq!(reply.status, 401, "{authorization:?} {}: {}", endpoint.path, reply.text);
            assert_eq!(reply.error_type(), "unauthenticated", "{authorization:?}");
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"crm-access\"", "{authorization:?}");
            assert_eq!(world.trips.spent().writes, writes, "{authorization:?}");
        }
        assert_eq!(PortalState::of(world, "acme").await, before, "{}", endpoint.path);
    }
}

async fn admitted(world: &World, authorization: &str) {
    for (endpoint, _) in scoped() {
        // Only the user of a preview may apply the preview.
        let own = authorization.split_whitespace().last().unwrap();
        let author = if endpoint.path.ends_with("/apply") { own } else { MIKE_TOKEN };
        let about = About::named(world, endpoint, author).await;
        let reply = send(world, endpoint, Some(authorization), &about, &json!([])).await;
        assert!(reply.status.is_success(), "{authorization} {}: {}", endpoint.path, reply.text);
    }
}

#[tokio::test]
async fn calls_without_a_valid_token_are_refused() {
    let world = acme_with([tagged(1)]).await;
    let authorizations = [
        None,
        Some(""),
        Some("   "),
        Some("Bearer"),
        Some("Bearer "),
        Some("Basic x"),
        Some("Basic YWRhOnB3"),
        Some("no-such-token-0123456789abcdef0123456789"),
        Some("Bearer no-such-token-0123456789abcdef0123456789"),
        Some(&format!("Basic {ADA_TOKEN}")),
        Some(&format!("Bearer Bearer {ADA_TOKEN}")),
        Some(&format!("{ADA_TOKEN} {ADA_TOKEN}")),
        Some(&format!("{ADA_TOKEN}x")),
        Some(&ADA_TOKEN[1..]),
        Some(&ADA_TOKEN.to_uppercase()),
        // The table stores a token's SHA-256, which is no valid token.
        Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ];
    refused(&world, &authorizations).await;
    assert_eq!(access_of(&world, 1).await.revision, None);
}

#[tokio::test]
async fn stored_hash_of_a_token_is_refused_as_a_token() {
    let world = acme_with([tagged(1)]).await;
    let listed = world.store.tokens(&crate::portal::id("acme")).await.unwrap();
    assert_eq!(listed.len(), 4);
    let hashes: Vec<_> = listed.iter().map(|token| Some(token.hash.as_str())).collect();
    refused(&world, &hashes).await;
}

#[tokio::test]
async fn token_is_accepted_with_or_without_bearer() {
    let world = acme_with([tagged(1)]).await;
    for authorization in [
        ADA_TOKEN.to_owned(),
        format!("Bearer {ADA_TOKEN}"),
        format!("bearer {ADA_TOKEN}"),
        format!("BEARER   {ADA_TOKEN}"),
        format!("  {ADA_TOKEN} "),
    ] {
        admitted(&world, &authorization).await;
    }
}

#[tokio::test]
async fn expired_token_is_refused() {
    const EXPIRING: &str = "ada-until-2040-0123456789abcdef0123456789";
    let token = json!({"token": {"Token": EXPIRING, "UserId": ADA, "Scopes": ["read", "write"],
        "Expires": "2040-05-01T12:00:00Z"}});
    let world = acme_with([token, tagged(1)]).await;
    let at = |text: &str| world.set_clock(text.parse::<Timestamp>().unwrap());
    at("2040-05-01T11:59:59.9999999Z");
    admitted(&world, EXPIRING).await;
    // The token is cached, and the service still checks its expiry.
    at("2040-05-01T12:00:00Z");
    refused(&world, &[Some(EXPIRING)]).await;
    at("2041-01-01T00:00:00Z");
    refused(&world, &[Some(EXPIRING)]).await;
    admitted(&world, ADA_TOKEN).await;
}

#[tokio::test]
async fn revoked_token_is_refused() {
    const OTHER: &str = "ada-has-another-0123456789abcdef0123456789";
    let mut values = acme();
    values.extend([crate::portal::token(OTHER, ADA, &["read", "write"]), tagged(1)]);
    let world = World::with_token_cache(Duration::ZERO).await.unwrap();
    world.import(&lines(values)).await.unwrap();
    admitted(&world, ADA_TOKEN).await;
    assert!(world.store.revoke_token(ADA_TOKEN).await.unwrap());
    refused(&world, &[Some(ADA_TOKEN)]).await;
    // A repeated revocation completes an interrupted one.
    assert!(world.store.revoke_token(ADA_TOKEN).await.unwrap());
    assert!(!world.store.revoke_token("no-such-token-0123456789abcdef0123456789").await.unwrap());
    admitted(&world, OTHER).await;
}

/// Returns whether a token is valid.
async fn counts(world: &World, token: &str) -> bool {
    world.call("GET", "/api/2.0/people/@self", token, &[], "").await.unwrap().status == 200
}

/// Ways to end all tokens of a user.
const WAYS_TO_END: [&str; 4] = ["another password", "every token revoked", "a line with another password", "removal"];

#[tokio::test]
async fn new_password_or_removal_of_a_user_ends_its_tokens() {
    for way in WAYS_TO_END {
        // The world caches tokens for an hour, but the user's record shows that the tokens have ended.
        let world = acme_with([signing_in(ADA, "Ada", true, EMAIL, PASSWORD), tagged(1)]).await;
        let (acme, now) = (crate::portal::id("acme"), world.app.now());
        assert!(counts(&world, ADA_TOKEN).await && counts(&world, READER_TOKEN).await);
        let hash = Password::check("another password").unwrap().hash(&[8; SALT_BYTES]).unwrap();
        match way {
            "another password" => assert!(world.store.set_password(&acme, ADA, &hash, now).await.unwrap().is_some()),
            "every token revoked" => assert!(world.store.end_tokens(&acme, ADA, now).await.unwrap().is_some()),
            "a line with another password" => {
                let line = signing_in(ADA, "Ada", true, EMAIL, "another password");
                world.import(&lines([crate::portal::portal("acme", "Europe/Riga", 4), line])).await.unwrap();
            }
            _ => {
                let line = json!({"delete": {"user": ADA}});
                world.import(&lines([crate::portal::portal("acme", "Europe/Riga", 4), line])).await.unwrap();
            }
        }
        refused(&world, &[Some(ADA_TOKEN), Some(READER_TOKEN)]).await;
        assert!(counts(&world, MIKE_TOKEN).await, "{way}");
        if way == "removal" {
            continue;
        }
        // Loading the file again restores no token. A token created now is valid.
        const LATER: &str = "ada-has-another-0123456789abcdef0123456789";
        let mut values = acme_lines();
        values.push(crate::portal::token(LATER, ADA, &["write"]));
        world.import(&lines(values)).await.unwrap();
        refused(&world, &[Some(ADA_TOKEN)]).await;
        assert!(counts(&world, LATER).await, "{way}");
        // The clock has not moved: an end covers all tokens created before it, even with an equal timestamp.
        world.store.end_tokens(&acme, ADA, now).await.unwrap();
        refused(&world, &[Some(LATER)]).await;
    }
}

/// Returns the lines of `acme` without stages and types.
fn acme_lines() -> Vec<Value> {
    acme().into_iter().filter(|line| line.get("stage").is_none() && line.get("type").is_none()).collect()
}

#[tokio::test]
async fn invalid_call_with_an_ended_token_is_unauthenticated() {
    let world = acme_with([tagged(1)]).await;
    world.store.end_tokens(&crate::portal::id("acme"), ADA, world.app.now()).await.unwrap();
    for (endpoint, _) in guarded() {
        let (path, _) = call(endpoint, endpoint.path, &About::none(), &json!([]));
        let path = format!("{path}{}nonsense=1", if path.contains('?') { '&' } else { '?' });
        for token in [ADA_TOKEN, READER_TOKEN] {
            let reply = world.call(endpoint.method, &path, token, &[("accept", "image/png")], "{").await.unwrap();
            assert_eq!(reply.status, 401, "{token} {} {path}: {}", endpoint.method, reply.text);
        }
    }
}

#[tokio::test]
async fn ended_token_gets_no_replay() {
    let world = acme_with([tagged(1)]).await;
    for (endpoint, scope) in scoped() {
        if scope == Scope::Read {
            continue;
        }
        let about = About::made(&world, endpoint, ADA_TOKEN).await;
        let (path, body) = call(endpoint, endpoint.path, &about, &json!([MIKE]));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let key = Uuid::now_v7().to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", &key)];
        let reply = world.call(endpoint.method, &path, ADA_TOKEN, &headers, &body).await.unwrap();
        assert!(reply.status.is_success(), "{path}: {}", reply.text);
        world.store.end_tokens(&crate::portal::id("acme"), ADA, world.app.now()).await.unwrap();
        let reply = world.call(endpoint.method, &path, ADA_TOKEN, &headers, &body).await.unwrap();
        assert_eq!(reply.status, 401, "{path}: {}", reply.text);
        // The next endpoint needs a valid token.
        revive(&world, ADA).await;
    }
}

/// Makes the ended tokens of a user valid again. Only a test can do this.
async fn revive(world: &World, user: UserId) {
    let (pk, sk) = store::keys::Key::User(crate::portal::id("acme"), user).encode();
    let key = [(store::keys::PK, pk), (store::keys::SK, sk)]
        .map(|(name, value)| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value)));
    let update = world.client.update_item().table_name(&world.table).set_key(Some(key.into()));
    update.update_expression("REMOVE tokens_valid_from").send().await.unwrap();
}

#[tokio::test]
async fn sign_out_ends_only_its_own_token() {
    let world = acme_with([tagged(1)]).await;
    for (token, route) in [(ADA_TOKEN, ""), (READER_TOKEN, ".json"), (MIKE_TOKEN, ".xml")] {
        let path = format!("/api/2.0/authentication{route}");
        assert_eq!(world.call("GET", "/api/2.0/people/@self", token, &[], "").await.unwrap().status, 200, "{token}");
        let reply = world.call("DELETE", &path, token, &[], "").await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""), "{token}");
        // At least this process no longer accepts the token.
        for method in ["GET", "DELETE"] {
            let path = if method == "GET" { "/api/2.0/people/@self" } else { &path };
            assert_eq!(world.call(method, path, token, &[], "").await.unwrap().status, 401, "{token} {method}");
        }
    }
    let listed = world.store.tokens(&crate::portal::id("acme")).await.unwrap();
    assert_eq!(listed.iter().filter(|token| !token.has_ended).count(), 1);
    assert_eq!(world.call("GET", "/api/2.0/people/@self", SAM_TOKEN, &[], "").await.unwrap().status, 200);
}

#[tokio::test]
async fn token_without_the_scope_is_refused() {
    const WRITER_TOKEN: &str = "ada-only-writes-0123456789abcdef0123456789";
    let world = acme_with([crate::portal::token(WRITER_TOKEN, ADA, &["write"]), tagged(1)]).await;
    for (endpoint, scope) in scoped() {
        // Each endpoint starts from the same contact.
        let acme = crate::portal::portal("acme", "Europe/Riga", 4);
        world.import_as(&lines([acme, tagged(1)]), true).await.unwrap();
        let about = About::made(&world, endpoint, ADA_TOKEN).await;
        let before = PortalState::of(&world, "acme").await;
        // GET requires the read scope, every other method the write scope.
        assert_eq!(scope == Scope::Read, endpoint.method == "GET", "{}", endpoint.path);
        let reply = send(&world, endpoint, Some(READER_TOKEN), &about, &json!([MIKE])).await;
        if scope == Scope::Write {
            let outcome = (reply.status.as_u16(), reply.error_type());
            assert_eq!(outcome, (403, "scope-missing".into()), "{}", endpoint.path);
            let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(scope.name()), "{message}");
        } else {
            assert!(reply.status.is_success(), "{}: {}", endpoint.path, reply.text);
        }
        assert_eq!(PortalState::of(&world, "acme").await, before, "{}", endpoint.path);
        // The write scope includes the read scope.
        let reply = send(&world, endpoint, Some(WRITER_TOKEN), &about, &json!([MIKE])).await;
        assert!(reply.status.is_success(), "{}: {}", endpoint.path, reply.text);
        let is_changed = PortalState::of(&world, "acme").await != before;
        assert_eq!(is_changed, scope == Scope::Write, "{}", endpoint.path);
    }
}

#[tokio::test]
async fn promotion_takes_effect_on_existing_tokens() {
    // A token identifies the user. The directory decides whether the user is an administrator now.
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
    let body = json!({"isShared": false, "managerList": [ADA]});
    assert_eq!(world.put("1/access", SAM_TOKEN, &body).await.unwrap().status, 404);
    let promoted = crate::portal::user(crate::portal::SAM, "Sam", true);
    world.import(&lines([crate::portal::portal("acme", "Europe/Riga", 4), promoted])).await.unwrap();
    assert_eq!(world.put("1/access", SAM_TOKEN, &body).await.unwrap().status, 200);
}

/// Creates both portals, each with contacts 1 and 2 tagged alike. Contact 3 exists in `zenith` only.
async fn two_portals() -> World {
    let mut values = acme();
    values.extend([tagged(1), tagged(2)]);
    values.extend(zenith());
    values.extend([tagged(1), tagged(2), tagged(3)]);
    World::with(&lines(values)).await.unwrap()
}

#[tokio::test]
async fn token_of_one_portal_changes_nothing_in_another() {
    for (endpoint, _) in scoped() {
        let world = two_portals().await;
        let about = About::made(&world, endpoint, ADA_TOKEN).await;
        let (acme, zenith) = (PortalState::of(&world, "acme").await, PortalState::of(&world, "zenith").await);
        let reply = send(&world, endpoint, Some(ZOE_TOKEN), &about, &json!([ZOE])).await;
        // Jobs and rules of another portal do not exist, even for an administrator.
        let names_what_is_there = endpoint.path.contains("{jobid}") || endpoint.path.contains("{name}");
        let is_snapshot = endpoint.path.ends_with("/snapshots");
        let expected = match endpoint.path {
            "/api/2.0/crm/access/snapshots/latest" => 404,
            _ if is_snapshot => 202,
            _ if names_what_is_there && endpoint.method != "PUT" => 404,
            _ => 200,
        };
        assert_eq!(reply.status, expected, "{} {}: {}", endpoint.method, endpoint.path, reply.text);
        match endpoint.path {
            // The contacts of the caller's own portal, which have the same identifiers.
            "/api/2.0/crm/contact/filter" => assert_eq!(reply.ids(), [3, 2, 1]),
            "/api/2.0/crm/contact/{contactid}" => assert_eq!(reply.json()["response"]["id"], 1),
            "/api/2.0/crm/access/schedule" => {}
            "/api/2.0/crm/access/jobs/daily" => {
                let days = reply.response();
                assert!(days.as_array().unwrap().iter().all(|day| day["jobs"] == 0), "{days}");
            }
            "/api/2.0/people/{userid}" => assert_eq!(reply.json()["response"]["id"], ZOE.to_string()),
            "/api/2.0/people" | "/api/2.0/people/filter" => {
                assert!(
                    reply.response().as_array().unwrap().iter().all(|user| user["id"] != json!(MIKE)),
                    "{}",
                    reply.text
                );
            }
            "/api/2.0/crm/contact/simple/filter" => assert_eq!(reply.response().as_array().unwrap().len(), 3),
            _ if endpoint.path.starts_with("/api/2.0/crm/access/") && endpoint.method == "GET" && expected == 200 => {
                assert_eq!(reply.response(), json!([]), "{}", endpoint.path);
            }
            _ => {}
        }
        world.work().await.unwrap();
        assert_eq!(PortalState::of(&world, "acme").await.access, acme.access, "{}", endpoint.path);
        if endpoint.path.ends_with("/cancel") {
            // The queued job of `acme` still ran.
            assert_eq!(PortalState::of(&world, "acme").await.jobs[0].state, State::Done);
        } else {
            assert_eq!(PortalState::of(&world, "acme").await, acme, "{}", endpoint.path);
        }
        let is_changed = PortalState::of(&world, "zenith").await != zenith;
        assert_eq!(is_changed, endpoint.method == "PUT" || is_snapshot, "{}", endpoint.path);

        let zenith = PortalState::of(&world, "zenith").await;
        let about = About::made(&world, endpoint, ADA_TOKEN).await;
        let reply = send(&world, endpoint, Some(ADA_TOKEN), &about, &json!([MIKE])).await;
        assert!(reply.status.is_success(), "{}", reply.text);
        world.work().await.unwrap();
        if sets_access(endpoint) {
            assert_eq!(access_of(&world, 1).await.access, private(&[MIKE]), "{}", endpoint.path);
        }
        assert_eq!(PortalState::of(&world, "zenith").await, zenith, "{}", endpoint.path);
    }
}

#[tokio::test]
async fn token_of_one_portal_finds_nothing_in_another() {
    let world = two_portals().await;
    let reply = world.put("3/access", ADA_TOKEN, &json!({"isShared": true})).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (404, "contact-not-found"));
    assert_eq!(world.put("3/access", ZOE_TOKEN, &json!({"isShared": true})).await.unwrap().status, 200);
    for body in [json!({"isPrivate": true}), json!({"tags": ["cell"], "isPrivate": true})] {
        let reply = world.put("filter/access?dryRun=true", ADA_TOKEN, &body).await.unwrap();
        assert_eq!((reply.ids(), reply.count("x-matched-count")), (vec![2, 1], Some(2)), "{body}");
        let reply = world.put("filter/access?dryRun=true", ZOE_TOKEN, &body).await.unwrap();
        assert_eq!((reply.ids(), reply.count("x-matched-count")), (vec![3, 2, 1], Some(3)), "{body}");
    }
}

#[tokio::test]
async fn users_of_another_portal_are_unknown_managers() {
    let world = two_portals().await;
    let taking_managers: Vec<_> = endpoints().filter(|endpoint| endpoint.method == "PUT").collect();
    assert_eq!(taking_managers.len(), 4);
    for endpoint in taking_managers {
        for (token, manager) in [(ADA_TOKEN, ZOE), (ZOE_TOKEN, MIKE)] {
            let reply = send(&world, endpoint, Some(token), &About::none(), &json!([manager])).await;
            assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (400, "unknown-manager"));
            assert!(reply.text.contains(&manager.to_string()), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn portals_with_a_common_name_prefix_are_separate() {
    let mut values = acme();
    values.push(tagged(1));
    let other = lines(zenith()).replace("zenith", "acme-2");
    let world = World::with(&lines(values)).await.unwrap();
    world.import(&format!("{other}{}", lines([tagged(1), tagged(5)]))).await.unwrap();
    let token = ZOE_TOKEN.replace("zenith", "acme-2");
    for (token, expected) in [(ADA_TOKEN, vec![1]), (token.as_str(), vec![5, 1])] {
        let reply = world.put("filter/access", token, &json!({"tags": ["cell"], "isPrivate": true})).await.unwrap();
        assert_eq!(reply.ids(), expected);
    }
}

/// Returns the number of listed items, if the answer is a list.
fn listed(reply: &Reply) -> Option<usize> {
    if reply.text.starts_with("<result><count>") {
        // A list's items come after the status, a single object within it.
        let (_, count) = reply.text.split_once("<count>")?;
        return count.split_once("</count>")?.0.parse().ok();
    }
    match reply.json() {
        Value::Array(listed) => Some(listed.len()),
        Value::Object(envelope) => envelope.get("count")?.as_u64().and_then(|count| usize::try_from(count).ok()),
        _ => None,
    }
}

/// Returns a cell of the table: the answer, and whether the call changed access, jobs or rules. `known` holds the
/// state before the call, if known. The function replaces `known` with the state after the call.
async fn cell(
    world: &World,
    endpoint: &Endpoint,
    route: &str,
    token: Option<&str>,
    about: &About,
    known: &mut Option<PortalState>,
) -> String {
    let before = match known.take() {
        Some(before) => before,
        None => PortalState::of(world, "acme").await,
    };
    let reply = send_to(world, endpoint, route, token, about, &json!([ADA])).await;
    let after = PortalState::of(world, "acme").await;
    let is_changed = if endpoint.function == JOBS { after != before } else { after.access != before.access };
    *known = Some(after);
    let changed = if is_changed { ", changed" } else { "" };
    let listed = listed(&reply).map(|listed| format!(", lists {listed}")).unwrap_or_default();
    format!("{}{listed}{changed}", reply.status.as_u16())
}

/// The callers of the table, with their tokens.
const CALLERS: [(&str, Option<&str>); 6] = [
    ("administrator", Some(ADA_TOKEN)),
    ("manager", Some(MIKE_TOKEN)),
    ("stranger", Some(SAM_TOKEN)),
    ("read-only token", Some(READER_TOKEN)),
    ("no token", None),
    ("other portal", Some(ZOE_TOKEN)),
];

/// Creates both portals. The administrator of one is an ordinary user of the other.
async fn table_world() -> World {
    let mut values = zenith();
    values.push(crate::portal::user(ADA, "Ada of Zenith", false));
    values.extend(acme());
    values.push(crate::portal::signing_in(ADA, "Ada", true, EMAIL, PASSWORD));
    World::with(&lines(values)).await.unwrap()
}

/// Credentials of the table's administrator.
const EMAIL: &str = "ada@acme.example";
const PASSWORD: &str = "correct horse battery staple";

/// Returns the cells of an endpoint about contacts, by the access of contact 1 before.
async fn access_columns(endpoint: &Endpoint, route: &str) -> [(&'static str, Vec<String>); 3] {
    let mut world = table_world().await;
    let mut columns = [("public", Vec::new()), ("shared for reading", Vec::new()), ("private", Vec::new())];
    let states = [(ShareType::ReadWrite, &[][..]), (ShareType::Read, &[MIKE]), (ShareType::None, &[MIKE])];
    for ((share, managers), (_, cells)) in states.iter().zip(&mut columns) {
        let mut known = None;
        if endpoint.method == "DELETE" {
            // Each caller signs out with a valid token.
            world = table_world().await;
        }
        for (number, (_, token)) in CALLERS.into_iter().enumerate() {
            // Reads change nothing, so the contact is loaded once for all reads.
            if number == 0 || endpoint.method != "GET" {
                known = None;
                let mut contact = contact_with(1, *share, managers);
                contact["contact"]["Tags"] = json!(["cell"]);
                let portal = crate::portal::portal("acme", "Europe/Riga", 4);
                world.import_as(&lines([portal, contact]), true).await.unwrap();
            }
            cells.push(cell(&world, endpoint, route, token, &About::none(), &mut known).await);
        }
    }
    columns
}

/// Returns the cells of an endpoint about jobs or rules, by the owner of the job and the rule.
async fn job_columns(endpoint: &Endpoint, route: &str) -> [(&'static str, Vec<String>); 3] {
    let mut columns = [("administrator's", Vec::new()), ("manager's", Vec::new()), ("none", Vec::new())];
    for ((_, cells), owner) in columns.iter_mut().zip([Some(ADA_TOKEN), Some(MIKE_TOKEN), None]) {
        let world = table_world().await;
        let (mut about, mut known) = (About::none(), None);
        for (number, (_, token)) in CALLERS.into_iter().enumerate() {
            // Reads change nothing, so all callers share one job and rule.
            match owner {
                Some(owner) if number == 0 || endpoint.method != "GET" => {
                    (about, known) = (About::made(&world, endpoint, owner).await, None);
                }
                Some(_) => {}
                None => about = About::none(),
            }
            cells.push(cell(&world, endpoint, route, token, &about, &mut known).await);
        }
    }
    columns
}

async fn columns(endpoint: &Endpoint, route: &str) -> [(&'static str, Vec<String>); 3] {
    if endpoint.function == JOBS { job_columns(endpoint, route).await } else { access_columns(endpoint, route).await }
}

#[tokio::test]
async fn every_route_answers_each_caller_as_the_table_says() {
    let mut tables = Vec::new();
    for endpoint in endpoints() {
        // All routes of an endpoint lead to the same handler.
        let routes = endpoint.routes().take(if cases::are_all() { usize::MAX } else { 1 });
        for route in routes {
            let columns = columns(endpoint, &route).await;
            let [(first, _), (second, _), (third, _)] = &columns;
            let mut table = format!("{} {route}\n", endpoint.method);
            writeln!(table, "    {:16} | {first:24} | {second:24} | {third}", "").unwrap();
            for (row, (caller, _)) in CALLERS.into_iter().enumerate() {
                let [first, second, third] = columns.each_ref().map(|(_, cells)| &cells[row]);
                writeln!(table, "    {caller:16} | {first:24} | {second:24} | {third}").unwrap();
            }
            tables.push(table);
        }
    }
    if cases::are_all() {
        crate::check_file("callers", &tables.concat());
    } else {
        let known = include_str!("snapshots/callers.snap");
        for table in tables {
            assert!(known.contains(&table), "not in snapshots/callers.snap:\n{table}");
        }
    }
}
