//! The serializer behind [`super::Keyed`], which also makes quick-xml's conventions those of [`crate::answer::to_xml`].

mod compounds;

use std::fmt::Display;

use jiff::tz::TimeZone;
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

use self::compounds::{Entries, Items, Members, RenamingEntries, RenamingItems, RenamingMembers, VariantMembers};
use super::{Fields, KeyStyle};
use crate::answer::xml::without_forbidden;
use crate::values::timestamp::Timestamp;

/// The position of a value, which decides how the value is written.
#[derive(Clone, Copy)]
pub(super) enum Place<'f> {
    /// Anywhere in JSON.
    Json,
    /// The XML element of this name, as a member of a struct or map: siblings of the same name form one sequence.
    Member(&'f str),
    /// The XML element of this name, as the root or an item of a sequence. The name cannot be repeated, so a sequence
    /// needs an element around its items.
    Alone(&'f str),
}

impl<'f> Place<'f> {
    fn is_json(self) -> bool {
        matches!(self, Self::Json)
    }

    /// Returns the position of an item of the sequence in this position.
    fn item(self) -> Self {
        match self {
            Self::Json => Self::Json,
            Self::Member(name) | Self::Alone(name) => Self::Alone(name),
        }
    }
}

/// The rules by which a value is written. They hold for all content of the value.
#[derive(Clone, Copy)]
pub(super) struct Rules<'f> {
    /// Style of the keys; if absent, all keys stay.
    pub(super) style: Option<KeyStyle>,
    pub(super) zone: Option<&'f TimeZone>,
    pub(super) place: Place<'f>,
}

impl<'f> Rules<'f> {
    fn at(self, place: Place<'f>) -> Self {
        Self { place, ..self }
    }

    /// Returns the rules for a member under this name.
    fn member<'m>(self, name: &'m str) -> Rules<'m>
    where
        'f: 'm,
    {
        if self.place.is_json() { self } else { self.at(Place::Member(name)) }
    }

    /// Returns the rules for the content of a variant, whose keys stay.
    fn unstyled(self) -> Self {
        Self { style: None, zone: None, ..self }
    }
}

/// A value with the rules by which it is written.
pub(in crate::answer) struct Renamed<'a, T: ?Sized> {
    value: &'a T,
    rules: Rules<'a>,
    only: Option<&'a Fields>,
}

impl<'a, T: ?Sized> Renamed<'a, T> {
    /// Wraps a value. If `only` is given, only these keys of the value itself are written.
    pub(super) fn new(value: &'a T, rules: Rules<'a>, only: Option<&'a Fields>) -> Self {
        Self { value, rules, only }
    }

    /// Wraps a value for quick-xml's serializer, which writes the root element `name`. All keys stay.
    pub(in crate::answer) fn root(value: &'a T, name: &'a str) -> Self {
        Self { value, rules: Rules { style: None, zone: None, place: Place::Alone(name) }, only: None }
    }
}

impl<T: Serialize + ?Sized> Serialize for Renamed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Renaming { inner: serializer, rules: self.rules, only: self.only })
    }
}

/// The serializer that forwards plain values and wraps values that may contain a struct.
struct Renaming<'f, S> {
    inner: S,
    rules: Rules<'f>,
    only: Option<&'f Fields>,
}

impl<'f, S: Serializer> Renaming<'f, S> {
    fn is_json(&self) -> bool {
        self.rules.place.is_json()
    }

    /// Opens a sequence with `open`, or an element around the items if the sequence needs one.
    fn items<C>(
        self,
        open: impl FnOnce(S) -> Result<C, S::Error>,
    ) -> Result<RenamingItems<'f, C, S::SerializeMap>, S::Error> {
        let Self { inner, rules, .. } = self;
        let items = match rules.place {
            Place::Alone(name) => Items::Inside { element: inner.serialize_map(None)?, name },
            Place::Json | Place::Member(_) => Items::Repeated(open(inner)?),
        };
        Ok(RenamingItems { items, rules: rules.at(rules.place.item()) })
    }
}

/// Forwards values that contain no struct.
macro_rules! hand_on {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        })*
    };
}

/// Forwards floating-point numbers. NaN and infinities have no XML form and become empty elements.
macro_rules! floats {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            if self.is_json() || value.is_finite() { self.inner.$method(value) } else { self.inner.serialize_unit() }
        })*
    };
}

