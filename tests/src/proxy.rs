//! A proxy in front of the engine. Simulates faults of DynamoDB and of the network that no local engine has:
//! throttling, partly processed batches, lost answers, callers that die between two calls.
//!
//! The test decides on each call before the proxy forwards the call. Each attempt of the SDK is a separate call. Two
//! proxies of one engine act as two processes that share a table.
//!
//! A proxy may have a second engine that lags behind the first ([`Proxy::lagging`]). Eventually consistent reads and
//! all index queries go to the second engine. Writes reach the second engine only when the test says so.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Map, Value, json};
use store::keys::{Index, PK, SK};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{self, watch};

/// A received call to DynamoDB.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation, such as `PutItem`.
    pub operation: String,
    /// The request.
    pub body: Value,
    /// The number of the call since [`Proxy::set`] or [`Proxy::clear`], starting at 1.
    pub number: u64,
}

impl Call {
    /// Returns whether the call writes items.
    pub fn writes(&self) -> bool {
        const WRITES: [&str; 5] = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"];
        WRITES.contains(&self.operation.as_str())
    }

    /// Returns whether the call is an eventually consistent read.
    pub fn may_read_late(&self) -> bool {
        let is_consistent = |of: &Value| of["ConsistentRead"] == true;
        match self.operation.as_str() {
            "GetItem" | "Query" => !is_consistent(&self.body),
            "BatchGetItem" => {
                let mut tables = self.body["RequestItems"].as_object().into_iter().flat_map(Map::values);
                !tables.all(is_consistent)
            }
            _ => false,
        }
    }

    /// Returns whether the call creates, changes or deletes a table.
    fn defines_table(&self) -> bool {
        ["CreateTable", "UpdateTable", "UpdateTimeToLive", "DeleteTable"].contains(&self.operation.as_str())
    }

    /// Returns the partition and sort keys of the call's items, in order; none for a query.
    pub fn keys(&self) -> Vec<(String, String)> {
        let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
        self.items().into_iter().filter_map(|item| Some((text(item, PK)?, text(item, SK)?))).collect()
    }

    /// Returns the items that the call puts and the keys that it names.
    fn items(&self) -> Vec<&Value> {
        let tables = || self.body["RequestItems"].as_object().into_iter().flat_map(Map::values);
        match self.operation.as_str() {
            "PutItem" => vec![&self.body["Item"]],
            "GetItem" | "UpdateItem" | "DeleteItem" => vec![&self.body["Key"]],
            "BatchGetItem" => tables().filter_map(|table| table["Keys"].as_array()).flatten().collect(),
            "BatchWriteItem" => members(tables().filter_map(Value::as_array).flatten()),
            "TransactWriteItems" | "TransactGetItems" => {
                members(self.body["TransactItems"].as_array().into_iter().flatten())
            }
            _ => Vec::new(),
        }
    }
}

/// Returns the items and keys of requests such as `{"PutRequest": {"Item": …}}` and `{"Update": {"Key": …}}`.
fn members<'a>(requests: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let requests = requests.filter_map(Value::as_object).flat_map(Map::values);
    requests.filter_map(|request| request.get("Item").or_else(|| request.get("Key"))).collect()
}

/// The proxy's action on a call.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Forwards the call.
    Pass,
    /// Answers with status 500, an internal fault of DynamoDB, without forwarding.
    Fail,
    /// Forwards the call and answers with status 500. Writes take effect, but the caller does not know.
    FailAfter,
    /// Answers as throttled without forwarding. A transaction is cancelled for throttling.
    Throttle,
    /// Answers as in conflict with a transaction, without forwarding. A transaction is cancelled for the conflict.
    Conflict,
    /// Answers with a validation error without forwarding.
    Refuse,
    /// Returns the last `n` items or keys of a batch unprocessed and forwards the rest, if any. Other calls pass.
    Unprocessed(usize),
    /// Answers a query with an empty page that ends right before its first result. Other calls pass.
    EmptyPage,
    /// Forwards the call once the gate opens, even if the caller has hung up.
    Hold(Gate),
    /// Forwards the call and answers once the gate opens.
    HoldAfter(Gate),
    /// Cuts the connections of this call and of all others until [`Proxy::clear`], held calls included. Nothing is
    /// forwarded or answered, as if the caller's process had died.
    Die,
    /// Like [`Self::Die`], but forwards this call.
    DieAfter,
}

