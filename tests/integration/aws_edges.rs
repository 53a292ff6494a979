//! The deployment's queue and event bus: requests to SQS and EventBridge, and the handling of their answers. A loopback
//! server replaces both services, records every call and gives the answers of the test.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use api::aws::event_bridge::EventBridge;
use api::aws::sqs::{SEND_ATTEMPTS, SEND_BATCH, SqsQueue};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use jobs::events::{Bus as _, JobEvent};
use jobs::queue::{Message, Queue as _, QueueError};
use models::access::Access;
use models::filter::{Filter, ListView};
use models::job::{Kind, State};
use models::limits::{MAX_LIST_VALUES, MAX_TAG_BYTES};
use models::values::id::{JobId, UserId};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/work";
const JOB: JobId = JobId::from_u128(0x0193_a3c5_0000_7000_8000_0000_0000_0001);
const MIKE: UserId = UserId::from_u128(0x9924_256a_739c_462b_af15_e652_a3b1_b6eb);

type Calls = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that records the operation and the body of each call.
struct Recorder {
    url: String,
    calls: Calls,
    server: JoinHandle<()>,
}

impl Recorder {
    /// Starts a server that answers call number `n` with `answer(n, body)`.
    async fn start(answer: impl Fn(usize, &Value) -> (StatusCode, Value) + Clone + Send + Sync + 'static) -> Self {
        let calls = Calls::default();
        let recorded = Arc::clone(&calls);
        let handler = move |headers: HeaderMap, body: Bytes| {
            let operation = headers["x-amz-target"].to_str().unwrap().to_owned();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let mut recorded = recorded.lock().unwrap();
            let (status, answer) = answer(recorded.len(), &body);
            recorded.push((operation, body));
            std::future::ready((status, answer.to_string()))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = async move { axum::serve(listener, Router::new().fallback(handler)).await.unwrap() };
        Self { url, calls, server: tokio::spawn(server) }
    }

    fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn message(shard: Option<u16>) -> Message {
    message_of("acme", shard)
}

fn message_of(portal: &str, shard: Option<u16>) -> Message {
    Message { portal: crate::portal::id(portal), job: JOB, shard }
}

/// Sends a message for each shard. Returns the result, and the shards of each call ordered by the first shard.
async fn send(
    shards: u16,
    answer: impl Fn(usize, &Value) -> (StatusCode, Value) + Clone + Send + Sync + 'static,
) -> (Result<(), QueueError>, Vec<Vec<u16>>) {
    let server = Recorder::start(answer).await;
    let queue = SqsQueue::connect(QUEUE.into(), Some(&server.url)).await;
    let result = queue.send((0..shards).map(|shard| message(Some(shard))).collect()).await;
    let mut calls: Vec<Vec<u16>> = server.calls().iter().map(|(_, body)| shards_of(body)).collect();
    calls.sort_by_key(|shards| shards[0]);
    (result, calls)
}

fn shards_of(body: &Value) -> Vec<u16> {
    let entries = body["Entries"].as_array().unwrap().iter();
    let message = |entry: &Value| serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
    entries.map(message).map(|message: Message| message.shard.unwrap()).collect()
}

/// Returns SQS's answer that accepts all messages except the messages of the refused shards.
fn all_but(refused: &[u16], body: &Value) -> (StatusCode, Value) {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (entry, shard) in body["Entries"].as_array().unwrap().iter().zip(shards_of(body)) {
        if refused.contains(&shard) {
            failed.push(json!({"Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": "Later."}));
        } else {
            successful.push(json!({"Id": entry["Id"], "MessageId": JOB, "MD5OfMessageBody": ""}));
        }
    }
    (StatusCode::OK, json!({"Successful": successful, "Failed": failed}))
}

/// Returns the number of unaccepted messages, and the reason.
fn not_accepted(result: Result<(), QueueError>) -> (usize, String) {
    let error = result.unwrap_err();
    (error.messages, error.source.to_string())
}

#[tokio::test]
async fn message_is_sent_as_json_in_its_portals_group() {
    let server = Recorder::start(|_, _| {
        let accepted_entry = |id| json!({"Id": id, "MessageId": JOB, "MD5OfMessageBody": ""});
        (StatusCode::OK, json!({"Successful": [accepted_entry("1"), accepted_entry("0")], "Failed": []}))
    })
    .await;
    let queue = SqsQueue::connect(QUEUE.into(), Some(&server.url)).await;
    queue.send(vec![message(Some(63)), message_of("zenith", None)]).await.unwrap();
    let entry = |id, portal, body| json!({"Id": id, "MessageBody": body, "MessageGroupId": portal});
    let entries = [
        entry("0", "acme", format!(r#"{{"portal":"acme","job":"{JOB}","shard":63}}"#)),
        entry("1", "zenith", format!(r#"{{"portal":"zenith","job":"{JOB}"}}"#)),
    ];
    let call = ("AmazonSQS.SendMessageBatch".to_owned(), json!({"QueueUrl": QUEUE, "Entries": entries}));
    assert_eq!(server.calls(), [call]);
}

#[tokio::test]
async fn no_messages_make_no_call() {
    let (result, calls) = send(0, |_, body| all_but(&[], body)).await;
    result.unwrap();
    assert!(calls.is_empty());
}

#[tokio::test]
async fn messages_are_sent_ten_at_a_time() {
    let (result, calls) = send(64, |_, body| all_but(&[], body)).await;
    result.unwrap();
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [SEND_BATCH, 10, 10, 10, 10, 10, 4]);
    assert_eq!(calls.concat(), (0..64).collect::<Vec<_>>());
}

#[tokio::test]
async fn unaccepted_messages_are_sent_again() {
    let (result, calls) = send(5, |call, body| all_but([&[1, 3, 4], &[3][..], &[]][call], body)).await;
    result.unwrap();
    let calls: BTreeSet<Vec<u16>> = calls.into_iter().collect();
    assert_eq!(calls, BTreeSet::from([vec![0, 1, 2, 3, 4], vec![1, 3, 4], vec![3]]));
}

#[tokio::test]
async fn permanently_unaccepted_messages_are_reported() {
    let (result, calls) = send(12, |_, body| all_but(&[2, 11], body)).await;
    assert_eq!(not_accepted(result), (2, "InternalError: Later.".into()));
    assert_eq!(calls.len(), 2 * SEND_ATTEMPTS);
}

#[tokio::test]
async fn unanswered_messages_count_as_unaccepted() {
    let (result, calls) = send(1, |_, _| (StatusCode::OK, json!({}))).await;
    assert_eq!(not_accepted(result), (1, "the answer names neither success nor failure".into()));
    assert_eq!(calls.len(), SEND_ATTEMPTS);
}

#[tokio::test]
async fn refused_batch_does_not_stop_other_batches() {
    let (result, calls) = send(23, |_, body| {
        if shards_of(body).contains(&0) {
            (StatusCode::BAD_REQUEST, json!({"__type": "AccessDenied", "message": "No."}))
        } else {
            all_but(&[], body)
        }
    })
    .await;
    assert_eq!(not_accepted(result).0, 10);
    // Permanently refused messages are not sent again.
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
}

fn event(tags: Vec<String>) -> JobEvent {
    let moment = |text: &str| text.parse().unwrap();
    JobEvent {
        portal: crate::portal::id("acme"),
        job_id: JOB,
        kind: Kind::Filter,
        state: State::Done,
        created_by: Some(MIKE),
        created: moment("2024-12-07T10:00:00Z"),
        finished: Some(moment("2024-12-07T10:00:12.5Z")),
        filter: Some(Filter { tags, stages: vec![3], view: ListView::Company, ..Filter::default() }),
        target: Some(Access::requested(true, [MIKE]).into()),
        rule: Some("lock-vips".into()),
        undo_of: None,
        matched: 1200,
        updated: 1000,
        unchanged: 150,
        skipped: 50,
        conflicts: 0,
        failed: 0,
    }
}

/// Returns EventBridge's answer that accepts the event.
fn accepted() -> (StatusCode, Value) {
    (StatusCode::OK, json!({"FailedEntryCount": 0, "Entries": [{"EventId": JOB}]}))
}

/// Publishes an event with these tags. Returns the calls, and the error if the event was not accepted.
async fn publish(tags: Vec<String>, answer: (StatusCode, Value)) -> (Vec<(String, Value)>, Result<(), String>) {
    let server = Recorder::start(move |_, _| answer.clone()).await;
    let bus = EventBridge::connect("crm".into(), Some(&server.url)).await;
    let result = bus.put(event(tags)).await;
    (server.calls(), result.map_err(|error| error.0.to_string()))
}

/// Returns the size and the detail of the one published event.
fn detail(calls: &[(String, Value)]) -> (usize, Value) {
    assert_eq!(calls.len(), 1);
    let text = calls[0].1["Entries"][0]["Detail"].as_str().unwrap();
    (text.len(), serde_json::from_str(text).unwrap())
}

#[tokio::test]
async fn event_is_published_with_its_source_and_details() {
    let (mut calls, result) = publish(vec!["vip".into()], accepted()).await;
    result.unwrap();
    let expected = json!({
        "Portal": "acme",
        "JobId": JOB,
        "Kind": "filter",
        "State": "done",
        "CreatedBy": MIKE,
        "Created": "2024-12-07T10:00:00.0000000Z",
        "Finished": "2024-12-07T10:00:12.5000000Z",
        "Filter": {
            "Tags": ["vip"],
            "ContactStage": [3],
            "ContactType": [],
            "ContactListView": "Company",
            "FromDate": null,
            "ToDate": null,
            "FilterValue": null,
            "IsShared": null,
            "Responsibleid": null,
        },
        "Target": {"IsPrivate": true, "ManagerList": [MIKE]},
        "Rule": "lock-vips",
        "UndoOf": null,
        "Matched": 1200,
        "Updated": 1000,
        "Unchanged": 150,
        "Skipped": 50,
        "Conflicts": 0,
        "Failed": 0,
    });
    assert_eq!(detail(&calls).1, expected);

    calls[0].1["Entries"][0]["Detail"].take();
    let entry = json!({
        "Source": "crm-access",
        "DetailType": "Contact access job finished",
        "EventBusName": "crm",
        "Detail": null,
    });
    assert_eq!(calls, [("AWSEvents.PutEvents".to_owned(), json!({"Entries": [entry]}))]);
}

#[tokio::test]
async fn unaccepted_event_is_an_error() {
    let check = async |answer: Value, expected: &str| {
        let (calls, result) = publish(vec![], (StatusCode::OK, answer)).await;
        assert_eq!((calls.len(), result), (1, Err(expected.to_owned())));
    };
    let refused = json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Later."});
    check(json!({"FailedEntryCount": 1, "Entries": [refused]}), "InternalFailure: Later.").await;
    check(json!({"FailedEntryCount": 1}), "EventBridge gave no reason").await;
}

#[tokio::test]
async fn failed_call_is_an_error() {
    let refused = (StatusCode::BAD_REQUEST, json!({"__type": "AccessDeniedException", "message": "No."}));
    let (calls, result) = publish(vec![], refused).await;
    assert_eq!(calls.len(), 1);
    assert!(result.is_err());
}

#[tokio::test]
async fn event_omits_an_overlong_filter() {
    let tags = |bytes| (0..MAX_LIST_VALUES).map(|n| format!("{n:0>bytes$}")).collect::<Vec<_>>();
    let (calls, result) = publish(tags(200), accepted()).await;
    result.unwrap();
    let (_, full) = detail(&calls);
    assert_eq!(full["Filter"]["Tags"].as_array().map(Vec::len), Some(MAX_LIST_VALUES));
    assert_eq!(full.get("FilterOmitted"), None);

    // Each quote takes two bytes.
    let longest = tags(MAX_TAG_BYTES).into_iter().map(|tag| tag.replacen('0', "\"", 200)).collect();
    let (calls, result) = publish(longest, accepted()).await;
    result.unwrap();
    let (bytes, mut left) = detail(&calls);
    assert!(bytes < 256 * 1024, "{bytes} bytes");
    let filter = [left["Filter"].take(), left["FilterOmitted"].take()];
    assert_eq!(filter, [Value::Null, Value::Bool(true)]);
    let mut shortened = full;
    (shortened["Filter"], shortened["FilterOmitted"]) = (Value::Null, Value::Null);
    assert_eq!(left, shortened);
}
