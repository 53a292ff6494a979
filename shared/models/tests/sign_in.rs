//! Passwords and their hashes, e-mail addresses, and how often a sign-in may be tried.

use jiff::SignedDuration;
use models::id::{PortalId, UserId};
use models::limits::{MAX_PASSWORD_BYTES, SIGN_IN_ATTEMPTS, SIGN_IN_LOCK_MILLIS, SIGN_IN_WINDOW_MILLIS};
use models::moment::Moment;
use models::password::{Password, PasswordHash, SALT_BYTES};
use models::sign_in::{Account, Attempts, Candidates, Email, Locked};
use proptest::prelude::*;

const SALT: [u8; SALT_BYTES] = *b"sixteen bytes of";
const PASSWORD: &str = "correct horse";

fn hash(password: &str) -> PasswordHash {
    Password::check(password).unwrap().hash(&SALT).unwrap()
}

#[test]
fn a_password_is_verified_and_no_other_one() {
    let hash = hash(PASSWORD);
    assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
    assert!(hash.verify(PASSWORD));
    for other in ["", "correct horse ", "Correct horse", &"c".repeat(MAX_PASSWORD_BYTES + 1)] {
        assert!(!hash.verify(other), "{other:?}");
    }
    assert_eq!(hash.as_str().parse::<PasswordHash>().unwrap(), hash);
}

#[test]
fn a_hash_made_by_the_reference_implementation_is_verified() {
    // From the tests of the reference implementation in C, with bounds that are taken here.
    let hash = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
    assert!(hash.parse::<PasswordHash>().unwrap().verify("password"));
}

#[test]
fn nobody_has_a_password() {
    let nobody = PasswordHash::of_nobody();
    assert_eq!(nobody.as_str().parse::<PasswordHash>().unwrap(), nobody);
    // The same parameters, so the same work.
    let work = |hash: &PasswordHash| hash.as_str().split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(work(&nobody), work(&hash(PASSWORD)));
    assert_eq!(nobody.as_str().len(), hash(PASSWORD).as_str().len());
    assert!(!nobody.verify("") && !nobody.verify(PASSWORD));
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
fn only_an_argon2id_hash_within_bounds_is_taken() {
    let of = |head: &str| format!("{head}$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo");
    for (text, taken) in [
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
        assert_eq!(text.parse::<PasswordHash>().is_ok(), taken, "{text}");
    }
}

#[test]
fn nothing_shows_a_password_or_its_hash() {
    let hash = hash(PASSWORD);
    let (portal, user) = ("acme".parse().unwrap(), UserId::NIL);
    let candidates = Candidates::new([(Account { portal, user }, hash.clone())]);
    let refused = PASSWORD.parse::<PasswordHash>().unwrap_err();
    let shown = format!("{:?} {hash:?} {candidates:?} {refused} {refused:?}", Password::check(PASSWORD).unwrap());
    assert!(!shown.contains("correct") && !shown.contains("m=19456"), "{shown}");
}

#[test]
fn an_address_has_two_parts_and_nothing_that_a_key_is_joined_with() {
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
        // Folds to a space.
        ("mi\u{2000}ke@example.com", None),
    ] {
        assert_eq!(text.parse::<Email>().ok().as_ref().map(Email::as_str), expected, "{text:?}");
    }
    let domain = "@example.com";
    assert!(format!("{}{domain}", "m".repeat(254 - domain.len())).parse::<Email>().is_ok());
    assert!(format!("{}{domain}", "m".repeat(255 - domain.len())).parse::<Email>().is_err());
}

#[test]
fn the_password_says_which_accounts_are_meant() {
    let account = |portal: &str| {
        let portal: PortalId = portal.parse().unwrap();
        Account { portal, user: UserId::from_u128(1) }
    };
    let both = Candidates::new([(account("acme"), hash(PASSWORD)), (account("zenith"), hash("another one"))]);
    assert_eq!(both.matching(PASSWORD), [&account("acme")]);
    assert_eq!(both.matching("another one"), [&account("zenith")]);
    assert!(both.matching("neither one").is_empty());
    let same = Candidates::new([(account("acme"), hash(PASSWORD)), (account("zenith"), hash(PASSWORD))]);
    assert_eq!(same.matching(PASSWORD), [&account("acme"), &account("zenith")]);
    assert!(Candidates::default().matching(PASSWORD).is_empty());
}

const START: i64 = 17_672_256_000_000_000;

fn at(millis: u64) -> Moment {
    Moment::from_steps(START) + SignedDuration::from_millis(millis.cast_signed())
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
    // When the lock ends all begins anew.
    assert_eq!(attempts.begin(at(119_999)).unwrap().times(), [at(119_999)]);
}

#[test]
fn who_waits_as_told_is_not_told_to_wait_again() {
    for (millis, seconds) in [(60_000, 60), (59_999, 60), (1_001, 2), (1_000, 1), (1, 1)] {
        let locked = wait(millis).unwrap_err();
        assert_eq!(locked.seconds(), seconds, "{locked}");
    }
}

#[test]
fn attempts_a_minute_apart_do_not_add_up() {
    let mut attempts = Attempts::default();
    for millis in (0..100).map(|i| i * 15_000) {
        attempts = attempts.begin(at(millis)).unwrap();
    }
    assert_eq!(attempts.times().len(), 4);
}

#[test]
fn a_clock_that_is_behind_neither_forgets_nor_unlocks() {
    let ahead = Attempts::made_at([at(5_000)]);
    assert_eq!(ahead.begin(at(4_990)).unwrap().times(), [at(5_000), at(5_000)]);
    let locked = Attempts::made_at([at(5_000); SIGN_IN_ATTEMPTS]);
    assert_eq!(locked.begin(at(4_990)), wait(60_010));
}

proptest! {
    /// The rule in other words: of all attempts that were made, no five lie within a window whose last one the lock still
    /// holds.
    #[test]
    fn attempts_are_made_as_the_whole_history_says(pauses in prop::collection::vec(0u64..40_000, 1..60)) {
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
            // What is kept says it all.
            prop_assert_eq!(Attempts::made_at(attempts.times().iter().copied()), attempts.clone());
        }
    }

    #[test]
    fn an_address_is_folded_once(text in "[ -~À-ʯ]{1,12}@[a-zA-Z.ßẞ]{1,8}") {
        if let Ok(email) = text.parse::<Email>() {
            let again: Email = email.as_str().parse().unwrap();
            prop_assert_eq!(again, email);
        }
    }
}
