//! The cost of a preview and of its run.

use serde_json::json;

use super::{apply, counts, lock, queued, shown};
use crate::portal::{ADA_TOKEN, MIKE, SAM, acme_with, contact, job};

const CONTACTS: i64 = 4000;

#[tokio::test]
async fn preview_costs_a_chunk_a_page_and_its_run_costs_no_more_than_any_run() {
    let managers = |id: i64| if id % 2 == 0 { json!([{"Id": MIKE}]) } else { json!([{"Id": SAM}, {"Id": MIKE}]) };
    let members = |id| json!({"ShareType": 0, "AccessList": managers(id)});
    let world = acme_with((1..=CONTACTS).map(|id| contact(id, members(id)))).await;
    let each = f64::from(i32::try_from(CONTACTS).unwrap());

    let before = world.trips.spent();
    let preview = queued(&world, ADA_TOKEN, &lock(&[])).await;
    world.work().await.unwrap();
    let spent = world.trips.spent() - before;
    assert_eq!(counts(&shown(&world, ADA_TOKEN, preview).await), [4000, 4000, 0, 0, 0, 0]);
    let (reads, writes) = (spent.read_units / each, spent.write_units / each);
    assert!((0.5..=0.65).contains(&reads), "{reads} read units per contact");
    assert!(writes <= 0.02, "{writes} write units per contact");

    let before = world.trips.spent();
    let run = job(&apply(&world, ADA_TOKEN, preview).await).unwrap();
    world.work().await.unwrap();
    let spent = world.trips.spent() - before;
    assert_eq!(counts(&shown(&world, ADA_TOKEN, run).await), [4000, 4000, 0, 0, 0, 0]);
    let (reads, writes) = (spent.read_units / each, spent.write_units / each);
    assert!((1.0..=1.02).contains(&reads), "{reads} read units per contact");
    assert!((1.0..=1.1).contains(&writes), "{writes} write units per contact");
}
