//! Jobs that revoke a grant at its provider, or repeat an interrupted code exchange in order to revoke its grant.

use domain::Secret;
use domain::id::{ClientId, ConnectionId};
use domain::model::connection::{ConnectionState, EndCause};
use domain::model::job::{AttemptOutcome, Job, JobKind, SealedAccessToken, TokenType};
use domain::model::provider::{EndpointGroup, GrantScope, Provider, RevokeTokens};
use domain::rule::provider_response::{CallOutcome, FailureReason};
use store::command::{SealedValue, UnrevokedToken};
use store::query::{GetConnection, GetGrantSharing, GetProvider, GrantSharing};

use super::attempt_report::{AttemptError, AttemptReport};
use super::call_report::CallReport;
use super::dpop::choose_dpop_key;
use super::endpoints::ProviderEndpoints;
use super::grant_revocation::{GrantRevocation, RevocationReport};
use super::grant_secret::{GrantSecret, at_endpoints};
use super::grant_terms::find_grant_id;
use super::sealed_token::{
    open_grant_id, open_token, seal_found_tokens, seal_grant_id, seal_purpose, seal_token,
};
use super::token_endpoint::{TokenCallError, TokenGrant};
use super::token_response::{FoundToken, TokenResponse};
use super::urls::callback_uri;
use crate::breaker::BreakerOpenError;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{SealOwner, SealPurpose};

/// Runs one attempt of a job that revokes a grant. The time of `ctx` must not be later than the start of the job's
/// lease.
pub async fn run_revocation(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, AttemptError> {
    let connection = job.connection_id.as_ref().ok_or(InternalError::new("a job has no connection"))?;
    let client = job.client_id.as_ref().ok_or(InternalError::new("a job has no recipient"))?;
    let owner = SealOwner::for_connection(connection, client, job.provider_id);
    if job.kind == JobKind::RecoverAuthorizationCode {
        let key = ctx.app().vault().unwrap_data_key(&job.data_key, owner, SealPurpose::LoginKey)?;
        let code = key.open_text(&owner.bind(SealPurpose::ProviderCode), &job.token)?;
        let sealed =
            job.verifier.as_deref().ok_or(InternalError::new("a recovery job has no PKCE verifier"))?;
        let text = key.open_text(&owner.bind(SealPurpose::PkceVerifier), sealed)?;
        let verifier = GrantSecret::from_text(text)?;
        let provider = &load_provider(ctx, job, verifier.endpoints).await?;
        let revocation = RevocationJob { ctx, job, connection, client, provider, owner };
        revocation.recover_authorization_code(&code, &verifier).await
    } else {
        let sealed = SealedValue { key: job.data_key.clone(), sealed: job.token.clone() };
        let token = open_token(ctx, owner, seal_purpose(job.token_type), &sealed)?;
        let provider = &load_provider(ctx, job, token.endpoints).await?;
        let revocation = RevocationJob { ctx, job, connection, client, provider, owner };
        revocation.revoke(&token.secret).await
    }
}

/// Loads the provider of a job with the endpoints that its grant belongs to.
async fn load_provider(ctx: &RequestContext, job: &Job, endpoints: i64) -> Result<Provider, InternalError> {
    let provider = ctx.ask(&GetProvider { id: job.provider_id }).await?;
    let provider = provider.ok_or(InternalError::new("the provider of a job does not exist"))?;
    at_endpoints(ctx, provider, endpoints).await
}

struct RevocationJob<'a> {
    ctx: &'a RequestContext,
    job: &'a Job,
    connection: &'a ConnectionId,
    client: &'a ClientId,
    provider: &'a Provider,
    owner: SealOwner<'a>,
}

