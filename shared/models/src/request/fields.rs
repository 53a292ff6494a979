//! Reader of bodies and queries: takes the fields of an object one by one and collects every fault.

use std::fmt;

use serde_json::{Map, Value};

use crate::invalid::{Fault, Invalid, shown, unknown_name};
use crate::limits::{
    MAX_FAULTS, MAX_FILTER_VALUE_BYTES, MAX_LIST_VALUES, MAX_NOTE_CHARS, MAX_QUERY_VALUES, MAX_TAG_BYTES,
};
use crate::request::RequestBody;
use crate::request::field::{Field, Kind, Need, names, names_of_members};
use crate::request::repeated::repeated_names;
use crate::request::text::{JSON_IN_A_FORM, boolean, digits, expand_arrays, looks_like_json, whole, whole_number};
use crate::values::fold::{fold, fold_tag, trim};
use crate::values::id::UserId;

/// Refuses a body with fields for a call without a body, because the fields would have no effect.
///
/// # Errors
///
/// [`Invalid`] names the fields, at most [`MAX_FAULTS`], or says that the body is neither JSON nor a form.
pub fn check_no_fields(body: RequestBody<'_>) -> Result<(), Invalid> {
    let fields = Fields::parse(body, &[])?;
    let faults = fields.object.keys().take(MAX_FAULTS).map(|name| Fault {
        field: shown(name).into_owned(),
        message: "is not accepted: this call has no body; send no body, or send the parameters in the query".into(),
    });
    let faults: Vec<Fault> = faults.collect();
    if faults.is_empty() { Ok(()) } else { Err(Invalid { faults }) }
}

/// Example of a UUID.
pub(super) const A_UUID: &str = "9924256a-739c-462b-af15-e652a3b1b6eb";

/// The meaning of an absent array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenAbsent {
    Any,
    None,
}

impl fmt::Display for WhenAbsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::None => "none",
        })
    }
}

pub(super) fn too_long_filter_value(bytes: usize) -> String {
    format!("has {bytes} bytes; at most {MAX_FILTER_VALUE_BYTES} are allowed")
}

/// Returns the words of `filterValue`, folded and without duplicates.
pub fn words(filter_value: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in filter_value.split_whitespace().map(trim).map(fold) {
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Reader of the fields of a body, of an object in a body, or of a query. The reader collects the faults.
pub(super) struct Fields {
    pub(super) object: Map<String, Value>,
    /// Known fields that are `null`. They are not in `object`, because `null` means absent.
    pub(super) nulls: Vec<&'static str>,
    /// Prefix of field names in faults: empty, or the path of the object and a dot.
    pub(super) path: String,
    pub(super) known: &'static [Field],
    pub(super) encoding: Encoding,
    pub(super) faults: Vec<Fault>,
}

/// The encoding of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Form,
    Query,
}

impl Encoding {
    /// Returns the noun for a field in the fault of an unknown name.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Json | Self::Form => "field of this endpoint",
            Self::Query => "query parameter of this endpoint",
        }
    }

    /// Returns whether every value is text.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Form | Self::Query)
    }

    /// Returns the maximum number of values of an array.
    pub(super) fn max_values(self) -> usize {
        match self {
            Self::Json | Self::Form => MAX_LIST_VALUES,
            Self::Query => MAX_QUERY_VALUES,
        }
    }

    /// Returns the description of a text with an example in this format.
    pub(super) fn example(self, what: &str, example: &str) -> String {
        match self {
            Self::Json => format!("{what} in quotes, such as \"{example}\""),
            Self::Form | Self::Query => format!("{what}, such as {example}"),
        }
    }
}

impl Fields {
    /// Reads a body.
    pub(super) fn parse(body: RequestBody<'_>, known: &'static [Field]) -> Result<Self, Invalid> {
        match body {
            RequestBody::Json(body) => Self::json(body, known),
            RequestBody::Form(body) if looks_like_json(body) => Err(Invalid::one("", JSON_IN_A_FORM)),
            RequestBody::Form(body) => Self::text(body, known, Encoding::Form),
        }
    }

    /// Reads the parameters of a query.
    pub(super) fn query(query: &str, known: &'static [Field]) -> Self {
        match Self::text(query.as_bytes(), known, Encoding::Query) {
            Ok(fields) => fields,
            Err(Invalid { faults }) => Self { faults, ..Self::new(Map::new(), String::new(), known, Encoding::Query) },
        }
    }

