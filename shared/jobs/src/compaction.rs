//! Compaction of managers' postings, run after the sweep. A list that reads mostly superfluous postings requests the
//! compaction.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use models::limits::{
    self, COMPACTION_PAUSE_MILLIS, COMPACTION_REQUEST_MILLIS, COMPACTIONS_PER_SWEEP, POSTING_SETTLED_MILLIS,
};
use models::values::id::{PortalId, UserId};
use models::values::timestamp::Timestamp;
use store::StoreError;
use store::compaction::DueCompaction;
use tokio::time::{timeout, timeout_at};

use crate::context::Jobs;
use crate::panics::catch_panic;
use crate::shard::Deadline;

/// Maximum number of managers whose requests a process remembers.
const REMEMBERED: usize = 1000;

/// The managers for which a process requested compaction recently, with the time of the request.
#[derive(Clone, Debug, Default)]
pub struct CompactionRequests(Arc<Mutex<HashMap<(PortalId, UserId), Timestamp>>>);

impl CompactionRequests {
    /// Returns whether the process may send a request now, and records the request.
    fn admits(&self, portal: &PortalId, manager: UserId, now: Timestamp) -> bool {
        let mut requested = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = limits::duration(COMPACTION_PAUSE_MILLIS);
        let key = (portal.clone(), manager);
        if requested.get(&key).is_some_and(|at| *at <= now && now < *at + pause) {
            return false;
        }
        if requested.len() >= REMEMBERED {
            requested.clear();
        }
        requested.insert(key, now);
        true
    }
}

impl Jobs {
    /// Requests compaction of a manager's postings: at most once in ten minutes per process, within 200 ms. Logs a
    /// failure instead of returning it, so that the list is answered anyway.
    pub async fn request_compaction(&self, portal: &PortalId, manager: UserId) {
        let now = self.now();
        if !self.compaction_requests.admits(portal, manager, now) {
            return;
        }
        let request = self.store.request_compaction(portal, manager, now);
        match timeout(Duration::from_millis(COMPACTION_REQUEST_MILLIS), request).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "compaction of postings not requested");
            }
            Err(_) => tracing::warn!("compaction of postings not requested before its timeout"),
        }
    }

    /// Compacts the postings of at most [`COMPACTIONS_PER_SWEEP`] managers that are due. Returns the number of managers
    /// whose compaction succeeded. A failure does not block the others and is retried later.
    ///
    /// # Errors
    ///
    /// When the list of due compactions cannot be read.
    pub async fn compact_due_postings(&self, deadline: &Deadline) -> Result<usize, StoreError> {
        let mut compacted = 0;
        for due in one_of_each_portal(self.store.due_compactions(self.now()).await?) {
            if deadline.is_up() {
                break;
            }
            let work = catch_panic(self.compact(&due));
            let ended = match deadline.instant() {
                // A compaction may stop after any of its calls. A later sweep continues the compaction.
                Some(at) => match timeout_at(at, work).await {
                    Ok(ended) => ended,
                    Err(_) => break,
                },
                None => work.await,
            };
            match ended {
                Ok(Ok(())) => compacted += 1,
                Ok(Err(error)) => {
                    tracing::warn!(portal = %due.portal, error = &error as &dyn std::error::Error, "postings not compacted");
                }
                Err(panic) => {
                    tracing::error!(portal = %due.portal, error = &panic as &dyn std::error::Error, "postings not compacted");
                }
            }
        }
        Ok(compacted)
    }

    async fn compact(&self, due: &DueCompaction) -> Result<(), StoreError> {
        // Postpone first, so that a compaction that kills its process is not the first of the next sweep.
        let pause = self.now() + limits::duration(COMPACTION_PAUSE_MILLIS);
        if !self.store.postpone_compaction(due, pause).await? {
            return Ok(());
        }
        let compacted = self.store.compact_postings(&due.portal, due.manager, self.now()).await?;
        tracing::info!(portal = %due.portal, removed = compacted.removed, written = compacted.written, "postings compacted");
        let postponed = DueCompaction { due: pause, ..due.clone() };
        if compacted.written == 0 {
            return self.store.forget_compaction(&postponed).await;
        }
        // The next compaction removes the replaced postings after the new postings are settled. A posting is settled
        // only after the full time, so add a margin.
        let settled = self.now() + limits::duration(POSTING_SETTLED_MILLIS + COMPACTION_REQUEST_MILLIS);
        self.store.postpone_compaction(&postponed, settled).await.map(drop)
    }
}

/// Returns the first compactions of a list, with one compaction of each portal before the second of any portal. So no
/// portal blocks another.
fn one_of_each_portal(due: Vec<DueCompaction>) -> Vec<DueCompaction> {
    let mut of_portal: HashMap<PortalId, usize> = HashMap::new();
    let mut ranked: Vec<(usize, Timestamp, DueCompaction)> = due
        .into_iter()
        .map(|due| {
            let rank = of_portal.entry(due.portal.clone()).or_default();
            *rank += 1;
            (*rank, due.due, due)
        })
        .collect();
    ranked.sort_by_key(|(rank, since, _)| (*rank, *since));
    ranked.into_iter().take(COMPACTIONS_PER_SWEEP).map(|(_, _, due)| due).collect()
}
