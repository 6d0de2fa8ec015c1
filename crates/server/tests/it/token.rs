//! Tests of `POST /api/v1/token` with its three grants, as JSON and as form, and with the secret in the header or the
//! body.

use std::time::Duration;

use base64::Engine;
use http::Method;
use serde_json::json;

use crate::support::{SCOPE, TestClient, TestHub, create_database, on_both};
use bowline::cli::{BrowserRequest, BrowserResponse};

on_both!(
    rfc6749_s4_1_4_code_exchange_returns_documented_fields,
    rfc6749_s2_3_1_secret_in_header_or_body_is_accepted,
    malformed_token_request_gets_specific_error,
    code_exchange_with_wrong_parameters_or_too_late_is_rejected,
    rfc6749_s4_1_2_code_replay_by_owner_ends_connection,
    unauthorized_code_replay_is_rejected_without_effect,
    code_replay_after_expiry_is_rejected_without_effect,
    rfc6749_s6_refresh_scope_may_only_be_narrowed,
    request_with_wrong_secret_gets_no_other_error,
    client_credentials_token_has_fixed_scope,
);

fn parse_status_and_error(answer: &BrowserResponse) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn error_description(answer: &BrowserResponse) -> String {
    answer.json()["error_description"].as_str().unwrap_or_default().to_owned()
}

/// Sends a raw token request, for input that the test client cannot send.
async fn post_raw(kit: &TestHub, headers: &[(&str, &str)], body: &str) -> (u16, serde_json::Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(kit.url("/api/v1/token")).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

async fn rfc6749_s4_1_4_code_exchange_returns_documented_fields(kit: TestHub) {
    let code = kit.obtain_code(&kit.acme()).await;
    let answer = kit.redeem(&kit.acme(), &code).await;
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(body["scope"], SCOPE);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.headers.contains_key("ob-correlation-id") && answer.headers.contains_key("ob-trace-id"));
    let refreshed = kit.refresh(&kit.acme(), body["refresh_token"].as_str().unwrap()).await;
    assert_eq!(
        (refreshed.status, refreshed.json().get("refresh_token")),
        (200, None),
        "the refresh token does not change"
    );
    assert_ne!(refreshed.json()["access_token"], body["access_token"]);
}

