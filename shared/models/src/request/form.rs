//! Bodies and queries as `application/x-www-form-urlencoded`, read into the tree that JSON gives.
//!
//! A name with brackets is a path: `managerList[]` and `managerList[0]` are items of an array, `target[isPrivate]` is a
//! member of an object. A name that is repeated is an array too. Every value is text; what it stands for is decided by
//! who reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::invalid::shown;
use crate::invalid::{Fault, Invalid};
use crate::limits::MAX_FAULTS;

/// Brackets behind a name: `filter[tags][]` is the deepest that any request has.
const MAX_DEPTH: usize = 3;

/// What stands under a name.
#[derive(Debug, Default)]
struct Node {
    /// Values without brackets, in their order.
    values: Vec<String>,
    /// What stood in `[]`, in its order.
    pushed: Vec<String>,
    /// What stood in `[0]`, in the order of the numbers.
    numbered: BTreeMap<u32, String>,
    /// What stood in `[name]`.
    members: BTreeMap<String, Node>,
}

impl Node {
    /// Puts a value where `path` leads, and says whether that can be: not under a member of a member of a member.
    fn put(&mut self, path: &[Cow<'_, str>], value: String) -> bool {
        let is_item = |segment: &str| segment.is_empty() || segment.bytes().all(|b| b.is_ascii_digit());
        match path {
            [] => self.values.push(value),
            [last] if last.is_empty() => self.pushed.push(value),
            [last] if is_item(last) => {
                // A number that is there already is one value too many, which the reading names.
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

    /// The tree as JSON has it; none when it is several things at once.
    fn into_value(self) -> Option<Value> {
        let Self { mut values, pushed, numbered, members } = self;
        let kinds = [!values.is_empty(), !pushed.is_empty() || !numbered.is_empty(), !members.is_empty()];
        let array = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
        match kinds {
            [true, false, false] if values.len() == 1 => values.pop().map(Value::String),
            [true, false, false] => Some(array(values)),
            [false, true, false] => Some(array(numbered.into_values().chain(pushed).collect())),
            [false, false, true] => {
                let members = members.into_iter().map(|(name, node)| Some((name, node.into_value()?)));
                members.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            _ => None,
        }
    }
}

/// The path that a name is, when its brackets are in order.
fn path(name: &str) -> Option<Vec<Cow<'_, str>>> {
    let Some((first, rest)) = name.split_once('[') else {
        return (!name.contains(']')).then(|| vec![name.into()]);
    };
    let inner = rest.strip_suffix(']')?;
    let path: Vec<_> = std::iter::once(first).chain(inner.split("][")).map(Cow::Borrowed).collect();
    let is_plain = |segment: &Cow<'_, str>| !segment.contains(['[', ']']);
    (path.len() <= 1 + MAX_DEPTH && !first.is_empty() && path.iter().all(is_plain)).then_some(path)
}

/// A name as it is known, when it is known without case.
fn as_known<'a>(name: &'a str, known: &[&'a str]) -> Cow<'a, str> {
    Cow::Borrowed(known.iter().copied().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name))
}

/// Reads a form. Names are compared without case with those that are `known`, and within brackets with those that are
/// `members` of what has any, as ONLYOFFICE's clients write them in several ways.
///
/// # Errors
///
/// [`Invalid`] names every name that is not written as a form's names are, or that stands for two things at once.
pub(crate) fn parse(form: &[u8], known: &[&str], members: &[&str]) -> Result<Map<String, Value>, Invalid> {
    let mut root: BTreeMap<String, Node> = BTreeMap::new();
    let mut faults = Vec::new();
    let fault = |name: &str, message: &str| Fault { field: shown(name).into_owned(), message: message.to_owned() };
    for (name, value) in form_urlencoded::parse(form) {
        const MISWRITTEN: &str =
            "is not how a form names a value; write name=, name[]= or name[0]= for each item, or name[member]=";
        if faults.len() > MAX_FAULTS {
            break;
        }
        let Some(path) = path(&name) else {
            faults.push(fault(&name, MISWRITTEN));
            continue;
        };
        let folded = path.iter().zip([known].into_iter().chain(std::iter::repeat(members)));
        let path: Vec<Cow<'_, str>> = folded.map(|(segment, known)| as_known(segment, known)).collect();
        let Some((first, rest)) = path.split_first() else { continue };
        if !root.entry(first.clone().into_owned()).or_default().put(rest, value.into_owned()) {
            faults.push(fault(&name, MISWRITTEN));
        }
    }
    // A name that was refused above has left nothing whole to be looked at.
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
        check("a%5B1%5D=y&a%5B0%5D=x&a[]=z", &json!({"a": ["x", "y", "z"]}));
        check("MANAGERLIST[]=x+y", &json!({"managerList": ["x y"]}));
        check(
            "filter[tags][]=vip&filter[tags][]=a%26b&filter[view]=0",
            &json!({"filter": {"tags": ["vip", "a&b"], "view": "0"}}),
        );
        check("a", &json!({"a": ""}));
        check(
            "Filter[Tags][]=x&filter[TAGS][]=y&filter[other]=z",
            &json!({"filter": {"tags": ["x", "y"], "other": "z"}}),
        );
    }

    #[test]
    fn names_that_are_no_paths_are_named() {
        for form in [
            "a[=1",
            "a]=1",
            "a[b]c=1",
            "[]=1",
            "a[][]=1",
            "a[b][c][d][e]=1",
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
        fn any_bytes_are_read_or_refused(form in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            match parse(&form, &["tags"], &["tags"]) {
                Ok(_) => {}
                Err(Invalid { faults }) => proptest::prop_assert!((1..=MAX_FAULTS).contains(&faults.len())),
            }
        }
    }
}
