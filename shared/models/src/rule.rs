//! Standing rules: a stored filter, the access that its contacts get, and a schedule.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::access::{Access, Caller, TargetView};
use crate::answer::Suffix;
use crate::filter::{Filter, FilterView};
use crate::invalid::shown;
use crate::invalid::{Fault, Invalid};
use crate::job::JobId;
use crate::limits::{self, RULE_SPACING_MILLIS};
use crate::request::SetRule;
use crate::values::id::UserId;
use crate::values::timestamp::Timestamp;

/// Ticks of 100 ns in a minute.
const TICKS_PER_MINUTE: i64 = 60 * 10_000_000;

/// Maximum characters of a rule's name.
pub const MAX_RULE_NAME_CHARS: usize = 64;

/// Maximum bytes of a cron expression: enough for a list of all 60 minutes, three times over.
pub const MAX_CRON_BYTES: usize = 512;

/// A rule's name: ASCII letters, digits, `.`, `_` and `-`, so that the name needs no escaping in a path or a key. Names
/// are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleName(String);

impl RuleName {
    /// Wraps a stored name unchecked. An earlier version may have accepted names that are invalid today, and their
    /// rules must stay readable and removable.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Error: a text is not a valid rule name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to {MAX_RULE_NAME_CHARS} letters (a to z, A to Z), digits, dots, hyphens or underscores, not dots alone, and not end in .json or .xml; an example is nightly-vip"
)]
pub struct NotARuleName;

impl TryFrom<String> for RuleName {
    type Error = NotARuleName;

    fn try_from(text: String) -> Result<Self, NotARuleName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        // Clients resolve a path segment of dots alone before they send the path.
        let is_step = text.bytes().all(|b| b == b'.');
        // A suffix at the end of a path selects the format of the answer.
        let has_suffix = Suffix::split(&text).1.is_some();
        if is_step || has_suffix || text.len() > MAX_RULE_NAME_CHARS || !text.bytes().all(allowed) {
            return Err(NotARuleName);
        }
        Ok(Self(text))
    }
}

impl FromStr for RuleName {
    type Err = NotARuleName;

    fn from_str(text: &str) -> Result<Self, NotARuleName> {
        text.to_owned().try_into()
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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
///   at the moment of the change: 03:30 in Riga becomes 04:00 on that day, so a nightly rule runs every night. The rule
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
    /// Converts any stored schedule. A schedule that this version no longer accepts stays readable but never occurs.
    fn from(StoredSchedule { cron, time_zone }: StoredSchedule) -> Self {
        Self::parse(&cron, &time_zone).unwrap_or(Self { cron, time_zone, timetable: None })
    }
}

impl Schedule {
    /// Parses a cron expression and the IANA name of a time zone.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with a fault of `cron`, of `timeZone`, or of both.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, Invalid> {
        // The bundled time zones do not depend on the host.
        let zone = TimeZoneDatabase::bundled().get(time_zone);
        let name = zone.as_ref().ok().and_then(TimeZone::iana_name).map(str::to_owned);
        match (read_cron(cron), zone, name) {
            (Ok((cron, table)), Ok(zone), Some(time_zone)) => {
                Ok(Self { cron, time_zone, timetable: Some(Timetable { zone, table }) })
            }
            (cron, _, name) => {
                let of = |field: &str, message| Fault { field: field.to_owned(), message };
                let bad_zone = || {
                    let given = shown(time_zone);
                    format!("must be a name of the IANA time zone database, such as \"Europe/Riga\"; it is \"{given}\"")
                };
                let cron = cron.err().map(|message| of("cron", message));
                let zone = name.is_none().then(|| of("timeZone", bad_zone()));
                Err(Invalid { faults: cron.into_iter().chain(zone).collect() })
            }
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

    /// Returns the first time strictly after `moment`, a whole minute of the zone's clock. Returns `None` if the search
    /// passes the year [`croner::YEAR_UPPER_LIMIT`], or if the clock skipped a time of day by more than two hours. The
    /// latter happened on islands that crossed the date line, last in 2011.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let Timetable { zone, table } = self.timetable.as_ref()?;
        let now = moment.to_jiff().to_zoned(zone.clone());
        let next = table.find_next_occurrence(&now, false).ok()?;
        Some(next.timestamp().into())
    }
}

/// A field of a cron expression.
struct Field {
    name: &'static str,
    /// The names that stand for numbers in the field.
    names: &'static [&'static str],
    /// The values that only this field accepts, for faults.
    takes: &'static str,
}

