//! Our own trouble: opaque to the caller, whole in the log.

use crate::vault::UnsealError;
use store::StoreError;

/// The system gives no random bytes, or no time that could be trusted: nothing can be done safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node cannot go on: {0}")]
pub struct ContextError(pub &'static str);

/// Something that is not the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// The store cannot answer now; what was asked may or may not have happened.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The node is not fit to decide anything.
    #[error("{0}")]
    Context(#[from] ContextError),
    /// A sealed value does not open.
    #[error("{0}")]
    Unseal(#[from] UnsealError),
    /// A contradiction.
    #[error("{0}")]
    InvariantViolated(&'static str),
}

impl InternalError {
    /// A contradiction.
    pub const fn new(description: &'static str) -> Self {
        Self::InvariantViolated(description)
    }

    /// Whether trying again later may help: 503 instead of 500.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Context(_) => true,
            Self::Unseal(_) | Self::InvariantViolated(_) => false,
        }
    }
}
