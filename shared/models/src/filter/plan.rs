//! Query plans: the index partitions that answer a filter.
//!
//! A plan makes all choices; its executor makes none.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::directory::Statistics;
use crate::filter::{Filter, IndexEntry, ListView, Test};
use crate::values::id::UserId;
use crate::values::timestamp::Timestamp;

/// The index that a plan reads with its partitions in each shard, or the postings that a plan reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessPath {
    /// The tag index, at this tag.
    Tag(String),
    /// The stage index, at these stages.
    Stages(Vec<i32>),
    /// The postings of this user, who is a manager of every match. Each shard reads all postings and tests its own
    /// contacts.
    Postings(UserId),
}

impl AccessPath {
    /// Returns the number of partitions to read in each shard.
    pub fn partitions(&self) -> usize {
        match self {
            Self::Tag(_) | Self::Postings(_) => 1,
            Self::Stages(stages) => stages.len(),
        }
    }
}

/// The plan that answers a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The index and its partitions.
    pub source: AccessPath,
    /// Number of shards to read.
    pub shards: u16,
    /// The earliest creation date to read.
    pub from: Timestamp,
    /// The latest creation date to read.
    pub to: Timestamp,
    /// Tests of each entry that is read. A stored plan omits the tests, because an item has no room for a thousand long
    /// tags twice. [`Plan::restored`] derives the tests from the filter, which the same item stores.
    #[serde(skip)]
    pub tests: Vec<Test>,
}

impl Plan {
    /// Returns a plan for the same filter that reads the postings of `manager`. Each contact in the postings is tested
    /// against the whole filter, so the plan needs no tests.
    #[must_use]
    pub fn by_postings(self, manager: UserId) -> Self {
        Self { source: AccessPath::Postings(manager), tests: Vec::new(), ..self }
    }

    /// Returns a stored plan with its tests, derived again from its `filter`.
    #[must_use]
    pub fn restored(&self, filter: &Filter) -> Self {
        Self { tests: tests(filter, &self.source), ..self.clone() }
    }

    /// Returns whether an entry from the plan's range passes all tests.
    pub fn selects(&self, entry: &IndexEntry) -> bool {
        self.tests.iter().all(|test| test.passes(entry))
    }

    /// Estimates the number of entries to read from the directory's counters. The date range may reduce this number.
    pub fn expected(&self, statistics: &Statistics) -> u64 {
        if self.is_empty() {
            return 0;
        }
        match &self.source {
            AccessPath::Tag(tag) => statistics.tags.get(tag).copied().unwrap_or(0),
            AccessPath::Stages(stages) => stages.iter().filter_map(|stage| statistics.stages.get(stage)).sum(),
            // The directory does not count postings.
            AccessPath::Postings(_) => 0,
        }
    }

    /// Returns whether no contact can match.
    pub fn is_empty(&self) -> bool {
        self.from > self.to || self.source.partitions() == 0
    }
}

/// Maximum tags of a filter whose counters the planner compares to find the rarest. The limit affects only the cost,
/// and filters of more tags are rare.
pub const COUNTED_TAGS: usize = 100;

/// Plans `filter` over a portal of `shards` shards.
///
/// The plan reads the partitions with the fewest contacts by the directory's counters: those of one tag of the filter,
/// or those of its stages. Without tags and stages, the plan reads every stage, because each contact is in exactly one.
/// The counters are estimates: they affect the cost, never the result. On a tie the plan reads the tag, which has one
/// partition per shard.
pub fn plan(filter: &Filter, statistics: &Statistics, shards: u16) -> Plan {
    // Stage 0 holds the contacts without a stage; the directory has no entry for stage 0.
    let known = |stage: &i32| *stage == 0 || statistics.stages.contains_key(stage);
    let stages: Vec<i32> = if filter.stages.is_empty() {
        std::iter::once(0).chain(statistics.stages.keys().copied().filter(|stage| *stage != 0)).collect()
    } else {
        filter.stages.iter().copied().filter(known).collect()
    };
    let tagged = |tag: &String| statistics.tags.get(tag).copied().unwrap_or(0);
    let staged: u64 = stages.iter().filter_map(|stage| statistics.stages.get(stage)).sum();
    let rarest = filter.tags.iter().take(COUNTED_TAGS).min_by_key(|tag| tagged(tag));

    let source = match rarest {
        Some(tag) if filter.stages.is_empty() || tagged(tag) <= staged => AccessPath::Tag(tag.clone()),
        _ => AccessPath::Stages(stages),
    };

    Plan {
        tests: tests(filter, &source),
        source,
        shards,
        from: filter.from_date.unwrap_or(Timestamp::MIN),
        to: filter.to_date.unwrap_or(Timestamp::MAX),
    }
}

/// Returns the tests that the range of `source` does not cover.
fn tests(filter: &Filter, source: &AccessPath) -> Vec<Test> {
    let is_read = |tag: &&String| matches!(source, AccessPath::Tag(read) if read == *tag);
    let mut tests = Vec::new();
    tests.extend(filter.tags.iter().filter(|tag| !is_read(tag)).cloned().map(Test::Tag));
    if !matches!(source, AccessPath::Stages(_)) && !filter.stages.is_empty() {
        tests.push(Test::Stage(filter.stages.clone()));
    }
    if !filter.types.is_empty() {
        tests.push(Test::Type(filter.types.clone()));
    }
    if filter.view != ListView::All {
        tests.push(Test::View(filter.view));
    }
    tests.extend(filter.words.iter().cloned().map(Test::Word));
    tests
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            AccessPath::Tag(tag) => write!(f, "read tag {tag:?}")?,
            AccessPath::Stages(stages) => write!(f, "read stages {stages:?}")?,
            AccessPath::Postings(manager) => write!(f, "read the postings of {manager}")?,
        }
        write!(f, " in {} shard(s), created {} to {}", self.shards, self.from, self.to)?;
        for test in &self.tests {
            match test {
                Test::Tag(tag) => write!(f, "; keep tag {tag:?}"),
                Test::Stage(stages) => write!(f, "; keep stages {stages:?}"),
                Test::Type(types) => write!(f, "; keep types {types:?}"),
                Test::View(view) => write!(f, "; keep view {}", view.name()),
                Test::Word(word) => write!(f, "; keep name with {word:?}"),
            }?;
        }
        Ok(())
    }
}
