//! Fault injection by API and by page.

use axum::http::{HeaderName, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{TestBank, text_member};

#[tokio::test]
async fn each_fault_setting_has_its_effect() {
    let kit = TestBank::maple();
    let reply = kit.grant_accounts(&["mt-alice-chequing"]).await;
    let (token, refresh) = (text_member(&reply, "access_token"), text_member(&reply, "refresh_token"));
    kit.set_faults(&json!({"fail": 503})).await;
    assert_eq!(kit.read(token, "/accounts").await.status, StatusCode::SERVICE_UNAVAILABLE);
    kit.set_faults(&json!({"fail_share": 0.5})).await;
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(kit.read(token, "/accounts").await.status != StatusCode::OK);
    }
    assert_eq!(failed, 5);
    kit.send(Method::DELETE, "/faults", &[], String::new()).await;
    kit.set_faults(&json!({"token_endpoint": "down"})).await;
    assert_eq!(kit.refresh_tokens(refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);
    kit.set_faults(&json!({"token_endpoint": "up", "invalid_grant_to_all": true})).await;
    assert_eq!(kit.refresh_tokens(refresh).await.json()["error"], "invalid_grant");
    kit.set_faults(&json!({"invalid_grant_to_all": false, "rate_limited": true})).await;
    assert_eq!(kit.read(token, "/accounts").await.status, StatusCode::TOO_MANY_REQUESTS);
    kit.set_faults(&json!({"rate_limited": false, "clock_skew_s": 301})).await;
    assert_eq!(kit.read(token, "/accounts").await.json()["code"], 602);
    kit.set_faults(&json!({"clock_skew_s": 0, "revoke": "refuse"})).await;
    let revoke = [("token", refresh)];
    assert_eq!(kit.post_as_hub("/revoke", &revoke).await.json()["error"], "unsupported_token_type");
    kit.set_faults(&json!({"revoke": "already"})).await;
    assert_eq!(kit.post_as_hub("/revoke", &revoke).await.status, StatusCode::OK);
    assert_eq!(kit.read(token, "/accounts").await.status, StatusCode::OK, "nothing was done");
    kit.set_faults(&json!({"rotate_refresh": true})).await;
    let rotated = kit.refresh_tokens(refresh).await.json();
    assert_eq!(kit.refresh_tokens(refresh).await.json()["error"], "invalid_grant");
    assert_eq!(kit.refresh_tokens(text_member(&rotated, "refresh_token")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn invalid_fault_setting_is_rejected_and_changes_nothing() {
    let kit = TestBank::maple();
    let before = kit.get("/faults").await.json();
    for (wanted, name) in [
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
        (json!(["hold"]), "object"),
    ] {
        let answer = kit.set_faults(&wanted).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wanted}");
        assert!(text_member(&answer.json(), "error").contains(name), "{wanted}: {}", answer.text);
    }
    let garbage = kit.send(Method::PUT, "/faults", &[], "{".into()).await;
    assert!(garbage.status == StatusCode::BAD_REQUEST && garbage.text.contains("not JSON"));
    assert_eq!(kit.get("/faults").await.json(), before);
}

#[tokio::test]
async fn delayed_response_waits_until_fault_is_reset() {
    let kit = TestBank::maple();
    let reply = kit.grant_accounts(&["mt-alice-chequing"]).await;
    kit.set_faults(&json!({"hold": true})).await;
    let mut delayed = Box::pin(kit.read(text_member(&reply, "access_token"), "/accounts"));
    tokio::select! {
        biased;
        _ = &mut delayed => panic!("answered while held"),
        () = tokio::task::yield_now() => {}
    }
    kit.set_faults(&json!({"hold": false})).await;
    assert_eq!(delayed.await.status, StatusCode::OK);
}

#[tokio::test]
async fn faults_api_ends_consents_and_lists_grants() {
    let kit = TestBank::maple();
    let reply = kit.grant_accounts(&["mt-alice-chequing"]).await;
    let ended =
        kit.send_json(Method::POST, "/faults/consents/end", &json!({"username": "alice"})).await.json();
    assert_eq!(ended, json!({"ended": 1}));
    assert_eq!(
        kit.refresh_tokens(text_member(&reply, "refresh_token")).await.json()["error"],
        "invalid_grant"
    );
    let listed = kit.get("/faults/grants").await.json();
    assert_eq!(
        listed,
        json!([{"grant_id": reply["grant_id"], "username": "alice", "state": "ended",
            "accounts": ["mt-alice-chequing"], "last_used_at": null}])
    );
    let unknown = kit.send_json(Method::POST, "/faults/consents/end", &json!({"username": "zoe"})).await;
    assert!(unknown.status == StatusCode::BAD_REQUEST && unknown.text.contains("username"));
}

#[tokio::test]
async fn faults_page_shows_and_sets_every_fault() {
    let kit = TestBank::rideau();
    let mut browser = kit.browser();
    let page = browser.get("/faults?lang=en").await;
    assert!(page.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    let faults = kit.get("/faults").await.json();
    for name in faults.as_object().unwrap().keys() {
        assert!(page.text.contains(&format!(r#" name="{name}""#)), "{name}");
        assert!(page.text.contains(&format!(r#"aria-describedby="{name}-text""#)), "{name}");
    }
    let form = [
        ("latency_ms", "5"),
        ("fail", "503"),
        ("fail_share", "0.25"),
        ("token_endpoint", "down"),
        ("revoke", "already"),
        ("clock_skew_s", "-3"),
        ("hold", "on"),
    ];
    assert_eq!(browser.submit("/faults", &form).await.location, "/faults?set");
    let expected = json!({"latency_ms": 5, "fail": 503, "fail_share": 0.25, "token_endpoint": "down",
        "revoke": "already", "rotate_refresh": false, "invalid_grant_to_all": false, "rate_limited": false,
        "clock_skew_s": -3, "hold": true});
    assert_eq!(kit.get("/faults").await.json(), expected);
    let shown = browser.get("/faults?set").await;
    assert!(shown.text.contains("The levers are set") && shown.text.contains("<option selected>503"));
    let wrong = browser.submit("/faults", &[("latency_ms", "soon"), ("fail_share", "1")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("Nothing was changed: ") && wrong.text.contains("clock_skew_s"));
    assert_eq!(kit.get("/faults").await.json(), expected);
    assert_eq!(browser.submit("/faults", &[("action", "reset")]).await.location, "/faults?reset");
    assert_eq!(kit.get("/faults").await.json(), faults);
}

#[tokio::test]
async fn faults_page_ends_grants_and_rejects_foreign_form() {
    let kit = TestBank::maple();
    let reply = kit.grant_accounts(&["mt-alice-chequing"]).await;
    let mut browser = kit.browser();
    let page = browser.get("/faults").await;
    assert!(page.text.contains(text_member(&reply, "grant_id")) && page.text.contains("mt-alice-chequing"));
    let token = page.csrf_token();
    let cross = [(HeaderName::from_static("sec-fetch-site"), "cross-site")];
    for (headers, token) in [(&cross[..], &*token), (&[][..], "forged")] {
        for (path, field) in
            [("/faults", ("rate_limited", "on")), ("/faults/consents/end", ("username", "alice"))]
        {
            let answer = browser.send(Method::POST, path, headers, &[("csrf_token", token), field]).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        }
    }
    let state = |grants: Value| grants[0]["state"].clone();
    assert_eq!(state(kit.get("/faults/grants").await.json()), "active");
    let ended = browser.post("/faults/consents/end", &[("csrf_token", &token), ("username", "alice")]).await;
    assert_eq!(ended.location, "/faults?ended");
    assert_eq!(state(kit.get("/faults/grants").await.json()), "ended");
    assert_eq!(kit.read(text_member(&reply, "access_token"), "/accounts").await.json()["code"], 602);
}

/// The alias goes with the first release.
#[tokio::test]
async fn former_path_levers_serves_fault_injection() {
    let kit = TestBank::maple();

    let set = kit.send_json(Method::PUT, "/levers", &json!({"fail": 503})).await;

    assert_eq!(set.status, StatusCode::OK);
    assert_eq!(kit.get("/faults").await.json()["fail"], 503);
    assert_eq!(kit.get("/levers/grants").await.json(), json!([]));
}
