//! The whole key design. No other file writes or reads a key, a key prefix or an index name.
//!
//! | item | pk | sk |
//! | --- | --- | --- |
//! | contact | `portal#C#0000001234` | `CONTACT` |
//! | tag of a contact | the same | `TAG#vip` |
//! | access record | the same | `ACCESS` |
//! | journal entry: contacts that an import moves | `portal#V#` shard `#` hour | `2026-11-21T02:00:00.0000000Z#uuid` |
//! | contact that was removed of late | `portal#X#0000001234` | `REMOVED` |
//! | portal | `portal` | `PORTAL` |
//! | stage, type | `portal` | `STAGE#0000000003`, `TYPE#0000000003` |
//! | user, tag | `portal` | `USER#uuid`, `TAG#vip` |
//! | hash of a user's password | `portal` | `PASSWORD#uuid` |
//! | identifier of a user that was removed | `portal` | `REMOVED#uuid` |
//! | token in the portal's list | `portal` | `TOKEN#` SHA-256 |
//! | token | `T#` SHA-256 | `TOKEN` |
//! | user that an e-mail address is of, in a portal | `E#mike@example.com` | `portal` |
//! | attempts to sign in of a network and user name | `A#` SHA-256 of both | `ATTEMPTS` |
//! | that a user signed in from a network | the same | `KNOWN` |
//! | attempts to sign in as a user, of all networks | `A#` SHA-256 of user name and window | `ALL` |
//! | standing rule | `portal` | `RULE#nightly` |
//! | job | `portal#L` | `JOB#uuid` |
//! | job in its user's list | `portal#L#uuid` | `JOB#uuid` |
//! | open jobs of a user | the same | `OPEN` |
//! | where a shard of a job is | `portal#J#uuid` | `SHARD#003` |
//! | chunk of a job | the same | `CHUNK#003#0000000007` |
//! | job that is not closed | `O#5` | `portal#uuid` |
//! | portal that has standing rules | `W#` | `portal` |
//! | rule that will be due | `R#` | `2026-11-21T02:00:00.0000000Z#portal#nightly` |
//! | posting: contacts that a manager was given | `portal#M#uuid` | `POST#` first half of the contents' SHA-256 |
//! | the same, written by a compaction | the same | `POST~0000000007~uuid` |
//! | manager whose postings are to be compacted | `P#` | `portal#uuid` |
//! | idempotency key of a user, or of the operator | `portal#K#uuid#key`, `portal#K#operator#key` | `IDEMPOTENCY` |
//! | further part of the answer kept with a key | the same | `ANSWER#uuid#003` |
//!
//! A portal's identifier and an e-mail address hold no `#`, and what can hold anything (a tag) always stands last, so that
//! every key reads back to what it was made of. Numbers have a fixed width, so that they sort. Names and identifiers are
//! checked where they come in; what is stored is read as it is.

mod hash;
mod index;

use std::fmt;

use models::access::Author;
use models::rule::RuleName;
use models::sign_in::Email;
use models::values::id::{ContactId, JobId, PortalId, UserId};
use models::values::moment::Moment;
use uuid::Uuid;

pub(crate) use hash::Hex;
pub use hash::hash_from_hex;
pub use index::{Index, IndexPosition, Partition};

/// Name of the table's partition key.
pub const PK: &str = "pk";

/// Name of the table's sort key.
pub const SK: &str = "sk";

/// Name of the attribute that DynamoDB's time to live reads.
pub const EXPIRES: &str = "expires";

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// SHA-256 of who tries to sign in: a network and a user name, or a user name and a stretch of time.
pub type AttemptsHash = [u8; 32];

/// The first half of the SHA-256 of what a posting holds.
pub type PostingHash = [u8; 16];

