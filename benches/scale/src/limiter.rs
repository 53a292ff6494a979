//! The limiter of bulk writes of a worker: the rule of `shared/store/src/dynamodb/pressure.rs`, with times in seconds.
//!
//! The documentation of that module explains the rule and the constants. The integration tests compare the constants.

/// Items a second. The first and the highest rate.
pub const MAX_RATE: f64 = 100_000.0;
/// Items a second. The lowest rate.
pub const MIN_RATE: f64 = 25.0;
/// Seconds without bulk writes after a rejection.
pub const PAUSE: f64 = 0.050;
/// Seconds of delay that a sender may catch up on.
pub const SLACK: f64 = 0.010;
/// Share of the measured rate at which writing continues after a rejection.
pub const AFTER_REJECTION: f64 = 0.95;
/// Lowest share of the rate after one rejection.
pub const DEEPEST_CUT: f64 = 0.8;
/// Rejections after which the measured rate is used without the bound of [`DEEPEST_CUT`].
pub const FIRST_MEASUREMENTS: u8 = 2;
/// The rate grows by `GROWTH * sqrt(rate)` each second.
pub const GROWTH: f64 = 0.32;
/// Seconds of slow growth after a rejection. After that the rate doubles each second.
pub const SLOW_GROWTH: f64 = 10.0;
/// Batches in flight, at most.
pub const MAX_WINDOW: f64 = 32.0;
/// Batches in flight up to which the window doubles each round.
pub const DOUBLING_END: f64 = 8.0;
/// Ratio of latency to its floor above which the window shrinks.
pub const SHRINK_ABOVE: f64 = 1.5;
/// Ratio of latency to its floor below which the window grows, and to which the window shrinks.
pub const GROW_BELOW: f64 = 1.3;
/// Seconds without growth after the window shrank, divided by the size of the window.
pub const HOLD: f64 = 8.0;
/// Batches that a round has at most, and a measurement of the floor.
pub const ROUND: f64 = 16.0;
/// Batches that a round has at least.
pub const SHORTEST_ROUND: f64 = 4.0;
/// Seconds between two measurements of the floor.
pub const FLOOR_AGE: f64 = 10.0;
/// Seconds until the second measurement.
pub const FIRST_FLOOR_AGE: f64 = 1.0;
/// Items of a small batch, at most.
pub const SMALL_BATCH: u32 = 12;

/// The decision on a batch that asks to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Admission {
    Granted,
    NotBefore(f64),
    AfterAnother,
}

/// A batch in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) items: u32,
    pub(crate) sent: f64,
}

/// The limiter of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiter {
    pace: Pace,
    window: Window,
}

impl Limiter {
    pub(crate) fn new(now: f64) -> Self {
        Self { pace: Pace::new(now), window: Window::new(now) }
    }

    pub(crate) fn admit(&mut self, now: f64, items: u32) -> Admission {
        if self.window.is_full() {
            return Admission::AfterAnother;
        }
        if self.pace.next > now {
            return Admission::NotBefore(self.pace.next);
        }
        self.pace.send(now, items);
        self.window.in_flight += 1;
        Admission::Granted
    }

    pub(crate) fn finished(&mut self, now: f64, batch: Batch, rejected: u32) {
        self.window.in_flight -= 1;
        let accepted = batch.items - rejected;
        self.pace.accepted += f64::from(accepted);
        if rejected > 0 {
            if batch.sent >= self.pace.reduced {
                self.pace.reduce(now);
                self.window.halve(now);
            }
            self.pace.next = self.pace.next.max(now + PAUSE);
        } else if accepted > 0 {
            self.pace.recover(now);
            self.window.sample(now, batch);
        }
    }
}

/// The rate.
#[derive(Clone, Copy, Debug)]
struct Pace {
    base: f64,
    epoch: f64,
    reduced: f64,
    accepted: f64,
    next: f64,
    first_measurements: u8,
    before_outage: f64,
}

impl Pace {
    fn new(now: f64) -> Self {
        Self {
            base: MAX_RATE,
            epoch: now,
            reduced: now,
            accepted: 0.0,
            next: now,
            first_measurements: FIRST_MEASUREMENTS,
            before_outage: MAX_RATE,
        }
    }

    fn rate(&self, now: f64) -> f64 {
        let age = (now - self.epoch).max(0.0);
        let slow = self.base + GROWTH * self.base.sqrt() * age.min(SLOW_GROWTH);
        (slow * (age - SLOW_GROWTH).max(0.0).exp2()).min(MAX_RATE)
    }

