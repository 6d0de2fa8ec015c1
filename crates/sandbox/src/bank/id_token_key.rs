//! The key that signs the id tokens of a bank (OpenID Connect Core §2).

use std::io;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;

/// The key that signs the id tokens of a bank. Each start generates another one, as after a rotation.
pub(super) struct IdTokenKey {
    header: Header,
    private: EncodingKey,
    public: Jwk,
}

impl IdTokenKey {
    pub(super) fn generate() -> io::Result<Self> {
        let failed = |_| io::Error::other("the key of the id tokens cannot be generated");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let document = pair.to_pkcs8v1().map_err(failed)?;
        let private = EncodingKey::from_ec_der(document.as_ref());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).map_err(io::Error::other)?;
        let key_id = public.thumbprint(ThumbprintHash::SHA256).map_err(io::Error::other)?;
        public.common.key_id = Some(key_id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(key_id);
        Ok(Self { header, private, public })
    }

    /// Returns the key with which clients verify id tokens.
    pub(super) const fn public_key(&self) -> &Jwk {
        &self.public
    }

    /// Signs the claims of an id token. Returns `None` if the key cannot sign.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        jsonwebtoken::encode(&self.header, claims, &self.private).ok()
    }
}
