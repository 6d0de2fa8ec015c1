//! Applies pending migrations to a PostgreSQL database, one process at a time.

use super::session::open_session;
use crate::error::Result;
use crate::migrate::{
    CREATE_MIGRATIONS_TABLE, DatabaseContent, Migration, POSTGRES_MIGRATIONS, SANDBOX_MARK, StorePurpose,
    list_pending_migrations,
};
use crate::settings::PostgresSettings;

/// The key of the advisory lock that allows only one process at a time to migrate: "bowline" in ASCII.
const MIGRATION_LOCK: i64 = 0x0062_6f77_6c69_6e65;

/// Checks that a database may be used for a purpose, and returns whether it has no schema yet. Changes nothing.
pub(crate) async fn check_purpose(settings: &PostgresSettings, purpose: StorePurpose) -> Result<bool> {
    let session = open_session(settings, None, 0).await?;
    let content = load_content(&session).await?;
    content.ensure_purpose(purpose)?;
    Ok(content.is_new())
}

/// Applies pending migrations, in one transaction.
pub(crate) async fn migrate(settings: &PostgresSettings, purpose: StorePurpose) -> Result<Vec<Migration>> {
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
    let content = load_content(tx.client()).await?;
    content.ensure_purpose(purpose)?;
    tx.batch_execute(CREATE_MIGRATIONS_TABLE).await?;
    let pending = list_pending_migrations(POSTGRES_MIGRATIONS, &content.applied)?;
    for migration in &pending {
        tx.batch_execute(migration.sql).await?;
        tx.execute(
            "INSERT INTO schema_migrations (version, name, digest) VALUES ($1, $2, $3)",
            &[&migration.version, &migration.name, &migration.digest()],
        )
        .await?;
    }
    if content.is_new() && purpose == StorePurpose::Sandbox {
        let insert_mark = "INSERT INTO store_metadata (name, value) VALUES ($1, 'yes')";
        tx.execute(insert_mark, &[&SANDBOX_MARK]).await?;
    }
    tx.commit().await?;
    Ok(pending)
}

async fn load_content(client: &tokio_postgres::Client) -> Result<DatabaseContent> {
    let applied = load_applied_migrations(client).await?;
    if applied.is_empty() {
        // Views and tables of every schema in which an unqualified name would be found or created.
        let find_tables =
            "SELECT EXISTS (SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname = ANY (current_schemas(false)) AND relkind IN ('r', 'p', 'v', 'm', 'f')
                AND relname <> 'schema_migrations') AS has_tables";
        let has_foreign_tables = client.query_one(find_tables, &[]).await?.get("has_tables");
        return Ok(DatabaseContent { has_foreign_tables, ..DatabaseContent::default() });
    }
    let find_mark = "SELECT EXISTS (SELECT 1 FROM store_metadata WHERE name = $1) AS is_marked";
    let has_sandbox_mark = client.query_one(find_mark, &[&SANDBOX_MARK]).await?.get("is_marked");
    Ok(DatabaseContent { applied, has_sandbox_mark, has_foreign_tables: false })
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
