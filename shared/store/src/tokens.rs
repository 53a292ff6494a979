//! Tokens. The table stores each token's grant under the token's SHA-256, and never the token itself.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, TryStreamExt as _};
use models::directory::Grant;
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::directory::{TOKENS_VALID_FROM, tokens_valid_from};
use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::keys::{EXPIRES, Key, PK, Range, SK, TokenHash, hash_from_hex};

// The attributes of a token and of its entry in the portal's list.
const PORTAL: &str = "portal";
const USER: &str = "user";
const SCOPES: &str = "scopes";
/// SHA-256 of the token whose code gave the token.
pub(crate) const PARENT: &str = "parent";
/// The mark of a revoked token. The token stays in the table until the token expires, so that an import of the token's
/// line does not restore the token.
const REVOKED: &str = "revoked";

/// Tokens that an import writes concurrently, each by its own calls.
const TOKENS_IN_FLIGHT: usize = 16;

/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;

/// Returns a new token: 256 random bits in hexadecimal. The user sees the token once; the table stores only its
/// SHA-256.
pub fn new_token() -> Result<String, StoreError> {
    Ok(random::<TOKEN_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns random bytes of the operating system.
pub(crate) fn random<const BYTES: usize>() -> Result<[u8; BYTES], StoreError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
    Ok(bytes)
}

/// Returns the SHA-256 of a token.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A token that has not been revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// The token's grant.
    pub grant: Grant,
    /// The token whose code gave the token, if a code did. The token ends with its parent.
    pub parent: Option<TokenHash>,
}

/// A token in the portal's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedToken {
    /// SHA-256 of the token, in hexadecimal.
    pub hash: String,
    /// The token's grant.
    pub grant: Grant,
    /// True if the token was revoked, or ended with its parent.
    pub has_ended: bool,
}

pub(crate) fn grant_item(key: &Key, grant: &Grant) -> Result<Item, StoreError> {
    let mut item = items::keyed(key);
    item.insert(PORTAL.into(), items::s(grant.portal.as_str()));
    item.insert(USER.into(), items::b(*grant.user.as_bytes()));
    item.insert(SCOPES.into(), items::to_document(&grant.scopes)?);
    if let Some(expires) = grant.expires {
        // Seconds, because the attribute is also DynamoDB's time to live.
        item.insert(EXPIRES.into(), items::n(expires.to_jiff().as_second()));
    }
    if let Some(from) = grant.valid_from {
        item.insert(TOKENS_VALID_FROM.into(), items::n(from.ticks()));
    }
    Ok(item)
}

pub(crate) fn grant(item: &mut Item) -> Result<Grant, StoreError> {
    let portal = PortalId::stored(items::text(item, PORTAL)?);
    let expires = match item.get(EXPIRES) {
        Some(_) => Some(
            jiff::Timestamp::from_second(items::number(item, EXPIRES)?)
                .map(Timestamp::floor)
                .map_err(|error| StoreError::corrupt("the expiry of a token is out of range", error))?,
        ),
        None => None,
    };
    Ok(Grant {
        portal,
        user: items::id(item, USER)?,
        scopes: items::document(item, SCOPES)?,
        expires,
        valid_from: tokens_valid_from(item)?,
    })
}

/// Returns the items of a token: the token itself, and its entry in the portal's list.
pub(crate) fn token_items(hash: TokenHash, token: &StoredToken) -> Result<[Item; 2], StoreError> {
    let entry = Key::TokenEntry(token.grant.portal.clone(), hash);
    let mut items = [grant_item(&Key::Token(hash), &token.grant)?, grant_item(&entry, &token.grant)?];
    if let Some(parent) = token.parent {
        items.iter_mut().for_each(|item| drop(item.insert(PARENT.into(), items::b(parent))));
    }
    Ok(items)
}

pub(crate) fn token_writes(hash: TokenHash, grant: &Grant) -> Result<[Write; 2], StoreError> {
    Ok(token_items(hash, &StoredToken { grant: grant.clone(), parent: None })?.map(Write::put))
}

