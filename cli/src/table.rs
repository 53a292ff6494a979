//! The table of a command, and its embedded engine.

use std::fs::{File, TryLockError};
use std::path::Path;

use aws_config::{BehaviorVersion, SdkConfig};
use engine::{Engine, Storage, open_lock_file};
use models::values::timestamp::Timestamp;
use store::Store;
use store::dynamodb::client::{Endpoint, connect, connect_from_shell};
use store::dynamodb::https::https_client;
use store::dynamodb::in_process::connect_in_process;
use store::schema::{MAX_PASSES, Migrated, MigrationEnd, SCHEMA_VERSION, Schema};

use crate::CommandError;
use crate::args::{ServeArgs, TableArgs};
use crate::terminal::say;

/// A table, and the embedded engine if it runs in this process.
pub(crate) struct Table {
    pub(crate) store: Store,
    pub(crate) engine: Option<Engine>,
    sole: Sole,
    /// The name that messages use for the table: its folder, `memory`, or the table's own name; a server adds the
    /// endpoint.
    name: String,
}

/// The guarantee that no other server uses the table.
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
    aws_config::defaults(BehaviorVersion::latest()).http_client(https_client()).load().await
}

/// Connects to a table at an endpoint, or to a table in AWS if no endpoint is given.
async fn named(endpoint: Option<&Endpoint>, table: &str) -> Store {
    let client = match endpoint {
        Some(endpoint) if endpoint.is_local => connect(Some(endpoint), None).await,
        other => connect_from_shell(shell().await, other),
    };
    Store::new(client, table)
}

/// Returns the message about an engine that cannot run jobs.
fn no_statements(url: &str) -> String {
    format!(
        "the engine at {url} lacks DynamoDB's operation BatchExecuteStatement, by which jobs write: use a newer version \
         of the engine, or leave out --dynamodb-endpoint to use the embedded engine"
    )
}

/// Returns the message about a folder without data of the embedded engine.
fn no_data(folder: &Path) -> String {
    format!(
        "the folder {} has no data: name the folder of the data with --data-dir, or load data with crm-access import",
        folder.display()
    )
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

/// The purpose for which a command opens a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To read or write a few items. An older table and a folder without data are refused.
    Use,
    /// To load data or to serve. The table of an embedded engine is migrated; any other older table is refused.
    Load,
    /// To migrate the table, whatever its engine.
    Migrate,
}

