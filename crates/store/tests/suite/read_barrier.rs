//! Tests of the barrier on PostgreSQL, with which a node learns what other nodes and programs have committed.

use std::collections::BTreeMap;

use domain::id::ConnectionId;
use domain::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use domain::model::registration::RegistrationState;
use store::command::Purge;
use store::query::{FindRefreshToken, GetAccessState};
use store::{Location, PostgresSettings, StoreError};
use tokio_postgres::Client;

use crate::access_map::{ask, stats, warm_up};
use crate::support::{TestStore, connect, hashes, replace_ids};

async fn connect_to(kit: &TestStore) -> Client {
    let Location::Postgres(PostgresSettings { url, .. }) = kit.location.clone() else { panic!("PostgreSQL") };
    connect(url.expose()).await
}

/// Returns whether a question is answered from memory.
async fn is_in_memory(kit: &TestStore, id: &ConnectionId) -> bool {
    let before = stats(kit);
    ask(kit, id).await;
    stats(kit).hits > before.hits
}

async fn open_with_connection() -> (TestStore, ConnectionId) {
    let kit = TestStore::open_postgres().await;
    let id = kit.create_active_connection("a", "dc-acme", None).await;
    warm_up(&kit, &id).await;
    (kit, id)
}

fn update_revocation(id: &ConnectionId) -> String {
    replace_ids(&format!("UPDATE connections SET provider_revocation = 'unknown' WHERE id = id'{id}'"), false)
}

/// The number of its transaction is lower than those of transactions that previous barriers have seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_commit_of_a_long_transaction_is_seen_by_next_question() {
    let (kit, id) = open_with_connection().await;
    let other = connect_to(&kit).await;
    other.batch_execute(&format!("BEGIN; SAVEPOINT s; {}; RELEASE s", update_revocation(&id))).await.unwrap();
    for round in 0..5 {
        kit.create_active_connection(&format!("n{round}"), "dc-other", None).await;
        assert!(is_in_memory(&kit, &id).await, "the transaction has not committed");
    }

    other.batch_execute("COMMIT").await.unwrap();

    assert_eq!(ask(&kit, &id).await.provider_revocation, UpstreamRevocation::Unknown);
}

