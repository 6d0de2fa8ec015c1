//! The hub's keys, and the hashes and encryption of everything secret that is stored.

mod key_file;
mod posted_response;
mod seal;
mod seal_owner;
mod undecided_request;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use domain::Secret;
use domain::jose::AccessTokenKeys;
use domain::model::audit_event::AuditKey;
use domain::model::authorization_request::AuthorizationRequest;
use domain::secret::{TokenHash, TokenHashes};
use store::{RowAuthenticator, StoreKeys};

pub use key_file::{KeyFile, KeyFileError};
pub use seal::{DataKey, UnsealError};
pub use seal_owner::{SealOwner, SealPurpose};

/// The generation of every derived key. It is stored with each hash, so that keys can be rotated later.
const GENERATION: u32 = 1;

/// The keys of the hub, derived from one key file.
pub struct Vault {
    keys: KeyFile,
    pepper: hmac::Key,
    identity: hmac::Key,
    csrf: hmac::Key,
    login_state: hmac::Key,
    login_nonce: hmac::Key,
    request_id: hmac::Key,
    cursor_key: DataKey,
    opaque_id_key: Secret<[u8; 32]>,
    /// The number of sealed values that could not be opened.
    unopened_values: AtomicU64,
}

impl Vault {
    /// Derives all keys from the root keys of the key file.
    pub fn new(keys: KeyFile) -> Self {
        let mac = |label: &str| hmac::Key::new(hmac::HMAC_SHA256, keys.derive(label).expose());
        Self {
            pepper: mac("pepper/1"),
            identity: mac("identity"),
            csrf: mac("csrf/1"),
            login_state: mac("login-state/1"),
            login_nonce: mac("login-nonce/1"),
            request_id: mac("request-id/1"),
            cursor_key: DataKey::new(keys.derive("cursor/1")),
            opaque_id_key: keys.derive("ids"),
            unopened_values: AtomicU64::new(0),
            keys,
        }
    }

    /// Returns the hashes under which a token, code or client secret may be stored: one for each key generation.
    pub fn hash_all_generations(&self, token: &str) -> TokenHashes {
        TokenHashes::new(vec![self.hash(token)])
    }

    /// Returns the hash under which a token, code or client secret is stored.
    pub fn hash(&self, token: &str) -> TokenHash {
        TokenHash::for_token(GENERATION, &self.pepper, token.as_bytes())
    }

