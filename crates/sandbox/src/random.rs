//! Generates random secrets, and derives repeatable values from a seed.

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Generates 256 random bits, encoded as base64url.
pub(crate) fn generate_secret() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Derives a text from a seed and a label; the same input always gives the same text.
pub(crate) fn derive_text(seed: &[u8], label: &str) -> String {
    URL_SAFE_NO_PAD.encode(compute_mac(seed, label))
}

/// Computes the HMAC-SHA-256 of a label under a seed.
pub(crate) fn compute_mac(seed: &[u8], label: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, seed);
    hmac::sign(&key, label.as_bytes()).as_ref().to_vec()
}

/// Computes the SHA-256 of a text, encoded as base64url: the stored form of secrets, and the PKCE method `S256` (RFC
/// 7636).
pub(crate) fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Compares two texts in a time that depends only on their lengths.
pub(crate) fn constant_time_eq(left: &str, right: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left.as_bytes(), right.as_bytes()).is_ok()
}
