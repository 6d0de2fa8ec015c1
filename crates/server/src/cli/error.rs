//! The errors that end a command, and the exit code of each.

use std::fmt::Display;
use std::path::Path;

use store::StoreError;

use crate::app::BuildError;
use crate::config::ConfigError;
use crate::error::{ContextError, InternalError};
use crate::server::BindSocketError;
use crate::vault::KeyFileError;

/// The exit code of an internal error: `EX_SOFTWARE` of sysexits.h.
pub(super) const INTERNAL_EXIT_CODE: u8 = 70;

/// An error that ends a command. The variant determines the exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The operation was rejected, or a check found a problem.
    #[error("{0}")]
    Failed(String),
    /// The command line, the configuration or the store cannot be used.
    #[error("{0}")]
    Usage(String),
    /// A hub, a database or a port cannot be reached or is in use.
    #[error("{0}")]
    Unreachable(String),
    /// An unexpected error, with its causes.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

impl CliError {
    /// Returns the exit code of the process.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Internal(_) => INTERNAL_EXIT_CODE,
        }
    }

    /// Creates a usage error about a file or folder.
    pub(super) fn for_path(path: &Path, error: impl Display) -> Self {
        Self::Usage(format!("{}: {error}", path.display()))
    }

    /// Appends a message to the error and keeps its exit code.
    pub(super) fn with_message(self, message: &str) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(format!("{text}; {message}")),
            Self::Usage(text) => Self::Usage(format!("{text}; {message}")),
            Self::Unreachable(text) => Self::Unreachable(format!("{text}; {message}")),
            Self::Internal(error) => Self::Internal(error.context(message.to_owned())),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Incompatible(reason) => Self::Usage(format!("store: {reason}")),
            StoreError::Unavailable(reason) | StoreError::FileFailed(reason) => {
                Self::Unreachable(format!("store: {reason}"))
            }
            other => Self::Internal(other.into()),
        }
    }
}

impl From<BuildError> for CliError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Store(error) => error.into(),
            other => Self::Internal(other.into()),
        }
    }
}

impl From<InternalError> for CliError {
    fn from(error: InternalError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<ContextError> for CliError {
    fn from(error: ContextError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<KeyFileError> for CliError {
    fn from(error: KeyFileError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<BindSocketError> for CliError {
    fn from(error: BindSocketError) -> Self {
        match error {
            BindSocketError::InUse(_) => Self::Unreachable(error.to_string()),
            error => Self::Usage(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_kind_determines_exit_code() {
        let errors = [
            CliError::Failed("x".into()),
            CliError::Usage("x".into()),
            CliError::Unreachable("x".into()),
            CliError::Internal(anyhow::Error::msg("x")),
        ];

        assert_eq!(errors.each_ref().map(CliError::exit_code), [1, 2, 3, 70]);
        assert_eq!(errors.map(|error| error.with_message("y").exit_code()), [1, 2, 3, 70]);
    }

    #[test]
    fn store_error_cause_determines_exit_code_and_message() {
        let incompatible = CliError::from(StoreError::Incompatible("old".into()));
        let unavailable = CliError::from(BuildError::Store(StoreError::Unavailable("down".into())));

        assert_eq!((incompatible.exit_code(), incompatible.to_string()), (2, "store: old".to_owned()));
        assert_eq!((unavailable.exit_code(), unavailable.to_string()), (3, "store: down".to_owned()));
        assert_eq!(CliError::from(StoreError::Busy).exit_code(), 70);
    }
}
