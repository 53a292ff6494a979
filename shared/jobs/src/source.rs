//! The contacts of a shard, page by page: matches of a plan, named contacts, or the recorded changes of another job.

mod by_manager;
mod changes;
mod contacts;
mod judge;
mod matches;

use store::StoreError;
use store::jobs::Checkpoint;

pub(crate) use changes::{Aim, ChangeSource, RecordedShard};
pub(crate) use contacts::ContactSource;
pub(crate) use judge::{Judge, Judged, Purpose, Rights, Terms, Verdict, conflict, judge_previewed};
pub(crate) use matches::{MatchSource, Selection};

/// A page of judged contacts.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) items: Vec<Judged>,
    /// Index entries, named contacts or changes read for the page.
    pub(crate) examined: u64,
    /// The checkpoint after the page.
    pub(crate) after: Checkpoint,
    pub(crate) kind: PageKind,
}

/// The kind of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// More pages may follow.
    Inner,
    /// The page is the last page of its shard.
    Last,
}

/// The source of a shard's pages.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Matches(Box<MatchSource<'a>>),
    Contacts(ContactSource<'a>),
    Changes(ChangeSource<'a>),
}

impl Source<'_> {
    pub(crate) async fn next(&mut self) -> Result<Option<Step>, NoPage> {
        match self {
            Self::Matches(source) => source.next().await,
            Self::Contacts(source) => source.next().await,
            Self::Changes(source) => source.next().await,
        }
    }
}

/// The reason why a source returned no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPage {
    /// The user on whose behalf the contacts are judged is no longer in the portal.
    #[error("the user is no longer in the portal")]
    UserRemoved,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
