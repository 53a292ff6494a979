//! Answers of handlers.

pub(crate) mod response;

use lambda_http::http::header::LOCATION;
use lambda_http::http::{HeaderName, HeaderValue, StatusCode};
use models::answer::{self, Fields, ListWriter, Shape, WireError};
pub use models::answer::{ListEnd, ListPage, Pushed};
use models::contact::Contact;
use models::job::view::JobView;
use models::job::{Counts, JobId};
use models::limits::MAX_ANSWER_BYTES;
use models::request::Page;
use models::values::id::ContactId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::negotiation::ResponseFormat;

/// The header with the request's identifier, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header with the job that recorded a change.
pub const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// The header with the `startIndex` of the next page, if there is one.
pub const NEXT_INDEX: HeaderName = HeaderName::from_static("x-next-index");
/// The header with the `before` of the next page of a list that is paged by key, if there is one.
pub const NEXT: HeaderName = HeaderName::from_static("x-next");
/// The header with the length of a list, if the length is known.
pub const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
/// The header that marks [`TOTAL_COUNT`] as a lower bound.
pub const TOTAL_IS_LOWER_BOUND: HeaderName = HeaderName::from_static("x-total-is-lower-bound");
/// The header that names the applied preference.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The answer of a handler.
#[derive(Debug)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) job: Option<JobId>,
    /// The version, which begins the entity tag.
    pub(crate) revision: Option<String>,
    /// The byte ranges of the contacts in the body of a list.
    pub(crate) listed: Option<Listed>,
    /// The body of a replay whose caller may no longer see the contact.
    pub(crate) veiled: Option<Veiled>,
    /// True if the answer is already stored with its idempotency key.
    pub(crate) is_stored: bool,
}

/// The treatment of the caller's preference for an asynchronous answer (`Prefer: respond-async`, RFC 7240).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// The caller has the preference, and the answer applies it.
    Applied,
    /// The caller has no such preference, or the answer does not depend on it.
    NotApplied,
}

/// The byte ranges of the contacts in the body of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) shape: Shape,
    pub(crate) end: ListEnd,
    pub(crate) items: Vec<Item>,
}

