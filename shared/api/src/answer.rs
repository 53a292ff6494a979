//! Answers, and what becomes of them on the wire.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, VARY};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use lambda_http::{Body, Request};
use models::answer::{self, Fields, ListWriter, Shape, WireError};
pub use models::answer::{ListEnd, ListPage, Pushed};
use models::contact::Contact;
use models::job::view::JobView;
use models::job::{Counts, JobId};
use models::limits::MAX_ANSWER_BYTES;
use models::values::id::ContactId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::negotiation::{self, ResponseFormat};

/// Header with the request's identifier, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header with the job that recorded a change.
pub const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// Header with the `startIndex` of the next page, when there is one.
pub const NEXT_INDEX: HeaderName = HeaderName::from_static("x-next-index");
/// Header with the `before` of the next page of a list that is paged by key, when there is one.
pub const NEXT: HeaderName = HeaderName::from_static("x-next");
/// Header with the length of a list, where it is known.
pub const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
/// Header that says that a list may be longer than [`TOTAL_COUNT`].
pub const TOTAL_IS_LOWER_BOUND: HeaderName = HeaderName::from_static("x-total-is-lower-bound");
/// Header that says which preference of the caller was followed.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a handler answers with.
#[derive(Debug)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) job: Option<JobId>,
    /// The access revision that the entity tag starts with.
    pub(crate) revision: Option<String>,
    /// Where the contacts are in the body of a list.
    pub(crate) listed: Option<Listed>,
    /// The answer to a caller from whom others hid the one contact since.
    pub(crate) veiled: Option<Veiled>,
    /// Whether the answer is kept with its idempotency key already.
    pub(crate) is_kept: bool,
}

/// Where the contacts are in the body of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) shape: Shape,
    pub(crate) end: ListEnd,
    pub(crate) items: Vec<Item>,
}

