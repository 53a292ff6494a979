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
use serde_json::value::RawValue;
use serde_json::{Map, Value};
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

/// Handles a wake-up, which is `{}` or the envelope of a schedule without an input of its own, or a run:
/// `{"portal":…,"filter":…,"access":…}`. A run has an administrator's rights, because whoever may call the function itself
/// has the operator's trust. Any other event is an error.
///
/// # Errors
///
/// When the run cannot be read or started; nothing was changed then.
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

/// Recognizes the event that EventBridge sends for a rule on a schedule, or EventBridge Scheduler, if neither was given an
/// input. The whole shape counts: a member more or less, and the event may be a run that is written wrongly.
fn is_of_schedule(event: &Map<String, Value>) -> bool {
    const TEXTS: [&str; 7] = ["version", "id", "detail-type", "source", "account", "time", "region"];
    const OTHERS: [&str; 2] = ["resources", "detail"];
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let resources = event.get("resources").and_then(Value::as_array);
    // EventBridge Scheduler writes the detail as a text.
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
    // Neither waits for the other, nor fails with it.
    let (started, resumed) = futures::join!(jobs.run_due_rules(deadline), jobs.sweep(Abandoned::Expired, deadline));
    let (rules_started, shards_resumed) = (started?, resumed?);
    // Compaction only saves costs, so it comes last and takes the time that is left.
    jobs.compact_due_postings(deadline).await?;
    if rules_started + shards_resumed > 0 {
        tracing::info!(rules_started, shards_resumed, "woken");
    }
    Ok(Done::Woken { rules_started, shards_resumed })
}

/// Starts a run. It is read from the event's own text, in which a name that is given twice still stands twice.
async fn run_once(jobs: &Jobs, text: &[u8], members: &Value) -> Result<Done, Error> {
    let portal = RunOnce::portal(text)?;
    let portal = jobs.store.portal(&portal).await?.ok_or(NotStarted::UnknownPortal(portal))?;
    let order = RunOnce::parse(text, &portal.time_zone)?;
    // The same run is the same however its text is indented.
    let job_id = jobs.run_once(&portal, order, &serde_json::to_vec(members)?).await?;
    tracing::info!(portal = %portal.id, job = %job_id, "run started");
    Ok(Done::Started { job_id })
}
