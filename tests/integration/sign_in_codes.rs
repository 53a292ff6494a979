//! One-time codes: `POST …/authentication/code` creates a code, and `POST …/authentication` exchanges the code once.
//! Also the settings, which a page reads after its sign-in.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use futures::future::join_all;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use lambda_http::http::Request;
use models::directory::{Grant, Scope};
use models::import::parse_line;
use models::limits::{SIGN_IN_ATTEMPTS, SIGN_IN_CODE_MILLIS, SIGN_IN_DAYS, duration};
use models::sign_in::Network;
use models::sign_in::password::{Password, SALT_BYTES};
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::codes::{Code, Exchange};
use store::import::{Importer, Options};
use store::tokens::{hash, new_token};
use tests::{Reply, Spent, World};

use crate::portal::{ADA, ADA_TOKEN, MIKE_TOKEN, READER_TOKEN, acme, acme_with, id, lines, portal, zenith};

const SIGN_IN: &str = "/api/2.0/authentication";
const CREATE: &str = "/api/2.0/authentication/code";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn create(world: &World, token: &str) -> Reply {
    world.call("POST", CREATE, token, &[], "").await.unwrap()
}

/// Returns a member of the answer that shows a code or a token.
fn shown(reply: &Reply, member: &str) -> String {
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.response()[member].as_str().unwrap().to_owned()
}

async fn code(world: &World, token: &str) -> String {
    shown(&create(world, token).await, "code")
}

async fn exchange(world: &World, code: &str) -> Reply {
    world.call("POST", SIGN_IN, "", &[JSON], &json!({ "code": code }).to_string()).await.unwrap()
}

/// Exchanges a code from this network address.
async fn exchange_from(world: &World, address: &str, code: &str) -> Reply {
    let request = Request::post(SIGN_IN).header(JSON.0, JSON.1).body(Body::from(json!({ "code": code }).to_string()));
    let mut request = request.unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 40_000)));
    world.request(request).await.unwrap()
}

async fn new_session(world: &World, token: &str) -> String {
    shown(&exchange(world, &code(world, token).await).await, "token")
}

async fn status_of(world: &World, token: &str) -> u16 {
    world.call("GET", "/api/2.0/people/@self", token, &[], "").await.unwrap().status.as_u16()
}

fn refusal(reply: &Reply) -> (u16, String) {
    (reply.status.as_u16(), reply.error_type())
}

#[tokio::test]
async fn code_gives_one_token_of_its_user_for_a_week() {
    let world = acme_with([]).await;
    let created = create(&world, ADA_TOKEN).await;
    assert_eq!(shown(&created, "expires"), "2026-01-01T02:10:00.0000000+02:00");
    let code = shown(&created, "code");
    assert_eq!(code.len(), 64);
    let signed_in = exchange(&world, &code).await;
    assert_eq!(shown(&signed_in, "expires"), "2026-01-08T02:00:00.0000000+02:00");
    let token = shown(&signed_in, "token");
    let me = world.call("GET", "/api/2.0/people/@self", &token, &[], "").await.unwrap();
    assert_eq!(me.response()["id"], ADA.to_string(), "{}", me.text);
    let again = exchange(&world, &code).await;
    assert_eq!(refusal(&again), (401, "sign-in-refused".into()));
    assert!(again.text.contains("A code works once, within ten minutes"), "{}", again.text);
    assert_eq!(again.header("www-authenticate"), "Bearer realm=\"crm-access\"");
    for unknown in ["x", &new_token().unwrap(), ADA_TOKEN, &token] {
        assert_eq!(refusal(&exchange(&world, unknown).await), (401, "sign-in-refused".into()), "{unknown}");
    }
    // A code is no token, and a token is no code.
    assert_eq!(status_of(&world, &self::code(&world, ADA_TOKEN).await).await, 401);
}

#[tokio::test]
async fn forms_and_suffixes_exchange_codes_too() {
    let world = acme_with([]).await;
    for path in [CREATE.to_owned(), format!("{CREATE}.json")] {
        let created = world.call("POST", &path, ADA_TOKEN, &[], "").await.unwrap();
        let form = format!("code={}&userName=&password=", shown(&created, "code"));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let reply = world.call("POST", &format!("{SIGN_IN}.json"), "", &headers, &form).await.unwrap();
        assert_eq!(status_of(&world, &shown(&reply, "token")).await, 200);
    }
    let xml = world.call("POST", &format!("{CREATE}.xml"), ADA_TOKEN, &[], "").await.unwrap();
    assert!(xml.text.starts_with("<result>") && xml.text.contains("<code>"), "{}", xml.text);
}

