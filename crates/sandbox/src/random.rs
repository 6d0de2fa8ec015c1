//! Secrets of a party, and what follows from its seed.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 256 fresh bits as base64url.
pub(crate) fn generate_secret() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A text that follows from a seed and a label: the same at every start.
pub(crate) fn derive_text(seed: &[u8], label: &str) -> String {
    URL_SAFE_NO_PAD.encode(compute_mac(seed, label))
}

/// Bytes that follow from a seed and a label.
pub(crate) fn compute_mac(seed: &[u8], label: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, seed);
    hmac::sign(&key, label.as_bytes()).as_ref().to_vec()
}

/// SHA-256 as base64url: how secrets are kept, and the `S256` of RFC 7636.
pub(crate) fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
pub(crate) fn constant_time_eq(left: &str, right: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left.as_bytes(), right.as_bytes()).is_ok()
}