/// Where a contact is in the body of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) contact: ContactId,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A body that shows of a contact only what its call made of it.
#[derive(Debug)]
pub(crate) struct Veiled {
    pub(crate) contact: ContactId,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn ok(content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            body,
            content_type,
            headers: Vec::new(),
            job: None,
            revision: None,
            listed: None,
            veiled: None,
            is_kept: false,
        }
    }

    fn object<T: Serialize>(
        wanted: &ResponseFormat,
        status: StatusCode,
        object: &T,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        let body = answer::one(wanted.shape, wanted.zone.as_ref(), status.as_u16(), object, fields)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(Self { status, ..Self::ok(wanted.content_type, body) })
    }

    /// One object.
    pub fn one<T: Serialize>(wanted: &ResponseFormat, object: &T) -> Result<Self, Failure> {
        Self::object(wanted, StatusCode::OK, object, None)
    }

    /// One object, or of it only `fields` when some are named.
    pub fn trimmed<T: Serialize>(
        wanted: &ResponseFormat,
        object: &T,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        Self::object(wanted, StatusCode::OK, object, fields)
    }

    /// One contact, or of it only `fields` when some are named.
    pub fn contact(wanted: &ResponseFormat, contact: &Contact<'_>, fields: Option<&Fields>) -> Result<Self, Failure> {
        let veiled = Self::object(wanted, StatusCode::OK, &contact.veiled(), fields)?.body;
        let shown = Self::object(wanted, StatusCode::OK, contact, fields)?;
        Ok(Self { veiled: Some(Veiled { contact: contact.id, body: veiled }), ..shown })
    }

    /// One object that was made by the call.
    pub fn created<T: Serialize>(wanted: &ResponseFormat, object: &T) -> Result<Self, Failure> {
        Self::object(wanted, StatusCode::CREATED, object, None)
    }

    /// A document that is JSON whatever was asked for.
    pub fn document(json: &str) -> Self {
        Self::ok(ResponseFormat::JSON.content_type, json.into())
    }

    /// That something was done, and nothing is to be shown.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, ..Self::ok(ResponseFormat::JSON.content_type, Vec::new()) }
    }

    /// A job that workers do, or go on with.
    pub fn accepted(wanted: &ResponseFormat, job: &JobView<'_>) -> Result<Self, Failure> {
        let Self { body, content_type, .. } = Self::object(wanted, StatusCode::ACCEPTED, job, None)?;
        Ok(Self { body, content_type, ..Self::started(job.id)? })
    }

    /// That a job was done or is being done, of which nothing can be shown right now.
    pub fn started(job: JobId) -> Result<Self, Failure> {
        let location = HeaderValue::from_str(&format!("{JOBS_PATH}/{job}"));
        let location = location.map_err(|error| Failure::Internal(error.to_string()))?;
        let empty = Self::ok(ResponseFormat::JSON.content_type, Vec::new());
        let mut answer = Self { status: StatusCode::ACCEPTED, ..empty }.with_job(Some(job));
        answer.headers.push((LOCATION, location));
        Ok(answer)
    }

    /// A page of a list. One that would be longer than an answer may be ends earlier; `X-Next-Index` says where the next
    /// one starts, when there is one, and `X-Total-Count` how long the list is, where that is known.
    ///
    /// The items are made one by one while they are written: of a page of contacts with long manager lists only a few fit.
    pub fn list<T: Serialize>(
        wanted: &ResponseFormat,
        items: impl IntoIterator<Item = T>,
        page: ListPage,
    ) -> Result<Self, Failure> {
        Self::items(wanted, items, page, None, |_| None)
    }

    /// The same, or of each object only `fields` when some are named.
    pub fn trimmed_list<T: Serialize>(
        wanted: &ResponseFormat,
        items: impl IntoIterator<Item = T>,
        page: ListPage,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        Self::items(wanted, items, page, fields, |_| None)
    }

    /// The same of contacts, or of each only `fields` when some are named.
    pub fn contacts<'a>(
        wanted: &ResponseFormat,
        contacts: impl IntoIterator<Item = Contact<'a>>,
        page: ListPage,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        Self::items(wanted, contacts, page, fields, |contact| Some(contact.id))
    }

    fn items<T: Serialize>(
        wanted: &ResponseFormat,
        items: impl IntoIterator<Item = T>,
        page: ListPage,
        fields: Option<&Fields>,
        contact: impl Fn(&T) -> Option<ContactId>,
    ) -> Result<Self, Failure> {
        let mut list = ListAnswer::new(wanted, fields);
        let mut page = page;
        for (written, item) in items.into_iter().enumerate() {
            if list.push_of(contact(&item), &item)? == Pushed::Full {
                (page.asked, page.more) = (written, true);
                break;
            }
        }
        list.finish(&page.end())
    }

    /// Adds that the caller's preference not to wait was followed.
    #[must_use]
    pub fn with_preference_applied(mut self, applied: bool) -> Self {
        if applied {
            self.headers.push((PREFERENCE_APPLIED, HeaderValue::from_static("respond-async")));
        }
        self
    }

    /// Says that the list may be longer than its total.
    #[must_use]
    pub fn with_lower_bound(mut self, is_lower_bound: bool) -> Self {
        if is_lower_bound {
            self.headers.push((TOTAL_IS_LOWER_BOUND, HeaderValue::from_static("true")));
        }
        self
    }

    /// Adds a contact's access revision, which becomes the entity tag of the answer to a change, and the first part of
    /// that of a reading.
    #[must_use]
    pub fn with_revision(self, revision: Option<JobId>) -> Self {
        Self { revision: Some(revision_text(revision)), ..self }
    }

    /// Adds the version of what is shown, as [`version`] makes it, which becomes the entity tag in the same way.
    #[must_use]
    pub fn with_version(self, version: String) -> Self {
        Self { revision: Some(version), ..self }
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

/// The answer with a list that is written while its items are read, so that no more of them are in memory than the
/// answer has room for.
#[derive(Debug)]
pub struct ListAnswer<'a> {
    wanted: &'a ResponseFormat,
    list: ListWriter<'a>,
    /// Where the contacts among the items are.
    items: Vec<Item>,
}

