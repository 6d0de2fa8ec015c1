//! Statements that are sent together with the commit.

use std::sync::OnceLock;

use crate::sql::Sql;
use crate::value::Value;

/// A statement that is sent together with the commit.
pub(crate) enum DeferredStatement {
    /// A statement with one set of parameters.
    Single(&'static Sql, Vec<Value>),
    /// A statement that writes several rows. On SQLite it runs once for each row; on PostgreSQL it runs once, and each of
    /// its parameters is an array with one column of the rows.
    Rows(&'static Sql, Vec<Vec<Value>>),
    /// The statements of a group, in their order.
    Group(&'static StatementGroup, Vec<Self>),
}

/// Statements that PostgreSQL runs as one, because it needs about as much time for the messages of a statement as for its rows.
///
/// None of them may read or change a row that another one changes: all of them see the database as it was before the first.
pub(crate) struct StatementGroup {
    statements: &'static [&'static Sql],
    postgres: OnceLock<String>,
}

impl StatementGroup {
    pub(crate) const fn new(statements: &'static [&'static Sql]) -> Self {
        Self { statements, postgres: OnceLock::new() }
    }

    /// Returns whether these are the statements of the group.
    pub(crate) fn consists_of(&self, statements: &[DeferredStatement]) -> bool {
        statements.len() == self.statements.len()
            && self.statements.iter().zip(statements).all(|(sql, statement)| match statement {
                DeferredStatement::Single(other, _) | DeferredStatement::Rows(other, _) => {
                    std::ptr::eq(*sql, *other)
                }
                DeferredStatement::Group(..) => false,
            })
    }

    /// Returns the statement for PostgreSQL. Its parameters are those of the statements, one after the other.
    fn postgres(&'static self) -> &'static str {
        self.postgres.get_or_init(|| combine(self.statements))
    }
}

/// Combines statements into one. All but the last one follow `WITH`.
fn combine(statements: &[&Sql]) -> String {
    let mut parts = Vec::with_capacity(statements.len());
    let mut params = 0;
    for sql in statements {
        parts.push(shift_parameters(sql.postgres, params));
        params += sql.params;
    }
    let last = parts.pop().unwrap_or_default();
    let others = parts.iter().enumerate().map(|(index, part)| format!("part_{index} AS (\n{part}\n)"));
    format!("WITH {}\n{last}", others.collect::<Vec<_>>().join(", "))
}

/// Adds a number to the numbers of the parameters.
fn shift_parameters(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shifted, part| {
        let (number, rest) = part.split_at(part.bytes().take_while(u8::is_ascii_digit).count());
        let number = number.parse::<usize>().unwrap_or_default() + by;
        format!("{shifted}${number}{rest}")
    })
}

impl DeferredStatement {
    /// Returns the statement for PostgreSQL and its parameters. Those of several rows are one array for each column.
    pub(crate) fn into_arrays(self) -> (&'static str, Vec<Value>) {
        match self {
            Self::Single(sql, params) => (sql.postgres, params),
            Self::Rows(sql, rows) => {
                let mut columns = vec![Vec::with_capacity(rows.len()); sql.params];
                for row in rows {
                    for (column, value) in columns.iter_mut().zip(row) {
                        column.push(value);
                    }
                }
                (sql.postgres, columns.into_iter().map(Value::Array).collect())
            }
            Self::Group(group, statements) => {
                let params = statements.into_iter().flat_map(|statement| statement.into_arrays().1).collect();
                (group.postgres(), params)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::sql;

    #[test]
    fn group_is_one_statement_with_all_parameters() {
        let statements: &[&Sql] = &[
            sql!("-- a\nUPDATE a SET b = ?2 WHERE c = ?1"),
            sql!("-- d\nINSERT INTO d VALUES (?1, ?1)"),
            sql!("-- e\nDELETE FROM e WHERE f = ?10"),
        ];

        let text = combine(statements);

        assert_eq!(
            text,
            "WITH part_0 AS (\n-- a\nUPDATE a SET b = $2 WHERE c = $1\n), part_1 AS (\n-- d\nINSERT INTO d VALUES ($3, $3)\n)\n\
             -- e\nDELETE FROM e WHERE f = $13"
        );
    }
}
