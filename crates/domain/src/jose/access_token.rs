//! The access token of the Flinks API: a JWT (RFC 9068), signed with a symmetric key that only the hub has.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};

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

/// The keys of access tokens. The current key signs; the current and the retired keys verify.
pub struct AccessTokenKeys {
    issuer: String,
    audience: String,
    header: Header,
    signing_key: EncodingKey,
    verifying_keys: Vec<(String, DecodingKey)>,
    validation: Validation,
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
        let audience = format!("{public_url}/api/fdx/5");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[public_url]);
        validation.set_audience(&[&audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // The library reads the system clock for `exp`. The hub checks it below, with the time of the request.
        validation.validate_exp = false;
        validation.validate_aud = true;
        let keys = std::iter::once(&current).chain(retired);
        let verifying_keys =
            keys.map(|(id, key)| ((*id).to_owned(), DecodingKey::from_secret(key.expose()))).collect();
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(current.0.to_owned());
        let signing_key = EncodingKey::from_secret(current.1.expose());
        Self { issuer: public_url.to_owned(), audience, header, signing_key, verifying_keys, validation }
    }

    /// Creates a token with these claims, signed with the current key.
    pub fn sign(&self, claims: &Claims) -> Result<Secret<String>, TokenError> {
        let payload = Payload::from_claims(claims, &self.issuer, &self.audience);
        jsonwebtoken::encode(&self.header, &payload, &self.signing_key)
            .map(Secret::new)
            .map_err(|_| TokenError::Forged)
    }

    /// Verifies a token and returns its claims. Only HS256, the type `at+jwt` and the hub's own issuer and audience are
    /// accepted (RFC 8725 §3).
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let claims = self.authenticate(token)?;
        if now >= claims.expires_at { Err(TokenError::Expired) } else { Ok(claims) }
    }

    /// Verifies like [`verify`](Self::verify) that the hub has issued a token, which may have expired, and returns its claims.
    /// They grant nothing: they only identify the connection that a client revokes.
    pub fn authenticate(&self, token: &str) -> Result<Claims, TokenError> {
        // Untrusted input: a long text is rejected before it is decoded.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Forged);
        }
        // The keys are the hub's own, whatever the key id of the token is (RFC 8725 §3.10). Nearly every token has the signature of
        // the first one, so its header is parsed once. Signatures of other keys are few: only retired keys have made them.
        let decoded = self.verifying_keys.iter().find_map(|(id, key)| {
            let decoded = jsonwebtoken::decode::<Payload>(token, key, &self.validation).ok()?;
            Some((id, decoded))
        });
        let (key_id, TokenData { header, claims }) = decoded.ok_or(TokenError::Forged)?;
        // An extension in `crit` that is not understood makes a token invalid (RFC 7515 §4.1.11); the hub writes none.
        let is_expected = header.typ.as_deref() == Some(TYPE) && header.crit.is_none();
        if !is_expected || header.kid.as_ref() != Some(key_id) {
            return Err(TokenError::Forged);
        }
        claims.into_claims().ok_or(TokenError::Forged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access_token::TokenSubject;
    use crate::scope::ClientScope;

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
        assert_eq!(keys().authenticate(token.expose()), Ok(claims()));
    }

    #[test]
    fn client_token_round_trips_without_connection() {
        let subject = TokenSubject::Client { scope: ClientScope::ClientAdmin, generation: 2 };
        let token = keys().sign(&Claims { subject: subject.clone(), ..claims() }).unwrap();
        assert_eq!(keys().verify(token.expose(), NOW).unwrap().subject, subject);
    }

    #[test]
    fn access_token_payload_has_documented_claims() {
        use base64::Engine as _;
        let token = keys().sign(&claims()).unwrap();
        let part = token.expose().split('.').nth(1).unwrap();
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
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
        let payload = Payload::from_claims(&claims(), URL, "https://hub.example/api/fdx/5");
        let signed = |header: &Header| {
            jsonwebtoken::encode(header, &payload, &EncodingKey::from_secret(&[2; 32])).unwrap()
        };
        let header = |typ: &str, algorithm| {
            let mut header = Header::new(algorithm);
            header.typ = Some(typ.into());
            header.kid = Some("at.flinks/2".into());
            header
        };
        assert!(keys().verify(&signed(&header("at+jwt", Algorithm::HS256)), NOW).is_ok());
        for forged in [
            foreign.expose().clone(),
            signed(&header("JWT", Algorithm::HS256)),
            signed(&header("at+jwt", Algorithm::HS512)),
            "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.".to_owned(),
            "x".repeat(5_000),
            String::new(),
        ] {
            assert_eq!(keys().verify(&forged, NOW), Err(TokenError::Forged));
            assert_eq!(keys().authenticate(&forged), Err(TokenError::Forged));
        }
    }

    /// Signs a valid token of exactly this length. The length of a token grows in steps, so several key ids are tried.
    fn sign_token_of_length(length: usize) -> (AccessTokenKeys, Secret<String>) {
        for kid in ["k", "kk", "kkk", "kkkk"] {
            let keys = AccessTokenKeys::new(URL, (kid, &key(2)), &[]);
            for sub_length in length / 2..length {
                let mut claims = claims();
                if let TokenSubject::Connection { sub, .. } = &mut claims.subject {
                    *sub = "s".repeat(sub_length);
                }
                let token = keys.sign(&claims).unwrap();
                if token.expose().len() >= length {
                    if token.expose().len() == length {
                        return (keys, token);
                    }
                    break;
                }
            }
        }
        panic!("no token has {length} bytes");
    }

    #[test]
    fn access_token_is_read_up_to_maximum_length() {
        let (keys, longest) = sign_token_of_length(MAX_TOKEN_BYTES);
        assert!(keys.authenticate(longest.expose()).is_ok());

        let (keys, too_long) = sign_token_of_length(MAX_TOKEN_BYTES + 1);
        assert_eq!(keys.authenticate(too_long.expose()), Err(TokenError::Forged));
    }

    #[test]
    fn rfc7515_s4_1_11_token_with_critical_extension_is_rejected() {
        let payload = Payload::from_claims(&claims(), URL, "https://hub.example/api/fdx/5");
        let mut header = Header::new(Algorithm::HS256);
        (header.typ, header.kid) = (Some(TYPE.to_owned()), Some("at.flinks/2".to_owned()));
        header.crit = Some(vec!["exp".to_owned()]);

        let token = jsonwebtoken::encode(&header, &payload, &EncodingKey::from_secret(&[2; 32])).unwrap();

        assert_eq!(keys().verify(&token, NOW), Err(TokenError::Forged));
    }

    #[test]
    fn token_without_distinct_subject_is_rejected() {
        let sign = |change: fn(&mut Payload)| {
            let mut payload = Payload::from_claims(&claims(), URL, "https://hub.example/api/fdx/5");
            change(&mut payload);
            let mut header = Header::new(Algorithm::HS256);
            (header.typ, header.kid) = (Some(TYPE.to_owned()), Some("at.flinks/2".to_owned()));
            jsonwebtoken::encode(&header, &payload, &EncodingKey::from_secret(&[2; 32])).unwrap()
        };
        assert!(keys().verify(&sign(|_| {}), NOW).is_ok());

        for token in [
            sign(|payload| payload.credential_generation = Some(1)),
            sign(|payload| payload.generation = None),
            sign(|payload| payload.connection_id = None),
            sign(|payload| (payload.connection_id, payload.generation) = (None, None)),
        ] {
            assert_eq!(keys().verify(&token, NOW), Err(TokenError::Forged));
        }
    }
}
