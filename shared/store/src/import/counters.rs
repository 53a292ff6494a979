//! Counters of contacts by stage, type and tag, which an import maintains.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use models::contact::ContactRecord;
use models::directory::Portal;
use models::values::fold::fold_tag;
use models::values::id::PortalId;

use crate::contacts::{TAGS, TYPE};
use crate::directory::{COUNT, TAG_TITLE};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, s};
use crate::dynamodb::reading::Consistency;
use crate::error::StoreError;
use crate::import::{Current, Importer};
use crate::keys::{Key, Partition, Range};

/// A counter in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counter {
    Stage(i32),
    Type(i32),
    Tag(String),
}

impl Counter {
    pub(super) fn of(record: &ContactRecord) -> impl Iterator<Item = Self> + '_ {
        let contact_type = (record.contact_type != 0).then_some(Self::Type(record.contact_type));
        let tags = record.tags.iter().map(|tag| Self::Tag(fold_tag(tag)));
        std::iter::once(Self::Stage(record.stage)).chain(contact_type).chain(tags)
    }

    pub(super) fn key(&self, portal: &PortalId) -> Key {
        match self {
            Self::Stage(id) => Key::Stage(portal.clone(), *id),
            Self::Type(id) => Key::Type(portal.clone(), *id),
            Self::Tag(tag) => Key::Tag(portal.clone(), tag.clone()),
        }
    }
}

impl<'a> Importer<'a> {
    pub(super) fn count(&mut self, deltas: HashMap<Counter, i64>) {
        if let Some(current) = &mut self.current {
            for (counter, delta) in deltas {
                *current.deltas.entry(counter).or_default() += delta;
            }
        }
    }

    /// Applies the changes of the counters, then removes the mark of dirty counters.
    pub(super) async fn apply_counters(&self, current: &Current) -> Result<(), StoreError> {
        let portal = &current.portal;
        for (counter, delta) in current.deltas.iter().filter(|(_, delta)| **delta != 0) {
            let mut names = HashMap::from([("#count".to_owned(), COUNT.to_owned())]);
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
            let names = HashMap::from([("#dirty".to_owned(), COUNTERS_DIRTY.to_owned())]);
            self.store.update(&Key::Portal(portal.id.clone()), "REMOVE #dirty", names, HashMap::new()).await?;
        }
        Ok(())
    }
}

/// The attribute that marks a portal whose counters are dirty.
pub(crate) const COUNTERS_DIRTY: &str = "counters_dirty";

impl Store {
    /// Recounts the contacts of every stage, type and tag from the stage index, which holds each contact once with all
    /// its tags: 1 read unit per 8 KB of index entries, 1 write unit per stage, type and tag.
    pub(super) async fn recount(&self, portal: &Portal) -> Result<(), StoreError> {
        // Stage 0 holds the contacts without a stage. Counters without contacts are set to 0.
        let mut counts: HashMap<Counter, i64> = HashMap::from([(Counter::Stage(0), 0)]);
        let of = portal.id.clone();
        for range in [Range::Stages(of.clone()), Range::Types(of.clone()), Range::Tags(of)] {
            for item in self.query(&range, Consistency::Strong).await? {
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
            let names = HashMap::from([("#count".to_owned(), COUNT.to_owned())]);
            let values = HashMap::from([(":count".to_owned(), items::n(count))]);
            self.update(&counter.key(&portal.id), "SET #count = :count", names, values).await?;
        }
        Ok(())
    }

    pub(super) async fn count_partition(
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
                .expression_attribute_names("#tags", TAGS)
                .expression_attribute_names("#type", TYPE)
                .expression_attribute_values(":pk", s(partition.encode()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Query", error))?;
            self.meter.read(&output.consumed_capacity);
            for item in output.items.unwrap_or_default() {
                *counts.entry(Counter::Stage(stage)).or_default() += 1;
                let contact_type = items::number(&item, TYPE)?;
                if contact_type != 0 {
                    *counts.entry(Counter::Type(contact_type)).or_default() += 1;
                }
                for tag in crate::index::tags(&item)? {
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
