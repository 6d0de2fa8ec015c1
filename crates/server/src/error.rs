//! Internal errors: reported to the caller without details, and written to the log in full.

use crate::vault::UnsealError;
use store::StoreError;

/// The clock or the random generator is not available. No request can be processed safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node cannot process requests: {0}")]
pub struct ContextError(pub &'static str);

/// An error that the caller has not caused.
///
/// The error types of features implement `From` for every type that converts into this one (`impl<E:
/// Into<InternalError>> From<E>`), so a new kind of internal error is added here only.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// The store failed. A command may or may not have been committed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The clock or the random generator is not available.
    #[error("{0}")]
    Context(#[from] ContextError),
    /// A sealed value cannot be opened.
    #[error("{0}")]
    Unseal(#[from] UnsealError),
    /// An invariant of the hub does not hold: a bug, or a store that was changed by hand.
    #[error("{0}")]
    InvariantViolated(&'static str),
}

impl InternalError {
    /// Creates an error for an invariant that does not hold.
    pub const fn new(description: &'static str) -> Self {
        Self::InvariantViolated(description)
    }

    /// Returns whether a later attempt may succeed. The HTTP status is then 503 instead of 500.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Context(_) => true,
            Self::Unseal(_) | Self::InvariantViolated(_) => false,
        }
    }
}
