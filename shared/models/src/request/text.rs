//! Values in the text of forms and queries.

use serde_json::Value;

use crate::limits::MAX_PAGE;
use crate::values::id::ContactId;

/// The fields that are arrays.
pub(super) const ARRAYS: &[&str] = &["tags", "contactStage", "contactType", "managerList", "accessList", "contactid"];

/// Puts the values of JSON arrays in place of the texts that are such arrays: ONLYOFFICE's page shows
/// `tags=["some text"]` in a query. A text that is no JSON array stays, because a tag may begin with a bracket.
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

/// The values of the JSON array that a text is.
pub(super) fn json_array(text: &str) -> Option<Vec<Value>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Why a form is refused that is JSON.
pub(super) const JSON_IN_A_FORM: &str = "The body looks like JSON, but its Content-Type is application/x-www-form-urlencoded, as curl \
                              sends it by default. Send the header Content-Type: application/json";

/// Tells if a form is JSON under a wrong type: no field's name begins as an object or an array does.
pub(super) fn looks_like_json(form: &[u8]) -> bool {
    let first = form_urlencoded::parse(form).next();
    first.is_some_and(|(name, _)| name.trim_start().starts_with(['{', '[']))
}

/// The identifier of a contact that a value is: a number, or the number as text.
pub(super) fn contact_id(value: &Value) -> Option<ContactId> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => ContactId::try_from(whole(other)?).ok(),
    }
}

/// The truth value that a text of a form or a query is.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// How `count` is described.
pub(super) const A_COUNT: &str = "a whole number, 0 or more";

/// The length of a page that the text of `count` asks for. A page has at most [`MAX_PAGE`] entries however many are asked
/// for, because clients of ONLYOFFICE ask for more to get all.
pub(super) fn count(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that is too long for the type is larger than the most.
    is_number.then(|| text.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE))
}

/// The whole number that a JSON number is: `5`, and `5.0` too, which to JSON is the same number.
pub(super) fn whole(value: &Value) -> Option<i64> {
    /// Up to here every whole number has a floating-point number of its own.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= LARGEST)?;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of less than 54 bits")]
        Some(number as i64)
    })
}

/// The whole number that a text of a form is.
pub(super) fn whole_number(text: &str) -> Option<Value> {
    text.parse::<i64>().ok().map(Value::from)
}
