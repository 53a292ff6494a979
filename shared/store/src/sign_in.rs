//! Sign-in: e-mail addresses, password hashes and recent attempts.
//!
//! A sign-in takes three round trips. Neither their number nor their order depends on the results of the earlier round
//! trips, so they do not reveal whether the user exists:
//!
//! 1. [`Store::begin_sign_in`] counts the attempt for its network and user. Concurrently, the call reads the accounts
//!    of the address, and whether the user signed in from the network recently.
//! 2. The same call then reads the users and password hashes of these accounts, or absent items if there are no
//!    accounts. Concurrently, the call counts the attempt for the user, unless the network is known. The caller
//!    compares the password: [`Candidates::matching`].
//! 3. [`Store::admit`] writes the token of a successful attempt, deletes the pair's attempts and remembers the network.
//!
//! Counting an attempt takes three calls instead of one if other attempts failed within the last minute, whether the
//! user exists or not. A sign-in compares one password. Only an address with accounts in several portals takes one
//! comparison per account, if the call names no portal.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use jiff::SignedDuration;
use models::directory::{Grant, User, next_valid_from};
use models::limits::{KNOWN_NETWORK_DAYS, MAX_ACCOUNTS};
use models::sign_in::password::{PasswordHash, Salt};
use models::sign_in::{Account, Attempts, Candidate, Candidates, Email, Locked, Network, UserWindow};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::directory::{self, TOKENS_VALID_FROM};
use crate::dynamodb::backoff::pauses;
use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::keys::{AttemptsHash, EXPIRES, Key, PK, Range};
use crate::tokens::{hash, random, token_writes};

// The attributes of these items. DynamoDB reserves no attribute name of this list.
const USER_ID: &str = "user_id";
/// The hash, as a PHC string.
const PHC: &str = "phc";
const ATTEMPTED_AT: &str = "attempted_at";
pub(crate) const VALID_UNTIL: &str = "valid_until";
const TRIES: &str = "tries";

/// A network and a user name, by which attempts are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The network.
    pub network: Network,
    /// The user name.
    pub email: Email,
}

impl Pair {
    fn key(&self) -> Key {
        Key::Attempts(digest([self.network.to_string(), self.email.to_string()]))
    }

    fn known_key(&self) -> Key {
        Key::KnownNetwork(digest([self.network.to_string(), self.email.to_string()]))
    }
}

/// Returns the key of the attempts to sign in with a code from a network. The text `code` is no user name, because
/// every user name contains `@`.
pub(crate) fn code_attempts_key(network: Network) -> Key {
    Key::Attempts(digest([network.to_string(), "code".to_owned()]))
}

fn attempts_item(key: &Key, attempts: &Attempts, now: Timestamp) -> Item {
    let mut item = item_until(key, attempts.over_at().max(now));
    item.insert(ATTEMPTED_AT.into(), attempt_times(attempts));
    item
}

/// Returns the SHA-256 of two texts. Neither text holds a NUL, so different pairs never form the same joined text.
fn digest([first, second]: [String; 2]) -> AttemptsHash {
    Sha256::new().chain_update(first).chain_update([0]).chain_update(second).finalize().into()
}

/// Returns the key of a user's counter of attempts in a window.
fn user_attempts_key(email: &Email, window: UserWindow) -> Key {
    Key::UserAttempts(digest([window.number().to_string(), email.to_string()]))
}

/// Returns an item that is valid until `end`.
pub(crate) fn item_until(key: &Key, end: Timestamp) -> Item {
    let mut item = items::keyed(key);
    item.insert(VALID_UNTIL.into(), items::n(end.ticks()));
    item.insert(EXPIRES.into(), expires(end));
    item
}

/// Returns the time to live of an item that ends at `end`. DynamoDB may delete an item late, but never early.
fn expires(end: Timestamp) -> AttributeValue {
    items::n(end.to_jiff().as_second() + 1)
}

fn attempt_times(attempts: &Attempts) -> AttributeValue {
    AttributeValue::L(attempts.times().iter().map(|time| items::n(time.ticks())).collect())
}

