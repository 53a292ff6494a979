//! A test world: the real handlers behind the real router, on a table of its own, with a clock that only tests set.
//!
//! Runs on the embedded engine, in memory, or on the DynamoDB at the URL in `CRM_ACCESS_TEST_DYNAMODB`.
//!
//! With `CRM_ACCESS_TEST_LAG` set, eventually consistent reads and index queries miss the writes of the running
//! request, import or worker until it ends. AWS may behave like this; no local engine does by itself.

mod described;
pub mod proxy;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::App;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents, SharedInterceptor};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemOutput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::ConsumedCapacity;
use axum::Router;
use axum::body::{Body, to_bytes};
use futures::future::BoxFuture;
use jobs::events::{Bus, BusError, JobEvent};
use jobs::{Clock, Deadline, Jobs, Message, Queue, QueueError, WorkError};
use lambda_http::http::{HeaderMap, Request, StatusCode};
use local::dynamodb_port::{Callers, DynamoDbPort};
use local::engine::{Engine, Storage};
use models::import::parse_line;
use models::job::Job;
use models::request::JobsStart;
use models::rule::Rule;
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use serde_json::Value;
use store::dynamodb::client::{Endpoint, connect};
use store::import::{ImportError, Importer, Options, Summary};
use store::{Store, StoreError};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::proxy::Proxy;

/// Error of the test scaffolding.
pub type WorldError = Box<dyn std::error::Error + Send + Sync>;

/// How long a world caches a token by default.
const TOKEN_CACHE: Duration = Duration::from_secs(3600);

/// Initial time of a world's clock: 2026-01-01T00:00:00Z.
pub const NEW_YEAR_2026: i64 = 17_672_256_000_000_000;

/// A table with the service on it.
#[derive(Debug)]
pub struct World {
    /// The table.
    pub store: Store,
    /// The service.
    pub app: App,
    /// Counts calls to DynamoDB.
    pub trips: Trips,
    /// The SDK client under the store.
    pub client: Client,
    /// The table's name.
    pub table: String,
    /// Messages sent and not yet received.
    pub queue: TestQueue,
    router: Router,
    clock: Arc<AtomicI64>,
    /// The embedded engine, and the port that proxies connect to.
    engine: Option<(Engine, DynamoDbPort)>,
    lag: Option<Lag>,
}

/// A second engine that lags behind the first.
#[derive(Debug)]
struct Lag {
    proxy: Proxy,
    /// Kept alive as long as the world.
    _engine: (Engine, DynamoDbPort),
}

