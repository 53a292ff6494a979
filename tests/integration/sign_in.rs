//! Signing in, as the store knows it: whose an address is, how often it may be tried, and what it costs. And how users'
//! addresses and passwords are loaded.

use futures::future::join_all;
use jiff::SignedDuration;
use models::id::UserId;
use models::limits::{MAX_ACCOUNTS, SIGN_IN_ATTEMPTS, SIGN_IN_LOCK_MILLIS, duration};
use models::moment::Moment;
use models::password::{Password, PasswordHash};
use models::portal::{Grant, Scope};
use models::sign_in::Account;
use serde_json::{Value, json};
use store::sign_in::{Pair, SignIn};
use tests::{Spent, World};
use uuid::Uuid;

use crate::portal::{ADA, ADA_TOKEN, MIKE, SAM, ZOE, acme, acme_with, contact, id, lines, portal, zenith};

const MIKES: &str = "mike@example.com";
const PASSWORD: &str = "correct horse";

fn hash(password: &str) -> PasswordHash {
    Password::check(password).unwrap().hash(b"sixteen bytes of").unwrap()
}

fn member(user: UserId, email: Option<&str>, password: Option<&str>) -> Value {
    let hash = password.map(|password| hash(password).as_str().to_owned());
    json!({"user": {"Id": user, "Email": email, "PasswordHash": hash}})
}

fn acme_lines(values: impl IntoIterator<Item = Value>) -> String {
    lines(std::iter::once(portal("acme", "Europe/Riga", 4)).chain(values))
}

fn pair(email: &str) -> Pair {
    Pair { address: "192.0.2.1".into(), email: email.parse().unwrap() }
}

fn account(portal: &str, user: UserId) -> Account {
    Account { portal: id(portal), user }
}

/// The accounts that an attempt gets to; none when it is locked.
async fn attempt(world: &World, pair: &Pair, password: &str) -> Option<Vec<Account>> {
    match world.store.begin_sign_in(pair, None, world.app.now()).await.unwrap() {
        SignIn::Begun(candidates) => Some(candidates.matching(password).into_iter().cloned().collect()),
        SignIn::Locked(_) => None,
    }
}

/// The accounts that an address and password sign in to, from an address of the network that was never seen.
async fn signs_in(world: &World, email: &str, password: &str) -> Vec<Account> {
    let pair = Pair { address: Uuid::now_v7().to_string(), ..pair(email) };
    attempt(world, &pair, password).await.unwrap()
}

fn pass(world: &World, time: SignedDuration) {
    world.set_clock(world.app.now() + time);
}

#[tokio::test]
async fn a_user_signs_in_by_address_and_password() {
    let world = acme_with([member(MIKE, Some("Mike@Example.com"), Some(PASSWORD))]).await;
    for email in [MIKES, "MIKE@EXAMPLE.COM"] {
        assert_eq!(signs_in(&world, email, PASSWORD).await, [account("acme", MIKE)]);
    }
    for (email, password) in [(MIKES, "wrong horse"), (MIKES, ""), ("sam@example.com", PASSWORD)] {
        assert_eq!(signs_in(&world, email, password).await, [], "{email} {password:?}");
    }
    let found = async |portal, email: &str| {
        let user = world.store.user_of_email(&id(portal), &email.parse().unwrap()).await.unwrap();
        user.map(|user| user.employee.id)
    };
    assert_eq!(found("acme", MIKES).await, Some(MIKE));
    assert_eq!(found("zenith", MIKES).await, None);
    assert_eq!(found("acme", "sam@example.com").await, None);
}

#[tokio::test]
async fn the_password_tells_the_portals_of_an_address_apart() {
    let mut values = acme();
    values.push(member(MIKE, Some(MIKES), Some(PASSWORD)));
    values.extend(zenith());
    values.push(member(ZOE, Some(MIKES), Some("another one")));
    let world = World::with(&lines(values)).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);
    assert_eq!(signs_in(&world, MIKES, "another one").await, [account("zenith", ZOE)]);
    world.store.set_password(&id("zenith"), ZOE, &hash(PASSWORD)).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE), account("zenith", ZOE)]);
    assert_eq!(signs_in(&world, MIKES, "another one").await, []);
}

