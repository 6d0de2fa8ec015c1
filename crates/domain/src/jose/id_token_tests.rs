use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const EXPECTED: ExpectedIdToken<'static> = ExpectedIdToken {
    issuer: "https://bank.example",
    client_id: "bowline",
    nonce: Some("n-1"),
    claim: "sub",
    announced_algorithms: &[],
    now: NOW,
};

/// The private key of a provider with RSA. It is shared, because generating it takes a tenth of a second.
static RSA_KEY: LazyLock<EncodingKey> = LazyLock::new(|| {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let info = pkcs8::PrivateKeyInfo::try_from(der.as_ref()).unwrap();
    EncodingKey::from_rsa_der(info.private_key)
});

/// A key of a provider.
struct SigningKey {
    algorithm: Algorithm,
    private: EncodingKey,
}

impl SigningKey {
    fn new(algorithm: Algorithm) -> Self {
        let private = match algorithm {
            Algorithm::EdDSA => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref())
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
            }
            _ => RSA_KEY.clone(),
        };
        Self { algorithm, private }
    }

    fn publish(&self, id: &str) -> Value {
        let mut key = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        key.common.key_id = Some(id.to_owned());
        serde_json::to_value(key).unwrap()
    }

    fn sign_as(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.private).unwrap()
    }

    fn sign(&self, id: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(id.to_owned());
        self.sign_as(&header, claims)
    }
}

fn claims() -> Value {
    json!({"iss": EXPECTED.issuer, "aud": "bowline", "sub": "alice", "nonce": "n-1",
        "iat": NOW.seconds(), "exp": NOW.seconds() + 300})
}

fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn key_set(keys: &[Value]) -> ProviderKeys {
    ProviderKeys::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn verify(token: &str, keys: &ProviderKeys) -> Result<String, IdTokenError> {
    EXPECTED.verify(token, keys).map(|identity| identity.expose().clone())
}

#[test]
fn id_token_of_each_allowed_algorithm_verifies() {
    for algorithm in ALGORITHMS {
        let key = SigningKey::new(algorithm);

        let verified = verify(&key.sign("1", &claims()), &key_set(&[key.publish("1")]));

        assert_eq!(verified, Ok("alice".to_owned()), "{algorithm:?}");
    }
}

#[test]
fn oidc_s3_1_3_7_claims_of_id_token_are_checked() {
    let key = SigningKey::new(Algorithm::ES256);
    let keys = key_set(&[key.publish("1")]);
    let now = NOW.seconds();
    for (changes, error) in [
        (json!({"iss": "https://other.example"}), IdTokenError::OtherIssuer),
        (json!({"iss": null}), IdTokenError::OtherIssuer),
        (json!({"aud": "other"}), IdTokenError::OtherAudience),
        (json!({"aud": []}), IdTokenError::OtherAudience),
        (json!({"aud": "other", "azp": "bowline"}), IdTokenError::OtherAudience),
        (json!({"aud": ["bowline", "other"]}), IdTokenError::OtherAudience),
        (json!({"azp": "other"}), IdTokenError::OtherAudience),
        (json!({"exp": now - 60}), IdTokenError::Expired),
        (json!({"exp": null}), IdTokenError::InvalidTime),
        (json!({"iat": null}), IdTokenError::InvalidTime),
        (json!({"iat": now + 61}), IdTokenError::InvalidTime),
        (json!({"nonce": "n-2"}), IdTokenError::OtherNonce),
        (json!({"nonce": null}), IdTokenError::OtherNonce),
        (json!({"sub": null}), IdTokenError::NoIdentity),
        (json!({"sub": ""}), IdTokenError::NoIdentity),
        (json!({"sub": "x".repeat(1025)}), IdTokenError::NoIdentity),
    ] {
        let token = key.sign("1", &claims_with(&changes));
        assert_eq!(verify(&token, &keys), Err(error), "{:.80}", changes.to_string());
    }
    for changes in [
        json!({"aud": ["bowline"]}),
        json!({"aud": ["bowline", "other"], "azp": "bowline"}),
        json!({"exp": now - 59, "iat": now + 60}),
        json!({"exp": 2e9}),
    ] {
        assert!(verify(&key.sign("1", &claims_with(&changes)), &keys).is_ok(), "{changes}");
    }
    let other = ExpectedIdToken { claim: "customer", nonce: None, ..EXPECTED };
    let token = key.sign("1", &claims_with(&json!({"customer": 7})));
    assert_eq!(other.verify(&token, &keys).unwrap().expose(), "7");
}

#[test]
fn rfc8725_unsigned_or_foreign_id_token_is_rejected() {
    let (key, other) = (SigningKey::new(Algorithm::ES256), SigningKey::new(Algorithm::ES256));
    let keys = key_set(&[key.publish("1")]);
    // The header is {"alg":"none"}.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", key.sign("1", &claims()).split('.').nth(1).unwrap());
    // An attacker signs with the published key as if it were a shared secret.
    let secret = EncodingKey::from_secret(key.publish("1").to_string().as_bytes());
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("1".to_owned());
    let symmetric = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    let mut logout = Header::new(Algorithm::ES256);
    (logout.kid, logout.typ) = (Some("1".to_owned()), Some("logout+jwt".to_owned()));

    assert_eq!(verify(&unsigned, &keys), Err(IdTokenError::NotSigned));
    assert_eq!(verify(&symmetric, &keys), Err(IdTokenError::NotSigned));
    assert_eq!(verify(&key.sign_as(&logout, &claims()), &keys), Err(IdTokenError::NotSigned));
    assert_eq!(verify(&other.sign("1", &claims()), &keys), Err(IdTokenError::Forged));
    assert_eq!(verify(&other.sign("2", &claims()), &keys), Err(IdTokenError::UnknownKey));
    let without_id = other.sign_as(&Header::new(Algorithm::ES256), &claims());
    assert_eq!(verify(&without_id, &keys), Err(IdTokenError::UnknownKey));
    assert_eq!(verify("", &keys), Err(IdTokenError::NotSigned));
}

#[test]
fn id_token_longer_than_16_kib_is_too_large() {
    let keys = key_set(&[]);

    assert_eq!(verify(&"x".repeat(16_384), &keys), Err(IdTokenError::NotSigned));
    assert_eq!(verify(&"x".repeat(16_385), &keys), Err(IdTokenError::TooLarge));
}

#[test]
fn algorithm_that_metadata_do_not_name_is_rejected() {
    let key = SigningKey::new(Algorithm::ES256);
    let keys = ProviderKeys::parse(json!({"keys": [key.publish("a")]}).to_string().as_bytes()).unwrap();
    let verify = |names: &[&str]| {
        let announced: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let expected = ExpectedIdToken { announced_algorithms: &announced, ..EXPECTED };
        expected.verify(&key.sign("a", &claims()), &keys).map(|_| ())
    };

    assert_eq!(verify(&["RS256", "ES256"]), Ok(()));
    assert_eq!(verify(&["RS256", "unknown"]), Err(IdTokenError::OtherAlgorithm));
}

#[test]
fn key_is_used_only_for_its_own_algorithm_and_use() {
    let key = SigningKey::new(Algorithm::RS256);
    let token = key.sign("1", &claims());
    let with = |name: &str, value: Value| {
        let mut published = key.publish("1");
        published[name] = value;
        verify(&token, &key_set(&[json!({"kty": "unknown"}), json!(7), published]))
    };

    assert_eq!(with("use", json!("sig")), Ok("alice".to_owned()));
    assert_eq!(with("alg", json!("PS256")), Err(IdTokenError::UnknownKey));
    assert_eq!(with("alg", json!("RS512")), Err(IdTokenError::UnknownKey));
    assert_eq!(with("use", json!("enc")), Err(IdTokenError::UnknownKey));
    assert!(with("n", json!("")).is_err());
    let key = SigningKey::new(Algorithm::ES256);
    let mut other_curve = key.publish("1");
    other_curve["crv"] = json!("P-384");
    let verified = verify(&key.sign("1", &claims()), &key_set(&[other_curve]));
    assert_eq!(verified, Err(IdTokenError::UnknownKey));
    let key = SigningKey::new(Algorithm::EdDSA);
    let mut other_curve = key.publish("1");
    other_curve["crv"] = json!("P-256");
    let verified = verify(&key.sign("1", &claims()), &key_set(&[other_curve]));
    assert_eq!(verified, Err(IdTokenError::UnknownKey));
}

#[test]
fn key_set_is_limited() {
    let parse = |document: &str| ProviderKeys::parse(document.as_bytes()).err();

    assert_eq!(parse(&json!({"keys": vec![json!({}); MAX_KEYS]}).to_string()), None);
    let longest = json!({"keys": vec![SigningKey::new(Algorithm::RS256).publish("1"); MAX_KEYS]}).to_string();
    assert!(longest.len() < MAX_KEY_SET_BYTES, "that many keys must fit into a document");
    let many = json!({"keys": vec![json!({}); MAX_KEYS + 1]}).to_string();
    assert_eq!(parse(&many), Some(KeySetError::TooManyKeys));
    for text in ["", "[]", "{}", r#"{"keys": {}}"#, "<html>"] {
        assert_eq!(parse(text), Some(KeySetError::Unreadable), "{text}");
    }
}
