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

const NEEDS_RECIPIENT: &str = "This operation needs an access token with scope providers:read";
const NEEDS_CLIENT: &str = "This operation needs an access token of the client itself";
pub(super) const NO_CONNECTION: &str = "connection_id names no connection of this data recipient";

pub(super) fn is_of(path: &str) -> bool {
    let ours =
        ["/api/v1/recipients", "/api/v1/providers", "/api/v1/authorize/", "/api/v2/", "/api/v1/connections"];
    ours.iter().any(|ours| path.starts_with(ours))
}

/// Whose token an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Partner,
    Recipient,
    Either,
}

fn needs(path: &str) -> Needs {
    match path {
        "/api/v1/providers" | "/api/v2/providers" => Needs::Either,
        "/api/v1/authorize/providers" => Needs::Recipient,
        path if path.starts_with("/api/v1/connections") => Needs::Recipient,
        _ => Needs::Partner,
    }
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

/// What each operation says to each wrong caller.
pub(super) fn expected(method: &str, path: &str, caller: Caller) -> Expected {
    let needs = needs(path);
    match caller {
        Caller::Anonymous | Caller::Malformed | Caller::Forged | Caller::Expired => {
            Expected::invalid_request(BAD_BEARER)
        }
        Caller::OtherPartner if needs != Needs::Recipient => of_a_partner(method, path),
        Caller::ClientToken if needs != Needs::Partner => match path {
            "/api/v1/connections/{connection_id}" => not_found(NO_CONNECTION),
            _ => Expected::Data,
        },
        // A connection's token, or a client's of the other kind.
        _ => Expected::invalid_request(match needs {
            Needs::Partner => NEEDS_PARTNER,
            Needs::Recipient => NEEDS_RECIPIENT,
            Needs::Either => NEEDS_CLIENT,
        }),
    }
}

/// What a partner is told of what is another's.
fn of_a_partner(method: &str, path: &str) -> Expected {
    match (method, path) {
        (_, "/api/v1/recipients" | "/api/v1/recipients/providers/requests") => Expected::Data,
        (_, path) if !path.starts_with("/api/v1/recipients") => Expected::Data,
        (_, path) if path.contains("{recipient_ids}") => {
            Expected::Pairs(404, format!("{NO_RECIPIENT} (bad pairs: 1)").into())
        }
        _ => not_found(NO_RECIPIENT),
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
    let tokens = kit.connect(&kit.acme()).await;
    for (path, sentence) in [("/api/v1/providers", NEEDS_CLIENT), ("/api/v1/connections", NEEDS_RECIPIENT)] {
        let refused = kit.call(Method::GET, path, &tokens.access).await;
        Expected::invalid_request(sentence).hold(&refused, path);
    }
    let refused = kit.call(Method::GET, "/api/v1/recipients", "x").await;
    assert_eq!(challenged(&refused), r#"Bearer error="invalid_token""#);
}
