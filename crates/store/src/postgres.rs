//! PostgreSQL: a task a command, its first statement in one flight with `BEGIN`, its last with `COMMIT`.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use domain::id::Seed;
use domain::model::audit_event::AuditKey;
use domain::{Moment, Secret, Timestamp};
use futures_util::future;
use tokio_postgres::{NoTls, types::ToSql};

use crate::error::{Result, StoreError};
use crate::migrate::{self, Migration};
use crate::sql::Sql;
use crate::value::{Row, Value};
use crate::{Command, Query, StoreSettings, Tx};

/// How often a command runs again after another transaction was in the way.
const MAX_ATTEMPTS: usize = 8;
/// Two nodes that migrate at once take turns under this advisory lock.
const MIGRATION_LOCK: i64 = 0x0062_6f77_6c69_6e65;

pub(crate) struct Postgres {
    pool: Pool,
    audit_key: AuditKey,
}

impl Postgres {
    pub(crate) async fn open(url: &Secret<String>, settings: &StoreSettings) -> Result<Self> {
        let config: tokio_postgres::Config = url
            .expose()
            .parse()
            .map_err(|_| StoreError::Incompatible("store.url is not a PostgreSQL URL".into()))?;
        let manager =
            Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(settings.connections.max(2))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_secs(5)))
            .create_timeout(Some(Duration::from_secs(5)))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    ensure_durable(client).await.map_err(|error| HookError::message(error.to_string()))
                })
            }))
            .build()
            .map_err(StoreError::internal)?;
        let client = pool.get().await?;
        migrate::ensure_up_to_date(migrate::POSTGRES_MIGRATIONS, &load_applied_migrations(&client).await?)?;
        Ok(Self { pool, audit_key: settings.audit_key.clone() })
    }

    /// Runs on a task of its own, so that a caller who goes away cannot leave a commit without its marks.
    pub(crate) async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        let (pool, key) = (self.pool.clone(), self.audit_key.clone());
        let task = tokio::spawn(async move {
            for _ in 1..MAX_ATTEMPTS {
                match run_once(&pool, &key, &command).await {
                    Err(StoreError::Conflict) => {}
                    done => return done,
                }
            }
            run_once(&pool, &key, &command).await
        });
        task.await.unwrap_or_else(|_| Err(StoreError::Internal("a command panicked".into())))
    }

    pub(crate) async fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        let client = self.pool.get().await?;
        let moment = Moment { now: Timestamp::EPOCH, seed: Seed::new([0; 16]), correlation_id: "".into() };
        let mut tx =
            Tx::for_postgres(PostgresTx { client: &client, has_begun: true }, &self.audit_key, &moment);
        query.run(&mut tx).await
    }

    pub(crate) async fn clock_offset_ms(&self, now: Timestamp) -> Result<i64> {
        let client = self.pool.get().await?;
        let row =
            client.query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT", &[]).await?;
        Ok(row.get::<_, i64>(0) - now.millis())
    }

    pub(crate) async fn explain(&self, sql: &'static Sql) -> Result<String> {
        let client = self.pool.get().await?;
        client.batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await?;
        client.batch_execute(&format!("PREPARE plan AS {}", sql.postgres)).await?;
        let nulls = vec!["NULL"; sql.params].join(", ");
        let call = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
        let lines = client.simple_query(&format!("EXPLAIN EXECUTE plan{call}")).await?;
        client.batch_execute("DEALLOCATE plan; RESET enable_seqscan; RESET plan_cache_mode").await?;
        let text = lines.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(text.collect::<Vec<_>>().join("\n"))
    }
}

