//! The bulk workers of one process: workers that take messages from its queue, and a ticker that does the work of the
//! minute's wake-up on AWS.
//!
//! A crash loses no work: the table holds the open jobs, and each start first searches the table for them.

use std::sync::Arc;
use std::time::Duration;

use jobs::{Abandoned, Deadline, Jobs, catch_panic};
use models::limits::DRAIN_MILLIS;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::fair_queue::Messages;

/// The number of workers of a process, each of which works on one shard at a time.
pub const WORKERS: usize = 8;
/// The time after which a worker queues the rest of its shard, so that other portals get their turn.
const TURN: Duration = Duration::from_secs(5);
/// The interval of the ticker, which starts due rules and resumes open jobs.
const TICK: Duration = Duration::from_secs(15);
/// The timeout for the workers to stop. They stop after their current page.
const DRAIN: Duration = Duration::from_millis(DRAIN_MILLIS);

/// The running workers and the ticker.
#[derive(Debug)]
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Workers {
    /// Starts the workers of `jobs`, which receive their messages from `messages`. Sweeps unfinished jobs before the
    /// first worker starts; `abandoned` selects the shards whose leases the sweep revokes.
    pub async fn start(jobs: &Jobs, messages: Messages, abandoned: Abandoned) -> Self {
        sweep(jobs, abandoned).await;
        let (stop, told) = watch::channel(false);
        let messages = Arc::new(messages);
        let mut tasks = JoinSet::new();
        for _ in 0..WORKERS {
            tasks.spawn(work(jobs.clone(), messages.clone(), told.clone()));
        }
        tasks.spawn(tick(jobs.clone(), told));
        Self { stop, tasks }
    }

    /// Stops the workers after their current pages. The next start resumes unfinished jobs.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN, all).await.is_err() {
            tracing::warn!("workers were not waited for any longer; the next start takes over from them");
        }
    }
}

/// Works on one message after another. A failed or panicked message is redelivered later, and the worker continues.
async fn work(jobs: Jobs, messages: Arc<Messages>, mut told: watch::Receiver<bool>) {
    loop {
        let delivery = tokio::select! {
            delivery = messages.next() => delivery,
            _ = told.wait_for(|told| *told) => return,
        };
        let message = &delivery.message;
        let deadline = Deadline::on_signal(told.clone()).with_turn(TURN);
        let Err(error) = jobs.work(message, &deadline).await else { continue };
        let (job, shard) = (message.job, message.shard);
        tracing::error!(%job, shard, error = &error as &dyn std::error::Error, "message failed");
        if !messages.redeliver(delivery) {
            tracing::error!(%job, shard, "message dropped; the sweep requests another worker");
        }
    }
}

async fn sweep(jobs: &Jobs, abandoned: Abandoned) {
    match catch_panic(jobs.sweep(abandoned, &Deadline::never())).await {
        Ok(Ok(0)) => {}
        Ok(Ok(shards)) => tracing::info!(shards, "unfinished work found"),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "open jobs not checked");
        }
        Err(panic) => tracing::error!(error = &panic as &dyn std::error::Error, "open jobs not checked"),
    }
}

async fn start_rules(jobs: &Jobs) {
    match catch_panic(jobs.run_due_rules(&Deadline::never())).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "due rules not started"),
        Err(panic) => tracing::error!(error = &panic as &dyn std::error::Error, "due rules not started"),
    }
}

async fn compact(jobs: &Jobs) {
    if let Err(error) = jobs.compact_due_postings(&Deadline::never()).await {
        tracing::error!(error = &error as &dyn std::error::Error, "postings not compacted");
    }
}

/// Resumes open jobs, starts due rules and compacts the manager index, at each tick. A failure of one does not stop the
/// others.
async fn tick(jobs: Jobs, mut told: watch::Receiver<bool>) {
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = told.wait_for(|told| *told) => return,
        }
        futures::join!(sweep(&jobs, Abandoned::Expired), start_rules(&jobs), compact(&jobs));
    }
}
