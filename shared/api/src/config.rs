//! Configuration of a function, read once at start.

use std::time::Duration;

use jobs::context::DEFAULT_CHUNK_DAYS;
use store::dynamodb::client::Endpoint;

/// The configuration of a function from its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `CRM_ACCESS_TABLE`: name of the table.
    pub table: String,
    /// `CRM_ACCESS_DYNAMODB_ENDPOINT`: endpoint of DynamoDB, if not AWS's own. Empty means unset.
    pub endpoint: Option<Endpoint>,
    /// `CRM_ACCESS_TOKEN_CACHE_SECONDS`: how long a function caches a token. A revoked token may be accepted for this
    /// time.
    pub token_cache: Duration,
    /// `CRM_ACCESS_ALLOWED_ORIGINS`: origins whose pages may sign users in, separated by commas.
    pub allowed_origins: Vec<String>,
    /// `CRM_ACCESS_QUEUE_URL`: the queue of the bulk workers.
    pub queue_url: Option<String>,
    /// `CRM_ACCESS_SQS_ENDPOINT`: endpoint of SQS, if not AWS's own.
    pub sqs_endpoint: Option<String>,
    /// `CRM_ACCESS_EVENT_BUS`: name of the EventBridge bus for events of finished jobs; none without a bus.
    pub event_bus: Option<String>,
    /// `CRM_ACCESS_EVENTS_ENDPOINT`: endpoint of EventBridge, if not AWS's own.
    pub events_endpoint: Option<String>,
    /// `CRM_ACCESS_CHUNK_DAYS`: days for which the access from before a job is stored; 0 means for ever.
    pub chunk_days: u32,
    /// `CRM_ACCESS_LOG`: filter of log lines, in the syntax of `tracing`.
    pub log: String,
}

/// The default name of the table.
pub const DEFAULT_TABLE: &str = "crm-access";
/// The maximum of `chunk_days`: a hundred years. A much larger value would overflow the calendar.
const MAX_CHUNK_DAYS: u32 = 36_500;
const DEFAULT_TOKEN_CACHE: Duration = Duration::from_secs(30);

/// The error for an invalid variable, which stops the start of a function.
#[derive(Debug, thiserror::Error)]
#[error("{name} {problem}")]
pub struct ConfigError {
    name: &'static str,
    problem: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: DEFAULT_TABLE.into(),
            endpoint: None,
            token_cache: DEFAULT_TOKEN_CACHE,
            allowed_origins: Vec::new(),
            queue_url: None,
            sqs_endpoint: None,
            event_bus: None,
            events_endpoint: None,
            chunk_days: DEFAULT_CHUNK_DAYS,
            log: "info".into(),
        }
    }
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the invalid variable.
    pub fn from_env() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let default = Self::default();
        let endpoint = set("CRM_ACCESS_DYNAMODB_ENDPOINT").map(Endpoint::at);
        const CACHE: &str = "CRM_ACCESS_TOKEN_CACHE_SECONDS";
        let token_cache = match set(CACHE).map(|seconds| seconds.parse()) {
            None => default.token_cache,
            Some(Ok(seconds)) => Duration::from_secs(seconds),
            Some(Err(_)) => return Err(ConfigError { name: CACHE, problem: "must be a whole number of seconds" }),
        };
        const DAYS: &str = "CRM_ACCESS_CHUNK_DAYS";
        let chunk_days = match set(DAYS).map(|days| days.parse()) {
            None => default.chunk_days,
            Some(Ok(days)) if days <= MAX_CHUNK_DAYS => days,
            Some(_) => {
                return Err(ConfigError { name: DAYS, problem: "must be a whole number of days, at most 36500" });
            }
        };
        let origins = set("CRM_ACCESS_ALLOWED_ORIGINS").unwrap_or_default();
        let origins = origins.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        Ok(Self {
            allowed_origins: origins.map(str::to_owned).collect(),
            table: set("CRM_ACCESS_TABLE").unwrap_or(default.table),
            endpoint,
            token_cache,
            queue_url: set("CRM_ACCESS_QUEUE_URL"),
            sqs_endpoint: set("CRM_ACCESS_SQS_ENDPOINT"),
            event_bus: set("CRM_ACCESS_EVENT_BUS"),
            events_endpoint: set("CRM_ACCESS_EVENTS_ENDPOINT"),
            chunk_days,
            log: set("CRM_ACCESS_LOG").unwrap_or(default.log),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: Result<Config, &str>) {
        let found =
            Config::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()));
        assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(ToOwned::to_owned));
    }

    #[test]
    fn an_empty_environment_has_defaults() {
        check(&[], Ok(Config::default()));
        check(&[("CRM_ACCESS_DYNAMODB_ENDPOINT", " "), ("CRM_ACCESS_TABLE", "")], Ok(Config::default()));
    }

    #[test]
    fn variables_are_read() {
        let endpoint = Endpoint::at("http://127.0.0.1:8000");
        let expected = Config {
            table: "contacts".into(),
            endpoint: Some(endpoint),
            token_cache: Duration::ZERO,
            allowed_origins: vec!["https://crm.example.com".into(), "http://localhost:3000".into()],
            event_bus: Some("changes".into()),
            chunk_days: 0,
            log: "debug".into(),
            ..Config::default()
        };
        let variables = [
            ("CRM_ACCESS_TABLE", "contacts"),
            ("CRM_ACCESS_DYNAMODB_ENDPOINT", "http://127.0.0.1:8000"),
            ("CRM_ACCESS_TOKEN_CACHE_SECONDS", "0"),
            ("CRM_ACCESS_EVENT_BUS", "changes"),
            ("CRM_ACCESS_ALLOWED_ORIGINS", "https://crm.example.com, http://localhost:3000,"),
            ("CRM_ACCESS_CHUNK_DAYS", "0"),
            ("CRM_ACCESS_LOG", "debug"),
        ];
        check(&variables, Ok(expected));
    }

    #[test]
    fn error_names_the_invalid_variable() {
        let expected = "CRM_ACCESS_TOKEN_CACHE_SECONDS must be a whole number of seconds";
        check(&[("CRM_ACCESS_TOKEN_CACHE_SECONDS", "soon")], Err(expected));
        let expected = "CRM_ACCESS_CHUNK_DAYS must be a whole number of days, at most 36500";
        check(&[("CRM_ACCESS_CHUNK_DAYS", "36501")], Err(expected));
    }
}
