//! A portal's directory: the portal itself, users, stages, types, and the counters that plans are made with.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::tz::TimeZone;
use models::contact::{Employee, ListItem};
use models::directory::{Entries, Portal, Statistics, User};
use models::filter::plan::COUNTED_TAGS;
use models::sign_in::Email;
use models::values::id::{PortalId, UserId};
use models::values::moment::Moment;

use crate::dynamodb::client::{QueryOptions, Store};
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::keys::{Key, Range};

/// The attribute of a portal's time zone, by its name.
pub(crate) const TIME_ZONE: &str = "time_zone";

/// The attribute of a portal whose accesses are all posted.
const POSTED: &str = "posted";
/// The attribute of a portal whose types have counters.
pub(crate) const TYPES_COUNTED: &str = "types_counted";

pub(crate) fn portal_item(portal: &Portal) -> Result<Item, StoreError> {
    let zone = portal.time_zone.iana_name().ok_or_else(|| StoreError::Corrupt("a time zone without a name".into()))?;
    let mut item = items::keyed(&Key::Portal(portal.id.clone()));
    item.insert(TIME_ZONE.into(), items::s(zone));
    item.insert("shards".into(), items::n(portal.shards));
    item.insert(TYPES_COUNTED.into(), AttributeValue::Bool(true));
    if portal.posted {
        item.insert(POSTED.into(), AttributeValue::Bool(true));
    }
    Ok(item)
}

pub(crate) fn portal(id: PortalId, item: &Item) -> Result<Portal, StoreError> {
    let zone = items::text(item, TIME_ZONE)?;
    // A zone that an earlier version knew and this one does not must not take the portal out of service. Requests that
    // depend on the zone are refused.
    let time_zone = TimeZone::get(zone).unwrap_or_else(|error| {
        tracing::error!(portal = %id, %error, "the portal's time zone is not known");
        TimeZone::unknown()
    });
    Ok(Portal { id, time_zone, shards: items::number(item, "shards")?, posted: item.contains_key(POSTED) })
}

pub(crate) fn user_item(portal: &PortalId, user: &User) -> Result<Item, StoreError> {
    let mut item = items::keyed(&Key::User(portal.clone(), user.employee.id));
    item.insert("doc".into(), items::to_document(&user.employee)?);
    item.insert("admin".into(), AttributeValue::Bool(user.is_admin));
    if let Some(email) = &user.email {
        item.insert(EMAIL.into(), items::s(email.as_str()));
    }
    if let Some(from) = user.tokens_valid_from {
        item.insert(TOKENS_VALID_FROM.into(), items::n(from.steps()));
    }
    Ok(item)
}

pub(crate) fn user(item: &mut Item) -> Result<User, StoreError> {
    let employee: Employee = items::document(item, "doc")?;
    let (email, tokens_valid_from) = (email(item)?, tokens_valid_from(item)?);
    Ok(User { employee, is_admin: items::boolean(item, "admin")?, email, tokens_valid_from })
}

/// The attribute of a user's e-mail address.
pub(crate) const EMAIL: &str = "email";

/// The e-mail address in a user's item.
pub(crate) fn email(item: &Item) -> Result<Option<Email>, StoreError> {
    let text = item.contains_key(EMAIL).then(|| items::text(item, EMAIL)).transpose()?;
    Ok(text.map(Email::stored))
}

/// The attribute of the moment from which a user's tokens are valid.
pub(crate) const TOKENS_VALID_FROM: &str = "tokens_valid_from";

/// The moment from which the tokens of a user are valid, in the user's item or in a token's.
pub(crate) fn tokens_valid_from(item: &Item) -> Result<Option<Moment>, StoreError> {
    let steps = item.contains_key(TOKENS_VALID_FROM).then(|| items::number(item, TOKENS_VALID_FROM)).transpose()?;
    Ok(steps.map(Moment::from_steps))
}

