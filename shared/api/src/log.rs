//! Logs: JSON where a machine reads them, plain text where a person does.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Writes log lines to standard error, those that `filter` lets through: a level, or levels by target such as
/// `info,store=debug`. One that does not parse lets through what `info` does.
pub fn init(filter: &str) {
    let filter: Targets = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = if std::io::stderr().is_terminal() {
        layer.with_target(false).boxed()
    } else {
        layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    };
    // A second subscriber in one process (two tests, say) is refused; the first one then goes on.
    if let Err(error) = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init() {
        tracing::debug!(%error, "logs were set up before");
    }
}
