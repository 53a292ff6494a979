//! XML in the conventions of ONLYOFFICE's reference pages, written by quick-xml's serializer.
//!
//! | value | element `City` |
//! | --- | --- |
//! | boolean | `<City>True</City>`, `<City>False</City>` |
//! | text, number, unit variant | `<City>Riga</City>` |
//! | empty text, `None`, unit, struct or map without content | `<City />` |
//! | struct, map | `<City>` with an element for each member |
//! | other variants | `<City>` with one element, named after the variant |
//! | sequence in a member | `City` repeated for each item, nothing for an empty sequence |
//! | sequence in a sequence, or at the root | `<City>` with `City` repeated inside |
//! | NaN, infinities | `<City />`, where JSON has `null` |
//!
//! quick-xml has other conventions for booleans, NaN, variants with content, sequences in sequences and roots without
//! content, and accepts characters that XML forbids. [`Renamed`] therefore stands between each value and quick-xml.

use std::borrow::Cow;

use quick_xml::se::{EmptyElementHandling, SeError, Serializer};
use serde::Serialize;

use super::keys::{Keyed, Renamed};

/// Error: a value cannot be written as XML. It does not occur for structs, sequences and plain values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// The key of a map is not a text, number, character, boolean or unit variant.
    #[error("a map's key must be a plain value")]
    Key,
    /// A value refused to be serialized, for this reason.
    #[error("{0}")]
    Value(String),
}

impl From<SeError> for XmlError {
    fn from(error: SeError) -> Self {
        match error {
            // Of all values that quick-xml does not support, only keys reach it.
            SeError::Unsupported(_) => Self::Key,
            SeError::Custom(reason) => Self::Value(reason),
            error => Self::Value(error.to_string()),
        }
    }
}

/// Returns a value as XML under the element `root`: UTF-8, without a declaration and without white space between
/// elements.
///
/// Characters that XML 1.0 forbids in text become U+FFFD. Characters that XML forbids in the key of a map are encoded as
/// .NET's `XmlConvert.EncodeLocalName` encodes them, such as `_x0020_`. Keys of structs and names of variants must be
/// names in XML.
///
/// # Errors
///
/// [`XmlError`] if the key of a map is not a plain value, or if the value's own `Serialize` fails.
pub fn to_xml<T: Serialize + ?Sized>(root: &str, value: &T) -> Result<Vec<u8>, XmlError> {
    let root = encode_name(root);
    element(&root, &Renamed::root(value, &root)).map(String::into_bytes)
}

/// Appends the member `name` of a struct: one element, or one for each item of a sequence.
pub(super) fn append_member<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    name: &str,
    value: &Keyed<'_, T>,
) -> Result<(), XmlError> {
    out.extend_from_slice(element(name, &value.in_xml(name))?.as_bytes());
    Ok(())
}

/// Returns a value as the element `name`.
fn element<T: Serialize>(name: &str, value: &T) -> Result<String, XmlError> {
    let mut out = String::new();
    let mut serializer = Serializer::with_root(&mut out, Some(name))?;
    serializer.empty_element_handling(EmptyElementHandling::SelfClosedWithSpace);
    value.serialize(serializer)?;
    Ok(out)
}

/// Returns whether XML 1.0 forbids the character, even as a reference (section 2.2, production 2).
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

/// Returns a text with U+FFFD in place of characters that XML 1.0 forbids.
pub(super) fn without_forbidden(text: &str) -> Cow<'_, str> {
    /// First byte of U+FFFE and U+FFFF. All other forbidden characters are control characters.
    const NONCHARACTER_START: u8 = 0xEF;
    // Nearly all text has no such byte, so one scan of its bytes is the whole cost.
    if text.bytes().any(|byte| byte < b' ' || byte == NONCHARACTER_START) {
        return Cow::Owned(text.replace(is_forbidden, "\u{FFFD}"));
    }
    Cow::Borrowed(text)
}

/// Returns whether the character may begin a local name (Namespaces in XML 1.0, NCName).
fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

/// Returns whether the character may follow the first character of a local name.
fn is_name_part(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Bytes that are never encoded after the first byte of a local name. The underscore is not among them, because it may
/// need encoding.
const IS_PLAIN_IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        // The index of a table of 256 entries fits a byte.
        #[expect(clippy::cast_possible_truncation, reason = "try_from is not const")]
        let is_plain = (byte as u8).is_ascii_alphanumeric();
        table[byte] = is_plain;
        byte += 1;
    }
    table[b'-' as usize] = true;
    table[b'.' as usize] = true;
    table
};

/// Encodes a name reversibly as an element's local name.
pub(super) fn encode_name(name: &str) -> Cow<'_, str> {
    let starts_plain = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if starts_plain && name.bytes().all(|byte| IS_PLAIN_IN_NAME[usize::from(byte)]) {
        return Cow::Borrowed(name);
    }
    if name.is_empty() {
        // .NET does not encode the empty name, but an element must have a name.
        return Cow::Borrowed("_");
    }
    let mut encoded = String::with_capacity(name.len() + 8);
    for (at, c) in name.char_indices() {
        let fits = if at == 0 { is_name_start(c) } else { is_name_part(c) };
        // Encode an underscore that looks like the beginning of an encoded character.
        if fits && !(c == '_' && is_encoded_char(&name.as_bytes()[at..])) {
            encoded.push(c);
        } else if u32::from(c) <= 0xFFFF {
            encoded.push_str(&format!("_x{:04X}_", u32::from(c)));
        } else {
            encoded.push_str(&format!("_x{:08X}_", u32::from(c)));
        }
    }
    Cow::Owned(encoded)
}

/// Returns whether the text begins with an encoded character: `_x`, four or eight hexadecimal digits, `_`.
fn is_encoded_char(text: &[u8]) -> bool {
    let has_digits = |count: usize| {
        text.get(2..2 + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            && text.get(2 + count) == Some(&b'_')
    };
    text.get(1) == Some(&b'x') && (has_digits(4) || has_digits(8))
}

#[cfg(test)]
mod tests;
