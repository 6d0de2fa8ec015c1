//! Jobs that revoke a grant at its provider, or repeat an interrupted code exchange in order to revoke its grant.

use domain::Secret;
use domain::id::{ClientId, ConnectionId};
use domain::model::job::{AttemptOutcome, Job, JobKind};
use domain::model::provider::{EndpointGroup, GrantScope, Provider};
use store::command::UnrevokedToken;
use store::query::{GetProvider, IsGrantShared};

use super::attempt_report::{AttemptError, AttemptReport};
use super::callback::derive_identity;
use super::client::OnBehalfOf;
use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::sealed_token::seal_token;
use super::token_endpoint::TokenGrant;
use super::urls::callback_uri;
use crate::breaker::BreakerOpenError;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{DataKey, SealOwner, SealPurpose};

/// Runs one attempt of a job that revokes a grant. The time of `ctx` must not be later than the start of the job's
/// lease.
pub async fn run_revocation(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, AttemptError> {
    let provider = ctx.ask(&GetProvider { id: job.provider_id }).await?;
    let provider = provider.ok_or(InternalError::new("the provider of a job does not exist"))?;
    let connection = job.connection_id.as_ref().ok_or(InternalError::new("a job has no connection"))?;
    let client = job.client_id.as_ref().ok_or(InternalError::new("a job has no recipient"))?;
    let owner = SealOwner::for_connection(connection, client, provider.id);
    let revocation = RevocationJob { ctx, job, connection, client, provider: &provider, owner };
    if job.kind == JobKind::RecoverAuthorizationCode {
        let key = ctx.app().vault().unwrap_data_key(&job.data_key, owner, SealPurpose::LoginKey)?;
        let code = key.open_text(&owner.bind(SealPurpose::ProviderCode), &job.token)?;
        revocation.recover_authorization_code(&key, &code).await
    } else {
        // A provider that issued no refresh token gets its access token back.
        let purposes = [SealPurpose::RefreshToken, SealPurpose::AccessToken];
        let token = ctx.app().vault().open_text(owner, &purposes, (&job.data_key, &job.token))?;
        revocation.revoke(&token).await
    }
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
        let on_behalf_of = OnBehalfOf::Recipient(self.client.clone());
        ProviderEndpoints::new(self.ctx, self.provider, on_behalf_of)
    }

    async fn revoke(&self, token: &Secret<String>) -> Result<AttemptReport, AttemptError> {
        if self.is_grant_shared(self.job.identity.clone()).await? {
            return Ok(report_grant_shared());
        }
        Ok(self.endpoints().revoke(token.expose()).await?)
    }

    /// Sends the authorization code of an interrupted exchange again, and revokes the tokens that the provider issues.
    async fn recover_authorization_code(
        &self,
        key: &DataKey,
        code: &Secret<String>,
    ) -> Result<AttemptReport, AttemptError> {
        let sealed =
            self.job.verifier.as_deref().ok_or(InternalError::new("a recovery job has no PKCE verifier"))?;
        let verifier = key.open_text(&self.owner.bind(SealPurpose::PkceVerifier), sealed)?;
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        // A worker that stalled must not send the code after another worker has leased the job. The provider would
        // refuse one of the two, which would report that the code is used up while the other may not have revoked its
        // tokens.
        if !self.ctx.app().has_time_left(self.ctx.now())? {
            return Ok(AttemptReport::lease_expired());
        }
        let endpoints = self.endpoints();
        let grant = TokenGrant::Code {
            code: code.expose(),
            redirect_uri: &redirect_uri,
            verifier: verifier.expose(),
        };
        endpoints.ensure_circuit_closed(EndpointGroup::Token)?;
        let tokens = match endpoints.send_token_request(grant).await {
            Ok(tokens) => tokens,
            // The code has expired or was used. If the interrupted exchange used it, its grant may be active, but the
            // hub has no token to revoke it: the job reports a grant that may be active, not a success.
            Err(error @ UpstreamError::GrantEnded) => {
                return Ok(AttemptReport::new(AttemptOutcome::AlreadyGone, error.to_string()));
            }
            Err(error @ UpstreamError::RateLimited(wait)) => {
                let outcome = AttemptOutcome::RetryLater { retry_after: Some(wait) };
                return Ok(AttemptReport::new(outcome, error.to_string()));
            }
            Err(error) => return Ok(AttemptReport::retry_later(&error)),
        };
        let identity = derive_identity(self.ctx, self.provider, &tokens);
        if self.is_grant_shared(identity.clone()).await? {
            return Ok(report_grant_shared());
        }
        let (purpose, token) = match tokens.refresh_token {
            Some(token) => (SealPurpose::RefreshToken, token),
            None => (SealPurpose::AccessToken, tokens.access_token),
        };
        // The code is used up, so the token must be kept even if the breaker of the revocation endpoint is open.
        let revocation = endpoints.revoke(token.expose()).await.unwrap_or_else(|BreakerOpenError| {
            AttemptReport::retry_later(&"waits for the provider's revocation endpoint")
        });
        let unrevoked = if revocation.outcome == AttemptOutcome::Accepted {
            None
        } else {
            let token = seal_token(self.ctx, self.owner, purpose, &token)?;
            Some(UnrevokedToken { token, identity })
        };
        // The code is used up, so this job is complete. Another job revokes a token that could not be revoked here.
        let description = format!("tokens were issued; their revocation: {}", revocation.description);
        Ok(AttemptReport { outcome: AttemptOutcome::Accepted, description, unrevoked })
    }

    /// Returns whether revoking the job's token would also end another connection of the same customer.
    async fn is_grant_shared(&self, identity: Option<Vec<u8>>) -> Result<bool, InternalError> {
        match self.provider.settings.grant_scope {
            GrantScope::PerToken => Ok(false),
            // The provider has one grant for all connections of a customer, so revoking one token ends them all.
            GrantScope::PerClientCustomer => {
                let (provider_id, connection_id) = (self.provider.id, self.connection.clone());
                Ok(self.ctx.ask(&IsGrantShared { provider_id, connection_id, identity }).await?)
            }
        }
    }
}

fn report_grant_shared() -> AttemptReport {
    let description = "another active connection of the customer uses the same grant";
    AttemptReport::new(AttemptOutcome::Superseded, description)
}
