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
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeSet;

    use crate::values::id::UserId;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use quick_xml::Reader;
    use quick_xml::events::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::access::ShareType;
    use crate::contact::{Address, CommonData, Contact, Currency, CustomField, Employee, ListItem};
    use crate::values::id::ContactId;
    use crate::values::moment::Moment;

    const JSON: Shape = Shape { format: Format::Json, envelope: Envelope::Documents };
    const XML: Shape = Shape { format: Format::Xml, envelope: Envelope::Documents };
    const SUFFIX_JSON: Shape = Shape { format: Format::Json, envelope: Envelope::OnlyOffice };
    const SUFFIX_XML: Shape = Shape { format: Format::Xml, envelope: Envelope::OnlyOffice };
    const PAGE: ListPage = ListPage { start_index: 0, asked: 0, more: false, total: None };

    const DOCUMENT_000_JSON: &str = include_str!("testdata/contact.json");
    const DOCUMENT_000_XML: &str = include_str!("testdata/contact.xml");
    const DOCUMENT_001_JSON: &str = include_str!("testdata/contacts.json");

    /// The contact that both documents show.
    fn documented() -> Contact<'static> {
        let mike = Employee {
            id: UserId::NIL,
            display_name: "Mike Zanyatski".to_owned(),
            title: "Manager".to_owned(),
            avatar_small: "url to small avatar".to_owned(),
            profile_url: r"\/Products\/People\/Profile.aspx?user=administrator".to_owned(),
        };
        let item = ListItem {
            id: 1234,
            title: "Title".to_owned(),
            description: "Description".to_owned(),
            color: "#a7fc00".to_owned(),
            sort_order: 1,
        };
        Contact {
            addresses: vec![Address {
                street: "Lubanas st. 125a-25".to_owned(),
                zip: "LV-1021".to_owned(),
                country: "Latvia".to_owned(),
                category_name: "Home".to_owned(),
                is_primary: true,
                ..Address::default()
            }],
            create_by: Some(Cow::Owned(mike.clone())),
            created: "2020-12-08T17:37:04.5916406Z".parse().unwrap(),
            about: "About".to_owned(),
            industry: "Industry".to_owned(),
            contact_status: Some(item.clone()),
            contact_type: Some(item),
            common_data: vec![CommonData {
                info_type: 1,
                category: 0,
                data: "support@onlyoffice.com".to_owned(),
                category_name: "Home".to_owned(),
                is_primary: true,
                id: 1234,
            }],
            custom_fields: vec![CustomField {
                entity_id: 14_523_423,
                label: "Birthdate".to_owned(),
                field_value: "2020-12-08T17:37:04.5916406Z".to_owned(),
                field_type: 5,
                position: 10,
                mask: String::new(),
                id: 1234,
            }],
            tags: vec!["Tag1".to_owned(), "Tag2".to_owned()],
            task_count: 1,
            have_late_tasks: true,
            id: ContactId::try_from(1234).unwrap(),
            small_foto_url: "url to foto".to_owned(),
            medium_foto_url: "url to foto".to_owned(),
            display_name: "Tadjeddine Bachir".to_owned(),
            is_company: false,
            access_list: vec![Cow::Owned(mike)],
            is_private: true,
            is_shared: false,
            share_type: ShareType::None,
            currency: Some(Currency {
                title: "Chinese Yuan".to_owned(),
                symbol: "¥".to_owned(),
                abbreviation: "CNY".to_owned(),
                culture_name: "CN".to_owned(),
                is_convertable: true,
                is_basic: false,
            }),
            can_edit: true,
            can_delete: true,
            first_name: Some("Tadjeddine".to_owned()),
            last_name: Some("Bachir".to_owned()),
            company_name: None,
        }
    }

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    /// XML without the white space that separates elements; the documents' texts hold none elsewhere at a line's edge.
    fn joined(xml: &str) -> String {
        xml.lines().map(str::trim).collect()
    }

    /// Every key of a value with the keys that lead to it.
    fn key_paths(value: &Value, at: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    let path = format!("{at}/{key}");
                    key_paths(member, &path, paths);
                    paths.insert(path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| key_paths(item, at, paths)),
            _ => {}
        }
    }

    #[test]
    fn one_contact_is_document_000() {
        let expected: Value = serde_json::from_str(DOCUMENT_000_JSON).unwrap();
        let body = one(JSON, None, 200, &documented(), None).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
        assert_eq!(text(one(XML, None, 200, &documented(), None).unwrap()), joined(DOCUMENT_000_XML));
    }

    #[test]
    fn the_order_of_members_is_that_of_document_000() {
        let compact: String = DOCUMENT_000_JSON.lines().map(|line| line.trim().replacen("\": ", "\":", 1)).collect();
        assert_eq!(text(one(JSON, None, 200, &documented(), None).unwrap()), compact);
    }

    #[test]
    fn a_list_of_contacts_has_the_keys_of_document_001() {
        let expected: Value = serde_json::from_str(DOCUMENT_001_JSON).unwrap();
        let body = list(JSON, &[documented()], PAGE, None, usize::MAX).unwrap().body;
        let [mut actual_keys, mut expected_keys] = [BTreeSet::new(), BTreeSet::new()];
        key_paths(&serde_json::from_slice(&body).unwrap(), "", &mut actual_keys);
        key_paths(&expected, "", &mut expected_keys);
        assert_eq!(actual_keys, expected_keys);
    }

    #[test]
    fn a_list_in_xml_repeats_the_response_of_document_000() {
        let document = joined(DOCUMENT_000_XML);
        let (_, rest) = document.split_once("<response>").unwrap();
        let (response, _) = rest.split_once("</response>").unwrap();
        let response = format!("<response>{response}</response>");
        assert_eq!(
            text(list(XML, &[documented(), documented()], PAGE, None, usize::MAX).unwrap().body),
            format!("<result><status>0</status>{response}{response}</result>")
        );
    }

    #[test]
    fn a_contact_without_anything_keeps_all_its_members() {
        let hollow = Contact {
            addresses: Vec::new(),
            create_by: None,
            contact_status: None,
            contact_type: None,
            common_data: Vec::new(),
            custom_fields: Vec::new(),
            tags: Vec::new(),
            access_list: Vec::new(),
            currency: None,
            ..documented()
        };
        let body: Value = serde_json::from_slice(&one(JSON, None, 200, &hollow, None).unwrap()).unwrap();
        assert_eq!(body["response"].as_object().unwrap().len(), 24);
        assert_eq!(body["response"]["Currency"], Value::Null);
        assert_eq!(body["response"]["AccessList"], json!([]));
        let xml = text(one(XML, None, 200, &hollow, None).unwrap());
        assert!(xml.contains("<response><CreateBy /><Created>"), "{xml}");
        assert!(xml.contains("<ContactType /><TaskCount>1</TaskCount>"), "{xml}");
    }

    #[test]
    fn a_list_ends_before_the_item_that_is_too_much() {
        let items = ["ab", "cd", "ef"];
        let check = |shape, max_bytes, body: &str, written| {
            let list = list(shape, &items, PAGE, None, max_bytes).unwrap();
            assert_eq!((text(list.body), list.written), (body.to_owned(), written), "{max_bytes}");
        };
        check(JSON, 14, r#"["ab","cd","ef"]"#, 3);
        check(JSON, 13, r#"["ab","cd"]"#, 2);
        check(JSON, 9, r#"["ab","cd"]"#, 2);
        check(JSON, 8, r#"["ab"]"#, 1);
        check(JSON, 3, "[]", 0);
        check(JSON, 0, "[]", 0);
        let item = "<response>ab</response>".len();
        let [none, ab, abcd] = ["", "<response>ab</response>", "<response>ab</response><response>cd</response>"]
            .map(|responses| format!("<result><status>0</status>{responses}</result>"));
        check(XML, 2 * item, &abcd, 2);
        check(XML, 2 * item - 1, &ab, 1);
        check(XML, item - 1, &none, 0);
        check(XML, 0, &none, 0);
    }

    #[test]
    fn a_suffix_puts_counts_and_the_status_beside_the_response() {
        let camel = |response: &str| {
            format!(r#"{{"count":1,"startIndex":0,"status":0,"statusCode":201,"response":{response}}}"#)
        };
        let object = ListItem { id: 7, title: "Hot".to_owned(), ..ListItem::default() };
        let fields = Fields::parse("TITLE, id,nothing");
        let body = one(SUFFIX_JSON, None, 201, &object, fields.as_ref()).unwrap();
        assert_eq!(text(body), camel(r#"{"id":7,"title":"Hot"}"#));
        let body = one(SUFFIX_XML, None, 201, &object, fields.as_ref()).unwrap();
        assert_eq!(
            text(body),
            "<result><count>1</count><startIndex>0</startIndex><status>0</status><statusCode>201</statusCode>\
             <response><id>7</id><title>Hot</title></response></result>"
        );
        let page = ListPage { start_index: 10, asked: 2, more: true, total: Some(40) };
        let body = list(SUFFIX_JSON, &["a", "b"], page, None, usize::MAX).unwrap();
        assert_eq!(
            text(body.body),
            r#"{"count":2,"startIndex":10,"nextIndex":12,"total":40,"status":0,"statusCode":200,"response":["a","b"]}"#
        );
        let body =
            list(SUFFIX_XML, &["a", "b"], ListPage { more: false, total: None, ..page }, None, usize::MAX).unwrap();
        assert_eq!(
            text(body.body),
            "<result><count>2</count><startIndex>10</startIndex><status>0</status><statusCode>200</statusCode>\
             <response>a</response><response>b</response></result>"
        );
    }

    #[test]
    fn fields_trim_a_contact_to_the_keys_that_are_named_in_every_shape() {
        let fields = Fields::parse("displayname,CreateBy");
        let check = |shape: Shape, expected: &[&str]| {
            let body: Value =
                serde_json::from_slice(&one(shape, None, 200, &documented(), fields.as_ref()).unwrap()).unwrap();
            let response = body["response"].as_object().unwrap();
            assert_eq!(
                response.keys().map(String::as_str).collect::<BTreeSet<_>>(),
                expected.iter().copied().collect()
            );
            // What a member holds is whole.
            assert_eq!(response[expected[0]].as_object().unwrap().len(), 5);
        };
        check(JSON, &["CreateBy", "DisplayName"]);
        check(SUFFIX_JSON, &["createBy", "displayName"]);
        let list = text(list(JSON, &[documented()], PAGE, Fields::parse("ID").as_ref(), usize::MAX).unwrap().body);
        assert_eq!(list, r#"[{"ID":1234}]"#);
        let xml = text(one(XML, None, 200, &documented(), Fields::parse("id,about").as_ref()).unwrap());
        assert_eq!(xml, "<result><status>0</status><response><About>About</About><id>1234</id></response></result>");
    }

    #[test]
    fn a_page_says_where_the_next_one_starts() {
        let check = |page: ListPage, max_bytes, expected| {
            let list = list(JSON, &["ab", "cd"], page, None, max_bytes).unwrap();
            assert_eq!(list.next_index, expected, "{page:?} {max_bytes}");
        };
        let page = ListPage { start_index: 10, asked: 3, more: false, total: None };
        check(page, usize::MAX, None);
        check(ListPage { more: true, ..page }, usize::MAX, Some(13));
        check(page, 6, Some(11));
        check(page, 0, None);
        check(ListPage { asked: 0, more: true, ..page }, usize::MAX, None);
    }

    #[test]
    fn an_empty_list_is_an_answer_too() {
        for (shape, expected) in [(JSON, "[]"), (XML, "<result><status>0</status></result>")] {
            let list = list::<Contact>(shape, &[], PAGE, None, usize::MAX).unwrap();
            assert_eq!((text(list.body), list.written), (expected.to_owned(), 0));
        }
    }

    #[test]
    fn an_error_has_one_form() {
        let mut body = ErrorBody {
            status_code: 400,
            message: "Correct the fields & send it again".to_owned(),
            kind: "bad-field",
            details: vec![ErrorDetail { field: "tags".to_owned(), message: "must be an array".to_owned() }],
            request_id: "r-1".to_owned(),
        };
        assert_eq!(
            text(error(Format::Json, &body).unwrap()),
            concat!(
                r#"{"status":1,"statusCode":400,"error":{"message":"Correct the fields & send it again","#,
                r#""type":"bad-field","details":[{"field":"tags","message":"must be an array"}],"requestId":"r-1"}}"#
            )
        );
        assert_eq!(
            text(error(Format::Xml, &body).unwrap()),
            concat!(
                "<result><status>1</status><statusCode>400</statusCode><error>",
                "<message>Correct the fields &amp; send it again</message><type>bad-field</type>",
                "<details><field>tags</field><message>must be an array</message></details>",
                "<requestId>r-1</requestId></error></result>"
            )
        );
        body.details.clear();
        assert!(text(error(Format::Json, &body).unwrap()).contains(r#""details":[]"#));
        assert!(!text(error(Format::Xml, &body).unwrap()).contains("details"));
    }

    fn employee() -> impl Strategy<Value = Employee> {
        (any::<u128>(), any::<[String; 4]>()).prop_map(|(id, [display_name, title, avatar_small, profile_url])| {
            Employee { id: UserId::from_u128(id), display_name, title, avatar_small, profile_url }
        })
    }

    fn address() -> impl Strategy<Value = Address> {
        (any::<[String; 6]>(), any::<i32>(), any::<bool>()).prop_map(
            |([street, city, state, zip, country, category_name], category, is_primary)| Address {
                street,
                city,
                state,
                zip,
                country,
                category,
                category_name,
                is_primary,
            },
        )
    }

    fn list_item() -> impl Strategy<Value = ListItem> {
        (any::<[i32; 2]>(), any::<[String; 3]>()).prop_map(|([id, sort_order], [title, description, color])| ListItem {
            id,
            title,
            description,
            color,
            sort_order,
        })
    }

    fn custom_field() -> impl Strategy<Value = CustomField> {
        (any::<[i32; 4]>(), any::<[String; 3]>()).prop_map(
            |([entity_id, field_type, position, id], [label, field_value, mask])| CustomField {
                entity_id,
                label,
                field_value,
                field_type,
                position,
                mask,
                id,
            },
        )
    }

    prop_compose! {
        fn contact()(
            addresses in vec(address(), 0..3),
            create_by in proptest::option::of(employee()),
            created in any::<i64>(),
            [about, industry, display_name] in any::<[String; 3]>(),
            contact_status in proptest::option::of(list_item()),
            custom_fields in vec(custom_field(), 0..3),
            tags in vec(any::<String>(), 0..4),
            id in 1..=i64::from(i32::MAX),
            access_list in vec(employee(), 0..3),
            share in 0..ShareType::ALL.len(),
        ) -> Contact<'static> {
            Contact {
                addresses,
                create_by: create_by.map(Cow::Owned),
                created: Moment::from_steps(created),
                about,
                industry,
                contact_status,
                custom_fields,
                tags,
                id: ContactId::try_from(id).unwrap(),
                display_name,
                access_list: access_list.into_iter().map(Cow::Owned).collect(),
                share_type: ShareType::ALL[share],
                ..documented()
            }
        }
    }

    /// The keys of a value in a style, told in a way that has nothing in common with [`Keyed`]'s.
    fn restyled(value: Value, style: KeyStyle) -> Value {
        let rename = |key: String| match (style, key.as_str()) {
            (KeyStyle::UpperId, "id") => "ID".to_owned(),
            (KeyStyle::Camel, "Id" | "ID") => "id".to_owned(),
            (KeyStyle::Camel, _) => {
                key.chars().take(1).map(|c| c.to_ascii_lowercase()).chain(key.chars().skip(1)).collect()
            }
            _ => key,
        };
        match value {
            Value::Object(members) => {
                members.into_iter().map(|(key, member)| (rename(key), restyled(member, style))).collect()
            }
            Value::Array(items) => items.into_iter().map(|item| restyled(item, style)).collect(),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn json_in_any_style_is_the_same_contact(contact in contact()) {
            let plain = serde_json::to_value(&contact).unwrap();
            for style in [KeyStyle::Documents, KeyStyle::UpperId, KeyStyle::Camel] {
                let text = serde_json::to_vec(&Keyed::new(&contact, style)).unwrap();
                let read: Value = serde_json::from_slice(&text).unwrap();
                let mut expected = restyled(plain.clone(), style);
                if style == KeyStyle::Camel {
                    // Moments have an offset there.
                    let created = expected["created"].as_str().unwrap().trim_end_matches('Z').to_owned() + "+00:00";
                    expected["created"] = json!(created);
                } else {
                    expected.as_object_mut().unwrap().retain(|key, _| !Contact::ONLYOFFICE_KEYS.contains(&key.as_str()));
                }
                prop_assert_eq!(read, expected);
            }
        }

        #[test]
        fn xml_of_any_contact_is_well_formed(contacts in vec(contact(), 0..3)) {
            let list = list(XML, &contacts, PAGE, None, usize::MAX).unwrap();
            let text = text(list.body);
            let mut reader = Reader::from_str(&text);
            let (mut depth, mut responses) = (0, 0);
            loop {
                match reader.read_event().unwrap() {
                    Event::Start(tag) => {
                        depth += 1;
                        responses += usize::from(depth == 2 && tag.name().as_ref() == "response");
                    }
                    Event::End(_) => depth -= 1,
                    Event::Eof => break,
                    _ => {}
                }
            }
            prop_assert_eq!((depth, responses), (0, contacts.len()));
        }

        #[test]
        fn any_bound_holds_and_is_used(contacts in vec(contact(), 0..4), max_bytes in 100..8000_usize) {
            for shape in [JSON, XML, SUFFIX_JSON, SUFFIX_XML] {
                let whole = |contacts: &[Contact]| list(shape, contacts, PAGE, None, usize::MAX).unwrap().body.len();
                let bounded = list(shape, &contacts, PAGE, None, max_bytes).unwrap();
                // What stands around a list differs by its numbers only.
                const AROUND: usize = 200;
                prop_assert!(bounded.body.len() <= max_bytes + AROUND);
                if bounded.written < contacts.len() {
                    prop_assert!(whole(&contacts[..=bounded.written]) > max_bytes);
                }
            }
        }
    }
}
