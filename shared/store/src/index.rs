//! Execution of a plan: reads the matches of one shard, page by page.

use std::collections::VecDeque;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, Select};
use models::filter::IndexEntry;
use models::filter::plan::{AccessPath, Plan};
use models::values::id::PortalId;
use models::values::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contacts::{COMPANY, NAME, OPPORTUNITY, STAGE, TAGS, TYPE};
use crate::dynamodb::client::Store;
use crate::dynamodb::items::{self, Item};
use crate::error::StoreError;
use crate::keys::{Index, IndexPosition, Partition};

/// Maximum matches on a page.
pub const PAGE_MATCHES: usize = 1000;
/// Index entries per query. The SDK's form of an entry takes ten times the memory of an [`IndexEntry`].
const QUERY_ENTRIES: i32 = 250;
/// Maximum queries per page, even if the page is not full. A filter with few matches then does not make its caller wait
/// for the whole index.
const QUERIES_PER_PAGE: usize = 8;

/// The point that the scan of a shard has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCursor {
    /// Number of the partition within the shard.
    pub partition: usize,
    /// Last position read in the partition; none before the first.
    pub after: Option<IndexPosition>,
}

/// A match, with the cursor after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The contact.
    pub position: IndexPosition,
    /// Cursor after this match.
    pub cursor: ScanCursor,
}

/// A page of matches, or of values derived from matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchPage<T = Match> {
    /// At most [`PAGE_MATCHES`]; may be empty although more follow.
    pub matches: Vec<T>,
    /// Number of index entries examined for the page.
    pub examined: u64,
    /// Cursor after the page; none at the end of the shard.
    pub next: Option<ScanCursor>,
}

/// The matches of one shard of a plan, in the order of partitions. Within a partition, matches descend by creation date
/// and identifier.
#[derive(Debug)]
pub struct Matches<'a> {
    store: &'a Store,
    portal: &'a PortalId,
    plan: &'a Plan,
    shard: u16,
    cursor: ScanCursor,
    /// Entries of the last query that are not on a page yet.
    read: VecDeque<IndexEntry>,
    /// Part of the partition that the last query left unread.
    remaining: Remaining,
}

impl<'a> Matches<'a> {
    /// Starts reading `shard` of `plan` at `cursor`.
    pub fn new(store: &'a Store, portal: &'a PortalId, plan: &'a Plan, shard: u16, cursor: ScanCursor) -> Self {
        Self { store, portal, plan, shard, cursor, read: VecDeque::new(), remaining: Remaining::Unread }
    }

    /// Reads the next page; none at the end: 1 read unit per 8 KB of index entries, matching or not.
    pub async fn next(&mut self) -> Result<Option<MatchPage>, StoreError> {
        self.page(|_, found| found).await
    }

    /// Reads the index entries of the next page, like [`Self::next`].
    pub async fn next_entries(&mut self) -> Result<Option<MatchPage<IndexEntry>>, StoreError> {
        self.page(|entry, _| entry).await
    }

