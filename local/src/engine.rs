//! The embedded DynamoDB engine, in this process and without a port.

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

use crate::checkpoints::Checkpoints;
use crate::turns::Turns;

/// The storage of the engine's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, lost when the process ends.
    Memory,
    /// In a file of this folder.
    Folder(PathBuf),
}

/// The reason why the engine or its port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folder or a file in it cannot be created, or closed to other users.
    #[error("{} cannot be created, or closed to other users of this machine", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// The data cannot be opened.
    #[error("the data in {} cannot be opened: {}", .0, .1)]
    Open(String, String),
    /// The port is not free.
    #[error("port {0} of this machine is in use; choose another port, or 0 for a free port")]
    Port(u16, #[source] io::Error),
}

/// The name of the engine's database file.
const FILE: &str = "crm-access.db";
/// Suffixes of the files that SQLite creates next to the database file.
const SQLITE_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The file that a server locks to be the only server of a folder.
const LOCK_FILE: &str = "server.lock";

/// Access to a folder for its owner only.
const FOLDER_MODE: u32 = 0o700;
/// Access to a file for its owner only.
const FILE_MODE: u32 = 0o600;

/// A DynamoDB engine. Clones share the engine, and dropping the last clone closes the database file.
#[derive(Clone)]
pub struct Engine {
    database: Database,
    turns: Arc<Turns>,
    /// None if the data is in memory. This field stands after the database, so that the thread ends last.
    _checkpoints: Option<Arc<Checkpoints>>,
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
        let cannot = |path: &str, error: String| EngineError::Open(path.to_owned(), error);
        let (database, checkpoints) = match storage {
            Storage::Memory => (Database::memory().map_err(|error| cannot("memory", error.to_string()))?, None),
            Storage::Folder(folder) => {
                let file = private_file(folder)?;
                let path = file.display().to_string();
                // `disable_bulk_loading` sets SQLite's `synchronous = NORMAL`. The engine starts with `FULL`, which
                // syncs to disk after every item. With a write-ahead log, `NORMAL` loses nothing when the process dies
                // and never corrupts the file. A power cut may lose the latest writes.
                let opened =
                    Database::new(&path).and_then(|database| database.disable_bulk_loading().map(|()| database));
                let database = opened.map_err(|error| cannot(&path, error.to_string()))?;
                let checkpoints = Checkpoints::start(&file).map_err(|error| cannot(&path, error))?;
                (database, Some(Arc::new(checkpoints)))
            }
        };
        let at_once = available_parallelism().map_or(1, usize::from);
        Ok(Self { database, turns: Arc::new(Turns::new(at_once)), _checkpoints: checkpoints })
    }

    /// Returns the engine for a client in this process.
    pub fn in_process(&self) -> Arc<dyn InProcess> {
        Arc::new(OfCalls(self.clone()))
    }

    /// Returns the engine for a client in this process whose requests wait while requests of other clients run.
    pub fn in_process_for_bulk(&self) -> Arc<dyn InProcess> {
        Arc::new(OfBulk(self.clone()))
    }

    /// Answers the JSON request of an operation on a blocking thread. Requests run in the order of arrival.
    pub(crate) async fn answer(self, operation: String, body: Vec<u8>) -> EngineResult {
        let turn = self.turns.clone().of_call().await?;
        self.answer_in(turn, operation, body).await
    }

    async fn answer_in(self, turn: impl Send + 'static, operation: String, body: Vec<u8>) -> EngineResult {
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            answer(&self.database, &operation, &body)
        });
        Ok(answer.await?)
    }

    /// Answers the JSON request of an operation on this thread, so that tests know the order of calls.
    pub fn answer_here(&self, operation: &str, body: &[u8]) -> EngineAnswer {
        answer(&self.database, operation, body)
    }
}

/// The engine for requests of calls.
#[derive(Clone, Debug)]
struct OfCalls(Engine);

impl InProcess for OfCalls {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        self.0.clone().answer(operation, body).boxed()
    }
}

/// The engine for requests of bulk jobs.
#[derive(Clone, Debug)]
struct OfBulk(Engine);

impl InProcess for OfBulk {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        let engine = self.0.clone();
        async move {
            let turn = engine.turns.clone().of_bulk().await?;
            engine.answer_in(turn, operation, body).await
        }
        .boxed()
    }
}

fn answer(database: &Database, operation: &str, body: &[u8]) -> EngineAnswer {
    match run(database, operation, body) {
        Ok(body) => EngineAnswer { status: 200, body },
        Err(error) => EngineAnswer { status: error.status_code(), body: error.to_json() },
    }
}

/// Passes each operation's request to the engine's function.
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

/// Opens the lock file of a data folder.
///
/// # Errors
///
/// When the file cannot be opened or created.
pub fn open_lock_file(folder: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(folder.join(LOCK_FILE))
}

/// Returns the path of the database file in `folder`. Creates the folder and the file if missing, and closes both to
/// other users of this machine.
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
    // SQLite creates its other files with the mode of this file.
    OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(&file).map_err(cannot(&file))?;
    Ok(file)
}

/// Returns the names of the files that the program creates in a data folder.
fn our_files() -> impl Iterator<Item = String> {
    let sqlite_files = SQLITE_SUFFIXES.map(|suffix| format!("{FILE}{suffix}"));
    [FILE.to_owned(), LOCK_FILE.to_owned()].into_iter().chain(sqlite_files)
}

/// Returns whether a folder holds only files of this program. Any other folder, such as a home folder or `/tmp`, keeps
/// its mode.
fn holds_only_our_files(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !our_files().any(|ours| name == *ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes all permissions of other users. A mode that is already strict enough is not written, so this user needs no
/// right to change the mode.
fn close_to_others(path: &Path, mode: u32) -> io::Result<()> {
    const PERMISSION_BITS: u32 = 0o777;
    let found = fs::metadata(path)?.permissions().mode() & PERMISSION_BITS;
    if found & !mode == 0 { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(mode)) }
}
