//! The store under faults that no local engine shows: partly processed batches, throttling, conflicts, internal errors,
//! lost answers, and a dying process.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use engine::{Engine, Storage};
use models::access::{Access, Author};
use models::job::{JobId, Revision};
use models::values::id::ContactId;
use models::values::timestamp::Timestamp;
use serde_json::json;
use store::contacts::{AccessRecord, AccessState};
use store::dynamodb::backoff::BATCH_ATTEMPTS;
use store::dynamodb::batch::Priority;
use store::dynamodb::batch::{READ_BATCH, WRITE_BATCH};
use store::dynamodb::client::{Endpoint, connect};
use store::dynamodb::in_process::connect_in_process;
use store::jobs::RecordedJob;
use store::{Store, StoreError};
use tests::NEW_YEAR_2026;
use tests::faults::{
    Call, Calls, Capacity, Fault, FaultPlan, Gate, Injector, Operation, Proxy, Share, Upstream, VirtualTime, When,
};

use crate::portal::{MIKE, contact_id, id, private};

/// The revision of the records that the tests write.
const REVISION: JobId = JobId::from_u128(0x4e5);

/// A table, with one client that uses the proxy and one client that bypasses it.
struct Table {
    proxy: Proxy,
    /// The client that uses the proxy.
    store: Store,
    /// The client that bypasses the proxy.
    direct: Store,
}

impl Table {
    async fn new() -> Self {
        let engine = Engine::open(&Storage::Memory).unwrap();
        let proxy = Proxy::start(Upstream::embedded(&engine)).await.unwrap();
        let direct = Store::new(connect_in_process(engine.in_process(), None).await, "faults");
        direct.ensure_table().await.unwrap();
        let client = Client::from_conf(config(&proxy).await.build());
        Self { store: Store::new(client, "faults"), proxy, direct }
    }

    /// Lets the pauses between attempts pass in virtual time.
    async fn in_virtual_time(self) -> Self {
        let time = VirtualTime::default();
        let client = Client::from_conf(config(&self.proxy).await.sleep_impl(time.clone()).build());
        Self { store: Store::new(client, "faults").with_time(Arc::new(time)), ..self }
    }

    /// Makes contacts private, through the proxy. Returns the number of writes not confirmed, and the error.
    async fn write(&self, contacts: &[ContactId]) -> (usize, Option<StoreError>) {
        write(&self.store, contacts).await
    }

    /// Returns the written contacts, and bypasses the proxy to read them.
    async fn written(&self, contacts: &[ContactId]) -> BTreeSet<ContactId> {
        let accesses = self.direct.access_of(&id("acme"), contacts).await.unwrap();
        let is_written = |contact: &ContactId| accesses.of(*contact).unwrap().revision.is_some();
        contacts.iter().copied().filter(is_written).collect()
    }

    /// Makes one contact private and records the job, in one transaction.
    async fn write_with_job(&self, contact: ContactId) -> Result<(), StoreError> {
        let target = private(&[MIKE]);
        let created = Timestamp::from_ticks(NEW_YEAR_2026);
        let job = json!({
            "Id": REVISION, "State": "done", "CreatedBy": {"User": MIKE}, "Created": created, "Finished": created,
            "Task": {"Contact": {"target": target}}, "Matched": 1, "Updated": 1, "Unchanged": 0, "Skipped": 0, "Shards": 0, "Expected": 1,
        });
        let job = serde_json::from_value(job).unwrap();
        let before = AccessState::UNRECORDED;
        let recorded = RecordedJob { job: &job, open: false };
        self.store.write_access_with_job(&id("acme"), contact, &before, &record(&target), recorded).await
    }
}

/// Returns the configuration of a client that uses the proxy.
async fn config(proxy: &Proxy) -> Builder {
    let client = connect(Some(&Endpoint::at(proxy.url())), None).await;
    // All clients of a process share one retry budget. A test whose calls all fail must not exhaust it for others.
    client.config().to_builder().retry_partition(RetryPartition::new(proxy.url()))
}

fn record(access: &Access) -> AccessRecord<'_> {
    AccessRecord {
        access,
        revision: Revision { job: REVISION, chunk: None },
        replaced: None,
        set_by: Author::User(MIKE),
        set_at: Timestamp::from_ticks(NEW_YEAR_2026),
    }
}

