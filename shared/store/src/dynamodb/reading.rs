//! Options of reads.

/// The consistency of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// May miss the writes of about the last second. Costs half a read unit per 4 KB.
    #[default]
    Eventual,
    /// Shows every write that succeeded before. Costs 1 read unit per 4 KB.
    Strong,
}

impl Consistency {
    /// Returns the value of DynamoDB's parameter `ConsistentRead`.
    pub(crate) const fn is_strong(self) -> bool {
        matches!(self, Self::Strong)
    }
}

/// Options of a batch of reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchOptions {
    /// The consistency.
    pub(crate) consistency: Consistency,
    /// The attributes to read, separated by commas, without reserved words; none means all.
    pub(crate) attributes: Option<&'static str>,
}

/// The part of a range that a query reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryOptions {
    /// The consistency.
    pub(crate) consistency: Consistency,
    /// The order of the sort keys.
    pub(crate) direction: Direction,
    /// Maximum number of items; none means all.
    pub(crate) limit: Option<usize>,
    /// Upper bound of the sort key, exclusive without `from` and inclusive with `from`. It replaces the range's prefix.
    pub(crate) below: Option<String>,
    /// Inclusive lower bound of the sort key. It replaces the range's prefix.
    pub(crate) from: Option<String>,
}

/// The order in which a query returns the sort keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The lowest key first.
    #[default]
    Ascending,
    /// The highest key first.
    Descending,
}
