//! Folding of tags and names: words that differ only in case become equal bytes.

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

/// Applies Unicode default case folding in normal form C: `STRASSE` and `straße` become equal.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Folding can denormalize the text, so compose the result again (Unicode 16, section 3.13, D145).
    text.nfc().default_case_fold().nfc().collect()
}

/// Trims and folds a tag, for comparison and indexing.
pub fn fold_tag(tag: &str) -> String {
    fold(trim(tag))
}

/// Trims spaces and invisible characters at both ends, so that text that looks blank becomes empty.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

fn is_space(c: char) -> bool {
    const SOFT_HYPHEN: char = '\u{ad}';
    const VOWEL_SEPARATOR: char = '\u{180e}';
    // Zero-width spaces and joiners, directional marks and overrides, invisible operators.
    let has_no_width = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    c.is_whitespace() || has_no_width || matches!(c, SOFT_HYPHEN | VOWEL_SEPARATOR | '\u{feff}')
}