async fn write(store: &Store, contacts: &[ContactId]) -> (usize, Option<StoreError>) {
    let access = private(&[MIKE]);
    let records = contacts.iter().map(|contact| (*contact, record(&access))).collect();
    // The limiter of bulk writes would let a batch wait for a held batch.
    let written = store.write_access(&id("acme"), records, Priority::Call).await;
    // A repeated write is rejected if an earlier attempt took effect.
    assert!(written.rejected.iter().all(|rejected| rejected.may_be_written), "{written:?}");
    (written.unwritten, written.error)
}

fn contacts(count: usize) -> Vec<ContactId> {
    (1..).take(count).map(contact_id).collect()
}

/// Returns the plan in which the first `count` calls meet a fault.
fn first(count: u64, fault: Fault) -> FaultPlan {
    Calls::all().first(count).meet(fault)
}

/// Returns the plan in which every call meets a fault.
fn always(fault: Fault) -> FaultPlan {
    Calls::all().meet(fault)
}

/// Returns the plan that leaves half of each batch unprocessed, until one item is left.
fn halves() -> FaultPlan {
    always(Fault::Unprocessed(Share::Half))
}

#[tokio::test]
async fn partly_unprocessed_batch_is_sent_again_until_written() {
    let table = Table::new().await;
    let contacts = contacts(2 * WRITE_BATCH + WRITE_BATCH / 2);
    table.proxy.inject(halves());
    assert!(matches!(table.write(&contacts).await, (0, None)));
    assert!(table.proxy.calls() > 3, "{} calls", table.proxy.calls());
    assert_eq!(table.written(&contacts).await, contacts.iter().copied().collect());
    // Each item was written once: the units equal those of a table without unprocessed items.
    let sound = Table::new().await;
    assert!(matches!(sound.write(&contacts).await, (0, None)));
    assert_eq!(sound.proxy.calls(), 3);
    let units = |table: &Table| table.store.meter().reading().write_units;
    assert_eq!(units(&table), units(&sound));
}

#[tokio::test]
async fn unprocessed_statements_of_two_faults_have_no_effect() {
    let table = Table::new().await;
    let contacts = contacts(WRITE_BATCH);
    let last = || Calls::all().nth(1).meet(Fault::Unprocessed(Share::Last(1)));
    // Later attempts end without effect, so the table holds the effect of the first attempt only.
    let later = Calls::all().from_nth(2).meet(Fault::Throttle(Capacity::Table));
    table.proxy.inject(last().and(last()).and(later));
    let (missing, error) = table.write(&contacts).await;
    assert_eq!(missing, 2);
    assert!(matches!(error, Some(StoreError::Throttled { operation: "BatchExecuteStatement", .. })), "{error:?}");
    assert_eq!(table.written(&contacts).await.len(), WRITE_BATCH - 2);
}

#[tokio::test]
async fn entirely_unprocessed_batch_is_sent_again() {
    let table = Table::new().await;
    let contacts = contacts(WRITE_BATCH);
    table.proxy.inject(first(3, Fault::Unprocessed(Share::All)));
    assert!(matches!(table.write(&contacts).await, (0, None)));
    assert_eq!(table.proxy.calls(), 4);
    assert_eq!(table.written(&contacts).await, contacts.into_iter().collect());
}

#[tokio::test]
async fn partly_unprocessed_read_is_repeated_until_complete() {
    let table = Table::new().await;
    let contacts = contacts(READ_BATCH + READ_BATCH / 2);
    assert!(matches!(write(&table.direct, &contacts).await, (0, None)));
    table.proxy.inject(halves());
    let accesses = table.store.access_of(&id("acme"), &contacts).await.unwrap();
    assert!(table.proxy.calls() > 2, "{} calls", table.proxy.calls());
    assert!(contacts.iter().all(|contact| accesses.of(*contact).unwrap().access == private(&[MIKE])));
    let complete = table.direct.meter().reading().read_units;
    table.direct.access_of(&id("acme"), &contacts).await.unwrap();
    assert_eq!(table.store.meter().reading().read_units, table.direct.meter().reading().read_units - complete);
}

#[tokio::test]
async fn throttled_batch_continues_when_throttling_ends() {
    let table = Table::new().await;
    // The throttling lasts longer than the retries of the SDK.
    table.proxy.inject(first(6, Fault::Throttle(Capacity::Table)));
    assert!(matches!(table.write(&contacts(1)).await, (0, None)));
    assert_eq!(table.proxy.calls(), 7);
    assert_eq!(table.written(&contacts(1)).await.len(), 1);
}

