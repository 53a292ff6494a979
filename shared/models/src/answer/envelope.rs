//! The envelopes: around one object, a list and an error.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::keys::{Fields, KeyStyle, Keyed};
use super::xml::{self, XmlError, to_xml};
use crate::job::JobId;

/// The notation of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// JSON, UTF-8.
    #[default]
    Json,
    /// XML 1.0, UTF-8, without a declaration.
    Xml,
}

/// What stands around an answer, and with it how its keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Envelope {
    /// What the two documents show: `{"status":0,"response":…}` around one object, nothing around a list.
    #[default]
    Documents,
    /// ONLYOFFICE's own, which its clients read: counts and the status beside the response, camelCase keys, and moments
    /// with the offset of the portal's zone.
    OnlyOffice,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Its notation.
    pub format: Format,
    /// What stands around it.
    pub envelope: Envelope,
}

/// Why an answer could not be written. Values of this crate's own types always can.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The value has no JSON form.
    #[error("the answer has no JSON form")]
    Json(#[from] serde_json::Error),
    /// The value has no XML form.
    #[error("the answer has no XML form")]
    Xml(#[from] XmlError),
}

impl Shape {
    /// How the keys of one object are written.
    fn style_of_one(self) -> KeyStyle {
        match self.envelope {
            Envelope::Documents => KeyStyle::Documents,
            Envelope::OnlyOffice => KeyStyle::Camel,
        }
    }

    /// How the keys of a list's items are written: in JSON as document 001 has it; in XML the answer of document 000
    /// with several `<response>`, and so with 000's keys.
    fn style_of_list(self) -> KeyStyle {
        match (self.envelope, self.format) {
            (Envelope::Documents, Format::Json) => KeyStyle::UpperId,
            (Envelope::Documents, Format::Xml) => KeyStyle::Documents,
            (Envelope::OnlyOffice, _) => KeyStyle::Camel,
        }
    }
}

impl Format {
    /// Appends one item of a list.
    fn append_item<T: Serialize>(self, body: &mut Vec<u8>, item: &T) -> Result<(), WireError> {
        match self {
            Self::Json => serde_json::to_writer(body, item)?,
            Self::Xml => xml::append_member(body, "response", item)?,
        }
        Ok(())
    }

    /// What stands between two items of a list.
    const fn separator(self) -> &'static [u8] {
        match self {
            Self::Json => b",",
            Self::Xml => b"",
        }
    }

    /// A whole answer, in XML under `<result>`.
    fn whole<T: Serialize>(self, envelope: &T) -> Result<Vec<u8>, WireError> {
        Ok(match self {
            Self::Json => serde_json::to_vec(envelope)?,
            Self::Xml => to_xml("result", envelope)?,
        })
    }

    /// An envelope opened behind its own members, and what closes it behind its responses.
    fn around_list<T: Serialize>(self, head: &T) -> Result<(Vec<u8>, &'static [u8]), WireError> {
        let (members, response, close): (&[u8], &[u8], &'static [u8]) = match self {
            Self::Json => (b"}", b",\"response\":[", b"]}"),
            Self::Xml => (b"</result>", b"", b"</result>"),
        };
        let mut open = self.whole(head)?;
        // An envelope has members, so it ends with what closes it.
        open.truncate(open.len().saturating_sub(members.len()));
        open.extend_from_slice(response);
        Ok((open, close))
    }
}

/// The members of [`Envelope::Documents`] beside a list.
#[derive(Serialize)]
struct Success {
    status: u8,
}

/// The members of [`Envelope::OnlyOffice`] beside a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SuffixSuccess {
    count: usize,
    start_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    status: u8,
    status_code: u16,
}

/// [`Envelope::Documents`] around one object.
#[derive(Serialize)]
struct DocumentsOne<'a, T: Serialize> {
    status: u8,
    response: Keyed<'a, T>,
}

/// [`Envelope::OnlyOffice`] around one object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SuffixOne<'a, T: Serialize> {
    count: usize,
    start_index: usize,
    status: u8,
    status_code: u16,
    response: Keyed<'a, T>,
}

