//! A portal's directory: the portal itself, users, stages, types, and the counters used for planning.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::tz::TimeZone;
use models::contact::{Employee, ListItem};
use models::directory::{Entries, Portal, Statistics, User};
use models::filter::plan::COUNTED_TAGS;
use models::sign_in::Email;
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;

use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::dynamodb::reading::{Consistency, QueryOptions};
use crate::error::StoreError;
use crate::keys::{Key, Range};

/// Attribute of a user, a stage or a type: its record.
pub(crate) const RECORD: &str = "doc";
/// Attribute of a user: true for an administrator.
pub(crate) const ADMIN: &str = "admin";
/// Attribute of a stage, a type or a tag: the number of its contacts.
pub(crate) const COUNT: &str = "count";

/// Attribute of a portal: the number of its shards.
pub(crate) const SHARDS: &str = "shards";
/// Attribute of a portal: the new number of shards, while index entries move.
pub(crate) const RESHARD_TO: &str = "reshard_to";
/// Attribute of a portal: the name of its time zone.
pub(crate) const TIME_ZONE: &str = "time_zone";

/// Attribute of a portal whose postings cover every access record.
const MANAGERS_INDEXED: &str = "managers_indexed";
/// Attribute of a portal whose types have counters.
pub(crate) const TYPES_COUNTED: &str = "types_counted";

/// A tag of a portal's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedTag {
    /// The folded tag.
    pub tag: String,
    /// The tag as imported.
    pub title: String,
    /// The number of contacts with the tag.
    pub contacts: u64,
}

pub(crate) fn portal_item(portal: &Portal) -> Result<Item, StoreError> {
    let zone = portal.time_zone.iana_name().ok_or_else(|| StoreError::Unbuildable {
        what: "the item of a portal",
        source: "the time zone has no name".into(),
    })?;
    let mut item = items::keyed(&Key::Portal(portal.id.clone()));
    item.insert(TIME_ZONE.into(), items::s(zone));
    item.insert(SHARDS.into(), items::n(portal.shards));
    item.insert(TYPES_COUNTED.into(), AttributeValue::Bool(true));
    if portal.has_manager_index {
        item.insert(MANAGERS_INDEXED.into(), AttributeValue::Bool(true));
    }
    Ok(item)
}

pub(crate) fn portal(id: PortalId, item: &Item) -> Result<Portal, StoreError> {
    let zone = items::text(item, TIME_ZONE)?;
    // An earlier version may have known a zone that this version does not know. The portal must stay usable, so only
    // requests that depend on the zone are refused.
    let time_zone = TimeZone::get(zone).unwrap_or_else(|error| {
        tracing::error!(portal = %id, %error, "the portal's time zone is not known");
        TimeZone::unknown()
    });
    let resharding_to = item.contains_key(RESHARD_TO).then(|| items::number(item, RESHARD_TO)).transpose()?;
    let (shards, has_manager_index) = (items::number(item, SHARDS)?, item.contains_key(MANAGERS_INDEXED));
    Ok(Portal { id, time_zone, shards, resharding_to, has_manager_index })
}

pub(crate) fn user_item(portal: &PortalId, user: &User) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::User(portal.clone(), user.employee.id));
    item.insert(RECORD.into(), items::to_document(&user.employee)?);
    item.insert(ADMIN.into(), AttributeValue::Bool(user.is_admin));
    if let Some(email) = &user.email {
        item.insert(EMAIL.into(), items::s(email.as_str()));
    }
    if let Some(from) = user.tokens_valid_from {
        item.insert(TOKENS_VALID_FROM.into(), items::n(from.ticks()));
    }
    Ok(item)
}

pub(crate) fn user(item: &mut Item) -> Result<User, StoreError> {
    let employee: Employee = items::document(item, RECORD)?;
    let (email, tokens_valid_from) = (email(item)?, tokens_valid_from(item)?);
    Ok(User { employee, is_admin: items::boolean(item, ADMIN)?, email, tokens_valid_from })
}

/// Attribute of a user: the e-mail address.
pub(crate) const EMAIL: &str = "email";

/// Returns the e-mail address in a user's item.
pub(crate) fn email(item: &Item) -> Result<Option<Email>, StoreError> {
    let text = item.contains_key(EMAIL).then(|| items::text(item, EMAIL)).transpose()?;
    Ok(text.map(Email::stored))
}

/// Attribute with the time from which a user's tokens are valid.
pub(crate) const TOKENS_VALID_FROM: &str = "tokens_valid_from";

/// Returns the time from which a user's tokens are valid, from the user's item or a token's item.
pub(crate) fn tokens_valid_from(item: &Item) -> Result<Option<Timestamp>, StoreError> {
    let ticks = item.contains_key(TOKENS_VALID_FROM).then(|| items::number(item, TOKENS_VALID_FROM)).transpose()?;
    Ok(ticks.map(Timestamp::from_ticks))
}

