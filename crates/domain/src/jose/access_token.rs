//! The access token of the Flinks API: a JWT (RFC 9068), signed with a symmetric key that only the hub has.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::model::access_token::{Claims, Payload};
use crate::secret::Secret;
use crate::time::Timestamp;

/// Error for a text that is not a valid access token. Responses do not contain it, because an untrusted client could
/// exploit the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is malformed, or its signature, key id, type, issuer or audience is not one of the hub's.
    #[error("forged or malformed")]
    Forged,
    /// The hub issued the token, and it has expired.
    #[error("expired")]
    Expired,
}

const TYPE: &str = "at+jwt";
const MAX_TOKEN_BYTES: usize = 4096;

/// The length of an HS256 signature (RFC 7518 §3.2).
const SIGNATURE_BYTES: usize = 32;

/// The keys of access tokens. The current key signs; the current and the retired keys verify.
///
/// Only the hub issues and verifies these tokens, so a token must have exactly the header that the hub writes. The header
/// is compared as text and never parsed: it cannot select an algorithm, a type or a foreign key (RFC 8725 §3).
pub struct AccessTokenKeys {
    issuer: String,
    audience: String,
    current: TokenKey,
    retired: Vec<TokenKey>,
}

/// A key of access tokens, with the encoded header of the tokens that it signs.
struct TokenKey {
    header: String,
    key: hmac::Key,
}

impl TokenKey {
    fn new((id, key): (&str, &Secret<[u8; 32]>)) -> Self {
        let header = format!(r#"{{"alg":"HS256","kid":{},"typ":"{TYPE}"}}"#, json!(id));
        Self { header: URL_SAFE_NO_PAD.encode(header), key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()) }
    }
}

impl AccessTokenKeys {
    /// Creates the keys from the current key and the retired ones that are still in use, each with its key id.
    ///
    /// `public_url` is the issuer (`iss`). The audience (`aud`) is the URL of the FDX API, which is below `public_url`.
    pub fn new(
        public_url: &str,
        current: (&str, &Secret<[u8; 32]>),
        retired: &[(&str, &Secret<[u8; 32]>)],
    ) -> Self {
        Self {
            issuer: public_url.to_owned(),
            audience: format!("{public_url}/api/fdx/5"),
            current: TokenKey::new(current),
            retired: retired.iter().copied().map(TokenKey::new).collect(),
        }
    }

    /// Creates a token with these claims, signed with the current key.
    pub fn sign(&self, claims: &Claims) -> Result<Secret<String>, TokenError> {
        let payload = Payload::from_claims(claims, &self.issuer, &self.audience);
        let payload = serde_json::to_vec(&payload).map_err(|_| TokenError::Forged)?;
        let TokenKey { header, key } = &self.current;
        // The capacity is at least the length of the token, so that no copy of it remains in freed memory.
        let capacity = header.len() + (payload.len() + SIGNATURE_BYTES).div_ceil(3) * 4 + 8;
        let mut token = String::with_capacity(capacity);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = hmac::sign(key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }

    /// Verifies a token and returns its claims. Only the hub's own header, issuer and audience are accepted (RFC 8725
    /// §3).
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        // Untrusted input: a long text is rejected before it is decoded.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Forged);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Forged)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Forged)?;
        // The key id in the header only selects one of the hub's own keys (RFC 8725 §3.10).
        let mut keys = std::iter::once(&self.current).chain(&self.retired);
        let key = keys.find(|key| key.header == header).ok_or(TokenError::Forged)?;
        let mut decoded = [0; SIGNATURE_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut decoded).map_err(|_| TokenError::Forged)?;
        // The comparison takes the same time wherever the signatures differ.
        hmac::verify(&key.key, message.as_bytes(), &decoded[..length]).map_err(|_| TokenError::Forged)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Forged)?;
        let payload: Payload<'_> = serde_json::from_slice(&payload).map_err(|_| TokenError::Forged)?;
        // Two hubs could share a key file by mistake; their tokens still differ in issuer and audience.
        if payload.iss != self.issuer || payload.aud != self.audience {
            return Err(TokenError::Forged);
        }
        let claims = payload.into_claims().ok_or(TokenError::Forged)?;
        if now >= claims.expires_at { Err(TokenError::Expired) } else { Ok(claims) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access_token::TokenSubject;
    use crate::scope::ClientScope;
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};

    const URL: &str = "https://hub.example";
    const NOW: Timestamp = Timestamp::from_seconds(1_709_146_734);

    fn key(byte: u8) -> Secret<[u8; 32]> {
        Secret::new([byte; 32])
    }

