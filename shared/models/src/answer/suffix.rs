//! Suffixes of paths.

/// A suffix of a path that selects the format of the answer, as in the calls of ONLYOFFICE's own clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// `.json`
    Json,
    /// `.xml`
    Xml,
}

impl Suffix {
    /// Every suffix.
    pub const ALL: [Self; 2] = [Self::Json, Self::Xml];

    /// Returns the suffix as it appears in a path.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Json => ".json",
            Self::Xml => ".xml",
        }
    }

    /// Splits a path, or a parameter of a path, into the text before its suffix and the suffix.
    pub fn split(path: &str) -> (&str, Option<Self>) {
        let found = Self::ALL.into_iter().find_map(|suffix| Some((path.strip_suffix(suffix.text())?, Some(suffix))));
        found.unwrap_or((path, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_split_off() {
        assert_eq!(Suffix::split("/contact/12.json"), ("/contact/12", Some(Suffix::Json)));
        assert_eq!(Suffix::split("nightly.xml"), ("nightly", Some(Suffix::Xml)));
        assert_eq!(Suffix::split("nightly.v2"), ("nightly.v2", None));
    }
}
