//! Opaque account ids: deterministic and sealed for one recipient and provider, so that no table is needed
//! and two recipients cannot compare.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use domain::model::connection::LONGEST_ACCOUNT_ID;
use domain::rule::access::Access;

use crate::vault::Unsealable;

/// Makes and reads opaque ids.
pub struct OpaqueIds(LessSafeKey);

const PREFIX: &str = "acc_";
/// The same at every use: AES-GCM-SIV stays safe, and equal ids are meant to look equal.
const NONCE: [u8; 12] = [0; 12];

impl OpaqueIds {
    /// From the key of ids.
    pub fn new(key: &Secret<[u8; 32]>) -> Result<Self, Unsealable> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.expose()).map_err(|_| Unsealable)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// How an access's recipient sees a provider's account id; none for an id that is too long to be one.
    pub fn seal(&self, access: &Access, id: &str) -> Option<String> {
        if id.is_empty() || id.len() > LONGEST_ACCOUNT_ID {
            return None;
        }
        let mut sealed = id.as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key(NONCE);
        self.0.seal_in_place_append_tag(nonce, bound_to(access), &mut sealed).ok()?;
        Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The provider's account id; none if the opaque one is not of this access's recipient and provider.
    pub fn open(&self, access: &Access, opaque: &str) -> Option<String> {
        let mut sealed = URL_SAFE_NO_PAD.decode(opaque.strip_prefix(PREFIX)?).ok()?;
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let plain = self.0.open_in_place(nonce, bound_to(access), &mut sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn bound_to(access: &Access) -> Aad<Vec<u8>> {
    Aad::from(format!("{}\n{}", access.client_id(), access.provider_id()).into_bytes())
}
