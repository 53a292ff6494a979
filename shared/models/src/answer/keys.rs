//! Keys of answers, in the style that the shape requires.
//!
//! The types of this crate declare the keys of ONLYOFFICE's reference page of `PUT …/contact/{contactid}/access`.
//! [`Keyed`] wraps a value and renames its keys during serialization, so a shape needs neither types of its own nor an
//! intermediate tree.

mod renaming;

use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

pub(super) use self::renaming::Renamed;
use self::renaming::{Place, Rules};

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
            Self::Documents | Self::UpperId => static_key(key, Some(self)).to_owned(),
        }
    }
}

/// A value whose struct keys are written in a style at every level.
///
/// Only keys of structs are renamed. Keys of maps are data and stay. Names of enum variants and all their content stay
/// as well, except those of `Option`. serde treats a struct with `#[serde(flatten)]` as a map, so its keys stay too.
///
/// Under [`KeyStyle::Camel`] the inner serializer receives maps in place of structs, because serde accepts only static
/// names as struct keys. JSON and XML are the same for both.
#[derive(Debug)]
pub struct Keyed<'a, T: ?Sized> {
    /// Value to write.
    pub value: &'a T,
    /// Style of the keys.
    pub style: KeyStyle,
    /// Zone in which [`KeyStyle::Camel`] shows timestamps; UTC if absent.
    pub zone: Option<&'a TimeZone>,
    /// Keys of the value itself to write; if absent, all keys that the style shows. Their values are written in full.
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

impl<'a, T: ?Sized> Keyed<'a, T> {
    /// Returns the value for a serializer in this position.
    fn renamed(&self, place: Place<'a>) -> Renamed<'a, T> {
        Renamed::new(self.value, Rules { style: Some(self.style), zone: self.zone, place }, self.only)
    }

    /// Returns the value for quick-xml's serializer, which writes the element `name`.
    pub(super) fn in_xml(&self, name: &'a str) -> Renamed<'a, T> {
        self.renamed(Place::Member(name))
    }
}

impl<T: Serialize + ?Sized> Serialize for Keyed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.renamed(Place::Json).serialize(serializer)
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

/// Returns the key in a style with static keys.
fn static_key(key: &str, style: Option<KeyStyle>) -> &str {
    match (style, key) {
        (Some(KeyStyle::UpperId), "id") => "ID",
        _ => key,
    }
}

#[cfg(test)]
mod tests;
