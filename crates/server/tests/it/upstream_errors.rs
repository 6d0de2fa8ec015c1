//! Tests of the hub with a provider that is slow or unreachable, returns errors, or rejects a refresh, a code or a
//! revocation.

use std::time::Duration;

use domain::model::connection::{EndCause, UpstreamRevocation};
use serde_json::json;

use crate::support::{ConnectionTokens, TestHub, on_both, query_parameter};

on_both!(
    provider_errors_map_to_documented_codes,
    circuit_breaker_opens_after_repeated_failures,
    circuit_breaker_of_one_recipient_stops_no_other,
    connection_end_during_upstream_read_returns_602,
    invalid_grant_on_refresh_ends_connection,
    concurrent_reads_trigger_one_refresh,
    failed_upstream_revocation_is_retried_or_reported,
    late_refresh_token_is_revoked_before_status_accepted,
    failed_code_exchange_leaves_no_grant_active,
);

async fn provider_errors_map_to_documented_codes(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    for (faults, status, code) in [
        (json!({"fail": 500}), 500, 500),
        (json!({"fail": 503}), 503, 503),
        (json!({"fail": null, "rate_limited": true}), 429, 1207),
    ] {
        kit.inject_faults(faults.clone()).await;
        let answer = kit.read("/accounts", &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()), "{faults}");
        assert_eq!(answer.headers.contains_key("retry-after"), status != 500, "{faults}");
    }
    kit.inject_faults(json!({"rate_limited": false})).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

async fn circuit_breaker_opens_after_repeated_failures(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"fail": 500})).await;

    for _ in 0..5 {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 500);
    }
    kit.inject_faults(json!({"fail": null})).await;

    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503, "the circuit breaker is open");
    kit.advance(Duration::from_secs(30));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
}

async fn circuit_breaker_of_one_recipient_stops_no_other(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let register = async || kit.register_recipient(&[1000], crate::support::SCOPE, false).await;
    let (second, third) = (kit.connect(&register().await).await, kit.connect(&register().await).await);
    let read = async |tokens: &ConnectionTokens| kit.read("/accounts", &tokens.access).await.status;
    let availability = async |tokens: &ConnectionTokens| {
        let list = kit.read("/availability", &tokens.access).await.json();
        list["availability"][0]["status"].as_str().map(str::to_owned)
    };

    kit.inject_faults(json!({"fail": 500})).await;
    for _ in 0..5 {
        assert_eq!(read(&tokens).await, 500);
    }
    kit.inject_faults(json!({"fail": null})).await;

    assert_eq!(
        [read(&tokens).await, read(&second).await],
        [503, 200],
        "one recipient's failures stop only it"
    );
    assert_eq!(availability(&tokens).await.as_deref(), Some("DOWN"));
    assert_eq!(availability(&second).await.as_deref(), Some("ALIVE"));

    kit.advance(Duration::from_secs(30));
    assert_eq!(read(&tokens).await, 200);
    kit.inject_faults(json!({"fail": 500})).await;
    for tokens in [&tokens, &second, &tokens, &second, &tokens] {
        assert_eq!(read(tokens).await, 500);
    }
    kit.inject_faults(json!({"fail": null})).await;
    assert_eq!(read(&third).await, 503, "failures of two recipients stop all");
}

async fn connection_end_during_upstream_read_returns_602(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"hold": true})).await;
    let (read, ()) = tokio::join!(kit.read("/accounts", &tokens.access), async {
        kit.wait_until("the bank has the request", async || {
            let url = format!("{}/grants", kit.world.maple().faults_url());
            let listed = kit.send(bowline::cli::BrowserRequest::new(http::Method::GET, &url)).await.json();
            !listed[0]["last_used_at"].is_null()
        })
        .await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204);
        kit.inject_faults(json!({"hold": false})).await;
    });
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()), "{}", read.body);
}

async fn invalid_grant_on_refresh_ends_connection(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"rotate_refresh": true})).await;
    kit.advance(Duration::from_mins(4) + Duration::from_secs(45));
    assert_eq!(
        kit.read("/accounts", &tokens.access).await.status,
        200,
        "the token is refreshed before it expires"
    );
    assert_eq!(kit.load_connection(&tokens.id).await.credential_version, 2);
    kit.advance(Duration::from_mins(6));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    kit.inject_faults(json!({"token_endpoint": "down"})).await;
    assert_eq!(kit.read("/accounts", &fresh).await.status, 503);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None, "an unavailable provider ends no connection");
    kit.inject_faults(json!({"token_endpoint": "up"})).await;
    let mut end = bowline::cli::BrowserRequest::new(
        http::Method::POST,
        &format!("{}/consents/end", kit.world.maple().faults_url()),
    );
    end.json = Some(json!({"username": "alice"}));
    kit.send(end).await;
    let first = kit.read("/accounts", &fresh).await;
    assert_eq!((first.status, first.headers["retry-after"].as_bytes()), (503, &b"5"[..]), "{}", first.body);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None, "the first invalid_grant ends nothing");
    kit.advance(Duration::from_secs(5));
    kit.app().job_notify().notify_one();
    kit.wait_until("a job confirms the invalid_grant", async || {
        kit.load_end_cause(&tokens.id).await == Some(EndCause::Provider)
    })
    .await;
    let read = kit.read("/accounts", &fresh).await;
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.json()["error"], "invalid_grant");
}

