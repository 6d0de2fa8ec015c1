//! A bank that says `invalid_grant` to all: a few are believed, the rest live.

use std::time::Duration;

use bowline::cli::Sent;
use domain::id::ProviderId;
use domain::model::connection::Cause;
use domain::model::provider::ProviderState;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use store::query::ProviderById;

use crate::kit::{Kit, Recipient, SCOPE, Tokens};

const ALL: usize = 26;

async fn state(kit: &Kit) -> ProviderState {
    let stored = kit.app().store().ask(&ProviderById { id: ProviderId::new(1000) }).await.unwrap();
    stored.unwrap().state
}

/// Fresh access tokens of the hub, while those of the bank have expired.
async fn later(kit: &Kit, all: &mut [(Recipient, Tokens)]) {
    kit.advance(Duration::from_mins(6));
    for (recipient, tokens) in all {
        let body = kit.refresh(recipient, &tokens.refresh).await.json();
        body["access_token"].as_str().unwrap().clone_into(&mut tokens.access);
    }
}

async fn metrics(kit: &Kit) -> String {
    kit.send(Sent::new(Method::GET, &format!("http://{}/metrics", kit.world.node.probes))).await.body
}

#[tokio::test]
async fn at_most_twenty_end_and_the_rest_read_again_when_an_operator_says_so() {
    let kit = Kit::new().await;
    let mut all = Vec::new();
    for _ in 0..ALL {
        let recipient = kit.recipient(&[1000], SCOPE, false).await;
        let tokens = kit.connect(&recipient).await;
        all.push((recipient, tokens));
    }
    later(&kit, &mut all).await;
    kit.levers(json!({"invalid_grant_to_all": true})).await;
    let reads = join_all(all.iter().map(|(_, tokens)| kit.read("/accounts", &tokens.access))).await;
    let ended = reads.iter().filter(|read| read.status == 401 && read.json()["code"] == 602).count();
    let held: Vec<_> = reads.iter().filter(|read| read.status == 503 && read.json()["code"] == 503).collect();
    assert_eq!((ended, held.len()), (20, ALL - 20));
    assert!(held.iter().all(|read| read.headers.contains_key("retry-after")));
    assert_eq!(state(&kit).await, ProviderState::Tripped);
    assert!(metrics(&kit).await.contains(r#"bowline_providers{state="tripped"} 1"#));
    let mut live = Vec::new();
    for (recipient, tokens) in all {
        match kit.cause(&tokens.id).await {
            None => live.push((recipient, tokens)),
            cause => assert_eq!(cause, Some(Cause::Provider)),
        }
    }
    assert_eq!(live.len(), ALL - 20);

    // Whoever asks again waits; whoever revokes is heard.
    for (_, tokens) in &live {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503);
    }
    let (_, revoked) = live.pop().unwrap();
    assert_eq!(kit.revoke(&revoked.access).await.status, 204);

    kit.levers(json!({"invalid_grant_to_all": false})).await;
    kit.hold_provider(1000, ProviderState::Active).await;
    later(&kit, &mut live).await;
    for (_, tokens) in &live {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
        assert_eq!(kit.cause(&tokens.id).await, None);
    }
    let shown = metrics(&kit).await;
    assert!(shown.contains(r#"bowline_providers{state="tripped"} 0"#), "{shown}");
    assert!(shown.contains(r#"bowline_ends_total{cause="provider"} 20"#), "{shown}");
}
