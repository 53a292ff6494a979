//! The description as readable text. A value that fits is written on one line, and keys are in reading order.

use serde_json::{Map, Value};

/// The maximum characters of a line, unless a single value is longer.
const LINE_CHARS: usize = 120;
/// The indentation of one level in spaces.
const INDENT: usize = 2;

/// Keys that precede all others, in this order. The others follow alphabetically.
const FIRST_KEYS: &[&str] = &[
    "openapi",
    "info",
    "servers",
    "$ref",
    "operationId",
    "title",
    "version",
    "name",
    "in",
    "summary",
    "description",
    "tags",
    "security",
    "paths",
    "components",
    "type",
    "format",
    "required",
    "parameters",
    "requestBody",
    "headers",
    "content",
    "schema",
    "properties",
    "responses",
    "links",
];

/// Returns the text of a value, with a line break at its end.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    append("", value, 0, &mut text);
    text.push('\n');
    text
}

/// Returns the members of the object under `key`, in the order of the text. The names of an object's properties are
/// data, so they are in alphabetical order.
fn ordered<'a>(key: &str, members: &'a Map<String, Value>) -> Vec<(&'a String, &'a Value)> {
    let rank = |key: &str| FIRST_KEYS.iter().position(|first| *first == key).unwrap_or(FIRST_KEYS.len());
    let mut members: Vec<_> = members.iter().collect();
    if key != "properties" {
        members.sort_by_key(|(key, _)| rank(key));
    }
    members
}

/// Appends the value under `key` at a depth. The key is empty in an array.
fn append(key: &str, value: &Value, depth: usize, text: &mut String) {
    text.push_str(&" ".repeat(INDENT * depth));
    text.push_str(&named(key));
    let one_line = on_one_line(key, value);
    // Reserve one character for a comma.
    let is_short = INDENT * depth + named(key).chars().count() + one_line.chars().count() < LINE_CHARS;
    let parts: Vec<(&str, &Value)> = match value {
        Value::Object(members) => ordered(key, members).into_iter().map(|(key, value)| (key.as_str(), value)).collect(),
        Value::Array(items) => items.iter().map(|item| ("", item)).collect(),
        _ => Vec::new(),
    };
    if is_short || parts.is_empty() {
        text.push_str(&one_line);
        return;
    }
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    let has_only_plain_items =
        value.as_array().is_some_and(|items| items.iter().all(|item| !item.is_array() && !item.is_object()));
    text.push(open);
    let mut line = String::new();
    for (key, value) in parts {
        let mut part = String::new();
        append(key, value, depth + 1, &mut part);
        let item = part.trim_start();
        if has_only_plain_items
            && !line.is_empty()
            && line.chars().count() + item.chars().count() + ", ,".len() <= LINE_CHARS
        {
            line = format!("{line}, {item}");
            continue;
        }
        if !line.is_empty() {
            text.push_str(&format!("\n{line},"));
        }
        line = part;
    }
    text.push_str(&format!("\n{line}\n"));
    text.push_str(&" ".repeat(INDENT * depth));
    text.push(close);
}

/// Returns the key as written before its value.
fn named(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{}: ", Value::from(key)) }
}

fn on_one_line(key: &str, value: &Value) -> String {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let member = |(key, value): (&String, &Value)| format!("{}{}", named(key), on_one_line(key, value));
            format!("{{ {} }}", ordered(key, members).into_iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| on_one_line("", item)).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn value_that_exceeds_a_line_is_broken() {
        let long = "x".repeat(LINE_CHARS);
        let value = json!({ "b": { "type": "integer", "enum": [0] }, "openapi": [long], "a": {} });
        let expected = format!(
            "{{\n  \"openapi\": [\n    \"{long}\"\n  ],\n  \"a\": {{}},\n  \"b\": {{ \"type\": \"integer\", \"enum\": [0] }}\n}}\n"
        );
        assert_eq!(text(&value), expected);
        assert_eq!(serde_json::from_str::<Value>(&text(&value)).unwrap(), value);
    }
}