fn attempts(item: &Item) -> Result<Attempts, StoreError> {
    let corrupt = || StoreError::Corrupt("the attempts to sign in are not a list of times".into());
    let times = item.get(ATTEMPTED_AT).and_then(|times| times.as_l().ok()).ok_or_else(corrupt)?;
    let ticks = |time: &AttributeValue| time.as_n().ok().and_then(|digits| digits.parse().ok()).ok_or_else(corrupt);
    let times: Vec<i64> = times.iter().map(ticks).collect::<Result<_, _>>()?;
    Ok(Attempts::made_at(times.into_iter().map(Timestamp::from_ticks)))
}

pub(crate) fn address_item(email: &Email, portal: &PortalId, user: UserId) -> Item {
    let mut item = items::keyed(&Key::Address(email.clone(), portal.clone()));
    item.insert(USER_ID.into(), items::b(*user.as_bytes()));
    item
}

pub(crate) fn password_item(portal: &PortalId, user: UserId, hash: &PasswordHash) -> Item {
    let mut item = items::keyed(&Key::Password(portal.clone(), user));
    item.insert(PHC.into(), items::s(hash.as_str()));
    item
}

pub(crate) fn password_hash(item: &Item) -> Result<PasswordHash, StoreError> {
    items::text(item, PHC)?
        .parse()
        .map_err(|_| StoreError::Corrupt("the hash of a password is not an argon2id PHC string".into()))
}

/// Returns a new salt for the hash of a password.
pub fn new_salt() -> Result<Salt, StoreError> {
    random()
}

/// The result of counting an attempt to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// The attempt is counted. The caller may compare the password with those of the candidates.
    Begun(Attempt),
    /// The attempt is refused, whatever its password.
    Locked(Locked),
}

/// A counted attempt to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The accounts that the attempt may be for.
    pub candidates: Candidates,
    pair: Pair,
    at: Timestamp,
    network: Familiarity,
}

/// The relation of a network to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Familiarity {
    /// The user signed in from the network recently. Only attempts from this network can lock the user out of this
    /// network.
    Known,
    /// The user did not sign in from the network recently. The attempt counts together with those from all other
    /// unknown networks.
    Unknown,
}

impl Store {
    /// Counts an attempt to sign in at `now`. Reads the passwords to compare, in `portal` or in each portal with an
    /// account of the address. Takes two round trips, 2 write units and 4 read units. Each further portal costs 2 more
    /// read units. A pair with a recent attempt costs 1 more read unit and 1 more write unit. A known network costs 1
    /// write unit less.
    pub async fn begin_sign_in(
        &self,
        pair: &Pair,
        portal: Option<&PortalId>,
        now: Timestamp,
    ) -> Result<SignIn, StoreError> {
        let (begun, accounts, network) = futures::try_join!(
            self.begin_attempt(pair.key(), now),
            self.accounts(&pair.email, portal),
            self.familiarity(pair, now)
        )?;
        if let Err(locked) = begun {
            return Ok(SignIn::Locked(locked));
        }
        let (candidates, counted) =
            futures::try_join!(self.candidates(&pair.email, accounts), self.count_for_user(&pair.email, now, network))?;
        if let Err(locked) = counted {
            return Ok(SignIn::Locked(locked));
        }
        Ok(SignIn::Begun(Attempt { candidates, pair: pair.clone(), at: now, network }))
    }

