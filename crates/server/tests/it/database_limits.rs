//! Tests that a database which is slow, silent or locked does not stop the built program: each kind of operation has
//! its own sessions and limits. Each test has a PostgreSQL of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::cli::{BrowserRequest, BrowserResponse};
use http::Method;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{
    ConnectionTokens, HubProcess, PostgresCluster, RawRequest, TcpProxy, TestClient, encode_ids, wait_until,
};

/// The number of ends that may wait for locks at the same time.
const SINGLE_ENDS: usize = 4;
/// The time within which a node must serve again after its database is reachable.
const RECOVERY_LIMIT: Duration = Duration::from_secs(10);

async fn is_ready(site: &HubProcess) -> bool {
    let url = format!("{}/readyz", site.probe_url());
    let answer = site.browser.send(BrowserRequest::new(Method::GET, &url)).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Starts a hub with three connections, of which tests lock the first one.
async fn start_hub(cluster_url: &str) -> (HubProcess, TestClient, Vec<ConnectionTokens>) {
    let site = HubProcess::new(Some(cluster_url)).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let other = site.add_recipient("Other App");
    let setup = site.serve(&[]).await;
    let tokens = vec![
        site.connect(&acme, "alice").await,
        site.connect(&acme, "bob").await,
        site.connect(&other, "alice").await,
    ];
    setup.stop();
    (site, acme, tokens)
}

/// Waits for a response, and fails if it takes longer than ten seconds.
async fn within_limit(request: impl Future<Output = BrowserResponse>) -> BrowserResponse {
    let answer = tokio::time::timeout(RECOVERY_LIMIT, request).await;
    answer.unwrap_or_else(|_| panic!("no response within ten seconds"))
}

/// Sends a request and does not read the response. The client goes away when the stream is dropped.
async fn send_without_reading(mut stream: impl AsyncWrite + Unpin, method: &str, path: &str, bearer: &str) {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Returns the processes of the database in which statements of the hub wait for a lock.
async fn list_blocked_sessions(observer: &tokio_postgres::Client) -> BTreeSet<i32> {
    let blocked =
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'bowline' AND wait_event_type = 'Lock'";
    observer.query(blocked, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_revokes_on_locked_row_block_no_other_request() {
    let cluster = PostgresCluster::start().await;
    let (site, acme, tokens) = start_hub(&cluster.url()).await;
    let _hub = site.serve(&[]).await;
    let lock = cluster.connect().await;
    let locked = &tokens[0];
    let statement = format!("BEGIN; SELECT id FROM connections WHERE id = '{}' FOR UPDATE", locked.id);
    lock.batch_execute(&encode_ids(&statement, false)).await.unwrap();

    let observer = cluster.connect().await;
    let api = site.api();
    // All ends that may wait for a lock wait for this row before, during and after the read. The clients of
    // the revokes go away then.
    let is_served_during_wait = async || {
        let mut clients = Vec::new();
        while clients.len() < 20 {
            let mut client = TcpStream::connect(site.hub_url.trim_start_matches("http://")).await.unwrap();
            send_without_reading(&mut client, "DELETE", "/api/v1/revoke", &locked.access).await;
            clients.push(client);
        }
        let before = list_blocked_sessions(&observer).await;
        let read = within_limit(api.read("/accounts", &tokens[1].access)).await;
        assert_eq!(read.status, 200, "another connection is served: {}", read.body);
        assert!(is_ready(&site).await, "{}", site.log());
        let after = list_blocked_sessions(&observer).await;
        before.len() >= SINGLE_ENDS && before.is_subset(&after)
    };
    wait_until("a read is served while ends wait for a lock", is_served_during_wait).await;
    assert_eq!(within_limit(api.refresh(&acme, &tokens[1].refresh)).await.status, 200);
    let ended = async {
        wait_until("another connection can be ended", async || {
            api.revoke(&tokens[2].access).await.status == 204
        })
        .await;
    };
    tokio::time::timeout(RECOVERY_LIMIT, ended).await.expect("an end while the row is still locked");
    let refused = within_limit(api.revoke(&locked.access)).await;
    assert_eq!(refused.status, 503, "the locked connection cannot be ended: {}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));

    lock.batch_execute("ROLLBACK").await.unwrap();
    wait_until("the connection can be ended", async || api.revoke(&locked.access).await.status == 204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_operator_searches_block_no_request() {
    let cluster = PostgresCluster::start().await;
    let (site, acme, tokens) = start_hub(&cluster.url()).await;
    let _hub = site.serve(&[]).await;
    let lock = cluster.connect().await;
    // No search of the audit log can proceed while this lock exists.
    lock.batch_execute("BEGIN; LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE").await.unwrap();

    // Within its transaction, the other connection would always see the same state of the sessions.
    let observer = cluster.connect().await;
    let search = async || {
        let mut stream = UnixStream::connect(site.socket()).await.unwrap();
        stream.write_all(b"GET /admin/v1/audit HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        stream
    };
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(search().await);
    }
    wait_until("searches wait for the lock", async || list_blocked_sessions(&observer).await.len() == 2)
        .await;
    let api = site.api();
    for _ in 0..5 {
        assert_eq!(within_limit(api.read("/accounts", &tokens[1].access)).await.status, 200);
        let minted = within_limit(api.request_token(&acme, &[("grant_type", "client_credentials")])).await;
        assert_eq!(minted.status, 200, "{}", minted.body);
        assert!(is_ready(&site).await, "{}", site.log());
    }
    // Abandoned searches are cancelled in the database, long before their own limit of 15 seconds.
    drop(clients);
    let cancelled = wait_until("abandoned searches are cancelled", async || {
        list_blocked_sessions(&observer).await.is_empty()
    });
    tokio::time::timeout(RECOVERY_LIMIT, cancelled).await.expect("no search runs to its own limit");

    lock.batch_execute("ROLLBACK").await.unwrap();
    let searched = async || {
        let stream = UnixStream::connect(site.socket()).await.unwrap();
        RawRequest::get("/admin/v1/audit").send_over(stream).await.status == 200
    };
    wait_until("searches work again", searched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_database_is_reported_and_node_recovers() {
    let cluster = PostgresCluster::start().await;
    let (proxy, direct) = (TcpProxy::start(cluster.port()).await, cluster.port().to_string());
    let (site, _, tokens) = start_hub(&cluster.url().replace(&direct, &proxy.port.to_string())).await;
    let hub = site.serve(&[]).await;
    let api = site.api();
    assert_eq!(api.read("/accounts", &tokens[0].access).await.status, 200);

    proxy.fall_silent();
    let reads = (0..30).map(|_| within_limit(api.read("/accounts", &tokens[0].access)));
    for answer in futures_util::future::join_all(reads).await {
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert!(!is_ready(&site).await);

    proxy.restore();
    let recovered = wait_until("the node is ready again", async || is_ready(&site).await);
    tokio::time::timeout(RECOVERY_LIMIT, recovered).await.expect("ready ten seconds after the database");
    assert_eq!(api.read("/accounts", &tokens[0].access).await.status, 200);
    assert_eq!(within_limit(api.revoke(&tokens[0].access)).await.status, 204);

    proxy.fall_silent();
    let revoke = api.revoke(&tokens[1].access);
    let stop = async { tokio::task::spawn_blocking(|| hub.stop()).await.unwrap() };
    let (_, stopped) = tokio::join!(revoke, tokio::time::timeout(Duration::from_secs(30), stop));
    stopped.expect("a silent database does not delay the stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_sessions_cause_no_500() {
    let cluster = PostgresCluster::start().await;
    let (site, acme, tokens) = start_hub(&cluster.url()).await;
    let _hub = site.serve(&[]).await;
    let api = site.api();

    for _ in 0..10 {
        let (api, acme, tokens) = (&api, &acme, &tokens);
        let requests = (0..6).map(|number| async move {
            match number % 3 {
                0 => api.read("/accounts", &tokens[0].access).await,
                1 => api.refresh(acme, &tokens[0].refresh).await,
                _ => api.request_token(acme, &[("grant_type", "client_credentials")]).await,
            }
        });
        let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE application_name = 'bowline'";
        let terminate = [terminate];
        let (answers, ()) =
            tokio::join!(futures_util::future::join_all(requests), cluster.execute(&terminate));
        for answer in answers {
            assert!([200, 503].contains(&answer.status), "{}: {}", answer.status, answer.body);
        }
    }

    wait_until("requests are served", async || api.read("/accounts", &tokens[0].access).await.status == 200)
        .await;
    assert_eq!(api.revoke(&tokens[0].access).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_that_died_silently_are_replaced() {
    let cluster = PostgresCluster::start().await;
    let (proxy, direct) = (TcpProxy::start(cluster.port()).await, cluster.port().to_string());
    let (site, _, tokens) = start_hub(&cluster.url().replace(&direct, &proxy.port.to_string())).await;
    let _hub = site.serve(&[]).await;
    let api = site.api();
    // Several sessions are open and idle.
    let reads = (0..20).map(|_| api.read("/accounts", &tokens[0].access));
    assert!(futures_util::future::join_all(reads).await.iter().all(|answer| answer.status == 200));

    // As behind a firewall that forgets idle connections: the old ones are dead, new ones work.
    proxy.fall_silent();
    proxy.restore();

    let served = wait_until("requests are served again", async || {
        api.read("/accounts", &tokens[0].access).await.status == 200
    });
    tokio::time::timeout(RECOVERY_LIMIT, served).await.expect("one timeout replaces all old sessions");
    for _ in 0..20 {
        assert_eq!(api.read("/accounts", &tokens[0].access).await.status, 200);
    }
}