/// Stages, types and their counters, as one portal's directory lists them.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Stages by identifier.
    pub stages: HashMap<i32, ListItem>,
    /// Types by identifier.
    pub types: HashMap<i32, ListItem>,
    /// Contacts by stage.
    pub stage_counts: std::collections::BTreeMap<i32, u64>,
}

/// The attribute of a tag as the first contact that was loaded with the tag spells it.
pub(crate) const TAG_TITLE: &str = "title";

/// The count of an entry. A counter that was never raised, or that concurrent imports drove below zero, counts none.
fn count(item: &Item) -> u64 {
    items::number::<i64>(item, "count").ok().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

/// An entry that has been given its members, not just a counter.
fn list_item(item: &mut Item) -> Result<Option<ListItem>, StoreError> {
    if item.contains_key("doc") { items::document(item, "doc").map(Some) } else { Ok(None) }
}

impl Store {
    /// Reads a portal: 1 read unit.
    pub async fn portal(&self, id: &PortalId) -> Result<Option<Portal>, StoreError> {
        let item = self.get(&Key::Portal(id.clone())).await?;
        item.map(|item| portal(id.clone(), &item)).transpose()
    }

    /// Reads the time zone of a portal, UTC where there is no portal: half a read unit.
    pub async fn time_zone(&self, id: &PortalId) -> Result<TimeZone, StoreError> {
        let items = self.get_many(&[Key::Portal(id.clone())], false).await?;
        let zone = items.first().map(|item| portal(id.clone(), item).map(|portal| portal.time_zone)).transpose()?;
        Ok(zone.unwrap_or(TimeZone::UTC))
    }

    /// Reads a portal and users of it in one round trip: 1 read unit each.
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
        for mut item in self.get_many(&keys, true).await? {
            match items::key_of(&item)? {
                Key::Portal(_) => found.0 = Some(portal(id.clone(), &item)?),
                Key::User(_, id) => {
                    found.1.insert(id, user(&mut item)?);
                }
                other => return Err(StoreError::Corrupt(format!("{other:?} was not asked for"))),
            }
        }
        Ok(found)
    }

    /// Reads a user as it is now: 1 read unit.
    pub async fn user(&self, portal: &PortalId, id: UserId) -> Result<Option<User>, StoreError> {
        let item = self.get(&Key::User(portal.clone(), id)).await?;
        item.map(|mut item| user(&mut item)).transpose()
    }

    /// Reads those of the users that exist: half a read unit each.
    pub async fn users(
        &self,
        portal: &PortalId,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, User>, StoreError> {
        let ids: HashSet<UserId> = ids.into_iter().collect();
        let keys: Vec<Key> = ids.into_iter().map(|id| Key::User(portal.clone(), id)).collect();
        let mut users = HashMap::with_capacity(keys.len());
        for mut item in self.get_many(&keys, false).await? {
            let user = user(&mut item)?;
            users.insert(user.employee.id, user);
        }
        Ok(users)
    }

    /// Reads a portal's first users in the order of their identifiers, at most `most`: half a read unit per 4 KB.
    pub async fn first_users(&self, portal: &PortalId, most: usize) -> Result<HashMap<UserId, User>, StoreError> {
        let part = QueryOptions { most: Some(most), ..QueryOptions::default() };
        let items = self.query_part(&Range::Users(portal.clone()), part).await?;
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
        for mut item in self.get_many(&keys, false).await? {
            match items::key_of(&item)? {
                Key::Stage(_, id) => entries.stages.extend(list_item(&mut item)?.map(|stage| (id, stage))),
                Key::Type(_, id) => entries.types.extend(list_item(&mut item)?.map(|kind| (id, kind))),
                Key::User(_, id) => {
                    entries.users.insert(id, user(&mut item)?);
                }
                other => return Err(StoreError::Corrupt(format!("{other:?} was not asked for"))),
            }
        }
        Ok(entries)
    }

    /// Reads every stage and type, side by side: 1 read unit per 4 KB of stages, half of one per 4 KB of types.
    ///
    /// The stages are read consistently, because a plan reads the partitions of those that it knows: a stage that was
    /// loaded a moment ago must not be left out.
    pub async fn lists(&self, portal: &PortalId) -> Result<Lists, StoreError> {
        let (stages, types) = (Range::Stages(portal.clone()), Range::Types(portal.clone()));
        let (stages, types) = futures::try_join!(self.query(&stages, true), self.query(&types, false))?;
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

    /// Reads the stages in their order: half a read unit per 4 KB of them.
    pub async fn stage_choices(&self, portal: &PortalId) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        self.list_choices(&Range::Stages(portal.clone())).await
    }

    /// Reads the types in their order: half a read unit per 4 KB of them, and half a unit for the portal. A portal that was
    /// loaded by an earlier version has no numbers until its next import.
    pub async fn type_choices(&self, portal: &PortalId) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        let (range, keys) = (Range::Types(portal.clone()), [Key::Portal(portal.clone())]);
        let (mut types, portal) = futures::try_join!(self.list_choices(&range), self.get_many(&keys, false))?;
        if !portal.iter().any(|item| item.contains_key(TYPES_COUNTED)) {
            types.iter_mut().for_each(|(_, count)| *count = None);
        }
        Ok(types)
    }

    async fn list_choices(&self, range: &Range) -> Result<Vec<(ListItem, Option<u64>)>, StoreError> {
        let mut choices = Vec::new();
        for mut item in self.query(range, false).await? {
            let count = count(&item);
            choices.extend(list_item(&mut item)?.map(|entry| (entry, Some(count))));
        }
        choices.sort_by_key(|(entry, _)| (entry.sort_order, entry.id));
        Ok(choices)
    }

    /// Reads the tags that contacts have, in alphabetical order, and how many contacts have each: half a read unit per
    /// 4 KB of them.
    pub async fn tag_choices(&self, portal: &PortalId) -> Result<Vec<(String, u64)>, StoreError> {
        let mut tags = Vec::new();
        for item in self.query(&Range::Tags(portal.clone()), false).await? {
            let count = count(&item);
            if let Key::Tag(_, tag) = items::key_of(&item)?
                && count > 0
            {
                let title = item.contains_key(TAG_TITLE).then(|| items::text(&item, TAG_TITLE)).transpose()?;
                tags.push((title.map_or(tag, ToOwned::to_owned), count));
            }
        }
        Ok(tags)
    }

    /// Reads all users of a portal: half a read unit per 4 KB of them.
    pub async fn all_users(&self, portal: &PortalId) -> Result<Vec<User>, StoreError> {
        let items = self.query(&Range::Users(portal.clone()), false).await?;
        items.into_iter().map(|mut item| user(&mut item)).collect()
    }

    /// Reads what a filter is planned with, the counters of `tags` beside `lists`: half a read unit per tag.
    pub async fn statistics(
        &self,
        portal: &PortalId,
        tags: &[String],
        stage_counts: &std::collections::BTreeMap<i32, u64>,
    ) -> Result<Statistics, StoreError> {
        Ok(Statistics { stages: stage_counts.clone(), tags: self.tag_counts(portal, tags).await? })
    }

    /// Reads the counters of tags, which may be done beside the lists: half a read unit per tag, of those that count. A
    /// tag that no contact ever had is left out.
    pub async fn tag_counts(&self, portal: &PortalId, tags: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        let keys: Vec<Key> = tags.iter().take(COUNTED_TAGS).map(|tag| Key::Tag(portal.clone(), tag.clone())).collect();
        let mut counts = HashMap::with_capacity(keys.len());
        for item in self.get_many(&keys, false).await? {
            if let Key::Tag(_, tag) = items::key_of(&item)? {
                counts.insert(tag, count(&item));
            }
        }
        Ok(counts)
    }
}
