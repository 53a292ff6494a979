//! Users of a portal, with their addresses and passwords.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::stream::{self, TryStreamExt as _};
use models::directory::User;
use models::sign_in::Email;
use models::sign_in::password::PasswordHash;
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::directory::{ADMIN, EMAIL, RECORD, email, tokens_valid_from, user_item};
use crate::dynamodb::batch::Write;
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self};
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::import::contacts::CONTACTS_AT_ONCE;
use crate::import::{Current, ImportError, Importer};
use crate::keys::{Key, Range};
use crate::sign_in::{address_item, password_hash, password_item};

/// Users that are written concurrently, each by its own call.
pub(super) const USERS_IN_FLIGHT: usize = 16;

/// The state of a user that later lines depend on.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) email: Option<Email>,
    pub(super) tokens_valid_from: Option<Timestamp>,
}

/// A user's line that is not written yet.
#[derive(Debug)]
pub(super) struct WaitingUser {
    /// The line's number, if the caller numbers lines.
    pub(super) number: u64,
    pub(super) user: User,
    pub(super) password: Option<PasswordHash>,
    /// The user's address before the line.
    pub(super) before: Option<Email>,
}

impl<'a> Importer<'a> {
    /// Writes users whose lines need not wait for other lines. A changed password ends the user's tokens.
    pub(super) async fn load_users(&mut self, users: Vec<WaitingUser>) -> Result<(), StoreError> {
        for waiting in users {
            self.load_user(waiting).await?;
        }
        Ok(())
    }

