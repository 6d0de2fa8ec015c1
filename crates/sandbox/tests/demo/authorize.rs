//! Tests of the authorization request that the demo app sends through the browser.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::{CODE, DemoFixture, SECRET, TOKEN, query_parameter};

#[tokio::test]
async fn demo_authorize_redirect_has_all_parameters_and_pkce() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.browser();
    browser.get("/?lang=fr").await;
    let (url, state) = browser.begin_authorization(Some("2000")).await;

    assert_eq!(
        format!("{}{}", url.origin().ascii_serialization(), url.path()),
        format!("{}/api/v1/authorize", fixture.hub.url)
    );
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "dc-acme"),
        ("redirect_uri", "http://127.0.0.1:8401/callback"),
        ("scope", "ACCOUNT_BASIC TRANSACTIONS"),
        ("code_challenge_method", "S256"),
        ("provider_id", "2000"),
        ("ui_locales", "fr"),
    ] {
        assert_eq!(query_parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    assert!(state.len() >= 43);

    browser.get(&format!("/callback?code={CODE}&state={state}")).await;
    let token_request = &fixture.hub.requests_to(TOKEN)[0].body;
    let verifier = token_request["code_verifier"].as_str().unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());

    assert_eq!(query_parameter(&url, "code_challenge").unwrap(), URL_SAFE_NO_PAD.encode(digest));

    let expected = json!({"grant_type": "authorization_code", "code": CODE, "redirect_uri": "http://127.0.0.1:8401/callback",
        "client_id": "dc-acme", "client_secret": SECRET, "code_verifier": verifier});
    assert_eq!(*token_request, expected);

    let (second_url, second_state) = browser.begin_authorization(None).await;
    assert_eq!(query_parameter(&second_url, "provider_id"), None);
    assert_ne!(state, second_state);
    assert_ne!(query_parameter(&url, "code_challenge"), query_parameter(&second_url, "code_challenge"));
}

#[tokio::test]
async fn demo_connect_rejects_unoffered_bank() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.browser();
    browser.get("/").await;
    let page = browser.post("/connect", &[("provider_id", "3000")]).await;

    assert_eq!((page.status, &*page.location), (StatusCode::BAD_REQUEST, ""));
}
