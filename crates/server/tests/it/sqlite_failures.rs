//! Tests of a running hub whose SQLite file cannot be written: another process has the write lock, the disk is full, or the
//! file system fails. The hub returns 503 and changes nothing. It ends only if it cannot know what is stored.

use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;

use crate::database_failures::assert_unavailable;
use crate::support::{HubProcess, RunningHub, wait_until};

/// The message of the warning about commands that were rolled back.
const WARNING: &str = "the store cannot be written";

async fn get_write_check(site: &HubProcess) -> (u16, serde_json::Value) {
    let ready = site.call_probe("/readyz").await;
    assert_eq!(ready.json()["checks"]["store"], true, "the store can be read: {}", ready.body);
    (ready.status, ready.json()["checks"]["writes"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_lock_of_other_process_returns_503_for_writes_only() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let mut hub = site.serve(&["env", "BOWLINE_LOG__LEVEL=warn"]).await;
    let tokens = site.connect(&acme, "alice").await;
    let api = site.api();

    let other = rusqlite::Connection::open(site.path("hub.db")).unwrap();
    other.busy_timeout(Duration::from_secs(20)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let reads = join_all((0..4).map(|_| api.read("/accounts", &tokens.access)));
    // If each command waited for the lock in turn, the last response would come after a minute.
    let revokes = join_all((0..30).map(|_| api.revoke(&tokens.access)));
    let both = async { tokio::join!(revokes, reads) };
    let (revokes, reads) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    wait_until("the hub is not ready", async || get_write_check(&site).await == (503, false.into())).await;
    let read_again = api.read("/accounts", &tokens.access).await;
    other.execute_batch("ROLLBACK").unwrap();

    for revoke in &revokes {
        assert_unavailable(revoke, "revoke");
    }
    assert!(reads.iter().all(|read| read.status == 200), "reads do not need the write lock");
    assert_eq!(read_again.status, 200, "no revoke had an effect: {}", read_again.body);
    assert!(hub.is_running(), "{}", site.log());
    assert!(site.log().contains(WARNING), "{}", site.log());
    assert!(site.log().matches(WARNING).count() < 10, "the warnings are limited: {}", site.log());
    wait_until("the hub is ready again", async || get_write_check(&site).await == (200, true.into())).await;
    assert_eq!(api.revoke(&tokens.access).await.status, 204);
    assert!(site.verify_consistency(&tokens.id).await);
}

/// Starts a hub whose writes to the log of its store fail with ENOSPC while the log has the other name. The system calls
/// of a process are changed by strace, which selects them by the current path of the file.
async fn serve_with_removable_disk_space(site: &HubProcess) -> RunningHub {
    let strace = std::env::var("BOWLINE_TEST_STRACE")
        .unwrap_or_else(|_| panic!("BOWLINE_TEST_STRACE names strace: run `cargo xtask test`"));
    let full = site.path("hub.db-wal.full").display().to_string();
    let traced = [strace.as_str(), "-f", "-qq", "-o", "/dev/null", "-P", &full, "-e", "trace=pwrite64"];
    let inject = ["-e", "inject=pwrite64:error=ENOSPC", "env", "BOWLINE_LOG__LEVEL=warn"];
    site.serve(&[&traced[..], &inject].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_returns_503_until_space_is_available() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let mut hub = serve_with_removable_disk_space(&site).await;
    let tokens = site.connect(&acme, "alice").await;
    let (log, full) = (site.path("hub.db-wal"), site.path("hub.db-wal.full"));
    let api = site.api();

    std::fs::rename(&log, &full).unwrap();
    for _ in 0..3 {
        assert_unavailable(&api.revoke(&tokens.access).await, "revoke on a full disk");
        let read = api.read("/accounts", &tokens.access).await;
        assert_eq!(read.status, 200, "the connection was not ended: {}", read.body);
    }
    wait_until("the hub is not ready", async || get_write_check(&site).await == (503, false.into())).await;
    assert!(hub.is_running(), "{}", site.log());
    std::fs::rename(&full, &log).unwrap();

    wait_until("the hub is ready again", async || get_write_check(&site).await == (200, true.into())).await;
    assert!(site.log().contains("database or disk is full"), "{}", site.log());
    assert_eq!(api.revoke(&tokens.access).await.status, 204);
    assert_eq!(api.read("/accounts", &tokens.access).await.json()["code"], 602);
    assert!(site.verify_consistency(&tokens.id).await);
    wait_until("the provider is notified", async || site.count_active_grants().await == 0).await;
    assert!(hub.is_running(), "{}", site.log());
}

/// Starts the hub so that exceeding the file size limit is an error instead of a fatal signal.
const IGNORE_FILE_SIZE_SIGNAL: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\"", "env"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_file_error_returns_503_and_ends_process() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let mut hub = site.serve(&[&IGNORE_FILE_SIZE_SIGNAL[..], &["BOWLINE_LOG__LEVEL=warn"]].concat()).await;
    let tokens = site.connect(&acme, "alice").await;

    // The system reports the limit as EFBIG, which SQLite regards as an I/O error and not as a full disk.
    let limit = ["--pid", &hub.0.id().to_string(), "--fsize=4096:"];
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    assert_unavailable(&site.api().revoke(&tokens.access).await, "revoke with a failing write");
    let process = std::cell::RefCell::new(&mut hub);
    wait_until("the end of the process", async || !process.borrow_mut().is_running()).await;
    assert_eq!(hub.0.wait().unwrap().code(), Some(70), "{}", site.log());
    assert!(site.log().contains("the store is lost"), "{}", site.log());

    let _hub = site.serve(&[]).await;
    site.verify_consistency(&tokens.id).await;
    assert_eq!(
        site.api().read("/accounts", &tokens.access).await.status,
        200,
        "the connection was not ended"
    );
    assert_eq!(site.count_active_grants().await, 1);
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    assert_eq!(site.api().read("/accounts", &tokens.access).await.json()["code"], 602);
    wait_until("the provider is notified", async || site.count_active_grants().await == 0).await;
}

/// Starts a hub whose syncs of its database file fail while the file has the other name.
async fn serve_with_failing_database_sync(site: &HubProcess) -> RunningHub {
    let strace = std::env::var("BOWLINE_TEST_STRACE")
        .unwrap_or_else(|_| panic!("BOWLINE_TEST_STRACE names strace: run `cargo xtask test`"));
    let failing = site.path("hub.db.failing").display().to_string();
    let traced = [strace.as_str(), "-f", "-qq", "-o", "/dev/null", "-P", &failing, "-e"];
    let inject = ["trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "env"];
    site.serve(&[&traced[..], &inject, &["BOWLINE_LOG__LEVEL=warn"]].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_sync_of_log_copy_ends_process() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let mut hub = serve_with_failing_database_sync(&site).await;
    let tokens = site.connect(&acme, "alice").await;
    let (database, failing) = (site.path("hub.db"), site.path("hub.db.failing"));

    // The log is copied into the file, which is then synced, as soon as no command arrives.
    std::fs::rename(&database, &failing).unwrap();
    let revoke = site.api().revoke(&tokens.access).await;
    let exit_code = hub.wait_for_exit().await;
    std::fs::rename(&failing, &database).unwrap();

    assert_eq!(revoke.status, 204, "the end is durable in the log: {}", revoke.body);
    assert_eq!(exit_code, Some(70), "{}", site.log());
    assert!(site.log().contains("the store is lost"), "{}", site.log());
    let _hub = site.serve(&[]).await;
    assert_eq!(site.api().read("/accounts", &tokens.access).await.json()["code"], 602);
    assert!(site.verify_consistency(&tokens.id).await);
    wait_until("the provider is notified", async || site.count_active_grants().await == 0).await;
}
