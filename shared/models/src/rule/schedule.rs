//! Schedules of standing rules: a cron expression in a time zone.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::invalid::{Fault, Invalid, shown};
use crate::limits::MAX_CRON_BYTES;
use crate::values::timestamp::Timestamp;
use crate::values::zone::name_of;

/// The times at which a rule runs: a cron expression of five fields in a time zone.
///
/// The fields are minute, hour, day of month, month and day of week (0 to 7, where 0 and 7 are Sunday). Each field is
/// `*`, a number, a range, a step of a range or of `*`, or a list of these. Months and days of the week also have
/// three-letter English names, in any case. Some days depend on the calendar:
///
/// - In the day of month, `L` is the last day of the month, `15W` is the weekday (Monday to Friday) nearest to the 15th
///   within the month, and `LW`, alone, is the last weekday of the month.
/// - In the day of week, `TUE#2` is the second Tuesday of the month, and `FRIL` or `5L` is the last Friday.
///
/// If both day fields are given, a day that matches either field matches, as in every cron. If one of the two begins
/// with `*`, a day must match both.
///
/// A change of the clock affects two kinds of schedules differently, as [`Cron::determine_job_type`] defines them:
///
/// - One minute and one hour make a time of day, which occurs once a day. If the clock skips that time, the rule runs
///   when the change happens: 03:30 in Riga becomes 04:00 on that day, so a nightly rule runs every night. The rule
///   does not run if the change ends on another day that the rule's days exclude. If the clock repeats that time, the
///   first occurrence counts.
/// - Any other schedule (`*`, a list, a range, a step) is an interval. An interval also runs in a repeated hour, and
///   does not catch up on a skipped hour: `*/15 3 * * *` does not run in the night in which Riga has no 03:00.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredSchedule", into = "StoredSchedule")]
pub struct Schedule {
    cron: String,
    time_zone: String,
    /// `None` for a stored schedule that this version cannot parse.
    timetable: Option<Timetable>,
}

/// The parsed texts of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Timetable {
    zone: TimeZone,
    table: Cron,
}

/// The stored form of a schedule.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StoredSchedule {
    cron: String,
    time_zone: String,
}

impl From<Schedule> for StoredSchedule {
    fn from(schedule: Schedule) -> Self {
        Self { cron: schedule.cron, time_zone: schedule.time_zone }
    }
}

impl From<StoredSchedule> for Schedule {
    /// Converts any stored schedule. A schedule that this version no longer accepts stays readable, but has no due
    /// times.
    fn from(StoredSchedule { cron, time_zone }: StoredSchedule) -> Self {
        Self::parse(&cron, &time_zone).unwrap_or(Self { cron, time_zone, timetable: None })
    }
}

/// A parsed cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CronExpression {
    /// Text with one space between the fields.
    text: String,
    table: Cron,
}

impl CronExpression {
    /// Parses a cron expression of five fields.
    ///
    /// # Errors
    ///
    /// The fault of `cron`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        match read_cron(text) {
            Ok((text, table)) => Ok(Self { text, table }),
            Err(message) => Err(Fault { field: "cron".to_owned(), message }),
        }
    }
}

/// A time zone of the IANA database, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedZone {
    name: String,
    zone: TimeZone,
}

impl NamedZone {
    /// Looks up a name in the bundled database, which is the same on every host.
    ///
    /// # Errors
    ///
    /// The fault of `timeZone`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if let Ok(zone) = TimeZoneDatabase::bundled().get(text)
            && let Some(name) = name_of(&zone).map(str::to_owned)
        {
            return Ok(Self { name, zone });
        }
        let given = shown(text);
        let message = format!("must be a time zone of the IANA database, such as \"Europe/Riga\"; it is \"{given}\"");
        Err(Fault { field: "timeZone".to_owned(), message })
    }
}

impl Schedule {
    /// Combines a cron expression and its time zone.
    pub(crate) fn new(cron: CronExpression, zone: NamedZone) -> Self {
        let timetable = Timetable { zone: zone.zone, table: cron.table };
        Self { cron: cron.text, time_zone: zone.name, timetable: Some(timetable) }
    }

    /// Parses a cron expression and the IANA name of a time zone.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with a fault of `cron`, of `timeZone`, or of both.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, Invalid> {
        match (CronExpression::parse(cron), NamedZone::parse(time_zone)) {
            (Ok(cron), Ok(zone)) => Ok(Self::new(cron, zone)),
            (cron, zone) => Err(Invalid { faults: cron.err().into_iter().chain(zone.err()).collect() }),
        }
    }

    /// Returns the cron expression, with one space between its fields.
    pub fn cron(&self) -> &str {
        &self.cron
    }

    /// Returns the time zone's IANA name.
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// Returns the faults of a stored schedule that this version cannot parse.
    pub fn fault(&self) -> Option<Invalid> {
        if self.timetable.is_some() {
            return None;
        }
        Self::parse(&self.cron, &self.time_zone).err()
    }

    /// Returns the first due time strictly after `time`, a whole minute of the zone's clock. Returns `None` if the
    /// search passes the year [`croner::YEAR_UPPER_LIMIT`], or if a change of the clock skipped a time of day and more
    /// than two hours. Such changes occurred on islands that crossed the date line, last in 2011.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let Timetable { zone, table } = self.timetable.as_ref()?;
        let now = time.to_jiff().to_zoned(zone.clone());
        let next = table.find_next_occurrence(&now, false).ok()?;
        Some(next.timestamp().into())
    }
}

