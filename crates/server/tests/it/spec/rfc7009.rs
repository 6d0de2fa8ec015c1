//! Tests of the clauses of RFC 7009 (token revocation) that `/api/v1/revoke` follows, and of its deviations.

use std::time::Duration;

use domain::model::connection::{EndCause, UpstreamRevocation};
use http::Method;

use super::{FORM, REVOKE, bad_request, error_description, status_and_error};
use crate::support::{RawRequest, SCOPE, TestHub};

fn build_revoke_request(bearer: &str, body: String) -> RawRequest {
    RawRequest::post(REVOKE, FORM, body).bearer(bearer)
}

#[tokio::test]
async fn rfc7009_s2_1_revocation_is_immediate_and_complete() {
    let kit = TestHub::new().await;
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
        assert_eq!(
            kit.read("/accounts", token).await.json()["code"],
            602,
            "every token of the connection is invalid"
        );
    }
    assert_eq!(status_and_error(&kit.refresh(&acme, &tokens.refresh).await), bad_request("invalid_grant"));
    assert_eq!(status_and_error(&kit.redeem(&acme, &tokens.code).await), bad_request("invalid_grant"));
}

/// Intended deviation: the bearer token names the connection; no client authentication, `DELETE` or `POST`, and 204.
#[tokio::test]
async fn rfc7009_s2_1_deviation_bearer_selects_the_connection() {
    let kit = TestHub::new().await;
    for method in [Method::DELETE, Method::POST] {
        let tokens = kit.connect(&kit.acme()).await;
        let answer = kit.call(method, REVOKE, &tokens.access).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert!(!answer.headers.contains_key("content-type"));
        assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Recipient));
    }
}

#[tokio::test]
async fn rfc7009_s2_1_token_field_differing_from_bearer_is_rejected() {
    let kit = TestHub::new().await;
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let (tokens, foreign) = (kit.connect(&acme).await, kit.connect(&other).await);
    for wrong in [&tokens.refresh, &foreign.access, &foreign.refresh, "x", "", " "] {
        let answer = kit
            .send_raw(&build_revoke_request(
                &tokens.access,
                format!("token={wrong}&token_type_hint=access_token"),
            ))
            .await;
        assert_eq!(status_and_error(&answer), bad_request("invalid_request"), "{wrong}");
        assert_eq!(error_description(&answer), "token differs from the Authorization header");
    }
    let repeated =
        kit.send_raw(&build_revoke_request(&tokens.access, format!("token={}&token=x", tokens.access))).await;
    assert_eq!(status_and_error(&repeated), bad_request("invalid_request"));
    assert_eq!((kit.load_end_cause(&tokens.id).await, kit.load_end_cause(&foreign.id).await), (None, None));
}

#[tokio::test]
async fn rfc7009_s2_1_token_type_hint_is_ignored() {
    let kit = TestHub::new().await;
    for hint in ["access_token", "refresh_token", "urn:unknown", "", "%00"] {
        let tokens = kit.connect(&kit.acme()).await;
        let body = format!("token={}&token_type_hint={hint}", tokens.access);
        assert_eq!(kit.send_raw(&build_revoke_request(&tokens.access, body)).await.status, 204, "{hint}");
        assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Recipient));
    }
}

#[tokio::test]
async fn rfc7009_s2_1_client_cannot_revoke_for_another_client() {
    let kit = TestHub::new().await;
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let (tokens, foreign) = (kit.connect(&acme).await, kit.connect(&other).await);
    assert_eq!(kit.revoke(&foreign.access).await.status, 204);
    assert_eq!(
        status_and_error(&kit.revoke(&kit.request_client_token(&other).await).await),
        bad_request("invalid_request")
    );
    assert_eq!(
        (kit.load_end_cause(&tokens.id).await, kit.read("/accounts", &tokens.access).await.status),
        (None, 200)
    );
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn rfc7009_s2_1_refresh_token_or_code_as_bearer_is_rejected() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for bearer in [&tokens.refresh, &tokens.code] {
        assert_eq!(status_and_error(&kit.revoke(bearer).await), bad_request("invalid_request"));
    }
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

/// The recipient authenticates with the token that it revokes. If the token is revoked already, RFC 7009 requires success,
/// and RFC 6750 requires `invalid_token`. The hub returns success, because the recipient's goal is reached.
#[tokio::test]
async fn rfc7009_s2_2_repeated_revocation_returns_204() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for _ in 0..3 {
        let answer = kit.revoke(&tokens.access).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }
    kit.wait_until("the provider is notified", async || {
        kit.load_connection(&tokens.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    let head = kit.load_connection(&tokens.id).await.audit.seq;
    kit.revoke(&tokens.access).await;
    assert_eq!(
        kit.load_connection(&tokens.id).await.audit.seq,
        head,
        "a repeated revocation writes no event"
    );
}

/// Intended deviation: the token of a replaced connection is the only exception, so that the caller does not assume
/// that no connection is active.
#[tokio::test]
async fn rfc7009_s2_2_deviation_superseded_token_is_rejected() {
    let kit = TestHub::new().await;
    let (first, second) = (kit.connect(&kit.acme()).await, kit.connect(&kit.acme()).await);
    assert_eq!(status_and_error(&kit.revoke(&first.access).await), bad_request("invalid_request"));
    assert_eq!(kit.load_end_cause(&second.id).await, None);
    assert_eq!(kit.revoke(&second.access).await.status, 204);
    assert_eq!(kit.revoke(&first.access).await.status, 204, "no connection is active now");
}

/// Intended deviation: an unknown or expired bearer token does not authenticate, so the response is 400, not 200.
#[tokio::test]
async fn rfc7009_s2_2_deviation_unknown_token_is_rejected() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    assert_eq!(status_and_error(&kit.revoke("unknown").await), bad_request("invalid_request"));
    kit.advance(Duration::from_mins(5));
    assert_eq!(status_and_error(&kit.revoke(&tokens.access).await), bad_request("invalid_request"));
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

#[tokio::test]
async fn rfc7009_s2_2_1_oversized_body_returns_413_and_ends_nothing() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let answer = kit.send_raw(&build_revoke_request(&tokens.access, "x".repeat(70_000))).await;
    assert_eq!(status_and_error(&answer), (413, "invalid_request".into()));
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
    let ignored =
        RawRequest::new("DELETE", REVOKE).bearer(&tokens.access).header("content-type", "text/plain; \"");
    assert_eq!(kit.send_raw(&ignored).await.status, 204, "the body is ignored");
}
