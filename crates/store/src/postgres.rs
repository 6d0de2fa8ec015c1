//! The PostgreSQL backend: sessions in pools, one for each kind of operation, with limits for every wait.

mod commit_barrier;
mod lease_guard;
mod lease_renewal;
mod lookup_queue;
mod migration;
mod options;
mod pools;
mod query_body;
mod read_barrier;
mod session;
mod tls;
mod transaction;

use std::sync::Arc;

use domain::{Moment, Timestamp};
use tokio::task::JoinSet;

use crate::access_map::{AccessMap, AccessMapStats, Fill};
use crate::error::{Result, StoreError};
use crate::migrate;
use crate::operation::{Query, QueryKind};
use crate::settings::{PostgresSettings, StoreKeys, StoreSettings};
use crate::sql::Sql;
use crate::tx::Tx;
use crate::waiting_command::{BoxedCommand, WaitingCommand, box_command};
use commit_barrier::{CommitBarrier, WriteBarrier};
use lease_guard::LeaseGuard;
use lease_renewal::LeaseRenewal;
use lookup_queue::LookupQueues;
use pools::{Pools, SessionPool};
use query_body::{QueryBody, TypedQuery};
use read_barrier::ReadBarrier;

pub(crate) use migration::{check_purpose, migrate};
pub(crate) use transaction::PostgresTx;

/// The maximum number of attempts of a command that conflicts with other transactions.
const MAX_ATTEMPTS: usize = 8;

pub(crate) struct Postgres {
    pools: Pools,
    keys: StoreKeys,
    barrier: CommitBarrier,
    lookups: LookupQueues,
    map: Arc<AccessMap>,
    read_barrier: ReadBarrier,
    lease: Arc<LeaseGuard>,
    /// The task that renews the lease. It is aborted when this value is dropped.
    _renewal: JoinSet<()>,
}

impl Postgres {
    pub(crate) async fn open(postgres: &PostgresSettings, settings: &StoreSettings) -> Result<Self> {
        let lease = Arc::new(LeaseGuard::new(settings.node_lease, settings.uptime.clone()));
        let pools = Pools::new(postgres, settings, &lease)?;
        // The lease needs a table, so the schema is checked first.
        let session = pools.for_renewals().check_out().await?;
        let applied = migration::load_applied_migrations(&session).await?;
        migrate::ensure_up_to_date(migrate::POSTGRES_MIGRATIONS, &applied)?;
        // A pooler in transaction mode is recognised when a second session has changed the settings of the first one.
        let second = pools.for_renewals().check_out().await?;
        session.verify().await?;
        session.give_back();
        second.give_back();
        let lookups = LookupQueues::new(pools.for_query(QueryKind::Lookup).clone(), settings.queue_capacity);
        let map = Arc::new(AccessMap::for_barriers(settings.access_map_bytes));
        let read_barrier =
            ReadBarrier::new(pools.for_barriers().clone(), Arc::clone(&map), settings.queue_capacity);
        let keys = settings.keys.clone();
        let renewal = LeaseRenewal::new(pools.for_renewals().clone(), Arc::clone(&lease), keys.clone())?;
        renewal.acquire().await?;
        pools.open_first_sessions().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(renewal.run());
        let barrier = CommitBarrier::default();
        Ok(Self { pools, keys, barrier, lookups, map, read_barrier, lease, _renewal: tasks })
    }

    /// Returns whether this node may use what it reads.
    pub(crate) fn has_lease(&self) -> bool {
        self.lease.is_valid()
    }

    /// Starts a command in its own task, which completes even if the caller is cancelled, for example because its client
    /// disconnected: the outcome of a command that was interrupted would be unknown.
    pub(crate) fn start(&self, command: BoxedCommand) {
        let (pool, keys) = (self.pools.for_command(command.kind()).clone(), self.keys.clone());
        tokio::spawn(run_with_retries(pool, keys, command));
    }

    /// Waits until everything that was visible before this call is as durable as a new commit.
    pub(crate) async fn confirm_commits(&self, moment: Moment) -> Result<()> {
        let write = move || async move {
            let (barrier, reply) = box_command(WriteBarrier { moment });
            self.start(barrier);
            reply.await.unwrap_or_else(|_| Err(missing_reply_error()))
        };
        self.barrier.wait(write).await
    }

