//! Renders bytes in hexadecimal.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// Renders bytes in hexadecimal, in lower case.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Returns the SHA-256 digest of bytes, in hexadecimal.
pub(crate) fn digest_hex(bytes: &[u8]) -> String {
    to_hex(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rendered_in_lower_case() {
        assert_eq!(to_hex(&[0, 10, 255]), "000aff");
        // FIPS 180-2, appendix B.1
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_hex(b"abc"), expected);
    }
}
