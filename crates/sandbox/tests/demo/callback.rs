//! Tests of the demo app's callback: the check of `state`, errors of the hub, and the exchange of the code.

use std::sync::Arc;

use axum::http::StatusCode;
use sandbox::demo::{Demo, DemoSettings};
use serde_json::json;

use crate::support::{
    ACCESS, CODE, DemoBrowser, DemoFixture, LIST_ACCOUNTS, NEWER_ACCESS, NOW, ORIGIN, REVOKE, SECRET, TOKEN,
};

#[tokio::test]
async fn demo_callback_with_bad_state_exchanges_nothing() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.browser();
    let state = browser.begin_authorization(Some("1000")).await.1;
    for parameters in ["", "&state=", "&state=wrong", &format!("&state={state}x"), "&error=access_denied"] {
        let page = browser.get(&format!("/callback?code={CODE}{parameters}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{parameters}");
        assert!(page.contains("does not match any request from this browser"), "{}", page.text);
    }

    assert!(fixture.hub.requests_to(TOKEN).is_empty());

    let callback_url = format!("/callback?code={CODE}&state={state}");
    assert_eq!(
        browser.get(&callback_url).await.status,
        StatusCode::SEE_OTHER,
        "the right state must still work"
    );
    assert_eq!(browser.get(&callback_url).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(fixture.hub.requests_to(TOKEN).len(), 1);

    let mut other_browser = fixture.browser();
    let state = browser.begin_authorization(Some("1000")).await.1;
    other_browser.begin_authorization(Some("1000")).await;
    let stolen = other_browser.get(&format!("/callback?code={CODE}&state={state}")).await;

    assert_eq!(stolen.status, StatusCode::BAD_REQUEST, "the state of another browser must be rejected");
    assert_eq!(fixture.hub.requests_to(TOKEN).len(), 1);
}

#[tokio::test]
async fn demo_callback_error_is_shown_in_both_languages() {
    let fixture = DemoFixture::new().await;
    for (error, en, fr) in [
        ("access_denied", "You declined, and nothing was shared.", "Vous avez refusé"),
        (
            "temporarily_unavailable",
            "Your bank is unavailable at the moment.",
            "Votre banque ne peut pas répondre",
        ),
        ("server_error", "Something went wrong", "Un problème est survenu"),
        ("invalid_scope", "Acme Budget sent an incorrect request.", "Acme Budget a mal formulé"),
        ("%3Cb%3E", "Something went wrong", "Un problème est survenu"),
    ] {
        for (lang, text) in [("en", en), ("fr", fr)] {
            let mut browser = fixture.browser();
            browser.get(&format!("/?lang={lang}")).await;
            let page = browser.complete_authorization(Some("1000"), &format!("error={error}")).await;
            assert_eq!((page.status, &*page.location), (StatusCode::SEE_OTHER, "/"));
            let page = browser.get("/").await;
            assert!(
                page.contains(text) && page.contains(&format!(r#"<html lang="{lang}">"#)),
                "{}",
                page.text
            );
            assert!(page.contains(&format!("<code>{error}</code>")) != (error == "%3Cb%3E"), "{}", page.text);
            assert!(!page.contains("<b>"));
            assert!(!browser.get("/").await.contains(text), "a notice must be shown only once");
        }
    }

    assert!(fixture.hub.requests_to(TOKEN).is_empty());
}

#[tokio::test]
async fn demo_token_endpoint_error_is_shown_without_connecting() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.browser();
    for (status, body, text) in [
        (400, json!({"error": "invalid_grant"}), "This connection has ended."),
        (400, json!({"error": "invalid_client"}), "incorrect request"),
        (200, json!({"access_token": ACCESS}), "<code>refresh_token</code>"),
        (200, json!("no tokens"), "<code>unreadable</code>"),
        (502, json!("<html>"), "<code>HTTP-502</code>"),
    ] {
        fixture.hub.respond_once(TOKEN, status, &body);
        browser.complete_authorization(Some("1000"), &format!("code={CODE}")).await;
        let page = browser.get("/").await;
        assert!(page.contains(text), "{text}: {}", page.text);
        assert!(!page.contains("Connected banks"));
    }
    fixture.hub.respond_once_with(
        TOKEN,
        503,
        &[("retry-after", "7")],
        &json!({"error": "temporarily_unavailable"}),
    );
    browser.complete_authorization(Some("1000"), &format!("code={CODE}")).await;

    assert!(browser.get("/").await.contains("Please try again in 7 seconds."));
}

#[tokio::test]
async fn demo_callback_reports_unreachable_hub() {
    let mut settings = DemoSettings {
        origin: ORIGIN.into(),
        hub: String::new(),
        client_id: "dc-acme".into(),
        client_secret: SECRET.into(),
        redirect_uri: format!("{ORIGIN}/callback"),
        scope: "ACCOUNT_BASIC".into(),
        providers: Vec::new(),
        clock: Arc::new(|| NOW),
    };
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    settings.hub = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    let router = Demo::new(settings).unwrap().router();
    let mut browser =
        DemoBrowser { router, cookie: String::new(), csrf_token: String::new(), seen_text: String::new() };
    browser.complete_authorization(None, &format!("code={CODE}")).await;
    let page = browser.get("/").await;

    assert!(
        page.contains("The connection service cannot be reached.") && page.contains("no response"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn demo_reconnect_ends_previous_connection() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    fixture.hub.respond_once(
        TOKEN,
        200,
        &json!({"access_token": NEWER_ACCESS, "refresh_token": "rt-newer-refresh-token"}),
    );
    browser.complete_authorization(Some("1000"), "code=cd-newer-code").await;

    assert_eq!(fixture.hub.requests_to(REVOKE)[0].bearer, ACCESS);

    browser.get("/accounts").await;
    assert_eq!(fixture.hub.requests_to(LIST_ACCOUNTS)[0].bearer, NEWER_ACCESS);

    browser.complete_authorization(Some("2000"), "code=cd-third-code").await;
    let page = browser.get("/accounts").await;

    assert!(page.contains(">Maple Trust</h2>") && page.contains(">Caisse Rideau</h2>"), "{}", page.text);
    assert_eq!(
        fixture.hub.requests_to(REVOKE).len(),
        1,
        "a connection to another bank must not end this one"
    );
}
