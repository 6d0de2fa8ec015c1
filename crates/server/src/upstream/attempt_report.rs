//! The report of one attempt of a job.

use domain::model::job::AttemptOutcome;
use store::command::UnrevokedToken;

/// The result of one attempt of a job at a provider.
#[derive(Debug)]
pub struct AttemptReport {
    /// The result as it determines the next step of the job.
    pub outcome: AttemptOutcome,
    /// A description for operators. It never contains text from the provider, which could include a token.
    pub description: String,
    /// A token that the attempt obtained and could not revoke.
    pub unrevoked: Option<UnrevokedToken>,
}

impl AttemptReport {
    /// Creates a report without an unrevoked token.
    pub fn new(outcome: AttemptOutcome, description: impl Into<String>) -> Self {
        Self { outcome, description: description.into(), unrevoked: None }
    }

    /// Creates the report of an attempt whose result is unknown or temporary.
    pub fn retry_later(description: &impl ToString) -> Self {
        Self::new(AttemptOutcome::RetryLater { retry_after: None }, description.to_string())
    }

    /// Creates the report of a worker that sent nothing because its lease would have expired during the call.
    pub fn lease_expired() -> Self {
        Self::retry_later(&"the lease of the job was about to expire; nothing was sent")
    }
}