/// The answer that holds one object: `{"status":0,"response":…}` or, on a path with a suffix, `{"count":1,
/// "startIndex":0,"status":0,"statusCode":…,"response":…}`, or the same as XML under `<result>`. Of the object's own
/// members only `fields` are written, when some are named.
///
/// # Errors
///
/// [`WireError`] when the value's own `Serialize` fails or it has map keys that the format cannot write.
pub fn one<T: Serialize>(
    shape: Shape,
    zone: Option<&TimeZone>,
    status_code: u16,
    response: &T,
    fields: Option<&Fields>,
) -> Result<Vec<u8>, WireError> {
    let response = Keyed { value: response, style: shape.style_of_one(), zone, only: fields };
    match shape.envelope {
        Envelope::Documents => shape.format.whole(&DocumentsOne { status: 0, response }),
        Envelope::OnlyOffice => {
            shape.format.whole(&SuffixOne { count: 1, start_index: 0, status: 0, status_code, response })
        }
    }
}

/// Which part of a list a page is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Where it starts.
    pub start_index: usize,
    /// How many positions of the list it stands for: what was removed meanwhile is not shown.
    pub asked: usize,
    /// Whether more follow.
    pub more: bool,
    /// How long the whole list is, where that is known.
    pub total: Option<u64>,
}

impl ListPage {
    /// A page of a list whose length is known.
    pub fn counted(start_index: usize, asked: usize, total: u64) -> Self {
        let more = (start_index as u64).saturating_add(asked as u64) < total;
        Self { start_index, asked, more, total: Some(total) }
    }

    /// What the envelope says of the page.
    pub fn end(&self) -> ListEnd {
        // A page that was asked to be empty has no next one to follow.
        let next_index = (self.more && self.asked > 0).then(|| self.start_index as u64 + self.asked as u64);
        ListEnd { start_index: self.start_index, next_index, next_before: None, total: self.total }
    }
}

/// What the envelope of a list says beside its items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEnd {
    /// The position of the first item.
    pub start_index: usize,
    /// The position at which the next page starts, when there is one.
    pub next_index: Option<u64>,
    /// The last item of this page, when a next page follows it; for lists that are paged by key.
    pub next_before: Option<JobId>,
    /// The length of the whole list, where it is known.
    pub total: Option<u64>,
}

/// A list as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListBody {
    /// The answer: well-formed, whatever was left out.
    pub body: Vec<u8>,
    /// How many items it holds, from the first one on.
    pub written: usize,
    /// Where the next page starts, when there is one.
    pub next_index: Option<u64>,
}

/// A list that is written item by item, up to a size.
///
/// The answer is a bare array with `ID` for `id` as in document 001, or
/// `<result><status>0</status><response>…</response>…</result>` with the keys of document 000. On a path with a suffix
/// it is `{"count":…,"startIndex":…,"nextIndex":…,"nextBefore":…,"total":…,"status":0,"statusCode":200,"response":[…]}`
/// with camelCase keys or the same as XML; `nextIndex`, `nextBefore` and `total` stand only where there is one.
///
/// Memory is bounded by `max_bytes` and one item, twice.
#[derive(Debug)]
pub struct ListWriter<'a> {
    shape: Shape,
    zone: Option<&'a TimeZone>,
    fields: Option<&'a Fields>,
    max_bytes: usize,
    responses: Vec<u8>,
    written: usize,
}

impl<'a> ListWriter<'a> {
    /// An empty list. Of each item's own members only `fields` are written, when some are named. The items together
    /// take at most `max_bytes`. ONLYOFFICE's dialect shows moments by the clocks of `zone`, or of UTC without one.
    pub fn new(shape: Shape, zone: Option<&'a TimeZone>, fields: Option<&'a Fields>, max_bytes: usize) -> Self {
        Self { shape, zone, fields, max_bytes, responses: Vec::new(), written: 0 }
    }

    /// Writes an item, unless the items would then exceed the size: then the list stays as it is.
    ///
    /// # Errors
    ///
    /// As [`one`].
    pub fn push<T: Serialize>(&mut self, item: &T) -> Result<Pushed, WireError> {
        let before = self.responses.len();
        if self.written > 0 {
            self.responses.extend_from_slice(self.shape.format.separator());
        }
        let item = Keyed { value: item, style: self.shape.style_of_list(), zone: self.zone, only: self.fields };
        self.shape.format.append_item(&mut self.responses, &item)?;
        if self.responses.len() > self.max_bytes {
            self.responses.truncate(before);
            return Ok(Pushed::Full);
        }
        self.written += 1;
        Ok(Pushed::Written)
    }

