//! Tests of the authorization flow in a real browser, with JavaScript disabled.

use axum::Router;
use axum::response::Html;
use axum::routing::get;

use crate::support::{Chrome, TestHub, authorize_url, query_parameter};

const PAGE: &str = "<!doctype html><title>app</title><p id=script>off</p>\
                    <script>document.getElementById('script').textContent = 'on'</script><p>welcome back</p>";

/// Starts a server with a page for the browser's return to the recipient; returns the redirect URI.
async fn spawn_redirect_page() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/back", listener.local_addr().unwrap());
    let app = Router::new().route("/back", get(async || Html(PAGE)));
    tokio::spawn(async move { axum::serve(listener, app).await });
    uri
}

async fn run_in_browser(language: &str, width: u32, words: [&str; 6]) {
    let kit = TestHub::new().await;
    let recipient = kit.register_recipient_with_redirect(&spawn_redirect_page().await).await;
    let chrome = Chrome::new(width).await;
    let shot = async |name: &str| chrome.take_screenshot(&format!("{name}-{language}-{width}")).await;
    let mut query = TestHub::build_authorization_query(&recipient);
    query.push(("ui_locales", language.to_owned()));
    let url = authorize_url(kit.app().public_url(), &query);
    chrome.navigate(&url).await;
    chrome.wait_for_text(&words[..2]).await;
    shot("consent").await;
    let consent = chrome.url().await;
    chrome.click("button[value=approve]").await;
    chrome.fill("username", "alice").await;
    assert!(chrome.url().await.starts_with(&kit.world.maple().url), "{}", chrome.url().await);
    shot("sign-in").await;
    chrome.navigate(&consent).await;
    chrome.wait_for_text(&words[3..4]).await;
    shot("at-provider").await;
    chrome.click("button[value=approve]").await;
    chrome.fill("username", "alice").await;
    chrome.fill("password", "wrong").await;
    chrome.click("form button.primary").await;
    chrome.click("[role=alert]").await;
    shot("sign-in-wrong").await;
    chrome.fill("password", &kit.password("alice")).await;
    chrome.click("form button.primary").await;
    chrome.click("legend").await;
    shot("accounts").await;
    chrome.click("button[value=approve]").await;
    chrome.wait_for_text(&["welcome back", "off"]).await;
    let back = chrome.url().await;
    assert!(back.starts_with(&recipient.redirect_uri), "{back}");
    let code = query_parameter(&back, "code").unwrap();
    chrome.navigate(&consent).await;
    chrome.wait_for_text(&words[4..5]).await;
    shot("confirmed").await;
    chrome.click("button[value=approve]").await;
    chrome.wait_for_text(&["welcome back"]).await;
    let newest = query_parameter(&chrome.url().await, "code").unwrap();
    assert_ne!(newest, code, "the former code may be lost");
    assert_eq!(kit.redeem(&recipient, &newest).await.status, 200);
    chrome.navigate(&consent).await;
    chrome.wait_for_text(&words[5..]).await;
    shot("shared").await;
    chrome.navigate(&url).await;
    chrome.click("button[value=deny]").await;
    chrome.wait_for_text(&["welcome back"]).await;
    let back = chrome.url().await;
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("access_denied"), "{back}");
    chrome.navigate(&kit.url("/callback/1000?code=x&state=y")).await;
    chrome.wait_for_text(&["This link is not valid"]).await;
    if language == "fr" {
        chrome.click("nav.language a").await;
    }
    chrome.wait_for_text(&words[2..3]).await;
    shot("unknown-link").await;
    chrome.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_on_desktop_completes_authorization_in_english() {
    run_in_browser(
        "en",
        1280,
        [
            "Listening App would like to read your information",
            "To listen.",
            "start again",
            "Please continue at Maple Trust",
            "One step is left",
            "You are sharing your information with Listening App",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_on_phone_completes_authorization_in_french() {
    run_in_browser(
        "fr",
        375,
        [
            "Listening App souhaite consulter vos renseignements",
            "Pour écouter.",
            "recommencer",
            "Veuillez continuer chez Maple Trust",
            "Il reste une étape",
            "Vous partagez vos renseignements avec Listening App",
        ],
    )
    .await;
}