/// The fields of a cron expression, in order.
const FIELDS: [Field; 5] = [
    Field { name: "minute", names: &[], takes: "numbers from 0 to 59" },
    Field { name: "hour", names: &[], takes: "numbers from 0 to 23" },
    Field {
        name: "day of month",
        names: &[],
        takes: "numbers from 1 to 31, L for the last day, 15W for the weekday nearest to the 15th, LW alone for the \
                last weekday",
    },
    Field {
        name: "month",
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        takes: "numbers from 1 to 12 or names such as JAN",
    },
    Field {
        name: "day of week",
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        takes: "numbers from 0 to 7 (both Sunday) or names such as MON, TUE#2 for the second Tuesday, FRIL for the \
                last Friday",
    },
];

/// The indexes of the day of month and the day of week in [`FIELDS`].
const DAY: usize = 2;
const WEEKDAY: usize = 4;

/// Parses a cron expression. Returns it with one space between its fields and its parsed form, or the fault message.
fn read_cron(cron: &str) -> Result<(String, Cron), String> {
    const NEEDED: &str = "must be five fields: minute, hour, day of month, month, day of week; \
                          \"0 2 * * *\" is 02:00 every day";
    if cron.len() > MAX_CRON_BYTES {
        return Err(format!("has {} bytes; at most {MAX_CRON_BYTES} are taken", cron.len()));
    }
    let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
    let count = fields.len();
    let fields: [&str; FIELDS.len()] =
        fields.try_into().map_err(|_| format!("{NEEDED}. It has {count}: \"{}\"", shown(cron)))?;
    for (i, (Field { name, takes, .. }, field)) in FIELDS.iter().zip(fields).enumerate() {
        let mut alone = ["*"; FIELDS.len()];
        alone[i] = field;
        if !is_of_words(i, field) || table(alone).is_none() {
            let field = shown(field);
            return Err(format!(
                "{NEEDED}. The {name} \"{field}\" is wrong: it takes *, {takes}; ranges upwards such as 1-5, steps \
                 such as */5 or 1-9/2, and lists such as 1,5"
            ));
        }
    }
    // The search starts in any year: every day that exists recurs within 40 years.
    let table = table(fields).filter(|table| {
        let start = civil::date(2000, 1, 1).at(0, 0, 0, 0);
        table.find_next_occurrence(&start, true).is_ok()
    });
    let table = table.ok_or_else(|| format!("never occurs: no year has such a day; it is \"{}\"", shown(cron)))?;
    Ok((fields.join(" "), table))
}

/// Returns whether the field consists of words that the field accepts. croner checks their combination, but alone would
/// accept too much: names in every field, `12WX` as `12W`, nothing between two commas.
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
    // croner reads `*/90` as `0`, which is not the meaning of 90 minutes. Refuse such a step.
    let pattern = &table.pattern;
    let parts = [&pattern.minutes, &pattern.hours, &pattern.days, &pattern.months, &pattern.days_of_week];
    parts.iter().all(|part| part.step <= part.max).then_some(table)
}

/// The record of a standing rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rule {
    /// Name, unique in the portal.
    pub name: RuleName,
    /// Filter that selects the contacts.
    pub filter: Filter,
    /// Access that the contacts get.
    pub target: Access,
    /// Times at which the rule runs.
    pub schedule: Schedule,
    /// Whether the rule runs.
    pub enabled: bool,
    /// User on whose behalf the rule runs.
    pub created_by: UserId,
    /// Time at which the rule was created.
    pub created: Timestamp,
    /// Time of the last change of the rule by a user.
    pub modified: Timestamp,
    /// Next due time; `None` while the rule is disabled.
    pub next: Option<Timestamp>,
    /// Time of the last run.
    pub last_run: Option<Timestamp>,
    /// Last job that the rule started.
    pub last_job: Option<JobId>,
    /// Reason why the rule could not run at its last due time.
    pub error: Option<String>,
}

/// Whether the user on whose behalf a rule runs still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The owner is a user of the portal.
    Present,
    /// The owner is no longer a user of the portal.
    Gone,
}

