//! Loading a portal: users, stages, types, tokens and contacts, line by line.
//!
//! A contact's items are written in an order that makes an interrupted load safe to repeat: first what its managers are
//! posted, then the journal entry of a contact that moves, then its tags and its access, last the contact itself, by
//! which the next load sees that it was loaded. The counters of tags and stages follow at the end; a mark on the portal
//! says that they are owed, and the next load then counts anew.

mod contacts;
mod counters;
mod journal;
mod users;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use jiff::tz::TimeZone;
use models::access::Access;
use models::contact::{ContactRecord, ListItem};
use models::directory::{Grant, Portal, User};
use models::import::{Line, PortalLine, TokenLine};
use models::job::JobId;
use models::sign_in::Email;
use models::sign_in::password::PasswordHash;
use models::values::id::{ContactId, PortalId, UserId};

use crate::Clock;
use crate::contacts::contact_item;
use crate::directory::{TIME_ZONE, TYPES_COUNTED, portal_item};
use crate::dynamodb::batch::Write;
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, s};
use crate::error::StoreError;
use crate::keys::{Key, Range, TokenHash};
use crate::tokens::{grant, hash, token_writes};
use contacts::{CONTACTS_AT_ONCE, Pending};
use counters::{Counter, OWED};
use users::{HeldUser, Member, owners};

/// Bytes of a contact's item. DynamoDB takes 400 KB; what is left is for what the estimate does not see.
const MAX_CONTACT_BYTES: usize = 380 * 1024;

/// How a load goes about it.
#[derive(Clone)]
pub struct Options {
    /// Whether a line's access replaces that of a contact which is there already.
    pub overwrite_access: bool,
    /// The revision of the access records that are written.
    pub revision: JobId,
    /// Tells the time.
    pub clock: Clock,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { overwrite_access, revision, clock: _ } = self;
        f.debug_struct("Options")
            .field("overwrite_access", overwrite_access)
            .field("revision", revision)
            .finish_non_exhaustive()
    }
}

/// Why a line was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The line cannot be loaded; the text says why and what to do.
    #[error("{0}")]
    Line(String),
    /// An earlier line, which waited for a later one, cannot be loaded.
    #[error("line {number}: {reason}")]
    Late {
        /// The line's number, as [`Importer::at_line`] was told.
        number: u64,
        /// Why, and what to do.
        reason: String,
    },
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a load has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Contacts that were new.
    pub added: u64,
    /// Contacts that replaced others of the same identifier.
    pub replaced: u64,
    /// Contacts that were there already, just so.
    pub unchanged: u64,
    /// Contacts that were removed.
    pub deleted: u64,
    /// Users that were removed.
    pub users_removed: u64,
    /// Users that were to be removed and never were there.
    pub users_unknown: u64,
}

/// The portal that lines are being loaded into.
#[derive(Debug)]
struct Current {
    portal: Portal,
    /// The users, as they are after the lines so far.
    users: HashMap<UserId, Member>,
    /// Identifiers of users that were removed.
    removed: HashSet<UserId>,
    /// The users' passwords, once a line has one.
    passwords: Option<HashMap<UserId, PasswordHash>>,
    /// The grants of the tokens that are there, once a line has a token.
    tokens: Option<HashMap<TokenHash, Grant>>,
    /// The users of each e-mail address after the lines so far: one, or more until a later line resolves that.
    owners: HashMap<Email, BTreeSet<UserId>>,
    /// Lines of users that wait, in their order, because an address has two users so far.
    held: Vec<HeldUser>,
    stages: HashSet<i32>,
    types: HashSet<i32>,
    /// What the counters are to be changed by.
    deltas: HashMap<Counter, i64>,
    /// The tags of the lines so far as the first line with the tag spells it, by folded tag.
    titles: HashMap<String, String>,
    /// Whether the mark stands on the portal, put there by this load or by one that did not end.
    marked: bool,
    /// Whether a contact may have been removed of late: the portal is older than this load, or the load removed one.
    had_contacts: bool,
}

/// Loads lines in their order.
///
/// After [`ImportError::Line`] it may go on or finish: what was pushed before is still loaded. After
/// [`ImportError::Store`] it must be dropped, so that the mark stays for the next load.
#[derive(Debug)]
pub struct Importer<'a> {
    store: &'a Store,
    options: Options,
    current: Option<Current>,
    pending: Vec<Pending>,
    pending_ids: HashSet<ContactId>,
    pending_writes: Vec<Write>,
    pending_users: HashMap<UserId, User>,
    /// Number of the line that is pushed.
    number: u64,
    summary: Summary,
}

impl<'a> Importer<'a> {
    /// Loads into the table of `store`.
    pub fn new(store: &'a Store, options: Options) -> Self {
        Self {
            store,
            options,
            current: None,
            pending: Vec::new(),
            pending_ids: HashSet::new(),
            pending_writes: Vec::new(),
            pending_users: HashMap::new(),
            number: 0,
            summary: Summary::default(),
        }
    }

