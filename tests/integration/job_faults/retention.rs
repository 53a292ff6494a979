//! Retention of the access before a job.

use jiff::SignedDuration;
use jobs::Jobs;
use store::keys::Key;

use super::bed::Bed;
use crate::portal::{ADA, ADA_TOKEN, SAM};

#[tokio::test]
async fn changes_expire_after_the_retention_and_the_job_never() {
    let bed = Bed::new(1).await.with(|jobs| Jobs { retention: jobs::context::retention(2), ..jobs });
    let until = bed.world.app.now() + SignedDuration::from_hours(48);
    let id = bed.applied().await;
    assert_eq!(bed.job(id).await.changes_until, Some(until));
    for number in 0..3 {
        let chunk = Key::Chunk(bed.portal.clone(), id, 0, number);
        assert_eq!(bed.expires(&chunk).await, Some(until.to_jiff().as_second() + 7 * 24 * 60 * 60));
    }
    assert_eq!(bed.expires(&Key::Job(bed.portal.clone(), id)).await, None);
    assert_eq!(bed.expires(&Key::JobEntry(bed.portal.clone(), ADA, id)).await, None);

    bed.pass(48 * 3600 * 1000 - 1);
    let changes = bed.world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap();
    assert_eq!(changes.response().as_array().map(Vec::len), Some(bed.to_change().len()));
    bed.pass(1);
    let changes = bed.world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap();
    assert_eq!((changes.status.as_u16(), changes.error_type().as_str()), (410, "changes-expired"));
    let undo = bed.world.post(&format!("jobs/{id}/undo"), ADA_TOKEN).await.unwrap();
    assert_eq!((undo.status.as_u16(), undo.error_type().as_str()), (410, "changes-expired"));
    assert_eq!(bed.world.get(&format!("jobs/{id}"), ADA_TOKEN).await.unwrap().status, 200);
    bed.check_done(id).await;
}

#[tokio::test]
async fn change_of_a_single_call_is_kept_as_long_as_its_job() {
    let bed = Bed::new(1).await;
    let id = bed.set(6, &[SAM]).await;
    assert_eq!((bed.job(id).await.changes_until, bed.expires(&Key::Job(bed.portal.clone(), id)).await), (None, None));
    bed.pass(1000 * 24 * 3600 * 1000);
    assert_eq!(bed.world.get(&format!("jobs/{id}/changes"), ADA_TOKEN).await.unwrap().status, 200);
    bed.undone(id).await;
    bed.check_restored().await;
}

#[tokio::test]
async fn changes_never_expire_without_a_retention() {
    let bed = Bed::new(1).await.with(|jobs| Jobs { retention: jobs::context::retention(0), ..jobs });
    let id = bed.applied().await;
    assert_eq!(bed.job(id).await.changes_until, None);
    assert_eq!(bed.expires(&Key::Chunk(bed.portal.clone(), id, 0, 0)).await, None);
    bed.pass(10_000 * 24 * 3600 * 1000);
    bed.undone(id).await;
    bed.check_restored().await;
}
