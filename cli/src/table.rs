//! The table of a command, and its embedded engine.

use std::fs::{File, TryLockError};

use aws_config::{BehaviorVersion, SdkConfig};
use local::engine::{Engine, Storage, open_lock_file};
use models::values::timestamp::Timestamp;
use store::Store;
use store::dynamodb::client::{Endpoint, connect, connect_from_shell};
use store::dynamodb::in_process::connect_in_process;
use store::schema::{Migrated, SCHEMA_VERSION, Schema};

use crate::CommandError;
use crate::args::{ServeArgs, TableArgs};
use crate::terminal::say;

/// A table, and the embedded engine if it runs in this process.
pub(crate) struct Table {
    pub(crate) store: Store,
    pub(crate) engine: Option<Engine>,
    sole: Sole,
    name: String,
    is_migrated: bool,
}

/// The reason why this server is known to be the only server of its table, if known.
enum Sole {
    /// Unknown: another server may use the table.
    Unknown,
    /// The only server: the table is in this process's memory.
    Memory,
    /// The only server: this process holds the folder's lock, which the operating system releases when the process ends
    /// for any reason.
    Locked { _lock: File },
}

/// Loads the AWS configuration of the shell: variables, profiles (roles, single sign-on, `credential_process`, `aws
/// login`), and the roles of containers and instances.
async fn shell() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// Connects to a table at an endpoint, or to a table in AWS if no endpoint is given.
async fn named(endpoint: Option<&Endpoint>, table: &str) -> Store {
    let client = match endpoint {
        Some(endpoint) if endpoint.is_local => connect(Some(endpoint), None).await,
        other => connect_from_shell(shell().await, other),
    };
    Store::new(client, table)
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

/// The treatment of a table with an older schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OlderSchema {
    /// Migrates the table.
    Migrate,
    /// Refuses the table.
    Refuse,
}

impl Table {
    /// Returns whether this server is known to be the only server of the table: the table is in memory, or this process
    /// holds the lock of the folder.
    pub(crate) fn is_sole_server(&self) -> bool {
        !matches!(self.sole, Sole::Unknown)
    }

    /// Returns whether this command migrated the table.
    pub(crate) fn is_migrated(&self) -> bool {
        self.is_migrated
    }

    /// Returns the name that messages use for the table: its folder, or the table's own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Opens the table of a server, and creates it if missing. Migrates the embedded engine's table.
    pub(crate) async fn of_server(args: &ServeArgs) -> Result<Self, CommandError> {
        match &args.dynamodb_endpoint {
            Some(url) => {
                let store = named(Some(&Endpoint::at(url)), &args.table).await;
                store.ensure_table().await?;
                if store.schema().await? == Schema::Unused {
                    store.write_schema().await?;
                }
                let options = format!("--table {} --dynamodb-endpoint {url}", args.table);
                let name = format!("table {}", args.table);
                let table = Self { store, engine: None, sole: Sole::Unknown, name, is_migrated: false };
                table.prepared(OlderSchema::Refuse, &options).await
            }
            None => {
                let storage = if args.in_memory { Storage::Memory } else { Storage::Folder(args.data_dir.clone()) };
                let table = Self::embedded(&storage, &args.table).await?;
                let sole = sole_server(&storage)?;
                Self { sole, ..table }.prepared(OlderSchema::Migrate, "").await
            }
        }
    }

    /// Opens the table that a command names: a deployed table, a table at an endpoint, or the table in the embedded
    /// engine's file. Refuses a table of an older schema.
    pub(crate) async fn of_command(args: &TableArgs) -> Result<Self, CommandError> {
        Self::of_args(args, OlderSchema::Refuse).await
    }

    /// Opens the table of a command that loads data, like [`Self::of_command`]. Migrates a table of an older schema.
    pub(crate) async fn of_loader(args: &TableArgs) -> Result<Self, CommandError> {
        Self::of_args(args, OlderSchema::Migrate).await
    }

