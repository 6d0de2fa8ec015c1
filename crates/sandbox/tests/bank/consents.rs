//! Tests of the pages on which a customer lists and ends consents at the bank.

use axum::http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use crate::support::{BankBrowser, SCOPE, TestBank, text_member};

async fn sign_in<'a>(bank: &'a TestBank, username: &str) -> BankBrowser<'a> {
    let mut browser = bank.browser();
    let signed_in = browser.sign_in("/consents", username, &bank.password(username)).await;
    assert_eq!(signed_in.location, "/consents", "{}", signed_in.text);
    browser
}

async fn is_active(bank: &TestBank, tokens: &Value) -> bool {
    bank.read(text_member(tokens, "access_token"), "/accounts").await.status == StatusCode::OK
}

#[tokio::test]
async fn consent_end_leaves_other_consents_active() {
    for (bank, ids, id_name, text) in [
        (TestBank::maple(), ["mt-alice-card", "mt-alice-savings"], "grant_id", ["Active", "Ended"]),
        (TestBank::rideau(), ["cr-alice-celi", "cr-conjoint"], "consentement", ["Actif", "Terminé"]),
    ] {
        let (first, second) = (bank.grant_accounts(&ids[..1]).await, bank.grant_accounts(&ids[1..]).await);
        assert!(is_active(&bank, &first).await);
        let mut browser = sign_in(&bank, "alice").await;
        let page = browser.get("/consents").await;
        for tokens in [&first, &second] {
            assert!(page.text.contains(text_member(tokens, id_name)));
        }
        assert!(page.text.contains(text[0]) && !page.text.contains(text[1]));
        let name = if ids[0].starts_with("mt") { "Maple Rewards Card" } else { "CELI Placements" };
        assert!(page.text.contains(name), "accounts must be shown by name");
        let fields = [("csrf_token", &*page.csrf_token()), ("grant_id", text_member(&first, id_name))];
        assert_eq!(browser.post("/consents/end", &fields).await.location, "/consents?ended");
        assert!(!is_active(&bank, &first).await && is_active(&bank, &second).await);
        assert_eq!(
            bank.refresh_tokens(text_member(&first, "refresh_token")).await.json()["error"],
            "invalid_grant"
        );
        let page = browser.get("/consents?ended").await;
        assert!(page.text.contains(r#"role="status""#) && page.text.contains(text[1]));
        assert!(!page.text.contains(text_member(&first, id_name)), "an ended consent must have no button");
    }
}

#[tokio::test]
async fn consent_of_other_customer_is_hidden_and_cannot_be_ended() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-joint-savings"]).await;
    let mut bob = sign_in(&bank, "bob").await;
    let page = bob.get("/consents").await;

    assert!(!page.text.contains(text_member(&tokens, "grant_id")) && page.text.contains("no one can read"));

    let fields = [("csrf_token", &*page.csrf_token()), ("grant_id", text_member(&tokens, "grant_id"))];
    assert_eq!(bob.post("/consents/end", &fields).await.location, "/consents");
    assert!(is_active(&bank, &tokens).await);
}

#[tokio::test]
async fn consent_end_requires_sign_in_and_csrf_token() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-card"]).await;
    let grant = ("grant_id", text_member(&tokens, "grant_id"));
    let mut anonymous = bank.browser();

    assert_eq!(anonymous.post("/consents/end", &[grant]).await.status, StatusCode::BAD_REQUEST);

    let token = anonymous.get("/consents").await.csrf_token();
    anonymous.post("/consents/end", &[grant, ("csrf_token", &token)]).await;

    assert!(is_active(&bank, &tokens).await, "the browser is not signed in");

    let wrong = anonymous.sign_in("/consents", "alice", "wrong").await;
    assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text.contains("is wrong"));

    let mut alice = sign_in(&bank, "alice").await;
    let token = alice.get("/consents").await.csrf_token();
    let cross_site = [(HeaderName::from_static("sec-fetch-site"), "cross-site")];
    for (headers, token) in [(&cross_site[..], &*token), (&[][..], "forged")] {
        let fields = [grant, ("csrf_token", token)];
        let response = alice.send(Method::POST, "/consents/end", headers, &fields).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST);
    }

    assert!(is_active(&bank, &tokens).await);
    assert_eq!(alice.post("/consents/sign-out", &[("csrf_token", &token)]).await.location, "/consents");

    let after = [grant, ("csrf_token", &*token)];
    assert_eq!(alice.post("/consents/end", &after).await.status, StatusCode::BAD_REQUEST);
    assert!(alice.get("/consents").await.text.contains(r#"name="password""#));
    assert!(is_active(&bank, &tokens).await);
}

#[tokio::test]
async fn consent_session_expires_and_sign_in_rotates_cookie() {
    let bank = TestBank::rideau();
    let mut browser = bank.browser();
    browser.get("/consents").await;
    let before = browser.cookies["rideau_customer"].clone();
    browser.sign_in("/consents", "alice", &bank.password("alice")).await;

    assert_ne!(browser.cookies["rideau_customer"], before);
    assert!(browser.get("/consents").await.text.contains("Alice"));

    bank.advance(900_000);
    assert!(browser.get("/consents").await.text.contains(r#"name="password""#));
}

#[tokio::test]
async fn prairie_consent_end_ends_all_consents_of_customer() {
    let bank = TestBank::prairie();
    let (first, second) =
        (bank.grant_accounts(&["pc-alice-chequing"]).await, bank.grant_accounts(&["pc-joint-savings"]).await);
    let bob = bank.grant_all_accounts("bob", SCOPE).await;
    let mut alice = sign_in(&bank, "alice").await;
    let token = alice.get("/consents").await.csrf_token();
    alice
        .post("/consents/end", &[("csrf_token", &token), ("grant_id", text_member(&first, "grant_id"))])
        .await;

    assert!(
        !is_active(&bank, &first).await && !is_active(&bank, &second).await && is_active(&bank, &bob).await
    );
}
