//! The id tokens of providers (OpenID Connect Core §2), from which the hub takes the identity of customers, and the keys that
//! verify them.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::secret::{Secret, constant_time_eq};
use crate::time::Timestamp;

/// The maximum size of a document with the keys of a provider.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;

const MAX_KEYS: usize = 100;
const MAX_ID_TOKEN_BYTES: usize = 16 * 1024;
/// The maximum length of an identity. OpenID Connect Core §2 limits `sub` to 255 characters, and other claims are not longer.
const MAX_IDENTITY_BYTES: usize = 1024;
/// The difference between the clocks of the hub and the provider that is tolerated.
const MAX_CLOCK_SKEW_SECONDS: i64 = 60;
/// The algorithms that a provider may use. All are asymmetric (RFC 8725 §3.1).
const ALGORITHMS: [Algorithm; 4] = [Algorithm::ES256, Algorithm::PS256, Algorithm::RS256, Algorithm::EdDSA];

/// Error for a document that contains no usable keys. It contains nothing of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// The document is not a JWK set.
    #[error("the document is not a JWK set")]
    Unreadable,
    /// The document has too many keys.
    #[error("the document has more than {MAX_KEYS} keys")]
    TooManyKeys,
}

/// The public keys of a provider that verify signatures.
pub struct ProviderKeys(Vec<ProviderKey>);

struct ProviderKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct KeySetDocument {
    keys: Vec<Value>,
}

impl ProviderKeys {
    /// Parses a JWK set (RFC 7517 §5). Keys of other types or for other uses are ignored.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let document: KeySetDocument =
            serde_json::from_slice(document).map_err(|_| KeySetError::Unreadable)?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        Ok(Self(document.keys.into_iter().filter_map(ProviderKey::parse).collect()))
    }

    /// Returns the keys with which a signature can be verified.
    fn find<'k>(
        &'k self,
        id: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'k DecodingKey> {
        let has_id = move |key: &&ProviderKey| id.is_none() || key.id.as_deref() == id;
        let fits = move |key: &&ProviderKey| key.algorithms.contains(&algorithm);
        self.0.iter().filter(has_id).filter(fits).map(|key| &key.key)
    }
}

impl ProviderKey {
    fn parse(value: Value) -> Option<Self> {
        let key: Jwk = serde_json::from_value(value).ok()?;
        if !matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        // The type of the key limits the algorithms, whatever the header of a token states.
        let possible: &[Algorithm] = match &key.algorithm {
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::OctetKeyPair(curve) if curve.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            AlgorithmParameters::RSA(_) => &[Algorithm::PS256, Algorithm::RS256],
            _ => return None,
        };
        let named = match key.common.key_algorithm {
            None => None,
            Some(KeyAlgorithm::ES256) => Some(Algorithm::ES256),
            Some(KeyAlgorithm::PS256) => Some(Algorithm::PS256),
            Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
            Some(KeyAlgorithm::EdDSA) => Some(Algorithm::EdDSA),
            Some(_) => return None,
        };
        let is_allowed = |algorithm: &&Algorithm| named.is_none_or(|named| named == **algorithm);
        let algorithms = possible.iter().filter(is_allowed).copied().collect();
        Some(Self { algorithms, key: DecodingKey::from_jwk(&key).ok()?, id: key.common.key_id })
    }
}

/// The reason why an id token is not accepted. It contains nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// The token is larger than the limit.
    #[error("the id_token is too large")]
    TooLarge,
    /// The token is not signed, its algorithm is not allowed, or it is no JWT.
    #[error("the id_token is not signed by an allowed algorithm, or is malformed")]
    NotSigned,
    /// The metadata of the issuer name other algorithms.
    #[error("the id_token is signed by an algorithm that the metadata of the issuer do not name")]
    OtherAlgorithm,
    /// The provider's keys contain no key that the token names, or that fits its algorithm.
    #[error("the provider publishes no key for the signature of the id_token")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature of the id_token is wrong")]
    Forged,
    /// The token is that of another issuer.
    #[error("the id_token is that of another issuer")]
    OtherIssuer,
    /// The token is meant for another client.
    #[error("the id_token is meant for another client")]
    OtherAudience,
    /// The token has expired.
    #[error("the id_token has expired")]
    Expired,
    /// The token was issued in the future, or states no time.
    #[error("the id_token states no valid time")]
    InvalidTime,
    /// The token belongs to another login.
    #[error("the id_token belongs to another login")]
    OtherNonce,
    /// The claim that identifies the customer is missing or is not a short text.
    #[error("the id_token has no usable claim with the identity")]
    NoIdentity,
}

