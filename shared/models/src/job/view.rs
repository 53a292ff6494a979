//! Jobs and their changes, as answers show them.

use std::borrow::Cow;

use jiff::SignedDuration;
use serde::Serialize;

use crate::access::{Access, Caller, ShareType, Target, TargetView};
use crate::contact::{Directory, Employee};
use crate::filter::{Filter, FilterView};
use crate::job::effect::{AffectedUsers, Effect};
use crate::job::{Change, Counts, Job, JobId, Kind, ShardSummary, State};
use crate::limits::USER_PERCENT_STEP;
use crate::values::id::{ContactId, UserId};
use crate::values::timestamp::Timestamp;

/// A job, as answers show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Job))]
#[serde(rename_all = "PascalCase")]
pub struct JobView<'a> {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: JobId,
    /// The kind of call that started the job.
    pub kind: Kind,
    /// The state of the job.
    pub state: State,
    /// The user for whom the job acts; absent if the operator's schedule started the job.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// Time at which the job was requested.
    pub created: Timestamp,
    /// Time at which the first worker started the job.
    pub started: Option<Timestamp>,
    /// Time at which the job ended. A cancelled job without this time is still stopping.
    pub finished: Option<Timestamp>,
    /// The filter that selects the contacts, if the job has one.
    pub filter: Option<FilterView<'a>>,
    /// The change of the contacts' access; `null` for an undo and for a snapshot.
    pub target: Option<TargetView<'a>>,
    /// The standing rule that started the job.
    pub rule: Option<&'a str>,
    /// The job that this job undoes.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>))]
    pub undo_of: Option<JobId>,
    /// The preview whose changes this job makes; absent for other jobs.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply_of: Option<JobId>,
    /// The note of the call or of the rule that started the job.
    pub note: Option<&'a str>,
    /// Matches that the caller may see; for an undo, contacts that the undone job changed; for the run of a preview,
    /// contacts that the preview would change.
    pub matched: u64,
    /// Contacts written; for a preview, contacts that its run would write.
    pub updated: u64,
    /// Contacts whose access already matched.
    pub unchanged: u64,
    /// Contacts that the caller may see but not edit.
    pub skipped: u64,
    /// Contacts that an undo did not restore, because they were changed again after the job; for the run of a preview,
    /// contacts that were changed after the preview.
    pub conflicts: u64,
    /// Contacts that could not be written: their manager list would be too long, or the job was given up.
    pub failed: u64,
    /// Progress, 0 to 100; an estimate until the job ends. Callers who are not administrators see steps of 5.
    #[cfg_attr(feature = "openapi", schema(maximum = 100))]
    pub percent: u8,
    /// Matches per second since the job started.
    pub per_second: f64,
    /// The estimated end, while the job runs.
    pub estimated_end: Option<Timestamp>,
    /// The reason why the job failed.
    pub error: Option<&'a str>,
    /// Time at which a preview expires; absent for other jobs.
    #[cfg_attr(feature = "openapi", schema(value_type = Timestamp, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The users who would start seeing contacts; only in the answer about one finished preview.
    #[cfg_attr(feature = "openapi", schema(value_type = AffectedUsersView, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gains: Option<AffectedUsersView>,
    /// The users who would stop seeing contacts; only in the answer about one finished preview.
    #[cfg_attr(feature = "openapi", schema(value_type = AffectedUsersView, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loses: Option<AffectedUsersView>,
    /// Contacts that at least one user would stop seeing; only in the answer about one finished preview.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loses_any: Option<u64>,
    /// Contacts that are not private and would be private; only in the answer about one finished preview.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub become_private: Option<u64>,
    /// Contacts that are private and would not be private; only in the answer about one finished preview.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub become_shared: Option<u64>,
}

impl JobView<'_> {
    /// Adds the effect of a preview on users, with the users' names from `directory`.
    #[must_use]
    pub fn with_effect(self, effect: &Effect, directory: &impl Directory) -> Self {
        Self {
            gains: Some(AffectedUsersView::new(&effect.gains, directory)),
            loses: Some(AffectedUsersView::new(&effect.loses, directory)),
            loses_any: Some(effect.loses_any),
            become_private: Some(effect.become_private),
            become_shared: Some(effect.become_shared),
            ..self
        }
    }
}

