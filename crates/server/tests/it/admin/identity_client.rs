//! Tests of the identity client of a provider: its secret is sealed, replaced and never shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::new_providers::take_prairie_settings;
use crate::support::{EndpointStub, TestHub, hex, json_response, on_both};

on_both!(secret_of_identity_client_is_sealed_and_replaced);

/// Tests the provider; returns the credentials of the identity client that its token endpoint has received.
async fn read_sent_credentials(kit: &TestHub, bank: &EndpointStub) -> Option<String> {
    kit.run_admin_operation(Method::POST, "/providers/3000/test", None).await;
    let sent = bank.calls().into_iter().rev().filter_map(|call| {
        let header = call.headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
        String::from_utf8(STANDARD.decode(header).ok()?).ok()
    });
    sent.into_iter().find(|credentials| credentials.starts_with("sign-in:"))
}

async fn secret_of_identity_client_is_sealed_and_replaced(kit: TestHub) {
    let bank = EndpointStub::new(|_| json_response(400, &json!({"error": "invalid_grant"}))).await;
    let mut body = take_prairie_settings(&kit).await;
    body["token_endpoint"] = json!(format!("{}/token", bank.url));
    body["identity_client"] = json!({"client_id": "sign-in", "client_secret": "first-secret"});
    kit.run_admin_operation(Method::POST, "/providers", Some(body)).await;

    let added = kit.run_admin_operation(Method::GET, "/providers/3000", None).await["settings"].take();
    let first = read_sent_credentials(&kit, &bank).await;
    let replaced = Some(json!({"identity_client": {"client_secret": "second-secret"}}));
    let replaced = kit.run_admin_operation(Method::POST, "/providers/3000/secret", replaced).await;
    let second = read_sent_credentials(&kit, &bank).await;
    // The settings that an operator reads have no secrets. Those that are missing stay.
    let mut renamed = added.clone();
    renamed["name"] = json!("Prairie");
    let update = kit.run_admin_operation(Method::PUT, "/providers/3000", Some(renamed)).await;
    let kept = read_sent_credentials(&kit, &bank).await;

    assert_eq!(added["identity_client"], json!({"client_id": "sign-in", "auth": "client_secret_basic"}));
    assert_eq!(first.as_deref(), Some("sign-in:first-secret"));
    assert_eq!(replaced["changed"], json!(["identity_client.client_secret"]));
    assert_eq!(second.as_deref(), Some("sign-in:second-secret"));
    assert_eq!((&update["changed"], kept.as_deref()), (&json!(["name"]), Some("sign-in:second-secret")));
    let row = kit.sql("SELECT settings, secrets FROM providers WHERE id = 3000").await.concat();
    let is_plain = |secret: &str| row.contains(secret) || row.contains(&hex(secret.as_bytes()));
    assert!(row.contains("sealed") && !is_plain("first-secret") && !is_plain("second-secret"), "{row}");
    let removed: Value = {
        let mut settings = added;
        settings["identity_client"] = Value::Null;
        kit.run_admin_operation(Method::PUT, "/providers/3000", Some(settings)).await
    };
    assert_eq!(removed["provider"]["settings"].get("identity_client"), None, "{removed}");
}
