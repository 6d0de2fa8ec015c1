//! Telling a provider that a grant is over.

use domain::Secret;
use domain::id::ConnectionId;
use domain::model::job::{AttemptOutcome, Job, JobKind};
use domain::model::provider::{GrantScope, Provider};
use store::command::UnrevokedToken;
use store::query::{GetProvider, IsGrantShared};

use super::callback::derive_identity;
use super::client::OnBehalfOf;
use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::token_endpoint::TokenGrant;
use super::urls::callback_uri;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::DataKey;

/// How a try of a job went.
#[derive(Debug)]
pub struct AttemptReport {
    /// What it comes to.
    pub attempt: AttemptOutcome,
    /// What happened, in words for a person.
    pub outcome: String,
    /// What came and could not be revoked.
    pub unrevoked: Option<UnrevokedToken>,
}

impl AttemptReport {
    /// It came to this, and nothing is in hand.
    pub fn new(attempt: AttemptOutcome, outcome: impl Into<String>) -> Self {
        Self { attempt, outcome: outcome.into(), unrevoked: None }
    }

    fn superseded() -> Self {
        Self::new(AttemptOutcome::Superseded, "a live connection of the customer hangs from the same grant")
    }

    /// Nothing was learnt: it is tried again.
    pub fn retry_later(outcome: &impl ToString) -> Self {
        Self::new(AttemptOutcome::RetryLater { retry_after: None }, outcome.to_string())
    }
}

/// Revokes at its provider what a job about a connection holds. `ctx` is of the moment in which the job was leased.
pub async fn run_revocation(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, InternalError> {
    let provider = ctx.ask(&GetProvider { id: job.provider_id }).await?;
    let provider = provider.ok_or(InternalError::new("a job has lost its provider"))?;
    let connection = job.connection_id.as_ref().ok_or(InternalError::new("a job has lost its connection"))?;
    let key = ctx.app().vault().unwrap_data_key(&job.data_key, connection.as_str())?;
    let token = key.open_text(connection.as_str(), &job.token)?;
    let revocation = RevocationJob { ctx, job, connection, provider: &provider, key };
    if job.kind == JobKind::RecoverAuthorizationCode {
        revocation.recover_authorization_code(&token).await
    } else {
        revocation.revoke(&token).await
    }
}

/// A job about what a provider granted.
struct RevocationJob<'a> {
    ctx: &'a RequestContext,
    job: &'a Job,
    connection: &'a ConnectionId,
    provider: &'a Provider,
    key: DataKey,
}

impl RevocationJob<'_> {
    fn endpoint(&self) -> ProviderEndpoints<'_> {
        let of_connection = || OnBehalfOf::Connection(self.connection.clone());
        let on_behalf_of = self.job.client_id.clone().map_or_else(of_connection, OnBehalfOf::Recipient);
        ProviderEndpoints::new(self.ctx, self.provider, on_behalf_of)
    }

    /// Whether to revoke the job's token would end a live connection too.
    async fn is_grant_shared(&self, identity: Option<Vec<u8>>) -> Result<bool, InternalError> {
        match self.provider.settings.grant_scope {
            GrantScope::PerToken => Ok(false),
            GrantScope::PerClientCustomer => {
                let (provider_id, connection_id) = (self.provider.id, self.connection.clone());
                Ok(self.ctx.ask(&IsGrantShared { provider_id, connection_id, identity }).await?)
            }
        }
    }

    async fn revoke(&self, token: &Secret<String>) -> Result<AttemptReport, InternalError> {
        if self.is_grant_shared(self.job.identity.clone()).await? {
            return Ok(AttemptReport::superseded());
        }
        let (attempt, outcome) = self.endpoint().revoke(token.expose()).await;
        Ok(AttemptReport::new(attempt, outcome))
    }

    /// An exchange that broke off: what the provider gives for its code now is revoked at once.
    async fn recover_authorization_code(
        &self,
        code: &Secret<String>,
    ) -> Result<AttemptReport, InternalError> {
        let connection = self.connection.as_str();
        let sealed =
            self.job.verifier.as_deref().ok_or(InternalError::new("a code has lost its verifier"))?;
        let verifier = self.key.open_text(connection, sealed)?;
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        if !self.ctx.app().has_time_left(self.ctx.now())? {
            return Ok(AttemptReport::retry_later(&"there was no time left under the lease"));
        }
        let endpoint = self.endpoint();
        let grant = TokenGrant::Code {
            code: code.expose(),
            redirect_uri: &redirect_uri,
            verifier: verifier.expose(),
        };
        let reply = match endpoint.request_tokens(grant).await {
            Ok(reply) => reply,
            Err(error @ UpstreamError::GrantEnded) => {
                return Ok(AttemptReport::new(AttemptOutcome::AlreadyGone, error.to_string()));
            }
            Err(UpstreamError::RateLimited(after)) => {
                let attempt = AttemptOutcome::RetryLater { retry_after: Some(after) };
                return Ok(AttemptReport {
                    attempt,
                    ..AttemptReport::retry_later(&"the provider limits our rate")
                });
            }
            Err(other) => return Ok(AttemptReport::retry_later(&other)),
        };
        let identity = derive_identity(self.ctx, self.provider, &reply);
        if self.is_grant_shared(identity.clone()).await? {
            return Ok(AttemptReport::superseded());
        }
        let token = reply.refresh_token.unwrap_or(reply.access_token);
        let (attempt, description) = endpoint.revoke(token.expose()).await;
        let outcome = format!("tokens came, their revocation: {description}");
        let unrevoked = match attempt {
            AttemptOutcome::Accepted => None,
            _ => Some(UnrevokedToken {
                token: self.key.seal(connection, token.expose().as_bytes())?,
                identity,
            }),
        };
        Ok(AttemptReport { attempt: AttemptOutcome::Accepted, outcome, unrevoked })
    }
}
