//! Sends the statements of a transaction on a PostgreSQL connection, pipelined to save round trips: `BEGIN` is sent
//! with the first statement, announced reads with the next statement, and the deferred statements with `COMMIT`.

use std::sync::Arc;
use std::task::Poll;

use futures_util::future::{self, BoxFuture, FutureExt, MaybeDone};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::session::PostgresSession;
use crate::deferred_statement::DeferredStatement;
use crate::error::{Result, StoreError};
use crate::row::{Columns, Row};
use crate::sql::Sql;
use crate::value::Value;

/// The statements of a command in a transaction that begins with the first of them, or those of a query without one.
pub(crate) struct PostgresTx<'a> {
    source: Source<'a>,
    /// The reads that are sent with the next statement.
    announced: Vec<(&'static Sql, Arc<[Value]>)>,
    /// The reads that were announced and sent, and whose rows are not taken yet.
    sent: Vec<SentRead<'a>>,
}

/// A read that was sent before the command needs its rows.
struct SentRead<'a> {
    sql: &'static Sql,
    params: Arc<[Value]>,
    columns: &'static Columns,
    rows: MaybeDone<BoxFuture<'a, Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>>>,
}

/// Lookups that share statements. It is a trait because the queues run their own statements with this module.
pub(super) trait FindRows: Sync {
    /// Runs a statement on a session of its own.
    fn query<'a>(&'a self, sql: &'static Sql, params: &'a [Value]) -> BoxFuture<'a, Result<Vec<Row>>>;
    /// Returns the rows with a key. The statement must take an array of keys, and return the key of each row in the column
    /// `lookup_key`.
    fn find(&self, sql: &'static Sql, key: Value) -> BoxFuture<'_, Result<Vec<Row>>>;
}

