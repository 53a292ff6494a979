//! Start-up of a Lambda function, and the answers to its events.

mod gateway;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jobs::{Events, Jobs, Message, Queue, QueueError};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::{Context, Error, LambdaEvent, service_fn};
use models::limits::WORKER_RESERVE_MILLIS;
use serde_json::value::RawValue;
use store::Store;
use store::dynamodb::client::connect;
use tokio::time::Instant;

use crate::app::{App, clock};
use crate::aws::event_bridge::EventBridge;
use crate::aws::sqs::SqsQueue;
use crate::config::Config;
use crate::endpoint::{Endpoint, routed, routed_by_default, unrouted};
use crate::lambda::gateway::Unreadable;
use crate::log;
use crate::site::{self, Site};

/// Runs a Lambda function that serves `endpoints` without a queue.
///
/// # Errors
///
/// When the environment is invalid, or the Lambda runtime ends.
pub fn run(endpoints: &'static [Endpoint]) -> Result<(), Error> {
    start(|config| async move { serve(endpoints, &app(jobs(&config).await, config)).await })
}

/// Runs a Lambda function that serves `endpoints` and sends work to the queue of the bulk workers.
///
/// # Errors
///
/// When the environment is invalid, or the Lambda runtime ends.
pub fn run_with_queue(endpoints: &'static [Endpoint]) -> Result<(), Error> {
    start(|config| async move { serve(endpoints, &app(with_queue(&config).await, config)).await })
}

/// Runs a Lambda function that serves a site. The function reads no table.
///
/// # Errors
///
/// When the environment is invalid, or the Lambda runtime ends.
pub fn run_site(site: &'static Site) -> Result<(), Error> {
    start(|_| async move {
        lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
            Ok::<_, std::convert::Infallible>(answer_site_event(site, &event.payload, event.context))
        }))
        .await
    })
}

fn app(jobs: Jobs, config: Config) -> App {
    App::new(jobs, config.token_cache).with_allowed_origins(config.allowed_origins)
}

/// Reads the environment, then runs `serve` on a runtime of one thread. Lambda sends a function one event at a time,
/// and this runtime starts fastest.
fn start<S: Future<Output = Result<(), Error>>>(serve: impl FnOnce(Config) -> S) -> Result<(), Error> {
    let config = Config::from_env()?;
    log::init(&config.log);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(config))
}

// The clients of `app` exist before the first poll, so that loading the TLS roots delays no caller.
async fn serve(endpoints: &'static [Endpoint], app: &App) -> Result<(), Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        Ok::<_, std::convert::Infallible>(answer_event(endpoints, app, &event.payload, event.context).await)
    }))
    .await
}

/// Answers any event of the HTTP API, valid or not.
pub async fn answer_event(
    endpoints: &[Endpoint],
    app: &App,
    event: &RawValue,
    context: Context,
) -> ApiGatewayV2httpResponse {
    gateway::answer(match gateway::request(event, context) {
        Err(Unreadable { request, fault }) => unrouted(&request, fault.into()),
        Ok(mut request) => {
            let endpoint = match endpoints {
                [one] => Ok(one),
                several => match routed(several, &request) {
                    Some(endpoint) => Ok(endpoint),
                    None => routed_by_default(several, &mut request),
                },
            };
            match endpoint {
                Ok(endpoint) => endpoint.answer(app, request).await,
                Err(failure) => match site::page_behind(&request) {
                    Some(page) => site::moved_to(page),
                    None => unrouted(&request, failure),
                },
            }
        }
    })
}

/// Answers any event of the HTTP API's routes to a site, valid or not.
pub fn answer_site_event(site: &Site, event: &RawValue, context: Context) -> ApiGatewayV2httpResponse {
    gateway::answer(match gateway::request(event, context) {
        Err(Unreadable { request, fault }) => unrouted(&request, fault.into()),
        Ok(request) => site.answer(&request),
    })
}

/// Creates the job engine of a function without a queue. A sweep resumes the jobs that the function leaves open.
async fn jobs(config: &Config) -> Jobs {
    let client = connect(config.endpoint.as_ref(), None).await;
    let store = Store::new(client, &config.table);
    let events = if config.event_bus.is_some() { Events::Elsewhere } else { Events::Off };
    Jobs {
        events,
        retention: jobs::context::retention(config.chunk_days),
        ..Jobs::new(store, clock(), Arc::new(NoQueue))
    }
}

/// Creates the job engine, with the queue of the bulk workers.
async fn with_queue(config: &Config) -> Jobs {
    let jobs = jobs(config).await;
    match &config.queue_url {
        Some(url) => {
            let queue = SqsQueue::connect(url.clone(), config.sqs_endpoint.as_deref()).await;
            Jobs { queue: Arc::new(queue), ..jobs }
        }
        None => jobs,
    }
}

/// Creates the job engine, with the queue and the event bus.
async fn with_bus(config: &Config) -> Jobs {
    let jobs = with_queue(config).await;
    match &config.event_bus {
        Some(name) => {
            let bus = EventBridge::connect(name.clone(), config.events_endpoint.as_deref()).await;
            Jobs { events: Events::Here(Arc::new(bus)), ..jobs }
        }
        None => jobs,
    }
}

/// Runs a Lambda function whose events are not HTTP requests. The event and the result are JSON values.
///
/// # Errors
///
/// When the environment is invalid, or the Lambda runtime ends.
pub fn run_events<E, R, H>(handler: H) -> Result<(), Error>
where
    E: for<'de> serde::Deserialize<'de>,
    R: serde::Serialize,
    H: for<'a> Fn(&'a Jobs, E, Instant) -> BoxFuture<'a, Result<R, Error>> + Copy,
{
    start(|config| async move {
        let jobs = &with_bus(&config).await;
        lambda_runtime::run(service_fn(|event: lambda_runtime::LambdaEvent<E>| async move {
            handler(&jobs.metered(), event.payload, stop_at(&event.context)).await
        }))
        .await
    })
}

/// Returns the time after which a function starts no new work, so that its current work ends before Lambda's timeout.
fn stop_at(context: &lambda_runtime::Context) -> Instant {
    let remaining = context.deadline().duration_since(std::time::SystemTime::now()).unwrap_or(Duration::ZERO);
    Instant::now() + remaining.saturating_sub(Duration::from_millis(WORKER_RESERVE_MILLIS))
}

/// A queue that accepts no message, for functions without a queue. A sweep resumes the open jobs of these functions.
#[derive(Debug)]
struct NoQueue;

/// The error of a missing queue.
#[derive(Debug, thiserror::Error)]
#[error("CRM_ACCESS_QUEUE_URL names no queue")]
struct Unnamed;

impl Queue for NoQueue {
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        let error = QueueError { messages: messages.len(), source: Box::new(Unnamed) };
        Box::pin(std::future::ready(Err(error)))
    }
}
