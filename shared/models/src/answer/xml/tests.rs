use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;
use crate::answer::{KeyStyle, Keyed};

fn xml<T: Serialize + ?Sized>(root: &str, value: &T) -> String {
    String::from_utf8(to_xml(root, value).unwrap()).unwrap()
}

fn check<T: Serialize>(value: T, expected: &str) {
    assert_eq!(xml("City", &value), expected);
}

#[derive(Serialize)]
struct One<T> {
    #[serde(rename = "City")]
    city: T,
}

fn check_member<T: Serialize>(city: T, expected: &str) {
    assert_eq!(xml("r", &One { city }), expected);
}

#[derive(Serialize)]
enum Choice {
    Unit,
    Newtype(i32),
    Tuple(i32, i32),
    Struct { a: i32 },
    Hollow {},
}

#[test]
fn plain_values_are_text() {
    check("Riga", "<City>Riga</City>");
    check(true, "<City>True</City>");
    check(false, "<City>False</City>");
    check(-7, "<City>-7</City>");
    check(u128::MAX, "<City>340282366920938463463374607431768211455</City>");
    check(1.5, "<City>1.5</City>");
    check('<', "<City>&lt;</City>");
    check(format_args!("{}&{}", 1, 2), "<City>1&amp;2</City>");
    check(Choice::Unit, "<City>Unit</City>");
    check(Some("Riga"), "<City>Riga</City>");
}

#[test]
fn empty_values_are_empty_elements() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Hollow {}
    check("", "<City />");
    check(None::<i32>, "<City />");
    check((), "<City />");
    check(Unit, "<City />");
    check(Hollow {}, "<City />");
    check(BTreeMap::<String, i32>::new(), "<City />");
    check(f64::NAN, "<City />");
    check(f32::INFINITY, "<City />");
    check(One { city: Vec::<i32>::new() }, "<City />");
    check(format_args!(""), "<City />");
    check_member("", "<r><City /></r>");
    check_member(Hollow {}, "<r><City /></r>");
}

#[test]
fn sequences_repeat_their_element() {
    check_member([1, 2], "<r><City>1</City><City>2</City></r>");
    check_member(["", "a"], "<r><City /><City>a</City></r>");
    check_member((1, "a"), "<r><City>1</City><City>a</City></r>");
    check_member(Some(vec![1]), "<r><City>1</City></r>");
    check_member(Vec::<i32>::new(), "<r />");
    check_member([None, Some(1)], "<r><City /><City>1</City></r>");
    check_member(
        [One { city: vec![1, 2] }, One { city: vec![] }],
        "<r><City><City>1</City><City>2</City></City><City /></r>",
    );
}

#[test]
fn sequences_that_are_not_members_get_an_element() {
    check_member(
        vec![vec![1, 2], vec![], vec![3]],
        "<r><City><City>1</City><City>2</City></City><City /><City><City>3</City></City></r>",
    );
    check([1, 2], "<City><City>1</City><City>2</City></City>");
}

#[test]
fn variants_are_elements_inside() {
    check(Choice::Newtype(1), "<City><Newtype>1</Newtype></City>");
    check(Choice::Tuple(1, 2), "<City><Tuple>1</Tuple><Tuple>2</Tuple></City>");
    check(Choice::Struct { a: 1 }, "<City><Struct><a>1</a></Struct></City>");
    check(Choice::Hollow {}, "<City><Hollow /></City>");
}

#[test]
fn map_keys_are_element_names() {
    check(BTreeMap::from([("a", 1), ("b", 2)]), "<City><a>1</a><b>2</b></City>");
    check(BTreeMap::from([(1, "x")]), "<City><_x0031_>x</_x0031_></City>");
    check(BTreeMap::from([(true, vec![1, 2])]), "<City><true>1</true><true>2</true></City>");
    assert_eq!(to_xml("City", &BTreeMap::from([((1, 2), 3)])), Err(XmlError::Key));
}

#[test]
fn names_are_encoded_reversibly() {
    for (name, expected) in [
        ("City", "City"),
        ("a-b.c_d", "a-b.c_d"),
        ("", "_"),
        ("a b", "a_x0020_b"),
        ("-a", "_x002D_a"),
        ("a:b", "a_x003A_b"),
        ("<>", "_x003C__x003E_"),
        ("Größe", "Größe"),
        ("a_x0020_b", "a_x005F_x0020_b"),
        ("a_x002", "a_x002"),
        ("\u{10FFFF}", "_x0010FFFF_"),
    ] {
        assert_eq!(encode_name(name), expected);
    }
}

#[test]
fn text_is_escaped_and_forbidden_characters_are_replaced() {
    check("<a> & \"b\" 'c'", "<City>&lt;a&gt; &amp; \"b\" 'c'</City>");
    check("]]>", "<City>]]&gt;</City>");
    check("a\tb\nc", "<City>a\tb\nc</City>");
    // A parser would turn a bare carriage return into a line feed.
    check("a\r\n", "<City>a&#13;\n</City>");
    check("\0\u{8}\u{B}\u{1F}\u{FFFE}\u{FFFF}", &format!("<City>{}</City>", "\u{FFFD}".repeat(6)));
    check("\u{7F}\u{85}\u{2028}\u{FFFD}\u{FEFF}🙂", "<City>\u{7F}\u{85}\u{2028}\u{FFFD}\u{FEFF}🙂</City>");
}

#[test]
fn failing_value_fails_with_its_message() {
    struct Failing;
    impl Serialize for Failing {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("no"))
        }
    }
    assert_eq!(to_xml("City", &Failing), Err(XmlError::Value("no".to_owned())));
}

#[test]
fn keys_follow_the_style() {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Employee {
        id: i32,
        display_name: [&'static str; 2],
    }
    let value = Employee { id: 1, display_name: ["a", "b"] };
    assert_eq!(
        xml("r", &Keyed::new(&value, KeyStyle::Camel)),
        "<r><id>1</id><displayName>a</displayName><displayName>b</displayName></r>"
    );
}

/// Returns the text of an element as a parser reads it.
fn read_text(xml: &str) -> String {
    let mut reader = Reader::from_str(xml);
    let mut text = String::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => {
                let reference = format!("&{};", reference.into_inner());
                text.push_str(&quick_xml::escape::unescape(&reference).unwrap());
            }
            Event::Eof => return text,
            Event::Start(_) | Event::End(_) | Event::Empty(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_back(text in any::<String>(), controls in "[\u{0}-\u{20}<>&\u{FFF0}-\u{FFFF}]*") {
        for text in [text, controls] {
            prop_assert_eq!(read_text(&xml("City", &text)), text.replace(is_forbidden, "\u{FFFD}"));
        }
    }

    #[test]
    fn any_map_is_well_formed(map in btree_map(any::<String>(), vec(any::<(String, Option<bool>)>(), 0..3), 0..4)) {
        let text = xml("r", &map);
        let mut reader = Reader::from_str(&text);
        let mut depth = 0;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Eof => break,
                _ => {}
            }
        }
        prop_assert_eq!(depth, 0);
    }
}
