//! One file a specification; each test is named after the clause that it proves.
//!
//! Where we differ on purpose the test says so and proves the difference: `docs/deviations.md` gives the reason.

mod rfc6749;
mod rfc6749_client;
mod rfc6750;
mod rfc7009;
mod rfc7636;
mod rfc8725;
mod rfc9700;

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline::cli::{Answer, Sent};
use http::Method;
use serde_json::{Value, json};

use crate::kit::{Kit, Recipient, StandIn, Tokens, parameter, says};

const FORM: &str = "application/x-www-form-urlencoded";
const TOKEN: &str = "/api/v1/token";
const REVOKE: &str = "/api/v1/revoke";
const ACCOUNTS: &str = "/api/fdx/5/accounts";

/// Status and error word.
fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn refused(word: &str) -> (u16, String) {
    (400, word.to_owned())
}

fn description(answer: &Answer) -> String {
    answer.json()["error_description"].as_str().unwrap_or_default().to_owned()
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// An authorization request with parameters replaced or left out.
fn changed(recipient: &Recipient, changes: &[(&'static str, Option<&str>)]) -> Vec<(&'static str, String)> {
    let mut query = Kit::ask(recipient);
    for (name, value) in changes {
        query.retain(|(known, _)| known != name);
        query.extend(value.map(|value| (*name, value.to_owned())));
    }
    query
}

/// Where an authorization request is refused to.
async fn refusal(
    kit: &Kit,
    recipient: &Recipient,
    changes: &[(&'static str, Option<&str>)],
) -> (String, String) {
    let answer = kit.authorize(&changed(recipient, changes)).await;
    let location = answer.location.unwrap_or_else(|| panic!("{changes:?}: {}", answer.body));
    assert!(location.starts_with(&recipient.redirect_uri), "{location}");
    (parameter(&location, "error").unwrap(), parameter(&location, "error_description").unwrap())
}

/// HTTP Basic, both halves form-encoded.
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// Opens a URL in the browser of the world.
async fn open(kit: &Kit, url: &str) -> Answer {
    kit.send(Sent::new(Method::GET, url)).await
}

/// The reply of a token endpoint at a bank.
fn reply(number: usize) -> Value {
    json!({
        "access_token": format!("at-{number}"), "refresh_token": format!("rt-{number}"), "token_type": "Bearer",
        "expires_in": 300, "scope": "fdx:accountbasic:read fdx:accountdetailed:read fdx:transactions:read",
        "customer_id": "c-1", "accounts": ["a-1"], "grant_id": "g-1",
    })
}

/// From now on the endpoints of Maple Trust, behind the browser, are the test's own. Each refresh rotates.
async fn watched(kit: &Kit) -> StandIn {
    let issued = AtomicUsize::new(0);
    let bank = StandIn::new(move |call| match call.path.as_str() {
        "/token" => says(200, &reply(issued.fetch_add(1, Ordering::Relaxed) + 1)),
        _ => says(200, &json!({"page": {}, "accounts": []})),
    })
    .await;
    let url = bank.url.clone();
    kit.set_up(1000, |settings| {
        settings.token_endpoint = format!("{url}/token");
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
        settings.fdx.base_url = format!("{url}/fdx");
    })
    .await;
    bank
}

/// A connection of the customer who stands at the callback.
async fn connected(kit: &Kit, callback: &str) -> Tokens {
    let back = open(kit, callback).await.location.unwrap();
    let code = parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"));
    Tokens::of(&kit.redeem(&kit.acme(), &code).await, code)
}
