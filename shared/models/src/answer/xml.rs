//! Serializer of any value as XML in the conventions of ONLYOFFICE's reference pages.
//!
//! quick-xml's own serializer writes `true`, omits `None` and refuses some sequences, so this file writes the elements.
//! quick-xml escapes the text.
//!
//! The file exceeds 500 lines because serde's serializer traits have many short methods, which share one writer.
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

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

use quick_xml::escape::partial_escape;
use serde::ser::{
    self, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

/// Error: a value cannot be written as XML. Structs, sequences and plain values cannot cause this error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// The key of a map is not a text, number, character, boolean or unit variant.
    #[error("a map's key must be a plain value")]
    Key,
    /// The value's own `Serialize` failed with this message.
    #[error("{0}")]
    Value(String),
}

impl ser::Error for XmlError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// Returns a value as XML under the element `root`: UTF-8, without a declaration and without white space between
/// elements.
///
/// Characters that XML 1.0 forbids in text become U+FFFD. Characters that XML forbids in a name are encoded as .NET's
/// `XmlConvert.EncodeLocalName` encodes them, such as `_x0020_`.
///
/// # Errors
///
/// [`XmlError`] if the key of a map is not a plain value, or if the value's own `Serialize` fails.
pub fn to_xml<T: Serialize + ?Sized>(root: &str, value: &T) -> Result<Vec<u8>, XmlError> {
    let mut out = Vec::new();
    value.serialize(Element { out: &mut out, name: encode_name(root), position: Position::Alone })?;
    Ok(out)
}

/// Appends the member `name` of a struct: one element, or one for each item of a sequence.
pub(super) fn append_member<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<(), XmlError> {
    value.serialize(Element { out, name: encode_name(name), position: Position::Member })
}

/// The position of an element, which decides whether a sequence may repeat the element's name.
#[derive(Clone, Copy)]
enum Position {
    /// A member of a struct or map: siblings of the same name form one sequence.
    Member,
    /// The root or an item of a sequence: the name cannot be repeated, so a sequence needs an element around its items.
    Alone,
}

/// Serializes one value as the element `name`.
struct Element<'a, 'n> {
    out: &'a mut Vec<u8>,
    name: Cow<'n, str>,
    position: Position,
}

/// Writes a start tag. Returns the offset of the element's content.
fn open(out: &mut Vec<u8>, name: &str) -> usize {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    out.len()
}

/// Writes an end tag, or turns the start tag into an empty element if there is no content.
fn close(out: &mut Vec<u8>, name: &str, content: usize) {
    if out.len() == content {
        out.pop();
        out.extend_from_slice(b" />");
    } else {
        out.extend_from_slice(b"</");
        out.extend_from_slice(name.as_bytes());
        out.push(b'>');
    }
}

/// Returns whether XML 1.0 forbids the character, even as a reference (section 2.2, production 2).
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

/// Bytes that can begin a character to escape or replace: control characters, markup, and 0xEF, the first byte of
/// U+FFFE and U+FFFF.
const MAY_NEED_ESCAPING: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < b' ' as usize {
        table[byte] = true;
        byte += 1;
    }
    table[b'&' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[0xEF] = true;
    table
};

/// Appends text, escaped and without forbidden characters.
fn append_text(out: &mut Vec<u8>, text: &str) {
    // Nearly all text needs no escaping. Its only cost is this scan of the bytes.
    if !text.bytes().any(|byte| MAY_NEED_ESCAPING[usize::from(byte)]) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let clean = text.replace(is_forbidden, "\u{FFFD}");
    out.extend_from_slice(partial_escape(clean).as_bytes());
}

/// A [`fmt::Write`] that appends to the text of an element.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        append_text(self.0, text);
        Ok(())
    }
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

/// Bytes that are never encoded after the first byte of a local name. The underscore is absent, because it must be
/// encoded in some names.
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
fn encode_name(name: &str) -> Cow<'_, str> {
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

