//! The number of previews of a user, and their retention.

use jiff::SignedDuration;
use models::job::JobId;
use models::limits::{MAX_PREVIEWS, OPEN_JOBS_RETRY_SECONDS, PREVIEW_HOURS};
use serde_json::json;
use store::keys::Key;

use super::{applied, apply, ask, counts, lock, outcome, previewed, queued, shown};
use crate::job_faults::Bed;
use crate::portal::{ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, SAM_TOKEN, acme_with, contact, job};

#[tokio::test]
async fn eleventh_preview_removes_the_oldest_finished_preview() {
    let world = acme_with((1..=3).map(|id| contact(id, json!({})))).await;
    // The first preview does not end.
    let open = queued(&world, MIKE_TOKEN, &lock(&[MIKE])).await;
    let messages = world.queue.waiting();
    world.queue.clear();
    let mut previews: Vec<JobId> = Vec::new();
    for _ in 1..MAX_PREVIEWS {
        world.set_clock(world.app.now() + SignedDuration::from_secs(1));
        previews.push(previewed(&world, MIKE_TOKEN, &lock(&[MIKE])).await);
    }
    let run = job(&apply(&world, MIKE_TOKEN, previews[0]).await).unwrap();
    // Another user's previews do not count.
    previewed(&world, SAM_TOKEN, &lock(&[MIKE])).await;
    assert!(world.queue.waiting().is_empty());

    let newest = queued(&world, MIKE_TOKEN, &lock(&[])).await;
    for (id, status) in [(open, 200), (previews[0], 404), (previews[1], 200), (newest, 200)] {
        assert_eq!(world.get(&format!("jobs/{id}"), MIKE_TOKEN).await.unwrap().status, status, "{id}");
    }
    let jobs = world.get("jobs?count=100", MIKE_TOKEN).await.unwrap().response();
    let kinds = |kind: &str| jobs.as_array().unwrap().iter().filter(|job| job["kind"] == kind).count();
    assert_eq!((kinds("preview"), kinds("filter")), (MAX_PREVIEWS, 1));
    assert_eq!(counts(&shown(&world, MIKE_TOKEN, run).await), [3, 3, 0, 0, 0, 0]);
    for message in messages {
        world.jobs().work(&message, &jobs::Deadline::never()).await.unwrap();
    }
    assert_eq!(shown(&world, MIKE_TOKEN, open).await["state"], "done");
}

#[tokio::test]
async fn run_of_a_removed_preview_reads_the_preview_to_its_end() {
    let world = acme_with((1..=3).map(|id| contact(id, json!({})))).await;
    let preview = previewed(&world, MIKE_TOKEN, &lock(&[MIKE])).await;
    let run = job(&apply(&world, MIKE_TOKEN, preview).await).unwrap();
    let messages = world.queue.waiting();
    world.queue.clear();
    for _ in 0..MAX_PREVIEWS {
        world.set_clock(world.app.now() + SignedDuration::from_secs(1));
        previewed(&world, MIKE_TOKEN, &lock(&[MIKE])).await;
    }
    assert_eq!(outcome(&apply(&world, MIKE_TOKEN, preview).await), "404 job-not-found");
    for message in messages {
        world.jobs().work(&message, &jobs::Deadline::never()).await.unwrap();
    }
    assert_eq!(counts(&shown(&world, MIKE_TOKEN, run).await), [3, 3, 0, 0, 0, 0]);
}

#[tokio::test]
async fn user_with_ten_unfinished_previews_starts_no_other() {
    let world = acme_with((1..=3).map(|id| contact(id, json!({})))).await;
    for _ in 0..MAX_PREVIEWS {
        queued(&world, MIKE_TOKEN, &lock(&[])).await;
    }
    let refused = ask(&world, MIKE_TOKEN, "", &lock(&[])).await;
    assert_eq!(outcome(&refused), "429 too-many-previews", "{}", refused.text);
    assert_eq!(refused.count("retry-after"), Some(OPEN_JOBS_RETRY_SECONDS));
    assert_eq!(world.put("filter/access?dryRun=true", MIKE_TOKEN, &lock(&[])).await.unwrap().status, 200);
    queued(&world, ADA_TOKEN, &lock(&[])).await;
    world.work().await.unwrap();
    previewed(&world, MIKE_TOKEN, &lock(&[])).await;
}

#[tokio::test]
async fn items_of_a_preview_expire_and_those_of_its_run_follow_the_retention() {
    let bed = Bed::new(2).await;
    let preview = bed.preview().await;
    let until = bed.world.app.now() + SignedDuration::from_hours(PREVIEW_HOURS);
    bed.world.work().await.unwrap();
    assert_eq!(bed.job(preview).await.changes_until, Some(until));
    let portal = || bed.portal.clone();
    for key in [
        Key::Job(portal(), preview),
        Key::JobEntry(portal(), ADA, preview),
        Key::JobShard(portal(), preview, 1),
        Key::Chunk(portal(), preview, 0, 2),
        Key::JobEffect(portal(), preview, 1),
    ] {
        assert_eq!(bed.expires(&key).await, Some(until.to_jiff().as_second() + 7 * 24 * 60 * 60), "{key:?}");
    }
    let run = applied(&bed.world, ADA_TOKEN, preview).await;
    assert_eq!(bed.expires(&Key::Job(portal(), run)).await, None);
    bed.check_applied(run, &[]).await;
}
