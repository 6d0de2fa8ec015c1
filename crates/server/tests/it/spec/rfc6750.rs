//! Tests of the clauses of RFC 6750 (bearer tokens) that apply to the hub as a resource server and as a client of one.

use std::time::Duration;

use bowline::cli::BrowserResponse;
use http::{Method, Response};

use super::{
    ACCOUNTS, FORM, REVOKE, bad_request, complete_connection, error_description, header,
    install_provider_stub, status_and_error,
};
use crate::recovery::approve_and_capture_callback;
use crate::support::{EndpointStub, RawRequest, RecordedRequest, TestHub};

const INVALID_TOKEN_CHALLENGE: &str = r#"Bearer error="invalid_token""#;

/// Asserts that a response has status 401, a body with a message only, and the challenge `invalid_token`.
fn assert_invalid_token(answer: &BrowserResponse) {
    let body = answer.json();
    assert_eq!((answer.status, header(answer, "www-authenticate")), (401, INVALID_TOKEN_CHALLENGE), "{body}");
    assert_eq!((body["message"].is_string(), body.as_object().unwrap().len()), (true, 1), "{body}");
}

#[tokio::test]
async fn rfc6750_s2_1_bearer_scheme_is_case_insensitive() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let with =
        |raw: RawRequest, scheme: &str| raw.header("authorization", format!("{scheme} {}", tokens.access));
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(kit.send_raw(&with(RawRequest::get(ACCOUNTS), scheme)).await.status, 200, "{scheme}");
    }
    for scheme in ["Basic", "DPoP", "Token", "Bearer:", "xBearer"] {
        assert_invalid_token(&kit.send_raw(&with(RawRequest::get(ACCOUNTS), scheme)).await);
        let revoke = kit.send_raw(&with(RawRequest::new("DELETE", REVOKE), scheme)).await;
        assert_eq!(status_and_error(&revoke), bad_request("invalid_request"), "{scheme}");
    }
    assert_eq!(kit.send_raw(&with(RawRequest::new("DELETE", REVOKE), "bEARER")).await.status, 204);
}

#[tokio::test]
async fn rfc6750_s2_1_rejects_multiple_authorization_headers() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let access = tokens.access.as_str();
    for value in [
        "Bearer".to_owned(),
        format!("Bearer {access},{access}"),
        format!("Bearer \"{access}\""),
        access.to_owned(),
    ] {
        assert_invalid_token(&kit.send_raw(&RawRequest::get(ACCOUNTS).header("authorization", value)).await);
    }
    assert_invalid_token(&kit.send_raw(&RawRequest::get(ACCOUNTS).bearer(access).bearer(access)).await);
    let revoke = kit.send_raw(&RawRequest::new("DELETE", REVOKE).bearer(access).bearer(access)).await;
    assert_eq!(status_and_error(&revoke), bad_request("invalid_request"));
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

#[tokio::test]
async fn rfc6750_s2_2_s2_3_token_in_body_or_query_is_rejected() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    assert_invalid_token(&kit.get(&format!("{ACCOUNTS}?access_token={}", tokens.access)).await);
    let field = format!("access_token={}", tokens.access);
    let body = kit.send_raw(&RawRequest::post(REVOKE, FORM, field.clone())).await;
    assert_eq!(status_and_error(&body), bad_request("invalid_request"));
    let query =
        kit.send_raw(&RawRequest::new("DELETE", format!("{REVOKE}?{field}")).bearer(&tokens.access)).await;
    assert_eq!(
        status_and_error(&query),
        bad_request("invalid_request"),
        "a token in the query is rejected, even with a valid header"
    );
    assert!(error_description(&query).starts_with("access_token must not be sent in the query"));
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

#[tokio::test]
async fn rfc6750_s3_every_401_has_a_challenge() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let narrow = kit.request_narrowed_token(&acme, &tokens, "ACCOUNT_BASIC").await;
    let beyond = kit.read("/accounts?resultType=details", &narrow).await;
    assert_eq!((beyond.status, &beyond.json()["code"]), (401, &602.into()));
    assert_eq!(header(&beyond, "www-authenticate"), r#"Bearer error="insufficient_scope""#);
    kit.revoke(&tokens.access).await;
    let ended = kit.read("/accounts", &tokens.access).await;
    assert_eq!((ended.status, header(&ended, "www-authenticate")), (401, INVALID_TOKEN_CHALLENGE));
    assert_invalid_token(&kit.read("/accounts", "x").await);
}

/// Intended deviation: missing credentials get the same response as invalid ones.
#[tokio::test]
async fn rfc6750_s3_deviation_missing_token_is_treated_as_invalid() {
    let kit = TestHub::new().await;
    let (none, wrong) = (kit.get(ACCOUNTS).await, kit.read("/accounts", "a.b.c").await);
    assert_invalid_token(&none);
    assert_eq!((none.body, none.status), (wrong.body, wrong.status));
    let none = kit.send_raw(&RawRequest::new("DELETE", REVOKE)).await;
    let wrong = kit.revoke("a.b.c").await;
    assert_eq!(
        (none.status, &none.body, header(&none, "www-authenticate")),
        (400, &wrong.body, INVALID_TOKEN_CHALLENGE)
    );
}