/// The byte range of a contact in the body of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) contact: ContactId,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A body that shows only the identifier of a contact and the access that the call set.
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
            is_stored: false,
        }
    }

    fn object<T: Serialize>(
        format: &ResponseFormat,
        status: StatusCode,
        object: &T,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        let body = answer::one(format.shape, format.zone.as_ref(), status.as_u16(), object, fields)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(Self { status, ..Self::ok(format.content_type, body) })
    }

    /// Shows one object.
    pub fn one<T: Serialize>(format: &ResponseFormat, object: &T) -> Result<Self, Failure> {
        Self::object(format, StatusCode::OK, object, None)
    }

    /// Shows one object. If `fields` are named, shows only these fields.
    pub fn trimmed<T: Serialize>(
        format: &ResponseFormat,
        object: &T,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        Self::object(format, StatusCode::OK, object, fields)
    }

    /// Shows one contact. If `fields` are named, shows only these fields.
    pub fn contact(format: &ResponseFormat, contact: &Contact<'_>, fields: Option<&Fields>) -> Result<Self, Failure> {
        let veiled = Self::object(format, StatusCode::OK, &contact.veiled(), fields)?.body;
        let shown = Self::object(format, StatusCode::OK, contact, fields)?;
        Ok(Self { veiled: Some(Veiled { contact: contact.id, body: veiled }), ..shown })
    }

    /// Shows an object that the call created.
    pub fn created<T: Serialize>(format: &ResponseFormat, object: &T) -> Result<Self, Failure> {
        Self::object(format, StatusCode::CREATED, object, None)
    }

    /// Shows a JSON document, and ignores the format that the call prefers.
    pub fn document(json: &str) -> Self {
        Self::ok(ResponseFormat::JSON.content_type, json.into())
    }

    /// Reports success without content.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, ..Self::ok(ResponseFormat::JSON.content_type, Vec::new()) }
    }

    /// Shows a job that workers run or continue.
    pub fn accepted(format: &ResponseFormat, job: &JobView<'_>) -> Result<Self, Failure> {
        let Self { body, content_type, .. } = Self::object(format, StatusCode::ACCEPTED, job, None)?;
        Ok(Self { body, content_type, ..Self::started(job.id)? })
    }

    /// Names a running or finished job whose record or contacts cannot be read.
    pub fn started(job: JobId) -> Result<Self, Failure> {
        let location = HeaderValue::from_str(&format!("{JOBS_PATH}/{job}"));
        let location = location.map_err(|error| Failure::Internal(error.to_string()))?;
        let empty = Self::ok(ResponseFormat::JSON.content_type, Vec::new());
        let mut answer = Self { status: StatusCode::ACCEPTED, ..empty }.with_job(Some(job));
        answer.headers.push((LOCATION, location));
        Ok(answer)
    }

    /// Shows a page of a list. The page ends early when the next item would exceed the maximum size of an answer.
    /// `X-Next-Index` is the start of the next page, if any. `X-Total-Count` is the length of the list, if known.
    ///
    /// Each item is created right before it is written, because only a few contacts with long manager lists fit into an
    /// answer.
    pub fn list<T: Serialize>(
        format: &ResponseFormat,
        items: impl IntoIterator<Item = T>,
        page: ListPage,
    ) -> Result<Self, Failure> {
        Self::items(format, items, page, None, |_| None)
    }

    /// Shows a page like [`Self::list`]. If `fields` are named, shows only these fields of each object.
    pub fn trimmed_list<T: Serialize>(
        format: &ResponseFormat,
        items: impl IntoIterator<Item = T>,
        page: ListPage,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        Self::items(format, items, page, fields, |_| None)
    }

    /// Shows a page of contacts. If `fields` are named, shows only these fields of each contact.
    pub fn contacts<'a>(
        format: &ResponseFormat,
        contacts: impl IntoIterator<Item = Contact<'a>>,
        page: ListPage,
        fields: Option<&Fields>,
    ) -> Result<Self, Failure> {
        Self::items(format, contacts, page, fields, |contact| Some(contact.id))
    }

    /// Shows a page of a list that is entirely in memory.
    pub fn page_of<T: Serialize>(
        format: &ResponseFormat,
        items: impl ExactSizeIterator<Item = T>,
        page: Page,
    ) -> Result<Self, Failure> {
        let end = page.in_list_of(items.len());
        Self::list(format, items.skip(page.start_index).take(page.count), end)
    }

    fn items<T: Serialize>(
        format: &ResponseFormat,
        items: impl IntoIterator<Item = T>,
        page: ListPage,
        fields: Option<&Fields>,
        contact: impl Fn(&T) -> Option<ContactId>,
    ) -> Result<Self, Failure> {
        let mut list = ListAnswer::new(format, fields);
        let mut page = page;
        for (written, item) in items.into_iter().enumerate() {
            if list.push_of(contact(&item), &item)? == Pushed::Full {
                (page.covered, page.more) = (written, true);
                break;
            }
        }
        list.finish(&page.end())
    }

    /// Adds the header that names the preference for an asynchronous answer, if the preference was applied.
    #[must_use]
    pub(crate) fn with_preference(mut self, preference: Preference) -> Self {
        if preference == Preference::Applied {
            self.headers.push((PREFERENCE_APPLIED, HeaderValue::from_static("respond-async")));
        }
        self
    }

    /// Adds the header that marks the total of the list as a lower bound.
    #[must_use]
    pub fn with_lower_bound(mut self) -> Self {
        self.headers.push((TOTAL_IS_LOWER_BOUND, HeaderValue::from_static("true")));
        self
    }

    /// Adds a contact's access revision, which is the entity tag of the answer to a change, and the first part of the
    /// entity tag of the answer to a `GET`.
    #[must_use]
    pub fn with_revision(self, revision: Option<JobId>) -> Self {
        Self { revision: Some(revision_text(revision)), ..self }
    }

    /// Adds a version from [`version`]. The entity tag begins with the version, as with an access revision.
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

    /// Adds the headers that count the contacts of a run.
    #[must_use]
    pub fn with_counts(mut self, counts: &Counts) -> Self {
        self.headers.extend(count_headers(counts));
        self
    }
}

