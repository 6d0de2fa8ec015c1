//! Tests of a database that cannot be written, and of a weak `synchronous_commit`, which each session overrides.

use store::{Location, PostgresSettings, Store, StoreError, StorePurpose, StoreSettings};

use crate::support::{NODE_LEASE, TestStore, connect, store_keys, uptime};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_postgres_is_rejected() {
    let kit = TestStore::open_postgres().await;
    let Location::Postgres(PostgresSettings { url, .. }) = &kit.location else { panic!("PostgreSQL") };
    let (_, name) = url.expose().rsplit_once('/').unwrap();
    for (key, value, expected_message) in [
        ("default_transaction_read_only", "on", Some("standby or read-only")),
        // Each session sets this itself.
        ("synchronous_commit", "off", None),
    ] {
        let client = connect(url.expose()).await;
        client.batch_execute(&format!("ALTER DATABASE {name} SET {key} = '{value}'")).await.unwrap();
        let location = kit.location.clone();
        let opened = Store::open(StoreSettings {
            location,
            connections: 1,
            queue_capacity: 1,
            access_map_bytes: 0,
            node_lease: NODE_LEASE,
            uptime: uptime(),
            keys: store_keys(),
        })
        .await
        .err();
        let migrated = Store::migrate(&kit.location, StorePurpose::Hub).await.err();
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
