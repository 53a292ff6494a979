//! `crm-access serve`.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use api::App;
use jobs::{Abandoned, Jobs};
use local::fair_queue::queue;
use local::workers::Workers;
use models::id::{PortalId, UserId};
use models::password::Password;
use models::portal::Scope;
use models::sign_in::Email;
use store::Store;
use store::tokens::new_token;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::CommandError;
use crate::args::{ServeArgs, UserName};
use crate::demo;
use crate::import::{load_file, load_lines};
use crate::table::{Table, now};
use crate::{token, user};

/// On this machine a revoked token ends at once: every call looks its token up.
const TOKEN_CACHE: Duration = Duration::ZERO;
/// How long calls that are under way are waited for after a signal to end.
const DRAIN: Duration = Duration::from_secs(30);
/// Days that the demo's tokens are good for.
const DEMO_TOKEN_DAYS: i64 = 30;
/// Characters of the demo's passwords: 80 of a token's random bits.
const DEMO_PASSWORD_CHARS: usize = 20;

pub(crate) async fn run(args: ServeArgs) -> Result<(), CommandError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    api::log::init(&args.log);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await;
    let listener = listener.map_err(|error| {
        format!(
            "port {} of this machine cannot be had ({error}); name another with --port, or 0 for a free one",
            args.port
        )
    })?;
    let address = listener.local_addr()?;

    let table = Table::of_server(&args).await?;
    // A load that a signal breaks off is one that the next start repeats.
    tokio::select! {
        filled = fill(&table, &args, address.port()) => filled?,
        _ = terminate.recv() => return table.close().await,
        _ = interrupt.recv() => return table.close().await,
    }

    let (queue, messages) = queue();
    let jobs = Jobs::new(table.store.clone(), api::run::clock(), Arc::new(queue));
    // After a restart of the only server nobody else is alive who could be at work.
    let abandoned = if table.is_sole_server() { Abandoned::All } else { Abandoned::Expired };
    let workers = Workers::start(&jobs, messages, abandoned).await;
    let origins = args.allowed_origins.iter().filter_map(|origin| origin.to_str().ok().map(ToOwned::to_owned));
    let app = App::new(jobs, TOKEN_CACHE).with_allowed_origins(origins);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = local::cors::allowing(local::router::router(&app), &args.allowed_origins);
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async {
        stopped.await.unwrap_or(());
    });
    let mut server = tokio::spawn(server.into_future());
    writeln!(io::stdout(), "listening on http://{address}")?;
    io::stdout().flush()?;

    tokio::select! {
        ended = &mut server => ended??,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    if stop.send(()).is_ok()
        && let Ok(ended) = timeout(DRAIN, server).await
    {
        ended??;
    }
    workers.stop().await;
    drop(app);
    table.close().await
}

/// Loads what the command line names, and says where things are.
async fn fill(table: &Table, args: &ServeArgs, port: u16) -> Result<(), CommandError> {
    for file in &args.imports {
        let loaded = load_file(&table.store, file, false).await?;
        writeln!(io::stdout(), "{}: {loaded}", file.display())?;
    }
    if args.demo {
        show_demo(&table.store, port).await?;
    }
    if let (Some(engine), Some(_)) = (&table.engine, args.dynamodb_port) {
        writeln!(io::stdout(), "dynamodb on {} table {}", engine.endpoint().url, args.table)?;
    }
    Ok(())
}

/// Gives a user of the demo a new password: the user's address, and the password.
async fn demo_password(store: &Store, portal: &PortalId, user: UserId) -> Result<(Email, String), CommandError> {
    let password: String = new_token()?.chars().take(DEMO_PASSWORD_CHARS).collect();
    let hash = user::hash(&Password::check(&*password)?)?;
    let email = user::set_password(store, portal, &UserName::Id(user), &hash).await?;
    Ok((email, password))
}

/// Loads the demo and says how to try it.
async fn show_demo(store: &Store, port: u16) -> Result<(), CommandError> {
    let loaded = load_lines(store, demo::lines()?).await?;
    let portal = "northwind".parse()?;
    let expires = Some(now() + jiff::SignedDuration::from_hours(24 * DEMO_TOKEN_DAYS));
    let scopes = || vec![Scope::Read, Scope::Write];
    // A new password ends the tokens before it.
    let (administrator_name, administrator_password) = demo_password(store, &portal, demo::ADMINISTRATOR).await?;
    let (employee_name, employee_password) = demo_password(store, &portal, demo::EMPLOYEE).await?;
    let administrator = token::make(store, &portal, demo::ADMINISTRATOR, scopes(), expires).await?;
    let employee = token::make(store, &portal, demo::EMPLOYEE, scopes(), expires).await?;
    let (manager, base) = (demo::EMPLOYEE, format!("http://127.0.0.1:{port}/api/2.0/crm/contact"));
    let jobs = format!("http://127.0.0.1:{port}/api/2.0/crm/access/jobs");
    let curl = format!("curl -X PUT -H 'Authorization: {administrator}' -H 'Content-Type: application/json'");
    writeln!(
        io::stdout(),
        "The Northwind demo portal: {loaded}.

Administrator's token (Andrew Fuller, {DEMO_TOKEN_DAYS} days):  {administrator}
Ordinary token (Nancy Davolio, {DEMO_TOKEN_DAYS} days):         {employee}

Administrator's password ({administrator_name}):  {administrator_password}
Ordinary user's password ({employee_name}):  {employee_password}

Make one contact private to Nancy Davolio:
  {curl} {base}/1/access -d '{{\"isShared\": false, \"managerList\": [\"{manager}\"]}}'

See what making all German companies private would change, with nothing written:
  {curl} -i '{base}/filter/access?dryRun=true&count=3' -d '{{\"tags\": [\"Germany\"], \"contactListView\": 1, \"isPrivate\": true, \"managerList\": [\"{manager}\"]}}'

Do it:
  {curl} -i '{base}/filter/access?count=3' -d '{{\"tags\": [\"Germany\"], \"contactListView\": 1, \"isPrivate\": true, \"managerList\": [\"{manager}\"]}}'

See what was done, newest first:
  curl -H 'Authorization: {administrator}' '{jobs}?count=2'

Undo it: put a job's Id, or the X-Job-Id of an answer, in place of JOB:
  curl -X POST -H 'Authorization: {administrator}' {jobs}/JOB/undo
"
    )?;
    Ok(())
}