#[tokio::test]
async fn an_address_signs_in_to_no_more_portals_than_are_looked_at() {
    let names = (0..=MAX_ACCOUNTS).map(|number| format!("portal-{number}"));
    let values = names.flat_map(|name| [portal(&name, "UTC", 1), member(MIKE, Some(MIKES), Some(PASSWORD))]);
    let world = World::with(&lines(values)).await.unwrap();
    let expected: Vec<Account> = (0..MAX_ACCOUNTS).map(|number| account(&format!("portal-{number}"), MIKE)).collect();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, expected);
    // One that is named is looked at, however many there are, and alone.
    let last = id(&format!("portal-{MAX_ACCOUNTS}"));
    match world.store.begin_sign_in(&pair(MIKES), Some(&last), world.app.now()).await.unwrap() {
        SignIn::Begun(candidates) => {
            assert_eq!(candidates.matching(PASSWORD), [&Account { portal: last, user: MIKE }]);
        }
        SignIn::Locked(_) => panic!("a first attempt is locked"),
    }
}

/// What an attempt asks of the table: calls, rounds of them, units.
async fn asked(world: &World, pair: &Pair) -> (u64, u64, Spent) {
    let ((calls, rounds), spent) = (world.trips.so_far(), world.trips.spent());
    attempt(world, pair, "wrong horse").await;
    let (now, rounds_now) = world.trips.so_far();
    (now - calls, rounds_now - rounds, world.trips.spent() - spent)
}

#[tokio::test]
async fn the_table_is_asked_the_same_of_a_user_and_of_nobody() {
    let world =
        acme_with([member(MIKE, Some(MIKES), Some(PASSWORD)), member(SAM, Some("sam@example.com"), None)]).await;
    let first = asked(&world, &pair(MIKES)).await;
    assert_eq!(first, (3, 2, Spent { read_units: 3.0, write_units: 1.0, writes: 1 }));
    // Without a password, and without a user: then with attempts that are counted, and when they have locked it.
    let others = ["sam@example.com", "nobody@example.com"].map(pair);
    for other in &others {
        assert_eq!(asked(&world, other).await, first, "{other:?}");
    }
    for number in 1..=SIGN_IN_ATTEMPTS {
        let again = asked(&world, &pair(MIKES)).await;
        for other in &others {
            assert_eq!(asked(&world, other).await, again, "{other:?}, {number}");
        }
    }
    assert_eq!(attempt(&world, &pair(MIKES), PASSWORD).await, None);
}

#[tokio::test]
async fn the_sixth_attempt_of_a_minute_is_refused_for_users_and_for_nobody() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    for email in [MIKES, "nobody@example.com"] {
        let pair = pair(email);
        for _ in 0..SIGN_IN_ATTEMPTS {
            assert_eq!(attempt(&world, &pair, "wrong horse").await, Some(Vec::new()));
            pass(&world, SignedDuration::from_secs(1));
        }
        let locked = world.store.begin_sign_in(&pair, None, world.app.now()).await.unwrap();
        let SignIn::Locked(locked) = locked else { panic!("{locked:?}") };
        assert_eq!(locked.wait, duration(SIGN_IN_LOCK_MILLIS) - SignedDuration::from_secs(1));
        // Neither another address of the network nor another user is locked.
        assert!(attempt(&world, &Pair { address: "192.0.2.2".into(), ..pair.clone() }, PASSWORD).await.is_some());
        assert!(
            attempt(&world, &Pair { email: "sam@example.com".parse().unwrap(), ..pair.clone() }, "").await.is_some()
        );
        pass(&world, locked.wait - SignedDuration::from_millis(1));
        assert_eq!(attempt(&world, &pair, PASSWORD).await, None);
        pass(&world, SignedDuration::from_millis(1));
        assert!(attempt(&world, &pair, PASSWORD).await.is_some());
    }
}

#[tokio::test]
async fn of_guesses_made_at_once_five_are_looked_at() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    for email in [MIKES, "nobody@example.com"] {
        let pair = pair(email);
        let guesses = join_all((0..12).map(|_| world.store.begin_sign_in(&pair, None, world.app.now()))).await;
        let begun = guesses.into_iter().filter(|guess| matches!(guess, Ok(SignIn::Begun(_)))).count();
        assert_eq!(begun, SIGN_IN_ATTEMPTS, "{email}");
    }
}

