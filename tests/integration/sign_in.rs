//! Sign-in in the store: owners of email addresses, limits on attempts, and costs. Also the import of users' addresses
//! and passwords.

use std::net::IpAddr;

use futures::future::join_all;
use jiff::SignedDuration;
use models::directory::{Grant, Scope};
use models::limits::{
    KNOWN_NETWORK_DAYS, MAX_ACCOUNTS, SIGN_IN_ATTEMPTS, SIGN_IN_LOCK_MILLIS, USER_SIGN_IN_ATTEMPTS, USER_WINDOW_MILLIS,
    duration,
};
use models::sign_in::password::{Memory, Password, PasswordHash};
use models::sign_in::{Account, Network};
use models::values::id::UserId;
use serde_json::{Value, json};
use store::sign_in::{Attempt, Pair, SignIn};
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
    from("192.0.2.1", email)
}

/// Returns the pair of a network address and an email address.
fn from(address: &str, email: &str) -> Pair {
    Pair { network: address.parse::<IpAddr>().unwrap().into(), email: email.parse().unwrap() }
}

fn account(portal: &str, user: UserId) -> Account {
    Account { portal: id(portal), user }
}

/// Returns the accounts that an attempt matches; none when the pair is locked.
async fn attempt(world: &World, pair: &Pair, password: &str) -> Option<Vec<Account>> {
    match world.store.begin_sign_in(pair, None, world.app.now()).await.unwrap() {
        SignIn::Begun(attempt) => Some(matching(&attempt, password)),
        SignIn::Locked(_) => None,
    }
}

fn matching(attempt: &Attempt, password: &str) -> Vec<Account> {
    let mut memory = Memory::new();
    let found = attempt.candidates.matching(password, &mut memory).into_iter();
    found.map(|candidate| candidate.account.clone()).collect()
}

/// Signs in with the right password, from start to end. Returns whether the sign-in succeeded.
async fn complete_sign_in(world: &World, pair: &Pair, password: &str) -> bool {
    match world.store.begin_sign_in(pair, None, world.app.now()).await.unwrap() {
        SignIn::Begun(attempt) => admit(world, &attempt, password).await.is_some(),
        SignIn::Locked(_) => false,
    }
}

/// Returns the token of a started attempt; none if the sign-in is refused.
async fn admit(world: &World, attempt: &Attempt, password: &str) -> Option<String> {
    let mut memory = Memory::new();
    let candidate = attempt.candidates.matching(password, &mut memory)[0];
    let token = store::tokens::new_token().unwrap();
    let Account { portal, user } = candidate.account.clone();
    let expires = Some(world.app.now() + SignedDuration::from_hours(1));
    let scopes = vec![Scope::Read, Scope::Write];
    let grant = Grant { portal, user, scopes, expires, valid_from: candidate.tokens_valid_from };
    world.store.admit(attempt, candidate, &token, &grant).await.unwrap().then_some(token)
}

/// Returns the accounts that an address and password match, from a new network.
async fn signs_in(world: &World, email: &str, password: &str) -> Vec<Account> {
    // A version 7 UUID begins with the time, and an IPv6 address with its network.
    let network = Network::from(IpAddr::from(Uuid::now_v7().into_bytes()));
    let pair = Pair { network, ..pair(email) };
    attempt(world, &pair, password).await.unwrap()
}

fn pass(world: &World, time: SignedDuration) {
    world.set_clock(world.app.now() + time);
}

#[tokio::test]
async fn user_signs_in_by_address_and_password() {
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
async fn password_selects_the_portal_of_an_address() {
    let mut values = acme();
    values.push(member(MIKE, Some(MIKES), Some(PASSWORD)));
    values.extend(zenith());
    values.push(member(ZOE, Some(MIKES), Some("another one")));
    let world = World::with(&lines(values)).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);
    assert_eq!(signs_in(&world, MIKES, "another one").await, [account("zenith", ZOE)]);
    world.store.set_password(&id("zenith"), ZOE, &hash(PASSWORD), world.app.now()).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE), account("zenith", ZOE)]);
    assert_eq!(signs_in(&world, MIKES, "another one").await, []);
}

