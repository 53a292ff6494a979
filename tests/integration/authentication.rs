//! `POST …/authentication`: successful and refused sign-ins, and no hint at the reason of a refusal.
//!
//! `DELETE …/authentication`: idempotency keys.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use futures::future::join_all;
use lambda_http::http::Request;
use models::limits::{MAX_SIGN_INS, USER_SIGN_IN_ATTEMPTS};
use serde_json::json;
use tests::{Reply, World};

use crate::portal::{ADA, SAM, ZOE, acme, lines, signing_in, zenith};

const EMAIL: &str = "ada@acme.example";
const PASSWORD: &str = "correct horse battery staple";

async fn world() -> World {
    let mut values = zenith();
    values.push(signing_in(ZOE, "Zoe", true, "both@example.com", PASSWORD));
    values.extend(acme());
    values.push(signing_in(ADA, "Ada", true, EMAIL, PASSWORD));
    values.push(signing_in(SAM, "Sam", false, "both@example.com", PASSWORD));
    World::with(&lines(values)).await.unwrap()
}

async fn sign_in(world: &World, user: &str, password: &str) -> Reply {
    sign_in_with(world, user, password, &[]).await
}

/// Signs in with extra headers.
async fn sign_in_with(world: &World, user: &str, password: &str, headers: &[(&str, &str)]) -> Reply {
    let body = json!({"userName": user, "password": password}).to_string();
    let headers = [&[("content-type", "application/json")], headers].concat();
    world.call("POST", "/api/2.0/authentication", "", &headers, &body).await.unwrap()
}

/// Signs in from this network address.
async fn sign_in_from(world: &World, address: &str, user: &str, password: &str) -> Reply {
    let body = json!({"userName": user, "password": password}).to_string();
    let request = Request::post("/api/2.0/authentication").header("content-type", "application/json");
    let mut request = request.body(Body::from(body)).unwrap();
    let peer = SocketAddr::new(address.parse().unwrap(), 40_000);
    request.extensions_mut().insert(ConnectInfo(peer));
    world.request(request).await.unwrap()
}

#[tokio::test]
async fn right_password_gives_a_token_for_a_week() {
    let world = world().await;
    let reply = sign_in(&world, " Ada@ACME.example".trim(), PASSWORD).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let response = reply.json()["response"].clone();
    assert_eq!(response["expires"], "2026-01-08T02:00:00.0000000+02:00");
    let token = response["token"].as_str().unwrap();
    let me = world.call("GET", "/api/2.0/people/@self", token, &[], "").await.unwrap();
    assert_eq!(me.json()["response"]["email"], EMAIL, "{}", me.text);
    // The token may write.
    let key = world.call("DELETE", "/api/2.0/crm/access/rules/none", token, &[], "").await.unwrap();
    assert_eq!(key.status, 404, "{}", key.text);
    world.set_clock("2026-01-08T00:00:00Z".parse().unwrap());
    let me = world.call("GET", "/api/2.0/people/@self", token, &[], "").await.unwrap();
    assert_eq!((me.status.as_u16(), me.error_type().as_str()), (401, "unauthenticated"));
}

#[tokio::test]
async fn unknown_user_gets_the_same_answer_and_calls_as_a_wrong_password() {
    let world = world().await;
    let outcome = async |user: &str| {
        let before = world.trips.so_far();
        let units = world.trips.spent();
        let reply = sign_in(&world, user, "not the password").await;
        let after = world.trips.so_far();
        let error = reply.json()["error"].clone();
        let mut headers: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        let calls = (after.0 - before.0, after.1 - before.1, world.trips.spent() - units);
        (reply.status, error["message"].clone(), error["type"].clone(), headers, calls)
    };
    let (known, unknown) = (outcome(EMAIL).await, outcome("nobody@acme.example").await);
    assert_eq!(known, unknown);
    assert_eq!((known.0.as_u16(), known.2), (401, json!("sign-in-refused")));
}

#[tokio::test]
async fn five_failures_in_a_minute_lock_the_pair_for_a_minute() {
    let world = world().await;
    let at = |seconds: u32| {
        world.set_clock(format!("2026-01-01T00:{:02}:{:02}Z", seconds / 60, seconds % 60).parse().unwrap());
    };
    for user in [EMAIL, "nobody@acme.example"] {
        for second in 0..5 {
            at(second);
            assert_eq!(sign_in(&world, user, "not the password").await.status, 401);
        }
        at(5);
        for password in ["not the password", PASSWORD] {
            let reply = sign_in(&world, user, password).await;
            assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (429, "sign-in-locked"), "{user}");
            assert_eq!(reply.header("retry-after"), "59");
        }
    }
    // Other users can sign in meanwhile. The locked pair can sign in after a minute.
    assert_eq!(sign_in(&world, "both@example.com", "not the password").await.status, 401);
    at(64);
    assert_eq!(sign_in(&world, EMAIL, PASSWORD).await.status, 201);
}

