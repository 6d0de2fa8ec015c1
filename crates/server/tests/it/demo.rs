//! Tests of the demo app in a real browser with JavaScript disabled: both banks, both languages, desktop and phone.

use serde_json::json;

use crate::support::{Chrome, TestHub};
use bowline::cli::BrowserRequest;
use http::Method;

/// A scenario of the demo app: bank, language, width of the window, and the texts that must appear.
struct DemoScenario {
    provider_id: i64,
    language: &'static str,
    width: u32,
    consent: &'static str,
    accounts: &'static [&'static str],
    search: (&'static str, &'static str),
}

const ENGLISH: DemoScenario = DemoScenario {
    provider_id: 1000,
    language: "en",
    width: 1280,
    consent: "Acme Budget would like to read your information",
    accounts: &["Everyday Chequing", "Maple Rewards Card"],
    search: ("payroll", "PAYROLL NORTHWIND LTD"),
};

const FRENCH: DemoScenario = DemoScenario {
    provider_id: 2000,
    language: "fr",
    width: 375,
    consent: "Acme Budget souhaite consulter vos renseignements",
    accounts: &["Caisse Rideau"],
    search: ("honoraires", "HONORAIRES TRADUCTION OUTAOUAIS"),
};

async fn run_scenario(way: &DemoScenario) {
    let kit = TestHub::new().await;
    let (site, demo) = (kit.bank_site(way.provider_id), kit.world.demo.clone());
    let chrome = Chrome::new(way.width).await;
    let name = |page: &str| format!("demo-{page}-{}-{}-{}", way.provider_id, way.language, way.width);
    let shot = async |page: &str| chrome.take_screenshot(&name(page)).await;
    chrome.navigate(&format!("{demo}/?lang={}", way.language)).await;
    chrome.wait_for_text(&["Maple Trust", "Caisse Rideau"]).await;
    shot("home").await;
    chrome.click(&format!(r#"button[name=provider_id][value="{}"]"#, way.provider_id)).await;
    chrome.wait_for_text(&[way.consent]).await;
    chrome.click("button[value=approve]").await;
    if way.provider_id == 2000 {
        chrome.click("form[action='/request'] button[value=approve]").await;
    }
    chrome.fill("username", "alice").await;
    assert!(chrome.url().await.starts_with(&site.url), "{}", chrome.url().await);
    shot("sign-in").await;
    let alice = site.bank.logins().into_iter().find(|l| l.username == "alice").unwrap();
    chrome.fill("password", &alice.password).await;
    chrome.click("form button.primary").await;
    chrome.click("legend").await;
    shot("choose").await;
    chrome.click("form[action='/consent'] button[value=approve]").await;
    chrome.wait_for_text(way.accounts).await;
    assert!(chrome.url().await.starts_with(&demo), "{}", chrome.url().await);
    shot("accounts").await;
    chrome.click(".card.account h3 a").await;
    chrome.click("#q").await;
    shot("account").await;
    chrome.fill("q", way.search.0).await;
    chrome.click("form.search button.primary").await;
    chrome.wait_for_text(&[way.search.1]).await;
    shot("search").await;
    chrome.navigate(&format!("{demo}/accounts")).await;
    chrome.click("form[action='/refresh'] button").await;
    chrome.wait_for_text(&["/api/v1/token", "eyJ0eXAi…"]).await;
    shot("refresh").await;
    inject_faults(&kit, way.provider_id, json!({"fail": 503})).await;
    chrome.navigate(&format!("{demo}/accounts")).await;
    chrome.wait_for_text(&["503"]).await;
    shot("bank-down").await;
    inject_faults(&kit, way.provider_id, json!({"fail": null})).await;
    chrome.click("form[action='/disconnect'] button").await;
    chrome.wait_for_text(&["/api/v1/revoke", "204", "602", "invalid_grant"]).await;
    shot("doors").await;
    kit.wait_until("the provider is notified", async || is_first_grant_ended(&kit, way.provider_id).await)
        .await;
    chrome.navigate(&format!("{}/faults?lang={}", site.url, way.language)).await;
    chrome.wait_for_text(&["/faults/grants"]).await;
    shot("faults").await;
    chrome.close().await;
}

async fn inject_faults(kit: &TestHub, provider_id: i64, faults: serde_json::Value) {
    let mut sent = BrowserRequest::new(Method::PUT, &kit.bank_site(provider_id).faults_url());
    sent.json = Some(faults);
    assert_eq!(kit.send(sent).await.status, 200);
}

async fn is_first_grant_ended(kit: &TestHub, provider_id: i64) -> bool {
    let url = format!("{}/grants", kit.bank_site(provider_id).faults_url());
    kit.send(BrowserRequest::new(Method::GET, &url)).await.json()[0]["state"] == "ended"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_app_connects_and_disconnects_first_bank() {
    run_scenario(&ENGLISH).await;
    run_scenario(&DemoScenario { language: "fr", width: 375, consent: FRENCH.consent, ..ENGLISH }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_app_connects_and_disconnects_second_bank() {
    run_scenario(&FRENCH).await;
    run_scenario(&DemoScenario { language: "en", width: 1280, consent: ENGLISH.consent, ..FRENCH }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_app_customer_picks_bank_at_hub_and_declines() {
    let kit = TestHub::new().await;
    let demo = kit.world.demo.clone();
    let chrome = Chrome::new(375).await;
    chrome.navigate(&format!("{demo}/?lang=fr")).await;
    chrome.click("form[action='/connect'] button.other").await;
    chrome.wait_for_text(&["Choisissez votre banque", "Maple Trust", "Caisse Rideau"]).await;
    chrome.take_screenshot("picker-fr-375").await;
    chrome.click("button[name=provider_id][value='2000']").await;
    chrome.wait_for_text(&[FRENCH.consent, "Caisse Rideau"]).await;
    chrome.click("button[value=deny]").await;
    chrome.wait_for_text(&["access_denied"]).await;
    assert!(chrome.url().await.starts_with(&demo), "{}", chrome.url().await);
    chrome.take_screenshot("demo-denied-fr-375").await;
    chrome.close().await;
}