    fn send(&mut self, now: f64, items: u32) {
        let idle = (now - self.next - SLACK).max(0.0);
        self.epoch += idle;
        self.next += idle + f64::from(items) / self.rate(now);
    }

    fn recover(&mut self, now: f64) {
        let rate = self.rate(now);
        if rate < self.before_outage {
            self.base = (rate * 2.0).min(self.before_outage);
        }
    }

    fn reduce(&mut self, now: f64) {
        let rate = self.rate(now);
        if self.accepted > 0.0 {
            let lowest = if self.first_measurements > 0 { 0.0 } else { rate * DEEPEST_CUT };
            let sustained = (self.accepted / (now - self.epoch).max(0.0)).clamp(lowest, rate);
            self.base = (sustained * AFTER_REJECTION).max(MIN_RATE);
            self.before_outage = self.base;
            self.first_measurements = self.first_measurements.saturating_sub(1);
        } else {
            self.base = (rate / 2.0).max(MIN_RATE);
            self.before_outage = self.before_outage.max(rate);
        }
        self.accepted = 0.0;
        self.epoch = now;
        self.reduced = now;
    }
}

/// The window of batches in flight.
#[derive(Clone, Copy, Debug)]
struct Window {
    size: f64,
    in_flight: u32,
    was_full: bool,
    doubling: bool,
    resized: f64,
    grow_from: f64,
    measure_floor_from: f64,
    suspended: Option<f64>,
    classes: [Latencies; 2],
}

/// Latencies of batches of similar size, as logarithms of seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Latencies {
    sum: f64,
    count: f64,
    floor: f64,
    floor_count: f64,
}

impl Latencies {
    fn measure_floor(&mut self) {
        if self.count > 0.0 {
            self.floor = (self.floor * self.floor_count + self.sum) / (self.floor_count + self.count);
            self.floor_count = (self.floor_count + self.count).min(ROUND);
        }
    }

    fn excess(&self) -> f64 {
        if self.floor_count > 0.0 { self.sum - self.floor * self.count } else { 0.0 }
    }
}

impl Window {
    fn new(now: f64) -> Self {
        Self {
            size: 1.0,
            in_flight: 0,
            was_full: false,
            doubling: true,
            resized: now,
            grow_from: now,
            measure_floor_from: now + FIRST_FLOOR_AGE,
            suspended: None,
            classes: [Latencies::default(); 2],
        }
    }

    fn is_full(&mut self) -> bool {
        let full = f64::from(self.in_flight) + 1.0 > self.size;
        self.was_full |= full;
        full
    }

    fn resize(&mut self, now: f64, size: f64) {
        self.size = size.clamp(1.0, MAX_WINDOW);
        self.resized = now;
    }

    fn halve(&mut self, now: f64) {
        self.doubling = false;
        let size = self.suspended.take().unwrap_or(self.size);
        self.resize(now, size / 2.0);
    }

    fn sample(&mut self, now: f64, batch: Batch) {
        if batch.sent < self.resized {
            return;
        }
        let class = &mut self.classes[usize::from(batch.items > SMALL_BATCH)];
        class.sum += (now - batch.sent).max(1e-6).ln();
        class.count += 1.0;
        let count: f64 = self.classes.iter().map(|class| class.count).sum();
        let round = (2.0 * self.size).clamp(SHORTEST_ROUND, ROUND);
        if count < if self.suspended.is_some() { ROUND } else { round } {
            return;
        }
        let alone = self.size < 2.0;
        if alone {
            self.classes.iter_mut().for_each(Latencies::measure_floor);
        }
        let ratio = (self.classes.iter().map(Latencies::excess).sum::<f64>() / count).exp();
        for class in &mut self.classes {
            (class.sum, class.count) = (0.0, 0.0);
        }
        let was_full = std::mem::take(&mut self.was_full);
        if let Some(size) = self.suspended.take() {
            self.resize(now, size);
        } else if ratio > SHRINK_ABOVE && !alone {
            self.doubling = false;
            self.resize(now, self.size * GROW_BELOW / ratio);
            self.grow_from = now + HOLD / self.size;
        } else if now >= self.measure_floor_from {
            self.measure_floor_from = now + FLOOR_AGE;
            self.suspended = Some(self.size);
            self.resize(now, 1.0);
        } else if (ratio < GROW_BELOW || alone) && was_full && now >= self.grow_from {
            self.resize(now, if self.doubling { self.size * 2.0 } else { self.size + 1.0 });
            self.doubling &= self.size < DOUBLING_END;
        }
    }
}
