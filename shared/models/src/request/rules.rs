//! Requests that set a standing rule, and payloads that run once.

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
    /// Which contacts.
    pub filter: Filter,
    /// What their access becomes.
    pub target: Access,
    /// When.
    pub schedule: Schedule,
    /// Whether it is to run at all.
    pub enabled: bool,
}

impl SetRule {
    /// Reads the body; dates without an offset are meant in `zone`, which is the schedule's too unless it names one.
    ///
    /// `filter` is required: `{}` selects every contact, and that is nothing to be had by leaving something out.
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
        // The faults name what is missing.
        let target = target.ok_or_else(|| Invalid::one("target", "is required"))?;
        let schedule = schedule.ok_or_else(|| Invalid::one("cron", "is required"))?;
        Ok(Self { filter, target, schedule, enabled })
    }
}

/// What a scheduler gives to a function that it starts itself: a change of access by filter, without a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOnce {
    /// The portal whose contacts are meant.
    pub portal: PortalId,
    /// Which contacts.
    pub filter: Filter,
    /// What their access becomes.
    pub target: Access,
    /// Over how many changes nothing is to be written.
    pub max_affected: Option<u64>,
    /// What makes two of them the same one.
    pub idempotency_key: Option<String>,
}

impl RunOnce {
    /// The portal of a payload, for its time zone, in which [`RunOnce::parse`] then reads the dates.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with all that is wrong with the payload, and not only with its portal.
    pub fn portal(body: &[u8]) -> Result<PortalId, Invalid> {
        Self::read(body, None).map(|run| run.portal)
    }

    /// Reads the payload; dates without an offset are meant in `zone`.
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
        // The faults name what is missing.
        let target = target.ok_or_else(|| Invalid::one("access", "is required"))?;
        let portal = portal.ok_or_else(|| Invalid::one("portal", "is required"))?;
        Ok(Self { portal, filter, target, max_affected, idempotency_key })
    }
}
