//! Loads a portal: users, stages, types, tokens and contacts, line by line.
//!
//! The order of a contact's writes makes an interrupted load safe to repeat: first the postings of its managers, then
//! the journal entry of a contact that moves, then the tags and the access, last the contact itself, by which the next
//! load recognizes the contact. The counters of stages, types and tags follow at the end. A mark on the portal says
//! that the counters are dirty; the next load then recounts.

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
use models::sign_in::Email;
use models::sign_in::password::PasswordHash;
use models::values::id::{ContactId, PortalId, UserId};

use crate::Clock;
use crate::contacts::contact_item;
use crate::directory::{RECORD, TIME_ZONE, TYPES_COUNTED, portal_item};
use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, s};
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::keys::{Key, Range, TokenHash};
use crate::tokens::{grant, hash};
use contacts::{CONTACTS_AT_ONCE, Pending};
pub(crate) use counters::COUNTERS_DIRTY;
use counters::Counter;
use users::{Member, WaitingUser, owners};

/// Maximum bytes of a contact's item. The margin to DynamoDB's 400 KB covers the error of the estimate.
const MAX_CONTACT_BYTES: usize = 380 * 1024;

/// The options of a load.
#[derive(Clone)]
pub struct Options {
    /// True if a line's access replaces the access of an existing contact.
    pub overwrite_access: bool,
    /// Source of the current time.
    pub clock: Clock,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { overwrite_access, clock: _ } = self;
        f.debug_struct("Options").field("overwrite_access", overwrite_access).finish_non_exhaustive()
    }
}

/// The reason why a line was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The line cannot be loaded; the text gives the reason and the remedy.
    #[error("{0}")]
    Line(String),
    /// An earlier line that waited for a later line cannot be loaded.
    #[error("line {number}: {reason}")]
    Late {
        /// The line's number, as passed to [`Importer::at_line`].
        number: u64,
        /// The reason and the remedy.
        reason: String,
    },
    /// The number of the portal's shards changed since the portal's line, or is about to change. Earlier lines may be
    /// missing.
    #[error("the number of shards of portal {0} is being changed; import again when `crm-access reshard` has ended")]
    Resharding(PortalId),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The counts of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// New contacts.
    pub added: u64,
    /// Existing contacts that changed, or whose access changed.
    pub replaced: u64,
    /// Existing contacts that did not change, nor their access.
    pub unchanged: u64,
    /// Removed contacts.
    pub deleted: u64,
    /// Removed users.
    pub users_removed: u64,
    /// Lines that remove a user who never existed.
    pub users_unknown: u64,
}

/// The portal that the current lines belong to.
#[derive(Debug)]
struct Current {
    portal: Portal,
    /// The users after the lines so far.
    users: HashMap<UserId, Member>,
    /// Identifiers of removed users.
    removed: HashSet<UserId>,
    /// The users' passwords, once a line has a password.
    passwords: Option<HashMap<UserId, PasswordHash>>,
    /// The grants of the stored tokens, once a line has a token.
    tokens: Option<HashMap<TokenHash, Grant>>,
    /// The users of each e-mail address after the lines so far: one, or more until a later line resolves the conflict.
    owners: HashMap<Email, BTreeSet<UserId>>,
    /// Lines of users that wait because an address has two users so far, in order.
    waiting: Vec<WaitingUser>,
    stages: HashSet<i32>,
    types: HashSet<i32>,
    /// Changes to apply to the counters.
    deltas: HashMap<Counter, i64>,
    /// The spelling of each tag in its first line, by folded tag.
    titles: HashMap<String, String>,
    /// True if the portal carries the mark of dirty counters, set by this load or by an unfinished load.
    marked: bool,
    /// True if a contact may have been removed recently: the portal existed before this load, or the load removed a
    /// contact.
    had_contacts: bool,
}

/// Loads lines in order.
///
/// After [`ImportError::Line`] the load may continue or finish: earlier lines are still loaded. After
/// [`ImportError::Store`] and [`ImportError::Resharding`] the importer must be dropped, so that the mark stays for the
/// next load.
#[derive(Debug)]
pub struct Importer<'a> {
    store: &'a Store,
    options: Options,
    current: Option<Current>,
    pending: Vec<Pending>,
    pending_ids: HashSet<ContactId>,
    pending_writes: Vec<Write>,
    pending_users: HashMap<UserId, User>,
    pending_tokens: HashMap<TokenHash, Grant>,
    /// Number of the current line.
    number: u64,
    summary: Summary,
}

