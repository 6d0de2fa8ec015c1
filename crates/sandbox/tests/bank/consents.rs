//! The page where a customer ends a consent at the bank.

use axum::http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use crate::kit::{Browser, Kit, SCOPE, text};

async fn signed_in<'a>(kit: &'a Kit, username: &str) -> Browser<'a> {
    let mut browser = kit.browser();
    let signed = browser.sign_in("/consents", username, &kit.password(username)).await;
    assert_eq!(signed.location, "/consents", "{}", signed.text);
    browser
}

async fn alive(kit: &Kit, reply: &Value) -> bool {
    kit.read(text(reply, "access_token"), "/accounts").await.status == StatusCode::OK
}

#[tokio::test]
async fn a_customer_sees_and_ends_a_consent_and_the_others_live_on() {
    for (kit, ids, id_name, says) in [
        (Kit::maple(), ["mt-alice-card", "mt-alice-savings"], "grant_id", ["Active", "Ended"]),
        (Kit::rideau(), ["cr-alice-celi", "cr-conjoint"], "consentement", ["Actif", "Terminé"]),
    ] {
        let (first, second) = (kit.granted(&ids[..1]).await, kit.granted(&ids[1..]).await);
        assert!(alive(&kit, &first).await);
        let mut browser = signed_in(&kit, "alice").await;
        let page = browser.get("/consents").await;
        for reply in [&first, &second] {
            assert!(page.text.contains(text(reply, id_name)));
        }
        assert!(page.text.contains(says[0]) && !page.text.contains(says[1]));
        let name = if ids[0].starts_with("mt") { "Maple Rewards Card" } else { "CELI Placements" };
        assert!(page.text.contains(name), "accounts by name");
        let fields = [("form_token", &*page.hidden()), ("grant_id", text(&first, id_name))];
        assert_eq!(browser.post("/consents/end", &fields).await.location, "/consents?ended");
        assert!(!alive(&kit, &first).await && alive(&kit, &second).await);
        assert_eq!(kit.refresh(text(&first, "refresh_token")).await.json()["error"], "invalid_grant");
        let page = browser.get("/consents?ended").await;
        assert!(page.text.contains(r#"role="status""#) && page.text.contains(says[1]));
        assert!(!page.text.contains(text(&first, id_name)), "nothing to end any more");
    }
}

#[tokio::test]
async fn nobody_sees_or_ends_what_another_granted() {
    let kit = Kit::maple();
    let reply = kit.granted(&["mt-joint-savings"]).await;
    let mut bob = signed_in(&kit, "bob").await;
    let page = bob.get("/consents").await;
    assert!(!page.text.contains(text(&reply, "grant_id")) && page.text.contains("nobody may read"));
    let fields = [("form_token", &*page.hidden()), ("grant_id", text(&reply, "grant_id"))];
    assert_eq!(bob.post("/consents/end", &fields).await.location, "/consents");
    assert!(alive(&kit, &reply).await);
}

#[tokio::test]
async fn ending_needs_a_sign_in_and_our_own_form() {
    let kit = Kit::maple();
    let reply = kit.granted(&["mt-alice-card"]).await;
    let grant = ("grant_id", text(&reply, "grant_id"));
    let mut stranger = kit.browser();
    assert_eq!(stranger.post("/consents/end", &[grant]).await.status, StatusCode::BAD_REQUEST);
    let token = stranger.get("/consents").await.hidden();
    stranger.post("/consents/end", &[grant, ("form_token", &token)]).await;
    assert!(alive(&kit, &reply).await, "not signed in");
    let wrong = stranger.sign_in("/consents", "alice", "wrong").await;
    assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.text.contains("is wrong"));
    let mut alice = signed_in(&kit, "alice").await;
    let token = alice.get("/consents").await.hidden();
    let cross = [(HeaderName::from_static("sec-fetch-site"), "cross-site")];
    for (headers, token) in [(&cross[..], &*token), (&[][..], "forged")] {
        let fields = [grant, ("form_token", token)];
        let answer = alice.send(Method::POST, "/consents/end", headers, &fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    assert!(alive(&kit, &reply).await);
    assert_eq!(alice.post("/consents/sign-out", &[("form_token", &token)]).await.location, "/consents");
    let after = [grant, ("form_token", &*token)];
    assert_eq!(alice.post("/consents/end", &after).await.status, StatusCode::BAD_REQUEST);
    assert!(alice.get("/consents").await.text.contains(r#"name="password""#));
    assert!(alive(&kit, &reply).await);
}

#[tokio::test]
async fn a_stay_ends_by_itself_and_signing_in_changes_its_cookie() {
    let kit = Kit::rideau();
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
async fn at_prairie_ending_one_consent_ends_them_all() {
    let kit = Kit::prairie();
    let (first, second) =
        (kit.granted(&["pc-alice-chequing"]).await, kit.granted(&["pc-joint-savings"]).await);
    let bob = kit.granted_all("bob", SCOPE).await;
    let mut alice = signed_in(&kit, "alice").await;
    let token = alice.get("/consents").await.hidden();
    alice.post("/consents/end", &[("form_token", &token), ("grant_id", text(&first, "grant_id"))]).await;
    assert!(!alive(&kit, &first).await && !alive(&kit, &second).await && alive(&kit, &bob).await);
}
