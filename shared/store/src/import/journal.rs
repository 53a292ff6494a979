//! The journal of moves, which an import writes before contacts change their index partitions.

use std::time::Duration;

use models::directory::Portal;
use models::job::JobId;
use models::limits::{self, MOVE_WRITE_MILLIS};
use models::values::timestamp::Timestamp;
use tokio::time::timeout;

use crate::dynamodb::batch::{Priority, Write};
use crate::dynamodb::client::Store;
use crate::error::StoreError;
use crate::import::Options;
use crate::moves::Moves;

/// Maximum writes of moving contacts that are in flight.
pub(super) const MOVES_AT_ONCE: usize = 200;

/// Maximum number of journal entries for the same writes.
pub(super) const JOURNAL_ATTEMPTS: u32 = 5;

/// Time after its journal entry in which a move may be written.
pub(super) const MOVE_WRITE: Duration = Duration::from_millis(MOVE_WRITE_MILLIS);

/// Writes contacts that move, each after a journal entry.
#[derive(Debug)]
pub(super) struct Journal<'a> {
    pub(super) store: &'a Store,
    pub(super) options: &'a Options,
    pub(super) portal: &'a Portal,
    pub(super) moves: &'a Moves,
    /// The revision of the access records of this flush.
    pub(super) revision: JobId,
    /// Time of the last entry, if there is one.
    pub(super) at: Option<Timestamp>,
}

impl Journal<'_> {
    /// Returns how long the last entry still allows writes; none if no entry does.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let end = self.at? + limits::duration(MOVE_WRITE_MILLIS);
        let remaining = Duration::try_from(end.since((self.options.clock)())).ok()?;
        // A clock that is set back must not extend an entry.
        Some(remaining.min(MOVE_WRITE)).filter(|remaining| !remaining.is_zero())
    }

    /// Makes many writes, in no order. Sends no write under an entry that is too old, because a run that starts later
    /// would not read the entry.
    pub(super) async fn write_all(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        if self.moves.is_empty() {
            return self.store.write_all(writes, Priority::Bulk).await;
        }
        for batch in writes.chunks(MOVES_AT_ONCE) {
            self.write_batch(batch).await?;
        }
        Ok(())
    }

    pub(super) async fn write_batch(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let mut writes = writes.to_vec();
        for _ in 0..JOURNAL_ATTEMPTS {
            if self.remaining().is_none() {
                let at = (self.options.clock)();
                self.store.write_journal(self.portal, self.moves, self.revision, at).await?;
                self.at = Some(at);
            }
            // Writing the entry took too long, so write another entry.
            let Some(remaining) = self.remaining() else { continue };
            let may_send = || self.remaining().is_some();
            let writing = self.store.write_many_while(writes.clone(), Priority::Bulk, &may_send);
            // Writes that timed out may have succeeded. Repeating them changes nothing.
            let Ok(written) = timeout(remaining, writing).await else { continue };
            if let Some(error) = written.error {
                return Err(error);
            }
            // Writes that the limiter held back longer than the entry allows follow under another entry.
            writes = written.unwritten;
            if writes.is_empty() {
                return Ok(());
            }
        }
        Err(StoreError::Throttled { operation: "BatchWriteItem", source: None })
    }
}
