//! A proxy in front of the engine. Simulates faults of DynamoDB and of the network that no local engine has:
//! throttling, partly processed batches, lost answers, callers that die between two calls.
//!
//! The plan decides on each call before the proxy forwards the call. Each attempt of the SDK is a separate call. Two
//! proxies of one engine act as two processes that share a table.
//!
//! A proxy may have a second engine that lags behind the first ([`Proxy::lagging`]). Calls that meet [`Fault::Stale`]
//! read from the second engine. Writes reach the second engine only when the test says so.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

use super::batch::{count, requests, take_last};
use super::gate::wait_for;
use super::{Call, Calls, Fault, Injector, Operation, Share, Upstream, When, answers};

/// A proxy on a loopback port. Dropping the proxy stops it and cuts its connections.
///
/// Dereferences to the [`Injector`] of its calls.
pub struct Proxy {
    address: SocketAddr,
    route: Arc<Route>,
    /// Dropping this sender ends the proxy's tasks.
    _alive: watch::Sender<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Deref for Proxy {
    type Target = Injector;

    fn deref(&self) -> &Injector {
        &self.route.injector
    }
}

impl Proxy {
    /// Starts a proxy of an engine.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(engine: Upstream) -> io::Result<Self> {
        Self::of(engine, None).await
    }

    /// Starts a proxy with a second engine. Every eventually consistent read is stale, and every query of an index
    /// misses late entries, until [`Self::catch_up`].
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn lagging(engine: Upstream, late: Upstream) -> io::Result<Self> {
        let late = Late { engine: late, writes: Mutex::default() };
        let proxy = Self::of(engine, Some(late)).await?;
        proxy.inject_permanently(Calls::matching(Call::may_read_late).meet(Fault::Stale));
        Ok(proxy)
    }

    async fn of(engine: Upstream, late: Option<Late>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (injector, under_way) = (Injector::default(), watch::Sender::default());
        let route = Arc::new(Route { engine, late, injector, under_way });
        let (alive, ended) = watch::channel(());
        tokio::spawn(until(ended.clone(), accept(listener, route.clone(), ended)));
        Ok(Self { address, route, _alive: alive })
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
            let answer = late.engine.send(&parts, body).await;
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

    /// Returns once every received call is answered or cut.
    pub async fn idle(&self) {
        wait_for(&self.route.under_way, |calls| *calls == 0).await;
    }
}

/// Counts a call as running until dropped.
struct RunningCall<'a>(&'a watch::Sender<u64>);

impl<'a> RunningCall<'a> {
    fn new(calls: &'a watch::Sender<u64>) -> Self {
        calls.send_modify(|calls| *calls += 1);
        Self(calls)
    }
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
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
    // A failure only delays answers.
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

/// An engine that lags behind another engine.
struct Late {
    engine: Upstream,
    /// Writes that the first engine has and this engine still lacks, in order.
    writes: Mutex<VecDeque<(Parts, Bytes)>>,
}

/// The engine that answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replica {
    Current,
    Late,
}

/// A call on its way to the engine.
struct Exchange<'a> {
    call: &'a Call,
    parts: &'a Parts,
    body: Bytes,
    replica: Replica,
}

/// Forwards calls to the engines.
struct Route {
    engine: Upstream,
    late: Option<Late>,
    injector: Injector,
    under_way: watch::Sender<u64>,
}

