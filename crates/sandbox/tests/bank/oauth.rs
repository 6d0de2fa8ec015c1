//! Codes, tokens, revocation, and what ends with what.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::kit::{Kit, SCOPE, VERIFIER, text};

#[tokio::test]
async fn a_code_needs_its_verifier_and_works_once() {
    let kit = Kit::maple();
    let code = kit.code("alice", &["mt-alice-chequing"], SCOPE).await;
    assert_eq!(kit.redeem(&code, "another-verifier").await.json()["error"], "invalid_grant");
    let reply = kit.redeem(&code, VERIFIER).await.json();
    assert_eq!(kit.redeem(&code, VERIFIER).await.json()["error"], "invalid_grant");
    let after = kit.read(text(&reply, "access_token"), "/accounts").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED, "a replay ends what came of the code");
    let late = kit.code("alice", &["mt-alice-chequing"], SCOPE).await;
    kit.advance(60_000);
    assert_eq!(kit.redeem(&late, VERIFIER).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_grant_and_no_other() {
    for (kit, id) in [(Kit::maple(), "mt-alice-chequing"), (Kit::rideau(), "cr-alice-courant")] {
        let (first, second) = (kit.granted(&[id]).await, kit.granted(&[id]).await);
        let token = ("token", text(&first, "refresh_token"));
        assert_eq!(kit.as_hub("/revoke", &[token]).await.status, StatusCode::OK);
        assert_eq!(kit.refresh(text(&first, "refresh_token")).await.json()["error"], "invalid_grant");
        assert_eq!(kit.read(text(&first, "access_token"), "/accounts").await.json()["code"], 602);
        assert_eq!(kit.read(text(&second, "access_token"), "/accounts").await.status, StatusCode::OK);
        let stranger = kit.form("/revoke", &[("client_id", "hub"), ("client_secret", "no"), token]).await;
        assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn at_prairie_what_ends_one_token_of_a_customer_ends_them_all() {
    let kit = Kit::prairie();
    let alive = |reply: &Value| {
        let (kit, token) = (&kit, text(reply, "access_token").to_owned());
        async move { kit.read(&token, "/accounts").await.status == StatusCode::OK }
    };
    let bob = kit.granted_all("bob", SCOPE).await;
    let (first, second) =
        (kit.granted(&["pc-alice-chequing"]).await, kit.granted(&["pc-joint-savings"]).await);
    kit.as_hub("/revoke", &[("token", text(&first, "refresh_token"))]).await;
    assert!(!alive(&first).await && !alive(&second).await, "both of alice's");
    assert!(alive(&bob).await, "and nobody else's");
    let code = kit.code("alice", &["pc-alice-chequing"], SCOPE).await;
    let third = kit.redeem(&code, VERIFIER).await.json();
    let fourth = kit.granted(&["pc-alice-savings"]).await;
    assert!(alive(&third).await && alive(&fourth).await, "new consents live");
    kit.redeem(&code, VERIFIER).await;
    assert!(!alive(&third).await && !alive(&fourth).await, "a replay as well");
    assert_eq!(kit.refresh(text(&fourth, "refresh_token")).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn access_tokens_expire_and_grants_survive_a_restart() {
    let kit = Kit::maple();
    let reply = kit.granted(&["mt-alice-chequing"]).await;
    let ended = kit.granted(&["mt-alice-card"]).await;
    kit.as_hub("/revoke", &[("token", text(&ended, "refresh_token"))]).await;
    kit.advance(300_000);
    assert_eq!(kit.read(text(&reply, "access_token"), "/accounts").await.json()["code"], 602);
    let again = kit.restarted();
    let fresh = again.refresh(text(&reply, "refresh_token")).await.json();
    assert_eq!(again.read(text(&fresh, "access_token"), "/accounts").await.status, StatusCode::OK);
    assert!(fresh.get("refresh_token").is_none(), "does not rotate unless told to");
    assert_eq!(again.refresh(text(&ended, "refresh_token")).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn rideau_rotates_refresh_tokens_unless_told_not_to() {
    let kit = Kit::rideau();
    let reply = kit.granted(&["cr-alice-courant"]).await;
    let old = text(&reply, "refresh_token");
    let rotated = kit.refresh(old).await.json();
    let new = text(&rotated, "refresh_token");
    assert_ne!(new, old);
    assert_eq!(rotated["comptes"], json!(["cr-alice-courant"]));
    assert_eq!(kit.refresh(old).await.json()["error"], "invalid_grant");
    kit.levers(&json!({"rotate_refresh": false})).await;
    assert!(kit.refresh(new).await.json().get("refresh_token").is_none());
    let reset = kit.send(Method::DELETE, "/levers", &[], String::new()).await.json();
    assert_eq!(reset["rotate_refresh"], true, "its own way of being");
    assert!(kit.refresh(new).await.json()["refresh_token"].is_string());
}

#[test]
fn passwords_follow_from_the_seed_and_differ_from_bank_to_bank() {
    assert_eq!(Kit::maple().bank.logins(), Kit::maple().bank.logins());
    assert_ne!(Kit::maple().bank.logins(), Kit::rideau().bank.logins());
    let names = |kit: Kit| -> Vec<&str> { kit.bank.logins().iter().map(|l| l.username).collect() };
    assert_eq!(names(Kit::maple()), ["alice", "bob", "chloe", "david", "emma", "farid"]);
    assert_eq!(names(Kit::rideau()), names(Kit::maple()));
    assert_eq!(names(Kit::prairie()), ["alice", "bob"]);
}
