//! Scenarios of provider responses that prove less than they seem to. Each ends with the journal of the bank: no grant may be
//! active there while the hub reports that it has ended.

mod revocations;

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::cli::BrowserRequest;
use bowline::jobs;
use domain::model::connection::{EndCause, UpstreamRevocation};
use http::Method;
use serde_json::{Value, json};

use crate::support::{ConnectionTokens, EndpointStub, TestHub, json_response, on_both, query_parameter};

on_both!(
    exchange_with_unknown_outcome_leaves_no_grant_active,
    refresh_with_unknown_outcome_is_reported_at_the_end,
    later_refresh_settles_an_unknown_outcome,
    narrower_scope_of_a_refresh_narrows_the_connection,
);

/// Logs alice in and shares an account while the bank has a fault. Returns the error code with which the recipient's app is
/// called; `None` if the authorization succeeded.
async fn authorize_with_fault(kit: &TestHub, faults: Value) -> Option<String> {
    let (at, page) = kit.reach_account_page(&TestHub::build_authorization_query(&kit.acme()), "alice").await;
    kit.inject_faults(faults).await;
    let (back, _) = kit.submit(&at, &page, &[("accounts", "mt-alice-card"), ("decision", "approve")]).await;
    query_parameter(&back, "error")
}

async fn wait_until_grants_have_ended(kit: &TestHub, what: &str) {
    kit.wait_until(&format!("every grant has ended: {what}"), async || {
        kit.advance(Duration::from_secs(10));
        kit.app().job_notify().notify_one();
        let states = kit.list_grant_states().await;
        !states.is_empty() && states.iter().all(|state| state == "ended")
    })
    .await;
}

async fn wait_for_revocation(kit: &TestHub, tokens: &ConnectionTokens, expected: UpstreamRevocation) {
    kit.wait_until(&format!("the revocation is {expected}"), async || {
        let revocation = kit.load_connection(&tokens.id).await.provider_revocation;
        // Whatever the hub reports in the meantime, it must be true.
        if matches!(revocation, UpstreamRevocation::Accepted | UpstreamRevocation::NotNeeded) {
            let states = kit.list_grant_states().await;
            assert!(states.iter().all(|state| state == "ended"), "{revocation} although {states:?}");
        }
        revocation == expected
    })
    .await;
}

async fn count_jobs(kit: &TestHub, kind: &str) -> usize {
    kit.send_admin_request(Method::GET, &format!("/jobs?kind={kind}&limit=100")).await.json()["items"]
        .as_array()
        .unwrap()
        .len()
}

async fn exchange_with_unknown_outcome_leaves_no_grant_active(kit: TestHub) {
    for (fault, found) in [
        ("server_error", 0),
        ("retry_after", 0),
        ("gateway_timeout", 0),
        ("redirect", 0),
        ("accepted", 0),
        ("html", 0),
        ("empty_refresh_token", 1),
        ("byte_order_mark", 2),
        ("non_ascii", 2),
        ("too_large", 2),
        ("truncated", 2),
    ] {
        let before = (
            count_jobs(&kit, "recover_authorization_code").await,
            count_jobs(&kit, "revoke_orphaned_grant").await,
        );

        let error = authorize_with_fault(&kit, json!({"token_response": fault})).await;
        kit.inject_faults(json!({"token_response": "normal"})).await;

        assert!(error.is_some(), "{fault}");
        // A bank may still be processing the first request unless it has issued tokens, so the code waits for the lease.
        let lease = kit.app().refresh_lease_duration().as_millis().to_string();
        match load_wait_of_newest_recovery(&kit).await {
            wait if found == 0 => assert_eq!(wait, lease, "{fault}"),
            // A job that does not wait may already have run.
            wait => assert!(wait.is_empty() || wait == "0", "{fault}: {wait}"),
        }
        wait_until_grants_have_ended(&kit, fault).await;
        let after = (
            count_jobs(&kit, "recover_authorization_code").await,
            count_jobs(&kit, "revoke_orphaned_grant").await,
        );
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, found), "{fault}");
    }
    assert!(
        !kit.sql("SELECT detail FROM audit_events").await.iter().any(|detail| detail.contains("\"revoked\"")),
        "neither a used code nor a string in an unreadable body proves that the grant has ended"
    );
}

/// Returns the time in milliseconds after which the newest recovery job sends the code.
async fn load_wait_of_newest_recovery(kit: &TestHub) -> String {
    let waits = kit
        .sql(
            "SELECT due_at - created_at FROM jobs WHERE kind = 'recover_authorization_code' AND attempt = 0
            ORDER BY created_at DESC LIMIT 1",
        )
        .await;
    waits.first().cloned().unwrap_or_default()
}

