//! Opaque ids: the ids of accounts and statements that recipients see.
//!
//! The provider's id is encrypted deterministically, and bound to one recipient and provider. No table of ids is
//! needed, an account keeps its opaque id, and two recipients cannot find out that they see the same account.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use domain::model::connection::MAX_ACCOUNT_ID_BYTES;
use domain::rule::access::GrantedAccess;

use crate::vault::UnsealError;

/// The cipher that converts the provider's ids to opaque ids and back.
pub struct OpaqueIds(LessSafeKey);

const ACCOUNT: &str = "acc_";
const STATEMENT: &str = "stm_";
/// A constant nonce. Equal ids must have equal ciphertexts, and AES-GCM-SIV remains secure when a nonce is repeated:
/// it reveals only that two plaintexts are equal (RFC 8452, section 1).
const NONCE: [u8; 12] = [0; 12];

impl OpaqueIds {
    /// Creates the cipher from its secret key, which the key file determines.
    pub fn new(key: &Secret<[u8; 32]>) -> Result<Self, UnsealError> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.expose()).map_err(|_| UnsealError)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Returns the cipher for the accounts of one recipient at one provider.
    pub fn for_recipient(&self, access: &GrantedAccess) -> RecipientIds<'_> {
        RecipientIds { ids: self, binding: recipient_binding(access) }
    }

    /// Returns the provider's account id; `None` if the opaque id belongs to another recipient or provider.
    pub fn open(&self, access: &GrantedAccess, opaque: &str) -> Option<String> {
        self.open_for(ACCOUNT, || recipient_binding(access), opaque)
    }

    /// Returns the opaque id of a statement; `None` if the provider's id is empty or too long.
    pub fn seal_statement(&self, access: &GrantedAccess, account: &str, id: &str) -> Option<String> {
        self.seal_for(STATEMENT, &account_binding(access, account), id)
    }

    /// Returns the provider's id of a statement; `None` if the opaque id belongs to another account.
    pub fn open_statement(&self, access: &GrantedAccess, account: &str, opaque: &str) -> Option<String> {
        self.open_for(STATEMENT, || account_binding(access, account), opaque)
    }

    fn seal_for(&self, prefix: &str, binding: &str, id: &str) -> Option<String> {
        // An account with a longer id cannot be part of a consent, so it gets no opaque id.
        if id.is_empty() || id.len() > MAX_ACCOUNT_ID_BYTES {
            return None;
        }
        let mut sealed = Vec::with_capacity(id.len() + AES_256_GCM_SIV.tag_len());
        sealed.extend_from_slice(id.as_bytes());
        let nonce = Nonce::assume_unique_for_key(NONCE);
        self.0.seal_in_place_append_tag(nonce, Aad::from(binding.as_bytes()), &mut sealed).ok()?;
        let mut opaque = String::with_capacity(prefix.len() + sealed.len().div_ceil(3) * 4);
        opaque.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(sealed, &mut opaque);
        Some(opaque)
    }

    fn open_for(&self, prefix: &str, binding: impl FnOnce() -> String, opaque: &str) -> Option<String> {
        let mut sealed = URL_SAFE_NO_PAD.decode(opaque.strip_prefix(prefix)?).ok()?;
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let length = self.0.open_in_place(nonce, Aad::from(binding()), &mut sealed).ok()?.len();
        sealed.truncate(length);
        String::from_utf8(sealed).ok()
    }
}

/// The cipher that converts account ids for one recipient and provider.
pub struct RecipientIds<'a> {
    ids: &'a OpaqueIds,
    /// The text to which the ids are bound.
    binding: String,
}

impl RecipientIds<'_> {
    /// Returns the opaque id of an account; `None` if the provider's id is empty or too long.
    pub fn seal(&self, id: &str) -> Option<String> {
        self.ids.seal_for(ACCOUNT, &self.binding, id)
    }
}

fn recipient_binding(access: &GrantedAccess) -> String {
    [access.client_id().as_str(), &access.provider_id().to_string()].join("\n")
}

/// Returns the text to which statement ids are bound, so that they are valid neither for another account nor as account
/// ids.
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

    #[test]
    fn longest_id_fits_fdx_when_sealed_and_longer_one_is_not_sealed() {
        for prefix in [ACCOUNT, STATEMENT] {
            let seal = |length| ids().seal_for(prefix, "binding", &"x".repeat(length));

            assert!(seal(172).is_some_and(|opaque| opaque.len() <= 256), "{prefix}");
            assert_eq!(seal(173), None, "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn opaque_id_opens_only_for_its_recipient_provider_and_type(id: String, other in "[a-z]{1,9}\n[0-9]{4}") {
            let binding = || "dc-1\n1000".to_owned();
            let opaque = ids().seal_for(ACCOUNT, &binding(), &id);
            prop_assert_eq!(opaque.is_some(), (1..=MAX_ACCOUNT_ID_BYTES).contains(&id.len()));
            if let Some(opaque) = opaque {
                prop_assert_eq!(ids().seal_for(ACCOUNT, &binding(), &id), Some(opaque.clone()), "the opaque id is deterministic");
                prop_assert_eq!(ids().open_for(ACCOUNT, || other, &opaque), None);
                prop_assert_eq!(ids().open_for(STATEMENT, binding, &opaque), None);
                prop_assert_eq!(ids().open_for(ACCOUNT, binding, &opaque), Some(id));
            }
        }

        #[test]
        fn arbitrary_text_is_rejected_as_opaque_id(text: String, bytes: Vec<u8>) {
            for opaque in [text.clone(), format!("{ACCOUNT}{text}"), format!("{ACCOUNT}{}", URL_SAFE_NO_PAD.encode(&bytes))] {
                prop_assert_eq!(ids().open_for(ACCOUNT, || "dc-1\n1000".into(), &opaque), None);
            }
        }
    }
}
