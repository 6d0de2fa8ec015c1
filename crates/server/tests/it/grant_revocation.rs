//! Tests of the methods that revoke a grant by its id at the provider, and together with RFC 7009.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::model::provider::{CustomerIdentity, ProviderSettings, RevokeMethod};
use http::{Method, Response};
use serde_json::{Value, json};

use crate::support::{
    ConnectionTokens, EndpointStub, RecordedRequest, TestHub, hex, json_response, query_parameter,
};

const ALL_METHODS: [RevokeMethod; 3] =
    [RevokeMethod::FdxConsent, RevokeMethod::GrantManagement, RevokeMethod::Rfc7009];

/// Starts a provider that accepts every revocation, except the calls for which `answer` returns a response.
async fn start_bank(
    answer: impl Fn(&RecordedRequest) -> Option<Response<String>> + Send + Sync + 'static,
) -> EndpointStub {
    EndpointStub::new(move |call| {
        answer(call).unwrap_or_else(|| match call.path.as_str() {
            "/token" => {
                json_response(200, &json!({"access_token": "own", "token_type": "Bearer", "expires_in": 60}))
            }
            "/revoke" => json_response(200, &json!({})),
            _ => Response::builder().status(204).body(String::new()).unwrap(),
        })
    })
    .await
}

fn use_bank(settings: &mut ProviderSettings, bank: &EndpointStub, methods: &[RevokeMethod]) {
    settings.token_endpoint = Some(format!("{}/token", bank.url));
    settings.revocation_endpoint = Some(format!("{}/revoke", bank.url));
    settings.fdx.base_url = format!("{}/fdx", bank.url);
    settings.grant_management_endpoint = Some(format!("{}/grants", bank.url));
    settings.revoke = methods.to_vec();
}

/// Connects, and ends the connection at a provider with these methods.
async fn end_connection_at(kit: &TestHub, bank: &EndpointStub, methods: &[RevokeMethod]) -> ConnectionTokens {
    let tokens = kit.connect(&kit.acme()).await;
    kit.update_provider_settings(1000, |settings| use_bank(settings, bank, methods)).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    tokens
}

/// Waits until the revocation at the provider has a result; returns the connection.
async fn wait_for_result(kit: &TestHub, tokens: &ConnectionTokens) -> Value {
    let show =
        async || kit.run_admin_operation(Method::GET, &format!("/connections/{}", tokens.id), None).await;
    kit.wait_until("the revocation has a result", async || {
        // The next attempt of the job becomes due.
        kit.advance(Duration::from_secs(10));
        show().await["provider_revocation"] != "pending"
    })
    .await;
    show().await
}

fn describe(call: &RecordedRequest) -> String {
    format!("{} {}", call.method, call.path)
}

#[tokio::test]
async fn grant_is_revoked_by_each_method_in_order() {
    let kit = TestHub::new().await;
    let bank = start_bank(|_| None).await;

    let tokens = end_connection_at(&kit, &bank, &ALL_METHODS).await;
    let shown = wait_for_result(&kit, &tokens).await;

    assert_eq!(shown["provider_revocation"], "accepted");
    let id = shown["provider_grant_id"].as_str().unwrap();
    let calls = bank.calls();
    let described: Vec<_> = calls.iter().map(describe).collect();
    let expected = [
        "POST /token".to_owned(),
        format!("PUT /fdx/consents/{id}/revocation"),
        "POST /token".to_owned(),
        format!("DELETE /grants/{id}"),
        "POST /revoke".to_owned(),
    ];
    assert_eq!(described, expected);
    let reason: Value = serde_json::from_str(&calls[1].body).unwrap();
    assert_eq!(reason, json!({"reason": "BUSINESS_RULE", "initiator": "DATA_RECIPIENT"}));
    let scopes: Vec<_> = [&calls[0], &calls[2]].map(|call| call.field("scope")).into();
    assert_eq!(scopes, [None, Some("grant_management_revoke".to_owned())]);
    for call in &calls {
        let id = call.headers["x-fapi-interaction-id"].to_str().unwrap();
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{}: {id}", call.path);
    }
    for call in [&calls[1], &calls[3]] {
        assert_eq!(call.headers["authorization"], "Bearer own", "{}", call.path);
    }
    let states = kit.sql("SELECT count(*) FROM jobs WHERE grant_id IS NOT NULL").await;
    assert_eq!(states, ["0"], "a job that is done has no grant id");
}

#[tokio::test]
async fn grant_id_is_stored_sealed() {
    let kit = TestHub::new().await;
    let bank = start_bank(|_| None).await;
    let tokens = end_connection_at(&kit, &bank, &[RevokeMethod::FdxConsent]).await;

    let shown = wait_for_result(&kit, &tokens).await;

    let id = shown["provider_grant_id"].as_str().unwrap();
    let stored = kit.sql("SELECT hex(upstream_grant_id) FROM connections").await.concat();
    let plain = hex(id.as_bytes()).to_uppercase();
    assert!(stored.len() > plain.len() && !stored.contains(&plain), "{stored}");
}

