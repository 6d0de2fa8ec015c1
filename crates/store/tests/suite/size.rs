//! The cost of an end does not depend on what else there is (promise 3).

use std::path::Path;
use std::time::Duration;

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::{Cause, State};
use domain::secret::TokenHash;
use store::Location;
use store::command::{EndOutcome, FillConnections, RecordRefreshUse};

use crate::kit::{DAY, Kit, client, clusters, hash, on_both};

on_both!(a_store_is_filled_with_connections_that_live_and_end);

const STEP: i64 = i64::MAX / 100_000;

impl Kit {
    async fn fill(&self, numbers: std::ops::Range<i64>) {
        let fill = FillConnections {
            moment: self.moment(),
            client_id: client("dc-acme"),
            provider_id: ProviderId::new(1000),
            clusters: clusters(),
            expires_at: self.now.plus(30 * DAY),
            numbers,
            step: STEP,
            data_key: b"a wrapped key".to_vec(),
            credential: b"a sealed token".to_vec(),
        };
        self.store.run(fill).await.unwrap();
    }
}

fn filled(number: i64) -> ConnectionId {
    ConnectionId::parse(&format!("con_{:016x}{:016x}", number * STEP, 0)).unwrap()
}

async fn a_store_is_filled_with_connections_that_live_and_end(kit: Kit) {
    kit.fill(0..10).await;
    let there = kit.active("a", "dc-acme", Some("alice")).await;
    kit.fill(10..20).await;
    for id in [filled(0), filled(9), filled(10), filled(19), there] {
        assert_eq!(kit.connection(&id).await.state, State::Active, "{id}");
        assert_eq!(kit.end(&id, Cause::Recipient, None).await, EndOutcome::Ended, "{id}");
    }
}

/// Bytes in SQLite's log since it was last emptied.
fn logged(file: &Path) -> u64 {
    std::fs::metadata(file.with_extension("db-wal")).map_or(0, |log| log.len())
}

/// What an end writes, once the log has been emptied.
async fn written_by_an_end(kit: &Kit, id: &ConnectionId) -> u64 {
    let Location::Sqlite(file) = kit.location.clone() else { panic!("SQLite alone has a log of its own") };
    while logged(&file) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kit.end(id, Cause::Recipient, None).await, EndOutcome::Ended);
    logged(&file)
}

/// A page with its header in the log.
const PAGE: u64 = 4096 + 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_writes_no_more_in_a_large_store_than_in_a_small_one() {
    let kit = Kit::sqlite().await;
    kit.fill(0..50).await;
    let small = written_by_an_end(&kit, &filled(25)).await;
    kit.fill(50..20_000).await;
    let large = written_by_an_end(&kit, &filled(10_000)).await;
    assert!(small > 5 * PAGE, "{small} bytes are no end");
    // Each of the trees may have its leaf and its root apart, and a leaf may have to be split.
    assert!(large <= small + 6 * PAGE, "{small} bytes among 50 connections, {large} among 20,000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_writes_no_more_behind_many_refreshes_than_behind_none() {
    let mut kit = Kit::sqlite().await;
    let fresh = kit.active("fresh", "dc-acme", Some("alice")).await;
    let often = kit.active("often", "dc-acme", Some("bob")).await;
    let stored: TokenHash = hash("refresh-often");
    for _ in 0..1_000 {
        kit.advance(Duration::from_secs(1));
        let used = RecordRefreshUse { moment: kit.moment(), stored: stored.clone(), current: stored.clone() };
        kit.store.run(used).await.unwrap();
    }
    let fresh = written_by_an_end(&kit, &fresh).await;
    let often = written_by_an_end(&kit, &often).await;
    assert!(often <= fresh + PAGE, "{fresh} bytes behind no refresh, {often} behind a thousand");
}
