//! Copies of loaded portals: a world with the import lines of earlier worlds starts with a copy of their data.
//!
//! Tests that try a death at each call load the same portal hundreds of times, and an import takes ten times as long as
//! a copy.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use engine::{Engine, Storage};

use super::WorldError;

/// The data of an embedded engine with one table.
#[derive(Debug)]
pub(super) struct Copy {
    /// The table's name.
    pub(super) table: String,
    database: Vec<u8>,
}

impl Copy {
    /// Copies the data of an engine.
    fn of(engine: &Engine, table: &str) -> Result<Self, WorldError> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("copy.db");
        engine.save(&file)?;
        Ok(Self { table: table.to_owned(), database: fs::read(&file)? })
    }

    /// Opens an engine in memory with the data.
    pub(super) fn open(&self) -> Result<Engine, WorldError> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("copy.db");
        fs::write(&file, &self.database)?;
        let engine = Engine::open(&Storage::Memory)?;
        engine.load(&file)?;
        Ok(engine)
    }
}

/// The state of some import lines in this process.
#[derive(Clone, Debug)]
enum Seen {
    /// One world has loaded the lines. The second load makes the copy, because most lines are loaded only once.
    Once,
    Copied(Arc<Copy>),
}

static SEEN: LazyLock<Mutex<HashMap<String, Seen>>> = LazyLock::new(Mutex::default);

/// Returns the copy of a portal with these import lines, if there is one.
pub(super) fn find(lines: &str) -> Option<Arc<Copy>> {
    match SEEN.lock().unwrap_or_else(PoisonError::into_inner).get(lines) {
        Some(Seen::Copied(copy)) => Some(copy.clone()),
        Some(Seen::Once) | None => None,
    }
}

/// Offers an engine that has loaded these import lines and nothing else. The second offer is copied.
pub(super) fn offer(lines: &str, engine: &Engine, table: &str) -> Result<(), WorldError> {
    let is_first = {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !seen.contains_key(lines);
        seen.entry(lines.to_owned()).or_insert(Seen::Once);
        is_first
    };
    if !is_first {
        let copied = Seen::Copied(Arc::new(Copy::of(engine, table)?));
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(lines.to_owned(), copied);
    }
    Ok(())
}
