//! Tests of tokens that are bound to a key (DPoP, RFC 9449) with the independent bank, which verifies the proofs of token requests.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::cli::BrowserRequest;
use domain::model::provider::Dpop;
use http::Method;
use serde_json::{Value, json};

use super::IndependentBank;
use super::authorization::discover_bank;
use crate::support::{HubApiClient, TestAuthority, TestHub};

impl IndependentBank {
    /// Returns the verified proofs of the reads of data.
    async fn proofs(&self, kit: &TestHub) -> Vec<Value> {
        let request = BrowserRequest::new(Method::GET, &format!("{}/proofs", self.http));
        kit.browser.send(request).await.unwrap().json().as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn dpop_bound_tokens_are_refreshed_read_and_revoked() {
    for requires_nonces in [false, true] {
        let kit = TestHub::new().await;
        let settings = json!({"dpop_nonces": requires_nonces});
        let bank = IndependentBank::start_with(&kit, &TestAuthority::new(), &settings).await;
        discover_bank(&kit, &bank, "jwt-dpop", |settings| settings.dpop = Dpop::Auto).await;

        let tokens = kit.connect_at_independent_bank(&bank).await;
        let (login, _) = bank.last_login(&kit).await;
        for _ in 0..3 {
            // The bank's access tokens last 20 seconds, so each read needs a refresh.
            kit.advance(Duration::from_secs(16));
            let read = kit.read("/accounts", &tokens.access).await;
            assert_eq!(read.status, 200, "{}", read.body);
        }
        // Another node has the key too, and no nonce.
        let node = kit.start_other_node().await;
        let read =
            HubApiClient { browser: &kit.browser, hub: &node.url }.read("/accounts", &tokens.access).await;
        node.stop().await;
        assert_eq!(read.status, 200, "{}", read.body);
        assert!(bank.introspect_issued_tokens(&kit.browser).await.contains(&true));
        assert_eq!(kit.revoke(&tokens.access).await.status, 204);

        kit.wait_for_revocation(&tokens).await;
        let states = bank.introspect_issued_tokens(&kit.browser).await;
        assert!(states.len() >= 8 && !states.contains(&true), "{states:?}");
        let proofs = bank.proofs(&kit).await;
        assert_eq!(proofs.len(), 4, "{proofs:?}");
        let keys: BTreeSet<_> = proofs.iter().map(|proof| proof["key"].as_str().unwrap()).collect();
        assert_eq!(keys, BTreeSet::from([login["dpop_jkt"].as_str().unwrap()]), "one key for each grant");
        let nonce = if requires_nonces { json!("nonce-of-the-data") } else { Value::Null };
        assert!(proofs.iter().all(|proof| proof["nonce"] == nonce), "{proofs:?}");
    }
}

#[tokio::test]
async fn check_of_provider_sends_proof_with_nonce() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start_with(&kit, &TestAuthority::new(), &json!({"dpop_nonces": true})).await;
    discover_bank(&kit, &bank, "jwt-dpop", |settings| settings.dpop = Dpop::Required).await;

    let token = kit.check_of_provider(1000, "token").await;
    let dpop = kit.check_of_provider(1000, "dpop").await;

    assert_eq!(token, (true, "HTTP 400 invalid_grant: the client is accepted".to_owned()));
    assert_eq!(dpop, (true, "the metadata offer DPoP with ES256".to_owned()));
}
