//! A recipient's own client at a provider stays there for as long as somebody may have to speak as it.

use std::time::Duration;

use bowline::cli::Sent;
use http::Method;
use serde_json::json;

use crate::kit::{Kit, SCOPE, on_both, parameter};

on_both!(
    a_client_is_not_deleted_while_a_code_is_exchanged_as_it,
    a_client_is_not_deleted_before_a_person_has_seen_to_what_was_not_told,
);

/// What the job says that waits.
const WAITS: &str = "the provider is still to be told of ends by this client";

async fn a_client_is_not_deleted_while_a_code_is_exchanged_as_it(kit: Kit) {
    kit.registers().await;
    let recipient = kit.sent_to_the_bank().await;
    kit.until_state(&recipient, "active").await;
    let callback = kit.agreed_at_the_bank(&recipient).await;
    kit.levers(json!({"latency_ms": 1500})).await;
    let (answer, ()) = tokio::join!(kit.send(Sent::new(Method::GET, &callback)), async {
        let exchanging = "SELECT id FROM authorization_requests WHERE status = 'exchanging'";
        kit.until("the bank is asked", async || !kit.behind(exchanging).await.is_empty()).await;
        kit.did(Method::DELETE, &format!("/recipients/{}", recipient.id), None).await;
        assert_eq!(kit.until_job("delete_client", "pending").await["outcome"], WAITS);
    });
    assert_eq!(parameter(&answer.location.unwrap(), "error").as_deref(), Some("unauthorized_client"));
    kit.levers(json!({"latency_ms": 0})).await;
    kit.until("the client is gone", async || {
        kit.advance(Duration::from_secs(30));
        kit.world.maple().bank.clients().is_empty()
    })
    .await;
    assert_eq!(kit.until_job("revoke_orphan", "done").await["outcome"], "HTTP 200");
    assert_eq!(kit.grants().await, ["ended"]);
}

async fn a_client_is_not_deleted_before_a_person_has_seen_to_what_was_not_told(kit: Kit) {
    kit.registers().await;
    let recipient = kit.sent_to_the_bank().await;
    kit.until_state(&recipient, "active").await;
    kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    kit.levers(json!({"fail": 503})).await;
    kit.did(Method::DELETE, &format!("/recipients/{}", recipient.id), None).await;
    kit.until_job("delete_client", "pending").await;
    kit.until_job("tell_bank", "pending").await;
    kit.advance(Duration::from_hours(8 * 24));
    let dead = kit.until_job("tell_bank", "dead").await;
    kit.levers(json!({"fail": null})).await;
    let tries = kit.jobs_of("delete_client").await[0]["attempts"].as_i64().unwrap();
    kit.advance(Duration::from_hours(8 * 24));
    kit.until("the deletion is tried", async || {
        kit.jobs_of("delete_client").await[0]["attempts"].as_i64() > Some(tries)
    })
    .await;
    let waits = kit.until_job("delete_client", "pending").await;
    assert_eq!((&waits["outcome"], &waits["holds_token"]), (&json!(WAITS), &json!(true)));
    kit.did(Method::POST, &format!("/jobs/{}/retry", dead["id"].as_str().unwrap()), None).await;
    assert_eq!(kit.until_job("tell_bank", "done").await["outcome"], "HTTP 200");
    kit.advance(Duration::from_hours(8));
    kit.until("the client is gone", async || kit.world.maple().bank.clients().is_empty()).await;
    assert_eq!(kit.grants().await, ["ended"]);
}
