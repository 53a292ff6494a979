//! The bulk workers of one process. The workers receive messages from the process's queue. A ticker resumes open jobs,
//! starts due rules and compacts postings, like the function `run-rules` on AWS.
//!
//! The workers and the ticker share one thread of their own. A worker computes for milliseconds at a time, for example
//! to decode a page, and would delay calls on the same thread.
//!
//! A crash loses no work: the table holds the open jobs, and each start first sweeps the table.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jobs::{Abandoned, Deadline, Jobs, catch_panic};
use models::limits::DRAIN_MILLIS;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::STACK_BYTES;
use crate::fair_queue::Messages;

/// The number of workers of a process, each of which works on one shard at a time.
pub const WORKERS: usize = 8;
/// The time after which a worker requeues its unfinished shard, so that other portals get their turn.
const TURN: Duration = Duration::from_secs(5);
/// The interval of the ticker, which starts due rules and resumes open jobs.
const TICK: Duration = Duration::from_secs(15);
/// The timeout for the workers to stop. They stop after their current page.
const DRAIN: Duration = Duration::from_millis(DRAIN_MILLIS);

/// The running workers and the ticker. Dropping the value ends them.
#[derive(Debug)]
pub struct Workers {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    /// Dropping this sender ends the workers during their current pages.
    _alive: oneshot::Sender<()>,
}

impl Workers {
    /// Starts the workers of `jobs`, which receive their messages from `messages`. Sweeps unfinished jobs before the
    /// first worker starts; `abandoned` selects the shards whose leases the sweep revokes.
    ///
    /// # Errors
    ///
    /// When the operating system cannot create the thread or the runtime.
    pub async fn start(jobs: &Jobs, messages: Messages, abandoned: Abandoned) -> io::Result<Self> {
        let jobs = jobs.for_bulk();
        sweep(&jobs, abandoned).await;
        let (stop, stopping) = watch::channel(false);
        let (alive, mut dropped) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().thread_name("bulk").build()?;
        let working = async move {
            tokio::select! {
                () = work_all(&jobs, messages, stopping) => {}
                // Nothing is ever sent: the receiver returns when the sender is dropped.
                _ = &mut dropped => {}
            }
        };
        thread::Builder::new().name("bulk".into()).stack_size(STACK_BYTES).spawn(move || {
            runtime.block_on(working);
            runtime.shutdown_background();
            // Nobody waits for the end if the workers were dropped.
            ending.send(()).unwrap_or_default();
        })?;
        Ok(Self { stop, ended, _alive: alive })
    }

    /// Stops the workers after their current pages. The next start resumes unfinished jobs.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if timeout(DRAIN, self.ended).await.is_err() {
            tracing::warn!("workers did not stop in time; the next start resumes their jobs");
        }
    }
}

/// Runs the workers and the ticker until they stop.
async fn work_all(jobs: &Jobs, messages: Messages, stopping: watch::Receiver<bool>) {
    let messages = Arc::new(messages);
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS {
        tasks.spawn(work(jobs.clone(), messages.clone(), stopping.clone()));
    }
    tasks.spawn(tick(jobs.clone(), stopping));
    while tasks.join_next().await.is_some() {}
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

/// Resumes open jobs, starts due rules and compacts postings, at each tick. A failure of one task does not stop the
/// other tasks.
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
