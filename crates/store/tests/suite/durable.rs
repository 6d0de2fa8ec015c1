//! A test that the store does not open on a database that may lose acknowledged commits.

use store::{Location, Store, StoreError, StoreSettings};

use crate::support::{TestStore, audit_key, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_may_lose_commits_is_rejected() {
    let kit = TestStore::open_postgres().await;
    let Location::Postgres(url) = &kit.location else { panic!("PostgreSQL") };
    let (_, name) = url.expose().rsplit_once('/').unwrap();
    for (key, value, expected_message) in [
        ("synchronous_commit", "off", Some("synchronous_commit is off")),
        ("synchronous_commit", "local", Some("synchronous_commit is local")),
        ("default_transaction_read_only", "on", Some("standby or read-only")),
        ("synchronous_commit", "remote_write", None),
        ("synchronous_commit", "on", None),
    ] {
        let client = connect(url.expose()).await;
        client.batch_execute(&format!("ALTER DATABASE {name} SET {key} = '{value}'")).await.unwrap();
        let (location, audit_key) = (kit.location.clone(), audit_key());
        let opened =
            Store::open(StoreSettings { location, connections: 1, queue_capacity: 1, audit_key }).await.err();
        let migrated = Store::migrate(&kit.location).await.err();
        client.batch_execute(&format!("ALTER DATABASE {name} RESET {key}")).await.unwrap();
        for refused in [opened, migrated] {
            match (expected_message, refused) {
                (None, None) => {}
                (Some(said), Some(StoreError::Incompatible(message))) => {
                    assert!(message.contains(said), "{message}");
                }
                (_, other) => panic!("{key} = {value}: {other:?}"),
            }
        }
    }
}
