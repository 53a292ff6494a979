//! Loading a portal: users, stages, types, tokens and contacts, line by line.
//!
//! A contact's items are written in an order that makes an interrupted load safe to repeat: first what its managers are
//! posted, then the journal entry of a contact that moves, then its tags and its access, last the contact itself, by
//! which the next load sees that it was loaded. The counters of tags and stages follow at the end; a mark on the portal
//! says that they are owed, and the next load then counts anew.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use futures::stream::{self, TryStreamExt as _};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use models::access::{Access, Author};
use models::contact::{ContactRecord, ListItem};
use models::directory::{Grant, Portal, User};
use models::filter::IndexEntry;
use models::import::{Line, PortalLine, TokenLine};
use models::job::JobId;
use models::limits::{self, IMPORT_AHEAD_MILLIS, IMPORT_WRITE_MILLIS, MOVE_WRITE_MILLIS};
use models::sign_in::Email;
use models::sign_in::password::PasswordHash;
use models::values::fold::fold_tag;
use models::values::id::{ContactId, PortalId, UserId};
use models::values::moment::Moment;
use tokio::time::timeout;

use crate::Clock;
use crate::batch::{IN_FLIGHT, WRITE_BATCH, Write};
use crate::client::Store;
use crate::contacts::{AccessRecord, contact_item, tag_items};
use crate::directory::{EMAIL, TAG_TITLE, TIME_ZONE, TYPES_COUNTED, email, portal_item, tokens_valid_from, user_item};
use crate::error::StoreError;
use crate::items::{self, Item, s};
use crate::keys::{Key, Partition, Range, TokenHash};
use crate::moves::Moves;
use crate::postings::Postings;
use crate::sign_in::{address_item, password_hash, password_item};
use crate::tokens::{grant, hash, token_writes};

/// Contacts that are compared and written together.
const CONTACTS_AT_ONCE: usize = 500;
/// Users that are written at once, each by a call of its own.
const USERS_IN_FLIGHT: usize = 16;
/// Bytes of a contact's item. DynamoDB takes 400 KB; what is left is for what the estimate does not see.
const MAX_CONTACT_BYTES: usize = 380 * 1024;

/// How long after its postings a batch of contacts may be written.
const POSTING_GOOD_FOR: SignedDuration = limits::duration(IMPORT_WRITE_MILLIS);

/// Items of contacts that move which are written together: those under way at once.
const MOVES_AT_ONCE: usize = IN_FLIGHT * WRITE_BATCH;
/// Journal entries that are made for the same writes at most.
const JOURNAL_ATTEMPTS: u32 = 5;
/// For how long after its journal entry a move may be written.
const MOVE_WRITE: Duration = Duration::from_millis(MOVE_WRITE_MILLIS);

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

/// What is counted in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counter {
    Stage(i32),
    Type(i32),
    Tag(String),
}

impl Counter {
    fn of(record: &ContactRecord) -> impl Iterator<Item = Self> + '_ {
        let contact_type = (record.contact_type != 0).then_some(Self::Type(record.contact_type));
        let tags = record.tags.iter().map(|tag| Self::Tag(fold_tag(tag)));
        std::iter::once(Self::Stage(record.stage)).chain(contact_type).chain(tags)
    }

    fn key(&self, portal: &PortalId) -> Key {
        match self {
            Self::Stage(id) => Key::Stage(portal.clone(), *id),
            Self::Type(id) => Key::Type(portal.clone(), *id),
            Self::Tag(tag) => Key::Tag(portal.clone(), tag.clone()),
        }
    }
}

/// A user, as far as later lines depend on it.
#[derive(Debug, Default)]
struct Member {
    email: Option<Email>,
    tokens_valid_from: Option<Moment>,
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

/// Writes what moves contacts, under journal entries.
#[derive(Debug)]
struct Journal<'a> {
    store: &'a Store,
    options: &'a Options,
    portal: &'a Portal,
    moves: &'a Moves,
    /// When the last entry was made, if there is one.
    at: Option<Moment>,
}