    /// Admits the user who signed in as `candidate`: writes the token and its entry, deletes the pair's attempts and
    /// remembers its network. Takes one round trip, 4 write units and 2 read units, and 1 more write unit from an
    /// unknown network.
    ///
    /// Returns false and admits nobody if one of these happened after the password was read: the user was removed, the
    /// password changed, or the user's tokens were ended.
    pub async fn admit(
        &self,
        attempt: &Attempt,
        candidate: &Candidate,
        token: &str,
        grant: &Grant,
    ) -> Result<bool, StoreError> {
        let token = hash(token);
        let [own, entry] = token_writes(token, grant)?;
        let known_until = attempt.at + SignedDuration::from_hours(24 * KNOWN_NETWORK_DAYS);
        let known = Write::put(item_until(&attempt.pair.known_key(), known_until));
        let writes = vec![own, entry, Write::delete(&attempt.pair.key()), known];
        let Account { portal, user } = &candidate.account;
        let keys = [Key::User(portal.clone(), *user), Key::Password(portal.clone(), *user)];
        let ((), (), items) = futures::try_join!(
            self.write_all(writes, Priority::Call),
            self.uncount_for_user(attempt),
            self.get_many(&keys, Consistency::Strong)
        )?;
        // The user and its password are two items, so a change of both may fall between their reads. Such a change is
        // complete by now and visible here. Later changes end the token.
        let (mut is_same_user, mut is_same_password) = (false, false);
        for mut item in items {
            match items::key_of(&item)? {
                Key::User(..) => is_same_user = directory::user(&mut item)?.honours(grant),
                _ => is_same_password = password_hash(&item)? == candidate.hash,
            }
        }
        let is_admitted = is_same_user && is_same_password;
        if !is_admitted {
            self.remove_token(portal, token).await?;
        }
        Ok(is_admitted)
    }

    /// Removes an attempt whose password was not compared from the counters: 1 read unit and 1 write unit, and 1 more
    /// write unit from an unknown network. If the pair tries again meanwhile, the attempt stays counted for the pair.
    pub async fn withdraw(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let for_pair = async {
            let Some(item) = self.get(&attempt.pair.key()).await? else { return Ok(()) };
            let seen = attempts(&item)?;
            let remaining = attempts_item(&attempt.pair.key(), &seen.without(attempt.at), attempt.at);
            self.put_if(remaining, "attempted_at = :seen", [(":seen", attempt_times(&seen))]).await.map(drop)
        };
        futures::try_join!(for_pair, self.uncount_for_user(attempt)).map(drop)
    }

    /// Sets a user's password and ends all the user's tokens, both or neither: 1 read unit and 4 write units. Returns
    /// the time from which the user's tokens are valid; none if the portal has no such user.
    pub async fn set_password(
        &self,
        portal: &PortalId,
        user: UserId,
        hash: &PasswordHash,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.end_tokens_and(portal, user, now, Some(password_item(portal, user, hash))).await
    }

    /// Ends all tokens of a user: 1 read unit and 2 write units. Returns the time from which the user's tokens are
    /// valid; none if the portal has no such user.
    pub async fn end_tokens(
        &self,
        portal: &PortalId,
        user: UserId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.end_tokens_and(portal, user, now, None).await
    }

    async fn end_tokens_and(
        &self,
        portal: &PortalId,
        user: UserId,
        now: Timestamp,
        password: Option<Item>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut pauses = pauses();
        loop {
            let Some(known) = self.user(portal, user).await? else { return Ok(None) };
            let from = next_valid_from(known.tokens_valid_from, now);
            let mut writes = vec![self.valid_from_update(portal, &known, from)?];
            if let Some(item) = &password {
                writes.push(self.transact_put(item.clone(), None, [])?);
            }
            match (self.transact(writes).await, pauses.next()) {
                (Ok(()), _) => return Ok(Some(from)),
                // Someone else ended the tokens meanwhile, or is writing the user.
                (Err(error), Some(pause)) if error.is_condition_failed() => self.time.pause(pause).await,
                (Err(error), _) => return Err(error),
            }
        }
    }

