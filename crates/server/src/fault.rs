//! Our own trouble: opaque to the caller, whole in the log.

use crate::ctx::Unfit;
use crate::vault::Unsealable;
use store::StoreError;

/// Something that is not the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store cannot answer now; what was asked may or may not have happened.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The node is not fit to decide anything.
    #[error("{0}")]
    Unfit(#[from] Unfit),
    /// A sealed value does not open.
    #[error("{0}")]
    Unsealable(#[from] Unsealable),
    /// A contradiction.
    #[error("{0}")]
    Broken(&'static str),
}

impl Fault {
    /// A contradiction.
    pub const fn new(what: &'static str) -> Self {
        Self::Broken(what)
    }

    /// Whether trying again later may help: 503 instead of 500.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Unfit(_) => true,
            Self::Unsealable(_) | Self::Broken(_) => false,
        }
    }
}
