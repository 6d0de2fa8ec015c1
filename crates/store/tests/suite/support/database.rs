//! Databases of the tests on PostgreSQL.

use std::sync::atomic::{AtomicU64, Ordering};

use store::Location;

/// Creates a database on the PostgreSQL cluster whose data is in memory, which is fast.
pub(crate) async fn create_database() -> Location {
    create_database_on("BOWLINE_TEST_POSTGRES").await
}

/// Creates a database on the PostgreSQL cluster whose data is on disk.
pub(crate) async fn create_durable_database() -> Location {
    create_database_on("BOWLINE_TEST_POSTGRES_DURABLE").await
}

async fn create_database_on(variable: &str) -> Location {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let url = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} names a PostgreSQL: `cargo xtask test` starts one"));
    let name = format!("suite_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let client = connect(&url).await;
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    Location::parse(&format!("{server}/{name}")).unwrap()
}

pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
