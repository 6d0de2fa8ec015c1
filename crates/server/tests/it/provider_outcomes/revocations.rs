//! Scenarios of the responses of a provider to revocations.

use std::time::Duration;

use domain::model::connection::UpstreamRevocation;
use http::Method;
use serde_json::json;

use super::{authorize_with_fault, wait_for_revocation, wait_until_grants_have_ended};
use crate::support::{TestHub, on_both};

on_both!(access_token_is_revoked_without_refresh_token, every_2xx_accepts_a_revocation);

async fn access_token_is_revoked_without_refresh_token(kit: TestHub) {
    kit.inject_faults(json!({"token_response": "no_refresh_token"})).await;
    let tokens = kit.connect(&kit.acme()).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    kit.inject_faults(json!({"token_response": "normal"})).await;

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    wait_for_revocation(&kit, &tokens, UpstreamRevocation::Accepted).await;
    assert_eq!(kit.list_grant_states().await, ["ended"]);

    // An exchange that fails after the tokens were issued.
    kit.update_provider_settings(1000, |settings| settings.accounts_field = Some("none".into())).await;
    let error = authorize_with_fault(&kit, json!({"token_response": "no_refresh_token"})).await;
    assert_eq!(error.as_deref(), Some("server_error"));
    wait_until_grants_have_ended(&kit, "failed exchange").await;
}

async fn every_2xx_accepts_a_revocation(kit: TestHub) {
    for behavior in ["created", "accepted"] {
        let tokens = kit.connect(&kit.acme()).await;
        kit.inject_faults(json!({"revoke": behavior})).await;

        assert_eq!(kit.revoke(&tokens.access).await.status, 204);

        wait_for_revocation(&kit, &tokens, UpstreamRevocation::Accepted).await;
    }
}

#[tokio::test]
async fn revocation_is_retried_until_the_provider_decides() {
    let kit = TestHub::new().await;
    for behavior in [
        "wrong_client",
        "not_found",
        "method_not_allowed",
        "conflict",
        "misdirected",
        "too_early",
        "server_error",
        "invalid_request",
    ] {
        let tokens = kit.connect(&kit.acme()).await;
        kit.inject_faults(json!({"revoke": behavior})).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204);
        kit.wait_until("the revocation was attempted", async || {
            let shown =
                kit.send_admin_request(Method::GET, &format!("/connections/{}", tokens.id)).await.json();
            shown["jobs"][0]["attempts"].as_i64() > Some(0)
        })
        .await;

        let revocation = kit.load_connection(&tokens.id).await.provider_revocation;
        kit.inject_faults(json!({"revoke": "ok"})).await;
        kit.advance(Duration::from_secs(10));
        kit.app().job_notify().notify_one();

        assert_eq!(revocation, UpstreamRevocation::Pending, "{behavior}");
        wait_for_revocation(&kit, &tokens, UpstreamRevocation::Accepted).await;
    }
}

#[tokio::test]
async fn third_invalid_request_refuses_a_revocation() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let responses =
        ["conflict", "invalid_request", "server_error", "conflict", "invalid_request", "invalid_request"];
    kit.inject_faults(json!({"revoke": responses[0]})).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    for (attempts, response) in (0..).zip(responses) {
        let is_attempted = async |attempts: i64| {
            let shown = kit.send_admin_request(Method::GET, &format!("/connections/{}", tokens.id)).await;
            shown.json()["jobs"][0]["attempts"] == attempts
        };
        if attempts > 0 {
            let revocation = kit.load_connection(&tokens.id).await.provider_revocation;
            assert_eq!(revocation, UpstreamRevocation::Pending, "before attempt {attempts} with {response}");
            kit.inject_faults(json!({"revoke": response})).await;
            kit.advance(Duration::from_hours(8));
            kit.app().job_notify().notify_one();
        }
        kit.wait_until("the revocation was attempted", async || is_attempted(attempts + 1).await).await;
    }

    wait_for_revocation(&kit, &tokens, UpstreamRevocation::Refused).await;
}

#[tokio::test]
async fn refused_revocation_can_be_retried_with_its_token() {
    let kit = TestHub::new().await;
    for behavior in ["invalid_token", "refuse"] {
        let tokens = kit.connect(&kit.acme()).await;
        kit.inject_faults(json!({"revoke": behavior})).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204);
        wait_for_revocation(&kit, &tokens, UpstreamRevocation::Refused).await;
        let shown = kit.send_admin_request(Method::GET, &format!("/connections/{}", tokens.id)).await.json();
        let job = &shown["jobs"][0];

        kit.inject_faults(json!({"revoke": "ok"})).await;
        let path = format!("/jobs/{}/retry", job["id"].as_str().unwrap());
        let retried = kit.send_operator_request(kit.admin_token(), Method::POST, &path, None).await;

        assert_eq!((&job["state"], &job["holds_token"]), (&json!("failed"), &json!(true)), "{behavior}");
        assert_eq!(retried.status, 200, "{}", retried.body);
        wait_for_revocation(&kit, &tokens, UpstreamRevocation::Accepted).await;
    }
}

#[tokio::test]
async fn other_token_is_tried_if_refresh_tokens_are_not_revoked() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"revoke": "access_tokens_only"})).await;

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    // The refresh token may still be valid, so the revocation counts as refused although this bank has ended the grant.
    wait_for_revocation(&kit, &tokens, UpstreamRevocation::Refused).await;
    assert_eq!(kit.list_grant_states().await, ["ended"]);
    let shown = kit.send_admin_request(Method::GET, &format!("/connections/{}", tokens.id)).await.json();
    assert_eq!(
        shown["jobs"][0]["outcome"],
        "refresh token: HTTP 400 unsupported_token_type; access token: HTTP 200"
    );
}
