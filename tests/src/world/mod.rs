//! The world of a test: a table, and the service on this table.

mod copies;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use api::App;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::SharedInterceptor;
use axum::Router;
use engine::{Engine, Storage};
use jobs::{Deadline, Jobs, WorkError};
use models::import::parse_line;
use models::job::Job;
use models::request::JobsStart;
use models::rule::Rule;
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use store::dynamodb::client::{Endpoint, connect};
use store::dynamodb::in_process::connect_in_process;
use store::import::{ImportError, Importer, Options, Summary};
use store::{Store, StoreError};
use uuid::Uuid;

use crate::faults::{Proxy, Upstream};
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
    /// The engine under the client, or its lagging proxy.
    engine: Upstream,
    /// The embedded engine, if there is one.
    embedded: Option<Engine>,
    /// The proxy of a second engine, which lags behind the first.
    lag: Option<Proxy>,
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
        let (engine, embedded) = match named {
            // DynamoDB Local of 2020 has no PartiQL.
            Some(url) => (Upstream::without_statements(&url)?, None),
            None => {
                let embedded = Engine::open(&Storage::Memory)?;
                (Upstream::embedded(&embedded), Some(embedded))
            }
        };
        let (engine, lag) = if lags {
            let proxy = Proxy::lagging(engine, Upstream::embedded(&Engine::open(&Storage::Memory)?)).await?;
            (Upstream::at(&proxy.url())?, Some(proxy))
        } else {
            (engine, None)
        };
        let world = Self::of(format!("test-{}", Uuid::now_v7()), engine, embedded, lag, token_cache).await?;
        world.store.ensure_table().await?;
        Ok(world)
    }

    /// Creates a world on a table, which may not exist yet.
    async fn of(
        table: String,
        engine: Upstream,
        embedded: Option<Engine>,
        lag: Option<Proxy>,
        token_cache: Duration,
    ) -> Result<Self, WorldError> {
        let trips = Trips::default();
        let watching = Some(SharedInterceptor::new(trips.clone()));
        let client = match &engine {
            Upstream::InProcess(engine) => connect_in_process(engine.clone(), watching).await,
            Upstream::At(host, _) => connect(Some(&Endpoint::at(format!("http://{host}"))), watching).await,
        };
        let store = Store::new(client.clone(), &table);
        let clock = TestClock::default();
        let queue = TestQueue::default();
        let app = App::new(Jobs::new(store.clone(), clock.reader(), Arc::new(queue.clone())), token_cache);
        let router = local::router::router(&app);
        Ok(Self { store, app, trips, client, table, queue, clock, router, engine, embedded, lag })
    }

    /// Returns once every read sees all earlier writes.
    pub async fn catch_up(&self) -> Result<(), WorldError> {
        match &self.lag {
            Some(lag) => Ok(lag.catch_up().await?),
            None => Ok(()),
        }
    }

    /// Creates a world and loads these import lines.
    pub async fn with(lines: &str) -> Result<Self, WorldError> {
        if let Some(copy) = copies::find(lines) {
            let embedded = copy.open()?;
            let engine = Upstream::embedded(&embedded);
            return Self::of(copy.table.clone(), engine, Some(embedded), None, TOKEN_CACHE).await;
        }
        let world = Self::new().await?;
        world.import(lines).await?;
        if let (Some(engine), None) = (&world.embedded, &world.lag) {
            copies::offer(lines, engine, &world.table)?;
        }
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

    /// Starts a proxy of the world's engine.
    pub async fn proxy(&self) -> Result<Proxy, WorldError> {
        Ok(Proxy::start(self.engine.clone()).await?)
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
        self.embedded.is_some()
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
        let options = Options { overwrite_access, clock: self.jobs().clock.clone() };
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
