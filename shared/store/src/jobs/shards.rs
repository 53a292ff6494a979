//! The shards of a job: leases and progress.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use models::job::{Counts, Job, ShardSummary};
use models::values::id::{JobId, LeaseOwner, PortalId};
use models::values::moment::Moment;
use serde::{Deserialize, Serialize};

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::index::ScanCursor;
use crate::jobs::{DOC, DUE, TRIES, moment, names, values, yes};
use crate::keys::{Key, Range};

/// Where a shard's reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checkpoint {
    /// In the partitions of an index.
    Matches(ScanCursor),
    /// Among contacts that are named: how many of them are behind.
    Contacts(usize),
    /// In the chunks of the job that is undone: the number of one, and how many of its entries are behind.
    Chunk {
        /// The chunk's number.
        number: u32,
        /// How many of its entries are behind.
        entries: usize,
    },
}

/// How far a shard of a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where the reading goes on; none at its beginning.
    pub place: Option<Checkpoint>,
    /// Number of the next chunk.
    pub next_chunk: u32,
    /// Index entries, named contacts or changes looked at so far.
    pub looked: u64,
    /// What was done so far.
    pub counts: Counts,
}

/// Why a shard was closed before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardFailure {
    /// The table did not take all changes, however often they were tried.
    GivenUp,
    /// Its workers died, one after another.
    Killed,
    /// The user on whose behalf the job acts is no longer in the portal.
    UserRemoved,
}

impl ShardFailure {
    const ALL: [Self; 3] = [Self::GivenUp, Self::Killed, Self::UserRemoved];

    /// The word for it in storage.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GivenUp => "given-up",
            Self::Killed => "killed",
            Self::UserRemoved => "user-removed",
        }
    }
}

/// A shard of a job as the table has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardState {
    /// How far it is.
    pub progress: Progress,
    /// Whether it is through, or was closed before its end.
    pub done: bool,
    /// Why it was closed before its end, where it was.
    pub failed: Option<ShardFailure>,
    /// Whether it is to stop.
    pub cancelled: bool,
    /// Who works on it.
    pub owner: Option<LeaseOwner>,
    /// From when on it is left alone by whoever works on it, or waits for a worker for too long.
    pub due: Option<Moment>,
    /// How often it was taken up since it last got on.
    pub tries: u32,
    /// How many changes were counted, where they had to be counted first.
    pub counted: Option<u64>,
}

impl ShardState {
    /// What a caller is told of it.
    pub fn summary(&self) -> ShardSummary {
        // A shard that failed or was stopped is closed, and not through.
        let done = self.done && self.failed.is_none() && !self.cancelled;
        ShardSummary { done, looked: self.progress.looked, counts: self.progress.counts }
    }
}

/// The right to work on a shard, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who works on it.
    pub owner: LeaseOwner,
    /// Until when nobody else does.
    pub until: Moment,
}

/// The state of a shard that its worker lets go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release<'a> {
    /// How far the shard is.
    pub progress: &'a Progress,
    /// When the sweep looks after it, if nobody claims it before.
    pub due: Moment,
    /// How often it was claimed without progress.
    pub tries: u32,
}

/// What came of asking for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The shard is the caller's.
    Taken(ShardState),
    /// Someone else works on it.
    Held,
    /// It is through.
    Done,
}

/// What came of saving a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The shard still is the caller's.
    Kept,
    /// It is, and it is to stop.
    Cancelled,
    /// Someone else has it.
    Lost,
}

pub(super) fn shard_item(portal: &PortalId, job: JobId, shard: u16, lease: &Lease) -> Item {
    let mut item = items::keyed(&Key::JobShard(portal.clone(), job, shard));
    item.insert("owner".into(), items::b(*lease.owner.as_bytes()));
    item.insert(DUE.into(), items::n(lease.until.steps()));
    item.insert("tries".into(), items::n(1));
    item
}

pub(super) fn shard_failure(name: &str) -> Result<ShardFailure, StoreError> {
    let found = ShardFailure::ALL.into_iter().find(|failure| failure.name() == name);
    found.ok_or_else(|| StoreError::Corrupt(format!("a shard failed by {name:?}")))
}

