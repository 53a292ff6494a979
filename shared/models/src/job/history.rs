//! The history of a contact's access, and the reasons for a user's rights, as answers show them.

use serde::Serialize;

use crate::access::{Access, Author, Caller, Reason};
use crate::contact::Directory;
use crate::job::view::AccessView;
use crate::job::{Job, JobId, Kind};
use crate::values::id::{ContactId, UserId};
use crate::values::timestamp::Timestamp;

/// A user, as answers about access name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = UserRef))]
#[serde(rename_all = "PascalCase")]
pub struct UserRef {
    /// Identifier in the portal's user directory.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: UserId,
    /// Name in full; empty if the user is no longer in the directory.
    pub display_name: String,
}

impl UserRef {
    /// Names a user.
    pub fn new(id: UserId, directory: &impl Directory) -> Self {
        Self { id, display_name: directory.shown_employee(id).display_name.clone() }
    }
}

/// The job of a change, as the history of a contact shows the job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = JobRef))]
#[serde(rename_all = "PascalCase")]
pub struct JobRef<'a> {
    /// Identifier.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: JobId,
    /// The kind of call that started the job.
    pub kind: Kind,
    /// Time at which the job was requested.
    pub created: Timestamp,
    /// The user for whom the job acted; `null` if the operator's schedule started the job.
    pub created_by: Option<UserRef>,
    /// The standing rule that started the job. Users other than the job's own and administrators see `null`.
    pub rule: Option<&'a str>,
    /// The note of the job. Users other than the job's own and administrators see `null`.
    pub note: Option<&'a str>,
    /// The job that this job undid. Users other than the job's own and administrators see `null`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>))]
    pub undo_of: Option<JobId>,
}

impl<'a> JobRef<'a> {
    /// Builds the view of `job` for `viewer`. A viewer who may not see the job
    /// learns only its identifier, kind, author and time.
    pub fn new(job: &'a Job, directory: &impl Directory, viewer: &Caller) -> Self {
        let may_see = job.is_visible_to(viewer);
        Self {
            id: job.id,
            kind: job.task.kind(),
            created: job.created,
            created_by: job.created_by.user().map(|user| UserRef::new(user, directory)),
            rule: job.task.rule().filter(|_| may_see),
            note: job.note.as_deref().filter(|_| may_see),
            undo_of: job.task.undo_of().filter(|_| may_see),
        }
    }
}

impl Job {
    /// Returns whether a caller may see the job: administrators see all jobs, users their own.
    pub fn is_visible_to(&self, caller: &Caller) -> bool {
        caller.is_admin || self.created_by == Author::User(caller.user)
    }

    /// Returns whether the history of a contact shows a state before or after the job to a viewer: the states of the
    /// viewer's own jobs, as the changes of the job do, and other states in which the viewer may see the contact.
    pub fn shows_state(&self, access: &Access, viewer: &Caller) -> bool {
        self.is_visible_to(viewer) || viewer.may_see(access)
    }
}

/// The origin of an access that no recorded change explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = HistorySource))]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// An import loaded the contact with this access.
    Loaded,
    /// The change that set this access is no longer stored.
    Expired,
}

/// An entry in the history of a contact's access.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub struct HistoryEntry<'a> {
    /// The job of the change; `null` if no recorded change explains the access.
    pub job: Option<JobRef<'a>>,
    /// The origin of an access that no recorded change explains: the last entry of the history.
    #[cfg_attr(feature = "openapi", schema(value_type = Source, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The access before the change; `null` if the contact was hidden from the caller.
    pub before: Option<AccessView<'a>>,
    /// The access after the change; `null` if the contact was hidden from the caller.
    pub after: Option<AccessView<'a>>,
}

impl<'a> HistoryEntry<'a> {
    /// Builds the entry of a change for `viewer`.
    pub fn of_change(
        job: &'a Job,
        before: &Access,
        after: &Access,
        directory: &'a impl Directory,
        viewer: &Caller,
    ) -> Self {
        let view =
            |access: &Access| job.shows_state(access, viewer).then(|| AccessView::new(access, directory, viewer));
        Self { job: Some(JobRef::new(job, directory, viewer)), source: None, before: view(before), after: view(after) }
    }

    /// Builds the last entry, the access that no recorded change explains, for `viewer`.
    pub fn of_source(source: Source, after: &Access, directory: &'a impl Directory, viewer: &Caller) -> Self {
        let after = viewer.may_see(after).then(|| AccessView::new(after, directory, viewer));
        Self { job: None, source: Some(source), before: None, after }
    }
}

/// A right of a user, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AccessRight))]
#[serde(rename_all = "PascalCase")]
pub struct Right {
    /// true if the user has the right.
    pub allowed: bool,
    /// The reason.
    pub reason: Reason,
}

impl From<Reason> for Right {
    fn from(reason: Reason) -> Self {
        Self { allowed: reason.allows(), reason }
    }
}

/// The rights of a user to a contact, with their reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AccessReasons))]
#[serde(rename_all = "PascalCase")]
pub struct Why<'a> {
    /// The contact.
    pub contact_id: ContactId,
    /// The user.
    pub user: UserRef,
    /// The right to see the contact.
    pub see: Right,
    /// The right to edit the contact and to set its access.
    pub edit: Right,
    /// The job that set the access; `null` if an import set the access, or if the access was never set.
    pub set_by: Option<JobRef<'a>>,
}

impl<'a> Why<'a> {
    /// Builds the rights of `user` to a contact with this access.
    pub fn new(contact: ContactId, access: &Access, user: &Caller, named: UserRef, set_by: Option<JobRef<'a>>) -> Self {
        Self {
            contact_id: contact,
            user: named,
            see: user.seeing(access).into(),
            edit: user.editing(access).into(),
            set_by,
        }
    }
}
