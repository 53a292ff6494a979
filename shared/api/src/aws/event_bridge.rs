//! The bus of change events of a deployed crm-access, in EventBridge.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jobs::events::{Bus, BusError, JobEvent};
use serde::Serialize;
use store::dynamodb::client::{Endpoint, settings};

/// The source of every event, for the patterns of EventBridge rules.
pub const SOURCE: &str = "crm-access";
/// The detail type of every event, for the patterns of EventBridge rules.
pub const DETAIL_TYPE: &str = "Contact access job finished";

/// The maximum bytes of an entry of `PutEvents`.
const ENTRY_BYTES: usize = 256 * 1024;
/// The maximum bytes of an entry's detail. The remaining bytes of an entry are for the source, the type and the time.
const DETAIL_BYTES: usize = ENTRY_BYTES - 1024;

const _: () = assert!(DETAIL_BYTES + SOURCE.len() + DETAIL_TYPE.len() + 14 <= ENTRY_BYTES);

/// A bus in EventBridge.
#[derive(Clone, Debug)]
pub struct EventBridge {
    client: Client,
    name: String,
}

/// The reason why EventBridge did not accept an event.
#[derive(Debug, thiserror::Error)]
enum NotAccepted {
    #[error(
        "{}: {}",
        .0.error_code.as_deref().unwrap_or("no code"),
        .0.error_message.as_deref().unwrap_or("no reason given")
    )]
    Refused(PutEventsResultEntry),
    #[error("EventBridge gave no reason")]
    Unanswered,
}

/// The detail of a published event.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    #[serde(flatten)]
    event: JobEvent,
    /// True if the filter is omitted because the event would be too long. The job record has the filter.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    filter_omitted: bool,
}

impl EventBridge {
    /// Creates a client of the bus `name`, in AWS or in an emulator at `endpoint`, with the credentials and the region
    /// of Lambda's environment. Makes no network call, but loads the TLS roots. Call this function before the first
    /// poll, so that no caller waits.
    pub async fn connect(name: String, endpoint: Option<&str>) -> Self {
        Self { client: Client::new(&settings(endpoint.map(Endpoint::at).as_ref()).await), name }
    }
}

/// Serializes an event to at most [`DETAIL_BYTES`]. Omits a filter that does not fit, which happens only with very many
/// long tags.
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
            Err(BusError(entry.map_or(NotAccepted::Unanswered, NotAccepted::Refused).into()))
        }
        .boxed()
    }
}
