//! Instants in steps of 100 ns, the precision of the documents' `Created`.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant from the year 1 to the year 9999, in steps of 100 ns.
///
/// Its text has seven decimals, `Z` and a fixed width, so that texts sort as the instants do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

/// Which end of a range of instants a date stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first instant meant: a date alone is its midnight.
    From,
    /// The last instant meant: a date alone is the end of its day.
    To,
}

/// Why a text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAMoment {
    /// The text is no date and no date with a time.
    #[error(
        "must be a date such as 2020-12-08 or a date and time such as 2020-12-08T17:37:04Z, from the year 1 to the year \
         9999"
    )]
    Malformed,
    /// The text has no offset, and the zone in which it would be read is not known. To guess a zone could select other
    /// contacts than the caller means.
    #[error(
        "must be a time with an offset, such as 2020-12-08T17:37:04Z, because the time zone of the portal is not known"
    )]
    UnknownZone,
}

pub(crate) const STEPS_PER_SECOND: i64 = 10_000_000;
const NANOS_PER_STEP: i64 = 100;

impl Moment {
    /// The first instant that can be written: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800 * STEPS_PER_SECOND);
    /// The last instant that can be written: 9999-12-30T22:00:00.9999999Z, where the calendar's own range ends.
    pub const MAX: Self = Self(253_402_207_200 * STEPS_PER_SECOND + STEPS_PER_SECOND - 1);
    /// Length of [`Moment`]'s text in bytes.
    pub const TEXT_BYTES: usize = "2020-12-08T17:37:04.5916406Z".len();

    /// The instant, rounded down to a step and held within the range.
    pub fn floor(timestamp: Timestamp) -> Self {
        Self::clamped(timestamp.as_nanosecond().div_euclid(i128::from(NANOS_PER_STEP)))
    }

    /// The instant, rounded up to a step and held within the range.
    fn ceil(timestamp: Timestamp) -> Self {
        Self::clamped(-(-timestamp.as_nanosecond()).div_euclid(i128::from(NANOS_PER_STEP)))
    }

    fn clamped(steps: i128) -> Self {
        let within = steps.clamp(i128::from(Self::MIN.0), i128::from(Self::MAX.0));
        Self(i64::try_from(within).unwrap_or(Self::MAX.0))
    }

    /// Steps of 100 ns since 1970.
    pub const fn steps(self) -> i64 {
        self.0
    }

    /// The moment that many steps of 100 ns after 1970, held within the range.
    pub fn from_steps(steps: i64) -> Self {
        Self(steps.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The instant as a timestamp.
    pub fn timestamp(self) -> Timestamp {
        let nanos = i32::try_from(self.0.rem_euclid(STEPS_PER_SECOND) * NANOS_PER_STEP).unwrap_or(0);
        // Within MIN..=MAX every second is one of the calendar's.
        Timestamp::new(self.0.div_euclid(STEPS_PER_SECOND), nanos).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// How long it is from `earlier` to this moment; negative when that is later.
    pub fn since(self, earlier: Self) -> SignedDuration {
        self.timestamp().duration_since(earlier.timestamp())
    }

    /// The moment one step earlier, or the first one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self((self.0 - 1).max(Self::MIN.0))
    }

    /// Reads one end of a range of dates: a date alone means that whole day in `zone`, a time without an offset is
    /// the wall clock of `zone`, both ends are part of the range.
    ///
    /// # Errors
    ///
    /// [`NotAMoment`] when the text is neither a date nor a date with a time.
    pub fn parse_edge(text: &str, edge: Edge, zone: &TimeZone) -> Result<Self, NotAMoment> {
        if let Some(date) = parse_date(text) {
            return match edge {
                Edge::From => Ok(Self::ceil(start_of_day(date, zone)?)),
                Edge::To => match date.checked_add(1.day()) {
                    Ok(next) => Ok(Self::ceil(start_of_day(next, zone)?).previous()),
                    // The calendar's last day has no next one.
                    Err(_) => Ok(Self::MAX),
                },
            };
        }
        let timestamp = parse_timestamp(text, zone)?;
        Ok(match edge {
            Edge::From => Self::ceil(timestamp),
            Edge::To => Self::floor(timestamp),
        })
    }

    /// Reads an instant; without an offset it is the wall clock of `zone`, a date alone is its midnight there.
    ///
    /// # Errors
    ///
    /// [`NotAMoment`] when the text is neither a date nor a date with a time.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, NotAMoment> {
        match parse_date(text) {
            Some(date) => Ok(Self::floor(start_of_day(date, zone)?)),
            None => Ok(Self::floor(parse_timestamp(text, zone)?)),
        }
    }
}

/// Length of `2020-12-08`: the only form of a date that is taken, so that `20201208` or a week date is not guessed at.
const DATE_BYTES: usize = "2020-12-08".len();

fn parse_date(text: &str) -> Option<Date> {
    (text.len() == DATE_BYTES).then(|| text.parse().ok()).flatten().filter(|date: &Date| date.year() >= 1)
}

/// Whether this would be an instant if the calendar did not end on 9999-12-30: other systems write the last moment of
/// the year 9999 for "no end". The same text in the year before tells.
fn is_beyond_calendar(text: &str) -> bool {
    const LAST_YEAR: &str = "9999-12-3";
    const YEAR_BEFORE: &str = "9998-12-3";
    text.strip_prefix(LAST_YEAR).is_some_and(|rest| {
        let before = format!("{YEAR_BEFORE}{rest}");
        before.parse::<Timestamp>().is_ok() || before.parse::<DateTime>().is_ok()
    })
}

/// The time of day as it is written elsewhere: ONLYOFFICE's browser client writes `2020-12-08T17-37-04`.
fn with_colons(text: &str) -> Cow<'_, str> {
    const MASK: &[u8] = b"T00-00-00";
    let is_masked = |rest: &str| {
        rest.len() >= MASK.len()
            && rest
                .bytes()
                .zip(MASK)
                .all(|(byte, mask)| if *mask == b'0' { byte.is_ascii_digit() } else { byte == *mask })
    };
    match text.split_at_checked(DATE_BYTES) {
        Some((date, rest)) if is_masked(rest) => {
            let (time, end) = rest.split_at(MASK.len());
            Cow::Owned(format!("{date}{}{end}", time.replace('-', ":")))
        }
        _ => Cow::Borrowed(text),
    }
}