#[tokio::test]
async fn token_of_a_code_has_no_more_rights_than_its_parent() {
    const SHORT: &str = "ada-until-noon-0123456789abcdef0123456789";
    let expiring = json!({"token": {"Token": SHORT, "UserId": ADA, "Scopes": ["read"],
        "Expires": "2026-01-01T12:00:00Z"}});
    let world = acme_with([expiring]).await;
    for (parent, expires) in
        [(READER_TOKEN, "2026-01-08T02:00:00.0000000+02:00"), (SHORT, "2026-01-01T14:00:00.0000000+02:00")]
    {
        let signed_in = exchange(&world, &code(&world, parent).await).await;
        assert_eq!(shown(&signed_in, "expires"), expires);
        let token = shown(&signed_in, "token");
        assert_eq!(status_of(&world, &token).await, 200);
        let refused = world.put("1/access", &token, &json!({"isShared": true})).await.unwrap();
        assert_eq!(refusal(&refused), (403, "scope-missing".into()));
    }
}

#[tokio::test]
async fn code_is_valid_for_ten_minutes() {
    let world = acme_with([]).await;
    let codes = [code(&world, ADA_TOKEN).await, code(&world, ADA_TOKEN).await];
    let end = world.app.now() + duration(SIGN_IN_CODE_MILLIS);
    world.set_clock(end.previous());
    assert_eq!(exchange(&world, &codes[0]).await.status, 201);
    world.set_clock(end);
    assert_eq!(refusal(&exchange(&world, &codes[1]).await), (401, "sign-in-refused".into()));
}

#[tokio::test]
async fn end_of_a_token_ends_its_codes_and_the_tokens_of_its_codes() {
    for way in ["sign-out", "revoked", "every token revoked", "password", "removal", "expiry"] {
        const PARENT: &str = "ada-until-2027-0123456789abcdef0123456789";
        let parent = json!({"token": {"Token": PARENT, "UserId": ADA, "Scopes": ["read", "write"],
            "Expires": "2026-01-01T00:05:00Z"}});
        // `serve` caches no token. With a cache, the revocation of a single token takes effect late, so this case runs
        // without a cache only.
        for cache in [Duration::ZERO, Duration::from_secs(3600)] {
            let world = World::with_token_cache(cache).await.unwrap();
            world.import(&lines(acme().into_iter().chain([parent.clone()]))).await.unwrap();
            let (acme, now) = (id("acme"), world.app.now());
            let (unused, child) = (code(&world, PARENT).await, new_session(&world, PARENT).await);
            let (sibling, other) = (new_session(&world, ADA_TOKEN).await, new_session(&world, MIKE_TOKEN).await);
            assert_eq!(status_of(&world, &child).await, 200);
            match way {
                "sign-out" => {
                    assert_eq!(world.call("DELETE", SIGN_IN, PARENT, &[], "").await.unwrap().status, 204);
                }
                "revoked" if cache.is_zero() => assert!(world.store.revoke_token(PARENT).await.unwrap()),
                "revoked" => continue,
                "every token revoked" => assert!(world.store.end_tokens(&acme, ADA, now).await.unwrap().is_some()),
                "password" => {
                    let hash = Password::check("another password").unwrap().hash(&[8; SALT_BYTES]).unwrap();
                    assert!(world.store.set_password(&acme, ADA, &hash, now).await.unwrap().is_some());
                }
                "removal" => {
                    let removal = json!({"delete": {"user": ADA}});
                    world.import(&lines([portal("acme", "Europe/Riga", 4), removal])).await.unwrap();
                }
                _ => world.set_clock("2026-01-01T00:05:00Z".parse().unwrap()),
            }
            assert_eq!(status_of(&world, &child).await, 401, "{way}");
            assert_eq!(refusal(&exchange(&world, &unused).await), (401, "sign-in-refused".into()), "{way}");
            // The user's other session ends only if all tokens of the user end. Sessions of other users never end.
            let of_one = ["sign-out", "revoked", "expiry"].contains(&way);
            assert_eq!(status_of(&world, &sibling).await, if of_one { 200 } else { 401 }, "{way}");
            assert_eq!(status_of(&world, &other).await, 200, "{way}");
        }
    }
}

