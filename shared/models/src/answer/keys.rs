//! The keys of an answer in the style that its shape asks for.
//!
//! The types of this crate are written with the keys of document 000. [`Keyed`] stands between such a value and any
//! serializer and renames on the way, so that no shape needs its own set of types and no tree is built in between.

use std::fmt::Display;

use jiff::tz::TimeZone;
use serde::ser::{Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct};
use serde::{Serialize, Serializer};

use crate::contact::Contact;
use crate::values::moment::Moment;

/// How the keys of an answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyStyle {
    /// As the types declare them, which is document 000: `DisplayName`, `id`, and `Id` for an employee's own key.
    Documents,
    /// Document 001: the same, but `ID` in place of `id`. An employee's own key stays `Id`.
    UpperId,
    /// What ONLYOFFICE's own clients read: `displayName`, and `id` in place of `Id` and `ID`.
    Camel,
}

impl KeyStyle {
    /// How a key is written that a type declares as `key`, for who describes answers.
    pub fn written(self, key: &str) -> String {
        match self {
            Self::Camel => with_camel(key, str::to_owned),
            Self::Documents | Self::UpperId => static_key(key, self).to_owned(),
        }
    }
}

/// A value whose struct keys are written in a style, all the way down.
///
/// Only the keys of structs are renamed. The keys of maps are data and stay, as do the names of an enum's variants
/// and all that such a variant holds (`Option` is no enum here). To serde a struct with `#[serde(flatten)]` is a map,
/// so its keys stay too.
///
/// Under [`KeyStyle::Camel`] the inner serializer is shown maps in place of structs, because serde takes only static
/// names for a struct's keys. JSON and XML come out the same either way.
#[derive(Debug)]
pub struct Keyed<'a, T: ?Sized> {
    /// What is written.
    pub value: &'a T,
    /// How its keys are written.
    pub style: KeyStyle,
    /// The zone by whose clocks [`KeyStyle::Camel`] shows moments; UTC without one.
    pub zone: Option<&'a TimeZone>,
    /// Which of its own keys are written, when not all are. What they hold is written whole.
    pub only: Option<&'a Fields>,
}

impl<'a, T: ?Sized> Keyed<'a, T> {
    /// A value with all of its keys in a style.
    pub fn new(value: &'a T, style: KeyStyle) -> Self {
        Self { value, style, zone: None, only: None }
    }
}

/// Names of keys, without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields(Vec<String>);

impl Fields {
    /// The names in a list with commas in between; none when it holds no name.
    pub fn parse(list: &str) -> Option<Self> {
        let names: Vec<String> =
            list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// Says if the list names `key`.
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

/// Keys up to this many bytes are lowered without an allocation; the longest of ours has 14.
const INLINE_KEY_BYTES: usize = 32;

/// Passes `key` with its first letter lowered, or `id` for every spelling of it.
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

/// The serializer behind [`Keyed`]: hands everything on, and wraps what can hold a struct.
struct Renaming<'f, S> {
    inner: S,
    style: KeyStyle,
    zone: Option<&'f TimeZone>,
    only: Option<&'f Fields>,
}

/// Hands on values that hold no struct.
macro_rules! hand_on {
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

    hand_on! {
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
        if self.style == KeyStyle::Camel && name == Moment::NEWTYPE {
            let moment = serde_json::to_value(value).map_err(S::Error::custom)?;
            let moment: Moment = serde_json::from_value(moment).map_err(S::Error::custom)?;
            return self.inner.collect_str(&moment.in_zone(self.zone.unwrap_or(&TimeZone::UTC)));
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
            // How many are left is not known beforehand; no length is as good as one to the formats of answers.
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

/// The items of a sequence, a tuple or a map: each may hold a struct.
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

/// The members of a struct, whose keys change, and of which some may be left out.
struct RenamingMembers<'f, S: Serializer> {
    members: Members<S>,
    zone: Option<&'f TimeZone>,
    only: Option<&'f Fields>,
}

/// Where the members go.
enum Members<S: Serializer> {
    /// The style's names are static.
    Struct { inner: S::SerializeStruct, style: KeyStyle },
    /// The style's names are made on the way.
    Camel(S::SerializeMap),
}

/// The key in a style whose names are static where the key is.
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
            // The members that only ONLYOFFICE's dialect shows are shown in any dialect where they are asked for by name.
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
            // What is skipped is no entry of a map.
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
