//! Who is calling, on every endpoint: tokens, scopes, portals, and the table of what each caller is answered.

use std::fmt::Write as _;
use std::time::Duration;

use api::Endpoint;
use axum::body::Body;
use lambda_http::http::Request;
use local::ENDPOINTS;
use models::access::ShareType;
use models::moment::Moment;
use serde_json::{Value, json};
use tests::{Reply, World};

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, READER_TOKEN, SAM_TOKEN, ZOE, ZOE_TOKEN, access, access_of, acme, acme_with,
    contact, contact_with, lines, private, zenith,
};

/// A call of each endpoint that, from who may, makes contact 1 private with `managers`.
fn call(endpoint: &Endpoint, managers: &Value) -> (String, Value) {
    let (path, body) = match endpoint.function {
        "set-contact-access" => ("1", json!({"isShared": false, "managerList": managers})),
        "set-filter-access" => ("", json!({"tags": ["cell"], "isPrivate": true, "managerList": managers})),
        other => panic!("{other} has no call here: give it one, so that its callers are tested"),
    };
    (endpoint.path.replace("{contactid}", path), body)
}

async fn send(world: &World, endpoint: &Endpoint, authorization: Option<&str>, managers: &Value) -> Reply {
    let (path, body) = call(endpoint, managers);
    let request = Request::builder().method(endpoint.method).uri(path).header("content-type", "application/json");
    let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
    world.request(request.body(Body::from(body.to_string())).unwrap()).await.unwrap()
}

fn tagged(id: i64) -> Value {
    contact(id, json!({"Tags": ["cell"]}))
}

async fn refused(world: &World, authorization: Option<&str>) {
    for endpoint in ENDPOINTS {
        let writes = world.trips.spent().writes;
        let reply = send(world, endpoint, authorization, &json!([])).await;
        assert_eq!(reply.status, 401, "{authorization:?} {}: {}", endpoint.path, reply.text);
        assert_eq!(reply.error_type(), "unauthenticated", "{authorization:?}");
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"crm-access\"", "{authorization:?}");
        assert_eq!(world.trips.spent().writes, writes, "{authorization:?}");
    }
}

async fn admitted(world: &World, authorization: &str) {
    for endpoint in ENDPOINTS {
        let reply = send(world, endpoint, Some(authorization), &json!([])).await;
        assert_eq!(reply.status, 200, "{authorization} {}: {}", endpoint.path, reply.text);
    }
}

#[tokio::test]
async fn calls_without_a_valid_token_are_refused() {
    let world = acme_with([tagged(1)]).await;
    for authorization in [
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
        // What is stored of a token is its SHA-256, which is no token.
        Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        refused(&world, authorization).await;
    }
    assert_eq!(access_of(&world, 1).await.revision, None);
}

#[tokio::test]
async fn the_stored_hash_of_a_token_is_no_token() {
    let world = acme_with([tagged(1)]).await;
    let listed = world.store.tokens(&crate::portal::id("acme")).await.unwrap();
    assert_eq!(listed.len(), 4);
    for token in listed {
        refused(&world, Some(&token.hash)).await;
    }
}

#[tokio::test]
async fn a_token_comes_alone_or_as_a_bearer() {
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
async fn a_token_ends_when_it_expires() {
    const BRIEF: &str = "ada-until-2040-0123456789abcdef0123456789";
    let token = json!({"token": {"Token": BRIEF, "UserId": ADA, "Scopes": ["read", "write"],
        "Expires": "2040-05-01T12:00:00Z"}});
    let world = acme_with([token, tagged(1)]).await;
    let at = |text: &str| world.set_clock(text.parse::<Moment>().unwrap());
    at("2040-05-01T11:59:59.9999999Z");
    admitted(&world, BRIEF).await;
    // The token is remembered by now; its end is looked at all the same.
    at("2040-05-01T12:00:00Z");
    refused(&world, Some(BRIEF)).await;
    at("2041-01-01T00:00:00Z");
    refused(&world, Some(BRIEF)).await;
    admitted(&world, ADA_TOKEN).await;
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    const OTHER: &str = "ada-has-another-0123456789abcdef0123456789";
    let mut values = acme();
    values.extend([crate::portal::token(OTHER, ADA, &["read", "write"]), tagged(1)]);
    let world = World::with_token_cache(Duration::ZERO).await.unwrap();
    world.import(&lines(values)).await.unwrap();
    admitted(&world, ADA_TOKEN).await;
    assert!(world.store.revoke_token(ADA_TOKEN).await.unwrap());
    refused(&world, Some(ADA_TOKEN)).await;
    assert!(!world.store.revoke_token(ADA_TOKEN).await.unwrap());
    admitted(&world, OTHER).await;
}

#[tokio::test]
async fn a_token_without_the_scope_is_refused() {
    let world = acme_with([tagged(1)]).await;
    for endpoint in ENDPOINTS {
        let reply = send(&world, endpoint, Some(READER_TOKEN), &json!([])).await;
        assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (403, "scope-missing"), "{}", endpoint.path);
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(endpoint.scope.name()), "{message}");
    }
    assert_eq!(access_of(&world, 1).await.revision, None);
}

