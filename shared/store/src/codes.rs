//! One-time codes, each of which gives one token. The table stores a code's SHA-256, and never the code itself.
//!
//! A code of a token names the token as its parent, and so does the token that the code gives. [`Store::token`] reads
//! the parent too, so the new token ends with its parent.

use jiff::SignedDuration;
use models::directory::Grant;
use models::limits::SIGN_IN_DAYS;
use models::sign_in::{Locked, Network};
use models::values::timestamp::Timestamp;

use crate::directory;
use crate::dynamodb::backoff::pauses;
use crate::dynamodb::client::Store;
use crate::dynamodb::items;
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::keys::{Key, TokenHash};
use crate::sign_in::{VALID_UNTIL, code_attempts_key, item_until};
use crate::tokens::{PARENT, StoredToken, grant, grant_item, hash, is_revoked, parent, token_items};

/// The time at which the parent of a code expires, if ever.
const PARENT_EXPIRES: &str = "parent_expires";

/// A one-time code, without the code itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The grant of the parent, or of the operator's choice without a parent. The new token has the same scopes, and
    /// expires no later.
    pub grant: Grant,
    /// The token that created the code; none if the operator created the code.
    pub parent: Option<TokenHash>,
    /// The time until which the code can be exchanged.
    pub valid_until: Timestamp,
}

/// The result of an attempt to exchange a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The code gave a token with this grant and this expiry.
    SignedIn(Grant, Timestamp),
    /// The code is unknown, used or expired, or its user or its parent has ended.
    Refused,
    /// Too many attempts from this network have failed. The code was not looked up.
    Locked(Locked),
}

impl Store {
    /// Writes a code: 1 write unit.
    pub async fn add_code(&self, code: &str, of: &Code) -> Result<(), StoreError> {
        let key = Key::SignInCode(hash(code));
        let mut item = grant_item(&key, &Grant { expires: None, ..of.grant.clone() })?;
        item.extend(item_until(&key, of.valid_until));
        item.extend(of.grant.expires.map(|expires| (PARENT_EXPIRES.into(), items::n(expires.ticks()))));
        item.extend(of.parent.map(|parent| (PARENT.into(), items::b(parent))));
        self.put(item).await
    }

    /// Reads a code that can be exchanged at `now`: 1 read unit.
    async fn code(&self, code: TokenHash, now: Timestamp) -> Result<Option<Code>, StoreError> {
        let Some(mut item) = self.get(&Key::SignInCode(code)).await? else { return Ok(None) };
        let valid_until = items::number(&item, VALID_UNTIL).map(Timestamp::from_ticks)?;
        let expires = match item.contains_key(PARENT_EXPIRES) {
            true => Some(Timestamp::from_ticks(items::number(&item, PARENT_EXPIRES)?)),
            false => None,
        };
        let parent = parent(&item)?;
        let grant = Grant { expires, ..grant(&mut item)? };
        // Check the end of validity, because an expired item may remain for days.
        Ok((now < valid_until).then_some(Code { grant, parent, valid_until }))
    }

    /// Exchanges a code for `token`, and removes the code, both or neither. One of several concurrent calls with
    /// one code gets the token. Counts the attempt for its network; a valid code clears the attempts.
    ///
    /// Takes five round trips, 3 read units and 8 write units; an unknown code takes 1 read unit and 1 write unit.
    pub async fn exchange_code(
        &self,
        code: &str,
        token: &str,
        network: Network,
        now: Timestamp,
    ) -> Result<Exchange, StoreError> {
        let (code, token, attempts) = (hash(code), hash(token), code_attempts_key(network));
        if let Err(locked) = self.begin_attempt(attempts.clone(), now).await? {
            return Ok(Exchange::Locked(locked));
        }
        let mut pauses = pauses();
        loop {
            let Some(Code { grant, parent, .. }) = self.code(code, now).await? else { return Ok(Exchange::Refused) };
            let has_ended = self.has_ended(&grant, parent).await?;
            let end = now + SignedDuration::from_hours(24 * SIGN_IN_DAYS);
            let expires = grant.expires.map_or(end, |expires| expires.min(end));
            if has_ended || expires <= now {
                return Ok(Exchange::Refused);
            }
            self.delete(&attempts).await?;
            let grant = Grant { expires: Some(expires), ..grant };
            let [own, entry] = token_items(token, &StoredToken { grant: grant.clone(), parent })?;
            let unused = self.transact_delete(
                &Key::SignInCode(code),
                Some("valid_until > :now"),
                [(":now", items::n(now.ticks()))],
            )?;
            let writes = vec![unused, self.transact_put(own, None, [])?, self.transact_put(entry, None, [])?];
            match (self.transact(writes).await, pauses.next()) {
                (Ok(()), _) => return Ok(Exchange::SignedIn(grant, expires)),
                // Another call used the code, or is using the code.
                (Err(error), Some(pause)) if error.is_condition_failed() => self.time.pause(pause).await,
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Returns whether the user of a grant, the user's tokens or the parent have ended: 2 read units.
    async fn has_ended(&self, grant: &Grant, parent: Option<TokenHash>) -> Result<bool, StoreError> {
        let user = Key::User(grant.portal.clone(), grant.user);
        let keys: Vec<Key> = [user].into_iter().chain(parent.map(Key::Token)).collect();
        let (mut has_user, mut has_parent) = (false, parent.is_none());
        for mut item in self.get_many(&keys, Consistency::Strong).await? {
            match items::key_of(&item)? {
                Key::User(..) => has_user = directory::user(&mut item)?.honours(grant),
                _ => has_parent = !is_revoked(&item),
            }
        }
        Ok(!(has_user && has_parent))
    }
}
