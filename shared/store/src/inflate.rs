//! Decompression of stored values, with a bound.

use std::io::{self, Read as _};

use flate2::read::DeflateDecoder;

/// Decompresses bytes to at most `max_bytes`. A byte of DEFLATE can stand for a thousand bytes, so without a bound a
/// corrupt item of 400 KB could fill the memory of a function.
///
/// # Errors
///
/// If the bytes are not compressed, or if they stand for more than `max_bytes`.
pub fn inflate(bytes: &[u8], max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    // Read one byte more than the maximum, to detect a value that is too long.
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    DeflateDecoder::new(bytes).take(limit).read_to_end(&mut plain)?;
    if plain.len() > max_bytes {
        return Err(io::Error::other(format!("the bytes stand for more than {max_bytes} bytes")));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    #[test]
    fn bytes_above_the_maximum_are_refused() {
        let plain = vec![0; 100_000];
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).unwrap();
        let bytes = encoder.finish().unwrap();
        assert!(bytes.len() < 1000, "{}", bytes.len());
        assert_eq!(inflate(&bytes, plain.len()).unwrap(), plain);
        assert!(inflate(&bytes, plain.len() - 1).is_err());
    }
}
