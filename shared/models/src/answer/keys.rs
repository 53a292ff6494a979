//! Keys of answers, in the style that the shape requires.
//!
//! The types of this crate declare the keys of ONLYOFFICE's reference page of `PUT …/contact/{contactid}/access`.
//! [`Keyed`] wraps a value and renames its keys during serialization, so a shape needs neither types of its own nor an
//! intermediate tree.

use std::fmt::Display;

use jiff::tz::TimeZone;
use serde::ser::{Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct};
use serde::{Serialize, Serializer};

use crate::contact::Contact;
use crate::values::timestamp::Timestamp;

/// The style of an answer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyStyle {
    /// Keys as the types declare them: `DisplayName`, `id`, and `Id` for an employee's own key.
    Documents,
    /// Keys of ONLYOFFICE's reference page of `PUT …/contact/filter/access`: `ID` in place of `id`. An employee's own
    /// key stays `Id`.
    UpperId,
    /// Keys that ONLYOFFICE's own clients read: `displayName`, and `id` in place of `Id` and `ID`.
    Camel,
}

impl KeyStyle {
    /// Returns the key that a type declares as `key` in this style, for descriptions of answers.
    pub fn written(self, key: &str) -> String {
        match self {
            Self::Camel => with_camel(key, str::to_owned),
            Self::Documents | Self::UpperId => static_key(key, self).to_owned(),
        }
    }
}

/// A value whose struct keys are written in a style at every level.
///
/// Only keys of structs are renamed. Keys of maps are data and are not renamed. Neither are names of enum variants, or
/// keys in the content of variants, except for `Option`. serde treats a struct with `#[serde(flatten)]` as a map, so
/// its keys are not renamed.
///
/// Under [`KeyStyle::Camel`] the inner serializer receives maps in place of structs, because serde accepts only static
/// names as struct keys. JSON and XML are the same for both.
#[derive(Debug)]
pub struct Keyed<'a, T: ?Sized> {
    /// Value to write.
    pub value: &'a T,
    /// Style of the keys.
    pub style: KeyStyle,
    /// Zone in which [`KeyStyle::Camel`] shows timestamps; `None` for UTC.
    pub zone: Option<&'a TimeZone>,
    /// Keys of the outermost struct to write; `None` for all keys that the style shows. Inner structs are complete.
    pub only: Option<&'a Fields>,
}

impl<'a, T: ?Sized> Keyed<'a, T> {
    /// Wraps a value with the keys of a style.
    pub fn new(value: &'a T, style: KeyStyle) -> Self {
        Self { value, style, zone: None, only: None }
    }
}

/// Names of keys, compared without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields(Vec<String>);

impl Fields {
    /// Parses a list of names with commas in between; `None` if the list has no name.
    pub fn parse(list: &str) -> Option<Self> {
        let names: Vec<String> =
            list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// Returns whether the list contains `key`.
    pub fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(key))
    }
}

impl<T: Serialize + ?Sized> Serialize for Keyed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, style, zone, only } = *self;
        value.serialize(Renaming { inner: serializer, style, zone, only })
    }
}

/// Keys up to this many bytes are lowercased without an allocation.
const INLINE_KEY_BYTES: usize = 32;

/// Passes `key` with its first letter in lower case to `then`. Every spelling of `id` becomes `id`.
fn with_camel<R>(key: &str, then: impl FnOnce(&str) -> R) -> R {
    if matches!(key, "Id" | "ID") {
        return then("id");
    }
    if !key.starts_with(|first: char| first.is_ascii_uppercase()) {
        return then(key);
    }
    let mut inline = [0; INLINE_KEY_BYTES];
    if let Some(lowered) = inline.get_mut(..key.len()) {
        lowered.copy_from_slice(key.as_bytes());
        lowered[..1].make_ascii_lowercase();
        if let Ok(lowered) = str::from_utf8(lowered) {
            return then(lowered);
        }
    }
    let mut lowered = key.to_owned();
    lowered[..1].make_ascii_lowercase();
    then(&lowered)
}

/// The serializer of [`Keyed`]: forwards plain values and wraps values that may contain a struct.
struct Renaming<'f, S> {
    inner: S,
    style: KeyStyle,
    zone: Option<&'f TimeZone>,
    only: Option<&'f Fields>,
}

/// Forwards values that contain no struct.
macro_rules! forward {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        })*
    };
}

