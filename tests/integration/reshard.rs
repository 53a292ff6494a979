//! Re-sharding: the number of shards of a portal with contacts changes.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use models::access::Access;
use models::import::parse_line;
use models::values::id::{JobId, PortalId};
use run_rules::Done;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use store::Store;
use store::import::{ImportError, Importer, Options};
use store::reshard::{Begun, Reshard, ReshardError};
use tests::World;
use tests::faults::{Calls, Fault, Proxy, When};
use tokio::time::Instant;

use crate::portal::{
    ADA, ADA_TOKEN, MIKE, MIKE_TOKEN, access_of, acme_with, contact, id, lines, portal, private, stage,
};
use crate::workers::proxied;

const TAGS: [&str; 4] = ["even", "third", "Straße", "all"];

/// Contacts with up to four tags, in four stages (0 is "no stage"), some of them private.
async fn world(contacts: i64) -> World {
    let contacts = (1..=contacts).map(|id| {
        let tags: Vec<&str> =
            TAGS.into_iter().zip([2, 3, 5, 1]).filter(|(_, n)| id % n == 0).map(|(tag, _)| tag).collect();
        let mut members = json!({
            "Tags": tags, "ContactStatus": {"id": id % 4}, "IsCompany": id % 2 == 0,
            "Created": format!("20{:02}-{:02}-01T12:00:00Z", 10 + id % 10, 1 + id % 12),
        });
        if id % 7 == 0 {
            members["ShareType"] = json!(0);
            members["AccessList"] = json!([{"Id": MIKE}]);
        }
        contact(id, members)
    });
    acme_with(contacts).await
}

const QUERIES: [&str; 8] = [
    "",
    "tags=even",
    "tags=third&tags=all",
    "tags=stra%C3%9Fe&contactStage=2",
    "contactStage=0",
    "contactStage=1&contactStage=3&contactListView=company",
    "fromDate=2012-01-01&toDate=2015-12-31",
    "isShared=false",
];

/// Returns the contacts in order and the total of each query, for an administrator and for an ordinary user.
async fn lists(world: &World) -> Vec<(Vec<i64>, Option<u64>)> {
    let mut lists = Vec::new();
    world.catch_up().await.unwrap();
    for (token, queries) in [(ADA_TOKEN, &QUERIES[..]), (MIKE_TOKEN, &QUERIES[..1])] {
        for query in queries {
            let reply = world.contact(&format!("filter?{query}&count=1000"), token).await.unwrap();
            assert_eq!(reply.status, 200, "{query}: {}", reply.text);
            lists.push((reply.ids(), reply.count("x-total-count")));
        }
    }
    lists
}

async fn begin(store: &Store, of: &PortalId, to: u16) -> Reshard {
    match store.begin_reshard(of, to).await.unwrap() {
        Begun::Started(reshard) => reshard,
        other => panic!("{other:?}"),
    }
}

/// Moves all entries and finishes. Returns the number of moves.
async fn complete(world: &World, store: &Store, reshard: &Reshard) -> Result<u64, ReshardError> {
    let mut moved = 0;
    loop {
        world.catch_up().await.unwrap();
        let pass = store.reshard_pass(reshard).await?;
        if pass.found_nothing() {
            store.finish_reshard(reshard).await?;
            return Ok(moved);
        }
        moved += pass.moved;
    }
}

/// Makes every step, as `crm-access reshard` does. Returns the number of moves.
async fn reshard(world: &World, store: &Store, of: &PortalId, to: u16) -> Result<u64, ReshardError> {
    let Begun::Started(reshard) = store.begin_reshard(of, to).await? else { panic!("not started") };
    complete(world, store, &reshard).await
}

/// Another process on the table of a world, with short pauses between attempts.
async fn process(world: &World) -> (Proxy, Store) {
    let (proxy, _) = proxied(world).await;
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let config = proxy.client().await.config().to_builder().retry_config(retries);
    let client = Client::from_conf(config.retry_partition(RetryPartition::new(proxy.url())).build());
    (proxy, Store::new(client, &world.table))
}

async fn shards(world: &World) -> (u16, Option<u16>) {
    let portal = world.store.portal(&id("acme")).await.unwrap().unwrap();
    (portal.shards, portal.resharding_to)
}

