//! The decision about a contact: write the access, leave the contact alone, or count a conflict.

use models::access::{Access, Actor, Author, Target, TooManyManagers};
use models::filter::AccessCriteria;
use models::job::{Change, Counts, JobId, Revision};
use models::values::id::{ContactId, PortalId};
use store::Store;
use store::contacts::AccessState;
use store::jobs::Checkpoint;
use store::keys::IndexPosition;

use crate::source::NoPage;

/// A judged contact, with the checkpoint after it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) after: Checkpoint,
}

/// The decision about a contact.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The contact does not exist, is hidden from the caller, does not meet the criteria, or was judged before.
    Hidden,
    /// This job has already changed the contact.
    Done,
    /// The caller may not edit the contact.
    Skipped,
    /// The contact would get more managers than a list may hold, and keeps its access.
    Failed,
    /// The access already matches.
    Unchanged(Option<IndexPosition>),
    /// The job must write the access, or the contact is a conflict.
    Change(Change, Option<IndexPosition>),
}

impl Verdict {
    /// Returns the counts that the decision adds to the job.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { matched: 1, ..Counts::default() };
        match self {
            Self::Hidden | Self::Done => counts.matched = 0,
            Self::Skipped => counts.skipped = 1,
            Self::Failed => counts.failed = 1,
            Self::Unchanged(_) => counts.unchanged = 1,
            Self::Change(change, _) if change.conflict => counts.conflicts = 1,
            Self::Change(..) => counts.updated = 1,
        }
        counts
    }
}

/// The rights by which contacts are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rights<'a> {
    /// Rights that were read together with the contacts.
    Known(Actor),
    /// The author's current rights, read for each page: half a read unit each time.
    Current {
        /// The table.
        store: &'a Store,
        /// The author's portal.
        portal: &'a PortalId,
        /// The author.
        author: Author,
    },
}

impl Rights<'_> {
    /// Returns the author, with the author's rights.
    pub(crate) async fn actor(&self) -> Result<Actor, NoPage> {
        match *self {
            Self::Known(actor) => Ok(actor),
            Self::Current { author: Author::Operator, .. } => Ok(Actor::Operator),
            Self::Current { store, portal, author: Author::User(user) } => {
                let users = store.users(portal, [user]).await?;
                users.get(&user).map(|user| Actor::User(user.caller())).ok_or(NoPage::UserRemoved)
            }
        }
    }
}

/// The purpose of judging contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Count and show the contacts.
    Count,
    /// Record the changes in this job, which is a preview, and write no contact.
    Record(JobId),
    /// Write the contacts' access records in this job.
    Write(JobId),
}

impl Purpose {
    /// Returns the job whose chunks hold the changes.
    pub(super) const fn log(self) -> Option<JobId> {
        match self {
            Self::Count => None,
            Self::Record(job) | Self::Write(job) => Some(job),
        }
    }
}

/// The parameters by which a source judges its pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) rights: Rights<'a>,
    /// The filter's criteria for access. Named contacts have none.
    pub(crate) criteria: AccessCriteria,
    pub(crate) target: &'a Target,
    pub(crate) purpose: Purpose,
}

impl<'a> Terms<'a> {
    pub(crate) fn judge(&self, actor: Actor) -> Judge<'a> {
        Judge { actor, criteria: self.criteria, target: self.target, purpose: self.purpose }
    }
}

/// Judges a contact whose change a preview recorded, for the run `job` of the preview. `previewed` is the recorded
/// change; none if the contact is known to have changed since.
///
/// The run writes the contact only from the access that the preview showed. A contact that was changed or removed since
/// is a conflict. The actor's current rights decide about all others.
pub(crate) fn judge_previewed(
    job: JobId,
    actor: &Actor,
    contact: ContactId,
    previewed: Option<&Change>,
    state: AccessState,
) -> Verdict {
    if state.is_written_by(job) {
        return Verdict::Done;
    }
    let is_unchanged = |change: &&Change| !state.is_removed && state.job() == change.replaced_job();
    let Some(change) = previewed.filter(is_unchanged) else {
        return Verdict::Change(conflict(contact, state.revision), None);
    };
    if !actor.may_see(&state.access) {
        Verdict::Hidden
    } else if !actor.may_edit(&state.access) {
        Verdict::Skipped
    } else {
        let AccessState { access: before, revision, .. } = state;
        Verdict::Change(Change { contact, before, revision, after: change.after.clone(), conflict: false }, None)
    }
}

/// Returns the entry of a contact that a job leaves alone. The entry states only that a conflict occurred.
pub(crate) fn conflict(contact: ContactId, revision: Option<Revision>) -> Change {
    Change { contact, before: Access::UNRECORDED, revision, after: Some(Access::UNRECORDED), conflict: true }
}

/// Judges contacts whose access gets the same change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) actor: Actor,
    pub(crate) criteria: AccessCriteria,
    pub(crate) target: &'a Target,
    pub(crate) purpose: Purpose,
}

impl Judge<'_> {
    /// Returns whether a contact with this access is a match that the actor may see, if the contact matches the rest of
    /// the filter.
    fn selects(&self, state: &AccessState) -> bool {
        !state.is_removed && self.actor.may_see(&state.access) && self.criteria.holds(&state.access, &self.actor)
    }

    /// Returns whether another worker of this shard has already written the contact.
    fn is_done(&self, state: &AccessState) -> bool {
        matches!(self.purpose, Purpose::Write(job) if state.is_written_by(job))
    }

    /// Returns whether the verdict about a contact with this access matters. A contact that this job has written
    /// matters, even if the contact no longer matches.
    pub(super) fn may_match(&self, state: &AccessState) -> bool {
        self.is_done(state) || self.selects(state)
    }

    /// Returns whether the job may set the access of a contact with this access.
    pub(crate) fn may_change(&self, state: &AccessState) -> bool {
        self.selects(state) && self.actor.may_edit(&state.access)
    }

    /// Judges a contact with the access `state`. `position` identifies the contact in an answer; none if no answer
    /// shows the contact.
    pub(crate) fn judge(&self, contact: ContactId, position: Option<IndexPosition>, state: AccessState) -> Verdict {
        if self.is_done(&state) {
            return Verdict::Done;
        }
        if !self.selects(&state) {
            return Verdict::Hidden;
        }
        if !self.actor.may_edit(&state.access) {
            return Verdict::Skipped;
        }
        let AccessState { access: before, revision, .. } = state;
        match self.target.applied_to(&before) {
            Err(TooManyManagers { .. }) => Verdict::Failed,
            Ok(after) if after == before => Verdict::Unchanged(position),
            Ok(after) => {
                let after = self.target.replacement().is_none().then_some(after);
                Verdict::Change(Change { contact, before, revision, after, conflict: false }, position)
            }
        }
    }
}
