//! The envelopes of one object, a list and an error.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::keys::{Fields, KeyStyle, Keyed};
use super::xml::{self, XmlError, to_xml};
use crate::job::JobId;

/// The format of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// JSON, UTF-8.
    #[default]
    Json,
    /// XML 1.0, UTF-8, without a declaration.
    Xml,
}

/// The structure around an answer, which also determines the key style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Envelope {
    /// The envelope of ONLYOFFICE's two reference pages: `{"status":0,"response":…}` around one object. A list is a
    /// bare array in JSON, and has `<result>` and the status in XML.
    #[default]
    Documents,
    /// The envelope that ONLYOFFICE's own clients read: counts and the status next to the response, camelCase keys, and
    /// timestamps with the offset of the portal's zone.
    OnlyOffice,
}

/// The format and envelope of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// The format.
    pub format: Format,
    /// The envelope.
    pub envelope: Envelope,
}

/// Error: an answer could not be written. The types of this crate cannot cause this error.
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
    /// Returns the key style of one object.
    fn style_of_one(self) -> KeyStyle {
        match self.envelope {
            Envelope::Documents => KeyStyle::Documents,
            Envelope::OnlyOffice => KeyStyle::Camel,
        }
    }

    /// Returns the key style of list items. JSON follows ONLYOFFICE's reference page of `PUT …/contact/filter/access`.
    /// XML repeats the `<response>` of the reference page of `PUT …/contact/{contactid}/access`, with the keys of that
    /// page.
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

    /// Returns the separator between two items of a list.
    const fn separator(self) -> &'static [u8] {
        match self {
            Self::Json => b",",
            Self::Xml => b"",
        }
    }

    /// Serializes an answer with its envelope; in XML under `<result>`.
    fn to_bytes<T: Serialize>(self, envelope: &T) -> Result<Vec<u8>, WireError> {
        Ok(match self {
            Self::Json => serde_json::to_vec(envelope)?,
            Self::Xml => to_xml("result", envelope)?,
        })
    }

    /// Returns the bytes of an envelope before and after its list. The members of `head` come before the list.
    fn around_list<T: Serialize>(self, head: &T) -> Result<(Vec<u8>, &'static [u8]), WireError> {
        let (end, response, close): (&[u8], &[u8], &'static [u8]) = match self {
            Self::Json => (b"}", b",\"response\":[", b"]}"),
            Self::Xml => (b"</result>", b"", b"</result>"),
        };
        let mut open = self.to_bytes(head)?;
        // Remove the end of the envelope, so that the list can follow. `head` has members, so the bytes end with `end`.
        open.truncate(open.len().saturating_sub(end.len()));
        open.extend_from_slice(response);
        Ok((open, close))
    }
}

/// The members of [`Envelope::Documents`] before a list.
#[derive(Serialize)]
struct Success {
    status: u8,
}

/// The members of [`Envelope::OnlyOffice`] before a list.
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

/// The [`Envelope::Documents`] of one object.
#[derive(Serialize)]
struct DocumentsOne<'a, T: Serialize> {
    status: u8,
    response: Keyed<'a, T>,
}

/// The [`Envelope::OnlyOffice`] of one object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SuffixOne<'a, T: Serialize> {
    count: usize,
    start_index: usize,
    status: u8,
    status_code: u16,
    response: Keyed<'a, T>,
}

/// Returns the answer with one object: `{"status":0,"response":…}`, or on a path with a suffix
/// `{"count":1,"startIndex":0,"status":0,"statusCode":…,"response":…}`, or the same as XML under `<result>`. If
/// `fields` is given, only these members of the object are written.
///
/// # Errors
///
/// [`WireError`] if the value's own `Serialize` fails, or if the format cannot write a key of a map.
pub fn one<T: Serialize>(
    shape: Shape,
    zone: Option<&TimeZone>,
    status_code: u16,
    response: &T,
    fields: Option<&Fields>,
) -> Result<Vec<u8>, WireError> {
    let response = Keyed { value: response, style: shape.style_of_one(), zone, only: fields };
    match shape.envelope {
        Envelope::Documents => shape.format.to_bytes(&DocumentsOne { status: 0, response }),
        Envelope::OnlyOffice => {
            shape.format.to_bytes(&SuffixOne { count: 1, start_index: 0, status: 0, status_code, response })
        }
    }
}

/// A page of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Position of the first item.
    pub start_index: usize,
    /// Number of list positions that the page covers, including items removed in the meantime.
    pub covered: usize,
    /// True if more items follow.
    pub more: bool,
    /// Length of the whole list, if known.
    pub total: Option<u64>,
}

impl ListPage {
    /// Creates a page of a list whose length is known.
    pub fn counted(start_index: usize, covered: usize, total: u64) -> Self {
        let more = (start_index as u64).saturating_add(covered as u64) < total;
        Self { start_index, covered, more, total: Some(total) }
    }

