//! `POST …/authentication`: who is let in, who is kept out, and that nobody is told why.

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
    let body = json!({"userName": user, "password": password}).to_string();
    let headers = [("content-type", "application/json")];
    world.call("POST", "/api/2.0/authentication", "", &headers, &body).await.unwrap()
}

#[tokio::test]
async fn who_knows_the_password_is_given_a_token_for_a_week() {
    let world = world().await;
    let reply = sign_in(&world, " Ada@ACME.example".trim(), PASSWORD).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let response = reply.json()["response"].clone();
    assert_eq!(response["Expires"], "2026-01-08T00:00:00.0000000Z");
    let token = response["Token"].as_str().unwrap();
    let me = world.call("GET", "/api/2.0/people/@self", token, &[], "").await.unwrap();
    assert_eq!(me.json()["response"]["Email"], EMAIL, "{}", me.text);
    // It writes too.
    let key = world.call("DELETE", "/api/2.0/crm/access/rules/none", token, &[], "").await.unwrap();
    assert_eq!(key.status, 404, "{}", key.text);
    world.set_clock("2026-01-08T00:00:00Z".parse().unwrap());
    let me = world.call("GET", "/api/2.0/people/@self", token, &[], "").await.unwrap();
    assert_eq!((me.status.as_u16(), me.error_type().as_str()), (401, "unauthenticated"));
}

#[tokio::test]
async fn an_unknown_user_is_answered_like_a_wrong_password_after_the_same_calls() {
    let world = world().await;
    let told = async |user: &str| {
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
    let (known, unknown) = (told(EMAIL).await, told("nobody@acme.example").await);
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
    // Others are let in meanwhile, and after a minute the pair is.
    assert_eq!(sign_in(&world, "both@example.com", "not the password").await.status, 401);
    at(64);
    assert_eq!(sign_in(&world, EMAIL, PASSWORD).await.status, 201);
}

#[tokio::test]
async fn a_success_forgets_the_failures() {
    let world = world().await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(sign_in(&world, EMAIL, "not the password").await.status, 401);
        }
        assert_eq!(sign_in(&world, EMAIL, PASSWORD).await.status, 201);
    }
}

#[tokio::test]
async fn an_address_of_two_portals_says_which() {
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
async fn a_call_that_cannot_be_read_shows_no_password() {
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
