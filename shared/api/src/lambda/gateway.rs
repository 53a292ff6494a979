//! Events of API Gateway's HTTP API (payload format 2.0): converts an event to a request, and a response to the answer
//! of the event.
//!
//! `lambda_http` has the same conversion, but it panics or fails on input that any caller can send without a token: a
//! query or a host that is invalid in a URI, a body with broken base64, a header outside of ASCII. This module refuses
//! such requests.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequestContext, ApiGatewayV2httpResponse};
use lambda_http::http::uri::PathAndQuery;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Response, Uri};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, Request, RequestExt as _};
use models::invalid::Invalid;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The parts of an event that the service uses. Query parameters are read only from the raw query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    path_parameters: Option<HashMap<String, String>>,
    request_context: ApiGatewayV2httpRequestContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// A request that cannot be read completely. Its readable parts determine the format of the refusal.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) request: Box<Request>,
    pub(crate) fault: Invalid,
}

/// The characters that are percent-encoded in a path. API Gateway has decoded the path, so a `%` is part of the
/// caller's text.
const ENCODED_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Converts an event to a request.
///
/// # Errors
///
/// [`Unreadable`] when a part of the event is not valid in a request.
pub(crate) fn request(event: &RawValue, context: Context) -> Result<Request, Unreadable> {
    let event: Event = match serde_json::from_str(event.get()) {
        Ok(event) => event,
        Err(error) => {
            // The text of the error may quote a token, so only the position is logged.
            tracing::warn!(line = error.line(), column = error.column(), "event cannot be parsed");
            let request = Box::new(Request::new(Body::Empty).with_lambda_context(context));
            return Err(Unreadable { request, fault: Invalid::one("", "The request cannot be read") });
        }
    };
    let mut faults = Vec::new();
    let mut add_fault =
        |part: Result<(), Invalid>| faults.extend(part.err().into_iter().flat_map(|fault| fault.faults));

    let mut request = Request::new(Body::Empty);
    *request.method_mut() = event.request_context.http.method.clone();
    let path = path(&event.raw_path.unwrap_or_default());
    match uri(&path, &event.raw_query_string.unwrap_or_default()) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(fault) => {
            add_fault(Err(fault));
            *request.uri_mut() = Uri::from(path);
        }
    }
    for (name, value) in event.headers.unwrap_or_default() {
        add_fault(put_header(request.headers_mut(), &name, &value));
    }
    match body(event.body, event.is_base64_encoded.unwrap_or(false)) {
        Ok(body) => *request.body_mut() = body,
        Err(fault) => add_fault(Err(fault)),
    }
    let request = request
        .with_path_parameters(in_lists(event.path_parameters.unwrap_or_default()))
        .with_request_context(RequestContext::ApiGatewayV2(event.request_context))
        .with_lambda_context(context);
    match faults {
        faults if faults.is_empty() => Ok(request),
        faults => Err(Unreadable { request: Box::new(request), fault: Invalid { faults } }),
    }
}

/// Encodes a decoded path for a URI; `/` if the path is too long for a URI.
fn path(decoded: &str) -> PathAndQuery {
    let decoded = decoded.strip_prefix('/').unwrap_or(decoded);
    let path = format!("/{}", utf8_percent_encode(decoded, ENCODED_IN_PATH));
    PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

fn uri(path: &PathAndQuery, query: &str) -> Result<Uri, Invalid> {
    const UNENCODED: &str = "The query holds a character that no URI may hold there, such as a space, \", <, > or #. \
                             Percent-encode it: a space is %20";
    let path_and_query = match query {
        "" => return Ok(Uri::from(path.clone())),
        // `#` ends a URI, so the rest of the query would be lost.
        query if query.contains('#') => None,
        query => PathAndQuery::try_from(format!("{path}?{query}")).ok(),
    };
    path_and_query.map(Uri::from).ok_or_else(|| Invalid::one("", UNENCODED))
}

fn put_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Invalid> {
    let name_of = HeaderName::from_bytes(name.as_bytes()).ok();
    let put = name_of.zip(HeaderValue::from_bytes(value.as_bytes()).ok());
    match put.map(|(name, value)| headers.try_append(name, value)) {
        Some(Ok(_)) => Ok(()),
        _ => Err(Invalid::one("", "A header holds a character that no header may hold, or there are too many headers")),
    }
}

fn body(text: Option<String>, is_base64: bool) -> Result<Body, Invalid> {
    match text {
        None => Ok(Body::Empty),
        Some(text) if !is_base64 => Ok(Body::Text(text)),
        Some(text) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Body::Binary(bytes)),
            Err(_) => Err(Invalid::one("", "The body is not valid base64; send the request again")),
        },
    }
}

fn in_lists(parameters: HashMap<String, String>) -> HashMap<String, Vec<String>> {
    parameters.into_iter().map(|(name, value)| (name, vec![value])).collect()
}

/// Converts a response to the answer of an event.
pub(crate) fn answer(response: Response<Body>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = i64::from(parts.status.as_u16());
    answer.headers = parts.headers;
    answer.is_base64_encoded = matches!(body, Body::Binary(_));
    answer.body = (!matches!(body, Body::Empty)).then_some(body);
    answer
}
