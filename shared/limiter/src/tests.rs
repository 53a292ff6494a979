//! Simulated tables and engines: time passes from event to event, and no test waits.

use std::collections::BTreeMap;

use super::*;

const BATCH: usize = 25;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const ROUND_TRIP: Duration = Duration::from_millis(4);

/// Write units of a single call to a table with a limit.
const SINGLE: f64 = 6.0;

/// The part of the system that the limiter knows nothing about.
enum Engine {
    /// Accepts as many items as it has units.
    Limited { limit: f64, burst: Duration, units: f64, at: Duration },
    /// Serves one call at a time.
    Queue { batch: Duration, single: Duration, free: Duration },
    /// Serves each call at once.
    Unlimited,
}

impl Engine {
    fn limited(limit: f64, burst: Duration) -> Self {
        Self::Limited { limit, burst, units: limit * burst.as_secs_f64(), at: Duration::ZERO }
    }

    fn refill(&mut self, now: Duration) {
        if let Self::Limited { limit, burst, units, at } = self {
            let regained = *limit * now.saturating_sub(*at).as_secs_f64();
            *units = (*units + regained).min(*limit * burst.as_secs_f64());
            *at = now;
        }
    }

    fn set_limit(&mut self, now: Duration, new: f64) {
        self.refill(now);
        if let Self::Limited { limit, .. } = self {
            *limit = new;
        }
    }

    /// Returns how many items of a batch are accepted, and when.
    fn batch(&mut self, now: Duration) -> (usize, Duration) {
        self.refill(now);
        match self {
            Self::Limited { units, .. } => {
                let accepted = (0..BATCH).take_while(|&item| (item + 1) as f64 <= *units).count();
                *units -= accepted as f64;
                (accepted, now)
            }
            Self::Queue { batch, free, .. } => {
                *free = now.max(*free) + *batch;
                (BATCH, *free)
            }
            Self::Unlimited => (BATCH, now),
        }
    }

    /// Returns how long a single call waits; nothing if it is throttled.
    fn single(&mut self, now: Duration) -> Option<Duration> {
        self.refill(now);
        match self {
            Self::Limited { units, .. } => {
                let enough = *units >= SINGLE;
                *units -= if enough { SINGLE } else { 0.0 };
                enough.then_some(Duration::ZERO)
            }
            Self::Queue { single, free, .. } => {
                let start = now.max(*free);
                *free = start + *single;
                Some(start - now)
            }
            Self::Unlimited => Some(Duration::ZERO),
        }
    }
}

enum Event {
    /// The timer of a process ends.
    Wake {
        process: usize,
    },
    /// A batch reaches the engine.
    Arrive {
        process: usize,
        sent: Duration,
    },
    /// The answer reaches the process.
    Answer {
        process: usize,
        sent: Duration,
        accepted: usize,
    },
    Single,
}

/// A process with a job that always has a batch to send.
struct Process {
    limiter: Limiter,
    wake: Option<Duration>,
    accepted: usize,
}

struct Simulation {
    engine: Engine,
    /// Median round trip, and the standard deviation of its logarithm.
    round_trip: Duration,
    deviation: f64,
    random: fastrand::Rng,
    start: Duration,
    now: Duration,
    events: BTreeMap<(Duration, usize), Event>,
    scheduled: usize,
    processes: Vec<Process>,
    calls: usize,
    rejected: usize,
    waits: Vec<Option<Duration>>,
}

