//! The revocation of one grant by each method of the provider's settings.

use std::time::Duration;

use domain::Secret;
use domain::model::connection::EndCause;
use domain::model::job::{AttemptOutcome, TokenType};
use domain::model::provider::{EndpointError, ProviderEndpoint, RevokeMethod, RevokeTokens};
use domain::rule::provider_response::{CallOutcome, FailureReason, RevocationStep, next_revocation_step};
use domain::rule::revocation_methods::{MethodResult, combine_methods};

use super::call_report::CallReport;
use super::endpoints::ProviderEndpoints;
use super::grant_endpoint::ConsentRevocationReason;
use crate::breaker::BreakerOpenError;

const WAITING: &str = "waits for the provider's revocation endpoint";
const NO_TIME: &str = "the lease of the job was about to expire; nothing was sent";

/// The revocation of one grant, by its tokens or its id.
pub(super) struct GrantRevocation<'a> {
    pub(super) endpoints: &'a ProviderEndpoints<'a>,
    /// The refresh token, or the access token if there is no other.
    pub(super) token: &'a Secret<String>,
    pub(super) token_type: TokenType,
    /// The access token, while it is valid, if `token` is a refresh token.
    pub(super) access_token: Option<&'a Secret<String>>,
    /// The id of the grant at the provider.
    pub(super) grant_id: Option<&'a Secret<String>>,
    /// The cause of the end of the connection; `None` if no connection was opened.
    pub(super) cause: Option<EndCause>,
    /// The number of earlier attempts that got `invalid_request`.
    pub(super) invalid_requests: u32,
    /// The methods that the provider accepted in earlier attempts.
    pub(super) accepted_before: &'a [RevokeMethod],
}

/// The result of an attempt to revoke a grant.
pub(super) struct RevocationReport {
    pub(super) outcome: AttemptOutcome,
    /// A description for operators.
    pub(super) description: String,
    /// The methods that the provider accepted in this attempt.
    pub(super) accepted: Vec<RevokeMethod>,
}

/// The result of one method.
struct MethodReport {
    step: RevocationStep,
    is_grant_unknown: bool,
    retry_after: Option<Duration>,
    description: String,
}

impl MethodReport {
    fn new(step: RevocationStep, report: &CallReport, description: String) -> Self {
        let is_grant_unknown = report.outcome == CallOutcome::Refused(FailureReason::GrantRejected);
        Self { step, is_grant_unknown, retry_after: report.retry_after, description }
    }

    fn without_call(step: RevocationStep, description: impl Into<String>) -> Self {
        Self { step, is_grant_unknown: false, retry_after: None, description: description.into() }
    }
}