async fn refresh_with_unknown_outcome_is_reported_at_the_end(kit: TestHub) {
    for fault in
        ["server_error", "retry_after", "gateway_timeout", "html", "empty_refresh_token", "truncated"]
    {
        let tokens = kit.connect(&kit.acme()).await;
        kit.sql("UPDATE upstream_credentials SET access_expires_at = 0").await;
        kit.inject_faults(json!({"rotate_refresh": true, "token_response": fault})).await;

        let read = kit.read("/accounts", &tokens.access).await;
        kit.inject_faults(json!({"rotate_refresh": false, "token_response": "normal"})).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204);

        assert!(matches!(read.status, 500 | 503), "{fault}: {}", read.body);
        // The bank accepts the revocation of the token that the hub has, but the grant has another one now.
        wait_for_revocation(&kit, &tokens, UpstreamRevocation::Unknown).await;
        assert!(kit.list_grant_states().await.contains(&"active".to_owned()), "{fault}");
        kit.advance(Duration::from_mins(1));
    }
}

async fn later_refresh_settles_an_unknown_outcome(kit: TestHub) {
    let acme = kit.acme();
    for (later, expected) in
        [("normal", UpstreamRevocation::Accepted), ("repeated_refresh_token", UpstreamRevocation::Accepted)]
    {
        let tokens = kit.connect(&acme).await;
        expire_upstream_tokens(&kit).await;
        kit.inject_faults(json!({"token_response": "gateway_timeout"})).await;
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503);
        kit.inject_faults(json!({"token_response": later})).await;
        // A refresh within the lease would not prove anything about the first one, which may still be processed.
        kit.advance(kit.app().refresh_lease_duration());

        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "{later}");
        assert_eq!(kit.revoke(&tokens.access).await.status, 204);

        wait_for_revocation(&kit, &tokens, expected).await;
    }
}

async fn narrower_scope_of_a_refresh_narrows_the_connection(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let detailed = "/accounts?resultType=details";
    let load_terms = async || {
        let shown = kit.send_admin_request(Method::GET, &format!("/connections/{}", tokens.id)).await.json();
        (shown["terms"]["version"].clone(), shown["terms"]["clusters"].as_str().unwrap().to_owned())
    };
    let (_, agreed) = load_terms().await;
    let before = kit.read(detailed, &tokens.access).await;

    for (response, version) in [("scope_as_list", 1), ("narrow_scope", 2), ("narrow_scope", 2), ("normal", 2)]
    {
        expire_upstream_tokens(&kit).await;
        kit.inject_faults(json!({"token_response": response})).await;
        let read = kit.read("/accounts", &tokens.access).await;
        assert_eq!(read.status, 200, "{response}: {}", read.body);
        assert_eq!(load_terms().await.0, version, "{response}");
    }
    let after = kit.read(detailed, &tokens.access).await;

    assert_eq!((before.status, after.status), (200, 401), "{}", after.body);
    assert_eq!(after.json()["debugMessage"], "The customer did not consent to this data");
    assert_eq!(load_terms().await, (json!(2), "ACCOUNT_BASIC".to_owned()));
    let events = list_audit_details(&kit, "connection.narrowed").await;
    assert_eq!(events, [json!({"clusters": "ACCOUNT_BASIC", "clusters_before": agreed})]);
}

#[tokio::test]
async fn lenient_token_responses_open_connections() {
    let kit = TestHub::new().await;
    for fault in ["created", "expiry_as_text", "scope_as_list", "narrow_scope", "gzip"] {
        kit.inject_faults(json!({"token_response": fault})).await;
        let tokens = kit.connect(&kit.acme()).await;
        kit.inject_faults(json!({"token_response": "normal"})).await;

        let shown = kit.send_admin_request(Method::GET, &format!("/connections/{}", tokens.id)).await.json();

        let clusters = shown["terms"]["clusters"].as_str().unwrap().split(' ').count();
        assert_eq!(clusters, if fault == "narrow_scope" { 1 } else { 3 }, "{fault}: {shown}");
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "{fault}");
    }
}

