//! Errors of the store, distinguished by what the caller or the operator can do about them.

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The reason why a command or query has no reply. Only `Busy` guarantees that a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue of waiting commands is full; nothing was done.
    #[error("too many commands are waiting")]
    Busy,
    /// The transaction conflicted with others in every attempt.
    #[error("the transaction conflicted with others in every attempt")]
    Conflict,
    /// The database cannot be reached, or cannot make a commit durable.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database has a version, a schema or a setting that this program does not support.
    #[error("{0}")]
    Incompatible(String),
    /// A bug in the store, or stored rows that contradict each other.
    #[error("internal store error: {0}")]
    Internal(String),
}

impl StoreError {
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// Returns whether a later attempt of the same request may succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Busy | Self::Conflict | Self::Unavailable(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            // Handled like a unique violation on PostgreSQL: another command wrote the same key first.
            Some(ErrorCode::ConstraintViolation) if is_unique_violation(&error) => Self::Conflict,
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::ReadOnly,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

fn is_unique_violation(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    let code = error.sqlite_error().map(|e| e.extended_code);
    matches!(code, Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY))
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
            // Classes of SQLSTATE: 08 connection exception, 53 insufficient resources, 57 operator intervention.
            Some(code) if ["08", "53", "57"].contains(&&code.code()[..2]) => {
                Self::Unavailable(describe(&error))
            }
            // The server has become a standby since the connection was checked.
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable(describe(&error)),
            Some(_) => Self::Internal(describe(&error)),
            // An error without an SQLSTATE was not reported by the server; in practice the connection failed.
            None => Self::Unavailable(error.to_string()),
        }
    }
}

/// Returns the server's message without its detail line, which may quote stored values.
fn describe(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} {}", db.code().code(), db.message()))
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            // The only hook is `ensure_durable`, which rejects servers that may lose commits.
            deadpool_postgres::PoolError::PostCreateHook(hook) => Self::Incompatible(hook.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
