//! The key that the tokens of a grant are bound to, and the proofs of its possession (DPoP, RFC 9449).

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use url::{Position, Url};

use crate::secret::Secret;
use crate::time::Timestamp;

/// The media type of a proof, which distinguishes it from every other JWT (RFC 9449 §4.2).
const PROOF_TYPE: &str = "dpop+jwt";

/// Error for bytes that are not a private key, or a key that cannot sign. It contains nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the DPoP key cannot be used")]
pub struct DpopKeyError;

/// The private key that the tokens of one grant are bound to. Its algorithm is ES256, which RFC 9449 §5.1 names as the one that
/// servers are most likely to support.
#[derive(Clone)]
pub struct DpopKey {
    secret: Secret<[u8; 32]>,
    private: EncodingKey,
    /// The header of each proof, which contains the public key.
    header: Header,
}

/// A request that the key proves to come from the hub.
#[derive(Clone, Copy, Debug)]
pub struct ProvedRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The URL to which the request is sent.
    pub url: &'a Url,
    /// The time at which the proof is signed.
    pub now: Timestamp,
    /// A random value, which no other proof has.
    pub id: &'a str,
    /// The access token in the request, if there is one.
    pub access_token: Option<&'a str>,
    /// The newest nonce of the server, if it has supplied one.
    pub nonce: Option<&'a str>,
}

#[derive(Serialize)]
struct ProofClaims<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl DpopKey {
    /// Creates a key whose private number is the random bytes.
    ///
    /// Zero, and numbers that are not below the order of the curve, are no private numbers and give an error. This concerns about
    /// one of four billion random values.
    pub fn from_random(random: Secret<[u8; 32]>) -> Result<Self, DpopKeyError> {
        let number = PrivateKey::from_private_key(&ECDH_P256, random.expose()).map_err(|_| DpopKeyError)?;
        let der: EcPrivateKeyRfc5915Der<'_> = number.as_der().map_err(|_| DpopKeyError)?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref());
        // The library that signs expects PKCS#8.
        let document = pair.map_err(|_| DpopKeyError)?.to_pkcs8v1().map_err(|_| DpopKeyError)?;
        let private = EncodingKey::from_ec_der(document.as_ref());
        let public = Jwk::from_encoding_key(&private, Algorithm::ES256).map_err(|_| DpopKeyError)?;
        let mut header = Header::new(Algorithm::ES256);
        (header.typ, header.jwk) = (Some(PROOF_TYPE.to_owned()), Some(public));
        Ok(Self { secret: random, private, header })
    }

    /// Parses the text of [`DpopKey::to_text`].
    pub fn parse(text: &str) -> Result<Self, DpopKeyError> {
        let decoded = Secret::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| DpopKeyError)?);
        let secret = decoded.expose().as_slice().try_into().map_err(|_| DpopKeyError)?;
        Self::from_random(Secret::new(secret))
    }

    /// Returns the private key as text of 43 characters, which must be stored sealed.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.secret.expose()))
    }

    /// Returns the thumbprint of the public key (RFC 7638), which names the key in authorization requests (RFC 9449 §10).
    pub fn thumbprint(&self) -> Result<String, DpopKeyError> {
        let public = self.header.jwk.as_ref().ok_or(DpopKeyError)?;
        public.thumbprint(ThumbprintHash::SHA256).map_err(|_| DpopKeyError)
    }

    /// Signs the proof for a request.
    pub fn sign(&self, request: &ProvedRequest<'_>) -> Result<Secret<String>, DpopKeyError> {
        let claims = ProofClaims {
            jti: request.id,
            htm: request.method,
            // RFC 9449 §4.2: without query and fragment.
            htu: &request.url[..Position::AfterPath],
            iat: request.now.seconds(),
            ath: request.access_token.map(hash_access_token),
            nonce: request.nonce,
        };
        let signed = jsonwebtoken::encode(&self.header, &claims, &self.private);
        signed.map(Secret::new).map_err(|_| DpopKeyError)
    }
}

/// Returns the hash of an access token in a proof (`ath`).
fn hash_access_token(token: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn create_key(byte: u8) -> DpopKey {
        DpopKey::from_random(Secret::new([byte; 32])).unwrap()
    }

    /// Signs a proof, and returns its verified claims.
    fn sign(key: &DpopKey, url: &str, access_token: Option<&str>, nonce: Option<&str>) -> Value {
        let url = Url::parse(url).unwrap();
        let request =
            ProvedRequest { method: "GET", url: &url, now: NOW, id: "only-once", access_token, nonce };
        let proof = key.sign(&request).unwrap();
        let header = jsonwebtoken::decode_header(proof.expose()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let public = DecodingKey::from_jwk(header.jwk.as_ref().unwrap()).unwrap();
        jsonwebtoken::decode::<Value>(proof.expose(), &public, &validation).unwrap().claims
    }

    #[test]
    fn rfc9449_s4_2_proof_names_request_and_token() {
        let key = create_key(7);

        let with_token =
            sign(&key, "https://bank.example:8443/fdx/accounts?limit=5#x", Some("token"), Some("n-1"));
        let without = sign(&key, "https://bank.example/token", None, None);

        // The SHA-256 hash of `token`.
        let ath = "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A";
        assert_eq!(
            with_token,
            json!({"jti": "only-once", "htm": "GET", "htu": "https://bank.example:8443/fdx/accounts",
                "iat": 1_800_000_000, "ath": ath, "nonce": "n-1"})
        );
        assert_eq!(
            without,
            json!({"jti": "only-once", "htm": "GET", "htu": "https://bank.example/token", "iat": 1_800_000_000})
        );
    }

    #[test]
    fn header_of_proof_contains_public_key_only() {
        let key = create_key(7);
        let url = Url::parse("https://bank.example/token").unwrap();
        let request = ProvedRequest {
            method: "POST",
            url: &url,
            now: NOW,
            id: "only-once",
            access_token: None,
            nonce: None,
        };

        let proof = key.sign(&request).unwrap();

        let header = URL_SAFE_NO_PAD.decode(proof.expose().split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
        let members: Vec<_> = header["jwk"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "crv", "kty", "x", "y"], "no private member");
        assert_eq!(header.as_object().unwrap().len(), 3, "{header}");
    }

    #[test]
    fn stored_key_is_the_same_key() {
        let (key, other) = (create_key(7), create_key(8));

        let stored = DpopKey::parse(key.to_text().expose()).unwrap();

        assert_eq!(key.to_text().expose().len(), 43);
        assert_eq!(stored.thumbprint(), key.thumbprint());
        assert_ne!(stored.thumbprint(), other.thumbprint());
    }

    #[test]
    fn bytes_that_are_no_key_are_rejected() {
        for number in [[0; 32], [255; 32]] {
            assert!(DpopKey::from_random(Secret::new(number)).is_err(), "{number:?}");
        }
        let text = create_key(7).to_text().expose().clone();
        for invalid in ["", "x", &text[1..], &format!("{text}A"), &format!("{text}="), &"A".repeat(43)] {
            assert!(DpopKey::parse(invalid).is_err(), "{invalid}");
        }
    }
}
