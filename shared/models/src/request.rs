//! Requests as they are read: JSON bodies and query parameters, with every fault named.
//!
//! A body field that is not known is a fault, because a misspelt filter field would otherwise select every contact.
//! `null` is a fault too: it is not the same as leaving a field out, and guessing that it is would widen a filter.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;

use jiff::tz::TimeZone;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::access::Access;
use crate::filter::{Filter, ListView};
use crate::fold::{fold, fold_tag};
use crate::invalid::{Fault, Invalid, nearest};
use crate::limits::{MAX_FAULTS, MAX_FILTER_VALUE_BYTES, MAX_LIST_VALUES, MAX_PAGE, MAX_TAG_BYTES};
use crate::moment::{Edge, Moment};

/// The body of `PUT …/contact/{contactid}/access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContactAccess {
    /// What the contact's access becomes.
    pub target: Access,
}

impl SetContactAccess {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body, &["isShared", "managerList"])?;
        let is_shared = fields.required_bool("isShared", "true makes the contact public, false private");
        let managers = fields.uuids("managerList");
        fields.finish()?;
        Ok(Self { target: Access::requested(!is_shared, managers) })
    }
}

/// The body of `PUT …/contact/filter/access`, with the filter's words from the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFilterAccess {
    /// Which contacts.
    pub filter: Filter,
    /// What their access becomes.
    pub target: Access,
}

impl SetFilterAccess {
    /// Reads the body; dates without an offset are meant in `zone`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names every field that is missing, unknown or of a wrong type.
    pub fn parse(body: &[u8], filter_value: Option<&str>, zone: &TimeZone) -> Result<Self, Invalid> {
        const KNOWN: &[&str] = &[
            "tags",
            "contactStage",
            "contactType",
            "contactListView",
            "fromDate",
            "toDate",
            "isPrivate",
            "managerList",
        ];
        let mut fields = Fields::parse(body, KNOWN)?;
        let filter = Filter {
            tags: fields.tags("tags"),
            stages: fields.any_of("contactStage"),
            types: fields.any_of("contactType"),
            view: fields.list_view("contactListView"),
            from_date: fields.date("fromDate", Edge::From, zone),
            to_date: fields.date("toDate", Edge::To, zone),
            words: filter_value.map(words).unwrap_or_default(),
        };
        let is_private = fields.required_bool("isPrivate", "true makes the contacts private, false public");
        let managers = fields.uuids("managerList");
        fields.finish()?;
        Ok(Self { filter, target: Access::requested(is_private, managers) })
    }
}

/// The words of `filterValue`, folded, each once.
fn words(filter_value: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in filter_value.split_whitespace().map(fold) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// The fields of a JSON object, taken one by one, with the faults found on the way.
struct Fields {
    object: Map<String, Value>,
    known: &'static [&'static str],
    faults: Vec<Fault>,
}

