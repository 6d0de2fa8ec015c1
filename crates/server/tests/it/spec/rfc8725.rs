//! Tests of the clauses of RFC 8725 (best practices for JWTs): the hub accepts only access tokens that it has issued.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::jose::{AccessTokenKeys, TokenError};
use domain::model::access_token::Claims;
use domain::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{bad_request, status_and_error};
use crate::support::{EndpointStub, TestHub, json_response};

const HUB: &str = "https://hub.example.org";
const NOW: Timestamp = Timestamp::from_seconds(1_795_500_000);
const KEY: [u8; 32] = [7; 32];

fn build_keys() -> AccessTokenKeys {
    AccessTokenKeys::new(HUB, ("at.flinks/2", &Secret::new(KEY)), &[("at.flinks/1", &Secret::new([1; 32]))])
}

fn valid_header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt", "kid": "at.flinks/2"})
}

fn valid_payload() -> Value {
    json!({
        "iss": HUB, "aud": format!("{HUB}/api/fdx/5"), "client_id": "dc-1", "sub": "someone",
        "iat": 1_795_500_000, "exp": 1_795_500_300, "jti": "at_1", "scope": "ACCOUNT_BASIC",
        "fdxConsentId": "con_1", "gen": 1,
    })
}

fn replace_member(value: &Value, name: &str, other: Value) -> Value {
    let mut value = value.clone();
    value[name] = other;
    value
}

fn remove_member(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(name);
    value
}

/// Builds a JWT with any header and payload, and a correct MAC of the given key.
fn sign_token(algorithm: hmac::Algorithm, key: &[u8], header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let mac = hmac::sign(&hmac::Key::new(algorithm, key), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn build_token(header: &Value, payload: &Value) -> String {
    sign_token(hmac::HMAC_SHA256, &KEY, &header.to_string(), &payload.to_string())
}

fn verify(token: &str) -> Result<Claims, TokenError> {
    build_keys().verify(token, NOW)
}

#[test]
fn rfc8725_valid_token_is_accepted() {
    assert!(verify(&build_token(&valid_header(), &valid_payload())).is_ok());
}

#[test]
fn rfc8725_s3_1_only_hs256_is_accepted() {
    for algorithm in ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", ""] {
        let header = replace_member(&valid_header(), "alg", json!(algorithm));
        assert_eq!(verify(&build_token(&header, &valid_payload())), Err(TokenError::Forged), "{algorithm}");
        let unsigned = build_token(&header, &valid_payload());
        let unsigned = &unsigned[..=unsigned.rfind('.').unwrap()];
        assert_eq!(verify(unsigned), Err(TokenError::Forged), "{algorithm} without a signature");
    }
    let longer = sign_token(
        hmac::HMAC_SHA512,
        &KEY,
        &replace_member(&valid_header(), "alg", json!("HS512")).to_string(),
        &valid_payload().to_string(),
    );
    assert_eq!(verify(&longer), Err(TokenError::Forged), "an authentic MAC of another algorithm");
    assert_eq!(
        verify(&build_token(&remove_member(&valid_header(), "alg"), &valid_payload())),
        Err(TokenError::Forged)
    );
}

#[test]
fn rfc8725_s3_2_s3_3_altered_token_is_rejected() {
    let good = build_token(&valid_header(), &valid_payload());
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
        assert_eq!(verify(&altered), Err(TokenError::Forged), "{altered}");
    }
    let nested = build_token(&replace_member(&valid_header(), "cty", json!("JWT")), &json!(good));
    assert_eq!(verify(&nested), Err(TokenError::Forged), "a nested token is rejected");
}

#[test]
fn rfc8725_s3_5_token_signed_with_guessed_key_is_rejected() {
    for guess in ["secret", "", "changeme", "bowline"] {
        let forged = sign_token(
            hmac::HMAC_SHA256,
            guess.as_bytes(),
            &valid_header().to_string(),
            &valid_payload().to_string(),
        );
        assert_eq!(verify(&forged), Err(TokenError::Forged), "{guess}");
    }
}

#[test]
fn rfc8725_s3_3_token_signed_with_key_of_other_kid_is_rejected() {
    let retired =
        sign_token(hmac::HMAC_SHA256, &[1; 32], &valid_header().to_string(), &valid_payload().to_string());
    assert_eq!(verify(&retired), Err(TokenError::Forged), "a key verifies only tokens with its own kid");
}

#[test]
fn rfc8725_s3_8_issuer_and_required_claims_are_validated() {
    for issuer in
        [json!("https://hub.example.org/"), json!("https://evil.example.org"), json!([HUB]), json!(null)]
    {
        assert_eq!(
            verify(&build_token(&valid_header(), &replace_member(&valid_payload(), "iss", issuer))),
            Err(TokenError::Forged)
        );
    }
    for name in ["iss", "aud", "exp", "iat", "sub", "jti", "client_id", "scope"] {
        assert_eq!(
            verify(&build_token(&valid_header(), &remove_member(&valid_payload(), name))),
            Err(TokenError::Forged),
            "{name}"
        );
    }
    assert_eq!(
        verify(&build_token(&valid_header(), &replace_member(&valid_payload(), "client_id", json!("dc 1")))),
        Err(TokenError::Forged)
    );
    let repeated = valid_payload().to_string().replace("\"gen\":1", "\"gen\":1,\"gen\":2");
    assert_eq!(
        verify(&sign_token(hmac::HMAC_SHA256, &KEY, &valid_header().to_string(), &repeated)),
        Err(TokenError::Forged)
    );
}