/// A response, read whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text; empty when it is not UTF-8.
    pub text: String,
    /// The raw body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns the body as JSON; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Returns a header's text; empty when the header is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns a numeric header; none when it is missing.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.header(name).parse().ok()
    }

    /// Returns the envelope's `response`, or the whole body without an envelope.
    pub fn response(&self) -> Value {
        let mut json = self.json();
        if json.get("response").is_some() { json["response"].take() } else { json }
    }

    /// Returns the identifiers of listed contacts, as `ID` or `id`.
    pub fn ids(&self) -> Vec<i64> {
        let id = |contact: &Value| contact["ID"].as_i64().or(contact["id"].as_i64());
        self.response().as_array().into_iter().flatten().filter_map(id).collect()
    }

    /// Returns `error.type`, the stable name of the error.
    pub fn error_type(&self) -> String {
        self.json()["error"]["type"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the kind of failure in a JSON or XML body; empty when there is none.
    fn failure(&self) -> String {
        let in_xml = || Some(self.text.split_once("<error>")?.1.split_once("<type>")?.1.split_once("</type>")?.0);
        let of_json = self.error_type();
        if of_json.is_empty() { in_xml().unwrap_or_default().to_owned() } else { of_json }
    }
}

impl World {
    /// Creates an empty world.
    pub async fn new() -> Result<Self, WorldError> {
        Self::with_token_cache(TOKEN_CACHE).await
    }

    /// Creates an empty world that caches tokens for `token_cache`.
    pub async fn with_token_cache(token_cache: Duration) -> Result<Self, WorldError> {
        #[expect(clippy::disallowed_methods, reason = "which engine the tests run on is told from outside")]
        let (named, lags) =
            (std::env::var("CRM_ACCESS_TEST_DYNAMODB").ok(), std::env::var("CRM_ACCESS_TEST_LAG").is_ok());
        Self::on(named, lags, token_cache).await
    }

    /// Creates an empty world with lagging reads, whatever the environment says.
    pub async fn lagging() -> Result<Self, WorldError> {
        Self::on(None, true, TOKEN_CACHE).await
    }

    async fn on(named: Option<String>, lags: bool, token_cache: Duration) -> Result<Self, WorldError> {
        let (endpoint, engine) = match named {
            Some(url) => (Endpoint::at(url), None),
            None => {
                let engine = Engine::open(&Storage::Memory)?;
                let port = DynamoDbPort::open(&engine, 0, Callers::Anyone).await?;
                (port.endpoint(), Some((engine, port)))
            }
        };
        let (endpoint, lag) = if lags {
            let late = Engine::open(&Storage::Memory)?;
            let port = DynamoDbPort::open(&late, 0, Callers::Anyone).await?;
            let proxy = Proxy::lagging(&endpoint.url, &port.endpoint().url).await?;
            (Endpoint::at(proxy.url()), Some(Lag { proxy, _engine: (late, port) }))
        } else {
            (endpoint, None)
        };
        let trips = Trips::default();
        let watching = Some(SharedInterceptor::new(trips.clone()));
        // Through the port, overlapping calls count as one round.
        let client = connect(Some(&endpoint), watching).await;
        let table = format!("test-{}", Uuid::now_v7());
        let store = Store::new(client.clone(), &table);
        store.ensure_table().await?;
        let clock = Arc::new(AtomicI64::new(NEW_YEAR_2026));
        let told = clock.clone();
        let told: Clock = Arc::new(move || Timestamp::from_ticks(told.load(Ordering::SeqCst)));
        let queue = TestQueue::default();
        let app = App::new(Jobs::new(store.clone(), told, Arc::new(queue.clone())), token_cache);
        let router = local::router::router(&app);
        Ok(Self { store, app, trips, client, table, queue, router, clock, engine, lag })
    }

    /// Returns once every read sees all earlier writes.
    pub async fn catch_up(&self) -> Result<(), WorldError> {
        match &self.lag {
            Some(lag) => Ok(lag.proxy.catch_up().await?),
            None => Ok(()),
        }
    }

    /// Creates a world and loads these import lines.
    pub async fn with(lines: &str) -> Result<Self, WorldError> {
        let world = Self::new().await?;
        world.import(lines).await?;
        Ok(world)
    }

    /// Replaces the service on the table, for example by one that fails or publishes events.
    #[must_use]
    pub fn serving(mut self, app: App) -> Self {
        self.router = local::router::router(&app);
        self.store = app.store.clone();
        self.app = app;
        self
    }

    /// Returns the job engine.
    pub fn jobs(&self) -> &Jobs {
        &self.app.jobs
    }

    /// Returns the address of the embedded engine, or of its lagging proxy; none on another engine.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let lagging = self.lag.as_ref().map(|lag| Endpoint::at(lag.proxy.url()));
        lagging.or_else(|| self.engine.as_ref().map(|(_, port)| port.endpoint()))
    }

    /// Works through the queue, one message after another, including messages sent meanwhile. Returns the number of
    /// messages.
    pub async fn work(&self) -> Result<usize, WorkError> {
        let mut worked = 0;
        while let Some(message) = self.queue.take() {
            self.caught_up().await;
            self.jobs().work(&message, &Deadline::never()).await?;
            worked += 1;
        }
        self.caught_up().await;
        Ok(worked)
    }

    /// Returns the records of a portal's jobs, or of one user's, newest first.
    pub async fn jobs_of(&self, portal: &PortalId, user: Option<UserId>) -> Result<Vec<Job>, StoreError> {
        let mut reader = self.store.jobs(portal, user, JobsStart::Index(0)).await?;
        let mut jobs = Vec::new();
        loop {
            let listed = reader.next(usize::MAX).await?;
            if listed.is_empty() {
                return Ok(jobs);
            }
            jobs.extend(listed.into_iter().filter_map(|place| place.job));
        }
    }

    /// Returns the records of a portal's rules, by name.
    pub async fn rules_of(&self, portal: &PortalId) -> Result<Vec<Rule>, StoreError> {
        let (mut reader, mut rules) = (self.store.rules(portal), Vec::new());
        loop {
            let read = reader.next().await?;
            if read.is_empty() {
                return Ok(rules);
            }
            rules.extend(read);
        }
    }

    async fn caught_up(&self) {
        self.catch_up().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Returns whether the engine is the embedded one, which is fast.
    pub fn is_embedded(&self) -> bool {
        self.engine.is_some()
    }

    /// Sets the clock.
    pub fn set_clock(&self, now: Timestamp) {
        self.clock.store(now.ticks(), Ordering::SeqCst);
    }

    /// Loads import lines, as `crm-access import` does.
    pub async fn import(&self, lines: &str) -> Result<Summary, WorldError> {
        self.import_as(lines, false).await
    }

    /// Loads import lines, like `crm-access import` with `--overwrite-access` if `overwrite_access`.
    pub async fn import_as(&self, lines: &str, overwrite_access: bool) -> Result<Summary, WorldError> {
        let options = Options { overwrite_access, revision: Uuid::now_v7().into(), clock: self.jobs().clock.clone() };
        self.catch_up().await?;
        let mut importer = Importer::new(&self.store, options);
        for (number, line) in (1..).zip(lines.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let line = parse_line(line, &importer.time_zone())?;
            importer.at_line(number);
            importer.push(line).await.map_err(|error: ImportError| error.to_string())?;
        }
        let summary = importer.finish().await.map_err(|error| error.to_string())?;
        self.catch_up().await?;
        Ok(summary)
    }

    /// Sends any request. An answer that the OpenAPI document does not describe is an error.
    pub async fn request(&self, request: Request<Body>) -> Result<Reply, WorldError> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        self.catch_up().await?;
        let response = self.router.clone().oneshot(request).await?;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await?;
        let text = String::from_utf8(bytes.to_vec()).unwrap_or_default();
        let reply = Reply { status: parts.status, headers: parts.headers, text, body: bytes.to_vec() };
        self.catch_up().await?;
        described::check(&method, &path, &reply)?;
        Ok(reply)
    }

    /// `PUT`s JSON to a path below `/api/2.0/crm/contact/`, with a token and extra headers.
    pub async fn put_with(
        &self,
        path: &str,
        token: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, WorldError> {
        let mut request = Request::put(format!("/api/2.0/crm/contact/{path}"))
            .header("authorization", token)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body.to_owned()))?).await
    }

    /// Calls any path with a method, a token (may be empty), headers and a body.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, WorldError> {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body.to_owned()))?).await
    }

    /// `GET`s a path below `/api/2.0/crm/contact/`.
    pub async fn contact(&self, path: &str, token: &str) -> Result<Reply, WorldError> {
        self.call("GET", &format!("/api/2.0/crm/contact/{path}"), token, &[], "").await
    }

    /// Calls a path below `/api/2.0/crm/access/` with a method, a token, headers and a body (may be empty).
    pub async fn access_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, WorldError> {
        let mut request =
            Request::builder().method(method).uri(format!("/api/2.0/crm/access/{path}")).header("authorization", token);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body.to_owned()))?).await
    }

    /// `GET`s a path below `/api/2.0/crm/access/`.
    pub async fn get(&self, path: &str, token: &str) -> Result<Reply, WorldError> {
        self.access_with("GET", path, token, "", &[]).await
    }

    /// `POST`s to a path below `/api/2.0/crm/access/`.
    pub async fn post(&self, path: &str, token: &str) -> Result<Reply, WorldError> {
        self.access_with("POST", path, token, "", &[]).await
    }

    /// `PUT`s JSON to a path below `/api/2.0/crm/contact/`.
    pub async fn put(&self, path: &str, token: &str, body: &Value) -> Result<Reply, WorldError> {
        self.put_with(path, token, &body.to_string(), &[]).await
    }
}

