//! Opaque ids of accounts and statements: deterministic and sealed for one recipient and provider, so that no table is needed
//! and two recipients cannot compare.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use domain::model::connection::MAX_ACCOUNT_ID_BYTES;
use domain::rule::access::GrantedAccess;

use crate::vault::UnsealError;

/// Makes and reads opaque ids.
pub struct OpaqueIds(LessSafeKey);

const ACCOUNT: &str = "acc_";
const STATEMENT: &str = "stm_";
/// The same at every use: AES-GCM-SIV stays safe, and equal ids are meant to look equal.
const NONCE: [u8; 12] = [0; 12];

impl OpaqueIds {
    /// From the key of ids.
    pub fn new(key: &Secret<[u8; 32]>) -> Result<Self, UnsealError> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.expose()).map_err(|_| UnsealError)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// How an access's recipient sees a provider's account id; none for an id that is too long to be one.
    pub fn seal(&self, access: &GrantedAccess, id: &str) -> Option<String> {
        self.seal_for(ACCOUNT, recipient_binding(access), id)
    }

    /// The provider's account id; none if the opaque one is not of this access's recipient and provider.
    pub fn open(&self, access: &GrantedAccess, opaque: &str) -> Option<String> {
        self.open_for(ACCOUNT, recipient_binding(access), opaque)
    }

    /// How a statement of an account is seen.
    pub fn seal_statement(&self, access: &GrantedAccess, account: &str, id: &str) -> Option<String> {
        self.seal_for(STATEMENT, account_binding(access, account), id)
    }

    /// The provider's id of a statement; none if the opaque one is not of this account.
    pub fn open_statement(&self, access: &GrantedAccess, account: &str, opaque: &str) -> Option<String> {
        self.open_for(STATEMENT, account_binding(access, account), opaque)
    }

    fn seal_for(&self, prefix: &str, binding: String, id: &str) -> Option<String> {
        if id.is_empty() || id.len() > MAX_ACCOUNT_ID_BYTES {
            return None;
        }
        let mut sealed = id.as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key(NONCE);
        self.0.seal_in_place_append_tag(nonce, Aad::from(binding), &mut sealed).ok()?;
        Some(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    fn open_for(&self, prefix: &str, binding: String, opaque: &str) -> Option<String> {
        let mut sealed = URL_SAFE_NO_PAD.decode(opaque.strip_prefix(prefix)?).ok()?;
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let plain = self.0.open_in_place(nonce, Aad::from(binding), &mut sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn recipient_binding(access: &GrantedAccess) -> String {
    format!("{}\n{}", access.client_id(), access.provider_id())
}

/// An account's own ids are bound to it as well, so that none is taken for another account's, or for an account's.
fn account_binding(access: &GrantedAccess, account: &str) -> String {
    format!("{}\n{account}", recipient_binding(access))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> OpaqueIds {
        OpaqueIds::new(&Secret::new([1; 32])).unwrap()
    }

    proptest! {
        #[test]
        fn opaque_id_opens_only_for_its_recipient_and_type(id: String, other in "[a-z]{1,9}\n[0-9]{4}") {
            let binding = || "dc-1\n1000".to_owned();
            let opaque = ids().seal_for(ACCOUNT, binding(), &id);
            prop_assert_eq!(opaque.is_some(), (1..=MAX_ACCOUNT_ID_BYTES).contains(&id.len()));
            if let Some(opaque) = opaque {
                prop_assert_eq!(ids().seal_for(ACCOUNT, binding(), &id), Some(opaque.clone()), "the same at every use");
                prop_assert_eq!(ids().open_for(ACCOUNT, other, &opaque), None);
                prop_assert_eq!(ids().open_for(STATEMENT, binding(), &opaque), None);
                prop_assert_eq!(ids().open_for(ACCOUNT, binding(), &opaque), Some(id));
            }
        }

        #[test]
        fn foreign_opaque_id_is_rejected(text: String, bytes: Vec<u8>) {
            for opaque in [text.clone(), format!("{ACCOUNT}{text}"), format!("{ACCOUNT}{}", URL_SAFE_NO_PAD.encode(&bytes))] {
                prop_assert_eq!(ids().open_for(ACCOUNT, "dc-1\n1000".into(), &opaque), None);
            }
        }
    }
}