    fn text(text: &[u8], known: &'static [Field], encoding: Encoding) -> Result<Self, Invalid> {
        let object = crate::request::form::parse(text, &names(known), &names_of_members(known))?;
        Ok(Self::new(object, String::new(), known, encoding))
    }

    fn new(object: Map<String, Value>, path: String, known: &'static [Field], encoding: Encoding) -> Self {
        let mut fields = Self { object: Map::new(), nulls: Vec::new(), path, known, encoding, faults: Vec::new() };
        for (name, value) in object {
            fields.insert(name, value);
        }
        let is_null = |name: &str| fields.object.get(name).is_some_and(Value::is_null);
        fields.nulls = names(known).into_iter().filter(|name| is_null(name)).collect();
        // An unknown name stays in the object, even with `null`, so that `finish` refuses the name.
        fields.object.retain(|name, _| !fields.nulls.contains(&name.as_str()));
        if encoding.is_text() {
            for field in known.iter().filter(|field| field.kind.is_array()) {
                if let Some(value) = fields.object.get_mut(field.name) {
                    expand_arrays(value);
                }
            }
        }
        fields
    }

    /// Adds a field under its known name. The same field may occur in two spellings only if both have the same value:
    /// the reader does not guess between two values.
    fn insert(&mut self, name: String, value: Value) {
        let known = self.known.iter().find(|known| known.name.eq_ignore_ascii_case(&name));
        let name = known.map_or(name, |known| known.name.to_owned());
        match self.object.get(&name) {
            None => drop(self.object.insert(name, value)),
            Some(other) if *other == value => {}
            Some(_) => {
                // Report one fault for each field, because a long name has too many spellings for an answer.
                let field = self.path.clone() + &name;
                if !self.faults.iter().any(|fault| fault.field == field) {
                    self.fault(name, GIVEN_TWICE);
                }
            }
        }
    }

