//! Logging: JSON for machines, plain text on a terminal.
//!
//! A log line is short, and holds no token, password or search term of a caller. This module bounds the length of every
//! line and keeps other crates from logging requests. The callers of `tracing` must not pass confidential values.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Stderr};
use std::panic::PanicHookInfo;

use models::limits::MAX_LOG_LINE_BYTES;
use models::values::printable::{beginning, is_unsafe, printable};
use serde_json::{Map, Value, json};
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The crates of this service, which may log below `info`. Below `info`, other crates log complete requests and
/// answers, with tokens, contacts and password hashes.
pub const OWN_CRATES: [&str; 18] = [
    "access_jobs",
    "api",
    "bulk_worker",
    "crm_access",
    "engine",
    "get_contact",
    "jobs",
    "limiter",
    "list_contacts",
    "local",
    "models",
    "run_rules",
    "session",
    "set_contact_access",
    "set_contacts_access",
    "set_filter_access",
    "store",
    "web_console",
];

/// The maximum bytes of each text in a shortened line. The values are tried in turn until the line is short enough.
const MAX_TEXT_BYTES: [usize; 3] = [1024, 128, 16];

/// Writes the log lines that `filter` admits to standard error. The filter is a level, or levels by target such as
/// `info,store=debug`; a malformed filter means `info`. A panic becomes a log line too.
pub fn init(filter: &str) {
    let filter: Targets = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let filter = filter.and(own_below_info());
    let layer = if io::stderr().is_terminal() {
        tracing_subscriber::fmt::layer().with_writer(Lines(io::stderr)).with_target(false).boxed()
    } else {
        json_lines(Lines(io::stderr)).boxed()
    };
    // A process keeps its first subscriber. A second call, for example in another test, changes nothing.
    if let Err(error) = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init() {
        tracing::debug!(%error, "logging was initialised before");
        return;
    }
    std::panic::set_hook(Box::new(log_panic));
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

/// Logs the location of a panic, and its message if the message is constant. A formatted message may quote data.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    let reason = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(at, reason, "panicked");
}

/// Returns a filter that limits other crates to `info`.
fn own_below_info() -> Targets {
    Targets::new().with_default(LevelFilter::INFO).with_targets(OWN_CRATES.map(|name| (name, LevelFilter::TRACE)))
}

/// Creates writers whose lines are bounded and safe to print.
#[derive(Clone, Copy, Debug)]
struct Lines<M>(M);

impl<M: Fn() -> Stderr> MakeWriter<'_> for Lines<M> {
    type Writer = LineWriter<Stderr>;

    fn make_writer(&self) -> Self::Writer {
        LineWriter(self.0())
    }
}

/// Writes log lines. `tracing` passes each line in a single write.
#[derive(Debug)]
struct LineWriter<W>(W);

impl<W: io::Write> io::Write for LineWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(bounded(text.trim_end_matches('\n')).as_bytes())?;
        self.0.write_all(b"\n")?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns the line without control characters, and with at most [`MAX_LOG_LINE_BYTES`] including its line feed.
fn bounded(line: &str) -> Cow<'_, str> {
    const MAX: usize = MAX_LOG_LINE_BYTES - "\n".len();
    let is_safe = !line.contains(is_unsafe);
    if is_safe && line.len() <= MAX {
        return line.into();
    }
    let members = serde_json::from_str::<Map<String, Value>>(line);
    match members {
        Ok(members) if line.len() <= MAX => {
            let escaped = escaped_json(&Value::Object(members).to_string());
            if escaped.len() <= MAX { escaped.into() } else { bounded_json(line, MAX).into() }
        }
        Ok(_) => bounded_json(line, MAX).into(),
        Err(_) => {
            const MORE: &str = " [shortened]";
            let text = printable(beginning(line, MAX)).to_string();
            let fits = text.len() <= MAX && line.len() <= MAX;
            if fits { text.into() } else { format!("{}{MORE}", beginning(&text, MAX - MORE.len())).into() }
        }
    }
}

