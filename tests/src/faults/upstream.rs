//! The engine behind a proxy.

use std::fmt;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use engine::Engine;
use futures::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use store::dynamodb::in_process::{EngineAnswer, EngineResult, InProcess};

use super::statements::WithoutStatements;

/// The header that names the operation.
pub(super) const TARGET: &str = "x-amz-target";
/// The prefix of its value.
pub(super) const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// An engine that answers calls.
#[derive(Clone)]
pub enum Upstream {
    /// An engine in this process, called without a socket.
    InProcess(Arc<dyn InProcess>),
    /// The engine at a host and port.
    At(Authority, Box<Client<HttpConnector, Body>>),
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProcess(_) => f.write_str("InProcess"),
            Self::At(authority, _) => f.debug_tuple("At").field(authority).finish(),
        }
    }
}

impl Upstream {
    /// Returns an embedded engine.
    pub fn embedded(engine: &Engine) -> Self {
        Self::InProcess(Arc::new(Overlapping(engine.in_process())))
    }

    /// Returns the engine at a URL such as `http://127.0.0.1:8000`.
    ///
    /// # Errors
    ///
    /// When the URL names no host.
    pub fn at(url: &str) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {why}"));
        let uri: Uri = url.parse().map_err(|error| invalid(format!("{error}")))?;
        let authority = uri.authority().cloned().ok_or_else(|| invalid("names no host".into()))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self::At(authority, Box::new(Client::builder(TokioExecutor::new()).build(connector))))
    }

    /// Returns the engine at a URL that has no PartiQL: each statement becomes one conditional call.
    ///
    /// # Errors
    ///
    /// When the URL names no host.
    pub fn without_statements(url: &str) -> io::Result<Self> {
        match Self::at(url)? {
            Self::At(host, client) => Ok(Self::InProcess(Arc::new(WithoutStatements { host, client: *client }))),
            engine => Ok(engine),
        }
    }

    /// Sends a request to the engine. Returns none when the engine is unreachable.
    pub(super) async fn send(&self, parts: &Parts, body: Bytes) -> Option<Response<Bytes>> {
        match self {
            Self::InProcess(engine) => call(engine.as_ref(), parts, &body).await,
            Self::At(authority, client) => forward(authority, client, parts, body).await,
        }
    }
}

async fn call(engine: &dyn InProcess, parts: &Parts, body: &Bytes) -> Option<Response<Bytes>> {
    let operation = parts.headers.get(TARGET)?.to_str().ok()?.strip_prefix(TARGET_PREFIX)?;
    let EngineAnswer { status, body } = engine.call(operation.to_owned(), body.to_vec()).await.ok()?;
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    Some(response)
}

async fn forward(
    authority: &Authority,
    client: &Client<HttpConnector, Body>,
    parts: &Parts,
    body: Bytes,
) -> Option<Response<Bytes>> {
    let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority.clone()).path_and_query(path).build();
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri.ok()?;
    *request.headers_mut() = parts.headers.clone();
    // Hop-by-hop headers describe the incoming connection only.
    for name in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        request.headers_mut().remove(name);
    }
    let (mut parts, body) = client.request(request).await.ok()?.into_parts();
    for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    Some(Response::from_parts(parts, to_bytes(Body::new(body), usize::MAX).await.ok()?))
}

/// An engine whose calls overlap if one caller waits for them together. Without the yield, the engine could answer the
/// first call before the second starts, and [`Trips`](crate::Trips) would count two rounds.
#[derive(Debug)]
struct Overlapping(Arc<dyn InProcess>);

impl InProcess for Overlapping {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        let engine = self.0.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            engine.call(operation, body).await
        })
    }
}
