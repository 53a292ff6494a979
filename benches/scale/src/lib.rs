//! The model of a job over many contacts: time, price and concurrent Lambdas.
//!
//! The job sets the access of every contact of a portal. The model is the smallest of a few rates; the discrete
//! simulation in [`simulation`] checks the model. `docs/scale.md` explains both.

pub mod simulation;

/// Contacts on a page and in a chunk.
pub const PAGE_CONTACTS: u32 = 1000;
/// Index entries per query.
pub const QUERY_ENTRIES: u32 = 250;
/// Items in a write batch.
pub const WRITE_BATCH: u32 = 25;
/// Write batches of a shard that wait for the limiter or are in flight.
pub const WRITES_IN_FLIGHT: u32 = 8;
/// Items in a read batch.
pub const READ_BATCH: u32 = 100;
/// Read batches of a shard in flight.
pub const READS_IN_FLIGHT: u32 = 2;
/// Attempts of a batch.
pub const BATCH_ATTEMPTS: u32 = 10;
/// Seconds of the first pause between two attempts, before jitter.
pub const BACKOFF_BASE: f64 = 0.025;
/// Seconds of the longest pause between two attempts, before jitter.
pub const BACKOFF_CAP: f64 = 2.0;
/// Seconds after which a shard that failed is tried again.
pub const RETRY_SECONDS: f64 = 60.0;
/// Seconds between two sweeps, which request workers for shards that failed.
pub const SWEEP_SECONDS: f64 = 60.0;
/// Messages of one call of the worker: the shards that a worker processes concurrently.
pub const SHARDS_PER_WORKER: u32 = 4;
/// Minimum number of concurrent workers in a deployment.
pub const MIN_WORKERS: u32 = 2;
/// Seconds of a worker's call in which the worker starts pages.
pub const TURN_SECONDS: f64 = 285.0;
/// Maximum shards of a portal.
pub const MAX_SHARDS: u32 = 64;
/// Memory of a worker in MB.
pub const WORKER_MEGABYTES: f64 = 1024.0;

/// Memory in MB at which Lambda gives a function one whole processor.
const MEGABYTES_PER_PROCESSOR: f64 = 1769.0;
/// Write units per second that a partition of DynamoDB accepts.
pub const PARTITION_WRITES: f64 = 1000.0;
/// Read units per second that a partition of DynamoDB accepts.
pub const PARTITION_READS: f64 = 3000.0;

/// Dollars per million write units, on demand.
const WRITE_PRICE: f64 = 0.625;
/// Dollars per million read units, on demand.
const READ_PRICE: f64 = 0.125;
/// Dollars per GB-second of Lambda on arm64.
const LAMBDA_PRICE: f64 = 0.000_013_333_4;

/// Measured consumption of a job, per contact.
#[derive(Clone, Copy, Debug)]
pub struct Consumption {
    /// Write units.
    pub writes: f64,
    /// Read units in the table and in the index.
    pub reads: f64,
    /// Read units in the index alone.
    pub index_reads: f64,
    /// Microseconds of a whole processor.
    pub cpu_micros: f64,
}

/// The consumption that `make bench-million` and `scripts/worker_cpu.py` measured. An access record costs half a read
/// unit; the remaining read units are those of the index.
pub const MEASURED: Consumption =
    Consumption { writes: 1.0070, reads: 0.5220, index_reads: 0.0220, cpu_micros: CPU_MICROS };

/// Microseconds of processor time of the worker for each contact.
const CPU_MICROS: f64 = 84.0;

/// Assumed seconds from the sending of a request to its response, without throttling.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// A write of a batch, a chunk or the progress.
    pub write: f64,
    /// A query or a read of a batch.
    pub read: f64,
}

/// The latency that the model assumes. It matters only where neither the table nor the processor limits the job.
pub const ASSUMED: Latency = Latency { write: 0.010, read: 0.005 };

/// The table of a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Name in reports.
    pub name: &'static str,
    /// Partitions of the table.
    pub partitions: u32,
    /// Partitions of the index that the job reads.
    pub index_partitions: u32,
}

/// The tables of the report: a new on-demand table, a table at the default quota, and a table that is warmed to four
/// hundred thousand write units per second under a raised quota.
pub const TABLES: [Table; 3] = [
    Table { name: "4,000", partitions: 4, index_partitions: 4 },
    Table { name: "40,000", partitions: 40, index_partitions: 13 },
    Table { name: "warm", partitions: 400, index_partitions: 40 },
];

/// A job in a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Contacts to change.
    pub contacts: u32,
    /// Shards of the portal.
    pub shards: u32,
    /// Maximum number of concurrent workers.
    pub workers: u32,
    /// The table.
    pub table: Table,
    /// Consumption per contact.
    pub consumption: Consumption,
    /// Latency of the table.
    pub latency: Latency,
}

/// The part of a deployment that limits a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bottleneck {
    /// Write units of the table.
    Writes,
    /// Read units of the table.
    Reads,
    /// Read units of the index partitions.
    Index,
    /// Processor time of the workers.
    Processor,
    /// Write batches that a worker has in flight.
    Window,
    /// Latency of the shards, each of which writes one page after the other.
    Shards,
}