impl<'a> ListAnswer<'a> {
    /// An empty list. Of each item only `fields` are written, when some are named.
    pub fn new(wanted: &'a ResponseFormat, fields: Option<&'a Fields>) -> Self {
        let list = ListWriter::new(wanted.shape, wanted.zone.as_ref(), fields, MAX_ANSWER_BYTES);
        Self { wanted, list, items: Vec::new() }
    }

    /// Writes an item, unless the answer would then be longer than an answer may be.
    ///
    /// # Errors
    ///
    /// [`Failure::Internal`] for an item that alone is longer than an answer: as an empty page it would be taken for the
    /// end of the list.
    pub fn push<T: Serialize>(&mut self, item: &T) -> Result<Pushed, Failure> {
        self.push_of(None, item)
    }

    /// The same of an item that shows a contact.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub fn push_of<T: Serialize>(&mut self, contact: Option<ContactId>, item: &T) -> Result<Pushed, Failure> {
        let separator = if self.list.written() > 0 { self.list.separator_bytes() } else { 0 };
        let start = self.list.bytes() + separator;
        let pushed = self.list.push(item).map_err(not_written)?;
        match pushed {
            Pushed::Full if self.list.written() == 0 => {
                return Err(Failure::Internal("one item alone is longer than an answer".into()));
            }
            Pushed::Full => {}
            Pushed::Written => {
                self.items.extend(contact.map(|contact| Item { contact, start, end: self.list.bytes() }));
            }
        }
        Ok(pushed)
    }

    /// The answer. `X-Next-Index` and `X-Next` say where the next page starts, when there is one, and `X-Total-Count`
    /// how long the list is, where that is known.
    pub fn finish(self, end: &ListEnd) -> Result<Answer, Failure> {
        let Self { wanted, list, mut items } = self;
        let (body, items_at) = list.finish(end).map_err(not_written)?;
        for item in &mut items {
            (item.start, item.end) = (item.start + items_at, item.end + items_at);
        }
        let mut answer = Answer::ok(wanted.content_type, body);
        answer.listed = (!items.is_empty()).then_some(Listed { shape: wanted.shape, end: *end, items });
        answer.headers.extend(end.next_index.map(|next| (NEXT_INDEX, HeaderValue::from(next))));
        answer.headers.extend(end.next_before.map(|next| (NEXT, job_value(next))));
        answer.headers.extend(end.total.map(|total| (TOTAL_COUNT, HeaderValue::from(total))));
        Ok(answer)
    }
}

fn not_written(error: WireError) -> Failure {
    Failure::Internal(error.to_string())
}

/// Where jobs are.
pub(crate) const JOBS_PATH: &str = "/api/2.0/crm/access/jobs";

