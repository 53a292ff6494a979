//! Answers, and what becomes of them on the wire.

use lambda_http::Body;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use models::id::ContactId;
use models::job::{Counts, JobId};
use models::job_view::JobView;
use models::limits::MAX_ANSWER_BYTES;
use models::wire;
use serde::Serialize;

use crate::failure::Failure;
use crate::negotiation::Wanted;

/// Header with the request's identifier, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header with the job that recorded a change.
pub const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// Header with the `startIndex` of the next page, when there is one.
pub const NEXT_INDEX: HeaderName = HeaderName::from_static("x-next-index");

/// Header that says which preference of the caller was followed.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a handler answers with.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    headers: Vec<(HeaderName, HeaderValue)>,
    job: Option<JobId>,
    shown: Vec<ContactId>,
}

impl Answer {
    fn ok(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, body, headers: Vec::new(), job: None, shown: Vec::new() }
    }

    /// One object.
    pub fn one<T: Serialize>(wanted: Wanted, object: &T) -> Result<Self, Failure> {
        wire::one(wanted.format, object).map(Self::ok).map_err(|error| Failure::Internal(error.to_string()))
    }

    /// That something was done, and nothing is to be shown.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, ..Self::ok(Vec::new()) }
    }

    /// A job that workers do, or go on with.
    pub fn accepted(wanted: Wanted, job: &JobView<'_>) -> Result<Self, Failure> {
        Ok(Self { body: Self::one(wanted, job)?.body, ..Self::started(job.id)? })
    }

    /// That a job was done or is being done, of which nothing can be shown right now.
    pub fn started(job: JobId) -> Result<Self, Failure> {
        let location = HeaderValue::from_str(&format!("{JOBS_PATH}/{job}"));
        let location = location.map_err(|error| Failure::Internal(error.to_string()))?;
        let mut answer = Self { status: StatusCode::ACCEPTED, ..Self::ok(Vec::new()) }.with_job(Some(job));
        answer.headers.push((LOCATION, location));
        Ok(answer)
    }

    /// A page of a list that starts at `start_index`. One that would be longer than an answer may be ends earlier;
    /// `X-Next-Index` says where the next one starts, when there is one.
    pub fn list<T: Serialize>(wanted: Wanted, items: &[T], page: ListPage) -> Result<Self, Failure> {
        let list =
            wire::list(wanted.format, items, MAX_ANSWER_BYTES).map_err(|error| Failure::Internal(error.to_string()))?;
        let whole = list.written == items.len();
        let passed = if whole { page.asked } else { list.written };
        let next = page.start_index as u64 + passed as u64;
        let mut answer = Self::ok(list.body);
        // A page that was asked to be empty has no next one to follow.
        if passed > 0 && (page.more || !whole) {
            answer.headers.push((NEXT_INDEX, HeaderValue::from(next)));
        }
        Ok(answer)
    }

    /// Adds that the caller's preference not to wait was followed.
    #[must_use]
    pub fn with_preference_applied(mut self, applied: bool) -> Self {
        if applied {
            self.headers.push((PREFERENCE_APPLIED, HeaderValue::from_static("respond-async")));
        }
        self
    }

    /// Keeps which contacts the answer lists, so that the same ones are listed when the call is made again.
    #[must_use]
    pub fn with_shown(self, shown: Vec<ContactId>) -> Self {
        Self { shown, ..self }
    }

    /// The contacts that the answer lists, where that is kept.
    pub(crate) fn shown(&self) -> &[ContactId] {
        &self.shown
    }

    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The job that it names.
    pub(crate) fn job(&self) -> Option<JobId> {
        self.job
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
        self.job = self.job.or(job);
        self
    }

    /// Adds what a run did.
    #[must_use]
    pub fn with_counts(mut self, counts: &Counts) -> Self {
        self.headers.extend(count_headers(counts));
        self
    }
}

/// Where jobs are.
pub(crate) const JOBS_PATH: &str = "/api/2.0/crm/access/jobs";

/// Which part of a list a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// Where it starts.
    pub start_index: usize,
    /// How many positions of the list it stands for: what was removed meanwhile is not shown.
    pub asked: usize,
    /// Whether more follow.
    pub more: bool,
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
fn count_headers(counts: &Counts) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    [
        ("x-matched-count", counts.matched),
        ("x-updated-count", counts.updated),
        ("x-unchanged-count", counts.unchanged),
        ("x-skipped-count", counts.skipped),
    ]
    .into_iter()
    .map(|(name, count)| (HeaderName::from_static(name), HeaderValue::from(count)))
}

/// The response to a call.
pub(crate) fn respond(result: Result<Answer, Failure>, wanted: Wanted, request_id: &str) -> Response<Body> {
    let (status, headers, body, wanted) = match result {
        Ok(answer) => (answer.status, answer.headers, answer.body, wanted),
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
    let is_empty = body.is_empty();
    let mut response = Response::new(match String::from_utf8(body) {
        Ok(_) if is_empty => Body::Empty,
        // Text, so that Lambda sends it as it is and not in base64.
        Ok(text) => Body::Text(text),
        Err(bytes) => Body::Binary(bytes.into_bytes()),
    });
    *response.status_mut() = status;
    let all: &mut HeaderMap = response.headers_mut();
    if !is_empty {
        all.insert(CONTENT_TYPE, HeaderValue::from_static(wanted.content_type));
    }
    // Answers are about one caller's rights at one moment.
    all.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        all.insert(REQUEST_ID, id);
    }
    all.extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
    response
}
