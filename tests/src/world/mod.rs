//! The world of a test: a table, and the service on this table.

mod requests;

use std::sync::Arc;
use std::time::Duration;

use api::App;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::SharedInterceptor;
use axum::Router;
use jobs::{Deadline, Jobs, WorkError};
use local::dynamodb_port::{Callers, DynamoDbPort};
use local::engine::{Engine, Storage};
use models::import::parse_line;
use models::job::Job;
use models::request::JobsStart;
use models::rule::Rule;
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use store::dynamodb::client::{Endpoint, connect};
use store::import::{ImportError, Importer, Options, Summary};
use store::{Store, StoreError};
use uuid::Uuid;

use crate::faults::Proxy;
use crate::{TestClock, TestQueue, Trips};

/// Error of the test scaffolding.
pub type WorldError = Box<dyn std::error::Error + Send + Sync>;

/// The time for which a world caches a token by default.
const TOKEN_CACHE: Duration = Duration::from_secs(3600);

/// A table with the service on it.
#[derive(Debug)]
pub struct World {
    /// The table.
    pub store: Store,
    /// The service.
    pub app: App,
    /// Counts calls to DynamoDB.
    pub trips: Trips,
    /// The SDK client under the store.
    pub client: Client,
    /// The table's name.
    pub table: String,
    /// Messages sent and not yet received.
    pub queue: TestQueue,
    /// The service's clock.
    pub clock: TestClock,
    router: Router,
    /// The embedded engine, and the port that proxies connect to.
    engine: Option<(Engine, DynamoDbPort)>,
    lag: Option<Lag>,
}

/// A second engine that lags behind the first.
#[derive(Debug)]
struct Lag {
    proxy: Proxy,
    /// The proxy, which lives as long as the world.
    _engine: (Engine, DynamoDbPort),
}

impl World {
    /// Creates an empty world.
    pub async fn new() -> Result<Self, WorldError> {
        Self::with_token_cache(TOKEN_CACHE).await
    }

    /// Creates an empty world that caches tokens for `token_cache`.
    pub async fn with_token_cache(token_cache: Duration) -> Result<Self, WorldError> {
        #[expect(clippy::disallowed_methods, reason = "the environment names the engine of the tests")]
        let (named, lags) =
            (std::env::var("CRM_ACCESS_TEST_DYNAMODB").ok(), std::env::var("CRM_ACCESS_TEST_LAG").is_ok());
        Self::on(named, lags, token_cache).await
    }

    /// Creates an empty world with lagging reads, whatever the environment says.
    pub async fn lagging() -> Result<Self, WorldError> {
        Self::on(None, true, TOKEN_CACHE).await
    }

    async fn on(named: Option<String>, lags: bool, token_cache: Duration) -> Result<Self, WorldError> {
        let (endpoint, engine) = match named {
            Some(url) => (Endpoint::at(url), None),
            None => {
                let engine = Engine::open(&Storage::Memory)?;
                let port = DynamoDbPort::open(&engine, 0, Callers::Anyone).await?;
                (port.endpoint(), Some((engine, port)))
            }
        };
        let (endpoint, lag) = if lags {
            let late = Engine::open(&Storage::Memory)?;
            let port = DynamoDbPort::open(&late, 0, Callers::Anyone).await?;
            let proxy = Proxy::lagging(&endpoint.url, &port.endpoint().url).await?;
            (Endpoint::at(proxy.url()), Some(Lag { proxy, _engine: (late, port) }))
        } else {
            (endpoint, None)
        };
        let trips = Trips::default();
        let watching = Some(SharedInterceptor::new(trips.clone()));
        // Through the port, overlapping calls count as one round.
        let client = connect(Some(&endpoint), watching).await;
        let table = format!("test-{}", Uuid::now_v7());
        let store = Store::new(client.clone(), &table);
        store.ensure_table().await?;
        let clock = TestClock::default();
        let queue = TestQueue::default();
        let app = App::new(Jobs::new(store.clone(), clock.reader(), Arc::new(queue.clone())), token_cache);
        let router = local::router::router(&app);
        Ok(Self { store, app, trips, client, table, queue, clock, router, engine, lag })
    }

