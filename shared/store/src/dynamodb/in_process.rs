//! A client of a DynamoDB engine inside this process: the SDK's requests reach the engine without a socket.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedInterceptor};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::dynamodb::client::{Endpoint, connect_through};

/// The host in the requests' URLs. Nothing resolves it, because no request leaves the process.
const HOST: &str = "http://engine.invalid";

/// Prefix of the header that names the operation.
const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// A DynamoDB engine inside this process.
pub trait InProcess: fmt::Debug + Send + Sync + 'static {
    /// Answers the JSON request of an operation, for example `GetItem`.
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult>;
}

/// The engine's answer or its failure. An [`io::Error`] counts as the failure of a connection.
pub type EngineResult = Result<EngineAnswer, Box<dyn Error + Send + Sync>>;

/// A DynamoDB answer: HTTP status and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: String,
}

/// Returns a client of `engine`, with the attempts, timeouts and errors of a client over HTTP.
pub async fn connect_in_process(engine: Arc<dyn InProcess>, interceptor: Option<SharedInterceptor>) -> Client {
    connect_through(&Endpoint::at(HOST), interceptor, Connector(engine)).await
}

/// Replaces the HTTP client under the SDK.
#[derive(Clone, Debug)]
struct Connector(Arc<dyn InProcess>);

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").and_then(|target| target.strip_prefix(TARGET_PREFIX));
        let (Some(operation), Some(body)) = (target, request.body().bytes()) else {
            let error = "the request names no operation of DynamoDB, or streams its body";
            return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
        };
        let answer = self.0.call(operation.to_owned(), body.to_vec());
        HttpConnectorFuture::new(answer.map(|answer| {
            let EngineAnswer { status, body } = answer.map_err(failed)?;
            let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        }))
    }
}

fn failed(error: Box<dyn Error + Send + Sync>) -> ConnectorError {
    if error.is::<io::Error>() { ConnectorError::io(error) } else { ConnectorError::other(error, None) }
}
