//! The bulk workers of one process: workers that take the messages of its queue, and a ticker that does the work of the
//! minute's wake-up on AWS.
//!
//! Nothing is lost with the process: the table holds what is to be done, and a start first looks for it there.

use std::sync::Arc;
use std::time::Duration;

use jobs::{Abandoned, Deadline, Jobs, catch_panic};
use models::limits::DRAIN_MILLIS;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::fair_queue::Messages;

/// Workers of a process: as many shards are worked on side by side.
pub const WORKERS: usize = 8;
/// How long a worker stays with one shard before it hands the rest to the queue, where other portals have their turn.
const TURN: Duration = Duration::from_secs(5);
/// How often due rules are started and open jobs are looked after.
const TICK: Duration = Duration::from_secs(15);
/// How long the end of the workers is waited for. They stop after their current page.
const DRAIN: Duration = Duration::from_millis(DRAIN_MILLIS);

/// The workers and the ticker at work.
#[derive(Debug)]
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Workers {
    /// Starts the workers of `jobs`, whose queue's messages come out of `messages`. First of all it is looked for what was
    /// left unfinished, before anybody works here: `abandoned` says whose shards may be taken from them then.
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

    /// Ends the workers after the pages that they are at. What is left is found at the next start.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN, all).await.is_err() {
            tracing::warn!("workers were not waited for any longer; the next start takes over from them");
        }
    }
}

/// Works on one message after another. A message whose work fails or panics comes back later; the worker goes on.
async fn work(jobs: Jobs, messages: Arc<Messages>, mut told: watch::Receiver<bool>) {
    loop {
        let delivery = tokio::select! {
            delivery = messages.next() => delivery,
            _ = told.wait_for(|told| *told) => return,
        };
        let message = &delivery.message;
        let deadline = Deadline::when_told(told.clone()).with_turn(TURN);
        let Err(error) = jobs.work(message, &deadline).await else { continue };
        let (job, shard) = (message.job, message.shard);
        tracing::error!(%job, shard, error = &error as &dyn std::error::Error, "message failed");
        if !messages.redeliver(delivery) {
            tracing::error!(%job, shard, "message dropped; the sweep looks after its job");
        }
    }
}

async fn sweep(jobs: &Jobs, abandoned: Abandoned) {
    match catch_panic(jobs.sweep(abandoned, &Deadline::never())).await {
        Ok(Ok(0)) => {}
        Ok(Ok(shards)) => tracing::info!(shards, "unfinished work found"),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "open jobs not looked after");
        }
        Err(panic) => tracing::error!(error = &panic as &dyn std::error::Error, "open jobs not looked after"),
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

/// Looks after open jobs and starts due rules, again and again. Neither keeps the other from its work.
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
