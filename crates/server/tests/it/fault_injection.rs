//! Tests of the responses to a recipient for each fault of a sandbox bank, and of the state of the connection
//! afterwards.

use domain::model::connection::{EndCause, UpstreamRevocation};
use serde_json::{Value, json};

use crate::support::{TestHub, on_both};
use bowline::cli::{BrowserRequest, BrowserResponse};
use http::Method;

on_both!(
    injected_faults_map_to_documented_responses,
    consent_ended_at_provider_ends_connection,
    rotated_refresh_tokens_are_stored,
    confirmed_invalid_grant_ends_connection_with_602,
    revocation_response_sets_provider_revocation_status,
    provider_clock_skew_does_not_break_reads,
    intermittent_provider_failures_are_passed_to_client,
);

/// Returns a summary of a response: status, code, message, and whether it has `Retry-After`.
fn summarize(answer: &BrowserResponse) -> (u16, Value, Value, bool) {
    let body = answer.json();
    (answer.status, body["code"].clone(), body["message"].clone(), answer.headers.contains_key("retry-after"))
}

async fn injected_faults_map_to_documented_responses(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let maintenance = (503, json!(503), json!("Scheduled maintenance"), true);
    let internal = (500, json!(500), json!("Internal server error"), false);
    let limited =
        (429, json!(1207), json!("Too many requests were sent within a short period of time"), true);
    for (faults, expected) in [
        (json!({"fail": 503}), maintenance.clone()),
        (json!({"fail": 500}), internal),
        (json!({"rate_limited": true}), limited),
        (json!({"latency_ms": 5}), (200, Value::Null, Value::Null, false)),
    ] {
        kit.inject_faults(faults.clone()).await;
        assert_eq!(summarize(&kit.read("/accounts", &tokens.access).await), expected, "{faults}");
        let refresh = kit.refresh(&acme, &tokens.refresh).await;
        assert_eq!(refresh.status, 200, "a refresh at the hub never calls the provider: {faults}");
        kit.inject_faults(json!({"fail": null, "rate_limited": false, "latency_ms": 0})).await;
        assert_eq!(
            kit.read("/accounts", &tokens.access).await.status,
            200,
            "reads succeed again without the fault"
        );
    }
    kit.advance(std::time::Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    kit.inject_faults(json!({"token_endpoint": "down"})).await;
    assert_eq!(
        summarize(&kit.read("/accounts", &fresh).await),
        maintenance,
        "the provider's token has expired"
    );
    kit.inject_faults(json!({"token_endpoint": "up"})).await;
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

async fn consent_ended_at_provider_ends_connection(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let mut end =
        BrowserRequest::new(Method::POST, &format!("{}/consents/end", kit.world.maple().faults_url()));
    end.json = Some(json!({"username": "alice"}));
    assert_eq!(kit.send(end).await.json()["ended"], 1);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503, "a second refresh must confirm it");
    kit.advance(std::time::Duration::from_secs(5));
    let expected = (401, json!(602), json!("Customer not authorized"), false);
    assert_eq!(summarize(&kit.read("/accounts", &tokens.access).await), expected);
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Provider));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking an ended connection succeeds");
}

async fn rotated_refresh_tokens_are_stored(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"rotate_refresh": true})).await;
    for version in 2..5 {
        kit.advance(std::time::Duration::from_mins(10));
        let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
        let read = kit.read("/accounts", fresh["access_token"].as_str().unwrap()).await;
        assert_eq!(read.status, 200, "{}", read.body);
        assert_eq!(kit.load_connection(&tokens.id).await.credential_version, version);
    }
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(kit.revoke(fresh["access_token"].as_str().unwrap()).await.status, 204);
    kit.wait_until("the newest token is revoked", async || kit.list_grant_states().await == ["ended"]).await;
}

async fn confirmed_invalid_grant_ends_connection_with_602(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"invalid_grant_to_all": true})).await;
    assert_eq!(
        kit.read("/accounts", &tokens.access).await.status,
        200,
        "the provider's token is still valid"
    );
    kit.advance(std::time::Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kit.read("/accounts", &fresh).await.status, 503, "a second refresh must confirm it");
    kit.advance(std::time::Duration::from_secs(5));
    let expected = (401, json!(602), json!("Customer not authorized"), false);
    assert_eq!(summarize(&kit.read("/accounts", &fresh).await), expected);
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Provider));
}

async fn revocation_response_sets_provider_revocation_status(kit: TestHub) {
    let acme = kit.acme();
    for (fault, shown, at_the_bank) in [
        ("ok", UpstreamRevocation::Accepted, "ended"),
        ("refuse", UpstreamRevocation::Refused, "active"),
        ("already", UpstreamRevocation::Accepted, "active"),
    ] {
        let tokens = kit.connect(&acme).await;
        kit.inject_faults(json!({"revoke": fault})).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204, "{fault}");
        assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602, "{fault}");
        kit.wait_until("the bank has answered", async || {
            kit.load_connection(&tokens.id).await.provider_revocation == shown
        })
        .await;
        assert!(kit.list_grant_states().await.iter().any(|state| state == at_the_bank), "{fault}");
    }
}

async fn provider_clock_skew_does_not_break_reads(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    for skew in [90, -90] {
        kit.inject_faults(json!({"clock_skew_s": skew})).await;
        let read = kit.read("/accounts", &tokens.access).await;
        assert_eq!(read.status, 200, "{skew} s: {}", read.body);
    }
    kit.inject_faults(json!({"clock_skew_s": 3600})).await;
    let read = kit.read("/accounts", &tokens.access).await;
    assert_eq!(read.status, 200, "a token that the provider rejects is refreshed once: {}", read.body);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

async fn intermittent_provider_failures_are_passed_to_client(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"fail": 503, "fail_share": 0.5})).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(kit.read("/accounts", &tokens.access).await.status);
    }
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 4, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 503).count(), 4, "{statuses:?}");
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}