#[tokio::test]
async fn end_of_a_codes_token_leaves_its_parent() {
    let world = acme_with([]).await;
    let session = new_session(&world, ADA_TOKEN).await;
    assert_eq!(world.call("DELETE", SIGN_IN, &session, &[], "").await.unwrap().status, 204);
    assert_eq!((status_of(&world, &session).await, status_of(&world, ADA_TOKEN).await), (401, 200));
}

#[tokio::test]
async fn token_of_a_code_creates_no_codes() {
    let world = acme_with([]).await;
    let session = new_session(&world, ADA_TOKEN).await;
    let refused = create(&world, &session).await;
    assert_eq!(refusal(&refused), (400, "invalid-request".into()));
    assert!(refused.text.contains("sign in with userName and password"), "{}", refused.text);
}

#[tokio::test]
async fn ended_token_creates_no_code() {
    let world = acme_with([]).await;
    assert_eq!(status_of(&world, ADA_TOKEN).await, 200);
    // The token is cached, but a code needs the stored token.
    assert!(world.store.revoke_token(ADA_TOKEN).await.unwrap());
    assert_eq!(refusal(&create(&world, ADA_TOKEN).await), (401, "unauthenticated".into()));
}

#[tokio::test]
async fn one_of_many_concurrent_exchanges_gets_the_token() {
    let world = acme_with([]).await;
    let code = code(&world, ADA_TOKEN).await;
    let addresses: Vec<String> = (1..=8).map(|number| format!("192.0.2.{number}")).collect();
    let replies = join_all(addresses.iter().map(|address| exchange_from(&world, address, &code))).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401, 401, 401, 401, 401, 401, 401]);
    assert_eq!(world.store.tokens(&id("acme")).await.unwrap().len(), 5);
}

#[tokio::test]
async fn wrong_codes_lock_their_network_and_a_right_code_clears_them() {
    let world = acme_with([]).await;
    let right = code(&world, ADA_TOKEN).await;
    for attempt in 0..SIGN_IN_ATTEMPTS - 1 {
        assert_eq!(exchange_from(&world, "192.0.2.1", "wrong").await.status, 401, "{attempt}");
    }
    assert_eq!(exchange_from(&world, "192.0.2.1", &right).await.status, 201);
    for attempt in 0..SIGN_IN_ATTEMPTS {
        assert_eq!(exchange_from(&world, "192.0.2.1", "wrong").await.status, 401, "{attempt}");
    }
    let right = code(&world, ADA_TOKEN).await;
    let locked = exchange_from(&world, "192.0.2.1", &right).await;
    assert_eq!(refusal(&locked), (429, "sign-in-locked".into()));
    assert_eq!(locked.header("retry-after"), "60");
    // Neither another network nor a password is locked, and the lock does not use the code.
    assert_eq!(exchange_from(&world, "192.0.2.2", "wrong").await.status, 401);
    let password = json!({"userName": "ada@acme.example", "password": "wrong"}).to_string();
    assert_eq!(world.call("POST", SIGN_IN, "", &[JSON], &password).await.unwrap().status, 401);
    world.set_clock(world.app.now() + SignedDuration::from_mins(1));
    assert_eq!(exchange_from(&world, "192.0.2.1", &right).await.status, 201);
}

#[tokio::test]
async fn idempotency_keys_are_refused_because_the_table_would_keep_secrets() {
    let world = acme_with([]).await;
    let key = ("idempotency-key", "key-1");
    let writes = world.trips.spent().writes;
    let refused = world.call("POST", CREATE, ADA_TOKEN, &[key], "").await.unwrap();
    assert_eq!(refusal(&refused), (400, "invalid-request".into()));
    assert_eq!(refused.json()["error"]["details"][0]["field"], "Idempotency-Key");
    let body = json!({ "code": "any" }).to_string();
    let refused = world.call("POST", SIGN_IN, "", &[JSON, key], &body).await.unwrap();
    assert_eq!(refusal(&refused), (400, "invalid-request".into()));
    assert_eq!(world.trips.spent().writes, writes);
}

