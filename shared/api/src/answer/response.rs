//! Converts an answer or a failure to an HTTP response.

use std::io::Write as _;

use flate2::write::GzEncoder;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, VARY};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use lambda_http::{Body, Request};
use models::answer;

use crate::answer::{Answer, REQUEST_ID, digest_text};
use crate::failure::{Failure, Unmet};
use crate::negotiation::{Compression, ResponseFormat};

/// The properties of a request that decide how its answer is sent.
#[derive(Debug)]
pub(crate) struct ResponseOptions {
    /// The format of the answer.
    pub(crate) format: ResponseFormat,
    request_id: String,
    method: Method,
    known_tags: KnownTags,
    required_tags: RequiredTags,
    accepts_gzip: bool,
}

/// The entity tags of `If-Match`, one of which must name the current version; empty without this header.
#[derive(Debug)]
pub(crate) struct RequiredTags(Vec<String>);

impl RequiredTags {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(tags_in(headers, IF_MATCH))
    }

    /// Returns the reason why no tag holds; none if a tag holds or there are no tags. Tags are compared strongly
    /// (RFC 9110, section 13.1.1): `is_current` compares the text within the quotation marks. `*` holds if the target
    /// `exists`.
    pub(crate) fn unmet(&self, is_current: impl Fn(&str) -> bool, exists: bool) -> Option<Unmet> {
        let holds = |tag: &String| match tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
            Some(tag) => is_current(tag),
            None => tag == "*" && exists,
        };
        if self.0.is_empty() || self.0.iter().any(holds) {
            return None;
        }
        let is_weak = |tag: &String| tag.starts_with("W/") || tag.starts_with("w/");
        Some(if self.0.iter().any(is_weak) { Unmet::Weak } else { Unmet::Changed })
    }
}

/// Returns the version in an entity tag without its quotation marks. In the tag of a `GET`, the version stands before
/// the first dot.
pub(crate) fn version_in(tag: &str) -> &str {
    tag.split('.').next().unwrap_or(tag)
}

/// The entity tags of `If-None-Match`, for the versions that the caller has.
#[derive(Debug)]
pub(crate) struct KnownTags(Vec<String>);

impl KnownTags {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(tags_in(headers, IF_NONE_MATCH))
    }

    /// Returns whether this tag is among the tags, by weak comparison (RFC 9110, section 13.1.2). Ignores the
    /// suffix of a compressed answer's tag.
    pub(crate) fn include(&self, tag: &str) -> bool {
        let plain = |tag: &str| without_mark(tag.trim_start_matches("W/"));
        self.0.iter().any(|known| known == "*" || plain(known) == plain(tag))
    }
}

impl ResponseOptions {
    pub(crate) fn new(request: &Request, format: ResponseFormat, request_id: &str) -> Self {
        let headers = request.headers();
        Self {
            format,
            request_id: request_id.to_owned(),
            method: request.method().clone(),
            known_tags: KnownTags::of(headers),
            required_tags: RequiredTags::of(headers),
            accepts_gzip: Compression::Gzip.is_accepted(headers),
        }
    }
}

/// Returns the entity tags of a header. A value that is not ASCII counts as an empty tag, which equals no tag: a
/// precondition must not be lost.
fn tags_in(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect()
}

/// Returns an entity tag without the mark of compression.
fn without_mark(tag: &str) -> String {
    Compression::ALL.iter().fold(tag.to_owned(), |tag, compression| tag.replace(compression.mark(), ""))
}

/// The minimum length in bytes of a compressed body. For a shorter body, the headers cost more bytes than compression
/// saves.
const GZIP_FROM_BYTES: usize = 1024;

/// Returns the entity tag of an answer to a `GET`: the version (if any), a digest of the body, and the mark of
/// compression (if compressed).
fn reading_tag(revision: Option<&str>, body: &[u8], mark: &str) -> String {
    let digest = digest_text(body);
    match revision {
        Some(revision) => format!("\"{revision}.{digest}{mark}\""),
        None => format!("\"{digest}{mark}\""),
    }
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Returns the response to a call.
pub(crate) fn respond(result: Result<Answer, Failure>, options: &ResponseOptions) -> Response<Body> {
    let mut answer = result.unwrap_or_else(|failure| {
        failure.log();
        let empty = Answer::ok(options.format.content_type, Vec::new());
        let mut answer = Answer { status: failure.status(), headers: failure.headers(), ..empty };
        match answer::error(options.format.shape.format, &failure.body(&options.request_id, &options.method)) {
            Ok(body) => answer.body = body,
            Err(error) => {
                tracing::error!(%error, "error not serialised");
                answer.content_type = ResponseFormat::JSON.content_type;
                answer.status = StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
        answer
    });
    let gzipped = if options.accepts_gzip && answer.body.len() >= GZIP_FROM_BYTES {
        // An answer that cannot be compressed is sent uncompressed.
        compressed(&answer.body).inspect_err(|error| tracing::error!(%error, "answer not compressed")).ok()
    } else {
        None
    };
    let is_reading = options.method == Method::GET && answer.status == StatusCode::OK;
    let mark = if gzipped.is_some() { Compression::Gzip.mark() } else { "" };
    let tag = match &answer.revision {
        _ if is_reading => Some(reading_tag(answer.revision.as_deref(), &answer.body, mark)),
        Some(revision) => Some(format!("\"{revision}\"")),
        None => None,
    };
    if is_reading {
        let plain = tag.as_deref().map(without_mark);
        // The answer of a change shows the version alone.
        let is_current = |held: &str| {
            answer.revision.as_deref() == Some(held)
                || plain.as_deref().is_some_and(|tag| tag.trim_matches('"') == without_mark(held))
        };
        if let Some(unmet) = options.required_tags.unmet(is_current, true) {
            return respond(Err(Failure::PreconditionFailed(unmet)), options);
        }
    }
    let is_known = is_reading && tag.as_ref().is_some_and(|tag| options.known_tags.include(tag));
    if is_known {
        answer.status = StatusCode::NOT_MODIFIED;
        answer.body.clear();
    }
    let is_compressed = gzipped.is_some() && !is_known;
    let body = match gzipped {
        Some(gzipped) if is_compressed => Body::Binary(gzipped),
        _ if answer.body.is_empty() => Body::Empty,
        // Lambda sends text unchanged, and binary bodies as base64.
        _ => String::from_utf8(answer.body).map_or_else(|bytes| Body::Binary(bytes.into_bytes()), Body::Text),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let is_empty = matches!(response.body(), Body::Empty);
    let all: &mut HeaderMap = response.headers_mut();
    if !is_empty {
        all.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    }
    if is_compressed {
        all.insert(CONTENT_ENCODING, HeaderValue::from_static(Compression::Gzip.name()));
    }
    // The conversion never fails: an entity tag has only quotes, hyphens, dots, digits and letters.
    all.extend(tag.and_then(|tag| HeaderValue::from_str(&tag).ok()).map(|tag| (ETAG, tag)));
    // Answers depend on the caller's rights at the time of the call.
    all.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    all.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding, Authorization"));
    all.extend(HeaderValue::from_str(&options.request_id).ok().map(|id| (REQUEST_ID, id)));
    all.extend(answer.headers.into_iter().map(|(name, value)| (Some(name), value)));
    response
}
