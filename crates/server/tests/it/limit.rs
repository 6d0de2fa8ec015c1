//! Tests of rate limits: requests over a limit are rejected, and other callers are not affected.

use bowline::cli::BrowserResponse;

use crate::matrix::error_coverage::expected_rate_limit_errors;
use crate::support::{RawRequest, TestClient, TestHub};

fn parse_retry_after(answer: &BrowserResponse) -> u64 {
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn recipient_over_limit_gets_429_others_unaffected() {
    let kit = TestHub::with_settings(&[("limit.recipient", "3")]).await;
    let tokens = kit.connect(&kit.acme()).await;
    let other = kit.connect(&kit.register_recipient(&[1000], crate::support::SCOPE, false).await).await;
    for _ in 0..3 {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    }
    for path in ["/accounts", "/capability"] {
        let refused = kit.read(path, &tokens.access).await;
        expected_rate_limit_errors()[0].assert_matches(&refused, path);
        assert!((1..=20).contains(&parse_retry_after(&refused)), "{:?}", refused.headers);
    }
    assert_eq!(kit.read("/accounts", &other.access).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking works");
    assert_eq!(
        kit.read("/accounts", &tokens.access).await.json()["code"],
        602,
        "an ended connection is reported before the limit"
    );
}

#[tokio::test]
async fn connection_limit_is_separate_per_connection() {
    let kit = TestHub::with_settings(&[("limit.connection", "2")]).await;
    let acme = kit.acme();
    let alice = kit.connect(&acme).await;
    let bob = kit.connect_at(1000, &acme, "bob", &[], crate::support::SCOPE).await;
    for _ in 0..2 {
        assert_eq!(kit.read("/accounts", &alice.access).await.status, 200);
    }
    expected_rate_limit_errors()[0].assert_matches(&kit.read("/accounts", &alice.access).await, "alice");
    assert_eq!(kit.read("/accounts", &bob.access).await.status, 200);
}

#[tokio::test]
async fn provider_limit_reserves_share_for_other_recipients() {
    let kit = TestHub::with_settings(&[("limit.provider", "6"), ("limit.provider_share", "50")]).await;
    let tokens = kit.connect(&kit.acme()).await;
    let other = kit.connect(&kit.register_recipient(&[1000, 2000], crate::support::SCOPE, false).await).await;
    let read = async |access: &str| kit.read("/accounts", access).await;
    for _ in 0..3 {
        assert_eq!(read(&tokens.access).await.status, 200);
    }
    let refused = read(&tokens.access).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &1207.into()), "{}", refused.body);
    assert!(parse_retry_after(&refused) >= 1);
    for _ in 0..3 {
        assert_eq!(read(&other.access).await.status, 200, "the other recipient still has its share");
    }
    assert_eq!(read(&other.access).await.status, 429);
    let metrics = kit.read("/availability", &tokens.access).await;
    assert_eq!(metrics.status, 200, "a request that needs no provider is not counted");
}

#[tokio::test]
async fn token_and_revoke_over_limit_return_503() {
    let kit = TestHub::with_settings(&[("limit.token", "3"), ("limit.revoke", "1")]).await;
    let acme = kit.acme();
    let (first, second) =
        (kit.connect(&acme).await, kit.connect_at(1000, &acme, "bob", &[], crate::support::SCOPE).await);
    assert_eq!(kit.refresh(&acme, &first.refresh).await.status, 200);
    let refused = kit.refresh(&acme, &first.refresh).await;
    expected_rate_limit_errors()[1].assert_matches(&refused, "token");
    assert!((1..=20).contains(&parse_retry_after(&refused)), "{:?}", refused.headers);
    let other = kit.register_recipient(&[1000], crate::support::SCOPE, false).await;
    assert!(!kit.request_client_token(&other).await.is_empty());
    assert_eq!(kit.revoke(&first.access).await.status, 204);
    let refused = kit.revoke(&second.access).await;
    expected_rate_limit_errors()[1].assert_matches(&refused, "revoke");
    assert!((1..=60).contains(&parse_retry_after(&refused)));
    assert_eq!(kit.load_end_cause(&second.id).await, None);
    assert_eq!(kit.revoke(&first.access).await.status, 204, "revoking an ended connection is not limited");
}

fn build_client_credentials_request(client: &TestClient, from: &str) -> RawRequest {
    let body =
        format!("grant_type=client_credentials&client_id={}&client_secret={}", client.id, client.secret);
    RawRequest::post("/api/v1/token", "application/x-www-form-urlencoded", body)
        .header("x-forwarded-for", from)
}

#[tokio::test]
async fn wrong_secrets_over_limit_do_not_lock_out_the_right_one() {
    let kit =
        TestHub::with_settings(&[("limit.failed_authentication", "2"), ("server.trusted_proxies", "1")])
            .await;
    let acme = kit.acme();
    let wrong = TestClient { secret: "guess".into(), ..acme.clone() };
    let unknown = TestClient { id: "dc-unknown".into(), ..acme.clone() };
    let try_it =
        async |who: &TestClient, from: &str| kit.send_raw(&build_client_credentials_request(who, from)).await;
    for _ in 0..3 {
        let refused = try_it(&wrong, "203.0.113.9").await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &"invalid_client".into()));
    }
    let rejected = try_it(&wrong, "203.0.113.77").await;
    expected_rate_limit_errors()[1].assert_matches(&rejected, "a wrong secret from the same network");
    assert!((1..=30).contains(&parse_retry_after(&rejected)));
    assert_eq!(try_it(&acme, "203.0.113.77").await.status, 200, "the right secret from the same network");
    let other_network = try_it(&wrong, "198.51.100.1").await;
    assert_eq!(other_network.json()["error"], "invalid_client", "each network is counted separately");
    assert_eq!(
        try_it(&acme, "198.51.100.1").await.status,
        200,
        "the client is not blocked in its own network"
    );
    assert_eq!(
        try_it(&acme, "203.0.113.9, 198.51.100.1").await.status,
        200,
        "the caller's own X-Forwarded-For entry is ignored"
    );
    let other = kit.register_recipient(&[1000], crate::support::SCOPE, false).await;
    assert_eq!(
        try_it(&other, "203.0.113.9").await.status,
        200,
        "another client in that network is not blocked"
    );
    assert_eq!(try_it(&unknown, "203.0.113.9").await.json()["error"], "invalid_client");
}
