//! Schedules of faults: a seed decides the portal, the calls, and the faults that each call to the table meets.
//!
//! Property: a run ends with every match changed, or its job fails with a reason and lists exactly the contacts that it
//! changed. Repeating the run finishes the run. An undo restores every contact. Nothing else changes. Each state of a
//! contact is the *before* of exactly one recorded change, so the changes lead from a contact's last state to the first
//! without a gap.
//!
//! `CRM_ACCESS_SCHEDULES` is the number of seeds, `CRM_ACCESS_SCHEDULE_SEED` the first seed. To repeat a failure, set
//! the variables to 1 and to the failed seed. The seeds of [`FOUND`] always run.

mod bed;
mod checks;
mod weather;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures::FutureExt as _;

use bed::Lane;

/// Number of all seeds, unless `CRM_ACCESS_SCHEDULES` is set.
const SCHEDULES: u32 = 100;

/// Seeds that once failed:
///
/// - 160: the changes of a job that was given up held contacts that the job had not written.
/// - 90107: the injector executed statements that a fault answered as throttled, because a second fault of the same
///   call saw the whole batch.
const FOUND: [u64; 2] = [160, 90_107];

/// Schedules after which a lane starts with new engines, so that memory stays bounded.
const SCHEDULES_PER_ENGINE: usize = 200;

/// The stack of a lane. The engine runs on the stack of its caller, below all futures of the schedule.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// The maximum number of failures to report.
const FAILURES: usize = 10;

#[expect(clippy::disallowed_methods, reason = "the environment names the seeds")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs the schedules of the seeds on all processors. Returns the failures.
fn run(seeds: &[u64]) -> Vec<String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let lane = &|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut lane = None;
        let mut schedules = 0;
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed))
            && failures.lock().unwrap().len() < FAILURES
        {
            if schedules % SCHEDULES_PER_ENGINE == 0 {
                lane = Some(runtime.block_on(Lane::open()));
            }
            schedules += 1;
            let schedule = lane.as_mut().unwrap().run(seed);
            let failure = match runtime.block_on(AssertUnwindSafe(schedule).catch_unwind()) {
                Ok(Ok(())) => continue,
                Ok(Err(reason)) => reason,
                Err(panic) => {
                    let reason = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    format!("seed {seed}: a panic {reason}")
                }
            };
            failures.lock().unwrap().push(format!(
                "{failure}\n  repeat: CRM_ACCESS_SCHEDULE_SEED={seed} CRM_ACCESS_SCHEDULES=1 cargo test --test \
                 integration schedules"
            ));
            // A failed schedule may leave open jobs in the table.
            schedules = 0;
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, lane).unwrap();
        }
    });
    failures.into_inner().unwrap()
}

#[test]
fn runs_and_undos_end_as_reported_under_every_schedule_of_faults() {
    let first = number("CRM_ACCESS_SCHEDULE_SEED");
    let count = number("CRM_ACCESS_SCHEDULES").unwrap_or(tests::cases::random(SCHEDULES).into());
    let found = if first.is_some() { &[] } else { &FOUND[..] };
    let first = first.unwrap_or(0);
    let seeds: Vec<u64> = found.iter().copied().chain(first..first + count).collect();
    let failures = run(&seeds);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
