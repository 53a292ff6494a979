//! The conditions of a list of jobs.

use jiff::tz::TimeZone;

use crate::invalid::Invalid;
use crate::job::selection::JobFilter;
use crate::job::{Kind, State};
use crate::limits::MAX_STORED_RULE_NAME_BYTES;
use crate::request::fields::Fields;
use crate::request::selection::{GivenDate, resolve_dates};
use crate::request::text::contact_id;
use crate::values::id::ContactId;
use crate::values::timestamp::Edge;

/// The conditions of a list of jobs, whose dates are not resolved in the portal's time zone yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnresolvedJobFilter {
    /// Filter without dates.
    undated: JobFilter,
    from: Option<GivenDate>,
    to: Option<GivenDate>,
}

impl UnresolvedJobFilter {
    /// Returns the filter. Dates without an offset are in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every date that does not exist in `zone`, and `from` if it is after `to`.
    pub fn resolve(self, zone: &TimeZone) -> Result<JobFilter, Invalid> {
        let Self { undated, from, to } = self;
        let (from, to) = resolve_dates(from, to, zone, "is after to, so no job can match; swap the two dates")?;
        Ok(JobFilter { from, to, ..undated })
    }
}

impl Fields {
    /// Takes the conditions of a list of jobs.
    pub(super) fn job_filter(&mut self) -> UnresolvedJobFilter {
        let undated = JobFilter {
            state: self.choice("state", &State::ALL),
            kind: self.choice("kind", &Kind::ALL),
            user: self.uuid("userId"),
            rule: self.rule_name("rule"),
            contact: self.contact("contactid"),
            from: None,
            to: None,
        };
        let (from, to) = (self.date("from", Edge::From), self.date("to", Edge::To));
        UnresolvedJobFilter { undated, from, to }
    }

    /// Takes the name of a standing rule, which an earlier version may have stored.
    fn rule_name(&mut self, name: &str) -> Option<String> {
        let rule = self.text_of(name, "the name of a rule")?;
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if rule.is_empty() || rule.len() > MAX_STORED_RULE_NAME_BYTES || !rule.bytes().all(is_allowed) {
            let message =
                format!("must be 1 to {MAX_STORED_RULE_NAME_BYTES} letters, digits, dots, hyphens or underscores");
            self.fault(name, message);
        }
        Some(rule)
    }

    /// Takes a contact.
    fn contact(&mut self, name: &str) -> Option<ContactId> {
        let value = self.one(name, |_| None)?;
        let contact = contact_id(&value);
        if contact.is_none() {
            self.wrong(name, &format!("a whole number from 1 to {}", ContactId::MAX), &value);
        }
        contact
    }
}
