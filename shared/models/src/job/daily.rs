//! The contacts that jobs changed on each day.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::job::Job;
use crate::limits::COUNTED_DAYS;
use crate::values::timestamp::Timestamp;

/// The counts of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// Contacts that jobs changed.
    pub contacts: u64,
    /// Jobs that changed contacts.
    pub jobs: u64,
}

impl std::ops::AddAssign for DayCounts {
    fn add_assign(&mut self, other: Self) {
        self.contacts += other.contacts;
        self.jobs += other.jobs;
    }
}

impl Job {
    /// Returns the counts that the ended job adds to its day; none if the job changed no contact.
    pub fn day_counts(&self) -> Option<DayCounts> {
        let changes = self.task.changes_contacts() && self.counts.updated > 0;
        changes.then_some(DayCounts { contacts: self.counts.updated, jobs: 1 })
    }
}

/// A day with its counts, as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct DailyCount {
    /// The day, in the time zone of the portal.
    #[cfg_attr(feature = "openapi", schema(format = Date))]
    pub date: String,
    /// Contacts that jobs changed. A contact that two jobs changed counts twice.
    pub contacts: u64,
    /// Jobs that changed contacts and ended on this day.
    pub jobs: u64,
}

/// Returns the day of an instant in a time zone. An unknown zone is treated as UTC.
pub fn day_of(at: Timestamp, zone: &TimeZone) -> Date {
    let zone = if zone.is_unknown() { &TimeZone::UTC } else { zone };
    zone.to_datetime(at.to_jiff()).date()
}

/// Returns the start of a day in a time zone, and the start of the next day. An unknown zone is treated as UTC.
pub fn bounds_of(day: Date, zone: &TimeZone) -> (Timestamp, Timestamp) {
    let zone = if zone.is_unknown() { &TimeZone::UTC } else { zone };
    let start = |day: Date| {
        let start = zone.to_ambiguous_zoned(day.to_datetime(Time::midnight())).compatible();
        start.map_or_else(|_| Timestamp::floor(jiff::Timestamp::MAX), |start| Timestamp::floor(start.timestamp()))
    };
    (start(day), start(day.saturating_add(1.day())))
}

/// Returns the first of the [`COUNTED_DAYS`] days that end with `today`.
pub fn first_day(today: Date) -> Date {
    today.saturating_sub((COUNTED_DAYS - 1).days())
}

/// Returns the [`COUNTED_DAYS`] days that end with `today`, the earliest first.
pub fn counted_days(today: Date) -> impl Iterator<Item = Date> {
    let days = std::iter::successors(Some(first_day(today)), |day| day.tomorrow().ok());
    days.take_while(move |day| *day <= today)
}

/// Returns the counts of the [`COUNTED_DAYS`] days that end with `today`, the earliest first. A day without counts has
/// zeros.
pub fn last_days(today: Date, counts: &BTreeMap<Date, DayCounts>) -> Vec<DailyCount> {
    let days = counted_days(today);
    days.map(|day| {
        let DayCounts { contacts, jobs } = counts.get(&day).copied().unwrap_or_default();
        DailyCount { date: day.to_string(), contacts, jobs }
    })
    .collect()
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn ninety_days_end_with_today_and_days_without_jobs_have_zeros() {
        let riga = TimeZone::get("Europe/Riga").unwrap();
        let today = day_of("2026-03-29T22:30:00Z".parse().unwrap(), &riga);
        assert_eq!(today.to_string(), "2026-03-30");
        let counts = BTreeMap::from([(today, DayCounts { contacts: 5, jobs: 2 })]);
        let days = last_days(today, &counts);
        assert_eq!(days.len(), 90);
        assert_eq!((days[0].date.as_str(), days[0].contacts), ("2025-12-31", 0));
        assert_eq!(days[89], DailyCount { date: "2026-03-30".into(), contacts: 5, jobs: 2 });
        assert_eq!(days.iter().map(|day| day.contacts).sum::<u64>(), 5);
        assert_eq!(day_of("2026-03-29T22:30:00Z".parse().unwrap(), &TimeZone::unknown()).to_string(), "2026-03-29");
    }

    #[test]
    fn bounds_of_a_day_hold_exactly_its_instants() {
        let beirut = TimeZone::get("Asia/Beirut").unwrap();
        // In Beirut, the clocks skip the first hour of 29 March 2026.
        for (zone, day, start, end) in [
            (&beirut, "2026-03-28", "2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z"),
            (&beirut, "2026-03-29", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"),
            (&TimeZone::unknown(), "2026-03-29", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"),
        ] {
            let (from, to) = bounds_of(day.parse().unwrap(), zone);
            assert_eq!((from, to), (start.parse().unwrap(), end.parse().unwrap()), "{day}");
            assert_eq!(
                (day_of(from, zone).to_string(), day_of(to.previous(), zone).to_string()),
                (day.into(), day.into())
            );
        }
        assert_eq!(bounds_of(Date::MAX, &TimeZone::UTC).1, bounds_of(Date::MAX, &TimeZone::UTC).0);
    }
}
