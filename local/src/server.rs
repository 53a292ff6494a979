//! Serves a router over HTTP/1.1, with bounded connections and timeouts.
//!
//! Neither slow clients nor many clients block the others: heads, bodies and answers have timeouts, and connections
//! over the limit are refused. A shutdown ends within a given time, whatever the clients do.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use api::Failure;
use api::endpoint::unrouted;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use futures::FutureExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lambda_http::Body as LambdaBody;
use models::limits::{
    MAX_CONNECTIONS, MAX_REFUSALS, SERVER_BODY_MILLIS, SERVER_HEAD_BYTES, SERVER_HEAD_MILLIS, SERVER_REFUSAL_MILLIS,
    SERVER_STALL_MILLIS,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tower::ServiceExt as _;

use crate::explained::Explained;
use crate::router::to_axum;

/// The pause after an error that affects all connections, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The time that a shutdown waits for a connection without a running call. The connection may still receive a request
/// head or send an answer.
const QUIET: Duration = Duration::from_millis(500);

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The timeout for the head of a request, which includes the idle time before it.
    pub head: Duration,
    /// The timeout for the body of a request.
    pub body: Duration,
    /// The timeout for a client that reads nothing of an answer.
    pub stall: Duration,
    /// The maximum number of concurrent connections.
    pub connections: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head: Duration::from_millis(SERVER_HEAD_MILLIS),
            body: Duration::from_millis(SERVER_BODY_MILLIS),
            stall: Duration::from_millis(SERVER_STALL_MILLIS),
            connections: MAX_CONNECTIONS,
        }
    }
}

/// The local address of a client's connection, an extension of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress(pub SocketAddr);

/// The body of a request did not arrive in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
pub struct BodyTimeout;

/// A running server. Dropping the value ends the server.
#[derive(Debug)]
pub struct Server {
    stop: watch::Sender<bool>,
    /// The task that accepts connections and owns their tasks.
    task: JoinSet<()>,
}

impl Server {
    /// Starts to serve `router` to the connections of `listener`.
    pub fn start(listener: TcpListener, router: Router, bounds: Bounds) -> Self {
        let (stop, stopping) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, router, bounds, stopping));
        Self { stop, task }
    }

    /// Stops accepting connections, and waits at most `grace` for the calls in progress.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.send_replace(true);
        if timeout(grace, self.task.join_next()).await.is_err() {
            tracing::warn!("calls were aborted; the next start resumes their jobs");
        }
    }
}

async fn accept(listener: TcpListener, router: Router, bounds: Bounds, mut stopping: watch::Receiver<bool>) {
    let (mut served, mut refused) = (JoinSet::new(), JoinSet::new());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(_) = served.join_next() => continue,
            Some(_) = refused.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) if served.len() < bounds.connections => {
                served.spawn(serve(stream, peer, router.clone(), bounds, stopping.clone()));
            }
            Ok((stream, _)) if refused.len() < MAX_REFUSALS => {
                refused.spawn(refuse(stream));
            }
            // Too many refusals are in progress, so the connection is closed without an answer.
            Ok(_) => {}
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, refused));
    while served.join_next().await.is_some() {}
}

/// Returns whether an error of `accept` affects only one connection.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Returns the HTTP/1.1 settings of a connection.
fn http(head: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    // hyper may read more than the size of its buffer at once, so the size of a head needs its own limit.
    http.max_buf_size(SERVER_HEAD_BYTES).max_header_size(SERVER_HEAD_BYTES);
    http
}

/// Serves one connection until it ends.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
    mut stopping: watch::Receiver<bool>,
) {
    // A failure only delays answers.
    stream.set_nodelay(true).unwrap_or_default();
    let Ok(local) = stream.local_addr() else { return };
    let calls = Calls::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (router, call) = (router.clone(), calls.begin());
        async move {
            let mut request = request.map(|body| Body::new(TimedBody::new(body, bounds.body)));
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(LocalAddress(local));
            let response = answer(router, request).await;
            drop(call);
            Ok::<_, Infallible>(response)
        }
    });
    let stream = TokioIo::new(Explained::new(Bounded::new(stream, bounds.stall)));
    let mut connection = pin!(http(bounds.head).serve_connection(stream, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopping.wait_for(|stop| *stop) => None,
    };
    if let Some(ended) = ended {
        return log_end(ended);
    }
    connection.as_mut().graceful_shutdown();
    let mut was_quiet = calls.are_none();
    loop {
        match timeout(QUIET, connection.as_mut()).await {
            Ok(ended) => return log_end(ended),
            Err(_) if was_quiet && calls.are_none() => return,
            Err(_) => was_quiet = calls.are_none(),
        }
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The number of calls in progress on a connection.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn begin(&self) -> RunningCall {
        self.0.fetch_add(1, Ordering::Relaxed);
        RunningCall(self.clone())
    }

    fn are_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A call in progress. Dropping the value ends the call.
struct RunningCall(Calls);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the router's answer. A panic of a handler fails only this call.
async fn answer(router: Router, request: Request<Body>) -> Response<Body> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    match AssertUnwindSafe(router.oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            let mut request = Request::new(LambdaBody::Empty);
            (*request.uri_mut(), *request.headers_mut()) = (uri, headers);
            to_axum(unrouted(&request, Failure::Internal("the handler panicked".into())))
        }
    }
}

/// Refuses the first request of a connection over the limit.
async fn refuse(stream: TcpStream) {
    let limit = Duration::from_millis(SERVER_REFUSAL_MILLIS);
    let service = service_fn(async |request: Request<Incoming>| {
        let request = request.map(|_| LambdaBody::Empty);
        Ok::<_, Infallible>(to_axum(unrouted(&request, Failure::TooManyConnections)))
    });
    let mut http = http(limit);
    let connection = http.keep_alive(false).serve_connection(TokioIo::new(stream), service);
    match timeout(limit, connection).await {
        Ok(ended) => log_end(ended),
        Err(_) => tracing::debug!("a refused connection sent no request"),
    }
}

/// The body of a request, which fails with [`BodyTimeout`] if it is not complete in time.
struct TimedBody {
    body: Incoming,
    late: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, late: Box::pin(sleep(limit)) }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.late.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyTimeout.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose writes time out when the peer reads nothing.
struct Bounded<S> {
    stream: S,
    limit: Duration,
    /// The deadline of the pending write.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Bounded<S> {
    fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, stalled: None }
    }

    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut)
    }
}