impl Rule {
    /// Returns the rule that `request` sets, with the run history of `before`.
    ///
    /// A rule keeps its owner if filter, target and schedule stay the same: to enable or disable a rule is not to take
    /// it over. Otherwise `setter` becomes the owner. If the owner is gone, `setter` also becomes the owner by enabling
    /// the rule, because the rule could not run otherwise.
    pub fn set(
        name: RuleName,
        request: SetRule,
        before: Option<&Self>,
        owner: Owner,
        setter: &Caller,
        now: Timestamp,
    ) -> Self {
        let is_kept = |before: &&Self| {
            let same = before.filter == request.filter
                && before.target == request.target
                && before.schedule == request.schedule;
            same && (owner == Owner::Present || !request.enabled)
        };
        let mut rule = Self {
            name,
            created_by: before.filter(is_kept).map_or(setter.user, |before| before.created_by),
            filter: request.filter,
            target: request.target,
            schedule: request.schedule,
            enabled: request.enabled,
            created: before.map_or(now, |before| before.created),
            // Always later than the previous change, so that each change has its own version.
            modified: before.map_or(now, |before| now.max(Timestamp::from_ticks(before.modified.ticks() + 1))),
            next: None,
            last_run: before.and_then(|before| before.last_run),
            last_job: before.and_then(|before| before.last_job),
            error: None,
        };
        rule.next = rule.next_after(now);
        rule
    }

    /// Returns the first due time after `now`, at least [`RULE_SPACING_MILLIS`] after the minute of the last run;
    /// `None` while the rule is disabled.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.enabled {
            return None;
        }
        let after = self.earliest().filter(|earliest| *earliest > now).map_or(now, Timestamp::previous);
        self.schedule.next_after(after)
    }

    /// Returns whether a due time follows the previous run too closely.
    pub fn is_too_soon(&self, due: Timestamp) -> bool {
        self.earliest().is_some_and(|earliest| due < earliest)
    }

    /// Returns the earliest due time after the previous run. The run counts from its whole minute, as due times do. A
    /// run starts some seconds after its due time, so a rule for every five minutes would otherwise miss every second
    /// due time.
    fn earliest(&self) -> Option<Timestamp> {
        let last = self.last_run?.ticks();
        Some(Timestamp::from_ticks(last - last.rem_euclid(TICKS_PER_MINUTE)) + limits::duration(RULE_SPACING_MILLIS))
    }

    /// Returns the reason why the rule could not run at its last due time, or can no longer run at all.
    pub fn last_error(&self) -> Option<Cow<'_, str>> {
        match self.schedule.fault() {
            Some(fault) => {
                Some(Cow::Owned(format!("The stored schedule no longer reads: {fault}. Set the rule again.")))
            }
            None => self.error.as_deref().map(Cow::Borrowed),
        }
    }

    /// Returns the rule as answers show it.
    pub fn view(&self) -> RuleView<'_> {
        RuleView {
            name: &self.name,
            filter: self.filter.view(),
            target: self.target.view(),
            cron: self.schedule.cron(),
            time_zone: self.schedule.time_zone(),
            enabled: self.enabled,
            created_by: self.created_by,
            created: self.created,
            modified: self.modified,
            next_run: self.next,
            last_run: self.last_run,
            last_job: self.last_job,
            last_error: self.last_error(),
        }
    }
}

/// A rule as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Rule))]
#[serde(rename_all = "PascalCase")]
pub struct RuleView<'a> {
    /// Name.
    #[cfg_attr(feature = "openapi", schema(value_type = RuleName))]
    pub name: &'a RuleName,
    /// The filter that selects its contacts.
    pub filter: FilterView<'a>,
    /// The access that the contacts get.
    pub target: TargetView<'a>,
    /// The cron expression.
    pub cron: &'a str,
    /// The IANA name of the time zone of the cron expression.
    pub time_zone: &'a str,
    /// false if the rule does not run.
    pub enabled: bool,
    /// The user on whose behalf it runs.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub created_by: UserId,
    /// When it was first set.
    pub created: Timestamp,
    /// When it was last set.
    pub modified: Timestamp,
    /// When it is due next.
    pub next_run: Option<Timestamp>,
    /// When it last ran.
    pub last_run: Option<Timestamp>,
    /// The job that it last started.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>))]
    pub last_job: Option<JobId>,
    /// The reason why it could not run when it was last due.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub last_error: Option<Cow<'a, str>>,
}
