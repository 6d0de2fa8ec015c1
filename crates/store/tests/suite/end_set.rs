//! Tests of ends that run as a set, and of the pages that a set writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::connection::{ConnectionState, EndCause, UpstreamRevocation};
use futures_util::future::{join, join_all};
use store::command::{EndConnection, EndOutcome, JobQueueDemand, RedeemOutcome};
use store::query::GetWriteCounters;
use store::{Location, PostgresSettings, StoreError};

use crate::job::{REVOCATIONS, lease_jobs};
use crate::support::{TestStore, connect, connection_id, on_both, operator_actor, replace_ids};
use crate::write_amplification::{filled_connection_id, read_logged_pages, wait_for_empty_log};

on_both!(
    concurrent_ends_each_get_their_own_outcome,
    ends_of_shared_grants_revoke_only_with_the_last,
    changed_connection_does_not_affect_other_ends_of_its_set,
    large_set_of_ends_succeeds_on_new_sessions,
);

/// The rows of a large set exceed what a client of PostgreSQL buffers, and on a new session each statement is prepared first.
async fn large_set_of_ends_succeeds_on_new_sessions(kit: TestStore) {
    kit.fill_connections(0..60).await;
    let ids: Vec<_> = (0..60).map(filled_connection_id).collect();

    let outcomes = join_all(ids.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None))).await;

    assert!(
        outcomes.iter().all(|outcome| *outcome == EndOutcome::Ended(EndCause::Recipient)),
        "{outcomes:?}"
    );
}

async fn concurrent_ends_each_get_their_own_outcome(kit: TestStore) {
    let mut active = Vec::new();
    for n in 0..20 {
        active.push(kit.create_active_connection(&format!("n{n}"), "dc-acme", Some(&format!("c{n}"))).await);
    }
    kit.end_connection(&active[0], EndCause::Operator, None).await;
    let unknown = connection_id("unknown");

    let ends = active[1..].iter().map(|id| kit.end_connection(id, EndCause::Recipient, None));
    let repeated = [&active[1], &active[0], &unknown];
    let repeated = repeated.into_iter().map(|id| kit.end_connection(id, EndCause::Customer, None));
    let outcomes = join_all(ends.chain(repeated)).await;
    let fenced = kit.create_active_connection("fenced", "dc-acme", Some("fenced")).await;
    let stale = join_all((0..3).map(|n| kit.end_connection(&fenced, EndCause::Provider, Some(n)))).await;

    let (ended, repeated) = outcomes.split_at(19);
    assert!(ended.iter().all(|outcome| *outcome == EndOutcome::Ended(EndCause::Recipient)), "{ended:?}");
    let cause_of_previous = |outcome: &EndOutcome| match outcome {
        EndOutcome::AlreadyEnded(end) => Some(end.cause),
        _ => None,
    };
    assert_eq!(cause_of_previous(&repeated[0]), Some(EndCause::Recipient));
    assert_eq!(cause_of_previous(&repeated[1]), Some(EndCause::Operator));
    assert_eq!(repeated[2], EndOutcome::NotFound);
    assert_eq!(stale[0], EndOutcome::Fenced);
    assert_eq!(stale[1], EndOutcome::Ended(EndCause::Provider));
    for id in &active {
        let words = kit.connection_audit_actions(id).await;
        assert_eq!(words, ["connection.opened", "connection.activated", "connection.ended"], "{id}");
    }
    let demands = [JobQueueDemand { queue: REVOCATIONS, limit: 100 }];
    let jobs = lease_jobs(&kit, &demands).await;
    let revoked: BTreeSet<ConnectionId> =
        jobs.into_iter().filter_map(|leased| leased.job.connection_id).collect();
    assert_eq!(revoked, active.iter().chain([&fenced]).cloned().collect(), "each end queues its own job");
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, 21);
}

async fn ends_of_shared_grants_revoke_only_with_the_last(kit: TestStore) {
    kit.share_grants().await;
    let mut siblings = Vec::new();
    for n in 0..4 {
        let [first, second] = [("a", "dc-acme"), ("b", "dc-other")];
        for (name, client) in [first, second] {
            let (name, customer) = (format!("{name}{n}"), format!("customer {n}"));
            siblings.push(kit.create_active_connection(&name, client, Some(&customer)).await);
        }
    }

    let ends = siblings.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None));
    join_all(ends).await;

    // Of two connections with one grant, the one that ends last revokes it.
    for pair in siblings.chunks(2) {
        let mut revocations = Vec::new();
        for id in pair {
            revocations.push(kit.get_connection(id).await.provider_revocation);
        }
        revocations.sort_by_key(|revocation| revocation.as_str());
        assert_eq!(revocations, [UpstreamRevocation::NotNeeded, UpstreamRevocation::Pending], "{pair:?}");
    }
}

