//! Where change events go in a deployed crm-access: a bus of EventBridge.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jobs::events::{Bus, BusError, JobEvent};
use serde::Serialize;
use store::dynamodb::client::{Endpoint, settings};

/// The source of every event, which rules match on.
pub const SOURCE: &str = "crm-access";
/// What every event says has happened, which rules match on.
pub const DETAIL_TYPE: &str = "Contact access job finished";

/// Bytes of an entry of `PutEvents`; EventBridge takes no more.
const ENTRY_BYTES: usize = 256 * 1024;
/// Bytes of an entry's detail. The rest is for what an entry counts beside it: its source, its type and its time.
const DETAIL_BYTES: usize = ENTRY_BYTES - 1024;

const _: () = assert!(DETAIL_BYTES + SOURCE.len() + DETAIL_TYPE.len() + 14 <= ENTRY_BYTES);

/// A bus of EventBridge.
#[derive(Clone, Debug)]
pub struct EventBridge {
    client: Client,
    name: String,
}

/// Why EventBridge answered, but has not taken the event.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(
        "{}: {}",
        .0.error_code.as_deref().unwrap_or("no code"),
        .0.error_message.as_deref().unwrap_or("no reason given")
    )]
    Refused(PutEventsResultEntry),
    #[error("the answer does not say why")]
    Unanswered,
}

/// An event as it is told.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    #[serde(flatten)]
    event: JobEvent,
    /// Whether there was a filter that is too long to be told. The job has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    filter_omitted: bool,
}

impl EventBridge {
    /// The bus `name`, through AWS or through an emulator at `endpoint`, with the credentials and the region that
    /// Lambda puts into the environment. Calls nobody, but loads the TLS roots: made before the first poll, no caller
    /// waits for that.
    pub async fn connect(name: String, endpoint: Option<&str>) -> Self {
        Self { client: Client::new(&settings(endpoint.map(Endpoint::at).as_ref()).await), name }
    }
}

/// The JSON of an event, of at most [`DETAIL_BYTES`]: a thousand long tags do not fit, all else does.
fn detail(event: JobEvent) -> serde_json::Result<String> {
    let mut detail = Detail { event, filter_omitted: false };
    let text = serde_json::to_string(&detail)?;
    if text.len() <= DETAIL_BYTES || detail.event.filter.is_none() {
        return Ok(text);
    }
    detail.event.filter = None;
    detail.filter_omitted = true;
    serde_json::to_string(&detail)
}

impl Bus for EventBridge {
    fn put(&self, event: JobEvent) -> BoxFuture<'_, Result<(), BusError>> {
        async move {
            let entry = PutEventsRequestEntry::builder()
                .event_bus_name(&self.name)
                .source(SOURCE)
                .detail_type(DETAIL_TYPE)
                .detail(detail(event).map_err(|error| BusError(error.into()))?)
                .build();
            let put = self.client.put_events().entries(entry).send().await;
            let output = put.map_err(|error| BusError(error.into()))?;
            if output.failed_entry_count == 0 {
                return Ok(());
            }
            let entry = output.entries.unwrap_or_default().into_iter().next();
            Err(BusError(entry.map_or(NotTaken::Unanswered, NotTaken::Refused).into()))
        }
        .boxed()
    }
}
