//! Tests of dynamic client registration (RFC 7591) and of the deletion of clients (RFC 7592) at a bank.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestBank, text_member};

fn client_metadata() -> Value {
    json!({
        "client_name": "An app", "redirect_uris": ["https://hub.example.org/callback/1"],
        "grant_types": ["authorization_code", "refresh_token"], "scope": "fdx:accountbasic:read unknown:scope",
    })
}

#[tokio::test]
async fn rfc7591_s3_registration_requires_initial_access_token() {
    let bank = TestBank::maple();
    let token = bank.inner.initial_access_token().unwrap();
    for wrong in [None, Some("wrong")] {
        let refused = bank.send_json_with_bearer(Method::POST, "/register", wrong, &client_metadata()).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]),
            (StatusCode::UNAUTHORIZED, &json!("invalid_token"))
        );
    }
    for (field, value, error) in [
        ("redirect_uris", json!(["http://app.example.org/"]), "invalid_redirect_uri"),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        ("client_name", json!(""), "invalid_client_metadata"),
        ("scope", json!("unknown:scope"), "invalid_client_metadata"),
        ("grant_types", json!(["implicit"]), "invalid_client_metadata"),
        ("token_endpoint_auth_method", json!("none"), "invalid_client_metadata"),
        ("redirect_uris", json!("text"), "invalid_client_metadata"),
    ] {
        let mut body = client_metadata();
        body[field] = value;
        let refused = bank.send_json_with_bearer(Method::POST, "/register", Some(&token), &body).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]),
            (StatusCode::BAD_REQUEST, &json!(error)),
            "{body}"
        );
    }
    assert!(bank.inner.client_ids().is_empty());
    let created =
        bank.send_json_with_bearer(Method::POST, "/register", Some(&token), &client_metadata()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let client = created.json();
    assert_eq!(
        (&client["scope"], &client["client_secret_expires_at"]),
        (&json!("fdx:accountbasic:read"), &json!(0))
    );

    let restarted = bank.restart();
    assert_eq!(
        restarted.inner.client_ids(),
        [text_member(&client, "client_id")],
        "a client must survive a restart"
    );
    let own = [
        ("client_id", text_member(&client, "client_id")),
        ("client_secret", text_member(&client, "client_secret")),
    ];
    let known = restarted.post_form("/token", &[own[0], own[1], ("grant_type", "refresh_token")]).await;
    assert_eq!(known.json()["error"], "invalid_grant", "the client must be authenticated");
    let path = format!("/register/{}", text_member(&client, "client_id"));
    let registration_token = text_member(&client, "registration_access_token");
    assert_eq!(
        restarted.send_json_with_bearer(Method::DELETE, &path, Some(&token), &json!({})).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        restarted
            .send_json_with_bearer(Method::DELETE, &path, Some(registration_token), &json!({}))
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        restarted
            .send_json_with_bearer(Method::DELETE, &path, Some(registration_token), &json!({}))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    let gone = restarted.post_form("/token", &[own[0], own[1], ("grant_type", "refresh_token")]).await;
    assert_eq!(gone.json()["error"], "invalid_client");
}

#[tokio::test]
async fn bank_grant_is_unusable_by_other_client() {
    let bank = TestBank::maple();
    let token = bank.inner.initial_access_token().unwrap();
    let client =
        bank.send_json_with_bearer(Method::POST, "/register", Some(&token), &client_metadata()).await.json();
    let own = [
        ("client_id", text_member(&client, "client_id")),
        ("client_secret", text_member(&client, "client_secret")),
    ];
    let tokens = bank.grant_accounts(&["mt-alice-chequing"]).await;
    let refresh = text_member(&tokens, "refresh_token");
    let fields = [own[0], own[1], ("grant_type", "refresh_token"), ("refresh_token", refresh)];

    assert_eq!(bank.post_form("/token", &fields).await.json()["error"], "invalid_grant");

    bank.post_form("/revoke", &[own[0], own[1], ("token", refresh)]).await;
    assert_eq!(bank.refresh_tokens(refresh).await.status, StatusCode::OK, "the grant must stay active");
}

#[tokio::test]
async fn bank_without_registration_rejects_every_client() {
    for bank in [TestBank::rideau(), TestBank::prairie()] {
        assert_eq!(bank.inner.initial_access_token(), None);
        let refused =
            bank.send_json_with_bearer(Method::POST, "/register", Some("any"), &client_metadata()).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}
