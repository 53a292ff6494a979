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

use aws_sdk_dynamodb::Client;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use store::dynamodb::client::{Endpoint, connect};
use store::dynamodb::in_process::{EngineAnswer, EngineResult, InProcess, connect_in_process};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

use super::answering::{Engines, Exchange, Replica, answer_with};
use super::gate::wait_for;
use super::upstream::{TARGET, TARGET_PREFIX};
use super::{Call, Calls, Fault, Injector, Operation, Upstream};

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

    /// Returns a client of this proxy: without a socket if the engine is in this process, over HTTP otherwise.
    pub async fn client(&self) -> Client {
        match (&self.route.engine, &self.route.late) {
            (Upstream::InProcess(_), None) => {
                let direct = Direct { route: self.route.clone(), ended: self._alive.subscribe() };
                connect_in_process(Arc::new(direct), None).await
            }
            _ => connect(Some(&Endpoint::at(self.url())), None).await,
        }
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
        let answer = tokio::spawn(until(ended.clone(), answer(route.clone(), request)));
        // An error makes the server cut the connection.
        async {
            answer.await.map_err(io::Error::other)?.flatten().ok_or(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    });
    // Connections end early on purpose here.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
}

/// The proxy for a client in this process.
struct Direct {
    route: Arc<Route>,
    ended: watch::Receiver<()>,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

impl InProcess for Direct {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        let (route, ended) = (self.route.clone(), self.ended.clone());
        Box::pin(async move {
            let target = format!("{TARGET_PREFIX}{operation}");
            let (parts, ()) = Request::builder().header(TARGET, target).body(())?.into_parts();
            // A separate task: a received call reaches the engine even if its caller hangs up.
            let answer = tokio::spawn(until(ended, async move {
                let _under_way = RunningCall::new(&route.under_way);
                route.answer(&parts, body.into()).await
            }))
            .await?;
            let answer = answer.flatten().ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))?;
            let status = answer.status().as_u16();
            Ok(EngineAnswer { status, body: String::from_utf8(answer.into_body().to_vec())? })
        })
    }
}

/// An engine that lags behind another engine.
struct Late {
    engine: Upstream,
    /// Writes that the first engine has and this engine still lacks, in order.
    writes: Mutex<VecDeque<(Parts, Bytes)>>,
}

/// Forwards calls to the engines.
struct Route {
    engine: Upstream,
    late: Option<Late>,
    injector: Injector,
    under_way: watch::Sender<u64>,
}

/// Returns the answer to a request over HTTP; none when the connection must be cut.
async fn answer(route: Arc<Route>, request: Request<Incoming>) -> Option<Response<Body>> {
    let _under_way = RunningCall::new(&route.under_way);
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.ok()?;
    Some(route.answer(&parts, body).await?.map(Body::from))
}

impl Route {
    /// Returns the answer to a call; none when the connection must be cut.
    async fn answer(&self, parts: &Parts, body: Bytes) -> Option<Response<Bytes>> {
        let target = parts.headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
        let mut call = Call::new(Operation::of_target(target), serde_json::from_slice(&body).unwrap_or_default());
        let faults = self.injector.faults_of(&mut call);
        let exchange = Exchange { call: Arc::new(call), body, replica: Replica::Current };
        let answer = answer_with(&RoutedCall { route: self, parts }, exchange, &faults).await?;
        // A dead caller receives no answer.
        (!self.injector.is_dead()).then_some(answer)
    }

    /// Forwards a call to the engine that the call belongs to. Returns none when the engine is unreachable.
    async fn forward(&self, parts: &Parts, exchange: Exchange) -> Option<Response<Bytes>> {
        let Exchange { call, body, replica } = exchange;
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
}

/// A call that the proxy received.
struct RoutedCall<'a> {
    route: &'a Route,
    parts: &'a Parts,
}

impl Engines for RoutedCall<'_> {
    fn injector(&self) -> &Injector {
        &self.route.injector
    }

    fn lags(&self) -> bool {
        self.route.late.is_some()
    }

    fn forward<'a>(&'a self, exchange: Exchange) -> BoxFuture<'a, Option<Response<Bytes>>> {
        Box::pin(self.route.forward(self.parts, exchange))
    }
}