    async fn of_args(args: &TableArgs, older: OlderSchema) -> Result<Self, CommandError> {
        let name = args.table.as_deref().unwrap_or(api::config::DEFAULT_TABLE);
        if args.table.is_none() && args.dynamodb_endpoint.is_none() {
            let storage = Storage::Folder(args.data_dir.clone());
            let table = Self::embedded(&storage, name).await?;
            let options = format!("--data-dir {}", args.data_dir.display());
            // A server of the older version would write old items during the migration.
            if older == OlderSchema::Migrate && matches!(table.store.schema().await?, Schema::Older(_)) {
                let sole = sole_server(&storage)?;
                let table = Self { sole, ..table }.prepared(older, &options).await?;
                return Ok(Self { sole: Sole::Unknown, ..table });
            }
            return table.prepared(older, &options).await;
        }
        let endpoint = args.dynamodb_endpoint.as_deref().map(Endpoint::at);
        let store = named(endpoint.as_ref(), name).await;
        if endpoint.is_some_and(|endpoint| endpoint.is_local) {
            store.ensure_table().await?;
        }
        let endpoint = args.dynamodb_endpoint.as_deref().map(|url| format!(" --dynamodb-endpoint {url}"));
        let options = format!("--table {name}{}", endpoint.unwrap_or_default());
        let table =
            Self { store, engine: None, sole: Sole::Unknown, name: format!("table {name}"), is_migrated: false };
        table.prepared(older, &options).await
    }

    /// Opens the table in an embedded engine, and creates it if missing.
    async fn embedded(storage: &Storage, table: &str) -> Result<Self, CommandError> {
        let engine = Engine::open(storage)?;
        let store = Store::new(connect_in_process(engine.in_process(), None).await, table);
        store.ensure_table().await?;
        let name = match storage {
            Storage::Memory => "memory".to_owned(),
            Storage::Folder(folder) => folder.display().to_string(),
        };
        Ok(Self { store, engine: Some(engine), sole: Sole::Unknown, name, is_migrated: false })
    }

    /// Compares the table's schema with the program's schema. Writes the version to an unused table. `options` are the
    /// options of `crm-access migrate` that name the table.
    async fn prepared(self, older: OlderSchema, options: &str) -> Result<Self, CommandError> {
        match (self.store.schema().await?, older) {
            (Schema::Current, _) | (Schema::Unused, OlderSchema::Refuse) => Ok(self),
            (Schema::Unused, OlderSchema::Migrate) => {
                self.store.write_schema().await?;
                Ok(self)
            }
            (Schema::Newer(version), _) => Err(format!(
                "{} has schema {version}, and this crm-access knows schemas up to {SCHEMA_VERSION}; use a newer \
                 crm-access",
                self.name
            )
            .into()),
            (Schema::Older(version), OlderSchema::Refuse) => Err(format!(
                "{} has schema {version}, and this crm-access needs schema {SCHEMA_VERSION}; run `crm-access migrate \
                 {options}` first",
                self.name
            )
            .into()),
            (Schema::Older(version), OlderSchema::Migrate) => {
                if self.engine.is_some() && !self.is_sole_server() {
                    return Err(format!(
                        "{} has schema {version}, and a server of an earlier version runs on it; stop that server first",
                        self.name
                    )
                    .into());
                }
                let Migrated { items } = self.store.migrate(now()).await?;
                say(format_args!("migrated {} from schema {version} to {SCHEMA_VERSION}: {items} items", self.name))?;
                Ok(Self { is_migrated: true, ..self })
            }
        }
    }

    /// Closes the embedded engine's file, if open. The engine reports no failure of closing.
    pub(crate) fn close(self) {
        drop(self);
    }
}

/// Returns the current time.
pub(crate) fn now() -> Timestamp {
    Timestamp::floor(jiff::Timestamp::now())
}
