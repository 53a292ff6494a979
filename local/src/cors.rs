//! CORS: the origins whose pages may call the service from a browser. By default no origin is allowed.
//!
//! On AWS the HTTP API has the same lists; a test compares them with the template.

use std::time::Duration;

use axum::Router;
use lambda_http::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::CorsLayer;

/// Methods that a page may use.
pub const METHODS: [&str; 4] = ["GET", "PUT", "POST", "DELETE"];

/// Headers that a page may send.
pub const REQUEST_HEADERS: [&str; 7] =
    ["accept", "authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "prefer"];

/// Headers of an answer that a page may read.
pub const RESPONSE_HEADERS: [&str; 17] = [
    "etag",
    "location",
    "preference-applied",
    "retry-after",
    "www-authenticate",
    "x-failed-count",
    "x-job-id",
    "x-matched-count",
    "x-next",
    "x-next-index",
    "x-request-id",
    "x-skipped-count",
    "x-total-count",
    "x-total-is-lower-bound",
    "x-unchanged-count",
    "x-updated-count",
    "allow",
];

/// The seconds for which a browser caches the preflight answer.
pub const MAX_AGE_SECONDS: u64 = 600;

/// Adds CORS headers for pages of `origins`.
pub fn allowing(router: Router, origins: &[HeaderValue]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let layer = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods(METHODS.iter().filter_map(|name| name.parse::<Method>().ok()).collect::<Vec<_>>())
        .allow_headers(REQUEST_HEADERS.map(HeaderName::from_static))
        .expose_headers(RESPONSE_HEADERS.map(HeaderName::from_static))
        .max_age(Duration::from_secs(MAX_AGE_SECONDS));
    router.layer(layer)
}
