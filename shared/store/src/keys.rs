//! The design of all keys. No other file writes or reads a key, a key prefix or an index name.
//!
//! | item | pk | sk |
//! | --- | --- | --- |
//! | contact | `portal#C#0000001234` | `CONTACT` |
//! | tag of a contact | `portal#C#0000001234` | `TAG#vip` |
//! | access record | `portal#C#0000001234` | `ACCESS` |
//! | journal entry: contacts that an import moves | `portal#V#` shard `#` hour | `2026-11-21T02:00:00.0000000Z#uuid` |
//! | recently removed contact | `portal#X#0000001234` | `REMOVED` |
//! | portal | `portal` | `PORTAL` |
//! | stage, type | `portal` | `STAGE#0000000003`, `TYPE#0000000003` |
//! | user, tag | `portal` | `USER#uuid`, `TAG#vip` |
//! | hash of a user's password | `portal` | `PASSWORD#uuid` |
//! | identifier of a removed user | `portal` | `REMOVED#uuid` |
//! | token in the portal's list | `portal` | `TOKEN#` SHA-256 |
//! | token | `T#` SHA-256 | `TOKEN` |
//! | one-time code that signs in | `T#` SHA-256 | `CODE` |
//! | user of an e-mail address, in a portal | `E#mike@example.com` | `portal` |
//! | sign-in attempts by network and user name | `A#` SHA-256 of network and user name | `ATTEMPTS` |
//! | network that a user signed in from | `A#` SHA-256 of network and user name | `KNOWN` |
//! | sign-in attempts by user name, all networks | `A#` SHA-256 of user name and window | `ALL` |
//! | standing rule | `portal` | `RULE#nightly` |
//! | job | `portal#L` | `JOB#uuid` |
//! | job in its user's list | `portal#L#uuid` | `JOB#uuid` |
//! | open jobs of a user | `portal#L#uuid` | `OPEN` |
//! | previews of a user | `portal#L#uuid` | `PREVIEWS` |
//! | counter of a day, of a portal or a user | `portal#D`, `portal#D#uuid` | `DAY#2026-11-21#07` |
//! | latest snapshot | `portal` | `SNAPSHOT` |
//! | progress and lease of a shard of a job | `portal#J#uuid` | `SHARD#003` |
//! | chunk of a job | `portal#J#uuid` | `CHUNK#003#0000000007` |
//! | effect of the changes of a preview's shard | `portal#J#uuid` | `EFFECT#003` |
//! | open job | `O#5` | `portal#uuid` |
//! | portal that has standing rules | `W#` | `portal` |
//! | standing rule by due time | `R#` | `2026-11-21T02:00:00.0000000Z#portal#nightly` |
//! | posting: contacts assigned to a manager | `portal#M#uuid` | `POST#` first half of the contents' SHA-256 |
//! | posting written by a compaction | `portal#M#uuid` | `POST~0000000007~uuid` |
//! | manager whose postings need compaction | `P#` | `portal#uuid` |
//! | version of the schema | `S#` | `SCHEMA` |
//! | idempotency key of a user, or of the operator | `portal#K#uuid#key`, `portal#K#operator#key` | `IDEMPOTENCY` |
//! | further part of the answer stored with a key | `portal#K#uuid#key`, `portal#K#operator#key` | `ANSWER#uuid#003` |
//!
//! A portal's identifier and an e-mail address hold no `#`. A part that may hold any character (a tag) always comes
//! last. So every key decodes to its parts. Numbers have a fixed width, so that their texts sort like the numbers.
//! Names and identifiers are validated on input; stored values are decoded without validation.

mod hash;
mod index;
mod range;

use std::fmt;

use jiff::civil::Date;
use models::access::Author;
use models::rule::RuleName;
use models::sign_in::Email;
use models::values::id::{ContactId, JobId, PortalId, UserId};
use models::values::timestamp::Timestamp;
use uuid::Uuid;

pub(crate) use hash::Hex;
pub use hash::hash_from_hex;
pub use index::{Index, IndexPosition, Partition};
pub use range::Range;

/// Name of the table's partition key.
pub const PK: &str = "pk";

/// Name of the table's sort key.
pub const SK: &str = "sk";

/// Number of the counter of a day that counts the changes by single calls.
pub const SINGLE_CHANGES: u8 = 99;

