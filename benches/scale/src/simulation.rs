//! A discrete simulation of a job: workers with processor time, shards with pages and batches, and a table whose
//! partitions have token buckets.
//!
//! The simulation follows the code: a worker takes up to four messages and returns unfinished shards to the queue at
//! the end of its turn; a shard reads the next page while it writes a page; a page is a chunk, batches of 25, and a
//! write of the progress. Each worker has a limiter, which admits the batches of its shards in order of arrival.
//! Refused items wait for a pause with jitter, then for the limiter again. The same seed gives the same run.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use limiter::{Admission, Batch, Limiter};

use crate::{
    BACKOFF_BASE, BACKOFF_CAP, BATCH_ATTEMPTS, Outcome, PAGE_CONTACTS, PARTITION_READS, PARTITION_WRITES,
    QUERY_ENTRIES, READ_BATCH, READS_IN_FLIGHT, RETRY_SECONDS, Run, SHARDS_PER_WORKER, SWEEP_SECONDS, TURN_SECONDS,
    WRITE_BATCH, WRITES_IN_FLIGHT, processor_share,
};

/// Seconds of unused units that a partition saves. DynamoDB may save up to 300 seconds of units, from which a longer
/// job gains little.
const BURST_SECONDS: f64 = 1.0;

/// Seconds between two probes. A probe finds out whether the table would refuse a write of another caller.
const PROBE_SECONDS: f64 = 0.001;

/// The report of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Time and calls of the worker.
    pub outcome: Outcome,
    /// Items that were sent.
    pub sent: u64,
    /// Items that the table refused.
    pub refused: u64,
    /// Probes: moments at which another caller might write one item.
    pub probes: u64,
    /// Probes that found no unit in the partition of the item.
    pub empty: u64,
    /// Maximum number of times that a shard waited, because the table refused a batch on every attempt.
    pub waits: u32,
}

impl Report {
    /// Returns the share of the sent items that the table did not accept.
    pub fn share_in_vain(&self) -> f64 {
        self.refused as f64 / self.sent.max(1) as f64
    }

    /// Returns the share of other callers' writes that the table would refuse.
    pub fn share_without_units(&self) -> f64 {
        self.empty as f64 / self.probes.max(1) as f64
    }
}

/// A generator of random numbers: SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.next()) * bound as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// Returns a number from 0 to 1.
    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

/// The units of a partition.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: f64,
    units: f64,
    at: f64,
}

impl Bucket {
    fn new(rate: f64) -> Self {
        Self { rate, units: rate * BURST_SECONDS, at: 0.0 }
    }

    /// Returns whether any unit is left at the time `now`.
    fn has_units(&mut self, now: f64) -> bool {
        self.units = (self.units + (now - self.at) * self.rate).min(self.rate * BURST_SECONDS);
        self.at = now;
        self.units > 0.0
    }

    /// Takes `units` at the time `now`. Returns false if the bucket is empty. Like DynamoDB, accepts a request as long
    /// as any unit is left.
    fn take(&mut self, now: f64, units: f64) -> bool {
        let is_accepted = self.has_units(now);
        if is_accepted {
            self.units -= units;
        }
        is_accepted
    }
}

/// A write batch that waits for the limiter.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    shard: usize,
    items: u32,
    attempt: u32,
}

/// A write batch that the limiter admitted.
#[derive(Clone, Copy, Debug)]
struct Sent {
    batch: Waiting,
    at: f64,
}

/// A request that arrives at the table, or a wake-up of a shard.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A query of 250 index entries.
    Query { shard: usize, reader: u32, left: u32, attempt: u32 },
    /// A round of concurrent read batches.
    Read { shard: usize, reader: u32, left: u32, items: u32, attempt: u32 },
    /// A page is read.
    PageRead { shard: usize, reader: u32 },
    /// The chunk is written.
    Chunk { shard: usize },
    /// The limiter of a worker may admit the next batch.
    Admit { worker: usize },
    /// A write batch arrives.
    Write { sent: Sent },
    /// The answer to a write batch arrives.
    Answer { sent: Sent, refused: u32 },
    /// The items of a batch that the table refused wait for the limiter again.
    Again { waiting: Waiting },
    /// The progress is written.
    Saved { shard: usize },
    /// A sweep requests a worker for a shard that failed.
    Requested { shard: usize },
}

#[derive(Clone, Copy, Debug)]
struct Scheduled {
    at: f64,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The earliest event is the greatest, because the heap returns the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.number.cmp(&self.number))
    }
}

