//! Cron expressions in a time zone.

use models::rule::Schedule;
use models::values::timestamp::Timestamp;

use crate::allocations::bounded;
use crate::messages::check_faults;

/// Zones whose clocks change by an hour, by half an hour, at midnight, and by a day.
const ZONES: [&str; 6] =
    ["UTC", "Europe/Riga", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia", "Asia/Kathmandu"];

/// Fuzzes the reader of schedules. The input is a cron expression, optionally with further lines: a time zone or the
/// number of a known zone, and a time in ticks.
///
/// # Panics
///
/// If a property of the reader does not hold.
pub fn cron(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let cron = lines.next().unwrap_or_default();
    let zone = lines.next().unwrap_or_default();
    let zone = zone.parse().ok().and_then(|number: usize| ZONES.get(number).copied()).unwrap_or(zone);
    let zone = if zone.is_empty() { "Europe/Riga" } else { zone };
    let time = lines.next().and_then(|ticks| ticks.parse().ok()).map_or(Timestamp::MIN, Timestamp::from_ticks);

    let schedule = match bounded(data.len(), || Schedule::parse(cron, zone)) {
        Ok(schedule) => schedule,
        Err(invalid) => return check_faults(&invalid, data),
    };
    assert_eq!(Schedule::parse(schedule.cron(), schedule.time_zone()).as_ref(), Ok(&schedule), "parsed again");
    let stored = serde_json::to_string(&schedule).unwrap_or_default();
    assert_eq!(serde_json::from_str::<Schedule>(&stored).ok().as_ref(), Some(&schedule), "stored and read");
    assert_eq!(schedule.fault(), None);

    let mut after = time;
    for _ in 0..4 {
        let Some(due) = bounded(data.len(), || schedule.next_after(after)) else { break };
        assert!(due > after, "{due} is not after {after}");
        assert_eq!(due.to_jiff().subsec_nanosecond(), 0, "{due} is not a whole second");
        // No due time is between `after` and `due`.
        for between in [due.previous(), Timestamp::from_ticks(after.ticks() / 2 + due.ticks() / 2)] {
            if between > after && between < due {
                assert_eq!(
                    schedule.next_after(between),
                    Some(due),
                    "{cron} in {zone}: after {between}, and after {after}"
                );
            }
        }
        after = due;
    }
}
