//! Standing rules: a stored filter, the change of its contacts' access, and a schedule.

mod schedule;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::access::{Caller, Target, TargetView};
use crate::answer::Suffix;
use crate::filter::{Filter, FilterView};
use crate::job::JobId;
use crate::limits::{self, MAX_RULE_NAME_CHARS, RULE_SPACING_MILLIS};
use crate::request::SetRule;
use crate::values::id::UserId;
use crate::values::timestamp::Timestamp;

pub use schedule::Schedule;
pub(crate) use schedule::{CronExpression, NamedZone};

/// Ticks of 100 ns in a minute.
const TICKS_PER_MINUTE: i64 = 60 * 10_000_000;

/// A rule's name: ASCII letters, digits, `.`, `_` and `-`, so that the name needs no escaping in a path or a key. Names
/// are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleName(String);

impl RuleName {
    /// Wraps a stored name without validation. An earlier version may have accepted names that are invalid today, and
    /// their rules must stay readable and removable.
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
    "must be 1 to {MAX_RULE_NAME_CHARS} letters (a to z, A to Z), digits, dots, hyphens or underscores, and must not consist of dots alone or end in .json or .xml; an example is nightly-vip"
)]
pub struct NotARuleName;

impl TryFrom<String> for RuleName {
    type Error = NotARuleName;

    fn try_from(text: String) -> Result<Self, NotARuleName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        // HTTP clients resolve path segments such as `..` before they send a request.
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

/// The record of a standing rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rule {
    /// Name, unique in the portal.
    pub name: RuleName,
    /// Filter that selects the contacts.
    pub filter: Filter,
    /// Change of the contacts' access.
    pub target: Target,
    /// Times at which the rule runs.
    pub schedule: Schedule,
    /// True if the rule runs.
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
    /// Reason why the rule could not run at its last due time, or why its last job failed.
    pub error: Option<String>,
    /// Number of changes above which a run writes nothing.
    #[serde(default)]
    pub max_affected: Option<u64>,
    /// Note that the rule and its jobs show.
    #[serde(default)]
    pub note: Option<String>,
}

/// The status of a rule's owner, the user on whose behalf the rule runs.
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
    /// A rule keeps its owner if filter, target, schedule and limit stay the same, for example if `setter` only
    /// enables, disables or annotates the rule. Otherwise `setter` becomes the owner. If the owner is no longer a user,
    /// `setter` also becomes the owner by enabling the rule, because a rule without an owner cannot run.
    pub fn set(
        name: RuleName,
        request: SetRule,
        before: Option<&Self>,
        owner: Owner,
        setter: &Caller,
        now: Timestamp,
    ) -> Self {
        let is_kept = |before: &&Self| {
            let same = before.filter.is_equivalent(&request.filter)
                && before.target.is_equivalent(&request.target)
                && before.schedule == request.schedule
                && before.max_affected == request.max_affected;
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
            // Each change is later than the previous change, so that each has its own version.
            modified: before.map_or(now, |before| now.max(Timestamp::from_ticks(before.modified.ticks() + 1))),
            next: None,
            last_run: before.and_then(|before| before.last_run),
            last_job: before.and_then(|before| before.last_job),
            error: None,
            max_affected: request.max_affected,
            note: request.note,
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

    /// Returns the earliest due time that [`RULE_SPACING_MILLIS`] allows. The spacing starts at the whole minute of the
    /// previous run. A run starts some seconds after its due time. If the spacing started there, a rule for every five
    /// minutes would miss every second due time.
    fn earliest(&self) -> Option<Timestamp> {
        let last = self.last_run?.ticks();
        Some(Timestamp::from_ticks(last - last.rem_euclid(TICKS_PER_MINUTE)) + limits::duration(RULE_SPACING_MILLIS))
    }

    /// Returns the reason why the rule could not run at its last due time, why its last job failed, or why the rule can
    /// no longer run at all.
    pub fn last_error(&self) -> Option<Cow<'_, str>> {
        match self.schedule.fault() {
            Some(fault) => {
                Some(Cow::Owned(format!("The stored schedule is no longer valid: {fault}. Set the rule again.")))
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
            max_affected: self.max_affected,
            note: self.note.as_deref(),
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

/// The next runs of a schedule, as answers show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Schedule))]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleView<'a> {
    /// The cron expression.
    pub cron: &'a str,
    /// The IANA name of the time zone of the cron expression.
    pub time_zone: &'a str,
    /// The times of the next runs, earliest first. A rule skips a due time less than five minutes after its previous
    /// run.
    pub runs: Vec<Timestamp>,
}

impl Schedule {
    /// Returns the first `count` runs of a rule with this schedule after `now`.
    pub fn view(&self, now: Timestamp, count: usize) -> ScheduleView<'_> {
        let next = |after: &Timestamp| {
            // A due time is a whole minute, from which the spacing starts.
            self.next_after((*after + limits::duration(RULE_SPACING_MILLIS)).previous())
        };
        let runs = std::iter::successors(self.next_after(now), next).take(count).collect();
        ScheduleView { cron: self.cron(), time_zone: self.time_zone(), runs }
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
    /// The filter that selects the contacts.
    pub filter: FilterView<'a>,
    /// The change of the contacts' access.
    pub target: TargetView<'a>,
    /// The cron expression.
    pub cron: &'a str,
    /// The IANA name of the time zone of the cron expression.
    pub time_zone: &'a str,
    /// false if the rule does not run.
    pub enabled: bool,
    /// The number of changes above which a run writes nothing; `null` for no limit.
    pub max_affected: Option<u64>,
    /// The note about the rule, which its jobs show too.
    pub note: Option<&'a str>,
    /// The user on whose behalf the rule runs.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub created_by: UserId,
    /// Time at which the rule was created.
    pub created: Timestamp,
    /// Time of the last change of the rule by a user.
    pub modified: Timestamp,
    /// The next due time; `null` while the rule is disabled.
    pub next_run: Option<Timestamp>,
    /// Time of the last run.
    pub last_run: Option<Timestamp>,
    /// The last job that the rule started.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>))]
    pub last_job: Option<JobId>,
    /// The reason why the rule could not run at its last due time, or why its last job failed.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub last_error: Option<Cow<'a, str>>,
}