async fn rfc6749_s2_3_1_secret_in_header_or_body_is_accepted(kit: TestHub) {
    let acme = kit.acme();
    let basic = |id: &str, secret: &str| {
        let pair = format!("{id}:{secret}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let own = basic(&acme.id.replace('-', "%2D"), &acme.secret);
    let form = "grant_type=client_credentials";
    assert_eq!(post_raw(&kit, &[FORM, ("authorization", &own)], form).await.0, 200);
    assert_eq!(
        post_raw(&kit, &[JSON, ("authorization", &own)], r#"{"grant_type":"client_credentials"}"#).await.0,
        200
    );
    let both = format!("{form}&client_id={}", acme.id);
    assert_eq!(
        post_raw(&kit, &[FORM, ("authorization", &own)], &both).await.0,
        200,
        "an equal client_id is accepted"
    );
    let in_body = format!("{both}&client_secret={}", acme.secret);
    assert_eq!(post_raw(&kit, &[FORM], &in_body).await.0, 200);
    let (status, body) = post_raw(&kit, &[FORM, ("authorization", &own)], &in_body).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")), "two secrets are rejected");
    let (status, body) = post_raw(&kit, &[FORM, ("authorization", &basic(&acme.id, "wrong"))], form).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_client")));
    assert_eq!(body["error_description"], "client_id or client_secret is wrong");
    let (_, unknown_client) =
        post_raw(&kit, &[FORM, ("authorization", &basic("dc-unknown", "wrong"))], form).await;
    assert_eq!(unknown_client, body, "the response does not show whether the client exists");
}

async fn malformed_token_request_gets_specific_error(kit: TestHub) {
    let acme = kit.acme();
    let (status, body) = post_raw(&kit, &[JSON], "{\n\"grant_type\": }").await;
    assert_eq!(status, 400);
    assert_eq!(body["error_description"], "The body is not a JSON object: line 2, column 15");
    assert_eq!(post_raw(&kit, &[("content-type", "text/plain")], "x").await.0, 415);
    assert_eq!(post_raw(&kit, &[], "").await.0, 415);
    let large = format!("{{\"grant_type\":\"{}\"}}", "x".repeat(70_000));
    let (status, body) = post_raw(&kit, &[JSON], &large).await;
    assert_eq!((status, &body["error"]), (413, &json!("invalid_request")));
    let (status, body) = post_raw(&kit, &[FORM], "grant_type=a&grant_type=b").await;
    assert_eq!((status, &body["error_description"]), (400, &json!("grant_type is given twice")));
    let (_, body) = post_raw(&kit, &[FORM], "grant_type=client_credentials").await;
    assert_eq!(body["error_description"], "client_id is missing");
    let missing = kit.request_token(&acme, &[]).await;
    assert_eq!(error_description(&missing), "grant_type is missing");
    assert_eq!(
        parse_status_and_error(&kit.request_token(&acme, &[("grant_type", "password")]).await),
        (400, "unsupported_grant_type".into())
    );
    let no_code =
        kit.request_token(&acme, &[("grant_type", "authorization_code"), ("redirect_uri", "x")]).await;
    assert_eq!(error_description(&no_code), "code is missing");
    let mut query = BrowserRequest::new(Method::POST, &kit.url("/api/v1/token?client_secret=x"));
    query.json = Some(json!({}));
    let answer = kit.send(query).await;
    assert!(
        parse_status_and_error(&answer) == (400, "invalid_request".into())
            && error_description(&answer).contains("client_secret")
    );
}

async fn code_exchange_with_wrong_parameters_or_too_late_is_rejected(kit: TestHub) {
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let code = kit.obtain_code(&acme).await;
    let grant = ("grant_type", "authorization_code");
    assert_eq!(
        error_description(&kit.request_token(&acme, &[grant, ("code", &code)]).await),
        "redirect_uri is missing"
    );
    let wrong = kit
        .request_token(&acme, &[grant, ("code", &code), ("redirect_uri", "https://elsewhere.example.org/")])
        .await;
    assert_eq!(error_description(&wrong), "redirect_uri does not match the authorization request");
    let stolen = [grant, ("code", code.as_str()), ("redirect_uri", &acme.redirect_uri)];
    assert_eq!(
        parse_status_and_error(&kit.request_token(&other, &stolen).await),
        (400, "invalid_grant".into())
    );
    let unasked =
        [stolen[0], stolen[1], stolen[2], ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")];
    assert_eq!(
        parse_status_and_error(&kit.request_token(&acme, &unasked).await),
        (400, "invalid_grant".into())
    );
    assert_eq!(kit.redeem(&acme, &code).await.status, 200, "the failed attempts did not use up the code");

    let late = kit.obtain_code(&acme).await;
    kit.advance(Duration::from_mins(1));
    assert_eq!(error_description(&kit.redeem(&acme, &late).await), "The code is unknown, used or expired");

    let mut query = TestHub::build_authorization_query(&acme);
    query.push(("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into()));
    query.push(("code_challenge_method", "S256".into()));
    let back = kit.complete_authorization(&query, "alice", &["mt-alice-card"]).await;
    let code = crate::support::query_parameter(&back, "code").unwrap();
    assert_eq!(
        parse_status_and_error(&kit.redeem(&acme, &code).await),
        (400, "invalid_grant".into()),
        "a challenge must be enforced"
    );
    let fields = [grant, ("code", &*code), ("redirect_uri", &acme.redirect_uri), unasked[3]];
    assert_eq!(kit.request_token(&acme, &fields).await.status, 200);
}

async fn rfc6749_s4_1_2_code_replay_by_owner_ends_connection(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    assert_eq!(
        parse_status_and_error(&kit.redeem(&kit.acme(), &tokens.code).await),
        (400, "invalid_grant".into())
    );
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(domain::model::connection::EndCause::CodeReplayed));
    assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
}

async fn unauthorized_code_replay_is_rejected_without_effect(kit: TestHub) {
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let verifier = ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let mut query = TestHub::build_authorization_query(&acme);
    query.push(("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into()));
    query.push(("code_challenge_method", "S256".into()));
    let back = kit.complete_authorization(&query, "alice", &["mt-alice-card"]).await;
    let code = crate::support::query_parameter(&back, "code").unwrap();
    let (grant, code) = (("grant_type", "authorization_code"), ("code", code.as_str()));
    let uri = ("redirect_uri", acme.redirect_uri.as_str());
    let tokens = kit.request_token(&acme, &[grant, code, uri, verifier]).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let id = crate::support::connection_id_from_token(access);
    let wrong_uri = ("redirect_uri", "https://elsewhere.example.org/");
    let wrong_verifier = ("code_verifier", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for (who, fields) in [
        (&other, vec![grant, code, uri, verifier]),
        (&acme, vec![grant, code, wrong_uri, verifier]),
        (&acme, vec![grant, code, uri, wrong_verifier]),
        (&acme, vec![grant, code, uri]),
    ] {
        let answer = kit.request_token(who, &fields).await;
        assert_eq!(parse_status_and_error(&answer), (400, "invalid_grant".into()), "{fields:?}");
        assert_eq!(
            error_description(&answer),
            "The code is unknown, used or expired",
            "the response reveals nothing"
        );
    }
    let unauthenticated = TestClient { secret: "wrong".into(), ..acme.clone() };
    let answer = kit.request_token(&unauthenticated, &[grant, code, uri, verifier]).await;
    assert_eq!(parse_status_and_error(&answer), (400, "invalid_client".into()));
    assert_eq!((kit.load_end_cause(&id).await, kit.read("/accounts", access).await.status), (None, 200));
    kit.advance(Duration::from_secs(59));
    let rightful = kit.request_token(&acme, &[grant, code, uri, verifier]).await;
    assert_eq!(parse_status_and_error(&rightful), (400, "invalid_grant".into()));
    assert_eq!(kit.load_end_cause(&id).await, Some(domain::model::connection::EndCause::CodeReplayed));
}

async fn code_replay_after_expiry_is_rejected_without_effect(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.advance(Duration::from_mins(1));
    assert_eq!(
        parse_status_and_error(&kit.redeem(&kit.acme(), &tokens.code).await),
        (400, "invalid_grant".into())
    );
    assert_eq!(
        (kit.load_end_cause(&tokens.id).await, kit.read("/accounts", &tokens.access).await.status),
        (None, 200)
    );
}

async fn rfc6749_s6_refresh_scope_may_only_be_narrowed(kit: TestHub) {
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let tokens = kit.connect(&acme).await;
    let refresh = |scope| {
        [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str()), ("scope", scope)]
    };
    let narrow = kit.request_token(&acme, &refresh("ACCOUNT_BASIC")).await.json();
    assert_eq!(narrow["scope"], "ACCOUNT_BASIC");
    let read = kit.read("/accounts?resultType=details", narrow["access_token"].as_str().unwrap()).await;
    assert_eq!(read.json()["code"], 602);
    assert_eq!(
        parse_status_and_error(&kit.request_token(&acme, &refresh("ACCOUNT_BASIC CUSTOMER_CONTACT")).await),
        (400, "invalid_scope".into())
    );
    assert_eq!(
        parse_status_and_error(&kit.refresh(&other, &tokens.refresh).await),
        (400, "invalid_grant".into())
    );
    assert_eq!(parse_status_and_error(&kit.refresh(&acme, "forged").await), (400, "invalid_grant".into()));
    kit.advance(Duration::from_hours(24 * 32));
    assert_eq!(
        parse_status_and_error(&kit.refresh(&acme, &tokens.refresh).await),
        (400, "invalid_grant".into()),
        "the refresh token has expired"
    );
}

/// The refresh token is looked up, and the request is parsed, while the client is authenticated.
async fn request_with_wrong_secret_gets_no_other_error(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let unauthenticated = TestClient { secret: "wrong".into(), ..kit.acme() };
    for fields in [
        vec![("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())],
        vec![("grant_type", "refresh_token"), ("refresh_token", "forged")],
        vec![("grant_type", "refresh_token")],
        vec![("grant_type", "password")],
    ] {
        let answer = kit.request_token(&unauthenticated, &fields).await;
        assert_eq!(parse_status_and_error(&answer), (400, "invalid_client".into()), "{fields:?}");
    }
}

/// The questions for the client and for the refresh token share a barrier, see decision 0028.
#[tokio::test]
async fn refresh_on_postgres_waits_for_one_barrier() {
    let kit = TestHub::with_store(Some(create_database().await)).await;
    let tokens = kit.connect(&kit.acme()).await;
    let mut barriers = Vec::new();
    // The first barrier empties the memory, and the first requests fill it.
    for _ in 0..8 {
        let before = kit.app().store().access_map_stats();
        assert_eq!(kit.refresh(&kit.acme(), &tokens.refresh).await.status, 200);
        let after = kit.app().store().access_map_stats();
        barriers.push((after.hits - before.hits, after.barriers - before.barriers));
    }

    // The workers of the hub wait for barriers too, from time to time.
    assert!(barriers.contains(&(1, 1)), "hits and barriers of each request: {barriers:?}");
}

async fn client_credentials_token_has_fixed_scope(kit: TestHub) {
    let grant = ("grant_type", "client_credentials");
    let own = kit.request_token(&kit.acme(), &[grant]).await.json();
    assert_eq!((&own["scope"], own.get("refresh_token")), (&json!("providers:read"), None));
    assert_eq!(
        parse_status_and_error(&kit.request_token(&kit.acme(), &[grant, ("scope", "client:admin")]).await),
        (400, "invalid_scope".into())
    );
    let read = kit.read("/accounts", own["access_token"].as_str().unwrap()).await;
    assert_eq!((read.status, read.json().get("code")), (401, None), "a client's token reads no data");
}
