use std::borrow::Cow;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};

use super::*;
use crate::access::ShareType;
use crate::contact::{Address, CommonData, Contact, Currency, CustomField, Employee, ListItem};
use crate::values::id::ContactId;
use crate::values::id::UserId;
use crate::values::timestamp::Timestamp;

const JSON: Shape = Shape { format: Format::Json, envelope: Envelope::Documents };
const XML: Shape = Shape { format: Format::Xml, envelope: Envelope::Documents };
const SUFFIX_JSON: Shape = Shape { format: Format::Json, envelope: Envelope::OnlyOffice };
const SUFFIX_XML: Shape = Shape { format: Format::Xml, envelope: Envelope::OnlyOffice };
const PAGE: ListPage = ListPage { start_index: 0, covered: 0, more: false, total: None };

const CONTACT_JSON: &str = include_str!("../testdata/contact.json");
const CONTACT_XML: &str = include_str!("../testdata/contact.xml");
const CONTACTS_JSON: &str = include_str!("../testdata/contacts.json");

/// Returns the contact of ONLYOFFICE's two reference pages.
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

/// Returns XML without the white space between elements. No other text of the pages has white space at a line's edge.
fn joined(xml: &str) -> String {
    xml.lines().map(str::trim).collect()
}

/// Collects the path of every key of a value.
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
fn contact_equals_the_reference_page() {
    let expected: Value = serde_json::from_str(CONTACT_JSON).unwrap();
    let body = one(JSON, None, 200, &documented(), None).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    assert_eq!(text(one(XML, None, 200, &documented(), None).unwrap()), joined(CONTACT_XML));
}

#[test]
fn members_have_the_order_of_the_reference_page() {
    let compact: String = CONTACT_JSON.lines().map(|line| line.trim().replacen("\": ", "\":", 1)).collect();
    assert_eq!(text(one(JSON, None, 200, &documented(), None).unwrap()), compact);
}

#[test]
fn list_of_contacts_has_the_keys_of_its_reference_page() {
    let expected: Value = serde_json::from_str(CONTACTS_JSON).unwrap();
    let body = list(JSON, &[documented()], PAGE, None, usize::MAX).unwrap().body;
    let [mut actual_keys, mut expected_keys] = [BTreeSet::new(), BTreeSet::new()];
    key_paths(&serde_json::from_slice(&body).unwrap(), "", &mut actual_keys);
    key_paths(&expected, "", &mut expected_keys);
    assert_eq!(actual_keys, expected_keys);
}

#[test]
fn list_in_xml_repeats_the_response_of_the_reference_page() {
    let document = joined(CONTACT_XML);
    let (_, after) = document.split_once("<response>").unwrap();
    let (response, _) = after.split_once("</response>").unwrap();
    let response = format!("<response>{response}</response>");
    assert_eq!(
        text(list(XML, &[documented(), documented()], PAGE, None, usize::MAX).unwrap().body),
        format!("<result><status>0</status>{response}{response}</result>")
    );
}

#[test]
fn empty_contact_has_all_members() {
    let empty = Contact {
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
    let body: Value = serde_json::from_slice(&one(JSON, None, 200, &empty, None).unwrap()).unwrap();
    assert_eq!(body["response"].as_object().unwrap().len(), 24);
    assert_eq!(body["response"]["Currency"], Value::Null);
    assert_eq!(body["response"]["AccessList"], json!([]));
    let xml = text(one(XML, None, 200, &empty, None).unwrap());
    assert!(xml.contains("<response><CreateBy /><Created>"), "{xml}");
    assert!(xml.contains("<ContactType /><TaskCount>1</TaskCount>"), "{xml}");
}

#[test]
fn list_ends_before_the_item_that_exceeds_the_maximum() {
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
fn suffix_adds_counts_and_the_status_to_the_envelope() {
    let camel =
        |response: &str| format!(r#"{{"count":1,"startIndex":0,"status":0,"statusCode":201,"response":{response}}}"#);
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
    let page = ListPage { start_index: 10, covered: 2, more: true, total: Some(40) };
    let body = list(SUFFIX_JSON, &["a", "b"], page, None, usize::MAX).unwrap();
    assert_eq!(
        text(body.body),
        r#"{"count":2,"startIndex":10,"nextIndex":12,"total":40,"status":0,"statusCode":200,"response":["a","b"]}"#
    );
    let body = list(SUFFIX_XML, &["a", "b"], ListPage { more: false, total: None, ..page }, None, usize::MAX).unwrap();
    assert_eq!(
        text(body.body),
        "<result><count>2</count><startIndex>10</startIndex><status>0</status><statusCode>200</statusCode>\
         <response>a</response><response>b</response></result>"
    );
}

#[test]
fn fields_trim_a_contact_in_every_shape() {
    let fields = Fields::parse("displayname,CreateBy");
    let check = |shape: Shape, expected: &[&str]| {
        let body: Value =
            serde_json::from_slice(&one(shape, None, 200, &documented(), fields.as_ref()).unwrap()).unwrap();
        let response = body["response"].as_object().unwrap();
        assert_eq!(response.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected.iter().copied().collect());
        // The values of the named members are written in full.
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
fn page_has_the_start_of_the_next_page() {
    let check = |page: ListPage, max_bytes, expected| {
        let list = list(JSON, &["ab", "cd"], page, None, max_bytes).unwrap();
        assert_eq!(list.next_index, expected, "{page:?} {max_bytes}");
    };
    let page = ListPage { start_index: 10, covered: 3, more: false, total: None };
    check(page, usize::MAX, None);
    check(ListPage { more: true, ..page }, usize::MAX, Some(13));
    check(page, 6, Some(11));
    check(page, 0, None);
    check(ListPage { covered: 0, more: true, ..page }, usize::MAX, None);
}

#[test]
fn empty_list_has_an_envelope() {
    for (shape, expected) in [(JSON, "[]"), (XML, "<result><status>0</status></result>")] {
        let list = list::<Contact>(shape, &[], PAGE, None, usize::MAX).unwrap();
        assert_eq!((text(list.body), list.written), (expected.to_owned(), 0));
    }
}

#[test]
fn error_has_one_shape() {
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
    (any::<u128>(), any::<[String; 4]>()).prop_map(|(id, [display_name, title, avatar_small, profile_url])| Employee {
        id: UserId::from_u128(id),
        display_name,
        title,
        avatar_small,
        profile_url,
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
            created: Timestamp::from_ticks(created),
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

/// Returns a value with its keys in a style, computed independently of [`Keyed`].
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
                // This style shows timestamps with an offset.
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
    fn list_never_exceeds_its_maximum_and_ends_only_there(contacts in vec(contact(), 0..4), max_bytes in 100..8000_usize) {
        for shape in [JSON, XML, SUFFIX_JSON, SUFFIX_XML] {
            let unbounded = |contacts: &[Contact]| list(shape, contacts, PAGE, None, usize::MAX).unwrap().body.len();
            let bounded = list(shape, &contacts, PAGE, None, max_bytes).unwrap();
            // The envelopes of two lists differ only in their numbers.
            const ENVELOPE_BYTES: usize = 200;
            prop_assert!(bounded.body.len() <= max_bytes + ENVELOPE_BYTES);
            if bounded.written < contacts.len() {
                prop_assert!(unbounded(&contacts[..=bounded.written]) > max_bytes);
            }
        }
    }
}
