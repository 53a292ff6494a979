//! What a shard of a job is about, page by page: the matches of a plan, contacts that are named, or the changes of the
//! job that is undone.

mod changes;
mod contacts;
mod judge;
mod matches;

use store::StoreError;
use store::jobs::Checkpoint;

pub(crate) use changes::ChangeSource;
pub(crate) use contacts::ContactSource;
pub(crate) use judge::{Judge, Judged, Purpose, Rights, Terms, Verdict};
pub(crate) use matches::{MatchSource, Selection};

/// A page of what a shard is about, judged.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) items: Vec<Judged>,
    /// Index entries, named contacts or changes that were looked at for it.
    pub(crate) looked: u64,
    /// Where the reading goes on behind it.
    pub(crate) behind: Checkpoint,
    /// Whether nothing follows. Unset, something may.
    pub(crate) last: bool,
}

/// Where a shard's pages come from.
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

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPage {
    /// The user on whose behalf the contacts are judged is no longer in the portal.
    #[error("the user is no longer in the portal")]
    UserRemoved,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