/// The pauses between attempts add up to seconds, so the cases wait concurrently.
#[tokio::test]
async fn batch_fails_after_its_attempts_and_reports_missing_items() {
    let throttled_for_ever = async {
        let (table, contacts) = (Table::new().await, contacts(2));
        table.proxy.inject(always(Fault::Throttle(Capacity::Table)));
        let (missing, error) = table.write(&contacts).await;
        assert_eq!(missing, 2);
        assert!(matches!(error, Some(StoreError::Throttled { operation: "BatchExecuteStatement", .. })), "{error:?}");
        assert!(table.written(&contacts).await.is_empty());
        assert_eq!(table.proxy.calls(), attempts());
    };
    let never_written_completely = async {
        let (table, contacts) = (Table::new().await, contacts(WRITE_BATCH));
        table.proxy.inject(always(Fault::Unprocessed(Share::Last(1))));
        let (missing, error) = table.write(&contacts).await;
        assert_eq!(missing, 1);
        assert!(matches!(error, Some(StoreError::Throttled { operation: "BatchExecuteStatement", .. })), "{error:?}");
        assert_eq!(table.written(&contacts).await.len(), WRITE_BATCH - 1);
        assert_eq!(table.proxy.calls(), attempts());
    };
    let never_read_completely = async {
        let (table, contacts) = (Table::new().await, contacts(3));
        table.proxy.inject(always(Fault::Unprocessed(Share::Last(1))));
        let error = table.store.access_of(&id("acme"), &contacts).await.unwrap_err();
        assert!(matches!(error, StoreError::Throttled { operation: "BatchGetItem", .. }), "{error:?}");
        assert_eq!(table.proxy.calls(), attempts());
    };
    tokio::join!(throttled_for_ever, never_written_completely, never_read_completely);
}

fn attempts() -> u64 {
    BATCH_ATTEMPTS.try_into().unwrap()
}

#[tokio::test]
async fn permanently_throttled_call_fails() {
    let table = Table::new().await.in_virtual_time().await;
    table.proxy.inject(always(Fault::Throttle(Capacity::Table)));
    let error = table.store.token([0; 32]).await.unwrap_err();
    assert!(matches!(error, StoreError::Throttled { operation: "GetItem", .. }), "{error:?}");
    assert!(table.proxy.calls() > 1);
    let error = table.write_with_job(contact_id(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Throttled { operation: "TransactWriteItems", .. }), "{error:?}");
}

#[tokio::test]
async fn throttling_of_table_index_and_account_is_reported_alike() {
    for capacity in [Capacity::Table, Capacity::Index, Capacity::Account] {
        let table = Table::new().await.in_virtual_time().await;
        table.proxy.inject(always(Fault::Throttle(capacity)));
        let error = table.store.token([0; 32]).await.unwrap_err();
        assert!(matches!(error, StoreError::Throttled { operation: "GetItem", .. }), "{capacity:?}: {error:?}");
        let error = table.write_with_job(contact_id(1)).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Throttled { operation: "TransactWriteItems", .. }),
            "{capacity:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn write_is_repeated_after_a_reset_connection_and_an_unavailable_server() {
    for when in When::BOTH {
        for fault in [Fault::Reset(when), Fault::Unavailable(when)] {
            let table = Table::new().await;
            table.proxy.inject(first(1, fault.clone()));
            assert!(matches!(table.write(&contacts(2)).await, (0, None)), "{fault:?}");
            assert!(table.proxy.calls() > 1, "{fault:?}");
            assert_eq!(table.written(&contacts(2)).await.len(), 2, "{fault:?}");
        }
    }
}

#[test]
fn equal_seeds_select_equal_calls() {
    /// The number of calls that each plan gets.
    const CALLS: u64 = 1000;
    let drawn = |seed| {
        let injector = Injector::default();
        injector.inject(Calls::all().at_random(100, seed).meet(Fault::Refuse));
        let meets_fault = |_: &u64| !injector.faults_of(&mut Call::new(Operation::Query, json!({}))).is_empty();
        (0..CALLS).filter(meets_fault).collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert!((50..150).contains(&drawn(1).len()), "{} of {CALLS} calls", drawn(1).len());
}

#[tokio::test]
async fn transaction_conflict_counts_as_a_failed_condition() {
    let table = Table::new().await;
    table.proxy.inject(always(Fault::Conflict));
    let error = table.write_with_job(contact_id(1)).await.unwrap_err();
    assert!(error.is_condition_failed(), "{error:?}");
    assert!(table.written(&contacts(1)).await.is_empty());
}

#[tokio::test]
async fn batch_in_conflict_with_a_transaction_is_sent_again() {
    let table = Table::new().await;
    table.proxy.inject(first(2, Fault::Conflict));
    assert!(matches!(table.write(&contacts(3)).await, (0, None)));
    assert_eq!(table.written(&contacts(3)).await.len(), 3);
}

#[tokio::test]
async fn internal_error_of_dynamodb_is_retried_and_then_reported() {
    let table = Table::new().await;
    table.proxy.inject(first(2, Fault::InternalError(When::Before)));
    assert!(matches!(table.write(&contacts(1)).await, (0, None)));
    assert_eq!(table.proxy.calls(), 3);

    table.proxy.inject(always(Fault::InternalError(When::Before)));
    let error = table.store.token([0; 32]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { operation: "GetItem", .. }), "{error:?}");
    assert!(error.is_transient());
    assert!(table.proxy.calls() > 1);
    let (missing, error) = table.write(&contacts(1)).await;
    assert_eq!(missing, 1);
    assert!(matches!(error, Some(StoreError::Unavailable { operation: "BatchExecuteStatement", .. })), "{error:?}");
}