/// A field of a cron expression.
struct Field {
    name: &'static str,
    /// The names that the field accepts for its numbers.
    names: &'static [&'static str],
    /// The accepted values that are specific to the field, for messages.
    accepted: &'static str,
}

/// The fields of a cron expression, in order.
const FIELDS: [Field; 5] = [
    Field { name: "minute", names: &[], accepted: "numbers from 0 to 59" },
    Field { name: "hour", names: &[], accepted: "numbers from 0 to 23" },
    Field {
        name: "day of month",
        names: &[],
        accepted: "numbers from 1 to 31, L for the last day, 15W for the weekday nearest to the 15th, LW alone for the \
                last weekday",
    },
    Field {
        name: "month",
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        accepted: "numbers from 1 to 12 or names such as JAN",
    },
    Field {
        name: "day of week",
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        accepted: "numbers from 0 to 7 (both Sunday) or names such as MON, TUE#2 for the second Tuesday, FRIL for the \
                last Friday",
    },
];

/// The indexes of the day of month and the day of week in [`FIELDS`].
const DAY: usize = 2;
const WEEKDAY: usize = 4;

/// Parses a cron expression. Returns its text with one space between the fields, and its parsed form.
fn read_cron(cron: &str) -> Result<(String, Cron), String> {
    const EXPECTED: &str = "must be five fields: minute, hour, day of month, month, day of week; \
                          \"0 2 * * *\" is 02:00 every day";
    if cron.len() > MAX_CRON_BYTES {
        return Err(format!("has {} bytes; at most {MAX_CRON_BYTES} are allowed", cron.len()));
    }
    let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
    let count = fields.len();
    let fields: [&str; FIELDS.len()] =
        fields.try_into().map_err(|_| format!("{EXPECTED}. It has {count}: \"{}\"", shown(cron)))?;
    for (i, (Field { name, accepted, .. }, field)) in FIELDS.iter().zip(fields).enumerate() {
        let mut only_this = ["*"; FIELDS.len()];
        only_this[i] = field;
        if !is_of_words(i, field) || table(only_this).is_none() {
            let field = shown(field);
            return Err(format!(
                "{EXPECTED}. The {name} \"{field}\" is wrong. This field accepts *, {accepted}; ascending ranges such as 1-5, steps \
                 such as */5 or 1-9/2, and lists such as 1,5"
            ));
        }
    }
    // The start of the search does not matter, because every date that exists recurs within 40 years.
    let table = table(fields).filter(|table| {
        let start = civil::date(2000, 1, 1).at(0, 0, 0, 0);
        table.find_next_occurrence(&start, true).is_ok()
    });
    let table = table.ok_or_else(|| format!("never occurs: no year has such a day; it is \"{}\"", shown(cron)))?;
    Ok((fields.join(" "), table))
}

/// Returns whether the field consists of accepted words. croner checks the combination of the words, but accepts some
/// invalid words: names in every field, `12WX` as `12W`, an empty word between two commas.
fn is_of_words(i: usize, field: &str) -> bool {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let is_value = |word: &str| is_number(word) || FIELDS[i].names.iter().any(|name| name.eq_ignore_ascii_case(word));
    let is_word = |word: &str| match i {
        _ if word == "*" || is_value(word) => true,
        DAY => word.eq_ignore_ascii_case("L") || word.strip_suffix(['W', 'w']).is_some_and(is_number),
        WEEKDAY => word.strip_suffix(['L', 'l']).is_some_and(is_value),
        _ => false,
    };
    // croner reads `L,LW` as `LW`, so `LW` is accepted only alone.
    let is_last_weekday = i == DAY && field.eq_ignore_ascii_case("LW");
    is_last_weekday || field.split([',', '-', '/', '#']).all(is_word)
}

fn table(fields: [&str; FIELDS.len()]) -> Option<Cron> {
    let is_both = [DAY, WEEKDAY].iter().any(|&i| fields[i].starts_with('*'));
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).dom_and_dow(is_both);
    let table = parser.build().parse(&fields.join(" ")).ok()?;
    // Refuse a step above the maximum, because croner reads `*/90` as `0`.
    let pattern = &table.pattern;
    let parts = [&pattern.minutes, &pattern.hours, &pattern.days, &pattern.months, &pattern.days_of_week];
    parts.iter().all(|part| part.step <= part.max).then_some(table)
}