#[tokio::test]
async fn address_signs_in_to_at_most_the_maximum_of_portals() {
    let names = (0..=MAX_ACCOUNTS).map(|number| format!("portal-{number}"));
    let values = names.flat_map(|name| [portal(&name, "UTC", 1), member(MIKE, Some(MIKES), Some(PASSWORD))]);
    let world = World::with(&lines(values)).await.unwrap();
    let expected: Vec<Account> = (0..MAX_ACCOUNTS).map(|number| account(&format!("portal-{number}"), MIKE)).collect();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, expected);
    // A named portal is checked alone, however many portals there are.
    let last = id(&format!("portal-{MAX_ACCOUNTS}"));
    match world.store.begin_sign_in(&pair(MIKES), Some(&last), world.app.now()).await.unwrap() {
        SignIn::Begun(attempt) => {
            assert_eq!(matching(&attempt, PASSWORD), [Account { portal: last, user: MIKE }]);
        }
        SignIn::Locked(_) => panic!("a first attempt is locked"),
    }
}

/// Returns the cost of an attempt: calls, rounds, units.
async fn cost_of_attempt(world: &World, pair: &Pair) -> (u64, u64, Spent) {
    let ((calls, rounds), spent) = (world.trips.so_far(), world.trips.spent());
    attempt(world, pair, "wrong horse").await;
    let (now, rounds_now) = world.trips.so_far();
    (now - calls, rounds_now - rounds, world.trips.spent() - spent)
}

#[tokio::test]
async fn attempt_costs_the_same_for_a_user_and_for_nobody() {
    let world =
        acme_with([member(MIKE, Some(MIKES), Some(PASSWORD)), member(SAM, Some("sam@example.com"), None)]).await;
    let first = cost_of_attempt(&world, &pair(MIKES)).await;
    assert_eq!(first, (5, 2, Spent { read_units: 4.0, write_units: 2.0, writes: 2 }));
    // Compare a user without a password and an unknown user: at the first attempt, after counted attempts, and when
    // locked.
    let others = ["sam@example.com", "nobody@example.com"].map(pair);
    for other in &others {
        assert_eq!(cost_of_attempt(&world, other).await, first, "{other:?}");
    }
    // The three calls that count a further attempt run concurrently with the look-up of the address, so their duration
    // decides the number of rounds.
    for number in 1..=SIGN_IN_ATTEMPTS {
        let (calls, _, spent) = cost_of_attempt(&world, &pair(MIKES)).await;
        for other in &others {
            let (other_calls, _, other_spent) = cost_of_attempt(&world, other).await;
            assert_eq!((other_calls, other_spent), (calls, spent), "{other:?}, {number}");
        }
    }
    assert_eq!(attempt(&world, &pair(MIKES), PASSWORD).await, None);
}

#[tokio::test]
async fn sixth_attempt_of_a_minute_is_refused_for_users_and_for_nobody() {
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
        // Neither another address in the network nor another user is locked.
        assert!(attempt(&world, &from("192.0.2.2", email), PASSWORD).await.is_some());
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
async fn only_five_of_concurrent_guesses_are_checked() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    for email in [MIKES, "nobody@example.com"] {
        let pair = pair(email);
        let guesses = join_all((0..12).map(|_| world.store.begin_sign_in(&pair, None, world.app.now()))).await;
        let begun = guesses.into_iter().filter(|guess| matches!(guess, Ok(SignIn::Begun(_)))).count();
        assert_eq!(begun, SIGN_IN_ATTEMPTS, "{email}");
    }
}

#[tokio::test]
async fn successful_sign_in_gives_a_token_and_resets_attempts() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD)), contact(1, json!({}))]).await;
    let pair = pair(MIKES);
    for number in 0..3 {
        for _ in 1..SIGN_IN_ATTEMPTS {
            assert_eq!(attempt(&world, &pair, "wrong horse").await, Some(Vec::new()));
        }
        let SignIn::Begun(begun) = world.store.begin_sign_in(&pair, None, world.app.now()).await.unwrap() else {
            panic!("the pair is locked");
        };
        let (calls, spent) = (world.trips.so_far(), world.trips.spent());
        let token = admit(&world, &begun, PASSWORD).await.unwrap();
        let (now, rounds) = world.trips.so_far();
        // From the second sign-in on the network is known, and no attempt counts for the user.
        let is_first = number == 0;
        assert_eq!((now - calls.0, rounds - calls.1), (if is_first { 3 } else { 2 }, 1));
        let spent = world.trips.spent() - spent;
        assert_eq!((spent.read_units, spent.write_units), (2.0, if is_first { 5.0 } else { 4.0 }));
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
    world.store.set_password(&id("acme"), SAM, &hash("another one"), world.app.now()).await.unwrap();
    for _ in 0..2 {
        world.import(&acme_lines(users())).await.unwrap();
        assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);
        // A line without a hash keeps the current password.
        assert_eq!(signs_in(&world, "sam@example.com", "another one").await, [account("acme", SAM)]);
    }
}

