//! Errors of the benchmark.

use store::StoreError;

/// An error that ends the benchmark.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// A setting is out of range.
    #[error("{0}")]
    InvalidSettings(String),
    /// The hub did not respond as expected.
    #[error("{0}")]
    UnexpectedResponse(String),
    /// The store rejected a command.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The benchmark itself failed.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}