impl Journal<'_> {
    /// How long the last entry still allows writes to be sent.
    fn left(&self) -> Option<Duration> {
        let end = self.at? + limits::duration(MOVE_WRITE_MILLIS);
        let left = Duration::try_from(end.since((self.options.clock)())).ok()?;
        // A clock that is set back makes no entry last longer.
        Some(left.min(MOVE_WRITE)).filter(|left| !left.is_zero())
    }

    /// Makes many writes, in no order. No write is sent under an entry that is too old: a run that starts later would not
    /// read the entry.
    async fn write_all(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        if self.moves.is_empty() {
            return self.store.write_all(writes).await;
        }
        for together in writes.chunks(MOVES_AT_ONCE) {
            self.write_together(together).await?;
        }
        Ok(())
    }

    async fn write_together(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        for _ in 0..JOURNAL_ATTEMPTS {
            if self.left().is_none() {
                let at = (self.options.clock)();
                self.store.write_journal(self.portal, self.moves, self.options.revision, at).await?;
                self.at = Some(at);
            }
            // None: the entry itself took too long.
            let Some(left) = self.left() else { continue };
            // Writes that are cut off may have been made. They are made again, which changes nothing.
            if let Ok(written) = timeout(left, self.store.write_all(writes.to_vec())).await {
                return written;
            }
        }
        Err(StoreError::Throttled { operation: "BatchWriteItem", source: None })
    }
}

/// A user's line that is not written yet.
#[derive(Debug)]
struct HeldUser {
    /// The line's number, where the caller counts lines.
    number: u64,
    user: User,
    password: Option<PasswordHash>,
    /// The address that the user had before the line.
    before: Option<Email>,
}

/// A contact that is to be loaded, with its item made.
#[derive(Debug)]
struct Pending {
    record: ContactRecord,
    access: Access,
    item: Item,
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

    /// Loads users whose lines need not wait. Another password than a user has so far ends the user's tokens.
    async fn load_users(&mut self, users: Vec<HeldUser>) -> Result<(), StoreError> {
        for held in users {
            self.load_user(held).await?;
        }
        Ok(())
    }

