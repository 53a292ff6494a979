//! A loopback port of the embedded engine, for other programs.
//!
//! The engine checks no signature. Anyone who can call the engine can read password hashes and write tokens. So a
//! caller must present a secret, and web pages are always refused.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use engine::{Engine, EngineError};
use serde_json::json;
use store::dynamodb::client::Endpoint;
use store::dynamodb::in_process::EngineAnswer;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use crate::server::{Bounds, Server};

/// The maximum bytes of a request, as in DynamoDB.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// The content type of a DynamoDB answer.
const AMZ_JSON: &str = "application/x-amz-json-1.0";
/// The algorithm in an `Authorization` header with an AWS signature.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The callers that may use the engine.
#[derive(Clone)]
pub enum Callers {
    /// Callers whose access key is this secret.
    Holders(String),
    /// Anyone on this machine. Only for tests, whose data is fictitious.
    Anyone,
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holders(_) => "Holders",
            Self::Anyone => "Anyone",
        })
    }
}

/// An open port. Dropping the value closes the port.
#[derive(Debug)]
pub struct DynamoDbPort {
    address: SocketAddr,
    callers: Callers,
    server: Server,
}

impl DynamoDbPort {
    /// Opens a loopback port; 0 selects a free port.
    ///
    /// # Errors
    ///
    /// [`EngineError::Port`] if the port cannot be opened.
    pub async fn open(engine: &Engine, port: u16, callers: Callers) -> Result<Self, EngineError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|error| EngineError::Port(port, error))?;
        let address = listener.local_addr().map_err(|error| EngineError::Port(port, error))?;
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(PortState { engine: engine.clone(), callers: callers.clone() });
        Ok(Self { address, callers, server: Server::start(listener, router, Bounds::default()) })
    }

    /// Returns the endpoint for the SDK, with the access key.
    pub fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::at(format!("http://{}", self.address));
        match &self.callers {
            Callers::Holders(secret) => endpoint.with_access_key(secret),
            Callers::Anyone => endpoint,
        }
    }

    /// Closes the port when the calls in progress have ended, or after `grace`.
    pub async fn close(self, grace: std::time::Duration) {
        self.server.stop(grace).await;
    }
}

#[derive(Clone)]
struct PortState {
    engine: Engine,
    callers: Callers,
}

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Origin,
    Missing,
    Unrecognized,
    NotFound,
    Failed,
}

impl Refusal {
    /// Returns the answer, in DynamoDB's own error format.
    fn answer(self) -> Response {
        let (status, code, message) = match self {
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "com.amazon.coral.service#AccessDeniedException",
                "Web pages may not call the engine: send no Origin header.",
            ),
            Self::Missing => (
                StatusCode::BAD_REQUEST,
                "com.amazon.coral.service#MissingAuthenticationTokenException",
                "Sign the request, with the access key that crm-access serve printed.",
            ),
            Self::Unrecognized => (
                StatusCode::BAD_REQUEST,
                "com.amazon.coral.service#UnrecognizedClientException",
                "The security token included in the request is invalid: use the access key that crm-access serve printed.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "com.amazon.coral.service#UnknownOperationException",
                "Send a POST to / that names a DynamoDB operation in X-Amz-Target.",
            ),
            Self::Failed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                "The engine failed.",
            ),
        };
        respond(status, json!({"__type": code, "message": message}).to_string())
    }
}

async fn answer(State(port): State<PortState>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let operation = match port.admit(&method, &uri, &headers) {
        Ok(operation) => operation,
        Err(refusal) => return refusal.answer(),
    };
    match port.engine.answer(operation, body.to_vec()).await {
        Ok(EngineAnswer { status, body }) => {
            respond(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
        }
        Err(error) => {
            tracing::error!(error = &*error as &dyn std::error::Error, "the engine gave no answer");
            Refusal::Failed.answer()
        }
    }
}

fn respond(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, AMZ_JSON)], body).into_response()
}

impl PortState {
    /// Returns the operation that a request names, if its caller is allowed.
    fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<String, Refusal> {
        // Browsers send `Origin` with every POST and with every cross-origin request that CORS covers.
        if headers.contains_key(ORIGIN) {
            return Err(Refusal::Origin);
        }
        if let Callers::Holders(secret) = &self.callers {
            let mut sent = headers.get_all(AUTHORIZATION).iter();
            let (Some(authorization), None) = (sent.next(), sent.next()) else { return Err(Refusal::Missing) };
            let access_key = authorization.to_str().ok().and_then(access_key).ok_or(Refusal::Missing)?;
            if !bool::from(access_key.as_bytes().ct_eq(secret.as_bytes())) {
                return Err(Refusal::Unrecognized);
            }
        }
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.strip_prefix("DynamoDB_20120810."));
        let operation = operation.filter(|_| *method == Method::POST && uri.path() == "/").ok_or(Refusal::NotFound)?;
        Ok(operation.to_owned())
    }
}

/// Returns the access key in an `Authorization` header such as
/// `AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/dynamodb/…`.
fn access_key(authorization: &str) -> Option<&str> {
    let parameters = authorization.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
    let mut parameters = parameters.split(',').map(str::trim);
    let credential = parameters.find_map(|parameter| parameter.strip_prefix("Credential="))?;
    credential.split_once('/').map(|(access_key, _)| access_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_is_read_only_from_signed_requests() {
        for (authorization, expected) in [
            ("AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/dynamodb/aws4_request, Signature=0", Some("KEY")),
            ("AWS4-HMAC-SHA256 SignedHeaders=host,Credential=KEY/20260101", Some("KEY")),
            ("AWS4-HMAC-SHA256 Credential=/20260101", Some("")),
            ("AWS4-HMAC-SHA256 Credential=KEY", None),
            ("AWS4-HMAC-SHA256", None),
            ("Bearer KEY", None),
            ("Credential=KEY/20260101", None),
            ("", None),
        ] {
            assert_eq!(access_key(authorization), expected, "{authorization}");
        }
    }
}
