//! Escaping of untrusted text for terminals and logs.
//!
//! A terminal executes control characters, and bidirectional controls reorder visible text. A file, a name or a request
//! must not attack an operator in these ways.

use std::fmt;

/// A text that displays with unsafe characters escaped.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a str);

/// Escapes control characters (newlines too), bidirectional controls and invisible separators.
pub fn printable(text: &str) -> Printable<'_> {
    Printable(text)
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut remaining = self.0;
        while let Some((at, unsafe_char)) = remaining.char_indices().find(|(_, c)| is_unsafe(*c)) {
            write!(f, "{}{}", &remaining[..at], unsafe_char.escape_default())?;
            remaining = &remaining[at + unsafe_char.len_utf8()..];
        }
        f.write_str(remaining)
    }
}

/// Returns whether a character is unsafe to print: invisible, and able to change a terminal or other text.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Bidirectional controls.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Invisible: deprecated format controls, byte order mark, annotations, tags.
            | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the longest prefix of a text that has at most `max_bytes` and ends at the end of a character.
pub fn beginning(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_text_is_unchanged() {
        for (text, expected) in [
            ("", ""),
            ("Zoë Ж 李 🙂 \"quoted\" back\\slash", "Zoë Ж 李 🙂 \"quoted\" back\\slash"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("one\ntwo\r\tthree\0", "one\\ntwo\\r\\tthree\\u{0}"),
            ("\u{7f}\u{8}", "\\u{7f}\\u{8}"),
            ("\u{202e}txt.exe\u{2066}", "\\u{202e}txt.exe\\u{2066}"),
            ("\u{2028}\u{feff}\u{e0041}", "\\u{2028}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(printable(text).to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn beginning_ends_at_the_end_of_a_character() {
        assert_eq!(beginning("aé", 2), "a");
        assert_eq!(beginning("aé", 3), "aé");
        assert_eq!(beginning("aé", 9), "aé");
    }
}