    /// The zone in which a line's dates are meant.
    pub fn time_zone(&self) -> TimeZone {
        self.current.as_ref().map_or(TimeZone::UTC, |current| current.portal.time_zone.clone())
    }

    /// Says which line is pushed next, for errors that a later line reveals.
    pub fn at_line(&mut self, number: u64) {
        self.number = number;
    }

    /// Takes one line. What it says may be written only with the lines after it or by [`Self::finish`].
    pub async fn push(&mut self, line: Line) -> Result<(), ImportError> {
        if let Line::Portal(portal) = line {
            return self.enter(portal).await;
        }
        let Some(current) = &mut self.current else {
            return Err(ImportError::Line(
                "no portal yet: a line such as {\"portal\":{\"Id\":\"acme\"}} comes before all others".into(),
            ));
        };
        let id = current.portal.id.clone();
        match line {
            Line::Portal(_) => {}
            Line::User(user, password) => {
                let ready = current.hold_user(self.number, user, password)?;
                self.load_users(ready).await?;
            }
            Line::DeleteUser(user) => self.remove_user(user).await?,
            Line::Stage(stage) => {
                current.stages.insert(stage.id);
                self.store.name_entry(&Key::Stage(id, stage.id), &stage).await?;
            }
            Line::Type(kind) => {
                current.types.insert(kind.id);
                self.store.name_entry(&Key::Type(id, kind.id), &kind).await?;
            }
            Line::Token(token) => {
                if current.tokens.is_none() {
                    current.tokens = Some(self.store.grants(&id).await?);
                }
                let writes = current.token(token)?;
                for write in writes {
                    self.write(write).await?;
                }
            }
            Line::Contact(record, access) => {
                current.check(&record, &access)?;
                let item = contact_item(&id, current.portal.shards, &record)?;
                let bytes = items::size(&item);
                if bytes > MAX_CONTACT_BYTES {
                    return Err(ImportError::Line(format!(
                        "contact {} takes {bytes} bytes in the table; at most {MAX_CONTACT_BYTES} are taken",
                        record.id
                    )));
                }
                // The same contact twice in one batch would be compared with what neither has written yet.
                if self.pending.len() == CONTACTS_AT_ONCE || self.pending_ids.contains(&record.id) {
                    self.flush_contacts().await?;
                }
                self.pending_ids.insert(record.id);
                self.pending.push(Pending { record: *record, access, item });
            }
            Line::DeleteContact(contact) => {
                self.flush_contacts().await?;
                self.delete(contact).await?;
            }
        }
        Ok(())
    }

    /// Writes what is still to be written. What was pushed is loaded when this has succeeded.
    ///
    /// # Errors
    ///
    /// [`ImportError::Late`] when a user's line still waits for another one; all other lines are loaded then.
    pub async fn finish(mut self) -> Result<Summary, ImportError> {
        self.leave().await?;
        Ok(self.summary)
    }

    async fn enter(&mut self, line: PortalLine) -> Result<(), ImportError> {
        let PortalLine { id, time_zone, shards } = line;
        let says_nothing_new = |Current { portal, .. }: &Current| {
            portal.id == id
                && time_zone.as_ref().is_none_or(|zone| *zone == portal.time_zone)
                && shards.is_none_or(|shards| shards == portal.shards)
        };
        if self.current.as_ref().is_some_and(says_nothing_new) {
            return Ok(());
        }
        self.leave().await?;
        let existing = self.store.get(&Key::Portal(id.clone())).await?;
        let are_owed = existing.as_ref().is_some_and(|item| item.contains_key(OWED));
        let portal = match &existing {
            Some(item) => {
                let before = crate::directory::portal(id.clone(), item)?;
                if let Some(shards) = shards.filter(|shards| *shards != before.shards) {
                    return Err(ImportError::Line(format!(
                        "portal {id} has {} shards, which its contacts are spread over; they cannot become {shards}",
                        before.shards
                    )));
                }
                // Only a zone that the line names is written: the stored one may be one that this version does not know.
                if let Some(name) = time_zone.as_ref().and_then(TimeZone::iana_name)
                    && items::text(item, TIME_ZONE)? != name
                {
                    let names = HashMap::from([("#zone".to_owned(), TIME_ZONE.to_owned())]);
                    let values = HashMap::from([(":zone".to_owned(), s(name))]);
                    self.store.update(&Key::Portal(id.clone()), "SET #zone = :zone", names, values).await?;
                }
                Portal { time_zone: time_zone.unwrap_or(before.time_zone), ..before }
            }
            None => {
                let time_zone = time_zone.unwrap_or(TimeZone::UTC);
                // A portal that this program loads first has every access posted.
                let portal = Portal { id: id.clone(), time_zone, shards: shards.unwrap_or(1), posted: true };
                self.store.put(portal_item(&portal)?).await?;
                portal
            }
        };
        // Versions before this one did not count the contacts of types.
        let lacks_types = existing.as_ref().is_some_and(|item| !item.contains_key(TYPES_COUNTED));
        if are_owed || lacks_types {
            // Count before this load writes anything: the index may show its writes late, and its own deltas follow.
            self.store.recount(&portal).await?;
        }
        if lacks_types {
            let names = HashMap::from([("#counted".to_owned(), TYPES_COUNTED.to_owned())]);
            let values = HashMap::from([(":true".to_owned(), items::s("true"))]);
            self.store.update(&Key::Portal(id.clone()), "SET #counted = :true", names, values).await?;
        }
        let (users, removed, lists) = futures::try_join!(
            self.store.directory_members(&id),
            self.store.removed_users(&id),
            self.store.lists(&id)
        )?;
        self.current = Some(Current {
            portal,
            owners: owners(&users),
            users,
            removed,
            passwords: None,
            tokens: None,
            held: Vec::new(),
            stages: lists.stages.into_keys().collect(),
            types: lists.types.into_keys().collect(),
            deltas: HashMap::new(),
            titles: HashMap::new(),
            marked: are_owed,
            had_contacts: existing.is_some(),
        });
        Ok(())
    }