/// Quotes an argument for a shell, if necessary.
fn quoted(argument: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

impl Table {
    /// Returns the place of the data: a folder, `memory`, or the name of the table with its endpoint.
    pub(crate) fn place(&self) -> &str {
        &self.name
    }

    /// Returns whether this server is known to be the only server of the table: the table is in memory, or this process
    /// holds the lock of the folder.
    pub(crate) fn is_sole_server(&self) -> bool {
        !matches!(self.sole, Sole::Unknown)
    }

    /// Opens the table of a server, and creates it if missing. Migrates the embedded engine's table.
    pub(crate) async fn of_server(args: &ServeArgs) -> Result<Self, CommandError> {
        match &args.dynamodb_endpoint {
            Some(url) => {
                let store = named(Some(&Endpoint::at(url)), &args.table).await;
                store.ensure_table().await?;
                if !store.has_statements().await? {
                    return Err(no_statements(url).into());
                }
                let options = format!("--table {} --dynamodb-endpoint {}", quoted(&args.table), quoted(url));
                let name = format!("table {} at {url}", args.table);
                Self { store, engine: None, sole: Sole::Unknown, name }.prepared(Purpose::Load, &options).await
            }
            None => {
                let storage = if args.in_memory { Storage::Memory } else { Storage::Folder(args.data_dir.clone()) };
                let table = Self::embedded(&storage, &args.table).await?;
                let sole = sole_server(&storage)?;
                Self { sole, ..table }.prepared(Purpose::Load, "").await
            }
        }
    }

    /// Opens the table that a command names: a deployed table, a table at an endpoint, or the table in the embedded
    /// engine's file. Refuses a table of an older schema and a folder without data.
    pub(crate) async fn of_command(args: &TableArgs) -> Result<Self, CommandError> {
        Self::of_args(args, Purpose::Use).await
    }

    /// Opens the table like [`Self::of_command`]. No server may use the folder of an embedded engine meanwhile.
    pub(crate) async fn of_sole_command(args: &TableArgs) -> Result<Self, CommandError> {
        let table = Self::of_command(args).await?;
        if table.engine.is_none() {
            return Ok(table);
        }
        let sole = sole_server(&Storage::Folder(args.data_dir.clone()))?;
        let table = Self { sole, ..table };
        if table.is_sole_server() {
            return Ok(table);
        }
        Err(format!("another crm-access uses the folder {}; stop that program first", table.name).into())
    }

    /// Opens the table of a command that loads data, like [`Self::of_command`]. Migrates an older table in the embedded
    /// engine's file.
    pub(crate) async fn of_loader(args: &TableArgs) -> Result<Self, CommandError> {
        Self::of_args(args, Purpose::Load).await
    }

    /// Opens and migrates a table, and prints the result. A table with the current schema may hold items that a late
    /// writer of an earlier version left, so it is migrated too.
    pub(crate) async fn of_migration(args: &TableArgs) -> Result<Self, CommandError> {
        Self::of_args(args, Purpose::Migrate).await
    }

    async fn of_args(args: &TableArgs, purpose: Purpose) -> Result<Self, CommandError> {
        let name = args.table.as_deref().unwrap_or(api::config::DEFAULT_TABLE);
        if args.table.is_none() && args.dynamodb_endpoint.is_none() {
            let storage = Storage::Folder(args.data_dir.clone());
            if purpose == Purpose::Use && !storage.exists()? {
                return Err(no_data(&args.data_dir).into());
            }
            let table = Self::embedded(&storage, name).await?;
            let options = format!("--data-dir {}", quoted(&args.data_dir.display().to_string()));
            // A server of the older version would write old items during the migration.
            if purpose != Purpose::Use && matches!(table.store.schema().await?, Schema::Older(_)) {
                let sole = sole_server(&storage)?;
                let table = Self { sole, ..table }.prepared(purpose, &options).await?;
                return Ok(Self { sole: Sole::Unknown, ..table });
            }
            return table.prepared(purpose, &options).await;
        }
        let endpoint = args.dynamodb_endpoint.as_deref().map(Endpoint::at);
        let store = named(endpoint.as_ref(), name).await;
        if endpoint.is_some_and(|endpoint| endpoint.is_local) {
            store.ensure_table().await?;
        }
        let endpoint = args.dynamodb_endpoint.as_deref().map(|url| format!(" --dynamodb-endpoint {}", quoted(url)));
        let options = format!("--table {}{}", quoted(name), endpoint.unwrap_or_default());
        let table = Self { store, engine: None, sole: Sole::Unknown, name: format!("table {name}") };
        table.prepared(purpose, &options).await
    }

    /// Opens the table in an embedded engine, and creates it if missing.
    async fn embedded(storage: &Storage, table: &str) -> Result<Self, CommandError> {
        let engine = Engine::open(storage)?;
        let bulk = connect_in_process(engine.in_process_for_bulk(), None).await;
        let store = Store::new(connect_in_process(engine.in_process(), None).await, table).with_bulk_client(bulk);
        store.ensure_table().await?;
        let name = match storage {
            Storage::Memory => "memory".to_owned(),
            Storage::Folder(folder) => folder.display().to_string(),
        };
        Ok(Self { store, engine: Some(engine), sole: Sole::Unknown, name })
    }

    /// Compares the table's schema with the program's schema, and migrates the table if `purpose` demands it. Writes
    /// the version to an unused table, except for [`Purpose::Use`]. `options` are the options of `crm-access migrate`
    /// that name the table.
    async fn prepared(self, purpose: Purpose, options: &str) -> Result<Self, CommandError> {
        let name = &self.name;
        match (self.store.schema().await?, purpose) {
            (Schema::Current, Purpose::Use | Purpose::Load) | (Schema::Unused, Purpose::Use) => {}
            (Schema::Unused, Purpose::Load) => self.store.write_schema().await?,
            (Schema::Unused, Purpose::Migrate) => {
                self.store.write_schema().await?;
                say(format_args!("{name} holds no items; its schema is {SCHEMA_VERSION} now"))?;
            }
            (Schema::Newer(version), _) => {
                return Err(format!(
                    "{name} has schema {version}, and this crm-access knows schemas up to {SCHEMA_VERSION}; use a newer \
                     crm-access"
                )
                .into());
            }
            (Schema::Older(version), _)
                if purpose == Purpose::Use || (purpose == Purpose::Load && self.engine.is_none()) =>
            {
                return Err(format!(
                    "{name} has schema {version}, and this crm-access needs schema {SCHEMA_VERSION}; run `crm-access \
                     migrate {options}` first"
                )
                .into());
            }
            (Schema::Older(version), _) => {
                if self.engine.is_some() && !self.is_sole_server() {
                    return Err(format!(
                        "{name} has schema {version}, and another crm-access uses this folder; stop that program first"
                    )
                    .into());
                }
                let items = self.migrated().await?;
                say(format_args!("migrated {name} from schema {version} to {SCHEMA_VERSION}: {items} items"))?;
            }
            (Schema::Current, Purpose::Migrate) => match self.migrated().await? {
                0 => say(format_args!("{name} already has schema {SCHEMA_VERSION}; no item needed a change"))?,
                items => say(format_args!(
                    "{name} already has schema {SCHEMA_VERSION}; migrated {items} items of an earlier schema"
                ))?,
            },
        }
        Ok(self)
    }

    /// Migrates the table, and returns the number of changes of items. A migration that is not complete is an error
    /// that says what to do.
    async fn migrated(&self) -> Result<u64, CommandError> {
        let name = &self.name;
        let Migrated { items, end } = self.store.migrate(now()).await?;
        match end {
            MigrationEnd::Complete => Ok(items),
            MigrationEnd::Skipped(kinds) => {
                let number: u64 = kinds.values().sum();
                let kinds: Vec<String> =
                    kinds.into_iter().map(|(kind, number)| format!("{number} of {kind}")).collect();
                Err(format!(
                    "{name} holds {number} items that cannot be migrated: {}; remove or mend them, and run the same \
                     command again. It changed {items} other items, and wrote no schema version",
                    kinds.join(", ")
                )
                .into())
            }
            MigrationEnd::Overtaken => Err(format!(
                "{name} got items of an earlier schema during each of {MAX_PASSES} passes; stop the servers and \
                 functions of the earlier version, and run the same command again. It changed {items} items, \
                 and wrote no schema version"
            )
            .into()),
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
