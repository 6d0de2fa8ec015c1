//! The page where a customer ends a consent at the bank.

use axum::http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use crate::support::{BankBrowser, SCOPE, TestBank, text_member};

async fn sign_in<'a>(kit: &'a TestBank, username: &str) -> BankBrowser<'a> {
    let mut browser = kit.browser();
    let signed = browser.sign_in("/consents", username, &kit.password(username)).await;
    assert_eq!(signed.location, "/consents", "{}", signed.text);
    browser
}

async fn is_active(kit: &TestBank, reply: &Value) -> bool {
    kit.read(text_member(reply, "access_token"), "/accounts").await.status == StatusCode::OK
}

#[tokio::test]
async fn consent_end_leaves_other_consents_active() {
    for (kit, ids, id_name, says) in [
        (TestBank::maple(), ["mt-alice-card", "mt-alice-savings"], "grant_id", ["Active", "Ended"]),
        (TestBank::rideau(), ["cr-alice-celi", "cr-conjoint"], "consentement", ["Actif", "Terminé"]),
    ] {
        let (first, second) = (kit.grant_accounts(&ids[..1]).await, kit.grant_accounts(&ids[1..]).await);
        assert!(is_active(&kit, &first).await);
        let mut browser = sign_in(&kit, "alice").await;
        let page = browser.get("/consents").await;
        for reply in [&first, &second] {
            assert!(page.text.contains(text_member(reply, id_name)));
        }
        assert!(page.text.contains(says[0]) && !page.text.contains(says[1]));
        let name = if ids[0].starts_with("mt") { "Maple Rewards Card" } else { "CELI Placements" };
        assert!(page.text.contains(name), "accounts by name");
        let fields = [("csrf_token", &*page.csrf_token()), ("grant_id", text_member(&first, id_name))];
        assert_eq!(browser.post("/consents/end", &fields).await.location, "/consents?ended");
        assert!(!is_active(&kit, &first).await && is_active(&kit, &second).await);
        assert_eq!(
            kit.refresh_tokens(text_member(&first, "refresh_token")).await.json()["error"],
            "invalid_grant"
        );
        let page = browser.get("/consents?ended").await;
        assert!(page.text.contains(r#"role="status""#) && page.text.contains(says[1]));
        assert!(!page.text.contains(text_member(&first, id_name)), "nothing to end any more");
    }
}

#[tokio::test]
async fn consent_of_other_customer_is_hidden_and_cannot_be_ended() {
    let kit = TestBank::maple();
    let reply = kit.grant_accounts(&["mt-joint-savings"]).await;
    let mut bob = sign_in(&kit, "bob").await;
    let page = bob.get("/consents").await;
    assert!(!page.text.contains(text_member(&reply, "grant_id")) && page.text.contains("nobody may read"));
    let fields = [("csrf_token", &*page.csrf_token()), ("grant_id", text_member(&reply, "grant_id"))];
    assert_eq!(bob.post("/consents/end", &fields).await.location, "/consents");
    assert!(is_active(&kit, &reply).await);
}

#[tokio::test]
async fn consent_end_requires_sign_in_and_csrf_token() {
    let kit = TestBank::maple();
    let reply = kit.grant_accounts(&["mt-alice-card"]).await;
    let grant = ("grant_id", text_member(&reply, "grant_id"));
    let mut anonymous = kit.browser();
    assert_eq!(anonymous.post("/consents/end", &[grant]).await.status, StatusCode::BAD_REQUEST);
    let token = anonymous.get("/consents").await.csrf_token();
    anonymous.post("/consents/end", &[grant, ("csrf_token", &token)]).await;
    assert!(is_active(&kit, &reply).await, "not signed in");
    let wrong = anonymous.sign_in("/consents", "alice", "wrong").await;
    assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text.contains("is wrong"));
    let mut alice = sign_in(&kit, "alice").await;
    let token = alice.get("/consents").await.csrf_token();
    let cross = [(HeaderName::from_static("sec-fetch-site"), "cross-site")];
    for (headers, token) in [(&cross[..], &*token), (&[][..], "forged")] {
        let fields = [grant, ("csrf_token", token)];
        let answer = alice.send(Method::POST, "/consents/end", headers, &fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    assert!(is_active(&kit, &reply).await);
    assert_eq!(alice.post("/consents/sign-out", &[("csrf_token", &token)]).await.location, "/consents");
    let after = [grant, ("csrf_token", &*token)];
    assert_eq!(alice.post("/consents/end", &after).await.status, StatusCode::BAD_REQUEST);
    assert!(alice.get("/consents").await.text.contains(r#"name="password""#));
    assert!(is_active(&kit, &reply).await);
}

#[tokio::test]
async fn consent_session_expires_and_sign_in_rotates_cookie() {
    let kit = TestBank::rideau();
    let mut browser = kit.browser();
    browser.get("/consents").await;
    let before = browser.cookies["rideau_customer"].clone();
    browser.sign_in("/consents", "alice", &kit.password("alice")).await;
    assert_ne!(browser.cookies["rideau_customer"], before);
    assert!(browser.get("/consents").await.text.contains("Alice"));
    kit.advance(900_000);
    assert!(browser.get("/consents").await.text.contains(r#"name="password""#));
}

#[tokio::test]
async fn prairie_consent_end_ends_all_consents_of_customer() {
    let kit = TestBank::prairie();
    let (first, second) =
        (kit.grant_accounts(&["pc-alice-chequing"]).await, kit.grant_accounts(&["pc-joint-savings"]).await);
    let bob = kit.grant_all_accounts("bob", SCOPE).await;
    let mut alice = sign_in(&kit, "alice").await;
    let token = alice.get("/consents").await.csrf_token();
    alice
        .post("/consents/end", &[("csrf_token", &token), ("grant_id", text_member(&first, "grant_id"))])
        .await;
    assert!(!is_active(&kit, &first).await && !is_active(&kit, &second).await && is_active(&kit, &bob).await);
}