    async fn load_user(&mut self, held: HeldUser) -> Result<(), StoreError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let (portal, id, password) = (current.portal.id.clone(), held.user.employee.id, held.password.clone());
        if password.is_some() && current.passwords.is_none() {
            current.passwords = Some(self.store.passwords(&portal).await?);
        }
        let before = match (&password, &mut current.passwords) {
            (Some(hash), Some(passwords)) => passwords.insert(id, hash.clone()),
            _ => None,
        };
        let writes = current.address_writes(&held);
        self.pending_users.insert(id, held.user);
        for write in writes {
            self.write(write).await?;
        }
        if self.pending_users.len() >= CONTACTS_AT_ONCE {
            self.flush_writes().await?;
        }
        match (password, before) {
            (Some(hash), Some(before)) if hash != before => {
                // What is pending may hold the user and the password before this one.
                self.flush_writes().await?;
                let from = self.store.set_password(&portal, id, &hash, (self.options.clock)()).await?;
                if let Some(member) = self.current.as_mut().and_then(|current| current.users.get_mut(&id)) {
                    member.tokens_valid_from = from;
                }
                Ok(())
            }
            (Some(hash), None) => self.write(Write::put(password_item(&portal, id, &hash))).await,
            _ => Ok(()),
        }
    }

    /// Removes a user. A removal is repeated safely; a user that never was there is counted apart, because somebody else may
    /// be meant.
    async fn remove_user(&mut self, id: UserId) -> Result<(), StoreError> {
        // What is pending may be the user's.
        self.flush_writes().await?;
        let Some(current) = &mut self.current else { return Ok(()) };
        if !current.removed.contains(&id) && !current.users.contains_key(&id) {
            self.summary.users_unknown += 1;
            return Ok(());
        }
        self.store.remove_user(&current.portal.id, id).await?;
        if current.forget_user(id) {
            self.summary.users_removed += 1;
        }
        // The user's address may be what others wait for.
        let ready = current.ready_users();
        self.load_users(ready).await
    }

    async fn flush_writes(&mut self) -> Result<(), StoreError> {
        if let Some(current) = &self.current {
            let users = std::mem::take(&mut self.pending_users);
            self.store.write_users(&current.portal.id, users.into_values()).await?;
        }
        self.store.write_latest(std::mem::take(&mut self.pending_writes)).await
    }

    async fn mark(&mut self) -> Result<(), StoreError> {
        if let Some(current) = &mut self.current
            && !current.marked
        {
            let key = Key::Portal(current.portal.id.clone());
            let names = HashMap::from([("#owed".to_owned(), OWED.to_owned())]);
            self.store
                .update(&key, "SET #owed = :true", names, HashMap::from([(":true".to_owned(), s("true"))]))
                .await?;
            current.marked = true;
        }
        Ok(())
    }

    async fn flush_contacts(&mut self) -> Result<(), StoreError> {
        self.pending_ids.clear();
        let pending = std::mem::take(&mut self.pending);
        let Some(current) = &self.current else { return Ok(()) };
        if pending.is_empty() {
            return Ok(());
        }
        let portal = current.portal.clone();
        let ids: Vec<ContactId> = pending.iter().map(|contact| contact.record.id).collect();
        let mut loaded = self.store.load(&portal.id, &ids, []).await?;
        let removed = match current.had_contacts {
            true => {
                let missing = ids.iter().filter(|id| !loaded.contacts.contains_key(id));
                self.store.removed_of_late(&portal.id, &missing.copied().collect::<Vec<_>>()).await?
            }
            false => HashSet::new(),
        };

        let now = (self.options.clock)();
        let mut moves = Moves::default();
        let mut first = Vec::new();
        let mut last = Vec::new();
        let mut postings = Postings::default();
        let mut deltas: HashMap<Counter, i64> = HashMap::new();
        let mut titles = HashMap::new();
        for Pending { record, access, item } in pending {
            let before = loaded.contacts.remove(&record.id);
            let keeps_access = match &before {
                Some((_, state)) => !self.options.overwrite_access || state.access == access,
                None => access == Access::UNRECORDED,
            };
            if keeps_access && loaded.orphans.contains(&record.id) {
                // Left by someone who set the access of an earlier contact of this number while it was removed.
                first.push(Write::delete(&Key::Access(portal.id.clone(), record.id)));
            }
            if !keeps_access {
                let written = AccessRecord {
                    access: &access,
                    revision: self.options.revision,
                    set_by: Author::Operator,
                    set_at: now,
                };
                first.push(written.write(&portal.id, record.id));
                postings.add_all(record.id, &access);
            }
            match before {
                Some((before, _)) if before == record => {
                    self.summary.unchanged += 1;
                    continue;
                }
                Some((before, _)) => {
                    self.summary.replaced += 1;
                    if IndexEntry::from(&before) != IndexEntry::from(&record) {
                        moves.moved.push(record.id);
                    }
                    let kept: HashSet<String> = record.tags.iter().map(|tag| fold_tag(tag)).collect();
                    let lost = before.tags.iter().map(|tag| fold_tag(tag)).filter(|tag| !kept.contains(tag));
                    first.extend(lost.map(|tag| Write::delete(&Key::ContactTag(portal.id.clone(), record.id, tag))));
                    Counter::of(&before).for_each(|counter| *deltas.entry(counter).or_default() -= 1);
                }
                None => {
                    self.summary.added += 1;
                    if removed.contains(&record.id) {
                        moves.returned.push(record.id);
                    }
                }
            }
            Counter::of(&record).for_each(|counter| *deltas.entry(counter).or_default() += 1);
            for tag in &record.tags {
                titles.entry(fold_tag(tag)).or_insert_with(|| tag.trim().to_owned());
            }
            first.extend(tag_items(&portal.id, portal.shards, &record).into_iter().map(Write::put));
            last.push(Write::put(item));
        }
        if !last.is_empty() {
            self.mark().await?;
        }
        let posted = self.post(&portal.id, &postings).await?;
        if (self.options.clock)().since(posted) > POSTING_GOOD_FOR {
            // The machine may have slept.
            self.post(&portal.id, &postings).await?;
        }
        let mut journal =
            Journal { store: self.store, options: &self.options, portal: &portal, moves: &moves, at: None };
        journal.write_all(first).await?;
        journal.write_all(last).await?;
        self.count(deltas);
        if let Some(current) = &mut self.current {
            for (tag, title) in titles {
                current.titles.entry(tag).or_insert(title);
            }
        }
        Ok(())
    }

    /// Posts managers, and says when that began. The date of the postings is ahead of this machine's clock, which may be
    /// slow, and leaves room for writes that are throttled.
    async fn post(&self, portal: &PortalId, postings: &Postings) -> Result<Moment, StoreError> {
        let now = (self.options.clock)();
        self.store.post(portal, postings, now + limits::duration(IMPORT_AHEAD_MILLIS)).await?;
        Ok(now)
    }

    fn count(&mut self, deltas: HashMap<Counter, i64>) {
        if let Some(current) = &mut self.current {
            for (counter, delta) in deltas {
                *current.deltas.entry(counter).or_default() += delta;
            }
        }
    }

    /// Removes a contact with all its items, the contact's own first: a load that ends there leaves tag entries of a
    /// contact that is gone, which the same line removes when it is loaded again.
    async fn delete(&mut self, contact: ContactId) -> Result<(), StoreError> {
        let Some(current) = &self.current else { return Ok(()) };
        let portal = current.portal.id.clone();
        let items = self.store.query(&Range::OfContact(portal.clone(), contact), true).await?;
        if items.is_empty() {
            return Ok(());
        }
        self.mark().await?;
        self.store.note_removal(&portal, contact, (self.options.clock)()).await?;
        if let Some(current) = &mut self.current {
            current.had_contacts = true;
        }
        let mut deltas = HashMap::new();
        let mut others = Vec::new();
        for mut item in items {
            let key = items::key_of(&item)?;
            if let Key::Contact(..) = key {
                let record: ContactRecord = items::document(&mut item, "doc")?;
                deltas = Counter::of(&record).map(|counter| (counter, -1)).collect();
                self.store.write_all(vec![Write::delete(&key)]).await?;
                self.summary.deleted += 1;
            } else {
                others.push(Write::delete(&key));
            }
        }
        self.store.write_all(others).await?;
        self.count(deltas);
        Ok(())
    }

    /// Writes all that is pending of the current portal, its counters last.
    async fn leave(&mut self) -> Result<(), ImportError> {
        self.flush_writes().await?;
        self.flush_contacts().await?;
        let Some(current) = self.current.take() else { return Ok(()) };
        self.settle_counters(&current).await?;
        current.check_addresses()
    }

    /// Brings the counters up to date and takes the mark away.
    async fn settle_counters(&self, current: &Current) -> Result<(), StoreError> {
        let portal = &current.portal;
        for (counter, delta) in current.deltas.iter().filter(|(_, delta)| **delta != 0) {
            let mut names = HashMap::from([("#count".to_owned(), "count".to_owned())]);
            let mut values = HashMap::from([(":delta".to_owned(), items::n(*delta))]);
            let mut expression = "ADD #count :delta";
            if let Counter::Tag(tag) = counter
                && let Some(title) = current.titles.get(tag)
            {
                expression = "SET #title = if_not_exists(#title, :title) ADD #count :delta";
                names.insert("#title".into(), TAG_TITLE.into());
                values.insert(":title".into(), s(title.as_str()));
            }
            self.store.update(&counter.key(&portal.id), expression, names, values).await?;
        }
        if current.marked {
            let names = HashMap::from([("#owed".to_owned(), OWED.to_owned())]);
            self.store.update(&Key::Portal(portal.id.clone()), "REMOVE #owed", names, HashMap::new()).await?;
        }
        Ok(())
    }
}

