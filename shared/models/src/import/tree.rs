//! The JSON of an import line, with normalized member names and numbers.
//!
//! The service writes contacts in several dialects (`ID`, `id`, `DisplayName`, `displayName`), and other programs write
//! `1234.0` or `null`. This reader converts all of these, at any depth, into the form that the line types expect:
//! members begin with a capital letter, except `id`; whole numbers are integers; members that are `null` are omitted.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::{Path, Segment};

/// Largest number up to which `f64` represents every whole number exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The members of an object, with their original names. Members that are `null` are omitted.
#[derive(Debug)]
pub(crate) struct Members(pub(crate) Vec<(String, Value)>);

/// A value of a line; `None` for `null`.
struct Tree(Option<Value>);

/// Normalizes the spelling of a member's name.
fn normalize(name: &str) -> String {
    if name.eq_ignore_ascii_case("id") {
        return "id".to_owned();
    }
    let mut spelling = name.to_owned();
    if let Some(first) = spelling.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    spelling
}

/// Returns the path of a member of a line's value, such as `Addresses[0].Street`, with the names and the positions that
/// the line has. Returns an empty text for the value itself.
pub(crate) fn path_as_written(text: &str, kind: &str, path: &Path) -> String {
    let line: Value = serde_json::from_str(text).unwrap_or_default();
    let mut value = &line[kind];
    let mut written = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                // The reader omitted the values that are null.
                let values = value.as_array().into_iter().flatten().enumerate();
                let found = values.filter(|(_, value)| !value.is_null()).nth(*index);
                let (index, inner) = found.unwrap_or((*index, &Value::Null));
                written.push_str(&format!("[{index}]"));
                value = inner;
            }
            Segment::Map { key } => {
                let found = value.as_object().into_iter().flatten().find(|(name, _)| normalize(name) == *key);
                let (name, inner) = found.map_or((key, &Value::Null), |found| found);
                written.push_str(if written.is_empty() { "" } else { "." });
                written.push_str(name);
                value = inner;
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    written
}

/// Reads the members of an object, and rejects duplicates, even in different spellings.
fn members<'de, A: MapAccess<'de>>(
    mut access: A,
    mut member: impl FnMut(String, String, Value),
) -> Result<(), A::Error> {
    let mut names: HashMap<String, String> = HashMap::new();
    while let Some(name) = access.next_key::<String>()? {
        let normalized = normalize(&name);
        let Tree(value) = access.next_value()?;
        match names.insert(normalized.clone(), name.clone()) {
            Some(before) if before == name => return Err(A::Error::custom(format!("{name:?} is given twice"))),
            Some(before) => {
                return Err(A::Error::custom(format!(
                    "{before:?} and {name:?} are two spellings of one member; remove one of them"
                )));
            }
            None => {}
        }
        if let Some(value) = value {
            member(name, normalized, value);
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line;

        impl<'de> Visitor<'de> for Line {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Members, A::Error> {
                let mut found = Vec::new();
                members(access, |name, _, value| found.push((name, value)))?;
                Ok(Members(found))
            }
        }

        deserializer.deserialize_map(Line)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree(None))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree(Some(Value::Bool(value))))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree(Some(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree(Some(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        let is_whole = value.fract() == 0.0 && value.abs() <= MAX_EXACT;
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within the numbers that both types have")]
        let number = if is_whole { Some(Number::from(value as i64)) } else { Number::from_f64(value) };
        number.map(|number| Tree(Some(Value::Number(number)))).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree(Some(value.into())))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Tree, E> {
        Ok(Tree(Some(value.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut values = Vec::new();
        while let Some(Tree(value)) = access.next_element()? {
            values.extend(value);
        }
        Ok(Tree(Some(Value::Array(values))))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Tree, A::Error> {
        let mut map = Map::new();
        members(access, |_, name, value| {
            map.insert(name, value);
        })?;
        Ok(Tree(Some(Value::Object(map))))
    }
}
