//! `crm-access serve`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use api::App;
use jobs::{Abandoned, Jobs};
use local::dynamodb_port::{Callers, DynamoDbPort};
use local::fair_queue::queue;
use local::server::{Bounds, Server};
use local::workers::Workers;
use models::limits::DRAIN_MILLIS;
use store::tokens::new_token;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::CommandError;
use crate::args::ServeArgs;
use crate::import::{ExistingAccess, OpenFile, load_file, load_lines, open_all};
use crate::table::Table;
use crate::terminal::say;
use crate::{demo, greeting};

/// Without a cache, every call looks up its token, and a revoked token is refused at once.
const TOKEN_CACHE: Duration = Duration::ZERO;

pub(crate) async fn run(args: ServeArgs) -> Result<(), CommandError> {
    let mut signals = EndSignals::new()?;
    api::log::init(&args.log);
    // A signal may interrupt the start, even during an import: the next start repeats the import.
    let serving = tokio::select! {
        serving = Serving::start(&args) => serving?,
        () = signals.received() => return Ok(()),
    };
    signals.received().await;
    serving.end().await
}

/// The signals that end the program.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The running service.
struct Serving {
    table: Table,
    server: Server,
    workers: Workers,
    dynamodb: Option<DynamoDbPort>,
    /// Signals synchronous runs that the process ends.
    ending: watch::Sender<bool>,
}

impl Serving {
    async fn start(args: &ServeArgs) -> Result<Self, CommandError> {
        let listener = TcpListener::bind((args.bind, args.port)).await;
        let listener = listener.map_err(|error| {
            format!(
                "cannot listen on port {} of {} ({error}); choose another port with --port, or 0 for a free port",
                args.port, args.bind
            )
        })?;
        let address = listener.local_addr()?;
        // Open the files before the table, because the table creates a missing folder.
        let files = open_all(&args.imports)?;
        let table = Table::of_server(args).await?;
        fill(&table, args, files).await?;
        let dynamodb = open_dynamodb_port(&table, args).await?;

        let (queue, messages) = queue();
        let jobs = Jobs::new(table.store.clone(), api::app::clock(), Arc::new(queue));
        // If this server is the only server of the table, no other worker is alive, and the sweep can revoke all
        // leases.
        let abandoned = if table.is_sole_server() { Abandoned::All } else { Abandoned::Expired };
        let workers = Workers::start(&jobs, messages, abandoned).await?;
        let (ending, is_ending) = watch::channel(false);
        let origins = args.allowed_origins.iter().filter_map(|origin| origin.to_str().ok().map(ToOwned::to_owned));
        let app = App::new(jobs, TOKEN_CACHE).with_allowed_origins(origins).until(is_ending);
        let router = local::cors::allowing(local::router::router(&app), &args.allowed_origins);
        let router = local::hosts::answering(router, args.allowed_hosts.iter().cloned());
        let server = Server::start(listener, router, Bounds::default());
        greeting::print(&table, args, address).await?;
        Ok(Self { table, server, workers, dynamodb, ending })
    }

    /// Stops the calls and the workers concurrently, each within the same timeout.
    async fn end(self) -> Result<(), CommandError> {
        let grace = Duration::from_millis(DRAIN_MILLIS);
        self.ending.send_replace(true);
        let dynamodb = async {
            if let Some(port) = self.dynamodb {
                port.close(grace).await;
            }
        };
        tokio::join!(self.server.stop(grace), self.workers.stop(), dynamodb);
        self.table.close();
        Ok(())
    }
}

/// Loads the files and the demo that the command line names, and prints the results.
async fn fill(table: &Table, args: &ServeArgs, files: Vec<OpenFile>) -> Result<(), CommandError> {
    for file in files {
        let name = file.name.clone();
        let loaded = load_file(&table.store, file, ExistingAccess::Keep).await?;
        say(format_args!("{name}: {loaded}"))?;
    }
    if args.demo {
        let loaded = load_lines(&table.store, demo::lines()?).await?;
        say(format_args!("The Northwind demo portal: {loaded}."))?;
    }
    Ok(())
}

/// Opens the engine's port, protected by a secret, if the command line requests one, and prints the secret.
async fn open_dynamodb_port(table: &Table, args: &ServeArgs) -> Result<Option<DynamoDbPort>, CommandError> {
    let (Some(engine), Some(port)) = (&table.engine, args.dynamodb_port) else { return Ok(None) };
    let secret = new_token()?;
    let opened = DynamoDbPort::open(engine, port, Callers::Holders(secret.clone())).await?;
    say(format_args!("dynamodb on {} table {} access key {secret}", opened.endpoint().url, args.table))?;
    Ok(Some(opened))
}
