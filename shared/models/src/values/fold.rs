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
    fold(trim(tag))
}

/// Text without the space at its ends. Characters that nobody sees are space, too: text that looks blank is blank.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

fn is_space(c: char) -> bool {
    const SOFT_HYPHEN: char = '\u{ad}';
    const VOWEL_SEPARATOR: char = '\u{180e}';
    // Spaces and joiners of zero width, marks and overrides of direction, invisible operators.
    let has_no_width = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    c.is_whitespace() || has_no_width || matches!(c, SOFT_HYPHEN | VOWEL_SEPARATOR | '\u{feff}')
}