    async fn write(&mut self, write: Write) -> Result<(), StoreError> {
        self.pending_writes.push(write);
        if self.pending_writes.len() >= CONTACTS_AT_ONCE { self.flush_writes().await } else { Ok(()) }
    }

    async fn flush_writes(&mut self) -> Result<(), StoreError> {
        if let Some(current) = &self.current {
            let users = std::mem::take(&mut self.pending_users);
            self.store.write_users(&current.portal.id, users.into_values()).await?;
        }
        self.store.write_latest(std::mem::take(&mut self.pending_writes)).await
    }

    /// Writes all that is pending of the current portal, its counters last.
    async fn leave(&mut self) -> Result<(), ImportError> {
        self.flush_writes().await?;
        self.flush_contacts().await?;
        let Some(current) = self.current.take() else { return Ok(()) };
        self.settle_counters(&current).await?;
        current.check_addresses()
    }
}

impl Current {
    fn user(&self, what: &str, id: &UserId) -> Result<(), ImportError> {
        if self.users.contains_key(id) {
            return Ok(());
        }
        let portal = &self.portal.id;
        Err(ImportError::Line(format!(
            "{what} {id} is no user of portal {portal}: load the user's line before this one"
        )))
    }

    fn token(&self, line: TokenLine) -> Result<[Write; 2], ImportError> {
        self.user("UserId", &line.user)?;
        let (portal, hash) = (self.portal.id.clone(), hash(&line.token));
        let there = self.tokens.as_ref().and_then(|tokens| tokens.get(&hash)).filter(|there| there.user == line.user);
        let valid_from = match there {
            // Loading a token again does not bring it back once the user's tokens were ended.
            Some(there) => there.valid_from,
            None => self.users.get(&line.user).and_then(|member| member.tokens_valid_from),
        };
        let grant = Grant { portal, user: line.user, scopes: line.scopes, expires: line.expires, valid_from };
        Ok(token_writes(hash, &grant)?)
    }

    /// Refuses references to what the portal does not have: a mistyped manager would lock people out, and a contact in
    /// an unknown stage would be found by no filter. Who created a contact may have left, so that is not looked up.
    fn check(&self, record: &ContactRecord, access: &Access) -> Result<(), ImportError> {
        let portal = &self.portal.id;
        for (what, id, known) in
            [("ContactStatus", record.stage, &self.stages), ("ContactType", record.contact_type, &self.types)]
        {
            if id != 0 && !known.contains(&id) {
                let line = if what == "ContactStatus" { "stage" } else { "type" };
                return Err(ImportError::Line(format!(
                    "{what} {id} is no {line} of portal {portal}: load its line before this one"
                )));
            }
        }
        // Lists keep the users that were removed.
        let mut present = access.managers.iter().filter(|id| !self.removed.contains(id));
        present.try_for_each(|id| self.user("AccessList", id))
    }
}

impl Store {
    /// Writes many items of which several may have one key: the last one counts.
    async fn write_latest(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut latest: HashMap<(String, String), Write> = HashMap::new();
        for write in writes {
            if let Some(key) = write.key() {
                latest.insert(key, write);
            }
        }
        self.write_all(latest.into_values().collect()).await
    }

    /// Gives a directory entry its members and leaves its counter alone: 1 write unit.
    async fn name_entry(&self, key: &Key, item: &ListItem) -> Result<(), StoreError> {
        let names = HashMap::from([("#doc".to_owned(), "doc".to_owned())]);
        let values = HashMap::from([(":doc".to_owned(), items::to_document(item)?)]);
        self.update(key, "SET #doc = :doc", names, values).await
    }

    /// The grants of a portal's tokens: 1 read unit per 4 KB of them.
    async fn grants(&self, portal: &PortalId) -> Result<HashMap<TokenHash, Grant>, StoreError> {
        let mut grants = HashMap::new();
        for mut item in self.query(&Range::Tokens(portal.clone()), true).await? {
            if let Key::TokenEntry(_, hash) = items::key_of(&item)? {
                grants.insert(hash, grant(&mut item)?);
            }
        }
        Ok(grants)
    }
}