impl Bottleneck {
    /// Returns the name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Writes => "write units",
            Self::Reads => "read units",
            Self::Index => "index",
            Self::Processor => "processor",
            Self::Window => "batches in flight",
            Self::Shards => "shards",
        }
    }
}

/// The result of the model or of the simulation.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Seconds from the first message to the last write.
    pub seconds: f64,
    /// Seconds of all calls of the worker.
    pub worker_seconds: f64,
}

/// The share of a processor that a worker has. A worker has one thread.
pub fn processor_share() -> f64 {
    (WORKER_MEGABYTES / MEGABYTES_PER_PROCESSOR).min(1.0)
}

impl Run {
    /// Returns the run over `contacts` with the most shards, and with the workers that keep `table` busy.
    pub fn sized(contacts: u32, table: Table) -> Self {
        let run = Self {
            contacts,
            shards: MAX_SHARDS,
            workers: MAX_SHARDS / SHARDS_PER_WORKER,
            table,
            consumption: MEASURED,
            latency: ASSUMED,
        };
        // With a power of two, every worker has the same number of shards.
        let counts = std::iter::successors(Some(MIN_WORKERS), |workers| Some(2 * workers));
        let fewer = counts.take_while(|workers| *workers < run.workers).map(|workers| Self { workers, ..run });
        fewer.into_iter().find(|run| run.bottleneck().0 == Bottleneck::Writes).unwrap_or(run)
    }

    /// Returns the seconds in which a shard writes a page if nothing else limits the shard. The next page is read
    /// meanwhile.
    pub fn page_seconds(&self) -> f64 {
        let rounds = |batch: u32, in_flight: u32| f64::from(PAGE_CONTACTS.div_ceil(batch).div_ceil(in_flight));
        let write = self.latency.write * (2.0 + rounds(WRITE_BATCH, WRITES_IN_FLIGHT));
        let queries = f64::from(PAGE_CONTACTS.div_ceil(QUERY_ENTRIES));
        write.max(self.latency.read * (queries + rounds(READ_BATCH, READS_IN_FLIGHT)))
    }

    /// Returns the contacts per second that each part of the deployment allows.
    pub fn rates(&self) -> [(Bottleneck, f64); 6] {
        let Consumption { writes, reads, index_reads, cpu_micros } = self.consumption;
        let partitions = f64::from(self.table.partitions);
        let index_partitions = f64::from(self.table.index_partitions.min(self.shards));
        let concurrent = f64::from(self.shards.min(self.workers * SHARDS_PER_WORKER));
        let busy = f64::from(self.workers.min(self.shards.div_ceil(SHARDS_PER_WORKER)));
        let in_flight = limiter::MAX_WINDOW * f64::from(WRITE_BATCH);
        [
            (Bottleneck::Writes, partitions * PARTITION_WRITES / writes),
            (Bottleneck::Reads, partitions * PARTITION_READS / (reads - index_reads)),
            (Bottleneck::Index, index_partitions * PARTITION_READS / index_reads),
            (Bottleneck::Processor, busy * processor_share() * 1e6 / cpu_micros),
            (Bottleneck::Window, busy * in_flight / self.latency.write),
            (Bottleneck::Shards, concurrent * f64::from(PAGE_CONTACTS) / self.page_seconds()),
        ]
    }

    /// Returns the part that limits the run, and the contacts per second that this part allows.
    pub fn bottleneck(&self) -> (Bottleneck, f64) {
        let [first, rest @ ..] = self.rates();
        rest.into_iter().fold(first, |least, rate| if rate.1 < least.1 { rate } else { least })
    }

    /// Returns the maximum seconds in which the last worker writes alone, if the table limits the run. The limiters
    /// share the table unevenly, so some workers have their shards left when the others find no more. The rate of the
    /// last worker grows slowly at first; then the processor limits the worker.
    pub fn longest_end(&self) -> f64 {
        if self.bottleneck().0 != Bottleneck::Writes {
            return 0.0;
        }
        let left = f64::from(self.contacts) * f64::from(SHARDS_PER_WORKER) / f64::from(self.shards);
        let seconds = left * self.consumption.cpu_micros / 1e6 / processor_share();
        limiter::SLOW_GROWTH.as_secs_f64() + seconds.min(TURN_SECONDS)
    }

    /// Returns the outcome that the model predicts.
    pub fn predict(&self) -> Outcome {
        let seconds = f64::from(self.contacts) / self.bottleneck().1;
        Outcome { seconds, worker_seconds: seconds * f64::from(self.workers) }
    }

    /// Returns the dollars for DynamoDB.
    pub fn table_dollars(&self) -> f64 {
        let millions = f64::from(self.contacts) / 1e6;
        millions * (self.consumption.writes * WRITE_PRICE + self.consumption.reads * READ_PRICE)
    }
}

/// The contacts of the jobs in the report.
pub const JOBS: [u32; 3] = [1_000_000, 10_000_000, 100_000_000];