/// The text of a query or a form with the plus sign of its offset, which arrives as a space when a client does not escape
/// the plus: `2020-12-08T17:37:04 02:00`. The space between a date and its time stays.
pub(crate) fn with_plus(text: &str) -> Cow<'_, str> {
    let is_offset = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    match text.rsplit_once(' ') {
        Some((time, offset)) if time.len() > DATE_BYTES && is_offset(offset) => Cow::Owned(format!("{time}+{offset}")),
        _ => Cow::Borrowed(text),
    }
}

fn start_of_day(date: Date, zone: &TimeZone) -> Result<Timestamp, NotAMoment> {
    if zone.is_unknown() {
        return Err(NotAMoment::UnknownZone);
    }
    // A day that starts in a gap of the clock starts after the gap.
    match date.to_zoned(zone.clone()).and_then(|zoned| zoned.start_of_day()) {
        Ok(start) => Ok(start.timestamp()),
        Err(_) if is_beyond_calendar(&date.to_string()) => Ok(Timestamp::MAX),
        Err(_) => Err(NotAMoment::Malformed),
    }
}

fn parse_timestamp(text: &str, zone: &TimeZone) -> Result<Timestamp, NotAMoment> {
    let starts_with_date = text.get(..DATE_BYTES).is_some_and(|date| parse_date(date).is_some());
    // A zone in brackets would be read over, and the wall clock taken for that of another zone.
    if !starts_with_date || text.contains('[') {
        return Err(NotAMoment::Malformed);
    }
    let text = &*with_colons(text);
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp);
    }
    if is_beyond_calendar(text) {
        return Ok(Timestamp::MAX);
    }
    if zone.is_unknown() {
        return Err(NotAMoment::UnknownZone);
    }
    let wall: DateTime = text.parse().map_err(|_| NotAMoment::Malformed)?;
    Ok(wall.to_zoned(zone.clone()).map_err(|_| NotAMoment::Malformed)?.timestamp())
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = TimeZone::UTC.to_datetime(self.timestamp());
        let fraction = self.0.rem_euclid(STEPS_PER_SECOND);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{fraction:07}Z",
            wall.year(),
            wall.month(),
            wall.day(),
            wall.hour(),
            wall.minute(),
            wall.second()
        )
    }
}

impl std::str::FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        Self::parse(text, &TimeZone::UTC)
    }
}

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self::floor(timestamp)
    }
}

impl std::ops::Add<SignedDuration> for Moment {
    type Output = Self;

    fn add(self, duration: SignedDuration) -> Self {
        Self::clamped(i128::from(self.0) + duration.as_nanos().div_euclid(i128::from(NANOS_PER_STEP)))
    }
}

impl Moment {
    /// The name by which a serializer knows a moment.
    pub(crate) const NEWTYPE: &'static str = "Moment";

    /// The moment with the offset that `zone` has at that time: `2020-12-08T19:37:04.5916406+02:00`, in UTC `+00:00`. Where
    /// the zone is not known, UTC stands in.
    pub fn in_zone(self, zone: &TimeZone) -> InZone<'_> {
        InZone { moment: self, zone }
    }
}

/// A moment as the clocks of a zone show it.
#[derive(Debug)]
pub struct InZone<'a> {
    moment: Moment,
    zone: &'a TimeZone,
}

impl fmt::Display for InZone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECONDS_PER_MINUTE: i32 = 60;
        const MINUTES_PER_HOUR: i32 = 60;
        let known = (!self.zone.is_unknown()).then_some(self.zone);
        let seconds = known.map_or(0, |zone| zone.to_offset(self.moment.timestamp()).seconds());
        // Before there were standard times, offsets had seconds, which the form has no place for.
        let minutes = seconds / SECONDS_PER_MINUTE;
        let shift = SignedDuration::from_secs(i64::from(minutes * SECONDS_PER_MINUTE));
        let shifted = (self.moment + shift).to_string();
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes.abs() / MINUTES_PER_HOUR, minutes.abs() % MINUTES_PER_HOUR);
        write!(f, "{}{sign}{hours:02}:{minutes:02}", shifted.trim_end_matches('Z'))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(Self::NEWTYPE, &format_args!("{self}"))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