    /// Returns the kind of a known field.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        self.known.iter().find(|field| field.name == name).map(|field| field.kind)
    }

    fn json(body: &[u8], known: &'static [Field]) -> Result<Self, Invalid> {
        let advice = match known {
            [] => "Send no body.".to_owned(),
            known => format!("Send a JSON object with the fields {}.", names(known).join(", ")),
        };
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Invalid::one("", format!("The body is empty. {advice}")));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => {
                let faults = repeated_names(body).into_iter().take(MAX_FAULTS).map(|name| Fault {
                    field: shown(&name).into_owned(),
                    message: "is given more than once; give it once".to_owned(),
                });
                let mut fields = Self::new(object, String::new(), known, Encoding::Json);
                fields.faults.extend(faults);
                Ok(fields)
            }
            Ok(other) => Err(Invalid::one("", format!("The body is {}. {advice}", kind(&other)))),
            Err(fault) => Err(Invalid::one("", format!("The body cannot be read as JSON: {fault}. {advice}"))),
        }
    }

    /// Takes a field with a single value. In a form or a query the value is text, which `read` may convert.
    pub(super) fn one(&mut self, name: &str, read: impl FnOnce(&str) -> Option<Value>) -> Option<Value> {
        let value = match self.object.remove(name)? {
            // A form or query may repeat a field with the same value.
            Value::Array(mut values) if self.encoding.is_text() => {
                values.dedup();
                if values.len() == 1 { values.swap_remove(0) } else { Value::Array(values) }
            }
            value => value,
        };
        match value {
            Value::Array(_) if self.encoding.is_text() => {
                self.fault(name, GIVEN_TWICE);
                None
            }
            Value::String(text) if self.encoding.is_text() => Some(read(&text).unwrap_or(Value::String(text))),
            other => Some(other),
        }
    }

    /// Returns an array item, with text of a whole number in a form or query converted to the number.
    pub(super) fn number_of(&self, value: Value) -> Value {
        match &value {
            Value::String(text) if self.encoding.is_text() => whole_number(text).unwrap_or(value),
            _ => value,
        }
    }

    pub(super) fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault { field: self.path.clone() + &field.into(), message: message.into() });
    }

    pub(super) fn wrong(&mut self, field: impl Into<String>, expected: &str, found: &Value) {
        let found = match found {
            // Every value of a query is text.
            Value::String(text) if self.encoding == Encoding::Query => format!("\"{}\"", shown(text)),
            other => kind(other),
        };
        self.fault(field, format!("must be {expected}; it is {found}"));
    }

    /// Takes a boolean.
    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        let meaning = match self.kind(name) {
            Some(Kind::Boolean(meaning)) => meaning,
            _ => "",
        };
        self.check_present(name, meaning);
        match self.one(name, |text| boolean(text).map(Value::Bool))? {
            Value::Bool(value) => Some(value),
            other => {
                self.wrong(name, &format!("true or false ({meaning})"), &other);
                None
            }
        }
    }

    /// Records a fault if the field is required and missing.
    pub(super) fn check_present(&mut self, name: &str, meaning: &str) {
        let is_present = |name: &str| self.object.contains_key(name);
        let is_required = self.known.iter().any(|field| {
            field.name == name
                && match field.need {
                    Need::Required => true,
                    Need::RequiredUnless(others) => !others.iter().any(|other| is_present(other)),
                    Need::Optional => false,
                }
        });
        if is_required && !is_present(name) {
            self.fault(name, format!("is required: {meaning}"));
        }
    }

    pub(super) fn text_of(&mut self, name: &str, expected: &str) -> Option<String> {
        match self.one(name, |_| None)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(name, expected, &other);
                None
            }
        }
    }

    /// Takes a whole number from 0 to the field's maximum.
    pub(super) fn number(&mut self, name: &str) -> Option<u64> {
        let (max, remedy) = match self.kind(name) {
            Some(Kind::Whole { max, remedy }) => (max, remedy),
            _ => (0, ""),
        };
        let value = self.one(name, |_| None)?;
        let number = match &value {
            Value::String(text) if self.encoding.is_text() => digits(text),
            other => whole(other).and_then(|number| u64::try_from(number).ok()),
        };
        let number = number.filter(|number| *number <= max);
        if number.is_none() {
            self.wrong(name, &format!("a whole number from 0 to {max}{remedy}"), &value);
        }
        number
    }

    /// Takes the object `name` and returns a reader of its fields. The caller must pass the reader to
    /// [`Fields::absorb`].
    pub(super) fn object(&mut self, name: &str, meaning: &str) -> Option<Self> {
        self.check_present(name, meaning);
        match (self.object.remove(name)?, self.kind(name)) {
            (Value::Object(members), Some(Kind::Object(object))) => {
                let path = format!("{}{name}.", self.path);
                Some(Self::new(members, path, object.fields, self.encoding))
            }
            (other, _) => {
                self.wrong(name, meaning, &other);
                None
            }
        }
    }

    /// Ends the reading of an inner object and adds its faults to the faults of this reader.
    pub(super) fn absorb(&mut self, inner: Self) {
        if let Err(Invalid { faults }) = inner.finish() {
            self.faults.extend(faults);
        }
    }

    /// Takes the note about a change or a rule, trimmed. A blank note is no note.
    pub(super) fn note(&mut self) -> Option<String> {
        const NAME: &str = "note";
        let text = self.text_of(NAME, &self.encoding.example("a text", "moved to the team of Nancy"))?;
        let note = trim(&text);
        let chars = note.chars().count();
        if chars > MAX_NOTE_CHARS {
            self.fault(NAME, format!("has {chars} characters; at most {MAX_NOTE_CHARS} are allowed"));
        }
        (!note.is_empty()).then(|| note.to_owned())
    }

    pub(super) fn uuid(&mut self, name: &str) -> Option<UserId> {
        let meaning = self.encoding.example("a UUID", A_UUID);
        let text = self.text_of(name, &meaning)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.wrong(name, &meaning, &Value::String(text));
        }
        id
    }

    /// Takes one of several words, compared without case, and returns its value.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let expected = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        let text = self.text_of(name, &expected)?;
        let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        if chosen.is_none() {
            self.wrong(name, &expected, &Value::String(text));
        }
        chosen.map(|(_, choice)| *choice)
    }

    /// Takes the array `name`, empty if absent. Faults name `without` as the meaning of an absent array.
    pub(super) fn array(&mut self, name: &str, of: &str, without: WhenAbsent) -> Vec<Value> {
        match self.object.remove(name) {
            None => Vec::new(),
            Some(Value::Array(values)) if values.len() > self.encoding.max_values() => {
                let max = self.encoding.max_values();
                self.fault(name, format!("has {} values; at most {max} are allowed", values.len()));
                Vec::new()
            }
            Some(Value::Array(values)) => values,
            Some(Value::String(text)) if text.is_empty() && self.encoding.is_text() => {
                // Most clients can write an empty array into a form only as an empty value. A blank filter field is
                // refused, because the filter could then select every contact.
                if self.encoding == Encoding::Form && without == WhenAbsent::Any {
                    self.fault(name, "must not be blank; leave it out for any");
                }
                Vec::new()
            }
            Some(value @ Value::String(_)) if self.encoding.is_text() => vec![value],
            Some(other) => {
                self.wrong(name, &format!("an array of {of}, or be left out for {without}"), &other);
                Vec::new()
            }
        }
    }

    /// Returns the name that is present of two names for the same setting, or the first if both are absent. Records a
    /// fault if both are present.
    pub(super) fn either(&mut self, name: &'static str, other: &'static str) -> &'static str {
        if !self.object.contains_key(other) {
            return name;
        }
        if self.object.remove(name).is_some() {
            self.fault(name, format!("cannot be given together with {other}; send only one of them"));
        }
        other
    }

    pub(super) fn uuids(&mut self, name: &str) -> Vec<UserId> {
        let mut ids = Vec::new();
        for (i, value) in self.array(name, "UUIDs", WhenAbsent::None).into_iter().enumerate() {
            match value.as_str().map(str::parse) {
                Some(Ok(id)) => ids.push(id),
                _ => self.wrong(format!("{name}[{i}]"), &self.encoding.example("a UUID", A_UUID), &value),
            }
        }
        ids
    }

    /// Removes the fields that `reasons` names, and records a fault with the reason for each field that is not blank.
    /// The fault shows no value, because the value may be a secret.
    pub(super) fn refuse(&mut self, reasons: &[(&str, &str)]) {
        let names: Vec<String> = self.object.keys().cloned().collect();
        for name in names {
            let Some((field, reason)) = reasons.iter().find(|(field, _)| field.eq_ignore_ascii_case(&name)) else {
                continue;
            };
            if let Some(value) = self.object.remove(&name)
                && !self.is_blank(&value)
            {
                self.fault(*field, format!("must be empty or left out: {reason}"));
            }
        }
    }

    /// Returns whether a value is blank, like the default values of typed clients.
    pub(super) fn is_blank(&self, value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(_) => whole(value) == Some(0),
            Value::String(text) if self.encoding.is_text() => text.is_empty() || boolean(text) == Some(false),
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.iter().all(|value| self.is_blank(value)),
            Value::Object(members) => members.values().all(|value| self.is_blank(value)),
        }
    }

    pub(super) fn finish(self) -> Result<(), Invalid> {
        let of = match self.path.strip_suffix('.') {
            None => self.encoding.what().to_owned(),
            Some(object) => format!("field of {object}"),
        };
        finish(&of, &self.path, self.object.keys(), &names(self.known), self.faults)
    }
}

