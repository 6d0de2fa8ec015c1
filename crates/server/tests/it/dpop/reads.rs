//! Scenarios of reads with a token that is bound to a key: concurrent reads, and documents.

use std::collections::BTreeSet;

use domain::model::provider::Dpop;
use futures_util::future::join_all;
use serde_json::json;

use super::{assert_untouched, connect, read};
use crate::support::{ConnectionTokens, DpopBank, RawRequest, TestHub, build_document};

const READS: usize = 8;

#[tokio::test]
async fn concurrent_reads_each_repeat_with_their_demanded_nonce() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, _) = connect(&kit).await;
    let before = bank.proofs().len();
    // A read that sends the newest known nonce instead of the one that it was asked for fails.
    bank.change(|state| state.demands_own_nonces = true);

    let responses = join_all((0..READS).map(|_| read(&kit, &tokens))).await;

    for response in responses {
        assert_eq!(response.status, 200, "{}", response.body);
    }
    let proofs = bank.proofs().split_off(before);
    assert_eq!(proofs.len(), 2 * READS, "each read is repeated once: {proofs:?}");
    assert!(proofs.iter().all(|proof| proof.path == "/fdx/accounts"), "no token is refreshed: {proofs:?}");
    let ids: BTreeSet<_> = proofs.iter().map(|proof| &proof.id).collect();
    assert_eq!(ids.len(), proofs.len(), "each proof has an id of its own");
    assert_untouched(&kit, &tokens).await;
}

/// Connects with a scope for statements. Returns the tokens and the path of a document.
async fn find_document(kit: &TestHub) -> (ConnectionTokens, String) {
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], "ACCOUNT_BASIC STATEMENTS").await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let id = kit.fetch_statement_id(&tokens.access).await;
    (tokens, format!("/api/fdx/5/accounts/{account}/statements/{id}"))
}

#[tokio::test]
async fn document_has_proof_for_each_url_and_is_complete() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, path) = find_document(&kit).await;
    let before = bank.proofs().len();
    bank.change(|state| state.data_nonce = Some("d-1".to_owned()));

    let document = kit.send_raw(&RawRequest::get(path).bearer(&tokens.access)).await;

    assert_eq!(document.status, 200, "{}", document.body);
    assert!(document.body == build_document(), "{} bytes", document.body.len());
    // The stub verifies the method, the URL and the hash of the token in each proof.
    let proofs = bank.proofs().split_off(before);
    let sent: Vec<_> = proofs.iter().map(|proof| (&*proof.path, proof.nonce.as_deref())).collect();
    let expected = [
        ("/fdx/accounts/a-1/statements/s-1", None),
        ("/fdx/accounts/a-1/statements/s-1", Some("d-1")),
        ("/fdx/documents/s-1", Some("d-1")),
    ];
    assert_eq!(sent, expected, "the demanded nonce is sent once, and to the target of the redirect");
    assert_untouched(&kit, &tokens).await;
}

#[tokio::test]
async fn loop_of_nonces_ends_document_without_refresh() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, path) = find_document(&kit).await;
    let before = bank.proofs().len();
    bank.change(|state| state.loop_at = Some("/fdx/documents"));

    let failed = kit.send_raw(&RawRequest::get(path).bearer(&tokens.access)).await;

    assert_eq!((failed.status, &failed.json()["code"]), (500, &json!(500)), "{}", failed.body);
    let paths = bank.paths().split_off(before);
    let document = "/fdx/documents/s-1";
    assert_eq!(paths, ["/fdx/accounts/a-1/statements/s-1", document, document], "it is repeated once");
    assert_untouched(&kit, &tokens).await;
}