/// Holds calls until a test opens the gate. Clones share one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<GateState>);

#[derive(Debug, Default)]
struct GateState {
    open: watch::Sender<bool>,
    reached: watch::Sender<u64>,
}

impl Gate {
    /// Creates a closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Releases held calls and lets later ones pass.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Returns whether the gate is open.
    pub fn is_open(&self) -> bool {
        *self.0.open.borrow()
    }

    /// Returns once a call has reached the gate.
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Returns once this many calls have reached the gate.
    pub async fn reached_by(&self, calls: u64) {
        wait_for(&self.0.reached, |reached| *reached >= calls).await;
    }

    /// Returns once the gate is open.
    pub async fn opened(&self) {
        wait_for(&self.0.open, |open| *open).await;
    }

    async fn pass(&self) {
        self.0.reached.send_modify(|reached| *reached += 1);
        self.opened().await;
    }
}

async fn wait_for<T>(sender: &watch::Sender<T>, condition: impl FnMut(&T) -> bool) {
    let waited = sender.subscribe().wait_for(condition).await.map(drop);
    // Waiting fails only when the sender is dropped, and `sender` is borrowed here.
    debug_assert!(waited.is_ok());
}

/// A proxy on a loopback port. Dropping the proxy stops it and cuts its connections.
pub struct Proxy {
    address: SocketAddr,
    faults: Arc<Faults>,
    route: Arc<Route>,
    /// Dropping this sender ends the proxy's tasks.
    _alive: watch::Sender<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts a proxy of the engine at a URL such as `http://127.0.0.1:8000`. Every call passes until [`Self::set`].
    ///
    /// # Errors
    ///
    /// When the URL names no host or no port is free.
    pub async fn start(engine_url: &str) -> io::Result<Self> {
        Self::of(authority(engine_url)?, None).await
    }

    /// Starts a proxy with a second engine at `late_url`. The second engine lags behind the first until
    /// [`Self::catch_up`].
    ///
    /// # Errors
    ///
    /// When a URL names no host or no port is free.
    pub async fn lagging(engine_url: &str, late_url: &str) -> io::Result<Self> {
        let late = Late { engine: authority(late_url)?, writes: sync::Mutex::default() };
        Self::of(authority(engine_url)?, Some(Arc::new(late))).await
    }

    async fn of(engine: Authority, late: Option<Arc<Late>>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let faults = Arc::new(Faults::default());
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let route = Arc::new(Route { engine, late, client, faults: faults.clone() });
        let (alive, ended) = watch::channel(());
        tokio::spawn(until(ended.clone(), accept(listener, route.clone(), ended)));
        Ok(Self { address, faults, route, _alive: alive })
    }

    /// Sends all answered writes to the second engine.
    ///
    /// # Errors
    ///
    /// When the second engine refuses a write that the first accepted.
    pub async fn catch_up(&self) -> io::Result<()> {
        let Some(late) = &self.route.late else { return Ok(()) };
        let mut writes = late.writes.lock().await;
        while let Some((parts, body)) = writes.pop_front() {
            let answer = self.route.send(&late.engine, &parts, body).await;
            if answer.is_none_or(|answer| answer.status() != StatusCode::OK) {
                return Err(io::Error::other("the late engine refused a write"));
            }
        }
        Ok(())
    }

    /// Returns the endpoint URL for the SDK.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets `plan` decide on all further calls, and restarts the count of calls.
    ///
    /// Calls are decided one at a time, in the order of their numbers. The plan must not use the proxy: the proxy is
    /// locked meanwhile. A dead proxy stays dead.
    pub fn set(&self, plan: impl FnMut(&Call) -> Verdict + Send + 'static) {
        let mut faults = self.faults.lock();
        faults.plan = Some(Box::new(plan));
        faults.calls = 0;
    }

    /// Lets all further calls pass, revives a dead proxy and restarts the count of calls. Held calls stay held. The
    /// limit of queries stays.
    pub fn clear(&self) {
        *self.faults.lock() = State::default();
    }

    /// Limits index queries to this many entries each, so that few entries take many calls.
    pub fn limit_queries(&self, entries: u64) {
        self.faults.limit.store(entries, Ordering::SeqCst);
    }

