//! The demo app in a real browser with JavaScript switched off: both banks, both languages, a desk and a
//! telephone.

use serde_json::json;

use crate::kit::{Chrome, Kit};
use bowline::cli::Sent;
use http::Method;

/// A way through the app: which bank, in which language, on how wide a window, and what is read on the way.
struct Way {
    provider_id: i64,
    language: &'static str,
    width: u32,
    consent: &'static str,
    accounts: &'static [&'static str],
    search: (&'static str, &'static str),
}

const ENGLISH: Way = Way {
    provider_id: 1000,
    language: "en",
    width: 1280,
    consent: "Acme Budget asks to read your information",
    accounts: &["Everyday Chequing", "Maple Rewards Card"],
    search: ("payroll", "PAYROLL NORTHWIND LTD"),
};

const FRENCH: Way = Way {
    provider_id: 2000,
    language: "fr",
    width: 375,
    consent: "Acme Budget demande à lire vos renseignements",
    accounts: &["Caisse Rideau"],
    search: ("honoraires", "HONORAIRES TRADUCTION OUTAOUAIS"),
};

async fn walk(way: &Way) {
    let kit = Kit::new().await;
    let (site, demo) = (kit.bank(way.provider_id), kit.world.demo.clone());
    let chrome = Chrome::new(way.width).await;
    let name = |page: &str| format!("demo-{page}-{}-{}-{}", way.provider_id, way.language, way.width);
    let shot = async |page: &str| chrome.shot(&name(page)).await;
    chrome.go(&format!("{demo}/?lang={}", way.language)).await;
    chrome.see(&["Maple Trust", "Caisse Rideau"]).await;
    shot("home").await;
    chrome.click(&format!(r#"button[name=provider_id][value="{}"]"#, way.provider_id)).await;
    chrome.see(&[way.consent]).await;
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
    chrome.see(way.accounts).await;
    assert!(chrome.url().await.starts_with(&demo), "{}", chrome.url().await);
    shot("accounts").await;
    chrome.click(".card.account h3 a").await;
    chrome.click("#q").await;
    shot("account").await;
    chrome.fill("q", way.search.0).await;
    chrome.click("form.search button.primary").await;
    chrome.see(&[way.search.1]).await;
    shot("search").await;
    chrome.go(&format!("{demo}/accounts")).await;
    chrome.click("form[action='/refresh'] button").await;
    chrome.see(&["/api/v1/token", "eyJ0eXAi…"]).await;
    shot("refresh").await;
    lever(&kit, way.provider_id, json!({"fail": 503})).await;
    chrome.go(&format!("{demo}/accounts")).await;
    chrome.see(&["503"]).await;
    shot("bank-down").await;
    lever(&kit, way.provider_id, json!({"fail": null})).await;
    chrome.click("form[action='/disconnect'] button").await;
    chrome.see(&["/api/v1/revoke", "204", "602", "invalid_grant"]).await;
    shot("doors").await;
    kit.until("the bank is told", async || ended(&kit, way.provider_id).await).await;
    chrome.go(&format!("{}/levers?lang={}", site.url, way.language)).await;
    chrome.see(&["/levers/grants"]).await;
    shot("levers").await;
    chrome.close().await;
}

async fn lever(kit: &Kit, provider_id: i64, levers: serde_json::Value) {
    let mut sent = Sent::new(Method::PUT, &kit.bank(provider_id).levers());
    sent.json = Some(levers);
    assert_eq!(kit.send(sent).await.status, 200);
}

async fn ended(kit: &Kit, provider_id: i64) -> bool {
    let url = format!("{}/grants", kit.bank(provider_id).levers());
    kit.send(Sent::new(Method::GET, &url)).await.json()[0]["state"] == "ended"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_uses_the_demo_app_with_the_first_bank() {
    walk(&ENGLISH).await;
    walk(&Way { language: "fr", width: 375, consent: FRENCH.consent, ..ENGLISH }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_uses_the_demo_app_with_the_second_bank() {
    walk(&FRENCH).await;
    walk(&Way { language: "en", width: 1280, consent: ENGLISH.consent, ..FRENCH }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lets_the_hub_ask_picks_a_bank_there_and_may_decline() {
    let kit = Kit::new().await;
    let demo = kit.world.demo.clone();
    let chrome = Chrome::new(375).await;
    chrome.go(&format!("{demo}/?lang=fr")).await;
    chrome.click("form[action='/connect'] button.other").await;
    chrome.see(&["Choisissez votre banque", "Maple Trust", "Caisse Rideau"]).await;
    chrome.shot("picker-fr-375").await;
    chrome.click("button[name=provider_id][value='2000']").await;
    chrome.see(&[FRENCH.consent, "Caisse Rideau"]).await;
    chrome.click("button[value=deny]").await;
    chrome.see(&["access_denied"]).await;
    assert!(chrome.url().await.starts_with(&demo), "{}", chrome.url().await);
    chrome.shot("demo-denied-fr-375").await;
    chrome.close().await;
}