/// A shard of the job.
#[derive(Clone, Copy, Debug, Default)]
struct Shard {
    worker: usize,
    index_partition: usize,
    /// Contacts that are not read.
    unread: u32,
    /// Contacts of the page that is being read.
    reading: u32,
    /// Contacts of the page that was read ahead, until the previous page is written.
    waiting: u32,
    /// Contacts of the page being written that are not yet sent.
    unsent: u32,
    /// Contacts of the page being written that the table refused on every attempt.
    refused: u32,
    /// Number of the reader. The calls of an earlier reader, whose shard failed, have no effect.
    reader: u32,
    /// Batches that wait for the limiter or for a pause, or are in flight.
    open: u32,
    waits: u32,
    is_writing: bool,
}

impl Shard {
    fn is_idle(&self) -> bool {
        !self.is_writing && self.reading == 0 && self.waiting == 0
    }

    fn is_done(&self) -> bool {
        self.is_idle() && self.unread == 0
    }
}

/// A worker, which handles one call at a time.
#[derive(Debug)]
struct Worker {
    /// Shards of the current call; none between calls.
    shards: u32,
    started: f64,
    /// When the processor is free.
    free_at: f64,
    /// The limiter stays when a call ends, because Lambda keeps the process.
    limiter: Limiter,
    waiting: VecDeque<Waiting>,
    /// True if an [`Event::Admit`] is scheduled.
    wakes: bool,
}

impl Worker {
    fn new() -> Self {
        Self {
            shards: 0,
            started: 0.0,
            free_at: 0.0,
            limiter: Limiter::new(Duration::ZERO),
            waiting: VecDeque::new(),
            wakes: false,
        }
    }
}

#[derive(Debug)]
struct Simulation<'a> {
    run: &'a Run,
    random: Random,
    now: f64,
    number: u64,
    events: BinaryHeap<Scheduled>,
    writes: Vec<Bucket>,
    reads: Vec<Bucket>,
    index: Vec<Bucket>,
    shards: Vec<Shard>,
    workers: Vec<Worker>,
    messages: VecDeque<usize>,
    report: Report,
}

/// Simulates a run.
pub fn simulate(run: &Run, seed: u64) -> Report {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let mut random = Random(seed);
    let index_partitions = count(run.table.index_partitions);
    let shards = (0..run.shards).map(|shard| Shard {
        // Contact numbers are consecutive, so the shards are equal but for one contact.
        unread: run.contacts / run.shards + u32::from(shard < run.contacts % run.shards),
        index_partition: random.below(index_partitions),
        ..Shard::default()
    });
    let shards: Vec<Shard> = shards.collect();
    let mut simulation = Simulation {
        run,
        random,
        now: 0.0,
        number: 0,
        events: BinaryHeap::new(),
        writes: vec![Bucket::new(PARTITION_WRITES); count(run.table.partitions)],
        reads: vec![Bucket::new(PARTITION_READS); count(run.table.partitions)],
        index: vec![Bucket::new(PARTITION_READS); index_partitions],
        messages: (0..shards.len()).collect(),
        shards,
        workers: (0..run.workers).map(|_| Worker::new()).collect(),
        report: Report {
            outcome: Outcome { seconds: 0.0, worker_seconds: 0.0 },
            sent: 0,
            refused: 0,
            probes: 0,
            empty: 0,
            waits: 0,
        },
    };
    simulation.deliver();
    // Probes have random numbers of their own, so that they do not change the run.
    let (mut prober, mut probe_at) = (Random(!seed), 0.0);
    while let Some(Scheduled { at, event, .. }) = simulation.events.pop() {
        while probe_at < at {
            let partition = prober.below(simulation.writes.len());
            simulation.report.probes += 1;
            simulation.report.empty += u64::from(!simulation.writes[partition].has_units(probe_at));
            probe_at += PROBE_SECONDS;
        }
        simulation.now = at;
        simulation.handle(event);
    }
    simulation.report.outcome.seconds = simulation.now;
    simulation.report
}