    /// Returns the number of calls since [`Self::set`] or [`Self::clear`].
    pub fn calls(&self) -> u64 {
        self.faults.lock().calls
    }

    /// Returns once every received call is answered or cut.
    pub async fn idle(&self) {
        wait_for(&self.faults.under_way, |calls| *calls == 0).await;
    }

    /// Returns whether a call has met [`Verdict::Die`] or [`Verdict::DieAfter`].
    pub fn is_dead(&self) -> bool {
        self.faults.lock().dead
    }
}

/// A test's decision on each call.
type Plan = dyn FnMut(&Call) -> Verdict + Send;

#[derive(Default)]
struct Faults {
    state: Mutex<State>,
    under_way: watch::Sender<u64>,
    /// Maximum entries of an index query; 0 means no limit.
    limit: AtomicU64,
}

#[derive(Default)]
struct State {
    plan: Option<Box<Plan>>,
    calls: u64,
    dead: bool,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicking plan fails its call and leaves the state consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a call and decides on it.
    fn decide(&self, call: &mut Call) -> Verdict {
        let mut faults = self.lock();
        faults.calls += 1;
        call.number = faults.calls;
        if faults.dead {
            return Verdict::Die;
        }
        let verdict = faults.plan.as_mut().map_or(Verdict::Pass, |plan| plan(call));
        faults.dead = matches!(verdict, Verdict::Die | Verdict::DieAfter);
        verdict
    }
}

/// Counts a call as under way until dropped.
struct UnderWay<'a>(&'a Faults);

impl<'a> UnderWay<'a> {
    fn new(faults: &'a Faults) -> Self {
        faults.under_way.send_modify(|calls| *calls += 1);
        Self(faults)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|calls| *calls -= 1);
    }
}

/// Runs `work` until it ends or the proxy is dropped.
async fn until<T>(mut ended: watch::Receiver<()>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        // Nothing is ever sent: `changed` returns when the sender is dropped.
        _ = ended.changed() => None,
        done = work => Some(done),
    }
}

async fn accept(listener: TcpListener, route: Arc<Route>, ended: watch::Receiver<()>) {
    loop {
        // Only the caller needs to handle a connection that fails before it is accepted.
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(until(ended.clone(), serve(stream, route.clone(), ended.clone())));
    }
}

