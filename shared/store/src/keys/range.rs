//! Ranges of keys: the items of one partition that a query reads.

use models::sign_in::Email;
use models::values::id::{ContactId, JobId, PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::keys::{
    COMPACTION_PK, DUE_PK, RULE_PORTALS_PK, address_pk, contact_pk, days_pk, job_pk, jobs_of_pk, jobs_pk, moves_pk,
    open_pk, postings_pk,
};

/// The items of one partition that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// All items in the partition of a contact.
    OfContact(PortalId, ContactId),
    /// The journal of moves of a shard, in the hour of a timestamp, in order of time.
    Moves(PortalId, u16, Timestamp),
    /// Every stage of a portal's directory.
    Stages(PortalId),
    /// Every type of a portal's directory.
    Types(PortalId),
    /// Every tag of a portal's directory.
    Tags(PortalId),
    /// Every user of a portal's directory.
    Users(PortalId),
    /// The identifiers of a portal's removed users.
    RemovedUsers(PortalId),
    /// Every password hash of a portal's users.
    Passwords(PortalId),
    /// Every portal with an entry for an e-mail address, in order of portal identifiers.
    Addresses(Email),
    /// Every token in a portal's list.
    Tokens(PortalId),
    /// The progress and the lease of each shard of a job.
    JobShards(PortalId, JobId),
    /// Every job of a portal, in order of time.
    Jobs(PortalId),
    /// Every job of a user, in order of time.
    JobsOf(PortalId, UserId),
    /// Every counter of days of a portal, or of a user, in order of days.
    DayCounters(PortalId, Option<UserId>),
    /// Every standing rule of a portal.
    Rules(PortalId),
    /// Every posting of a manager.
    Postings(PortalId, UserId),
    /// Every posting of a manager written by a compaction, in order of generations.
    PackedPostings(PortalId, UserId),
    /// Every posting of a manager not written by a compaction.
    RawPostings(PortalId, UserId),
    /// Every manager whose postings need compaction.
    DueCompactions,
    /// The open jobs of all portals in one bucket.
    OpenJobs(u8),
    /// Every portal that has standing rules.
    RulePortals,
    /// Every standing rule with a due time, in order of time.
    DueRules,
}

impl Range {
    /// Returns the partition key and the prefix of the sort keys.
    pub fn encode(&self) -> (String, &'static str) {
        match self {
            Self::OfContact(portal, id) => (contact_pk(portal, *id), ""),
            Self::Moves(portal, shard, at) => (moves_pk(portal, *shard, *at), ""),
            Self::Stages(portal) => (portal.to_string(), "STAGE#"),
            Self::Types(portal) => (portal.to_string(), "TYPE#"),
            Self::Tags(portal) => (portal.to_string(), "TAG#"),
            Self::Users(portal) => (portal.to_string(), "USER#"),
            Self::RemovedUsers(portal) => (portal.to_string(), "REMOVED#"),
            Self::Passwords(portal) => (portal.to_string(), "PASSWORD#"),
            Self::Addresses(email) => (address_pk(email), ""),
            Self::Tokens(portal) => (portal.to_string(), "TOKEN#"),
            Self::JobShards(portal, job) => (job_pk(portal, job), "SHARD#"),
            Self::Jobs(portal) => (jobs_pk(portal), "JOB#"),
            Self::JobsOf(portal, user) => (jobs_of_pk(portal, user), "JOB#"),
            Self::DayCounters(portal, user) => (days_pk(portal, user.as_ref()), "DAY#"),
            Self::Rules(portal) => (portal.to_string(), "RULE#"),
            Self::Postings(portal, manager) => (postings_pk(portal, manager), "POST"),
            Self::PackedPostings(portal, manager) => (postings_pk(portal, manager), "POST~"),
            Self::RawPostings(portal, manager) => (postings_pk(portal, manager), "POST#"),
            Self::DueCompactions => (COMPACTION_PK.into(), ""),
            Self::OpenJobs(bucket) => (open_pk(*bucket), ""),
            Self::RulePortals => (RULE_PORTALS_PK.into(), ""),
            Self::DueRules => (DUE_PK.into(), ""),
        }
    }
}