/// The attribute of a portal whose counters are owed.
const OWED: &str = "counters_owed";

/// The users of each address.
fn owners(users: &HashMap<UserId, Member>) -> HashMap<Email, BTreeSet<UserId>> {
    let mut owners: HashMap<Email, BTreeSet<UserId>> = HashMap::new();
    for (user, member) in users {
        if let Some(email) = &member.email {
            owners.entry(email.clone()).or_default().insert(*user);
        }
    }
    owners
}

impl Current {
    /// Takes a user's line, and gives back the lines that need not wait. Two users of one address would leave a sign-in
    /// without a meaning, so such lines wait until another line gives the address up: then two users may swap addresses in
    /// one file. The identifier of a removed user is not given away: lists and the audit trail still hold it.
    fn hold_user(
        &mut self,
        number: u64,
        user: User,
        password: Option<PasswordHash>,
    ) -> Result<Vec<HeldUser>, ImportError> {
        let id = user.employee.id;
        if self.removed.contains(&id) {
            return Err(ImportError::Line(format!(
                "user {id} was removed from portal {}, and contacts may still name it: give this user another Id",
                self.portal.id
            )));
        }
        let before = std::mem::replace(&mut self.users.entry(id).or_default().email, user.email.clone());
        if let Some(before) = &before
            && let Some(owners) = self.owners.get_mut(before)
        {
            owners.remove(&id);
        }
        if let Some(email) = &user.email {
            self.owners.entry(email.clone()).or_default().insert(id);
        }
        self.held.push(HeldUser { number, user, password, before });
        Ok(self.ready_users())
    }

