//! The parts of `make bench-peers` that share code with the other benchmarks. `scripts/peers/run.py` starts this
//! program:
//!
//! - `engine` runs the embedded engine in memory and prints its URL;
//! - `lines CONTACTS SHARDS` prints the portal's import lines;
//! - `bare URL TABLE SHARDS MANAGERS` runs the bare SDK loop and prints its work as JSON. MANAGERS are user
//!   identifiers, separated by commas.

use std::io::{self, Write as _};
use std::time::Instant;

use benches::processes::{engine, runtime};
use benches::{bare, portal};
use models::values::id::UserId;
use serde_json::json;
use store::dynamodb::client::{Endpoint, connect};
use tests::WorldError;

fn main() -> Result<(), WorldError> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["engine"] => runtime()?.block_on(engine()),
        ["lines", contacts, shards] => {
            Ok(io::stdout().write_all(portal::lines(contacts.parse()?, shards.parse()?).as_bytes())?)
        }
        ["bare", url, table, shards, managers] => runtime()?.block_on(bare_loop(url, table, shards.parse()?, managers)),
        // `cargo bench` and `cargo test --benches` end here.
        _ => Ok(()),
    }
}

async fn bare_loop(url: &str, table: &str, shards: u16, managers: &str) -> Result<(), WorldError> {
    let managers = managers.split(',').map(str::parse).collect::<Result<Vec<UserId>, _>>()?;
    let client = connect(Some(&Endpoint::at(url)), None).await;
    let started = Instant::now();
    let work = bare::run(&client, table, &portal::PORTAL.parse()?, portal::TAG, shards, &managers).await?;
    let mut report = json!(work);
    report["seconds"] = json!(started.elapsed().as_secs_f64());
    Ok(writeln!(io::stdout(), "{report}")?)
}
