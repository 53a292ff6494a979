//! Names that occur more than once in a JSON object.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use crate::invalid::shown;
use crate::limits::MAX_FAULTS;

/// Returns the names that occur more than once in a JSON object or in one of its inner objects. The reader refuses
/// these names, because the reader does not guess between two values. Names are paths such as `managerList` or
/// `filter.tags`. At most [`MAX_FAULTS`] + 1 names are returned.
pub(super) fn repeated_names(body: &[u8]) -> BTreeSet<String> {
    /// The path of a value in the body.
    #[derive(Clone, Copy)]
    enum ValuePath<'p> {
        Body,
        Member(&'p ValuePath<'p>, &'p str),
        Item(&'p ValuePath<'p>, usize),
    }

    impl fmt::Display for ValuePath<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Body => Ok(()),
                Self::Member(Self::Body, name) => f.write_str(&shown(name)),
                Self::Member(object, name) => write!(f, "{object}.{}", shown(name)),
                Self::Item(array, i) => write!(f, "{array}[{i}]"),
            }
        }
    }

    struct Names<'p, 'r> {
        path: &'p ValuePath<'p>,
        repeated: &'r mut BTreeSet<String>,
    }

    impl<'de> DeserializeSeed<'de> for Names<'_, '_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Names<'_, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
            while let Some(name) = members.next_key::<Cow<'de, str>>()? {
                let path = ValuePath::Member(self.path, &name);
                if seen.contains(&name) && self.repeated.len() <= MAX_FAULTS {
                    self.repeated.insert(path.to_string());
                }
                members.next_value_seed(Names { path: &path, repeated: self.repeated })?;
                seen.insert(name);
            }
            Ok(())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            let mut i = 0;
            while let Some(()) =
                items.next_element_seed(Names { path: &ValuePath::Item(self.path, i), repeated: self.repeated })?
            {
                i += 1;
            }
            Ok(())
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
    }

    let mut repeated = BTreeSet::new();
    let names = Names { path: &ValuePath::Body, repeated: &mut repeated };
    match names.deserialize(&mut serde_json::Deserializer::from_slice(body)) {
        Ok(()) => repeated,
        // The caller has already parsed the same bytes as JSON.
        Err(_) => BTreeSet::new(),
    }
}
