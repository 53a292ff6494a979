//! Starts work that no caller waits for. A schedule sends a wake-up every minute, which starts the due standing rules
//! and resumes abandoned jobs. An event that describes a run starts this run.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jobs::rules::NotStarted;
use jobs::{Abandoned, Deadline, Jobs};
use lambda_runtime::Error;
use models::job::JobId;
use models::request::RunOnce;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::Instant;

/// The result of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Done {
    /// The event was a wake-up.
    Woken {
        /// The number of rules that were started.
        rules_started: usize,
        /// The number of shards of open jobs that were queued for a worker.
        shards_resumed: usize,
    },
    /// The event was a run.
    Started {
        /// The job, whose path is below `/api/2.0/crm/access/jobs/`.
        job_id: JobId,
    },
}

/// Handles a wake-up or a run. A wake-up is `{}`, or the event of a schedule without an input. A run is
/// `{"portal":…,"filter":…,"access":…}`, and has administrator rights, because only the operator can invoke the
/// function directly. Any other event is an error.
///
/// # Errors
///
/// When the event is invalid, or the work of a wake-up fails, or a run cannot be started. A run that was not started
/// has changed nothing.
pub fn handle(jobs: &Jobs, event: Box<RawValue>, stop_at: Instant) -> BoxFuture<'_, Result<Done, Error>> {
    async move {
        match serde_json::from_str(event.get())? {
            Value::Object(members) if members.is_empty() || is_of_schedule(&members) => {
                wake(jobs, &Deadline::at(stop_at)).await
            }
            members => run_once(jobs, event.get().as_bytes(), &members).await,
        }
    }
    .boxed()
}

/// Recognizes the event that a scheduled EventBridge rule or EventBridge Scheduler sends without an input. All members
/// must match: an event with a missing or an additional member may be a misspelt run.
fn is_of_schedule(event: &Map<String, Value>) -> bool {
    const TEXTS: [&str; 7] = ["version", "id", "detail-type", "source", "account", "time", "region"];
    const OTHERS: [&str; 2] = ["resources", "detail"];
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let resources = event.get("resources").and_then(Value::as_array);
    // EventBridge Scheduler writes the detail as a string.
    let has_no_detail = match event.get("detail") {
        Some(Value::Object(detail)) => detail.is_empty(),
        Some(Value::String(detail)) => detail == "{}",
        _ => false,
    };
    event.len() == TEXTS.len() + OTHERS.len()
        && TEXTS.iter().all(|name| text(name).is_some())
        && resources.is_some_and(|resources| resources.iter().all(Value::is_string))
        && has_no_detail
        && text("detail-type") == Some("Scheduled Event")
        && matches!(text("source"), Some("aws.events" | "aws.scheduler"))
}

async fn wake(jobs: &Jobs, deadline: &Deadline) -> Result<Done, Error> {
    // Rules and the sweep run concurrently, and each completes even if the other fails.
    let (started, resumed) = futures::join!(jobs.run_due_rules(deadline), jobs.sweep(Abandoned::Expired, deadline));
    let (rules_started, shards_resumed) = (started?, resumed?);
    // Compaction only saves costs, so it runs last, in the remaining time.
    jobs.compact_due_postings(deadline).await?;
    if rules_started + shards_resumed > 0 {
        tracing::info!(rules_started, shards_resumed, "wake-up handled");
    }
    Ok(Done::Woken { rules_started, shards_resumed })
}

/// Starts a run. The parser reads the event's raw text, because a duplicate name is lost in parsed members.
async fn run_once(jobs: &Jobs, text: &[u8], members: &Value) -> Result<Done, Error> {
    let order = RunOnce::parse(text)?;
    let portal = jobs.store.portal(&order.portal).await?;
    let portal = portal.ok_or_else(|| NotStarted::UnknownPortal(order.portal.clone()))?;
    let order = order.resolve(&portal.time_zone)?;
    // The fingerprint of the run comes from the serialized members, so the text's indentation makes no difference.
    let job_id = jobs.run_once(&portal, order, &serde_json::to_vec(members)?).await?;
    tracing::info!(portal = %portal.id, job = %job_id, "run started");
    Ok(Done::Started { job_id })
}
