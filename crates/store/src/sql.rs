//! One SQL text for both databases, translated at compile time.
//!
//! Texts contain parameters as `?1 ?2`; PostgreSQL gets `$1 $2`. SQLite has no row locks, because it has one writer. It
//! gets the text without `FOR UPDATE …`, `FOR NO KEY UPDATE …` and `FOR SHARE …` up to the end of the line. `$1` and a
//! bare `?` do not compile: rusqlite numbers `$1` by its first appearance and would bind the wrong values without an
//! error.

use std::sync::OnceLock;

use crate::error::Result;
use crate::row::Columns;

/// A statement in both dialects. The first line of its text is a comment with its name.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) params: usize,
    columns: OnceLock<Columns>,
}

/// A statement of this crate; its text is not visible outside.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Statement(pub(crate) &'static Sql);

impl Sql {
    pub(crate) const fn new(sqlite: &'static str, postgres: &'static str, params: usize) -> Self {
        Self { sqlite, postgres, params, columns: OnceLock::new() }
    }

    /// Returns the name of the statement.
    pub(crate) fn name(&self) -> &'static str {
        self.sqlite.lines().next().unwrap_or_default().trim_start_matches("--").trim()
    }

    /// Returns the names of the columns of the result. They are listed once for each statement and not for each row.
    pub(crate) fn columns<'a, N>(&'static self, list: impl FnOnce() -> N) -> Result<&'static Columns>
    where
        N: IntoIterator<Item = &'a str>,
    {
        if let Some(columns) = self.columns.get() {
            return Ok(columns);
        }
        let columns = Columns::new(self.name(), list())?;
        // Two threads may list the names concurrently; both lists are equal.
        Ok(self.columns.get_or_init(|| columns))
    }
}

/// Creates a [`Sql`] from one text, or from two if the databases need different ones.
macro_rules! sql {
    ($text:expr) => {
        $crate::sql::sql!(sqlite: $text, postgres: $text)
    };
    (sqlite: $sqlite:expr, postgres: $postgres:expr) => {{
        const SQLITE_TEXT: &str = $sqlite;
        const POSTGRES_TEXT: &str = $postgres;
        const SQLITE: [u8; SQLITE_TEXT.len()] = $crate::sql::to_sqlite(SQLITE_TEXT);
        const POSTGRES: [u8; POSTGRES_TEXT.len()] = $crate::sql::to_postgres(POSTGRES_TEXT);
        static STATEMENT: $crate::sql::Sql = $crate::sql::Sql::new(
            $crate::sql::str_from_utf8(&SQLITE),
            $crate::sql::str_from_utf8(&POSTGRES),
            $crate::sql::count_params(SQLITE_TEXT),
        );
        &STATEMENT
    }};
}
pub(crate) use sql;

pub(crate) const fn str_from_utf8(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("SQL must be UTF-8"),
    }
}

/// Returns the highest parameter number. Panics at compile time on `$1` and a bare `?`.
pub(crate) const fn count_params(sql: &str) -> usize {
    let bytes = sql.as_bytes();
    let (mut at, mut highest) = (0, 0);
    while at < bytes.len() {
        assert!(bytes[at] != b'$', "write ?1, not $1");
        if bytes[at] == b'?' {
            let mut number = 0;
            while at + 1 < bytes.len() && bytes[at + 1].is_ascii_digit() {
                number = number * 10 + (bytes[at + 1] - b'0') as usize;
                at += 1;
            }
            assert!(number > 0, "write ?1, not a bare ?");
            if number > highest {
                highest = number;
            }
        }
        at += 1;
    }
    highest
}

/// Replaces `?1` by `$1`. The length stays the same, so that the text can be translated in a constant.
pub(crate) const fn to_postgres<const N: usize>(sql: &str) -> [u8; N] {
    let mut out = copy(sql);
    let mut at = 0;
    while at < N {
        if out[at] == b'?' {
            out[at] = b'$';
        }
        at += 1;
    }
    out
}

/// Replaces each lock clause by spaces, up to the end of its line.
pub(crate) const fn to_sqlite<const N: usize>(sql: &str) -> [u8; N] {
    let mut out = copy(sql);
    let mut at = 0;
    while at < N {
        let locks_for_update =
            starts_with(&out, at, b"FOR UPDATE") || starts_with(&out, at, b"FOR NO KEY UPDATE");
        if locks_for_update || starts_with(&out, at, b"FOR SHARE") {
            while at < N && out[at] != b'\n' {
                out[at] = b' ';
                at += 1;
            }
        }
        at += 1;
    }
    out
}

const fn copy<const N: usize>(sql: &str) -> [u8; N] {
    let bytes = sql.as_bytes();
    let mut out = [0; N];
    let mut at = 0;
    while at < N {
        out[at] = bytes[at];
        at += 1;
    }
    out
}

const fn starts_with(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    if at + word.len() > bytes.len() {
        return false;
    }
    let mut n = 0;
    while n < word.len() {
        if bytes[at + n] != word[n] {
            return false;
        }
        n += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn statement_name_is_first_line() {
        assert_eq!(sql!("-- a client\nSELECT 1 AS id").name(), "a client");
    }

    #[test]
    fn columns_are_listed_once_and_must_be_unique() {
        let statement = sql!("-- a client\nSELECT id, name FROM clients");

        assert!(statement.columns(|| ["id", "id"]).is_err());
        let first = statement.columns(|| ["id", "name"]).unwrap();
        let second = statement.columns(|| -> [&str; 0] { panic!("listed again") }).unwrap();

        assert!(std::ptr::eq(first, second));
    }

    #[test]
    fn sql_macro_translates_parameters_for_both_databases() {
        let sql = sql!("SELECT a FROM t WHERE b = ?2 AND c = ?1\nFOR UPDATE OF t");
        assert_eq!(sql.postgres, "SELECT a FROM t WHERE b = $2 AND c = $1\nFOR UPDATE OF t");
        assert_eq!(sql.sqlite.trim_end(), "SELECT a FROM t WHERE b = ?2 AND c = ?1");
        assert_eq!(sql.params, 2);
    }

    #[test]
    fn sqlite_statement_has_lock_clauses_blanked() {
        for statement in [
            sql!("SELECT 1\nFOR UPDATE SKIP LOCKED\n+ 1"),
            sql!("SELECT 1\nFOR NO KEY UPDATE\n+ 1"),
            sql!("SELECT 1\nFOR SHARE OF t\n+ 1"),
        ] {
            let words: Vec<&str> = statement.sqlite.split_whitespace().collect();
            assert_eq!(words, ["SELECT", "1", "+", "1"]);
        }
    }

    #[test]
    fn count_params_rejects_dollar_and_bare_question_mark() {
        for bad in ["SELECT $1", "SELECT ?", "SELECT ?0"] {
            assert!(std::panic::catch_unwind(|| super::count_params(bad)).is_err(), "{bad}");
        }
    }
}
