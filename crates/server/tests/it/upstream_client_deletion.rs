//! Tests that an upstream client is not deleted while a code exchange or a revocation may still need it.

use std::time::Duration;

use bowline::cli::BrowserRequest;
use http::Method;
use serde_json::json;

use crate::support::{SCOPE, TestHub, on_both, query_parameter};

on_both!(
    upstream_client_is_kept_during_code_exchange,
    upstream_client_is_kept_until_failed_revocation_settled,
);

/// The outcome that a deletion job reports while pending revocations delay it.
const WAITING_FOR_REVOCATIONS: &str = "revocations by this client may still be pending at the provider";

async fn upstream_client_is_kept_during_code_exchange(kit: TestHub) {
    kit.enable_client_registration().await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_registration_state(&recipient, "active").await;
    let callback = kit.approve_at_bank(&recipient).await;
    kit.inject_faults(json!({"latency_ms": 1500})).await;
    let (answer, ()) = tokio::join!(kit.send(BrowserRequest::new(Method::GET, &callback)), async {
        let exchanging = "SELECT id FROM authorization_requests WHERE status = 'exchanging'";
        kit.wait_until("the bank is asked", async || !kit.sql(exchanging).await.is_empty()).await;
        kit.run_admin_operation(Method::DELETE, &format!("/recipients/{}", recipient.id), None).await;
        assert_eq!(
            kit.wait_for_job("delete_upstream_client", "pending").await["outcome"],
            WAITING_FOR_REVOCATIONS
        );
    });
    assert_eq!(query_parameter(&answer.location.unwrap(), "error").as_deref(), Some("unauthorized_client"));
    kit.inject_faults(json!({"latency_ms": 0})).await;
    kit.wait_until("the client is gone", async || {
        kit.advance(Duration::from_secs(30));
        kit.world.maple().bank.client_ids().is_empty()
    })
    .await;
    assert_eq!(kit.wait_for_job("revoke_orphaned_grant", "done").await["outcome"], "HTTP 200");
    assert_eq!(kit.list_grant_states().await, ["ended"]);
}

async fn upstream_client_is_kept_until_failed_revocation_settled(kit: TestHub) {
    kit.enable_client_registration().await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_registration_state(&recipient, "active").await;
    kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    kit.inject_faults(json!({"fail": 503})).await;
    kit.run_admin_operation(Method::DELETE, &format!("/recipients/{}", recipient.id), None).await;
    kit.wait_for_job("delete_upstream_client", "pending").await;
    kit.wait_for_job("revoke_at_provider", "pending").await;
    kit.advance(Duration::from_hours(8 * 24));
    let failed = kit.wait_for_job("revoke_at_provider", "failed").await;
    kit.inject_faults(json!({"fail": null})).await;
    let tries = kit.list_jobs_of_kind("delete_upstream_client").await[0]["attempts"].as_i64().unwrap();
    kit.advance(Duration::from_hours(8 * 24));
    kit.wait_until("the deletion is tried", async || {
        kit.list_jobs_of_kind("delete_upstream_client").await[0]["attempts"].as_i64() > Some(tries)
    })
    .await;
    let waits = kit.wait_for_job("delete_upstream_client", "pending").await;
    assert_eq!((&waits["outcome"], &waits["holds_token"]), (&json!(WAITING_FOR_REVOCATIONS), &json!(true)));
    kit.run_admin_operation(Method::POST, &format!("/jobs/{}/retry", failed["id"].as_str().unwrap()), None)
        .await;
    assert_eq!(kit.wait_for_job("revoke_at_provider", "done").await["outcome"], "HTTP 200");
    kit.advance(Duration::from_hours(8));
    kit.wait_until("the client is gone", async || kit.world.maple().bank.client_ids().is_empty()).await;
    assert_eq!(kit.list_grant_states().await, ["ended"]);
}