    /// Writes an item that another list of the same shape held.
    pub fn push_written(&mut self, item: &[u8]) {
        if self.written > 0 {
            self.responses.extend_from_slice(self.shape.format.separator());
        }
        self.responses.extend_from_slice(item);
        self.written += 1;
    }

    /// How many items were written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Bytes of the items so far, with what separates them.
    pub fn bytes(&self) -> usize {
        self.responses.len()
    }

    /// Bytes between two items.
    pub fn separator_bytes(&self) -> usize {
        self.shape.format.separator().len()
    }

    /// The answer, and where in it the items begin. Only its envelope is in addition to the size.
    ///
    /// # Errors
    ///
    /// As [`one`].
    pub fn finish(self, end: &ListEnd) -> Result<(Vec<u8>, usize), WireError> {
        let Shape { envelope, format } = self.shape;
        let (mut body, close) = match (envelope, format) {
            (Envelope::Documents, Format::Json) => (b"[".to_vec(), &b"]"[..]),
            (Envelope::Documents, Format::Xml) => format.around_list(&Success { status: 0 })?,
            (Envelope::OnlyOffice, _) => format.around_list(&SuffixSuccess {
                count: self.written,
                start_index: end.start_index,
                next_index: end.next_index,
                next_before: end.next_before,
                total: end.total,
                status: 0,
                status_code: 200,
            })?,
        };
        let mut responses = self.responses;
        let items_at = body.len();
        body.append(&mut responses);
        body.extend_from_slice(close);
        Ok((body, items_at))
    }
}

/// The result of writing an item into a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// The list holds the item.
    Written,
    /// The list has no room for the item.
    Full,
}

/// The answer that holds a list whose items are all in memory, as [`ListWriter`] writes it.
///
/// The list ends before the first item that would take the items over `max_bytes`, which is a first item too: a caller
/// that pages must take `written` 0 of a list that is not empty as a failure.
///
/// # Errors
///
/// As [`one`].
pub fn list<T: Serialize>(
    shape: Shape,
    items: &[T],
    page: ListPage,
    fields: Option<&Fields>,
    max_bytes: usize,
) -> Result<ListBody, WireError> {
    let mut list = ListWriter::new(shape, None, fields, max_bytes);
    let mut page = page;
    for item in items {
        if list.push(item)? == Pushed::Full {
            (page.asked, page.more) = (list.written(), true);
            break;
        }
    }
    let (end, written) = (page.end(), list.written());
    Ok(ListBody { body: list.finish(&end)?.0, written, next_index: end.next_index })
}

/// A failure as an answer shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Fault))]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The answer's HTTP status; it stands beside the error, not in it.
    #[serde(skip)]
    pub status_code: u16,
    /// The problem and its remedy, for a person.
    pub message: String,
    /// A stable word for a program, such as `contact-not-found`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The fields that are at fault, where there are such.
    pub details: Vec<ErrorDetail>,
    /// The request's identifier, by which the log is searched.
    pub request_id: String,
}

/// One field of a request that is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FaultDetail))]
pub struct ErrorDetail {
    /// The field's name as the request has it.
    pub field: String,
    /// The fault, or the value that the field must have.
    pub message: String,
}

/// `{"status":1,"statusCode":…,"error":…}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    status: u8,
    status_code: u16,
    error: &'a ErrorBody,
}

/// The answer that reports a failure:
/// `{"status":1,"statusCode":404,"error":{"message":…,"type":…,"details":[…],"requestId":…}}`, or the same members as
/// XML under `<result>`, where each detail is a `<details>`.
///
/// # Errors
///
/// None that an [`ErrorBody`] can cause, as it holds strings and a number; [`WireError`] is what the formats declare.
pub fn error(format: Format, error: &ErrorBody) -> Result<Vec<u8>, WireError> {
    format.whole(&Failure { status: 1, status_code: error.status_code, error })
}

#[cfg(test)]
mod tests;