#[tokio::test]
async fn pages_of_other_origins_exchange_no_code() {
    let world = acme_with([]).await;
    let body = json!({ "code": code(&world, ADA_TOKEN).await }).to_string();
    let foreign = [JSON, ("host", "127.0.0.1:8092"), ("origin", "https://evil.example")];
    let refused = world.call("POST", SIGN_IN, "", &foreign, &body).await.unwrap();
    assert_eq!(refusal(&refused), (403, "origin-forbidden".into()));
    let own = [JSON, ("host", "127.0.0.1:8092"), ("origin", "http://127.0.0.1:8092")];
    assert_eq!(world.call("POST", SIGN_IN, "", &own, &body).await.unwrap().status, 201);
}

#[tokio::test]
async fn code_takes_no_body_and_no_query() {
    let world = acme_with([]).await;
    for (path, body) in [(CREATE.to_owned(), r#"{"scope":"read"}"#), (format!("{CREATE}?scope=read"), "")] {
        let refused = world.call("POST", &path, ADA_TOKEN, &[JSON], body).await.unwrap();
        assert_eq!(refusal(&refused), (400, "invalid-request".into()), "{path} {body}");
    }
    assert_eq!(refusal(&create(&world, "").await), (401, "unauthenticated".into()));
}

/// Returns a code of the operator, which has no parent.
async fn operators_code(world: &World, valid_until: Timestamp) -> String {
    let code = new_token().unwrap();
    let scopes = vec![Scope::Read, Scope::Write];
    let grant = Grant { portal: id("acme"), user: ADA, scopes, expires: None, valid_from: None };
    world.store.add_code(&code, &Code { grant, parent: None, valid_until }).await.unwrap();
    code
}

#[tokio::test]
async fn table_holds_hashes_only_and_an_exchange_has_a_fixed_price() {
    let world = acme_with([]).await;
    let now = world.app.now();
    let code = operators_code(&world, now + duration(SIGN_IN_CODE_MILLIS)).await;
    let token = new_token().unwrap();
    let ((calls, rounds), spent) = (world.trips.so_far(), world.trips.spent());
    let network = Network::from("192.0.2.1".parse::<std::net::IpAddr>().unwrap());
    let Exchange::SignedIn(grant, expires) = world.store.exchange_code(&code, &token, network, now).await.unwrap()
    else {
        panic!("the code is refused");
    };
    let (now_calls, now_rounds) = world.trips.so_far();
    assert_eq!((now_calls - calls, now_rounds - rounds), (5, 5));
    assert_eq!(world.trips.spent() - spent, Spent { read_units: 2.0, write_units: 8.0, writes: 3 });
    assert_eq!(expires, now + SignedDuration::from_hours(24 * SIGN_IN_DAYS));
    assert_eq!((grant.user, grant.expires), (ADA, Some(expires)));
    let listed = world.store.tokens(&id("acme")).await.unwrap();
    let hex: String = hash(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(listed.iter().any(|listed| listed.hash == hex && !listed.has_ended));
    let scanned = world.client.scan().table_name(&world.table).send().await.unwrap();
    let items = format!("{:?}", scanned.items());
    assert!(!items.contains(&code) && !items.contains(&token));
}

#[tokio::test]
async fn list_of_tokens_shows_which_were_revoked_or_ended_with_their_parent() {
    let world = acme_with([]).await;
    new_session(&world, ADA_TOKEN).await;
    let ended = async || world.store.tokens(&id("acme")).await.unwrap().iter().filter(|of| of.has_ended).count();
    assert_eq!(ended().await, 0);
    assert!(world.store.revoke_token(ADA_TOKEN).await.unwrap());
    assert_eq!(ended().await, 2);
    assert!(world.store.revoke_token(MIKE_TOKEN).await.unwrap());
    assert_eq!(ended().await, 3);
}

/// Returns an import line of a token.
fn token_line(token: &str, expires: Option<&str>) -> Value {
    json!({"token": {"Token": token, "UserId": ADA, "Scopes": ["read", "write"], "Expires": expires}})
}

#[tokio::test]
async fn load_of_a_revoked_tokens_line_restores_neither_the_token_nor_the_tokens_of_its_codes() {
    const EXPIRING: &str = "ada-until-2027-0123456789abcdef0123456789";
    const END: Option<&str> = Some("2027-01-01T00:00:00Z");
    for way in ["sign-out", "revoked", "every token revoked"] {
        let world = World::with_token_cache(Duration::ZERO).await.unwrap();
        let file = lines(acme().into_iter().chain([token_line(EXPIRING, END)]));
        world.import(&file).await.unwrap();
        let child = new_session(&world, EXPIRING).await;
        let revoke = async |token: &str| match way {
            "sign-out" => assert_eq!(world.call("DELETE", SIGN_IN, token, &[], "").await.unwrap().status, 204),
            "revoked" => assert!(world.store.revoke_token(token).await.unwrap()),
            _ => assert!(world.store.end_tokens(&id("acme"), ADA, world.app.now()).await.unwrap().is_some()),
        };
        revoke(EXPIRING).await;
        let child_line = lines([portal("acme", "Europe/Riga", 4), token_line(&child, None)]);
        for text in [&file, &file, &child_line] {
            world.import(text).await.unwrap();
            for token in [EXPIRING, &child] {
                assert_eq!(status_of(&world, token).await, 401, "{way}");
            }
        }
        let ada = if way == "every token revoked" { 401 } else { 200 };
        assert_eq!((status_of(&world, ADA_TOKEN).await, status_of(&world, MIKE_TOKEN).await), (ada, 200), "{way}");
        // DynamoDB removes the token when the token expires.
        let listed = world.store.tokens(&id("acme")).await.unwrap();
        assert!(listed.iter().any(|token| token.grant.expires == END.map(|end| end.parse().unwrap())), "{way}");
    }
}

#[tokio::test]
async fn token_that_is_revoked_during_an_import_stays_revoked() {
    let world = World::with_token_cache(Duration::ZERO).await.unwrap();
    world.import(&lines(acme())).await.unwrap();
    let options = Options { overwrite_access: false, clock: world.jobs().clock.clone() };
    let mut importer = Importer::new(&world.store, options);
    for value in [portal("acme", "Europe/Riga", 4), token_line(ADA_TOKEN, None)] {
        importer.push(parse_line(&value.to_string(), &TimeZone::UTC).unwrap()).await.unwrap();
    }
    let spent = world.trips.spent();
    assert!(world.store.revoke_token(ADA_TOKEN).await.unwrap());
    assert_eq!(world.trips.spent() - spent, Spent { read_units: 1.0, write_units: 2.0, writes: 2 });
    importer.finish().await.unwrap();
    assert_eq!(status_of(&world, ADA_TOKEN).await, 401);
}

#[tokio::test]
async fn load_of_a_tokens_line_replaces_scopes_and_expiry() {
    let world = acme_with([token_line(ADA_TOKEN, Some("2027-01-01T00:00:00Z"))]).await;
    let grant = async || world.store.token(hash(ADA_TOKEN)).await.unwrap().unwrap().grant;
    assert_eq!(grant().await.expires, Some("2027-01-01T00:00:00Z".parse().unwrap()));
    let reads = json!({"token": {"Token": ADA_TOKEN, "UserId": ADA, "Scopes": ["read"]}});
    world.import(&lines([portal("acme", "Europe/Riga", 4), reads])).await.unwrap();
    let grant = grant().await;
    assert_eq!((grant.expires, grant.scopes), (None, vec![Scope::Read]));
}

#[tokio::test]
async fn settings_show_the_zone_of_the_portal_and_its_present_offset() {
    let mut values = zenith();
    values.extend(acme());
    let world = World::with(&lines(values)).await.unwrap();
    let settings = async |token: &str| {
        let reply = world.call("GET", "/api/2.0/settings", token, &[], "").await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.response()
    };
    let expected = |offset: &str, hours: f64| -> Value {
        json!({"portal": "acme", "timezone": "Europe/Riga", "utcOffset": offset, "utcHoursOffset": hours})
    };
    assert_eq!(settings(MIKE_TOKEN).await, expected("+02:00", 2.0));
    world.set_clock("2026-07-01T00:00:00Z".parse().unwrap());
    assert_eq!(settings(READER_TOKEN).await, expected("+03:00", 3.0));
    let of_zenith = settings(crate::portal::ZOE_TOKEN).await;
    assert_eq!(of_zenith["portal"], "zenith");
    let xml = world.call("GET", "/api/2.0/settings.xml", MIKE_TOKEN, &[], "").await.unwrap();
    assert!(xml.text.contains("<utcHoursOffset>3</utcHoursOffset>"), "{}", xml.text);
}