/// A list that is written while its items are read. Memory then holds only the items that fit into the answer.
#[derive(Debug)]
pub struct ListAnswer<'a> {
    format: &'a ResponseFormat,
    list: ListWriter<'a>,
    /// The byte ranges of the contacts among the items.
    items: Vec<Item>,
}

impl<'a> ListAnswer<'a> {
    /// Creates an empty list. If `fields` are named, only these fields of each item are written.
    pub fn new(format: &'a ResponseFormat, fields: Option<&'a Fields>) -> Self {
        let list = ListWriter::new(format.shape, format.zone.as_ref(), fields, MAX_ANSWER_BYTES);
        Self { format, list, items: Vec::new() }
    }

    /// Writes an item, unless the answer would then exceed its maximum size.
    ///
    /// # Errors
    ///
    /// [`Failure::Internal`] for an item that alone exceeds the maximum size: an empty page would look like the end of
    /// the list.
    pub fn push<T: Serialize>(&mut self, item: &T) -> Result<Pushed, Failure> {
        self.push_of(None, item)
    }

    /// Writes an item that shows a contact, like [`Self::push`].
    ///
    /// # Errors
    ///
    /// The errors of [`Self::push`].
    pub fn push_of<T: Serialize>(&mut self, contact: Option<ContactId>, item: &T) -> Result<Pushed, Failure> {
        let separator = if self.list.written() > 0 { self.list.separator_bytes() } else { 0 };
        let start = self.list.bytes() + separator;
        let pushed = self.list.push(item).map_err(not_written)?;
        match pushed {
            Pushed::Full if self.list.written() == 0 => {
                return Err(Failure::Internal("one item alone exceeds the maximum size of an answer".into()));
            }
            Pushed::Full => {}
            Pushed::Written => {
                self.items.extend(contact.map(|contact| Item { contact, start, end: self.list.bytes() }));
            }
        }
        Ok(pushed)
    }

    /// Returns the answer. `X-Next-Index` and `X-Next` are the start of the next page, if any. `X-Total-Count` is the
    /// length of the list, if known.
    pub fn finish(self, end: &ListEnd) -> Result<Answer, Failure> {
        let Self { format, list, mut items } = self;
        let (body, items_at) = list.finish(end).map_err(not_written)?;
        for item in &mut items {
            (item.start, item.end) = (item.start + items_at, item.end + items_at);
        }
        let mut answer = Answer::ok(format.content_type, body);
        answer.listed = (!items.is_empty()).then_some(Listed { shape: format.shape, end: *end, items });
        answer.headers.extend(end.next_index.map(|next| (NEXT_INDEX, HeaderValue::from(next))));
        answer.headers.extend(end.next_before.map(|next| (NEXT, job_value(next))));
        answer.headers.extend(end.total.map(|total| (TOTAL_COUNT, HeaderValue::from(total))));
        Ok(answer)
    }
}

fn not_written(error: WireError) -> Failure {
    Failure::Internal(error.to_string())
}

/// The path of the list of jobs.
pub(crate) const JOBS_PATH: &str = "/api/2.0/crm/access/jobs";

/// Returns an access revision as written in an entity tag; `0` if there is no access record.
pub(crate) fn revision_text(revision: Option<JobId>) -> String {
    revision.map_or_else(|| "0".into(), |job| job.to_string())
}

fn job_value(job: JobId) -> HeaderValue {
    // A UUID's text is always a header value.
    HeaderValue::from_str(&job.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// Returns the headers that count the contacts of a run.
fn count_headers(counts: &Counts) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    [
        ("x-matched-count", counts.matched),
        ("x-updated-count", counts.updated),
        ("x-unchanged-count", counts.unchanged),
        ("x-skipped-count", counts.skipped),
    ]
    .into_iter()
    // Only calls that add managers have contacts that fail.
    .chain((counts.failed > 0).then_some(("x-failed-count", counts.failed)))
    .map(|(name, count)| (HeaderName::from_static(name), HeaderValue::from(count)))
}

/// The hexadecimal digits of a digest in an entity tag: 64 bits.
const DIGEST_CHARS: usize = 16;

/// Returns a version: a digest of `parts`, the values that change with the version.
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