impl Simulation {
    fn new(engine: Engine, round_trip: Duration, processes: usize) -> Self {
        let now = Duration::ZERO;
        let process = |_| Process { limiter: Limiter::new(now), wake: None, accepted: 0 };
        let mut new = Self {
            engine,
            round_trip,
            deviation: 0.0,
            random: fastrand::Rng::with_seed(1),
            start: now,
            now,
            events: BTreeMap::new(),
            scheduled: 0,
            processes: (0..processes).map(process).collect(),
            calls: 0,
            rejected: 0,
            waits: Vec::new(),
        };
        (0..processes).for_each(|process| new.send(process));
        new.schedule(now, Event::Single);
        new
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    /// Half of a round trip, from a log-normal distribution.
    fn half_trip(&mut self) -> Duration {
        let normal = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
        self.round_trip.mul_f64((self.deviation * normal).exp() / 2.0)
    }

    fn send(&mut self, process: usize) {
        let now = self.now;
        loop {
            let sender = &mut self.processes[process];
            match sender.limiter.admit(now, BATCH) {
                Admission::Granted => {
                    let arrival = now + self.half_trip();
                    self.schedule(arrival, Event::Arrive { process, sent: now });
                }
                Admission::NotBefore(due) => {
                    // Timers of tokio end at whole milliseconds.
                    let ticks = (due - self.start).as_nanos().div_ceil(MILLISECOND.as_nanos());
                    let wake = self.start + MILLISECOND * u32::try_from(ticks).unwrap();
                    if sender.wake.is_none_or(|earlier| earlier > wake) {
                        sender.wake = Some(wake);
                        self.schedule(wake, Event::Wake { process });
                    }
                    return;
                }
                Admission::AfterAnother => return,
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.events.first_entry().filter(|next| next.key().0 <= end) {
            let ((at, _), event) = next.remove_entry();
            self.now = at;
            match event {
                Event::Wake { process } => {
                    if self.processes[process].wake == Some(at) {
                        self.processes[process].wake = None;
                        self.send(process);
                    }
                }
                Event::Arrive { process, sent } => {
                    self.calls += 1;
                    let (accepted, done) = self.engine.batch(at);
                    let answer = done + self.half_trip();
                    self.schedule(answer, Event::Answer { process, sent, accepted });
                }
                Event::Answer { process, sent, accepted } => {
                    let rejected = BATCH - accepted;
                    self.rejected += rejected;
                    let sender = &mut self.processes[process];
                    sender.accepted += accepted;
                    sender.limiter.ended();
                    sender.limiter.answered(at, Batch { items: BATCH, sent }, accepted, rejected);
                    self.send(process);
                }
                Event::Single => {
                    let wait = self.engine.single(at);
                    self.waits.push(wait);
                    let pause = Duration::from_millis(self.random.u64(50..150));
                    self.schedule(at + pause, Event::Single);
                }
            }
        }
        self.now = end;
    }

    fn accepted(&self) -> usize {
        self.processes.iter().map(|process| process.accepted).sum()
    }

    /// Accepted items a second during the next `time`.
    fn speed(&mut self, time: Duration) -> f64 {
        let before = self.accepted();
        self.run(time);
        (self.accepted() - before) as f64 / time.as_secs_f64()
    }

    fn set_limit(&mut self, limit: f64) {
        self.engine.set_limit(self.now, limit);
    }

    /// Returns the share of items that were rejected.
    fn in_vain(&self) -> f64 {
        self.rejected as f64 / (self.accepted() + self.rejected) as f64
    }

    fn throttled_singles(&self) -> f64 {
        self.waits.iter().filter(|wait| wait.is_none()).count() as f64 / self.waits.len() as f64
    }
}

#[test]
fn job_uses_limit_and_leaves_reserve_to_single_calls() {
    for limit in [1_000.0, 4_000.0] {
        for burst in [100 * MILLISECOND, 300 * MILLISECOND, SECOND] {
            let mut table = Simulation::new(Engine::limited(limit, burst), ROUND_TRIP, 1);
            let time = 25 * SECOND;
            // The burst capacity is no merit of the limiter.
            let share = table.speed(time) / limit - burst.as_secs_f64() / time.as_secs_f64();
            let (in_vain, throttled) = (table.in_vain(), table.throttled_singles());
            let case = format!("limit {limit}, burst {burst:?}");
            assert!(share >= 0.9, "{case}: {share} of the limit used");
            assert!(in_vain < 0.02, "{case}: {in_vain} of the items sent in vain");
            assert!(throttled < 0.01, "{case}: {throttled} of the single calls throttled");
        }
    }
}

/// Checks that each of four processes has a fair share of the items that the table accepts in `time`, 60 seconds after
/// the start.
fn check_shares(limit: f64, burst: Duration, seed: u64, time: Duration) {
    let mut table = Simulation::new(Engine::limited(limit, burst), ROUND_TRIP, 4);
    table.random = fastrand::Rng::with_seed(seed);
    table.deviation = 0.3;
    table.run(60 * SECOND);
    for process in &mut table.processes {
        process.accepted = 0;
    }
    table.run(time);
    let mean = table.accepted() as f64 / 4.0;
    let case = format!("limit {limit}, burst {burst:?}, seed {seed}");
    for process in &table.processes {
        let share = process.accepted as f64 / mean;
        assert!((0.8..1.2).contains(&share), "{case}: {share} of the mean");
    }
    let throttled = table.throttled_singles();
    assert!(throttled < 0.02, "{case}: {throttled} of the single calls throttled");
}

#[test]
fn four_processes_get_similar_shares() {
    for burst in [100 * MILLISECOND, SECOND] {
        for seed in 0..50 {
            check_shares(1_000.0, burst, seed, 60 * SECOND);
        }
        // Rejections are rarer on a larger table, so shares settle more slowly.
        for seed in 0..10 {
            check_shares(4_000.0, burst, seed, 600 * SECOND);
        }
    }
}

#[test]
fn single_call_waits_for_at_most_one_batch_of_engine_that_queues() {
    let batch = 2 * MILLISECOND;
    for turnaround in [MILLISECOND / 10, MILLISECOND / 2] {
        let engine = Engine::Queue { batch, single: MILLISECOND / 3, free: Duration::ZERO };
        let mut engine = Simulation::new(engine, turnaround, 1);
        engine.deviation = 0.2;
        let busy = engine.speed(60 * SECOND) / BATCH as f64 * batch.as_secs_f64();
        let mut waits: Vec<_> = engine.waits.iter().flatten().collect();
        waits.sort();
        let p99 = *waits[waits.len() * 99 / 100];
        assert!(p99 <= batch, "turnaround {turnaround:?}: a single call waited {p99:?}");
        assert!(busy > 0.75, "turnaround {turnaround:?}: the engine was busy with the job for {busy} of the time");
    }
}

#[test]
fn without_limit_window_passes_eight_batches() {
    // The deviation 0.7 means that one call in a hundred takes five times the median.
    for deviation in [0.0, 0.3, 0.7] {
        let mut table = Simulation::new(Engine::Unlimited, 10 * MILLISECOND, 1);
        table.deviation = deviation;
        table.run(200 * MILLISECOND);
        let in_flight = table.processes[0].limiter.in_flight();
        assert!(in_flight >= 8, "deviation {deviation}: {in_flight} in flight after 200 ms");
        let speed = table.speed(5 * SECOND);
        assert!(speed > 20_000.0, "deviation {deviation}: {speed} items a second, 8 in flight make 20,000");
    }
}

#[test]
fn rate_follows_limit() {
    for (before, after, time) in [(1_000.0, 4_000.0, 12), (1_000.0, 40_000.0, 15), (4_000.0, 1_000.0, 2)] {
        let mut table = Simulation::new(Engine::limited(before, 300 * MILLISECOND), ROUND_TRIP, 1);
        table.run(15 * SECOND);
        table.set_limit(after);
        table.run(time * SECOND);
        let share = table.speed(10 * SECOND) / after;
        assert!(share > 0.88, "{before} to {after}: {share} of the limit used, {time} s later");
    }
}

#[test]
fn outage_slows_calls_down_and_rate_returns() {
    for outage in [SECOND / 2, 3 * SECOND, 30 * SECOND] {
        let mut table = Simulation::new(Engine::limited(4_000.0, 300 * MILLISECOND), ROUND_TRIP, 1);
        table.run(15 * SECOND);
        table.set_limit(0.0);
        let before = table.calls;
        table.run(outage);
        let calls = (table.calls - before) as f64;
        // The burst capacity is used up by 48 calls.
        let most = 48.0 + 12.0 + outage.as_secs_f64() * 1.1;
        assert!(calls < most, "{outage:?}: {calls} calls");
        table.set_limit(4_000.0);
        table.run(4 * SECOND);
        let share = table.speed(5 * SECOND) / 4_000.0;
        assert!(share > 0.88, "{outage:?}: {share} of the limit used, 4 s later");
    }
}

#[test]
fn nothing_is_sent_directly_after_rejection() {
    let now = Duration::ZERO;
    let mut limiter = Limiter::new(now);
    assert!(matches!(limiter.admit(now, BATCH), Admission::Granted));
    let answered = now + ROUND_TRIP;
    limiter.ended();
    limiter.answered(answered, Batch { items: BATCH, sent: now }, BATCH - 1, 1);
    let Admission::NotBefore(due) = limiter.admit(answered, 1) else {
        panic!("the rejected item was sent again at once")
    };
    assert!(due >= answered + PAUSE);
}
