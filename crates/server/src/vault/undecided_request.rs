//! The cookie of an authorization request on which the customer has not decided, and the ids of authorization requests.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use domain::id::AuthorizationRequestId;
use domain::model::undecided_request::UndecidedRequest;
use domain::secret::constant_time_eq;

use super::{DataKey, UnsealError, Vault};

/// The maximum length of the value of a cookie: that of a request whose fields have their maximum lengths. A longer value is not
/// decoded.
pub(super) const MAX_SEALED_REQUEST_LEN: usize = 2_335;

impl Vault {
    /// Seals a request as the value of its browser's cookie.
    pub fn seal_undecided_request(&self, request: &UndecidedRequest) -> Result<Secret<String>, UnsealError> {
        let sealed = self.request_key(&request.id).seal(&bind(&request.id), request.to_text().as_bytes())?;
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens the first value of a cookie that was sealed for this id, and returns it with the request. All others are ignored.
    pub fn open_undecided_request<'v>(
        &self,
        id: &AuthorizationRequestId,
        values: &'v [String],
    ) -> Option<(UndecidedRequest, &'v str)> {
        // A client may send many values. The key is derived once for all of them.
        let key = self.request_key(id);
        values.iter().find_map(|value| Some((open_value(&key, id, value)?, value.as_str())))
    }

    /// Returns the tag of the id of an authorization request. It shows that the hub has generated the id, which is not stored.
    pub fn tag_request_id(&self, head: &[u8; 12]) -> [u8; 4] {
        let mut tag = [0; 4];
        tag.copy_from_slice(&hmac::sign(&self.request_id, head).as_ref()[..4]);
        tag
    }

    /// Returns whether the hub has generated an id of an authorization request.
    pub fn is_own_request_id(&self, id: &AuthorizationRequestId) -> bool {
        id.split_tag().is_some_and(|(head, tag)| constant_time_eq(&self.tag_request_id(&head), &tag))
    }

    /// Derives the key of one request. Anyone can make the hub seal requests; with a key for each of them, the number of values
    /// that are sealed with one key needs no limit.
    fn request_key(&self, id: &AuthorizationRequestId) -> DataKey {
        DataKey::new(self.keys.derive(&format!("flow/1\n{id}")))
    }
}

fn open_value(key: &DataKey, id: &AuthorizationRequestId, value: &str) -> Option<UndecidedRequest> {
    if value.len() > MAX_SEALED_REQUEST_LEN {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
    let text = key.open_text(&bind(id), &sealed).ok()?;
    UndecidedRequest::from_text(id, text.expose())
}

fn bind(id: &AuthorizationRequestId) -> String {
    format!("authorization_request\n{id}")
}

#[cfg(test)]
mod tests {
    use domain::id::{IdSource, ProviderId, Seed};
    use domain::{Clusters, Timestamp};

    use super::*;
    use crate::vault::KeyFile;

    fn create_vault(root: u8) -> Vault {
        let folder = tempfile::tempdir().unwrap();
        Vault::new(KeyFile::open_or_create(&folder.path().join("keys/file"), || Ok([root; 32])).unwrap())
    }

    fn mint_id(vault: &Vault, seed: u8) -> AuthorizationRequestId {
        let now = Timestamp::from_millis(1_795_500_000_123);
        IdSource::new(now, Seed::new([seed; 16])).mint_tagged(|head| vault.tag_request_id(head))
    }

    /// Builds the request with the maximum length of each field.
    fn build_longest_request(id: AuthorizationRequestId) -> UndecidedRequest {
        UndecidedRequest {
            id,
            client_id: "c".repeat(128).parse().unwrap(),
            provider_id: ProviderId::new(i64::MAX),
            redirect_hash: [255; 16],
            clusters: Clusters::from_bits(255),
            language: "fr".to_owned(),
            code_challenge: Some("x".repeat(43)),
            client_state: "s".repeat(1500),
        }
    }

    #[test]
    fn undecided_request_opens_only_for_its_id_and_keys() {
        let (vault, other) = (create_vault(1), create_vault(2));
        let request = build_longest_request(mint_id(&vault, 1));

        let value = vault.seal_undecided_request(&request).unwrap();

        let value = value.expose();
        let changed = [format!("{value}A"), value.to_lowercase()];
        let values = [&changed[..], std::slice::from_ref(value)].concat();
        assert_eq!(value.len(), MAX_SEALED_REQUEST_LEN);
        assert_eq!(
            vault.open_undecided_request(&request.id, &values),
            Some((request.clone(), value.as_str()))
        );
        assert_eq!(vault.open_undecided_request(&mint_id(&vault, 2), &values), None);
        assert_eq!(other.open_undecided_request(&request.id, &values), None);
        for changed in changed {
            assert_eq!(vault.open_undecided_request(&request.id, &[changed]), None);
        }
    }

    #[test]
    fn request_id_proves_its_generator_and_time() {
        let (vault, other) = (create_vault(1), create_vault(2));

        let id = mint_id(&vault, 1);

        assert!(vault.is_own_request_id(&id) && !other.is_own_request_id(&id));
        assert_eq!(id.created_at(), Some(Timestamp::from_millis(1_795_500_000_123)));
        let altered = format!("{}0{}", &id.as_str()[..10], &id.as_str()[11..]);
        for invalid in [altered.as_str(), "arq_x", &id.as_str().to_uppercase().replace("ARQ", "arq")] {
            let invalid: AuthorizationRequestId = invalid.parse().unwrap();
            assert!(invalid == id || !vault.is_own_request_id(&invalid), "{invalid}");
        }
    }
}