    /// The lines of users that waited, once no address has two users.
    fn ready_users(&mut self) -> Vec<HeldUser> {
        if self.contested().is_some() { Vec::new() } else { std::mem::take(&mut self.held) }
    }

    /// Forgets a user that was removed: whether it was there.
    fn forget_user(&mut self, id: UserId) -> bool {
        self.removed.insert(id);
        self.held.retain(|held| held.user.employee.id != id);
        self.owners.values_mut().for_each(|owners| {
            owners.remove(&id);
        });
        if let Some(passwords) = &mut self.passwords {
            passwords.remove(&id);
        }
        self.users.remove(&id).is_some()
    }

    /// An address that two users have after the lines so far. Only lines that wait can have caused that.
    fn contested(&self) -> Option<(&HeldUser, &Email)> {
        self.held.iter().find_map(|held| {
            let email = held.user.email.as_ref()?;
            self.owners.get(email).is_some_and(|owners| owners.len() > 1).then_some((held, email))
        })
    }

    /// Why lines of users still wait at the end of their portal's lines.
    fn check_addresses(&self) -> Result<(), ImportError> {
        let Some((held, email)) = self.contested() else { return Ok(()) };
        let id = held.user.employee.id;
        let others = self.owners.get(email).into_iter().flatten().filter(|other| **other != id);
        let others = others.map(UserId::to_string).collect::<Vec<_>>().join(", ");
        let portal = &self.portal.id;
        Err(ImportError::Late {
            number: held.number,
            reason: format!(
                "Email {email} of user {id} is also that of user {others} of portal {portal}, and no line of this file \
                 gives that user another one. The users' lines from this one on were not loaded"
            ),
        })
    }

    /// What is written of addresses for a user's line. The entry of the user's former address goes, unless it is another
    /// user's by now.
    ///
    /// An entry that an interrupted load leaves does no harm, because a user's own item decides which address it has.
    fn address_writes(&self, HeldUser { user, before, .. }: &HeldUser) -> Vec<Write> {
        let (portal, id) = (&self.portal.id, user.employee.id);
        let mut writes = Vec::new();
        let is_free = |email: &&Email| self.owners.get(*email).is_none_or(BTreeSet::is_empty);
        if let Some(gone) = before.as_ref().filter(is_free) {
            writes.push(Write::delete(&Key::Address(gone.clone(), portal.clone())));
        }
        if let Some(email) = &user.email {
            // The last line of a user may name another address than this one, which is then not the user's.
            if self.owners.get(email).is_some_and(|owners| owners.contains(&id)) {
                writes.push(Write::put(address_item(email, portal, id)));
            }
        }
        writes
    }

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

    /// Writes users and leaves alone from when on their tokens are valid: 1 write unit each.
    async fn write_users(&self, portal: &PortalId, users: impl Iterator<Item = User>) -> Result<(), StoreError> {
        stream::iter(users.map(Ok)).try_for_each_concurrent(USERS_IN_FLIGHT, |user| self.write_user(portal, user)).await
    }

    async fn write_user(&self, portal: &PortalId, user: User) -> Result<(), StoreError> {
        let mut item = user_item(portal, &user)?;
        let key = Key::User(portal.clone(), user.employee.id);
        let mut names = HashMap::from([("#email".to_owned(), EMAIL.to_owned())]);
        let mut values = HashMap::new();
        for name in ["doc", "admin"] {
            names.insert(format!("#{name}"), name.to_owned());
            values.extend(item.remove(name).map(|value| (format!(":{name}"), value)));
        }
        let set = "SET #doc = :doc, #admin = :admin";
        let expression = match item.remove(EMAIL) {
            Some(email) => {
                values.insert(":email".to_owned(), email);
                format!("{set}, #email = :email")
            }
            None => format!("{set} REMOVE #email"),
        };
        self.update(&key, &expression, names, values).await
    }