#[tokio::test]
async fn successful_sign_in_resets_the_failures() {
    let world = world().await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(sign_in(&world, EMAIL, "not the password").await.status, 401);
        }
        assert_eq!(sign_in(&world, EMAIL, PASSWORD).await.status, 201);
    }
}

#[tokio::test]
async fn address_in_two_portals_must_name_the_portal() {
    let world = world().await;
    let reply = sign_in(&world, "both@example.com", PASSWORD).await;
    assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (400, "invalid-request"));
    assert!(reply.text.contains("acme, zenith"), "{}", reply.text);
    let headers = [("content-type", "application/json")];
    for (portal, status) in [("acme", 201), ("zenith", 201), ("elsewhere", 401)] {
        let body = json!({"userName": "both@example.com", "password": PASSWORD, "portal": portal}).to_string();
        let reply = world.call("POST", "/api/2.0/authentication.json", "", &headers, &body).await.unwrap();
        assert_eq!(reply.status, status, "{portal}: {}", reply.text);
    }
}

#[tokio::test]
async fn unreadable_call_does_not_reveal_the_password() {
    let world = world().await;
    let headers = [("content-type", "application/json")];
    for (body, field) in [
        (json!({"userName": EMAIL}), "password"),
        (json!({"password": PASSWORD}), "userName"),
        (json!({"userName": EMAIL, "password": 12_345_678}), "password"),
        (json!({"userName": "ada", "password": PASSWORD}), "userName"),
        (json!({"userName": EMAIL, "password": PASSWORD, "provider": "x"}), "provider"),
        (json!({"userName": EMAIL, "password": PASSWORD, "portal": "A#"}), "portal"),
    ] {
        let reply = world.call("POST", "/api/2.0/authentication", "", &headers, &body.to_string()).await.unwrap();
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
        assert_eq!(reply.json()["error"]["details"][0]["field"], field, "{body}: {}", reply.text);
        assert!(!reply.text.contains(PASSWORD) && !reply.text.contains("12345678"), "{}", reply.text);
    }
}

#[tokio::test]
async fn failures_are_counted_by_network_and_headers_cannot_change_it() {
    let world = world().await;
    for (number, networks) in
        [["192.0.2.1", "::ffff:192.0.2.1"], ["2001:db8:0:1::1", "2001:db8:0:1:2:3:4:5"]].iter().enumerate()
    {
        for attempt in 0..5 {
            let reply = sign_in_from(&world, networks[attempt % 2], EMAIL, "not the password").await;
            assert_eq!(reply.status, 401, "{number} {attempt}");
        }
        for network in networks {
            assert_eq!(
                sign_in_from(&world, network, EMAIL, PASSWORD).await.error_type(),
                "sign-in-locked",
                "{network}"
            );
        }
    }
    assert_eq!(sign_in_from(&world, "2001:db8:0:2::1", EMAIL, PASSWORD).await.status, 201);
    for attempt in 0..6 {
        let address = format!("198.51.100.{attempt}");
        let headers = [("x-forwarded-for", &*address), ("forwarded", &*address), ("x-real-ip", &*address)];
        let reply = sign_in_with(&world, EMAIL, "not the password", &headers).await;
        assert_eq!(reply.status, if attempt < 5 { 401 } else { 429 }, "{attempt}");
    }
}

#[tokio::test]
async fn attempts_from_many_networks_lock_all_but_known_networks() {
    let world = world().await;
    for user in [EMAIL, "nobody@acme.example"] {
        let is_user = user == EMAIL;
        assert_eq!(sign_in_from(&world, "192.0.2.1", user, PASSWORD).await.status, if is_user { 201 } else { 401 });
        let others = if is_user { USER_SIGN_IN_ATTEMPTS } else { USER_SIGN_IN_ATTEMPTS - 1 };
        for number in 0..others {
            let reply = sign_in_from(&world, &format!("198.51.100.{number}"), user, "not the password").await;
            assert_eq!(reply.status, 401, "{user} {number}");
        }
        let reply = sign_in_from(&world, "203.0.113.1", user, PASSWORD).await;
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (429, "sign-in-locked"), "{user}");
        assert_eq!(reply.header("retry-after"), "900", "{user}");
    }
    assert_eq!(sign_in_from(&world, "192.0.2.1", EMAIL, PASSWORD).await.status, 201);
    assert_eq!(sign_in_from(&world, "203.0.113.1", "both@example.com", "not the password").await.status, 401);
}

