//! Instants in ticks of 100 ns, the precision of `Created` on ONLYOFFICE's reference pages.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ToSpan as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant from the year 1 to the year 9999, in ticks of 100 ns.
///
/// The text form has seven decimals, `Z` and a fixed width, so that texts sort like the instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// An end of a range of dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first instant of the range: a date alone means the start of its day.
    From,
    /// The last instant of the range: a date alone means the end of its day.
    To,
}

/// The error for a text that is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATimestamp {
    /// The text is neither a date nor a date with a time.
    #[error(
        "must be a date such as 2020-12-08 or a date and time such as 2020-12-08T17:37:04Z, from the year 1 to the year \
         9999"
    )]
    Malformed,
    /// The text has no offset, and the portal's time zone is not known. A guessed zone could select the wrong contacts.
    #[error(
        "must be a time with an offset, such as 2020-12-08T17:37:04Z, because the time zone of the portal is not known"
    )]
    UnknownZone,
}

/// A date of a request, which is one end of an inclusive range. Its time zone may be unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEdge {
    edge: Edge,
    time: LocalTime,
}

/// A parsed date or time, before a time zone is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LocalTime {
    /// A time with an offset, or a time after the end of the calendar.
    Instant(jiff::Timestamp),
    /// A date alone.
    Day(Date),
    /// A date and a time without an offset.
    Wall(DateTime),
}

impl LocalTime {
    fn parse(text: &str) -> Result<Self, NotATimestamp> {
        match parse_date(text) {
            Some(date) => Ok(Self::Day(date)),
            None => parse_timestamp(text),
        }
    }

    /// Returns the instant in `zone`. A date alone gives the start of its day.
    fn resolve(&self, zone: &TimeZone) -> Result<jiff::Timestamp, NotATimestamp> {
        match self {
            Self::Instant(timestamp) => Ok(*timestamp),
            Self::Day(date) => start_of_day(*date, zone),
            Self::Wall(_) if zone.is_unknown() => Err(NotATimestamp::UnknownZone),
            Self::Wall(wall) => match wall.to_zoned(zone.clone()) {
                Ok(zoned) => Ok(zoned.timestamp()),
                Err(_) => Err(NotATimestamp::Malformed),
            },
        }
    }
}

impl LocalTime {
    /// Returns the last instant with this time in `zone`: in the hour that clocks repeat, the later of two.
    fn resolve_last(&self, zone: &TimeZone) -> Result<jiff::Timestamp, NotATimestamp> {
        match self {
            Self::Wall(wall) if !zone.is_unknown() => {
                let found = zone.to_ambiguous_zoned(*wall);
                // A time that clocks skip is moved forward, as in `resolve`.
                let found = match found.offset() {
                    AmbiguousOffset::Fold { .. } => found.later(),
                    _ => found.compatible(),
                };
                found.map(|zoned| zoned.timestamp()).map_err(|_| NotATimestamp::Malformed)
            }
            _ => self.resolve(zone),
        }
    }
}

impl LocalEdge {
    /// Parses a date or a date with a time.
    ///
    /// # Errors
    ///
    /// [`NotATimestamp::Malformed`] if the text is neither.
    pub fn parse(text: &str, edge: Edge) -> Result<Self, NotATimestamp> {
        Ok(Self { edge, time: LocalTime::parse(text)? })
    }

    /// Returns the instant. A date alone means the whole day in `zone`. A time without an offset is local time in
    /// `zone`.
    ///
    /// # Errors
    ///
    /// [`NotATimestamp`] if the date needs a `zone` that is unknown, or lies outside the calendar in `zone`.
    pub fn resolve(&self, zone: &TimeZone) -> Result<Timestamp, NotATimestamp> {
        match (self.edge, &self.time) {
            (Edge::To, LocalTime::Day(date)) => match date.checked_add(1.day()) {
                Ok(next) => Ok(Timestamp::ceil(start_of_day(next, zone)?).previous()),
                // The last day of the calendar has no next day.
                Err(_) => Ok(Timestamp::MAX),
            },
            (Edge::To, time) => Ok(Timestamp::floor(time.resolve_last(zone)?)),
            (Edge::From, time) => Ok(Timestamp::ceil(time.resolve(zone)?)),
        }
    }
}

pub(crate) const TICKS_PER_SECOND: i64 = 10_000_000;
const NANOS_PER_TICK: i64 = 100;

