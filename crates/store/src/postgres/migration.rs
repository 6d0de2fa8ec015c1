//! Applies pending migrations to a PostgreSQL database, one process at a time.

use super::session::open_session;
use crate::error::Result;
use crate::migrate::{CREATE_MIGRATIONS_TABLE, Migration, POSTGRES_MIGRATIONS, list_pending_migrations};
use crate::settings::PostgresSettings;

/// The key of the advisory lock that allows only one process at a time to migrate: "bowline" in ASCII.
const MIGRATION_LOCK: i64 = 0x0062_6f77_6c69_6e65;

/// Applies pending migrations, in one transaction.
pub(crate) async fn migrate(settings: &PostgresSettings) -> Result<Vec<Migration>> {
    // No limits: a migration of a large table takes long, and waits for another process that migrates.
    let mut session = open_session(settings, None, 0).await?;
    // A pooler in transaction mode is recognised when a second session has changed the settings of the first one. A
    // migration would work there, but the hub would not.
    let second = open_session(settings, None, 0).await?;
    session.verify().await?;
    drop(second);
    let tx = session.begin().await?;
    // The lock is released with the transaction. A table cannot be locked instead, because there may be none yet.
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    tx.batch_execute(CREATE_MIGRATIONS_TABLE).await?;
    let applied = load_applied_migrations(tx.client()).await?;
    let pending = list_pending_migrations(POSTGRES_MIGRATIONS, &applied)?;
    for migration in &pending {
        tx.batch_execute(migration.sql).await?;
        tx.execute(
            "INSERT INTO schema_migrations (version, name, digest) VALUES ($1, $2, $3)",
            &[&migration.version, &migration.name, &migration.digest()],
        )
        .await?;
    }
    tx.commit().await?;
    Ok(pending)
}

/// Returns the version and digest of each applied migration, or an empty list if the database has no schema yet.
pub(super) async fn load_applied_migrations(client: &tokio_postgres::Client) -> Result<Vec<(i64, String)>> {
    let query = "SELECT to_regclass('schema_migrations') IS NOT NULL AS is_present";
    if !client.query_one(query, &[]).await?.get::<_, bool>("is_present") {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT version, digest FROM schema_migrations ORDER BY version", &[]).await?;
    Ok(rows.iter().map(|row| (row.get("version"), row.get("digest"))).collect())
}