    /// Returns the members of the envelope that describe the page.
    pub fn end(&self) -> ListEnd {
        // A page of zero positions has no next page.
        let next_index = (self.more && self.covered > 0).then(|| self.start_index as u64 + self.covered as u64);
        ListEnd { start_index: self.start_index, next_index, next_before: None, total: self.total }
    }
}

/// The members of a list's envelope that describe the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEnd {
    /// Position of the first item.
    pub start_index: usize,
    /// Position at which the next page starts, if there is one.
    pub next_index: Option<u64>,
    /// Last item of this page, if a page follows; for lists that are paged by key.
    pub next_before: Option<JobId>,
    /// Length of the whole list, if known.
    pub total: Option<u64>,
}

/// A serialized list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListBody {
    /// The answer, well-formed even if items were left out.
    pub body: Vec<u8>,
    /// Number of items in the answer, which are the first items of the list.
    pub written: usize,
    /// Position at which the next page starts, if there is one.
    pub next_index: Option<u64>,
}

/// A list that is written item by item, up to a maximum size.
///
/// The answer is a bare array with `ID` for `id`, as on ONLYOFFICE's reference page of `PUT …/contact/filter/access`,
/// or `<result><status>0</status><response>…</response>…</result>` with the keys of one object. On a path with a suffix
/// the answer is
/// `{"count":…,"startIndex":…,"nextIndex":…,"nextBefore":…,"total":…,"status":0,"statusCode":200,"response":[…]}` with
/// camelCase keys, or the same as XML. `nextIndex`, `nextBefore` and `total` are present only if they have a value.
///
/// The writer uses at most twice the memory of `max_bytes` plus one item.
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
    /// Creates an empty list. If `fields` is given, only these members of each item are written. All items together
    /// take at most `max_bytes`. [`Envelope::OnlyOffice`] shows timestamps in `zone`, or in UTC without a zone.
    pub fn new(shape: Shape, zone: Option<&'a TimeZone>, fields: Option<&'a Fields>, max_bytes: usize) -> Self {
        Self { shape, zone, fields, max_bytes, responses: Vec::new(), written: 0 }
    }

    /// Writes an item, or leaves the list unchanged if the items would exceed the maximum size.
    ///
    /// # Errors
    ///
    /// [`WireError`] as for [`one`].
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

    /// Appends an item that a list of the same shape has serialized, without a check of the size.
    pub fn push_written(&mut self, item: &[u8]) {
        if self.written > 0 {
            self.responses.extend_from_slice(self.shape.format.separator());
        }
        self.responses.extend_from_slice(item);
        self.written += 1;
    }

    /// Returns the number of items written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Returns the bytes of the items so far, separators included.
    pub fn bytes(&self) -> usize {
        self.responses.len()
    }

    /// Returns the bytes of the separator between two items.
    pub fn separator_bytes(&self) -> usize {
        self.shape.format.separator().len()
    }

    /// Returns the answer, and the offset of its items. Only the envelope adds to the maximum size.
    ///
    /// # Errors
    ///
    /// [`WireError`] as for [`one`].
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

/// Returns the answer with a list whose items are all in memory, in the format of [`ListWriter`].
///
/// The list ends before the first item that would exceed `max_bytes`, even if the list is then empty. A caller
/// that reads page after page must treat such an empty list as a failure.
///
/// # Errors
///
/// [`WireError`] as for [`one`].
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
            (page.covered, page.more) = (list.written(), true);
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
    /// HTTP status of the answer. The envelope shows the status.
    #[serde(skip)]
    pub status_code: u16,
    /// The problem and its remedy, for a person.
    pub message: String,
    /// A stable word for a program, such as `contact-not-found`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The faulty fields of the request, if any.
    pub details: Vec<ErrorDetail>,
    /// The request's identifier, for a search in the log.
    pub request_id: String,
}

/// A faulty field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FaultDetail))]
pub struct ErrorDetail {
    /// The field's name in the request.
    pub field: String,
    /// The fault, or the value that the field must have.
    pub message: String,
}

/// The envelope of an error: `{"status":1,"statusCode":…,"error":…}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    status: u8,
    status_code: u16,
    error: &'a ErrorBody,
}

/// Returns the answer that reports a failure:
/// `{"status":1,"statusCode":404,"error":{"message":…,"type":…,"details":[…],"requestId":…}}`, or the same members as
/// XML under `<result>`, with one `<details>` for each detail.
///
/// # Errors
///
/// [`WireError`] does not occur, because an [`ErrorBody`] contains only strings and a number.
pub fn error(format: Format, error: &ErrorBody) -> Result<Vec<u8>, WireError> {
    format.to_bytes(&Failure { status: 1, status_code: error.status_code, error })
}

#[cfg(test)]
mod tests;
