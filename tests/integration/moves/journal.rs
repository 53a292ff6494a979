//! The journal of moved contacts.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents, SharedInterceptor};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemInput;
use aws_sdk_dynamodb::types::PutRequest;
use jiff::SignedDuration;
use models::job::State as JobState;
use models::limits::{MOVE_RETENTION_HOURS, MOVE_WRITE_MILLIS, MOVES_BEFORE_MILLIS};
use models::values::timestamp::Timestamp;
use serde_json::{Value, json};
use store::dynamodb::client::{Endpoint, connect};
use store::keys::{Key, PK, SK};
use store::{Clock, Store};
use tests::faults::{Call, Calls, Fault, Gate, Operation, Proxy, When};

use super::{ALL, Bed, Filter, Mode, Mover, load, movers, moves, through};
use crate::portal::{contact, job, lines, portal};

/// Writes of an import, in order: the time of a journal entry, or the contact of another item.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrote {
    Entry(Timestamp),
    Item(i32),
}

/// Makes a proxy record the writes that it receives.
fn recorded_writes(proxy: &Proxy) -> Arc<Mutex<Vec<Wrote>>> {
    let writes = Arc::new(Mutex::new(Vec::new()));
    let recorded = writes.clone();
    proxy.observe(move |call| {
        let keys = if call.writes() { call.keys() } else { Vec::new() };
        recorded.lock().unwrap().extend(keys.iter().filter_map(|(pk, sk)| match Key::decode(pk, sk)? {
            Key::Move(_, _, at, _) => Some(Wrote::Entry(at)),
            Key::Contact(_, id) | Key::ContactTag(_, id, _) | Key::Access(_, id) => Some(Wrote::Item(id.get())),
            _ => None,
        }));
    });
    writes
}

/// Imports values through a separate proxy. Returns the writes.
async fn imported(bed: &Bed, values: Vec<Value>) -> Vec<Wrote> {
    let proxy = bed.world.proxy().await.unwrap();
    let store = through(&proxy, &bed.world).await;
    let writes = recorded_writes(&proxy);
    load(&store, &bed.clock(), &lines(values)).await.unwrap();
    std::mem::take(&mut writes.lock().unwrap())
}

#[tokio::test]
async fn journal_holds_exactly_the_index_changes() {
    let mut bed = Bed::new().await;
    let name = bed.portal(1, &[]).await;
    let portal_line = || portal(&name, "UTC", 1);
    let with = |number, members: Value| {
        let mut all = json!({"ContactStatus": {"id": 1}, "Tags": ["vip"], "DisplayName": "One"});
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        contact(number, all)
    };
    let first = imported(&bed, vec![portal_line(), with(1, json!({})), with(2, json!({}))]).await;
    assert!(!first.iter().any(|wrote| matches!(wrote, Wrote::Entry(_))), "new contacts: {first:?}");
    for (what, members, expected) in [
        ("nothing", json!({}), 0),
        ("what no filter asks", json!({"About": "new"}), 0),
        ("the spelling of a tag", json!({"Tags": ["VIP"], "About": "new"}), 0),
        ("the stage", json!({"ContactStatus": {"id": 2}}), 1),
        ("the stage to none", json!({"ContactStatus": null}), 1),
        ("a tag", json!({"Tags": ["vip", "north"]}), 1),
        ("all tags", json!({"Tags": []}), 1),
        ("the creation date", json!({"Created": "2019-01-01T00:00:00Z"}), 1),
        ("the name", json!({"DisplayName": "Another"}), 1),
    ] {
        let wrote = imported(&bed, vec![portal_line(), with(1, members)]).await;
        let entries = wrote.iter().filter(|wrote| matches!(wrote, Wrote::Entry(_))).count();
        assert_eq!(entries, expected, "{what}: {wrote:?}");
        assert!(expected == 0 || matches!(wrote.first(), Some(Wrote::Entry(_))), "{what}: {wrote:?}");
        imported(&bed, vec![portal_line(), with(1, json!({}))]).await;
    }
    let gone = json!({"delete": {"contact": 1}});
    let removed = imported(&bed, vec![portal_line(), gone]).await;
    assert!(!removed.iter().any(|wrote| matches!(wrote, Wrote::Entry(_))), "{removed:?}");
    let returned = imported(&bed, vec![portal_line(), with(1, json!({}))]).await;
    assert!(matches!(returned.first(), Some(Wrote::Entry(_))), "{returned:?}");
}