/// The tables whose rows are kept in memory, each with a condition that finds the row of the only connection.
const TABLES: [(&str, &str); 6] = [
    ("connections", "true"),
    ("connection_terms", "true"),
    ("clients", "id = id'dc-acme'"),
    ("registrations", "client_id = id'dc-acme'"),
    ("providers", "id = 1000"),
    ("refresh_tokens", "true"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_of_every_table_by_another_program_is_seen() {
    let (kit, _) = open_with_connection().await;
    let token = FindRefreshToken { hashes: hashes("refresh-a") };
    for (table, condition) in TABLES {
        for _ in 0..2 {
            kit.store.query(&token).await.unwrap().unwrap();
        }
        let before = stats(&kit);
        kit.store.query(&token).await.unwrap().unwrap();
        assert_eq!(stats(&kit).hits - before.hits, 1, "{table}: the rows are in memory");

        kit.execute_sql(&format!("UPDATE {table} SET mac = mac WHERE {condition}")).await;

        kit.store.query(&token).await.unwrap().unwrap();
        assert_eq!(stats(&kit).misses - before.misses, 1, "{table}: the change was not seen");
    }

    for _ in 0..2 {
        kit.store.query(&token).await.unwrap().unwrap();
    }
    // A session whose search path does not contain the schema can change rows too.
    kit.execute_sql("SET search_path = pg_catalog; TRUNCATE public.refresh_tokens").await;
    assert!(kit.store.query(&token).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_record_updates_deletions_and_truncations() {
    let (insert, delete, update, truncate) = (4, 8, 16, 32);
    let kit = TestStore::open_postgres().await;

    let triggers = "SELECT tgrelid::regclass::text, bit_or(tgtype::int) FROM pg_trigger WHERE NOT tgisinternal GROUP BY 1";
    let rows = connect_to(&kit).await.query(triggers, &[]).await.unwrap();

    let recorded: BTreeMap<String, i32> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let events = |table| match table {
        // Only of registrations is the absence kept in memory.
        "registrations" => insert | update | delete | truncate,
        _ => update | delete | truncate,
    };
    let mut expected: BTreeMap<String, i32> =
        TABLES.iter().map(|(table, _)| ((*table).to_owned(), events(table))).collect();
    expected.insert("changes".into(), delete | truncate);
    assert_eq!(recorded, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_that_was_absent_is_seen() {
    let kit = TestStore::open_postgres().await;
    let id = kit.create_active_connection("a", "dc-acme", None).await;
    kit.execute_sql(
        "CREATE TABLE saved AS SELECT * FROM registrations;
         DELETE FROM registrations WHERE client_id = id'dc-acme'",
    )
    .await;
    warm_up(&kit, &id).await;
    assert!(is_in_memory(&kit, &id).await);
    assert_eq!(ask(&kit, &id).await.registration_state, None);

    kit.execute_sql("INSERT INTO registrations SELECT * FROM saved WHERE client_id = id'dc-acme'").await;

    assert_eq!(ask(&kit, &id).await.registration_state, Some(RegistrationState::Active));
}

async fn purge(kit: &TestStore) {
    while kit.store.run(Purge { moment: kit.next_moment(), limit: 100 }).await.unwrap() == 100 {}
}

/// Counts the changes of rows, without the deletions of changes.
async fn count_changes(kit: &TestStore) -> i64 {
    let count = "SELECT count(*) FROM changes WHERE kind <> 'deleted'";
    connect_to(kit).await.query_one(count, &[]).await.unwrap().get(0)
}

/// A node that asked nothing while changes were recorded and deleted must not miss them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purged_changes_empty_the_memory_of_a_silent_node() {
    let (kit, id) = open_with_connection().await;
    let silent = TestStore::reopen(kit.location.clone(), None).await;
    warm_up(&silent, &id).await;
    purge(&kit).await;
    assert!(count_changes(&kit).await > 0, "recent changes are kept");

    kit.execute_sql(&update_revocation(&id)).await;
    kit.execute_sql("UPDATE changes SET changed_at = changed_at - 3600000").await;
    // Transactions of other tests delay the deletion, because the server numbers those of all databases together.
    while count_changes(&kit).await > 0 {
        purge(&kit).await;
    }

    assert_eq!(ask(&silent, &id).await.provider_revocation, UpstreamRevocation::Unknown);
}

/// The transactions of another server may have higher numbers than those of this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_copied_database_are_purged() {
    let (kit, id) = open_with_connection().await;
    kit.execute_sql("INSERT INTO changes (xid, changed_at, kind, id) VALUES ('9000000000000', 0, 'all', '')")
        .await;
    ask(&kit, &id).await;
    assert!(!is_in_memory(&kit, &id).await, "the change is in each barrier");

    purge(&kit).await;

    warm_up(&kit, &id).await;
    assert!(is_in_memory(&kit, &id).await);
}

/// After a crash of the server, or a fail-over, transactions may have numbers that an earlier snapshot contains, so their changes
/// are not found. Such a change is simulated: its triggers do not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_session_begins_with_an_empty_memory() {
    let (kit, id) = open_with_connection().await;
    let other = connect_to(&kit).await;
    let unrecorded = format!("SET session_replication_role = replica; {}", update_revocation(&id));
    other.batch_execute(&unrecorded).await.unwrap();
    let before = ask(&kit, &id).await.provider_revocation;
    assert_ne!(before, UpstreamRevocation::Unknown, "the same session does not see the change");

    let terminate = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    other.batch_execute(terminate).await.unwrap();
    // A request on a session that was just closed gets 503.
    let state = loop {
        match kit.store.query(&GetAccessState { connection_id: id.clone() }).await {
            Ok(state) => break state.unwrap(),
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };

    assert_eq!(state.provider_revocation, UpstreamRevocation::Unknown);
}

/// One node asks all the time while another one ends connections: each end must be seen by the next question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_on_other_node_is_seen_by_next_question() {
    let kit = TestStore::open_postgres().await;
    let other = TestStore::reopen(kit.location.clone(), None).await;
    for round in 0..100 {
        let id = kit.create_active_connection(&format!("n{round}"), "dc-acme", None).await;
        let questions = (0..8).map(|_| warm_up(&other, &id));
        futures_util::future::join_all(questions).await;

        let end = kit.end_connection(&id, EndCause::Recipient, None);
        // Questions that wait for barriers while the end is committed must not hide it.
        futures_util::future::join(end, warm_up(&other, &id)).await;

        assert_eq!(ask(&other, &id).await.status, ConnectionStatus::Revoked, "round {round}");
        let token =
            other.store.query(&FindRefreshToken { hashes: hashes(&format!("refresh-n{round}")) }).await;
        let status = token.unwrap().map(|token| token.access_state.status);
        assert!(status.is_none_or(|status| status == ConnectionStatus::Revoked), "round {round}");
    }
    assert!(stats(&other).hits > 100, "{:?}", stats(&other));
}