    pub(super) async fn load_user(&mut self, waiting: WaitingUser) -> Result<(), StoreError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let (portal, id, password) = (current.portal.id.clone(), waiting.user.employee.id, waiting.password.clone());
        if password.is_some() && current.passwords.is_none() {
            current.passwords = Some(self.store.passwords(&portal).await?);
        }
        let before = match (&password, &mut current.passwords) {
            (Some(hash), Some(passwords)) => passwords.insert(id, hash.clone()),
            _ => None,
        };
        let writes = current.address_writes(&waiting);
        self.pending_users.insert(id, waiting.user);
        for write in writes {
            self.write(write).await?;
        }
        if self.pending_users.len() >= CONTACTS_AT_ONCE {
            self.flush_writes().await?;
        }
        match (password, before) {
            (Some(hash), Some(before)) if hash != before => {
                // Pending writes may hold the user and the previous password.
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

    /// Removes a user. A removal may be repeated. A user that never existed is counted separately, because the line may
    /// name the wrong user.
    pub(super) async fn remove_user(&mut self, id: UserId) -> Result<(), StoreError> {
        // Pending writes may belong to the user.
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
        // Other lines may wait for the user's address.
        let ready = current.ready_users();
        self.load_users(ready).await
    }
}

/// Returns the users of each address.
pub(super) fn owners(users: &HashMap<UserId, Member>) -> HashMap<Email, BTreeSet<UserId>> {
    let mut owners: HashMap<Email, BTreeSet<UserId>> = HashMap::new();
    for (user, member) in users {
        if let Some(email) = &member.email {
            owners.entry(email.clone()).or_default().insert(*user);
        }
    }
    owners
}

impl Current {
    /// Accepts a user's line. Returns the lines that can be written now. Two users of one address would make a sign-in
    /// ambiguous, so their lines wait until another line frees the address. Thus two users may swap addresses in one
    /// file. The identifier of a removed user is not reused, because lists and the audit trail still hold it.
    pub(super) fn add_user_line(
        &mut self,
        number: u64,
        user: User,
        password: Option<PasswordHash>,
    ) -> Result<Vec<WaitingUser>, ImportError> {
        let id = user.employee.id;
        if self.removed.contains(&id) {
            return Err(ImportError::Line(format!(
                "user {id} was removed from portal {}, and contacts may still name that user: use another Id",
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
        self.waiting.push(WaitingUser { number, user, password, before });
        Ok(self.ready_users())
    }

    /// Returns the waiting lines of users once no address has two users.
    pub(super) fn ready_users(&mut self) -> Vec<WaitingUser> {
        if self.contested().is_some() { Vec::new() } else { std::mem::take(&mut self.waiting) }
    }

    /// Forgets a removed user. Returns whether the user existed.
    pub(super) fn forget_user(&mut self, id: UserId) -> bool {
        self.removed.insert(id);
        self.waiting.retain(|waiting| waiting.user.employee.id != id);
        self.owners.values_mut().for_each(|owners| {
            owners.remove(&id);
        });
        if let Some(passwords) = &mut self.passwords {
            passwords.remove(&id);
        }
        self.users.remove(&id).is_some()
    }

    /// Returns an address that two users have after the lines so far. Only waiting lines can cause this.
    pub(super) fn contested(&self) -> Option<(&WaitingUser, &Email)> {
        self.waiting.iter().find_map(|waiting| {
            let email = waiting.user.email.as_ref()?;
            self.owners.get(email).is_some_and(|owners| owners.len() > 1).then_some((waiting, email))
        })
    }

    /// Fails if lines of users still wait at the end of their portal's lines.
    pub(super) fn check_addresses(&self) -> Result<(), ImportError> {
        let Some((waiting, email)) = self.contested() else { return Ok(()) };
        let id = waiting.user.employee.id;
        let others = self.owners.get(email).into_iter().flatten().filter(|other| **other != id);
        let others = others.map(UserId::to_string).collect::<Vec<_>>().join(", ");
        let portal = &self.portal.id;
        Err(ImportError::Late {
            number: waiting.number,
            reason: format!(
                "Email {email} of user {id} is also the address of user {others} of portal {portal}, and no line of \
                 this file resolves the conflict. The lines of users from this line on were not loaded"
            ),
        })
    }

    /// Returns the writes of addresses for a user's line. Removes the entry of the user's former address, unless
    /// another user has the address now.
    ///
    /// A stale entry of an interrupted load does no harm, because the user's own item decides the user's address.
    pub(super) fn address_writes(&self, WaitingUser { user, before, .. }: &WaitingUser) -> Vec<Write> {
        let (portal, id) = (&self.portal.id, user.employee.id);
        let mut writes = Vec::new();
        let is_free = |email: &&Email| self.owners.get(*email).is_none_or(BTreeSet::is_empty);
        if let Some(former) = before.as_ref().filter(is_free) {
            writes.push(Write::delete(&Key::Address(former.clone(), portal.clone())));
        }
        if let Some(email) = &user.email {
            // A later line may have given the user another address. Then the user gets no entry for this address.
            if self.owners.get(email).is_some_and(|owners| owners.contains(&id)) {
                writes.push(Write::put(address_item(email, portal, id)));
            }
        }
        writes
    }
}

impl Store {
    /// Writes users without changing the start of their tokens' validity: 1 write unit each.
    pub(super) async fn write_users(
        &self,
        portal: &PortalId,
        users: impl Iterator<Item = User>,
    ) -> Result<(), StoreError> {
        stream::iter(users.map(Ok)).try_for_each_concurrent(USERS_IN_FLIGHT, |user| self.write_user(portal, user)).await
    }

    pub(super) async fn write_user(&self, portal: &PortalId, user: User) -> Result<(), StoreError> {
        let mut item = user_item(portal, &user)?;
        let key = Key::User(portal.clone(), user.employee.id);
        let mut names = HashMap::from([("#email".to_owned(), EMAIL.to_owned())]);
        let mut values = HashMap::new();
        for name in [RECORD, ADMIN] {
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

    /// Reads the users of a portal: 1 read unit per 4 KB.
    pub(super) async fn directory_members(&self, portal: &PortalId) -> Result<HashMap<UserId, Member>, StoreError> {
        let mut members = HashMap::new();
        for item in self.query(&Range::Users(portal.clone()), Consistency::Strong).await? {
            if let Key::User(_, id) = items::key_of(&item)? {
                let tokens_valid_from = tokens_valid_from(&item)?;
                members.insert(id, Member { email: email(&item)?, tokens_valid_from });
            }
        }
        Ok(members)
    }

    /// Reads the removed users of a portal: 1 read unit per 4 KB of their keys.
    pub(super) async fn removed_users(&self, portal: &PortalId) -> Result<HashSet<UserId>, StoreError> {
        let mut removed = HashSet::new();
        for item in self.query(&Range::RemovedUsers(portal.clone()), Consistency::Strong).await? {
            if let Key::RemovedUser(_, id) = items::key_of(&item)? {
                removed.insert(id);
            }
        }
        Ok(removed)
    }

    /// Reads the passwords of a portal's users: 1 read unit per 4 KB.
    pub(super) async fn passwords(&self, portal: &PortalId) -> Result<HashMap<UserId, PasswordHash>, StoreError> {
        let mut passwords = HashMap::new();
        for item in self.query(&Range::Passwords(portal.clone()), Consistency::Strong).await? {
            if let Key::Password(_, id) = items::key_of(&item)? {
                passwords.insert(id, password_hash(&item)?);
            }
        }
        Ok(passwords)
    }
}
