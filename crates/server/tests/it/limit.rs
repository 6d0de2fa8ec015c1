//! Tests of rate limits: requests over a limit are rejected, and other callers are not affected.

use bowline::cli::BrowserResponse;
use http::Method;
use serde_json::json;

use crate::matrix::error_coverage::expected_rate_limit_errors;
use crate::matrix::expectations::ExpectedResponse;
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

#[tokio::test]
async fn management_over_limit_returns_503_but_ends_connections() {
    let kit = TestHub::with_settings(&[("limit.management", "3"), ("limit.revoke", "1")]).await;
    let (partner, other) = (kit.request_client_token(&kit.partner()).await, kit.create_other_partner().await);
    let acme = kit.request_client_token(&kit.acme()).await;
    let get = async |path: &str, token: &str| kit.call(Method::GET, path, token).await;
    let tokens = kit.connect(&kit.acme()).await;
    let second = kit.connect_at(1000, &kit.acme(), "bob", &[], crate::support::SCOPE).await;
    let one = format!("/api/v1/connections/{}", tokens.id);
    for path in ["/api/v1/connections", "/api/v1/authorize/providers", &one] {
        assert_eq!(get(path, &acme).await.status, 200, "{path}");
    }
    for path in ["/api/v1/recipients", "/api/v1/recipients/providers/requests", "/api/v1/providers"] {
        assert_eq!(get(path, &partner).await.status, 200, "{path}");
    }

    for (path, token) in [
        ("/api/v1/connections", &acme),
        (one.as_str(), &acme),
        ("/api/v2/providers", &acme),
        ("/api/v1/recipients", &partner),
        ("/api/v1/recipients/providers/requests", &partner),
    ] {
        let refused = get(path, token).await;
        expected_rate_limit_errors()[1].assert_matches(&refused, path);
        assert!((1..=20).contains(&parse_retry_after(&refused)), "{:?}", refused.headers);
    }
    let create = RawRequest::post("/api/v1/recipients", "application/json", "{}").bearer(&partner);
    expected_rate_limit_errors()[1].assert_matches(&kit.send_raw(&create).await, "create a recipient");

    assert_eq!(kit.call(Method::DELETE, &one, &acme).await.status, 204, "ends have a limit of their own");
    let refused = kit.call(Method::DELETE, &format!("/api/v1/connections/{}", second.id), &acme).await;
    expected_rate_limit_errors()[1].assert_matches(&refused, "end");
    assert_eq!(kit.load_end_cause(&second.id).await, None);
    let other = kit.request_client_token(&other).await;
    assert_eq!(get("/api/v1/recipients", &other).await.status, 200, "another partner is not affected");
}

#[tokio::test]
async fn operator_over_limit_gets_503_others_unaffected() {
    let kit = TestHub::with_settings(&[("limit.operator", "3")]).await;
    let vera = kit.create_operator_token("vera", "viewer").await;
    let bob = kit.create_operator_token("bob", "viewer").await;
    let list = async |token: &str| kit.send_operator_request(token, Method::GET, "/providers", None).await;
    for _ in 0..3 {
        assert_eq!(list(&vera).await.status, 200);
    }

    let refused = list(&vera).await;

    expected_rate_limit_errors()[2].assert_matches(&refused, "operator");
    assert!(parse_retry_after(&refused) >= 1);
    assert_eq!(list(&bob).await.status, 200, "another operator is not affected");
}

#[tokio::test]
async fn partner_with_maximum_of_recipients_cannot_create_more() {
    let kit = TestHub::with_settings(&[("limit.partner_recipients", "2")]).await;
    let partner = kit.partner();
    let token = kit.request_client_token(&partner).await;
    let first = kit.create_recipient(&token).await;
    kit.create_recipient(&token).await;
    let (path, body) = (
        "/api/v1/recipients",
        json!({"name": "Third", "scope": crate::support::SCOPE, "redirect_uris": ["https://fake.example.org/back"]}),
    );
    let create = async || kit.call_with_json(Method::POST, path, &token, body.clone()).await;

    let refused = create().await;

    ExpectedResponse::invalid_request(
        "The partner has the maximum number of data recipients: remove one first",
    )
    .assert_matches(&refused, "the third recipient");
    let by_operator = json!({"name": "Third", "purpose_en": "Why", "purpose_fr": "Pourquoi", "partner": partner.id,
        "redirect_uris": ["https://fake.example.org/back"], "scope": ["ACCOUNT_BASIC"]});
    let refused = kit.post_admin_request("/recipients", by_operator).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &"conflict".into()), "{}", refused.body);
    assert_eq!(kit.call(Method::DELETE, &format!("{path}/{}", first.id), &token).await.status, 204);
    assert_eq!(create().await.status, 200, "a removed recipient is not counted");
}

#[tokio::test]
async fn partner_lists_are_paged_with_link_to_next_page() {
    let kit = TestHub::with_settings(&[("page.size", "1"), ("page.max", "2")]).await;
    let token = kit.request_client_token(&kit.partner()).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = kit.create_recipient(&token).await.id;
        let path = format!("/api/v1/recipients/providers/requests/{id}/1000");
        assert_eq!(kit.call(Method::POST, &path, &token).await.status, 200);
        ids.push(id);
    }
    ids.sort();
    let of_one = format!("/api/v1/recipients/{}/providers/requests", ids[0]);
    assert_eq!(
        kit.call(Method::POST, &format!("/api/v1/recipients/providers/requests/{}/2000", ids[0]), &token)
            .await
            .status,
        200
    );

    for (path, query, members, pages) in [
        ("/api/v1/recipients", "", 5, 3),
        ("/api/v1/recipients/providers/requests", "", 6, 3),
        ("/api/v1/recipients", "?limit=9", 5, 3),
        (of_one.as_str(), "?limit=1", 2, 2),
    ] {
        let (mut listed, mut count, mut next) = (Vec::new(), 0, Some(format!("{path}{query}")));
        while let Some(url) = next.take() {
            let page = kit.call(Method::GET, &url, &token).await;
            assert_eq!(page.status, 200, "{url}: {}", page.body);
            listed.extend(
                page.json().as_array().unwrap().iter().map(|item| {
                    (item["client_id"].as_str().unwrap().to_owned(), item["provider_id"].as_i64())
                }),
            );
            let link = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
            next = link.map(|link| {
                let url =
                    link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
                url.strip_prefix(kit.url("").as_str()).unwrap().to_owned()
            });
            count += 1;
        }
        assert_eq!((listed.len(), count), (members, pages), "{path}{query}");
        listed.sort();
        listed.dedup();
        assert_eq!(listed.len(), members, "{path}{query}: nothing is listed twice");
    }
}
