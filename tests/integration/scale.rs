//! The model of large jobs has the constants of the service and of the deployment.

use models::limits::{MAX_SHARDS, RETRY_MILLIS, WORKER_RESERVE_MILLIS};
use scale::limiter;
use serde_json::Value;
use store::dynamodb::{backoff, batch, pressure};
use store::index::PAGE_MATCHES;

use crate::template::{default_of, functions, template};

const fn count(number: u32) -> usize {
    number as usize
}

const _: () = assert!(count(scale::PAGE_CONTACTS) == PAGE_MATCHES);
const _: () = assert!(count(scale::WRITE_BATCH) == batch::WRITE_BATCH);
const _: () = assert!(count(scale::WRITES_IN_FLIGHT) == batch::IN_FLIGHT);
const _: () = assert!(count(scale::READ_BATCH) == batch::READ_BATCH);
const _: () = assert!(count(scale::READS_IN_FLIGHT) == batch::READS_IN_FLIGHT);
const _: () = assert!(count(scale::BATCH_ATTEMPTS) == backoff::BATCH_ATTEMPTS);
const _: () = assert!(count(limiter::SMALL_BATCH) == pressure::SMALL_BATCH);
const _: () = assert!(limiter::FIRST_MEASUREMENTS == pressure::FIRST_MEASUREMENTS);
const _: () = assert!(count(scale::MAX_SHARDS) == MAX_SHARDS as usize);

#[test]
fn model_has_the_times_of_the_service_and_of_the_deployment() {
    assert_eq!(scale::BACKOFF_BASE.to_bits(), backoff::BACKOFF_BASE.as_secs_f64().to_bits());
    assert_eq!(scale::BACKOFF_CAP.to_bits(), backoff::BACKOFF_CAP.as_secs_f64().to_bits());
    assert_eq!(Value::from(scale::RETRY_SECONDS * 1000.0).as_f64(), Value::from(RETRY_MILLIS).as_f64());

    let functions = functions();
    let worker = functions.iter().find(|function| function.folder == "bulk-worker").unwrap();
    assert_eq!(worker.resource.number("BatchSize"), u64::from(scale::SHARDS_PER_WORKER));
    let turn = worker.resource.number("Timeout") * 1000 - WORKER_RESERVE_MILLIS;
    assert_eq!(Value::from(scale::TURN_SECONDS * 1000.0).as_f64(), Value::from(turn).as_f64());
    assert_eq!(default_of("BulkWorkerMemory").as_f64(), Some(scale::WORKER_MEGABYTES));
    let minimum = &template()["Parameters"]["WorkerMaximumConcurrency"]["MinValue"];
    assert_eq!(minimum.as_u64(), Some(u64::from(scale::MIN_WORKERS)));
}

#[test]
fn limiter_of_the_simulation_has_the_constants_of_the_service() {
    let constants = [
        ("MAX_RATE", limiter::MAX_RATE, pressure::MAX_RATE),
        ("MIN_RATE", limiter::MIN_RATE, pressure::MIN_RATE),
        ("PAUSE", limiter::PAUSE, pressure::PAUSE.as_secs_f64()),
        ("SLACK", limiter::SLACK, pressure::SLACK.as_secs_f64()),
        ("AFTER_REJECTION", limiter::AFTER_REJECTION, pressure::AFTER_REJECTION),
        ("DEEPEST_CUT", limiter::DEEPEST_CUT, pressure::DEEPEST_CUT),
        ("GROWTH", limiter::GROWTH, pressure::GROWTH),
        ("SLOW_GROWTH", limiter::SLOW_GROWTH, pressure::SLOW_GROWTH.as_secs_f64()),
        ("MAX_WINDOW", limiter::MAX_WINDOW, pressure::MAX_WINDOW),
        ("DOUBLING_END", limiter::DOUBLING_END, pressure::DOUBLING_END),
        ("SHRINK_ABOVE", limiter::SHRINK_ABOVE, pressure::SHRINK_ABOVE),
        ("GROW_BELOW", limiter::GROW_BELOW, pressure::GROW_BELOW),
        ("HOLD", limiter::HOLD, pressure::HOLD.as_secs_f64()),
        ("ROUND", limiter::ROUND, pressure::ROUND),
        ("SHORTEST_ROUND", limiter::SHORTEST_ROUND, pressure::SHORTEST_ROUND),
        ("FLOOR_AGE", limiter::FLOOR_AGE, pressure::FLOOR_AGE.as_secs_f64()),
        ("FIRST_FLOOR_AGE", limiter::FIRST_FLOOR_AGE, pressure::FIRST_FLOOR_AGE.as_secs_f64()),
    ];
    for (name, simulated, real) in constants {
        assert_eq!(simulated.to_bits(), real.to_bits(), "{name}: {simulated}, the service has {real}");
    }
}
