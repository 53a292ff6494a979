//! The shards of a job: leases and progress.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use models::job::{Counts, Job, ShardSummary};
use models::values::id::{ContactId, JobId, LeaseOwner, PortalId};
use models::values::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::index::ScanCursor;
use crate::jobs::{names, ticks, values, yes};
use crate::keys::{EXPIRES, Key, Range};

// The attributes of a shard.
pub(super) const PROGRESS: &str = "doc";
const OWNER: &str = "owner";
pub(super) const DUE: &str = "due";
pub(super) const TRIES: &str = "tries";
const DONE: &str = "done";
const FAILED: &str = "failed";
const CANCELLED: &str = "cancelled";
const COUNTED: &str = "counted";

/// The point at which the reading of a shard continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checkpoint {
    /// In the partitions of an index.
    Matches(ScanCursor),
    /// Among the ascending contacts in a manager's postings: the last contact read.
    Posted(ContactId),
    /// Among named contacts: the number of contacts already read.
    Contacts(usize),
    /// In the chunks of the job to undo.
    Chunk {
        /// The chunk's number.
        number: u32,
        /// Number of its entries already read.
        entries: usize,
    },
}

/// The progress of a shard of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The checkpoint at which the reading continues; none at the beginning.
    #[serde(rename = "place")]
    pub checkpoint: Option<Checkpoint>,
    /// Number of the next chunk.
    pub next_chunk: u32,
    /// Index entries, named contacts or changes read so far.
    #[serde(rename = "looked")]
    pub examined: u64,
    /// Counts so far.
    pub counts: Counts,
}

/// The reason why a shard was closed before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardFailure {
    /// The table refused some changes on every attempt.
    GivenUp,
    /// The workers died, one after another.
    Killed,
    /// The user on whose behalf the job acts is no longer in the portal.
    UserRemoved,
    /// More contacts would be changed than the shard's part of `maxAffected` allows.
    OverLimit,
}

impl ShardFailure {
    const ALL: [Self; 4] = [Self::GivenUp, Self::Killed, Self::UserRemoved, Self::OverLimit];

    /// Returns the name of the failure in storage.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GivenUp => "given-up",
            Self::Killed => "killed",
            Self::UserRemoved => "user-removed",
            Self::OverLimit => "over-limit",
        }
    }
}

/// A shard of a job as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardState {
    /// The progress.
    pub progress: Progress,
    /// True if the shard is finished or was closed before its end.
    pub done: bool,
    /// The reason why the shard was closed before its end, if it was.
    pub failed: Option<ShardFailure>,
    /// True if the shard was cancelled.
    pub cancelled: bool,
    /// The worker that holds the lease.
    pub owner: Option<LeaseOwner>,
    /// End of the lease or, without an owner, deadline by which a worker must claim the shard.
    pub due: Option<Timestamp>,
    /// Number of claims since the last progress.
    pub tries: u32,
    /// Number of counted changes, if changes are counted first.
    pub counted: Option<u64>,
}

impl ShardState {
    /// Returns the summary that callers see.
    pub fn summary(&self) -> ShardSummary {
        // A shard that failed or was cancelled is closed, but not finished.
        let done = self.done && self.failed.is_none() && !self.cancelled;
        ShardSummary { done, examined: self.progress.examined, counts: self.progress.counts }
    }
}

/// A shard of a job.
#[derive(Clone, Copy)]
pub(super) struct ShardRef<'a> {
    pub(super) portal: &'a PortalId,
    pub(super) job: JobId,
    pub(super) shard: u16,
}

/// The temporary right to work on a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The worker.
    pub owner: LeaseOwner,
    /// The end of the lease.
    pub until: Timestamp,
}

/// The state in which a worker releases a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release<'a> {
    /// The shard's progress.
    pub progress: &'a Progress,
    /// Time at which the sweep requests a worker, if no worker claims the shard first.
    pub due: Timestamp,
    /// Number of claims without progress.
    pub tries: u32,
}

/// The result of claiming a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The caller holds the shard.
    Claimed(ShardState),
    /// Another worker holds the shard.
    Held,
    /// The shard is done.
    Done,
}

/// The result of saving a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The caller still holds the shard.
    Held,
    /// The caller still holds the shard, but the job was cancelled.
    Cancelled,
    /// The caller no longer holds the shard.
    Lost,
}

/// Builds the item of a new shard, which the owner of the lease has claimed, and which expires.
pub(super) fn shard_item(
    portal: &PortalId,
    job: JobId,
    shard: u16,
    lease: Option<&Lease>,
    expiry: Option<&AttributeValue>,
) -> Item {
    let mut item = items::keyed(&Key::JobShard(portal.clone(), job, shard));
    if let Some(lease) = lease {
        item.insert(OWNER.into(), items::b(*lease.owner.as_bytes()));
        item.insert(DUE.into(), items::n(lease.until.ticks()));
        item.insert(TRIES.into(), items::n(1));
    }
    item.extend(expiry.map(|at| (EXPIRES.to_owned(), at.clone())));
    item
}

