//! Tests of refresh and disconnect in the demo app: it proves that each endpoint rejects the old token.

use axum::http::StatusCode;
use serde_json::json;

use crate::support::{ACCESS, CODE, DemoFixture, NEWER_ACCESS, REFRESH, REVOKE, TOKEN};

#[tokio::test]
async fn demo_refresh_shows_different_token_fingerprint() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    browser.get("/").await;
    fixture.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));

    assert_eq!(browser.post("/refresh", &[("bank", "1000")]).await.status, StatusCode::SEE_OTHER);

    let page = browser.get("/").await;
    let fingerprints: Vec<&str> =
        page.text.split("eyJhbGci… (39, #").skip(1).map(|rest| &rest[..6]).collect();

    assert_eq!(fingerprints.len(), 3, "the previous token, the current token, and the call");
    assert!(fingerprints[0] != fingerprints[1] && fingerprints[1] == fingerprints[2], "{fingerprints:?}");

    fixture.hub.end_connection();
    browser.post("/refresh", &[("bank", "1000")]).await;

    assert!(browser.get("/").await.contains("This connection has ended."));
}

#[tokio::test]
async fn demo_disconnect_probes_all_endpoints() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    browser.get("/").await;
    fixture.hub.end_connection();
    let page = browser.post("/disconnect", &[("bank", "1000")]).await;

    assert_eq!((page.status, &*page.location), (StatusCode::SEE_OTHER, "/"));

    let page = browser.get("/").await;
    assert!(page.contains("Disconnected.") && !page.contains("Connected banks"), "{}", page.text);
    for (endpoint, result) in [
        ("Your accounts, with the access token", "401 602</code> closed"),
        ("A new access token, with the refresh token", "400 invalid_grant</code> closed"),
        ("The first code, used again", "400 invalid_grant</code> closed"),
        ("Ending it again", "204 </code> already ended"),
    ] {
        let probe = page
            .text
            .split_once(&format!("<li class=\"closed\"><strong>{endpoint}</strong>\n<span><code>{result}"));
        assert!(probe.is_some(), "{endpoint}: {}", page.text);
    }

    let (token_requests, revocations) = (fixture.hub.requests_to(TOKEN), fixture.hub.requests_to(REVOKE));
    assert_eq!(
        (&token_requests[1].body["refresh_token"], &token_requests[2].body["code"]),
        (&json!(REFRESH), &json!(CODE))
    );
    assert_eq!((revocations.len(), &*revocations[0].bearer, &*revocations[1].bearer), (2, ACCESS, ACCESS));
    assert_eq!(
        browser.get("/accounts/a1?bank=1000").await.location,
        "/accounts",
        "the app must have removed the connection"
    );
    assert!(browser.get("/accounts").await.contains("No bank is connected yet."));
}

#[tokio::test]
async fn demo_disconnect_reports_endpoint_that_still_works() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    browser.get("/").await;
    browser.post("/disconnect", &[("bank", "1000")]).await;
    let page = browser.get("/").await;

    assert_eq!(page.text.matches("should be closed, but is not").count(), 3, "{}", page.text);
    assert_eq!(page.text.matches(r#"<li class="open">"#).count(), 3);
}

#[tokio::test]
async fn demo_unacknowledged_disconnect_keeps_connection() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    browser.get("/").await;
    let unavailable = json!({"error": "temporarily_unavailable"});
    fixture.hub.respond_once_with(REVOKE, 503, &[("retry-after", "3")], &unavailable);
    browser.post("/disconnect", &[("bank", "1000")]).await;
    let page = browser.get("/").await;

    assert!(
        page.contains("Please try again in 3 seconds.") && page.contains("Connected banks"),
        "{}",
        page.text
    );
    assert!(!page.contains("Every endpoint was checked"));

    fixture.hub.respond_once(REVOKE, 400, &json!({"error": "invalid_request"}));
    fixture.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));
    browser.post("/disconnect", &[("bank", "1000")]).await;
    let bearers: Vec<String> =
        fixture.hub.requests_to(REVOKE).iter().skip(1).map(|request| request.bearer.clone()).collect();

    assert_eq!(
        bearers,
        [ACCESS, NEWER_ACCESS, NEWER_ACCESS],
        "an expired token must be refreshed before the connection is ended"
    );
    assert!(!browser.get("/").await.contains("Connected banks"));
}