async fn run_once<C: Command>(pool: &Pool, key: &AuditKey, command: &C) -> Result<C::Reply> {
    let client = pool.get().await?;
    let mut tx = Tx::for_postgres(PostgresTx { client: &client, has_begun: false }, key, command.moment());
    let result = match command.run(&mut tx).await {
        Ok(reply) => match tx.finish() {
            Ok((deferred, _effects)) => commit(&client, &deferred).await.map(|()| reply),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    if result.is_err() && client.batch_execute("ROLLBACK").await.is_err() {
        let _ = Object::take(client); // a connection in an unknown state is not used again
    }
    result
}

/// What was deferred and the commit, in one flight. `COMMIT` of a failed transaction rolls back.
async fn commit(client: &Object, deferred: &[(&'static Sql, Vec<Value>)]) -> Result<()> {
    let statements =
        future::try_join_all(deferred.iter().map(|(sql, _)| client.prepare_cached(sql.postgres))).await?;
    let bound: Vec<_> = deferred.iter().map(|(_, params)| to_sql_params(params)).collect();
    let writes = future::join_all(statements.iter().zip(&bound).map(|(s, params)| client.execute(s, params)));
    let (writes, committed) = future::join(writes, client.batch_execute("COMMIT")).await;
    writes.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(committed?)
}

fn to_sql_params(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|p| p as &(dyn ToSql + Sync)).collect()
}

/// PostgreSQL's side of a transaction.
pub(crate) struct PostgresTx<'a> {
    client: &'a Object,
    has_begun: bool,
}

impl PostgresTx<'_> {
    pub(crate) async fn query(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        let statement = self.client.prepare_cached(sql.postgres).await?;
        let params = to_sql_params(params);
        let rows = self.with_begin(self.client.query(&statement, &params)).await?;
        rows.iter().map(convert_row).collect()
    }

    pub(crate) async fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        let statement = self.client.prepare_cached(sql.postgres).await?;
        let params = to_sql_params(params);
        self.with_begin(self.client.execute(&statement, &params)).await
    }

    async fn with_begin<T>(
        &mut self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(statement.await?);
        }
        let begin = self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED");
        let (opened, result) = future::join(begin, statement).await;
        opened?;
        Ok(result?)
    }
}

fn convert_row(row: &tokio_postgres::Row) -> Result<Row> {
    let values = (0..row.len()).map(|n| row.try_get(n)).collect::<Result<Vec<Value>, _>>()?;
    Ok(Row::new(values))
}

/// Sets and checks what durability rests on.
async fn ensure_durable(client: &tokio_postgres::Client) -> Result<()> {
    client
        .batch_execute("SET default_transaction_isolation = 'read committed'; SET timezone = 'UTC'")
        .await?;
    let row = client
        .query_one(
            "SELECT current_setting('synchronous_commit'), pg_is_in_recovery(),
                    current_setting('default_transaction_read_only')",
            &[],
        )
        .await?;
    let (sync, standby, read_only): (String, bool, String) = (row.get(0), row.get(1), row.get(2));
    if standby || read_only == "on" {
        return Err(StoreError::Incompatible(
            "this PostgreSQL is a standby or read-only; the primary is needed".into(),
        ));
    }
    match sync.as_str() {
        "on" | "remote_write" | "remote_apply" => Ok(()),
        weak => Err(StoreError::Incompatible(format!(
            "synchronous_commit is {weak}: a commit would be lost in a crash; set it to on"
        ))),
    }
}

async fn load_applied_migrations(client: &tokio_postgres::Client) -> Result<Vec<(i64, String)>> {
    let exists = client.query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await?;
    if !exists.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT version, digest FROM schema_migrations ORDER BY version", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Brings the schema up to date, one node at a time.
pub(crate) async fn migrate(url: &Secret<String>) -> Result<Vec<Migration>> {
    let (mut client, connection) = tokio_postgres::connect(url.expose(), NoTls).await?;
    let driver = tokio::spawn(connection);
    ensure_durable(&client).await?;
    let tx = client.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    tx.batch_execute(migrate::CREATE_MIGRATIONS_TABLE).await?;
    let pending = migrate::list_pending_migrations(
        migrate::POSTGRES_MIGRATIONS,
        &load_applied_migrations(tx.client()).await?,
    )?;
    for migration in &pending {
        tx.batch_execute(migration.sql).await?;
        tx.execute(
            "INSERT INTO schema_migrations (version, name, digest) VALUES ($1, $2, $3)",
            &[&migration.version, &migration.name, &migration.digest()],
        )
        .await?;
    }
    tx.commit().await?;
    drop(client);
    let _ = driver.await;
    Ok(pending)
}