#[tokio::test]
async fn rfc6750_s3_1_invalid_token_returns_401_on_fdx_api() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let own = kit.request_client_token(&kit.acme()).await;
    for token in ["x", "", &tokens.refresh, &tokens.code, &own, &tokens.access[1..]] {
        assert_invalid_token(&kit.read("/accounts", token).await);
    }
    kit.advance(Duration::from_secs(299));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    kit.advance(Duration::from_secs(1));
    assert_invalid_token(&kit.read("/accounts", &tokens.access).await);
}

/// Intended deviation: the Flinks API documents 400 `invalid_request`, and does not know `invalid_token`.
#[tokio::test]
async fn rfc6750_s3_1_deviation_invalid_token_is_400_on_flinks_api() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    kit.advance(Duration::from_mins(5));
    for token in ["x", "", &tokens.refresh, &tokens.access] {
        let answer = kit.revoke(token).await;
        assert_eq!(
            (status_and_error(&answer), header(&answer, "www-authenticate")),
            (bad_request("invalid_request"), INVALID_TOKEN_CHALLENGE)
        );
        assert_eq!(error_description(&answer), "The access token is missing, malformed or expired");
    }
}

/// Intended deviation: Flinks documents code 602 with 401 instead of 403.
#[tokio::test]
async fn rfc6750_s3_1_deviation_insufficient_scope_is_401_code_602() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let narrow = kit.request_narrowed_token(&acme, &tokens, "TRANSACTIONS").await;
    for path in ["/accounts", "/accounts?resultType=details", "/accounts/acc_x", "/customers/current"] {
        let answer = kit.read(path, &narrow).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &602.into()), "{path}");
        assert_eq!(answer.json()["debugMessage"], "The customer did not consent to this data");
    }
}

#[tokio::test]
async fn rfc6750_s5_2_token_of_another_hub_is_rejected() {
    let (kit, other) = (TestHub::new().await, TestHub::new().await);
    let tokens = other.connect(&other.acme()).await;
    assert_invalid_token(&kit.read("/accounts", &tokens.access).await);
    assert_eq!(status_and_error(&kit.revoke(&tokens.access).await), bad_request("invalid_request"));
    assert_eq!(other.read("/accounts", &tokens.access).await.status, 200);
}

#[tokio::test]
async fn rfc6750_s5_3_upstream_token_is_sent_only_in_header() {
    let kit = TestHub::new().await;
    let callback = approve_and_capture_callback(&kit).await;
    let bank = install_provider_stub(&kit).await;
    let tokens = complete_connection(&kit, &callback).await;
    assert_eq!(kit.read("/accounts?resultType=details", &tokens.access).await.status, 200);
    let call = bank.calls().pop().unwrap();
    assert_eq!(
        (call.path.as_str(), &call.headers["authorization"]),
        ("/fdx/accounts", &"Bearer at-1".parse().unwrap())
    );
    assert!(!call.query.contains("at-1") && call.body.is_empty());
    let sent = format!("{:?}", bank.calls());
    assert!(
        !sent.contains(&tokens.access) && !sent.contains(&tokens.refresh),
        "the hub's tokens are never sent to a provider"
    );
}

/// Starts a provider that redirects each request to another host, with each redirect status in turn.
async fn start_redirecting_stub(to: &EndpointStub) -> EndpointStub {
    let (to, turn) = (to.url.clone(), std::sync::atomic::AtomicUsize::new(0));
    EndpointStub::new(move |_: &RecordedRequest| {
        let kinds = [301, 302, 303, 307, 308];
        let status = kinds[turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % kinds.len()];
        Response::builder()
            .status(status)
            .header("location", format!("{to}/stolen"))
            .body(String::new())
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn rfc6750_s5_3_redirect_with_bearer_token_is_not_followed() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let thief = EndpointStub::new(|_| Response::new("{}".to_owned())).await;
    let bank = start_redirecting_stub(&thief).await;
    let url = bank.url.clone();
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = url).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(kit.read("/accounts", &tokens.access).await);
    }
    assert_eq!(
        (bank.calls().len(), thief.calls().len()),
        (5, 0),
        "a bearer token was sent to the redirect target"
    );
    for answer in answers {
        assert_eq!((answer.status, &answer.json()["code"]), (500, &500.into()));
        assert!(!answer.body.contains(&thief.url) && answer.location.is_none());
    }
}

#[tokio::test]
async fn rfc6750_s5_3_redirect_with_code_or_refresh_is_not_followed() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let thief = EndpointStub::new(|_| Response::new("{}".to_owned())).await;
    let bank = start_redirecting_stub(&thief).await;
    let callback = approve_and_capture_callback(&kit).await;
    let url = bank.url.clone();
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some(format!("{url}/token"));
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
    })
    .await;
    let location = super::open_url(&kit, &callback).await.location.unwrap();
    assert_eq!(crate::support::query_parameter(&location, "error").as_deref(), Some("server_error"));
    kit.advance(Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
    let fresh = fresh["access_token"].as_str().unwrap();
    assert_eq!(kit.read("/accounts", fresh).await.status, 500);
    assert_eq!(kit.call(Method::POST, REVOKE, fresh).await.status, 204);
    kit.wait_until("the provider is notified", async || {
        bank.calls().iter().any(|call| call.path == "/revoke")
    })
    .await;
    assert!(thief.calls().is_empty(), "{:?}", thief.calls());
}