/// Waits until a session of the database waits for a lock.
async fn wait_for_blocked_session(observer: &tokio_postgres::Client) {
    let blocked =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while observer.query(blocked, &[]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// A connection that another transaction has locked must not delay the others of its set. Its own end must revoke the token
/// that the other transaction has stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_that_waited_for_a_lock_revokes_the_new_token() {
    let kit = TestStore::open_postgres().await;
    let locked = kit.create_active_connection("locked", "dc-acme", Some("alice")).await;
    let mut others = Vec::new();
    for n in 0..6 {
        others.push(kit.create_active_connection(&format!("n{n}"), "dc-acme", Some(&format!("c{n}"))).await);
    }
    let Location::Postgres(PostgresSettings { url, .. }) = kit.location.clone() else { panic!("PostgreSQL") };
    let (refresh, observer) = (connect(url.expose()).await, connect(url.expose()).await);
    let lock = format!("BEGIN; SELECT 1 FROM connections WHERE id = id'{locked}' FOR UPDATE");
    refresh.batch_execute(&replace_ids(&lock, false)).await.unwrap();

    let waiting = kit.end_connection(&locked, EndCause::Recipient, None);
    let mut waiting = std::pin::pin!(waiting);
    let ends = join_all(others.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None)));
    // What the other end reads before it waits must not count, so the new token is stored only when it waits.
    let ends = async { join(ends, wait_for_blocked_session(&observer)).await.0 };
    let ended = tokio::select! {
        ended = ends => ended,
        outcome = &mut waiting => panic!("the connection is locked: {outcome:?}"),
    };
    let store = format!(
        "UPDATE connections SET refresh_key = 'new key' WHERE id = id'{locked}';
         UPDATE upstream_credentials SET refresh_token = 'new token' WHERE connection_id = id'{locked}'; COMMIT"
    );
    refresh.batch_execute(&replace_ids(&store, false)).await.unwrap();
    let outcome = waiting.await;

    assert!(ended.iter().all(|outcome| *outcome == EndOutcome::Ended(EndCause::Recipient)), "{ended:?}");
    assert_eq!(outcome, EndOutcome::Ended(EndCause::Recipient));
    let demands = [JobQueueDemand { queue: REVOCATIONS, limit: 100 }];
    let jobs = lease_jobs(&kit, &demands).await;
    let job = jobs.into_iter().find(|leased| leased.job.connection_id.as_ref() == Some(&locked)).unwrap().job;
    assert_eq!(
        (job.token.as_slice(), job.data_key.as_slice()),
        (&b"new token"[..], &b"new key"[..]),
        "the old token is revoked"
    );
}

/// The store of a test has two sessions for ends. Those that wait for locks must not use both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_that_wait_for_locks_leave_a_session_for_sets() {
    let kit = TestStore::open_postgres().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(kit.create_active_connection(&format!("n{n}"), "dc-acme", Some(&format!("c{n}"))).await);
    }
    let Location::Postgres(PostgresSettings { url, .. }) = kit.location.clone() else { panic!("PostgreSQL") };
    let (locks, observer) = (connect(url.expose()).await, connect(url.expose()).await);
    let lock = "BEGIN; SELECT 1 FROM connections WHERE id IN (id'{0}', id'{1}', id'{2}') FOR UPDATE";
    let lock = (0..3).fold(lock.to_owned(), |sql, n| sql.replace(&format!("{{{n}}}"), ids[n].as_str()));
    locks.batch_execute(&replace_ids(&lock, false)).await.unwrap();

    let waiting = join_all(ids[..3].iter().map(|id| kit.end_connection(id, EndCause::Recipient, None)));
    let mut waiting = std::pin::pin!(waiting);
    let other = async {
        wait_for_blocked_session(&observer).await;
        kit.end_connection(&ids[3], EndCause::Recipient, None).await
    };
    let outcome = tokio::select! {
        outcome = other => outcome,
        outcomes = &mut waiting => panic!("the other end waited for the locks: {outcomes:?}"),
    };
    locks.batch_execute("ROLLBACK").await.unwrap();
    let outcomes = waiting.await;

    assert_eq!(outcome, EndOutcome::Ended(EndCause::Recipient));
    assert!(outcomes.iter().all(|outcome| matches!(outcome, EndOutcome::Ended(_))), "{outcomes:?}");
}

