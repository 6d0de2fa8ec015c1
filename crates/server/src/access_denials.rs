//! The refused requests of clients and operators that are not recorded in the audit log yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::rule::access_denial::DenialTally;

/// The refused requests that this node has counted.
#[derive(Default)]
pub(crate) struct AccessDenials(Mutex<DenialTally>);

impl AccessDenials {
    pub(crate) fn lock(&self) -> MutexGuard<'_, DenialTally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