impl<'a, 'n> Element<'a, 'n> {
    /// Writes the element around content that cannot fail.
    fn around(self, content: impl FnOnce(&mut Vec<u8>)) {
        let start = open(self.out, &self.name);
        content(self.out);
        close(self.out, &self.name, start);
    }

    fn text(self, text: &str) {
        self.around(|out| append_text(out, text));
    }

    fn display(self, value: impl Display) -> Result<(), XmlError> {
        self.try_around(|out| Ok(write!(Text(out), "{value}")?))
    }

    fn try_around(self, content: impl FnOnce(&mut Vec<u8>) -> Result<(), XmlError>) -> Result<(), XmlError> {
        let start = open(self.out, &self.name);
        content(self.out)?;
        close(self.out, &self.name, start);
        Ok(())
    }

    fn float(self, value: impl Display, is_finite: bool) -> Result<(), XmlError> {
        if is_finite { self.display(value) } else { self.serialize_unit() }
    }

    fn members(self) -> Members<'a, 'n> {
        let start = open(self.out, &self.name);
        Members { out: self.out, around: [Some((self.name, start)), None], key: String::new() }
    }

    fn items(self) -> Items<'a, 'n> {
        match self.position {
            Position::Member => Items { out: self.out, name: self.name, around: None },
            Position::Alone => {
                let start = open(self.out, &self.name);
                Items { out: self.out, name: self.name.clone(), around: Some((self.name, start)) }
            }
        }
    }
}

/// Converts the error of a value's `Display`, which has no message of its own.
impl From<fmt::Error> for XmlError {
    fn from(error: fmt::Error) -> Self {
        Self::Value(error.to_string())
    }
}

/// Writes values through their `Display`.
macro_rules! display {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<(), XmlError> {
            self.display(value)
        })*
    };
}

impl<'a, 'n> Serializer for Element<'a, 'n> {
    type Ok = ();
    type Error = XmlError;
    type SerializeSeq = Items<'a, 'n>;
    type SerializeTuple = Items<'a, 'n>;
    type SerializeTupleStruct = Items<'a, 'n>;
    type SerializeTupleVariant = Items<'a, 'n>;
    type SerializeMap = Members<'a, 'n>;
    type SerializeStruct = Members<'a, 'n>;
    type SerializeStructVariant = Members<'a, 'n>;

