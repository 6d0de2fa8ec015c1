//! Codes, tokens, revocation, and what ends with what.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{SCOPE, TestBank, VERIFIER, text_member};

#[tokio::test]
async fn bank_code_requires_verifier_and_is_single_use() {
    let kit = TestBank::maple();
    let code = kit.obtain_code("alice", &["mt-alice-chequing"], SCOPE).await;
    assert_eq!(kit.redeem_code(&code, "another-verifier").await.json()["error"], "invalid_grant");
    let reply = kit.redeem_code(&code, VERIFIER).await.json();
    assert_eq!(kit.redeem_code(&code, VERIFIER).await.json()["error"], "invalid_grant");
    let after = kit.read(text_member(&reply, "access_token"), "/accounts").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED, "a replay ends what came of the code");
    let late = kit.obtain_code("alice", &["mt-alice-chequing"], SCOPE).await;
    kit.advance(60_000);
    assert_eq!(kit.redeem_code(&late, VERIFIER).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn bank_refresh_token_revocation_ends_only_its_grant() {
    for (kit, id) in [(TestBank::maple(), "mt-alice-chequing"), (TestBank::rideau(), "cr-alice-courant")] {
        let (first, second) = (kit.grant_accounts(&[id]).await, kit.grant_accounts(&[id]).await);
        let token = ("token", text_member(&first, "refresh_token"));
        assert_eq!(kit.post_as_hub("/revoke", &[token]).await.status, StatusCode::OK);
        assert_eq!(
            kit.refresh_tokens(text_member(&first, "refresh_token")).await.json()["error"],
            "invalid_grant"
        );
        assert_eq!(kit.read(text_member(&first, "access_token"), "/accounts").await.json()["code"], 602);
        assert_eq!(kit.read(text_member(&second, "access_token"), "/accounts").await.status, StatusCode::OK);
        let unauthenticated =
            kit.post_form("/revoke", &[("client_id", "hub"), ("client_secret", "no"), token]).await;
        assert_eq!(unauthenticated.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn prairie_revocation_ends_all_grants_of_customer() {
    let kit = TestBank::prairie();
    let is_active = |reply: &Value| {
        let (kit, token) = (&kit, text_member(reply, "access_token").to_owned());
        async move { kit.read(&token, "/accounts").await.status == StatusCode::OK }
    };
    let bob = kit.grant_all_accounts("bob", SCOPE).await;
    let (first, second) =
        (kit.grant_accounts(&["pc-alice-chequing"]).await, kit.grant_accounts(&["pc-joint-savings"]).await);
    kit.post_as_hub("/revoke", &[("token", text_member(&first, "refresh_token"))]).await;
    assert!(!is_active(&first).await && !is_active(&second).await, "both of alice's");
    assert!(is_active(&bob).await, "and nobody else's");
    let code = kit.obtain_code("alice", &["pc-alice-chequing"], SCOPE).await;
    let third = kit.redeem_code(&code, VERIFIER).await.json();
    let fourth = kit.grant_accounts(&["pc-alice-savings"]).await;
    assert!(is_active(&third).await && is_active(&fourth).await, "new consents live");
    kit.redeem_code(&code, VERIFIER).await;
    assert!(!is_active(&third).await && !is_active(&fourth).await, "a replay as well");
    assert_eq!(
        kit.refresh_tokens(text_member(&fourth, "refresh_token")).await.json()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn bank_access_token_expires_and_grant_survives_restart() {
    let kit = TestBank::maple();
    let reply = kit.grant_accounts(&["mt-alice-chequing"]).await;
    let ended = kit.grant_accounts(&["mt-alice-card"]).await;
    kit.post_as_hub("/revoke", &[("token", text_member(&ended, "refresh_token"))]).await;
    kit.advance(300_000);
    assert_eq!(kit.read(text_member(&reply, "access_token"), "/accounts").await.json()["code"], 602);
    let again = kit.restart();
    let fresh = again.refresh_tokens(text_member(&reply, "refresh_token")).await.json();
    assert_eq!(again.read(text_member(&fresh, "access_token"), "/accounts").await.status, StatusCode::OK);
    assert!(fresh.get("refresh_token").is_none(), "does not rotate unless told to");
    assert_eq!(
        again.refresh_tokens(text_member(&ended, "refresh_token")).await.json()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn rideau_rotates_refresh_tokens_by_default() {
    let kit = TestBank::rideau();
    let reply = kit.grant_accounts(&["cr-alice-courant"]).await;
    let old = text_member(&reply, "refresh_token");
    let rotated = kit.refresh_tokens(old).await.json();
    let new = text_member(&rotated, "refresh_token");
    assert_ne!(new, old);
    assert_eq!(rotated["comptes"], json!(["cr-alice-courant"]));
    assert_eq!(kit.refresh_tokens(old).await.json()["error"], "invalid_grant");
    kit.set_faults(&json!({"rotate_refresh": false})).await;
    assert!(kit.refresh_tokens(new).await.json().get("refresh_token").is_none());
    let reset = kit.send(Method::DELETE, "/faults", &[], String::new()).await.json();
    assert_eq!(reset["rotate_refresh"], true, "its own way of being");
    assert!(kit.refresh_tokens(new).await.json()["refresh_token"].is_string());
}

#[test]
fn bank_passwords_derive_from_seed_and_differ_per_bank() {
    assert_eq!(TestBank::maple().bank.logins(), TestBank::maple().bank.logins());
    assert_ne!(TestBank::maple().bank.logins(), TestBank::rideau().bank.logins());
    let names = |kit: TestBank| -> Vec<&str> { kit.bank.logins().iter().map(|l| l.username).collect() };
    assert_eq!(names(TestBank::maple()), ["alice", "bob", "chloe", "david", "emma", "farid"]);
    assert_eq!(names(TestBank::rideau()), names(TestBank::maple()));
    assert_eq!(names(TestBank::prairie()), ["alice", "bob"]);
}
