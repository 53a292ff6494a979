//! Requests that set a standing rule, and payloads of a single run.

use jiff::tz::TimeZone;

use crate::access::Access;
use crate::filter::Filter;
use crate::invalid::Invalid;
use crate::request::RequestBody;
use crate::request::fields::Fields;
use crate::request::query::MAX_AFFECTED;
use crate::rule::Schedule;
use crate::values::id::PortalId;

/// The body of `PUT …/rules/{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRule {
    /// Filter that selects the contacts.
    pub filter: Filter,
    /// Access that the contacts get.
    pub target: Access,
    /// Times at which the rule runs.
    pub schedule: Schedule,
    /// Whether the rule runs.
    pub enabled: bool,
}

impl SetRule {
    /// Parses the body. Dates without an offset are in `zone`, which is also the default zone of the schedule.
    ///
    /// `filter` is required: `{}` selects every contact, which must not result from an omission.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse<'a>(body: impl Into<RequestBody<'a>>, zone: &TimeZone) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), &["filter", "target", "cron", "timeZone", "enabled"])?;
        let filter = fields.filter_object("filter", Some(zone));
        let target = fields.target_object("target");
        let schedule = fields.schedule(zone);
        let enabled = fields.optional_bool("enabled", "false keeps the rule without running it").unwrap_or(true);
        fields.finish()?;
        // Unreachable: the faults already name a missing field.
        let target = target.ok_or_else(|| Invalid::one("target", "is required"))?;
        let schedule = schedule.ok_or_else(|| Invalid::one("cron", "is required"))?;
        Ok(Self { filter, target, schedule, enabled })
    }
}

/// The payload with which a scheduler invokes a function directly: a change of access by filter, without a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOnce {
    /// Portal of the contacts.
    pub portal: PortalId,
    /// Filter that selects the contacts.
    pub filter: Filter,
    /// Access that the contacts get.
    pub target: Access,
    /// Number of changes above which nothing is written.
    pub max_affected: Option<u64>,
    /// Key that identifies repeated payloads of the same run.
    pub idempotency_key: Option<String>,
}

impl RunOnce {
    /// Returns the portal of a payload, whose time zone [`RunOnce::parse`] needs.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with every fault of the payload, except the order of the dates.
    pub fn portal(body: &[u8]) -> Result<PortalId, Invalid> {
        Self::read(body, None).map(|run| run.portal)
    }

    /// Parses the payload. Dates without an offset are in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse(body: &[u8], zone: &TimeZone) -> Result<Self, Invalid> {
        Self::read(body, Some(zone))
    }

    fn read(body: &[u8], zone: Option<&TimeZone>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body.into(), &["portal", "filter", "access", "maxAffected", "idempotencyKey"])?;
        let portal = fields.portal("portal");
        let filter = fields.filter_object("filter", zone);
        let target = fields.target_object("access");
        let max_affected = fields.number("maxAffected", MAX_AFFECTED);
        let idempotency_key = fields.idempotency_key("idempotencyKey");
        fields.finish()?;
        // Unreachable: the faults already name a missing field.
        let target = target.ok_or_else(|| Invalid::one("access", "is required"))?;
        let portal = portal.ok_or_else(|| Invalid::one("portal", "is required"))?;
        Ok(Self { portal, filter, target, max_affected, idempotency_key })
    }
}
