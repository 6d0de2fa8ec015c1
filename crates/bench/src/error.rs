//! The errors that end a benchmark: invalid settings, an unexpected response, or a failure of the store or the system.

use store::StoreError;

/// An error that ends the benchmark.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// A setting is out of range.
    #[error("{0}")]
    InvalidSettings(String),
    /// A response of the hub, the stub provider or a server of the benchmark was not the expected one.
    #[error("{0}")]
    UnexpectedResponse(String),
    /// The hub's store rejected a command of the benchmark.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The benchmark itself failed, for example because no port was free.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}