/// Returns whether the item of a token carries the mark of a revoked token.
pub(crate) fn is_revoked(item: &Item) -> bool {
    item.contains_key(REVOKED)
}

/// Returns the parent of a token or of a code, if there is one.
pub(crate) fn parent(item: &Item) -> Result<Option<TokenHash>, StoreError> {
    if !item.contains_key(PARENT) {
        return Ok(None);
    }
    let parent = items::bytes(item, PARENT)?.try_into();
    parent.map(Some).map_err(|_| StoreError::Corrupt("the parent of a token is not a SHA-256".into()))
}

impl Store {
    /// Reads a token that has not been revoked: 1 read unit, and 1 more for a token with a parent.
    pub async fn token(&self, hash: TokenHash) -> Result<Option<StoredToken>, StoreError> {
        let Some(mut item) = self.unrevoked(hash).await? else { return Ok(None) };
        let token = StoredToken { parent: parent(&item)?, grant: grant(&mut item)? };
        match token.parent {
            Some(parent) if self.unrevoked(parent).await?.is_none() => Ok(None),
            _ => Ok(Some(token)),
        }
    }

    /// Reads the item of a token that has not been revoked: 1 read unit.
    async fn unrevoked(&self, hash: TokenHash) -> Result<Option<Item>, StoreError> {
        Ok(self.get(&Key::Token(hash)).await?.filter(|item| !is_revoked(item)))
    }

    /// Writes a token and its entry in the portal's list: 2 write units.
    pub async fn add_token(&self, token: &str, grant: &Grant) -> Result<(), StoreError> {
        self.write_all(token_writes(hash(token), grant)?.into(), Priority::Call).await
    }

    /// Writes tokens of import lines and their entries: 2 write units each. A revoked token stays revoked, and a token
    /// that a code gave keeps its parent.
    pub(crate) async fn load_tokens(&self, tokens: impl Iterator<Item = (TokenHash, Grant)>) -> Result<(), StoreError> {
        let load = async |(hash, grant): (TokenHash, Grant)| {
            self.load_grant(&Key::Token(hash), &grant).await?;
            self.load_grant(&Key::TokenEntry(grant.portal.clone(), hash), &grant).await
        };
        stream::iter(tokens.map(Ok)).try_for_each_concurrent(TOKENS_IN_FLIGHT, load).await
    }

    /// Sets the attributes of a grant. An update, unlike a put, also keeps a mark that another process sets meanwhile.
    async fn load_grant(&self, key: &Key, grant: &Grant) -> Result<(), StoreError> {
        let mut item = grant_item(key, grant)?;
        [PK, SK].iter().for_each(|name| drop(item.remove(*name)));
        let absent: Vec<&str> =
            [EXPIRES, TOKENS_VALID_FROM].into_iter().filter(|name| !item.contains_key(*name)).collect();
        let set: Vec<String> = item.keys().map(|name| format!("#{name} = :{name}")).collect();
        let remove = if absent.is_empty() { String::new() } else { format!(" REMOVE #{}", absent.join(", #")) };
        let expression = format!("SET {}{remove}", set.join(", "));
        let names = item.keys().map(String::as_str).chain(absent);
        let names = names.map(|name| (format!("#{name}"), name.to_owned())).collect();
        let values = item.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect();
        self.update(key, &expression, names, values).await
    }

    /// Marks a token as revoked: 2 write units. Marks the token before its list entry, because the token authenticates
    /// calls.
    pub async fn end_token(&self, portal: &PortalId, hash: TokenHash) -> Result<(), StoreError> {
        for key in [Key::Token(hash), Key::TokenEntry(portal.clone(), hash)] {
            let names = [("#pk", PK), ("#revoked", REVOKED)];
            let names = names.map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into();
            let values = HashMap::from([(":true".to_owned(), items::s("true"))]);
            // Without the condition, the update would create an item for a token that was removed meanwhile.
            let condition = Some("attribute_exists(#pk)");
            self.update_if(&key, "SET #revoked = :true", condition, names, values).await?;
        }
        Ok(())
    }