#[tokio::test]
async fn interrupted_exchange_is_recovered_by_the_sweep_only_once() {
    let kit = TestHub::new().await;

    let error = authorize_with_fault(&kit, json!({"token_response": "html"})).await;
    kit.inject_faults(json!({"token_response": "normal"})).await;
    kit.advance(kit.app().refresh_lease_duration());
    let swept = jobs::recover_exchanges(&jobs::new_job_context(kit.app(), "test").unwrap()).await.unwrap();

    assert_eq!((error.as_deref(), swept), (Some("server_error"), 0), "recovery has begun with the response");
    wait_until_grants_have_ended(&kit, "html").await;
}

#[tokio::test]
async fn tls_failure_is_not_reported_as_maintenance() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    // The bank speaks plain HTTP, so the handshake fails.
    let to_https = |url: &mut String| *url = url.replace("http://", "https://");
    kit.update_provider_settings(1000, |settings| to_https(&mut settings.fdx.base_url)).await;

    let read = kit.read("/accounts", &tokens.access).await;
    kit.update_provider_settings(1000, |settings| to_https(settings.token_endpoint.as_mut().unwrap())).await;
    let callback = crate::recovery::approve_and_capture_callback(&kit).await;
    let back = kit.get(&callback.replace(kit.app().public_url(), "")).await.location.unwrap();

    let body = read.json();
    assert_eq!((read.status, &body["code"]), (503, &json!(500)), "{}", read.body);
    assert_eq!(body["debugMessage"], "The hub cannot establish a secure connection to the data provider");
    assert!(read.headers.contains_key("retry-after"));
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("temporarily_unavailable"));
    let description = query_parameter(&back, "error_description");
    assert_eq!(description.as_deref(), Some("The hub cannot establish a secure connection to the provider"));
}

/// Expires the hub's access tokens at the provider, so that the next read refreshes them.
async fn expire_upstream_tokens(kit: &TestHub) {
    kit.sql("UPDATE upstream_credentials SET access_expires_at = 0").await;
}

async fn fetch_metrics(kit: &TestHub) -> String {
    let url = format!("http://{}/metrics", kit.world.node.probes);
    kit.send(BrowserRequest::new(Method::GET, &url)).await.body
}

/// Lists the details of the audit events with an action.
async fn list_audit_details(kit: &TestHub, action: &str) -> Vec<Value> {
    let events =
        kit.send_admin_request(Method::GET, &format!("/audit?action={action}&limit=100")).await.json();
    events["items"].as_array().unwrap().iter().map(|event| event["detail"].clone()).collect()
}

