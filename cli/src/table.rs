//! The table that a command works on, with the engine under it.

use std::fs::{File, TryLockError};

use aws_config::{BehaviorVersion, SdkConfig};
use local::engine::{Engine, Storage, open_lock_file};
use models::values::moment::Moment;
use store::Store;
use store::dynamodb::client::{Endpoint, connect, connect_from_shell};
use store::dynamodb::in_process::connect_in_process;

use crate::CommandError;
use crate::args::{ServeArgs, TableArgs};

/// A table, and the embedded engine when it is this process's own.
pub(crate) struct Table {
    pub(crate) store: Store,
    pub(crate) engine: Option<Engine>,
    sole: Sole,
}

/// Whether a server knows that no other one works on its table.
enum Sole {
    /// It does not.
    Unknown,
    /// The table is in its memory.
    Memory,
    /// It has the lock of its folder, which is free again when it ends, however it ends.
    Locked { _lock: File },
}

/// The AWS environment of the shell: variables, profiles (roles, single sign-on, `credential_process`, `aws login`), and the
/// roles of containers and instances.
async fn shell() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// A table at an endpoint or, without one, AWS's own.
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

/// Whether no other server works on what is stored there.
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
    /// Whether no other server works on the table, as far as that can be known: it is in this process's memory, or in a
    /// folder that this process has the lock of.
    pub(crate) fn is_sole_server(&self) -> bool {
        !matches!(self.sole, Sole::Unknown)
    }

    /// The table of a server, made if it is not there.
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

    /// The table that a command names: a deployed one, one at an endpoint, or that of the embedded engine's file.
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

    /// Closes the embedded engine's file, if this process has it open.
    pub(crate) async fn close(self) -> Result<(), CommandError> {
        drop(self);
        Ok(())
    }
}

/// The time.
pub(crate) fn now() -> Moment {
    Moment::floor(jiff::Timestamp::now())
}
