//! RFC 8725, best current practice for JWTs: the access tokens that we make are the only ones that we take.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::jose::{AccessTokenKeys, Rejected};
use domain::model::access_token::Claims;
use domain::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{refused, said};
use crate::kit::{Kit, StandIn, says};

const HUB: &str = "https://hub.example.org";
const NOW: Timestamp = Timestamp::from_seconds(1_795_500_000);
const KEY: [u8; 32] = [7; 32];

fn keys() -> AccessTokenKeys {
    AccessTokenKeys::new(HUB, ("at.flinks/2", &Secret::new(KEY)), &[("at.flinks/1", &Secret::new([1; 32]))])
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt", "kid": "at.flinks/2"})
}

fn payload() -> Value {
    json!({
        "iss": HUB, "aud": format!("{HUB}/api/fdx/5"), "client_id": "dc-1", "sub": "someone",
        "iat": 1_795_500_000, "exp": 1_795_500_300, "jti": "at_1", "scope": "ACCOUNT_BASIC",
        "fdxConsentId": "con_1", "gen": 1,
    })
}

fn with(value: &Value, name: &str, other: Value) -> Value {
    let mut value = value.clone();
    value[name] = other;
    value
}

fn without(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(name);
    value
}

/// A token of any header and payload, with an authentic MAC.
fn sealed(algorithm: hmac::Algorithm, key: &[u8], header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let mac = hmac::sign(&hmac::Key::new(algorithm, key), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn token(header: &Value, payload: &Value) -> String {
    sealed(hmac::HMAC_SHA256, &KEY, &header.to_string(), &payload.to_string())
}

fn verify(token: &str) -> Result<Claims, Rejected> {
    keys().verify(token, NOW)
}

#[test]
fn the_control_run_is_taken() {
    assert!(verify(&token(&header(), &payload())).is_ok());
}

#[test]
fn s3_1_one_algorithm_whatever_the_header_says() {
    for algorithm in ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", ""] {
        let header = with(&header(), "alg", json!(algorithm));
        assert_eq!(verify(&token(&header, &payload())), Err(Rejected::Forged), "{algorithm}");
        let unsigned = token(&header, &payload());
        let unsigned = &unsigned[..=unsigned.rfind('.').unwrap()];
        assert_eq!(verify(unsigned), Err(Rejected::Forged), "{algorithm} without a signature");
    }
    let longer = sealed(
        hmac::HMAC_SHA512,
        &KEY,
        &with(&header(), "alg", json!("HS512")).to_string(),
        &payload().to_string(),
    );
    assert_eq!(verify(&longer), Err(Rejected::Forged), "an authentic MAC of another algorithm");
    assert_eq!(verify(&token(&without(&header(), "alg"), &payload())), Err(Rejected::Forged));
}

#[test]
fn s3_2_s3_3_every_byte_is_under_the_mac() {
    let good = token(&header(), &payload());
    for (at, byte) in good.bytes().enumerate().filter(|(at, _)| at % 3 == 0) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if byte == b'A' { b'B' } else { b'A' };
        assert!(verify(&String::from_utf8(bytes).unwrap()).is_err(), "byte {at}");
    }
    for altered in [
        format!("{good}="),
        format!("{good}A"),
        format!(" {good}"),
        format!("{good}.x"),
        good.replace('.', ".."),
    ] {
        assert_eq!(verify(&altered), Err(Rejected::Forged), "{altered}");
    }
    let nested = token(&with(&header(), "cty", json!("JWT")), &json!(good));
    assert_eq!(verify(&nested), Err(Rejected::Forged), "a token in a token is none");
}

#[test]
fn s3_5_the_keys_are_not_words() {
    for guess in ["secret", "", "changeme", "bowline"] {
        let forged =
            sealed(hmac::HMAC_SHA256, guess.as_bytes(), &header().to_string(), &payload().to_string());
        assert_eq!(verify(&forged), Err(Rejected::Forged), "{guess}");
    }
    let retired = sealed(hmac::HMAC_SHA256, &[1; 32], &header().to_string(), &payload().to_string());
    assert_eq!(verify(&retired), Err(Rejected::Forged), "a key signs under its own name");
}

#[test]
fn s3_8_issuer_and_subject_are_looked_at() {
    for issuer in
        [json!("https://hub.example.org/"), json!("https://evil.example.org"), json!([HUB]), json!(null)]
    {
        assert_eq!(verify(&token(&header(), &with(&payload(), "iss", issuer))), Err(Rejected::Forged));
    }
    for name in ["iss", "aud", "exp", "iat", "sub", "jti", "client_id", "scope"] {
        assert_eq!(verify(&token(&header(), &without(&payload(), name))), Err(Rejected::Forged), "{name}");
    }
    assert_eq!(
        verify(&token(&header(), &with(&payload(), "client_id", json!("dc 1")))),
        Err(Rejected::Forged)
    );
    let twice = payload().to_string().replace("\"gen\":1", "\"gen\":1,\"gen\":2");
    assert_eq!(
        verify(&sealed(hmac::HMAC_SHA256, &KEY, &header().to_string(), &twice)),
        Err(Rejected::Forged)
    );
}