impl Timestamp {
    /// The earliest instant: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800 * TICKS_PER_SECOND);
    /// The latest instant: 9999-12-30T22:00:00.9999999Z, the end of `jiff`'s calendar.
    pub const MAX: Self = Self(253_402_207_200 * TICKS_PER_SECOND + TICKS_PER_SECOND - 1);
    /// Bytes of the text form.
    pub const TEXT_BYTES: usize = "2020-12-08T17:37:04.5916406Z".len();

    /// Rounds a timestamp down to a tick, clamped to the range.
    pub fn floor(timestamp: jiff::Timestamp) -> Self {
        Self::clamped(timestamp.as_nanosecond().div_euclid(i128::from(NANOS_PER_TICK)))
    }

    /// Rounds a timestamp up to a tick, clamped to the range.
    fn ceil(timestamp: jiff::Timestamp) -> Self {
        Self::clamped(-(-timestamp.as_nanosecond()).div_euclid(i128::from(NANOS_PER_TICK)))
    }

    fn clamped(ticks: i128) -> Self {
        let within = ticks.clamp(i128::from(Self::MIN.0), i128::from(Self::MAX.0));
        Self(i64::try_from(within).unwrap_or(Self::MAX.0))
    }

    /// Returns the ticks of 100 ns since 1970.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Returns the timestamp at a number of ticks of 100 ns since 1970, clamped to the range.
    pub fn from_ticks(ticks: i64) -> Self {
        Self(ticks.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Converts the timestamp to a timestamp of `jiff`.
    pub fn to_jiff(self) -> jiff::Timestamp {
        let nanos = i32::try_from(self.0.rem_euclid(TICKS_PER_SECOND) * NANOS_PER_TICK).unwrap_or(0);
        // `jiff` represents every second within MIN..=MAX.
        jiff::Timestamp::new(self.0.div_euclid(TICKS_PER_SECOND), nanos).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// Returns the duration from `earlier` to this timestamp; negative if `earlier` is later.
    pub fn since(self, earlier: Self) -> SignedDuration {
        self.to_jiff().duration_since(earlier.to_jiff())
    }

    /// Returns the timestamp one tick earlier, at least [`Self::MIN`].
    #[must_use]
    pub fn previous(self) -> Self {
        Self((self.0 - 1).max(Self::MIN.0))
    }

    /// Parses one end of an inclusive range of dates. A date alone means the whole day in `zone`. A time without an
    /// offset is local time in `zone`.
    ///
    /// # Errors
    ///
    /// [`NotATimestamp`] if the text is neither a date nor a date with a time, or needs a `zone` that is unknown.
    pub fn parse_edge(text: &str, edge: Edge, zone: &TimeZone) -> Result<Self, NotATimestamp> {
        LocalEdge::parse(text, edge)?.resolve(zone)
    }

    /// Parses an instant. A time without an offset is local time in `zone`, a date alone the start of its day there.
    ///
    /// # Errors
    ///
    /// [`NotATimestamp`] if the text is neither a date nor a date with a time, or needs a `zone` that is unknown.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, NotATimestamp> {
        Ok(Self::floor(LocalTime::parse(text)?.resolve(zone)?))
    }
}

/// Length of `2020-12-08`, the only accepted form of a date. `20201208` and week dates are refused.
const DATE_BYTES: usize = "2020-12-08".len();

fn parse_date(text: &str) -> Option<Date> {
    (text.len() == DATE_BYTES).then(|| text.parse().ok()).flatten().filter(|date: &Date| date.year() >= 1)
}

/// Returns whether the text is an instant after 9999-12-30, the end of `jiff`'s calendar. Other systems write the last
/// instant of the year 9999 for "no end". To check the text, the function parses it with the year 9998.
fn is_beyond_calendar(text: &str) -> bool {
    const LAST_YEAR: &str = "9999-12-3";
    const YEAR_BEFORE: &str = "9998-12-3";
    text.strip_prefix(LAST_YEAR).is_some_and(|rest| {
        let before = format!("{YEAR_BEFORE}{rest}");
        before.parse::<jiff::Timestamp>().is_ok() || before.parse::<DateTime>().is_ok()
    })
}

/// Replaces hyphens in a time of day by colons: ONLYOFFICE's browser client writes `2020-12-08T17-37-04`.
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

/// Restores the plus sign of an offset in a query or a form. A plus that the client did not escape arrives as a space:
/// `2020-12-08T17:37:04 02:00`. The space between a date and its time stays.
pub(crate) fn with_plus(text: &str) -> Cow<'_, str> {
    let is_offset = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    match text.rsplit_once(' ') {
        Some((time, offset)) if time.len() > DATE_BYTES && is_offset(offset) => Cow::Owned(format!("{time}+{offset}")),
        _ => Cow::Borrowed(text),
    }
}

fn start_of_day(date: Date, zone: &TimeZone) -> Result<jiff::Timestamp, NotATimestamp> {
    if zone.is_unknown() {
        return Err(NotATimestamp::UnknownZone);
    }
    // If the clock skips midnight, the day starts after the gap.
    match date.to_zoned(zone.clone()).and_then(|zoned| zoned.start_of_day()) {
        Ok(start) => Ok(start.timestamp()),
        Err(_) if is_beyond_calendar(&date.to_string()) => Ok(jiff::Timestamp::MAX),
        Err(_) => Err(NotATimestamp::Malformed),
    }
}

/// Parses a date with a time.
fn parse_timestamp(text: &str) -> Result<LocalTime, NotATimestamp> {
    let starts_with_date = text.get(..DATE_BYTES).is_some_and(|date| parse_date(date).is_some());
    // The parser would ignore a zone in brackets, and read the local time in another zone.
    if !starts_with_date || text.contains('[') {
        return Err(NotATimestamp::Malformed);
    }
    let text = &*with_colons(text);
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(LocalTime::Instant(timestamp));
    }
    if is_beyond_calendar(text) {
        return Ok(LocalTime::Instant(jiff::Timestamp::MAX));
    }
    match text.parse() {
        Ok(wall) => Ok(LocalTime::Wall(wall)),
        Err(_) => Err(NotATimestamp::Malformed),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = TimeZone::UTC.to_datetime(self.to_jiff());
        let fraction = self.0.rem_euclid(TICKS_PER_SECOND);
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

impl std::str::FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        Self::parse(text, &TimeZone::UTC)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self::floor(timestamp)
    }
}

