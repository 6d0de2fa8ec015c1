//! Tests of the clauses of OAuth specifications, with one file for each specification. Each test is named after the
//! clause that it proves.
//!
//! Tests of intended deviations say so and prove the deviation; `docs/deviations.md` gives the reason.

mod rfc6749;
mod rfc6749_client;
mod rfc6749_grants;
mod rfc6750;
mod rfc7009;
mod rfc7636;
mod rfc8414;
mod rfc8725;
mod rfc9700;

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline::cli::{BrowserRequest, BrowserResponse};
use http::Method;
use serde_json::{Value, json};

use crate::support::{ConnectionTokens, EndpointStub, TestClient, TestHub, json_response, query_parameter};

const FORM: &str = "application/x-www-form-urlencoded";
const TOKEN: &str = "/api/v1/token";
const REVOKE: &str = "/api/v1/revoke";
const ACCOUNTS: &str = "/api/fdx/5/accounts";

/// Returns the status and the OAuth error code of a response.
fn status_and_error(answer: &BrowserResponse) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn bad_request(error: &str) -> (u16, String) {
    (400, error.to_owned())
}

fn error_description(answer: &BrowserResponse) -> String {
    answer.json()["error_description"].as_str().unwrap_or_default().to_owned()
}

fn header<'a>(answer: &'a BrowserResponse, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// Builds the query of a valid authorization request with some parameters replaced or omitted.
fn build_authorize_query(
    recipient: &TestClient,
    changes: &[(&'static str, Option<&str>)],
) -> Vec<(&'static str, String)> {
    let mut query = TestHub::build_authorization_query(recipient);
    for (name, value) in changes {
        query.retain(|(known, _)| known != name);
        query.extend(value.map(|value| (*name, value.to_owned())));
    }
    query
}

/// Sends an authorization request that must be rejected; returns `error` and `error_description` of the redirect.
async fn fetch_redirect_error(
    kit: &TestHub,
    recipient: &TestClient,
    changes: &[(&'static str, Option<&str>)],
) -> (String, String) {
    let answer = kit.authorize(&build_authorize_query(recipient, changes)).await;
    let location = answer.location.unwrap_or_else(|| panic!("{changes:?}: {}", answer.body));
    assert!(location.starts_with(&recipient.redirect_uri), "{location}");
    (query_parameter(&location, "error").unwrap(), query_parameter(&location, "error_description").unwrap())
}

/// Builds HTTP Basic credentials, form-encoded (RFC 6749 §2.3.1).
fn build_basic_header(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// Opens a URL in the test browser.
async fn open_url(kit: &TestHub, url: &str) -> BrowserResponse {
    kit.send(BrowserRequest::new(Method::GET, url)).await
}

/// Builds a token response of a provider, whose tokens contain a number.
fn build_token_response(number: usize) -> Value {
    json!({
        "access_token": format!("at-{number}"), "refresh_token": format!("rt-{number}"), "token_type": "Bearer",
        "expires_in": 300, "scope": "fdx:accountbasic:read fdx:accountdetailed:read fdx:transactions:read",
        "customer_id": "c-1", "accounts": ["a-1"], "grant_id": "g-1",
    })
}

/// Replaces the token, revocation and FDX endpoints of Maple Trust with a stub. Each refresh rotates the refresh token.
async fn install_provider_stub(kit: &TestHub) -> EndpointStub {
    let issued = AtomicUsize::new(0);
    let bank = EndpointStub::new(move |call| match call.path.as_str() {
        "/token" => json_response(200, &build_token_response(issued.fetch_add(1, Ordering::Relaxed) + 1)),
        _ => json_response(200, &json!({"page": {}, "accounts": []})),
    })
    .await;
    let url = bank.url.clone();
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some(format!("{url}/token"));
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
        settings.fdx.base_url = format!("{url}/fdx");
    })
    .await;
    bank
}

/// Opens a callback URL and exchanges the code that the recipient receives for tokens.
async fn complete_connection(kit: &TestHub, callback: &str) -> ConnectionTokens {
    let back = open_url(kit, callback).await.location.unwrap();
    let code = query_parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"));
    ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code)
}
