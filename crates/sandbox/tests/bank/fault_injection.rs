//! Tests of fault injection through the bank's API and page: each setting has its effect, and foreign forms are
//! rejected.

use axum::http::{HeaderName, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{TestBank, text_member};

#[tokio::test]
async fn each_fault_setting_has_its_effect() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-chequing"]).await;
    let (token, refresh) = (text_member(&tokens, "access_token"), text_member(&tokens, "refresh_token"));

    bank.set_faults(&json!({"fail": 503})).await;
    assert_eq!(bank.read(token, "/accounts").await.status, StatusCode::SERVICE_UNAVAILABLE);

    bank.set_faults(&json!({"fail_share": 0.5})).await;
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(bank.read(token, "/accounts").await.status != StatusCode::OK);
    }
    assert_eq!(failed, 5);

    bank.send(Method::DELETE, "/faults", &[], String::new()).await;
    bank.set_faults(&json!({"token_endpoint": "down"})).await;
    assert_eq!(bank.refresh_tokens(refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);

    bank.set_faults(&json!({"token_endpoint": "up", "invalid_grant_to_all": true})).await;
    assert_eq!(bank.refresh_tokens(refresh).await.json()["error"], "invalid_grant");

    bank.set_faults(&json!({"invalid_grant_to_all": false, "rate_limited": true})).await;
    assert_eq!(bank.read(token, "/accounts").await.status, StatusCode::TOO_MANY_REQUESTS);

    bank.set_faults(&json!({"rate_limited": false, "clock_skew_s": 301})).await;
    assert_eq!(bank.read(token, "/accounts").await.json()["code"], 602);

    bank.set_faults(&json!({"clock_skew_s": 0, "revoke": "refuse"})).await;
    let revoke = [("token", refresh)];
    assert_eq!(bank.post_as_hub("/revoke", &revoke).await.json()["error"], "unsupported_token_type");

    bank.set_faults(&json!({"revoke": "already"})).await;
    assert_eq!(bank.post_as_hub("/revoke", &revoke).await.status, StatusCode::OK);
    assert_eq!(bank.read(token, "/accounts").await.status, StatusCode::OK, "the grant must stay active");

    bank.set_faults(&json!({"rotate_refresh": true})).await;
    let rotated = bank.refresh_tokens(refresh).await.json();
    assert_eq!(bank.refresh_tokens(refresh).await.json()["error"], "invalid_grant");
    assert_eq!(bank.refresh_tokens(text_member(&rotated, "refresh_token")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn invalid_fault_setting_is_rejected_and_changes_nothing() {
    let bank = TestBank::maple();
    let before = bank.get("/faults").await.json();
    for (changes, name) in [
        (json!({"latncy_ms": 3}), "latncy_ms"),
        (json!({"latency_ms": "slow"}), "latency_ms"),
        (json!({"latency_ms": -1}), "latency_ms"),
        (json!({"latency_ms": 60_001}), "latency_ms"),
        (json!({"fail": 404}), "fail"),
        (json!({"fail_share": 1.5}), "fail_share"),
        (json!({"token_endpoint": "sideways"}), "token_endpoint"),
        (json!({"revoke": true}), "revoke"),
        (json!({"rotate_refresh": "yes"}), "rotate_refresh"),
        (json!({"clock_skew_s": i64::MIN}), "clock_skew_s"),
        (json!({"hold": true, "rate_limited": null}), "rate_limited"),
        (json!({"data": "odd"}), "data"),
        (json!({"history_days": -1}), "history_days"),
        (json!(["hold"]), "object"),
    ] {
        let response = bank.set_faults(&changes).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{changes}");
        assert!(text_member(&response.json(), "error").contains(name), "{changes}: {}", response.text);
    }

    let garbage = bank.send(Method::PUT, "/faults", &[], "{".into()).await;
    assert!(garbage.status == StatusCode::BAD_REQUEST && garbage.text.contains("not JSON"));
    assert_eq!(bank.get("/faults").await.json(), before);
}

#[tokio::test]
async fn delayed_response_waits_until_fault_is_reset() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-chequing"]).await;
    bank.set_faults(&json!({"hold": true})).await;
    let mut delayed = Box::pin(bank.read(text_member(&tokens, "access_token"), "/accounts"));
    tokio::select! {
        biased;
        _ = &mut delayed => panic!("the response must wait while the fault is active"),
        () = tokio::task::yield_now() => {}
    }

    bank.set_faults(&json!({"hold": false})).await;

    assert_eq!(delayed.await.status, StatusCode::OK);
}

#[tokio::test]
async fn faults_api_ends_consents_and_lists_grants() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-chequing"]).await;

    let ended =
        bank.send_json(Method::POST, "/faults/consents/end", &json!({"username": "alice"})).await.json();
    assert_eq!(ended, json!({"ended": 1}));
    assert_eq!(
        bank.refresh_tokens(text_member(&tokens, "refresh_token")).await.json()["error"],
        "invalid_grant"
    );

    let listed = bank.get("/faults/grants").await.json();
    assert_eq!(
        listed,
        json!([{"grant_id": tokens["grant_id"], "username": "alice", "state": "ended",
            "accounts": ["mt-alice-chequing"], "last_used_at": null}])
    );

    let unknown = bank.send_json(Method::POST, "/faults/consents/end", &json!({"username": "zoe"})).await;
    assert!(unknown.status == StatusCode::BAD_REQUEST && unknown.text.contains("username"));
}

#[tokio::test]
async fn faults_page_shows_and_sets_every_fault() {
    let bank = TestBank::rideau();
    let mut browser = bank.browser();
    let page = browser.get("/faults?lang=en").await;
    assert!(page.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    let initial = bank.get("/faults").await.json();
    for name in initial.as_object().unwrap().keys() {
        assert!(page.text.contains(&format!(r#" name="{name}""#)), "{name}");
        assert!(page.text.contains(&format!(r#"aria-describedby="{name}-text""#)), "{name}");
    }

    let form = [
        ("latency_ms", "5"),
        ("fail", "503"),
        ("fail_share", "0.25"),
        ("token_endpoint", "down"),
        ("token_response", "gzip"),
        ("revoke", "already"),
        ("clock_skew_s", "-3"),
        ("hold", "on"),
        ("data", "null_page"),
        ("history_days", "30"),
    ];
    assert_eq!(browser.submit("/faults", &form).await.location, "/faults?set");
    let expected = json!({"latency_ms": 5, "fail": 503, "fail_share": 0.25, "token_endpoint": "down",
        "token_response": "gzip", "revoke": "already", "rotate_refresh": false, "invalid_grant_to_all": false,
        "rate_limited": false, "clock_skew_s": -3, "hold": true, "data": "null_page", "history_days": 30});
    assert_eq!(bank.get("/faults").await.json(), expected);

    let page = browser.get("/faults?set").await;
    assert!(page.text.contains("The settings have been saved."));
    assert!(page.text.contains("<option selected>503"));

    let invalid = browser.submit("/faults", &[("latency_ms", "soon"), ("fail_share", "1")]).await;
    assert_eq!(invalid.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(invalid.text.contains("Nothing was changed: ") && invalid.text.contains("clock_skew_s"));
    assert_eq!(bank.get("/faults").await.json(), expected);

    assert_eq!(browser.submit("/faults", &[("action", "reset")]).await.location, "/faults?reset");
    assert_eq!(bank.get("/faults").await.json(), initial);
}

#[tokio::test]
async fn faults_page_ends_grants_and_rejects_foreign_form() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-chequing"]).await;
    let mut browser = bank.browser();
    let page = browser.get("/faults").await;
    assert!(page.text.contains(text_member(&tokens, "grant_id")) && page.text.contains("mt-alice-chequing"));
    let token = page.csrf_token();
    let cross_site = [(HeaderName::from_static("sec-fetch-site"), "cross-site")];
    for (headers, token) in [(&cross_site[..], &*token), (&[][..], "forged")] {
        for (path, field) in
            [("/faults", ("rate_limited", "on")), ("/faults/consents/end", ("username", "alice"))]
        {
            let response = browser.send(Method::POST, path, headers, &[("csrf_token", token), field]).await;
            assert_eq!(response.status, StatusCode::BAD_REQUEST, "{path}");
        }
    }

    let state = |grants: Value| grants[0]["state"].clone();
    assert_eq!(state(bank.get("/faults/grants").await.json()), "active");
    let ended = browser.post("/faults/consents/end", &[("csrf_token", &token), ("username", "alice")]).await;
    assert_eq!(ended.location, "/faults?ended");
    assert_eq!(state(bank.get("/faults/grants").await.json()), "ended");
    assert_eq!(bank.read(text_member(&tokens, "access_token"), "/accounts").await.json()["code"], 602);
}

/// Tests the former path `/levers`, which is removed with the first release.
#[tokio::test]
async fn fault_injection_is_available_at_former_path_levers() {
    let bank = TestBank::maple();

    let set = bank.send_json(Method::PUT, "/levers", &json!({"fail": 503})).await;

    assert_eq!(set.status, StatusCode::OK);
    assert_eq!(bank.get("/faults").await.json()["fail"], 503);
    assert_eq!(bank.get("/levers/grants").await.json(), json!([]));
}

#[tokio::test]
async fn data_fault_changes_form_of_fdx_responses() {
    for (bank, account) in
        [(TestBank::maple(), "mt-alice-chequing"), (TestBank::rideau(), "cr-alice-courant")]
    {
        let tokens = bank.grant_accounts(&[account]).await;
        let token = text_member(&tokens, "access_token").to_owned();
        let path = format!("/accounts/{account}/transactions?limit=2");
        let normal = bank.read_raw(&token, &path).await.json();
        assert_eq!(normal["transactions"].as_array().unwrap().len(), 2);
        let read = async |fault: &str| {
            bank.set_faults(&json!({"data": fault})).await;
            bank.read_raw(&token, &path).await
        };

        assert!(read("null_page").await.json()["page"].is_null());
        assert!(read("null_list").await.json()["transactions"].is_null());
        assert!(read("missing_list").await.json().get("transactions").is_none());
        assert!(read("odd_elements").await.json()["transactions"][0].is_null());
        let link_only = read("link_only").await.json();
        assert!(
            link_only["links"]["next"]["href"].is_string()
                && link_only["page"].as_object().unwrap().len() == 1
        );
        assert!(read("same_page").await.text.contains("\"same\""));
        assert!(read("ignore_limit").await.json()["transactions"].as_array().unwrap().len() > 2);
        assert_eq!(read("error_body").await.json()["code"], 500);
        assert!(read("html").await.text.starts_with("<!DOCTYPE html>"));
        assert_eq!(read("encoded").await.headers["content-encoding"], "deflate");
        assert_eq!(read("forbidden").await.status, StatusCode::FORBIDDEN);
        assert_eq!(read("gone").await.status, StatusCode::GONE);
        assert_eq!(read("retry_seconds").await.headers["retry-after"], "120");
        assert!(read("retry_date").await.headers["retry-after"].to_str().unwrap().ends_with(" GMT"));
        assert_eq!(read("normal").await.json(), normal);
    }
}
