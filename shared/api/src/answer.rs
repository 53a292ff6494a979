//! Answers, and what becomes of them on the wire.

use lambda_http::Body;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use models::contact::Contact;
use models::job::{Counts, JobId};
use models::limits::MAX_ANSWER_BYTES;
use models::wire;

use crate::failure::Failure;
use crate::negotiation::Wanted;

/// Header with the request's identifier, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header with the job that recorded a change.
pub const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// Header with the `startIndex` of the next page, when there is one.
pub const NEXT_INDEX: HeaderName = HeaderName::from_static("x-next-index");

/// What a handler answers with.
#[derive(Debug)]
pub struct Answer {
    body: Vec<u8>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// One contact.
    pub fn contact(wanted: Wanted, contact: &Contact) -> Result<Self, Failure> {
        let body = wire::one(wanted.format, contact).map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(Self { body, headers: Vec::new() })
    }

    /// A page of contacts that starts at `start_index` of `total`. A page that would be longer than an answer may be
    /// ends earlier; `X-Next-Index` says where the next one starts.
    ///
    /// `asked` is how many positions of the list the page stands for: one of them may have been removed meanwhile.
    pub fn contacts(
        wanted: Wanted,
        contacts: &[Contact],
        start_index: usize,
        asked: usize,
        total: u64,
    ) -> Result<Self, Failure> {
        let list = wire::list(wanted.format, contacts, MAX_ANSWER_BYTES)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        let passed = if list.written == contacts.len() { asked } else { list.written };
        let next = start_index as u64 + passed as u64;
        // A page that was asked to be empty has no next one to follow.
        let headers = if next < total && passed > 0 { vec![(NEXT_INDEX, HeaderValue::from(next))] } else { Vec::new() };
        Ok(Self { body: list.body, headers })
    }

    /// Adds a contact's access revision.
    #[must_use]
    pub fn with_revision(mut self, revision: Option<JobId>) -> Self {
        // An entity tag of hyphens, digits and letters is always a header value.
        self.headers.extend(HeaderValue::from_str(&entity_tag(revision)).map(|value| (ETAG, value)));
        self
    }

    /// Adds the job that recorded the change.
    #[must_use]
    pub fn with_job(mut self, job: Option<JobId>) -> Self {
        self.headers.extend(job.map(|job| (JOB_ID, job_value(job))));
        self
    }

    /// Adds what a run did.
    #[must_use]
    pub fn with_counts(mut self, counts: &Counts, job: Option<JobId>) -> Self {
        self.headers.extend(count_headers(counts, job));
        self
    }
}

/// The entity tag of an access revision; of no access record it is `"0"`.
pub(crate) fn entity_tag(revision: Option<JobId>) -> String {
    revision.map_or_else(|| "\"0\"".into(), |job| format!("\"{job}\""))
}

fn job_value(job: JobId) -> HeaderValue {
    // A UUID's text is always a header value.
    HeaderValue::from_str(&job.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// The headers that count what a run did.
pub(crate) fn count_headers(counts: &Counts, job: Option<JobId>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = [
        ("x-matched-count", counts.matched),
        ("x-updated-count", counts.updated),
        ("x-unchanged-count", counts.unchanged),
        ("x-skipped-count", counts.skipped),
    ]
    .into_iter()
    .map(|(name, count)| (HeaderName::from_static(name), HeaderValue::from(count)))
    .collect();
    headers.extend(job.map(|job| (JOB_ID, job_value(job))));
    headers
}

/// The response to a call.
pub(crate) fn respond(result: Result<Answer, Failure>, wanted: Wanted, request_id: &str) -> Response<Body> {
    let (status, headers, body, wanted) = match result {
        Ok(answer) => (StatusCode::OK, answer.headers, answer.body, wanted),
        Err(failure) => {
            failure.log();
            match wire::error(wanted.format, &failure.body(request_id)) {
                Ok(body) => (failure.status(), failure.headers(), body, wanted),
                Err(error) => {
                    tracing::error!(%error, "error not serialised");
                    (StatusCode::INTERNAL_SERVER_ERROR, Vec::new(), Vec::new(), Wanted::JSON)
                }
            }
        }
    };
    let mut response = Response::new(match String::from_utf8(body) {
        // Text, so that Lambda sends it as it is and not in base64.
        Ok(text) => Body::Text(text),
        Err(bytes) => Body::Binary(bytes.into_bytes()),
    });
    *response.status_mut() = status;
    let all: &mut HeaderMap = response.headers_mut();
    all.insert(CONTENT_TYPE, HeaderValue::from_static(wanted.content_type));
    // Answers are about one caller's rights at one moment.
    all.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        all.insert(REQUEST_ID, id);
    }
    all.extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
    response
}
