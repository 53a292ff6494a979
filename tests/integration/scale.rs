//! The model of large jobs has the constants of the service and of the deployment.

use models::limits::{MAX_SHARDS, RETRY_MILLIS, WORKER_RESERVE_MILLIS};
use serde_json::Value;
use store::dynamodb::{backoff, batch};
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