    /// Removes a token that no caller got: 2 write units. Removes the token before its list entry, because the token
    /// authenticates calls.
    pub(crate) async fn remove_token(&self, portal: &PortalId, hash: TokenHash) -> Result<(), StoreError> {
        self.delete(&Key::Token(hash)).await?;
        self.delete(&Key::TokenEntry(portal.clone(), hash)).await
    }

    /// Removes every token of a user: 1 read unit per 4 KB of the portal's tokens, 2 write units per removed token.
    pub(crate) async fn remove_tokens_of(&self, portal: &PortalId, user: UserId) -> Result<(), StoreError> {
        let mut hashes = Vec::new();
        for entry in self.query(&Range::Tokens(portal.clone()), Consistency::Strong).await? {
            if let Key::TokenEntry(_, hash) = items::key_of(&entry)?
                && items::id::<UserId>(&entry, USER)? == user
            {
                hashes.push(hash);
            }
        }
        self.write_all(hashes.iter().map(|hash| Write::delete(&Key::Token(*hash))).collect(), Priority::Call).await?;
        self.write_all(
            hashes.iter().map(|hash| Write::delete(&Key::TokenEntry(portal.clone(), *hash))).collect(),
            Priority::Call,
        )
        .await
    }

    /// Reads a portal's tokens, also those that were revoked: 1 read unit per 4 KB.
    pub async fn tokens(&self, portal: &PortalId) -> Result<Vec<ListedToken>, StoreError> {
        let items = self.query(&Range::Tokens(portal.clone()), Consistency::Strong).await?;
        let unrevoked = items.iter().filter(|item| !is_revoked(item));
        let unrevoked: HashSet<Key> = unrevoked.map(items::key_of).collect::<Result<_, _>>()?;
        let mut tokens = Vec::new();
        for mut item in items {
            let (_, sk) = items::key_of(&item)?.encode();
            let hash = sk.rsplit('#').next().unwrap_or_default().to_owned();
            let parent = parent(&item)?.map(|parent| Key::TokenEntry(portal.clone(), parent));
            let has_ended = is_revoked(&item) || parent.is_some_and(|parent| !unrevoked.contains(&parent));
            tokens.push(ListedToken { hash, grant: grant(&mut item)?, has_ended });
        }
        Ok(tokens)
    }

    /// Revokes a token, which may be revoked already: 1 read unit and 2 write units. `token` is the token itself, or
    /// its SHA-256 in hexadecimal. Returns false if there is no such token.
    pub async fn revoke_token(&self, token: &str) -> Result<bool, StoreError> {
        for hash in [Some(hash(token)), hash_from_hex(token)].into_iter().flatten() {
            // A token that was revoked, or whose parent has ended, is still in the table and in the list of tokens. A
            // repeated call completes an interrupted revocation.
            if let Some(mut item) = self.get(&Key::Token(hash)).await? {
                self.end_token(&grant(&mut item)?.portal, hash).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    #[test]
    fn new_tokens_differ_and_have_64_hexadecimal_digits() {
        let (a, b) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(a, b);
        assert!(a.len() == 64 && hash_from_hex::<32>(&a).is_some(), "{a}");
    }

    #[test]
    fn stored_item_does_not_contain_the_token() {
        let token = "0123456789abcdef0123456789abcdef";
        let grant = Grant {
            portal: "acme".parse().unwrap(),
            user: models::values::id::UserId::NIL,
            scopes: vec![models::directory::Scope::Read],
            expires: None,
            valid_from: None,
        };
        let item = grant_item(&Key::Token(hash(token)), &grant).unwrap();
        let shown = format!("{item:?}");
        assert!(!shown.contains(token));
        assert!(matches!(item["scopes"], AttributeValue::L(_)));
    }
}
