//! Answers of the service.

use lambda_http::http::{HeaderMap, StatusCode};
use serde_json::Value;

/// A complete response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text; empty when it is not UTF-8.
    pub text: String,
    /// The raw body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns the body as JSON; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Returns a header's text; empty when the header is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns a numeric header; none when it is missing.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.header(name).parse().ok()
    }

    /// Returns the envelope's `response`, or the complete body if it has no envelope.
    pub fn response(&self) -> Value {
        let mut json = self.json();
        if json.get("response").is_some() { json["response"].take() } else { json }
    }

    /// Returns the identifiers of listed contacts, as `ID` or `id`.
    pub fn ids(&self) -> Vec<i64> {
        let id = |contact: &Value| contact["ID"].as_i64().or(contact["id"].as_i64());
        self.response().as_array().into_iter().flatten().filter_map(id).collect()
    }

    /// Returns `error.type`, the stable name of the error.
    pub fn error_type(&self) -> String {
        self.json()["error"]["type"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the kind of failure in a JSON or XML body; empty when there is none.
    pub(crate) fn failure(&self) -> String {
        let in_xml = || Some(self.text.split_once("<error>")?.1.split_once("<type>")?.1.split_once("</type>")?.0);
        let of_json = self.error_type();
        if of_json.is_empty() { in_xml().unwrap_or_default().to_owned() } else { of_json }
    }
}