    fn valid_from_update(
        &self,
        portal: &PortalId,
        user: &User,
        from: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let condition = match user.tokens_valid_from {
            Some(_) => "#from = :before",
            None => "attribute_exists(#pk) AND attribute_not_exists(#from)",
        };
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(items::keyed(&Key::User(portal.clone(), user.employee.id))))
            .update_expression("SET #from = :from")
            .condition_expression(condition)
            .expression_attribute_names("#from", TOKENS_VALID_FROM)
            .expression_attribute_values(":from", items::n(from.ticks()));
        update = match user.tokens_valid_from {
            Some(before) => update.expression_attribute_values(":before", items::n(before.ticks())),
            None => update.expression_attribute_names("#pk", PK),
        };
        let update = update.build().map_err(|error| StoreError::unbuildable("the update of a user", error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Removes a user with its password, e-mail address and tokens, and prevents the reuse of its identifier: 2 read
    /// units, 1 more per 4 KB of the portal's tokens, 4 write units and 2 more per token.
    ///
    /// Removes the user's own item last, so that a repeated call completes an interrupted removal. The user's remaining
    /// tokens are valid until then. Afterwards, all tokens of the user are invalid.
    pub async fn remove_user(&self, portal: &PortalId, id: UserId) -> Result<(), StoreError> {
        self.put(items::keyed(&Key::RemovedUser(portal.clone(), id))).await?;
        let email = self.user(portal, id).await?.and_then(|user| user.email);
        let mut writes = vec![Write::delete(&Key::Password(portal.clone(), id))];
        if let Some(email) = email {
            let key = Key::Address(email, portal.clone());
            let entry = self.get(&key).await?;
            let of = entry.map(|entry| items::id(&entry, USER_ID)).transpose()?;
            if of == Some(id) {
                writes.push(Write::delete(&key));
            }
        }
        self.write_all(writes, Priority::Call).await?;
        self.remove_tokens_of(portal, id).await?;
        self.delete(&Key::User(portal.clone(), id)).await
    }

    /// Reads the user of a portal with this e-mail address, in two round trips: 2 read units.
    pub async fn user_of_email(&self, portal: &PortalId, email: &Email) -> Result<Option<User>, StoreError> {
        let Some(entry) = self.get(&Key::Address(email.clone(), portal.clone())).await? else { return Ok(None) };
        let item = self.get(&Key::User(portal.clone(), items::id(&entry, USER_ID)?)).await?;
        let user = item.map(|mut item| directory::user(&mut item)).transpose()?;
        Ok(user.filter(|user| user.email.as_ref() == Some(email)))
    }

    /// Counts an attempt before its outcome is known. Costs 1 write unit, and after a recent attempt 1 read unit and 1
    /// write unit more.
    pub(crate) async fn begin_attempt(&self, key: Key, now: Timestamp) -> Result<Result<(), Locked>, StoreError> {
        let first = attempts_item(&key, &Attempts::made_at([now]), now);
        // Check the end of validity, because an expired item may remain for days.
        let free = "attribute_not_exists(#pk) OR valid_until <= :now";
        if self.put_if(first, free, [(":now", items::n(now.ticks()))]).await? {
            return Ok(Ok(()));
        }
        let mut pauses = pauses();
        loop {
            let seen = self.get(&key).await?.map(|item| attempts(&item)).transpose()?;
            let next = match seen.clone().unwrap_or_default().begin(now) {
                Ok(next) => attempts_item(&key, &next, now),
                Err(locked) => return Ok(Err(locked)),
            };
            let written = match seen {
                Some(seen) => self.put_if(next, "attempted_at = :seen", [(":seen", attempt_times(&seen))]).await?,
                None => self.put_if(next, "attribute_not_exists(#pk)", []).await?,
            };
            if written {
                return Ok(Ok(()));
            }
            // A concurrent attempt came first. The lock of the pair limits the number of such attempts.
            match pauses.next() {
                Some(pause) => self.time.pause(pause).await,
                None => return Err(StoreError::Contended { operation: "PutItem" }),
            }
        }
    }

    /// Reads whether the user signed in from the network recently: 1 read unit.
    async fn familiarity(&self, pair: &Pair, now: Timestamp) -> Result<Familiarity, StoreError> {
        let item = self.get(&pair.known_key()).await?;
        let end = item.map(|item| items::number(&item, VALID_UNTIL).map(Timestamp::from_ticks)).transpose()?;
        // Check the end of validity, because an expired item may remain for days.
        Ok(if end.is_some_and(|end| now < end) { Familiarity::Known } else { Familiarity::Unknown })
    }

    /// Counts an attempt for its user across all networks: 1 write unit, none from a known network.
    async fn count_for_user(
        &self,
        email: &Email,
        now: Timestamp,
        network: Familiarity,
    ) -> Result<Result<(), Locked>, StoreError> {
        if network == Familiarity::Known {
            return Ok(Ok(()));
        }
        let window = UserWindow::at(now);
        let counted = self.add_for_user(email, window, 1).await?;
        Ok(window.admit(u64::try_from(counted).unwrap_or(0), now))
    }

    /// Removes an attempt from the counter of its user: 1 write unit, none from a known network.
    async fn uncount_for_user(&self, attempt: &Attempt) -> Result<(), StoreError> {
        match attempt.network {
            Familiarity::Known => Ok(()),
            Familiarity::Unknown => {
                self.add_for_user(&attempt.pair.email, UserWindow::at(attempt.at), -1).await.map(drop)
            }
        }
    }

    /// Adds `change` to the number of a user's attempts in a window, and returns the number. The addition is atomic, so
    /// concurrent attempts need not wait for one another.
    async fn add_for_user(&self, email: &Email, window: UserWindow, change: i64) -> Result<i64, StoreError> {
        let names = [("#tries", TRIES), ("#expires", EXPIRES)].map(|(name, of)| (name.to_owned(), of.to_owned()));
        let values = [(":change", items::n(change)), (":expires", expires(window.end()))];
        let values = values.map(|(name, value)| (name.to_owned(), value));
        let expression = "ADD #tries :change SET #expires = :expires";
        let key = user_attempts_key(email, window);
        let item = self.update_if(&key, expression, None, names.into(), values.into()).await?;
        items::number(&item.unwrap_or_default(), TRIES)
    }

    /// Reads the accounts of an e-mail address, in `portal` or in each, at most [`MAX_ACCOUNTS`]: 1 read unit.
    async fn accounts(&self, email: &Email, portal: Option<&PortalId>) -> Result<Vec<Account>, StoreError> {
        let items = match portal {
            Some(portal) => self.get(&Key::Address(email.clone(), portal.clone())).await?.into_iter().collect(),
            None => {
                let options = QueryOptions {
                    consistency: Consistency::Strong,
                    limit: Some(MAX_ACCOUNTS),
                    ..QueryOptions::default()
                };
                self.query_with(&Range::Addresses(email.clone()), options).await?
            }
        };
        let account = |item: &Item| match items::key_of(item)? {
            Key::Address(_, portal) => Ok(Account { portal, user: items::id(item, USER_ID)? }),
            other => {
                Err(StoreError::Corrupt(format!("a {other:?} item is among the users of an e-mail address").into()))
            }
        };
        items.iter().map(account).collect()
    }

    /// Reads the passwords of the accounts that still have this address: 2 read units per account, and 2 if there is
    /// none.
    async fn candidates(&self, email: &Email, mut accounts: Vec<Account>) -> Result<Candidates, StoreError> {
        if accounts.is_empty() {
            accounts.push(Account { portal: PortalId::of_nobody(), user: UserId::NIL });
        }
        let keys: Vec<Key> = accounts
            .iter()
            .flat_map(|Account { portal, user }| {
                [Key::User(portal.clone(), *user), Key::Password(portal.clone(), *user)]
            })
            .collect();
        let (mut own, mut hashes) = (Vec::new(), Vec::new());
        for item in self.get_many(&keys, Consistency::Strong).await? {
            match items::key_of(&item)? {
                Key::User(portal, user) if directory::email(&item)?.as_ref() == Some(email) => {
                    own.push((Account { portal, user }, directory::tokens_valid_from(&item)?));
                }
                Key::Password(portal, user) => hashes.push((Account { portal, user }, password_hash(&item)?)),
                _ => {}
            }
        }
        // Sort by portal, because a batch returns items in no order.
        own.sort_by(|(a, _), (b, _)| a.portal.cmp(&b.portal));
        let candidates = own.into_iter().filter_map(|(account, tokens_valid_from)| {
            let index = hashes.iter().position(|(of, _)| *of == account)?;
            let (_, hash) = hashes.swap_remove(index);
            Some(Candidate { account, hash, tokens_valid_from })
        });
        Ok(Candidates::new(candidates))
    }
}

#[cfg(test)]
mod tests;