#[tokio::test]
async fn who_signs_in_has_no_attempts_and_a_token() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD)), contact(1, json!({}))]).await;
    let pair = pair(MIKES);
    for number in 0..3 {
        for _ in 1..SIGN_IN_ATTEMPTS {
            assert_eq!(attempt(&world, &pair, "wrong horse").await, Some(Vec::new()));
        }
        assert_eq!(attempt(&world, &pair, PASSWORD).await, Some(vec![account("acme", MIKE)]));
        let token = store::tokens::new_token().unwrap();
        let expires: Moment = world.app.now() + SignedDuration::from_hours(1);
        let scopes = vec![Scope::Read, Scope::Write];
        let grant = Grant { portal: id("acme"), user: MIKE, scopes, expires: Some(expires) };
        let (calls, spent) = (world.trips.so_far(), world.trips.spent());
        world.store.admit(&pair, &token, &grant).await.unwrap();
        let (now, rounds) = world.trips.so_far();
        assert_eq!((now - calls.0, rounds - calls.1), (1, 1));
        assert_eq!((world.trips.spent() - spent).write_units, 3.0);
        let reply = world.put("1/access", &token, &json!({"isShared": true})).await.unwrap();
        assert_eq!(reply.status, 200, "{number}: {}", reply.text);
        assert_eq!(world.store.tokens(&id("acme")).await.unwrap().len(), acme_tokens() + number + 1);
    }
}

fn acme_tokens() -> usize {
    acme().iter().filter(|line| line.get("token").is_some()).count()
}

#[tokio::test]
async fn loading_users_twice_changes_nothing() {
    let users = || [member(MIKE, Some(MIKES), Some(PASSWORD)), member(SAM, Some("sam@example.com"), None)];
    let world = acme_with(users()).await;
    world.store.set_password(&id("acme"), SAM, &hash("another one")).await.unwrap();
    for _ in 0..2 {
        world.import(&acme_lines(users())).await.unwrap();
        assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);
        // A line without a hash leaves the password that is there.
        assert_eq!(signs_in(&world, "sam@example.com", "another one").await, [account("acme", SAM)]);
    }
}

#[tokio::test]
async fn a_user_signs_in_with_the_address_it_was_loaded_with_last() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    world.import(&acme_lines([member(MIKE, Some("mz@example.com"), None)])).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, []);
    assert_eq!(signs_in(&world, "mz@example.com", PASSWORD).await, [account("acme", MIKE)]);
    assert_eq!(address_entries(&world, MIKES).await, 0);

    // Several times in one file.
    let lines = [Some("a@example.com"), Some(MIKES), Some("b@example.com"), Some(MIKES)];
    world.import(&acme_lines(lines.map(|email| member(MIKE, email, None)))).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);
    for gone in ["mz@example.com", "a@example.com", "b@example.com"] {
        assert_eq!(address_entries(&world, gone).await, 0, "{gone}");
    }

    // A line replaces its user: one without an address takes it away, and the password waits for the next one.
    world.import(&acme_lines([member(MIKE, None, None)])).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, []);
    assert_eq!(address_entries(&world, MIKES).await, 0);
    world.import(&acme_lines([member(MIKE, Some(MIKES), None)])).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);
}

/// How many portals an address leads to, whoever's it is.
async fn address_entries(world: &World, email: &str) -> usize {
    let key = store::keys::Range::Addresses(email.parse().unwrap()).encode().0;
    let query = world.client.query().table_name(&world.table).key_condition_expression("#pk = :pk");
    let query = query.expression_attribute_names("#pk", store::keys::PK);
    let value = aws_sdk_dynamodb::types::AttributeValue::S(key);
    query.expression_attribute_values(":pk", value).send().await.unwrap().items().len()
}