/// The users who would start or stop seeing contacts. Administrators, who see every contact, are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AffectedUsers))]
#[serde(rename_all = "PascalCase")]
pub struct AffectedUsersView {
    /// Number of users.
    pub users: u64,
    /// Number of contacts that the preview's user would start or stop seeing.
    pub caller: u64,
    /// The users with the most contacts, at most 100.
    pub largest: Vec<AffectedUserView>,
}

/// A user who would start or stop seeing contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AffectedUser))]
#[serde(rename_all = "PascalCase")]
pub struct AffectedUserView {
    /// Identifier in the portal's user directory.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: UserId,
    /// Name in full; empty if the user was removed.
    pub display_name: String,
    /// Number of contacts.
    pub contacts: u64,
}

impl AffectedUsersView {
    fn new(affected: &AffectedUsers, directory: &impl Directory) -> Self {
        let AffectedUsers { users, caller, largest } = affected;
        let largest = largest.iter().map(|&(id, contacts)| {
            let display_name = directory.employee(id).map(|employee| employee.display_name.clone());
            AffectedUserView { id, display_name: display_name.unwrap_or_default(), contacts }
        });
        Self { users: *users, caller: *caller, largest: largest.collect() }
    }
}

/// The counts that an undo would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct UndoPreview {
    /// Contacts that the job changed and the caller may see.
    pub matched: u64,
    /// Contacts that would be restored.
    pub updated: u64,
    /// Contacts that the job did not reach.
    pub unchanged: u64,
    /// Contacts that the caller may see but not edit.
    pub skipped: u64,
    /// Contacts that would not be restored, because they were changed again after the job.
    pub conflicts: u64,
}

impl From<Counts> for UndoPreview {
    fn from(counts: Counts) -> Self {
        let Counts { matched, updated, unchanged, skipped, conflicts, failed: _ } = counts;
        Self { matched, updated, unchanged, skipped, conflicts }
    }
}

/// Returns the finished share of a job, from 0 to 1. Shards have equal weights, because contacts are spread evenly.
fn share(job: &Job, shards: &[ShardSummary]) -> f64 {
    /// Maximum share of an unfinished shard. The expected number is an estimate, so the ratio may reach 1 early.
    const MAX_UNFINISHED: f64 = 0.99;
    if shards.is_empty() {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate of contacts, of which there are fewer than 2^52")]
    let (expected, count) = (job.expected as f64 / shards.len() as f64, shards.len() as f64);
    let done = shards.iter().map(|shard| {
        #[expect(clippy::cast_precision_loss, reason = "contacts, of which there are fewer than 2^52")]
        let examined = shard.examined as f64;
        match shard.done {
            true => 1.0,
            false if expected > 0.0 => (examined / expected).min(MAX_UNFINISHED),
            false => 0.0,
        }
    });
    done.sum::<f64>() / count
}

/// Converts a share to whole percent, rounded down.
fn percent(share: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    let percent = (share * 100.0).clamp(0.0, 100.0) as u8;
    percent
}

/// Returns the percentage that a viewer sees, rounded down to a step unless the viewer is an administrator.
fn shown_percent(percent: u8, viewer: &Caller) -> u8 {
    if viewer.is_admin { percent } else { percent - percent % USER_PERCENT_STEP }
}

impl Job {
    /// Returns the job's progress in whole percent, from the progress of its shards.
    pub fn percent_of(&self, shards: &[ShardSummary]) -> u8 {
        if self.state == State::Done && self.is_over() { 100 } else { percent(share(self, shards)) }
    }

    /// Returns the job as `viewer` sees it at `now`. Until the job ends, its counts and progress come from `shards`.
    pub fn view(&self, shards: &[ShardSummary], now: Timestamp, viewer: &Caller) -> JobView<'_> {
        let counts: Counts = if self.is_over() { self.counts } else { shards.iter().map(|shard| shard.counts).sum() };
        // Derive the estimated end from the rounded progress: an exact end would reveal the exact progress.
        let (done, share) = (shown_percent(self.percent, viewer), share(self, shards));
        let (running_percent, share) = match viewer.is_admin {
            true => (percent(share), share),
            false => {
                let shown = shown_percent(percent(share), viewer);
                (shown, f64::from(shown) / 100.0)
            }
        };
        let elapsed = self.started.map(|started| self.finished.unwrap_or(now).since(started));
        let seconds = elapsed.map_or(0.0, |elapsed| elapsed.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "contacts, of which there are fewer than 2^52")]
        let per_second = if seconds > 0.0 { counts.matched as f64 / seconds } else { 0.0 };
        let running = self.state == State::Running && !self.is_over();
        let estimated_end = (running && share > 0.0 && seconds > 0.0)
            .then(|| now + SignedDuration::from_secs_f64((seconds * (1.0 - share) / share).min(MAX_SECONDS)));
        JobView {
            id: self.id,
            kind: self.task.kind(),
            state: self.state,
            created_by: self.created_by.user(),
            created: self.created,
            started: self.started,
            finished: self.finished,
            filter: self.task.filter().map(Filter::view),
            target: self.task.target().map(Target::view),
            rule: self.task.rule(),
            undo_of: self.task.undo_of(),
            apply_of: self.task.apply_of(),
            note: self.note.as_deref(),
            matched: counts.matched,
            updated: counts.updated,
            unchanged: counts.unchanged,
            skipped: counts.skipped,
            conflicts: counts.conflicts,
            failed: counts.failed,
            percent: if self.is_over() { done } else { running_percent },
            per_second: (per_second * 10.0).round() / 10.0,
            estimated_end,
            error: self.error.as_deref(),
            expires: self.changes_until.filter(|_| self.task.is_preview()),
            gains: None,
            loses: None,
            loses_any: None,
            become_private: None,
            become_shared: None,
        }
    }
}