/// Name of the attribute for DynamoDB's time to live.
pub const EXPIRES: &str = "expires";

/// SHA-256 of a token or of a one-time code.
pub type TokenHash = [u8; 32];

/// SHA-256 that identifies sign-in attempts: of a network and a user name, or of a user name and a time window.
pub type AttemptsHash = [u8; 32];

/// The first half of the SHA-256 of a posting's contents.
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
    /// An entry in the journal of moves: contacts of one shard that an import was about to move at that time.
    Move(PortalId, u16, Timestamp, Uuid),
    /// A recently removed contact. Adding the contact again leaves this item in place.
    Removed(PortalId, ContactId),
    /// A portal.
    Portal(PortalId),
    /// A stage of the directory; stage 0 counts the contacts without a stage.
    Stage(PortalId, i32),
    /// A type of the directory.
    Type(PortalId, i32),
    /// A user of the directory.
    User(PortalId, UserId),
    /// A folded tag of the directory.
    Tag(PortalId, String),
    /// The hash of a user's password. The hash has its own item, so that other reads of the user do not load it.
    Password(PortalId, UserId),
    /// The identifier of a removed user. No other user gets this identifier.
    RemovedUser(PortalId, UserId),
    /// The user of an e-mail address in a portal. The user's own item decides whether the address is still valid.
    Address(Email, PortalId),
    /// The recent attempts to sign in as a user from one network.
    Attempts(AttemptsHash),
    /// A network that a user recently signed in from.
    KnownNetwork(AttemptsHash),
    /// The attempts to sign in as a user from all unknown networks, within a time window.
    UserAttempts(AttemptsHash),
    /// A token in the portal's list of tokens.
    TokenEntry(PortalId, TokenHash),
    /// A token.
    Token(TokenHash),
    /// A one-time code that signs in.
    SignInCode(TokenHash),
    /// A standing rule.
    Rule(PortalId, RuleName),
    /// A job. All jobs of a portal are in one partition, newest last, because their identifiers sort by time.
    Job(PortalId, JobId),
    /// The progress and the lease of a shard of a job.
    JobShard(PortalId, JobId, u16),
    /// A chunk of a shard of a job.
    Chunk(PortalId, JobId, u16, u32),
    /// The effect on users of the changes in a shard of a preview.
    JobEffect(PortalId, JobId, u16),
    /// A job in the list of the user on whose behalf the job ran.
    JobEntry(PortalId, UserId, JobId),
    /// The unfinished jobs of a user.
    OpenJobsOf(PortalId, UserId),
    /// The previews of a user.
    PreviewsOf(PortalId, UserId),
    /// A counter of the contacts that jobs changed on a day: of all jobs of a portal, or of the jobs of a user. A day
    /// has several counters, and the counter [`SINGLE_CHANGES`] for changes by single calls.
    DayCounter(PortalId, Option<UserId>, Date, u8),
    /// The latest snapshot of a portal.
    Snapshot(PortalId),
    /// A job that is unfinished, or whose event is not published on the event bus yet.
    OpenJob(PortalId, JobId),
    /// A portal that has standing rules.
    RulePortal(PortalId),
    /// A standing rule, by its due time.
    DueRule(Timestamp, PortalId, RuleName),
    /// A posting: contacts assigned to a manager. Its key is a hash of its contents, so the contents never change.
    Posting(PortalId, UserId, PostingHash),
    /// A posting written by a compaction, with its generation and its own identifier. The key sorts after the keys of
    /// the manager's other postings and after those of earlier generations.
    PackedPosting(PortalId, UserId, u32, Uuid),
    /// A manager whose postings need compaction.
    DueCompaction(PortalId, UserId),
    /// The version of the stored form of all items.
    Schema,
    /// An idempotency key of an author.
    Idempotency(PortalId, Author, String),
    /// A further part of the answer that a reservation of an idempotency key stored.
    IdempotencyPart(PortalId, Author, String, Uuid, u16),
}

/// Number of partitions for the open jobs of all portals. The random part of a job's identifier selects the partition.
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

const SCHEMA_PK: &str = "S#";

const SCHEMA_SK: &str = "SCHEMA";

const SNAPSHOT_SK: &str = "SNAPSHOT";