#[tokio::test]
async fn foreign_origin_neither_signs_in_nor_uses_up_attempts() {
    let world = world().await;
    let app = world.app.clone().with_allowed_origins(["https://crm.example.com".to_owned()]);
    let world = world.serving(app);
    let foreign: [&[(&str, &str)]; 4] = [
        &[("host", "127.0.0.1:8092"), ("origin", "https://evil.example")],
        &[("host", "127.0.0.1:8092"), ("origin", "null")],
        &[("host", "127.0.0.1:8092"), ("sec-fetch-site", "cross-site")],
        &[("host", "127.0.0.1:8092"), ("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")],
    ];
    for headers in foreign {
        for accept in ["application/json", "text/xml"] {
            let headers = [headers, &[("accept", accept)]].concat();
            for _ in 0..6 {
                let writes = world.trips.spent().writes;
                let reply = sign_in_with(&world, EMAIL, "not the password", &headers).await;
                assert_eq!(reply.status, 403, "{headers:?}: {}", reply.text);
                assert!(reply.text.contains("origin-forbidden"), "{headers:?}: {}", reply.text);
                assert_eq!(world.trips.spent().writes, writes);
            }
        }
    }
    for headers in [
        &[("host", "127.0.0.1:8092"), ("origin", "http://127.0.0.1:8092"), ("sec-fetch-site", "same-origin")][..],
        &[("origin", "https://crm.example.com"), ("sec-fetch-site", "cross-site")],
    ] {
        let reply = sign_in_with(&world, EMAIL, PASSWORD, headers).await;
        assert_eq!(reply.status, 201, "{headers:?}: {}", reply.text);
    }
}

#[tokio::test]
async fn sign_ins_over_the_queue_limit_are_refused_and_not_counted() {
    let world = world().await;
    let permits: Vec<_> = (0..MAX_SIGN_INS).map(|_| world.app.passwords.enter().unwrap()).collect();
    for _ in 0..6 {
        let reply = sign_in(&world, EMAIL, "not the password").await;
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (503, "sign-in-busy"));
        assert_eq!(reply.header("retry-after"), "2");
    }
    drop(permits);
    assert_eq!(sign_in(&world, EMAIL, PASSWORD).await.status, 201);
}

#[tokio::test]
async fn concurrent_sign_ins_succeed() {
    let world = world().await;
    let users = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    let replies = join_all(users.map(|address| sign_in_from(&world, address, EMAIL, PASSWORD))).await;
    for reply in replies {
        let token = reply.json()["response"]["token"].as_str().unwrap_or_default().to_owned();
        let me = world.call("GET", "/api/2.0/people/@self", &token, &[], "").await.unwrap();
        assert_eq!((reply.status.as_u16(), me.status.as_u16()), (201, 200), "{}", reply.text);
    }
}

/// Signs a user in and returns the token.
async fn token_of(world: &World, user: &str) -> String {
    let reply = sign_in(world, user, PASSWORD).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.json()["response"]["token"].as_str().unwrap().to_owned()
}

/// Signs out with an idempotency key, and returns the status and the type of the error.
async fn sign_out(world: &World, token: &str, key: &str) -> (u16, String) {
    let reply = world.call("DELETE", "/api/2.0/authentication", token, &[("idempotency-key", key)], "").await.unwrap();
    let kind = if reply.status.is_success() { String::new() } else { reply.error_type() };
    (reply.status.as_u16(), kind)
}

#[tokio::test]
async fn key_of_a_sign_out_belongs_to_the_token_that_it_ended() {
    let world = world().await;
    let (first, second) = (token_of(&world, EMAIL).await, token_of(&world, EMAIL).await);
    assert_eq!(sign_out(&world, &first, "not a key").await, (400, "invalid-request".into()));
    assert_eq!(sign_out(&world, &first, "key-1").await, (204, String::new()));
    // The repetition has no further effect, because the token has ended.
    assert_eq!(sign_out(&world, &first, "key-1").await, (401, "unauthenticated".into()));
    // A replay of the first answer would leave the second token valid, and its user would not know.
    assert_eq!(sign_out(&world, &second, "key-1").await, (422, "idempotency-key-reused".into()));
    assert_eq!(sign_out(&world, &second, "key-2").await, (204, String::new()));
    assert_eq!(sign_out(&world, &second, "key-2").await, (401, "unauthenticated".into()));
}