/// The session on which statements run.
#[derive(Clone, Copy)]
enum Source<'a> {
    Command(&'a PostgresSession),
    Query(&'a PostgresSession),
    /// The queues of lookups, which take a session for each statement.
    Lookup(&'a dyn FindRows),
}

impl<'a> PostgresTx<'a> {
    /// Creates a transaction that begins with its first statement.
    pub(super) const fn for_command(session: &'a PostgresSession) -> Self {
        Self::new(Source::Command(session))
    }

    /// Creates a value without a transaction: each statement of a query sees the latest commit.
    pub(super) const fn for_query(session: &'a PostgresSession) -> Self {
        Self::new(Source::Query(session))
    }

    /// Creates a value for a lookup, which shares statements with others.
    pub(super) const fn for_lookup(queues: &'a dyn FindRows) -> Self {
        Self::new(Source::Lookup(queues))
    }

    const fn new(source: Source<'a>) -> Self {
        Self { source, announced: Vec::new(), sent: Vec::new() }
    }

    /// Announces a read that the command will probably make. It is sent with the next statement, in the order of the calls.
    ///
    /// The server runs each statement after the one before has ended, with a snapshot of its own, so an announced read sees what it
    /// would see without the announcement. A lock that it takes is taken even if the command does not make the read.
    pub(crate) fn announce(&mut self, sql: &'static Sql, params: Vec<Value>) {
        if let Source::Command(_) = self.source {
            self.announced.push((sql, params.into()));
        }
    }

    /// Waits for the reads that were announced but not made. If one has failed, `COMMIT` would roll back without an error.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let Source::Command(session) = self.source else { return Ok(()) };
        self.announced.clear();
        self.settle_sent(session).await
    }

    async fn settle_sent(&mut self, session: &PostgresSession) -> Result<()> {
        for read in std::mem::take(&mut self.sent) {
            read.receive(session).await?;
        }
        Ok(())
    }

    /// Waits for a statement, and receives the rows of the reads that were sent before it. The client passes responses on in their
    /// order and buffers only a few KiB, so rows that are not received would stop every later response.
    ///
    /// The result is boxed because every statement of every command would otherwise contain it: the stack would overflow.
    fn wait<'s, T: Send + 's>(
        &'s mut self,
        session: &'s PostgresSession,
        statement: impl Future<Output = Result<T>> + Send + 's,
    ) -> BoxFuture<'s, Result<T>> {
        let mut statement = statement.boxed();
        async move {
            let result = future::poll_fn(|cx| {
                for read in &mut self.sent {
                    let _ = read.rows.poll_unpin(cx);
                }
                statement.poll_unpin(cx)
            })
            .await;
            if result.is_err() && !self.sent.is_empty() {
                // After the failure of a read, the server rejects each later statement with an error that does not name the cause.
                self.settle_sent(session).await?;
            }
            result
        }
        .boxed()
    }

    async fn send_announced(&mut self, session: &'a PostgresSession) -> Result<()> {
        if self.announced.is_empty() {
            return Ok(());
        }
        // It is boxed because every statement of every command would otherwise contain its future.
        self.send_all_announced(session).boxed().await
    }

    async fn send_all_announced(&mut self, session: &'a PostgresSession) -> Result<()> {
        for (sql, params) in std::mem::take(&mut self.announced) {
            let (statement, columns) = self.wait(session, prepare(session, sql)).await?;
            let sent_params = Arc::clone(&params);
            let rows = async move {
                let params = to_sql_params(&sent_params);
                send_with_begin(session, session.query(&statement, &params)).await
            };
            let mut rows = future::maybe_done(rows.boxed());
            // A client sends a request when its future is polled first.
            let _ = futures_util::poll!(&mut rows);
            self.sent.push(SentRead { sql, params, columns, rows });
        }
        Ok(())
    }

    fn take_sent(&mut self, sql: &'static Sql, params: &[Value]) -> Option<SentRead<'a>> {
        let is_wanted = |read: &SentRead<'_>| std::ptr::eq(read.sql, sql) && *read.params == *params;
        let index = self.sent.iter().position(is_wanted)?;
        Some(self.sent.remove(index))
    }

    pub(crate) async fn query(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        match self.source {
            Source::Command(session) => {
                self.send_announced(session).await?;
                if let Some(read) = self.take_sent(sql, params) {
                    return self.wait(session, read.receive(session)).await;
                }
                let (statement, columns) = self.wait(session, prepare(session, sql)).await?;
                let params = to_sql_params(params);
                let rows = async {
                    let rows = send_with_begin(session, session.query(&statement, &params)).await;
                    convert_rows(session, columns, rows)
                };
                self.wait(session, rows).await
            }
            Source::Query(session) => {
                let (statement, columns) = prepare(session, sql).await?;
                let rows = session.query(&statement, &to_sql_params(params)).await;
                convert_rows(session, columns, rows)
            }
            Source::Lookup(queues) => queues.query(sql, params).await,
        }
    }

    /// Reads the rows with a key. The statement takes an array of keys.
    pub(crate) async fn find(&mut self, sql: &'static Sql, key: Value) -> Result<Vec<Row>> {
        match self.source {
            Source::Lookup(queues) => queues.find(sql, key).await,
            _ => self.query(sql, &[Value::Array(vec![key])]).await,
        }
    }

    pub(crate) async fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        let Source::Command(session) = self.source else {
            return Err(StoreError::Internal("a query cannot write".into()));
        };
        self.send_announced(session).await?;
        let (statement, _) = self.wait(session, prepare(session, sql)).await?;
        let params = to_sql_params(params);
        let count = async {
            let count = send_with_begin(session, session.execute(&statement, &params)).await;
            count.map_err(|error| session.convert_error(error))
        };
        self.wait(session, count).await
    }
}

impl SentRead<'_> {
    /// Waits for the rows.
    async fn receive(mut self, session: &PostgresSession) -> Result<Vec<Row>> {
        (&mut self.rows).await;
        let rows = std::pin::Pin::new(&mut self.rows).take_output();
        let rows = rows.ok_or_else(|| StoreError::internal("a read was received twice"))?;
        convert_rows(session, self.columns, rows)
    }
}

async fn prepare(session: &PostgresSession, sql: &'static Sql) -> Result<(Statement, &'static Columns)> {
    let prepared = session.prepare_cached(sql.postgres).await;
    let statement = prepared.map_err(|error| session.convert_error(error))?;
    let columns = sql.columns(|| statement.columns().iter().map(tokio_postgres::Column::name))?;
    Ok((statement, columns))
}