/// The batches that an importer hands to the SDK, with the time of each. A batch reaches the table later, at a time
/// that the importer does not decide.
#[derive(Clone)]
struct Sending {
    clock: Clock,
    batches: Arc<Mutex<Vec<SentBatch>>>,
}

/// The keys of a batch, and its time.
type SentBatch = (Vec<Key>, Timestamp);

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

impl Intercept for Sending {
    fn name(&self) -> &'static str {
        "Sending"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(input) = context.input().downcast_ref::<BatchWriteItemInput>() else { return Ok(()) };
        let puts = input.request_items().into_iter().flat_map(|tables| tables.values()).flatten();
        let puts = puts.filter_map(|write| write.put_request());
        let text = |put: &PutRequest, name: &str| put.item().get(name).and_then(|value| value.as_s().ok()).cloned();
        let key = |put: &PutRequest| Key::decode(&text(put, PK)?, &text(put, SK)?);
        let keys: Vec<Key> = puts.filter_map(key).collect();
        self.batches.lock().unwrap().push((keys, (self.clock)()));
        Ok(())
    }
}

#[tokio::test]
async fn no_move_is_written_under_an_old_journal_entry() {
    let mut bed = Bed::new().await;
    // A flush of many batches: each mover is one item plus one for each tag.
    let tags: Vec<String> = (0..8).map(|tag| format!("tag {tag}")).collect();
    let many = |stage: i32| {
        let tags = tags.clone();
        (1..=150).map(move |number| contact(number, json!({"ContactStatus": {"id": stage}, "Tags": tags})))
    };
    let name = bed.portal(2, &[]).await;
    let line = portal(&name, "UTC", 2);
    bed.load(std::iter::once(line.clone()).chain(many(1)).collect()).await;
    // The first batch is the journal's. After that, several batches are in flight or wait for the limiter.
    for slow in [2, 10, 18, 26, 34, 42] {
        let proxy = bed.world.proxy().await.unwrap();
        let sending = Sending { clock: bed.clock(), batches: Arc::default() };
        let interceptor = SharedInterceptor::new(sending.clone());
        let client = connect(Some(&Endpoint::at(proxy.url())), Some(interceptor)).await;
        let store = Store::new(client, &bed.world.table);
        let gate = Gate::new();
        let mut batches = 0;
        let slow_calls = Calls::matching(move |call| {
            batches += u32::from(call.operation == Operation::BatchWriteItem);
            batches >= slow
        });
        proxy.inject(slow_calls.meet(Fault::Hold(When::Before, gate.clone())));
        let stage = if slow % 16 == 2 { 2 } else { 3 };
        let text = lines(std::iter::once(line.clone()).chain(many(stage)));
        let (began, own_clock) = (bed.world.app.now(), bed.clock());
        let (loaded, ()) = futures::join!(load(&store, &own_clock, &text), async {
            gate.reached().await;
            bed.world.set_clock(began + SignedDuration::from_millis(2 * MOVE_WRITE_MILLIS.cast_signed()));
            gate.open();
        });
        loaded.unwrap();
        let batches = sending.batches.lock().unwrap();
        let (mut written, mut entry) = (0, None);
        for (keys, at) in batches.iter() {
            let is_entry = |key: &Key| if let Key::Move(_, _, at, _) = key { Some(*at) } else { None };
            entry = keys.iter().find_map(is_entry).or(entry);
            written += keys.iter().filter(|key| matches!(key, Key::Contact(..) | Key::ContactTag(..))).count();
            let age = at.since(entry.unwrap());
            assert!(age <= SignedDuration::from_millis(MOVE_WRITE_MILLIS.cast_signed()), "{age} at batch {slow}");
        }
        assert!(written >= 150 * 9, "{written}");
    }
}