impl RevocationJob<'_> {
    fn endpoints(&self) -> ProviderEndpoints<'_> {
        ProviderEndpoints::new(self.ctx, self.provider, self.client).for_connection(self.connection)
    }

    async fn revoke(&self, token: &Secret<String>) -> Result<AttemptReport, AttemptError> {
        match self.find_sharing(self.job.identity.clone()).await? {
            GrantSharing::Unshared => {}
            GrantSharing::Shared => return Ok(report_grant_shared()),
            GrantSharing::Unknown => {
                return Ok(AttemptReport::new(AttemptOutcome::Refused, CUSTOMER_NOT_KNOWN));
            }
        }
        let access_token =
            self.job.access_token.as_ref().map(|sealed| self.open_other_token(sealed)).transpose()?;
        let sealed_id = self.job.grant_id.as_deref();
        let grant_id = sealed_id.map(|sealed| open_grant_id(self.ctx, self.owner, sealed)).transpose()?;
        let endpoints = self.endpoints();
        let revocation = GrantRevocation {
            endpoints: &endpoints,
            token,
            token_type: self.job.token_type,
            access_token: access_token.as_ref(),
            grant_id: grant_id.as_ref(),
            cause: self.end_cause().await?,
            invalid_requests: self.job.invalid_requests,
            accepted_before: &self.job.accepted_methods,
        };
        let RevocationReport { outcome, description, accepted } = revocation.run().await?;
        Ok(AttemptReport { accepted, ..AttemptReport::new(outcome, description) })
    }

    /// Returns the cause for which the connection of the job ended; `None` if no connection was opened, or if no method needs
    /// the cause.
    async fn end_cause(&self) -> Result<Option<EndCause>, InternalError> {
        if !self.provider.settings.needs_grant_id() {
            return Ok(None);
        }
        let connection = self.ctx.ask(&GetConnection { id: self.connection.clone() }).await?;
        Ok(connection.and_then(|connection| match connection.state {
            ConnectionState::Ended(end) => Some(end.cause),
            ConnectionState::Pending { .. } | ConnectionState::Active => None,
        }))
    }

    fn open_other_token(&self, sealed: &SealedAccessToken) -> Result<Secret<String>, InternalError> {
        let token = SealedValue { key: sealed.data_key.clone(), sealed: sealed.token.clone() };
        Ok(open_token(self.ctx, self.owner, SealPurpose::AccessToken, &token)?.secret)
    }

    /// Sends the authorization code of an interrupted exchange again, and revokes the tokens that the provider issues.
    async fn recover_authorization_code(
        &self,
        code: &Secret<String>,
        verifier: &GrantSecret,
    ) -> Result<AttemptReport, AttemptError> {
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        // A worker that stalled must not send the code after another worker has leased the job. The provider would
        // refuse one of the two, which would report that the code is used up while the other may not have revoked its
        // tokens.
        if !self.ctx.app().has_time_left(self.ctx.now())? {
            return Ok(AttemptReport::lease_expired());
        }
        let grant = TokenGrant::Code {
            code: code.expose(),
            redirect_uri: &redirect_uri,
            verifier: verifier.secret.expose(),
        };
        let endpoints = self.endpoints();
        endpoints.ensure_queue_open(EndpointGroup::Token)?;
        // The code may be bound to the key of the interrupted exchange.
        let dpop_key = choose_dpop_key(self.ctx, self.provider, verifier.dpop_key.clone())?;
        match endpoints.send_token_request(grant, dpop_key).await {
            Ok(tokens) => self.revoke_recovered_tokens(&endpoints, tokens).await,
            Err(TokenCallError::CircuitOpen) => Err(AttemptError::BreakerOpen),
            Err(TokenCallError::Failed { report, found }) => self.report_failed_recovery(&report, found),
        }
    }

    fn report_failed_recovery(
        &self,
        report: &CallReport,
        found: Vec<FoundToken>,
    ) -> Result<AttemptReport, AttemptError> {
        let outcome = match report.outcome {
            // The code has expired or was used. If the interrupted exchange used it, its grant may be active, but the
            // hub has no token to revoke it: the job reports a grant that may be active, not a success.
            CallOutcome::Refused(FailureReason::GrantRejected) => AttemptOutcome::AlreadyGone,
            // The code must not be sent again while the provider may still be processing this attempt.
            _ if report.may_still_be_processed(!found.is_empty()) => {
                let wait = self.ctx.app().refresh_lease_duration();
                AttemptOutcome::RetryLater {
                    retry_after: Some(report.retry_after.unwrap_or_default().max(wait)),
                }
            }
            _ => AttemptOutcome::RetryLater { retry_after: report.retry_after },
        };
        let unrevoked = seal_found_tokens(self.ctx, self.provider, self.owner, found)?;
        Ok(AttemptReport { unrevoked, ..AttemptReport::new(outcome, report.to_string()) })
    }

    async fn revoke_recovered_tokens(
        &self,
        endpoints: &ProviderEndpoints<'_>,
        tokens: TokenResponse,
    ) -> Result<AttemptReport, AttemptError> {
        let identity = match self.provider.settings.grant_scope {
            // Each grant belongs to one token, so the customer does not matter.
            GrantScope::PerToken => None,
            // If the customer is not known, the grant may be that of another connection.
            GrantScope::PerClientCustomer => endpoints.find_identity(&tokens, None).await.ok().flatten(),
        };
        let sharing = self.find_sharing(identity.clone()).await?;
        if sharing == GrantSharing::Shared {
            return Ok(report_grant_shared());
        }
        // The access token, which was issued now, expires soon: both are not needed here.
        let is_access_token_revoked = self.provider.settings.revoke_tokens == RevokeTokens::Access;
        let grant_id = find_grant_id(self.provider, &tokens);
        let (token, token_type) = match tokens.refresh_token {
            Some(token) if !is_access_token_revoked => (token, TokenType::RefreshToken),
            _ => (tokens.access_token, TokenType::AccessToken),
        };
        let revocation = GrantRevocation {
            endpoints,
            token: &token,
            token_type,
            access_token: None,
            grant_id: grant_id.as_ref(),
            cause: None,
            invalid_requests: 0,
            accepted_before: &[],
        };
        let attempt = match sharing {
            // The job that gets the token fails for the same reason, so that an operator decides.
            GrantSharing::Unknown => Ok((AttemptOutcome::Refused, CUSTOMER_NOT_KNOWN.to_owned())),
            _ => revocation.run().await.map(|report| (report.outcome, report.description)),
        };
        let (outcome, description) = match attempt {
            Ok(attempt) => attempt,
            // The code is used up, so the token must be kept even if the breaker of the revocation endpoint is open.
            Err(BreakerOpenError) => (
                AttemptOutcome::RetryLater { retry_after: None },
                "waits for the provider's revocation endpoint".to_owned(),
            ),
        };
        let unrevoked = if outcome == AttemptOutcome::Accepted {
            Vec::new()
        } else {
            let seal_id = |id: &Secret<String>| seal_grant_id(self.ctx, self.owner, id.expose());
            let grant_id = grant_id.as_ref().map(seal_id).transpose()?;
            let owner = (self.owner, self.provider);
            let token = seal_token(self.ctx, owner, seal_purpose(token_type), (&token, None))?;
            vec![UnrevokedToken { token, token_type, grant_id, identity, is_complete: true }]
        };
        // The code is used up, so this job is complete. Another job revokes a token that could not be revoked here.
        let description = format!("tokens were issued; their revocation: {description}");
        Ok(AttemptReport { unrevoked, ..AttemptReport::new(AttemptOutcome::Accepted, description) })
    }

    /// Finds whether revoking the job's token would also end another connection of the same customer.
    async fn find_sharing(&self, identity: Option<Vec<u8>>) -> Result<GrantSharing, InternalError> {
        match self.provider.settings.grant_scope {
            GrantScope::PerToken => Ok(GrantSharing::Unshared),
            // The provider has one grant for all connections of a customer, so revoking one token ends them all.
            GrantScope::PerClientCustomer => {
                let (provider_id, connection_id) = (self.provider.id, self.connection.clone());
                Ok(self.ctx.ask(&GetGrantSharing { provider_id, connection_id, identity }).await?)
            }
        }
    }
}

const CUSTOMER_NOT_KNOWN: &str = "the customer of the grant is not known, and a revocation may end a live connection: revoke it at the provider \
     and close the job, or retry the job when the provider has no live connection";

fn report_grant_shared() -> AttemptReport {
    AttemptReport::new(AttemptOutcome::Superseded, "another active connection uses the same grant")
}
