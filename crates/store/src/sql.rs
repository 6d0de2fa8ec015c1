//! One SQL text for both databases, made at compile time.
//!
//! Texts are written with `?1 ?2`. PostgreSQL gets `$1 $2`; SQLite gets the text with every line's
//! `FOR UPDATE …`, `FOR NO KEY UPDATE …` or `FOR MAX_HIGH_IN_A_ROW …` blanked. `$1` and a bare `?` do not compile: rusqlite numbers `$1` by
//! first appearance, and would bind the wrong values without an error.

/// A statement in both dialects.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) params: usize,
}

/// Makes a [`Sql`] from one text; from two where the databases have no words in common.
macro_rules! sql {
    (sqlite: $sqlite:expr, postgres: $postgres:expr) => {{
        static STATEMENT: $crate::sql::Sql = $crate::sql::Sql {
            sqlite: $crate::sql::sql!($sqlite).sqlite,
            postgres: $crate::sql::sql!($postgres).postgres,
            params: $crate::sql::count_params($sqlite),
        };
        &STATEMENT
    }};
    ($text:expr) => {{
        const TEXT: &str = $text;
        const SQLITE: [u8; TEXT.len()] = $crate::sql::to_sqlite(TEXT);
        const POSTGRES: [u8; TEXT.len()] = $crate::sql::to_postgres(TEXT);
        static STATEMENT: $crate::sql::Sql = $crate::sql::Sql {
            sqlite: $crate::sql::str_from_utf8(&SQLITE),
            postgres: $crate::sql::str_from_utf8(&POSTGRES),
            params: $crate::sql::count_params(TEXT),
        };
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

/// The highest parameter; refuses `$1` and a bare `?`.
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

pub(crate) const fn to_sqlite<const N: usize>(sql: &str) -> [u8; N] {
    let mut out = copy(sql);
    let mut at = 0;
    while at < N {
        let lock = starts_with(&out, at, b"FOR UPDATE") || starts_with(&out, at, b"FOR NO KEY UPDATE");
        if lock || starts_with(&out, at, b"FOR SHARE") {
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
