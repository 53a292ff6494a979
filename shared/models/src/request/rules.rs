//! Requests that set a standing rule, and payloads of a single run.

use jiff::tz::TimeZone;

use crate::access::Target;
use crate::filter::Filter;
use crate::invalid::{Fault, Invalid};
use crate::request::fields::Fields;
use crate::request::selection::UnresolvedFilter;
use crate::request::{RequestBody, bodies, queries};
use crate::rule::{CronExpression, NamedZone, Schedule};
use crate::values::id::PortalId;
use crate::values::zone::name_of;

/// The body of `PUT …/rules/{name}`. `F` and `S` are an [`UnresolvedFilter`] and an [`UnresolvedSchedule`] until the
/// portal's time zone is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRule<F = Filter, S = Schedule> {
    /// Filter that selects the contacts.
    pub filter: F,
    /// Change of the contacts' access.
    pub target: Target,
    /// Times at which the rule runs.
    pub schedule: S,
    /// True if the rule runs.
    pub enabled: bool,
    /// Number of changes above which a run writes nothing.
    pub max_affected: Option<u64>,
    /// Note that the rule and its jobs show.
    pub note: Option<String>,
}

impl SetRule<UnresolvedFilter, UnresolvedSchedule> {
    /// Parses the body.
    ///
    /// `filter` is required: `{}` selects every contact, which must not result from an omission.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), bodies::SET_RULE)?;
        let filter = fields.filter_object("filter");
        let target = fields.target_object("target");
        let schedule = fields.schedule();
        let enabled = fields.boolean("enabled").unwrap_or(true);
        let max_affected = fields.number("maxAffected");
        let note = fields.note();
        fields.finish()?;
        // Unreachable: the faults already name a missing field.
        let target = target.ok_or_else(|| Invalid::one("target", "is required"))?;
        let schedule = schedule.ok_or_else(|| Invalid::one("cron", "is required"))?;
        Ok(Self { filter, target, schedule, enabled, max_affected, note })
    }

    /// Returns the request with dates in the portal's time zone, which is also the default zone of the schedule.
    ///
    /// # Errors
    ///
    /// See [`UnresolvedFilter::resolve`]. Also [`Invalid`] for a missing `timeZone` if the portal's zone has no name.
    pub fn resolve(self, zone: &TimeZone) -> Result<SetRule, Invalid> {
        let Self { filter, target, schedule, enabled, max_affected, note } = self;
        match (filter.resolve(zone), schedule.resolve(zone)) {
            (Ok(filter), Ok(schedule)) => Ok(SetRule { filter, target, schedule, enabled, max_affected, note }),
            (filter, schedule) => {
                let of_filter = filter.err().map(|invalid| invalid.faults).unwrap_or_default();
                Err(Invalid { faults: of_filter.into_iter().chain(schedule.err()).collect() })
            }
        }
    }
}

/// The query of the next runs of a schedule. `S` is an [`UnresolvedSchedule`] until the portal's time zone is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowSchedule<S = Schedule> {
    /// Times of the runs.
    pub schedule: S,
    /// Maximum number of runs.
    pub count: usize,
}

impl ShowSchedule<UnresolvedSchedule> {
    /// Parses the query string.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every parameter that is missing, unknown or of a wrong type.
    pub fn parse(query: &str) -> Result<Self, Invalid> {
        let mut fields = Fields::query(query, queries::SHOW_SCHEDULE);
        let schedule = fields.schedule();
        let count = fields.count();
        fields.finish()?;
        // Unreachable: the faults already name a missing parameter.
        let schedule = schedule.ok_or_else(|| Invalid::one("cron", "is required"))?;
        Ok(Self { schedule, count })
    }

    /// Returns the request with the portal's zone as the default zone of the schedule.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for a missing `timeZone` if the portal's zone has no name.
    pub fn resolve(self, zone: &TimeZone) -> Result<ShowSchedule, Invalid> {
        let Self { schedule, count } = self;
        let schedule = schedule.resolve(zone).map_err(|fault| Invalid { faults: vec![fault] })?;
        Ok(ShowSchedule { schedule, count })
    }
}

/// A schedule whose time zone may be the portal's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedSchedule {
    cron: CronExpression,
    zone: Option<NamedZone>,
    /// Description of `timeZone` for the fault of a missing zone.
    meaning: String,
}

impl UnresolvedSchedule {
    fn resolve(self, zone: &TimeZone) -> Result<Schedule, Fault> {
        let Self { cron, zone: own, meaning } = self;
        let zone = match (own, name_of(zone)) {
            (Some(own), _) => own,
            (None, Some(name)) => NamedZone::parse(name)?,
            (None, None) => {
                let message = format!("is required: {meaning}");
                return Err(Fault { field: "timeZone".to_owned(), message });
            }
        };
        Ok(Schedule::new(cron, zone))
    }
}

impl Fields {
    /// Takes `cron` and `timeZone`. Returns `None` if one of them has a fault.
    fn schedule(&mut self) -> Option<UnresolvedSchedule> {
        let expression = format!("{} for 02:00 every day", self.encoding.example("a cron expression", "0 2 * * *"));
        let meaning = self.encoding.example("the IANA name of a time zone", "Europe/Riga");
        self.check_present("cron", &expression);
        let names_zone = self.object.contains_key("timeZone");
        let cron = self.text_of("cron", &expression);
        let cron = cron.and_then(|text| self.accepted(CronExpression::parse(&text)));
        let zone = self.text_of("timeZone", &meaning);
        let zone = zone.and_then(|text| self.accepted(NamedZone::parse(&text)));
        if names_zone && zone.is_none() {
            return None;
        }
        Some(UnresolvedSchedule { cron: cron?, zone, meaning })
    }

    /// Returns the value, or records the fault.
    fn accepted<T>(&mut self, value: Result<T, Fault>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }
}

/// The payload with which a scheduler invokes a function directly: a change of access by filter, without a rule. `F` is
/// an [`UnresolvedFilter`] until the portal's time zone is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOnce<F = Filter> {
    /// Portal of the contacts.
    pub portal: PortalId,
    /// Filter that selects the contacts.
    pub filter: F,
    /// Change of the contacts' access.
    pub target: Target,
    /// Number of changes above which nothing is written.
    pub max_affected: Option<u64>,
    /// Key that identifies repeated payloads of the same run.
    pub idempotency_key: Option<String>,
}

impl RunOnce<UnresolvedFilter> {
    /// Parses the payload.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), bodies::RUN_ONCE)?;
        let portal = fields.portal("portal");
        let filter = fields.filter_object("filter");
        let target = fields.target_object("access");
        let max_affected = fields.number("maxAffected");
        let idempotency_key = fields.idempotency_key("idempotencyKey");
        fields.finish()?;
        // Unreachable: the faults already name a missing field.
        let target = target.ok_or_else(|| Invalid::one("access", "is required"))?;
        let portal = portal.ok_or_else(|| Invalid::one("portal", "is required"))?;
        Ok(Self { portal, filter, target, max_affected, idempotency_key })
    }

    /// Returns the request with the dates in the portal's time zone.
    ///
    /// # Errors
    ///
    /// See [`UnresolvedFilter::resolve`].
    pub fn resolve(self, zone: &TimeZone) -> Result<RunOnce, Invalid> {
        let Self { portal, filter, target, max_affected, idempotency_key } = self;
        Ok(RunOnce { portal, filter: filter.resolve(zone)?, target, max_affected, idempotency_key })
    }
}