fn convert_rows(
    session: &PostgresSession,
    columns: &'static Columns,
    rows: Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>,
) -> Result<Vec<Row>> {
    let rows = rows.map_err(|error| session.convert_error(error))?;
    rows.iter().map(|row| convert_row(columns, row)).collect()
}

/// Sends `BEGIN` before the first statement of a transaction, without waiting for its response.
async fn send_with_begin<T>(
    session: &PostgresSession,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    if session.set_in_transaction(true) {
        return statement.await;
    }
    // `join` polls in this order, and a client sends requests in the order of their first polls.
    let begin = session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED");
    let (begin_result, result) = future::join(begin, statement).await;
    begin_result?;
    result
}

/// Sends the deferred statements and `COMMIT` without waiting between them. If a statement fails, the server treats
/// `COMMIT` as `ROLLBACK`. A transaction that has not begun has no statement, and is not committed.
pub(super) async fn commit(session: &PostgresSession, deferred: Vec<DeferredStatement>) -> Result<()> {
    let deferred: Vec<_> = deferred.into_iter().map(DeferredStatement::into_arrays).collect();
    let result = send_commit(session, &deferred).await.map_err(|error| session.convert_error(error))?;
    match result {
        CommitOutcome::Durable => Ok(()),
        // PostgreSQL confirms a commit whose wait for the synchronous standby was cancelled, but warns that the standby
        // may not have it: after a fail-over it would be lost.
        CommitOutcome::Warned => {
            Err(StoreError::Unavailable("the server confirmed the commit with a warning".into()))
        }
    }
}

enum CommitOutcome {
    Durable,
    Warned,
}

async fn send_commit(
    session: &PostgresSession,
    deferred: &[(&'static str, Vec<Value>)],
) -> Result<CommitOutcome, tokio_postgres::Error> {
    let statements =
        future::try_join_all(deferred.iter().map(|(sql, _)| session.prepare_cached(sql))).await?;
    let params: Vec<_> = deferred.iter().map(|(_, params)| to_sql_params(params)).collect();
    let warnings = session.count_warnings();
    let mut writes = statements.iter().zip(&params).map(|(sql, params)| session.execute(sql, params));
    let (first, others) = (writes.next(), join_in_order(writes));
    if first.is_none() && !session.is_in_transaction() {
        return Ok(CommitOutcome::Durable);
    }
    let first = async {
        match first {
            Some(first) => send_with_begin(session, first).await.map(Some),
            None => Ok(None),
        }
    };
    let rest = future::join(others, session.batch_execute("COMMIT"));
    let (first, (others, committed)) = future::join(first, rest).await;
    // Whether it succeeded or failed, the response to `COMMIT` ends the transaction.
    session.set_in_transaction(false);
    // A failed statement is reported before the result of `COMMIT`, which succeeds even when it rolled back.
    first?;
    others.into_iter().collect::<Result<Vec<_>, _>>()?;
    committed?;
    let is_warned = session.count_warnings() != warnings;
    Ok(if is_warned { CommitOutcome::Warned } else { CommitOutcome::Durable })
}

/// Waits for all futures, and polls them for the first time in their order: a client sends requests in the order of their
/// first polls. `join_all` does not guarantee this for more than 30 futures.
fn join_in_order<F: Future>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>> {
    let mut futures: Vec<_> = futures.map(|future| Box::pin(future::maybe_done(future))).collect();
    future::poll_fn(move |cx| {
        let pending = futures
            .iter_mut()
            .filter_map(|future| future.as_mut().poll(cx).is_pending().then_some(()))
            .count();
        if pending > 0 {
            return Poll::Pending;
        }
        Poll::Ready(futures.iter_mut().filter_map(|future| future.as_mut().take_output()).collect())
    })
}

/// Sends `ROLLBACK` for a failed command, if its transaction has begun.
pub(super) async fn roll_back(session: &PostgresSession) -> Result<()> {
    if session.is_in_transaction() {
        session.batch_execute("ROLLBACK").await?;
        session.set_in_transaction(false);
    }
    Ok(())
}

fn to_sql_params(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

fn convert_row(columns: &'static Columns, row: &tokio_postgres::Row) -> Result<Row> {
    let values = (0..row.len()).map(|n| row.try_get(n).map(Some)).collect::<Result<_, _>>()?;
    Ok(Row::new(columns, values))
}