/// Shortens the texts of a JSON line until the line is short enough.
fn bounded_json(line: &str, max: usize) -> String {
    for max_text in MAX_TEXT_BYTES {
        let Ok(mut value) = serde_json::from_str::<Value>(line) else { break };
        shorten(&mut value, max_text);
        value["shortened"] = json!(true);
        let text = escaped_json(&value.to_string());
        if text.len() <= max {
            return text;
        }
    }
    // The line has so many members that shortening texts is not enough. This service writes no such line.
    json!({ "level": "ERROR", "message": "a log line was too long", "bytes": line.len() }).to_string()
}

fn shorten(value: &mut Value, max_bytes: usize) {
    match value {
        Value::String(text) => text.truncate(text.floor_char_boundary(max_bytes)),
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, max_bytes)),
        Value::Object(members) => members.values_mut().for_each(|value| shorten(value, max_bytes)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Escapes the characters of a JSON text that control a terminal. In JSON, these characters occur only inside strings.
fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                write!(escaped, "\\u{unit:04x}").unwrap_or_default();
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_own_crates_log_below_info() {
        let filter = own_below_info();
        for target in [
            "lambda_runtime::layers::api_response",
            "lambda_http",
            "aws_smithy_runtime::client",
            "hyper::proto",
            "dynoxide::server",
            "rusqlite",
            "tower_http::trace",
            "axum::serve",
            "crate_of_tomorrow",
        ] {
            assert!(!filter.would_enable(target, &tracing::Level::DEBUG), "{target}");
            assert!(filter.would_enable(target, &tracing::Level::INFO), "{target}");
        }
        for name in OWN_CRATES {
            assert!(filter.would_enable(&format!("{name}::module"), &tracing::Level::TRACE), "{name}");
        }
        assert!("debug".parse::<Targets>().is_ok_and(|filter| filter.default_level() == Some(LevelFilter::DEBUG)));
    }

    fn written(line: &str) -> String {
        let mut writer = LineWriter(Vec::new());
        writer.write_all(line.as_bytes()).unwrap();
        String::from_utf8(writer.0).unwrap()
    }

    #[test]
    fn short_line_without_control_characters_is_unchanged() {
        for line in ["INFO answered status=200\n", "{\"level\":\"INFO\",\"message\":\"Zoë\"}\n", "\n"] {
            assert_eq!(written(line), line);
        }
    }

    #[test]
    fn long_line_is_shortened_and_json_stays_valid() {
        let long = |count: usize, text: &str| {
            let members: Map<String, Value> = (0..count).map(|number| (format!("m{number}"), json!(text))).collect();
            json!({"level": "INFO", "message": text, "span": {"deep": [text]}, "fields": members}).to_string() + "\n"
        };
        for line in [
            long(1, &"x".repeat(272 * 1024)),
            long(1, &"\u{202e}".repeat(2000)),
            long(3, &"é\"\\".repeat(3000)),
            long(100, &"x".repeat(200)),
            long(2000, "x"),
        ] {
            let text = written(&line);
            assert!(text.len() <= MAX_LOG_LINE_BYTES && text.ends_with('\n'), "{}", text.len());
            let json: Value = serde_json::from_str(&text).unwrap();
            assert!(json["level"].is_string() && json["message"].is_string(), "{json}");
        }
        for text in ["x".repeat(272 * 1024), "\u{1b}".repeat(8000), "é".repeat(5000)] {
            let text = written(&format!("INFO {text}\n"));
            assert!(text.len() <= MAX_LOG_LINE_BYTES && text.ends_with(" [shortened]\n"), "{}", text.len());
        }
    }

    #[test]
    fn no_line_moves_the_cursor_or_reorders_text() {
        assert_eq!(written("INFO a\u{1b}[2Jb\nINFO forged\n"), "INFO a\\u{1b}[2Jb\\nINFO forged\n");
        let json = json!({"message": "a\u{9b}2J\u{202e}\u{e0041}\nb"}).to_string() + "\n";
        let text = written(&json);
        assert!(!text.trim_end().contains(is_unsafe), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::from_str::<Value>(&json).unwrap());
    }
}
