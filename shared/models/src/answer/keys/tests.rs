use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outer {
    #[serde(rename = "id")]
    id: i32,
    display_name: Option<&'static str>,
    inner: Vec<Option<Inner>>,
    pair: (Inner, Wrapper),
    by_name: BTreeMap<&'static str, Inner>,
    choice: Vec<Choice>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    id: i32,
}

#[derive(Serialize)]
struct Wrapper(Inner);

#[derive(Serialize)]
enum Choice {
    Unit,
    Newtype(Inner),
    Tuple(Inner, i32),
    #[serde(rename_all = "PascalCase")]
    Struct {
        a_key: i32,
    },
}

fn check(style: KeyStyle, expected: &Value) {
    let value = Outer {
        id: 1,
        display_name: None,
        inner: vec![Some(Inner { id: 2 }), None],
        pair: (Inner { id: 3 }, Wrapper(Inner { id: 4 })),
        by_name: BTreeMap::from([("Name", Inner { id: 5 }), ("id", Inner { id: 6 })]),
        choice: vec![
            Choice::Unit,
            Choice::Newtype(Inner { id: 7 }),
            Choice::Tuple(Inner { id: 8 }, 9),
            Choice::Struct { a_key: 10 },
        ],
    };
    let keyed = Keyed::new(&value, style);
    assert_eq!(&serde_json::to_value(&keyed).unwrap(), expected, "{style:?}");
    let text = serde_json::to_string(&keyed).unwrap();
    assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), expected, "{style:?}");
}

#[test]
fn struct_keys_follow_the_style_but_map_keys_and_variants_do_not() {
    let choice = json!(["Unit", {"Newtype": {"Id": 7}}, {"Tuple": [{"Id": 8}, 9]}, {"Struct": {"AKey": 10}}]);
    let documents = json!({
        "id": 1, "DisplayName": null, "Inner": [{"Id": 2}, null], "Pair": [{"Id": 3}, {"Id": 4}],
        "ByName": {"Name": {"Id": 5}, "id": {"Id": 6}}, "Choice": choice,
    });
    check(KeyStyle::Documents, &documents);

    let mut upper = documents;
    let id = upper.as_object_mut().unwrap().remove("id").unwrap();
    upper["ID"] = id;
    check(KeyStyle::UpperId, &upper);

    let camel = json!({
        "id": 1, "displayName": null, "inner": [{"id": 2}, null], "pair": [{"id": 3}, {"id": 4}],
        "byName": {"Name": {"id": 5}, "id": {"id": 6}}, "choice": choice,
    });
    check(KeyStyle::Camel, &camel);
}

#[test]
fn first_letters_are_lowered_whatever_the_length() {
    let long = "A".repeat(INLINE_KEY_BYTES + 1);
    let lowered = format!("a{}", "A".repeat(INLINE_KEY_BYTES));
    for (key, expected) in [
        ("", ""),
        ("id", "id"),
        ("Id", "id"),
        ("ID", "id"),
        ("EntityId", "entityId"),
        ("status", "status"),
        ("Größe", "größe"),
        ("Übung", "Übung"),
        (long.as_str(), lowered.as_str()),
    ] {
        assert_eq!(with_camel(key, str::to_owned), expected);
    }
}

#[test]
fn an_empty_or_partly_skipped_struct_is_an_object() {
    #[derive(Serialize)]
    struct Empty {}
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Partly {
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<i32>,
        present: Empty,
    }
    for (style, expected) in [(KeyStyle::UpperId, r#"{"Present":{}}"#), (KeyStyle::Camel, r#"{"present":{}}"#)] {
        let text = serde_json::to_string(&Keyed::new(&Partly { absent: None, present: Empty {} }, style));
        assert_eq!(text.unwrap(), expected);
    }
}
