//! Executing a plan: the matches of one shard, streamed. Everything was decided by the plan.

use std::collections::VecDeque;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use models::filter::IndexEntry;
use models::id::PortalId;
use models::plan::{Plan, Source};
use serde::{Deserialize, Serialize};

use crate::client::Store;
use crate::error::StoreError;
use crate::items::{self, Item};
use crate::keys::{Partition, Position};

/// Matches on a page.
pub const PAGE_MATCHES: usize = 1000;
/// Index entries that one query reads: as the SDK reads them they take ten times the memory of what is kept of them.
const QUERY_ENTRIES: i32 = 250;
/// Queries after which a page is given back though it is not full, so that a filter which selects little does not
/// keep its caller waiting for a whole index.
const QUERIES_PER_PAGE: usize = 8;

/// Where the reading of a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Which of the shard's partitions.
    pub partition: usize,
    /// After which position in it; none before the first.
    pub after: Option<Position>,
}

/// A match, and where the reading goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The contact.
    pub position: Position,
    /// The cursor behind it.
    pub cursor: Cursor,
}

/// A page of matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchPage {
    /// At most [`PAGE_MATCHES`]; may be empty though more follow.
    pub matches: Vec<Match>,
    /// How many index entries were looked at for them.
    pub looked: u64,
    /// Where the reading goes on behind the page; none at the end of the shard.
    pub next: Option<Cursor>,
}

/// The matches of one shard of a plan, in the order of their partitions and within each by creation date and
/// identifier, descending.
#[derive(Debug)]
pub struct Matches<'a> {
    store: &'a Store,
    portal: &'a PortalId,
    plan: &'a Plan,
    shard: u16,
    cursor: Cursor,
    /// What the last query read behind the last page.
    read: VecDeque<IndexEntry>,
    /// Whether the partition goes on behind `read`.
    more: bool,
}

impl<'a> Matches<'a> {
    /// Reads `shard` of `plan` from `cursor` on.
    pub fn new(store: &'a Store, portal: &'a PortalId, plan: &'a Plan, shard: u16, cursor: Cursor) -> Self {
        Self { store, portal, plan, shard, cursor, read: VecDeque::new(), more: true }
    }

    /// The next page; none at the end. 1 read unit per 8 KB of index entries, matching or not.
    pub async fn next(&mut self) -> Result<Option<MatchPage>, StoreError> {
        if self.ended() {
            return Ok(None);
        }
        let mut page = MatchPage::default();
        let mut queries = 0;
        loop {
            while let Some(entry) = self.read.pop_front() {
                let position = Position { created: entry.created, contact: entry.contact };
                self.cursor.after = Some(position);
                page.looked += 1;
                if self.plan.selects(&entry) {
                    page.matches.push(Match { position, cursor: self.cursor });
                    if page.matches.len() == PAGE_MATCHES {
                        page.next = Some(self.cursor);
                        return Ok(Some(page));
                    }
                }
            }
            if !self.more {
                self.cursor = Cursor { partition: self.cursor.partition + 1, after: None };
                self.more = true;
            }
            if self.ended() {
                return Ok(Some(page));
            }
            if queries == QUERIES_PER_PAGE {
                page.next = Some(self.cursor);
                return Ok(Some(page));
            }
            self.query().await?;
            queries += 1;
        }
    }

    fn ended(&self) -> bool {
        self.plan.is_empty() || self.cursor.partition >= self.plan.source.partitions()
    }

    fn partition(&self) -> Partition {
        match &self.plan.source {
            Source::Tag(tag) => Partition::Tag(self.portal.clone(), self.shard, tag.clone()),
            Source::Stages(stages) => Partition::Stage(self.portal.clone(), self.shard, stages[self.cursor.partition]),
        }
    }

    async fn query(&mut self) -> Result<(), StoreError> {
        let partition = self.partition();
        let index = partition.index();
        let low = Position::lower_bound(self.plan.from);
        let high = match &self.cursor.after {
            Some(position) => position.bound_after(),
            None => Position::upper_bound(self.plan.to),
        };
        if high < low {
            self.more = false;
            return Ok(());
        }
        let output = self
            .store
            .client
            .query()
            .table_name(&self.store.table)
            .index_name(index.name())
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :low AND :high")
            .expression_attribute_names("#pk", index.pk())
            .expression_attribute_names("#sk", index.sk())
            .expression_attribute_values(":pk", AttributeValue::S(partition.encode()))
            .expression_attribute_values(":low", AttributeValue::S(low))
            .expression_attribute_values(":high", AttributeValue::S(high))
            .scan_index_forward(false)
            .limit(QUERY_ENTRIES)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        self.store.meter.read(&output.consumed_capacity);
        self.more = output.last_evaluated_key.is_some_and(|key| !key.is_empty());
        let entries = output.items.unwrap_or_default();
        self.read = entries.iter().map(|item| entry(item, index.sk())).collect::<Result<_, _>>()?;
        Ok(())
    }
}

fn entry(item: &Item, sort_key: &str) -> Result<IndexEntry, StoreError> {
    let position = items::text(item, sort_key)?;
    let position = Position::decode(position).ok_or_else(|| StoreError::Corrupt(format!("position {position:?}")))?;
    Ok(IndexEntry {
        contact: position.contact,
        created: position.created,
        stage: items::number(item, "stage")?,
        contact_type: items::number(item, "type")?,
        is_company: items::boolean(item, "company")?,
        has_opportunity: items::boolean(item, "opportunity")?,
        tags: tags(item)?,
        name: item.get("name").map_or(Ok(""), |_| items::text(item, "name"))?.to_owned(),
    })
}

/// The folded tags of an index entry.
pub(crate) fn tags(item: &Item) -> Result<Vec<String>, StoreError> {
    match item.get("tags") {
        None => Ok(Vec::new()),
        Some(tags) => tags
            .as_l()
            .ok()
            .and_then(|tags| tags.iter().map(|tag| tag.as_s().ok().cloned()).collect())
            .ok_or_else(|| StoreError::Corrupt("the tags of an index entry".into())),
    }
}
