//! The keys with which the hub authenticates at a provider (`private_key_jwt`), and the assertions that they sign.

use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pkcs8::{PrivateKeyInfo, SecretDocument};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::provider::SigningAlgorithm;
use crate::secret::Secret;
use crate::time::Timestamp;

const END_OF_KEY: &str = "-----END PRIVATE KEY-----";
const MAX_KEYS: usize = 10;
/// Time for which an assertion is valid. The provider needs to remember its `jti` for no longer.
const VALIDITY_SECONDS: i64 = 60;
/// Time for which a request object is valid. The browser may be slow to follow the redirect.
const REQUEST_VALIDITY_SECONDS: i64 = 300;

/// Error for text that contains no usable keys. It contains nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionKeyError {
    /// The text is not a private key in the form PKCS#8.
    #[error("expected private keys in PEM form (PKCS#8), as `openssl genpkey` writes them")]
    NotPkcs8,
    /// The key has another type or size than the algorithm requires.
    #[error("the key does not fit auth_algorithm = \"{0}\"")]
    OtherAlgorithm(&'static str),
    /// The text contains too many keys.
    #[error("expected at most 10 keys")]
    TooMany,
    /// The key cannot sign.
    #[error("the key cannot sign")]
    Unusable,
}

/// The private keys of the hub at a provider. The first one signs. The public part of each is published, so that a provider
/// knows the next key before it signs, and the previous key until its last assertion has expired.
pub struct AssertionKeys {
    signing: AssertionKey,
    others: Vec<AssertionKey>,
}

struct AssertionKey {
    header: Header,
    private: EncodingKey,
    public: Jwk,
}

/// The content of an assertion that authenticates the hub (RFC 7523 §3).
#[derive(Clone, Copy, Debug)]
pub struct ClientAssertion<'a> {
    /// The id of the hub's client at the provider.
    pub client_id: &'a str,
    /// The issuer identifier of the provider, or its token endpoint.
    pub audience: &'a str,
    /// The time at which the assertion is signed.
    pub now: Timestamp,
    /// A random value, which no other assertion has.
    pub id: &'a str,
}

#[derive(Serialize)]
struct AssertionClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: i64,
    exp: i64,
}

impl AssertionKeys {
    /// Reads one or more private keys in PEM form. The first one signs.
    pub fn parse(pem: &str, algorithm: SigningAlgorithm) -> Result<Self, AssertionKeyError> {
        let blocks = pem.split_inclusive(END_OF_KEY).filter(|block| !block.trim().is_empty());
        let mut keys = Vec::new();
        for block in blocks {
            if keys.len() == MAX_KEYS {
                return Err(AssertionKeyError::TooMany);
            }
            keys.push(AssertionKey::parse(block.trim_start(), algorithm)?);
        }
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or(AssertionKeyError::NotPkcs8)?;
        Ok(Self { signing, others: keys.collect() })
    }

    /// Returns the public part of each key, with its key id (RFC 7638). The first one is that of the signing key.
    pub fn public_keys(&self) -> impl Iterator<Item = &Jwk> {
        std::iter::once(&self.signing).chain(&self.others).map(|key| &key.public)
    }

    /// Signs the parameters of an authorization request as an object (RFC 9101 §4). `audience` is the issuer identifier of the
    /// provider.
    pub fn sign_request_object(
        &self,
        parameters: &[(String, String)],
        audience: &str,
        now: Timestamp,
        id: &str,
    ) -> Result<Secret<String>, AssertionKeyError> {
        let (issued_at, text) = (now.seconds(), |text: &str| Value::String(text.to_owned()));
        let mut claims: Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.clone(), to_claim(name, value))).collect();
        let client_id = claims.get("client_id").cloned().unwrap_or_default();
        claims.extend([
            ("iss".to_owned(), client_id),
            ("aud".to_owned(), text(audience)),
            ("jti".to_owned(), text(id)),
            ("iat".to_owned(), issued_at.into()),
            ("nbf".to_owned(), issued_at.into()),
            ("exp".to_owned(), (issued_at + REQUEST_VALIDITY_SECONDS).into()),
        ]);
        let AssertionKey { header, private, .. } = &self.signing;
        // RFC 9101 §10.8: the type prevents that another JWT is taken for a request.
        let header = Header { typ: Some("oauth-authz-req+jwt".to_owned()), ..header.clone() };
        let signed = jsonwebtoken::encode(&header, &claims, private);
        signed.map(Secret::new).map_err(|_| AssertionKeyError::Unusable)
    }

    /// Signs an assertion. FAPI 2 requires a single audience: with several, one provider could use the assertion at another.
    pub fn sign(&self, assertion: &ClientAssertion<'_>) -> Result<Secret<String>, AssertionKeyError> {
        let issued_at = assertion.now.seconds();
        let claims = AssertionClaims {
            iss: assertion.client_id,
            sub: assertion.client_id,
            aud: assertion.audience,
            jti: assertion.id,
            iat: issued_at,
            exp: issued_at + VALIDITY_SECONDS,
        };
        let AssertionKey { header, private, .. } = &self.signing;
        let signed = jsonwebtoken::encode(header, &claims, private);
        signed.map(Secret::new).map_err(|_| AssertionKeyError::Unusable)
    }
}

