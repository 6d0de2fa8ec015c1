//! What can go wrong in the store, by who should act.

/// A store's result.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a command or query has no answer. None of these say that a command had no effect, but `Busy`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too many commands wait; nothing was done.
    #[error("too many commands are waiting")]
    Busy,
    /// Another transaction was in the way, again and again.
    #[error("lost a race too often")]
    Conflict,
    /// The database cannot be reached or cannot acknowledge.
    #[error("the database cannot acknowledge: {0}")]
    Unavailable(String),
    /// The database is not what this code can work with.
    #[error("{0}")]
    Incompatible(String),
    /// A fault of ours or of the stored rows.
    #[error("store fault: {0}")]
    Internal(String),
}

impl StoreError {
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// Whether repeating the request later may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Busy | Self::Conflict | Self::Unavailable(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
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
        let retried = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::UNIQUE_VIOLATION,
        ];
        match error.code() {
            Some(code) if retried.contains(code) => Self::Conflict,
            // class 08 connection, 25006 read-only, 53 resources, 57 operator intervention
            Some(code) if ["08", "53", "57"].contains(&&code.code()[..2]) => {
                Self::Unavailable(describe(&error))
            }
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable(describe(&error)),
            Some(_) => Self::Internal(describe(&error)),
            None => Self::Unavailable(error.to_string()),
        }
    }
}

/// The server's message without its detail line, which may quote stored values.
fn describe(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} {}", db.code().code(), db.message()))
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            deadpool_postgres::PoolError::PostCreateHook(hook) => Self::Incompatible(hook.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