fn contact_pk(portal: &PortalId, id: ContactId) -> String {
    format!("{portal}#C#{:010}", id.get())
}

fn attempts_pk(hash: &AttemptsHash) -> String {
    format!("A#{}", Hex(hash))
}

/// Length in bytes of a timestamp's text up to the hour: `2026-11-21T02`.
const HOUR_BYTES: usize = "2026-11-21T02".len();

fn moves_pk(portal: &PortalId, shard: u16, at: Timestamp) -> String {
    let text = at.to_string();
    format!("{portal}#V#{shard:02}#{}", text.get(..HOUR_BYTES).unwrap_or_default())
}

/// Returns the lowest sort key of journal entries written at `at` or later.
pub fn moves_from(at: Timestamp) -> String {
    at.to_string()
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

fn days_pk(portal: &PortalId, user: Option<&UserId>) -> String {
    match user {
        Some(user) => format!("{portal}#D#{user}"),
        None => format!("{portal}#D"),
    }
}

/// Returns the lowest sort key of counters of `day` or later.
pub fn days_from(day: Date) -> String {
    format!("DAY#{day}")
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

/// Shows only the kind of a key, because keys hold tags, addresses and names, which must not be logged.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Key {
    /// Returns the kind of item.
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
            Self::SignInCode(..) => "SignInCode",
            Self::Rule(..) => "Rule",
            Self::Job(..) => "Job",
            Self::JobShard(..) => "JobShard",
            Self::Chunk(..) => "Chunk",
            Self::JobEffect(..) => "JobEffect",
            Self::JobEntry(..) => "JobEntry",
            Self::OpenJob(..) => "OpenJob",
            Self::RulePortal(..) => "RulePortal",
            Self::DueRule(..) => "DueRule",
            Self::Posting(..) => "Posting",
            Self::RemovedUser(..) => "RemovedUser",
            Self::KnownNetwork(..) => "KnownNetwork",
            Self::UserAttempts(..) => "UserAttempts",
            Self::OpenJobsOf(..) => "OpenJobsOf",
            Self::PreviewsOf(..) => "PreviewsOf",
            Self::DayCounter(..) => "DayCounter",
            Self::Snapshot(..) => "Snapshot",
            Self::PackedPosting(..) => "PackedPosting",
            Self::DueCompaction(..) => "DueCompaction",
            Self::Move(..) => "Move",
            Self::Removed(..) => "Removed",
            Self::Schema => "Schema",
            Self::Idempotency(..) => "Idempotency",
            Self::IdempotencyPart(..) => "IdempotencyPart",
        }
    }

    /// Returns the values of the partition key and the sort key.
    pub fn encode(&self) -> (String, String) {
        match self {
            Self::Contact(portal, id) => (contact_pk(portal, *id), "CONTACT".into()),
            Self::ContactTag(portal, id, tag) => (contact_pk(portal, *id), format!("TAG#{tag}")),
            Self::Access(portal, id) => (contact_pk(portal, *id), "ACCESS".into()),
            Self::Move(portal, shard, at, id) => (moves_pk(portal, *shard, *at), format!("{at}#{id}")),
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
            Self::SignInCode(hash) => (format!("T#{}", Hex(hash)), "CODE".into()),
            Self::Rule(portal, name) => (portal.to_string(), format!("RULE#{name}")),
            Self::Job(portal, job) => (jobs_pk(portal), format!("JOB#{job}")),
            Self::JobShard(portal, job, shard) => (job_pk(portal, job), format!("SHARD#{shard:03}")),
            Self::Chunk(portal, job, shard, number) => (job_pk(portal, job), format!("CHUNK#{shard:03}#{number:010}")),
            Self::JobEffect(portal, job, shard) => (job_pk(portal, job), format!("EFFECT#{shard:03}")),
            Self::JobEntry(portal, user, job) => (jobs_of_pk(portal, user), format!("JOB#{job}")),
            Self::OpenJobsOf(portal, user) => (jobs_of_pk(portal, user), "OPEN".into()),
            Self::PreviewsOf(portal, user) => (jobs_of_pk(portal, user), "PREVIEWS".into()),
            Self::DayCounter(portal, user, day, number) => {
                (days_pk(portal, user.as_ref()), format!("DAY#{day}#{number:02}"))
            }
            Self::Snapshot(portal) => (portal.to_string(), SNAPSHOT_SK.into()),
            Self::OpenJob(portal, job) => (open_pk(open_bucket(job)), format!("{portal}#{job}")),
            Self::RulePortal(portal) => (RULE_PORTALS_PK.into(), portal.to_string()),
            Self::DueRule(due, portal, name) => (DUE_PK.into(), format!("{due}#{portal}#{name}")),
            Self::Posting(portal, manager, hash) => (postings_pk(portal, manager), format!("POST#{}", Hex(hash))),
            Self::PackedPosting(portal, manager, generation, id) => {
                // `~` sorts after `#`.
                (postings_pk(portal, manager), format!("POST~{generation:010}~{id}"))
            }
            Self::DueCompaction(portal, manager) => (COMPACTION_PK.into(), format!("{portal}#{manager}")),
            Self::Schema => (SCHEMA_PK.into(), SCHEMA_SK.into()),
            Self::Idempotency(portal, author, key) => (key_pk(portal, author, key), "IDEMPOTENCY".into()),
            Self::IdempotencyPart(portal, author, key, holder, number) => {
                (key_pk(portal, author, key), format!("ANSWER#{holder}#{number:03}"))
            }
        }
    }

    /// Decodes a key from the values of its partition key and sort key.
    pub fn decode(pk: &str, sk: &str) -> Option<Self> {
        if let Some(hash) = pk.strip_prefix("T#") {
            let hash = hash_from_hex(hash)?;
            return match sk {
                "TOKEN" => Some(Self::Token(hash)),
                "CODE" => Some(Self::SignInCode(hash)),
                _ => None,
            };
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
        if pk == SCHEMA_PK {
            return (sk == SCHEMA_SK).then_some(Self::Schema);
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
            Some(None) if rest == Some("D") => Self::decode_day(portal, None, sk),
            Some(Some(("D", user))) => Self::decode_day(portal, Some(user.parse().ok()?), sk),
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
                let (at, id) = sk.split_once('#')?;
                let key = Self::Move(portal, shard.parse().ok()?, at.parse().ok()?, Uuid::try_parse(id).ok()?);
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
                    ("EFFECT", Some(shard), None) => Some(Self::JobEffect(portal, job, shard.parse().ok()?)),
                    ("CHUNK", Some(shard), Some(chunk)) => {
                        Some(Self::Chunk(portal, job, shard.parse().ok()?, chunk.parse().ok()?))
                    }
                    _ => None,
                }
            }
            Some(Some(("L", user))) => {
                let user = user.parse().ok()?;
                match sk {
                    "OPEN" => Some(Self::OpenJobsOf(portal, user)),
                    "PREVIEWS" => Some(Self::PreviewsOf(portal, user)),
                    job => Some(Self::JobEntry(portal, user, job.strip_prefix("JOB#")?.parse().ok()?)),
                }
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

    fn decode_day(portal: PortalId, user: Option<UserId>, sk: &str) -> Option<Self> {
        let (day, number) = sk.strip_prefix("DAY#")?.split_once('#')?;
        Some(Self::DayCounter(portal, user, day.parse().ok()?, number.parse().ok()?))
    }

    fn decode_directory(portal: PortalId, sk: &str) -> Option<Self> {
        match sk {
            "PORTAL" => return Some(Self::Portal(portal)),
            SNAPSHOT_SK => return Some(Self::Snapshot(portal)),
            _ => {}
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

/// Returns the form of a key: the parts that name the kind of an item, and `*` for all other parts. The form holds no
/// values, because keys hold tags, addresses and names. The key need not be decodable.
///
/// The names of kinds are upper-case, and portals are not. A kind stands in the first two parts of a partition key and
/// in the first part of a sort key.
pub(crate) fn key_form(pk: &str, sk: &str) -> String {
    let form = |key: &str, names: usize| {
        let parts = key.split(['#', '~']).enumerate().map(|(position, part)| {
            let is_name = position < names && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_uppercase());
            if is_name { part } else { "*" }
        });
        parts.collect::<Vec<_>>().join("#")
    };
    format!("{PK} {}, {SK} {}", form(pk, 2), form(sk, 1))
}

fn number(digits: &str) -> Option<i64> {
    (digits.len() == 10).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