/// Returns the claim for a parameter. Those that are JSON keep their structure (RFC 9101 §4, RFC 9396 §2, OpenID Connect Core
/// §5.5).
fn to_claim(name: &str, value: &str) -> Value {
    let parsed = match name {
        "authorization_details" | "claims" => serde_json::from_str(value).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(value.to_owned()))
}

impl AssertionKey {
    fn parse(pem: &str, algorithm: SigningAlgorithm) -> Result<Self, AssertionKeyError> {
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| AssertionKeyError::NotPkcs8)?;
        if label != "PRIVATE KEY" {
            return Err(AssertionKeyError::NotPkcs8);
        }
        let info = PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| AssertionKeyError::NotPkcs8)?;
        let jose = algorithm.to_jose();
        let private = match jose {
            // The library expects the inner form of RSA keys only.
            Algorithm::PS256 => EncodingKey::from_rsa_der(info.private_key),
            Algorithm::EdDSA => EncodingKey::from_ed_der(document.as_bytes()),
            _ => EncodingKey::from_ec_der(document.as_bytes()),
        };
        let misfit = |_| AssertionKeyError::OtherAlgorithm(algorithm.as_str());
        let mut public = Jwk::from_encoding_key(&private, jose).map_err(misfit)?;
        let key_id = public.thumbprint(ThumbprintHash::SHA256).map_err(misfit)?;
        public.common.key_id = Some(key_id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let mut header = Header::new(jose);
        header.kid = Some(key_id);
        Ok(Self { header, private, public })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::LazyLock;

    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    /// A private key of each algorithm. They are shared, because generating a key for RSA takes a tenth of a second.
    static KEYS: LazyLock<[(SigningAlgorithm, String); 3]> = LazyLock::new(generate_keys);

    fn generate_keys() -> [(SigningAlgorithm, String); 3] {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        use aws_lc_rs::rsa::{KeyPair, KeySize};
        use aws_lc_rs::signature::Ed25519KeyPair;
        let rsa = AsDer::<Pkcs8V1Der<'_>>::as_der(&KeyPair::generate(KeySize::Rsa2048).unwrap()).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        [
            (SigningAlgorithm::Es256, generate_es256_key()),
            (SigningAlgorithm::Ps256, to_pem(rsa.as_ref())),
            (SigningAlgorithm::EdDsa, to_pem(ed.as_ref())),
        ]
    }

    fn generate_es256_key() -> String {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        to_pem(pair.to_pkcs8v1().unwrap().as_ref())
    }

    fn to_pem(der: &[u8]) -> String {
        let document = SecretDocument::try_from(der).unwrap();
        document.to_pem("PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string()
    }

    const ASSERTION: ClientAssertion<'static> = ClientAssertion {
        client_id: "bowline",
        audience: "https://bank.example",
        now: Timestamp::from_seconds(1_800_000_000),
        id: "only-once",
    };

    #[test]
    fn rfc7523_s3_assertion_of_each_algorithm_verifies() {
        for (algorithm, pem) in &*KEYS {
            let keys = AssertionKeys::parse(pem, *algorithm).unwrap();
            let public = keys.public_keys().next().unwrap();

            let signed = keys.sign(&ASSERTION).unwrap();

            let header = jsonwebtoken::decode_header(signed.expose()).unwrap();
            assert_eq!((header.alg, &header.kid), (algorithm.to_jose(), &public.common.key_id));
            let mut validation = Validation::new(header.alg);
            validation.set_audience(&[ASSERTION.audience]);
            validation.validate_exp = false;
            let key = DecodingKey::from_jwk(public).unwrap();
            let claims = jsonwebtoken::decode::<Value>(signed.expose(), &key, &validation).unwrap().claims;
            let expected = serde_json::json!({"iss": "bowline", "sub": "bowline", "aud": "https://bank.example",
                "jti": "only-once", "iat": 1_800_000_000, "exp": 1_800_000_060});
            assert_eq!(claims, expected);
        }
    }

    #[test]
    fn rfc9101_s4_request_object_contains_parameters() {
        let keys = AssertionKeys::parse(&generate_es256_key(), SigningAlgorithm::Es256).unwrap();
        let parameters = [("client_id", "bowline"), ("scope", "openid"), ("authorization_details", "[{}]")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));

        let signed =
            keys.sign_request_object(&parameters, ASSERTION.audience, ASSERTION.now, "only-once").unwrap();

        let header = jsonwebtoken::decode_header(signed.expose()).unwrap();
        assert_eq!(header.typ.as_deref(), Some("oauth-authz-req+jwt"));
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[ASSERTION.audience]);
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(keys.public_keys().next().unwrap()).unwrap();
        let claims = jsonwebtoken::decode::<Value>(signed.expose(), &key, &validation).unwrap().claims;
        let expected = serde_json::json!({"iss": "bowline", "client_id": "bowline", "aud": "https://bank.example",
            "scope": "openid", "authorization_details": [{}], "jti": "only-once", "iat": 1_800_000_000,
            "nbf": 1_800_000_000, "exp": 1_800_000_300});
        assert_eq!(claims, expected);
    }

    #[test]
    fn first_key_signs_and_each_key_is_published() {
        let (first, second) = (generate_es256_key(), generate_es256_key());
        let parse = |pem: &str| AssertionKeys::parse(pem, SigningAlgorithm::Es256).unwrap();
        let key_id = |pem: &str| {
            let keys = parse(pem);
            keys.public_keys().next().unwrap().common.key_id.clone()
        };
        let keys = parse(&format!("{first}\n{second}\n"));

        let published: Vec<Value> =
            keys.public_keys().map(|key| serde_json::to_value(key).unwrap()).collect();
        let signed = keys.sign(&ASSERTION).unwrap();

        let kid = jsonwebtoken::decode_header(signed.expose()).unwrap().kid;
        assert_eq!(kid, key_id(&first), "the first key must sign");
        let ids: BTreeSet<_> = published.iter().map(|key| key["kid"].as_str().map(str::to_owned)).collect();
        assert_eq!(ids, BTreeSet::from([key_id(&first), key_id(&second)]));
        for key in &published {
            let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        }
    }

    #[test]
    fn unusable_key_is_rejected_with_reason() {
        let keys = &*KEYS;
        let error = |pem: &str, algorithm| AssertionKeys::parse(pem, algorithm).err();

        for (owner, pem) in keys {
            for (algorithm, _) in keys.iter().filter(|(algorithm, _)| algorithm != owner) {
                let expected = AssertionKeyError::OtherAlgorithm(algorithm.as_str());
                assert_eq!(error(pem, *algorithm), Some(expected), "{owner:?} as {algorithm:?}");
            }
        }
        for text in ["", "\n", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert_eq!(error(text, SigningAlgorithm::Es256), Some(AssertionKeyError::NotPkcs8), "{text}");
        }
        let es256 = generate_es256_key();
        let sec1 = es256.replace("PRIVATE KEY", "EC PRIVATE KEY");
        assert_eq!(error(&sec1, SigningAlgorithm::Es256), Some(AssertionKeyError::NotPkcs8));
        assert_eq!(error(&es256.repeat(11), SigningAlgorithm::Es256), Some(AssertionKeyError::TooMany));
    }

    #[test]
    fn key_file_has_at_most_ten_keys() {
        let keys = AssertionKeys::parse(&generate_es256_key().repeat(10), SigningAlgorithm::Es256).unwrap();

        assert_eq!(keys.public_keys().count(), 10);
    }
}