#[tokio::test]
async fn refused_batch_is_divided_and_reported_without_retries() {
    let table = Table::new().await;
    table.proxy.inject(always(Fault::Refuse));
    let (missing, error) = table.write(&contacts(2)).await;
    assert_eq!(missing, 2);
    assert!(matches!(error, Some(StoreError::Refused { operation: "BatchExecuteStatement", .. })), "{error:?}");
    // The batch, and then each of its two writes.
    assert_eq!(table.proxy.calls(), 3);
}

#[tokio::test]
async fn write_with_a_lost_answer_is_repeated_without_harm() {
    let table = Table::new().await;
    table.proxy.inject(first(1, Fault::InternalError(When::After)));
    assert!(matches!(table.write(&contacts(2)).await, (0, None)));
    assert_eq!((table.proxy.calls(), table.written(&contacts(2)).await.len()), (2, 2));

    // The second attempt carries the same token as the first, so the changed contact is no conflict.
    table.proxy.inject(first(1, Fault::InternalError(When::After)));
    table.write_with_job(contact_id(3)).await.unwrap();
    assert_eq!((table.proxy.calls(), table.written(&contacts(3)).await.len()), (2, 3));
}

#[tokio::test]
async fn calls_of_a_dead_process_do_not_arrive() {
    let table = Table::new().await;
    assert!(matches!(table.write(&contacts(1)).await, (0, None)));
    let gate = Gate::new();
    let later = Calls::matching(|call| call.number > 1).meet(Fault::Die(When::After));
    table.proxy.inject(first(1, Fault::Hold(When::Before, gate.clone())).and(later));
    let (early, late) = ([contact_id(2)], [contact_id(3)]);
    let ((missing, error), ()) = tokio::join!(table.write(&early), async {
        gate.reached().await;
        let (missing, error) = table.write(&late).await;
        assert_eq!(missing, 1);
        assert!(matches!(error, Some(StoreError::Unavailable { .. })), "{error:?}");
        gate.open();
    });
    assert_eq!(missing, 1);
    assert!(matches!(error, Some(StoreError::Unavailable { .. })), "{error:?}");
    assert!(table.proxy.is_dead());
    // The call after which the process died was its last.
    assert_eq!(table.written(&contacts(3)).await, [1, 3].map(contact_id).into());

    table.proxy.clear();
    assert!(matches!(table.write(&early).await, (0, None)));
    assert_eq!(table.written(&contacts(3)).await.len(), 3);

    drop(table.proxy);
    let (_, error) = write(&table.store, &early).await;
    assert!(matches!(error, Some(StoreError::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn call_in_flight_arrives_after_its_caller_is_gone() {
    let table = Table::new().await;
    let (before, after) = (Gate::new(), Gate::new());
    let (one, two) = (contacts(1), [2, 3].map(contact_id));
    table.proxy.inject(first(1, Fault::Hold(When::Before, before.clone())));
    tokio::select! {
        _ = table.write(&one) => panic!("answered before it was forwarded"),
        () = before.reached() => {}
    }
    assert!(!before.is_open() && table.written(&one).await.is_empty());
    before.open();
    table.proxy.idle().await;
    assert_eq!(table.written(&one).await.len(), 1);

    // An answer is held after its write.
    table.proxy.inject(first(1, Fault::Hold(When::After, after.clone())));
    let (written, ()) = tokio::join!(table.write(&two), async {
        after.reached().await;
        assert_eq!(table.written(&two).await.len(), 2);
        after.open();
    });
    assert!(matches!(written, (0, None)));
    assert_eq!(table.proxy.calls(), 1);
}