    display! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
    }

    fn serialize_bool(self, value: bool) -> Result<(), XmlError> {
        self.text(if value { "True" } else { "False" });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), XmlError> {
        self.float(value, value.is_finite())
    }

    fn serialize_f64(self, value: f64) -> Result<(), XmlError> {
        self.float(value, value.is_finite())
    }

    fn serialize_str(self, value: &str) -> Result<(), XmlError> {
        self.text(value);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), XmlError> {
        self.display(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), XmlError> {
        // A sequence of numbers, as in JSON.
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), XmlError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), XmlError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), XmlError> {
        self.around(|_| ());
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), XmlError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), XmlError> {
        self.text(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), XmlError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), XmlError> {
        self.try_around(|out| append_member(out, variant, value))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Items<'a, 'n>, XmlError> {
        Ok(self.items())
    }

    fn serialize_tuple(self, _len: usize) -> Result<Items<'a, 'n>, XmlError> {
        Ok(self.items())
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Items<'a, 'n>, XmlError> {
        Ok(self.items())
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Items<'a, 'n>, XmlError> {
        let start = open(self.out, &self.name);
        Ok(Items { out: self.out, name: encode_name(variant), around: Some((self.name, start)) })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Members<'a, 'n>, XmlError> {
        Ok(self.members())
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Members<'a, 'n>, XmlError> {
        Ok(self.members())
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Members<'a, 'n>, XmlError> {
        let Members { out, around: [outer, _], key } = self.members();
        let name = encode_name(variant);
        let start = open(out, &name);
        Ok(Members { out, around: [outer, Some((name, start))], key })
    }
}

/// Writes the items of a sequence, each as the element `name`.
struct Items<'a, 'n> {
    out: &'a mut Vec<u8>,
    name: Cow<'n, str>,
    /// Element to close after the items, with the offset of its content.
    around: Option<(Cow<'n, str>, usize)>,
}

impl Items<'_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), XmlError> {
        value.serialize(Element { out: self.out, name: Cow::Borrowed(&self.name), position: Position::Alone })
    }

    fn finish(self) {
        if let Some((name, start)) = self.around {
            close(self.out, &name, start);
        }
    }
}

/// Implements serde's traits for sequences, which differ only in name.
macro_rules! items {
    ($($of:ident::$method:ident,)*) => {
        $(impl $of for Items<'_, '_> {
            type Ok = ();
            type Error = XmlError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), XmlError> {
                self.item(value)
            }

            fn end(self) -> Result<(), XmlError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

/// Writes the members of a struct or a map, each under its own name.
struct Members<'a, 'n> {
    out: &'a mut Vec<u8>,
    /// Elements to close after the members, outermost first, each with the offset of its content. A variant has two.
    around: [Option<(Cow<'n, str>, usize)>; 2],
    /// Name of the map's next value.
    key: String,
}

impl Members<'_, '_> {
    fn finish(self) {
        for (name, start) in self.around.into_iter().rev().flatten() {
            close(self.out, &name, start);
        }
    }
}

/// Implements serde's traits for structs, which differ only in name.
macro_rules! members {
    ($($of:ident,)*) => {
        $(impl $of for Members<'_, '_> {
            type Ok = ();
            type Error = XmlError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), XmlError> {
                append_member(self.out, key, value)
            }

            fn end(self) -> Result<(), XmlError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

members! { SerializeStruct, SerializeStructVariant, }

impl SerializeMap for Members<'_, '_> {
    type Ok = ();
    type Error = XmlError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), XmlError> {
        key.serialize(Name(|name: &str| {
            name.clone_into(&mut self.key);
            Ok(())
        }))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), XmlError> {
        append_member(self.out, &self.key, value)
    }

    // Structs in camelCase arrive here as maps. Copying each key, as `serialize_key` does, would double the cost.
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), XmlError> {
        key.serialize(Name(|name: &str| append_member(self.out, name, value)))
    }

    fn end(self) -> Result<(), XmlError> {
        self.finish();
        Ok(())
    }
}

/// Serializes a map's key: passes the text of the key to the function.
struct Name<F>(F);

/// Converts plain values to names.
macro_rules! name {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<(), XmlError> {
            (self.0)(&value.to_string())
        })*
    };
}

/// Refuses values that are not plain.
macro_rules! no_name {
    ($($method:ident($($type:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<$result, XmlError> {
            Err(XmlError::Key)
        })*
    };
}

type NoName = Impossible<(), XmlError>;

impl<F: FnOnce(&str) -> Result<(), XmlError>> Serializer for Name<F> {
    type Ok = ();
    type Error = XmlError;
    type SerializeSeq = NoName;
    type SerializeTuple = NoName;
    type SerializeTupleStruct = NoName;
    type SerializeTupleVariant = NoName;
    type SerializeMap = NoName;
    type SerializeStruct = NoName;
    type SerializeStructVariant = NoName;

    name! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
    }

    fn serialize_str(self, value: &str) -> Result<(), XmlError> {
        (self.0)(value)
    }

    no_name! {
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> NoName;
        serialize_tuple(usize) -> NoName;
        serialize_tuple_struct(&'static str, usize) -> NoName;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> NoName;
        serialize_map(Option<usize>) -> NoName;
        serialize_struct(&'static str, usize) -> NoName;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> NoName;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), XmlError> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), XmlError> {
        (self.0)(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), XmlError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), XmlError> {
        Err(XmlError::Key)
    }
}

#[cfg(test)]
mod tests;