pub(super) fn shard_state(mut item: Item) -> Result<ShardState, StoreError> {
    let is = |name| item.contains_key(name).then(|| items::boolean(&item, name)).transpose();
    let (done, cancelled) = (is("done")?, is("cancelled")?);
    let failed = match item.get("failed") {
        Some(_) => Some(shard_failure(items::text(&item, "failed")?)?),
        None => None,
    };
    let due = item.contains_key(DUE).then(|| items::number(&item, DUE)).transpose()?;
    Ok(ShardState {
        done: done.unwrap_or(false),
        failed,
        cancelled: cancelled.unwrap_or(false),
        owner: item.contains_key("owner").then(|| items::id(&item, "owner")).transpose()?,
        due: due.map(Moment::from_steps),
        tries: item.contains_key("tries").then(|| items::number(&item, "tries")).transpose()?.unwrap_or(0),
        counted: item.contains_key("counted").then(|| items::number(&item, "counted")).transpose()?,
        progress: if item.contains_key(DOC) { items::document(&mut item, DOC)? } else { Progress::default() },
    })
}

impl Store {
    /// Asks for a shard of a job, for which nobody else must have a lease at `now`: 1 write unit, and 1 read unit when
    /// it cannot be had.
    pub async fn claim_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        now: Moment,
    ) -> Result<Claim, StoreError> {
        let key = Key::JobShard(portal.clone(), job, shard);
        let claimed = self
            .update_if(
                &key,
                "SET #owner = :me, #due = :until ADD #tries :one",
                Some("attribute_not_exists(#done) AND (attribute_not_exists(#owner) OR #owner = :me OR #due <= :now)"),
                names([("#done", "done"), ("#owner", "owner"), ("#due", DUE), ("#tries", "tries")]),
                values([
                    (":me", items::b(*lease.owner.as_bytes())),
                    (":until", moment(lease.until)),
                    (":one", items::n(1)),
                    (":now", moment(now)),
                ]),
            )
            .await?;
        if let Some(item) = claimed {
            return Ok(Claim::Taken(shard_state(item)?));
        }
        let item = self.get(&key).await?;
        let done = item.map(shard_state).transpose()?.is_some_and(|state| state.done);
        Ok(if done { Claim::Done } else { Claim::Held })
    }

    /// Writes how far a shard is, and holds on to it: 1 write unit.
    pub async fn save_progress(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        progress: &Progress,
    ) -> Result<Saved, StoreError> {
        self.keep_shard(
            (portal, job, shard),
            lease,
            "SET #doc = :doc, #due = :until, #tries = :none",
            &[("#doc", DOC), ("#due", DUE), ("#tries", "tries")],
            values([(":doc", items::to_document(progress)?), (":until", moment(lease.until)), (":none", items::n(0))]),
        )
        .await
    }

    /// Writes how many changes a shard counted; its work then begins at its beginning: 1 write unit.
    pub async fn save_counted(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        counted: u64,
    ) -> Result<Saved, StoreError> {
        self.keep_shard(
            (portal, job, shard),
            lease,
            "SET #counted = :counted, #due = :until, #tries = :none REMOVE #doc, #me",
            &[("#doc", DOC), ("#due", DUE), ("#tries", "tries"), ("#counted", "counted")],
            values([(":counted", items::n(counted)), (":until", moment(lease.until)), (":none", items::n(0))]),
        )
        .await
    }

    /// Writes that a shard is through, or why it is closed before its end, and lets go of it: 1 write unit.
    pub async fn end_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        progress: &Progress,
        failed: Option<ShardFailure>,
    ) -> Result<Saved, StoreError> {
        let mut with = vec![("#doc", DOC), ("#done", "done"), ("#due", DUE)];
        let mut of = values([(":doc", items::to_document(progress)?), (":yes", yes())]);
        let mut set = "";
        if let Some(failure) = failed {
            set = ", #failed = :failed";
            with.push(("#failed", "failed"));
            of.insert(":failed".into(), items::s(failure.name()));
        }
        self.keep_shard(
            (portal, job, shard),
            lease,
            &format!("SET #doc = :doc, #done = :yes{set} REMOVE #me, #due"),
            &with,
            of,
        )
        .await
    }

    /// Writes how far a shard is that is not through, and lets go of it: 1 write unit.
    pub async fn release_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        release: Release<'_>,
    ) -> Result<Saved, StoreError> {
        let Release { progress, due, tries } = release;
        self.keep_shard(
            (portal, job, shard),
            lease,
            "SET #doc = :doc, #due = :due, #tries = :tries REMOVE #me",
            &[("#doc", DOC), ("#due", DUE), ("#tries", TRIES)],
            values([(":doc", items::to_document(progress)?), (":due", moment(due)), (":tries", items::n(tries))]),
        )
        .await
    }

    /// Changes a shard that is the lease's. `#me` is its owner in the expression.
    pub(super) async fn keep_shard(
        &self,
        (portal, job, shard): (&PortalId, JobId, u16),
        lease: &Lease,
        expression: &str,
        of: &[(&str, &str)],
        mut with: HashMap<String, AttributeValue>,
    ) -> Result<Saved, StoreError> {
        let mut of: HashMap<String, String> =
            of.iter().map(|(name, attribute)| ((*name).to_owned(), (*attribute).to_owned())).collect();
        of.insert("#me".into(), "owner".into());
        with.insert(":me".into(), items::b(*lease.owner.as_bytes()));
        let key = Key::JobShard(portal.clone(), job, shard);
        let saved = self.update_if(&key, expression, Some("#me = :me"), of, with).await?;
        Ok(match saved.map(shard_state).transpose()? {
            None => Saved::Lost,
            Some(state) if state.cancelled => Saved::Cancelled,
            Some(_) => Saved::Kept,
        })
    }

    /// Reads one shard of a job: 1 read unit.
    pub async fn shard(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<ShardState, StoreError> {
        let item = self.get(&Key::JobShard(portal.clone(), job, shard)).await?;
        item.map_or(Ok(ShardState::default()), shard_state)
    }

    /// Tells whoever works on a shard to stop, and whoever takes it up: 1 write unit. Says whether it is through.
    pub async fn cancel_shard(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<bool, StoreError> {
        let told = self
            .update_if(
                &Key::JobShard(portal.clone(), job, shard),
                "SET #cancelled = :yes",
                Some("attribute_not_exists(#done)"),
                names([("#cancelled", "cancelled"), ("#done", "done")]),
                values([(":yes", yes())]),
            )
            .await?;
        Ok(told.is_none())
    }

    /// Takes a shard from whoever had it, if it still is `due` when it was seen to be, and says when it is to be looked
    /// after next; false when it was taken up or got on meanwhile. 1 write unit.
    pub async fn postpone_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        seen: Option<Moment>,
        due: Moment,
    ) -> Result<bool, StoreError> {
        let mut with = values([(":due", moment(due))]);
        let unchanged = match seen {
            Some(seen) => {
                with.insert(":seen".into(), moment(seen));
                "#due = :seen AND attribute_not_exists(#done)"
            }
            None => "attribute_not_exists(#due) AND attribute_not_exists(#done)",
        };
        let postponed = self
            .update_if(
                &Key::JobShard(portal.clone(), job, shard),
                "SET #due = :due REMOVE #owner",
                Some(unchanged),
                names([("#due", DUE), ("#done", "done"), ("#owner", "owner")]),
                with,
            )
            .await?;
        Ok(postponed.is_some())
    }

    /// Reads the shards of a job, each by its number; those that nobody took up are as new: 1 read unit per 4 KB.
    pub async fn shards(&self, portal: &PortalId, job: &Job) -> Result<Vec<ShardState>, StoreError> {
        let mut shards = vec![ShardState::default(); usize::from(job.shards)];
        for item in self.query(&Range::JobShards(portal.clone(), job.id), true).await? {
            if let Key::JobShard(_, _, shard) = items::key_of(&item)?
                && let Some(state) = shards.get_mut(usize::from(shard))
            {
                *state = shard_state(item)?;
            }
        }
        Ok(shards)
    }
}
