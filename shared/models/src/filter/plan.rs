//! From a filter to the index partitions that answer it.
//!
//! A plan says everything; what executes it makes no choices.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::directory::Statistics;
use crate::filter::{Filter, IndexEntry, ListView, Test};
use crate::values::moment::Moment;

/// Which index a plan reads, and in it which partitions of each shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessPath {
    /// The tag index, at this tag.
    Tag(String),
    /// The stage index, at these stages.
    Stages(Vec<i32>),
}

impl AccessPath {
    /// How many partitions a shard has.
    pub fn partitions(&self) -> usize {
        match self {
            Self::Tag(_) => 1,
            Self::Stages(stages) => stages.len(),
        }
    }
}

/// How a filter is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is read.
    pub source: AccessPath,
    /// In how many shards.
    pub shards: u16,
    /// The earliest creation date read.
    pub from: Moment,
    /// The latest creation date read.
    pub to: Moment,
    /// What is tested on each entry that is read. It follows from the filter, which is kept beside a plan that is kept: a
    /// thousand long tags would not fit an item twice.
    #[serde(skip)]
    pub tests: Vec<Test>,
}

impl Plan {
    /// The plan as it was made for `filter`, of one that was kept beside it.
    #[must_use]
    pub fn restored(&self, filter: &Filter) -> Self {
        Self { tests: tests(filter, &self.source), ..self.clone() }
    }

    /// Whether an entry that was read is a match.
    pub fn selects(&self, entry: &IndexEntry) -> bool {
        self.tests.iter().all(|test| test.passes(entry))
    }

    /// About how many entries it reads, by the directory's counters: dates may leave fewer.
    pub fn expected(&self, statistics: &Statistics) -> u64 {
        if self.is_empty() {
            return 0;
        }
        match &self.source {
            AccessPath::Tag(tag) => statistics.tags.get(tag).copied().unwrap_or(0),
            AccessPath::Stages(stages) => stages.iter().filter_map(|stage| statistics.stages.get(stage)).sum(),
        }
    }

    /// Whether no contact can match.
    pub fn is_empty(&self) -> bool {
        self.from > self.to || self.source.partitions() == 0
    }
}

/// How many of a filter's tags are looked at for the rarest. The first ones serve as well as all do: the result is the
/// same, and a filter of more tags than this is rare.
pub const COUNTED_TAGS: usize = 100;

/// Plans `filter` over a portal of `shards` shards.
///
/// It reads the partition with the fewest contacts by the directory's counters: that of one of the filter's tags, or
/// those of its stages. A filter with neither reads every stage, because each contact is in exactly one.
/// The counters are estimates: they decide the cost, never the result. On a tie the tag is read, which is one partition.
pub fn plan(filter: &Filter, statistics: &Statistics, shards: u16) -> Plan {
    // Stage 0 holds the contacts without a stage; it is no entry of the directory.
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
        from: filter.from_date.unwrap_or(Moment::MIN),
        to: filter.to_date.unwrap_or(Moment::MAX),
    }
}

/// What is left to be tested on the entries of `source`.
fn tests(filter: &Filter, source: &AccessPath) -> Vec<Test> {
    let is_read = |tag: &&String| matches!(source, AccessPath::Tag(read) if read == *tag);
    let mut tests = Vec::new();
    tests.extend(filter.tags.iter().filter(|tag| !is_read(tag)).cloned().map(Test::Tag));
    if matches!(source, AccessPath::Tag(_)) && !filter.stages.is_empty() {
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
