//! Tests of a bank with OpenID Connect: its id tokens, its refresh tokens, and introspection.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::{NOW, ORIGIN, SCOPE, TestBank, VERIFIER, text_member};

async fn connect(bank: &TestBank, scope: &str) -> Value {
    let code = bank.obtain_code("alice", &["mt-alice-chequing"], scope).await;
    bank.redeem_code(&code, VERIFIER).await.json()
}

#[tokio::test]
async fn openid_bank_signs_id_token_with_published_key() {
    let bank = TestBank::maple_with_openid();

    let tokens = connect(&bank, &format!("openid {SCOPE}")).await;

    let keys: JwkSet = serde_json::from_str(&bank.get("/jwks").await.text).unwrap();
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_audience(&["hub"]);
    validation.set_issuer(&[ORIGIN]);
    let id_token = text_member(&tokens, "id_token");
    let claims = jsonwebtoken::decode::<Value>(id_token, &key, &validation).unwrap().claims;
    assert_eq!((&claims["nonce"], &claims["iat"]), (&json!("a-nonce"), &json!(NOW / 1000)));
    assert!(claims["sub"].is_string() && tokens.get("customer_id").is_none(), "{tokens}");
    let metadata = bank.get("/.well-known/openid-configuration").await.json();
    assert_eq!(
        (&metadata["issuer"], &metadata["jwks_uri"]),
        (&json!(ORIGIN), &json!(format!("{ORIGIN}/jwks")))
    );
}

#[tokio::test]
async fn openid_bank_issues_refresh_token_only_when_requested() {
    let bank = TestBank::maple_with_openid();

    let online = connect(&bank, &format!("openid {SCOPE}")).await;
    let offline = connect(&bank, &format!("openid offline_access {SCOPE}")).await;

    assert!(online.get("refresh_token").is_none(), "{online}");
    let refreshed = bank.refresh_tokens(text_member(&offline, "refresh_token")).await.json();
    assert!(refreshed["access_token"].is_string() && refreshed.get("id_token").is_none(), "{refreshed}");
}

#[tokio::test]
async fn introspection_shows_whether_token_is_active() {
    let bank = TestBank::maple_with_openid();
    let tokens = connect(&bank, &format!("openid offline_access {SCOPE}")).await;
    let introspect = async |name: &str| {
        let token = [("token", text_member(&tokens, name))];
        bank.post_as_hub("/introspect", &token).await.json()
    };

    let before = [introspect("access_token").await, introspect("refresh_token").await];
    bank.post_as_hub("/revoke", &[("token", text_member(&tokens, "refresh_token"))]).await;
    let after = [introspect("access_token").await, introspect("refresh_token").await];

    for described in before {
        assert_eq!((&described["active"], &described["client_id"]), (&json!(true), &json!("hub")));
        assert!(described["sub"].is_string(), "{described}");
    }
    assert_eq!(after, [json!({"active": false}), json!({"active": false})]);
}
