//! A database that may lose what it acknowledged is refused.

use store::{Location, Settings, Store, StoreError};

use crate::kit::{Kit, audit_key, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_may_lose_commits_is_refused() {
    let kit = Kit::postgres().await;
    let Location::Postgres(url) = &kit.location else { panic!("PostgreSQL") };
    let (_, name) = url.expose().rsplit_once('/').unwrap();
    for (key, value, said) in [
        ("synchronous_commit", "off", Some("synchronous_commit is off")),
        ("synchronous_commit", "local", Some("synchronous_commit is local")),
        ("default_transaction_read_only", "on", Some("standby or read-only")),
        ("synchronous_commit", "remote_write", None),
        ("synchronous_commit", "on", None),
    ] {
        let client = connect(url.expose()).await;
        client.batch_execute(&format!("ALTER DATABASE {name} SET {key} = '{value}'")).await.unwrap();
        let (location, audit_key) = (kit.location.clone(), audit_key());
        let opened = Store::open(Settings { location, connections: 1, queue: 1, audit_key }).await.err();
        let migrated = Store::migrate(&kit.location).await.err();
        client.batch_execute(&format!("ALTER DATABASE {name} RESET {key}")).await.unwrap();
        for refused in [opened, migrated] {
            match (said, refused) {
                (None, None) => {}
                (Some(said), Some(StoreError::Unfit(why))) => assert!(why.contains(said), "{why}"),
                (_, other) => panic!("{key} = {value}: {other:?}"),
            }
        }
    }
}
