//! The rule of the limiter of bulk writes: when the next batch may be sent. All bulk writers of a process share one
//! limiter, so that together they use what the table offers and leave a small reserve to single calls.
//!
//! The limiter controls two values:
//!
//! - a **rate**, because a table with a limit throttles. A limit of calls in flight cannot keep a process below the
//!   table's limit: one batch of 25 items that takes 4 ms is already 6,250 items a second, and fewer than one call in
//!   flight is not possible.
//! - a **window** of batches in flight, because an embedded engine never throttles: calls queue, and only their
//!   latency shows the queue.
//!
//! The rate follows additive increase and multiplicative decrease. The limiter measures the rate that the table
//! sustains: the items accepted between two rejections, plus those of the rejected batch, divided by the time between
//! the rejections. The burst capacity does not affect the measurement, because it was used up at both rejections. After
//! a rejection the limiter pauses, so that burst capacity for single calls builds up again, and continues slightly
//! below the measured rate. From there the rate rises slowly. Several processes on one table converge to similar
//! shares, because a faster process is rejected more often and grows relatively less.
//!
//! The window doubles at first, then grows by one batch a round as long as latency stays near its floor, the latency
//! of one batch alone in flight. The floor is measured again now and then.
//!
//! Each function takes the time as an argument, as the duration since any fixed moment. The service passes the time of
//! the machine, and simulations pass their own.

use std::mem;
use std::time::Duration;

/// The initial and highest rate, in items a second: above the write quota of a DynamoDB table (40,000 units a second).
pub const MAX_RATE: f64 = 100_000.0;

/// The lowest rate, in items a second. During an outage, one batch of 25 items a second finds out when the outage ends.
pub const MIN_RATE: f64 = 25.0;

/// Time without bulk writes after a rejection. Meanwhile the table regains, for single calls, a tenth of the units that
/// this process writes in a second.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Delay that a sender may catch up on. Timers of tokio are late by up to a millisecond, which would otherwise reduce
/// the rate. A longer delay means that the job is idle.
pub const SLACK: Duration = Duration::from_millis(10);

/// Share of the measured rate at which writing continues after a rejection. The burst capacity regains the rest.
pub const AFTER_REJECTION: f64 = 0.95;

/// Lowest share of the rate after one rejection, because a short measurement may by chance be far too low.
pub const DEEPEST_CUT: f64 = 0.9;

/// Rejections after which the measured rate is used without the bound of [`DEEPEST_CUT`]. The first measurement
/// includes the burst capacity of the table, the second is exact.
pub const FIRST_MEASUREMENTS: u8 = 2;

/// The rate grows by `GROWTH * sqrt(rate)` each second: 1.4 % at 1,000 items a second, 0.7 % at 4,000. With faster
/// growth, single calls would more often find no capacity left. With slower growth, several processes would take
/// minutes to reach similar shares.
pub const GROWTH: f64 = 0.45;

/// Time of slow growth after a rejection. After that the limit was probably lifted, and the rate doubles each second.
pub const SLOW_GROWTH: Duration = Duration::from_secs(10);

/// Maximum batches in flight. 40,000 items a second in batches of 25 need 32 batches in flight if a batch takes 20 ms.
pub const MAX_WINDOW: f64 = 32.0;

/// Batches in flight up to which the window doubles each round. A first burst of more batches would have too many
/// items rejected.
pub const DOUBLING_END: f64 = 8.0;

/// Ratio of latency to its floor above which the window shrinks. A single call waits in the same queue as a batch, so
/// the queue may add at most half of the floor.
pub const SHRINK_ABOVE: f64 = 1.5;

/// Ratio of latency to its floor below which the window grows, and to which the window shrinks.
pub const GROW_BELOW: f64 = 1.3;

/// Time without growth after the window shrank to one batch; a larger window waits this time divided by its size. On an
/// engine that serves one batch at a time, a second batch in flight delays single calls, so the limiter rarely tries a
/// second batch. A ninth batch adds little delay.
pub const HOLD: Duration = Duration::from_secs(8);

/// Maximum batches of a round, and the batches of a measurement of the floor. If the latency of a batch varies by a
/// factor of two, the mean of 16 varies by less than a fifth.
pub const ROUND: f64 = 16.0;

/// Minimum batches of a round.
pub const SHORTEST_ROUND: f64 = 4.0;

/// Time between two measurements of the floor. A measurement sends 16 batches one after another, which takes under 1 %
/// of this time if a batch takes 5 ms.
pub const FLOOR_AGE: Duration = Duration::from_secs(10);

/// Time until the second measurement. The first includes the set-up of the connection.
pub const FIRST_FLOOR_AGE: Duration = Duration::from_secs(1);

/// Maximum items of a small batch. Small batches have a floor of their own.
pub const SMALL_BATCH: usize = 12;

/// A batch in flight.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Number of items.
    pub items: usize,
    /// When the batch was sent.
    pub sent: Duration,
}

/// The decision on a batch that asks to be sent.
#[derive(Clone, Copy, Debug)]
pub enum Admission {
    /// The caller sends the batch now.
    Granted,
    /// The caller asks again at this time.
    NotBefore(Duration),
    /// The caller asks again when a batch in flight has ended.
    AfterAnother,
}

/// The limiter of one table. The documentation of the crate explains the rule.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    pace: Pace,
    window: Window,
}

impl Limiter {
    /// Returns a limiter that knows nothing about the table.
    pub fn new(now: Duration) -> Self {
        Self { pace: Pace::new(now), window: Window::new(now) }
    }

    /// Returns the number of admitted batches that have not ended.
    pub fn in_flight(&self) -> usize {
        self.window.in_flight
    }

