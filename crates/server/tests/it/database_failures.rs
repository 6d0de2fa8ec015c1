//! Tests of a running hub whose PostgreSQL server becomes unavailable. The hub returns 503, reports no result that it does
//! not know, and keeps what it acknowledged.

use bowline::cli::BrowserResponse;
use futures_util::future::join_all;

use crate::support::{HubProcess, PostgresCluster, wait_until};

/// Asserts a response with 503 and `Retry-After`, which leaves open whether the request had an effect.
pub(crate) fn assert_unavailable(answer: &BrowserResponse, what: &str) {
    assert_eq!(answer.status, 503, "{what}: {}", answer.body);
    assert!(answer.headers.contains_key("retry-after"), "{what}: no Retry-After");
    let body = answer.json();
    let documented = body["error"] == "temporarily_unavailable" || body["code"] == 503;
    assert!(documented, "{what}: {}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hub_returns_503_without_database_and_recovers() {
    let mut cluster = PostgresCluster::start().await;
    let site = HubProcess::new(Some(&cluster.url())).await;
    site.initialize().await;
    let (acme, other) = (site.add_recipient("Acme Budget"), site.add_recipient("Other App"));
    let _hub = site.serve(&[]).await;
    let (ended, active) = (site.connect(&acme, "alice").await, site.connect(&other, "alice").await);
    let code = site.obtain_code(&acme, "bob").await;
    let api = site.api();
    assert_eq!(api.revoke(&ended.access).await.status, 204);

    cluster.crash();
    for _ in 0..3 {
        for tokens in [&ended, &active] {
            assert_unavailable(&api.read("/accounts", &tokens.access).await, "data");
            assert_unavailable(&api.revoke(&tokens.access).await, "revoke");
        }
        assert_unavailable(&api.refresh(&other, &active.refresh).await, "refresh");
        assert_unavailable(&api.refresh(&acme, &ended.refresh).await, "refresh of an ended connection");
        assert_unavailable(&api.redeem(&acme, &code).await, "exchange");
        assert_unavailable(
            &api.request_token(&acme, &[("grant_type", "client_credentials")]).await,
            "client token",
        );
        assert_eq!(site.call_probe("/livez").await.status, 200);
        let ready = site.call_probe("/readyz").await;
        assert_eq!((ready.status, &ready.json()["checks"]["store"]), (503, &false.into()));
    }
    let forged = api.read("/accounts", "no.such.token").await;
    assert_eq!(forged.status, 401, "a forged token is rejected without the database: {}", forged.body);

    cluster.start_server().await;
    wait_until("the hub is ready again", async || site.call_probe("/readyz").await.status == 200).await;
    let read = api.read("/accounts", &ended.access).await;
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()), "the connection is still ended");
    assert_eq!(api.refresh(&acme, &ended.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(api.read("/accounts", &active.access).await.status, 200, "{}", site.log());
    assert_eq!(api.refresh(&other, &active.refresh).await.status, 200);
    assert_eq!(api.redeem(&acme, &code).await.status, 200, "a failed request does not use up the code");
    assert_eq!(api.revoke(&active.access).await.status, 204);
    site.make_jobs_due().await;
    wait_until("the provider is notified of both ends", async || site.count_active_grants().await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_connection_ends_survive_database_crash() {
    let mut cluster = PostgresCluster::start().await;
    let site = HubProcess::new(Some(&cluster.url())).await;
    site.initialize().await;
    let recipients: Vec<_> = (0..4).map(|number| site.add_recipient(&format!("App {number}"))).collect();
    let _hub = site.serve(&[]).await;
    let mut all = Vec::new();
    for recipient in &recipients {
        for username in ["alice", "bob", "chloe"] {
            all.push(site.connect(recipient, username).await);
        }
    }
    let api = site.api();
    let first = api.revoke(&all[0].access).await;
    assert_eq!(first.status, 204);
    // The others are in flight while the database crashes.
    let crash = async {
        tokio::task::yield_now().await;
        tokio::task::block_in_place(|| cluster.crash());
    };
    let (answers, ()) =
        tokio::join!(join_all(all[1..].iter().map(|tokens| api.revoke(&tokens.access))), crash);
    for answer in answers.iter().filter(|answer| answer.status != 204) {
        assert_unavailable(answer, "revoke while the database crashes");
    }
    cluster.start_server().await;
    wait_until("the hub is ready again", async || site.call_probe("/readyz").await.status == 200).await;
    for (tokens, answer) in all.iter().zip(std::iter::once(&first).chain(&answers)) {
        let read = api.read("/accounts", &tokens.access).await;
        let ended = read.json()["code"] == 602;
        assert!(ended || answer.status == 503, "an acknowledged end was lost: {}", read.body);
        assert!(ended || read.status == 200, "{}", read.body);
        assert_eq!(api.revoke(&tokens.access).await.status, 204, "repeating is safe");
        site.verify_consistency(&tokens.id).await;
    }
    site.make_jobs_due().await;
    wait_until("the provider is notified of all ends", async || site.count_active_grants().await == 0).await;
}