impl Simulation<'_> {
    fn schedule(&mut self, at: f64, event: Event) {
        self.number += 1;
        self.events.push(Scheduled { at, number: self.number, event });
    }

    /// Delivers messages to free workers.
    fn deliver(&mut self) {
        for worker in 0..self.workers.len() {
            if self.workers[worker].shards > 0 {
                continue;
            }
            let batch = self.messages.len().min(usize::try_from(SHARDS_PER_WORKER).unwrap_or(1));
            let batch: Vec<usize> = self.messages.drain(..batch).collect();
            if batch.is_empty() {
                return;
            }
            let free = &mut self.workers[worker];
            free.shards = u32::try_from(batch.len()).unwrap_or(0);
            (free.started, free.free_at) = (self.now, self.now);
            for shard in batch {
                self.shards[shard].worker = worker;
                // A worker first completes the chunk that a failed worker left.
                self.send(shard);
                self.read_page(shard);
            }
        }
    }

    fn turn_is_over(&self, shard: usize) -> bool {
        self.now - self.workers[self.shards[shard].worker].started >= TURN_SECONDS
    }

    /// Returns when a worker has processed `contacts`.
    fn compute(&mut self, worker: usize, contacts: u32) -> f64 {
        let seconds = f64::from(contacts) * self.run.consumption.cpu_micros / 1e6 / processor_share();
        let worker = &mut self.workers[worker];
        worker.free_at = worker.free_at.max(self.now) + seconds;
        worker.free_at
    }

    /// Starts reading the next page of a shard, if there is one and the turn is not over.
    fn read_page(&mut self, shard: usize) {
        let turn_is_over = self.turn_is_over(shard);
        let state = &mut self.shards[shard];
        if state.reading > 0 || state.waiting > 0 || state.unread == 0 || turn_is_over {
            return;
        }
        state.reading = state.unread.min(PAGE_CONTACTS);
        state.unread -= state.reading;
        let left = state.reading.div_ceil(QUERY_ENTRIES);
        let reader = state.reader;
        self.schedule(self.now, Event::Query { shard, reader, left, attempt: 0 });
    }

    fn pause(&mut self, attempt: u32) -> f64 {
        let doublings = i32::try_from(attempt.min(16)).unwrap_or(16);
        self.random.share() * (BACKOFF_BASE * 2_f64.powi(doublings)).min(BACKOFF_CAP)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Query { shard, reader, .. }
            | Event::Read { shard, reader, .. }
            | Event::PageRead { shard, reader }
                if reader != self.shards[shard].reader => {}
            Event::Query { shard, left, attempt, .. } => self.query(shard, left, attempt),
            Event::Read { shard, left, items, attempt, .. } => self.read(shard, left, items, attempt),
            Event::PageRead { shard, .. } => {
                let state = &mut self.shards[shard];
                state.waiting = std::mem::take(&mut state.reading);
                self.write_page(shard);
            }
            Event::Chunk { shard } => {
                self.send(shard);
                self.read_page(shard);
            }
            Event::Admit { worker } => {
                self.workers[worker].wakes = false;
                self.admit(worker);
            }
            Event::Write { sent } => self.write(sent),
            Event::Answer { sent, refused } => self.answer(sent, refused),
            Event::Again { waiting } => self.wait(waiting),
            Event::Saved { shard } => {
                self.shards[shard].is_writing = false;
                self.write_page(shard);
            }
            Event::Requested { shard } => {
                self.messages.push_back(shard);
                self.deliver();
            }
        }
    }

    fn query(&mut self, shard: usize, left: u32, attempt: u32) {
        let (reader, units) = (self.shards[shard].reader, f64::from(QUERY_ENTRIES) * self.run.consumption.index_reads);
        let after = self.now + self.run.latency.read;
        if !self.index[self.shards[shard].index_partition].take(self.now, units) {
            let pause = self.pause(attempt);
            return self.schedule(after + pause, Event::Query { shard, reader, left, attempt: attempt + 1 });
        }
        if left > 1 {
            return self.schedule(after, Event::Query { shard, reader, left: left - 1, attempt: 0 });
        }
        let contacts = self.shards[shard].reading;
        let items = contacts.min(READ_BATCH * READS_IN_FLIGHT);
        self.schedule(after, Event::Read { shard, reader, left: contacts - items, items, attempt: 0 });
    }

    fn read(&mut self, shard: usize, left: u32, items: u32, attempt: u32) {
        let reader = self.shards[shard].reader;
        let units = self.run.consumption.reads - self.run.consumption.index_reads;
        let refused = (0..items).map(|_| {
            let partition = self.random.below(self.reads.len());
            u32::from(!self.reads[partition].take(self.now, units))
        });
        let refused: u32 = refused.sum();
        let after = self.now + self.run.latency.read;
        if refused > 0 {
            let pause = self.pause(attempt);
            return self
                .schedule(after + pause, Event::Read { shard, reader, left, items: refused, attempt: attempt + 1 });
        }
        if left > 0 {
            let items = left.min(READ_BATCH * READS_IN_FLIGHT);
            return self.schedule(after, Event::Read { shard, reader, left: left - items, items, attempt: 0 });
        }
        self.schedule(after, Event::PageRead { shard, reader });
    }

    /// Starts writing the page that waits, or ends the shard or its turn.
    fn write_page(&mut self, shard: usize) {
        let state = &mut self.shards[shard];
        if state.is_writing {
            return;
        }
        if state.waiting > 0 {
            state.unsent = std::mem::take(&mut state.waiting);
            state.is_writing = true;
            return self.schedule(self.now + self.run.latency.write, Event::Chunk { shard });
        }
        self.read_page(shard);
        let state = self.shards[shard];
        if !state.is_idle() {
            return;
        }
        if !state.is_done() {
            self.messages.push_back(shard);
        }
        self.end_shard(shard);
    }

    /// Ends the work of a worker on a shard.
    fn end_shard(&mut self, shard: usize) {
        let worker = &mut self.workers[self.shards[shard].worker];
        worker.shards -= 1;
        if worker.shards == 0 {
            self.report.outcome.worker_seconds += self.now - worker.started;
        }
        self.deliver();
    }

    /// Passes batches of the page to the limiter.
    fn send(&mut self, shard: usize) {
        while self.shards[shard].open < WRITES_IN_FLIGHT && self.shards[shard].unsent > 0 {
            let state = &mut self.shards[shard];
            let items = state.unsent.min(WRITE_BATCH);
            state.unsent -= items;
            state.open += 1;
            self.wait(Waiting { shard, items, attempt: 0 });
        }
    }

    fn wait(&mut self, waiting: Waiting) {
        let worker = self.shards[waiting.shard].worker;
        self.workers[worker].waiting.push_back(waiting);
        self.admit(worker);
    }

    /// Sends the batches that the limiter of a worker admits.
    fn admit(&mut self, worker: usize) {
        loop {
            let now = self.now;
            let Worker { waiting, limiter, wakes, .. } = &mut self.workers[worker];
            let Some(&batch) = waiting.front() else { return };
            match limiter.admit(Duration::from_secs_f64(now), batch.items as usize) {
                Admission::Granted => {
                    waiting.pop_front();
                    // The limiter measures the time from here, so the latency includes the queue for the processor.
                    let at = if batch.attempt == 0 { self.compute(worker, batch.items) } else { now };
                    self.schedule(at, Event::Write { sent: Sent { batch, at: now } });
                }
                Admission::NotBefore(due) => {
                    if !std::mem::replace(wakes, true) {
                        self.schedule(due.as_secs_f64(), Event::Admit { worker });
                    }
                    return;
                }
                Admission::AfterAnother => return,
            }
        }
    }

    fn write(&mut self, sent: Sent) {
        // The chunk, the postings and the progress are a small share of the units. The model spreads them over the
        // records.
        let units = self.run.consumption.writes;
        let items = sent.batch.items;
        let refused = (0..items).map(|_| {
            let partition = self.random.below(self.writes.len());
            u32::from(!self.writes[partition].take(self.now, units))
        });
        let refused: u32 = refused.sum();
        self.report.sent += u64::from(items);
        self.report.refused += u64::from(refused);
        self.schedule(self.now + self.run.latency.write, Event::Answer { sent, refused });
    }

    fn answer(&mut self, Sent { batch, at }: Sent, refused: u32) {
        let Waiting { shard, items, attempt } = batch;
        let worker = self.shards[shard].worker;
        let limiter = &mut self.workers[worker].limiter;
        limiter.ended();
        let batch = Batch { items: items as usize, sent: Duration::from_secs_f64(at) };
        limiter.answered(Duration::from_secs_f64(self.now), batch, (items - refused) as usize, refused as usize);
        if refused > 0 && attempt + 1 < BATCH_ATTEMPTS {
            let again = self.now + self.pause(attempt);
            self.schedule(again, Event::Again { waiting: Waiting { shard, items: refused, attempt: attempt + 1 } });
        } else {
            self.shards[shard].refused += refused;
            self.written(shard);
        }
        self.admit(worker);
    }

    fn written(&mut self, shard: usize) {
        self.shards[shard].open -= 1;
        // A failed batch does not stop the others of its page.
        self.send(shard);
        let state = &mut self.shards[shard];
        if state.open > 0 || state.unsent > 0 {
            return;
        }
        if state.refused == 0 {
            return self.schedule(self.now + self.run.latency.write, Event::Saved { shard });
        }
        // The shard fails, and a sweep requests another worker. The page that was read ahead is read again.
        state.waits += 1;
        self.report.waits = self.report.waits.max(state.waits);
        state.unsent = std::mem::take(&mut state.refused);
        state.unread += std::mem::take(&mut state.reading) + std::mem::take(&mut state.waiting);
        state.reader += 1;
        let sweep = self.random.share() * SWEEP_SECONDS;
        self.schedule(self.now + RETRY_SECONDS + sweep, Event::Requested { shard });
        self.end_shard(shard);
    }
}