    /// Decides on a batch of `items`. A granted batch is in flight until [`ended`](Self::ended).
    pub fn admit(&mut self, now: Duration, items: usize) -> Admission {
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

    /// Frees the place of a batch in the window. The batch still counts in the rate.
    pub fn ended(&mut self) {
        self.window.in_flight -= 1;
    }

    /// Learns from the answer to a batch. `rejected` counts the items that were throttled or unprocessed. Items that
    /// failed for another reason count as neither accepted nor rejected.
    pub fn answered(&mut self, now: Duration, batch: Batch, accepted: usize, rejected: usize) {
        self.pace.accepted += accepted as f64;
        if rejected > 0 {
            // Batches that were sent before the last reduction say nothing about the rate after that reduction.
            if batch.sent >= self.pace.reduced {
                self.pace.reduce(now, batch.items);
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
    /// Items a second after the last reduction.
    base: f64,
    /// Time of the last reduction, plus the job's idle time since then.
    epoch: Duration,
    reduced: Duration,
    /// Items accepted since the last reduction.
    accepted: f64,
    /// When the next batch may be sent.
    next: Duration,
    first_measurements: u8,
    /// The rate to return to, in doubling steps, after an outage.
    before_outage: f64,
}

impl Pace {
    fn new(now: Duration) -> Self {
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

    /// Returns the rate, in items a second.
    fn rate(&self, now: Duration) -> f64 {
        let age = now.saturating_sub(self.epoch);
        let slow = self.base + GROWTH * self.base.sqrt() * age.min(SLOW_GROWTH).as_secs_f64();
        (slow * age.saturating_sub(SLOW_GROWTH).as_secs_f64().exp2()).min(MAX_RATE)
    }

    fn send(&mut self, now: Duration, items: usize) {
        let idle = now.saturating_sub(self.next).saturating_sub(SLACK);
        self.epoch += idle;
        self.next += idle + Duration::from_secs_f64(items as f64 / self.rate(now));
    }

    /// Reacts to a batch that was accepted as a whole.
    fn recover(&mut self, now: Duration) {
        let rate = self.rate(now);
        if rate < self.before_outage {
            self.base = (rate * 2.0).min(self.before_outage);
        }
    }

    /// Reacts to a rejection of a batch of `items`.
    fn reduce(&mut self, now: Duration, items: usize) {
        let rate = self.rate(now);
        if self.accepted > 0.0 {
            let age = now.saturating_sub(self.epoch).as_secs_f64();
            let lowest = if self.first_measurements > 0 { 0.0 } else { rate * DEEPEST_CUT };
            // Without the rejected batch, a short measurement would be far too low, and by chance one process would
            // lose much more than another.
            let sustained = ((self.accepted + items as f64) / age).clamp(lowest, rate);
            self.base = (sustained * AFTER_REJECTION).max(MIN_RATE);
            self.before_outage = self.base;
            self.first_measurements = self.first_measurements.saturating_sub(1);
        } else {
            // Nothing at all was accepted, so there is no measurement: the table may be unavailable.
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
    /// Batches that may be in flight, at least 1. Only whole batches are admitted.
    size: f64,
    in_flight: usize,
    /// True if a batch waited for the window in this round. A window that nobody waits for does not grow.
    was_full: bool,
    doubling: bool,
    /// When the size changed. The latency of a batch sent before belongs to another size.
    resized: Duration,
    grow_from: Duration,
    measure_floor_from: Duration,
    /// The size to return to after the floor was measured.
    suspended: Option<f64>,
    /// Small batches, large batches.
    classes: [Latencies; 2],
}

/// Latencies of batches of similar size, as logarithms of seconds: few slow calls hardly move the mean of logarithms.
#[derive(Clone, Copy, Debug, Default)]
struct Latencies {
    /// Sum and count of the round.
    sum: f64,
    count: f64,
    floor: f64,
    /// Number of batches in the mean `floor`, capped at [`ROUND`] so that newer batches keep their weight.
    floor_count: f64,
}

impl Latencies {
    /// Includes the round in the floor.
    fn measure_floor(&mut self) {
        if self.count > 0.0 {
            self.floor = (self.floor * self.floor_count + self.sum) / (self.floor_count + self.count);
            self.floor_count = (self.floor_count + self.count).min(ROUND);
        }
    }

    /// Returns by how much the latencies of the round exceed the floor, in total.
    fn excess(&self) -> f64 {
        if self.floor_count > 0.0 { self.sum - self.floor * self.count } else { 0.0 }
    }
}

impl Window {
    fn new(now: Duration) -> Self {
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
        let full = self.in_flight as f64 + 1.0 > self.size;
        self.was_full |= full;
        full
    }

    fn resize(&mut self, now: Duration, size: f64) {
        self.size = size.clamp(1.0, MAX_WINDOW);
        self.resized = now;
    }

    /// Reacts to a rejection.
    fn halve(&mut self, now: Duration) {
        self.doubling = false;
        let size = self.suspended.take().unwrap_or(self.size);
        self.resize(now, size / 2.0);
    }

    /// Includes the latency of an accepted batch. At the end of a round, adapts the size.
    fn sample(&mut self, now: Duration, batch: Batch) {
        if batch.sent < self.resized {
            return;
        }
        let class = &mut self.classes[usize::from(batch.items > SMALL_BATCH)];
        class.sum += (now - batch.sent).max(Duration::from_micros(1)).as_secs_f64().ln();
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
        let was_full = mem::take(&mut self.was_full);
        if let Some(size) = self.suspended.take() {
            self.resize(now, size);
        } else if ratio > SHRINK_ABOVE && !alone {
            self.doubling = false;
            self.resize(now, self.size * GROW_BELOW / ratio);
            self.grow_from = now + HOLD.div_f64(self.size);
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

#[cfg(test)]
mod tests;