async fn serve(stream: TcpStream, route: Arc<Route>, ended: watch::Receiver<()>) {
    // Without TCP_NODELAY answers would only be later.
    stream.set_nodelay(true).unwrap_or_default();
    let service = service_fn(|request| {
        // A separate task: a received call reaches the engine even if its caller hangs up.
        let answer = tokio::spawn(until(ended.clone(), route.clone().answer(request)));
        // An error makes the server cut the connection.
        async {
            answer.await.map_err(io::Error::other)?.flatten().ok_or(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    });
    // Connections end early on purpose here.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
}

/// Returns the host of a URL such as `http://127.0.0.1:8000`.
fn authority(url: &str) -> io::Result<Authority> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {why}"));
    let uri: Uri = url.parse().map_err(|error| invalid(format!("{error}")))?;
    uri.authority().cloned().ok_or_else(|| invalid("names no host".into()))
}

/// An engine that lags behind another one.
struct Late {
    engine: Authority,
    /// Writes that the first engine has and this engine still lacks, in order.
    writes: sync::Mutex<VecDeque<(Parts, Bytes)>>,
}

/// Forwards calls to the engines.
struct Route {
    engine: Authority,
    late: Option<Arc<Late>>,
    client: Client<HttpConnector, Body>,
    faults: Arc<Faults>,
}

impl Route {
    /// Returns the answer to a request; none when the connection must be cut.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Option<Response<Body>> {
        let _under_way = UnderWay::new(&self.faults);
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.ok()?;
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut call = Call { operation, body: serde_json::from_slice(&body).unwrap_or_default(), number: 0 };
        let limit = self.faults.limit.load(Ordering::SeqCst);
        let body = if limit > 0 && call.body["IndexName"].is_string() && call.body["Limit"].is_number() {
            call.body["Limit"] = json!(limit);
            call.body.to_string().into()
        } else {
            body
        };
        let answer = match self.faults.decide(&mut call) {
            Verdict::Pass => self.forward(&call, &parts, body).await?,
            Verdict::Fail => failed(),
            Verdict::FailAfter => self.forward(&call, &parts, body).await.map(|_| failed())?,
            Verdict::Throttle => throttled(&call),
            Verdict::Conflict => in_conflict(&call),
            Verdict::Refuse => refused("ValidationException", "One or more parameter values were invalid"),
            Verdict::Unprocessed(count) => self.forward_part(&parts, body, &call, count).await?,
            Verdict::EmptyPage => empty_page(&call, self.forward(&call, &parts, body).await?)?,
            Verdict::Hold(gate) => {
                gate.pass().await;
                if self.faults.lock().dead {
                    return None;
                }
                self.forward(&call, &parts, body).await?
            }
            Verdict::HoldAfter(gate) => {
                let answer = self.forward(&call, &parts, body).await?;
                gate.pass().await;
                answer
            }
            Verdict::Die => return None,
            Verdict::DieAfter => {
                self.forward(&call, &parts, body).await?;
                return None;
            }
        };
        // A dead caller receives no answer.
        (!self.faults.lock().dead).then(|| answer.map(Body::from))
    }

    /// Forwards a call to the engine it belongs to. Returns none when the engine is unreachable.
    async fn forward(&self, call: &Call, parts: &Parts, body: Bytes) -> Option<Response<Bytes>> {
        let Some(late) = &self.late else { return self.send(&self.engine, parts, body).await };
        if call.may_read_late() {
            return self.send(&late.engine, parts, body).await;
        }
        if call.writes() {
            // One write at a time, so that the second engine receives writes in the first engine's order.
            let mut writes = late.writes.lock().await;
            let answer = self.send(&self.engine, parts, body.clone()).await?;
            if answer.status() == StatusCode::OK {
                writes.push_back((parts.clone(), body));
            }
            return Some(answer);
        }
        if call.defines_table() {
            self.send(&late.engine, parts, body.clone()).await?;
        }
        self.send(&self.engine, parts, body).await
    }

    /// Sends a request to an engine. Returns none when the engine is unreachable.
    async fn send(&self, engine: &Authority, parts: &Parts, body: Bytes) -> Option<Response<Bytes>> {
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(engine.clone()).path_and_query(path).build();
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri.ok()?;
        *request.headers_mut() = parts.headers.clone();
        // Hop-by-hop headers describe the incoming connection only.
        for name in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
            request.headers_mut().remove(name);
        }
        let (mut parts, body) = self.client.request(request).await.ok()?.into_parts();
        for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
            parts.headers.remove(name);
        }
        Some(Response::from_parts(parts, to_bytes(Body::new(body), usize::MAX).await.ok()?))
    }

    /// Forwards a batch without its last `count` requests and returns these as unprocessed.
    async fn forward_part(&self, parts: &Parts, body: Bytes, call: &Call, count: usize) -> Option<Response<Bytes>> {
        let (unprocessed, mut answer) = match call.operation.as_str() {
            "BatchWriteItem" => ("UnprocessedItems", json!({})),
            "BatchGetItem" => ("UnprocessedKeys", json!({"Responses": {}})),
            _ => return self.forward(call, parts, body).await,
        };
        let mut processed = call.body.clone();
        let rest = take_last(&mut processed["RequestItems"], count);
        if processed["RequestItems"].as_object().is_some_and(|tables| !tables.is_empty()) {
            let forwarded = self.forward(call, parts, processed.to_string().into()).await?;
            if forwarded.status() != StatusCode::OK {
                return Some(forwarded);
            }
            answer = serde_json::from_slice(forwarded.body()).ok()?;
        }
        for (table, of_table) in rest {
            // The engine itself may have left requests of the table unprocessed.
            match requests(&mut answer[unprocessed][&table]) {
                Some(own) => own.extend(requests(&mut of_table.clone()).map(std::mem::take).unwrap_or_default()),
                None => answer[unprocessed][&table] = of_table,
            }
        }
        Some(reply(StatusCode::OK, &answer))
    }
}