/// An access revision in an entity tag; of no access record it is `0`.
pub(crate) fn revision_text(revision: Option<JobId>) -> String {
    revision.map_or_else(|| "0".into(), |job| job.to_string())
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

/// What of a request decides how its answer is sent.
#[derive(Debug)]
pub(crate) struct ResponseOptions {
    /// How it is written.
    pub(crate) wanted: ResponseFormat,
    request_id: String,
    /// Whether nothing is asked for but to read.
    is_read: bool,
    /// The entity tags of what the caller has already.
    held: Vec<String>,
    takes_gzip: bool,
}

impl ResponseOptions {
    pub(crate) fn new(request: &Request, wanted: ResponseFormat, request_id: &str) -> Self {
        let headers = request.headers();
        let held = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        Self {
            wanted,
            request_id: request_id.to_owned(),
            is_read: *request.method() == Method::GET,
            held: held.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect(),
            takes_gzip: negotiation::accepts_gzip(headers),
        }
    }

    /// Whether the caller has what has this tag, by weak comparison (RFC 9110, section 13.1.2). How it was compressed
    /// makes no difference.
    fn is_held(&self, tag: &str) -> bool {
        let plain = |tag: &str| tag.trim_start_matches("W/").replace(GZIP_MARK, "");
        self.held.iter().any(|held| held == "*" || plain(held) == plain(tag))
    }
}

/// What an entity tag has behind what it otherwise is, of an answer that is compressed.
const GZIP_MARK: &str = "-gzip";

/// Bytes of a body from which on it is compressed: below, the headers take more than is saved.
const GZIP_FROM_BYTES: usize = 1024;

/// Half of a byte in hexadecimal for each, of a digest of the answer: 64 bits.
const DIGEST_CHARS: usize = 16;

/// The entity tag of an answer to a reading: the access revision, if it has one, and a digest of what is shown.
fn reading_tag(revision: Option<&str>, body: &[u8], is_compressed: bool) -> String {
    let digest = digest_text(body);
    let mark = if is_compressed { GZIP_MARK } else { "" };
    match revision {
        Some(revision) => format!("\"{revision}.{digest}{mark}\""),
        None => format!("\"{digest}{mark}\""),
    }
}

/// The version of something whose `parts` make it what it is: a digest of them.
///
/// # Errors
///
/// When a part cannot be serialised.
pub fn version<T: Serialize>(parts: &T) -> Result<String, Failure> {
    let parts = serde_json::to_vec(parts).map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(digest_text(&parts))
}

fn digest_text(bytes: &[u8]) -> String {
    let mut digest = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digest.truncate(DIGEST_CHARS);
    digest
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// The response to a call.
pub(crate) fn respond(result: Result<Answer, Failure>, terms: &ResponseOptions) -> Response<Body> {
    let mut answer = result.unwrap_or_else(|failure| {
        failure.log();
        let empty = Answer::ok(terms.wanted.content_type, Vec::new());
        let mut answer = Answer { status: failure.status(), headers: failure.headers(), ..empty };
        match answer::error(terms.wanted.shape.format, &failure.body(&terms.request_id, terms.is_read)) {
            Ok(body) => answer.body = body,
            Err(error) => {
                tracing::error!(%error, "error not serialised");
                answer.content_type = ResponseFormat::JSON.content_type;
                answer.status = StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
        answer
    });
    let packed = if terms.takes_gzip && answer.body.len() >= GZIP_FROM_BYTES {
        // An answer that cannot be compressed is sent as it is.
        compressed(&answer.body).inspect_err(|error| tracing::error!(%error, "answer not compressed")).ok()
    } else {
        None
    };
    let is_reading = terms.is_read && answer.status == StatusCode::OK;
    let tag = match &answer.revision {
        _ if is_reading => Some(reading_tag(answer.revision.as_deref(), &answer.body, packed.is_some())),
        Some(revision) => Some(format!("\"{revision}\"")),
        None => None,
    };
    let is_held = is_reading && tag.as_ref().is_some_and(|tag| terms.is_held(tag));
    if is_held {
        answer.status = StatusCode::NOT_MODIFIED;
        answer.body.clear();
    }
    let is_packed = packed.is_some() && !is_held;
    let body = match packed {
        Some(packed) if is_packed => Body::Binary(packed),
        _ if answer.body.is_empty() => Body::Empty,
        // Text, so that Lambda sends it as it is and not in base64.
        _ => String::from_utf8(answer.body).map_or_else(|bytes| Body::Binary(bytes.into_bytes()), Body::Text),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let is_empty = matches!(response.body(), Body::Empty);
    let all: &mut HeaderMap = response.headers_mut();
    if !is_empty {
        all.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    }
    if is_packed {
        all.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    // An entity tag of hyphens, dots, digits and letters is always a header value.
    all.extend(tag.and_then(|tag| HeaderValue::from_str(&tag).ok()).map(|tag| (ETAG, tag)));
    // Answers are about one caller's rights at one moment.
    all.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    all.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding, Authorization"));
    all.extend(HeaderValue::from_str(&terms.request_id).ok().map(|id| (REQUEST_ID, id)));
    all.extend(answer.headers.into_iter().map(|(name, value)| (Some(name), value)));
    response
}