impl<'f, S: Serializer> Serializer for Renaming<'f, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = RenamingItems<'f, S::SerializeSeq, S::SerializeMap>;
    type SerializeTuple = RenamingItems<'f, S::SerializeTuple, S::SerializeMap>;
    type SerializeTupleStruct = RenamingItems<'f, S::SerializeTupleStruct, S::SerializeMap>;
    type SerializeTupleVariant = RenamingItems<'f, S::SerializeTupleVariant, S::SerializeMap>;
    type SerializeMap = RenamingEntries<'f, S::SerializeMap>;
    type SerializeStruct = RenamingMembers<'f, S>;
    type SerializeStructVariant = VariantMembers<S>;

    hand_on! {
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
        serialize_unit_struct: &'static str,
    }

    floats! {
        serialize_f32: f32,
        serialize_f64: f64,
    }

    fn serialize_bool(self, value: bool) -> Result<S::Ok, S::Error> {
        match (self.is_json(), value) {
            (true, _) => self.inner.serialize_bool(value),
            (false, true) => self.inner.serialize_str("True"),
            (false, false) => self.inner.serialize_str("False"),
        }
    }

    fn serialize_char(self, value: char) -> Result<S::Ok, S::Error> {
        if self.is_json() {
            return self.inner.serialize_char(value);
        }
        self.serialize_str(value.encode_utf8(&mut [0; char::MAX_LEN_UTF8]))
    }

    fn serialize_str(self, value: &str) -> Result<S::Ok, S::Error> {
        if self.is_json() {
            return self.inner.serialize_str(value);
        }
        self.inner.serialize_str(&without_forbidden(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        // quick-xml refuses bytes. They are a sequence of numbers, as in JSON.
        if self.is_json() { self.inner.serialize_bytes(value) } else { self.collect_seq(value) }
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        if self.is_json() { self.inner.collect_str(value) } else { self.serialize_str(&value.to_string()) }
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        // quick-xml writes nothing for a root that is `None`.
        if self.is_json() { self.inner.serialize_none() } else { self.inner.serialize_unit() }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = Renamed { value, rules: self.rules, only: self.only };
        self.inner.serialize_some(&value)
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        if self.is_json() {
            return self.inner.serialize_unit_variant(name, index, variant);
        }
        // quick-xml names a root after its variant.
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        if self.rules.style == Some(KeyStyle::Camel) && name == Timestamp::NEWTYPE {
            let moment = serde_json::to_value(value).map_err(S::Error::custom)?;
            let moment: Timestamp = serde_json::from_value(moment).map_err(S::Error::custom)?;
            return self.inner.collect_str(&moment.in_zone(self.rules.zone.unwrap_or(&TimeZone::UTC)));
        }
        self.inner.serialize_newtype_struct(name, &Renamed { value, rules: self.rules, only: self.only })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        if self.is_json() {
            return self.inner.serialize_newtype_variant(name, index, variant, value);
        }
        // quick-xml refuses a variant with content inside an element.
        let mut element = self.inner.serialize_map(Some(1))?;
        let rules = self.rules.unstyled().at(Place::Member(variant));
        element.serialize_entry(variant, &Renamed { value, rules, only: None })?;
        element.end()
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.items(|inner| inner.serialize_seq(len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.items(|inner| inner.serialize_tuple(len))
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.items(|inner| inner.serialize_tuple_struct(name, len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        // In XML, the items repeat the variant's name inside the element.
        let place = if self.is_json() { Place::Json } else { Place::Alone(variant) };
        let rules = self.rules.unstyled().at(place);
        Renaming { rules, ..self }.items(|inner| inner.serialize_tuple_variant(name, index, variant, len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        Ok(RenamingEntries { inner: self.inner.serialize_map(len)?, rules: self.rules, name: None })
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        let Self { inner, rules, only } = self;
        let members = match rules.style {
            None | Some(KeyStyle::Documents | KeyStyle::UpperId) => Members::Struct(inner.serialize_struct(name, len)?),
            // The number of keys that `only` leaves is unknown here. JSON and XML need no length.
            Some(KeyStyle::Camel) => Members::Camel(inner.serialize_map(only.is_none().then_some(len))?),
        };
        Ok(RenamingMembers { members, rules, only })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        if self.is_json() {
            let inner = self.inner.serialize_struct_variant(name, index, variant, len)?;
            return Ok(VariantMembers::Json(inner));
        }
        let element = self.inner.serialize_map(Some(1))?;
        Ok(VariantMembers::Xml { element, variant, members: Entries(Vec::with_capacity(len)) })
    }
}
