//! The expected responses of the partner API to unauthorized callers.

use bowline::cli::BrowserResponse;
use http::Method;
use serde_json::json;

use super::callers::UnauthorizedCaller;
use super::expectations::ExpectedResponse;
use crate::support::{RawRequest, TestHub};
use domain::error::OAuthCode;

pub(super) const NO_RECIPIENT: &str = "client_id names no data recipient of this partner";
pub(super) const BAD_BEARER: &str = "The access token is missing, malformed or expired";
const NEEDS_PARTNER: &str = "This operation needs an access token with scope client:admin";

const NEEDS_RECIPIENT: &str = "This operation needs an access token with scope providers:read";
const NEEDS_CLIENT: &str = "This operation needs an access token of the client itself";
pub(super) const NO_CONNECTION: &str = "connection_id names no connection of this data recipient";

pub(super) fn is_management_path(path: &str) -> bool {
    let ours =
        ["/api/v1/recipients", "/api/v1/providers", "/api/v1/authorize/", "/api/v2/", "/api/v1/connections"];
    ours.iter().any(|ours| path.starts_with(ours))
}

/// The kind of access token that an operation of the partner API requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequiredTokenKind {
    Partner,
    Recipient,
    Either,
}

fn required_token_kind(path: &str) -> RequiredTokenKind {
    match path {
        "/api/v1/providers" | "/api/v2/providers" => RequiredTokenKind::Either,
        "/api/v1/authorize/providers" => RequiredTokenKind::Recipient,
        path if path.starts_with("/api/v1/connections") => RequiredTokenKind::Recipient,
        _ => RequiredTokenKind::Partner,
    }
}

pub(super) fn expected_not_found(description: &'static str) -> ExpectedResponse {
    ExpectedResponse::OAuth(404, OAuthCode::InvalidRequest, description.into())
}

/// Dumps a recipient's database row and the length of its audit chain.
pub(super) async fn load_client_rows(kit: &TestHub, id: &str) -> Vec<String> {
    // Not the head of the audit log, to which refused requests are added.
    kit.sql(&format!("SELECT state, mac, state_mac FROM clients WHERE id = '{id}'")).await
}

/// Builds a valid request to create a recipient.
pub(super) fn build_recipient_request(method: &Method, path: String) -> RawRequest {
    let body =
        json!({"name": "Fake", "scope": "ACCOUNT_BASIC", "redirect_uris": "https://fake.example.org/"});
    RawRequest::post(path, "application/json", body.to_string()).method(method.as_str())
}

/// Returns the expected response of each operation to each unauthorized caller.
pub(super) fn expected_response(method: &str, path: &str, caller: UnauthorizedCaller) -> ExpectedResponse {
    let required = required_token_kind(path);
    match caller {
        UnauthorizedCaller::Anonymous
        | UnauthorizedCaller::Malformed
        | UnauthorizedCaller::Forged
        | UnauthorizedCaller::Expired => ExpectedResponse::invalid_request(BAD_BEARER),
        UnauthorizedCaller::OtherPartner if required != RequiredTokenKind::Recipient => {
            expected_for_other_partner(method, path)
        }
        UnauthorizedCaller::ClientToken if required != RequiredTokenKind::Partner => match path {
            "/api/v1/connections/{connection_id}" => expected_not_found(NO_CONNECTION),
            _ => ExpectedResponse::Data,
        },
        // A token of a connection, or of the other kind of client.
        _ => ExpectedResponse::invalid_request(match required {
            RequiredTokenKind::Partner => NEEDS_PARTNER,
            RequiredTokenKind::Recipient => NEEDS_RECIPIENT,
            RequiredTokenKind::Either => NEEDS_CLIENT,
        }),
    }
}

/// Returns the expected response to a partner that does not manage the object.
fn expected_for_other_partner(method: &str, path: &str) -> ExpectedResponse {
    match (method, path) {
        (_, "/api/v1/recipients" | "/api/v1/recipients/providers/requests") => ExpectedResponse::Data,
        (_, path) if !path.starts_with("/api/v1/recipients") => ExpectedResponse::Data,
        (_, path) if path.contains("{recipient_ids}") => {
            ExpectedResponse::PairErrors(404, format!("{NO_RECIPIENT} (bad pairs: 1)").into())
        }
        _ => expected_not_found(NO_RECIPIENT),
    }
}

/// Returns the challenge of a response: the value of `WWW-Authenticate`.
fn challenge_header(answer: &BrowserResponse) -> &str {
    answer.headers["www-authenticate"].to_str().unwrap()
}

#[tokio::test]
async fn management_api_rejects_token_of_wrong_kind() {
    let kit = TestHub::new().await;
    let recipient_token = kit.request_client_token(&kit.acme()).await;
    let refused = kit.call(Method::GET, "/api/v1/recipients", &recipient_token).await;
    ExpectedResponse::invalid_request(NEEDS_PARTNER).assert_matches(&refused, "a recipient's own token");
    assert_eq!(challenge_header(&refused), r#"Bearer error="insufficient_scope""#);
    let tokens = kit.connect(&kit.acme()).await;
    for (path, description) in [("/api/v1/providers", NEEDS_CLIENT), ("/api/v1/connections", NEEDS_RECIPIENT)]
    {
        let refused = kit.call(Method::GET, path, &tokens.access).await;
        ExpectedResponse::invalid_request(description).assert_matches(&refused, path);
    }
    let refused = kit.call(Method::GET, "/api/v1/recipients", "x").await;
    assert_eq!(challenge_header(&refused), r#"Bearer error="invalid_token""#);
}