    fn keys() -> AccessTokenKeys {
        AccessTokenKeys::new(URL, ("at.flinks/2", &key(2)), &[("at.flinks/1", &key(1))])
    }

    fn claims() -> Claims {
        Claims {
            id: "at_1".parse().unwrap(),
            client_id: "dc-7tf8".parse().unwrap(),
            issued_at: NOW,
            expires_at: Timestamp::from_seconds(1_709_147_034),
            subject: TokenSubject::Connection {
                id: "con_1".parse().unwrap(),
                sub: "bbc6eb83-60fa-4fb0-a6ea-9e2bd54e1071".into(),
                clusters: "ACCOUNT_BASIC".parse().unwrap(),
                generation: 4,
            },
        }
    }

    #[test]
    fn access_token_round_trips_claims_until_expiry() {
        let token = keys().sign(&claims()).unwrap();
        assert_eq!(keys().verify(token.expose(), NOW), Ok(claims()));
        assert_eq!(keys().verify(token.expose(), claims().expires_at), Err(TokenError::Expired));
    }

    #[test]
    fn rfc7519_access_token_is_readable_by_another_library() {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["https://hub.example/api/fdx/5"]);
        validation.validate_exp = false;
        let token = keys().sign(&claims()).unwrap();

        let key = DecodingKey::from_secret(key(2).expose());
        let decoded = jsonwebtoken::decode::<serde_json::Value>(token.expose(), &key, &validation).unwrap();

        assert_eq!(
            (decoded.header.typ.as_deref(), decoded.claims["jti"].as_str()),
            (Some(TYPE), Some("at_1"))
        );
    }

    #[test]
    fn client_token_round_trips_without_connection() {
        let subject = TokenSubject::Client { scope: ClientScope::ClientAdmin, generation: 2 };
        let token = keys().sign(&Claims { subject: subject.clone(), ..claims() }).unwrap();
        assert_eq!(keys().verify(token.expose(), NOW).unwrap().subject, subject);
    }

    #[test]
    fn access_token_payload_has_documented_claims() {
        let token = keys().sign(&claims()).unwrap();
        let part = token.expose().split('.').nth(1).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(part).unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["client_id"], "dc-7tf8");
        assert_eq!(payload["sub"], "bbc6eb83-60fa-4fb0-a6ea-9e2bd54e1071");
        assert_eq!(payload["exp"], 1_709_147_034);
        assert_eq!(payload["fdxConsentId"], "con_1");
        assert_eq!(payload["aud"], "https://hub.example/api/fdx/5");
    }

    #[test]
    fn retired_key_verifies_and_unknown_key_is_rejected() {
        let old = AccessTokenKeys::new(URL, ("at.flinks/1", &key(1)), &[]).sign(&claims()).unwrap();
        assert!(keys().verify(old.expose(), NOW).is_ok());
        let other = AccessTokenKeys::new(URL, ("at.flinks/3", &key(2)), &[]).sign(&claims()).unwrap();
        assert_eq!(keys().verify(other.expose(), NOW), Err(TokenError::Forged));
    }

    #[test]
    fn rfc8725_foreign_issuer_type_or_algorithm_is_rejected() {
        let other_issuer = AccessTokenKeys::new("https://other.example", ("at.flinks/2", &key(2)), &[]);
        let foreign = other_issuer.sign(&claims()).unwrap();
        let claims = claims();
        let payload = Payload::from_claims(&claims, URL, "https://hub.example/api/fdx/5");
        let signed = |header: &serde_json::Value| {
            let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
            let message = format!("{}.{}", encode(header.to_string()), encode(json!(payload).to_string()));
            let key = EncodingKey::from_secret(&[2; 32]);
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            format!("{message}.{signature}")
        };
        let header = |typ: &str, alg: &str| json!({"alg": alg, "kid": "at.flinks/2", "typ": typ});
        let mut with_crit = header("at+jwt", "HS256");
        with_crit["crit"] = json!([]);
        assert!(keys().verify(&signed(&header("at+jwt", "HS256")), NOW).is_ok());
        for forged in [
            foreign.expose().clone(),
            signed(&with_crit),
            format!("{}.", signed(&header("at+jwt", "HS256"))),
            signed(&header("JWT", "HS256")),
            signed(&header("at+jwt", "HS512")),
            "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.".to_owned(),
            "x".repeat(5_000),
            String::new(),
        ] {
            assert_eq!(keys().verify(&forged, NOW), Err(TokenError::Forged));
        }
    }
}