pub(super) fn shard_failure(name: &str) -> Result<ShardFailure, StoreError> {
    let found = ShardFailure::ALL.into_iter().find(|failure| failure.name() == name);
    found.ok_or_else(|| StoreError::Corrupt(format!("a shard has the unknown failure {name:?}").into()))
}

pub(super) fn shard_state(mut item: Item) -> Result<ShardState, StoreError> {
    let is = |name| item.contains_key(name).then(|| items::boolean(&item, name)).transpose();
    let (done, cancelled) = (is(DONE)?, is(CANCELLED)?);
    let failed = match item.get(FAILED) {
        Some(_) => Some(shard_failure(items::text(&item, FAILED)?)?),
        None => None,
    };
    let due = item.contains_key(DUE).then(|| items::number(&item, DUE)).transpose()?;
    Ok(ShardState {
        done: done.unwrap_or(false),
        failed,
        cancelled: cancelled.unwrap_or(false),
        owner: item.contains_key(OWNER).then(|| items::id(&item, OWNER)).transpose()?,
        due: due.map(Timestamp::from_ticks),
        tries: item.contains_key(TRIES).then(|| items::number(&item, TRIES)).transpose()?.unwrap_or(0),
        counted: item.contains_key(COUNTED).then(|| items::number(&item, COUNTED)).transpose()?,
        progress: if item.contains_key(PROGRESS) { items::document(&mut item, PROGRESS)? } else { Progress::default() },
    })
}

impl Store {
    /// Claims a shard of a job, unless another worker holds a lease at `now`: 1 write unit, and 1 read unit if the
    /// claim fails.
    pub async fn claim_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<Claim, StoreError> {
        let key = Key::JobShard(portal.clone(), job, shard);
        let claimed = self
            .update_if(
                &key,
                "SET #owner = :me, #due = :until ADD #tries :one",
                Some("attribute_not_exists(#done) AND (attribute_not_exists(#owner) OR #owner = :me OR #due <= :now)"),
                names([("#done", DONE), ("#owner", OWNER), ("#due", DUE), ("#tries", TRIES)]),
                values([
                    (":me", items::b(*lease.owner.as_bytes())),
                    (":until", ticks(lease.until)),
                    (":one", items::n(1)),
                    (":now", ticks(now)),
                ]),
            )
            .await?;
        if let Some(item) = claimed {
            return Ok(Claim::Claimed(shard_state(item)?));
        }
        let item = self.get(&key).await?;
        let done = item.map(shard_state).transpose()?.is_some_and(|state| state.done);
        Ok(if done { Claim::Done } else { Claim::Held })
    }

    /// Saves a shard's progress and renews its lease: 1 write unit.
    pub async fn save_progress(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        progress: &Progress,
    ) -> Result<Saved, StoreError> {
        self.update_held_shard(
            ShardRef { portal, job, shard },
            lease,
            "SET #progress = :progress, #due = :until, #tries = :none",
            &[("#progress", PROGRESS), ("#due", DUE), ("#tries", TRIES)],
            values([
                (":progress", items::to_document(progress)?),
                (":until", ticks(lease.until)),
                (":none", items::n(0)),
            ]),
        )
        .await
    }

