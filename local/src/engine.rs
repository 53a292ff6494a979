//! The embedded DynamoDB engine, on a loopback port for the SDK.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use dynoxide::Database;
use store::client::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where the engine keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, gone with the process.
    Memory,
    /// In a file of this folder, kept between runs.
    Folder(PathBuf),
}

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folder cannot be made.
    #[error("the folder {} cannot be made", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// The data cannot be opened.
    #[error("the data in {} cannot be opened: {}", .0, .1)]
    Open(String, String),
    /// The port cannot be had.
    #[error("port {0} of this machine cannot be had; take another, or 0 for a free one")]
    Port(u16, #[source] io::Error),
    /// The engine ended by itself.
    #[error("the engine ended: {0}")]
    Ended(String),
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), String>>,
}

const FILE: &str = "crm-access.db";

impl Engine {
    /// Starts the engine on a loopback port, 0 for a free one.
    ///
    /// # Errors
    ///
    /// [`EngineError`] when the data or the port cannot be had.
    pub async fn start(storage: &Storage, port: u16) -> Result<Self, EngineError> {
        let database = match storage {
            Storage::Memory => Database::memory().map_err(|error| ("memory".to_owned(), error)),
            Storage::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| EngineError::Folder(folder.clone(), error))?;
                let file: &Path = &folder.join(FILE);
                let path = file.display().to_string();
                // What the engine calls the end of bulk loading is SQLite's `synchronous = NORMAL`. The engine starts with
                // FULL, which waits for the disk after every single item. With a write-ahead log NORMAL loses nothing
                // when the process dies and never the file; a power cut can take the last moments with it.
                let opened =
                    Database::new(&path).and_then(|database| database.disable_bulk_loading().map(|()| database));
                opened.map_err(|error| (path, error))
            }
        }
        .map_err(|(path, error)| EngineError::Open(path, error.to_string()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|error| EngineError::Port(port, error))?;
        let address = listener.local_addr().map_err(|error| EngineError::Port(port, error))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, async {
            // A sender that is dropped means the same as one that sends.
            stopped.await.unwrap_or(());
        }));
        Ok(Self { address, stop, task })
    }

    /// Where the SDK finds it.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::at(format!("http://{}", self.address))
    }

    /// Ends the engine after the requests that are under way. Clients must be gone: an open connection keeps it.
    ///
    /// # Errors
    ///
    /// [`EngineError::Ended`] when it had ended before, and why.
    pub async fn stop(self) -> Result<(), EngineError> {
        // The engine that does not listen any more has ended; its own result says why.
        self.stop.send(()).unwrap_or(());
        match self.task.await {
            Ok(result) => result.map_err(EngineError::Ended),
            Err(error) => Err(EngineError::Ended(error.to_string())),
        }
    }
}
