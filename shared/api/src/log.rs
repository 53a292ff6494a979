//! Logs: JSON where a machine reads them, plain text where a person does.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Writes log lines to standard error, those that `filter` lets through: a level, or levels by target such as
/// `info,store=debug`. One that does not parse lets through what `info` does.
pub fn init(filter: &str) {
    let filter: Targets = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let filter = filter.and(without_bodies());
    let layer = if std::io::stderr().is_terminal() {
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).boxed()
    } else {
        json_lines(std::io::stderr).boxed()
    };
    // A second subscriber in one process (two tests, say) is refused; the first one then goes on.
    if let Err(error) = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init() {
        tracing::debug!(%error, "logs were set up before");
    }
}

/// Writes one JSON object per log line. The metric filters of the deployment read the members of these objects.
pub fn json_lines<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
}

/// Keeps to `info` what other people's crates log: below it the Lambda runtime and the SDK log whole events and requests,
/// and with them the tokens of callers.
fn without_bodies() -> Targets {
    const FOREIGN: [&str; 4] = ["aws_", "hyper", "lambda_", "h2"];
    Targets::new().with_default(LevelFilter::TRACE).with_targets(FOREIGN.map(|prefix| (prefix, LevelFilter::INFO)))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    #[test]
    fn no_level_lets_events_and_requests_into_the_log() {
        let kept = without_bodies();
        for target in
            ["lambda_runtime::layers::api_response", "lambda_http", "aws_smithy_runtime::client", "hyper::proto"]
        {
            assert!(!kept.would_enable(target, &tracing::Level::DEBUG), "{target}");
            assert!(kept.would_enable(target, &tracing::Level::INFO), "{target}");
        }
        assert!(kept.would_enable("store::batch", &tracing::Level::TRACE));
        assert!("debug".parse::<Targets>().is_ok_and(|filter| filter.default_level() == Some(LevelFilter::DEBUG)));
    }
}
