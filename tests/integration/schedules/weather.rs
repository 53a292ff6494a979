//! The faults of a schedule.

use std::time::Duration;

use tests::faults::{
    Buckets, Call, Calls, Capacity, Fault, FaultPlan, LaggingEngine, Operation, Share, SplitMix, Units, VirtualTime,
    When,
};

use crate::job_faults::written_by;

/// A delay longer than the timeout of an attempt.
const TIMEOUT: Duration = Duration::from_secs(6);
/// A slow answer in time.
const SLOW: Duration = Duration::from_millis(700);

/// A kind of fault, with the calls that may meet the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    TableThrottled,
    IndexThrottled,
    AccountThrottled,
    Unprocessed(Share),
    InternalError(When),
    Unavailable(When),
    Reset(When),
    TimeOut(When),
    Slow(When),
    Conflict,
    Stale,
    Buckets,
    Death(When),
    EmptyPage,
    ShortPage,
    Refused,
}

const TROUBLES: [Trouble; 22] = [
    Trouble::TableThrottled,
    Trouble::IndexThrottled,
    Trouble::AccountThrottled,
    Trouble::Unprocessed(Share::All),
    Trouble::Unprocessed(Share::Half),
    Trouble::Unprocessed(Share::Last(1)),
    Trouble::InternalError(When::Before),
    Trouble::InternalError(When::After),
    Trouble::Unavailable(When::Before),
    Trouble::Unavailable(When::After),
    Trouble::Reset(When::Before),
    Trouble::Reset(When::After),
    Trouble::TimeOut(When::Before),
    Trouble::TimeOut(When::After),
    Trouble::Slow(When::After),
    Trouble::Conflict,
    Trouble::Stale,
    Trouble::Buckets,
    Trouble::Death(When::Before),
    Trouble::Death(When::After),
    Trouble::EmptyPage,
    Trouble::ShortPage,
];

/// Shares of calls, in thousandths. The last share is forever.
const RATES: [u64; 6] = [10, 50, 150, 400, 800, 1000];

/// The calls that a trouble may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    All,
    Writes,
    Reads,
    Of(Operation),
}

const REACHES: [Reach; 8] = [
    Reach::All,
    Reach::Writes,
    Reach::Reads,
    Reach::Of(Operation::BatchExecuteStatement),
    Reach::Of(Operation::BatchExecuteStatement),
    Reach::Of(Operation::BatchWriteItem),
    Reach::Of(Operation::UpdateItem),
    Reach::Of(Operation::PutItem),
];

impl Reach {
    fn calls(self) -> Calls {
        match self {
            Self::All => Calls::all(),
            Self::Writes => Calls::writes(),
            Self::Reads => Calls::matching(|call| !call.writes()),
            Self::Of(operation) => Calls::of(operation),
        }
    }
}

/// The faults of a schedule, from which each process draws its own plan.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    troubles: Vec<(Trouble, Reach, u64)>,
    /// The contact whose access record the table refuses.
    refused: i32,
    /// The maximum number of writes by which the index and reads that are not consistent lag.
    lag: usize,
    buckets: Buckets,
}

impl Weather {
    pub(super) fn draw(random: &mut SplitMix, contacts: u64, time: &VirtualTime) -> Self {
        let mut troubles: Vec<_> = (0..random.below(4))
            .map(|_| (random.pick(&TROUBLES), random.pick(&REACHES), random.pick(&RATES)))
            .collect();
        if random.chance(80) {
            troubles.push((Trouble::Refused, Reach::Writes, 1000));
        }
        let lag = random.pick(&[0, 0, 3, 30, 1000]);
        if lag > 0 {
            troubles.push((Trouble::Stale, Reach::Reads, random.pick(&RATES)));
        }
        let units = |burst: u64, per_second: u64| Units { per_second: per_second as f64, burst: burst as f64 };
        let reads = units(random.pick(&[5, 50, 300]), random.pick(&[1, 20, 100]));
        let writes = units(random.pick(&[3, 10, 40]), random.pick(&[1, 5, 50]));
        Self {
            troubles,
            refused: i32::try_from(1 + random.below(contacts)).unwrap(),
            lag,
            buckets: Buckets::new(time, reads, writes),
        }
    }

    /// Makes the table lag.
    pub(super) fn begin(&self, engine: &LaggingEngine) {
        engine.set_lag(self.lag);
    }

    /// Returns the faults that a process meets.
    pub(super) fn plan(&self, seed: u64, time: &VirtualTime) -> FaultPlan {
        let mut random = SplitMix::new(seed);
        let mut plan = FaultPlan::default();
        for &(trouble, reach, rate) in &self.troubles {
            let fault = match trouble {
                Trouble::TableThrottled => Fault::Throttle(Capacity::Table),
                Trouble::IndexThrottled => Fault::Throttle(Capacity::Index),
                Trouble::AccountThrottled => Fault::Throttle(Capacity::Account),
                Trouble::Unprocessed(share) => Fault::Unprocessed(share),
                Trouble::InternalError(when) => Fault::InternalError(when),
                Trouble::Unavailable(when) => Fault::Unavailable(when),
                Trouble::Reset(when) => Fault::Reset(when),
                Trouble::TimeOut(when) => Fault::Delay(when, time.clone(), TIMEOUT),
                Trouble::Slow(when) => Fault::Delay(when, time.clone(), SLOW),
                Trouble::Conflict => Fault::Conflict,
                Trouble::Stale => Fault::Stale,
                Trouble::Buckets => Fault::Limit(self.buckets.clone()),
                Trouble::Death(when) => Fault::Die(when),
                Trouble::EmptyPage => Fault::EmptyPage,
                Trouble::ShortPage => Fault::ShortPage(1 + random.below(3)),
                Trouble::Refused => Fault::Refuse,
            };
            let seed = random.next();
            let calls = match trouble {
                Trouble::Stale => Calls::matching(Call::may_read_late).at_random(rate, seed),
                Trouble::IndexThrottled => Calls::matching(Call::queries_index).at_random(rate, seed),
                Trouble::Conflict => Calls::writes().at_random(rate, seed),
                Trouble::Buckets => Calls::all(),
                // A process dies once.
                Trouble::Death(_) => reach.calls().nth(1 + random.below(25)),
                Trouble::EmptyPage | Trouble::ShortPage => {
                    Calls::matching(Call::queries_index).at_random(rate.min(400), seed)
                }
                Trouble::Refused => {
                    let refused = self.refused;
                    Calls::matching(move |call| written_by(call).contains(&refused))
                }
                _ => reach.calls().at_random(rate, seed),
            };
            plan = plan.and(calls.meet(fault));
        }
        plan
    }
}