impl Fields {
    fn parse(body: &[u8], known: &'static [&'static str]) -> Result<Self, Invalid> {
        let list = known.join(", ");
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Invalid::one("", format!("The body is empty. Send a JSON object with the fields {list}.")));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => {
                let faults = repeated_names(body).into_iter().take(MAX_FAULTS).map(|name| Fault {
                    field: shown(&name).into_owned(),
                    message: "is given more than once; give it once".to_owned(),
                });
                Ok(Self { object, known, faults: faults.collect() })
            }
            Ok(other) => Err(Invalid::one(
                "",
                format!("The body is {}. Send a JSON object with the fields {list}.", kind(&other)),
            )),
            Err(fault) => Err(Invalid::one(
                "",
                format!("The body cannot be read as JSON: {fault}. Send a JSON object with the fields {list}."),
            )),
        }
    }

    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault { field: field.into(), message: message.into() });
    }

    fn wrong(&mut self, field: impl Into<String>, expected: &str, found: &Value) {
        self.fault(field, format!("must be {expected}; it is {}", kind(found)));
    }

    fn required_bool(&mut self, name: &str, meaning: &str) -> bool {
        match self.object.remove(name) {
            Some(Value::Bool(value)) => value,
            Some(other) => {
                self.wrong(name, &format!("true or false ({meaning})"), &other);
                false
            }
            None => {
                self.fault(name, format!("is required: {meaning}"));
                false
            }
        }
    }

    /// The array under `name`, or nothing when it is left out, which means `without`.
    fn array(&mut self, name: &str, of: &str, without: &str) -> Vec<Value> {
        match self.object.remove(name) {
            None => Vec::new(),
            Some(Value::Array(values)) if values.len() > MAX_LIST_VALUES => {
                self.fault(name, format!("has {} values; at most {MAX_LIST_VALUES} are taken", values.len()));
                Vec::new()
            }
            Some(Value::Array(values)) => values,
            Some(other) => {
                self.wrong(name, &format!("an array of {of}, or be left out for {without}"), &other);
                Vec::new()
            }
        }
    }

    fn uuids(&mut self, name: &str) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for (i, value) in self.array(name, "UUIDs", "none").into_iter().enumerate() {
            match value.as_str().map(Uuid::try_parse) {
                Some(Ok(id)) => ids.push(id),
                _ => self.wrong(
                    format!("{name}[{i}]"),
                    "a UUID in quotes, such as \"9924256a-739c-462b-af15-e652a3b1b6eb\"",
                    &value,
                ),
            }
        }
        ids
    }

    /// Tags, trimmed and folded, each once, in the order of first mention.
    fn tags(&mut self, name: &str) -> Vec<String> {
        let mut tags: Vec<String> = Vec::new();
        for (i, value) in self.array(name, "strings", "any").into_iter().enumerate() {
            let field = format!("{name}[{i}]");
            let Some(text) = value.as_str() else {
                self.wrong(field, "a string", &value);
                continue;
            };
            match checked_tag(text) {
                Ok(tag) if tags.contains(&tag) => {}
                Ok(tag) => tags.push(tag),
                Err(message) => self.fault(field, message),
            }
        }
        tags
    }

    /// A number or an array of numbers, each once; empty when any will do.
    fn any_of(&mut self, name: &str) -> Vec<i32> {
        let is_alone = matches!(self.object.get(name), Some(Value::Number(_)));
        let values = match is_alone {
            true => self.object.remove(name).into_iter().collect(),
            false => self.array(name, "whole numbers, or one whole number", "any"),
        };
        let mut ids = Vec::new();
        let mut any = false;
        for (i, value) in values.iter().enumerate() {
            match value.as_i64().and_then(|number| i32::try_from(number).ok()) {
                // A negative number has the documents' meaning of "any", alone or beside others.
                Some(id) if id < 0 => any = true,
                Some(id) if ids.contains(&id) => {}
                Some(id) => ids.push(id),
                None => {
                    let field = if is_alone { name.to_owned() } else { format!("{name}[{i}]") };
                    self.wrong(field, "a whole number from -2147483648 to 2147483647", value);
                }
            }
        }
        if any { Vec::new() } else { ids }
    }

    fn list_view(&mut self, name: &str) -> ListView {
        let Some(value) = self.object.remove(name) else { return ListView::default() };
        let found = ListView::ALL.into_iter().find(|view| match &value {
            Value::Number(number) => number.as_i64() == Some(view.number()),
            Value::String(text) => text.eq_ignore_ascii_case(view.name()),
            _ => false,
        });
        found.unwrap_or_else(|| {
            self.wrong(name, "0 or \"All\", 1 or \"Company\", 2 or \"Person\", 3 or \"WithOpportunity\"", &value);
            ListView::default()
        })
    }

    fn date(&mut self, name: &str, edge: Edge, zone: &TimeZone) -> Option<Moment> {
        match self.object.remove(name)? {
            Value::String(text) => match Moment::parse_edge(&text, edge, zone) {
                Ok(moment) => Some(moment),
                Err(fault) => {
                    self.fault(name, format!("{fault}; it is \"{}\"", shown(&text)));
                    None
                }
            },
            other => {
                self.wrong(name, "a date in quotes, such as \"2020-12-08\" or \"2020-12-08T17:37:04Z\"", &other);
                None
            }
        }
    }

    fn finish(self) -> Result<(), Invalid> {
        finish("field", self.object.keys(), self.known, self.faults)
    }
}

/// The names that a JSON object holds more than once: which of their values was meant would be a guess.
fn repeated_names(body: &[u8]) -> BTreeSet<String> {
    struct Repeated(BTreeSet<String>);

    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Repeated;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Repeated, A::Error> {
            let (mut seen, mut repeated) = (HashSet::new(), BTreeSet::new());
            while let Some((name, IgnoredAny)) = members.next_entry::<Cow<'de, str>, IgnoredAny>()? {
                if let Some(name) = seen.replace(name) {
                    repeated.insert(name.into_owned());
                }
            }
            Ok(Repeated(repeated))
        }
    }

    impl<'de> Deserialize<'de> for Repeated {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Names)
        }
    }

    serde_json::from_slice(body).map_or_else(|_| BTreeSet::new(), |Repeated(names)| names)
}

