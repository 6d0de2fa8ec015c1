//! The PostgreSQL backend: each command runs in its own task, on a connection of the pool.

mod connection;
mod migration;
mod transaction;

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use domain::model::audit_event::AuditKey;
use domain::{Secret, Timestamp};
use tokio_postgres::NoTls;

use crate::error::{Result, StoreError};
use crate::migrate;
use crate::operation::{Command, Query};
use crate::settings::StoreSettings;
use crate::sql::Sql;
use crate::tx::Tx;

pub(crate) use migration::migrate;
pub(crate) use transaction::PostgresTx;

/// The maximum number of attempts of a command that conflicts with other transactions.
const MAX_ATTEMPTS: usize = 8;
/// The maximum time to wait for a connection of the pool, and the maximum time to open one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// The minimum number of connections. With a single connection, one slow command would delay every query.
const MIN_CONNECTIONS: usize = 2;

pub(crate) struct Postgres {
    pool: Pool,
    audit_key: AuditKey,
}

impl Postgres {
    pub(crate) async fn open(url: &Secret<String>, settings: &StoreSettings) -> Result<Self> {
        // The parse error is dropped, because it may quote the password.
        let config: tokio_postgres::Config = url
            .expose()
            .parse()
            .map_err(|_| StoreError::Incompatible("store.url is not a PostgreSQL URL".into()))?;
        let manager =
            Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(settings.connections.max(MIN_CONNECTIONS))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .wait_timeout(Some(CONNECTION_TIMEOUT))
            .create_timeout(Some(CONNECTION_TIMEOUT))
            // Durability is checked for every new connection and not only at the start: after a failover the pool may
            // reach a server with other settings.
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    let checked = connection::ensure_durable(client).await;
                    checked.map_err(|error| HookError::message(error.to_string()))
                })
            }))
            .build()
            .map_err(StoreError::internal)?;
        let client = pool.get().await?;
        let applied = migration::load_applied_migrations(&client).await?;
        migrate::ensure_up_to_date(migrate::POSTGRES_MIGRATIONS, &applied)?;
        Ok(Self { pool, audit_key: settings.audit_key.clone() })
    }

    /// Runs a command in its own task, which completes even if the caller is cancelled, for example because its client
    /// disconnected: a cancelled transaction would leave the connection in an unknown state.
    pub(crate) async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        let (pool, key) = (self.pool.clone(), self.audit_key.clone());
        let task = tokio::spawn(async move {
            for _ in 1..MAX_ATTEMPTS {
                match run_once(&pool, &key, &command).await {
                    Err(StoreError::Conflict) => {}
                    result => return result,
                }
            }
            run_once(&pool, &key, &command).await
        });
        task.await.unwrap_or_else(|_| Err(StoreError::Internal("a command panicked".into())))
    }

    pub(crate) async fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        let client = self.pool.get().await?;
        let mut tx = Tx::for_query(PostgresTx::without_begin(&client), &self.audit_key);
        query.run(&mut tx).await
    }

    pub(crate) async fn clock_offset_ms(&self, now: Timestamp) -> Result<i64> {
        let client = self.pool.get().await?;
        let query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT AS millis";
        let row = client.query_one(query, &[]).await?;
        Ok(row.get::<_, i64>("millis") - now.millis())
    }

    pub(crate) async fn explain(&self, sql: &'static Sql) -> Result<String> {
        let client = self.pool.get().await?;
        // Sequential scans are disabled because the tables of a test are so small that the planner would prefer one.
        // The plan must be generic because a plan for `NULL` would only find that no row matches.
        client.batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await?;
        client.batch_execute(&format!("PREPARE plan AS {}", sql.postgres)).await?;
        let nulls = vec!["NULL"; sql.params].join(", ");
        let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
        let lines = client.simple_query(&format!("EXPLAIN EXECUTE plan{arguments}")).await?;
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
    let mut tx = Tx::for_command(PostgresTx::new(&client), key, command.moment());
    let result = match command.run(&mut tx).await {
        // The effects are ignored: they concern only SQLite's write-ahead log.
        Ok(reply) => match tx.finish() {
            Ok((deferred, _effects)) => transaction::commit(&client, &deferred).await.map(|()| reply),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    if result.is_err() && client.batch_execute("ROLLBACK").await.is_err() {
        // The state of the connection is unknown: remove it from the pool.
        let _ = Object::take(client);
    }
    result
}
