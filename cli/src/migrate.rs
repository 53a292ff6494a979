//! `crm-access migrate`.

use store::schema::SCHEMA_VERSION;

use crate::CommandError;
use crate::args::MigrateArgs;
use crate::table::Table;
use crate::terminal::say;

pub(crate) async fn run(args: MigrateArgs) -> Result<(), CommandError> {
    let table = Table::of_loader(&args.table).await?;
    if !table.is_migrated() {
        say(format_args!("{} already has schema {SCHEMA_VERSION}; nothing was changed", table.name()))?;
    }
    table.close();
    Ok(())
}
