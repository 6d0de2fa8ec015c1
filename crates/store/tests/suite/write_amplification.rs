//! Tests of the number of bytes that an end writes to the log of SQLite: it is small, and does not depend on the size of the
//! store.

use std::path::Path;
use std::time::Duration;

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::{ConnectionState, EndCause};
use futures_util::future::join_all;
use store::Location;
use store::command::{EndOutcome, SeedConnections, SeededConnection};

use crate::support::{DAY, REDIRECT_URI, TestStore, on_both, parse_client_id, seal, test_clusters};

on_both!(bulk_inserted_connections_are_active_and_can_be_ended);

const KEY_STEP: u64 = u64::MAX / 1_000_000;

impl TestStore {
    pub(crate) async fn fill_connections(&self, numbers: std::ops::Range<u64>) {
        // Tokens of usual length, with their keys and their seals.
        let token = seal(&"t".repeat(64));
        let build = |number| SeededConnection::from_key(number * KEY_STEP, token.clone()).unwrap();
        let fill = SeedConnections {
            moment: self.next_moment(),
            client_id: parse_client_id("dc-acme"),
            provider_id: ProviderId::new(1000),
            clusters: test_clusters(),
            expires_at: self.now.plus(30 * DAY),
            redirect_uri: REDIRECT_URI.into(),
            connections: numbers.map(build).collect(),
        };
        self.store.run(fill).await.unwrap();
    }
}

pub(crate) fn filled_connection_id(number: u64) -> ConnectionId {
    SeededConnection::id_from_key(number * KEY_STEP).unwrap()
}

async fn bulk_inserted_connections_are_active_and_can_be_ended(kit: TestStore) {
    kit.fill_connections(0..10).await;
    let unfilled = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.fill_connections(10..20).await;
    for id in [
        filled_connection_id(0),
        filled_connection_id(9),
        filled_connection_id(10),
        filled_connection_id(19),
        unfilled,
    ] {
        assert_eq!(kit.get_connection(&id).await.state, ConnectionState::Active, "{id}");
        assert_eq!(
            kit.end_connection(&id, EndCause::Recipient, None).await,
            EndOutcome::Ended(EndCause::Recipient),
            "{id}"
        );
    }
}

/// Returns the size of SQLite's write-ahead log in bytes.
fn wal_size_bytes(file: &Path) -> u64 {
    std::fs::metadata(file.with_extension("db-wal")).map_or(0, |log| log.len())
}

/// Waits until SQLite's writer has emptied its log.
pub(crate) async fn wait_for_empty_log(file: &Path) {
    while wal_size_bytes(file) > 0 {
        tokio::task::yield_now().await;
    }
}

/// Returns the number of bytes that the end of a connection appends to an empty write-ahead log.
async fn measure_end_bytes(kit: &TestStore, id: &ConnectionId) -> u64 {
    let Location::Sqlite(file) = kit.location.clone() else { panic!("only SQLite has a log file") };
    wait_for_empty_log(&file).await;
    assert_eq!(
        kit.end_connection(id, EndCause::Recipient, None).await,
        EndOutcome::Ended(EndCause::Recipient)
    );
    wal_size_bytes(&file)
}

/// The size of a page in the write-ahead log, including its header, in bytes.
const WAL_PAGE_BYTES: u64 = 2048 + 24;

/// The header of a page in the write-ahead log.
pub(crate) struct LoggedPage {
    pub(crate) number: u32,
    /// True for the last page of a commit.
    ends_commit: bool,
}

/// Reads the headers of the pages in the write-ahead log.
pub(crate) fn read_logged_pages(file: &Path) -> Vec<LoggedPage> {
    let log = std::fs::read(file.with_extension("db-wal")).unwrap();
    let read_number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    // The header of the file has 32 bytes and contains the size of a page. The header of a page has 24 bytes and contains its
    // number and, in the last page of a commit, the size of the database.
    let (header, pages) = log.split_at(32);
    let pages = pages.chunks_exact(24 + usize::try_from(read_number(&header[8..])).unwrap());
    pages
        .map(|page| LoggedPage { number: read_number(page), ends_commit: read_number(&page[4..]) > 0 })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_end_writes_same_amount_in_small_and_large_store() {
    let kit = TestStore::open_sqlite().await;
    kit.fill_connections(0..50).await;
    let small = measure_end_bytes(&kit, &filled_connection_id(25)).await;
    kit.fill_connections(50..20_000).await;
    let large = measure_end_bytes(&kit, &filled_connection_id(10_000)).await;
    assert!(small > 5 * WAL_PAGE_BYTES, "an end cannot write only {small} bytes");
    // In a large store, the leaf and the root of a B-tree may be separate pages, and a leaf may have to be split.
    assert!(large <= small + 6 * WAL_PAGE_BYTES, "{small} bytes among 50 connections, {large} among 20,000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_end_writes_same_amount_after_many_refreshes() {
    let mut kit = TestStore::open_sqlite().await;
    let fresh = kit.create_active_connection("fresh", "dc-acme", Some("alice")).await;
    let often = kit.create_active_connection("often", "dc-acme", Some("bob")).await;
    for _ in 0..1_000 {
        kit.advance_clock(Duration::from_secs(1));
        kit.record_refresh_token_use("refresh-often", "refresh-often").await;
    }
    let fresh = measure_end_bytes(&kit, &fresh).await;
    let often = measure_end_bytes(&kit, &often).await;
    assert!(often <= fresh + WAL_PAGE_BYTES, "{fresh} bytes without refreshes, {often} after a thousand");
}

/// The limit applies to a million connections, which the complete check fills in. One thread runs the test, so that all
/// ends of a set wait before the first one runs.
#[tokio::test]
async fn set_of_ends_writes_at_most_six_kib_of_log_each() {
    const SETS: u64 = 48;
    const SET_SIZE: u64 = 16;
    let connections =
        std::env::var("BOWLINE_FILLED_CONNECTIONS").map_or(20_000, |text| text.parse().unwrap());
    let mut kit = TestStore::open_sqlite().await;
    for first in (0..connections).step_by(10_000) {
        kit.fill_connections(first..first + 10_000).await;
    }
    let Location::Sqlite(file) = kit.location.clone() else { panic!("SQLite") };
    wait_for_empty_log(&file).await;

    for set in 0..SETS {
        // A prime as step spreads the ends over the whole store.
        let numbers = (set * SET_SIZE..(set + 1) * SET_SIZE).map(|n| n * 7_919 % connections);
        let ids: Vec<_> = numbers.map(filled_connection_id).collect();
        // Ids begin with the time, so the time between two sets decides where their rows are inserted.
        kit.advance_clock(Duration::from_millis(2));
        let outcomes = join_all(ids.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None))).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, EndOutcome::Ended(_))), "{outcomes:?}");
    }

    let per_end = wal_size_bytes(&file) / (SETS * SET_SIZE);
    let commits = read_logged_pages(&file).iter().filter(|page| page.ends_commit).count();
    assert_eq!(commits as u64, SETS, "each set is one commit");
    println!("{per_end} bytes of log for each end among {connections} connections");
    assert!((3 * 1024..=6 * 1024).contains(&per_end), "{per_end} bytes for each end");
}