impl<'f, S: Serializer> Serializer for Renaming<'f, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = RenamingItems<'f, S::SerializeSeq>;
    type SerializeTuple = RenamingItems<'f, S::SerializeTuple>;
    type SerializeTupleStruct = RenamingItems<'f, S::SerializeTupleStruct>;
    type SerializeTupleVariant = S::SerializeTupleVariant;
    type SerializeMap = RenamingItems<'f, S::SerializeMap>;
    type SerializeStruct = RenamingMembers<'f, S>;
    type SerializeStructVariant = S::SerializeStructVariant;

    forward! {
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
        serialize_str: &str,
        serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Keyed { value, style: self.style, zone: self.zone, only: self.only })
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        if self.style == KeyStyle::Camel && name == Timestamp::NEWTYPE {
            let timestamp = serde_json::to_value(value).map_err(S::Error::custom)?;
            let timestamp: Timestamp = serde_json::from_value(timestamp).map_err(S::Error::custom)?;
            return self.inner.collect_str(&timestamp.in_zone(self.zone.unwrap_or(&TimeZone::UTC)));
        }
        self.inner.serialize_newtype_struct(name, &Keyed { value, style: self.style, zone: self.zone, only: self.only })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(name, index, variant, value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        Ok(RenamingItems { inner: self.inner.serialize_seq(len)?, style: self.style, zone: self.zone })
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        Ok(RenamingItems { inner: self.inner.serialize_tuple(len)?, style: self.style, zone: self.zone })
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        Ok(RenamingItems { inner: self.inner.serialize_tuple_struct(name, len)?, style: self.style, zone: self.zone })
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.inner.serialize_tuple_variant(name, index, variant, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        Ok(RenamingItems { inner: self.inner.serialize_map(len)?, style: self.style, zone: self.zone })
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        let Self { inner, style, zone, only } = self;
        let members = match style {
            KeyStyle::Documents | KeyStyle::UpperId => {
                Members::Struct { inner: inner.serialize_struct(name, len)?, style }
            }
            // The number of members that `only` selects is unknown here. JSON and XML need no length.
            KeyStyle::Camel => Members::Camel(inner.serialize_map(only.is_none().then_some(len))?),
        };
        Ok(RenamingMembers { members, zone, only })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.inner.serialize_struct_variant(name, index, variant, len)
    }
}

/// Items of a sequence, a tuple or a map, each of which may contain a struct.
struct RenamingItems<'f, C> {
    inner: C,
    style: KeyStyle,
    zone: Option<&'f TimeZone>,
}

impl<C: SerializeSeq> SerializeSeq for RenamingItems<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let keyed = Keyed { value, style: self.style, zone: self.zone, only: None };
        self.inner.serialize_element(&keyed)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: SerializeTuple> SerializeTuple for RenamingItems<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let keyed = Keyed { value, style: self.style, zone: self.zone, only: None };
        self.inner.serialize_element(&keyed)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: SerializeTupleStruct> SerializeTupleStruct for RenamingItems<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let keyed = Keyed { value, style: self.style, zone: self.zone, only: None };
        self.inner.serialize_field(&keyed)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: SerializeMap> SerializeMap for RenamingItems<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let keyed = Keyed { value, style: self.style, zone: self.zone, only: None };
        self.inner.serialize_value(&keyed)
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        let keyed = Keyed { value, style: self.style, zone: self.zone, only: None };
        self.inner.serialize_entry(key, &keyed)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

/// Members of a struct, with renamed keys and without the members that `only` excludes.
struct RenamingMembers<'f, S: Serializer> {
    members: Members<S>,
    zone: Option<&'f TimeZone>,
    only: Option<&'f Fields>,
}

/// The serializer that receives the members.
enum Members<S: Serializer> {
    /// A struct, for styles with static keys.
    Struct { inner: S::SerializeStruct, style: KeyStyle },
    /// A map, for the style whose keys are computed.
    Camel(S::SerializeMap),
}

/// Returns the key in a style with static keys.
fn static_key(key: &str, style: KeyStyle) -> &str {
    match (style, key) {
        (KeyStyle::UpperId, "id") => "ID",
        _ => key,
    }
}

impl<S: Serializer> SerializeStruct for RenamingMembers<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        let is_written = match self.only {
            Some(only) => only.contains(key),
            // Members that only ONLYOFFICE's dialect shows appear in another dialect if the caller names them.
            None => matches!(self.members, Members::Camel(_)) || !Contact::ONLYOFFICE_KEYS.contains(&key),
        };
        if !is_written {
            return self.skip_field(key);
        }
        let keyed = |style| Keyed { value, style, zone: self.zone, only: None };
        match &mut self.members {
            Members::Struct { inner, style } => inner.serialize_field(static_key(key, *style), &keyed(*style)),
            Members::Camel(inner) => with_camel(key, |key| inner.serialize_entry(key, &keyed(KeyStyle::Camel))),
        }
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        match &mut self.members {
            Members::Struct { inner, style } => inner.skip_field(static_key(key, *style)),
            // A map has no entry for a skipped member.
            Members::Camel(_) => Ok(()),
        }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        match self.members {
            Members::Struct { inner, .. } => inner.end(),
            Members::Camel(inner) => inner.end(),
        }
    }
}

#[cfg(test)]
mod tests;