/// Returns the counters of stages and tags.
async fn counters(world: &World) -> BTreeMap<String, u64> {
    let tags = world.store.tag_choices(&id("acme")).await.unwrap();
    let lists = world.store.lists(&id("acme")).await.unwrap();
    let stages = lists.stage_counts.into_iter().map(|(stage, count)| (stage.to_string(), count));
    tags.into_iter().chain(stages).collect()
}

#[tokio::test]
async fn lists_and_totals_are_the_same_before_and_after_each_change_of_shards() {
    let (world, of) = (world(120).await, id("acme"));
    let (before, counted) = (lists(&world).await, counters(&world).await);
    assert_eq!(before[0].0.len(), 120);
    // Each contact has an entry for its stage and for each tag: 120 + 60 + 40 + 24 + 120.
    const ENTRIES: u64 = 364;
    for (to, moved) in [(16, Some(ENTRIES * 3 / 4)), (3, None), (24, None), (1, None)] {
        let begun = begin(&world.store, &of, to).await;
        assert_eq!(lists(&world).await, before, "marked for {to} shards");
        let entries = reshard(&world, &world.store, &of, to).await.unwrap();
        assert!(entries > 0 && entries < ENTRIES, "{entries} of {ENTRIES} entries moved to {to} shards");
        assert!(moved.is_none_or(|moved| entries.abs_diff(moved) < 10), "{entries} entries moved");
        assert_eq!((lists(&world).await, shards(&world).await), (before.clone(), (to, None)));
        // The first of the two calls is superseded.
        let late = world.store.finish_reshard(&begun).await;
        assert!(matches!(late, Err(ReshardError::Superseded)), "{late:?}");
        // A new import counts the same contacts.
        world.import(&lines([json!({"portal": {"Id": "acme"}})])).await.unwrap();
        assert_eq!(counters(&world).await, counted);
    }
    assert!(matches!(world.store.begin_reshard(&of, 1).await.unwrap(), Begun::Unchanged));
    assert!(matches!(world.store.begin_reshard(&id("none"), 1).await.unwrap(), Begun::UnknownPortal));
}

