//! `crm-access`: serves the API on this machine, and administers tables.

mod args;
mod demo;
mod greeting;
mod import;
mod migrate;
mod reshard;
mod sample;
mod serve;
mod sign_in_link;
mod table;
mod terminal;
mod token;
mod user;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use models::limits::{DRAIN_MILLIS, MAX_LOG_LINE_BYTES, SHUTDOWN_MILLIS};
use models::values::printable::{beginning, printable};

use args::{Args, Command};

/// The timeout for blocking threads when the runtime shuts down.
const RUNTIME_END: Duration = Duration::from_millis((SHUTDOWN_MILLIS - DRAIN_MILLIS) / 4);

/// An error that ends a command, printed with its causes.
type CommandError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(local::STACK_BYTES).build();
    let result = runtime.map_err(CommandError::from).and_then(|runtime| {
        let result = runtime.block_on(run(args.command));
        // Do not wait for blocking threads, such as password hashing.
        runtime.shutdown_timeout(RUNTIME_END);
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("crm-access: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            // If standard error is closed, the error cannot be reported.
            writeln!(io::stderr(), "{}", printable(beginning(&text, MAX_LOG_LINE_BYTES))).unwrap_or(());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Reshard(args) => reshard::run(args).await,
        Command::Token(command) => token::run(command).await,
        Command::User(command) => user::run(command).await,
        Command::SignInLink(args) => sign_in_link::run(args).await,
        Command::Sample(args) => sample::run(&args),
    }
}
