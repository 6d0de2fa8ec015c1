//! Tests of the demo app's sessions, forms and security headers: secrets are never shown, and foreign forms are
//! rejected.

use std::sync::atomic::Ordering;

use axum::http::{StatusCode, header};
use serde_json::json;

use crate::support::{
    ACCESS, CODE, DemoFixture, LIST_ACCOUNTS, NEWER_ACCESS, ORIGIN, REFRESH, REVOKE, SECRET, TOKEN,
};

#[tokio::test]
async fn demo_pages_never_show_secrets() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    for page in ["/accounts", "/accounts/a1?bank=1000", "/"] {
        browser.get(page).await;
    }
    fixture.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));
    browser.post("/refresh", &[("bank", "1000")]).await;
    browser.get("/").await;
    fixture.hub.end_connection();
    browser.post("/disconnect", &[("bank", "1000")]).await;
    browser.get("/").await;
    let verifier = fixture.hub.requests_to(TOKEN)[0].body["code_verifier"].as_str().unwrap().to_owned();
    for secret in
        [ACCESS, NEWER_ACCESS, REFRESH, CODE, SECRET, &verifier, &browser.cookie["demo_session=".len()..]]
    {
        assert!(!browser.seen_text.contains(&secret[..9]), "more than 8 characters are shown of {secret}");
    }

    assert!(browser.seen_text.contains("access_token eyJhbGci… (39, #"), "{}", browser.seen_text);
}

#[tokio::test]
async fn demo_foreign_form_is_rejected() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    browser.get("/").await;
    let token = browser.csrf_token.clone();
    for path in ["/connect", "/refresh", "/disconnect"] {
        let bank = ("bank", "1000");
        let valid = [bank, ("csrf_token", &*token)];
        for (headers, fields) in [
            (&[][..], &[bank][..]),
            (&[], &[bank, ("csrf_token", "wrong")]),
            (&[("sec-fetch-site", "cross-site")], &valid),
            (&[("sec-fetch-site", "same-site")], &valid),
            (&[("origin", "http://127.0.0.1:8402")], &valid),
            (&[("origin", "null")], &valid),
        ] {
            let page = browser.post_with(path, headers, fields).await;
            assert_eq!((page.status, &*page.location), (StatusCode::FORBIDDEN, ""), "{path} {headers:?}");
            assert!(page.contains("This form did not come from one of our pages."));
        }
    }

    assert_eq!((fixture.hub.requests_to(TOKEN).len(), fixture.hub.requests_to(REVOKE).len()), (1, 0));

    for headers in [[("sec-fetch-site", "same-origin")], [("origin", ORIGIN)]] {
        let page = browser.post_with("/refresh", &headers, &[("bank", "1000"), ("csrf_token", &token)]).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
    }
    let mut other_browser = fixture.browser();
    other_browser.get("/").await;
    other_browser.csrf_token = token;

    assert_eq!(
        other_browser.post("/connect", &[]).await.status,
        StatusCode::FORBIDDEN,
        "the token of another session must be rejected"
    );
}

#[tokio::test]
async fn demo_session_cookie_is_http_only_and_rotated() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.browser();
    let page = browser.get("/").await;
    let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
    let (pair, flags) = cookie.split_once("; ").unwrap();

    assert_eq!(flags, "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
    assert!(pair.starts_with("demo_session=") && pair.len() >= "demo_session=".len() + 43);

    let before_authorization = browser.cookie.clone();
    let state = browser.begin_authorization(Some("1000")).await.1;
    let during_authorization = browser.cookie.clone();
    browser.get(&format!("/callback?code={CODE}&state={state}")).await;

    assert!(before_authorization != during_authorization && during_authorization != browser.cookie);
    assert!(browser.get("/").await.contains("Connected banks"));
    for cookie in
        [before_authorization, during_authorization, "demo_session=".into(), "demo_session=made-up".into()]
    {
        let mut attacker = fixture.browser();
        attacker.cookie.clone_from(&cookie);
        assert!(!attacker.get("/").await.contains("Connected banks"));
        assert_ne!(attacker.cookie, cookie, "an unknown or old id must not be adopted");
    }
}

#[tokio::test]
async fn demo_connection_is_invisible_in_another_browser() {
    let fixture = DemoFixture::new().await;
    let mut first = fixture.connected_browser().await;
    let mut second = fixture.browser();

    assert!(!second.get("/").await.contains("Connected banks"));
    assert!(second.get("/accounts").await.contains("No bank is connected yet."));
    assert_eq!(second.get("/accounts/a1?bank=1000").await.location, "/accounts");

    second.post("/disconnect", &[("bank", "1000")]).await;
    assert!(fixture.hub.requests_to(REVOKE).is_empty() && fixture.hub.requests_to(LIST_ACCOUNTS).is_empty());
    assert!(first.get("/accounts").await.contains("$1,234.50"));
    assert!(!second.get("/").await.contains("accounts 1"), "the panel of another browser must not be shown");
}

#[tokio::test]
async fn demo_session_expires_after_idle_hour_or_eviction() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;

    for minutes in [59, 59] {
        fixture.clock.fetch_add(minutes * 60_000, Ordering::Relaxed);
        assert!(browser.get("/").await.contains("Connected banks"));
    }

    let cookie = browser.cookie.clone();
    fixture.clock.fetch_add(3_600_000, Ordering::Relaxed);

    assert!(!browser.get("/").await.contains("Connected banks"));
    assert_ne!(browser.cookie, cookie);

    fixture.clock.fetch_add(1, Ordering::Relaxed);
    let mut browser = fixture.connected_browser().await;
    fixture.clock.fetch_add(1, Ordering::Relaxed);
    for _ in 0..999 {
        fixture.browser().get("/").await;
    }

    assert!(browser.get("/").await.contains("Connected banks"), "a thousand sessions must be kept");

    fixture.clock.fetch_add(1, Ordering::Relaxed);
    for _ in 0..1_000 {
        fixture.browser().get("/").await;
    }

    assert!(!browser.get("/").await.contains("Connected banks"));
}

#[tokio::test]
async fn demo_pages_send_security_headers() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    for (path, form_action) in [
        ("/", "form-action https: http://127.0.0.1:* http://localhost:*;"),
        ("/accounts", "form-action https: http://127.0.0.1:* http://localhost:*;"),
        ("/accounts/a1?bank=1000", "form-action 'self';"),
        ("/callback", "form-action 'self';"),
        ("/nothing", "form-action 'self';"),
        ("/static/demo.css", "form-action 'self';"),
    ] {
        let page = browser.get(path).await;
        let header = |name: &str| page.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(
            policy.contains(form_action) && policy.starts_with("default-src 'none';"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'; base-uri 'none'") && !policy.contains("unsafe"));
        assert_eq!((header("referrer-policy"), header("x-content-type-options")), ("same-origin", "nosniff"));
        assert_eq!(header("cache-control") == "no-store", path != "/static/demo.css", "{path}");
    }

    assert_eq!(browser.get("/nothing").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/connect").await.status, StatusCode::METHOD_NOT_ALLOWED);
}
