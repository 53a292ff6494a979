//! The schema: the version of the stored form of all items, and the migration from an earlier version.
//!
//! A table stores its version in one item. Programs of version 1 stored no version, so a table with items but without a
//! version has version 1. Lambda functions do not read the version. The operator migrates a table with the command-line
//! program.
//!
//! | from | to | changes |
//! | --- | --- | --- |
//! | 1 | 2 | attributes get new names (`renames`); sets of contacts get another form; every posting gets a date |
//!
//! Each item is migrated by one conditional write. An item with new attribute names is not changed again, so an
//! interrupted migration can be repeated safely. The version is written last, after a pass that found nothing to change
//! and skipped no item. Only this module scans the table.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use models::job::contact_set::ContactSet;
use models::values::id::ContactId;
use models::values::timestamp::Timestamp;

use crate::dynamodb::backoff::pauses;
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::keys::{Key, PK, SK, key_form};

/// The schema version that this program reads and writes.
pub const SCHEMA_VERSION: u32 = 2;

/// The version of a table that holds items and no version.
const FIRST_VERSION: u32 = 1;

/// Attribute of the schema's item: the version.
const VERSION: &str = "version";

/// Items that are migrated concurrently, each by its own call.
const ITEMS_IN_FLIGHT: usize = 16;

/// Maximum number of times that a migration reads the table.
pub const MAX_PASSES: u32 = 8;

/// The schema of a table, compared with [`SCHEMA_VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The table has no items.
    Unused,
    /// The table has the version of this program.
    Current,
    /// The table has an earlier version.
    Older(u32),
    /// The table has a later version, which this program cannot read.
    Newer(u32),
}

/// The result of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Number of changes of items. An item counts again if a writer of the earlier version replaced it meanwhile.
    pub items: u64,
    /// The end of the migration.
    pub end: MigrationEnd,
}

/// The end of a migration. Only [`MigrationEnd::Complete`] writes the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationEnd {
    /// No item of the earlier version is left.
    Complete,
    /// Items cannot be decoded: their kinds, without values, each with the number of items. All other items are
    /// migrated.
    Skipped(BTreeMap<String, u64>),
    /// The last of [`MAX_PASSES`] passes still changed items, because other programs write items of the earlier
    /// version.
    Overtaken,
}

/// The result of reading the table once.
#[derive(Default)]
struct Pass {
    /// Number of changed items.
    changed: u64,
    /// Kinds of the items that cannot be decoded, each with the number of items.
    skipped: BTreeMap<String, u64>,
}

/// The result for one item.
enum ItemResult {
    /// The item needed no change.
    Unchanged,
    /// The item was changed.
    Changed,
    /// The item cannot be decoded. The text names the kind of the item.
    Skipped(String),
}

