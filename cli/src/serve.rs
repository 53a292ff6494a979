//! `crm-access serve`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::App;
use jobs::{Abandoned, Jobs};
use local::dynamodb_port::{Callers, DynamoDbPort};
use local::fair_queue::queue;
use local::server::{Bounds, Server};
use local::workers::Workers;
use models::directory::Scope;
use models::limits::DRAIN_MILLIS;
use models::sign_in::Email;
use models::sign_in::password::Password;
use models::values::id::{PortalId, UserId};
use store::Store;
use store::tokens::new_token;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::CommandError;
use crate::args::{ServeArgs, UserName};
use crate::demo;
use crate::import::{ExistingAccess, load_file, load_lines};
use crate::table::{Table, now};
use crate::terminal::{say, say_lines};
use crate::{sign_in_link, token, user};

/// Without a cache, every call looks up its token, and a revoked token is refused at once.
const TOKEN_CACHE: Duration = Duration::ZERO;
/// The validity of the demo's tokens in days.
const DEMO_TOKEN_DAYS: i64 = 30;
/// The number of characters of the demo's passwords: 80 random bits.
const DEMO_PASSWORD_CHARS: usize = 20;

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
        let table = Table::of_server(args).await?;
        fill(&table, args, address).await?;
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
        say(format_args!("listening on http://{address}"))?;
        if args.demo {
            let portal = demo::PORTAL.parse()?;
            let administrator = user::find(&table.store, &portal, &UserName::Id(demo::ADMINISTRATOR)).await?;
            let link = sign_in_link::make(&table.store, &url(address), &portal, &administrator).await?;
            say(format_args!("console: {link}"))?;
        }
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
async fn fill(table: &Table, args: &ServeArgs, address: SocketAddr) -> Result<(), CommandError> {
    for file in &args.imports {
        let loaded = load_file(&table.store, file, ExistingAccess::Keep).await?;
        say(format_args!("{}: {loaded}", file.display()))?;
    }
    if args.demo {
        show_demo(&table.store, &url(address)).await?;
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

/// Returns the URL at which programs on this machine reach a server that listens on `address`.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// Sets a new password for a demo user, and returns the user's e-mail address and the password.
async fn demo_password(store: &Store, portal: &PortalId, user: UserId) -> Result<(Email, String), CommandError> {
    let password: String = new_token()?.chars().take(DEMO_PASSWORD_CHARS).collect();
    let hash = user::hash(&Password::check(&*password)?)?;
    let email = user::set_password(store, portal, &UserName::Id(user), &hash).await?;
    Ok((email, password))
}

/// Loads the demo, and prints tokens, passwords and example calls.
async fn show_demo(store: &Store, server: &str) -> Result<(), CommandError> {
    let loaded = load_lines(store, demo::lines()?).await?;
    let portal = demo::PORTAL.parse()?;
    let expires = Some(now() + jiff::SignedDuration::from_hours(24 * DEMO_TOKEN_DAYS));
    let scopes = || vec![Scope::Read, Scope::Write];
    // A new password revokes earlier tokens, so set the passwords first.
    let (administrator_name, administrator_password) = demo_password(store, &portal, demo::ADMINISTRATOR).await?;
    let (employee_name, employee_password) = demo_password(store, &portal, demo::EMPLOYEE).await?;
    let administrator = token::make(store, &portal, demo::ADMINISTRATOR, scopes(), expires).await?;
    let employee = token::make(store, &portal, demo::EMPLOYEE, scopes(), expires).await?;
    let (manager, base) = (demo::EMPLOYEE, format!("{server}/api/2.0/crm/contact"));
    let jobs = format!("{server}/api/2.0/crm/access/jobs");
    let curl = format!("curl -X PUT -H 'Authorization: {administrator}' -H 'Content-Type: application/json'");
    let text = format!(
        "The Northwind demo portal: {loaded}.

Administrator's token (Andrew Fuller, {DEMO_TOKEN_DAYS} days):  {administrator}
Ordinary token (Nancy Davolio, {DEMO_TOKEN_DAYS} days):         {employee}

Administrator's password ({administrator_name}):  {administrator_password}
Ordinary user's password ({employee_name}):  {employee_password}

Make one contact private to Nancy Davolio:
  {curl} {base}/1/access -d '{{\"isShared\": false, \"managerList\": [\"{manager}\"]}}'

Preview which German companies would become private, without any change:
  {curl} -i '{base}/filter/access?dryRun=true&count=3' -d '{{\"tags\": [\"Germany\"], \"contactListView\": 1, \"isPrivate\": true, \"managerList\": [\"{manager}\"]}}'

Make the German companies private:
  {curl} -i '{base}/filter/access?count=3' -d '{{\"tags\": [\"Germany\"], \"contactListView\": 1, \"isPrivate\": true, \"managerList\": [\"{manager}\"]}}'

List the latest jobs, newest first:
  curl -H 'Authorization: {administrator}' '{jobs}?count=2'

Undo a job: replace JOB by the job's id, or by the X-Job-Id of an answer:
  curl -X POST -H 'Authorization: {administrator}' {jobs}/JOB/undo
"
    );
    Ok(say_lines(&text)?)
}