impl Route {
    /// Returns the answer to a request; none when the connection must be cut.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Option<Response<Body>> {
        let _under_way = RunningCall::new(&self.under_way);
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.ok()?;
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let mut call = Call::new(Operation::of_target(target), serde_json::from_slice(&body).unwrap_or_default());
        let faults = self.injector.faults_of(&mut call);
        let exchange = Exchange { call: &call, parts: &parts, body, replica: Replica::Current };
        let answer = self.answer_with(exchange, &faults).await?;
        // A dead caller receives no answer.
        (!self.injector.is_dead()).then(|| answer.map(Body::from))
    }

    /// Applies the first fault, and the other faults inside it. Forwards a call without faults. Returns none when the
    /// connection must be cut.
    fn answer_with<'a>(
        &'a self,
        exchange: Exchange<'a>,
        faults: &'a [Fault],
    ) -> BoxFuture<'a, Option<Response<Bytes>>> {
        Box::pin(async move {
            let Some((fault, others)) = faults.split_first() else { return self.forward(exchange).await };
            let call = exchange.call;
            match fault {
                Fault::Throttle(capacity) => Some(answers::throttled(call, *capacity)),
                Fault::Conflict => Some(answers::in_conflict(call)),
                Fault::Refuse => Some(answers::refused()),
                Fault::InternalError(When::Before) => Some(answers::internal_error()),
                Fault::InternalError(When::After) => {
                    self.answer_with(exchange, others).await.map(|_| answers::internal_error())
                }
                Fault::Unavailable(When::Before) => Some(answers::unavailable()),
                Fault::Unavailable(When::After) => {
                    self.answer_with(exchange, others).await.map(|_| answers::unavailable())
                }
                Fault::Panic | Fault::Reset(When::Before) | Fault::Die(When::Before) => None,
                Fault::Reset(When::After) | Fault::Die(When::After) => {
                    self.answer_with(exchange, others).await;
                    None
                }
                Fault::Hold(When::Before, gate) => {
                    gate.pass().await;
                    if self.injector.is_dead() {
                        return None;
                    }
                    self.answer_with(exchange, others).await
                }
                Fault::Hold(When::After, gate) => {
                    let answer = self.answer_with(exchange, others).await;
                    gate.pass().await;
                    answer
                }
                Fault::Unprocessed(share) => self.answer_part(exchange, *share, others).await,
                Fault::EmptyPage => answers::empty_page(call, self.answer_with(exchange, others).await?),
                Fault::ShortPage(entries) => self.answer_with(shortened(exchange, *entries), others).await,
                Fault::Stale if !call.writes() && self.late.is_some() => {
                    self.answer_with(Exchange { replica: Replica::Late, ..exchange }, others).await
                }
                Fault::Stale => self.answer_with(exchange, others).await,
            }
        })
    }

    /// Forwards a call to the engine that the call belongs to. Returns none when the engine is unreachable.
    async fn forward(&self, exchange: Exchange<'_>) -> Option<Response<Bytes>> {
        let Exchange { call, parts, body, replica } = exchange;
        let Some(late) = &self.late else { return self.engine.send(parts, body).await };
        if replica == Replica::Late {
            return late.engine.send(parts, body).await;
        }
        if call.writes() {
            // One write at a time, so that the second engine receives writes in the first engine's order.
            let mut writes = late.writes.lock().await;
            let answer = self.engine.send(parts, body.clone()).await?;
            if answer.status() == StatusCode::OK {
                writes.push_back((parts.clone(), body));
            }
            return Some(answer);
        }
        if call.operation == Operation::DefineTable {
            late.engine.send(parts, body.clone()).await?;
        }
        self.engine.send(parts, body).await
    }

    /// Answers a batch without a share of its requests, and returns this share as unprocessed.
    async fn answer_part(&self, exchange: Exchange<'_>, share: Share, faults: &[Fault]) -> Option<Response<Bytes>> {
        let call = exchange.call;
        let (unprocessed, mut answer) = match call.operation {
            Operation::BatchWriteItem => ("UnprocessedItems", json!({})),
            Operation::BatchGetItem => ("UnprocessedKeys", json!({"Responses": {}})),
            Operation::BatchExecuteStatement => return self.answer_first_statements(exchange, share, faults).await,
            _ => return self.answer_with(exchange, faults).await,
        };
        let mut processed = call.body.clone();
        let left = share.of(count(&processed["RequestItems"]));
        let removed = take_last(&mut processed["RequestItems"], left);
        if processed["RequestItems"].as_object().is_some_and(|tables| !tables.is_empty()) {
            let part = Exchange { body: processed.to_string().into(), ..exchange };
            let forwarded = self.answer_with(part, faults).await?;
            if forwarded.status() != StatusCode::OK {
                return Some(forwarded);
            }
            answer = serde_json::from_slice(forwarded.body()).ok()?;
        }
        for (table, of_table) in removed {
            // The engine itself may have left requests of the table unprocessed.
            match requests(&mut answer[unprocessed][&table]) {
                Some(own) => own.extend(requests(&mut of_table.clone()).map(std::mem::take).unwrap_or_default()),
                None => answer[unprocessed][&table] = of_table,
            }
        }
        Some(answers::reply(StatusCode::OK, &answer))
    }
}

impl Route {
    /// Executes statements without a share of them, and answers this share as throttled.
    async fn answer_first_statements(
        &self,
        exchange: Exchange<'_>,
        share: Share,
        faults: &[Fault],
    ) -> Option<Response<Bytes>> {
        let mut executed = exchange.call.body.clone();
        let statements = executed["Statements"].as_array_mut()?;
        let left = share.of(statements.len()).min(statements.len());
        statements.truncate(statements.len() - left);
        let mut answer = json!({"Responses": []});
        if !statements.is_empty() {
            let part = Exchange { body: executed.to_string().into(), ..exchange };
            let forwarded = self.answer_with(part, faults).await?;
            if forwarded.status() != StatusCode::OK {
                return Some(forwarded);
            }
            answer = serde_json::from_slice(forwarded.body()).ok()?;
        }
        answer["Responses"].as_array_mut()?.extend(std::iter::repeat_n(answers::throttled_statement(), left));
        Some(answers::reply(StatusCode::OK, &answer))
    }
}

/// Limits a query of an index to this many entries. Queries without a limit pass.
fn shortened(exchange: Exchange<'_>, entries: u64) -> Exchange<'_> {
    if !exchange.call.queries_index() || !exchange.call.body["Limit"].is_number() {
        return exchange;
    }
    let mut body = exchange.call.body.clone();
    body["Limit"] = json!(entries);
    Exchange { body: body.to_string().into(), ..exchange }
}
