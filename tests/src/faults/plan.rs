//! Plans: which calls meet which fault.

use std::fmt;
use std::time::Duration;

use super::{Buckets, Call, Gate, Operation, VirtualTime};

/// The time of a fault: before or after the effect of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call has no effect.
    Before,
    /// The call takes effect, but its caller does not learn this.
    After,
}

impl When {
    /// Both times, for tests that try both.
    pub const BOTH: [Self; 2] = [Self::Before, Self::After];
}

/// The capacity that throttling protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// The capacity of the table.
    Table,
    /// The capacity of an index.
    Index,
    /// The request limit of the account.
    Account,
}

/// A part of a batch: always the last requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All requests.
    All,
    /// Half of the requests, rounded down.
    Half,
    /// This many requests.
    Last(usize),
}

impl Share {
    /// Returns the size of this share of a number of requests.
    pub(super) fn of(self, requests: usize) -> usize {
        match self {
            Self::All => requests,
            Self::Half => requests / 2,
            Self::Last(last) => last,
        }
    }
}

/// A failure of one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers as throttled. A transaction is cancelled for throttling.
    Throttle(Capacity),
    /// Answers as in conflict with a transaction. A transaction is cancelled for the conflict.
    Conflict,
    /// Refuses the call for good, without effect: a validation error of the table, an error of the bus.
    Refuse,
    /// Answers with status 500, an internal error of the server.
    InternalError(When),
    /// Answers with status 503, a server that is unavailable.
    Unavailable(When),
    /// Cuts the connection of this call.
    Reset(When),
    /// Cuts the connections of this call and of all others until [`Injector::clear`](super::Injector::clear), held
    /// calls included. Later calls have no effect and no answer, as if the caller's process had died.
    Die(When),
    /// Panics in the caller. The proxy has no caller to panic in, and cuts the connection.
    Panic,
    /// Holds the call or its answer until the gate opens, even if the caller has hung up. A gate that never opens
    /// simulates a timeout.
    Hold(When, Gate),
    /// Lets virtual time pass before or after the call's effect. A delay longer than the SDK's timeout is a time-out.
    /// Only an engine in this process has virtual time.
    Delay(When, VirtualTime, Duration),
    /// Answers the requests of partitions without capacity as throttled or unprocessed.
    Limit(Buckets),
    /// Returns a share of a batch unprocessed and forwards the other requests, if any. Other calls pass.
    Unprocessed(Share),
    /// Answers a query with an empty page that ends right before its first result. Other calls pass.
    EmptyPage,
    /// Limits a query of an index to this many entries, so that few entries take many calls. Other calls pass.
    ShortPage(u64),
    /// Reads from the lagging engine of [`Proxy::lagging`](super::Proxy::lagging): a stale item, or an index without
    /// its late entries. Writes, and calls of a proxy without a lagging engine, pass.
    Stale,
}

type Condition = dyn FnMut(&Call) -> bool + Send;

/// A selection of calls. Conditions apply in the order in which they are added.
#[must_use]
pub struct Calls(Vec<Box<Condition>>);

impl Calls {
    /// Selects every call.
    pub fn all() -> Self {
        Self(Vec::new())
    }

    /// Selects the calls of an operation.
    pub fn of(operation: Operation) -> Self {
        Self::matching(move |call| call.operation == operation)
    }

    /// Selects the calls that write items.
    pub fn writes() -> Self {
        Self::matching(Call::writes)
    }

    /// Selects the call with this number since the last plan, starting at 1.
    pub fn numbered(number: u64) -> Self {
        Self::matching(move |call| call.number == number)
    }

    /// Selects the calls that meet a condition.
    ///
    /// The condition sees each call once, in the order of the numbers. The condition must not use the injector: the
    /// injector is locked meanwhile.
    pub fn matching(condition: impl FnMut(&Call) -> bool + Send + 'static) -> Self {
        Self::all().and(condition)
    }

    /// Keeps the calls that also meet this condition.
    pub fn and(mut self, condition: impl FnMut(&Call) -> bool + Send + 'static) -> Self {
        self.0.push(Box::new(condition));
        self
    }

    /// Keeps the `nth` selected call, starting at 1.
    pub fn nth(self, nth: u64) -> Self {
        self.counted(move |count| count == nth)
    }

    /// Keeps the first `count` selected calls.
    pub fn first(self, count: u64) -> Self {
        self.counted(move |number| number <= count)
    }

    /// Keeps the selected calls from the `nth` on, starting at 1.
    pub fn from_nth(self, nth: u64) -> Self {
        self.counted(move |count| count >= nth)
    }

    /// Keeps `per_mille` of a thousand selected calls, drawn from a seed. Equal seeds keep the same positions.
    pub fn at_random(self, per_mille: u64, seed: u64) -> Self {
        let mut random = SplitMix(seed);
        self.and(move |_| random.next() % 1000 < per_mille)
    }

    fn counted(self, is_kept: impl Fn(u64) -> bool + Send + 'static) -> Self {
        let mut count = 0;
        self.and(move |_| {
            count += 1;
            is_kept(count)
        })
    }

    /// Returns the plan in which the selected calls meet the fault.
    pub fn meet(self, fault: Fault) -> FaultPlan {
        FaultPlan(vec![Rule { calls: self, fault }])
    }

    fn select(&mut self, call: &Call) -> bool {
        self.0.iter_mut().all(|is_met| is_met(call))
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("conditions", &self.0.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Rule {
    calls: Calls,
    fault: Fault,
}

/// Faults with the calls that meet them. The empty plan has no fault.
#[derive(Debug, Default)]
#[must_use]
pub struct FaultPlan(Vec<Rule>);

impl FaultPlan {
    /// Adds the faults of another plan. A call that meets several faults meets them in the order of the plans.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Returns the faults that a call meets. Every selection counts every call.
    pub(super) fn faults_of(&mut self, call: &Call) -> Vec<Fault> {
        let rules = self.0.iter_mut();
        rules.filter_map(|rule| rule.calls.select(call).then(|| rule.fault.clone())).collect()
    }
}

/// The generator SplitMix64: small, and equal on every machine.
#[derive(Clone, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// Creates a generator. Equal seeds give equal numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Returns true for `per_mille` of a thousand draws.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// Returns one of the values.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        let index = usize::try_from(self.below(values.len() as u64)).unwrap_or(0);
        values[index]
    }

    /// Returns the next number.
    #[expect(clippy::should_implement_trait, reason = "the generator never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
