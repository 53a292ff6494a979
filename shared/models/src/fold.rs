//! Text folded so that equal words are equal bytes: what tags and names are compared by.

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

/// Text under Unicode default case folding in normal form C: `STRASSE` and `straße` fold alike.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Folding can denormalise, so the result is composed once more (Unicode 16, section 3.13, D145).
    text.nfc().default_case_fold().nfc().collect()
}

/// A tag as it is compared and indexed: trimmed, then folded.
pub fn fold_tag(tag: &str) -> String {
    fold(tag.trim())
}
