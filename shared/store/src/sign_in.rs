//! Signing in: whose an e-mail address is, the hash of a password, and who has tried of late.
//!
//! A sign-in is three round trips, each whatever the one before found, so that neither their number nor their order tells
//! whether there is such a user:
//!
//! 1. [`Store::begin_sign_in`] counts the attempt and, beside it, looks up whose the address is,
//! 2. then reads those users and the hashes of their passwords, or what stands nowhere when there is none.
//!    The caller looks at the password: [`Candidates::matching`].
//! 3. [`Store::admit`] writes the token of an attempt that succeeded and forgets its attempts.
//!
//! An attempt after others that failed within the minute is counted by three calls in place of one, again whether there
//! is such a user or not. Only an address that is known in several portals, none of which is named, takes a look at as
//! many passwords.

use aws_sdk_dynamodb::types::AttributeValue;
use models::id::{PortalId, UserId};
use models::limits::MAX_ACCOUNTS;
use models::moment::Moment;
use models::password::{PasswordHash, Salt};
use models::portal::{Grant, User};
use models::sign_in::{Account, Attempts, Candidates, Email, Locked};
use sha2::{Digest as _, Sha256};

use crate::batch::{Write, pauses};
use crate::client::{Part, Store};
use crate::directory;
use crate::error::StoreError;
use crate::items::{self, Item};
use crate::keys::{AttemptsHash, EXPIRES, Key, Range};
use crate::tokens::{hash, random, token_writes};

// The attributes of these items, of which none is one of DynamoDB's reserved words.
const USER: &str = "person";
const HASH: &str = "phc";
const TRIED: &str = "tried";
const ENDS: &str = "ends";

/// Who tries to sign in: what attempts are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The network address, as the service is told it.
    pub address: String,
    /// The user name.
    pub email: Email,
}

impl Pair {
    fn key(&self) -> Key {
        // Neither holds a NUL, so that no two pairs are joined to one text.
        let digest = Sha256::new().chain_update(&self.address).chain_update([0]).chain_update(self.email.as_str());
        Key::Attempts(AttemptsHash::from(digest.finalize()))
    }

    fn item(&self, attempts: &Attempts) -> Item {
        let mut item = items::keyed(&self.key());
        let over = attempts.over_at();
        item.insert(TRIED.into(), tried(attempts));
        item.insert(ENDS.into(), items::n(over.steps()));
        // Time to live deletes in its own time, and never early.
        item.insert(EXPIRES.into(), items::n(over.timestamp().as_second() + 1));
        item
    }
}

fn tried(attempts: &Attempts) -> AttributeValue {
    AttributeValue::L(attempts.times().iter().map(|time| items::n(time.steps())).collect())
}

fn attempts(item: &Item) -> Result<Attempts, StoreError> {
    let corrupt = || StoreError::Corrupt("attempts to sign in".into());
    let times = item.get(TRIED).and_then(|times| times.as_l().ok()).ok_or_else(corrupt)?;
    let steps = |time: &AttributeValue| time.as_n().ok().and_then(|digits| digits.parse().ok()).ok_or_else(corrupt);
    let times: Vec<i64> = times.iter().map(steps).collect::<Result<_, _>>()?;
    Ok(Attempts::made_at(times.into_iter().map(Moment::from_steps)))
}

pub(crate) fn address_item(email: &Email, portal: &PortalId, user: UserId) -> Item {
    let mut item = items::keyed(&Key::Address(email.clone(), portal.clone()));
    item.insert(USER.into(), items::b(*user.as_bytes()));
    item
}

pub(crate) fn password_item(portal: &PortalId, user: UserId, hash: &PasswordHash) -> Item {
    let mut item = items::keyed(&Key::Password(portal.clone(), user));
    item.insert(HASH.into(), items::s(hash.as_str()));
    item
}

fn password_hash(item: &Item) -> Result<PasswordHash, StoreError> {
    items::text(item, HASH)?.parse().map_err(|_| StoreError::Corrupt("the hash of a password".into()))
}

/// A new salt to hash a password with.
pub fn new_salt() -> Result<Salt, StoreError> {
    random()
}

/// What an attempt to sign in may be decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// The attempt is counted; a password may be compared with those of these accounts.
    Begun(Candidates),
    /// The attempt is refused, whatever its password.
    Locked(Locked),
}

impl Store {
    /// Counts an attempt to sign in at `now` and reads what its password is to be compared with, in `portal` or wherever
    /// the address is known: in two round trips and for 1 write unit and 3 read units; 2 more of these for each further
    /// portal, and 1 of each when the pair has tried of late.
    pub async fn begin_sign_in(
        &self,
        pair: &Pair,
        portal: Option<&PortalId>,
        now: Moment,
    ) -> Result<SignIn, StoreError> {
        let (begun, accounts) = futures::try_join!(self.begin_attempt(pair, now), self.accounts(&pair.email, portal))?;
        match begun {
            Ok(()) => self.candidates(&pair.email, accounts).await.map(SignIn::Begun),
            Err(locked) => Ok(SignIn::Locked(locked)),
        }
    }