/// Ends a reading: with the names that nothing asked for, and what else was found wrong.
fn finish<'a>(
    what: &str,
    unknown: impl Iterator<Item = &'a String>,
    known: &[&str],
    faults: Vec<Fault>,
) -> Result<(), Invalid> {
    // What is misspelt comes first: it explains what is then said to be missing.
    let unknown = unknown.map(|name| {
        let name = if name.is_empty() { "\"\"".into() } else { shown(name) };
        Fault { message: unknown_name(what, &name, known), field: name.into_owned() }
    });
    // Only what is shown is worded: a body has room for a hundred thousand faults, an answer has not.
    let mut all = unknown.chain(faults);
    let mut faults: Vec<Fault> = all.by_ref().take(MAX_FAULTS).collect();
    if faults.is_empty() {
        return Ok(());
    }
    if all.next().is_some() {
        faults.push(Fault { field: String::new(), message: format!("More is wrong than these {MAX_FAULTS} faults.") });
    }
    Err(Invalid { faults })
}

/// A tag as it is compared, when it can be one.
///
/// # Errors
///
/// What is wrong with it, to be read after its field's name.
pub fn checked_tag(text: &str) -> Result<String, String> {
    let tag = fold_tag(text);
    if tag.is_empty() {
        return Err("must not be blank; leave it out".into());
    }
    if tag.len() > MAX_TAG_BYTES {
        return Err(format!("has {} bytes; a tag has at most {MAX_TAG_BYTES}", tag.len()));
    }
    Ok(tag)
}

/// Says that a name is not known, and which one it may have been meant to be.
fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("is not a {what} of this endpoint; did you mean {near}? Known are {list}"),
        None => format!("is not a {what} of this endpoint; known are {list}"),
    }
}

/// A name that came from outside, short enough to be shown.
fn shown(name: &str) -> Cow<'_, str> {
    const SHOWN_CHARS: usize = 64;
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {}", shown(&number.to_string())),
        Value::String(text) => format!("the string \"{}\"", shown(text)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Which part of the matches an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many contacts, at most [`MAX_PAGE`].
    pub count: usize,
    /// How many are passed over first.
    pub start_index: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { count: MAX_PAGE, start_index: 0 }
    }
}

/// Query parameters, taken one by one, with the faults found on the way.
///
/// Names are compared without case, as ONLYOFFICE's clients write them in several ways.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Query {
    /// The decoded parameters of a query string.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { pairs: pairs.into_iter().collect(), known: Vec::new(), faults: Vec::new() }
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = Vec::new();
        self.pairs.retain(|(key, value)| {
            let wanted = key.eq_ignore_ascii_case(name);
            if wanted {
                values.push(value.clone());
            }
            !wanted
        });
        if values.len() > 1 {
            self.fault(name, "is given more than once; give it once".into());
        }
        values.into_iter().next()
    }

    fn fault(&mut self, name: &str, message: String) {
        self.faults.push(Fault { field: shown(name).into_owned(), message });
    }

    fn number(&mut self, name: &'static str, most: u64) -> Option<u64> {
        let text = self.take(name)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && number <= most => Some(number),
            _ => {
                self.fault(name, format!("must be a whole number from 0 to {most}; it is \"{}\"", shown(&text)));
                None
            }
        }
    }

    /// `dryRun`: whether nothing is to be written.
    pub fn dry_run(&mut self) -> bool {
        let Some(text) = self.take("dryRun") else { return false };
        match text.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.fault("dryRun", format!("must be true or false; it is \"{}\"", shown(&text)));
                true
            }
        }
    }

    /// `maxAffected`: over how many changes nothing is to be written.
    pub fn max_affected(&mut self) -> Option<u64> {
        self.number("maxAffected", u64::from(i32::MAX.unsigned_abs()))
    }

    /// `count` and `startIndex`.
    pub fn page(&mut self) -> Page {
        let count = self.number("count", MAX_PAGE as u64);
        let start = self.number("startIndex", u64::from(i32::MAX.unsigned_abs()));
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Page { count: count.map_or(MAX_PAGE, size), start_index: start.map_or(0, size) }
    }

    /// `filterValue`: words of the display name.
    pub fn filter_value(&mut self) -> Option<String> {
        let text = self.take("filterValue")?;
        if text.len() > MAX_FILTER_VALUE_BYTES {
            self.fault("filterValue", format!("has {} bytes; at most {MAX_FILTER_VALUE_BYTES} are taken", text.len()));
        }
        Some(text)
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with every fault, a parameter that was not asked for among them: a misspelt `dryRun` would write.
    pub fn finish(self) -> Result<(), Invalid> {
        finish("query parameter", self.pairs.iter().map(|(name, _)| name), &self.known, self.faults)
    }
}
