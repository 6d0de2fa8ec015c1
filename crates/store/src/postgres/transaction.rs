//! Statements of a transaction on a PostgreSQL connection, pipelined to save round trips: `BEGIN` is sent with the first
//! statement, and the deferred statements are sent with `COMMIT`.

use deadpool_postgres::Object;
use futures_util::future;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::row::{Columns, Row};
use crate::sql::Sql;
use crate::value::Value;

/// A PostgreSQL connection with a transaction that begins with the first statement or, for a query, without one.
pub(crate) struct PostgresTx<'a> {
    client: &'a Object,
    has_begun: bool,
}

impl<'a> PostgresTx<'a> {
    /// Creates a transaction that begins with its first statement.
    pub(super) const fn new(client: &'a Object) -> Self {
        Self { client, has_begun: false }
    }

    /// Creates a value without a transaction, for queries: each of their statements sees the latest commit.
    pub(super) const fn without_begin(client: &'a Object) -> Self {
        Self { client, has_begun: true }
    }

    pub(crate) async fn query(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        let statement = self.client.prepare_cached(sql.postgres).await?;
        let columns = sql.columns(|| statement.columns().iter().map(tokio_postgres::Column::name))?;
        let params = to_sql_params(params);
        let rows = self.with_begin(self.client.query(&statement, &params)).await?;
        rows.iter().map(|row| convert_row(columns, row)).collect()
    }

    pub(crate) async fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        let statement = self.client.prepare_cached(sql.postgres).await?;
        let params = to_sql_params(params);
        self.with_begin(self.client.execute(&statement, &params)).await
    }

    /// Sends `BEGIN` before the first statement, without waiting for its response.
    async fn with_begin<T>(
        &mut self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(statement.await?);
        }
        // `join` polls in this order, and a client sends requests in the order of their first polls.
        let begin = self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED");
        let (begin_result, result) = future::join(begin, statement).await;
        begin_result?;
        Ok(result?)
    }
}

/// Sends the deferred statements and `COMMIT` without waiting between them. If a statement fails, the server treats
/// `COMMIT` as `ROLLBACK`.
pub(super) async fn commit(client: &Object, deferred: &[(&'static Sql, Vec<Value>)]) -> Result<()> {
    let statements =
        future::try_join_all(deferred.iter().map(|(sql, _)| client.prepare_cached(sql.postgres))).await?;
    let params: Vec<_> = deferred.iter().map(|(_, params)| to_sql_params(params)).collect();
    let writes =
        future::join_all(statements.iter().zip(&params).map(|(sql, params)| client.execute(sql, params)));
    let (writes, committed) = future::join(writes, client.batch_execute("COMMIT")).await;
    // A failed statement is reported before the result of `COMMIT`, which succeeds even when it rolled back.
    writes.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(committed?)
}

fn to_sql_params(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

fn convert_row(columns: &'static Columns, row: &tokio_postgres::Row) -> Result<Row> {
    let values = (0..row.len()).map(|n| row.try_get(n).map(Some)).collect::<Result<_, _>>()?;
    Ok(Row::new(columns, values))
}
