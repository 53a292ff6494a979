//! Passwords and their hashes, e-mail addresses, and limits on sign-in attempts.

use std::net::IpAddr;

use jiff::SignedDuration;
use models::limits::{
    MAX_PASSWORD_BYTES, SIGN_IN_ATTEMPTS, SIGN_IN_LOCK_MILLIS, SIGN_IN_WINDOW_MILLIS, USER_SIGN_IN_ATTEMPTS,
};
use models::sign_in::password::{Memory, Password, PasswordHash, SALT_BYTES};
use models::sign_in::{Account, Attempts, Candidate, Candidates, Email, Locked, Network, UserWindow};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use proptest::prelude::*;

const SALT: [u8; SALT_BYTES] = *b"sixteen bytes of";
const PASSWORD: &str = "correct horse";

fn hash(password: &str) -> PasswordHash {
    Password::check(password).unwrap().hash(&SALT).unwrap()
}

fn candidate(account: Account, hash: PasswordHash) -> Candidate {
    Candidate { account, hash, tokens_valid_from: None }
}

#[test]
fn reused_memory_gives_the_same_results() {
    let mut memory = Memory::new();
    let small: PasswordHash =
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc".parse().unwrap();
    let large = hash("password");
    for _ in 0..2 {
        for hash in [&small, &large] {
            assert!(hash.verify("password", &mut memory));
            assert!(!hash.verify("passwore", &mut memory));
        }
    }
    assert_eq!((small.memory_kib(), large.memory_kib()), (256, 19_456));
    assert_eq!(memory.kib(), 19_456);
}

#[test]
fn only_the_correct_password_is_verified() {
    let hash = hash(PASSWORD);
    assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
    assert!(hash.verify(PASSWORD, &mut Memory::new()));
    for other in ["", "correct horse ", "Correct horse", &"c".repeat(MAX_PASSWORD_BYTES + 1)] {
        assert!(!hash.verify(other, &mut Memory::new()), "{other:?}");
    }
    assert_eq!(hash.as_str().parse::<PasswordHash>().unwrap(), hash);
}

#[test]
fn hash_of_the_reference_implementation_is_verified() {
    // A hash from the tests of the reference implementation in C, with parameters within our bounds.
    let hash = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
    assert!(hash.parse::<PasswordHash>().unwrap().verify("password", &mut Memory::new()));
}

#[test]
fn nobody_has_a_password() {
    let nobody = PasswordHash::of_nobody();
    assert_eq!(nobody.as_str().parse::<PasswordHash>().unwrap(), nobody);
    // The same parameters mean the same work.
    let work = |hash: &PasswordHash| hash.as_str().split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(work(&nobody), work(&hash(PASSWORD)));
    assert_eq!(nobody.as_str().len(), hash(PASSWORD).as_str().len());
    assert!(!nobody.verify("", &mut Memory::new()) && !nobody.verify(PASSWORD, &mut Memory::new()));
}

#[test]
fn a_password_has_eight_characters_and_no_more_than_1024_bytes() {
    for (text, fits) in [
        ("seven77", false),
        ("eight888", true),
        ("пароль", false),
        ("пароль12", true),
        (&"p".repeat(MAX_PASSWORD_BYTES), true),
        (&"p".repeat(MAX_PASSWORD_BYTES + 1), false),
        (&"я".repeat(MAX_PASSWORD_BYTES / 2 + 1), false),
    ] {
        assert_eq!(Password::check(text).is_ok(), fits, "{text:?}");
    }
}

