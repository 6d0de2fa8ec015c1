//! Tests of providers at which the hub is an aggregator: the customer authorizes a client of the recipient, and the hub authenticates with
//! its own.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::model::provider::{CustomerIdentity, GrantScope, SecretSource, TermsSource, UpstreamClientMode};
use http::Method;
use serde_json::json;

use crate::support::{EndpointStub, SCOPE, TestClient, TestHub, json_response};

/// Starts the endpoints of a bank that the hub calls itself, and lets Maple Trust be the bank. The customer signs in at the sandbox, which
/// knows only the client `bowline`.
async fn install_bank(kit: &TestHub) -> EndpointStub {
    let bank = EndpointStub::new(|call| match call.path.as_str() {
        "/token" => json_response(
            200,
            &json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer", "expires_in": 600}),
        ),
        "/introspect" => json_response(200, &json!({"active": true, "sub": "alice"})),
        "/fdx/accounts" => json_response(200, &json!({"accounts": []})),
        _ => json_response(200, &json!({})),
    })
    .await;
    let (url, secret) = (bank.url.clone(), kit.data_folder().join("aggregator.secret"));
    std::fs::write(&secret, "secret-of-hub").unwrap();
    kit.update_provider_settings(1000, |settings| {
        settings.upstream_client = UpstreamClientMode::Aggregator;
        settings.client_id = "hub-at-bank".into();
        settings.client_secret = Some(SecretSource::File(secret.display().to_string()));
        settings.token_endpoint = Some(format!("{url}/token"));
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
        settings.introspection_endpoint = Some(format!("{url}/introspect"));
        settings.pushed_authorization_request_endpoint = Some(format!("{url}/par"));
        settings.fdx.base_url = format!("{url}/fdx");
        settings.customer_identity = CustomerIdentity::Introspection;
        settings.terms = vec![TermsSource::Introspection];
        settings.grant_scope = GrantScope::PerToken;
        (settings.accounts_field, settings.grant_field) = (None, None);
    })
    .await;
    bank
}

/// Creates a recipient whose registration waits for its activation.
async fn create_pending_recipient(kit: &TestHub) -> TestClient {
    let token = kit.request_client_token(&kit.partner()).await;
    let recipient = kit.create_recipient(&token).await;
    let request = json!({"client_ids": [recipient.id], "provider_ids": [1000]});
    assert_eq!(kit.post_admin_request("/registrations", request).await.status, 200);
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    recipient
}

#[tokio::test]
async fn aggregator_authorizes_as_recipient_and_calls_as_hub() {
    let kit = TestHub::new().await;
    let bank = install_bank(&kit).await;
    let recipient = create_pending_recipient(&kit).await;
    kit.complete_registration_step(&recipient, "activate", json!({"upstream_client_id": "bowline"})).await;

    // The sandbox accepts the authorization of this client only.
    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    kit.advance(Duration::from_mins(30));
    let renewed = kit.refresh(&recipient, &tokens.refresh).await.json();
    let access = renewed["access_token"].as_str().unwrap();
    assert_eq!(kit.read("/accounts", access).await.status, 200);
    assert_eq!(kit.revoke(access).await.status, 204);
    let has_call = |path: &str| bank.calls().iter().any(|call| call.path == path);
    kit.wait_until("the token is revoked", async || has_call("/revoke")).await;

    let own = format!("Basic {}", STANDARD.encode("hub-at-bank:secret-of-hub"));
    let mut calls = Vec::new();
    for call in bank.calls().into_iter().filter(|call| call.method == Method::POST) {
        assert_eq!(call.headers["authorization"], own.as_str(), "{}", call.path);
        assert!(!call.body.contains("bowline"), "{}: {}", call.path, call.body);
        calls.push((call.path.clone(), call.field("grant_type").unwrap_or_default()));
    }
    calls.sort();
    calls.dedup();
    let expected =
        [("/introspect", ""), ("/revoke", ""), ("/token", "authorization_code"), ("/token", "refresh_token")];
    assert_eq!(calls, expected.map(|(path, grant)| (path.to_owned(), grant.to_owned())), "nothing is pushed");
}

#[tokio::test]
async fn registration_at_aggregator_needs_only_its_client_id() {
    let kit = TestHub::new().await;
    install_bank(&kit).await;
    let recipient = create_pending_recipient(&kit).await;

    for (body, field, detail) in [
        (json!({}), "upstream_client_id", "is missing"),
        (json!({"upstream_client_secret": "x"}), "upstream_client_id", "is missing"),
        (
            json!({"upstream_client_id": "bowline", "upstream_client_secret": "x"}),
            "upstream_client_secret",
            "must be absent: the hub authenticates with its own client there",
        ),
    ] {
        let refused = kit.take_registration_step(&recipient, "activate", body).await.json();
        assert_eq!(
            (&refused["field"], &refused["detail"]),
            (&json!(field), &json!(format!("{field}: {detail}")))
        );
    }
    kit.complete_registration_step(&recipient, "activate", json!({"upstream_client_id": "bowline"})).await;

    let checks = kit.run_admin_operation(Method::POST, "/providers/1000/test", None).await;
    let is_failed = |name: &str| {
        let mut checks = checks["checks"].as_array().unwrap().iter();
        checks.any(|check| check["name"] == name && check["ok"] == false)
    };
    assert!(!is_failed("client_secret") && !is_failed("par"), "{checks}");
}

#[tokio::test]
async fn changed_client_id_of_registration_stops_the_login() {
    let kit = TestHub::new().await;
    install_bank(&kit).await;
    let recipient = create_pending_recipient(&kit).await;
    kit.complete_registration_step(&recipient, "activate", json!({"upstream_client_id": "other"})).await;

    kit.sql("UPDATE registrations SET upstream_client_id = 'bowline' WHERE upstream_client_id = 'other'")
        .await;
    let query = TestHub::build_authorization_query(&recipient);
    let page = kit.authorize(&query).await;
    let (at, page) = kit.follow(kit.app().public_url(), page).await;
    let (_, stopped) = kit.submit(&at, &page, &[("decision", "approve")]).await;

    assert_eq!(stopped.status, 500, "{}", stopped.body);
}
