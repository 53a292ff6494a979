//! Counters of DynamoDB calls and of the capacity that they consume.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Calls made and capacity consumed, shared by the clones of a store.
#[derive(Debug, Default)]
pub struct Meter {
    /// Meter of the parent store, which also counts this meter's calls.
    parent: Option<Arc<Meter>>,
    calls: AtomicU64,
    // Capacity units come in halves, so the counters count halves.
    read_halves: AtomicU64,
    write_halves: AtomicU64,
}

/// A reading of a [`Meter`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Calls to DynamoDB that were answered.
    pub calls: u64,
    /// Read units, as DynamoDB reported them.
    pub read_units: f64,
    /// Write units, as DynamoDB reported them.
    pub write_units: f64,
}

impl Meter {
    /// Creates a meter whose counts are also added to `parent`.
    pub(crate) fn with_parent(parent: &Arc<Self>) -> Self {
        Self { parent: Some(parent.clone()), ..Self::default() }
    }

    /// Counts a call that read.
    pub(crate) fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.add(halves(consumed), 0);
    }

    /// Counts a call that wrote.
    pub(crate) fn wrote<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.add(0, halves(consumed));
    }

    fn add(&self, read_halves: u64, write_halves: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.read_halves.fetch_add(read_halves, Ordering::Relaxed);
        self.write_halves.fetch_add(write_halves, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.add(read_halves, write_halves);
        }
    }

    /// Returns the counts so far.
    pub fn reading(&self) -> Reading {
        let units = |halves: &AtomicU64| {
            #[expect(clippy::cast_precision_loss, reason = "no request consumes 2^52 units")]
            let units = halves.load(Ordering::Relaxed) as f64 / 2.0;
            units
        };
        Reading {
            calls: self.calls.load(Ordering::Relaxed),
            read_units: units(&self.read_halves),
            write_units: units(&self.write_halves),
        }
    }
}

fn halves<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    let units: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small, positive number of halves")]
    let halves = (units * 2.0).round() as u64;
    halves
}
