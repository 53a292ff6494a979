//! The embedded DynamoDB engine, in this process and without a port.

mod checkpoints;
mod turns;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::mem;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use dynoxide::actions::batch_execute_statement::{BatchExecuteStatementRequest, BatchExecuteStatementResponse};
use dynoxide::{Database, DynoxideError};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rusqlite::{Connection, ErrorCode, OpenFlags};
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

impl Storage {
    /// Returns whether the storage has data of an earlier process.
    ///
    /// # Errors
    ///
    /// The folder may not be read.
    pub fn exists(&self) -> Result<bool, EngineError> {
        match self {
            Self::Memory => Ok(false),
            Self::Folder(folder) => {
                check_is_no_file(folder)?;
                let file = folder.join(FILE);
                file.try_exists().map_err(|error| EngineError::Unreadable(folder.clone(), error))
            }
        }
    }
}

/// The reason why the engine or its port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folder or a file in the folder cannot be created, or its permissions cannot be restricted to its owner.
    #[error("{} cannot be created, or its permissions cannot be restricted to its owner", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// The folder cannot be read.
    #[error("{} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The path of the folder names a file.
    #[error("{} is a file; name a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The database file is damaged, or no database.
    #[error(
        "{} is damaged, or is no database of crm-access; restore a backup of the folder, or name another folder",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The data cannot be opened.
    #[error("the data in {} cannot be opened: {}", .0, .1)]
    Open(String, String),
    /// The port cannot be opened.
    #[error("cannot listen on port {0} of this machine; choose another port, or 0 for a free port")]
    Port(u16, #[source] io::Error),
}

/// The name of the engine's database file.
const FILE: &str = "crm-access.db";
/// Suffixes of the files that SQLite creates next to the database file.
const SQLITE_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The file that a server locks to be the only server of a folder.
const LOCK_FILE: &str = "server.lock";

/// Statements of a bulk job that the engine executes before it looks for requests of calls. A batch of 25 statements
/// takes 4 ms, in which a call would wait.
const STATEMENTS_AT_ONCE: usize = 5;

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
                let database = opened.map_err(|error| match is_damaged(&file) {
                    true => EngineError::Damaged(file.clone()),
                    false => cannot(&path, error.to_string()),
                })?;
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

    /// Answers the JSON request of an operation on a blocking thread. Requests start in the order of arrival.
    pub async fn answer(self, operation: String, body: Vec<u8>) -> EngineResult {
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

    /// Answers a batch of statements of a bulk job in parts of [`STATEMENTS_AT_ONCE`]. The statements of a batch are
    /// independent of each other, so requests of calls may run between the parts.
    async fn answer_statements(self, body: Vec<u8>) -> EngineResult {
        let mut request: BatchExecuteStatementRequest = match read(&body) {
            Ok(request) => request,
            Err(error) => return Ok(answer_of(Err(error))),
        };
        let mut complete = BatchExecuteStatementResponse::default();
        let mut rest = mem::take(&mut request.statements).into_iter();
        let mut turn = self.turns.clone().of_bulk().await?;
        loop {
            let part = BatchExecuteStatementRequest {
                statements: rest.by_ref().take(STATEMENTS_AT_ONCE).collect(),
                return_consumed_capacity: request.return_consumed_capacity.clone(),
            };
            let database = self.database.clone();
            // The blocking thread holds the turn, so that the turn lasts until the engine has answered, even if the
            // caller has left.
            let answered = tokio::task::spawn_blocking(move || (database.batch_execute_statement(part), turn));
            let answer;
            (answer, turn) = answered.await?;
            match answer {
                Ok(BatchExecuteStatementResponse { responses, consumed_capacity, .. }) => {
                    complete.responses.extend(responses);
                    if let Some(consumed) = consumed_capacity {
                        complete.consumed_capacity.get_or_insert_default().extend(consumed);
                    }
                }
                Err(error) => return Ok(answer_of(Err(error))),
            }
            if rest.as_slice().is_empty() {
                break;
            }
            turn.wait_for_calls().await;
        }
        Ok(answer_of(write(&complete)))
    }

    /// Writes a copy of the data to a file that does not exist yet.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] if the file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), EngineError> {
        let path = file.display().to_string();
        self.database.vacuum_into(&path).map_err(|error| EngineError::Open(path, error.to_string()))
    }

    /// Replaces the data by the data of a file that [`Self::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] if the file cannot be read. The data then stay as they are.
    pub fn load(&self, file: &Path) -> Result<(), EngineError> {
        let path = file.display().to_string();
        self.database.restore_from(&path).map_err(|error| EngineError::Open(path, error.to_string()))
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
            if operation == "BatchExecuteStatement" {
                return engine.answer_statements(body).await;
            }
            let turn = engine.turns.clone().of_bulk().await?;
            engine.answer_in(turn, operation, body).await
        }
        .boxed()
    }
}

