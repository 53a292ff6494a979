//! The decision about a contact: write the access, leave the contact alone, or count a conflict.

use models::access::{Access, Actor, Author};
use models::job::{Change, Counts, JobId};
use models::values::id::{ContactId, PortalId};
use store::Store;
use store::contacts::AccessState;
use store::jobs::Checkpoint;
use store::keys::IndexPosition;

use crate::source::NoPage;

/// A contact, and where the reading goes on behind it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) behind: Checkpoint,
}

/// What is to become of a contact.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It does not exist, or not for the caller, or is met twice.
    Hidden,
    /// It is done by this very job.
    Done,
    /// The caller may not edit it.
    Skipped,
    /// It is as asked.
    Unchanged(Option<IndexPosition>),
    /// It is to change, or is a conflict.
    Change(Change, Option<IndexPosition>),
}

impl Verdict {
    /// What it adds to the counts once it is carried out.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { matched: 1, ..Counts::default() };
        match self {
            Self::Hidden | Self::Done => counts.matched = 0,
            Self::Skipped => counts.skipped = 1,
            Self::Unchanged(_) => counts.unchanged = 1,
            Self::Change(change, _) if change.conflict => counts.conflicts = 1,
            Self::Change(..) => counts.updated = 1,
        }
        counts
    }
}

/// The rights that decide about contacts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rights<'a> {
    /// Rights that were read together with the contacts.
    Known(Actor),
    /// The rights that the author has at the moment: half a read unit each time.
    Current {
        /// Where they are read.
        store: &'a Store,
        /// The author's portal.
        portal: &'a PortalId,
        /// The author.
        author: Author,
    },
}

impl Rights<'_> {
    /// The author with its rights.
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

/// What contacts are judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be counted and shown.
    Preview,
    /// To be written by this job.
    Write(JobId),
}

/// How the pages of a source are judged: the rights are looked up anew for each page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) rights: Rights<'a>,
    pub(crate) target: &'a Access,
    pub(crate) purpose: Purpose,
}

impl<'a> Terms<'a> {
    pub(super) fn judge(&self, actor: Actor) -> Judge<'a> {
        Judge { actor, target: self.target, purpose: self.purpose }
    }
}

/// Judges contacts that are all to have the same access.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) actor: Actor,
    pub(crate) target: &'a Access,
    pub(crate) purpose: Purpose,
}

impl Judge<'_> {
    /// What is to become of a contact with this access; an answer shows it by its position.
    pub(crate) fn judge(&self, contact: ContactId, position: Option<IndexPosition>, state: AccessState) -> Verdict {
        // Another worker is at the same shard, or was.
        if matches!(self.purpose, Purpose::Write(job) if state.revision == Some(job)) {
            return Verdict::Done;
        }
        if !self.actor.may_see(&state.access) {
            Verdict::Hidden
        } else if !self.actor.may_edit(&state.access) {
            Verdict::Skipped
        } else if state.access == *self.target {
            Verdict::Unchanged(position)
        } else {
            let change =
                Change { contact, before: state.access, revision: state.revision, after: None, conflict: false };
            Verdict::Change(change, position)
        }
    }
}