/// The values that an id token must have.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedIdToken<'a> {
    /// The issuer identifier of the provider.
    pub issuer: &'a str,
    /// The id of the hub's client at the provider.
    pub client_id: &'a str,
    /// The value that the hub sent with the authorization request. Absent if the token belongs to no login of a browser.
    pub nonce: Option<&'a str>,
    /// The claim that identifies the customer.
    pub claim: &'a str,
    /// The algorithms that the metadata of the issuer name (OpenID Connect Discovery §3); empty if they name none.
    pub announced_algorithms: &'a [String],
    /// The current time.
    pub now: Timestamp,
}

impl ExpectedIdToken<'_> {
    /// Verifies an id token (OpenID Connect Core §3.1.3.7) and returns the identity of the customer.
    pub fn verify(&self, token: &str, keys: &ProviderKeys) -> Result<Secret<String>, IdTokenError> {
        // A long text is rejected before it is decoded.
        if token.len() > MAX_ID_TOKEN_BYTES {
            return Err(IdTokenError::TooLarge);
        }
        // The library knows no algorithm `none`, so an unsigned token has no readable header.
        let header = jsonwebtoken::decode_header(token).map_err(|_| IdTokenError::NotSigned)?;
        // RFC 8725 §3.11: a token of another type, such as a logout token, is not an id token.
        let is_jwt = header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        // An extension in `crit` that is not understood makes a token invalid (RFC 7515 §4.1.11).
        if !ALGORITHMS.contains(&header.alg) || !is_jwt || header.crit.is_some() {
            return Err(IdTokenError::NotSigned);
        }
        let is_announced = |name: &String| name.parse() == Ok(header.alg);
        if !self.announced_algorithms.is_empty() && !self.announced_algorithms.iter().any(is_announced) {
            return Err(IdTokenError::OtherAlgorithm);
        }
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        // The claims are checked below, with the clock of the hub and separate reasons.
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let mut error = IdTokenError::UnknownKey;
        for key in keys.find(header.kid.as_deref(), header.alg) {
            match jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation) {
                Ok(data) => return self.check_claims(&data.claims),
                // Without a key id, the provider may have signed with a key that the hub does not know yet.
                Err(_) if header.kid.is_none() => {}
                Err(_) => error = IdTokenError::Forged,
            }
        }
        Err(error)
    }

    fn check_claims(&self, claims: &Map<String, Value>) -> Result<Secret<String>, IdTokenError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(self.issuer) {
            return Err(IdTokenError::OtherIssuer);
        }
        self.check_audience(claims)?;
        let time = |name: &str| parse_numeric_date(claims.get(name)?);
        let (Some(expires_at), Some(issued_at)) = (time("exp"), time("iat")) else {
            return Err(IdTokenError::InvalidTime);
        };
        let now = self.now.seconds();
        if expires_at <= now - MAX_CLOCK_SKEW_SECONDS {
            return Err(IdTokenError::Expired);
        }
        if issued_at > now + MAX_CLOCK_SKEW_SECONDS {
            return Err(IdTokenError::InvalidTime);
        }
        if let Some(expected) = self.nonce {
            let nonce = text("nonce").unwrap_or_default();
            if !constant_time_eq(nonce.as_bytes(), expected.as_bytes()) {
                return Err(IdTokenError::OtherNonce);
            }
        }
        let identity = match claims.get(self.claim) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(IdTokenError::NoIdentity),
        };
        let is_usable = (1..=MAX_IDENTITY_BYTES).contains(&identity.len());
        if is_usable { Ok(Secret::new(identity)) } else { Err(IdTokenError::NoIdentity) }
    }

    /// Checks `aud` and `azp` (OpenID Connect Core §3.1.3.7, 3 to 5).
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), IdTokenError> {
        let audiences: Vec<&str> = match claims.get("aud") {
            Some(Value::String(audience)) => vec![audience],
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let authorized = claims.get("azp");
        let is_authorized = authorized.is_none_or(|party| party.as_str() == Some(self.client_id));
        let is_single = audiences == [self.client_id];
        // A token for several parties must name the hub as the one that requested it.
        if audiences.contains(&self.client_id) && is_authorized && (is_single || authorized.is_some()) {
            Ok(())
        } else {
            Err(IdTokenError::OtherAudience)
        }
    }
}

/// Parses a time in seconds (RFC 7519 §2), which may have a fraction.
fn parse_numeric_date(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    text.split('.').next()?.parse().ok()
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
