//! Runs the statements of a transaction on a SQLite connection, which completes each of them synchronously.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;

use crate::error::{Result, StoreError};
use crate::row::Row;
use crate::sql::Sql;
use crate::value::Value;

/// The statements of a command on an SQLite connection with an open transaction, or those of a query without one.
pub(crate) struct SqliteTx<'a>(&'a mut Connection);

impl<'a> SqliteTx<'a> {
    pub(super) const fn new(connection: &'a mut Connection) -> Self {
        Self(connection)
    }

    pub(crate) fn query(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        let mut statement = self.0.prepare_cached(sql.sqlite)?;
        let columns = sql.columns(|| statement.column_names())?;
        let count = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let mut result = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..count).map(|n| row.get(n).map(Some)).collect::<Result<_, _>>()?;
            result.push(Row::new(columns, values));
        }
        Ok(result)
    }

    pub(crate) fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        let count = self.0.prepare_cached(sql.sqlite)?.execute(rusqlite::params_from_iter(params))?;
        Ok(count as u64)
    }
}

/// Returns the value of a future that is ready at its first poll.
///
/// On SQLite every statement of a transaction completes synchronously, so the body of a command is ready unless it
/// awaits something else. Such a body fails, because waiting for it would block the writer thread and all other
/// commands.
pub(super) fn poll_ready<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => {
            Err(StoreError::Internal("a body awaited something other than its transaction".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_body_awaiting_foreign_future_fails() {
        assert!(matches!(poll_ready(std::future::pending::<Result<()>>()), Err(StoreError::Internal(_))));
    }
}