/// The key of an item.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A contact.
    Contact(PortalId, ContactId),
    /// A folded tag of a contact.
    ContactTag(PortalId, ContactId, String),
    /// A contact's access record.
    Access(PortalId, ContactId),
    /// An entry in the journal of moves: contacts of a shard that an import was about to move at that moment.
    Move(PortalId, u16, Moment, Uuid),
    /// A contact that was removed of late. A contact that is added again leaves this item alone.
    Removed(PortalId, ContactId),
    /// A portal.
    Portal(PortalId),
    /// A stage of the directory; 0 counts the contacts without one.
    Stage(PortalId, i32),
    /// A type of the directory.
    Type(PortalId, i32),
    /// A user of the directory.
    User(PortalId, UserId),
    /// A folded tag of the directory.
    Tag(PortalId, String),
    /// The hash of a user's password, apart from the user, who is read for many reasons.
    Password(PortalId, UserId),
    /// The identifier of a user that was removed, which no other user is given.
    RemovedUser(PortalId, UserId),
    /// Which user of a portal an e-mail address is of. The user's own item decides whether it still is.
    Address(Email, PortalId),
    /// The attempts of late to sign in as a user from a network.
    Attempts(AttemptsHash),
    /// A network that a user signed in from of late.
    KnownNetwork(AttemptsHash),
    /// The attempts to sign in as a user from all networks, within a stretch of time.
    UserAttempts(AttemptsHash),
    /// A token in the portal's list of tokens.
    TokenEntry(PortalId, TokenHash),
    /// A token.
    Token(TokenHash),
    /// A standing rule.
    Rule(PortalId, RuleName),
    /// A job. All of a portal's stand in one partition, newest last: their identifiers are in order of time.
    Job(PortalId, JobId),
    /// Where a shard of a job is.
    JobShard(PortalId, JobId, u16),
    /// A chunk of a shard of a job.
    Chunk(PortalId, JobId, u16, u32),
    /// A job in the list of the user on whose behalf it ran.
    JobEntry(PortalId, UserId, JobId),
    /// The jobs of a user that are not over.
    OpenJobsOf(PortalId, UserId),
    /// A job that is not over, or that the event bus was not told of yet.
    OpenJob(PortalId, JobId),
    /// A portal that has standing rules.
    RulePortal(PortalId),
    /// A standing rule at the time when it is due.
    DueRule(Moment, PortalId, RuleName),
    /// A posting: contacts that a manager was given. It is named after its contents, so that they never change.
    Posting(PortalId, UserId, PostingHash),
    /// A posting that a compaction wrote: its generation, and an identifier of its own. It sorts after every other posting
    /// of its manager and after those of earlier generations.
    PackedPosting(PortalId, UserId, u32, Uuid),
    /// A manager whose postings are to be compacted.
    DueCompaction(PortalId, UserId),
    /// An idempotency key of an author.
    Idempotency(PortalId, Author, String),
    /// A further part of the answer that a reservation of a key kept.
    IdempotencyPart(PortalId, Author, String, Uuid, u16),
}

/// Over how many partitions the open jobs of all portals are spread, by their identifiers' random part.
pub const OPEN_BUCKETS: u8 = 8;

fn open_pk(bucket: u8) -> String {
    format!("O#{bucket}")
}

fn open_bucket(job: &JobId) -> u8 {
    job.as_bytes()[15] % OPEN_BUCKETS
}

const DUE_PK: &str = "R#";

const RULE_PORTALS_PK: &str = "W#";

const COMPACTION_PK: &str = "P#";

/// Which items of one partition a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// Everything kept under a contact.
    OfContact(PortalId, ContactId),
    /// The journal of moves of a shard, of the hour that the moment lies in, in order of time.
    Moves(PortalId, u16, Moment),
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
    /// The password of every user of a portal that has one.
    Passwords(PortalId),
    /// Every portal that an e-mail address is known in, by name.
    Addresses(Email),
    /// Every token in a portal's list.
    Tokens(PortalId),
    /// Where each shard of a job is.
    JobShards(PortalId, JobId),
    /// Every job of a portal, in order of time.
    Jobs(PortalId),
    /// Every job of a user, in order of time.
    JobsOf(PortalId, UserId),
    /// Every standing rule of a portal.
    Rules(PortalId),
    /// Every posting of a manager.
    Postings(PortalId, UserId),
    /// Every posting of a manager that a compaction wrote, in order of generations.
    PackedPostings(PortalId, UserId),
    /// Every other posting of a manager.
    RawPostings(PortalId, UserId),
    /// Every manager whose postings are to be compacted.
    DueCompactions,
    /// A bucket of the jobs of all portals that are not closed.
    OpenJobs(u8),
    /// Every portal that has standing rules.
    RulePortals,
    /// Every rule that will be due, in order of time.
    DueRules,
}

