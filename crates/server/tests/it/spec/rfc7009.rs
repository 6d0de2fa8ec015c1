//! Tests of the clauses of RFC 7009 (token revocation) that `/api/v1/revoke` follows, and of its deviations.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline::cli::BrowserResponse;
use domain::model::connection::{EndCause, UpstreamRevocation};
use http::Method;
use serde_json::json;

use super::{FORM, REVOKE, bad_request, error_description, status_and_error};
use crate::support::{RawRequest, SCOPE, TestClient, TestHub};

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
async fn rfc7009_s2_1_token_field_of_other_connection_is_rejected() {
    let kit = TestHub::new().await;
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let (tokens, foreign) = (kit.connect(&acme).await, kit.connect(&other).await);
    for wrong in [&foreign.access, &foreign.refresh, &tokens.code, "x", "", " "] {
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

    // The rule is the same after the end, so that a repeated request cannot succeed for another connection.
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    for other in [&foreign.access, &foreign.refresh] {
        let answer = kit.send_raw(&build_revoke_request(&tokens.access, format!("token={other}"))).await;
        assert_eq!(error_description(&answer), "token differs from the Authorization header");
    }
    assert_eq!(kit.load_end_cause(&foreign.id).await, None);
}

#[tokio::test]
async fn rfc7009_s2_1_refresh_token_next_to_its_bearer_is_accepted() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let form = format!("token={}&token_type_hint=refresh_token&client_id=other", tokens.refresh);
    let request = build_revoke_request(&tokens.access, form);

    assert_eq!(kit.send_raw(&request).await.status, 204);

    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Recipient));
    kit.wait_until("the tokens are deleted", async || kit.send_raw(&request).await.status == 204).await;
}

fn build_client_form(client: &TestClient, token: &str) -> String {
    format!("client_id={}&client_secret={}&token={token}", client.id, client.secret)
}

/// Sends a revocation request with the credentials of a client in its form.
async fn revoke_as_client(kit: &TestHub, client: &TestClient, token: &str) -> BrowserResponse {
    kit.send_raw(&RawRequest::post(REVOKE, FORM, build_client_form(client, token))).await
}

#[tokio::test]
async fn rfc7009_s2_1_client_ends_connection_by_any_token_of_it() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", acme.id, acme.secret)));
    let build_basic = |token: &str| {
        let form = format!("token={token}&token_type_hint=urn:unknown");
        RawRequest::post(REVOKE, FORM, form).header("authorization", basic.as_str())
    };
    let build_json = |token: &str| {
        let body = json!({"client_id": acme.id, "client_secret": acme.secret, "token": token});
        RawRequest::post(REVOKE, "application/json", body.to_string())
    };
    let build_form = |token: &str| RawRequest::post(REVOKE, FORM, build_client_form(&acme, token));
    let builders: [&dyn Fn(&str) -> RawRequest; 3] = [&build_basic, &build_json, &build_form];
    for (index, build) in builders.into_iter().enumerate() {
        for is_refresh_token in [false, true] {
            let tokens = kit.connect(&acme).await;
            let request = build(if is_refresh_token { &tokens.refresh } else { &tokens.access });

            for repetition in 0..2 {
                let answer = kit.send_raw(&request).await;
                assert_eq!((answer.status, answer.body.as_str()), (200, "{}"), "{index}, {repetition}");
            }

            assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Recipient), "{index}");
            assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
        }
    }
}

#[tokio::test]
async fn rfc7009_s2_1_client_ends_connection_by_expired_token() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let (first, second) = (kit.connect(&acme).await, kit.connect_at(1000, &acme, "bob", &[], SCOPE).await);
    kit.advance(Duration::from_hours(24 * 32));
    let refreshed = kit.refresh(&acme, &second.refresh).await;
    assert_eq!(status_and_error(&refreshed), bad_request("invalid_grant"), "the refresh token has expired");

    for token in [&first.access, &second.refresh] {
        assert_eq!(revoke_as_client(&kit, &acme, token).await.status, 200);
    }

    for id in [&first.id, &second.id] {
        assert_eq!(kit.load_end_cause(id).await, Some(EndCause::Recipient));
    }
}

#[tokio::test]
async fn rfc7009_s2_2_unknown_or_foreign_token_returns_200() {
    let kit = TestHub::new().await;
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let (tokens, foreign) = (kit.connect(&acme).await, kit.connect(&other).await);
    let own_token = kit.request_client_token(&acme).await;
    let mut altered = tokens.access.clone();
    altered.pop();

    for token in [&foreign.access, &foreign.refresh, &own_token, &tokens.code, &altered, "x"] {
        let answer = revoke_as_client(&kit, &acme, token).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"), "{token}");
    }

    assert_eq!((kit.load_end_cause(&tokens.id).await, kit.load_end_cause(&foreign.id).await), (None, None));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn rfc7009_s2_1_unauthenticated_request_ends_nothing() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let post = |form: String| RawRequest::post(REVOKE, FORM, form);
    let (id, secret) = (format!("client_id={}", acme.id), format!("client_secret={}", acme.secret));
    let (refresh, access) = (format!("token={}", tokens.refresh), format!("token={}", tokens.access));

    for (request, error) in [
        (post(refresh.clone()), "invalid_request"),
        (post(access), "invalid_request"),
        (post(format!("{id}&{secret}")), "invalid_request"),
        (post(format!("{id}&{refresh}")), "invalid_request"),
        (post(format!("{id}&{secret}&{refresh}&{refresh}")), "invalid_request"),
        (post(String::new()), "invalid_request"),
        (post(format!("{id}&client_secret=wrong&{refresh}")), "invalid_client"),
        (post(format!("client_id=dc-unknown&{secret}&{refresh}")), "invalid_client"),
        (post(format!("{id}&{secret}&{refresh}")).method("DELETE"), "invalid_request"),
    ] {
        assert_eq!(status_and_error(&kit.send_raw(&request).await), bad_request(error));
    }

    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

#[tokio::test]
async fn rfc7009_s2_2_1_revocation_over_limit_is_503() {
    let kit = TestHub::with_settings(&[("limit.revoke", "1")]).await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    assert_eq!(revoke_as_client(&kit, &acme, "unknown").await.status, 200);

    let answer = revoke_as_client(&kit, &acme, &tokens.refresh).await;

    assert_eq!(status_and_error(&answer), (503, "temporarily_unavailable".into()));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
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
