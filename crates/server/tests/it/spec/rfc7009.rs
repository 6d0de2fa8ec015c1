//! RFC 7009, token revocation, as far as `/api/v1/revoke` keeps to it.

use std::time::Duration;

use domain::model::connection::{BankState, Cause};
use http::Method;

use super::{FORM, REVOKE, description, refused, said};
use crate::kit::{Kit, Raw, SCOPE};

fn form(bearer: &str, body: String) -> Raw {
    Raw::post(REVOKE, FORM, body).bearer(bearer)
}

#[tokio::test]
async fn s2_1_the_effect_is_immediate_and_complete() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let others: Vec<String> =
        futures_util::future::join_all((0..3).map(|_| kit.refresh(&acme, &tokens.refresh)))
            .await
            .iter()
            .map(|answer| answer.json()["access_token"].as_str().unwrap().to_owned())
            .collect();
    assert_eq!(kit.revoke(&others[0]).await.status, 204);
    for token in others.iter().chain([&tokens.access]) {
        assert_eq!(kit.read("/accounts", token).await.json()["code"], 602, "every token of the grant");
    }
    assert_eq!(said(&kit.refresh(&acme, &tokens.refresh).await), refused("invalid_grant"));
    assert_eq!(said(&kit.redeem(&acme, &tokens.code).await), refused("invalid_grant"));
}

/// On purpose: the bearer names the connection; no client authentication, `DELETE` or `POST`, and 204.
#[tokio::test]
async fn s2_1_deviation_the_bearer_names_what_is_revoked() {
    let kit = Kit::new().await;
    for method in [Method::DELETE, Method::POST] {
        let tokens = kit.connect(&kit.acme()).await;
        let answer = kit.call(method, REVOKE, &tokens.access).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert!(!answer.headers.contains_key("content-type"));
        assert_eq!(kit.cause(&tokens.id).await, Some(Cause::Recipient));
    }
}

#[tokio::test]
async fn s2_1_a_token_field_that_is_not_the_bearer_revokes_nothing() {
    let kit = Kit::new().await;
    let (acme, other) = (kit.acme(), kit.recipient(&[1000], SCOPE, false).await);
    let (tokens, foreign) = (kit.connect(&acme).await, kit.connect(&other).await);
    for wrong in [&tokens.refresh, &foreign.access, &foreign.refresh, "x", "", " "] {
        let answer =
            kit.wire(&form(&tokens.access, format!("token={wrong}&token_type_hint=access_token"))).await;
        assert_eq!(said(&answer), refused("invalid_request"), "{wrong}");
        assert_eq!(description(&answer), "token differs from the Authorization header");
    }
    let twice = kit.wire(&form(&tokens.access, format!("token={}&token=x", tokens.access))).await;
    assert_eq!(said(&twice), refused("invalid_request"));
    assert_eq!((kit.cause(&tokens.id).await, kit.cause(&foreign.id).await), (None, None));
}

#[tokio::test]
async fn s2_1_a_hint_is_only_a_hint() {
    let kit = Kit::new().await;
    for hint in ["access_token", "refresh_token", "urn:unknown", "", "%00"] {
        let tokens = kit.connect(&kit.acme()).await;
        let body = format!("token={}&token_type_hint={hint}", tokens.access);
        assert_eq!(kit.wire(&form(&tokens.access, body)).await.status, 204, "{hint}");
        assert_eq!(kit.cause(&tokens.id).await, Some(Cause::Recipient));
    }
}

#[tokio::test]
async fn s2_1_a_client_cannot_end_what_is_another_clients() {
    let kit = Kit::new().await;
    let (acme, other) = (kit.acme(), kit.recipient(&[1000], SCOPE, false).await);
    let (tokens, foreign) = (kit.connect(&acme).await, kit.connect(&other).await);
    assert_eq!(kit.revoke(&foreign.access).await.status, 204);
    assert_eq!(said(&kit.revoke(&kit.client_token(&other).await).await), refused("invalid_request"));
    assert_eq!(
        (kit.cause(&tokens.id).await, kit.read("/accounts", &tokens.access).await.status),
        (None, 200)
    );
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn s2_1_neither_a_refresh_token_nor_a_code_is_a_bearer() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for bearer in [&tokens.refresh, &tokens.code] {
        assert_eq!(said(&kit.revoke(bearer).await), refused("invalid_request"));
    }
    assert_eq!(kit.cause(&tokens.id).await, None);
}

/// RFC 7009 has success for what is revoked already; RFC 6750 would have `invalid_token`: the goal is reached.
#[tokio::test]
async fn s2_2_revoking_again_has_reached_its_goal() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for _ in 0..3 {
        let answer = kit.revoke(&tokens.access).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }
    kit.until("the bank is told", async || kit.connection(&tokens.id).await.bank == BankState::Accepted)
        .await;
    let head = kit.connection(&tokens.id).await.audit.seq;
    kit.revoke(&tokens.access).await;
    assert_eq!(kit.connection(&tokens.id).await.audit.seq, head, "and leaves no second trace");
}

/// On purpose: the one exception, so that nobody believes that nothing lives any more.
#[tokio::test]
async fn s2_2_deviation_a_replaced_token_is_refused_while_its_successor_lives() {
    let kit = Kit::new().await;
    let (first, second) = (kit.connect(&kit.acme()).await, kit.connect(&kit.acme()).await);
    assert_eq!(said(&kit.revoke(&first.access).await), refused("invalid_request"));
    assert_eq!(kit.cause(&second.id).await, None);
    assert_eq!(kit.revoke(&second.access).await.status, 204);
    assert_eq!(kit.revoke(&first.access).await.status, 204, "now nothing lives");
}

/// On purpose: a bearer that is unknown or expired is no credential at all, so it is 400 and not 200.
#[tokio::test]
async fn s2_2_deviation_an_unknown_token_is_refused() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    assert_eq!(said(&kit.revoke("unknown").await), refused("invalid_request"));
    kit.advance(Duration::from_mins(5));
    assert_eq!(said(&kit.revoke(&tokens.access).await), refused("invalid_request"));
    assert_eq!(kit.cause(&tokens.id).await, None);
}

#[tokio::test]
async fn s2_2_1_a_body_beyond_the_limit_ends_nothing_and_says_so() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let answer = kit.wire(&form(&tokens.access, "x".repeat(70_000))).await;
    assert_eq!(said(&answer), (413, "invalid_request".into()));
    assert_eq!(kit.cause(&tokens.id).await, None);
    let ignored = Raw::new("DELETE", REVOKE).bearer(&tokens.access).header("content-type", "text/plain; \"");
    assert_eq!(kit.wire(&ignored).await.status, 204, "what the body is does not matter");
}
