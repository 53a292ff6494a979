//! `crm-access migrate`.

use crate::CommandError;
use crate::args::MigrateArgs;
use crate::table::Table;

pub(crate) async fn run(args: MigrateArgs) -> Result<(), CommandError> {
    Table::of_migration(&args.table).await?.close();
    Ok(())
}