#[tokio::test]
async fn contact_is_in_the_job_shard_of_the_new_number() {
    let (world, of) = (world(60).await, id("acme"));
    reshard(&world, &world.store, &of, 6).await.unwrap();
    let body = json!({"tags": ["all"], "isPrivate": true, "managerList": [ADA]});
    let reply = world.put("filter/access", ADA_TOKEN, &body).await.unwrap();
    let job: JobId = reply.header("x-job-id").parse().unwrap();
    for shard in 0..6 {
        let chunk = world.store.chunk(&of, job, shard, 0).await.unwrap().unwrap();
        let contacts: Vec<i32> = chunk.changes.iter().map(|change| change.contact.get()).collect();
        assert_eq!(contacts.len(), 10);
        assert!(contacts.iter().all(|contact| contact % 6 == i32::from(shard)), "shard {shard}: {contacts:?}");
        assert!(world.store.chunk(&of, job, shard, 1).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn change_of_shards_interrupted_at_any_write_is_completed_later() {
    let (world, of) = (world(10).await, id("acme"));
    let tagged = async || world.contact("filter?tags=even&count=1000", ADA_TOKEN).await.unwrap().ids();
    let staged = async || world.contact("filter?count=1000", MIKE_TOKEN).await.unwrap().ids();
    let before = (tagged().await, staged().await);
    assert_eq!((before.0.len(), before.1.len()), (5, 10));
    let (proxy, store) = process(&world).await;
    let mut interruptions = 0;
    for to in [6, 2] {
        loop {
            // The first write marks the portal. Interruptions at the first and the second write alone would never let
            // an attempt move an entry.
            let (at, when) = ([3, 1, 4, 2][interruptions % 4], When::BOTH[interruptions / 4 % 2]);
            proxy.inject(Calls::writes().nth(at).meet(Fault::Die(when)));
            let result = reshard(&world, &store, &of, to).await;
            let is_dead = proxy.is_dead();
            proxy.clear();
            world.catch_up().await.unwrap();
            assert_eq!((tagged().await, staged().await), before, "interruption {interruptions}");
            // The interruption may have cut off only the answer of the last write.
            if !is_dead || shards(&world).await == (to, None) {
                assert!(is_dead || result.is_ok(), "{result:?}");
                break;
            }
            interruptions += 1;
        }
        assert_eq!(shards(&world).await, (to, None));
    }
    assert!(interruptions > 15, "{interruptions} interruptions");
    assert_eq!(lists(&world).await[0].1, Some(10));
}

#[tokio::test]
async fn imports_and_runs_by_filter_wait_for_the_end_of_a_change_of_shards() {
    let (world, of) = (world(12).await, id("acme"));
    let rule = json!({"filter": {}, "target": {"isPrivate": true, "managerList": [MIKE]}, "cron": "0 2 * * *"});
    let set = world.access_with("PUT", "rules/nightly", ADA_TOKEN, &rule.to_string(), &[]).await.unwrap();
    assert_eq!(set.status, 200, "{}", set.text);
    let begun = begin(&world.store, &of, 8).await;

    let body = json!({"isPrivate": true, "managerList": [ADA]});
    let with_key = [("Idempotency-Key", "once")];
    for (path, headers) in
        [("filter/access", &with_key[..]), ("filter/access?dryRun=true", &[]), ("filter/access?maxAffected=1", &[])]
    {
        let reply = world.put_with(path, ADA_TOKEN, &body.to_string(), headers).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.error_type()), (503, "portal-resharding".to_owned()), "{path}");
        assert_eq!(reply.header("retry-after"), "60");
        assert!(reply.text.contains("Nothing was changed"), "{}", reply.text);
    }
    let error = world.import(&lines([portal("acme", "Europe/Riga", 8), contact(13, json!({}))])).await.unwrap_err();
    let refused =
        "the number of shards of portal acme is being changed; import again when `crm-access reshard` has ended";
    assert_eq!(error.to_string(), refused);

    // A due rule stays due.
    world.set_clock("2026-01-02T00:00:10Z".parse().unwrap());
    let wake = || async {
        let deadline = Instant::now() + Duration::from_secs(3600);
        world.catch_up().await.unwrap();
        match run_rules::handle(world.jobs(), to_raw_value(&json!({})).unwrap(), deadline).await.unwrap() {
            Done::Woken { rules_started, .. } => rules_started,
            started @ Done::Started { .. } => panic!("{started:?}"),
        }
    };
    assert_eq!(wake().await, 0);
    let event = json!({"portal": "acme", "filter": {}, "access": {"isPrivate": true, "managerList": [MIKE]}});
    let deadline = Instant::now() + Duration::from_secs(3600);
    let run = run_rules::handle(world.jobs(), to_raw_value(&event).unwrap(), deadline).await.unwrap_err();
    assert!(run.to_string().contains("try again later"), "{run}");
    assert_eq!(world.jobs_of(&of, None).await.unwrap(), []);

    // Changes of named contacts use no index.
    let one = json!({"isShared": false, "managerList": [ADA]});
    assert_eq!(world.put("1/access", ADA_TOKEN, &one).await.unwrap().status, 200);
    let several = json!({"contactid": [2, 3], "isShared": false, "managerList": [ADA]});
    assert_eq!(world.put("access", ADA_TOKEN, &several).await.unwrap().status, 200);

    complete(&world, &world.store, &begun).await.unwrap();
    assert_eq!(wake().await, 1);
    world.work().await.unwrap();
    assert_eq!(access_of(&world, 12).await.access, private(&[MIKE]));
    // The refused call released its idempotency key.
    let reply = world.put_with("filter/access", ADA_TOKEN, &body.to_string(), &with_key).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.count("x-updated-count")), (200, Some(12)), "{}", reply.text);
    world.import(&lines([portal("acme", "Europe/Riga", 8), contact(13, json!({}))])).await.unwrap();
}

async fn undo(world: &World, job: &str) {
    assert_eq!(world.post(&format!("jobs/{job}/undo"), ADA_TOKEN).await.unwrap().status, 202);
    world.work().await.unwrap();
}