#[test]
fn only_an_argon2id_hash_within_bounds_is_accepted() {
    let of = |head: &str| format!("{head}$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo");
    for (text, is_accepted) in [
        (of("$argon2id$v=19$m=65536,t=10,p=4"), true),
        (of("$argon2id$v=19$m=65537,t=10,p=4"), false),
        (of("$argon2id$v=19$m=65536,t=11,p=4"), false),
        (of("$argon2id$v=19$m=65536,t=10,p=5"), false),
        (of("$argon2id$v=19$m=4294967295,t=4294967295,p=1"), false),
        (of("$argon2id$v=19$m=19456,t=2"), false),
        (of("$argon2id$v=19"), false),
        (of("$argon2id$m=19456,t=2,p=1"), false),
        (of("$argon2id$v=16$m=19456,t=2,p=1"), false),
        (of("$argon2i$v=19$m=19456,t=2,p=1"), false),
        (of("$argon2d$v=19$m=19456,t=2,p=1"), false),
        (of("$argon2id$v=19$m=19456,t=2,p=1,x=1"), false),
        (of("$argon2id$v=19$m=19456,t=0,p=1"), false),
        ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ".into(), false),
        ("$argon2id$v=19$m=19456,t=2,p=1".into(), false),
        (format!("{} ", of("$argon2id$v=19$m=19456,t=2,p=1")), false),
        ("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(), false),
        ("opensesame".into(), false),
        (String::new(), false),
    ] {
        assert_eq!(text.parse::<PasswordHash>().is_ok(), is_accepted, "{text}");
    }
}

#[test]
fn nothing_shows_a_password_or_its_hash() {
    let hash = hash(PASSWORD);
    let (portal, user) = ("acme".parse().unwrap(), UserId::NIL);
    let candidates = Candidates::new([candidate(Account { portal, user }, hash.clone())]);
    let refused = PASSWORD.parse::<PasswordHash>().unwrap_err();
    let shown = format!("{:?} {hash:?} {candidates:?} {refused} {refused:?}", Password::check(PASSWORD).unwrap());
    assert!(!shown.contains("correct") && !shown.contains("m=19456"), "{shown}");
}

#[test]
fn address_has_two_parts_and_no_key_separator() {
    for (text, expected) in [
        ("mike@example.com", Some("mike@example.com")),
        ("Mike.Z+crm@EXAMPLE.com", Some("mike.z+crm@example.com")),
        ("JÖRG@STRASSE.de", Some("jörg@strasse.de")),
        ("e\u{301}a@b", Some("éa@b")),
        ("", None),
        ("mike", None),
        ("@example.com", None),
        ("mike@", None),
        ("a@b@c", None),
        ("mi ke@example.com", None),
        (" mike@example.com", None),
        ("mike@example.com\n", None),
        ("mi\u{0}ke@example.com", None),
        ("mi#ke@example.com", None),
        // This character folds to a space.
        ("mi\u{2000}ke@example.com", None),
    ] {
        assert_eq!(text.parse::<Email>().ok().as_ref().map(Email::as_str), expected, "{text:?}");
    }
    let domain = "@example.com";
    assert!(format!("{}{domain}", "m".repeat(254 - domain.len())).parse::<Email>().is_ok());
    assert!(format!("{}{domain}", "m".repeat(255 - domain.len())).parse::<Email>().is_err());
}

#[test]
fn password_selects_the_accounts() {
    let account = |portal: &str| {
        let portal: PortalId = portal.parse().unwrap();
        Account { portal, user: UserId::from_u128(1) }
    };
    let of = |passwords: [&str; 2]| {
        let [acme, zenith] = passwords.map(hash);
        Candidates::new([candidate(account("acme"), acme), candidate(account("zenith"), zenith)])
    };
    let mut memory = Memory::new();
    let mut matching = |candidates: &Candidates, password| {
        let found = candidates.matching(password, &mut memory).into_iter();
        found.map(|candidate| candidate.account.clone()).collect::<Vec<_>>()
    };
    let both = of([PASSWORD, "another one"]);
    assert_eq!(matching(&both, PASSWORD), [account("acme")]);
    assert_eq!(matching(&both, "another one"), [account("zenith")]);
    assert_eq!(matching(&both, "neither one"), []);
    assert_eq!(matching(&of([PASSWORD, PASSWORD]), PASSWORD), [account("acme"), account("zenith")]);
    assert_eq!(matching(&Candidates::default(), PASSWORD), []);
}

#[test]
fn attempts_are_counted_by_network() {
    let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
    for (one, other, same) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        // A dual-stack socket shows an IPv4 address this way.
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "::ffff:c000:201", true),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ("::1", "127.0.0.1", false),
    ] {
        assert_eq!(network(one) == network(other), same, "{one} {other}");
        assert_eq!(network(one).to_string() == network(other).to_string(), same, "{one} {other}");
    }
    assert_eq!(network("2001:db8:0:1:2:3:4:5").to_string(), "2001:db8:0:1::/64");
}

#[test]
fn user_is_locked_after_the_maximum_of_attempts_until_the_window_ends() {
    let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
    let window = UserWindow::at(now);
    assert_eq!(window.end(), "2026-01-01T00:15:00Z".parse().unwrap());
    assert_eq!(window.admit(USER_SIGN_IN_ATTEMPTS, now), Ok(()));
    assert_eq!(window.admit(USER_SIGN_IN_ATTEMPTS + 1, now).unwrap_err().seconds(), 300);
    assert_ne!(UserWindow::at(window.end()), window);
}

