//! Contacts of an import, written several hundred at a time.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use models::access::{Access, Author};
use models::contact::ContactRecord;
use models::filter::IndexEntry;
use models::job::{JobId, Revision};
use models::limits::{self, IMPORT_AHEAD_MILLIS, IMPORT_WRITE_MILLIS};
use models::values::fold::fold_tag;
use models::values::id::{ContactId, PortalId};
use models::values::timestamp::Timestamp;
use uuid::Uuid;

use crate::contacts::{AccessRecord, RECORD, is_removal_mark, removed_item, tag_items};
use crate::directory::{RESHARD_TO, SHARDS};
use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::items::{self, Item, s};
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::import::counters::{COUNTERS_DIRTY, Counter};
use crate::import::journal::Journal;
use crate::import::{ImportError, Importer};
use crate::keys::{Key, Range};
use crate::moves::Moves;
use crate::postings::Postings;

/// Contacts that are compared and written in one batch.
pub(super) const CONTACTS_AT_ONCE: usize = 500;

/// Maximum time between writing a batch's postings and its access records.
pub(super) const POSTING_VALIDITY: SignedDuration = limits::duration(IMPORT_WRITE_MILLIS);

/// A contact to load, with its item.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: ContactRecord,
    pub(super) access: Access,
    pub(super) item: Item,
}

impl<'a> Importer<'a> {
    /// Marks the portal's counters as dirty: 1 write unit. No re-sharding of the portal begins until the mark is
    /// removed. Every batch sets the mark again, because the end of another import removes the mark.
    ///
    /// # Errors
    ///
    /// [`ImportError::Resharding`] when a re-sharding of the portal began first.
    pub(super) async fn mark_counters_dirty(&mut self) -> Result<(), ImportError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let names = [("#dirty", COUNTERS_DIRTY), ("#shards", SHARDS), ("#to", RESHARD_TO)];
        let names = names.map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into();
        let shards = items::n(current.portal.shards);
        let values = HashMap::from([(":true".to_owned(), s("true")), (":shards".to_owned(), shards)]);
        let condition = Some("#shards = :shards AND attribute_not_exists(#to)");
        let key = Key::Portal(current.portal.id.clone());
        if self.store.update_if(&key, "SET #dirty = :true", condition, names, values).await?.is_none() {
            return Err(ImportError::Resharding(current.portal.id.clone()));
        }
        current.marked = true;
        Ok(())
    }

    pub(super) async fn flush_contacts(&mut self) -> Result<(), ImportError> {
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
                self.store.recently_removed(&portal.id, &missing.copied().collect::<Vec<_>>()).await?
            }
            false => HashSet::new(),
        };

        let now = (self.options.clock)();
        // Each flush has its own revision. If a later flush writes a contact again, a job that read this flush's record
        // is rejected.
        let revision: JobId = Uuid::now_v7().into();
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
                // Remove what an earlier contact with this identifier left: the mark of its removal, or a record that
                // somebody wrote during the removal.
                first.push(Write::delete(&Key::Access(portal.id.clone(), record.id)));
            }
            if !keeps_access {
                let written = AccessRecord {
                    access: &access,
                    revision: Revision { job: revision, chunk: None },
                    replaced: before.as_ref().and_then(|(_, state)| state.job()),
                    set_by: Author::Operator,
                    set_at: now,
                };
                first.push(written.write(&portal.id, record.id));
                postings.add_all(record.id, &access);
            }
            match before {
                Some((before, _)) if before == record => {
                    let count = if keeps_access { &mut self.summary.unchanged } else { &mut self.summary.replaced };
                    *count += 1;
                    continue;
                }
                Some((before, _)) => {
                    self.summary.replaced += 1;
                    if IndexEntry::from(&before) != IndexEntry::from(&record) {
                        moves.moved.push(record.id);
                    }
                    let tags: HashSet<String> = record.tags.iter().map(|tag| fold_tag(tag)).collect();
                    let removed_tags = before.tags.iter().map(|tag| fold_tag(tag)).filter(|tag| !tags.contains(tag));
                    first.extend(
                        removed_tags.map(|tag| Write::delete(&Key::ContactTag(portal.id.clone(), record.id, tag))),
                    );
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
            self.mark_counters_dirty().await?;
        }
        let indexed_at = self.index_managers(&portal.id, &postings).await?;
        if (self.options.clock)().since(indexed_at) > POSTING_VALIDITY {
            // The postings are too old: the machine may have slept.
            self.index_managers(&portal.id, &postings).await?;
        }
        let mut journal =
            Journal { store: self.store, options: &self.options, portal: &portal, moves: &moves, revision, at: None };
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

    /// Writes the postings of managers. Returns the time at which the writing began. The postings are dated ahead of
    /// this machine's clock, because the clock may be slow and writes may be throttled.
    pub(super) async fn index_managers(&self, portal: &PortalId, postings: &Postings) -> Result<Timestamp, StoreError> {
        let now = (self.options.clock)();
        self.store
            .index_managers(portal, postings, now + limits::duration(IMPORT_AHEAD_MILLIS), Priority::Bulk)
            .await?;
        Ok(now)
    }

    /// Removes a contact with all its items, its own item first. An interrupted removal leaves tag entries of the
    /// contact; loading the same line again removes them. A mark stays in place of the access record, so that a job
    /// that read the contact before gives the contact no new record.
    pub(super) async fn delete(&mut self, contact: ContactId) -> Result<(), ImportError> {
        let Some(current) = &self.current else { return Ok(()) };
        let portal = current.portal.id.clone();
        let items = self.store.query(&Range::OfContact(portal.clone(), contact), Consistency::Strong).await?;
        if items.iter().all(is_removal_mark) {
            return Ok(());
        }
        self.mark_counters_dirty().await?;
        let now = (self.options.clock)();
        self.store.record_removal(&portal, contact, now).await?;
        if let Some(current) = &mut self.current {
            current.had_contacts = true;
        }
        let mut deltas = HashMap::new();
        let mut others = vec![Write::put(removed_item(&portal, contact, Uuid::now_v7().into(), now))];
        for mut item in items {
            let key = items::key_of(&item)?;
            match key {
                Key::Contact(..) => {
                    let record: ContactRecord = items::document(&mut item, RECORD)?;
                    deltas = Counter::of(&record).map(|counter| (counter, -1)).collect();
                    self.store.write_all(vec![Write::delete(&key)], Priority::Bulk).await?;
                    self.summary.deleted += 1;
                }
                Key::Access(..) => {}
                _ => others.push(Write::delete(&key)),
            }
        }
        self.store.write_all(others, Priority::Bulk).await?;
        self.count(deltas);
        Ok(())
    }
}