#[tokio::test]
async fn a_user_who_was_given_a_scope_stays_who_it_is() {
    // A token says which user; whether that is an administrator is the directory's to say, now.
    let world = acme_with([contact_with(1, ShareType::None, &[MIKE])]).await;
    let body = json!({"isShared": false, "managerList": [ADA]});
    assert_eq!(world.put("1/access", SAM_TOKEN, &body).await.unwrap().status, 404);
    let promoted = crate::portal::user(crate::portal::SAM, "Sam", true);
    world.import(&lines([crate::portal::portal("acme", "Europe/Riga", 4), promoted])).await.unwrap();
    assert_eq!(world.put("1/access", SAM_TOKEN, &body).await.unwrap().status, 200);
}

/// Both portals, each with contacts 1 and 2 tagged alike; contact 3 is zenith's alone.
async fn two_portals() -> World {
    let mut values = acme();
    values.extend([tagged(1), tagged(2)]);
    values.extend(zenith());
    values.extend([tagged(1), tagged(2), tagged(3)]);
    World::with(&lines(values)).await.unwrap()
}

#[tokio::test]
async fn a_token_of_one_portal_changes_nothing_of_another() {
    for endpoint in ENDPOINTS {
        let world = two_portals().await;
        let reply = send(&world, endpoint, Some(ADA_TOKEN), &json!([MIKE])).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(access(&world, "acme", [1]).await[&1].access, private(&[MIKE]), "{}", endpoint.path);
        assert!(access(&world, "zenith", 1..=3).await.is_empty(), "{}", endpoint.path);

        let reply = send(&world, endpoint, Some(ZOE_TOKEN), &json!([ZOE])).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(access(&world, "acme", [1]).await[&1].access, private(&[MIKE]), "{}", endpoint.path);
        assert_eq!(access(&world, "zenith", [1]).await[&1].access, private(&[ZOE]), "{}", endpoint.path);
    }
}

#[tokio::test]
async fn a_token_of_one_portal_finds_nothing_of_another() {
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
    for endpoint in ENDPOINTS {
        for (token, manager) in [(ADA_TOKEN, ZOE), (ZOE_TOKEN, MIKE)] {
            let reply = send(&world, endpoint, Some(token), &json!([manager])).await;
            assert_eq!((reply.status.as_u16(), reply.error_type().as_str()), (400, "unknown-manager"));
            assert!(reply.text.contains(&manager.to_string()), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn portals_whose_names_begin_alike_are_apart() {
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

/// What became of contact 1, beside the status.
async fn cell(world: &World, endpoint: &Endpoint, token: Option<&str>) -> String {
    let before = access_of(world, 1).await;
    let reply = send(world, endpoint, token, &json!([ADA])).await;
    let changed = if access_of(world, 1).await == before { "" } else { ", changed" };
    let listed = match reply.json() {
        Value::Array(contacts) => format!(", lists {}", contacts.len()),
        _ => String::new(),
    };
    format!("{}{listed}{changed}", reply.status.as_u16())
}

#[tokio::test]
async fn every_endpoint_answers_each_caller_as_the_table_says() {
    let callers = [
        ("administrator", Some(ADA_TOKEN)),
        ("manager", Some(MIKE_TOKEN)),
        ("stranger", Some(SAM_TOKEN)),
        ("read-only token", Some(READER_TOKEN)),
        ("no token", None),
        ("other portal", Some(ZOE_TOKEN)),
    ];
    let mut values = zenith();
    values.push(crate::portal::user(ADA, "Ada of Zenith", false));
    values.extend(acme());
    let world = World::with(&lines(values)).await.unwrap();
    let mut table = String::new();
    for endpoint in ENDPOINTS {
        writeln!(table, "{} {}", endpoint.method, endpoint.path).unwrap();
        writeln!(table, "    {:16} | {:24} | {:24} | private", "", "public", "shared for reading").unwrap();
        for (caller, token) in callers {
            let mut cells = Vec::new();
            for (share, managers) in
                [(ShareType::ReadWrite, &[][..]), (ShareType::Read, &[MIKE]), (ShareType::None, &[MIKE])]
            {
                let mut contact = contact_with(1, share, managers);
                contact["contact"]["Tags"] = json!(["cell"]);
                let portal = crate::portal::portal("acme", "Europe/Riga", 4);
                world.import_as(&lines([portal, contact]), true).await.unwrap();
                cells.push(cell(&world, endpoint, token).await);
            }
            writeln!(table, "    {caller:16} | {:24} | {:24} | {}", cells[0], cells[1], cells[2]).unwrap();
        }
    }
    crate::check_file("callers", &table);
}