    async fn page<T>(&mut self, derive: fn(IndexEntry, Match) -> T) -> Result<Option<MatchPage<T>>, StoreError> {
        if self.ended() {
            return Ok(None);
        }
        let mut page = MatchPage { matches: Vec::new(), examined: 0, next: None };
        let mut queries = 0;
        loop {
            while let Some(entry) = self.read.pop_front() {
                let position = IndexPosition { created: entry.created, contact: entry.contact };
                self.cursor.after = Some(position);
                page.examined += 1;
                if self.plan.selects(&entry) {
                    page.matches.push(derive(entry, Match { position, cursor: self.cursor }));
                    if page.matches.len() == PAGE_MATCHES {
                        page.next = Some(self.cursor);
                        return Ok(Some(page));
                    }
                }
            }
            match self.remaining {
                Remaining::Unread => {}
                // DynamoDB may read entries and return none of them. The scan continues after the entries read.
                Remaining::After(position) => self.cursor.after = Some(position),
                Remaining::Nothing => self.cursor = ScanCursor { partition: self.cursor.partition + 1, after: None },
            }
            self.remaining = Remaining::Unread;
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

    async fn query(&mut self) -> Result<(), StoreError> {
        let partition = partition(self.portal, &self.plan.source, self.shard, self.cursor.partition);
        let Some(partition) = partition else {
            self.remaining = Remaining::Nothing;
            return Ok(());
        };
        let range = KeyRange { after: self.cursor.after, ..KeyRange::of(self.plan, partition) };
        let page = self.store.index_entries(&range, QUERY_ENTRIES).await?;
        self.read = page.entries;
        self.remaining = page.next.map_or(Remaining::Nothing, Remaining::After);
        Ok(())
    }
}

/// The part of a partition that the last query left unread.
#[derive(Clone, Copy, Debug)]
enum Remaining {
    /// Everything after the cursor, which no query has read yet.
    Unread,
    /// Everything after this position.
    After(IndexPosition),
    /// Nothing.
    Nothing,
}

/// Returns a partition of a shard by its number; none after the last.
fn partition(portal: &PortalId, source: &AccessPath, shard: u16, number: usize) -> Option<Partition> {
    match source {
        AccessPath::Tag(tag) => (number == 0).then(|| Partition::Tag(portal.clone(), shard, tag.clone())),
        AccessPath::Stages(stages) => stages.get(number).map(|stage| Partition::Stage(portal.clone(), shard, *stage)),
        // Postings are in no index.
        AccessPath::Postings(_) => None,
    }
}

/// Returns all partitions of a plan, shard by shard.
pub(crate) fn partitions(portal: &PortalId, plan: &Plan) -> Vec<Partition> {
    let of = |shard| (0..plan.source.partitions()).filter_map(move |n| partition(portal, &plan.source, shard, n));
    (0..plan.shards).flat_map(of).collect()
}

/// A range of positions in a partition of an index.
#[derive(Clone, Debug)]
pub(crate) struct KeyRange {
    pub(crate) partition: Partition,
    /// Earliest creation date.
    pub(crate) from: Timestamp,
    /// Latest creation date.
    pub(crate) to: Timestamp,
    /// Last position already read; the query continues after it.
    pub(crate) after: Option<IndexPosition>,
    /// True if the earliest contact comes first.
    pub(crate) ascending: bool,
}

impl KeyRange {
    /// Returns the range that `plan` reads in one of its partitions, the latest contact first.
    pub(crate) fn of(plan: &Plan, partition: Partition) -> Self {
        Self { partition, from: plan.from, to: plan.to, after: None, ascending: false }
    }

    /// Returns the lowest and the highest sort key; none if the range is empty.
    fn bounds(&self) -> Option<(String, String)> {
        let (mut low, mut high) = (IndexPosition::lower_bound(self.from), IndexPosition::upper_bound(self.to));
        if let Some(after) = &self.after {
            if self.ascending {
                low = after.bound_after_ascending();
            } else {
                high = after.bound_after();
            }
        }
        (low <= high).then_some((low, high))
    }
}

/// A page of index entries.
#[derive(Debug, Default)]
pub(crate) struct EntryPage {
    /// The entries. May be empty although more follow.
    pub(crate) entries: VecDeque<IndexEntry>,
    /// Last position read by the query; none at the end of the range.
    pub(crate) next: Option<IndexPosition>,
}

impl Store {
    /// Reads up to `limit` index entries of a range: 1 read unit per 8 KB of entries.
    ///
    /// Continue after [`EntryPage::next`], never after the last entry: DynamoDB may read entries and return none of
    /// them.
    pub(crate) async fn index_entries(&self, range: &KeyRange, limit: i32) -> Result<EntryPage, StoreError> {
        let index = range.partition.index();
        let Some(query) = self.query_index(range) else { return Ok(EntryPage::default()) };
        let output = query.limit(limit).send().await.map_err(|error| StoreError::from_sdk("Query", error))?;
        self.meter.read(&output.consumed_capacity);
        let next = output.last_evaluated_key.filter(|key| !key.is_empty());
        let next = next.map(|key| position(&key, index)).transpose()?;
        let items = output.items.unwrap_or_default();
        Ok(EntryPage { entries: items.iter().map(|item| entry(item, index)).collect::<Result<_, _>>()?, next })
    }

    /// Counts the index entries of a range: 1 read unit per 8 KB of entries, and a call per MB.
    pub(crate) async fn count_entries(&self, range: &KeyRange) -> Result<u64, StoreError> {
        let Some(query) = self.query_index(range) else { return Ok(0) };
        let query = query.select(Select::Count);
        let (mut count, mut start) = (0, None);
        loop {
            let output = query
                .clone()
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Query", error))?;
            self.meter.read(&output.consumed_capacity);
            count += u64::try_from(output.count).unwrap_or(0);
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(count);
            }
        }
    }

    /// Builds the query of a range; none if the range is empty.
    fn query_index(&self, range: &KeyRange) -> Option<QueryFluentBuilder> {
        let index = range.partition.index();
        let (low, high) = range.bounds()?;
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(index.name())
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :low AND :high")
            .expression_attribute_names("#pk", index.pk())
            .expression_attribute_names("#sk", index.sk())
            .expression_attribute_values(":pk", AttributeValue::S(range.partition.encode()))
            .expression_attribute_values(":low", AttributeValue::S(low))
            .expression_attribute_values(":high", AttributeValue::S(high))
            .scan_index_forward(range.ascending)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        Some(query)
    }
}

/// Decodes the position of an index entry.
fn position(item: &Item, index: Index) -> Result<IndexPosition, StoreError> {
    let position = items::text(item, index.sk())?;
    IndexPosition::decode(position)
        .ok_or_else(|| StoreError::Corrupt("the position of an index entry has another form".into()))
}

/// Decodes an index entry. A contact's own item holds the attributes of its index entry, and is decoded likewise.
pub(crate) fn entry(item: &Item, index: Index) -> Result<IndexEntry, StoreError> {
    let position = position(item, index)?;
    Ok(IndexEntry {
        contact: position.contact,
        created: position.created,
        stage: items::number(item, STAGE)?,
        contact_type: items::number(item, TYPE)?,
        is_company: items::boolean(item, COMPANY)?,
        has_opportunity: items::boolean(item, OPPORTUNITY)?,
        tags: tags(item)?,
        name: item.get(NAME).map_or(Ok(""), |_| items::text(item, NAME))?.to_owned(),
    })
}

/// Decodes the folded tags of an index entry.
pub(crate) fn tags(item: &Item) -> Result<Vec<String>, StoreError> {
    match item.get(TAGS) {
        None => Ok(Vec::new()),
        Some(tags) => tags
            .as_l()
            .ok()
            .and_then(|tags| tags.iter().map(|tag| tag.as_s().ok().cloned()).collect())
            .ok_or_else(|| StoreError::Corrupt("the tags of an index entry are not a list of texts".into())),
    }
}