impl std::ops::Add<SignedDuration> for Timestamp {
    type Output = Self;

    fn add(self, duration: SignedDuration) -> Self {
        Self::clamped(i128::from(self.0) + duration.as_nanos().div_euclid(i128::from(NANOS_PER_TICK)))
    }
}

impl Timestamp {
    /// The newtype name by which a serializer recognizes a timestamp.
    pub(crate) const NEWTYPE: &'static str = "Timestamp";

    /// Returns the timestamp with the offset of `zone`: `2020-12-08T19:37:04.5916406+02:00`, in UTC `+00:00`.
    /// An unknown zone is treated as UTC.
    pub fn in_zone(self, zone: &TimeZone) -> InZone<'_> {
        InZone { timestamp: self, zone }
    }
}

/// A timestamp in the local time of a zone.
#[derive(Debug)]
pub struct InZone<'a> {
    timestamp: Timestamp,
    zone: &'a TimeZone,
}

/// An offset from UTC in whole minutes, such as `+02:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) minutes: i32,
}

const MINUTES_PER_HOUR: i32 = 60;

impl Offset {
    /// Returns the offset in hours.
    pub(crate) fn hours(self) -> f64 {
        f64::from(self.minutes) / f64::from(MINUTES_PER_HOUR)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minutes < 0 { '-' } else { '+' };
        let minutes = self.minutes.abs();
        write!(f, "{sign}{:02}:{:02}", minutes / MINUTES_PER_HOUR, minutes % MINUTES_PER_HOUR)
    }
}

const SECONDS_PER_MINUTE: i32 = 60;

impl InZone<'_> {
    pub(crate) fn offset(&self) -> Offset {
        let known = (!self.zone.is_unknown()).then_some(self.zone);
        let seconds = known.map_or(0, |zone| zone.to_offset(self.timestamp.to_jiff()).seconds());
        // Offsets before standard time had seconds, which the format cannot express.
        Offset { minutes: seconds / SECONDS_PER_MINUTE }
    }
}

impl fmt::Display for InZone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset();
        let ticks = i64::from(offset.minutes * SECONDS_PER_MINUTE) * TICKS_PER_SECOND;
        let (offset, shifted) = match self.timestamp.0 + ticks {
            shifted if (Timestamp::MIN.0..=Timestamp::MAX.0).contains(&shifted) => (offset, Timestamp(shifted)),
            // The local time has no year of four digits, so the text shows the same instant in UTC.
            _ => (Offset { minutes: 0 }, self.timestamp),
        };
        write!(f, "{}{offset}", shifted.to_string().trim_end_matches('Z'))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(Self::NEWTYPE, &format_args!("{self}"))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
