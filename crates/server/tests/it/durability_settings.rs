//! Tests that the built program confirms the end of a connection only if PostgreSQL has made it durable, even if the
//! server's settings are weakened. Each test has a PostgreSQL of its own.

use crate::server_process::decode_output;
use crate::support::{HubProcess, PostgresCluster, TestClient, wait_until};

/// A standby that does not exist: commits wait for it.
const ABSENT_STANDBY: &str = "absent";

async fn start_site(cluster: &PostgresCluster) -> (HubProcess, TestClient) {
    let site = HubProcess::new(Some(&cluster.url())).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    (site, acme)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weakened_synchronous_commit_confirms_no_connection_end() {
    let cluster = PostgresCluster::start().await;
    let (site, acme) = start_site(&cluster).await;
    let _hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;

    // The session of this end is open when the settings change; a new session would notice the weak setting.
    let earlier = site.connect(&acme, "bob").await;
    assert_eq!(site.api().revoke(&earlier.access).await.status, 204);

    // Without the setting of the session, the commit would no longer wait for the standby.
    cluster.reload_setting("synchronous_standby_names", ABSENT_STANDBY).await;
    // The weak setting comes last: the next measurement of the clock would notice it, and refuse the end for that reason.
    cluster.reload_setting("synchronous_commit", "off").await;
    let unconfirmed = site.api().revoke(&tokens.access).await;
    cluster.reload_setting("synchronous_standby_names", "").await;

    assert_eq!(unconfirmed.status, 503, "an end that no standby has was confirmed");
    wait_until("the end is confirmed", async || site.api().revoke(&tokens.access).await.status == 204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_wait_for_standby_confirms_no_connection_end() {
    let cluster = PostgresCluster::start().await;
    let (site, acme) = start_site(&cluster).await;
    let _hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    cluster.reload_setting("synchronous_standby_names", ABSENT_STANDBY).await;
    let client = cluster.connect().await;
    let cancel_waits = async || {
        let cancel =
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        client.query_one(cancel, &[]).await.unwrap().get::<_, i64>(0) > 0
    };

    // The commit is visible after its wait was cancelled, so the second attempt finds the connection ended.
    for attempt in ["the first attempt", "a repeated revoke"] {
        let api = site.api();
        let cancelled = wait_until("a commit waits for the standby", cancel_waits);
        let (unconfirmed, ()) = tokio::join!(api.revoke(&tokens.access), cancelled);
        assert_eq!(unconfirmed.status, 503, "{attempt} was confirmed although no standby has the end");
        assert!(unconfirmed.headers.contains_key("retry-after"));
    }

    cluster.reload_setting("synchronous_standby_names", "").await;
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    assert_eq!(site.api().read("/accounts", &tokens.access).await.json()["code"], 602);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_fsync_is_rejected_at_start_and_while_running() {
    let cluster = PostgresCluster::start().await;
    let (site, acme) = start_site(&cluster).await;
    for setting in ["fsync", "full_page_writes"] {
        cluster.reload_setting(setting, "off").await;

        let (code, _, error) = decode_output(&site.run(&["serve"]));
        let (_, checks, _) = decode_output(&site.run(&["doctor"]));

        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(&format!("{setting} is off")), "{error}");
        assert!(checks.contains(&format!("{setting} is off")), "{checks}");
        cluster.reload_setting(setting, "on").await;
    }
    let _hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;

    cluster.reload_setting("fsync", "off").await;
    // New sessions are rejected immediately, and the next measurement of the clock rejects the others.
    let terminate =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'bowline'";
    cluster.execute(&[terminate]).await;
    wait_until("the node refuses requests", async || {
        let status = site.api().revoke(&tokens.access).await.status;
        assert!([204, 503].contains(&status), "{status}");
        status == 503
    })
    .await;
    let readiness = site.call_probe("/readyz").await;
    cluster.reload_setting("fsync", "on").await;

    assert_eq!(readiness.status, 503);
    assert!(readiness.json()["problem"].as_str().unwrap().contains("fsync is off"), "{}", readiness.body);
    wait_until("the node serves again", async || site.call_probe("/readyz").await.status == 200).await;
    wait_until("ends work again", async || site.api().revoke(&tokens.access).await.status == 204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_from_login_to_end_causes_no_postgres_warning() {
    let cluster = PostgresCluster::start().await;
    let (site, acme) = start_site(&cluster).await;
    let hub = site.serve(&[]).await;

    let tokens = site.connect(&acme, "alice").await;
    assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(site.api().refresh(&acme, &tokens.refresh).await.status, 200);
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    wait_until("the provider is notified", async || site.count_active_grants().await == 0).await;
    hub.stop();

    let log = cluster.log();
    assert!(!log.contains("WARNING") && !log.contains("ERROR"), "{log}");
}