impl<'a> Importer<'a> {
    /// Returns an importer into the table of `store`.
    pub fn new(store: &'a Store, options: Options) -> Self {
        Self {
            store,
            options,
            current: None,
            pending: Vec::new(),
            pending_ids: HashSet::new(),
            pending_writes: Vec::new(),
            pending_users: HashMap::new(),
            pending_tokens: HashMap::new(),
            number: 0,
            summary: Summary::default(),
        }
    }

    /// Returns the time zone of the lines' dates.
    pub fn time_zone(&self) -> TimeZone {
        self.current.as_ref().map_or(TimeZone::UTC, |current| current.portal.time_zone.clone())
    }

    /// Sets the number of the next line, for errors that a later line reveals.
    pub fn at_line(&mut self, number: u64) {
        self.number = number;
    }

    /// Accepts a line. The writes of the line may wait for later lines or for [`Self::finish`].
    pub async fn push(&mut self, line: Line) -> Result<(), ImportError> {
        if let Line::Portal(portal) = line {
            return self.enter(portal).await;
        }
        let Some(current) = &mut self.current else {
            return Err(ImportError::Line(
                "no portal yet: the first line must be a portal, such as {\"portal\":{\"Id\":\"acme\"}}".into(),
            ));
        };
        let id = current.portal.id.clone();
        match line {
            Line::Portal(_) => {}
            Line::User(user, password) => {
                let ready = current.add_user_line(self.number, user, password)?;
                self.load_users(ready).await?;
            }
            Line::DeleteUser(user) => self.remove_user(user).await?,
            Line::Stage(stage) => {
                current.stages.insert(stage.id);
                self.store.set_entry(&Key::Stage(id, stage.id), &stage).await?;
            }
            Line::Type(kind) => {
                current.types.insert(kind.id);
                self.store.set_entry(&Key::Type(id, kind.id), &kind).await?;
            }
            Line::Token(token) => {
                if current.tokens.is_none() {
                    current.tokens = Some(self.store.grants(&id).await?);
                }
                let (hash, grant) = current.token(token)?;
                self.pending_tokens.insert(hash, grant);
                if self.pending_tokens.len() >= CONTACTS_AT_ONCE {
                    self.flush_writes().await?;
                }
            }
            Line::Contact(record, access) => {
                current.check(&record, &access)?;
                let item = contact_item(&id, current.portal.shards, &record)?;
                let bytes = items::size(&item);
                if bytes > MAX_CONTACT_BYTES {
                    return Err(ImportError::Line(format!(
                        "contact {} takes {bytes} bytes in the table; at most {MAX_CONTACT_BYTES} are accepted",
                        record.id
                    )));
                }
                // A batch compares its contacts with the table, so it must not hold a contact twice.
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

    /// Writes all pending items. All accepted lines are loaded when this call succeeds.
    ///
    /// # Errors
    ///
    /// [`ImportError::Late`] when a user's line still waits for another line; all other lines are loaded then.
    pub async fn finish(mut self) -> Result<Summary, ImportError> {
        self.leave().await?;
        Ok(self.summary)
    }

    async fn enter(&mut self, line: PortalLine) -> Result<(), ImportError> {
        let PortalLine { id, time_zone, shards } = line;
        let is_unchanged = |Current { portal, .. }: &Current| {
            portal.id == id
                && time_zone.as_ref().is_none_or(|zone| *zone == portal.time_zone)
                && shards.is_none_or(|shards| shards == portal.shards)
        };
        if self.current.as_ref().is_some_and(is_unchanged) {
            return Ok(());
        }
        self.leave().await?;
        let existing = self.store.get(&Key::Portal(id.clone())).await?;
        let are_dirty = existing.as_ref().is_some_and(|item| item.contains_key(COUNTERS_DIRTY));
        let portal = match &existing {
            Some(item) => {
                let before = crate::directory::portal(id.clone(), item)?;
                if before.resharding_to.is_some() {
                    return Err(ImportError::Resharding(id));
                }
                if let Some(shards) = shards.filter(|shards| *shards != before.shards) {
                    return Err(ImportError::Line(format!(
                        "portal {id} has {} shards; an import does not change this number. Leave Shards out, or run \
                         `crm-access reshard --portal {id} --shards {shards}` first",
                        before.shards
                    )));
                }
                // Write only a zone that the line names: this version may not know the stored zone.
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
                // A portal that this program creates has postings for every access.
                let shards = shards.unwrap_or(1);
                let portal = Portal { id: id.clone(), time_zone, shards, resharding_to: None, has_manager_index: true };
                self.store.put(portal_item(&portal)?).await?;
                portal
            }
        };
        // Earlier versions did not count the contacts of types.
        let lacks_types = existing.as_ref().is_some_and(|item| !item.contains_key(TYPES_COUNTED));
        if are_dirty || lacks_types {
            // Recount before this load writes. The index may show the load's writes late, and the load adds its own
            // changes at the end.
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
            waiting: Vec::new(),
            stages: lists.stages.into_keys().collect(),
            types: lists.types.into_keys().collect(),
            deltas: HashMap::new(),
            titles: HashMap::new(),
            marked: are_dirty,
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
        self.store.load_tokens(std::mem::take(&mut self.pending_tokens).into_iter()).await?;
        self.store.write_latest(std::mem::take(&mut self.pending_writes)).await
    }

    /// Writes all pending items of the current portal, its counters last.
    async fn leave(&mut self) -> Result<(), ImportError> {
        self.flush_writes().await?;
        self.flush_contacts().await?;
        let Some(current) = self.current.take() else { return Ok(()) };
        self.apply_counters(&current).await?;
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
            "{what} {id} is not a user of portal {portal}: load the user's line before this line"
        )))
    }

    fn token(&self, line: TokenLine) -> Result<(TokenHash, Grant), ImportError> {
        self.user("UserId", &line.user)?;
        let (portal, hash) = (self.portal.id.clone(), hash(&line.token));
        let stored =
            self.tokens.as_ref().and_then(|tokens| tokens.get(&hash)).filter(|stored| stored.user == line.user);
        let valid_from = match stored {
            // A stored token that is loaded again stays invalid if the user's tokens were ended.
            Some(stored) => stored.valid_from,
            None => self.users.get(&line.user).and_then(|member| member.tokens_valid_from),
        };
        Ok((hash, Grant { portal, user: line.user, scopes: line.scopes, expires: line.expires, valid_from }))
    }

    /// Refuses unknown managers, stages and types: a mistyped manager would lock people out, and no filter would find a
    /// contact in an unknown stage. The creator is not checked, because that user may have left.
    fn check(&self, record: &ContactRecord, access: &Access) -> Result<(), ImportError> {
        let portal = &self.portal.id;
        for (what, id, known) in
            [("ContactStatus", record.stage, &self.stages), ("ContactType", record.contact_type, &self.types)]
        {
            if id != 0 && !known.contains(&id) {
                let line = if what == "ContactStatus" { "stage" } else { "type" };
                return Err(ImportError::Line(format!(
                    "{what} {id} is not a {line} of portal {portal}: load the {line}'s line before this line"
                )));
            }
        }
        // Access lists may name removed users.
        let mut present = access.managers.iter().filter(|id| !self.removed.contains(id));
        present.try_for_each(|id| self.user("AccessList", id))
    }
}

impl Store {
    /// Writes many items. If several items have the same key, the last item wins.
    async fn write_latest(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut latest: HashMap<(String, String), Write> = HashMap::new();
        for write in writes {
            if let Some(key) = write.key() {
                latest.insert(key, write);
            }
        }
        self.write_all(latest.into_values().collect(), Priority::Bulk).await
    }

    /// Sets the members of a directory entry and leaves its counter unchanged: 1 write unit.
    async fn set_entry(&self, key: &Key, item: &ListItem) -> Result<(), StoreError> {
        let names = HashMap::from([("#doc".to_owned(), RECORD.to_owned())]);
        let values = HashMap::from([(":doc".to_owned(), items::to_document(item)?)]);
        self.update(key, "SET #doc = :doc", names, values).await
    }

    /// Reads the grants of a portal's tokens: 1 read unit per 4 KB.
    async fn grants(&self, portal: &PortalId) -> Result<HashMap<TokenHash, Grant>, StoreError> {
        let mut grants = HashMap::new();
        for mut item in self.query(&Range::Tokens(portal.clone()), Consistency::Strong).await? {
            if let Key::TokenEntry(_, hash) = items::key_of(&item)? {
                grants.insert(hash, grant(&mut item)?);
            }
        }
        Ok(grants)
    }
}