#[tokio::test]
async fn accepted_method_is_not_repeated() {
    let kit = TestHub::new().await;
    let revocations = Arc::new(AtomicUsize::new(0));
    let bank = start_bank(move |call| {
        let is_first = call.path == "/revoke" && revocations.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then(|| json_response(503, &json!({})))
    })
    .await;

    let tokens = end_connection_at(&kit, &bank, &[RevokeMethod::FdxConsent, RevokeMethod::Rfc7009]).await;
    let shown = wait_for_result(&kit, &tokens).await;

    assert_eq!(shown["provider_revocation"], "accepted");
    let calls = bank.calls();
    let count = |method: &str| calls.iter().filter(|call| describe(call).starts_with(method)).count();
    assert_eq!((count("PUT"), count("POST /revoke")), (1, 2));
}

#[tokio::test]
async fn refused_method_does_not_keep_others_from_being_tried() {
    let kit = TestHub::new().await;
    let bank = start_bank(|call| {
        let is_consent = call.method == Method::PUT;
        is_consent.then(|| json_response(404, &json!({"code": "1101", "message": "Consent not found"})))
    })
    .await;

    let tokens = end_connection_at(&kit, &bank, &[RevokeMethod::FdxConsent, RevokeMethod::Rfc7009]).await;
    let shown = wait_for_result(&kit, &tokens).await;

    assert_eq!(shown["provider_revocation"], "refused");
    assert!(bank.calls().iter().any(|call| call.path == "/revoke"), "the tokens must be revoked");
    let job = &shown["jobs"][0];
    assert_eq!(
        (&job["state"], &job["outcome"]),
        (&json!("failed"), &json!("fdx_consent: HTTP 404; rfc7009: HTTP 200"))
    );
}

#[tokio::test]
async fn consent_that_is_revoked_already_is_accepted() {
    let kit = TestHub::new().await;
    let bank = start_bank(|call| {
        let conflict = json!({"code": "409", "message": "Consent is already revoked"});
        (call.method == Method::PUT).then(|| json_response(409, &conflict))
    })
    .await;

    let tokens = end_connection_at(&kit, &bank, &[RevokeMethod::FdxConsent]).await;

    assert_eq!(wait_for_result(&kit, &tokens).await["provider_revocation"], "accepted");
}

#[tokio::test]
async fn token_that_ended_with_its_grant_counts_as_revoked() {
    let kit = TestHub::new().await;
    let bank = start_bank(|call| {
        (call.path == "/revoke").then(|| json_response(400, &json!({"error": "invalid_token"})))
    })
    .await;

    let tokens =
        end_connection_at(&kit, &bank, &[RevokeMethod::GrantManagement, RevokeMethod::Rfc7009]).await;

    assert_eq!(wait_for_result(&kit, &tokens).await["provider_revocation"], "accepted");
}

/// Signs in at a provider whose token response has these members; returns the error for the recipient.
async fn fail_login(kit: &TestHub, bank: &EndpointStub, methods: &[RevokeMethod]) -> Option<String> {
    kit.update_provider_settings(1000, |settings| {
        use_bank(settings, bank, methods);
        settings.grant_field = None;
        settings.accounts_field = None;
        settings.customer_identity = CustomerIdentity::TokenField("customer_id".into());
    })
    .await;
    let query = TestHub::build_authorization_query(&kit.acme());
    let redirect = kit.complete_authorization(&query, "alice", &["mt-alice-chequing"]).await;
    query_parameter(&redirect, "error")
}

#[tokio::test]
async fn orphaned_grant_is_revoked_by_its_consent_id() {
    let kit = TestHub::new().await;
    let bank = start_bank(|call| {
        let is_exchange = call.field("grant_type").is_some_and(|value| value == "authorization_code");
        let tokens = json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer",
            "expires_in": 60, "fdxConsentId": "consent 1"});
        is_exchange.then(|| json_response(200, &tokens))
    })
    .await;

    // The response does not identify the customer, so no connection is opened.
    let error = fail_login(&kit, &bank, &[RevokeMethod::FdxConsent]).await;

    assert_eq!(error.as_deref(), Some("server_error"));
    kit.wait_until("the consent is revoked", async || {
        bank.calls().iter().any(|call| describe(call) == "PUT /fdx/consents/consent%201/revocation")
    })
    .await;
    let last = bank.calls().pop().unwrap();
    let reason: Value = serde_json::from_str(&last.body).unwrap();
    assert_eq!(reason, json!({"reason": "BUSINESS_RULE", "initiator": "DATA_ACCESS_PLATFORM"}));
}

#[tokio::test]
async fn login_without_id_of_revocable_grant_fails() {
    let kit = TestHub::new().await;
    let bank = start_bank(|call| {
        let is_exchange = call.field("grant_type").is_some_and(|value| value == "authorization_code");
        let tokens = json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer",
            "expires_in": 60, "customer_id": "alice"});
        is_exchange.then(|| json_response(200, &tokens))
    })
    .await;

    let error = fail_login(&kit, &bank, &[RevokeMethod::FdxConsent, RevokeMethod::Rfc7009]).await;

    assert_eq!(error.as_deref(), Some("server_error"));
    kit.wait_until("the token is revoked", async || {
        bank.calls().iter().any(|call| call.path == "/revoke" && call.field("token").as_deref() == Some("rt"))
    })
    .await;
}