#[tokio::test]
async fn an_address_is_that_of_one_user_of_a_portal() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let error = world.import(&acme_lines([member(SAM, Some(MIKES), None)])).await.unwrap_err().to_string();
    let expected = format!(
        "line 2: Email {MIKES} of user {SAM} is also that of user {MIKE} of portal acme, and no line of this file gives \
         that user another one. The users' lines from this one on were not loaded"
    );
    assert_eq!(error, expected);
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);

    // Handed on, in the order in which it becomes free.
    let handed_on = [member(MIKE, Some("mz@example.com"), None), member(SAM, Some(MIKES), Some("another one"))];
    world.import(&acme_lines(handed_on)).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, "another one").await, [account("acme", SAM)]);
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, []);
    assert_eq!(signs_in(&world, "mz@example.com", PASSWORD).await, [account("acme", MIKE)]);
}

#[tokio::test]
async fn users_swap_addresses_in_one_file() {
    const SAMS: &str = "sam@example.com";
    const ADAS: &str = "ada@example.com";
    let world = acme_with([
        member(MIKE, Some(MIKES), Some("mike's secret")),
        member(SAM, Some(SAMS), Some("sam's secret")),
        member(ADA, Some(ADAS), Some("ada's secret")),
    ])
    .await;
    let check = async |mike: &str, sam: &str, ada: &str| {
        for (email, password, user) in
            [(mike, "mike's secret", MIKE), (sam, "sam's secret", SAM), (ada, "ada's secret", ADA)]
        {
            assert_eq!(signs_in(&world, email, password).await, [account("acme", user)], "{email}");
            assert_eq!(address_entries(&world, email).await, 1, "{email}");
        }
    };
    let swapped = [member(MIKE, Some(SAMS), None), member(SAM, Some(MIKES), None)];
    world.import(&acme_lines(swapped.clone())).await.unwrap();
    check(SAMS, MIKES, ADAS).await;
    world.import(&acme_lines(swapped)).await.unwrap();
    check(SAMS, MIKES, ADAS).await;
    // Three in a ring, with a contact between their lines.
    let ring = [
        member(MIKE, Some(MIKES), None),
        contact(1, json!({"ShareType": 0, "AccessList": [{"Id": MIKE}]})),
        member(SAM, Some(ADAS), None),
        member(ADA, Some(SAMS), None),
    ];
    world.import(&acme_lines(ring)).await.unwrap();
    check(MIKES, ADAS, SAMS).await;
    // An address that a user wanted for a moment is nobody's in the end.
    let detour = [member(MIKE, Some(ADAS), None), member(MIKE, Some("new@example.com"), None)];
    world.import(&acme_lines(detour)).await.unwrap();
    check("new@example.com", ADAS, SAMS).await;
    assert_eq!(address_entries(&world, MIKES).await, 0);
}

#[tokio::test]
async fn an_entry_that_an_interrupted_load_left_signs_nobody_in() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let (pk, sk) = store::keys::Key::Address(MIKES.parse().unwrap(), id("acme")).encode();
    let key = [(store::keys::PK, pk), (store::keys::SK, sk)]
        .map(|(name, value)| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value)));
    let read = world.client.get_item().table_name(&world.table).set_key(Some(key.into())).send();
    let left = read.await.unwrap().item.unwrap();
    world.import(&acme_lines([member(MIKE, Some("mz@example.com"), None)])).await.unwrap();
    world.client.put_item().table_name(&world.table).set_item(Some(left)).send().await.unwrap();
    assert_eq!(address_entries(&world, MIKES).await, 1);
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, []);
    assert_eq!(world.store.user_of_email(&id("acme"), &MIKES.parse().unwrap()).await.unwrap(), None);
    // Whose it becomes has it.
    world.import(&acme_lines([member(SAM, Some(MIKES), Some(PASSWORD))])).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", SAM)]);
}

#[tokio::test]
async fn no_answer_shows_an_address_or_a_hash() {
    let mine = [
        json!({"user": {"Id": ADA, "DisplayName": "Ada", "IsAdmin": true, "Email": "ada@example.com",
            "PasswordHash": hash(PASSWORD).as_str()}}),
        contact(1, json!({"AccessList": [{"Id": ADA}], "CreateBy": {"Id": ADA}})),
    ];
    let world = acme_with(mine).await;
    let reply = world.put("1/access", ADA_TOKEN, &json!({"isShared": false, "managerList": [ADA]})).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(!reply.text.contains("ada@example.com") && !reply.text.contains("argon2"), "{}", reply.text);
}
