//! Errors of the store, distinguished by what the caller or the operator can do about them.

use domain::rule::authority::AuthorityError;

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The reason why a command or query has no reply. Only `Busy` and `CallerRefused` guarantee that a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue of waiting commands is full; nothing was done.
    #[error("too many commands are waiting")]
    Busy,
    /// The transaction conflicted with others in every attempt.
    #[error("the transaction conflicted with others in every attempt")]
    Conflict,
    /// The database cannot be reached, or cannot run the operation now.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Reading or writing the SQLite file failed. After a write with this error, the writer cannot know what is stored.
    #[error("the database file failed: {0}")]
    FileFailed(String),
    /// The database has a version, a schema or a setting that this program does not support.
    #[error("{0}")]
    Incompatible(String),
    /// A row that the hub has not written in this form: its MAC does not verify. The row was not used.
    #[error("row `{id}` of table `{table}` was changed by another program")]
    UnverifiedRow { table: &'static str, id: String },
    /// The operator or partner whose request the command carries out may no longer perform it; nothing was done.
    #[error("the caller may not perform the command: {0}")]
    CallerRefused(AuthorityError),
    /// A bug in the store, or stored rows that contradict each other.
    #[error("internal store error: {0}")]
    Internal(String),
}

impl StoreError {
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// Converts the error of a server that must not be used now into one that a later attempt may not get. While the hub
    /// runs, the server's settings or files may be repaired at any time.
    pub(crate) fn into_transient(self) -> Self {
        match self {
            Self::Incompatible(reason) => Self::Unavailable(reason),
            other => other,
        }
    }

    /// Returns the same error for another caller of the same operation.
    pub(crate) fn repeat(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Conflict => Self::Conflict,
            Self::Unavailable(reason) => Self::Unavailable(reason.clone()),
            Self::FileFailed(reason) => Self::FileFailed(reason.clone()),
            Self::Incompatible(reason) => Self::Incompatible(reason.clone()),
            Self::UnverifiedRow { table, id } => Self::UnverifiedRow { table, id: id.clone() },
            Self::CallerRefused(error) => Self::CallerRefused(*error),
            Self::Internal(reason) => Self::Internal(reason.clone()),
        }
    }

    /// Returns whether a later attempt of the same request may succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Busy | Self::Conflict | Self::Unavailable(_) | Self::FileFailed(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        use rusqlite::ffi::SQLITE_IOERR_NOMEM;
        match error.sqlite_error_code() {
            // Handled like a unique violation on PostgreSQL: another command wrote the same key first.
            Some(ErrorCode::ConstraintViolation) if is_unique_violation(&error) => Self::Conflict,
            // The name of this code is misleading: memory was missing, and nothing was written.
            Some(ErrorCode::SystemIoFailure) if extended_code(&error) == Some(SQLITE_IOERR_NOMEM) => {
                Self::Unavailable(error.to_string())
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::FileFailed(error.to_string())
            }
            // SQLite reports a full disk as `DiskFull` only if a write failed with ENOSPC. A quota, a limit of the file
            // size or a failed sync is a `SystemIoFailure`.
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationAborted
                | ErrorCode::OperationInterrupted,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|e| e.extended_code)
}

fn is_unique_violation(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    matches!(extended_code(error), Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY))
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        // A unique violation is retried because the second attempt sees the row that the other transaction wrote.
        let retried = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::UNIQUE_VIOLATION,
        ];
        match error.code() {
            Some(code) if retried.contains(code) => Self::Conflict,
            Some(code) if is_unavailable(code) => Self::Unavailable(describe(&error)),
            Some(_) => Self::Internal(describe(&error)),
            // An error without an SQLSTATE was not reported by the server; in practice the connection failed.
            None => Self::Unavailable(describe(&error)),
        }
    }
}

/// Returns whether an error concerns the server or the session instead of the statement. Another attempt may succeed.
fn is_unavailable(code: &tokio_postgres::error::SqlState) -> bool {
    use tokio_postgres::error::SqlState;
    // Classes of SQLSTATE: 08 connection exception, 28 rejected login, 3D unknown database, 53 insufficient resources, 57
    // operator intervention (which includes statement timeouts), 58 system error. A login is rejected for a while when a
    // password is changed.
    let class = code.code().get(..2).unwrap_or_default();
    ["08", "28", "3D", "53", "57", "58"].contains(&class)
        || [
            // The lock timeout has passed.
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // The server has become a standby since the session was opened.
            SqlState::READ_ONLY_SQL_TRANSACTION,
            // The session lost its prepared statements, for example behind a connection pooler.
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
            // A prepared statement does not fit the schema any more, which another node has migrated.
            SqlState::FEATURE_NOT_SUPPORTED,
        ]
        .contains(code)
}

/// Returns the server's message without its detail line, which may quote stored values, or the error with its causes if
/// it is not the server's.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} {}", db.code().code(), db.message());
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::error::SqlState;

    use super::*;

    #[test]
    fn postgres_errors_of_server_or_session_are_unavailable() {
        let is_unavailable = |code| is_unavailable(&SqlState::from_code(code));

        for code in [
            "08006", "0A000", "28P01", "3D000", "25006", "25P03", "26000", "42P05", "53300", "55P03",
            "57014", "57P01", "58030",
        ] {
            assert!(is_unavailable(code), "{code}");
        }
        for code in ["22P02", "23505", "25P02", "40001", "42601", "XX000"] {
            assert!(!is_unavailable(code), "{code}");
        }
    }
}
