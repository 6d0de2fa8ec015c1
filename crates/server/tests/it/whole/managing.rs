//! What management says to wrong callers.

use bowline::cli::Answer;
use http::Method;
use serde_json::json;

use super::callers::Caller;
use super::expect::Expected;
use crate::kit::{Kit, Raw};
use domain::error::OAuthCode;

pub(super) const NO_RECIPIENT: &str = "client_id names no data recipient of this partner";
pub(super) const BAD_BEARER: &str = "The access token is missing, malformed or expired";
const NEEDS_PARTNER: &str = "This operation needs an access token with scope client:admin";

pub(super) fn is_of(path: &str) -> bool {
    path.starts_with("/api/v1/recipients")
}

pub(super) fn not_found(sentence: &'static str) -> Expected {
    Expected::OAuth(404, OAuthCode::InvalidRequest, sentence.into())
}

/// A recipient's row and its chain.
pub(super) async fn state_of(kit: &Kit, id: &str) -> Vec<String> {
    kit.behind(&format!("SELECT * FROM clients WHERE id = '{id}'")).await
}

/// A request that describes a recipient as it should be.
pub(super) fn described(method: &Method, path: String) -> Raw {
    let body =
        json!({"name": "Fake", "scope": "ACCOUNT_BASIC", "redirect_uris": "https://fake.example.org/"});
    Raw::post(path, "application/json", body.to_string()).method(method.as_str())
}

/// What each operation of a partner says to each wrong caller.
pub(super) fn expected(method: &str, path: &str, caller: Caller) -> Expected {
    match caller {
        Caller::Anonymous | Caller::Malformed | Caller::Forged | Caller::Expired => {
            Expected::invalid_request(BAD_BEARER)
        }
        Caller::OtherPartner => match (method, path) {
            (_, "/api/v1/recipients" | "/api/v1/recipients/providers/requests") => Expected::Data,
            (_, path) if path.contains("{recipient_ids}") => {
                Expected::Pairs(404, format!("{NO_RECIPIENT} (bad pairs: 1)").into())
            }
            _ => not_found(NO_RECIPIENT),
        },
        Caller::ClientToken
        | Caller::Foreign
        | Caller::Narrow
        | Caller::Ended
        | Caller::Replaced
        | Caller::OtherCustomer
        | Caller::Suspended
        | Caller::Paused => Expected::invalid_request(NEEDS_PARTNER),
    }
}

/// The word that a challenge names.
fn challenged(answer: &Answer) -> &str {
    answer.headers["www-authenticate"].to_str().unwrap()
}

#[tokio::test]
async fn a_bearer_for_something_else_is_told_what_it_lacks() {
    let kit = Kit::new().await;
    let own = kit.client_token(&kit.acme()).await;
    let refused = kit.call(Method::GET, "/api/v1/recipients", &own).await;
    Expected::invalid_request(NEEDS_PARTNER).hold(&refused, "a recipient's own token");
    assert_eq!(challenged(&refused), r#"Bearer error="insufficient_scope""#);
    let refused = kit.call(Method::GET, "/api/v1/recipients", "x").await;
    assert_eq!(challenged(&refused), r#"Bearer error="invalid_token""#);
}