/// The first columns of the report, which the model computes.
pub const MODEL_HEAD: &str =
    "| contacts | units a second | limit | contacts a second | Lambdas | time | GB-s | DynamoDB | Lambda |";

/// Maximum difference between the model and the simulation, as a share of the model's time.
pub const TOLERANCE: f64 = 0.05;

/// Returns the maximum difference in seconds between the model and a simulation. The model leaves out two things: a
/// shard fails and waits for a sweep if the table refuses a batch on every attempt; and the last worker writes alone.
pub fn tolerance(run: &Run, report: &simulation::Report) -> f64 {
    let waits = f64::from(report.waits) * (RETRY_SECONDS + SWEEP_SECONDS);
    TOLERANCE * run.predict().seconds + waits + run.longest_end()
}

/// Returns GB-seconds of calls of the worker.
fn gigabyte_seconds(worker_seconds: f64) -> f64 {
    worker_seconds * WORKER_MEGABYTES / 1024.0
}

/// Returns seconds as a text with a fitting unit.
pub fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.0} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Returns a number rounded to a multiple of `step`, with commas between thousands.
fn thousands(number: f64, step: f64) -> String {
    let digits = format!("{:.0}", (number / step).round() * step);
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let mut groups: Vec<&str> = if head.is_empty() { Vec::new() } else { vec![head] };
    groups.extend((0..tail.len()).step_by(3).filter_map(|start| tail.get(start..start + 3)));
    groups.join(",")
}

impl Run {
    /// Returns the row of the report below [`MODEL_HEAD`].
    pub fn row(&self) -> String {
        let ((bottleneck, rate), outcome) = (self.bottleneck(), self.predict());
        let gigabyte_seconds = gigabyte_seconds(outcome.worker_seconds);
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | ${:.2} | ${:.2} |",
            thousands(f64::from(self.contacts), 1.0),
            self.table.name,
            bottleneck.name(),
            thousands(rate, 100.0),
            self.workers,
            time(outcome.seconds),
            thousands(gigabyte_seconds, 1.0),
            self.table_dollars(),
            gigabyte_seconds * LAMBDA_PRICE,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::simulation::simulate;
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/scale.md");

    #[test]
    fn document_shows_the_rows_of_the_model() {
        for contacts in JOBS {
            for table in TABLES {
                let row = Run::sized(contacts, table).row();
                assert!(DOCUMENT.contains(&row), "docs/scale.md lacks {row}: run `make scale`");
            }
        }
    }

    #[test]
    fn simulation_of_a_million_contacts_confirms_the_model() {
        for table in TABLES {
            let run = Run::sized(1_000_000, table);
            let (predicted, report) = (run.predict().seconds, simulate(&run, 7));
            let difference = (report.outcome.seconds - predicted).abs();
            assert!(difference <= tolerance(&run, &report), "{}: {predicted} s, {report:?}", table.name);
        }
    }

    /// Sets the consumption so that one part limits the run, and compares the simulation with the model.
    #[test]
    fn simulation_finds_every_bottleneck_of_the_model() {
        let run = Run { workers: MAX_SHARDS / SHARDS_PER_WORKER, ..Run::sized(1_000_000, TABLES[1]) };
        let cheap = Consumption { writes: 0.01, reads: 0.02, index_reads: 0.01, cpu_micros: 1.0 };
        // All shards read one partition of the index, because the simulation places shards at random.
        let narrow = Table { index_partitions: 1, ..run.table };
        let fast_reads = Run { workers: 1, consumption: cheap, latency: Latency { read: 0.001, ..ASSUMED }, ..run };
        let cases = [
            (Bottleneck::Writes, Run { consumption: Consumption { writes: 2.0, ..cheap }, ..run }),
            (Bottleneck::Reads, Run { consumption: Consumption { reads: 5.0, ..cheap }, ..run }),
            (
                Bottleneck::Index,
                Run { table: narrow, consumption: Consumption { index_reads: 0.1, reads: 0.11, ..cheap }, ..run },
            ),
            (Bottleneck::Processor, Run { consumption: Consumption { cpu_micros: 100.0, ..cheap }, ..run }),
            (Bottleneck::Shards, Run { shards: 4, ..fast_reads }),
            (Bottleneck::Shards, Run { shards: 1, ..fast_reads }),
        ];
        for (expected, run) in cases {
            let (bottleneck, _) = run.bottleneck();
            assert_eq!(bottleneck, expected);
            let (predicted, report) = (run.predict().seconds, simulate(&run, 3));
            let difference = (report.outcome.seconds - predicted).abs();
            assert!(
                difference <= tolerance(&run, &report) + 0.05 * predicted,
                "{expected:?}: {predicted} s, {report:?}"
            );
        }
    }

    #[test]
    fn simulation_with_one_seed_is_repeatable() {
        let run = Run::sized(100_000, TABLES[0]);
        let seconds = |seed| simulate(&run, seed).outcome.seconds;
        assert_eq!(seconds(5).to_bits(), seconds(5).to_bits());
        assert_ne!(seconds(5).to_bits(), seconds(6).to_bits());
    }
}