    /// Returns once every read sees all earlier writes.
    pub async fn catch_up(&self) -> Result<(), WorldError> {
        match &self.lag {
            Some(lag) => Ok(lag.proxy.catch_up().await?),
            None => Ok(()),
        }
    }

    /// Creates a world and loads these import lines.
    pub async fn with(lines: &str) -> Result<Self, WorldError> {
        let world = Self::new().await?;
        world.import(lines).await?;
        Ok(world)
    }

    /// Replaces the service on the table, for example by one that fails or publishes events.
    #[must_use]
    pub fn serving(mut self, app: App) -> Self {
        self.router = local::router::router(&app);
        self.store = app.store.clone();
        self.app = app;
        self
    }

    /// Returns the job engine.
    pub fn jobs(&self) -> &Jobs {
        &self.app.jobs
    }

    /// Returns the address of the embedded engine, or of its lagging proxy; none on another engine.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let lagging = self.lag.as_ref().map(|lag| Endpoint::at(lag.proxy.url()));
        lagging.or_else(|| self.engine.as_ref().map(|(_, port)| port.endpoint()))
    }

    /// Works through the queue, one message after another, including messages sent meanwhile. Returns the number of
    /// messages.
    pub async fn work(&self) -> Result<usize, WorkError> {
        let mut worked = 0;
        while let Some(message) = self.queue.take() {
            self.caught_up().await;
            self.jobs().work(&message, &Deadline::never()).await?;
            worked += 1;
        }
        self.caught_up().await;
        Ok(worked)
    }

    /// Returns the records of a portal's jobs, or of one user's, newest first.
    pub async fn jobs_of(&self, portal: &PortalId, user: Option<UserId>) -> Result<Vec<Job>, StoreError> {
        let mut reader = self.store.jobs(portal, user, JobsStart::Index(0)).await?;
        let mut jobs = Vec::new();
        loop {
            let listed = reader.next(usize::MAX).await?;
            if listed.is_empty() {
                return Ok(jobs);
            }
            jobs.extend(listed.into_iter().filter_map(|entry| entry.job));
        }
    }

    /// Returns the records of a portal's rules, by name.
    pub async fn rules_of(&self, portal: &PortalId) -> Result<Vec<Rule>, StoreError> {
        let (mut reader, mut rules) = (self.store.rules(portal), Vec::new());
        loop {
            let read = reader.next().await?;
            if read.is_empty() {
                return Ok(rules);
            }
            rules.extend(read);
        }
    }

    async fn caught_up(&self) {
        self.catch_up().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Returns whether the engine is the embedded one, which is fast.
    pub fn is_embedded(&self) -> bool {
        self.engine.is_some()
    }

    /// Sets the clock.
    pub fn set_clock(&self, now: Timestamp) {
        self.clock.set(now);
    }

    /// Loads import lines, as `crm-access import` does.
    pub async fn import(&self, lines: &str) -> Result<Summary, WorldError> {
        self.import_as(lines, false).await
    }

    /// Loads import lines, like `crm-access import` with `--overwrite-access` if `overwrite_access`.
    pub async fn import_as(&self, lines: &str, overwrite_access: bool) -> Result<Summary, WorldError> {
        let options = Options { overwrite_access, revision: Uuid::now_v7().into(), clock: self.jobs().clock.clone() };
        self.catch_up().await?;
        let mut importer = Importer::new(&self.store, options);
        for (number, line) in (1..).zip(lines.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let line = parse_line(line, &importer.time_zone())?;
            importer.at_line(number);
            importer.push(line).await.map_err(|error: ImportError| error.to_string())?;
        }
        let summary = importer.finish().await.map_err(|error| error.to_string())?;
        self.catch_up().await?;
        Ok(summary)
    }
}
