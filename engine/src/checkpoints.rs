//! Checkpoints of the engine's database file, on a thread of their own.
//!
//! SQLite appends each write to a log beside the database file, and a checkpoint copies the log into the file. A
//! checkpoint waits for the disk, some tens of milliseconds. By default, the write that makes the log long enough also
//! makes the checkpoint, and all other requests wait behind this write. Here a thread copies the log continuously,
//! beside the writes. `.cargo/config.toml` raises the length of the log at which a write makes the checkpoint itself.
//! Such a checkpoint copies only the latest writes, and the log starts again.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The time between two checkpoints.
const INTERVAL: Duration = Duration::from_millis(250);

/// The thread that makes the checkpoints. Dropping the value ends the thread.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the checkpoints of a database file.
    ///
    /// # Errors
    ///
    /// The message of SQLite or of the operating system.
    pub(crate) fn start(file: &Path) -> Result<Self, String> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE);
        let connection = connection.map_err(|error| error.to_string())?;
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().name("checkpoints".into());
        let thread = thread.spawn(move || checkpoints(&connection, &stopped)).map_err(|error| error.to_string())?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop.take();
        // A panic of the thread loses no data: the log stays, and SQLite reads the log again.
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of the checkpoints panicked");
        }
    }
}

/// Makes checkpoints until `stopped` is closed.
fn checkpoints(connection: &Connection, stopped: &Receiver<()>) {
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        // A passive checkpoint copies the part of the log that no reader needs, and blocks no write.
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(error = &error as &dyn std::error::Error, "checkpoint failed; the next one copies more");
        }
    }
}
