use std::net::IpAddr;

use super::*;

fn pair(address: &str, email: &str) -> Pair {
    Pair { network: address.parse::<IpAddr>().unwrap().into(), email: email.parse().unwrap() }
}

#[test]
fn attempts_are_counted_by_network_and_user_name() {
    let key = |address, email| pair(address, email).key();
    assert_eq!(key("192.0.2.1", "mike@example.com"), key("192.0.2.1", "MIKE@example.com"));
    assert_ne!(key("192.0.2.1", "mike@example.com"), key("192.0.2.2", "mike@example.com"));
    assert_ne!(key("192.0.2.1", "mike@example.com"), key("192.0.2.1", "ada@example.com"));
    assert_ne!(key("192.0.2.1", "1mike@example.com"), key("192.0.2.11", "mike@example.com"));
}

#[test]
fn each_window_counts_the_attempts_of_a_user_separately() {
    let email: Email = "mike@example.com".parse().unwrap();
    let at = |text: &str| UserWindow::at(text.parse().unwrap());
    let key = |window| user_attempts_key(&email, window);
    assert_eq!(key(at("2026-01-01T00:00:00Z")), key(at("2026-01-01T00:14:59Z")));
    assert_ne!(key(at("2026-01-01T00:00:00Z")), key(at("2026-01-01T00:15:00Z")));
    let pair = pair("192.0.2.1", "mike@example.com");
    assert_ne!(pair.key(), pair.known_key());
}

#[test]
fn stored_attempts_round_trip_without_network_or_user_name() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let made = Attempts::default().begin(now).unwrap().begin(now).unwrap();
    let item = attempts_item(&pair("192.0.2.1", "mike@example.com").key(), &made, now);
    assert_eq!(attempts(&item).unwrap(), made);
    let shown = format!("{item:?}");
    assert!(!shown.contains("192.0.2.1") && !shown.contains("mike"), "{shown}");
}
