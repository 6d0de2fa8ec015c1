//! A test of a provider that returns `invalid_grant` for every refresh: a few connections end, the others remain
//! active.

use std::time::Duration;

use bowline::cli::BrowserRequest;
use domain::id::ProviderId;
use domain::model::connection::EndCause;
use domain::model::provider::ProviderState;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use store::query::GetProvider;

use crate::support::{ConnectionTokens, SCOPE, TestClient, TestHub};

const CONNECTIONS: usize = 26;

async fn load_provider_state(kit: &TestHub) -> ProviderState {
    let stored = kit.app().store().query(&GetProvider { id: ProviderId::new(1000) }).await.unwrap();
    stored.unwrap().state
}

/// Refreshes the hub's access token of each connection, after the provider's access tokens have expired.
async fn refresh_after_expiry(kit: &TestHub, all: &mut [(TestClient, ConnectionTokens)]) {
    kit.advance(Duration::from_mins(6));
    for (recipient, tokens) in all {
        let body = kit.refresh(recipient, &tokens.refresh).await.json();
        body["access_token"].as_str().unwrap().clone_into(&mut tokens.access);
    }
}

async fn fetch_metrics(kit: &TestHub) -> String {
    kit.send(BrowserRequest::new(Method::GET, &format!("http://{}/metrics", kit.world.node.probes)))
        .await
        .body
}

#[tokio::test]
async fn invalid_grant_burst_ends_twenty_connections_then_pauses() {
    let kit = TestHub::with_settings(&[("upstream.invalid_grant_delay", "0s")]).await;
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        let recipient = kit.register_recipient(&[1000], SCOPE, false).await;
        let tokens = kit.connect(&recipient).await;
        all.push((recipient, tokens));
    }
    refresh_after_expiry(&kit, &mut all).await;
    kit.inject_faults(json!({"invalid_grant_to_all": true})).await;
    let reads = join_all(all.iter().map(|(_, tokens)| kit.read("/accounts", &tokens.access))).await;
    let ended = reads.iter().filter(|read| read.status == 401 && read.json()["code"] == 602).count();
    let paused: Vec<_> =
        reads.iter().filter(|read| read.status == 503 && read.json()["code"] == 503).collect();
    assert_eq!((ended, paused.len()), (20, CONNECTIONS - 20));
    assert!(paused.iter().all(|read| read.headers.contains_key("retry-after")));
    assert_eq!(load_provider_state(&kit).await, ProviderState::AutoPaused);
    assert!(fetch_metrics(&kit).await.contains(r#"bowline_providers{state="auto_paused"} 1"#));
    let mut active = Vec::new();
    for (recipient, tokens) in all {
        match kit.load_end_cause(&tokens.id).await {
            None => active.push((recipient, tokens)),
            cause => assert_eq!(cause, Some(EndCause::Provider)),
        }
    }
    assert_eq!(active.len(), CONNECTIONS - 20);

    // Reads must wait; revocations succeed.
    for (_, tokens) in &active {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503);
    }
    let (_, revoked) = active.pop().unwrap();
    assert_eq!(kit.revoke(&revoked.access).await.status, 204);

    kit.inject_faults(json!({"invalid_grant_to_all": false})).await;
    kit.set_provider_state(1000, ProviderState::Active).await;
    refresh_after_expiry(&kit, &mut active).await;
    for (_, tokens) in &active {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
        assert_eq!(kit.load_end_cause(&tokens.id).await, None);
    }
    let shown = fetch_metrics(&kit).await;
    assert!(shown.contains(r#"bowline_providers{state="auto_paused"} 0"#), "{shown}");
    assert!(shown.contains(r#"bowline_ends_total{cause="provider"} 20"#), "{shown}");
}
