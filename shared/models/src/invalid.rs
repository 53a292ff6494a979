//! Invalid input as a value: the field, the fault and the remedy.

use std::borrow::Cow;
use std::fmt;

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, such as `managerList[3]`; empty for the whole body.
    pub field: String,
    /// The fault and the remedy, worded to follow the field's name.
    pub message: String,
}

/// The error for a request that cannot be read, with the faults found.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// The faults, in the order of the fields; at least one.
    pub faults: Vec<Fault>,
}

impl Invalid {
    /// Returns an error with one fault.
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { faults: vec![Fault { field: field.into(), message: message.into() }] }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            let space = if fault.field.is_empty() { "" } else { " " };
            write!(f, "{separator}{}{space}{}", fault.field, fault.message)?;
        }
        Ok(())
    }
}

/// Returns the known name nearest to `name`, if `name` may be a misspelling or an abbreviation.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Jaro-Winkler favours a common prefix, which misspellings usually have. A lower threshold matches unrelated names.
    const NEAR: f64 = 0.8;
    // `to` is an abbreviation of toDate.
    const PART_BYTES: usize = 2;
    let folded = name.to_lowercase();
    // `stage` and `stages` are abbreviations of contactStage.
    let part = folded.strip_suffix('s').unwrap_or(&folded);
    known
        .into_iter()
        .map(|candidate| {
            let known = candidate.to_lowercase();
            let is_part = part.len() >= PART_BYTES && known.contains(part);
            (is_part, strsim::jaro_winkler(&folded, &known), candidate)
        })
        .filter(|(is_part, similarity, _)| *is_part || *similarity >= NEAR)
        .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
        .map(|(_, _, candidate)| candidate)
}

/// Returns the message for an unknown name, with the nearest known name.
pub(crate) fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("is not a {what}, which has none; leave the name out");
    }
    let names = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("is not a {what}; did you mean {near}? Known are {names}"),
        None => format!("is not a {what}; known are {names}"),
    }
}

/// Truncates a name from a request to 64 characters.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    const SHOWN_CHARS: usize = 64;
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}
