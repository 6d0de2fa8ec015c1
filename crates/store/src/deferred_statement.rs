//! Statements that are sent together with the commit.

use crate::sql::Sql;
use crate::value::Value;

/// A statement that is sent together with the commit.
pub(crate) enum DeferredStatement {
    /// A statement with one set of parameters.
    Single(&'static Sql, Vec<Value>),
    /// A statement that writes several rows. On SQLite it runs once for each row; on PostgreSQL it runs once, and each of
    /// its parameters is an array with one column of the rows.
    Rows(&'static Sql, Vec<Vec<Value>>),
}

impl DeferredStatement {
    /// Returns the statement and its parameters. Those of several rows are one array for each column.
    pub(crate) fn into_arrays(self) -> (&'static Sql, Vec<Value>) {
        match self {
            Self::Single(sql, params) => (sql, params),
            Self::Rows(sql, rows) => {
                let mut columns = vec![Vec::with_capacity(rows.len()); sql.params];
                for row in rows {
                    for (column, value) in columns.iter_mut().zip(row) {
                        column.push(value);
                    }
                }
                (sql, columns.into_iter().map(Value::Array).collect())
            }
        }
    }
}