#[tokio::test]
async fn run_after_a_change_of_shards_changes_all_and_an_earlier_job_is_undone() {
    let (world, of) = (world(70).await, id("acme"));
    let body = |manager| json!({"tags": ["even"], "isPrivate": true, "managerList": [manager]});
    let run = world.put("filter/access", ADA_TOKEN, &body(ADA)).await.unwrap();
    assert_eq!(run.count("x-updated-count"), Some(35));
    let earlier = run.header("x-job-id").to_owned();
    reshard(&world, &world.store, &of, 16).await.unwrap();

    let changes = world.get(&format!("jobs/{earlier}/changes?count=1000"), ADA_TOKEN).await.unwrap();
    assert_eq!(changes.response().as_array().unwrap().len(), 35, "{}", changes.text);
    let check_tagged = async |expected: Access| {
        for contact in (2..=70).step_by(2).filter(|contact| contact % 7 != 0) {
            assert_eq!(access_of(&world, contact).await.access, expected, "{contact}");
        }
    };
    undo(&world, &earlier).await;
    check_tagged(Access::UNRECORDED).await;

    let run = world.put_with("filter/access", ADA_TOKEN, &body(MIKE).to_string(), &[("Prefer", "respond-async")]).await;
    let later = run.unwrap().header("x-job-id").to_owned();
    assert_eq!(world.store.open_filter_jobs(&of).await.unwrap(), [later.parse::<JobId>().unwrap()]);
    world.work().await.unwrap();
    assert_eq!(world.store.open_filter_jobs(&of).await.unwrap(), []);
    check_tagged(private(&[MIKE])).await;
    undo(&world, &later).await;
    check_tagged(Access::UNRECORDED).await;
}

/// Passes lines to an importer that has not ended.
async fn push(importer: &mut Importer<'_>, values: impl IntoIterator<Item = Value>) -> Result<(), ImportError> {
    for value in values {
        importer.push(parse_line(&value.to_string(), &importer.time_zone()).unwrap()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn import_and_change_of_shards_exclude_each_other() {
    let (world, of) = (world(12).await, id("acme"));
    let importer = || {
        let options = Options { overwrite_access: false, clock: world.jobs().clock.clone() };
        Importer::new(&world.store, options)
    };
    let named = || [json!({"portal": {"Id": "acme"}}), stage(1)];
    // A batch of 500 contacts is written when the next contact comes.
    let batch = || (1001..=1501).map(|id| contact(id, json!({})));

    // An import that has written contacts ends first.
    let mut first = importer();
    push(&mut first, named().into_iter().chain(batch())).await.unwrap();
    assert!(matches!(world.store.begin_reshard(&of, 8).await.unwrap(), Begun::Importing));
    // The end of a second import removes the mark of the first, whose next batch marks the portal again.
    let mut second = importer();
    push(&mut second, named().into_iter().chain([contact(13, json!({}))])).await.unwrap();
    second.finish().await.unwrap();
    let begun = begin(&world.store, &of, 8).await;
    let refused = first.finish().await.unwrap_err();
    assert!(matches!(refused, ImportError::Resharding(_)), "{refused}");

    // The next import repeats the lines of the refused import.
    let mut pass = world.store.reshard_pass(&begun).await.unwrap();
    while !pass.found_nothing() {
        world.catch_up().await.unwrap();
        pass = world.store.reshard_pass(&begun).await.unwrap();
    }
    let mut late = importer();
    let refused = push(&mut late, named()).await.unwrap_err();
    assert!(matches!(refused, ImportError::Resharding(_)), "{refused}");
    world.store.finish_reshard(&begun).await.unwrap();
    let repeated: Vec<Value> = named().into_iter().chain(batch()).collect();
    let summary = world.import(&lines(repeated)).await.unwrap();
    assert_eq!((summary.added, summary.unchanged), (1, 500));
    let all = world.contact("filter?count=1000", ADA_TOKEN).await.unwrap();
    assert_eq!((all.ids().len(), all.count("x-total-count")), (514, Some(514)));
}

#[tokio::test]
async fn later_command_takes_over_and_the_earlier_stops_before_its_next_page() {
    let (world, of) = (world(40).await, id("acme"));
    let before = lists(&world).await;
    let first = begin(&world.store, &of, 16).await;
    let second = begin(&world.store, &of, 5).await;
    let stopped = world.store.reshard_pass(&first).await;
    assert!(matches!(stopped, Err(ReshardError::Superseded)), "{stopped:?}");
    assert_eq!(second.partitions, 16, "the first command may have moved entries to 16 shards");
    complete(&world, &world.store, &second).await.unwrap();
    assert_eq!((shards(&world).await, lists(&world).await), ((5, None), before));
}
