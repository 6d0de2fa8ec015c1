//! The verification of assertions with which a client authenticates (RFC 7523 §3).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

const MAX_ASSERTION_BYTES: usize = 4096;
const MAX_ASSERTION_TTL_SECS: i64 = 300;

/// The values that an assertion must have.
pub(super) struct ExpectedAssertion<'a> {
    pub(super) client_id: &'a str,
    /// The issuer identifier of the bank (FAPI 2.0 §5.3.2.1).
    pub(super) audience: &'a str,
    /// The URL of the client's keys.
    pub(super) keys_url: &'a str,
    pub(super) now_secs: i64,
}

/// The claims of an assertion. A list of audiences is rejected, as FAPI 2.0 requires.
#[derive(Deserialize)]
struct PresentedAssertion {
    iss: String,
    sub: String,
    aud: String,
    jti: String,
    exp: i64,
}

/// The state of a bank that verifies assertions.
pub(super) struct AssertionVerifier {
    http: reqwest::Client,
    /// The ids of accepted assertions, with the times at which they expire.
    used: Mutex<BTreeMap<String, i64>>,
}

impl AssertionVerifier {
    pub(super) fn new() -> io::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5));
        Ok(Self { http: http.build().map_err(io::Error::other)?, used: Mutex::default() })
    }

    /// Returns whether an assertion authenticates the client. Each one does so only once.
    pub(super) async fn verify(&self, assertion: &str, expected: &ExpectedAssertion<'_>) -> bool {
        let claims = self.authenticate(assertion, expected.keys_url).await;
        claims.is_some_and(|claims| {
            let now = expected.now_secs;
            claims.iss == expected.client_id
                && claims.sub == expected.client_id
                && claims.aud == expected.audience
                && (now + 1..=now + MAX_ASSERTION_TTL_SECS).contains(&claims.exp)
                && self.record_use(claims, now)
        })
    }

    /// Verifies the signature of an assertion and returns its claims.
    async fn authenticate(&self, assertion: &str, keys_url: &str) -> Option<PresentedAssertion> {
        if assertion.len() > MAX_ASSERTION_BYTES {
            return None;
        }
        let header = jsonwebtoken::decode_header(assertion).ok()?;
        if !matches!(header.alg, Algorithm::ES256 | Algorithm::PS256 | Algorithm::EdDSA) {
            return None;
        }
        let keys = self.request_keys(keys_url).await?;
        let key = DecodingKey::from_jwk(keys.find(header.kid.as_deref()?)?).ok()?;
        let mut validation = Validation::new(header.alg);
        // The library reads the system clock, and accepts a list of audiences. The caller checks the claims.
        (validation.validate_exp, validation.validate_aud) = (false, false);
        validation.set_required_spec_claims::<&str>(&[]);
        Some(jsonwebtoken::decode(assertion, &key, &validation).ok()?.claims)
    }

    /// Requests the keys of the client. They are not kept, so that a rotation takes effect immediately.
    async fn request_keys(&self, url: &str) -> Option<JwkSet> {
        let response = self.http.get(url).send().await.ok()?;
        response.error_for_status().ok()?.json().await.ok()
    }

    /// Returns false if the id of an assertion was used before.
    fn record_use(&self, claims: PresentedAssertion, now_secs: i64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, expires_at| now_secs < *expires_at);
        used.insert(claims.jti, claims.exp).is_none()
    }
}
