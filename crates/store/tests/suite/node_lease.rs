//! Tests of the lease of a node on PostgreSQL, with an uptime that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::model::connection::EndCause;
use store::query::{GetAccessState, GetConnection};
use store::{Location, PostgresSettings, Store, StoreError, StoreSettings, UptimeClock};

use crate::support::{NODE_LEASE, TestStore, connect, operator_actor, store_keys};

/// Opens a store with a lease, on a clock that the test advances.
async fn open_store(location: &Location, node_lease: Duration, uptime: &Arc<AtomicU64>) -> Store {
    let uptime = Arc::clone(uptime);
    let settings = StoreSettings {
        location: location.clone(),
        connections: 4,
        queue_capacity: 10,
        access_map_bytes: 1024 * 1024,
        node_lease,
        uptime: UptimeClock::new(move || Duration::from_millis(uptime.load(Ordering::SeqCst))),
        keys: store_keys(),
    };
    Store::open(settings).await.unwrap()
}

async fn query_postgres(location: &Location, statement: &str) -> Vec<String> {
    let Location::Postgres(PostgresSettings { url, .. }) = location else { panic!("PostgreSQL") };
    let rows = connect(url.expose()).await.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_without_lease_refuses_reads_and_ends() {
    let kit = TestStore::open_postgres().await;
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let uptime = Arc::new(AtomicU64::new(5_000));
    let store = open_store(&kit.location, NODE_LEASE, &uptime).await;
    let read = async || store.query(&GetConnection { id: id.clone() }).await.map(drop);
    let check = async || store.query(&GetAccessState { connection_id: id.clone() }).await.map(drop);
    assert!(store.has_lease() && read().await.is_ok());
    for _ in 0..4 {
        check().await.unwrap();
    }
    assert!(store.access_map_stats().hits > 0, "the next check is answered from memory");

    // The next renewal is due after a third of the lease, which the test does not last.
    uptime.store(65_000, Ordering::SeqCst);
    let end = store::command::EndConnection {
        moment: kit.next_moment(),
        connection_id: id.clone(),
        cause: EndCause::Operator,
        actor: operator_actor(),
        fence: None,
    };
    let refused = [read().await.err(), check().await.err(), store.end_connection(end).await.err()];

    assert!(!store.has_lease());
    for error in refused {
        assert!(matches!(error, Some(StoreError::Unavailable(_))), "{error:?}");
    }
    assert_eq!(kit.find_end_cause(&id).await, None, "a node without a lease ends nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_on_new_timeline_waits_for_stored_leases() {
    let kit = TestStore::open_postgres().await;
    // The lease of the test store lasts longer than that of the node which meets the timeline.
    query_postgres(&kit.location, "UPDATE node_leases SET timeline = '1/1'").await;
    let uptime = Arc::new(AtomicU64::new(5_000));
    let (location, clock) = (kit.location.clone(), Arc::clone(&uptime));
    let mut opening =
        tokio::spawn(async move { open_store(&location, Duration::from_secs(1), &clock).await.has_lease() });

    for millis in [5_000, 5_000 + 65_999] {
        uptime.store(millis, Ordering::SeqCst);
        let early = tokio::time::timeout(Duration::from_millis(700), &mut opening).await;
        assert!(early.is_err(), "the store was opened before the lease of another node had expired");
    }
    uptime.store(5_000 + 66_000, Ordering::SeqCst);

    assert!(opening.await.unwrap());
    let timelines =
        query_postgres(&kit.location, "SELECT timeline FROM node_leases ORDER BY length(timeline)").await;
    assert!(timelines.len() == 2 && timelines[0] == "1/1" && timelines[1].ends_with("/1"), "{timelines:?}");
}
