//! Endpoints: what a function offers, as a value that the Lambda runtime, the local server and the tests share.

use futures::future::BoxFuture;
use jiff::SignedDuration;
use lambda_http::http::{Response, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _};
use models::job::{Job, Kind};
use models::limits::{self, ANSWER_RESERVE_MILLIS, IDEMPOTENCY_HOURS, SYNCHRONOUS_RUN_MILLIS};
use models::portal::Scope;
use store::idempotency::Reservation;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::answer::{Answer, respond};
use crate::app::App;
use crate::call::{Call, Replay};
use crate::failure::Failure;
use crate::negotiation::{self, Wanted};

/// Milliseconds after which a call that was not answered never will be.
const ANSWERED_MILLIS: u64 = SYNCHRONOUS_RUN_MILLIS + ANSWER_RESERVE_MILLIS;

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

    /// Answers a call, once: one that is made again with its idempotency key is answered as it was the first time.
    async fn handle(&self, mut call: Call<'_>) -> Result<Answer, Failure> {
        // Reading twice does nothing twice.
        let key = if self.scope == Scope::Write { call.idempotency()? } else { None };
        let Some(key) = key else { return (self.handler)(call).await };
        let app = call.app;
        let (store, now, job) = (&app.store, call.now, call.new_job());
        let awaited = now + limits::duration(ANSWERED_MILLIS);
        let ends = now + SignedDuration::from_hours(IDEMPOTENCY_HOURS);
        let job = match store.reserve_key(&key.of, &key.fingerprint, job, now, awaited, ends).await? {
            Reservation::New(job) => job,
            Reservation::UnderWay => return Err(Failure::KeyInUse),
            Reservation::Other => return Err(Failure::KeyReused),
            Reservation::Made { status, job, shown } => {
                let portal = &call.grant.portal;
                let job = match job {
                    Some(job) => store.job(portal, job).await?,
                    None => None,
                };
                if let (StatusCode::ACCEPTED, Some(job)) = (StatusCode::from_u16(status).unwrap_or_default(), &job) {
                    return accepted_again(&call, job).await;
                }
                call.replay = Some(Replay { job, shown });
                return (self.handler)(call).await;
            }
            Reservation::BrokeOff(job) => {
                let portal = &call.grant.portal;
                match store.job(portal, job).await? {
                    // It began, and workers end what it began.
                    Some(found) if found.kind != Kind::Contact => {
                        store.answer_key(&key.of, job, StatusCode::ACCEPTED.as_u16(), true, &[]).await?;
                        return accepted_again(&call, &found).await;
                    }
                    Some(found) => {
                        store.answer_key(&key.of, job, StatusCode::OK.as_u16(), true, &[]).await?;
                        call.replay = Some(Replay { job: Some(found), shown: Vec::new() });
                        return (self.handler)(call).await;
                    }
                    None => job,
                }
            }
        };
        call.reserve(job);
        let result = (self.handler)(call).await;
        let kept = match &result {
            Ok(answer) => {
                let (status, made) = (answer.status().as_u16(), answer.job().is_some());
                store.answer_key(&key.of, job, status, made, answer.shown()).await
            }
            // What failed changed nothing and may be tried again; what broke off in the middle is found by its job.
            Err(failure) if !failure.changed_nothing() => Ok(()),
            Err(_) => store.release_key(&key.of).await,
        };
        if let Err(error) = kept {
            // The call itself is answered; the key ends by itself, and what was done is found by its job.
            tracing::error!(error = &error as &dyn std::error::Error, "idempotency key not kept");
        }
        result
    }

    async fn answer_as(&self, app: &App, request: Request, request_id: &str) -> Response<Body> {
        let started = tokio::time::Instant::now();
        let app = app.metered();
        let wanted = negotiation::wanted(request.headers()).unwrap_or(Wanted::JSON);
        let result = match Call::new(&app, request, self.scope).await {
            Ok(call) => self.handle(call).await,
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

/// The endpoint among `endpoints` that an event of the HTTP API is for.
pub(crate) fn routed<'a>(endpoints: &'a [Endpoint], request: &Request) -> Option<&'a Endpoint> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let key = context.route_key.as_deref()?;
    endpoints.iter().find(|endpoint| key.split_once(' ') == Some((endpoint.method, endpoint.path)))
}

/// A failure of a call that reached no endpoint.
pub fn unrouted(request: &Request, failure: Failure) -> Response<Body> {
    let wanted = negotiation::wanted(request.headers()).unwrap_or(Wanted::JSON);
    respond(Err(failure), wanted, &request_id(request))
}

/// The answer of a call whose job workers do, as the job is by now.
async fn accepted_again(call: &Call<'_>, job: &Job) -> Result<Answer, Failure> {
    let shards = call.app.jobs.summaries(&call.grant.portal, job).await?;
    let answer = Answer::accepted(call.wanted, &job.view(&shards, call.app.now()))?;
    Ok(answer.with_preference_applied(job.kind == Kind::Filter && call.prefers_async()))
}

/// The identifier that Lambda gave the request; elsewhere a new one.
fn request_id(request: &Request) -> String {
    match request.lambda_context_ref() {
        Some(context) if !context.request_id.is_empty() => context.request_id.clone(),
        _ => Uuid::now_v7().to_string(),
    }
}
