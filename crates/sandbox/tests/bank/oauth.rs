//! Tests of a bank's authorization codes, tokens and revocation, and of the grants that a revocation ends.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{SCOPE, TestBank, VERIFIER, text_member};

#[tokio::test]
async fn bank_code_requires_verifier_and_is_single_use() {
    let bank = TestBank::maple();
    let code = bank.obtain_code("alice", &["mt-alice-chequing"], SCOPE).await;

    assert_eq!(bank.redeem_code(&code, "another-verifier").await.json()["error"], "invalid_grant");

    let tokens = bank.redeem_code(&code, VERIFIER).await.json();
    assert_eq!(bank.redeem_code(&code, VERIFIER).await.json()["error"], "invalid_grant");

    let after = bank.read(text_member(&tokens, "access_token"), "/accounts").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED, "reuse of a code must end the grant");

    let late = bank.obtain_code("alice", &["mt-alice-chequing"], SCOPE).await;
    bank.advance(60_000);

    assert_eq!(bank.redeem_code(&late, VERIFIER).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn bank_refresh_token_revocation_ends_only_its_grant() {
    for (bank, id) in [(TestBank::maple(), "mt-alice-chequing"), (TestBank::rideau(), "cr-alice-courant")] {
        let (first, second) = (bank.grant_accounts(&[id]).await, bank.grant_accounts(&[id]).await);
        let token = ("token", text_member(&first, "refresh_token"));
        assert_eq!(bank.post_as_hub("/revoke", &[token]).await.status, StatusCode::OK);
        assert_eq!(
            bank.refresh_tokens(text_member(&first, "refresh_token")).await.json()["error"],
            "invalid_grant"
        );
        assert_eq!(bank.read(text_member(&first, "access_token"), "/accounts").await.json()["code"], 602);
        assert_eq!(bank.read(text_member(&second, "access_token"), "/accounts").await.status, StatusCode::OK);
        let unauthenticated =
            bank.post_form("/revoke", &[("client_id", "hub"), ("client_secret", "no"), token]).await;
        assert_eq!(unauthenticated.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn prairie_revocation_ends_all_grants_of_customer() {
    let bank = TestBank::prairie();
    let is_active = |tokens: &Value| {
        let (bank, token) = (&bank, text_member(tokens, "access_token").to_owned());
        async move { bank.read(&token, "/accounts").await.status == StatusCode::OK }
    };
    let bob = bank.grant_all_accounts("bob", SCOPE).await;
    let (first, second) =
        (bank.grant_accounts(&["pc-alice-chequing"]).await, bank.grant_accounts(&["pc-joint-savings"]).await);
    bank.post_as_hub("/revoke", &[("token", text_member(&first, "refresh_token"))]).await;

    assert!(!is_active(&first).await && !is_active(&second).await, "both grants of Alice must end");
    assert!(is_active(&bob).await, "grants of other customers must stay active");

    let code = bank.obtain_code("alice", &["pc-alice-chequing"], SCOPE).await;
    let third = bank.redeem_code(&code, VERIFIER).await.json();
    let fourth = bank.grant_accounts(&["pc-alice-savings"]).await;

    assert!(is_active(&third).await && is_active(&fourth).await, "new grants must be active");

    bank.redeem_code(&code, VERIFIER).await;
    assert!(
        !is_active(&third).await && !is_active(&fourth).await,
        "reuse of a code must end all grants of the customer"
    );
    assert_eq!(
        bank.refresh_tokens(text_member(&fourth, "refresh_token")).await.json()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn bank_access_token_expires_and_grant_survives_restart() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-chequing"]).await;
    let ended = bank.grant_accounts(&["mt-alice-card"]).await;
    bank.post_as_hub("/revoke", &[("token", text_member(&ended, "refresh_token"))]).await;
    bank.advance(300_000);

    assert_eq!(bank.read(text_member(&tokens, "access_token"), "/accounts").await.json()["code"], 602);

    let restarted = bank.restart();
    let fresh = restarted.refresh_tokens(text_member(&tokens, "refresh_token")).await.json();

    assert_eq!(restarted.read(text_member(&fresh, "access_token"), "/accounts").await.status, StatusCode::OK);
    assert!(fresh.get("refresh_token").is_none(), "the bank must not rotate by default");
    assert_eq!(
        restarted.refresh_tokens(text_member(&ended, "refresh_token")).await.json()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn rideau_rotates_refresh_tokens_by_default() {
    let bank = TestBank::rideau();
    let tokens = bank.grant_accounts(&["cr-alice-courant"]).await;
    let old = text_member(&tokens, "refresh_token");
    let rotated = bank.refresh_tokens(old).await.json();
    let new = text_member(&rotated, "refresh_token");

    assert_ne!(new, old);
    assert_eq!(rotated["comptes"], json!(["cr-alice-courant"]));
    assert_eq!(bank.refresh_tokens(old).await.json()["error"], "invalid_grant");

    bank.set_faults(&json!({"rotate_refresh": false})).await;
    assert!(bank.refresh_tokens(new).await.json().get("refresh_token").is_none());

    let reset = bank.send(Method::DELETE, "/faults", &[], String::new()).await.json();
    assert_eq!(reset["rotate_refresh"], true, "a reset must restore the setting of the profile");
    assert!(bank.refresh_tokens(new).await.json()["refresh_token"].is_string());
}

#[test]
fn bank_passwords_derive_from_seed_and_differ_per_bank() {
    assert_eq!(TestBank::maple().inner.logins(), TestBank::maple().inner.logins());
    assert_ne!(TestBank::maple().inner.logins(), TestBank::rideau().inner.logins());

    let names = |bank: TestBank| -> Vec<&str> { bank.inner.logins().iter().map(|l| l.username).collect() };
    assert_eq!(names(TestBank::maple()), ["alice", "bob", "chloe", "david", "emma", "farid"]);
    assert_eq!(names(TestBank::rideau()), names(TestBank::maple()));
    assert_eq!(names(TestBank::prairie()), ["alice", "bob"]);
}
