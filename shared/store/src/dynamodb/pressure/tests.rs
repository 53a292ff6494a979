use super::*;
use crate::dynamodb::backoff::MachineTime;

#[tokio::test]
async fn dropped_permit_and_dropped_wait_leave_no_trace() {
    // Batches without items leave the pace alone.
    let pressure = Pressure::new(Arc::new(MachineTime));
    let first = pressure.admit(0).await;
    tokio::select! {
        biased;
        _ = pressure.admit(0) => panic!("two batches in a window of one"),
        () = std::future::ready(()) => {}
    }
    drop(first);
    let second = pressure.admit(0).await;
    second.finished(0, 0);
    assert_eq!(pressure.limiter().in_flight(), 0);
}