    /// The users of a portal: 1 read unit per 4 KB of them.
    async fn directory_members(&self, portal: &PortalId) -> Result<HashMap<UserId, Member>, StoreError> {
        let mut members = HashMap::new();
        for item in self.query(&Range::Users(portal.clone()), true).await? {
            if let Key::User(_, id) = items::key_of(&item)? {
                let tokens_valid_from = tokens_valid_from(&item)?;
                members.insert(id, Member { email: email(&item)?, tokens_valid_from });
            }
        }
        Ok(members)
    }

    /// The users that were removed from a portal: 1 read unit per 4 KB of their keys.
    async fn removed_users(&self, portal: &PortalId) -> Result<HashSet<UserId>, StoreError> {
        let mut removed = HashSet::new();
        for item in self.query(&Range::RemovedUsers(portal.clone()), true).await? {
            if let Key::RemovedUser(_, id) = items::key_of(&item)? {
                removed.insert(id);
            }
        }
        Ok(removed)
    }

    /// The passwords of a portal's users: 1 read unit per 4 KB of them.
    async fn passwords(&self, portal: &PortalId) -> Result<HashMap<UserId, PasswordHash>, StoreError> {
        let mut passwords = HashMap::new();
        for item in self.query(&Range::Passwords(portal.clone()), true).await? {
            if let Key::Password(_, id) = items::key_of(&item)? {
                passwords.insert(id, password_hash(&item)?);
            }
        }
        Ok(passwords)
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

    /// Counts the contacts of every stage, type and tag anew, from the stage index, which holds each contact once with all
    /// its tags: 1 read unit per 8 KB of index entries, 1 write unit per stage, type and tag.
    async fn recount(&self, portal: &Portal) -> Result<(), StoreError> {
        // Stage 0 holds the contacts without a stage. What the directory counts and no contact has is set to 0.
        let mut counts: HashMap<Counter, i64> = HashMap::from([(Counter::Stage(0), 0)]);
        let of = portal.id.clone();
        for range in [Range::Stages(of.clone()), Range::Types(of.clone()), Range::Tags(of)] {
            for item in self.query(&range, true).await? {
                match items::key_of(&item)? {
                    Key::Stage(_, id) => counts.insert(Counter::Stage(id), 0),
                    Key::Type(_, id) => counts.insert(Counter::Type(id), 0),
                    Key::Tag(_, tag) => counts.insert(Counter::Tag(tag), 0),
                    _ => None,
                };
            }
        }
        let staged = |counter: &Counter| if let Counter::Stage(id) = counter { Some(*id) } else { None };
        let stages: Vec<i32> = counts.keys().filter_map(staged).collect();
        for stage in stages {
            for shard in 0..portal.shards {
                self.count_partition(&portal.id, shard, stage, &mut counts).await?;
            }
        }
        for (counter, count) in counts {
            let names = HashMap::from([("#count".to_owned(), "count".to_owned())]);
            let values = HashMap::from([(":count".to_owned(), items::n(count))]);
            self.update(&counter.key(&portal.id), "SET #count = :count", names, values).await?;
        }
        Ok(())
    }

    async fn count_partition(
        &self,
        portal: &PortalId,
        shard: u16,
        stage: i32,
        counts: &mut HashMap<Counter, i64>,
    ) -> Result<(), StoreError> {
        let partition = Partition::Stage(portal.clone(), shard, stage);
        let index = partition.index();
        let mut start = None;
        loop {
            let output = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(index.name())
                .projection_expression("#tags, #type")
                .key_condition_expression("#pk = :pk")
                .expression_attribute_names("#pk", index.pk())
                .expression_attribute_names("#tags", "tags")
                .expression_attribute_names("#type", "type")
                .expression_attribute_values(":pk", s(partition.encode()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Query", error))?;
            self.meter.read(&output.consumed_capacity);
            for item in output.items.unwrap_or_default() {
                *counts.entry(Counter::Stage(stage)).or_default() += 1;
                let contact_type = items::number(&item, "type")?;
                if contact_type != 0 {
                    *counts.entry(Counter::Type(contact_type)).or_default() += 1;
                }
                for tag in crate::matches::tags(&item)? {
                    *counts.entry(Counter::Tag(tag)).or_default() += 1;
                }
            }
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(());
            }
        }
    }
}
