//! The bulk workers of one process. The workers receive messages from the process's queue. A ticker resumes open jobs,
//! starts due rules and compacts postings, like the function `run-rules` on AWS.
//!
//! A crash loses no work: the table holds the open jobs, and each start first sweeps the table.

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
/// The time after which a worker requeues its unfinished shard, so that other portals get their turn.
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
        let (stop, stopping) = watch::channel(false);
        let messages = Arc::new(messages);
        let mut tasks = JoinSet::new();
        for _ in 0..WORKERS {
            tasks.spawn(work(jobs.clone(), messages.clone(), stopping.clone()));
        }
        tasks.spawn(tick(jobs.clone(), stopping));
        Self { stop, tasks }
    }

    /// Stops the workers after their current pages. The next start resumes unfinished jobs.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN, all).await.is_err() {
            tracing::warn!("workers did not stop in time; the next start resumes their jobs");
        }
    }
}

/// Works on one message after another. After an error or a panic, the message is redelivered later, and the worker
/// continues.
async fn work(jobs: Jobs, messages: Arc<Messages>, mut stopping: watch::Receiver<bool>) {
    loop {
        let delivery = tokio::select! {
            delivery = messages.next() => delivery,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let message = &delivery.message;
        let deadline = Deadline::on_signal(stopping.clone()).with_turn(TURN);
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
        Ok(Ok(shards)) => tracing::info!(shards, "unfinished shards queued"),
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

/// Resumes open jobs, starts due rules and compacts the manager index, at each tick. A failure of one task does not
/// stop the other tasks.
async fn tick(jobs: Jobs, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        futures::join!(sweep(&jobs, Abandoned::Expired), start_rules(&jobs), compact(&jobs));
    }
}