/// A queue that keeps messages until a test takes them.
#[derive(Clone, Debug, Default)]
pub struct TestQueue(Arc<Mutex<VecDeque<Message>>>);

impl TestQueue {
    fn messages(&self) -> std::sync::MutexGuard<'_, VecDeque<Message>> {
        // A panic cannot corrupt the queue, and its test has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the waiting messages, oldest first.
    pub fn waiting(&self) -> Vec<Message> {
        self.messages().iter().cloned().collect()
    }

    /// Takes the oldest message.
    pub fn take(&self) -> Option<Message> {
        self.messages().pop_front()
    }

    /// Loses all messages.
    pub fn clear(&self) {
        self.messages().clear();
    }
}

impl Queue for TestQueue {
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.messages().extend(messages);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A bus that records published events, and refuses events on request.
#[derive(Clone, Debug, Default)]
pub struct TestBus(Arc<Mutex<BusState>>);

#[derive(Debug, Default)]
struct BusState {
    refuses: bool,
    told: Vec<JobEvent>,
}

impl TestBus {
    fn state(&self) -> std::sync::MutexGuard<'_, BusState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether events are refused.
    pub fn refuse(&self, refuses: bool) {
        self.state().refuses = refuses;
    }

    /// Returns the published events.
    pub fn told(&self) -> Vec<JobEvent> {
        self.state().told.clone()
    }
}

impl Bus for TestBus {
    fn put(&self, event: JobEvent) -> BoxFuture<'_, Result<(), BusError>> {
        let mut state = self.state();
        let taken = if state.refuses {
            Err(BusError("the bus refuses".into()))
        } else {
            state.told.push(event);
            Ok(())
        };
        drop(state);
        Box::pin(std::future::ready(taken))
    }
}