async fn concurrent_reads_trigger_one_refresh(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"rotate_refresh": true})).await;
    kit.advance(Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    let reads = (0..8).map(|_| kit.read("/accounts", &fresh));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.status, 200, "{}", read.body);
    }
    assert_eq!(kit.load_connection(&tokens.id).await.credential_version, 2);
}

async fn failed_upstream_revocation_is_retried_or_reported(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"revoke": "refuse"})).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "the response does not wait for the provider");
    kit.wait_until("the refusal is seen", async || {
        kit.load_connection(&tokens.id).await.provider_revocation == UpstreamRevocation::Refused
    })
    .await;
    kit.inject_faults(json!({"revoke": "ok"})).await;
    let second = kit.connect(&acme).await;
    kit.inject_faults(json!({"fail": 503})).await;
    assert_eq!(kit.revoke(&second.access).await.status, 204);
    assert_eq!(kit.read("/accounts", &second.access).await.json()["code"], 602);
    // An attempt that begins after the fault is cleared would succeed, so the failed one must be over.
    kit.wait_until("an attempt fails", async || {
        let jobs = kit.list_jobs_of_kind("revoke_at_provider").await;
        jobs.iter().any(|job| job["state"] == "pending" && job["attempts"].as_i64() > Some(0))
    })
    .await;
    kit.inject_faults(json!({"fail": null})).await;
    assert_eq!(kit.load_connection(&second.id).await.provider_revocation, UpstreamRevocation::Pending);
    kit.advance(Duration::from_secs(10));
    kit.app().job_notify().notify_one();
    kit.wait_until("the provider is notified", async || {
        kit.load_connection(&second.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    assert_eq!(kit.list_grant_states().await.iter().filter(|state| *state == "ended").count(), 1);
}

async fn late_refresh_token_is_revoked_before_status_accepted(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let leased = "SELECT lease_id FROM upstream_credentials WHERE lease_id IS NOT NULL";
    kit.sql("UPDATE upstream_credentials SET access_expires_at = 0").await;
    kit.inject_faults(json!({"rotate_refresh": true, "latency_ms": 250})).await;
    let (read, ()) = tokio::join!(kit.read("/accounts", &tokens.access), async {
        kit.wait_until("the refresh is on its way", async || !kit.sql(leased).await.is_empty()).await;
        assert_eq!(
            kit.revoke(&tokens.access).await.status,
            204,
            "the response does not wait for the provider"
        );
        kit.wait_until("the late token is revoked at the provider", async || {
            let bank = kit.load_connection(&tokens.id).await.provider_revocation;
            let ended = kit.list_grant_states().await == ["ended"];
            assert!(ended || bank != UpstreamRevocation::Accepted, "accepted although the grant is active");
            ended && bank == UpstreamRevocation::Accepted
        })
        .await;
    });
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()), "{}", read.body);
    let jobs = kit.sql("SELECT COUNT(*) FROM jobs WHERE state = 'done' AND token IS NULL").await;
    assert_eq!(jobs, ["2"], "one job for the stored token, one for the late token");
}

async fn failed_code_exchange_leaves_no_grant_active(kit: TestHub) {
    let acme = kit.acme();
    let (at, page) = kit.reach_account_page(&TestHub::build_authorization_query(&acme), "alice").await;
    kit.inject_faults(json!({"token_endpoint": "down"})).await;
    let (back, _) = kit.submit(&at, &page, &[("accounts", "mt-alice-card"), ("decision", "approve")]).await;
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("temporarily_unavailable"));
    kit.inject_faults(json!({"token_endpoint": "up"})).await;
    let wait_until_ended = async |count: usize| {
        kit.wait_until("every grant has ended", async || {
            kit.app().job_notify().notify_one();
            kit.list_grant_states().await == vec!["ended"; count]
        })
        .await;
    };
    // The 503 does not prove that the code was not used, so it is exchanged again after the lease, and its grant is revoked.
    kit.advance(kit.app().refresh_lease_duration());
    wait_until_ended(1).await;
    let code = kit.obtain_code(&acme).await;
    kit.advance(Duration::from_mins(1));
    let ctx = bowline::jobs::new_job_context(kit.app(), "test").unwrap();
    bowline::jobs::sweep(&ctx).await.unwrap();
    assert_eq!(kit.redeem(&acme, &code).await.json()["error"], "invalid_grant");
    wait_until_ended(2).await;
}