impl Store {
    /// Reads the table's schema: 1 read unit, and 1 more if the table has no version.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let version = match self.get(&Key::Schema).await? {
            Some(item) => items::number(&item, VERSION)?,
            None if self.is_unused().await? => return Ok(Schema::Unused),
            None => FIRST_VERSION,
        };
        Ok(match version.cmp(&SCHEMA_VERSION) {
            std::cmp::Ordering::Less => Schema::Older(version),
            std::cmp::Ordering::Equal => Schema::Current,
            std::cmp::Ordering::Greater => Schema::Newer(version),
        })
    }

    /// Writes the version of this program to the table, which must hold no items: 1 write unit.
    pub async fn write_schema(&self) -> Result<(), StoreError> {
        let mut item = items::keyed(&Key::Schema);
        item.insert(VERSION.into(), items::n(SCHEMA_VERSION));
        self.put(item).await
    }

    /// Migrates the table from version 1 to the version of this program, for [`Schema::Older`] and for
    /// [`Schema::Current`]: late writers of version 1 may have left items in a migrated table. Each pass costs 2 read
    /// units per 8 KB of the table, and each change costs 1 write unit per KB of the item. A posting without a date
    /// gets the date `now`.
    ///
    /// Writers of the earlier version may add items while the table is read. So the table is read again until a pass
    /// finds nothing to change, at most [`MAX_PASSES`] times. A migration that changes items takes at least two passes.
    pub async fn migrate(&self, now: Timestamp) -> Result<Migrated, StoreError> {
        let mut items = 0;
        for _ in 0..MAX_PASSES {
            let Pass { changed, skipped } = self.migrate_pass(now).await?;
            items += changed;
            if changed > 0 {
                continue;
            }
            if !skipped.is_empty() {
                return Ok(Migrated { items, end: MigrationEnd::Skipped(skipped) });
            }
            self.write_schema().await?;
            return Ok(Migrated { items, end: MigrationEnd::Complete });
        }
        Ok(Migrated { items, end: MigrationEnd::Overtaken })
    }

    async fn is_unused(&self) -> Result<bool, StoreError> {
        let output = self.client.scan().table_name(&self.table).limit(1).consistent_read(true).send().await;
        let output = output.map_err(|error| StoreError::from_sdk("Scan", error))?;
        Ok(output.items().is_empty())
    }

    /// Migrates the items that the table holds now.
    async fn migrate_pass(&self, now: Timestamp) -> Result<Pass, StoreError> {
        let (mut pass, mut start) = (Pass::default(), None);
        loop {
            let output = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(true)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Scan", error))?;
            self.meter.read(&output.consumed_capacity);
            let items = output.items.unwrap_or_default();
            let migrations: Vec<_> = items.into_iter().map(|item| self.migrate_item(item, now)).collect();
            let mut migrations = stream::iter(migrations).buffer_unordered(ITEMS_IN_FLIGHT).boxed();
            while let Some(result) = migrations.try_next().await? {
                match result {
                    ItemResult::Unchanged => {}
                    ItemResult::Changed => pass.changed += 1,
                    ItemResult::Skipped(kind) => *pass.skipped.entry(kind).or_default() += 1,
                }
            }
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(pass);
            }
        }
    }

    /// Migrates one item. Skips an item that cannot be decoded, so that the item does not block the migration of all
    /// others.
    async fn migrate_item(&self, mut item: Item, now: Timestamp) -> Result<ItemResult, StoreError> {
        let mut pauses = pauses();
        loop {
            let Ok(key) = items::key_of(&item) else { return Ok(ItemResult::Skipped(kind(&item, None))) };
            let changes = match changes(&key, &item, now) {
                Ok(changes) if changes.is_empty() => return Ok(ItemResult::Unchanged),
                Ok(changes) => changes,
                Err(_) => return Ok(ItemResult::Skipped(kind(&item, Some(&key)))),
            };
            if self.apply(&key, changes).await? {
                return Ok(ItemResult::Changed);
            }
            // Another writer changed the item since it was read.
            let Some(current) = self.get(&key).await? else { return Ok(ItemResult::Unchanged) };
            item = current;
            match pauses.next() {
                Some(pause) => self.time.pause(pause).await,
                None => return Err(StoreError::Contended { operation: "UpdateItem" }),
            }
        }
    }

    /// Applies changes to an item if its old attributes are unchanged. Returns whether the changes were applied.
    async fn apply(&self, key: &Key, changes: Vec<Change>) -> Result<bool, StoreError> {
        let (mut names, mut values) = (HashMap::new(), HashMap::new());
        let (mut set, mut remove, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        for (number, Change { old, new, value }) in changes.into_iter().enumerate() {
            names.insert(format!("#new{number}"), new.to_owned());
            values.insert(format!(":new{number}"), value);
            set.push(format!("#new{number} = :new{number}"));
            match old {
                Some((name, value_before)) => {
                    names.insert(format!("#old{number}"), name.to_owned());
                    values.insert(format!(":old{number}"), value_before);
                    remove.push(format!("#old{number}"));
                    unchanged.push(format!("#old{number} = :old{number}"));
                }
                None => unchanged.push(format!("attribute_exists(#pk) AND attribute_not_exists(#new{number})")),
            }
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            expression.push_str(" REMOVE ");
            expression.push_str(&remove.join(", "));
        }
        let condition = unchanged.join(" AND ");
        if condition.contains("#pk") {
            names.insert("#pk".to_owned(), PK.to_owned());
        }
        Ok(self.update_if(key, &expression, Some(&condition), names, values).await?.is_some())
    }
}

/// Returns the kind of an item, and the forms of its partition key and its sort key, without values. `key` is none for
/// an item whose key cannot be decoded.
fn kind(item: &Item, key: Option<&Key>) -> String {
    let of_attribute = |name| items::text(item, name).unwrap_or_default();
    let kind = key.map_or("unknown".to_owned(), |key| format!("{key:?}"));
    format!("{kind} ({})", key_form(of_attribute(PK), of_attribute(SK)))
}

