//! Encrypts and authenticates stored values with AES-256-GCM and random nonces.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use domain::Secret;

/// Error for a sealed value that was altered, is bound to another name, or was sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value cannot be opened")]
pub struct UnsealError;

/// A key that seals values. Each value is bound to a name, such as the id of its connection.
pub struct DataKey(Secret<[u8; 32]>);

const NONCE_LEN: usize = 12;

impl DataKey {
    /// Creates a key from 32 secret bytes.
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, UnsealError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.expose()).map_err(|_| UnsealError)
    }

    /// Encrypts a value and binds it to the name `bound_to`. The result consists of nonce, ciphertext and tag.
    pub fn seal(&self, bound_to: &str, plain: &[u8]) -> Result<Vec<u8>, UnsealError> {
        // The nonce is generated with the encryption. GCM is broken if a nonce repeats under one key, so callers cannot
        // supply one.
        let mut sealed = plain.to_vec();
        let nonce =
            self.cipher()?.seal_in_place_append_tag(aad(bound_to), &mut sealed).map_err(|_| UnsealError)?;
        Ok([&nonce.as_ref()[..], &sealed].concat())
    }

    /// Decrypts a value that was sealed with this key for the name `bound_to`. Any other value is an error.
    pub fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, UnsealError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(UnsealError)?;
        let mut body = body.to_vec();
        let length = {
            let plain = self.cipher()?.open_in_place(Nonce::from(nonce), aad(bound_to), &mut body);
            plain.map_err(|_| UnsealError)?.len()
        };
        body.truncate(length);
        Ok(Secret::new(body))
    }

    /// Decrypts a value that is UTF-8 text. Any other value is an error.
    pub fn open_text(&self, bound_to: &str, sealed: &[u8]) -> Result<Secret<String>, UnsealError> {
        let plain = self.open(bound_to, sealed)?;
        String::from_utf8(plain.expose().clone()).map(Secret::new).map_err(|_| UnsealError)
    }
}

/// Returns the name to which a value is bound as associated data, which is authenticated but not stored. A value that
/// was copied to another row of the database can therefore not be opened.
fn aad(bound_to: &str) -> Aad<&[u8]> {
    Aad::from(bound_to.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_value_opens_only_for_its_name_and_key() {
        let key = |byte| DataKey::new(Secret::new([byte; 32]));
        let sealed = key(1).seal("con_1", b"token").unwrap();
        assert_eq!(key(1).open_text("con_1", &sealed).unwrap().expose(), "token");
        assert_ne!(sealed, key(1).seal("con_1", b"token").unwrap(), "nonces differ");
        assert!(key(1).open("con_2", &sealed).is_err());
        assert!(key(2).open("con_1", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key(1).open("con_1", &altered).is_err(), "byte {at}");
        }
        assert!(key(1).open("con_1", &sealed[..5]).is_err());
    }
}
