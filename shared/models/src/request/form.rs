//! Bodies and queries as `application/x-www-form-urlencoded`, parsed into the same tree as JSON.
//!
//! A name with brackets is a path: `managerList[]` and `managerList[0]` are items of an array, and `target[isPrivate]`
//! is a member of an object. A repeated name is an array too. Every value is text, which the reader of the field
//! interprets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode;
use serde_json::{Map, Value};

use crate::invalid::{Fault, Invalid, shown};
use crate::limits::{MAX_FAULTS, MAX_FORM_DEPTH};

/// The fault of a name or a value that is not UTF-8.
const NOT_UTF8: &str = "is not UTF-8; percent-encode the UTF-8 bytes of each text, so that \u{e9} is %C3%A9";

/// The values under a name.
#[derive(Debug, Default)]
struct Node {
    /// Values without brackets, in their order.
    values: Vec<String>,
    /// Values of `[]`, in their order.
    pushed: Vec<String>,
    /// Values of `[0]`, in the order of the numbers.
    numbered: BTreeMap<u32, String>,
    /// Values of `[name]`.
    members: BTreeMap<String, Node>,
}

impl Node {
    /// Stores a value at `path`. Returns false if a number repeats or is too large, or if an array item has members.
    fn put(&mut self, path: &[Cow<'_, str>], value: String) -> bool {
        let is_item = |segment: &str| segment.is_empty() || segment.bytes().all(|b| b.is_ascii_digit());
        match path {
            [] => self.values.push(value),
            [last] if last.is_empty() => self.pushed.push(value),
            [last] if is_item(last) => {
                // A repeated number is refused, because the array would lose a value.
                let Ok(number) = last.parse() else { return false };
                match self.numbered.entry(number) {
                    std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(value)),
                    std::collections::btree_map::Entry::Occupied(_) => return false,
                }
            }
            [first, rest @ ..] if !is_item(first) => {
                return self.members.entry(first.clone().into_owned()).or_default().put(rest, value);
            }
            _ => return false,
        }
        true
    }

    /// Converts the node to JSON. Returns `None` if a name has values of several kinds.
    fn into_value(self) -> Option<Value> {
        let Self { mut values, pushed, numbered, members } = self;
        let kinds = [!values.is_empty(), !pushed.is_empty() || !numbered.is_empty(), !members.is_empty()];
        let array = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
        match kinds {
            [true, false, false] if values.len() == 1 => values.pop().map(Value::String),
            [true, false, false] => Some(array(values)),
            // Clients write an empty array as `name=` or as `name[]=`, and both mean the same.
            [false, true, false] if numbered.is_empty() && pushed == [""] => Some(Value::String(String::new())),
            [false, true, false] => Some(array(numbered.into_values().chain(pushed).collect())),
            [false, false, true] => {
                let members = members.into_iter().map(|(name, node)| Some((name, node.into_value()?)));
                members.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            _ => None,
        }
    }
}

/// Splits a name into its path. Returns `None` if the brackets are malformed.
fn path(name: &str) -> Option<Vec<Cow<'_, str>>> {
    let Some((first, rest)) = name.split_once('[') else {
        return (!name.contains(']')).then(|| vec![name.into()]);
    };
    let inner = rest.strip_suffix(']')?;
    let path: Vec<_> = std::iter::once(first).chain(inner.split("][")).map(Cow::Borrowed).collect();
    let is_plain = |segment: &Cow<'_, str>| !segment.contains(['[', ']']);
    (path.len() <= 1 + MAX_FORM_DEPTH && !first.is_empty() && path.iter().all(is_plain)).then_some(path)
}

/// Returns the known spelling of a name, compared without case, or the name itself.
fn as_known<'a>(name: &'a str, known: &[&'a str]) -> Cow<'a, str> {
    Cow::Borrowed(known.iter().copied().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name))
}