    /// Renews the lease of a shard whose progress is unchanged. The claim still counts as an attempt: 1 write unit.
    pub async fn renew_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
    ) -> Result<Saved, StoreError> {
        self.update_held_shard(
            ShardRef { portal, job, shard },
            lease,
            "SET #due = :until",
            &[("#due", DUE)],
            values([(":until", ticks(lease.until))]),
        )
        .await
    }

    /// Saves the number of counted changes, resets the progress to the beginning and releases the shard: 1 write unit.
    pub async fn save_counted(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        counted: u64,
    ) -> Result<Saved, StoreError> {
        self.update_held_shard(
            ShardRef { portal, job, shard },
            lease,
            "SET #counted = :counted, #due = :until, #tries = :none REMOVE #progress, #me",
            &[("#progress", PROGRESS), ("#due", DUE), ("#tries", TRIES), ("#counted", COUNTED)],
            values([(":counted", items::n(counted)), (":until", ticks(lease.until)), (":none", items::n(0))]),
        )
        .await
    }

    /// Closes a finished shard, or a shard that failed with `failed`, and releases the shard: 1 write unit.
    pub async fn end_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        progress: &Progress,
        failed: Option<ShardFailure>,
    ) -> Result<Saved, StoreError> {
        let mut with = vec![("#progress", PROGRESS), ("#done", DONE), ("#due", DUE)];
        let mut of = values([(":progress", items::to_document(progress)?), (":yes", yes())]);
        let mut set = "";
        if let Some(failure) = failed {
            set = ", #failed = :failed";
            with.push(("#failed", FAILED));
            of.insert(":failed".into(), items::s(failure.name()));
        }
        self.update_held_shard(
            ShardRef { portal, job, shard },
            lease,
            &format!("SET #progress = :progress, #done = :yes{set} REMOVE #me, #due"),
            &with,
            of,
        )
        .await
    }

    /// Saves the progress of an unfinished shard, and releases the shard: 1 write unit.
    pub async fn release_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        lease: &Lease,
        release: Release<'_>,
    ) -> Result<Saved, StoreError> {
        let Release { progress, due, tries } = release;
        self.update_held_shard(
            ShardRef { portal, job, shard },
            lease,
            "SET #progress = :progress, #due = :due, #tries = :tries REMOVE #me",
            &[("#progress", PROGRESS), ("#due", DUE), ("#tries", TRIES)],
            values([(":progress", items::to_document(progress)?), (":due", ticks(due)), (":tries", items::n(tries))]),
        )
        .await
    }

    /// Updates a shard if the lease's owner still holds the shard. In the expression, `#me` is the owner attribute.
    pub(super) async fn update_held_shard(
        &self,
        shard: ShardRef<'_>,
        lease: &Lease,
        expression: &str,
        of: &[(&str, &str)],
        mut with: HashMap<String, AttributeValue>,
    ) -> Result<Saved, StoreError> {
        let mut of: HashMap<String, String> =
            of.iter().map(|(name, attribute)| ((*name).to_owned(), (*attribute).to_owned())).collect();
        of.insert("#me".into(), OWNER.into());
        with.insert(":me".into(), items::b(*lease.owner.as_bytes()));
        let key = Key::JobShard(shard.portal.clone(), shard.job, shard.shard);
        let saved = self.update_if(&key, expression, Some("#me = :me"), of, with).await?;
        Ok(match saved.map(shard_state).transpose()? {
            None => Saved::Lost,
            Some(state) if state.cancelled => Saved::Cancelled,
            Some(_) => Saved::Held,
        })
    }

    /// Reads one shard of a job: 1 read unit.
    pub async fn shard(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<ShardState, StoreError> {
        let item = self.get(&Key::JobShard(portal.clone(), job, shard)).await?;
        item.map_or(Ok(ShardState::default()), shard_state)
    }

    /// Marks a shard as cancelled, so that its current and later workers stop: 1 write unit. Returns whether the shard
    /// is done.
    pub async fn cancel_shard(&self, portal: &PortalId, job: JobId, shard: u16) -> Result<bool, StoreError> {
        let cancelled = self
            .update_if(
                &Key::JobShard(portal.clone(), job, shard),
                "SET #cancelled = :yes",
                Some("attribute_not_exists(#done)"),
                names([("#cancelled", CANCELLED), ("#done", DONE)]),
                values([(":yes", yes())]),
            )
            .await?;
        Ok(cancelled.is_none())
    }

    /// Revokes a shard's lease, unless the shard was claimed, progressed or ended since it was read with the due time
    /// `read_due`. Sets the next check to `due`. Returns whether the lease was revoked. Costs 1 write unit.
    pub async fn postpone_shard(
        &self,
        portal: &PortalId,
        job: JobId,
        shard: u16,
        read_due: Option<Timestamp>,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut with = values([(":due", ticks(due))]);
        let unchanged = match read_due {
            Some(read_due) => {
                with.insert(":seen".into(), ticks(read_due));
                "#due = :seen AND attribute_not_exists(#done)"
            }
            None => "attribute_not_exists(#due) AND attribute_not_exists(#done)",
        };
        let postponed = self
            .update_if(
                &Key::JobShard(portal.clone(), job, shard),
                "SET #due = :due REMOVE #owner",
                Some(unchanged),
                names([("#due", DUE), ("#done", DONE), ("#owner", OWNER)]),
                with,
            )
            .await?;
        Ok(postponed.is_some())
    }

    /// Reads the shards of a job, by number: 1 read unit per 4 KB. A shard that no worker claimed has the default
    /// state.
    pub async fn shards(&self, portal: &PortalId, job: &Job) -> Result<Vec<ShardState>, StoreError> {
        let mut shards = vec![ShardState::default(); usize::from(job.shards)];
        for item in self.query(&Range::JobShards(portal.clone(), job.id), Consistency::Strong).await? {
            if let Key::JobShard(_, _, shard) = items::key_of(&item)?
                && let Some(state) = shards.get_mut(usize::from(shard))
            {
                *state = shard_state(item)?;
            }
        }
        Ok(shards)
    }
}
