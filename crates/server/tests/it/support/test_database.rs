//! Databases of the tests on PostgreSQL.

use std::sync::atomic::{AtomicU32, Ordering};

/// Creates a database on the PostgreSQL cluster on disk, and returns its URL.
pub(crate) async fn create_durable_database() -> String {
    create_database_at("BOWLINE_TEST_POSTGRES_DURABLE").await
}

/// Creates a database on the PostgreSQL cluster in memory, and returns its URL.
pub(crate) async fn create_database() -> String {
    create_database_at("BOWLINE_TEST_POSTGRES").await
}

async fn create_database_at(variable: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let url = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} names a PostgreSQL: `cargo xtask test` starts one"));
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("it_{}_{number}", std::process::id());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    format!("{}/{name}", url.rsplit_once('/').unwrap().0)
}