impl GrantRevocation<'_> {
    /// Carries out each method of the settings that the provider has not accepted before. Returns an error if nothing was sent
    /// because a circuit breaker is open.
    pub(super) async fn run(&self) -> Result<RevocationReport, BreakerOpenError> {
        let methods = &self.endpoints.provider.settings.revoke;
        if methods.is_empty() {
            return Ok(RevocationReport {
                outcome: AttemptOutcome::Refused,
                description: "the provider has no method of revocation in its settings".to_owned(),
                accepted: Vec::new(),
            });
        }
        let (mut results, mut reports): (Vec<MethodResult>, Vec<MethodReport>) = (Vec::new(), Vec::new());
        for method in methods.iter().copied().filter(|method| !self.accepted_before.contains(method)) {
            let report = match self.run_method_in_time(method).await {
                Ok(report) => report,
                Err(error) if reports.is_empty() => return Err(error),
                // A method before this one was carried out, and its result must be stored.
                Err(BreakerOpenError) => MethodReport::without_call(RevocationStep::Retry, WAITING),
            };
            let MethodReport { step, is_grant_unknown, .. } = report;
            results.push(MethodResult { method, step, is_grant_unknown });
            reports.push(report);
        }
        Ok(self.summarize(&results, &reports))
    }

    fn summarize(&self, results: &[MethodResult], reports: &[MethodReport]) -> RevocationReport {
        let is_single = self.endpoints.provider.settings.revoke.len() == 1;
        let describe = |(result, report): (&MethodResult, &MethodReport)| {
            // A single method needs no name.
            let text = &report.description;
            if is_single { text.clone() } else { format!("{}: {text}", result.method.as_str()) }
        };
        let descriptions: Vec<_> = results.iter().zip(reports).map(describe).collect();
        let retry_after = reports.iter().filter_map(|report| report.retry_after).max();
        let is_accepted = |result: &&MethodResult| result.step == RevocationStep::Accepted;
        RevocationReport {
            outcome: attempt_outcome(combine_methods(results, self.accepted_before), retry_after),
            description: descriptions.join("; "),
            accepted: results.iter().filter(is_accepted).map(|result| result.method).collect(),
        }
    }

    /// Carries out a method if its calls, of which there are at most two, end before the lease of the job does.
    async fn run_method_in_time(&self, method: RevokeMethod) -> Result<MethodReport, BreakerOpenError> {
        let ctx = self.endpoints.ctx;
        if ctx.app().has_time_left(ctx.now()).unwrap_or(false) {
            self.run_method(method).await
        } else {
            Ok(MethodReport::without_call(RevocationStep::Retry, NO_TIME))
        }
    }

    async fn run_method(&self, method: RevokeMethod) -> Result<MethodReport, BreakerOpenError> {
        match method {
            RevokeMethod::Rfc7009 => self.revoke_tokens().await,
            RevokeMethod::FdxConsent | RevokeMethod::GrantManagement => {
                let Some(id) = self.grant_id else {
                    let description = "the provider's id of the grant is not known";
                    return Ok(MethodReport::without_call(RevocationStep::Refused, description));
                };
                let reason = ConsentRevocationReason::for_cause(self.cause);
                let report = self.endpoints.revoke_grant_by_id(method, id, reason).await?;
                Ok(self.report_call(&report))
            }
        }
    }

    async fn revoke_tokens(&self) -> Result<MethodReport, BreakerOpenError> {
        let endpoint = match self.endpoints.provider.endpoint(ProviderEndpoint::Revocation) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                return Ok(MethodReport::without_call(step_without_endpoint(error), error.to_string()));
            }
        };
        let own = (self.token.expose().as_str(), self.token_type);
        // The access token is missing if it has expired, or if it is the only token.
        let Some(access_token) = self.access_token else { return self.revoke_one(endpoint, own).await };
        match self.endpoints.provider.settings.revoke_tokens {
            RevokeTokens::Refresh => self.revoke_refresh_token(endpoint, own.0, access_token.expose()).await,
            RevokeTokens::Access => {
                self.revoke_one(endpoint, (access_token.expose(), TokenType::AccessToken)).await
            }
            RevokeTokens::Both => self.revoke_both(endpoint, own.0, access_token.expose()).await,
        }
    }

    fn next_step(&self, report: &CallReport, has_other_token: bool) -> RevocationStep {
        next_revocation_step(report.outcome, self.invalid_requests, has_other_token)
    }

    fn report_call(&self, report: &CallReport) -> MethodReport {
        MethodReport::new(self.next_step(report, false), report, report.to_string())
    }

    async fn revoke_one(
        &self,
        endpoint: &str,
        (token, token_type): (&str, TokenType),
    ) -> Result<MethodReport, BreakerOpenError> {
        let report = self.endpoints.revoke(endpoint, token, token_type).await?;
        Ok(self.report_call(&report))
    }

    /// Revokes both tokens. The refresh token is first, because an access token expires soon. If the second call fails, both
    /// are repeated: a revoked token is accepted again (RFC 7009 §2.2).
    async fn revoke_both(
        &self,
        endpoint: &str,
        refresh_token: &str,
        access_token: &str,
    ) -> Result<MethodReport, BreakerOpenError> {
        let report = self.endpoints.revoke(endpoint, refresh_token, TokenType::RefreshToken).await?;
        let step = self.next_step(&report, false);
        if step != RevocationStep::Accepted {
            return Ok(MethodReport::new(step, &report, format!("refresh token: {report}")));
        }
        let other = self.endpoints.revoke(endpoint, access_token, TokenType::AccessToken).await?;
        let description = format!("refresh token: {report}; access token: {other}");
        Ok(MethodReport::new(self.next_step(&other, false), &other, description))
    }

    /// Revokes the refresh token, and the access token only if the provider does not revoke refresh tokens.
    async fn revoke_refresh_token(
        &self,
        endpoint: &str,
        refresh_token: &str,
        access_token: &str,
    ) -> Result<MethodReport, BreakerOpenError> {
        let report = self.endpoints.revoke(endpoint, refresh_token, TokenType::RefreshToken).await?;
        match self.next_step(&report, true) {
            RevocationStep::TryOtherToken => {}
            step => return Ok(MethodReport::new(step, &report, report.to_string())),
        }
        // The provider does not revoke refresh tokens. It may still end the grant with its access token, which does not
        // prove that the refresh token has become invalid: the method stays refused.
        let other = self.endpoints.revoke(endpoint, access_token, TokenType::AccessToken).await?;
        let step = match self.next_step(&other, false) {
            step @ (RevocationStep::Retry | RevocationStep::CountAndRetry) => step,
            RevocationStep::Accepted | RevocationStep::Refused | RevocationStep::TryOtherToken => {
                RevocationStep::Refused
            }
        };
        Ok(MethodReport::new(step, &other, format!("refresh token: {report}; access token: {other}")))
    }
}

const fn step_without_endpoint(error: EndpointError) -> RevocationStep {
    match error {
        EndpointError::Missing(_) => RevocationStep::Refused,
        // The metadata become known, or an operator allows the host.
        EndpointError::NotDiscovered(_) | EndpointError::OtherHost(_) => RevocationStep::Retry,
    }
}

const fn attempt_outcome(step: RevocationStep, retry_after: Option<Duration>) -> AttemptOutcome {
    match step {
        RevocationStep::Accepted => AttemptOutcome::Accepted,
        RevocationStep::Refused | RevocationStep::TryOtherToken => AttemptOutcome::Refused,
        RevocationStep::CountAndRetry => AttemptOutcome::InvalidRequest { retry_after },
        RevocationStep::Retry => AttemptOutcome::RetryLater { retry_after },
    }
}
