//! Progress and estimated end of a job.

use models::access::{Access, Author, Caller};
use models::job::{Counts, Job, JobId, ShardSummary, State, Task};
use models::values::timestamp::Timestamp;

use super::after;
use crate::portal::{ADA, MIKE};

/// A job started at New Year with 400 expected contacts.
fn running() -> Job {
    Job {
        id: JobId::from_u128(7),
        state: State::Running,
        created_by: Author::User(ADA),
        created: after(-10),
        started: Some(after(0)),
        finished: None,
        task: Task::Contact { target: Access::UNRECORDED.into() },
        counts: Counts { matched: 9999, ..Counts::default() },
        error: None,
        percent: 0,
        shards: 4,
        expected: 400,
        changes_until: None,
        effect: None,
        applied_by: None,
        note: None,
    }
}

fn shard(done: bool, examined: u64, matched: u64) -> ShardSummary {
    ShardSummary { done, examined, counts: Counts { matched, updated: matched, ..Counts::default() } }
}

const ADMINISTRATOR: Caller = Caller { user: ADA, is_admin: true };
const EMPLOYEE: Caller = Caller { user: MIKE, is_admin: false };

/// Returns percent, matches a second, seconds until the estimated end.
fn progress_of(job: &Job, shards: &[ShardSummary], now: Timestamp) -> (u8, f64, Option<f64>) {
    let view = job.view(shards, now, &ADMINISTRATOR);
    (view.percent, view.per_second, view.estimated_end.map(|end| end.since(now).as_secs_f64()))
}

#[test]
fn progress_of_a_job_follows_from_its_shards() {
    let none = [ShardSummary::default(); 4];
    let half = [shard(false, 50, 40); 4];
    // Nothing is known before any contact is checked or any time has passed.
    assert_eq!(progress_of(&running(), &none, after(10)), (0, 0.0, None));
    assert_eq!(progress_of(&running(), &[], after(10)), (0, 0.0, None));
    assert_eq!(progress_of(&running(), &half, after(0)), (50, 0.0, None));
    // A clock set back gives no negative values.
    assert_eq!(progress_of(&running(), &half, after(-5)), (50, 0.0, None));
    assert_eq!(progress_of(&running(), &half, after(10)), (50, 16.0, Some(10.0)));
    assert_eq!(progress_of(&running(), &half, after(1000)), (50, 0.2, Some(1000.0)));
    // All shards have equal weight. Percentages are rounded down.
    let some = [shard(true, 90, 90), shard(false, 33, 0), ShardSummary::default(), ShardSummary::default()];
    assert_eq!(progress_of(&running(), &some, after(10)).0, 33);
    assert_eq!(running().view(&some, after(10), &ADMINISTRATOR).matched, 90);
    // An unfinished job shows at most 99 %, even with more matches than expected.
    let (percent, _, end) = progress_of(&running(), &[shard(false, 1_000_000, 1); 4], after(10));
    assert_eq!((percent, end.is_some_and(|seconds| seconds > 0.0)), (99, true));
    let almost = [shard(true, 1, 1), shard(true, 1, 1), shard(true, 1, 1), shard(false, 900, 1)];
    assert_eq!(progress_of(&running(), &almost, after(10)).0, 99);
    assert_eq!(progress_of(&running(), &[shard(true, 1, 1); 4], after(10)), (100, 0.4, Some(0.0)));
    // No contacts were expected.
    assert_eq!(progress_of(&Job { expected: 0, ..running() }, &half, after(10)), (0, 16.0, None));
    // The estimated end stays within the calendar, however slow the job.
    let slow = Job { expected: u64::MAX, ..running() };
    assert_eq!(progress_of(&slow, &[shard(false, 1, 1); 4], after(10)), (0, 0.4, Some(100.0 * 365.25 * 86400.0)));
    assert!(slow.view(&half, Timestamp::MAX, &ADMINISTRATOR).estimated_end.is_some_and(|end| end <= Timestamp::MAX));
}

#[test]
fn ordinary_users_see_progress_in_steps_of_five() {
    for (percent, shown) in [(0, 0), (1, 0), (4, 0), (5, 5), (9, 5), (33, 30), (64, 60), (99, 95), (100, 100)] {
        let over = |state| Job { state, finished: Some(after(100)), percent, ..running() };
        for state in [State::Cancelled, State::Failed, State::Done] {
            assert_eq!(over(state).view(&[], after(200), &EMPLOYEE).percent, shown, "{state:?}");
            assert_eq!(over(state).view(&[], after(200), &ADMINISTRATOR).percent, percent, "{state:?}");
        }
        if percent < 100 {
            let shards = [shard(false, u64::from(percent), 1); 4];
            for state in [State::Running, State::Cancelled] {
                let job = Job { state, ..running() };
                assert_eq!(job.view(&shards, after(10), &EMPLOYEE).percent, shown, "{state:?}");
                // The estimated end derives from the displayed percentage, so it reveals nothing more.
                let end = job.view(&shards, after(10), &EMPLOYEE).estimated_end;
                let derived = Job { state, ..running() };
                let coarse = [shard(false, u64::from(shown), 1); 4];
                assert_eq!(end, derived.view(&coarse, after(10), &ADMINISTRATOR).estimated_end, "{percent} {state:?}");
            }
        }
    }
}

#[test]
fn only_a_running_job_has_an_estimated_end() {
    let half = [shard(false, 50, 40); 4];
    for (state, finished) in [
        (State::Queued, None),
        (State::Cancelled, None),
        (State::Cancelled, Some(after(10))),
        (State::Failed, Some(after(10))),
        (State::Done, Some(after(10))),
    ] {
        let job = Job { state, finished, ..running() };
        assert_eq!(progress_of(&job, &half, after(20)).2, None, "{state:?}");
    }
    let waiting = Job { started: None, state: State::Queued, ..running() };
    assert_eq!(progress_of(&waiting, &[], after(20)), (0, 0.0, None));
}

#[test]
fn ended_job_shows_its_final_values() {
    let over = Job { state: State::Failed, finished: Some(after(100)), percent: 41, ..running() };
    // The values depend neither on the shards nor on the time of the request.
    for shards in [&[][..], &[shard(true, 5, 5); 4]] {
        assert_eq!(progress_of(&over, shards, after(100_000)), (41, 100.0, None));
        assert_eq!(over.view(shards, after(100_000), &ADMINISTRATOR).matched, 9999);
    }
    let at_once = Job { state: State::Done, finished: Some(after(0)), percent: 100, ..running() };
    assert_eq!(progress_of(&at_once, &[], after(50)), (100, 0.0, None));
}
