//! Sends the statements of a transaction on a PostgreSQL connection, pipelined to save round trips: `BEGIN` is sent
//! with the first statement, and the deferred statements are sent with `COMMIT`.

use std::task::Poll;

use futures_util::future;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::session::PostgresSession;
use crate::error::{Result, StoreError};
use crate::row::{Columns, Row};
use crate::sql::Sql;
use crate::value::Value;

/// A PostgreSQL session with a transaction that begins with the first statement or, for a query, without one.
pub(crate) struct PostgresTx<'a> {
    session: &'a PostgresSession,
    is_command: bool,
}

impl<'a> PostgresTx<'a> {
    /// Creates a transaction that begins with its first statement.
    pub(super) const fn for_command(session: &'a PostgresSession) -> Self {
        Self { session, is_command: true }
    }

    /// Creates a value without a transaction: each statement of a query sees the latest commit.
    pub(super) const fn for_query(session: &'a PostgresSession) -> Self {
        Self { session, is_command: false }
    }

    pub(crate) async fn query(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        let statement = self.prepare(sql).await?;
        let columns = sql.columns(|| statement.columns().iter().map(tokio_postgres::Column::name))?;
        let params = to_sql_params(params);
        let rows = self.send(self.session.query(&statement, &params)).await?;
        rows.iter().map(|row| convert_row(columns, row)).collect()
    }

    pub(crate) async fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        let statement = self.prepare(sql).await?;
        let params = to_sql_params(params);
        self.send(self.session.execute(&statement, &params)).await
    }

    async fn prepare(&self, sql: &'static Sql) -> Result<Statement> {
        let prepared = self.session.prepare_cached(sql.postgres).await;
        prepared.map_err(|error| self.session.convert_error(error))
    }

    /// Sends a statement, in a command after `BEGIN`.
    async fn send<T>(&self, statement: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        let result =
            if self.is_command { send_with_begin(self.session, statement).await } else { statement.await };
        result.map_err(|error| self.session.convert_error(error))
    }
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
pub(super) async fn commit(session: &PostgresSession, deferred: &[(&'static Sql, Vec<Value>)]) -> Result<()> {
    let result = send_commit(session, deferred).await.map_err(|error| session.convert_error(error))?;
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
    deferred: &[(&'static Sql, Vec<Value>)],
) -> Result<CommitOutcome, tokio_postgres::Error> {
    let statements =
        future::try_join_all(deferred.iter().map(|(sql, _)| session.prepare_cached(sql.postgres))).await?;
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
