//! The bulk workers of one process: a queue in memory, workers that take its messages, and a ticker that does what the
//! minute's wake-up does on AWS.
//!
//! Nothing is lost with the process: what is to be done stands in the table, and the first thing that is done after a
//! start is to look for it there.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jobs::{Abandoned, Deadline, Jobs, Message, Queue, QueueError};
use store::batch::{BACKOFF_BASE, BACKOFF_CAP};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

/// Workers of a process: as many shards are worked on side by side.
pub const WORKERS: usize = 8;
/// How often rules are looked at and open jobs are looked after.
const TICK: Duration = Duration::from_secs(15);
/// How long workers are waited for at the end. They stop after the page they are at.
const DRAIN: Duration = Duration::from_secs(30);

/// A queue in memory.
#[derive(Clone, Debug)]
pub struct LocalQueue(mpsc::UnboundedSender<Message>);

/// Where the messages of a [`LocalQueue`] come out.
#[derive(Debug)]
pub struct Messages(mpsc::UnboundedReceiver<Message>);

/// A queue, and where its messages come out.
pub fn queue() -> (LocalQueue, Messages) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (LocalQueue(sender), Messages(receiver))
}

/// That nobody takes messages any more.
#[derive(Debug, thiserror::Error)]
#[error("the workers have ended")]
struct Ended;

impl Queue for LocalQueue {
    fn send(&self, messages: Vec<Message>) -> BoxFuture<'_, Result<(), QueueError>> {
        let count = messages.len();
        let sent = messages.into_iter().try_for_each(|message| self.0.send(message));
        let sent = sent.map_err(|_| QueueError { messages: count, source: Box::new(Ended) });
        Box::pin(std::future::ready(sent))
    }
}

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
        let messages = Arc::new(Mutex::new(messages.0));
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

async fn work(jobs: Jobs, messages: Arc<Mutex<mpsc::UnboundedReceiver<Message>>>, mut told: watch::Receiver<bool>) {
    let deadline = Deadline::when_told(told.clone());
    let mut pause = BACKOFF_BASE;
    loop {
        let message = async { messages.lock().await.recv().await };
        let message = tokio::select! {
            message = message => message,
            _ = told.wait_for(|told| *told) => None,
        };
        let Some(message) = message else { return };
        match jobs.work(&message, &deadline).await {
            Ok(_) => pause = BACKOFF_BASE,
            Err(error) => {
                tracing::error!(job = %message.job, shard = message.shard, error = &error as &dyn std::error::Error, "message failed");
                // What failed for one worker fails for the others too: it waits before it is tried again.
                tokio::select! {
                    () = tokio::time::sleep(pause.mul_f64(fastrand::f64())) => {}
                    _ = told.wait_for(|told| *told) => return,
                }
                pause = (pause * 2).min(BACKOFF_CAP);
                if let Err(error) = jobs.queue.send(vec![message]).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "message not sent again");
                }
            }
        }
    }
}

async fn sweep(jobs: &Jobs, abandoned: Abandoned) {
    match jobs.sweep(abandoned, &Deadline::never()).await {
        Ok(0) => {}
        Ok(shards) => tracing::info!(shards, "unfinished work found"),
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "open jobs not looked after"),
    }
}

async fn tick(jobs: Jobs, mut told: watch::Receiver<bool>) {
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = told.wait_for(|told| *told) => return,
        }
        sweep(&jobs, Abandoned::Expired).await;
        if let Err(error) = jobs.run_due_rules(&Deadline::never()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "rules not looked at");
        }
    }
}