/// Turns the answer to a query into an empty page that ends right before the first item. Leaves an answer unchanged if
/// it has no items or not their keys.
fn empty_page(call: &Call, answer: Response<Bytes>) -> Option<Response<Bytes>> {
    let mut page: Value = serde_json::from_slice(answer.body()).ok()?;
    let first = page["Items"][0].clone();
    if call.operation != "Query" || first.is_null() {
        return Some(answer);
    }
    let mut last = Map::new();
    for (name, value) in first.as_object()? {
        if [PK, SK].contains(&name.as_str()) || name.ends_with("_pk") || name.ends_with("_sk") {
            last.insert(name.clone(), value.clone());
        }
    }
    let sort_key = Index::ALL.into_iter().find(|index| call.body["IndexName"] == index.name()).map_or(SK, Index::sk);
    let Some(text) = first[sort_key]["S"].as_str() else { return Some(answer) };
    // A position ends with a numeric identifier, so its neighbour must be numeric too.
    let before = match (text.rsplit_once('#'), call.body["ScanIndexForward"] == false) {
        (Some((created, id)), backwards) if sort_key != SK => {
            let id = id.parse::<i64>().ok()?;
            format!("{created}#{:010}", if backwards { id + 1 } else { id - 1 })
        }
        (_, true) => format!("{text}~"),
        (_, false) => text.get(..text.len() - 1)?.to_owned(),
    };
    last.insert(sort_key.to_owned(), json!({"S": before}));
    page["Items"] = json!([]);
    page["Count"] = json!(0);
    page["LastEvaluatedKey"] = last.into();
    Some(reply(StatusCode::OK, &page))
}

/// Returns a batch's requests for one table: `[…]` for writes, `{"Keys": […], …}` for reads.
fn requests(of_table: &mut Value) -> Option<&mut Vec<Value>> {
    match of_table {
        Value::Array(writes) => Some(writes),
        Value::Object(reads) => reads.get_mut("Keys").and_then(Value::as_array_mut),
        _ => None,
    }
}

/// Removes the last `count` requests of a batch, and the tables left without requests.
fn take_last(batch: &mut Value, mut count: usize) -> Map<String, Value> {
    let mut taken = Map::new();
    let Some(tables) = batch.as_object_mut() else { return taken };
    for (table, of_table) in tables.iter_mut().rev() {
        let mut of_taken = of_table.clone();
        let (Some(kept), Some(last)) = (requests(of_table), requests(&mut of_taken)) else { continue };
        let at = kept.len().saturating_sub(count);
        kept.truncate(at);
        last.drain(..at);
        count -= last.len();
        if !last.is_empty() {
            taken.insert(table.clone(), of_taken);
        }
    }
    tables.retain(|_, of_table| requests(of_table).is_none_or(|kept| !kept.is_empty()));
    taken
}

fn failed() -> Response<Bytes> {
    let mut answer = refused("InternalServerError", "The request processing has failed because of an unknown error");
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

fn throttled(call: &Call) -> Response<Bytes> {
    const CODE: &str = "ProvisionedThroughputExceeded";
    const MESSAGE: &str = "The level of configured provisioned throughput for the table was exceeded";
    cancelled(call, CODE, MESSAGE).unwrap_or_else(|| refused(&format!("{CODE}Exception"), MESSAGE))
}

fn in_conflict(call: &Call) -> Response<Bytes> {
    const CODE: &str = "TransactionConflict";
    const MESSAGE: &str = "Transaction is ongoing for the item";
    cancelled(call, CODE, MESSAGE).unwrap_or_else(|| refused(&format!("{CODE}Exception"), MESSAGE))
}

/// Builds the answer to a transaction cancelled by its first item; none when the call is no transaction.
fn cancelled(call: &Call, code: &str, message: &str) -> Option<Response<Bytes>> {
    let items = call.body["TransactItems"].as_array()?.len();
    let mut reasons = vec![json!({"Code": "None"}); items];
    *reasons.first_mut()? = json!({"Code": code, "Message": message});
    let codes = vec!["None"; items - 1].into_iter().fold(code.to_owned(), |codes, none| codes + ", " + none);
    let answer = json!({
        "__type": qualified("TransactionCanceledException"),
        "Message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"),
        "CancellationReasons": reasons,
    });
    Some(reply(StatusCode::BAD_REQUEST, &answer))
}

fn refused(code: &str, message: &str) -> Response<Bytes> {
    reply(StatusCode::BAD_REQUEST, &json!({"__type": qualified(code), "message": message}))
}

fn qualified(code: &str) -> String {
    format!("com.amazonaws.dynamodb.v20120810#{code}")
}

fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    answer
}
