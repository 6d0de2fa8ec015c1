//! Tests of the responses to a recipient for each fault of a sandbox bank, and of the state of the connection
//! afterwards.

use domain::model::connection::{EndCause, UpstreamRevocation};
use serde_json::{Value, json};

use crate::matrix::callers::FULL_SCOPE;
use crate::support::{TestHub, on_both};
use bowline::cli::{BrowserRequest, BrowserResponse};
use http::Method;

on_both!(
    injected_faults_map_to_documented_responses,
    consent_ended_at_provider_ends_connection,
    rotated_refresh_tokens_are_stored,
    confirmed_invalid_grant_ends_connection_with_602,
    revocation_response_sets_provider_revocation_status,
    provider_clock_skew_does_not_break_reads,
    intermittent_provider_failures_are_passed_to_client,
);

/// Returns a summary of a response: status, code, message, and whether it has `Retry-After`.
fn summarize(answer: &BrowserResponse) -> (u16, Value, Value, bool) {
    let body = answer.json();
    (answer.status, body["code"].clone(), body["message"].clone(), answer.headers.contains_key("retry-after"))
}

async fn injected_faults_map_to_documented_responses(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let maintenance = (503, json!(503), json!("Scheduled maintenance"), true);
    let internal = (500, json!(500), json!("Internal server error"), false);
    let limited =
        (429, json!(1207), json!("Too many requests were sent within a short period of time"), true);
    for (faults, expected) in [
        (json!({"fail": 503}), maintenance.clone()),
        (json!({"fail": 500}), internal),
        (json!({"rate_limited": true}), limited),
        (json!({"latency_ms": 5}), (200, Value::Null, Value::Null, false)),
    ] {
        kit.inject_faults(faults.clone()).await;
        assert_eq!(summarize(&kit.read("/accounts", &tokens.access).await), expected, "{faults}");
        let refresh = kit.refresh(&acme, &tokens.refresh).await;
        assert_eq!(refresh.status, 200, "a refresh at the hub never calls the provider: {faults}");
        kit.inject_faults(json!({"fail": null, "rate_limited": false, "latency_ms": 0})).await;
        assert_eq!(
            kit.read("/accounts", &tokens.access).await.status,
            200,
            "reads succeed again without the fault"
        );
    }
    kit.advance(std::time::Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    kit.inject_faults(json!({"token_endpoint": "down"})).await;
    assert_eq!(
        summarize(&kit.read("/accounts", &fresh).await),
        maintenance,
        "the provider's token has expired"
    );
    kit.inject_faults(json!({"token_endpoint": "up"})).await;
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

async fn consent_ended_at_provider_ends_connection(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let mut end =
        BrowserRequest::new(Method::POST, &format!("{}/consents/end", kit.world.maple().faults_url()));
    end.json = Some(json!({"username": "alice"}));
    assert_eq!(kit.send(end).await.json()["ended"], 1);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503, "a second refresh must confirm it");
    kit.advance(std::time::Duration::from_secs(5));
    let expected = (401, json!(602), json!("Customer not authorized"), false);
    assert_eq!(summarize(&kit.read("/accounts", &tokens.access).await), expected);
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Provider));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking an ended connection succeeds");
}

async fn rotated_refresh_tokens_are_stored(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"rotate_refresh": true})).await;
    for version in 2..5 {
        kit.advance(std::time::Duration::from_mins(10));
        let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
        let read = kit.read("/accounts", fresh["access_token"].as_str().unwrap()).await;
        assert_eq!(read.status, 200, "{}", read.body);
        assert_eq!(kit.load_connection(&tokens.id).await.credential_version, version);
    }
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(kit.revoke(fresh["access_token"].as_str().unwrap()).await.status, 204);
    kit.wait_until("the newest token is revoked", async || kit.list_grant_states().await == ["ended"]).await;
}

async fn confirmed_invalid_grant_ends_connection_with_602(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"invalid_grant_to_all": true})).await;
    assert_eq!(
        kit.read("/accounts", &tokens.access).await.status,
        200,
        "the provider's token is still valid"
    );
    kit.advance(std::time::Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kit.read("/accounts", &fresh).await.status, 503, "a second refresh must confirm it");
    kit.advance(std::time::Duration::from_secs(5));
    let expected = (401, json!(602), json!("Customer not authorized"), false);
    assert_eq!(summarize(&kit.read("/accounts", &fresh).await), expected);
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Provider));
}

async fn revocation_response_sets_provider_revocation_status(kit: TestHub) {
    let acme = kit.acme();
    for (fault, shown, at_the_bank) in [
        ("ok", UpstreamRevocation::Accepted, "ended"),
        ("refuse", UpstreamRevocation::Refused, "active"),
        ("already", UpstreamRevocation::Accepted, "active"),
    ] {
        let tokens = kit.connect(&acme).await;
        kit.inject_faults(json!({"revoke": fault})).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204, "{fault}");
        assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602, "{fault}");
        kit.wait_until("the bank has answered", async || {
            kit.load_connection(&tokens.id).await.provider_revocation == shown
        })
        .await;
        assert!(kit.list_grant_states().await.iter().any(|state| state == at_the_bank), "{fault}");
    }
}

