//! The embedded DynamoDB engine: in this process, without a port.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use dynoxide::{Database, DynoxideError};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::dynamodb::in_process::{EngineAnswer, EngineResult, InProcess};
use tokio::sync::Semaphore;

/// Where the engine keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, gone with the process.
    Memory,
    /// In a file of this folder, kept between runs.
    Folder(PathBuf),
}

/// Why the engine does not run, or cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folder or a file in it cannot be made, or closed to other users.
    #[error("{} cannot be made, or closed to other users of this machine", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// The data cannot be opened.
    #[error("the data in {} cannot be opened: {}", .0, .1)]
    Open(String, String),
    /// The port is not free.
    #[error("port {0} of this machine is not free; name another, or 0 for a free one")]
    Port(u16, #[source] io::Error),
}

/// The engine's own file.
const FILE: &str = "crm-access.db";
/// Suffixes of the files that SQLite makes beside the engine's file.
const SQLITE_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The file that the only server of a folder locks.
const LOCK_FILE: &str = "server.lock";

/// Only this user reads, writes and enters.
const FOLDER_MODE: u32 = 0o700;
/// Only this user reads and writes.
const FILE_MODE: u32 = 0o600;

/// A DynamoDB engine. Clones are the same engine, which closes its file with the last of them.
#[derive(Clone)]
pub struct Engine {
    database: Database,
    /// Calls that run at the same time: SQLite blocks its thread, and more threads than processors would only wait.
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the engine's data.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the folder, its files or the data in them cannot be used.
    pub fn open(storage: &Storage) -> Result<Self, EngineError> {
        let database = match storage {
            Storage::Memory => Database::memory().map_err(|error| ("memory".to_owned(), error)),
            Storage::Folder(folder) => {
                let file = private_file(folder)?;
                let path = file.display().to_string();
                // The engine calls SQLite's `synchronous = NORMAL` the end of bulk loading. It starts with FULL, which
                // waits for the disk after every single item. With a write-ahead log, NORMAL loses nothing when the
                // process dies and never damages the file; a power cut can lose the last moments.
                let opened =
                    Database::new(&path).and_then(|database| database.disable_bulk_loading().map(|()| database));
                opened.map_err(|error| (path, error))
            }
        };
        let database = database.map_err(|(path, error)| EngineError::Open(path, error.to_string()))?;
        let at_once = available_parallelism().map_or(1, usize::from);
        Ok(Self { database, turns: Arc::new(Semaphore::new(at_once)) })
    }

    /// The engine, as a client in this process reaches it.
    pub fn in_process(&self) -> Arc<dyn InProcess> {
        Arc::new(self.clone())
    }

    /// Answers the JSON request of an operation on a thread that may block. Calls take turns in the order of arrival.
    pub(crate) async fn answer(self, operation: String, body: Vec<u8>) -> EngineResult {
        let turn = self.turns.acquire_owned().await?;
        let database = self.database;
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            run(&database, &operation, &body)
        });
        Ok(match answer.await? {
            Ok(body) => EngineAnswer { status: 200, body },
            Err(error) => EngineAnswer { status: error.status_code(), body: error.to_json() },
        })
    }
}

impl InProcess for Engine {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        self.clone().answer(operation, body).boxed()
    }
}

/// Passes each operation's request to the engine's function for it.
macro_rules! operations {
    ($($operation:literal => $function:ident,)*) => {
        fn run(database: &Database, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
            match operation {
                $($operation => write(&database.$function(read(body)?)?),)*
                _ => Err(DynoxideError::ValidationException(format!("the engine has no operation {operation}"))),
            }
        }
    };
}

operations! {
    "BatchExecuteStatement" => batch_execute_statement,
    "BatchGetItem" => batch_get_item,
    "BatchWriteItem" => batch_write_item,
    "CreateTable" => create_table,
    "DeleteItem" => delete_item,
    "DeleteTable" => delete_table,
    "DescribeTable" => describe_table,
    "DescribeTimeToLive" => describe_time_to_live,
    "ExecuteStatement" => execute_statement,
    "ExecuteTransaction" => execute_transaction,
    "GetItem" => get_item,
    "ListTables" => list_tables,
    "ListTagsOfResource" => list_tags_of_resource,
    "PutItem" => put_item,
    "Query" => query,
    "Scan" => scan,
    "TagResource" => tag_resource,
    "TransactGetItems" => transact_get_items,
    "TransactWriteItems" => transact_write_items,
    "UntagResource" => untag_resource,
    "UpdateItem" => update_item,
    "UpdateTable" => update_table,
    "UpdateTimeToLive" => update_time_to_live,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| DynoxideError::SerializationException(error.to_string()))
}

fn write(response: &impl Serialize) -> Result<String, DynoxideError> {
    serde_json::to_string(response).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// Opens the file of a data folder that its only server locks.
///
/// # Errors
///
/// When the file cannot be opened or made.
pub fn open_lock_file(folder: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(folder.join(LOCK_FILE))
}

/// The engine's file in `folder`, both made if they are not there, and closed to other users of this machine.
fn private_file(folder: &Path) -> Result<PathBuf, EngineError> {
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |error| EngineError::Folder(path, error)
    };
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(cannot(folder))?;
    if holds_only_our_files(folder).map_err(cannot(folder))? {
        close_to_others(folder, FOLDER_MODE).map_err(cannot(folder))?;
    }
    let file = folder.join(FILE);
    for ours in our_files().map(|name| folder.join(name)) {
        match close_to_others(&ours, FILE_MODE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(&ours)(error)),
            _ => {}
        }
    }
    // SQLite gives the files that it makes beside this one the same mode.
    OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(&file).map_err(cannot(&file))?;
    Ok(file)
}

/// Names of the files that the program makes in a folder of data.
fn our_files() -> impl Iterator<Item = String> {
    let beside = SQLITE_SUFFIXES.map(|suffix| format!("{FILE}{suffix}"));
    [FILE.to_owned(), LOCK_FILE.to_owned()].into_iter().chain(beside)
}

/// Whether a folder is one of data: another folder, such as a home or `/tmp`, keeps its mode.
fn holds_only_our_files(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !our_files().any(|ours| name == *ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes every right from other users. A mode that is as narrow stays, also where this user may not change it.
fn close_to_others(path: &Path, mode: u32) -> io::Result<()> {
    const PERMISSION_BITS: u32 = 0o777;
    let found = fs::metadata(path)?.permissions().mode() & PERMISSION_BITS;
    if found & !mode == 0 { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(mode)) }
}