#[test]
fn withdrawn_attempt_is_not_counted() {
    let made = Attempts::made_at([at(0), at(1), at(1), at(2)]);
    assert_eq!(made.without(at(1)), Attempts::made_at([at(0), at(1), at(2)]));
    assert_eq!(made.without(at(3)), made);
    assert_eq!(Attempts::made_at([at(1)]).without(at(1)), Attempts::default());
}

const START: i64 = 17_672_256_000_000_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_ticks(START) + SignedDuration::from_millis(millis.cast_signed())
}

fn wait(millis: u64) -> Result<Attempts, Locked> {
    Err(Locked { wait: SignedDuration::from_millis(millis.cast_signed()) })
}

#[test]
fn five_attempts_in_a_minute_lock_the_sixth_for_a_minute() {
    let mut attempts = Attempts::default();
    for millis in [0, 10_000, 20_000, 30_000, 59_999] {
        attempts = attempts.begin(at(millis)).unwrap();
    }
    assert_eq!(attempts.begin(at(59_999)), wait(60_000));
    assert_eq!(attempts.begin(at(119_998)), wait(1));
    assert_eq!(attempts.over_at(), at(119_999));
    // The lock has ended, and earlier attempts no longer count.
    assert_eq!(attempts.begin(at(119_999)).unwrap().times(), [at(119_999)]);
}

#[test]
fn retry_after_is_rounded_up_to_whole_seconds() {
    for (millis, seconds) in [(60_000, 60), (59_999, 60), (1_001, 2), (1_000, 1), (1, 1)] {
        let locked = wait(millis).unwrap_err();
        assert_eq!(locked.seconds(), seconds, "{locked}");
    }
}

#[test]
fn attempts_outside_the_window_are_not_counted() {
    let mut attempts = Attempts::default();
    for millis in (0..100).map(|i| i * 15_000) {
        attempts = attempts.begin(at(millis)).unwrap();
    }
    assert_eq!(attempts.times().len(), 4);
}

#[test]
fn slow_clock_neither_drops_attempts_nor_unlocks() {
    let ahead = Attempts::made_at([at(5_000)]);
    assert_eq!(ahead.begin(at(4_990)).unwrap().times(), [at(5_000), at(5_000)]);
    let locked = Attempts::made_at([at(5_000); SIGN_IN_ATTEMPTS]);
    assert_eq!(locked.begin(at(4_990)), wait(60_010));
}

proptest! {
    /// Computes the limit from the full history: an attempt is refused if five attempts fell into one window, and the
    /// lock after the fifth attempt has not ended.
    #[test]
    fn attempts_are_limited_as_computed_from_the_full_history(pauses in prop::collection::vec(0u64..40_000, 1..60)) {
        let (mut attempts, mut history, mut now) = (Attempts::default(), Vec::new(), 0);
        for pause in pauses {
            now += pause;
            let lock = history.windows(SIGN_IN_ATTEMPTS).filter_map(|made: &[u64]| {
                let (first, last) = (made[0], made[SIGN_IN_ATTEMPTS - 1]);
                (last - first < SIGN_IN_WINDOW_MILLIS && now < last + SIGN_IN_LOCK_MILLIS).then_some(last + SIGN_IN_LOCK_MILLIS)
            });
            match (attempts.begin(at(now)), lock.max()) {
                (Ok(more), None) => {
                    attempts = more;
                    history.push(now);
                }
                (refused, Some(until)) => prop_assert_eq!(refused, wait(until - now)),
                (refused, None) => prop_assert!(false, "{:?} at {}", refused, now),
            }
            prop_assert!(attempts.times().len() <= SIGN_IN_ATTEMPTS);
            // The times are the complete state.
            prop_assert_eq!(Attempts::made_at(attempts.times().iter().copied()), attempts.clone());
        }
    }

    #[test]
    fn folding_an_address_again_changes_nothing(text in "[ -~À-ʯ]{1,12}@[a-zA-Z.ßẞ]{1,8}") {
        if let Ok(email) = text.parse::<Email>() {
            let again: Email = email.as_str().parse().unwrap();
            prop_assert_eq!(again, email);
        }
    }
}