/// Fault message for a field with several values where one is allowed.
const GIVEN_TWICE: &str = "is given more than once with different values; give it once";

/// Ends the reading with the collected faults and a fault for each unknown name.
fn finish<'a>(
    what: &str,
    path: &str,
    unknown: impl Iterator<Item = &'a String>,
    known: &[&str],
    faults: Vec<Fault>,
) -> Result<(), Invalid> {
    // Unknown names come first: a misspelt name explains a missing field.
    let unknown = unknown.map(|name| {
        let name = if name.is_empty() { "\"\"".into() } else { shown(name) };
        Fault { message: unknown_name(what, &name, known), field: format!("{path}{name}") }
    });
    // Format only the faults that the answer shows, because a body can have a hundred thousand faults.
    let mut all = unknown.chain(faults);
    let mut faults: Vec<Fault> = all.by_ref().take(MAX_FAULTS).collect();
    if faults.is_empty() {
        return Ok(());
    }
    if all.next().is_some() {
        faults.push(Fault {
            field: String::new(),
            message: format!("The request has more than these {MAX_FAULTS} faults."),
        });
    }
    Err(Invalid { faults })
}

/// Checks a tag, and returns its trimmed and folded form for comparison.
///
/// # Errors
///
/// The fault message, which follows the field's name.
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

pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {}", shown(&number.to_string())),
        Value::String(text) => format!("the string \"{}\"", shown(text)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}