fn answer(database: &Database, operation: &str, body: &[u8]) -> EngineAnswer {
    answer_of(run(database, operation, body))
}

fn answer_of(result: Result<String, DynoxideError>) -> EngineAnswer {
    match result {
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

/// Fails if the path of a folder names a file.
fn check_is_no_file(folder: &Path) -> Result<(), EngineError> {
    if folder.is_file() { Err(EngineError::NotAFolder(folder.to_owned())) } else { Ok(()) }
}

/// Returns whether a file is damaged or no database. The engine's own message about such a file is for developers.
fn is_damaged(file: &Path) -> bool {
    let read = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())));
    let code = read.err().and_then(|error| error.sqlite_error_code());
    matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Returns the path of the database file in `folder`. Creates the folder and the file if missing, and restricts the
/// permissions of both to their owner.
fn private_file(folder: &Path) -> Result<PathBuf, EngineError> {
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |error| EngineError::Folder(path, error)
    };
    check_is_no_file(folder)?;
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn call(engine: &dyn InProcess, operation: &str, body: Value) -> Value {
        let answer = engine.call(operation.to_owned(), body.to_string().into_bytes()).await.unwrap();
        json!({"status": answer.status, "body": serde_json::from_str::<Value>(&answer.body).unwrap()})
    }

    /// Returns an engine with the items 1 to `count`, whose revision is 1.
    async fn with_items(count: usize) -> Engine {
        let engine = Engine::open(&Storage::Memory).unwrap();
        let calls = engine.in_process();
        let key = json!([{"AttributeName": "id", "KeyType": "HASH"}]);
        let attribute = json!([{"AttributeName": "id", "AttributeType": "N"}]);
        let table = json!({
            "TableName": "examples", "KeySchema": key, "AttributeDefinitions": attribute, "BillingMode": "PAY_PER_REQUEST",
        });
        assert_eq!(call(&*calls, "CreateTable", table).await["status"], 200);
        for number in 1..=count {
            let item = json!({"id": {"N": number.to_string()}, "revision": {"N": "1"}});
            assert_eq!(call(&*calls, "PutItem", json!({"TableName": "examples", "Item": item})).await["status"], 200);
        }
        engine
    }

    /// Sums the write units of an answer, and removes them: a batch in parts has an entry for each part.
    fn take_units(answer: &mut Value) -> f64 {
        let consumed = answer["body"].as_object_mut().and_then(|body| body.remove("ConsumedCapacity"));
        let entries = consumed.as_ref().and_then(Value::as_array).into_iter().flatten();
        entries.filter_map(|entry| entry["CapacityUnits"].as_f64()).sum()
    }

    #[tokio::test]
    async fn bulk_statements_in_parts_have_the_answers_of_one_batch() {
        let update = "UPDATE examples SET revision=2 WHERE id=? AND revision=?";
        let statements = |count: usize| -> Value {
            let statement = |number: usize| {
                // Every fifth statement expects a revision that the item does not have. The engine reports no units for
                // a batch whose statements all fail, so no part consists of such statements.
                let revision = if number % 5 == 3 { "7" } else { "1" };
                json!({"Statement": update, "Parameters": [{"N": number.to_string()}, {"N": revision}]})
            };
            let statements: Vec<Value> = (1..=count).map(statement).collect();
            json!({"Statements": statements, "ReturnConsumedCapacity": "TOTAL"})
        };
        for count in [0, 1, STATEMENTS_AT_ONCE, STATEMENTS_AT_ONCE + 1, 25] {
            let (whole, parts) = (with_items(count).await, with_items(count).await);
            let mut expected = call(&*whole.in_process(), "BatchExecuteStatement", statements(count)).await;
            let mut found = call(&*parts.in_process_for_bulk(), "BatchExecuteStatement", statements(count)).await;
            let (units, spent) = (take_units(&mut expected), take_units(&mut found));
            assert_eq!(found, expected, "{count} statements");
            assert!((spent - units).abs() < f64::EPSILON, "{count} statements: {spent} units, not {units}");
            if count == 25 {
                let answers = found["body"]["Responses"].as_array().unwrap();
                assert_eq!(
                    (answers.len(), answers.iter().filter(|answer| answer["Error"].is_object()).count()),
                    (25, 5)
                );
            }
        }
    }
}