    /// Runs a query, from memory if it may be answered from there. If the caller goes away, the statement is cancelled.
    pub(crate) async fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        // Only the session of lookups inserts the rows that it reads into the map.
        const { assert!(!Q::USES_ACCESS_MAP || matches!(Q::KIND, QueryKind::Lookup)) };
        let mut fill = None;
        if Q::USES_ACCESS_MAP {
            let found = self.answer_from_memory(query).await?;
            if Q::IS_COUNTED_QUESTION {
                self.map.count_question(found.is_some());
            }
            if let Some(reply) = found {
                return Ok(reply);
            }
            // A statement that is sent after the question needs no barrier. Its rows are inserted into the map.
            fill = Some(self.map.start_fill());
        }
        let mut body = TypedQuery::new(query);
        self.run_query(Q::KIND, fill, &mut body).await?;
        body.into_reply()
    }

    /// Runs a query on the database.
    async fn run_query(
        &self,
        kind: QueryKind,
        fill: Option<Fill<'_>>,
        query: &mut dyn QueryBody,
    ) -> Result<()> {
        if kind == QueryKind::Lookup {
            let mut tx = Tx::for_query(PostgresTx::for_lookup(&self.lookups), &self.keys).with_fill(fill);
            return query.run(&mut tx).await;
        }
        let pool = self.pools.for_query(kind);
        let session = pool.check_out().await.map_err(StoreError::into_transient)?;
        let result = {
            let mut tx = Tx::for_query(PostgresTx::for_query(&session), &self.keys);
            pool.run_limited(&session, query.run(&mut tx)).await?
        };
        let lease = pool.ensure_lease(&session);
        session.give_back();
        lease.and(result)
    }

    async fn answer_from_memory<Q: Query>(&self, query: &Q) -> Result<Option<Q::Reply>> {
        if !self.map.view_any(|map| query.is_in_memory(map)) {
            return Ok(None);
        }
        // Without a barrier there is no answer, and the caller gets 503.
        let barrier = self.read_barrier.wait().await?;
        let found = self.map.answer(barrier.number, |map| query.find_in_memory(map));
        // The lease is checked last: if this process was stopped after the barrier, the answer may be too old.
        self.lease.ensure_valid(barrier.timeline)?;
        Ok(found)
    }

    pub(crate) fn access_map_stats(&self) -> AccessMapStats {
        self.map.stats()
    }

    /// Checks that the server still makes commits durable, and returns its time.
    pub(crate) async fn database_time(&self) -> Result<Timestamp> {
        let pool = self.pools.for_query(QueryKind::Monitoring);
        let session = pool.check_out().await?;
        let result = pool.run_limited(&session, session.verify()).await?;
        session.give_back();
        Ok(result?.now)
    }

    pub(crate) async fn explain(&self, sql: &'static Sql) -> Result<String> {
        let client = self.pools.for_query(QueryKind::Search).check_out().await?;
        // Sequential scans are disabled because the tables of a test are so small that the planner would prefer one.
        // The plan must be generic because a plan for `NULL` would only find that no row matches.
        client.batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await?;
        client.batch_execute(&format!("PREPARE plan AS {}", sql.postgres)).await?;
        let nulls = vec!["NULL"; sql.params].join(", ");
        let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
        let lines = client.simple_query(&format!("EXPLAIN EXECUTE plan{arguments}")).await?;
        client.batch_execute("DEALLOCATE plan; RESET enable_seqscan; RESET plan_cache_mode").await?;
        client.give_back();
        let text = lines.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(text.collect::<Vec<_>>().join("\n"))
    }
}

/// Returns the error of a command that was dropped without a reply.
pub(crate) fn missing_reply_error() -> StoreError {
    StoreError::internal("a command panicked")
}

/// Runs a command until it no longer conflicts with other transactions, and sends its reply.
async fn run_with_retries(pool: SessionPool, keys: StoreKeys, mut command: BoxedCommand) {
    let deadline = pool.deadline();
    let mut attempts = 0;
    let result = loop {
        attempts += 1;
        match run_once(&pool, &keys, &mut *command).await {
            Err(StoreError::Conflict)
                if attempts < MAX_ATTEMPTS && deadline > tokio::time::Instant::now() => {}
            result => break result,
        }
    };
    command.send_reply(result);
}

async fn run_once(pool: &SessionPool, keys: &StoreKeys, command: &mut dyn WaitingCommand) -> Result<()> {
    let session = pool.check_out().await.map_err(StoreError::into_transient)?;
    let attempt = async {
        let mut tx = Tx::for_command(PostgresTx::for_command(&session), keys, command.moment());
        command.run(&mut tx).await?;
        tx.settle().await?;
        // The effects are ignored: they concern only SQLite's write-ahead log.
        let (deferred, _effects) = tx.finish()?;
        // A command that writes nothing is not confirmed by a standby, but its reply depends on what it has read.
        pool.ensure_lease(&session)?;
        transaction::commit(&session, deferred).await
    };
    // If the limit passes or the command panics, the session is dropped here and closed: its state is unknown.
    let result = pool.run_limited(&session, attempt).await?;
    let is_ended = match &result {
        Ok(()) => true,
        Err(_) => {
            pool.run_limited(&session, transaction::roll_back(&session)).await.is_ok_and(|end| end.is_ok())
        }
    };
    if is_ended {
        session.give_back();
    }
    result
}