/// Maximum seconds until an estimated end: a hundred years.
const MAX_SECONDS: f64 = 100.0 * 365.25 * 24.0 * 3600.0;

/// The access to a contact, as a change shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Access))]
#[serde(rename_all = "PascalCase")]
pub struct AccessView<'a> {
    /// 0 None, 1 ReadWrite, 2 Read.
    pub share_type: ShareType,
    /// The managers, also while the contact is shared. In that case, callers who are not administrators see at most
    /// themselves.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Employee>))]
    pub access_list: Vec<Cow<'a, Employee>>,
}

impl<'a> AccessView<'a> {
    /// Builds the view of `access` with the managers that the viewer may know.
    pub fn new(access: &Access, directory: &'a impl Directory, viewer: &Caller) -> Self {
        let employee = |id: UserId| directory.shown_employee(id);
        Self { share_type: access.share, access_list: viewer.known_managers(access).map(employee).collect() }
    }
}

/// A change, as answers show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Change))]
#[serde(rename_all = "PascalCase")]
pub struct ChangeView<'a> {
    /// The contact.
    pub contact_id: ContactId,
    /// The contact's name; empty if the contact was deleted or the caller may no longer see it.
    pub display_name: String,
    /// The contact's access before the job; `null` for a conflict.
    pub before: Option<AccessView<'a>>,
    /// The contact's access after the job; `null` for a conflict.
    pub after: Option<AccessView<'a>>,
    /// true if an undo did not restore the contact, because its access was changed again after the job, or if the run
    /// of a preview did not write the contact, because its access was changed after the preview. A conflict does not
    /// show the access that others set.
    pub conflict: bool,
}

impl<'a> ChangeView<'a> {
    /// Builds the view of a change of `job` for `viewer`.
    pub fn new(
        change: &Change,
        job: &Job,
        display_name: String,
        directory: &'a impl Directory,
        viewer: &Caller,
    ) -> Self {
        let states = change.states(job);
        let view = |access| AccessView::new(access, directory, viewer);
        Self {
            contact_id: change.contact,
            display_name,
            before: states.map(|(before, _)| view(before)),
            after: states.map(|(_, after)| view(after)),
            conflict: change.conflict,
        }
    }
}
