//! Hashes as text.

use std::fmt;

/// A hash in hexadecimal.
pub(crate) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Decodes a hash from lower-case hexadecimal text.
pub fn hash_from_hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let mut hash = [0; BYTES];
    if text.len() != 2 * hash.len() || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}