/// Parses a form. A name before the brackets is compared with `known`, a name within brackets with `members`. Case does
/// not matter, because ONLYOFFICE's clients use several spellings.
///
/// # Errors
///
/// [`Invalid`] names every malformed name, and every name with values of several kinds.
pub(crate) fn parse(form: &[u8], known: &[&str], members: &[&str]) -> Result<Map<String, Value>, Invalid> {
    let mut root: BTreeMap<String, Node> = BTreeMap::new();
    let mut faults = Vec::new();
    let fault = |name: &str, message: &str| Fault { field: shown(name).into_owned(), message: message.to_owned() };
    // The reader below replaces bytes that are not UTF-8, and a replaced character would select other contacts.
    let is_utf8 = |pair: &&[u8]| percent_decode(pair).decode_utf8().is_ok();
    for pair in form.split(|byte| *byte == b'&').filter(|pair| !is_utf8(pair)).take(MAX_FAULTS) {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        faults.push(fault(&percent_decode(name).decode_utf8_lossy(), NOT_UTF8));
    }
    if !faults.is_empty() {
        return Err(Invalid { faults });
    }
    for (name, value) in form_urlencoded::parse(form) {
        const MALFORMED: &str = "is not a valid name; write name=, name[]= or name[0]= for each item, or name[member]=";
        if faults.len() > MAX_FAULTS {
            break;
        }
        let Some(path) = path(&name) else {
            faults.push(fault(&name, MALFORMED));
            continue;
        };
        let segments = path.iter().zip([known].into_iter().chain(std::iter::repeat(members)));
        let path: Vec<Cow<'_, str>> = segments.map(|(segment, known)| as_known(segment, known)).collect();
        let Some((first, rest)) = path.split_first() else { continue };
        if !root.entry(first.clone().into_owned()).or_default().put(rest, value.into_owned()) {
            faults.push(fault(&name, MALFORMED));
        }
    }
    // Values of refused names are missing from the tree, so the shape of the tree is not checked.
    if !faults.is_empty() {
        return Err(Invalid { faults: faults.into_iter().take(MAX_FAULTS).collect() });
    }
    let mut object = Map::new();
    for (name, node) in root {
        match node.into_value() {
            Some(value) => drop(object.insert(name, value)),
            None => faults.push(fault(&name, "is given both with brackets and without; use one way")),
        }
    }
    if faults.is_empty() { Ok(object) } else { Err(Invalid { faults: faults.into_iter().take(MAX_FAULTS).collect() }) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(form: &str, expected: &Value) {
        let object = parse(form.as_bytes(), &["managerList", "filter"], &["tags", "view"]).unwrap();
        assert_eq!(&Value::Object(object), expected, "{form}");
    }

    #[test]
    fn names_with_brackets_are_paths() {
        check("", &json!({}));
        check("a=1", &json!({"a": "1"}));
        check("a=1&a=2", &json!({"a": ["1", "2"]}));
        check("a[]=1", &json!({"a": ["1"]}));
        check("a[]=", &json!({"a": ""}));
        check("a[]=&a[]=", &json!({"a": ["", ""]}));
        check("filter[tags][]=", &json!({"filter": {"tags": ""}}));
        check("a%5B1%5D=y&a%5B0%5D=x&a[]=z", &json!({"a": ["x", "y", "z"]}));
        check("MANAGERLIST[]=x+y", &json!({"managerList": ["x y"]}));
        check(
            "filter[tags][]=vip&filter[tags][]=a%26b&filter[view]=0",
            &json!({"filter": {"tags": ["vip", "a&b"], "view": "0"}}),
        );
        check("a", &json!({"a": ""}));
        check("a[b][c]=1", &json!({"a": {"b": {"c": "1"}}}));
        check(
            "Filter[Tags][]=x&filter[TAGS][]=y&filter[other]=z",
            &json!({"filter": {"tags": ["x", "y"], "other": "z"}}),
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        for (form, names) in [
            (&b"a=%FF"[..], &["a"][..]),
            (b"a=\xff", &["a"]),
            (b"%C3=1", &["\u{fffd}"]),
            (b"a=%C3&b=%A9", &["a", "b"]),
            (b"b=1&a=%ED%A0%80", &["a"]),
        ] {
            let Err(Invalid { faults }) = parse(form, &[], &[]) else { panic!("{form:?} was read") };
            assert!(faults.iter().all(|fault| fault.message == NOT_UTF8), "{faults:?}");
            assert_eq!(faults.iter().map(|fault| &fault.field).collect::<Vec<_>>(), names, "{form:?}");
        }
        check("a=%C3%A9&%EF%BF%BD=1", &json!({"a": "\u{e9}", "\u{fffd}": "1"}));
    }

    #[test]
    fn malformed_names_are_faults() {
        for form in [
            "a[=1",
            "a]=1",
            "a[b]c=1",
            "[]=1",
            "a[][]=1",
            "a[b][c][d]=1",
            "a[b][c][]=1",
            "a[0]=1&a[0]=2",
            "a=1&a[]=2",
            "a[b]=1&a=2",
        ] {
            let Err(Invalid { faults }) = parse(form.as_bytes(), &[], &[]) else { panic!("{form} was read") };
            assert_eq!(faults.len(), 1, "{form}: {faults:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(form in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            match parse(&form, &["tags"], &["tags"]) {
                Ok(_) => {}
                Err(Invalid { faults }) => proptest::prop_assert!((1..=MAX_FAULTS).contains(&faults.len())),
            }
        }
    }
}
