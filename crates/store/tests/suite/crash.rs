//! Tests with `kill -9` while connections are ended: every acknowledged end is stored when the store is opened again.
//!
//! The test starts itself as another process, which opens connections, ends sixteen of them concurrently, and prints
//! each acknowledged one. Each round kills the process at another moment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use domain::model::connection::{ConnectionState, EndCause, UpstreamRevocation};
use store::query::GetConnection;
use store::{Location, PostgresSettings};

use crate::support::{TestStore, connect, connection_id, create_durable_database};

const CHILD_TEST: &str = "crash::child_process_ends_connections_until_killed";
const CHILD_URL_VAR: &str = "BOWLINE_CRASH_CHILD";
const CONNECTIONS: usize = 60;

fn location_url(location: &Location) -> String {
    match location {
        Location::Sqlite(path) => format!("sqlite:{}", path.display()),
        Location::Postgres(PostgresSettings { url, .. }) => url.expose().clone(),
    }
}

/// The process that the other tests start and kill. It does nothing when the suite runs it as an ordinary test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process_ends_connections_until_killed() {
    let Ok(url) = std::env::var(CHILD_URL_VAR) else { return };
    let kit = TestStore::create(Location::parse(&url).unwrap(), None).await;
    for number in 0..CONNECTIONS {
        kit.create_active_connection(&format!("n{number}"), "dc-acme", None).await;
    }
    println!("ready");
    let kit = &kit;
    let streams = (0..16).map(|stream| async move {
        for number in (stream..CONNECTIONS).step_by(16) {
            kit.end_connection(&connection_id(&format!("n{number}")), EndCause::Recipient, None).await;
            println!("ended {number}");
        }
    });
    futures_util::future::join_all(streams).await;
    println!("over");
    std::future::pending::<()>().await;
}

/// Starts the child process, kills it after `max_acknowledged` acknowledged ends, and returns the numbers of the
/// connections whose end was acknowledged.
fn run_child_until_killed(url: &str, max_acknowledged: usize) -> BTreeSet<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([CHILD_TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_URL_VAR, url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut ended = BTreeSet::new();
    for line in lines {
        if let Some(number) = line.strip_prefix("ended ") {
            ended.insert(number.to_owned());
        }
        // Lines that are still in the pipe when the child is killed were acknowledged too.
        if line == "over" || ended.len() == max_acknowledged {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    ended
}

/// Waits until PostgreSQL has noticed that the killed process is gone. Until then it may still commit the last commands
/// of that process.
async fn wait_for_disconnect(location: &Location) {
    let Location::Postgres(PostgresSettings { url, .. }) = location else { return };
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let client = connect(url.expose()).await;
    while client.query_one(others, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
}

async fn run_rounds(fresh: impl AsyncFn() -> (Location, Option<tempfile::TempDir>)) {
    let rounds: usize = std::env::var("BOWLINE_CRASH_ROUNDS").map_or(4, |text| text.parse().unwrap());
    let mut interrupted = 0;
    for round in 0..rounds {
        let (location, folder) = fresh().await;
        let ended = run_child_until_killed(&location_url(&location), 1 + round * 7 % (CONNECTIONS / 2));
        assert!(!ended.is_empty());
        wait_for_disconnect(&location).await;
        let kit = TestStore::reopen(location, folder).await;
        let mut active_count = 0;
        for number in 0..CONNECTIONS {
            let id = connection_id(&format!("n{number}"));
            let connection = kit.store.query(&GetConnection { id: id.clone() }).await.unwrap().unwrap();
            let is_ended = matches!(connection.state, ConnectionState::Ended(_));
            assert!(is_ended || !ended.contains(&number.to_string()), "connection n{number} is active again");
            assert_eq!(
                connection.provider_revocation == UpstreamRevocation::Pending,
                is_ended,
                "the job is stored completely or not at all"
            );
            active_count += usize::from(!is_ended);
            kit.connection_audit_actions(&id).await;
        }
        let expected_jobs = i64::try_from(CONNECTIONS - active_count).unwrap();
        assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, expected_jobs);
        interrupted += usize::from(active_count > 0);
    }
    assert!(interrupted > 0, "no round was killed during the stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_connection_ends_survive_kill_on_sqlite() {
    run_rounds(async || {
        let folder = tempfile::tempdir().unwrap();
        (Location::Sqlite(folder.path().join("hub.db")), Some(folder))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_connection_ends_survive_kill_on_postgres() {
    run_rounds(async || (create_durable_database().await, None)).await;
}