#[test]
fn rfc8725_s3_9_only_fdx_api_audience_is_accepted() {
    let own = format!("{HUB}/api/fdx/5");
    for audience in
        [json!(HUB), json!([own, "https://other.example.org"]), json!(format!("{own}/")), json!("")]
    {
        let token = build_token(&valid_header(), &replace_member(&valid_payload(), "aud", audience.clone()));
        assert_eq!(verify(&token), Err(TokenError::Forged), "{audience}");
    }
}

#[test]
fn rfc8725_s3_10_unknown_key_id_is_rejected() {
    for kid in ["../../../dev/null", "at.flinks/2' OR '1'='1", "at.flinks/3", "", "AT.FLINKS/2"] {
        let token = build_token(&replace_member(&valid_header(), "kid", json!(kid)), &valid_payload());
        assert_eq!(verify(&token), Err(TokenError::Forged), "{kid}");
    }
    assert_eq!(
        verify(&build_token(&remove_member(&valid_header(), "kid"), &valid_payload())),
        Err(TokenError::Forged)
    );
    assert_eq!(
        verify(&build_token(
            &replace_member(&valid_header(), "kid", json!(["at.flinks/2"])),
            &valid_payload()
        )),
        Err(TokenError::Forged)
    );
}

#[tokio::test]
async fn rfc8725_s3_10_urls_in_token_header_are_not_fetched() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let thief = EndpointStub::new(|_| json_response(200, &json!({"keys": []}))).await;
    let claims = tokens.access.split('.').nth(1).unwrap().to_owned();
    for name in ["jku", "x5u", "jwk", "x5c"] {
        let value = if name == "jwk" { json!({"kty": "oct", "k": "c2VjcmV0"}) } else { json!(thief.url) };
        let header = replace_member(&replace_member(&valid_header(), name, value), "kid", json!("mine"));
        let token = format!("{}.{claims}.c2ln", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(kit.read("/accounts", &token).await.status, 401, "{name}");
        assert_eq!(status_and_error(&kit.revoke(&token).await), bad_request("invalid_request"), "{name}");
    }
    assert!(thief.calls().is_empty() && kit.load_end_cause(&tokens.id).await.is_none());
}

#[test]
fn rfc8725_s3_11_other_token_type_is_rejected() {
    for kind in ["JWT", "jwt", "at", "id+jwt", "logout+jwt", "secevent+jwt", ""] {
        let token = build_token(&replace_member(&valid_header(), "typ", json!(kind)), &valid_payload());
        assert_eq!(verify(&token), Err(TokenError::Forged), "{kind}");
    }
    assert_eq!(
        verify(&build_token(&remove_member(&valid_header(), "typ"), &valid_payload())),
        Err(TokenError::Forged)
    );
}

#[test]
fn rfc8725_s3_12_client_and_connection_tokens_are_distinct() {
    let both = replace_member(&valid_payload(), "cgen", json!(1));
    assert_eq!(verify(&build_token(&valid_header(), &both)), Err(TokenError::Forged));
    let neither = remove_member(&remove_member(&valid_payload(), "fdxConsentId"), "gen");
    assert_eq!(verify(&build_token(&valid_header(), &neither)), Err(TokenError::Forged));
    let data_scope = replace_member(&neither, "cgen", json!(1));
    assert_eq!(
        verify(&build_token(&valid_header(), &data_scope)),
        Err(TokenError::Forged),
        "ACCOUNT_BASIC is not a scope for clients"
    );
    let client_scope = replace_member(&valid_payload(), "scope", json!("client:admin"));
    assert_eq!(verify(&build_token(&valid_header(), &client_scope)), Err(TokenError::Forged));
}

#[test]
fn rfc7519_s4_1_4_exp_in_whole_seconds_expires_the_token() {
    let until =
        |exp: Value| verify(&build_token(&valid_header(), &replace_member(&valid_payload(), "exp", exp)));
    assert!(until(json!(1_795_500_001)).is_ok());
    for expired in [json!(1_795_500_000), json!(0)] {
        assert_eq!(until(expired.clone()), Err(TokenError::Expired), "{expired}");
    }
    for malformed in [json!("1795500300"), json!(-1), json!(1e300), json!(null), json!([1_795_500_300])] {
        assert_eq!(until(malformed.clone()), Err(TokenError::Forged), "{malformed}");
    }
}

#[test]
fn rfc7515_s4_1_11_unknown_critical_header_is_rejected() {
    // RFC 7515 §4.1.11: an unknown parameter in `crit` makes a token invalid.
    let critical = replace_member(
        &replace_member(&valid_header(), "crit", json!(["exp-policy"])),
        "exp-policy",
        json!("ignore"),
    );
    assert_eq!(verify(&build_token(&critical, &valid_payload())), Err(TokenError::Forged));
}

#[tokio::test]
async fn altered_access_token_reads_nothing_and_ends_nothing() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let parts: Vec<&str> = tokens.access.split('.').collect();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let altered = |name, value| {
        let claims = replace_member(&claims, name, value).to_string();
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
        assert_eq!(status_and_error(&kit.revoke(&token).await), bad_request("invalid_request"), "{token}");
    }
    assert_eq!(
        (kit.load_end_cause(&tokens.id).await, kit.read("/accounts", &tokens.access).await.status),
        (None, 200)
    );
}
