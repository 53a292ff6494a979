//! Endpoints: what a function offers, as a value that the Lambda runtime, the local server and the tests share.

use futures::future::BoxFuture;
use lambda_http::http::Response;
use lambda_http::{Body, Request, RequestExt as _};
use models::portal::Scope;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::answer::{Answer, respond};
use crate::app::App;
use crate::call::Call;
use crate::failure::Failure;
use crate::negotiation::{self, Wanted};

/// What answers a call.
pub type Handler = for<'a> fn(Call<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The function that offers it.
    pub function: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// What a token must allow.
    pub scope: Scope,
    /// What answers it.
    pub handler: Handler,
}

impl Endpoint {
    /// Answers a request, whatever it is.
    pub async fn answer(&self, app: &App, request: Request) -> Response<Body> {
        let request_id = request_id(&request);
        let span = tracing::info_span!("call", request_id, function = self.function);
        self.answer_as(app, request, &request_id).instrument(span).await
    }

    async fn answer_as(&self, app: &App, request: Request, request_id: &str) -> Response<Body> {
        let started = tokio::time::Instant::now();
        let app = app.metered();
        let wanted = negotiation::wanted(request.headers()).unwrap_or(Wanted::JSON);
        let result = match Call::new(&app, request, self.scope).await {
            Ok(call) => (self.handler)(call).await,
            Err(failure) => Err(failure),
        };
        let response = respond(result, wanted, request_id);
        let spent = app.store.meter().reading();
        tracing::info!(
            status = response.status().as_u16(),
            millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            dynamodb_calls = spent.calls,
            read_units = spent.read_units,
            write_units = spent.write_units,
            "answered"
        );
        response
    }
}

/// A failure of a call that reached no endpoint.
pub fn unrouted(request: &Request, failure: Failure) -> Response<Body> {
    let wanted = negotiation::wanted(request.headers()).unwrap_or(Wanted::JSON);
    respond(Err(failure), wanted, &request_id(request))
}

/// The identifier that Lambda gave the request; elsewhere a new one.
fn request_id(request: &Request) -> String {
    match request.lambda_context_ref() {
        Some(context) if !context.request_id.is_empty() => context.request_id.clone(),
        _ => Uuid::now_v7().to_string(),
    }
}
