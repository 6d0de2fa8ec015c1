//! The report of one attempt of a job. It decides whether the job is done, has failed or is retried.

use domain::model::job::AttemptOutcome;
use domain::model::provider::RevokeMethod;
use store::command::UnrevokedToken;

use crate::breaker::BreakerOpenError;
use crate::error::InternalError;

/// The result of one attempt of a job at a provider.
#[derive(Debug)]
pub struct AttemptReport {
    /// The outcome, from which the next state of the job is determined.
    pub outcome: AttemptOutcome,
    /// A description of the attempt for operators. It never contains text from the provider, which could include a
    /// token.
    pub description: String,
    /// The methods of revocation that the provider has accepted.
    pub accepted: Vec<RevokeMethod>,
    /// The tokens that the attempt obtained and could not revoke. A job of its own revokes each later.
    pub unrevoked: Vec<UnrevokedToken>,
}

/// The reason why an attempt of a job has no report.
#[derive(Debug)]
pub enum AttemptError {
    /// The circuit breaker of the endpoint is open. Nothing was sent, so this does not count as an attempt.
    BreakerOpen,
    /// The hub or its store failed.
    Internal(InternalError),
}

impl From<BreakerOpenError> for AttemptError {
    fn from(_: BreakerOpenError) -> Self {
        Self::BreakerOpen
    }
}

impl<E: Into<InternalError>> From<E> for AttemptError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

impl AttemptReport {
    /// Creates a report without unrevoked tokens.
    pub fn new(outcome: AttemptOutcome, description: impl Into<String>) -> Self {
        Self { outcome, description: description.into(), accepted: Vec::new(), unrevoked: Vec::new() }
    }

    /// Creates the report of an attempt that failed temporarily or whose result is unknown, so that the job is retried.
    pub fn retry_later(description: &impl ToString) -> Self {
        Self::new(AttemptOutcome::RetryLater { retry_after: None }, description.to_string())
    }

    /// Creates the report of an attempt that sent nothing, because its lease would have expired during the call.
    pub fn lease_expired() -> Self {
        Self::retry_later(&"the lease of the job was about to expire; nothing was sent")
    }
}