async fn provider_clock_skew_does_not_break_reads(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    for skew in [90, -90] {
        kit.inject_faults(json!({"clock_skew_s": skew})).await;
        let read = kit.read("/accounts", &tokens.access).await;
        assert_eq!(read.status, 200, "{skew} s: {}", read.body);
    }
    kit.inject_faults(json!({"clock_skew_s": 3600})).await;
    let read = kit.read("/accounts", &tokens.access).await;
    assert_eq!(read.status, 200, "a token that the provider rejects is refreshed once: {}", read.body);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

async fn intermittent_provider_failures_are_passed_to_client(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"fail": 503, "fail_share": 0.5})).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(kit.read("/accounts", &tokens.access).await.status);
    }
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 4, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 503).count(), 4, "{statuses:?}");
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

/// For each fault of the FDX API: the status and the FDX code of the list of transactions.
const DATA_FAULTS: [(&str, u16, Option<u16>); 16] = [
    ("normal", 200, None),
    ("null_page", 200, None),
    ("null_list", 200, None),
    ("missing_list", 500, Some(500)),
    ("odd_elements", 200, None),
    ("link_only", 200, None),
    ("same_page", 200, None),
    ("ignore_limit", 200, None),
    ("ignore_dates", 200, None),
    ("error_body", 500, Some(500)),
    ("html", 500, Some(500)),
    ("encoded", 500, Some(500)),
    ("forbidden", 401, Some(602)),
    ("gone", 404, Some(701)),
    ("retry_seconds", 503, Some(503)),
    ("retry_date", 503, Some(503)),
];

#[tokio::test]
async fn data_fault_of_each_bank_maps_to_its_meaning() {
    let kit = TestHub::new().await;
    for bank in [1000, 2000] {
        let tokens = kit.connect_at(bank, &kit.acme(), "alice", &[], FULL_SCOPE).await;
        let account = kit.fetch_account_id(&tokens.access).await;
        let path =
            format!("/accounts/{account}/transactions?limit=2&startTime=2026-09-01&endTime=2026-10-31");
        let faults_url = kit.bank_site(bank).faults_url();
        let inject = async |faults: Value| {
            let mut request = BrowserRequest::new(Method::PUT, &faults_url);
            request.json = Some(faults);
            assert_eq!(kit.send(request).await.status, 200);
        };
        let normal = kit.read(&path, &tokens.access).await.json();

        for (fault, status, code) in DATA_FAULTS {
            inject(json!({"data": fault})).await;
            let answer = kit.read(&path, &tokens.access).await;
            let page = answer.json();
            assert_eq!(
                (answer.status, &page["code"]),
                (status, &json!(code)),
                "{bank} {fault}: {}",
                answer.body
            );
            let has_next = page["links"]["next"].is_object();
            match fault {
                "null_page" => assert!(!has_next && page["transactions"] == normal["transactions"]),
                "null_list" => assert_eq!(page["transactions"], json!([])),
                "odd_elements" => assert_eq!(answer.headers["bowline-omitted"], "1"),
                "ignore_dates" => {
                    let is_in_range = |item: &Value| {
                        let content = item.as_object().unwrap().values().next().unwrap();
                        let posted = content["postedTimestamp"].as_str().unwrap_or("2026-09");
                        posted.starts_with("2026-09") || posted.starts_with("2026-10")
                    };
                    assert!(page["transactions"].as_array().unwrap().iter().all(is_in_range), "{page}");
                }
                "normal" | "link_only" | "same_page" | "ignore_limit" => {
                    assert!(has_next, "{bank} {fault}: {page}");
                    assert_eq!(page["transactions"], normal["transactions"], "{bank} {fault}");
                }
                _ => assert_eq!(answer.headers.contains_key("retry-after"), status == 503, "{fault}"),
            }
            inject(json!({"data": "normal"})).await;
            assert_eq!(kit.read(&path, &tokens.access).await.status, 200, "{bank} {fault}");
        }

        inject(json!({"history_days": 20})).await;
        let too_early = kit.read(&path, &tokens.access).await;
        kit.update_provider_settings(bank, |settings| settings.history = Some("20 days".into())).await;
        let outside = kit.read(&path, &tokens.access).await;
        let recent = kit.read(&format!("/accounts/{account}/transactions"), &tokens.access).await;
        assert_eq!((too_early.status, &too_early.json()["code"]), (400, &json!(702)), "{bank}");
        assert_eq!((outside.status, &outside.json()["transactions"]), (200, &json!([])), "{bank}");
        assert_eq!(recent.status, 200, "{bank}: {}", recent.body);
    }
}
