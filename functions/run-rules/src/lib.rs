//! Starts what no caller waits for. Woken every minute, it starts the standing rules that are due and looks after jobs
//! that nobody works on; given a run, it starts that.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jobs::rules::NotStarted;
use jobs::{Abandoned, Deadline, Jobs};
use lambda_runtime::Error;
use models::job::JobId;
use models::request::RunOnce;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

/// What an event came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Done {
    /// The function was woken.
    Woken {
        /// How many rules were started.
        rules_started: usize,
        /// For how many shards of open jobs a worker was asked.
        shards_resumed: usize,
    },
    /// It was given a run.
    Started {
        /// The job, which is found under `/api/2.0/crm/access/jobs/`.
        job_id: JobId,
    },
}

/// Handles `{}`, which wakes it, or a run: `{"portal":…,"filter":…,"access":…}`, which is made with an administrator's
/// rights, because whoever may call the function itself has the operator's trust.
///
/// # Errors
///
/// When the run cannot be read or started; nothing was changed then.
pub fn handle(jobs: &Jobs, event: Value, stop_at: Instant) -> BoxFuture<'_, Result<Done, Error>> {
    async move {
        // A schedule without an input of its own sends an envelope that names its source.
        let is_wake_up = event.as_object().is_none_or(|event| event.is_empty() || event.contains_key("source"));
        if is_wake_up { wake(jobs, &Deadline::at(stop_at)).await } else { run_once(jobs, &event).await }
    }
    .boxed()
}

async fn wake(jobs: &Jobs, deadline: &Deadline) -> Result<Done, Error> {
    // Neither waits for the other, nor fails with it.
    let (started, resumed) = futures::join!(jobs.run_due_rules(deadline), jobs.sweep(Abandoned::Expired, deadline));
    let (rules_started, shards_resumed) = (started?, resumed?);
    // What is only tidied comes last, in the time that is left.
    jobs.compact_due_postings(deadline).await?;
    if rules_started + shards_resumed > 0 {
        tracing::info!(rules_started, shards_resumed, "woken");
    }
    Ok(Done::Woken { rules_started, shards_resumed })
}

async fn run_once(jobs: &Jobs, event: &Value) -> Result<Done, Error> {
    let body = serde_json::to_vec(event)?;
    let portal = RunOnce::portal(&body)?;
    let portal = jobs.store.portal(&portal).await?.ok_or(NotStarted::UnknownPortal(portal))?;
    let order = RunOnce::parse(&body, &portal.time_zone)?;
    let job_id = jobs.run_once(&portal, order, &body).await?;
    tracing::info!(portal = %portal.id, job = %job_id, "run started");
    Ok(Done::Started { job_id })
}
