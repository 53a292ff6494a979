//! Configuration, read once.

use std::time::Duration;

use store::client::Endpoint;

/// What a function is told by its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `CRM_ACCESS_TABLE`: the table.
    pub table: String,
    /// `CRM_ACCESS_DYNAMODB_ENDPOINT`: where DynamoDB is, when it is not AWS's own. Empty is as good as unset.
    pub endpoint: Option<Endpoint>,
    /// `CRM_ACCESS_TOKEN_CACHE_SECONDS`: how long a function goes on believing a token that it has looked up, and so
    /// how long a revoked one may still be taken.
    pub token_cache: Duration,
    /// `CRM_ACCESS_LOG`: which log lines are written, as `tracing` filters them.
    pub log: String,
}

/// Table when none is named.
pub const DEFAULT_TABLE: &str = "crm-access";
const DEFAULT_TOKEN_CACHE: Duration = Duration::from_secs(30);

/// Why a function cannot start.
#[derive(Debug, thiserror::Error)]
#[error("{name} {problem}")]
pub struct ConfigError {
    name: &'static str,
    problem: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self { table: DEFAULT_TABLE.into(), endpoint: None, token_cache: DEFAULT_TOKEN_CACHE, log: "info".into() }
    }
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the variable that cannot be used.
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
        Ok(Self {
            table: set("CRM_ACCESS_TABLE").unwrap_or(default.table),
            endpoint,
            token_cache,
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
        let endpoint = Endpoint { url: "http://127.0.0.1:8000".into(), is_local: true };
        let expected = Config {
            table: "contacts".into(),
            endpoint: Some(endpoint),
            token_cache: Duration::ZERO,
            log: "debug".into(),
        };
        let variables = [
            ("CRM_ACCESS_TABLE", "contacts"),
            ("CRM_ACCESS_DYNAMODB_ENDPOINT", "http://127.0.0.1:8000"),
            ("CRM_ACCESS_TOKEN_CACHE_SECONDS", "0"),
            ("CRM_ACCESS_LOG", "debug"),
        ];
        check(&variables, Ok(expected));
    }

    #[test]
    fn a_number_that_is_none_is_named() {
        let expected = "CRM_ACCESS_TOKEN_CACHE_SECONDS must be a whole number of seconds";
        check(&[("CRM_ACCESS_TOKEN_CACHE_SECONDS", "soon")], Err(expected));
    }
}
