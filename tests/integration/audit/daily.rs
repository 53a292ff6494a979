//! The contacts that jobs changed on each day.

use serde_json::{Value, json};
use tests::World;
use tests::faults::{Calls, Fault};

use super::{outcome, set, set_all, shown, undo};
use crate::job_faults::{Bed, for_each_death};
use crate::portal::{ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM, SAM_TOKEN, acme_with, contact};

/// Returns the days with changes: the date, the contacts and the jobs.
async fn days(world: &World, token: &str) -> Vec<(String, u64, u64)> {
    let days = shown(world, "jobs/daily", token).await;
    let days = days.as_array().unwrap();
    assert_eq!(days.len(), 90);
    let number = |day: &Value, name: &str| day[name].as_u64().unwrap();
    let days =
        days.iter().map(|day| (day["date"].as_str().unwrap().to_owned(), number(day, "contacts"), number(day, "jobs")));
    days.filter(|(_, contacts, jobs)| *contacts > 0 || *jobs > 0).collect()
}

fn day(date: &str, contacts: u64, jobs: u64) -> (String, u64, u64) {
    (date.to_owned(), contacts, jobs)
}

#[tokio::test]
async fn every_job_counts_once_on_the_day_of_its_end() {
    let world = acme_with((1..=5).map(|id| contact(id, json!({})))).await;
    assert_eq!(days(&world, ADA_TOKEN).await, []);
    set(&world, ADA_TOKEN, 1, true, &[SAM]).await;
    set(&world, MIKE_TOKEN, 1, true, &[MIKE]).await;
    // The access already matches, so the call writes nothing.
    world.put("1/access", MIKE_TOKEN, &json!({"isShared": true, "managerList": [MIKE]})).await.unwrap();
    world.put("2/access?dryRun=true", MIKE_TOKEN, &json!({"isShared": false, "managerList": [MIKE]})).await.unwrap();
    // In Riga, the next day has begun.
    world.set_clock("2026-01-01T22:30:00Z".parse().unwrap());
    let all = set_all(&world, MIKE_TOKEN, &[MIKE]).await;
    undo(&world, ADA_TOKEN, all).await;
    let named = json!({"contactid": [3, 4], "isShared": false, "managerList": [ADA]});
    assert_eq!(world.put("access", ADA_TOKEN, &named).await.unwrap().status, 200);
    assert_eq!(days(&world, ADA_TOKEN).await, [day("2026-01-01", 2, 2), day("2026-01-02", 12, 3)]);
    assert_eq!(days(&world, MIKE_TOKEN).await, [day("2026-01-01", 1, 1), day("2026-01-02", 5, 1)]);
    assert_eq!(days(&world, SAM_TOKEN).await, []);

    let listed = shown(&world, "jobs/daily", ADA_TOKEN).await;
    assert_eq!((&listed[0]["date"], &listed[89]["date"]), (&json!("2025-10-05"), &json!("2026-01-02")));
    world.set_clock("2026-04-01T12:00:00Z".parse().unwrap());
    assert_eq!(days(&world, ADA_TOKEN).await, [day("2026-01-02", 12, 3)]);
    world.set_clock("2026-04-02T12:00:00Z".parse().unwrap());
    assert_eq!(days(&world, ADA_TOKEN).await, []);
    let reply = world.get("jobs/daily?days=5", ADA_TOKEN).await.unwrap();
    assert_eq!(outcome(&reply), "400 invalid-request");
}

#[tokio::test]
async fn count_of_single_changes_is_stored_when_no_further_change_can_join_the_day() {
    let world = acme_with((1..=5).map(|id| contact(id, json!({})))).await;
    for number in 1..=4 {
        set(&world, MIKE_TOKEN, number, true, &[SAM]).await;
    }
    let first = [day("2026-01-01", 4, 4)];
    for (now, open_days) in [
        // Riga is two hours ahead of UTC. The first day settles 25 hours after its end.
        ("2026-01-01T21:59:59Z", 2.0),
        ("2026-01-02T22:59:59Z", 3.0),
        ("2026-01-02T23:00:01Z", 2.0),
        ("2026-01-03T12:00:00Z", 2.0),
    ] {
        world.set_clock(now.parse().unwrap());
        for token in [ADA_TOKEN, MIKE_TOKEN] {
            assert_eq!(days(&world, token).await, first, "{now}");
            let before = world.trips.spent();
            assert_eq!(days(&world, token).await, first, "{now}");
            let spent = world.trips.spent();
            assert_eq!(spent.writes, before.writes, "{now}");
            // The user, the portal and the counters cost 3 units, and each open day 1 unit.
            assert!((spent.read_units - before.read_units - 3.0 - open_days).abs() < f64::EPSILON, "{now}");
        }
    }
}

#[tokio::test]
async fn job_counts_once_although_its_worker_dies_at_any_call() {
    for_each_death(20, async |number, when| {
        let bed = Bed::new(2).await;
        let id = bed.enqueue().await;
        let worker = bed.process().await;
        worker.proxy.inject(Calls::numbered(number).meet(Fault::Die(when)));
        while let Some(message) = bed.world.queue.take()
            && worker.work(&message).await.is_ok()
        {}
        bed.recover().await;
        bed.check_done(id).await;
        let changed = bed.to_change().len() as u64;
        assert_eq!(days(&bed.world, ADA_TOKEN).await, [day("2026-01-01", changed, 1)], "call {number}");
        worker.proxy.is_dead()
    })
    .await;
}

#[tokio::test]
async fn cancelled_job_counts_the_contacts_that_it_changed() {
    let bed = Bed::new(2).await;
    let id = bed.enqueue().await;
    let worker = bed.process().await;
    worker.work(&bed.world.queue.take().unwrap()).await.unwrap();
    assert_eq!(bed.cancel(id).await.status, 200);
    bed.world.work().await.unwrap();
    let updated = bed.job(id).await.counts.updated;
    assert!(updated > 0 && updated < bed.to_change().len() as u64, "{updated}");
    assert_eq!(days(&bed.world, ADA_TOKEN).await, [day("2026-01-01", updated, 1)]);
}
