//! `crm-access reshard`.

use std::time::Duration;

use models::limits::{RESHARD_LAG_MILLIS, RESHARD_SETTLE_MILLIS};
use models::values::id::PortalId;
use store::Store;
use store::reshard::{Begun, Reshard};
use tokio::time::sleep;

use crate::CommandError;
use crate::args::ReshardArgs;
use crate::table::Table;
use crate::terminal::say;

/// Time between two looks at the open jobs, and between two passes over an index that lags.
const LOOK: Duration = Duration::from_secs(10);

/// The times that a command waits for other programs and for the indexes.
#[derive(Clone, Copy, Debug)]
struct Waits {
    settle: Duration,
    lag: Duration,
}

impl Waits {
    /// No server runs on the folder of an embedded engine meanwhile, and its indexes do not lag.
    const EMBEDDED: Self = Self { settle: Duration::ZERO, lag: Duration::ZERO };
    const DEPLOYED: Self =
        Self { settle: Duration::from_millis(RESHARD_SETTLE_MILLIS), lag: Duration::from_millis(RESHARD_LAG_MILLIS) };
}

pub(crate) async fn run(args: ReshardArgs) -> Result<(), CommandError> {
    let ReshardArgs { portal, shards, table } = &args;
    let table = Table::of_sole_command(table).await?;
    let is_embedded = table.engine.is_some();
    if is_embedded && let Some(job) = table.store.open_filter_jobs(portal).await?.first() {
        // No worker runs while this command holds the folder, so the job would never end.
        return Err(format!(
            "job {job} of portal {portal} has not ended; start the server until the job has ended, or cancel the job"
        )
        .into());
    }
    let reshard = match table.store.begin_reshard(portal, *shards).await? {
        Begun::UnknownPortal => return Err(format!("there is no portal {portal}").into()),
        Begun::Importing => {
            return Err(format!(
                "an import of portal {portal} is running or was interrupted; wait for its end, or run the import again. \
                 Any import of the portal removes the mark of an interrupted import"
            )
            .into());
        }
        Begun::Unchanged => {
            say(format_args!("portal {portal} has {shards} shards already"))?;
            table.close();
            return Ok(());
        }
        Begun::Started(reshard) => reshard,
    };
    let waits = if is_embedded { Waits::EMBEDDED } else { Waits::DEPLOYED };
    // The mark stays after a failure, and lists stay correct. So only imports and runs by filter wait for the
    // repetition.
    let moved = work(&table.store, &reshard, waits).await.map_err(|error| {
        format!(
            "{error}. The portal accepts no import and no run by filter until the same command, run again, has finished \
             the work"
        )
    })?;
    say(format_args!("portal {portal} has {shards} shards; moved {moved} index entries"))?;
    table.close();
    Ok(())
}

/// Moves the entries and finishes. Returns the number of moves.
async fn work(store: &Store, reshard: &Reshard, waits: Waits) -> Result<u64, CommandError> {
    if !waits.settle.is_zero() {
        say(format_args!("waiting {} s until running calls and imports have ended", waits.settle.as_secs()))?;
        sleep(waits.settle).await;
    }
    wait_for_jobs(store, &reshard.portal).await?;
    let mut moved = 0;
    loop {
        moved += move_all(store, reshard).await?;
        sleep(waits.lag).await;
        let pass = store.reshard_pass(reshard).await?;
        if pass.found_nothing() {
            break;
        }
        moved += pass.moved;
    }
    store.finish_reshard(reshard).await?;
    Ok(moved)
}

async fn wait_for_jobs(store: &Store, portal: &PortalId) -> Result<(), CommandError> {
    let mut said = None;
    while let Some(job) = store.open_filter_jobs(portal).await?.into_iter().next() {
        if said != Some(job) {
            say(format_args!("waiting for the end of job {job}"))?;
            said = Some(job);
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Repeats passes until a pass finds nothing. Returns the number of moves.
async fn move_all(store: &Store, reshard: &Reshard) -> Result<u64, CommandError> {
    let mut moved = 0;
    loop {
        let pass = store.reshard_pass(reshard).await?;
        if pass.found_nothing() {
            return Ok(moved);
        }
        moved += pass.moved;
        say(format_args!("moved {moved} index entries"))?;
        if pass.moved == 0 {
            sleep(LOOK).await;
        }
    }
}