    /// Returns the hash under which a customer's identity at a provider is stored. `namespace` says where the identity comes
    /// from: another issuer or source may give the same identity to another customer.
    pub fn hash_identity(
        &self,
        provider: domain::id::ProviderId,
        namespace: &str,
        identity: &str,
    ) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.identity);
        // The provider is part of the hash: one customer at two providers must not be linkable.
        context.update(&provider.number().to_be_bytes());
        // The length separates the two texts.
        context.update(&namespace.len().to_be_bytes());
        context.update(namespace.as_bytes());
        context.update(identity.as_bytes());
        context.sign().as_ref().to_vec()
    }

    /// Returns the CSRF token of a form: an HMAC of `bound_to`, which contains the value of the browser's cookie.
    pub fn csrf_token(&self, bound_to: &str) -> String {
        use base64::Engine;
        let tag = hmac::sign(&self.csrf, bound_to.as_bytes());
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag)
    }

    /// Returns the `state` of a login at the provider: an HMAC of the request's id and of the hash of the browser's cookie. It is
    /// the same whenever the browser is sent to the provider, and cannot be derived from the database.
    pub fn login_state(&self, request: &AuthorizationRequest) -> Secret<String> {
        derive_login_value(&self.login_state, request)
    }

    /// Returns the `nonce` of a login at the provider, which its id token must contain (OpenID Connect Core §15.5.2). Like
    /// the `state`, it is derived from the request and the browser.
    pub fn login_nonce(&self, request: &AuthorizationRequest) -> Secret<String> {
        derive_login_value(&self.login_nonce, request)
    }

    /// Returns the key that seals paging cursors.
    pub const fn cursor_key(&self) -> &DataKey {
        &self.cursor_key
    }

    /// Returns the key that encrypts the ids of accounts and statements for recipients.
    pub const fn opaque_id_key(&self) -> &Secret<[u8; 32]> {
        &self.opaque_id_key
    }

    /// Returns the keys that sign access tokens.
    pub fn access_token_keys(&self, public_url: &str) -> AccessTokenKeys {
        AccessTokenKeys::new(public_url, ("at.flinks/1", &self.keys.derive("at.flinks/1")), &[])
    }

    /// Returns the key of the audit chains.
    pub fn audit_key(&self) -> AuditKey {
        AuditKey::new(GENERATION, self.keys.derive("audit/1").expose())
    }

    /// Returns the keys with which the store authenticates what it writes, and opens the lists of accounts.
    pub fn store_keys(self: &Arc<Self>) -> StoreKeys {
        let rows = RowAuthenticator::new(self.keys.derive("rows/1").expose());
        StoreKeys { audit: self.audit_key(), rows, accounts: self.account_list_opener() }
    }

    /// Returns an identifier of the key file that reveals nothing about the keys. A store contains it, so that a wrong
    /// key file is detected.
    pub fn fingerprint(&self) -> String {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.keys.derive("fingerprint").expose());
        let head = digest.as_ref()[..8].iter().fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
        format!("{head:016x}")
    }

    /// Creates a data key from random bytes. Returns the key, and a copy that is wrapped with the newest root key and bound to
    /// its owner and purpose.
    pub fn create_data_key(
        &self,
        random: Secret<[u8; 32]>,
        owner: SealOwner<'_>,
        purpose: SealPurpose,
    ) -> Result<(DataKey, Vec<u8>), UnsealError> {
        // The id of the root key is stored in front of the wrapped key. The data key can then still be unwrapped after
        // a new root key was added.
        let wrapped = self.keys.newest_wrapping_key().seal(&owner.bind(purpose), random.expose())?;
        Ok((DataKey::new(random), [&self.keys.newest_wrapping_key_id().to_be_bytes()[..], &wrapped].concat()))
    }

    /// Unwraps a data key. A key that was wrapped for another owner or purpose is rejected.
    pub fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        owner: SealOwner<'_>,
        purpose: SealPurpose,
    ) -> Result<DataKey, UnsealError> {
        self.try_unwrap(wrapped, &owner.bind(purpose)).inspect_err(|_| self.report_unopened(owner, purpose))
    }

    /// Seals a value under a key of its own. Returns the wrapped key and the sealed value.
    pub fn seal(
        &self,
        random: Secret<[u8; 32]>,
        owner: SealOwner<'_>,
        purpose: SealPurpose,
        plain: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), UnsealError> {
        let (key, wrapped) = self.create_data_key(random, owner, purpose)?;
        Ok((wrapped, key.seal(&owner.bind(purpose), plain)?))
    }

    /// Seals a value that is not used, so that the random generator of AWS-LC is ready for the first request. Its initialization
    /// takes about 50 ms.
    pub fn prepare_random_generator(&self) {
        let _ = self.keys.newest_wrapping_key().seal("", &[]);
    }

    /// Opens a text that [`Vault::seal`] has sealed for the owner and for one of the purposes.
    pub fn open_text(
        &self,
        owner: SealOwner<'_>,
        purposes: &[SealPurpose],
        (wrapped, sealed): (&[u8], &[u8]),
    ) -> Result<Secret<String>, UnsealError> {
        for purpose in purposes {
            let bound_to = owner.bind(*purpose);
            let opened = self.try_unwrap(wrapped, &bound_to).and_then(|key| key.open_text(&bound_to, sealed));
            if opened.is_ok() {
                return opened;
            }
        }
        if let Some(purpose) = purposes.first() {
            self.report_unopened(owner, *purpose);
        }
        Err(UnsealError)
    }

    fn try_unwrap(&self, wrapped: &[u8], bound_to: &str) -> Result<DataKey, UnsealError> {
        let (root_id, sealed) = wrapped.split_first_chunk::<4>().ok_or(UnsealError)?;
        let root = self.keys.wrapping_key(u32::from_be_bytes(*root_id)).ok_or(UnsealError)?;
        let opened = root.open(bound_to, sealed)?;
        let key: [u8; 32] = opened.expose().as_slice().try_into().map_err(|_| UnsealError)?;
        Ok(DataKey::new(Secret::new(key)))
    }

    /// Returns the number of sealed values that could not be opened since the start.
    pub fn unopened_values(&self) -> u64 {
        self.unopened_values.load(Ordering::Relaxed)
    }

    fn report_unopened(&self, owner: SealOwner<'_>, purpose: SealPurpose) {
        self.unopened_values.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            ?owner,
            ?purpose,
            "a sealed value was changed, or belongs to another row, and is not used"
        );
    }
}

/// Derives a value of a login from the id of its request and the hash of the browser's cookie.
fn derive_login_value(key: &hmac::Key, request: &AuthorizationRequest) -> Secret<String> {
    use base64::Engine;
    let message = [request.id.as_str().as_bytes(), b"\n", &request.cookie_hash.to_bytes()].concat();
    Secret::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hmac::sign(key, &message)))
}
