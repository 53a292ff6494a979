use proptest::prelude::*;

use super::*;

fn check(text: &str, edge: Edge, zone: &str, expected: &str) {
    let zone = TimeZone::get(zone).unwrap();
    assert_eq!(Timestamp::parse_edge(text, edge, &zone).unwrap().to_string(), expected, "{text} {edge:?}");
}

#[test]
fn time_without_an_offset_needs_a_known_zone() {
    let zone = TimeZone::unknown();
    for text in ["2024-01-15", "2024-01-15T10:00:00"] {
        assert_eq!(Timestamp::parse(text, &zone), Err(NotATimestamp::UnknownZone), "{text}");
        assert_eq!(Timestamp::parse_edge(text, Edge::To, &zone), Err(NotATimestamp::UnknownZone), "{text}");
    }
    assert_eq!(Timestamp::parse("2024-01-15T10:00:00+02:00", &zone), "2024-01-15T08:00:00Z".parse());
    assert_eq!(Timestamp::parse("yesterday", &zone), Err(NotATimestamp::Malformed));
}

#[test]
fn dates_mean_whole_days_of_the_portal() {
    check("2020-12-08", Edge::From, "Europe/Riga", "2020-12-07T22:00:00.0000000Z");
    check("2020-12-08", Edge::To, "Europe/Riga", "2020-12-08T21:59:59.9999999Z");
    // A day has 23 hours when the clock goes forward, and 25 when the clock goes back.
    check("2020-03-29", Edge::To, "Europe/Riga", "2020-03-29T20:59:59.9999999Z");
    check("2020-10-25", Edge::To, "Europe/Riga", "2020-10-25T21:59:59.9999999Z");
    // The clock in São Paulo skipped midnight on this day.
    check("2018-11-04", Edge::From, "America/Sao_Paulo", "2018-11-04T03:00:00.0000000Z");
}

#[test]
fn times_with_and_without_an_offset_are_instants() {
    check("2020-12-08T17:37:04Z", Edge::To, "Europe/Riga", "2020-12-08T17:37:04.0000000Z");
    check("2020-12-08T17:37:04+02:00", Edge::From, "UTC", "2020-12-08T15:37:04.0000000Z");
    check("2020-12-08T17:37:04", Edge::From, "Europe/Riga", "2020-12-08T15:37:04.0000000Z");
    check("2020-12-08T17-37-04", Edge::From, "Europe/Riga", "2020-12-08T15:37:04.0000000Z");
    check("2020-12-08T17-37-04.5+02:00", Edge::From, "UTC", "2020-12-08T15:37:04.5000000Z");
    check("2008-04-10T06-30-00.000Z", Edge::From, "Europe/Riga", "2008-04-10T06:30:00.0000000Z");
    check("2020-12-08T17:37:04.00000001Z", Edge::From, "UTC", "2020-12-08T17:37:04.0000001Z");
    check("2020-12-08T17:37:04.00000009Z", Edge::To, "UTC", "2020-12-08T17:37:04.0000000Z");
}

#[test]
fn range_includes_both_passes_of_a_repeated_hour() {
    // On this day in Riga, 03:30 comes twice: at 00:30Z and at 01:30Z.
    check("2020-10-25T03:30:00", Edge::From, "Europe/Riga", "2020-10-25T00:30:00.0000000Z");
    check("2020-10-25T03:30:00", Edge::To, "Europe/Riga", "2020-10-25T01:30:00.0000000Z");
    // On this day, 03:30 does not come: the clock goes from 03:00 to 04:00.
    check("2020-03-29T03:30:00", Edge::From, "Europe/Riga", "2020-03-29T01:30:00.0000000Z");
    check("2020-03-29T03:30:00", Edge::To, "Europe/Riga", "2020-03-29T01:30:00.0000000Z");
}

#[test]
fn shown_time_is_the_same_instant_up_to_the_ends_of_the_calendar() {
    for zone in ["Asia/Beirut", "America/Los_Angeles", "Pacific/Kiritimati", "UTC"] {
        let zone = TimeZone::get(zone).unwrap();
        for timestamp in [Timestamp::MIN, Timestamp::MAX, "0001-01-01T10:00:00Z".parse().unwrap()] {
            let shown = timestamp.in_zone(&zone).to_string();
            assert_eq!(shown.parse(), Ok(timestamp), "{shown}");
        }
    }
}

#[test]
fn plus_sign_of_an_offset_is_restored() {
    for (text, expected) in [
        ("2008-04-10T06:30:00 02:00", "2008-04-10T06:30:00+02:00"),
        ("2008-04-10T06-30-00.000 0200", "2008-04-10T06-30-00.000+0200"),
        ("2008-04-10 06:30:00 02", "2008-04-10 06:30:00+02"),
        ("2008-04-10 06:30:00", "2008-04-10 06:30:00"),
        ("2008-04-10T06:30:00+02:00", "2008-04-10T06:30:00+02:00"),
        ("2008-04-10T06:30:00 Riga", "2008-04-10T06:30:00 Riga"),
        ("2008-04-10T06:30:00 ", "2008-04-10T06:30:00 "),
        ("2008-04-10", "2008-04-10"),
    ] {
        assert_eq!(with_plus(text), expected, "{text}");
    }
}

#[test]
fn malformed_texts_are_refused() {
    for text in [
        "",
        "string",
        "today",
        "2020-13-01",
        "2020-02-30",
        "20201208",
        "0000-01-01",
        "-000001-01-01",
        "2020-W50-2",
        "12:00",
        "+010000-01-01T00:00:00Z",
        "2020-12-08T25:00:00Z",
        "2020-12-08T25-00-00",
        "2020-12-08T17-37",
        "2020-12-08T17-37:04",
        "2020-12-08junk",
        "2020-12-08T17:37:04[Europe/Riga]",
    ] {
        for edge in [Edge::From, Edge::To] {
            assert_eq!(Timestamp::parse_edge(text, edge, &TimeZone::UTC), Err(NotATimestamp::Malformed), "{text}");
        }
    }
}

#[test]
fn first_and_last_timestamps_round_trip() {
    for timestamp in [Timestamp::MIN, Timestamp::MAX] {
        assert_eq!(timestamp.to_string().parse::<Timestamp>().unwrap(), timestamp);
    }
    assert_eq!(Timestamp::parse_edge("9999-12-31", Edge::To, &TimeZone::UTC).unwrap(), Timestamp::MAX);
    for text in ["9999-12-31T23:59:59", "9999-12-31T23:59:59.9999999Z", "9999-12-31"] {
        for edge in [Edge::From, Edge::To] {
            assert_eq!(Timestamp::parse_edge(text, edge, &TimeZone::UTC), Ok(Timestamp::MAX), "{text}");
        }
    }
    assert_eq!(Timestamp::parse_edge("9999-12-31T25:00:00", Edge::To, &TimeZone::UTC), Err(NotATimestamp::Malformed));
    assert_eq!(Timestamp::parse_edge("0001-01-01", Edge::From, &TimeZone::UTC).unwrap(), Timestamp::MIN);
}

proptest! {
    #[test]
    fn texts_round_trip_and_sort_as_instants(a in Timestamp::MIN.0..=Timestamp::MAX.0, b in Timestamp::MIN.0..=Timestamp::MAX.0) {
        let (a, b) = (Timestamp(a), Timestamp(b));
        prop_assert_eq!(a.to_string().parse::<Timestamp>(), Ok(a));
        prop_assert_eq!(a.to_string().len(), Timestamp::TEXT_BYTES);
        prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
    }
}
