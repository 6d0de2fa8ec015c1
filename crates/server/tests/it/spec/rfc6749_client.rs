//! Tests of the clauses of RFC 6749 (OAuth 2.0) that apply to the hub as a client of providers.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::model::provider::{ClientAuthentication, SecretSource};
use http::Method;
use serde_json::json;

use super::{build_token_response, complete_connection, install_provider_stub, open_url};
use crate::recovery::approve_and_capture_callback;
use crate::support::{EndpointStub, TestHub, json_response, query_parameter};

#[tokio::test]
async fn rfc6749_s2_3_1_hub_form_encodes_upstream_credentials() {
    let kit = TestHub::new().await;
    let secret = "s p+a%25:\u{e9}&=/~";
    let file = kit.data_folder().join("odd.secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let callback = approve_and_capture_callback(&kit).await;
    let bank = install_provider_stub(&kit).await;
    kit.update_provider_settings(1000, |settings| {
        settings.client_id = "hub +:\u{e9}".into();
        settings.client_secret = Some(SecretSource::File(file.display().to_string()));
        settings.auth = ClientAuthentication::ClientSecretBasic;
    })
    .await;
    complete_connection(&kit, &callback).await;
    let call = bank.calls()[0].clone();
    let sent = call.headers["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap();
    let pair = String::from_utf8(STANDARD.decode(sent).unwrap()).unwrap();
    assert_eq!(pair, "hub+%2B%3A%C3%A9:s+p%2Ba%2525%3A%C3%A9%26%3D%2F%7E");
    assert_eq!(
        (call.field("client_id"), call.field("client_secret")),
        (None, None),
        "credentials are sent in one place only"
    );
    assert_eq!(call.query, "", "credentials are never in the URI");
}

#[tokio::test]
async fn rfc6749_s2_3_1_client_secret_post_sends_no_auth_header() {
    let kit = TestHub::new().await;
    let callback = approve_and_capture_callback(&kit).await;
    let bank = install_provider_stub(&kit).await;
    kit.update_provider_settings(1000, |settings| settings.auth = ClientAuthentication::ClientSecretPost)
        .await;
    complete_connection(&kit, &callback).await;
    let call = bank.calls()[0].clone();
    assert!(!call.headers.contains_key("authorization") && call.query.is_empty());
    assert_eq!(call.field("client_id").as_deref(), Some("bowline"));
    assert_eq!(call.field("client_secret").unwrap().len(), 43);
}

#[tokio::test]
async fn rfc6749_s3_3_reduced_provider_scope_limits_recipient_scope() {
    let kit = TestHub::new().await;
    for (granted, expected_scope) in [
        (json!("fdx:accountbasic:read fdx:unknown:read"), Some("ACCOUNT_BASIC")),
        (json!("fdx:transactions:read fdx:accountbasic:read"), Some("ACCOUNT_BASIC TRANSACTIONS")),
        (json!("fdx:accountbasic:read fdx:customerpersonal:read"), Some("ACCOUNT_BASIC")),
        (json!(null), Some("ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS")),
        (json!("fdx:transactions:read"), None),
        (json!(""), None),
    ] {
        let callback = approve_and_capture_callback(&kit).await;
        let mut body = build_token_response(1);
        body["scope"] = granted.clone();
        let bank = EndpointStub::new(move |_| json_response(200, &body)).await;
        let (real, url) = (format!("{}/token", kit.world.maple().url), format!("{}/token", bank.url));
        kit.update_provider_settings(1000, |settings| settings.token_endpoint = Some(url)).await;
        let location = open_url(&kit, &callback).await.location.unwrap();
        kit.update_provider_settings(1000, |settings| settings.token_endpoint = Some(real)).await;
        match (expected_scope, query_parameter(&location, "code")) {
            (Some(scope), Some(code)) => {
                assert_eq!(kit.redeem(&kit.acme(), &code).await.json()["scope"], scope, "{granted}");
            }
            (None, None) => assert_eq!(query_parameter(&location, "error").as_deref(), Some("invalid_scope")),
            other => panic!("{granted}: {other:?} {location}"),
        }
    }
}

#[tokio::test]
async fn rfc6749_s4_1_1_upstream_request_uses_only_hub_values() {
    let kit = TestHub::new().await;
    let mut states = Vec::new();
    for _ in 0..2 {
        let began = kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await;
        let (at, page) = kit.follow(kit.app().public_url(), began).await;
        let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
        let yes = [("csrf_token", token.as_str()), ("decision", "approve")];
        let answer = kit.send(bowline::cli::BrowserRequest::new(Method::POST, &at).form(&yes)).await;
        assert_eq!(answer.status, 303);
        let to = answer.location.unwrap();
        assert!(to.starts_with(&format!("{}/authorize?", kit.world.maple().url)), "{to}");
        let get_parameter = |name| query_parameter(&to, name).unwrap();
        assert_eq!(
            (get_parameter("response_type"), get_parameter("client_id")),
            ("code".into(), "bowline".into())
        );
        assert_eq!(get_parameter("redirect_uri"), kit.url("/callback/1000"));
        assert_eq!(
            get_parameter("scope"),
            "fdx:accountbasic:read fdx:accountdetailed:read fdx:transactions:read"
        );
        assert_eq!(get_parameter("state").len(), 43, "256 random bits");
        for recipient_value in [kit.acme().id, kit.acme().redirect_uri, "odd".into()] {
            assert!(
                !to.contains(&recipient_value),
                "{recipient_value} must not be sent to the provider: {to}"
            );
        }
        states.push(get_parameter("state"));
    }
    assert_ne!(states[0], states[1]);
}

#[tokio::test]
async fn rfc6749_s4_1_2_1_provider_errors_map_to_hub_errors() {
    let kit = TestHub::new().await;
    for (provider_error, expected_error) in [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("invalid_scope", "invalid_scope"),
        ("%3Cscript%3E%0d%0aSet-Cookie:x", "server_error"),
    ] {
        let callback = approve_and_capture_callback(&kit).await;
        let state = query_parameter(&callback, "state").unwrap();
        let url = kit.url(&format!(
            "/callback/1000?error={provider_error}&error_description=mine&error_uri=mine&state={state}"
        ));
        let answer = open_url(&kit, &url).await;
        let location = answer.location.clone().unwrap();
        assert_eq!(query_parameter(&location, "error").as_deref(), Some(expected_error), "{provider_error}");
        assert!(!location.contains("mine") && !location.contains("script%3E"), "{location}");
        assert_eq!(open_url(&kit, &callback).await.location, answer.location, "the request has ended");
    }
    assert!(kit.list_grant_states().await.is_empty());
}

#[tokio::test]
async fn rfc6749_s4_1_3_code_exchange_sends_bound_parameters() {
    let kit = TestHub::new().await;
    let callback = approve_and_capture_callback(&kit).await;
    let bank = install_provider_stub(&kit).await;
    complete_connection(&kit, &callback).await;
    let call = bank.calls()[0].clone();
    assert_eq!(
        (call.path.as_str(), call.field("grant_type").as_deref()),
        ("/token", Some("authorization_code"))
    );
    assert_eq!(call.field("code"), query_parameter(&callback, "code"));
    assert_eq!(call.field("redirect_uri"), Some(kit.url("/callback/1000")));
    assert_eq!(call.headers["content-type"], "application/x-www-form-urlencoded");
}

#[tokio::test]
async fn rfc6749_s5_2_failed_code_exchange_redirects_with_error() {
    let kit = TestHub::new().await;
    // If the response does not prove that the code was not used, a job sends it again to revoke the tokens.
    for (status, body, expected_error, is_sent_once) in [
        (400, json!({"error": "invalid_grant"}), "server_error", true),
        (200, json!({"token_type": "Bearer"}), "server_error", false),
        (200, json!({"access_token": "a b", "refresh_token": "x"}), "server_error", false),
        (200, json!({"access_token": "a\r\nb"}), "server_error", false),
        (200, json!(["access_token"]), "server_error", false),
        (503, json!({}), "temporarily_unavailable", false),
        (429, json!({}), "temporarily_unavailable", true),
        // The hub does not use a rejected client for a while, so this case is the last one.
        (401, json!({"error": "invalid_client"}), "temporarily_unavailable", true),
    ] {
        let callback = approve_and_capture_callback(&kit).await;
        let response_body = body.clone();
        let bank = EndpointStub::new(move |_| json_response(status, &body)).await;
        let (real, url) = (format!("{}/token", kit.world.maple().url), format!("{}/token", bank.url));
        kit.update_provider_settings(1000, |settings| settings.token_endpoint = Some(url)).await;
        let location = open_url(&kit, &callback).await.location.unwrap();
        assert_eq!(
            query_parameter(&location, "error").as_deref(),
            Some(expected_error),
            "{status} {response_body}"
        );
        let calls = bank.calls().len();
        assert!(calls == 1 || calls > 1 && !is_sent_once, "{calls} calls: {status} {response_body}");
        kit.update_provider_settings(1000, |settings| settings.token_endpoint = Some(real)).await;
    }
}

#[tokio::test]
async fn rfc6749_s6_rotated_refresh_token_replaces_previous_one() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let callback = approve_and_capture_callback(&kit).await;
    let bank = install_provider_stub(&kit).await;
    let tokens = complete_connection(&kit, &callback).await;
    for round in 2..5 {
        kit.advance(Duration::from_mins(10));
        let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
        let read = kit.read("/accounts", fresh["access_token"].as_str().unwrap()).await;
        assert_eq!(read.status, 200, "{}", read.body);
        let calls = bank.calls();
        let refresh = calls.iter().rfind(|call| call.path == "/token").unwrap();
        assert_eq!(
            refresh.field("refresh_token"),
            Some(format!("rt-{}", round - 1)),
            "the newest refresh token is sent"
        );
        assert_eq!(calls.last().unwrap().headers["authorization"], format!("Bearer at-{round}"));
    }
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(kit.revoke(fresh["access_token"].as_str().unwrap()).await.status, 204);
    kit.wait_until("the provider is notified", async || {
        bank.calls().iter().any(|call| call.path == "/revoke")
    })
    .await;
    let revocation = bank.calls().into_iter().find(|call| call.path == "/revoke").unwrap();
    assert_eq!(
        revocation.field("token").as_deref(),
        Some("rt-4"),
        "the token of the active grant is revoked"
    );
}

#[tokio::test]
async fn rfc6749_s6_refresh_without_new_token_keeps_previous_one() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let callback = approve_and_capture_callback(&kit).await;
    let bank = EndpointStub::new(|call| {
        let mut body = build_token_response(1);
        if call.field("grant_type").as_deref() == Some("refresh_token") {
            body.as_object_mut().unwrap().remove("refresh_token");
        }
        if call.path == "/token" {
            json_response(200, &body)
        } else {
            json_response(200, &json!({"accounts": []}))
        }
    })
    .await;
    let url = bank.url.clone();
    kit.update_provider_settings(1000, |settings| {
        settings.token_endpoint = Some(format!("{url}/token"));
        settings.fdx.base_url = format!("{url}/fdx");
    })
    .await;
    let tokens = complete_connection(&kit, &callback).await;
    for _ in 0..2 {
        kit.advance(Duration::from_mins(10));
        let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
        assert_eq!(kit.read("/accounts", fresh["access_token"].as_str().unwrap()).await.status, 200);
    }
    let sent: Vec<_> = bank.calls().iter().filter_map(|call| call.field("refresh_token")).collect();
    assert_eq!(sent, ["rt-1", "rt-1"]);
}

#[tokio::test]
async fn rfc6749_s10_12_upstream_state_is_single_use() {
    let kit = TestHub::new().await;
    let callback = approve_and_capture_callback(&kit).await;
    assert_eq!(open_url(&kit, &callback).await.status, 302);
    let again = open_url(&kit, &callback).await;
    assert!(query_parameter(&again.location.unwrap(), "code").is_some(), "the login continues");
    let other_code = callback.replace("code=", "code=x");
    assert_eq!(open_url(&kit, &other_code).await.status, 302, "the code of the provider is not read again");
    assert_eq!(
        kit.list_grant_states().await,
        ["active"],
        "a repeated code is not sent to the provider, which would revoke the grant"
    );
}
