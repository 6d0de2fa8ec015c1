//! Clients that register by themselves, and are deleted again.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::kit::{Kit, text};

fn metadata() -> Value {
    json!({
        "client_name": "An app", "redirect_uris": ["https://hub.example.org/callback/1"],
        "grant_types": ["authorization_code", "refresh_token"], "scope": "fdx:accountbasic:read unheard:of",
    })
}

#[tokio::test]
async fn who_has_the_initial_access_token_registers_a_client() {
    let kit = Kit::maple();
    let token = kit.bank.initial_access_token().unwrap();
    for wrong in [None, Some("wrong")] {
        let refused = kit.json_as(Method::POST, "/register", wrong, &metadata()).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]),
            (StatusCode::UNAUTHORIZED, &json!("invalid_token"))
        );
    }
    for (field, value, error) in [
        ("redirect_uris", json!(["http://app.example.org/"]), "invalid_redirect_uri"),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        ("client_name", json!(""), "invalid_client_metadata"),
        ("scope", json!("unheard:of"), "invalid_client_metadata"),
        ("grant_types", json!(["implicit"]), "invalid_client_metadata"),
        ("token_endpoint_auth_method", json!("none"), "invalid_client_metadata"),
        ("redirect_uris", json!("text"), "invalid_client_metadata"),
    ] {
        let mut body = metadata();
        body[field] = value;
        let refused = kit.json_as(Method::POST, "/register", Some(&token), &body).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]),
            (StatusCode::BAD_REQUEST, &json!(error)),
            "{body}"
        );
    }
    assert!(kit.bank.clients().is_empty());
    let made = kit.json_as(Method::POST, "/register", Some(&token), &metadata()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let client = made.json();
    assert_eq!(
        (&client["scope"], &client["client_secret_expires_at"]),
        (&json!("fdx:accountbasic:read"), &json!(0))
    );

    let again = kit.restarted();
    assert_eq!(again.bank.clients(), [text(&client, "client_id")], "it outlives a restart");
    let own = [("client_id", text(&client, "client_id")), ("client_secret", text(&client, "client_secret"))];
    let known = again.form("/token", &[own[0], own[1], ("grant_type", "refresh_token")]).await;
    assert_eq!(known.json()["error"], "invalid_grant", "it is known");
    let path = format!("/register/{}", text(&client, "client_id"));
    let managed = text(&client, "registration_access_token");
    assert_eq!(
        again.json_as(Method::DELETE, &path, Some(&token), &json!({})).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        again.json_as(Method::DELETE, &path, Some(managed), &json!({})).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        again.json_as(Method::DELETE, &path, Some(managed), &json!({})).await.status,
        StatusCode::UNAUTHORIZED
    );
    let gone = again.form("/token", &[own[0], own[1], ("grant_type", "refresh_token")]).await;
    assert_eq!(gone.json()["error"], "invalid_client");
}

#[tokio::test]
async fn what_was_granted_to_one_client_is_no_others() {
    let kit = Kit::maple();
    let token = kit.bank.initial_access_token().unwrap();
    let client = kit.json_as(Method::POST, "/register", Some(&token), &metadata()).await.json();
    let own = [("client_id", text(&client, "client_id")), ("client_secret", text(&client, "client_secret"))];
    let reply = kit.granted(&["mt-alice-chequing"]).await;
    let refresh = text(&reply, "refresh_token");
    let fields = [own[0], own[1], ("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(kit.form("/token", &fields).await.json()["error"], "invalid_grant");
    kit.form("/revoke", &[own[0], own[1], ("token", refresh)]).await;
    assert_eq!(kit.refresh(refresh).await.status, StatusCode::OK, "it lives");
}

#[tokio::test]
async fn the_other_banks_register_nobody() {
    for kit in [Kit::rideau(), Kit::prairie()] {
        assert_eq!(kit.bank.initial_access_token(), None);
        let refused = kit.json_as(Method::POST, "/register", Some("any"), &metadata()).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}
