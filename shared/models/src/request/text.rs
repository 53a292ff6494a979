//! Values in the text of forms and queries, and lists of keys.

use serde_json::Value;

use crate::answer::KeyStyle;
use crate::invalid::{Fault, nearest, shown};
use crate::limits::MAX_FAULTS;
use crate::values::id::ContactId;

/// Replaces each text that is a JSON array by the values of the array: ONLYOFFICE's reference page shows
/// `tags=["some text"]` in a query. Other text is unchanged, because a tag may begin with a bracket.
pub(super) fn expand_arrays(value: &mut Value) {
    let texts = match value.take() {
        Value::Array(texts) => texts,
        Value::String(text) if json_array(&text).is_some() => vec![Value::String(text)],
        other => {
            *value = other;
            return;
        }
    };
    let values = texts.into_iter().flat_map(|text| match text.as_str().and_then(json_array) {
        Some(values) => values,
        None => vec![text],
    });
    *value = values.collect();
}

/// Returns the values of a JSON array in a text.
pub(super) fn json_array(text: &str) -> Option<Vec<Value>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Fault message for JSON with the content type of a form.
pub(super) const JSON_IN_A_FORM: &str = "The body looks like JSON, but its Content-Type is application/x-www-form-urlencoded, as curl \
                              sends it by default. Send the header Content-Type: application/json";

/// Returns whether a form is JSON with the wrong content type: no name of a field begins with `{` or `[`.
pub(super) fn looks_like_json(form: &[u8]) -> bool {
    let first = form_urlencoded::parse(form).next();
    first.is_some_and(|(name, _)| name.trim_start().starts_with(['{', '[']))
}

/// Returns the contact's identifier in a value: a number, or a number as text.
pub(super) fn contact_id(value: &Value) -> Option<ContactId> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => ContactId::try_from(whole(other)?).ok(),
    }
}

/// Parses a boolean in a form or a query.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Description of `count` in faults.
pub(super) const A_COUNT: &str = "a whole number, 0 or more";

/// Parses `count`. A larger number becomes `max`, because ONLYOFFICE's clients send large numbers to get all entries.
pub(super) fn count(text: &str, max: usize) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that overflows the type also exceeds the maximum.
    is_number.then(|| text.parse().unwrap_or(max).min(max))
}

/// Returns the whole number in a JSON number: `5`, and also `5.0`, the same number in JSON.
pub(super) fn whole(value: &Value) -> Option<i64> {
    /// Largest number up to which `f64` represents every whole number exactly.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= MAX_EXACT)?;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of less than 54 bits")]
        Some(number as i64)
    })
}

/// Parses a whole number in a form or a query.
pub(super) fn whole_number(text: &str) -> Option<Value> {
    text.parse::<i64>().ok().map(Value::from)
}

/// Parses a whole number without a sign in a form or a query.
pub(super) fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Returns a fault for each name in a comma-separated list that is not a key of `owner`. `accepted` are keys that
/// `owner` has only on ONLYOFFICE's server.
pub(super) fn unknown_keys(list: &str, owner: &str, keys: &[&str], accepted: &[&str]) -> Vec<Fault> {
    let keys: Vec<String> = keys.iter().map(|key| KeyStyle::Camel.written(key)).collect();
    let is_known = |name: &str| {
        let mut known = keys.iter().map(String::as_str).chain(accepted.iter().copied());
        name.is_empty() || known.any(|key| key.eq_ignore_ascii_case(name))
    };
    let fault = |name: &str| {
        let near = nearest(name, keys.iter().map(String::as_str));
        let near = near.map_or(".".to_owned(), |near| format!("; did you mean {near}?"));
        let (name, keys) = (shown(name), keys.join(", "));
        Fault {
            field: "fields".into(),
            message: format!(
                "names \"{name}\", which is not a key of a {owner}{near} The keys of a {owner} are {keys}"
            ),
        }
    };
    list.split(',').map(str::trim).filter(|name| !is_known(name)).take(MAX_FAULTS).map(fault).collect()
}