#[tokio::test]
async fn user_signs_in_with_the_address_loaded_last() {
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

    // A line replaces its user: without an address the user loses the address. The password stays valid with the next
    // address.
    world.import(&acme_lines([member(MIKE, None, None)])).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, []);
    assert_eq!(address_entries(&world, MIKES).await, 0);
    world.import(&acme_lines([member(MIKE, Some(MIKES), None)])).await.unwrap();
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);
}

/// Returns the number of portals that an address leads to.
async fn address_entries(world: &World, email: &str) -> usize {
    let key = store::keys::Range::Addresses(email.parse().unwrap()).encode().0;
    let query = world.client.query().table_name(&world.table).key_condition_expression("#pk = :pk");
    let query = query.expression_attribute_names("#pk", store::keys::PK);
    let value = aws_sdk_dynamodb::types::AttributeValue::S(key);
    query.expression_attribute_values(":pk", value).send().await.unwrap().items().len()
}

#[tokio::test]
async fn address_belongs_to_one_user_of_a_portal() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let error = world.import(&acme_lines([member(SAM, Some(MIKES), None)])).await.unwrap_err().to_string();
    let expected = format!(
        "line 2: Email {MIKES} of user {SAM} is also the address of user {MIKE} of portal acme, and no line of this \
         file resolves the conflict. The lines of users from this line on were not loaded"
    );
    assert_eq!(error, expected);
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, [account("acme", MIKE)]);

    // Another user may get an address once its owner has another address.
    let swapped_owner = [member(MIKE, Some("mz@example.com"), None), member(SAM, Some(MIKES), Some("another one"))];
    world.import(&acme_lines(swapped_owner)).await.unwrap();
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
    // A ring of three, with a contact between the users' lines.
    let ring = [
        member(MIKE, Some(MIKES), None),
        contact(1, json!({"ShareType": 0, "AccessList": [{"Id": MIKE}]})),
        member(SAM, Some(ADAS), None),
        member(ADA, Some(SAMS), None),
    ];
    world.import(&acme_lines(ring)).await.unwrap();
    check(MIKES, ADAS, SAMS).await;
    // An address that a user had only within the file belongs to nobody in the end.
    let detour = [member(MIKE, Some(ADAS), None), member(MIKE, Some("new@example.com"), None)];
    world.import(&acme_lines(detour)).await.unwrap();
    check("new@example.com", ADAS, SAMS).await;
    assert_eq!(address_entries(&world, MIKES).await, 0);
}

#[tokio::test]
async fn entry_of_an_interrupted_load_signs_nobody_in() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let (pk, sk) = store::keys::Key::Address(MIKES.parse().unwrap(), id("acme")).encode();
    let key = [(store::keys::PK, pk), (store::keys::SK, sk)]
        .map(|(name, value)| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value)));
    let read = world.client.get_item().table_name(&world.table).set_key(Some(key.into())).send();
    let left = read.await.unwrap().item.unwrap();
    world.import(&acme_lines([member(MIKE, Some("mz@example.com"), None)])).await.unwrap();
    world.client.put_item().table_name(&world.table).set_item(Some(left)).send().await.unwrap();
    world.catch_up().await.unwrap();
    assert_eq!(address_entries(&world, MIKES).await, 1);
    assert_eq!(signs_in(&world, MIKES, PASSWORD).await, []);
    assert_eq!(world.store.user_of_email(&id("acme"), &MIKES.parse().unwrap()).await.unwrap(), None);
    // The next owner of the address can sign in.
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

/// Uses up a user's attempts with wrong passwords, each from a different network.
async fn use_up_attempts(world: &World, email: &str) {
    for number in 0..USER_SIGN_IN_ATTEMPTS {
        let pair = from(&format!("198.51.100.{number}"), email);
        assert_eq!(attempt(world, &pair, "wrong horse").await, Some(Vec::new()), "{email} {number}");
    }
}