#[tokio::test]
async fn contact_is_not_written_without_its_journal_entry() {
    let mut bed = Bed::new().await;
    let movers = movers();
    let name = bed.portal(1, &movers).await;
    let proxy = bed.world.proxy().await.unwrap();
    let store = through(&proxy, &bed.world).await;
    let is_entry = |call: &Call| call.keys().iter().any(|(pk, sk)| matches!(Key::decode(pk, sk), Some(Key::Move(..))));
    let writes = recorded_writes(&proxy);
    proxy.inject(Calls::matching(is_entry).meet(Fault::Refuse));
    let changed: Vec<Mover> = movers.into_iter().filter(|mover| !mover.returns).collect();
    assert!(load(&store, &bed.clock(), &lines(moves(&name, 1, &changed))).await.is_err());
    let writes = writes.lock().unwrap();
    assert!(!writes.iter().any(|wrote| matches!(wrote, Wrote::Item(_))), "{writes:?}");
}

#[tokio::test]
async fn run_reads_only_the_journal_of_the_minutes_before_it() {
    let mut bed = Bed::new().await;
    let movers = movers();
    let name = bed.portal(1, &movers).await;
    bed.load(moves(&name, 1, &movers)).await;
    let of_run = |bed: &Bed| {
        let read = Arc::new(Mutex::new(0));
        let recorded = read.clone();
        bed.proxy.observe(move |call| {
            let keys = if call.operation == Operation::BatchGetItem { call.keys() } else { Vec::new() };
            let is_contact = |(pk, sk): &(String, String)| matches!(Key::decode(pk, sk), Some(Key::Contact(..)));
            *recorded.lock().unwrap() += keys.iter().filter(|key| is_contact(key)).count();
        });
        read
    };
    let began = bed.world.app.now();
    let read = of_run(&bed);
    let none = Filter { body: r#"{"contactType":9}"#, means: |_| false };
    bed.run(&name, none, Mode::AtOnce).await;
    assert!(*read.lock().unwrap() > 0, "moves of a moment before");
    // After that time the indexes show every move.
    bed.world.set_clock(began + SignedDuration::from_millis(1 + MOVES_BEFORE_MILLIS.cast_signed()));
    let read = of_run(&bed);
    bed.run(&name, none, Mode::AtOnce).await;
    assert_eq!(*read.lock().unwrap(), 0, "moves of long before");
}

#[tokio::test]
async fn job_that_outlives_the_journal_reports_possibly_missed_contacts() {
    let mut bed = Bed::new().await;
    let movers = movers();
    let name = bed.portal(1, &movers).await;
    let reply = bed.put(&name, "", ALL, &[("prefer", "respond-async")]).await;
    let id = job(&reply).unwrap();
    let message = bed.world.queue.take().unwrap();
    // The job starts and its worker dies.
    bed.proxy.inject(Calls::of(Operation::Query).meet(Fault::Die(When::Before)));
    assert!(bed.world.jobs().work(&message, &jobs::Deadline::never()).await.is_err());
    bed.proxy.clear();
    bed.world.set_clock(bed.world.app.now() + SignedDuration::from_hours(MOVE_RETENTION_HOURS + 1));
    for _ in 0..=models::limits::MAX_TRIES {
        if bed.world.jobs().work(&message, &jobs::Deadline::never()).await.is_ok() {
            break;
        }
        bed.world.set_clock(bed.world.app.now() + SignedDuration::from_hours(1));
    }
    let (job, _) = bed.job(&name, id).await;
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.as_deref().is_some_and(|error| error.contains("longer than a day")), "{:?}", job.error);
}
