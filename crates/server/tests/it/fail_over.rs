//! Tests of a fail-over between real PostgreSQL servers: a primary and its synchronous standby, which is promoted while the
//! primary is still running.

use std::sync::atomic::{AtomicBool, Ordering};

use bowline::cli::{Browser, BrowserRequest};
use http::Method;

use crate::support::{HubApiClient, HubProcess, PostgresCluster, wait_until};

/// The duration of a lease. It is long enough for a node without the wait to confirm an end before the other lease expires.
const LEASE: &str = "5s";

async fn fetch_status(browser: &Browser, url: &str) -> u16 {
    let answer = browser.send(BrowserRequest::new(Method::GET, url)).await;
    answer.map_or(0, |answer| answer.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_on_demoted_primary_contradicts_no_end() {
    let primary = PostgresCluster::start().await;
    let standby = primary.start_synchronous_standby().await;
    let site = HubProcess::new(Some(&primary.url())).await;
    site.set_lease(LEASE);
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let _old_node = site.serve(&[]).await;
    let [ended, kept] = [site.connect(&acme, "alice").await, site.connect(&acme, "bob").await];
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write&application_name=other",
        standby.port(),
        primary.port()
    );
    let (_new_node, new_url, new_probes) = site.start_other_node(&url);
    let new_ready = format!("{new_probes}/readyz");
    wait_until("the other node is ready", async || fetch_status(&site.browser, &new_ready).await == 200)
        .await;
    let (old_api, new_api) = (site.api(), HubApiClient { browser: &site.browser, hub: &new_url });
    assert_eq!(
        new_api.read("/accounts", &ended.access).await.status,
        200,
        "the primary is found behind the standby"
    );

    standby.promote().await;
    // The other node must connect again. The sessions of the first one stay: its server does not know that it was demoted.
    primary
        .execute(&["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'other'"])
        .await;
    let is_confirmed = AtomicBool::new(false);
    let end = async {
        wait_until("the end is confirmed", async || new_api.revoke(&ended.access).await.status == 204).await;
        is_confirmed.store(true, Ordering::SeqCst);
    };
    let reads = async {
        let mut refused = 0;
        while refused < 50 {
            let began_after_end = is_confirmed.load(Ordering::SeqCst);
            let read = old_api.read("/accounts", &ended.access).await.status;
            let minted = old_api.refresh(&acme, &kept.refresh).await.status;
            if began_after_end {
                assert_eq!(read, 503, "the old node contradicts an end that was confirmed");
                assert_eq!(minted, 503, "the old node mints a token after it was replaced");
                assert_eq!(fetch_status(&site.browser, &format!("{}/readyz", site.probe_url())).await, 503);
                refused += 1;
            }
        }
    };
    tokio::join!(end, reads);

    assert_eq!(new_api.read("/accounts", &ended.access).await.json()["code"], 602);
    assert_eq!(new_api.read("/accounts", &kept.access).await.status, 200);
    assert_eq!(fetch_status(&site.browser, &new_ready).await, 200, "{}", site.log());
}