#[tokio::test]
async fn attempts_from_many_networks_lock_the_user_on_unknown_networks() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    world.set_clock("2026-01-01T00:05:00Z".parse().unwrap());
    assert!(complete_sign_in(&world, &from("192.0.2.1", MIKES), PASSWORD).await);
    assert!(complete_sign_in(&world, &from("2001:db8:0:1::1", MIKES), PASSWORD).await);
    for email in [MIKES, "nobody@example.com"] {
        use_up_attempts(&world, email).await;
        let pair = from("203.0.113.1", email);
        let locked = world.store.begin_sign_in(&pair, None, world.app.now()).await.unwrap();
        let SignIn::Locked(locked) = locked else { panic!("{locked:?}") };
        assert_eq!(locked.seconds(), 600, "{email}");
    }
    // Networks that the user signed in from stay unlocked, and so do other users.
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8:0:1:ffff::2"] {
        assert!(complete_sign_in(&world, &from(address, MIKES), PASSWORD).await, "{address}");
    }
    assert!(!complete_sign_in(&world, &from("192.0.2.2", MIKES), PASSWORD).await);
    assert_eq!(attempt(&world, &from("203.0.113.1", "sam@example.com"), "").await, Some(Vec::new()));
    // The lock ends with the window.
    pass(&world, SignedDuration::from_mins(10));
    assert!(complete_sign_in(&world, &from("192.0.2.2", MIKES), PASSWORD).await);
}

#[tokio::test]
async fn network_stays_known_for_thirty_days_after_the_last_sign_in() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let (home, day) = (from("192.0.2.1", MIKES), SignedDuration::from_hours(24));
    assert!(complete_sign_in(&world, &home, PASSWORD).await);
    for (days, is_known) in
        [(KNOWN_NETWORK_DAYS - 1, true), (KNOWN_NETWORK_DAYS - 1, true), (KNOWN_NETWORK_DAYS, false)]
    {
        pass(&world, day * i32::try_from(days).unwrap());
        use_up_attempts(&world, MIKES).await;
        assert_eq!(complete_sign_in(&world, &home, PASSWORD).await, is_known);
    }
}

#[tokio::test]
async fn successful_sign_ins_use_up_no_attempts() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    for number in 0..2 * USER_SIGN_IN_ATTEMPTS {
        assert!(complete_sign_in(&world, &from(&format!("198.51.100.{number}"), MIKES), PASSWORD).await, "{number}");
    }
}

#[tokio::test]
async fn concurrent_attempts_from_many_networks_are_all_counted() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let pairs: Vec<Pair> = (0..2 * USER_SIGN_IN_ATTEMPTS).map(|n| from(&format!("198.51.100.{n}"), MIKES)).collect();
    let guesses = join_all(pairs.iter().map(|pair| world.store.begin_sign_in(pair, None, world.app.now()))).await;
    let begun = guesses.into_iter().filter(|guess| matches!(guess, Ok(SignIn::Begun(_)))).count();
    assert_eq!(begun as u64, USER_SIGN_IN_ATTEMPTS);
    assert!(duration(USER_WINDOW_MILLIS) > SignedDuration::ZERO);
}

#[tokio::test]
async fn withdrawn_attempt_counts_neither_for_the_pair_nor_for_the_user() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let pair = pair(MIKES);
    for _ in 0..2 * USER_SIGN_IN_ATTEMPTS {
        match world.store.begin_sign_in(&pair, None, world.app.now()).await.unwrap() {
            SignIn::Begun(attempt) => world.store.withdraw(&attempt).await.unwrap(),
            SignIn::Locked(locked) => panic!("{locked}"),
        }
    }
}

#[tokio::test]
async fn sign_in_started_before_a_password_change_is_refused() {
    let world = acme_with([member(MIKE, Some(MIKES), Some(PASSWORD))]).await;
    let (acme, now) = (id("acme"), world.app.now());
    for change in ["another password", "ended tokens", "removal"] {
        let SignIn::Begun(attempt) = world.store.begin_sign_in(&pair(MIKES), None, now).await.unwrap() else {
            panic!("the pair is locked");
        };
        match change {
            "another password" => {
                world.store.set_password(&acme, MIKE, &hash("another one"), now).await.unwrap();
                assert_eq!(admit(&world, &attempt, PASSWORD).await, None, "{change}");
                // Setting the same password again still counts as a change.
                world.store.set_password(&acme, MIKE, &hash(PASSWORD), now).await.unwrap();
            }
            "ended tokens" => {
                world.store.end_tokens(&acme, MIKE, now).await.unwrap();
            }
            _ => world.store.remove_user(&acme, MIKE).await.unwrap(),
        }
        assert_eq!(admit(&world, &attempt, PASSWORD).await, None, "{change}");
    }
    assert_eq!(world.store.tokens(&acme).await.unwrap().len(), acme_tokens() - 1, "no token is left of the attempts");
}