#[tokio::test]
async fn rejected_client_is_an_error_of_the_hub_and_ends_nothing() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let calls = async || {
        let metrics = fetch_metrics(&kit).await;
        let lines = metrics.lines().filter(|line| line.starts_with("bowline_upstream_requests_total"));
        let lines = lines.filter(|line| line.contains(r#"call="token""#));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    for (fault, status) in [("wrong_client", 401), ("unauthorized_client", 400)] {
        expire_upstream_tokens(&kit).await;
        kit.inject_faults(json!({"token_response": fault})).await;

        let first = kit.read("/accounts", &tokens.access).await;
        let before = calls().await;
        let second = kit.read("/accounts", &tokens.access).await;

        for read in [first, second] {
            assert_eq!(read.status, 503, "{fault}: {}", read.body);
            let message = read.json()["debugMessage"].as_str().unwrap().to_owned();
            assert!(message.contains("rejects the hub"), "{message}");
        }
        assert_eq!(calls().await, before, "{fault}: the client is not used while the provider rejects it");
        assert!(before.iter().any(|line| line.contains(&format!("outcome=\"{status}\""))), "{before:?}");
        assert!(fetch_metrics(&kit).await.contains(r#"bowline_rejected_clients{provider="1000"} 1"#));
        assert_eq!(kit.load_end_cause(&tokens.id).await, None);

        kit.inject_faults(json!({"token_response": "normal"})).await;
        kit.advance(kit.app().config().upstream.breaker_open.duration());
        assert_eq!(
            kit.read("/accounts", &tokens.access).await.status,
            200,
            "{fault}: the trial call succeeds"
        );
        assert!(fetch_metrics(&kit).await.contains(r#"bowline_rejected_clients{provider="1000"} 0"#));
    }
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_for_revocation(&kit, &tokens, UpstreamRevocation::Accepted).await;
}

#[tokio::test]
async fn failed_pushed_requests_stop_no_refresh() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for (status, error) in [(401, "invalid_client"), (400, "unauthorized_client"), (502, "server_error")] {
        let bank = EndpointStub::new(move |_| json_response(status, &json!({"error": error}))).await;
        kit.update_provider_settings(1000, |settings| {
            settings.pushed_authorization_request_endpoint = Some(format!("{}/par", bank.url));
        })
        .await;
        let logins = kit.app().config().upstream.breaker_failures + 1;
        for _ in 0..logins {
            assert_eq!(kit.consent().await.status, 503, "{error}");
        }
        expire_upstream_tokens(&kit).await;

        let read = kit.read("/accounts", &tokens.access).await;

        assert_eq!(read.status, 200, "{error}: {}", read.body);
        let sent = if status == 502 { logins - 1 } else { logins };
        assert_eq!(
            bank.calls().len(),
            usize::try_from(sent).unwrap(),
            "{error}: the circuit breaker of its own"
        );
    }
    assert!(!fetch_metrics(&kit).await.contains(r#"bowline_rejected_clients{provider="1000"} 1"#));
}

#[tokio::test]
async fn single_invalid_grant_ends_no_connection() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    expire_upstream_tokens(&kit).await;
    kit.inject_faults(json!({"invalid_grant_to_all": true})).await;

    let first = kit.read("/accounts", &tokens.access).await;
    kit.inject_faults(json!({"invalid_grant_to_all": false})).await;
    let early = kit.read("/accounts", &tokens.access).await;
    kit.advance(Duration::from_secs(5));
    kit.app().job_notify().notify_one();
    kit.wait_until("the job has repeated the refresh", async || {
        kit.load_connection(&tokens.id).await.credential_version == 2
    })
    .await;

    for read in [first, early] {
        assert_eq!((read.status, read.headers["retry-after"].as_bytes()), (503, &b"5"[..]), "{}", read.body);
    }
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

#[tokio::test]
async fn connection_without_refresh_token_ends_with_its_access_token() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    kit.inject_faults(json!({"token_response": "no_refresh_token"})).await;
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"token_response": "normal"})).await;
    // The bank accepts the token longer than it announced.
    expire_upstream_tokens(&kit).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    kit.advance(Duration::from_mins(6));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();

    let first = kit.read("/accounts", &fresh).await;
    let second = kit.read("/accounts", &fresh).await;

    for read in [first, second] {
        assert_eq!((read.status, &read.json()["code"]), (401, &json!(602)), "{}", read.body);
        assert_eq!(read.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
        let message = read.json()["debugMessage"].as_str().unwrap().to_owned();
        assert!(message.contains("issued no refresh token"), "{message}");
    }
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::AccessTokenEnded));
    // The bank accepts the revocation of an expired token, which proves nothing.
    wait_for_revocation(&kit, &tokens, UpstreamRevocation::Unknown).await;
}

#[tokio::test]
async fn failed_calls_are_in_the_audit_log() {
    let kit = TestHub::new().await;
    authorize_with_fault(&kit, json!({"token_response": "server_error"})).await;
    kit.inject_faults(json!({"token_response": "normal"})).await;
    wait_until_grants_have_ended(&kit, "server_error").await;
    let exchanges = list_audit_details(&kit, "provider.call_failed").await;
    let facts = |detail: &Value| {
        ["call", "reason", "error_code"].map(|name| detail[name].as_str().unwrap_or_default().to_owned())
    };
    let exchange = ["code_exchange", "server_error", "server_error"].map(str::to_owned);
    assert!(exchanges.iter().any(|detail| facts(detail) == exchange), "{exchanges:?}");

    let tokens = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"token_response": "html"})).await;
    for _ in 0..3 {
        expire_upstream_tokens(&kit).await;
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 500);
    }
    let refresh = ["refresh", "unreadable", ""].map(str::to_owned);
    let refreshes = list_audit_details(&kit, "connection.call_failed").await;
    assert_eq!(refreshes.iter().map(facts).collect::<Vec<_>>(), [refresh], "one event a day");

    kit.inject_faults(json!({"token_response": "normal", "revoke": "conflict"})).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.wait_until("two revocations have failed", async || {
        kit.advance(Duration::from_secs(30));
        kit.app().job_notify().notify_one();
        let details = list_audit_details(&kit, "connection.call_failed").await;
        details.iter().filter(|detail| detail["call"] == "revocation" && detail["status"] == 409).count() >= 2
    })
    .await;
    let metrics = fetch_metrics(&kit).await;
    for (call, reason) in
        [("code_exchange", "server_error"), ("refresh", "unreadable"), ("revocation", "unexpected_status")]
    {
        let labels = format!("{{provider=\"1000\",call=\"{call}\",reason=\"{reason}\"}}");
        assert!(metrics.contains(&format!("bowline_provider_call_failures_total{labels}")), "{labels}");
    }
}