impl Range {
    /// The partition, and what the sort keys start with.
    pub fn encode(&self) -> (String, &'static str) {
        match self {
            Self::OfContact(portal, id) => (contact_pk(portal, *id), ""),
            Self::Moves(portal, shard, moment) => (moves_pk(portal, *shard, *moment), ""),
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

fn contact_pk(portal: &PortalId, id: ContactId) -> String {
    format!("{portal}#C#{:010}", id.get())
}

fn attempts_pk(hash: &AttemptsHash) -> String {
    format!("A#{}", Hex(hash))
}

/// Bytes of a moment's text up to its hour: `2026-11-21T02`.
const HOUR_BYTES: usize = "2026-11-21T02".len();

fn moves_pk(portal: &PortalId, shard: u16, moment: Moment) -> String {
    let text = moment.to_string();
    format!("{portal}#V#{shard:02}#{}", text.get(..HOUR_BYTES).unwrap_or_default())
}

/// The lowest sort key of journal entries made at `moment` or later.
pub fn moves_from(moment: Moment) -> String {
    moment.to_string()
}

fn removed_pk(portal: &PortalId, id: ContactId) -> String {
    format!("{portal}#X#{:010}", id.get())
}

fn address_pk(email: &Email) -> String {
    format!("E#{email}")
}

fn jobs_pk(portal: &PortalId) -> String {
    format!("{portal}#L")
}

fn jobs_of_pk(portal: &PortalId, user: &UserId) -> String {
    format!("{portal}#L#{user}")
}

fn job_pk(portal: &PortalId, job: &JobId) -> String {
    format!("{portal}#J#{job}")
}

fn postings_pk(portal: &PortalId, manager: &UserId) -> String {
    format!("{portal}#M#{manager}")
}

fn key_pk(portal: &PortalId, author: &Author, key: &str) -> String {
    format!("{portal}#K#{author}#{key}")
}

/// Shows the kind only: keys hold tags, addresses and names, which belong into no log.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Key {
    /// The kind of item.
    fn kind(&self) -> &'static str {
        match self {
            Self::Contact(..) => "Contact",
            Self::ContactTag(..) => "ContactTag",
            Self::Access(..) => "Access",
            Self::Portal(..) => "Portal",
            Self::Stage(..) => "Stage",
            Self::Type(..) => "Type",
            Self::User(..) => "User",
            Self::Tag(..) => "Tag",
            Self::Password(..) => "Password",
            Self::Address(..) => "Address",
            Self::Attempts(..) => "Attempts",
            Self::TokenEntry(..) => "TokenEntry",
            Self::Token(..) => "Token",
            Self::Rule(..) => "Rule",
            Self::Job(..) => "Job",
            Self::JobShard(..) => "JobShard",
            Self::Chunk(..) => "Chunk",
            Self::JobEntry(..) => "JobEntry",
            Self::OpenJob(..) => "OpenJob",
            Self::RulePortal(..) => "RulePortal",
            Self::DueRule(..) => "DueRule",
            Self::Posting(..) => "Posting",
            Self::RemovedUser(..) => "RemovedUser",
            Self::KnownNetwork(..) => "KnownNetwork",
            Self::UserAttempts(..) => "UserAttempts",
            Self::OpenJobsOf(..) => "OpenJobsOf",
            Self::PackedPosting(..) => "PackedPosting",
            Self::DueCompaction(..) => "DueCompaction",
            Self::Move(..) => "Move",
            Self::Removed(..) => "Removed",
            Self::Idempotency(..) => "Idempotency",
            Self::IdempotencyPart(..) => "IdempotencyPart",
        }
    }

    /// The values of the partition key and the sort key.
    pub fn encode(&self) -> (String, String) {
        match self {
            Self::Contact(portal, id) => (contact_pk(portal, *id), "CONTACT".into()),
            Self::ContactTag(portal, id, tag) => (contact_pk(portal, *id), format!("TAG#{tag}")),
            Self::Access(portal, id) => (contact_pk(portal, *id), "ACCESS".into()),
            Self::Move(portal, shard, moment, id) => (moves_pk(portal, *shard, *moment), format!("{moment}#{id}")),
            Self::Removed(portal, id) => (removed_pk(portal, *id), "REMOVED".into()),
            Self::Portal(portal) => (portal.to_string(), "PORTAL".into()),
            Self::Stage(portal, id) => (portal.to_string(), format!("STAGE#{id:010}")),
            Self::Type(portal, id) => (portal.to_string(), format!("TYPE#{id:010}")),
            Self::User(portal, id) => (portal.to_string(), format!("USER#{id}")),
            Self::Tag(portal, tag) => (portal.to_string(), format!("TAG#{tag}")),
            Self::Password(portal, user) => (portal.to_string(), format!("PASSWORD#{user}")),
            Self::RemovedUser(portal, user) => (portal.to_string(), format!("REMOVED#{user}")),
            Self::Address(email, portal) => (address_pk(email), portal.to_string()),
            Self::Attempts(hash) => (attempts_pk(hash), "ATTEMPTS".into()),
            Self::KnownNetwork(hash) => (attempts_pk(hash), "KNOWN".into()),
            Self::UserAttempts(hash) => (attempts_pk(hash), "ALL".into()),
            Self::TokenEntry(portal, hash) => (portal.to_string(), format!("TOKEN#{}", Hex(hash))),
            Self::Token(hash) => (format!("T#{}", Hex(hash)), "TOKEN".into()),
            Self::Rule(portal, name) => (portal.to_string(), format!("RULE#{name}")),
            Self::Job(portal, job) => (jobs_pk(portal), format!("JOB#{job}")),
            Self::JobShard(portal, job, shard) => (job_pk(portal, job), format!("SHARD#{shard:03}")),
            Self::Chunk(portal, job, shard, number) => (job_pk(portal, job), format!("CHUNK#{shard:03}#{number:010}")),
            Self::JobEntry(portal, user, job) => (jobs_of_pk(portal, user), format!("JOB#{job}")),
            Self::OpenJobsOf(portal, user) => (jobs_of_pk(portal, user), "OPEN".into()),
            Self::OpenJob(portal, job) => (open_pk(open_bucket(job)), format!("{portal}#{job}")),
            Self::RulePortal(portal) => (RULE_PORTALS_PK.into(), portal.to_string()),
            Self::DueRule(due, portal, name) => (DUE_PK.into(), format!("{due}#{portal}#{name}")),
            Self::Posting(portal, manager, hash) => (postings_pk(portal, manager), format!("POST#{}", Hex(hash))),
            Self::PackedPosting(portal, manager, generation, id) => {
                // `~` sorts after `#`.
                (postings_pk(portal, manager), format!("POST~{generation:010}~{id}"))
            }
            Self::DueCompaction(portal, manager) => (COMPACTION_PK.into(), format!("{portal}#{manager}")),
            Self::Idempotency(portal, author, key) => (key_pk(portal, author, key), "IDEMPOTENCY".into()),
            Self::IdempotencyPart(portal, author, key, holder, number) => {
                (key_pk(portal, author, key), format!("ANSWER#{holder}#{number:03}"))
            }
        }
    }

    /// The key that was encoded to these values.
    pub fn decode(pk: &str, sk: &str) -> Option<Self> {
        if let Some(hash) = pk.strip_prefix("T#") {
            return (sk == "TOKEN").then(|| hash_from_hex(hash)).flatten().map(Self::Token);
        }
        if let Some(hash) = pk.strip_prefix("A#") {
            let hash = hash_from_hex(hash)?;
            return match sk {
                "ATTEMPTS" => Some(Self::Attempts(hash)),
                "KNOWN" => Some(Self::KnownNetwork(hash)),
                "ALL" => Some(Self::UserAttempts(hash)),
                _ => None,
            };
        }
        if let Some(email) = pk.strip_prefix("E#") {
            return Some(Self::Address(Email::stored(email), PortalId::stored(sk)));
        }
        if let Some(bucket) = pk.strip_prefix("O#") {
            let (portal, job) = sk.split_once('#')?;
            let key = Self::OpenJob(PortalId::stored(portal), job.parse().ok()?);
            return (key.encode().0 == pk && bucket.len() == 1).then_some(key);
        }
        if pk == RULE_PORTALS_PK {
            return Some(Self::RulePortal(PortalId::stored(sk)));
        }
        if pk == DUE_PK {
            let mut parts = sk.splitn(3, '#');
            let (due, portal, name) = (parts.next()?, parts.next()?, parts.next()?);
            return Some(Self::DueRule(due.parse().ok()?, PortalId::stored(portal), RuleName::stored(name)));
        }
        if pk == COMPACTION_PK {
            let (portal, manager) = sk.split_once('#')?;
            return Some(Self::DueCompaction(portal.parse().ok()?, manager.parse().ok()?));
        }
        let (portal, rest) = match pk.split_once('#') {
            Some((portal, rest)) => (PortalId::stored(portal), Some(rest)),
            None => (PortalId::stored(pk), None),
        };
        match rest.map(|rest| rest.split_once('#')) {
            None => Self::decode_directory(portal, sk),
            Some(None) if rest == Some("L") => {
                let job = sk.strip_prefix("JOB#")?;
                Some(Self::Job(portal, job.parse().ok()?))
            }
            Some(Some(("C", id))) => {
                let id: ContactId = number(id)?.try_into().ok()?;
                match sk.split_once('#') {
                    None if sk == "CONTACT" => Some(Self::Contact(portal, id)),
                    None if sk == "ACCESS" => Some(Self::Access(portal, id)),
                    Some(("TAG", tag)) => Some(Self::ContactTag(portal, id, tag.into())),
                    _ => None,
                }
            }
            Some(Some(("V", rest))) => {
                let (shard, _) = rest.split_once('#')?;
                let (moment, id) = sk.split_once('#')?;
                let key = Self::Move(portal, shard.parse().ok()?, moment.parse().ok()?, Uuid::try_parse(id).ok()?);
                (key.encode().0 == pk).then_some(key)
            }
            Some(Some(("X", id))) => {
                (sk == "REMOVED").then(|| Some(Self::Removed(portal, number(id)?.try_into().ok()?))).flatten()
            }
            Some(Some(("J", job))) => {
                let job = job.parse().ok()?;
                let mut parts = sk.split('#');
                match (parts.next()?, parts.next(), parts.next()) {
                    ("SHARD", Some(shard), None) => Some(Self::JobShard(portal, job, shard.parse().ok()?)),
                    ("CHUNK", Some(shard), Some(chunk)) => {
                        Some(Self::Chunk(portal, job, shard.parse().ok()?, chunk.parse().ok()?))
                    }
                    _ => None,
                }
            }
            Some(Some(("L", user))) if sk == "OPEN" => Some(Self::OpenJobsOf(portal, user.parse().ok()?)),
            Some(Some(("L", user))) => {
                let job = sk.strip_prefix("JOB#")?;
                Some(Self::JobEntry(portal, user.parse().ok()?, job.parse().ok()?))
            }
            Some(Some(("M", manager))) => {
                let manager = manager.parse().ok()?;
                if let Some(hash) = sk.strip_prefix("POST#") {
                    return Some(Self::Posting(portal, manager, hash_from_hex(hash)?));
                }
                let (generation, id) = sk.strip_prefix("POST~")?.split_once('~')?;
                let generation = u32::try_from(number(generation)?).ok()?;
                Some(Self::PackedPosting(portal, manager, generation, Uuid::try_parse(id).ok()?))
            }
            Some(Some(("K", rest))) => {
                let (author, key) = rest.split_once('#')?;
                let (author, key) = (author.parse().ok()?, key.to_owned());
                if sk == "IDEMPOTENCY" {
                    return Some(Self::Idempotency(portal, author, key));
                }
                let (holder, number) = sk.strip_prefix("ANSWER#")?.split_once('#')?;
                Some(Self::IdempotencyPart(portal, author, key, Uuid::try_parse(holder).ok()?, number.parse().ok()?))
            }
            _ => None,
        }
    }

    fn decode_directory(portal: PortalId, sk: &str) -> Option<Self> {
        if sk == "PORTAL" {
            return Some(Self::Portal(portal));
        }
        match sk.split_once('#')? {
            ("STAGE", id) => Some(Self::Stage(portal, i32::try_from(number(id)?).ok()?)),
            ("TYPE", id) => Some(Self::Type(portal, i32::try_from(number(id)?).ok()?)),
            ("USER", id) => Some(Self::User(portal, id.parse().ok()?)),
            ("PASSWORD", id) => Some(Self::Password(portal, id.parse().ok()?)),
            ("REMOVED", id) => Some(Self::RemovedUser(portal, id.parse().ok()?)),
            ("TAG", tag) => Some(Self::Tag(portal, tag.into())),
            ("RULE", name) => Some(Self::Rule(portal, RuleName::stored(name))),
            ("TOKEN", hash) => Some(Self::TokenEntry(portal, hash_from_hex(hash)?)),
            _ => None,
        }
    }
}

fn number(digits: &str) -> Option<i64> {
    (digits.len() == 10).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