/// A connection that another program has changed fails on its own, and the others of its set end.
async fn changed_connection_does_not_affect_other_ends_of_its_set(kit: TestStore) {
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(kit.create_active_connection(name, "dc-acme", None).await);
    }
    kit.execute_sql(&format!("UPDATE connections SET client_id = id'dc-other' WHERE id = id'{}'", ids[1]))
        .await;
    let end = |id: &ConnectionId| {
        let (moment, connection_id) = (kit.next_moment(), id.clone());
        let (cause, actor) = (EndCause::Recipient, operator_actor());
        kit.store.end_connection(EndConnection { moment, connection_id, cause, actor, fence: None })
    };

    let outcomes = join_all(ids.iter().map(end)).await;

    let is_ended = |outcome: &Result<EndOutcome, _>| matches!(outcome, Ok(EndOutcome::Ended(_)));
    assert!(is_ended(&outcomes[0]) && is_ended(&outcomes[2]), "{outcomes:?}");
    let expected = ids[1].as_str();
    assert!(
        matches!(&outcomes[1], Err(StoreError::UnverifiedRow { table: "connections", id }) if id == expected),
        "{outcomes:?}"
    );
    assert!(kit.store.unverified_rows() > 0);
}

/// The number of ends whose pages are counted.
const SET_SIZE: u64 = 16;

/// Returns the number of pages in the write-ahead log by the B-tree that they belong to.
fn count_logged_pages(file: &Path) -> BTreeMap<String, usize> {
    let database = rusqlite::Connection::open(file).unwrap();
    let mut trees = database.prepare("SELECT pageno, name FROM dbstat").unwrap();
    let trees = trees.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let trees: BTreeMap<u32, String> = trees.collect::<Result<_, _>>().unwrap();
    let mut counts = BTreeMap::new();
    for page in read_logged_pages(file) {
        let tree = trees.get(&page.number).cloned().unwrap_or_else(|| "free pages".into());
        *counts.entry(tree).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_of_ends_writes_one_random_page_each_and_few_trees() {
    let mut kit = TestStore::open_sqlite().await;
    kit.fill_connections(0..20_000).await;
    let Location::Sqlite(file) = kit.location.clone() else { panic!("SQLite") };
    let ids: Vec<_> = (1..=SET_SIZE).map(|n| filled_connection_id(n * 1_111)).collect();
    kit.advance_clock(Duration::from_millis(2));
    wait_for_empty_log(&file).await;

    let outcomes = join_all(ids.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None))).await;

    let mut pages = count_logged_pages(&file);
    // The first page contains the size of the file. It belongs to the tree of the schema, which does not change.
    assert_eq!(pages.remove("sqlite_schema"), Some(1), "{pages:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, EndOutcome::Ended(_))), "{outcomes:?}");
    for id in &ids {
        assert!(matches!(kit.get_connection(id).await.state, ConnectionState::Ended(_)));
    }
    assert_eq!(pages.get("connections"), Some(&16), "one page for each connection: {pages:?}");
    let unchanged = [
        "connections_",
        "sqlite_autoindex_connections",
        "upstream_credentials",
        "refresh_tokens",
        "newest_connections",
        "customers",
    ];
    assert!(!pages.keys().any(|tree| unchanged.iter().any(|name| tree.starts_with(name))), "{pages:?}");
    assert!(pages.len() <= 8, "an end changes few B-trees: {pages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_of_code_exchanges_writes_few_trees() {
    let kit = TestStore::open_sqlite().await;
    kit.fill_connections(0..20_000).await;
    let Location::Sqlite(file) = kit.location.clone() else { panic!("SQLite") };
    let names: Vec<_> = (0..SET_SIZE).map(|n| format!("n{n}")).collect();
    for name in &names {
        kit.create_pending_connection(name, "dc-acme", Some(name)).await;
    }
    wait_for_empty_log(&file).await;

    let outcomes = join_all(names.iter().map(|name| kit.redeem_code(name, "dc-acme"))).await;

    let pages = count_logged_pages(&file);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RedeemOutcome::Activated(_))), "{outcomes:?}");
    assert!(pages.len() <= 16, "a code exchange changes few B-trees: {pages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_of_ends_on_postgres_updates_no_index() {
    const ENDS: u64 = 200;
    let kit = TestStore::open_postgres().await;
    kit.fill_connections(0..2_000).await;
    let ids: Vec<_> = (1..=ENDS).map(|n| filled_connection_id(n * 7)).collect();

    for set in ids.chunks(16) {
        join_all(set.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None))).await;
    }

    // A session publishes its numbers only some time after its transactions.
    let mut poll = tokio::time::interval(Duration::from_millis(200));
    let counters = loop {
        poll.tick().await;
        let counters = kit.store.query(&GetWriteCounters).await.unwrap().unwrap();
        if counters.row_updates >= i64::try_from(ENDS).unwrap() {
            break counters;
        }
    };
    assert!(counters.hot_updates * 100 >= counters.row_updates * 95, "{counters:?}");
}