/// Counters of DynamoDB calls, fed by an SDK interceptor.
#[derive(Clone, Debug, Default)]
pub struct Trips(Arc<TripCounters>);

#[derive(Debug, Default)]
struct TripCounters {
    calls: AtomicU64,
    under_way: AtomicU64,
    rounds: AtomicU64,
    // Units come in halves, so the counters hold halves.
    read_halves: AtomicU64,
    write_halves: AtomicU64,
    writes: AtomicU64,
}

/// Capacity consumed according to DynamoDB's responses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Read units.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
    /// Number of write calls.
    pub writes: u64,
}

impl std::ops::Sub for Spent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            read_units: self.read_units - earlier.read_units,
            write_units: self.write_units - earlier.write_units,
            writes: self.writes - earlier.writes,
        }
    }
}

impl Trips {
    /// Returns the calls so far and their sequential rounds. Overlapping calls are one round.
    pub fn so_far(&self) -> (u64, u64) {
        (self.0.calls.load(Ordering::SeqCst), self.0.rounds.load(Ordering::SeqCst))
    }

    /// Returns all capacity spent so far: by handlers, imports and the test itself.
    pub fn spent(&self) -> Spent {
        let units = |halves: &AtomicU64| {
            #[expect(clippy::cast_precision_loss, reason = "no test consumes 2^52 units")]
            let units = halves.load(Ordering::SeqCst) as f64 / 2.0;
            units
        };
        Spent {
            read_units: units(&self.0.read_halves),
            write_units: units(&self.0.write_halves),
            writes: self.0.writes.load(Ordering::SeqCst),
        }
    }

    fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.0.read_halves.fetch_add(halves(consumed), Ordering::SeqCst);
    }

    fn wrote<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        self.0.write_halves.fetch_add(halves(consumed), Ordering::SeqCst);
    }
}

fn halves<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    let units: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small, positive number of halves")]
    let halves = (units * 2.0).round() as u64;
    halves
}

impl Intercept for Trips {
    fn name(&self) -> &'static str {
        "Trips"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.under_way.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.rounds.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        let Some(Ok(output)) = context.output_or_error() else { return Ok(()) };
        if let Some(output) = output.downcast_ref::<GetItemOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<QueryOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<BatchGetItemOutput>() {
            self.read(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<BatchWriteItemOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<TransactWriteItemsOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<PutItemOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<UpdateItemOutput>() {
            self.wrote(output.consumed_capacity());
        } else if let Some(output) = output.downcast_ref::<DeleteItemOutput>() {
            self.wrote(output.consumed_capacity());
        }
        Ok(())
    }
}
