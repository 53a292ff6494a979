//! The table of a command, and its embedded engine.

use std::fs::{File, TryLockError};

use aws_config::{BehaviorVersion, SdkConfig};
use local::engine::{Engine, Storage, open_lock_file};
use models::values::timestamp::Timestamp;
use store::Store;
use store::dynamodb::client::{Endpoint, connect, connect_from_shell};
use store::dynamodb::in_process::connect_in_process;

use crate::CommandError;
use crate::args::{ServeArgs, TableArgs};

/// A table, and the embedded engine if it runs in this process.
pub(crate) struct Table {
    pub(crate) store: Store,
    pub(crate) engine: Option<Engine>,
    sole: Sole,
}

/// Whether this server is known to be the table's only one.
enum Sole {
    /// Unknown: another server may use the table.
    Unknown,
    /// The only server: the table is in this process's memory.
    Memory,
    /// The only server: this process holds the folder's lock, which the operating system releases however the process
    /// ends.
    Locked { _lock: File },
}

/// Loads the AWS configuration of the shell: variables, profiles (roles, single sign-on, `credential_process`, `aws
/// login`), and the roles of containers and instances.
async fn shell() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// Connects to a table at an endpoint, or without one to AWS.
async fn named(endpoint: Option<&Endpoint>, table: &str) -> Store {
    let client = match endpoint {
        Some(endpoint) if endpoint.is_local => connect(Some(endpoint), None).await,
        other => connect_from_shell(shell().await, other),
    };
    Store::new(client, table)
}

async fn embedded(storage: &Storage, table: &str) -> Result<Table, CommandError> {
    let engine = Engine::open(storage)?;
    let store = Store::new(connect_in_process(engine.in_process(), None).await, table);
    Ok(Table { store, engine: Some(engine), sole: Sole::Unknown })
}

/// Tries to become the only server of a storage.
fn sole_server(storage: &Storage) -> Result<Sole, CommandError> {
    let Storage::Folder(folder) = storage else { return Ok(Sole::Memory) };
    let lock = open_lock_file(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(Sole::Locked { _lock: lock }),
        Err(TryLockError::WouldBlock) => Ok(Sole::Unknown),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl Table {
    /// Returns whether this server is known to be the table's only one: the table is in memory, or this process holds
    /// its folder's lock.
    pub(crate) fn is_sole_server(&self) -> bool {
        !matches!(self.sole, Sole::Unknown)
    }

    /// Opens the table of a server, and creates it if missing.
    pub(crate) async fn of_server(args: &ServeArgs) -> Result<Self, CommandError> {
        let table = match &args.dynamodb_endpoint {
            Some(url) => {
                Self { store: named(Some(&Endpoint::at(url)), &args.table).await, engine: None, sole: Sole::Unknown }
            }
            None => {
                let storage = if args.in_memory { Storage::Memory } else { Storage::Folder(args.data_dir.clone()) };
                let table = embedded(&storage, &args.table).await?;
                Self { sole: sole_server(&storage)?, ..table }
            }
        };
        table.store.ensure_table().await?;
        Ok(table)
    }

    /// Opens the table that a command names: a deployed table, a table at an endpoint, or the table in the embedded
    /// engine's file.
    pub(crate) async fn of_command(args: &TableArgs) -> Result<Self, CommandError> {
        let name = args.table.as_deref().unwrap_or(api::config::DEFAULT_TABLE);
        if args.table.is_none() && args.dynamodb_endpoint.is_none() {
            let table = embedded(&Storage::Folder(args.data_dir.clone()), name).await?;
            table.store.ensure_table().await?;
            return Ok(table);
        }
        let endpoint = args.dynamodb_endpoint.as_deref().map(Endpoint::at);
        let store = named(endpoint.as_ref(), name).await;
        if endpoint.is_some_and(|endpoint| endpoint.is_local) {
            store.ensure_table().await?;
        }
        Ok(Self { store, engine: None, sole: Sole::Unknown })
    }

    /// Closes the embedded engine's file, if open.
    pub(crate) async fn close(self) -> Result<(), CommandError> {
        drop(self);
        Ok(())
    }
}

/// Returns the current time.
pub(crate) fn now() -> Timestamp {
    Timestamp::floor(jiff::Timestamp::now())
}