/// A change of one attribute.
struct Change {
    /// The old name and the old value; none for an attribute that is added.
    old: Option<(&'static str, AttributeValue)>,
    /// The new name.
    new: &'static str,
    /// The new value.
    value: AttributeValue,
}

/// The conversion of an attribute's value for version 2.
#[derive(Clone, Copy)]
enum Conversion {
    /// The value stays.
    None,
    /// The value is a set of contacts.
    Contacts,
    /// The value is a job, which may hold a set of contacts.
    Job,
}

/// A new name of an attribute, and the conversion of the attribute's value.
struct Rename {
    old: &'static str,
    new: &'static str,
    conversion: Conversion,
}

const fn rename(old: &'static str, new: &'static str, conversion: Conversion) -> Rename {
    Rename { old, new, conversion }
}

/// Returns the attributes of an item whose names differ between the versions 1 and 2.
fn renames(key: &Key) -> &'static [Rename] {
    use Conversion::{Contacts, Job, None};
    const IDEMPOTENCY: &[Rename] = &[
        rename("print", "fingerprint", None),
        rename("awaited", "answer_due", None),
        rename("ends", "valid_until", None),
    ];
    const ATTEMPTS: &[Rename] = &[rename("tried", "attempted_at", None), rename("ends", "valid_until", None)];
    const ADDRESS: &[Rename] = &[rename("person", "user_id", None)];
    const PORTAL: &[Rename] =
        &[rename("posted", "managers_indexed", None), rename("counters_owed", "counters_dirty", None)];
    const POSTING: &[Rename] = &[rename("posted_at", POSTING_DATE, None)];
    const RULE: &[Rename] = &[rename("upcoming", "next_due", None)];
    const JOB: &[Rename] = &[rename("doc", "job", Job)];
    const MOVE: &[Rename] = &[
        rename("moved", "moved_contacts", Contacts),
        rename("returned", "readded_contacts", Contacts),
        rename("rev", "revision", None),
    ];
    match key {
        Key::Idempotency(..) => IDEMPOTENCY,
        Key::Attempts(..) | Key::KnownNetwork(..) => ATTEMPTS,
        Key::Address(..) => ADDRESS,
        Key::Portal(..) => PORTAL,
        Key::Posting(..) | Key::PackedPosting(..) => POSTING,
        Key::Rule(..) => RULE,
        Key::Job(..) => JOB,
        Key::Move(..) => MOVE,
        _ => &[],
    }
}

/// Attribute with the date of a posting in version 2.
const POSTING_DATE: &str = "indexed_at";

/// Returns the changes that an item needs; none if the item has version 2.
fn changes(key: &Key, item: &Item, now: Timestamp) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for Rename { old, new, conversion } in renames(key) {
        if let Some(value) = item.get(*old) {
            let converted = match conversion {
                Conversion::None => value.clone(),
                Conversion::Contacts => contacts(value)?,
                Conversion::Job => job(value)?,
            };
            changes.push(Change { old: Some((old, value.clone())), new, value: converted });
        }
    }
    // Early programs of version 1 wrote postings without a date.
    let is_posting = matches!(key, Key::Posting(..) | Key::PackedPosting(..));
    if is_posting && changes.is_empty() && !item.contains_key(POSTING_DATE) {
        changes.push(Change { old: None, new: POSTING_DATE, value: items::n(now.ticks()) });
    }
    Ok(changes)
}

/// Converts a job. Only a job of named contacts holds a set of contacts.
fn job(value: &AttributeValue) -> Result<AttributeValue, StoreError> {
    let mut value = value.clone();
    if let Some(set) =
        member(&mut value, "Task").and_then(|task| member(task, "Contacts")).and_then(|task| member(task, "contacts"))
    {
        *set = contacts(set)?;
    }
    Ok(value)
}

fn member<'a>(value: &'a mut AttributeValue, name: &str) -> Option<&'a mut AttributeValue> {
    if let AttributeValue::M(members) = value { members.get_mut(name) } else { None }
}

/// Converts a set of contacts.
fn contacts(value: &AttributeValue) -> Result<AttributeValue, StoreError> {
    let corrupt = || StoreError::Corrupt("a set of contacts of version 1 has an unknown form".into());
    let bytes = value.as_b().map_err(|_| corrupt())?;
    let contacts = decode_gaps(bytes.as_ref()).ok_or_else(corrupt)?;
    items::to_document(&contacts)
}

/// Decodes a set of contacts of version 1: the gaps between the ascending identifiers as LEB128 numbers.
fn decode_gaps(bytes: &[u8]) -> Option<ContactSet> {
    /// Bits of a gap in one byte.
    const GROUP_BITS: u32 = 7;
    /// Mask of a gap's bits in one byte.
    const GROUP: u8 = 0x7f;
    let (mut contacts, mut id, mut gap, mut bits) = (Vec::new(), 0_i64, 0_i64, 0);
    for byte in bytes {
        if bits >= i32::BITS {
            return None;
        }
        gap |= i64::from(byte & GROUP) << bits;
        bits += GROUP_BITS;
        if byte & !GROUP == 0 {
            id += gap;
            contacts.push(ContactId::try_from(id).ok().filter(|_| gap > 0)?);
            (gap, bits) = (0, 0);
        }
    }
    (bits == 0).then(|| contacts.into_iter().collect())
}
