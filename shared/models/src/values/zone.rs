//! Names of time zones.

use jiff::tz::TimeZone;

/// An entry of the IANA database for a computer without a configured zone. The entry means UTC, so a portal or a rule
/// that names the entry is a mistake.
const NO_ZONE: &str = "Factory";

/// Returns the name of a zone of the IANA database, which a portal or a rule stores; `None` if the zone stands for an
/// unknown zone.
pub(crate) fn name_of(zone: &TimeZone) -> Option<&str> {
    zone.iana_name().filter(|name| !zone.is_unknown() && *name != NO_ZONE)
}
