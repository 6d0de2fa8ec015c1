//! Tests that the schemas of both databases are equal, and that every statement on a hot path uses an index.

use std::collections::BTreeMap;

use store::query::hot_statements;
use store::{Location, PostgresSettings};

use crate::support::{TestStore, connect, on_both};

on_both!(hot_statements_use_an_index, job_queues_are_read_through_the_index_of_due_jobs);

async fn hot_statements_use_an_index(kit: TestStore) {
    let statements = hot_statements();
    assert!(statements.len() > 20);
    for statement in statements {
        let plan = kit.store.explain(&statement).await.unwrap();
        let scans = plan.lines().filter(|line| {
            let line = line.trim();
            // The rows that a recursive statement has found so far are not a table.
            let is_chain = line == "SCAN c" || line == "SCAN chain";
            line.contains("Seq Scan") || line.starts_with("SCAN ") && !line.contains("USING") && !is_chain
        });
        assert_eq!(scans.count(), 0, "{plan}");
    }
}

/// The check for failed jobs and exchanges that delay the deletion of a client must use the indexes on the recipient.
#[tokio::test]
async fn deletion_check_uses_indexes_of_the_recipient() {
    let kit = TestStore::open_sqlite().await;
    let mut plans = Vec::new();
    for statement in hot_statements() {
        plans.push(kit.store.explain(&statement).await.unwrap());
    }
    for index in
        ["INDEX jobs_failed_client (client_id=? AND provider_id=?)", "INDEX authorization_requests_client ("]
    {
        assert!(plans.iter().any(|plan| plan.contains(index)), "{index}: {plans:#?}");
    }
}

/// The cost of a search for due jobs must not depend on the number of jobs that wait for other providers.
async fn job_queues_are_read_through_the_index_of_due_jobs(kit: TestStore) {
    let mut plans = Vec::new();
    for statement in hot_statements() {
        plans.push(kit.store.explain(&statement).await.unwrap());
    }
    plans.retain(|plan| plan.contains("endpoint_group") && plan.contains("due_at"));

    assert_eq!(plans.len(), 2, "lease and search: {plans:#?}");
    for plan in plans {
        let mut conditions = plan.lines().filter(|line| line.contains("endpoint_group"));
        let is_complete = |line: &str| line.contains("provider_id") && line.contains("due_at");
        assert!(plan.contains("jobs_due") && conditions.all(is_complete), "{plan}");
        assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}

/// The columns of a schema, with table and column name as key. The value is the type, as SQLite names it, and whether
/// the column can be null.
type Columns = BTreeMap<(String, String), (String, bool)>;

#[tokio::test]
async fn sqlite_and_postgres_schemas_are_identical() {
    let (sqlite, postgres) = (TestStore::open_sqlite().await, TestStore::open_postgres().await);
    let (columns, indexes) = read_sqlite_schema(&sqlite.location);
    let (pg_columns, pg_indexes) = read_postgres_schema(&postgres.location).await;
    assert!(columns.len() > 100);
    assert_eq!(columns, pg_columns);
    assert_eq!(indexes, pg_indexes);
}

fn read_sqlite_schema(location: &Location) -> (Columns, Vec<String>) {
    let Location::Sqlite(path) = location else { panic!("SQLite") };
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut columns = connection
        .prepare(
            "SELECT t.name, c.name, c.type, c.\"notnull\" FROM sqlite_master t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'schema_migrations'",
        )
        .unwrap();
    let columns = columns
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get::<_, i64>(3)? == 0))))
        .unwrap();
    let columns = columns.collect::<Result<_, _>>().unwrap();
    let query =
        "SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut indexes = connection.prepare(query).unwrap();
    let indexes = indexes.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    (columns, indexes)
}

/// Reads the schema without the table `changes`, which only PostgreSQL has.
async fn read_postgres_schema(location: &Location) -> (Columns, Vec<String>) {
    let Location::Postgres(PostgresSettings { url, .. }) = location else { panic!("PostgreSQL") };
    let client = connect(url.expose()).await;
    let rows = client
        .query(
            "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES'
             FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT IN ('schema_migrations', 'changes')",
            &[],
        )
        .await
        .unwrap();
    let word = |kind: &str| match kind {
        "bigint" | "boolean" => "INTEGER",
        "bytea" => "BLOB",
        "text" => "TEXT",
        other => panic!("{other} is no type of the portable schema"),
    };
    let columns =
        rows.iter().map(|r| ((r.get(0), r.get(1)), (word(r.get(2)).to_owned(), r.get(3)))).collect();
    let rows = client
        .query(
            "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey'
                AND tablename <> 'changes' ORDER BY indexname",
            &[],
        )
        .await
        .unwrap();
    (columns, rows.iter().map(|row| row.get(0)).collect())
}