    /// Lets in who signed in: writes the token and its entry and forgets the pair's attempts, in one round trip: 3 write
    /// units.
    pub async fn admit(&self, pair: &Pair, token: &str, grant: &Grant) -> Result<(), StoreError> {
        let [token, entry] = token_writes(hash(token), grant)?;
        self.write_all(vec![token, entry, Write::delete(&pair.key())]).await
    }

    /// Gives a user a password in place of the one it had: 1 write unit. Tokens stay as they are.
    pub async fn set_password(&self, portal: &PortalId, user: UserId, hash: &PasswordHash) -> Result<(), StoreError> {
        self.put(password_item(portal, user, hash)).await
    }

    /// Reads the user of a portal whose e-mail address this is, in two round trips: 2 read units.
    pub async fn user_of_email(&self, portal: &PortalId, email: &Email) -> Result<Option<User>, StoreError> {
        let Some(entry) = self.get(&Key::Address(email.clone(), portal.clone())).await? else { return Ok(None) };
        let item = self.get(&Key::User(portal.clone(), items::id(&entry, USER)?)).await?;
        let user = item.map(|mut item| directory::user(&mut item)).transpose()?;
        Ok(user.filter(|user| user.email.as_ref() == Some(email)))
    }

    /// Counts an attempt, before anything is known of its outcome.
    async fn begin_attempt(&self, pair: &Pair, now: Moment) -> Result<Result<(), Locked>, StoreError> {
        let first = pair.item(&Attempts::made_at([now]));
        // The end is compared, because what has expired may still be there for days.
        let free = "attribute_not_exists(#pk) OR ends <= :now";
        if self.put_if(first, free, [(":now", items::n(now.steps()))]).await? {
            return Ok(Ok(()));
        }
        let mut pauses = pauses();
        loop {
            let seen = self.get(&pair.key()).await?.map(|item| attempts(&item)).transpose()?;
            let next = match seen.clone().unwrap_or_default().begin(now) {
                Ok(next) => pair.item(&next),
                Err(locked) => return Ok(Err(locked)),
            };
            let written = match seen {
                Some(seen) => self.put_if(next, "tried = :seen", [(":seen", tried(&seen))]).await?,
                None => self.put_if(next, "attribute_not_exists(#pk)", []).await?,
            };
            if written {
                return Ok(Ok(()));
            }
            // Somebody's attempt came between; at most as many can as lock the pair.
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(StoreError::Contended { operation: "PutItem" }),
            }
        }
    }

    /// Reads whose an e-mail address is, in `portal` or in each; at most [`MAX_ACCOUNTS`]: 1 read unit.
    async fn accounts(&self, email: &Email, portal: Option<&PortalId>) -> Result<Vec<Account>, StoreError> {
        let items = match portal {
            Some(portal) => self.get(&Key::Address(email.clone(), portal.clone())).await?.into_iter().collect(),
            None => {
                let part = Part { consistent: true, most: Some(MAX_ACCOUNTS), ..Part::default() };
                self.query_part(&Range::Addresses(email.clone()), part).await?
            }
        };
        let account = |item: &Item| match items::key_of(item)? {
            Key::Address(_, portal) => Ok(Account { portal, user: items::id(item, USER)? }),
            other => Err(StoreError::Corrupt(format!("{other:?} is no e-mail address"))),
        };
        items.iter().map(account).collect()
    }

    /// Reads the passwords of those of the accounts whose address this still is: 2 read units for each account, and as
    /// many when there is none.
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
        for item in self.get_many(&keys, true).await? {
            match items::key_of(&item)? {
                Key::User(portal, user) if directory::email(&item)?.as_ref() == Some(email) => {
                    own.push(Account { portal, user });
                }
                Key::Password(portal, user) => hashes.push((Account { portal, user }, password_hash(&item)?)),
                _ => {}
            }
        }
        // In the order of their portals, which is not that of the batch.
        hashes.retain(|(account, _)| own.contains(account));
        hashes.sort_by(|(a, _), (b, _)| a.portal.cmp(&b.portal));
        Ok(Candidates::new(hashes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(address: &str, email: &str) -> Pair {
        Pair { address: address.into(), email: email.parse().unwrap() }
    }

    #[test]
    fn attempts_are_counted_by_address_and_user() {
        let key = |address, email| pair(address, email).key();
        assert_eq!(key("192.0.2.1", "mike@example.com"), key("192.0.2.1", "MIKE@example.com"));
        assert_ne!(key("192.0.2.1", "mike@example.com"), key("192.0.2.2", "mike@example.com"));
        assert_ne!(key("192.0.2.1", "mike@example.com"), key("192.0.2.1", "ada@example.com"));
        assert_ne!(key("192.0.2.1", "1mike@example.com"), key("192.0.2.11", "mike@example.com"));
    }

    #[test]
    fn stored_attempts_read_back_and_name_nobody() {
        let now: Moment = "2026-01-01T00:00:00Z".parse().unwrap();
        let made = Attempts::default().begin(now).unwrap().begin(now).unwrap();
        let item = pair("192.0.2.1", "mike@example.com").item(&made);
        assert_eq!(attempts(&item).unwrap(), made);
        let shown = format!("{item:?}");
        assert!(!shown.contains("192.0.2.1") && !shown.contains("mike"), "{shown}");
    }
}
