//! Opaque ids of accounts and statements: deterministic and sealed for one recipient and provider, so that no table is needed
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

const ACCOUNT: &str = "acc_";
const STATEMENT: &str = "stm_";
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
        self.seal_for(ACCOUNT, bound_to(access), id)
    }

    /// The provider's account id; none if the opaque one is not of this access's recipient and provider.
    pub fn open(&self, access: &Access, opaque: &str) -> Option<String> {
        self.open_for(ACCOUNT, bound_to(access), opaque)
    }

    /// How a statement of an account is seen.
    pub fn seal_statement(&self, access: &Access, account: &str, id: &str) -> Option<String> {
        self.seal_for(STATEMENT, within(access, account), id)
    }

    /// The provider's id of a statement; none if the opaque one is not of this account.
    pub fn open_statement(&self, access: &Access, account: &str, opaque: &str) -> Option<String> {
        self.open_for(STATEMENT, within(access, account), opaque)
    }

    fn seal_for(&self, prefix: &str, whom: String, id: &str) -> Option<String> {
        if id.is_empty() || id.len() > LONGEST_ACCOUNT_ID {
            return None;
        }
        let mut sealed = id.as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key(NONCE);
        self.0.seal_in_place_append_tag(nonce, Aad::from(whom), &mut sealed).ok()?;
        Some(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    fn open_for(&self, prefix: &str, whom: String, opaque: &str) -> Option<String> {
        let mut sealed = URL_SAFE_NO_PAD.decode(opaque.strip_prefix(prefix)?).ok()?;
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let plain = self.0.open_in_place(nonce, Aad::from(whom), &mut sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn bound_to(access: &Access) -> String {
    format!("{}\n{}", access.client_id(), access.provider_id())
}

/// An account's own ids are bound to it as well, so that none is taken for another account's, or for an account's.
fn within(access: &Access, account: &str) -> String {
    format!("{}\n{account}", bound_to(access))
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
        fn an_id_opens_for_whom_it_was_made_alone(id: String, other in "[a-z]{1,9}\n[0-9]{4}") {
            let whom = || "dc-1\n1000".to_owned();
            let opaque = ids().seal_for(ACCOUNT, whom(), &id);
            prop_assert_eq!(opaque.is_some(), (1..=LONGEST_ACCOUNT_ID).contains(&id.len()));
            if let Some(opaque) = opaque {
                prop_assert_eq!(ids().seal_for(ACCOUNT, whom(), &id), Some(opaque.clone()), "the same at every use");
                prop_assert_eq!(ids().open_for(ACCOUNT, other, &opaque), None);
                prop_assert_eq!(ids().open_for(STATEMENT, whom(), &opaque), None);
                prop_assert_eq!(ids().open_for(ACCOUNT, whom(), &opaque), Some(id));
            }
        }

        #[test]
        fn what_we_did_not_make_is_no_id(text: String, bytes: Vec<u8>) {
            for opaque in [text.clone(), format!("{ACCOUNT}{text}"), format!("{ACCOUNT}{}", URL_SAFE_NO_PAD.encode(&bytes))] {
                prop_assert_eq!(ids().open_for(ACCOUNT, "dc-1\n1000".into(), &opaque), None);
            }
        }
    }
}
