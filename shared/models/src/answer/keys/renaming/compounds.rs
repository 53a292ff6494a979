//! The compound values of [`super::Renaming`]: sequences, maps, structs, and variants with members.

use std::borrow::Cow;

use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Place, Renamed, Rules};
use crate::answer::keys::{Fields, KeyStyle, static_key, with_camel};
use crate::answer::xml::encode_name;
use crate::contact::Contact;

/// Items of a sequence or a tuple, each of which may contain a struct.
pub(super) struct RenamingItems<'f, C, M> {
    pub(super) items: Items<'f, C, M>,
    pub(super) rules: Rules<'f>,
}

/// The serializer that receives the items.
pub(super) enum Items<'f, C, M> {
    /// A sequence. quick-xml repeats the element of the sequence.
    Repeated(C),
    /// An XML element, with an element `name` inside for each item.
    Inside { element: M, name: &'f str },
}

/// Implements serde's traits for sequences, which differ only in name.
macro_rules! items {
    ($($of:ident::$method:ident,)*) => {
        $(impl<C: $of, M: SerializeMap<Ok = C::Ok, Error = C::Error>> $of for RenamingItems<'_, C, M> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let value = Renamed { value, rules: self.rules, only: None };
                match &mut self.items {
                    Items::Repeated(items) => items.$method(&value),
                    Items::Inside { element, name } => element.serialize_entry(*name, &value),
                }
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                match self.items {
                    Items::Repeated(items) => items.end(),
                    Items::Inside { element, .. } => element.end(),
                }
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

/// Entries of a map, each of which may contain a struct.
pub(super) struct RenamingEntries<'f, M> {
    pub(super) inner: M,
    pub(super) rules: Rules<'f>,
    /// Name of the next value's element in XML.
    pub(super) name: Option<String>,
}

/// Returns the text of a map's key; none if the key is not a plain value.
fn key_text<T: Serialize + ?Sized>(key: &T) -> Option<String> {
    match serde_json::to_value(key).ok()? {
        Value::String(text) => Some(text),
        key @ (Value::Bool(_) | Value::Number(_)) => Some(key.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl<M: SerializeMap> SerializeMap for RenamingEntries<'_, M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), M::Error> {
        self.name = if self.rules.place.is_json() { None } else { key_text(key) };
        match &mut self.name {
            Some(name) => {
                if let Cow::Owned(encoded) = encode_name(name) {
                    *name = encoded;
                }
                Ok(())
            }
            // quick-xml refuses a key that is not a plain value.
            None => self.inner.serialize_key(key),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), M::Error> {
        let renamed = |rules| Renamed { value, rules, only: None };
        match self.name.take() {
            Some(name) => {
                let rules = self.rules.at(Place::Member(&name));
                self.inner.serialize_entry(name.as_str(), &renamed(rules))
            }
            None => self.inner.serialize_value(&renamed(self.rules)),
        }
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), M::Error> {
        if self.rules.place.is_json() {
            return self.inner.serialize_entry(key, &Renamed { value, rules: self.rules, only: None });
        }
        self.serialize_key(key)?;
        self.serialize_value(value)
    }

    fn end(self) -> Result<M::Ok, M::Error> {
        self.inner.end()
    }
}

/// Members of a struct, with renamed keys and without the members that `only` excludes.
pub(super) struct RenamingMembers<'f, S: Serializer> {
    pub(super) members: Members<S>,
    pub(super) rules: Rules<'f>,
    pub(super) only: Option<&'f Fields>,
}

/// The serializer that receives the members.
pub(super) enum Members<S: Serializer> {
    /// A struct, for styles with static keys.
    Struct(S::SerializeStruct),
    /// A map, for the style whose keys are computed.
    Camel(S::SerializeMap),
}

impl<S: Serializer> SerializeStruct for RenamingMembers<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        let is_written = match (self.only, self.rules.style) {
            (Some(only), _) => only.contains(key),
            (None, None | Some(KeyStyle::Camel)) => true,
            // Members that only ONLYOFFICE's dialect shows appear in another dialect if the caller names them.
            (None, Some(KeyStyle::Documents | KeyStyle::UpperId)) => !Contact::ONLYOFFICE_KEYS.contains(&key),
        };
        if !is_written {
            return self.skip_field(key);
        }
        match &mut self.members {
            Members::Struct(inner) => {
                let key = static_key(key, self.rules.style);
                inner.serialize_field(key, &Renamed { value, rules: self.rules.member(key), only: None })
            }
            Members::Camel(inner) => with_camel(key, |key| {
                inner.serialize_entry(key, &Renamed { value, rules: self.rules.member(key), only: None })
            }),
        }
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        match &mut self.members {
            Members::Struct(inner) => inner.skip_field(static_key(key, self.rules.style)),
            // A map has no entry for a skipped member.
            Members::Camel(_) => Ok(()),
        }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        match self.members {
            Members::Struct(inner) => inner.end(),
            Members::Camel(inner) => inner.end(),
        }
    }
}

/// Members of a variant. Their keys and all their content stay.
pub(super) enum VariantMembers<S: Serializer> {
    /// JSON receives the members one by one.
    Json(S::SerializeStructVariant),
    /// XML receives the members together, because quick-xml refuses a variant with members inside an element.
    Xml { element: S::SerializeMap, variant: &'static str, members: Entries },
}

/// Members of a variant until the variant's end.
pub(super) struct Entries(pub(super) Vec<(&'static str, Value)>);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<S: Serializer> SerializeStructVariant for VariantMembers<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        match self {
            Self::Json(inner) => inner.serialize_field(key, value),
            Self::Xml { members, .. } => {
                members.0.push((key, serde_json::to_value(value).map_err(S::Error::custom)?));
                Ok(())
            }
        }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(inner) => inner.end(),
            Self::Xml { mut element, variant, members } => {
                let rules = Rules { style: None, zone: None, place: Place::Member(variant) };
                element.serialize_entry(variant, &Renamed { value: &members, rules, only: None })?;
                element.end()
            }
        }
    }
}