/// The stages and types in a portal's directory, and the counters of the stages.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Stages by identifier.
    pub stages: HashMap<i32, ListItem>,
    /// Types by identifier.
    pub types: HashMap<i32, ListItem>,
    /// Number of contacts by stage.
    pub stage_counts: std::collections::BTreeMap<i32, u64>,
}

/// Attribute of a tag: its spelling in the first contact loaded with the tag.
pub(crate) const TAG_TITLE: &str = "title";

/// Returns the counter of an entry; 0 if the counter is missing, or negative after concurrent imports.
fn count(item: &Item) -> u64 {
    items::number::<i64>(item, COUNT).ok().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

/// Returns the list item of an entry; none if the entry is only a counter.
fn list_item(item: &mut Item) -> Result<Option<ListItem>, StoreError> {
    if item.contains_key(RECORD) { items::document(item, RECORD).map(Some) } else { Ok(None) }
}

impl Store {
    /// Reads a portal: 1 read unit.
    pub async fn portal(&self, id: &PortalId) -> Result<Option<Portal>, StoreError> {
        let item = self.get(&Key::Portal(id.clone())).await?;
        item.map(|item| portal(id.clone(), &item)).transpose()
    }

    /// Reads the time zone of a portal, UTC if the portal does not exist: half a read unit.
    pub async fn time_zone(&self, id: &PortalId) -> Result<TimeZone, StoreError> {
        let items = self.get_many(&[Key::Portal(id.clone())], Consistency::Eventual).await?;
        let zone = items.first().map(|item| portal(id.clone(), item).map(|portal| portal.time_zone)).transpose()?;
        Ok(zone.unwrap_or(TimeZone::UTC))
    }

    /// Reads a portal and some of its users in one round trip, consistently: 1 read unit each.
    pub async fn portal_and_users(
        &self,
        id: &PortalId,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<(Option<Portal>, HashMap<UserId, User>), StoreError> {
        let users: HashSet<UserId> = users.into_iter().collect();
        let keys: Vec<Key> = std::iter::once(Key::Portal(id.clone()))
            .chain(users.into_iter().map(|user| Key::User(id.clone(), user)))
            .collect();
        let mut found = (None, HashMap::new());
        for mut item in self.get_many(&keys, Consistency::Strong).await? {
            match items::key_of(&item)? {
                Key::Portal(_) => found.0 = Some(portal(id.clone(), &item)?),
                Key::User(_, id) => {
                    found.1.insert(id, user(&mut item)?);
                }
                other => return Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
            }
        }
        Ok(found)
    }

    /// Reads a user consistently: 1 read unit.
    pub async fn user(&self, portal: &PortalId, id: UserId) -> Result<Option<User>, StoreError> {
        let item = self.get(&Key::User(portal.clone(), id)).await?;
        item.map(|mut item| user(&mut item)).transpose()
    }

    /// Reads the users that exist among `ids`: half a read unit each.
    pub async fn users(
        &self,
        portal: &PortalId,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, User>, StoreError> {
        let ids: HashSet<UserId> = ids.into_iter().collect();
        let keys: Vec<Key> = ids.into_iter().map(|id| Key::User(portal.clone(), id)).collect();
        let mut users = HashMap::with_capacity(keys.len());
        for mut item in self.get_many(&keys, Consistency::Eventual).await? {
            let user = user(&mut item)?;
            users.insert(user.employee.id, user);
        }
        Ok(users)
    }

    /// Reads up to `limit` users of a portal, in order of their identifiers: half a read unit per 4 KB.
    pub async fn first_users(&self, portal: &PortalId, limit: usize) -> Result<HashMap<UserId, User>, StoreError> {
        let options = QueryOptions { limit: Some(limit), ..QueryOptions::default() };
        let items = self.query_with(&Range::Users(portal.clone()), options).await?;
        let users = items.into_iter().map(|mut item| user(&mut item).map(|user| (user.employee.id, user)));
        users.collect()
    }

    /// Reads single directory entries in one round trip: half a read unit each.
    pub async fn entries(
        &self,
        portal: &PortalId,
        stage: Option<i32>,
        contact_type: Option<i32>,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<Entries, StoreError> {
        let users: HashSet<UserId> = users.into_iter().collect();
        let keys: Vec<Key> = stage
            .map(|id| Key::Stage(portal.clone(), id))
            .into_iter()
            .chain(contact_type.map(|id| Key::Type(portal.clone(), id)))
            .chain(users.into_iter().map(|id| Key::User(portal.clone(), id)))
            .collect();
        let mut entries = Entries::default();
        for mut item in self.get_many(&keys, Consistency::Eventual).await? {
            match items::key_of(&item)? {
                Key::Stage(_, id) => entries.stages.extend(list_item(&mut item)?.map(|stage| (id, stage))),
                Key::Type(_, id) => entries.types.extend(list_item(&mut item)?.map(|kind| (id, kind))),
                Key::User(_, id) => {
                    entries.users.insert(id, user(&mut item)?);
                }
                other => return Err(StoreError::Corrupt(format!("a {other:?} item was not requested").into())),
            }
        }
        Ok(entries)
    }

    /// Reads every stage and type concurrently: 1 read unit per 4 KB of stages, half a unit per 4 KB of types.
    ///
    /// Stages are read consistently, because a plan reads only the partitions of known stages. A stage that was
    /// imported just before must be included.
    pub async fn lists(&self, portal: &PortalId) -> Result<Lists, StoreError> {
        let (stages, types) = (Range::Stages(portal.clone()), Range::Types(portal.clone()));
        let (stages, types) =
            futures::try_join!(self.query(&stages, Consistency::Strong), self.query(&types, Consistency::Eventual))?;
        let mut lists = Lists::default();
        for mut item in stages {
            if let Key::Stage(_, id) = items::key_of(&item)? {
                lists.stage_counts.insert(id, count(&item));
                lists.stages.extend(list_item(&mut item)?.map(|stage| (id, stage)));
            }
        }
        for mut item in types {
            if let Key::Type(_, id) = items::key_of(&item)? {
                lists.types.extend(list_item(&mut item)?.map(|kind| (id, kind)));
            }
        }
        Ok(lists)
    }

    /// Reads the stages in their sort order, with their counters: half a read unit per 4 KB.
    pub async fn stage_choices(&self, portal: &PortalId) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        self.list_choices(&Range::Stages(portal.clone())).await
    }

    /// Reads the types in their sort order, with their counters: half a read unit per 4 KB, and half a unit for the
    /// portal. A portal loaded by an earlier version has no counters until its next import.
    pub async fn type_choices(&self, portal: &PortalId) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        let (range, keys) = (Range::Types(portal.clone()), [Key::Portal(portal.clone())]);
        let (mut types, portal) =
            futures::try_join!(self.list_choices(&range), self.get_many(&keys, Consistency::Eventual))?;
        if !portal.iter().any(|item| item.contains_key(TYPES_COUNTED)) {
            types.iter_mut().for_each(|(_, count)| *count = None);
        }
        Ok(types)
    }

    async fn list_choices(&self, range: &Range) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        let mut choices = Vec::new();
        for mut item in self.query(range, Consistency::Eventual).await? {
            let count = count(&item);
            choices.extend(list_item(&mut item)?.map(|entry| (entry, Some(count))));
        }
        choices.sort_by_key(|(entry, _)| (entry.sort_order, entry.id));
        Ok(choices)
    }

    /// Reads the tags that contacts have, in alphabetical order, with the number of contacts of each: half a read unit
    /// per 4 KB.
    pub async fn tag_choices(&self, portal: &PortalId) -> Result<Vec<(String, u64)>, StoreError> {
        let tags = self.counted_tags(portal).await?;
        Ok(tags.into_iter().map(|tag| (tag.title, tag.contacts)).collect())
    }

    /// Reads the tags that contacts have, in the order of the folded tags: half a read unit per 4 KB.
    pub async fn counted_tags(&self, portal: &PortalId) -> Result<Vec<CountedTag>, StoreError> {
        let mut tags = Vec::new();
        for item in self.query(&Range::Tags(portal.clone()), Consistency::Eventual).await? {
            let contacts = count(&item);
            if let Key::Tag(_, tag) = items::key_of(&item)?
                && contacts > 0
            {
                let title = item.contains_key(TAG_TITLE).then(|| items::text(&item, TAG_TITLE)).transpose()?;
                let title = title.map_or_else(|| tag.clone(), ToOwned::to_owned);
                tags.push(CountedTag { tag, title, contacts });
            }
        }
        Ok(tags)
    }

    /// Reads all users of a portal: half a read unit per 4 KB.
    pub async fn all_users(&self, portal: &PortalId) -> Result<Vec<User>, StoreError> {
        let items = self.query(&Range::Users(portal.clone()), Consistency::Eventual).await?;
        items.into_iter().map(|mut item| user(&mut item)).collect()
    }

    /// Reads the counters of `tags` and combines them with `stage_counts` for planning: half a read unit per tag.
    pub async fn statistics(
        &self,
        portal: &PortalId,
        tags: &[String],
        stage_counts: &std::collections::BTreeMap<i32, u64>,
    ) -> Result<Statistics, StoreError> {
        Ok(Statistics { stages: stage_counts.clone(), tags: self.tag_counts(portal, tags).await? })
    }

    /// Reads the counters of the first [`COUNTED_TAGS`] tags: half a read unit per tag. The call may run concurrently
    /// with [`Self::lists`]. The result omits tags that no contact ever had.
    pub async fn tag_counts(&self, portal: &PortalId, tags: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        let keys: Vec<Key> = tags.iter().take(COUNTED_TAGS).map(|tag| Key::Tag(portal.clone(), tag.clone())).collect();
        let mut counts = HashMap::with_capacity(keys.len());
        for item in self.get_many(&keys, Consistency::Eventual).await? {
            if let Key::Tag(_, tag) = items::key_of(&item)? {
                counts.insert(tag, count(&item));
            }
        }
        Ok(counts)
    }
}