#[test]
fn s3_9_the_audience_is_the_data_face_and_nothing_else() {
    let own = format!("{HUB}/api/fdx/5");
    for audience in
        [json!(HUB), json!([own, "https://other.example.org"]), json!(format!("{own}/")), json!("")]
    {
        let token = token(&header(), &with(&payload(), "aud", audience.clone()));
        assert_eq!(verify(&token), Err(Rejected::Forged), "{audience}");
    }
}

#[test]
fn s3_10_a_key_id_is_a_name_to_look_up() {
    for kid in ["../../../dev/null", "at.flinks/2' OR '1'='1", "at.flinks/3", "", "AT.FLINKS/2"] {
        let token = token(&with(&header(), "kid", json!(kid)), &payload());
        assert_eq!(verify(&token), Err(Rejected::Forged), "{kid}");
    }
    assert_eq!(verify(&token(&without(&header(), "kid"), &payload())), Err(Rejected::Forged));
    assert_eq!(
        verify(&token(&with(&header(), "kid", json!(["at.flinks/2"])), &payload())),
        Err(Rejected::Forged)
    );
}

#[tokio::test]
async fn s3_10_nothing_that_a_header_names_is_fetched() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let thief = StandIn::new(|_| says(200, &json!({"keys": []}))).await;
    let claims = tokens.access.split('.').nth(1).unwrap().to_owned();
    for name in ["jku", "x5u", "jwk", "x5c"] {
        let value = if name == "jwk" { json!({"kty": "oct", "k": "c2VjcmV0"}) } else { json!(thief.url) };
        let header = with(&with(&header(), name, value), "kid", json!("mine"));
        let token = format!("{}.{claims}.c2ln", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(kit.read("/accounts", &token).await.status, 401, "{name}");
        assert_eq!(said(&kit.revoke(&token).await), refused("invalid_request"), "{name}");
    }
    assert!(thief.calls().is_empty() && kit.cause(&tokens.id).await.is_none());
}

#[test]
fn s3_11_the_type_is_explicit() {
    for kind in ["JWT", "jwt", "at", "id+jwt", "logout+jwt", "secevent+jwt", ""] {
        let token = token(&with(&header(), "typ", json!(kind)), &payload());
        assert_eq!(verify(&token), Err(Rejected::Forged), "{kind}");
    }
    assert_eq!(verify(&token(&without(&header(), "typ"), &payload())), Err(Rejected::Forged));
}

#[test]
fn s3_12_a_clients_token_and_a_connections_cannot_be_mistaken() {
    let both = with(&payload(), "cgen", json!(1));
    assert_eq!(verify(&token(&header(), &both)), Err(Rejected::Forged));
    let neither = without(&without(&payload(), "fdxConsentId"), "gen");
    assert_eq!(verify(&token(&header(), &neither)), Err(Rejected::Forged));
    let data_scope = with(&neither, "cgen", json!(1));
    assert_eq!(
        verify(&token(&header(), &data_scope)),
        Err(Rejected::Forged),
        "ACCOUNT_BASIC is no client's scope"
    );
    let client_scope = with(&payload(), "scope", json!("client:admin"));
    assert_eq!(verify(&token(&header(), &client_scope)), Err(Rejected::Forged));
}

#[test]
fn time_is_read_as_whole_seconds_and_ends_the_token() {
    let until = |exp: Value| verify(&token(&header(), &with(&payload(), "exp", exp)));
    assert!(until(json!(1_795_500_001)).is_ok());
    for over in [json!(1_795_500_000), json!(0)] {
        assert_eq!(until(over.clone()), Err(Rejected::Expired), "{over}");
    }
    for malformed in [json!("1795500300"), json!(-1), json!(1e300), json!(null), json!([1_795_500_300])] {
        assert_eq!(until(malformed.clone()), Err(Rejected::Forged), "{malformed}");
    }
}

#[test]
fn a_header_that_must_be_understood_and_is_not_is_refused() {
    // RFC 7515 §4.1.11: what stands in `crit` and is not known makes a token invalid.
    let critical = with(&with(&header(), "crit", json!(["exp-policy"])), "exp-policy", json!("ignore"));
    assert_eq!(verify(&token(&critical, &payload())), Err(Rejected::Forged));
}

#[tokio::test]
async fn a_token_that_is_altered_reads_nothing_and_ends_nothing() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let parts: Vec<&str> = tokens.access.split('.').collect();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let altered = |name, value| {
        let claims = with(&claims, name, value).to_string();
        format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims), parts[2])
    };
    for token in [
        altered("exp", json!(9_999_999_999_i64)),
        altered("client_id", json!("dc-yours")),
        altered("fdxConsentId", json!("con_other")),
        altered("scope", json!("ACCOUNT_BASIC CUSTOMER_PERSONAL")),
        altered("gen", json!(2)),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#), parts[1], ""),
    ] {
        assert_eq!(kit.read("/accounts", &token).await.status, 401, "{token}");
        assert_eq!(said(&kit.revoke(&token).await), refused("invalid_request"), "{token}");
    }
    assert_eq!(
        (kit.cause(&tokens.id).await, kit.read("/accounts", &tokens.access).await.status),
        (None, 200)
    );
}
