//! Types for secrets, which keep them out of logs, compare them in constant time and store them as hashes.

use std::fmt;

use zeroize::Zeroize;

/// A secret value. It has no `Display` and no `Serialize`, and is wiped from memory when it is dropped.
// The crate `secrecy` offers the same without comparison: `PartialEq` in constant time, `const fn new` and the fixed
// output of `Debug` would have to be added around it, which is more code than this type.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a secret value, so that it is neither logged nor printed.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value. The explicit call makes every use of a secret easy to find in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_ref(), other.0.as_ref())
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

impl Secret<String> {
    /// Shortens the text to its first `length` bytes. The memory of the rest is wiped with that of the text.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

/// Compares two byte strings in a time that depends only on their lengths.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// The stored form of a token, code or client secret that the hub generated: HMAC-SHA-256 under a secret pepper.
// The input has 256 bits of entropy, so it cannot be guessed. A slow password hash would add no security, only a way
// to exhaust the hub's processors.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash {
    /// The generation of the pepper, so that rows from before and after a rotation can be distinguished.
    generation: u32,
    digest: [u8; 32],
}

impl TokenHash {
    /// Computes the hash of a token under one generation of the pepper.
    pub fn for_token(generation: u32, pepper: &aws_lc_rs::hmac::Key, token: &[u8]) -> Self {
        let tag = aws_lc_rs::hmac::sign(pepper, token);
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        Self { generation, digest }
    }

    /// Returns the stored form: four bytes of generation, then 32 bytes of digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.generation.to_be_bytes()[..], &self.digest].concat()
    }

    /// Reads the stored form; returns `None` for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (generation, digest) = bytes.split_first_chunk::<4>()?;
        Some(Self { generation: u32::from_be_bytes(*generation), digest: digest.try_into().ok()? })
    }

    /// Returns whether one of the candidates is this hash.
    pub fn matches(&self, candidates: &TokenHashes) -> bool {
        // All candidates are compared: stopping at the first match would reveal which pepper was used.
        candidates.iter().fold(false, |found, c| {
            found | (c.generation == self.generation && constant_time_eq(&c.digest, &self.digest))
        })
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}, …)", self.generation)
    }
}

/// The hashes of one presented token under every pepper that may still be in use, the current one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHashes(Vec<TokenHash>);

impl TokenHashes {
    /// Creates a list of candidates, that of the current pepper first.
    pub fn new(candidates: Vec<TokenHash>) -> Self {
        Self(candidates)
    }

    /// Iterates over the candidates, that of the current pepper first.
    pub fn iter(&self) -> impl Iterator<Item = &TokenHash> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(generation: u32, token: &str) -> TokenHash {
        let pepper = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]);
        TokenHash::for_token(generation, &pepper, token.as_bytes())
    }

    #[test]
    fn secret_debug_output_hides_value() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret");
    }

    #[test]
    fn truncated_secret_keeps_its_beginning() {
        let mut secret = Secret::from("hunter2");

        secret.truncate(6);

        assert_eq!(secret.expose(), "hunter");
    }

    #[test]
    fn token_hash_bytes_round_trip_keeps_generation() {
        let stored = hash(3, "token").to_bytes();
        assert_eq!(stored.len(), 36);
        assert_eq!(TokenHash::from_bytes(&stored), Some(hash(3, "token")));
        assert_eq!(TokenHash::from_bytes(&stored[..35]), None);
    }

    #[test]
    fn token_hash_matches_same_token_and_generation_only() {
        let candidates = TokenHashes::new(vec![hash(2, "token"), hash(1, "token")]);
        assert!(hash(1, "token").matches(&candidates));
        assert!(!hash(3, "token").matches(&candidates));
        assert!(!hash(1, "tokem").matches(&candidates));
    }

    #[test]
    fn secrets_are_equal_if_their_values_are() {
        assert_eq!(Secret::from("token"), Secret::new("token".to_owned()));
        for other in ["tokem", "toke", "token ", ""] {
            assert_ne!(Secret::from("token"), Secret::from(other), "{other:?}");
        }
    }

    #[test]
    fn dropped_secret_is_wiped() {
        use std::cell::Cell;
        struct Probe<'a>(&'a Cell<bool>);
        impl Zeroize for Probe<'_> {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }
        let is_wiped = Cell::new(false);

        let secret = Secret::new(Probe(&is_wiped));
        assert!(!secret.expose().0.get());
        drop(secret);

        assert!(is_wiped.get());
    }

    #[test]
    fn token_hash_matches_each_of_equal_candidates() {
        let candidates = TokenHashes::new(vec![hash(1, "token"), hash(1, "token")]);

        assert!(hash(1, "token").matches(&candidates));
        assert!(!hash(1, "token").matches(&TokenHashes::new(Vec::new())));
    }

    #[test]
    fn token_hash_debug_output_shows_generation_only() {
        assert_eq!(format!("{:?}", hash(3, "token")), "TokenHash(3, …)");
    }
}
