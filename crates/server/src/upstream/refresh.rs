//! Obtains the access token with which a connection's data is read from the provider, and refreshes it.
//!
//! A lease in the store ensures that only one node at a time refreshes the token of a connection. Each refresh
//! increments the version of the credential. New tokens are stored only if the version is unchanged and the connection
//! has not ended.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::{EndCause, EndDetails};
use domain::model::job::{AttemptOutcome, Job};
use domain::model::provider::{Dpop, Provider, ProviderState};
use domain::rule::access::GrantedAccess;
use domain::rule::connection_end::RefreshTokenEnd;
use domain::rule::token_lifetime::needs_refresh;
use store::command::{
    EndConnection, EndOutcome, HandleInvalidGrant, InvalidGrantOutcome, Lease, LeaseCredential, LeaseOutcome,
    ReleaseLease, StoreCredential, StoreCredentialOutcome,
};
use store::query::{GetAccessState, GetProvider, GetUpstreamCredential, UpstreamCredential};

use super::attempt_report::{AttemptError, AttemptReport};
use super::dpop::{ResourceToken, choose_dpop_key};
use super::endpoints::ProviderEndpoints;
use super::error::{ReadError, UpstreamError};
use super::grant_secret::GrantSecret;
use super::sealed_token::{open_token, seal_token, seal_unpresented_token};
use super::token_endpoint::{TokenCallError, TokenGrant};
use super::token_response::TokenResponse;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{SealOwner, SealPurpose};

/// The number of attempts of a job that repeats a refresh. Afterwards the next read repeats it.
const MAX_CONFIRMATION_ATTEMPTS: u32 = 5;

const MIN_POLL_DELAY: Duration = Duration::from_millis(20);
const MAX_POLL_DELAY: Duration = Duration::from_millis(500);

/// A provider's access token for a connection, with its version.
pub(super) struct UpstreamAccessToken {
    pub(super) token: ResourceToken,
    /// The version of the stored credential that contains the token.
    pub(super) version: i64,
    /// The version of the provider's endpoints that the token was sealed with.
    pub(super) endpoints: i64,
}

/// A stored access token that the provider has just rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RejectedToken {
    /// The version of the credential that contains the token.
    pub(super) version: i64,
    /// The provider demanded a proof of possession instead of rejecting the token itself.
    pub(super) is_proof_demanded: bool,
}

enum RefreshError {
    /// Another request or node is refreshing the token, or has just refreshed it. The credential must be read again.
    Busy,
    Failed(ReadError),
}

impl<E: Into<ReadError>> From<E> for RefreshError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Returns a valid access token of a connection at its provider. The token is refreshed first if it expires soon or was
/// rejected.
///
/// `rejected` is the token that the provider has just rejected, if there is one.
pub(super) async fn obtain_access_token(
    ctx: &RequestContext,
    provider: &Provider,
    access: &GrantedAccess,
    rejected: Option<RejectedToken>,
) -> Result<UpstreamAccessToken, ReadError> {
    // If another node died during a refresh, its lease expires within this time. This request then refreshes the token.
    let max_wait = ctx.app().refresh_lease_duration();
    let delays = ExponentialBuilder::default()
        .with_min_delay(MIN_POLL_DELAY)
        .with_max_delay(MAX_POLL_DELAY)
        .with_total_delay(Some(max_wait))
        .without_max_times()
        .with_jitter();
    let token = (|| try_obtain_access_token(ctx, provider, access, rejected))
        .retry(delays)
        .when(|error| matches!(error, RefreshError::Busy));
    token.await.map_err(|error| match error {
        RefreshError::Busy => ReadError::Upstream(UpstreamError::RefreshRunning),
        RefreshError::Failed(error) => error,
    })
}

async fn try_obtain_access_token(
    ctx: &RequestContext,
    provider: &Provider,
    access: &GrantedAccess,
    rejected: Option<RejectedToken>,
) -> Result<UpstreamAccessToken, RefreshError> {
    let (id, client_id) = (access.connection_id(), access.client_id());
    let owner = CredentialOwner { provider, id, client_id };
    // Time has passed since an earlier attempt, so the expiry must be compared with the current time.
    let ctx = ctx.refreshed()?;
    let credential = ctx.ask(&GetUpstreamCredential { connection_id: id.clone() }).await?;
    let Some(credential) = credential else {
        return Err(RefreshError::Failed(load_end(&ctx, id).await));
    };
    let rejected = rejected.filter(|rejected| rejected.version == credential.version);
    match (credential.has_refresh_token, rejected) {
        // The grant has not ended: the provider accepts its tokens only with a proof.
        (false, Some(RejectedToken { is_proof_demanded: true, .. })) => {
            return Err(RefreshError::Failed(ReadError::Upstream(UpstreamError::ProofDemanded)));
        }
        (false, Some(_)) => return Err(end_with_access_token(&ctx, owner, credential.version).await),
        // Without a refresh token, the access token is used until the provider rejects it, whatever lifetime it announced.
        (false, None) => return Ok(open_access_token(&ctx, owner, &credential)?.1),
        (true, None) if !needs_refresh(credential.issued_at, credential.access_expires_at, ctx.now()) => {
            let (is_usable, token) = open_access_token(&ctx, owner, &credential)?;
            if is_usable {
                return Ok(token);
            }
        }
        (true, _) => {}
    }
    // While an `invalid_grant` waits for its confirmation, the refresh token must not be sent.
    if let Some(wait) = confirmation_wait(&ctx, &credential) {
        return Err(RefreshError::Failed(ReadError::Upstream(UpstreamError::GrantUnconfirmed(wait))));
    }
    refresh_credential(ctx, owner, credential.version).await
}

/// The connection that a credential belongs to, with its recipient and provider.
#[derive(Clone, Copy)]
struct CredentialOwner<'a> {
    provider: &'a Provider,
    id: &'a ConnectionId,
    client_id: &'a ClientId,
}

/// Opens the stored access token. The first value is false if the token must be refreshed because of its type: it is never presented,
/// or it is not bound to a key although the setting requires it.
fn open_access_token(
    ctx: &RequestContext,
    CredentialOwner { provider, id, client_id }: CredentialOwner<'_>,
    credential: &UpstreamCredential,
) -> Result<(bool, UpstreamAccessToken), RefreshError> {
    let owner = SealOwner::for_connection(id, client_id, provider.id);
    let opened = open_token(ctx, owner, SealPurpose::AccessToken, &credential.access_token)?;
    let GrantSecret { secret, endpoints, dpop_key, is_presentable } = opened;
    let is_usable = is_presentable && (dpop_key.is_some() || provider.settings.dpop != Dpop::Required);
    let token = ResourceToken { secret, dpop_key };
    Ok((is_usable, UpstreamAccessToken { token, version: credential.version, endpoints }))
}

/// Loads the current settings of the provider of a connection.
pub(super) async fn load_provider(ctx: &RequestContext, id: ProviderId) -> Result<Provider, InternalError> {
    let provider = ctx.ask(&GetProvider { id }).await?;
    provider.ok_or(InternalError::new("the provider of a connection does not exist"))
}

/// Returns the time until a refresh that was rejected once may be repeated; `None` if it may be sent now.
fn confirmation_wait(ctx: &RequestContext, credential: &UpstreamCredential) -> Option<Duration> {
    let delay = ctx.app().config().upstream.invalid_grant_delay.duration();
    let repeated_at = credential.invalid_grant_at?.plus(delay);
    (ctx.now() < repeated_at).then(|| repeated_at.since(ctx.now()))
}

/// Returns the error for a connection that has ended in the meantime, with the stored cause.
async fn load_end(ctx: &RequestContext, id: &ConnectionId) -> ReadError {
    match ctx.ask(&GetAccessState { connection_id: id.clone() }).await {
        Ok(state) => ReadError::ConnectionEnded(state.and_then(|state| state.cause)),
        Err(error) => error.into(),
    }
}

/// Ends a connection whose access token is rejected and for which there is no refresh token.
async fn end_with_access_token(
    ctx: &RequestContext,
    owner: CredentialOwner<'_>,
    version: i64,
) -> RefreshError {
    let end = async {
        let command = EndConnection {
            moment: ctx.new_moment()?,
            connection_id: owner.id.clone(),
            cause: EndCause::AccessTokenEnded,
            actor: Actor::new(ActorKind::Provider, owner.provider.id.to_string()),
            fence: Some(version),
        };
        Ok::<_, InternalError>(crate::connections::end(ctx, command).await?)
    };
    match end.await {
        Ok(EndOutcome::Fenced) => RefreshError::Busy,
        Ok(EndOutcome::Ended(cause) | EndOutcome::AlreadyEnded(EndDetails { cause, .. })) => {
            RefreshError::Failed(ReadError::ConnectionEnded(Some(cause)))
        }
        Ok(EndOutcome::NotFound) => RefreshError::Failed(ReadError::ConnectionEnded(None)),
        Err(error) => error.into(),
    }
}

/// Runs one attempt of a job that repeats a refresh which the provider rejected with `invalid_grant`.
pub async fn confirm_invalid_grant(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, AttemptError> {
    let report = |outcome, description: &str| Ok(AttemptReport::new(outcome, description));
    let provider = load_provider(ctx, job.provider_id).await?;
    let id = job.connection_id.as_ref().ok_or(InternalError::new("a job has no connection"))?;
    let client_id = job.client_id.as_ref().ok_or(InternalError::new("a job has no recipient"))?;
    let owner = CredentialOwner { provider: &provider, id, client_id };
    let Some(credential) = ctx.ask(&GetUpstreamCredential { connection_id: id.clone() }).await? else {
        return report(AttemptOutcome::Superseded, "the connection has ended");
    };
    if credential.invalid_grant_at.is_none() {
        return report(AttemptOutcome::Superseded, "the provider has accepted the grant again");
    }
    if provider.state != ProviderState::Active {
        return report(
            AttemptOutcome::Superseded,
            "the provider is paused; a later read repeats the refresh",
        );
    }
    let error = match refresh_credential(ctx.refreshed()?, owner, credential.version).await {
        Ok(_) => return report(AttemptOutcome::Accepted, "the provider has accepted the grant again"),
        Err(RefreshError::Failed(ReadError::ConnectionEnded(_))) => {
            return report(AttemptOutcome::Accepted, "invalid_grant again: the connection has ended");
        }
        Err(RefreshError::Failed(ReadError::ProviderPaused)) => {
            return report(
                AttemptOutcome::Superseded,
                "the provider is paused; a later read repeats the refresh",
            );
        }
        Err(RefreshError::Failed(ReadError::Internal(error))) => return Err(error.into()),
        Err(RefreshError::Busy) => "another refresh is running".to_owned(),
        Err(RefreshError::Failed(ReadError::Upstream(error))) => error.to_string(),
    };
    if job.attempt + 1 >= MAX_CONFIRMATION_ATTEMPTS {
        return report(AttemptOutcome::Superseded, &format!("{error}; a later read repeats the refresh"));
    }
    report(AttemptOutcome::RetryLater { retry_after: None }, &error)
}

/// Refreshes the credential with this version, unless another request or node does so.
async fn refresh_credential(
    ctx: RequestContext,
    CredentialOwner { provider, id, client_id }: CredentialOwner<'_>,
    seen_version: i64,
) -> Result<UpstreamAccessToken, RefreshError> {
    let lease = LeaseCredential {
        moment: ctx.new_moment()?,
        connection_id: id.clone(),
        seen_version,
        lease_ttl: ctx.app().refresh_lease_duration(),
    };
    match ctx.run(lease).await? {
        LeaseOutcome::ConnectionEnded => Err(RefreshError::Failed(load_end(&ctx, id).await)),
        LeaseOutcome::AlreadyRefreshed | LeaseOutcome::Busy(_) => Err(RefreshError::Busy),
        LeaseOutcome::Acquired(lease) => {
            // The refresh runs in a separate task, because this future is dropped when the caller disconnects. The
            // refresh must still be completed: a rotated refresh token that is not stored would be lost.
            let (id, client_id) = (id.clone(), client_id.clone());
            let task = RefreshTask { ctx, provider: provider.clone(), id, client_id, lease };
            let result = tokio::spawn(task.run()).await;
            result.map_err(|_| ReadError::Upstream(UpstreamError::Failed))?
        }
    }
}

/// A refresh whose lease belongs to this node.
///
/// If the store fails, the lease remains until it expires. The next node that acquires a lease then records that the
/// outcome of this refresh is unknown.
struct RefreshTask {
    ctx: RequestContext,
    provider: Provider,
    id: ConnectionId,
    client_id: ClientId,
    lease: Lease,
}

impl RefreshTask {
    async fn run(mut self) -> Result<UpstreamAccessToken, RefreshError> {
        let Some(sealed) = &self.lease.refresh_token else {
            return self.release_lease(UpstreamError::TokenRefused, false).await;
        };
        let refresh_token = open_token(&self.ctx, self.owner(), SealPurpose::RefreshToken, sealed)?;
        // The provider may have moved since this request has loaded it, and another request may have refreshed the grant there. The
        // token must not be sent to the endpoints that it has left.
        if refresh_token.endpoints != self.provider.version.endpoints {
            self.provider = load_provider(&self.ctx, self.provider.id).await?;
        }
        let endpoints =
            ProviderEndpoints::new(&self.ctx, &self.provider, &self.client_id).for_connection(&self.id);
        let dpop_key = choose_dpop_key(&self.ctx, &self.provider, refresh_token.dpop_key.clone())?;
        let grant = TokenGrant::Refresh { token: refresh_token.secret.expose() };
        match endpoints.request_tokens(grant, dpop_key).await {
            Ok(tokens) => self.store_tokens(tokens, &refresh_token).await,
            Err(error) => {
                // A refresh with an unknown outcome may have replaced the stored refresh token by one that the hub never
                // received. Revoking the stored one then does not prove that the grant has ended.
                let outcome_unknown =
                    matches!(&error, TokenCallError::Failed { report, .. } if report.outcome.is_unknown());
                match UpstreamError::from(error) {
                    UpstreamError::GrantEnded => self.handle_invalid_grant().await,
                    error => self.release_lease(error, outcome_unknown).await,
                }
            }
        }
    }

    fn owner(&self) -> SealOwner<'_> {
        SealOwner::for_connection(&self.id, &self.client_id, self.provider.id)
    }

    /// Stores the tokens of a response to a refresh with the refresh token `sent`.
    ///
    /// If the provider has moved, its new endpoints have accepted the refresh token, so its revocation belongs there: it is
    /// sealed again with their version. If the grant has got a key, the refresh token is sealed again with it.
    async fn store_tokens(
        &self,
        tokens: TokenResponse,
        sent: &GrantSecret,
    ) -> Result<UpstreamAccessToken, RefreshError> {
        let owner = (self.owner(), &self.provider);
        let seal = |purpose, token| seal_token(&self.ctx, owner, purpose, token);
        let has_moved = sent.endpoints != self.provider.version.endpoints;
        let has_new_key = sent.dpop_key.is_none() && tokens.dpop_key.is_some();
        let new_token = tokens.refresh_token.as_ref().filter(|token| **token != sent.secret);
        let token_end = match tokens.refresh_expires_at {
            Some(end) => RefreshTokenEnd::Announced(end),
            None if new_token.is_some() => RefreshTokenEnd::Unknown,
            None => RefreshTokenEnd::Unchanged,
        };
        let refresh_token = new_token.or_else(|| (has_moved || has_new_key).then_some(&sent.secret));
        // The key remains that of the grant, even if this access token is not bound to it.
        let grant_key = sent.dpop_key.as_ref().or(tokens.dpop_key.as_ref());
        let seal_refresh_token = |token| seal(SealPurpose::RefreshToken, (token, grant_key));
        // A token of a type that is not accepted is never presented, but it is revoked at the end of the connection. The new refresh
        // token must not be lost because of it.
        let access_token = if tokens.is_type_accepted {
            seal(SealPurpose::AccessToken, (&tokens.access_token, tokens.dpop_key.as_ref()))?
        } else {
            seal_unpresented_token(&self.ctx, owner, &tokens.access_token)?
        };
        let command = StoreCredential {
            moment: self.ctx.new_moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.clone(),
            access_token,
            access_expires_at: tokens.access_expires_at,
            // If the provider does not rotate refresh tokens (RFC 6749 §6), there is none or the same: the stored token
            // remains valid.
            refresh_token: refresh_token.map(seal_refresh_token).transpose()?,
            has_new_token: new_token.is_some(),
            granted: tokens.scope.as_deref().map(|scope| self.provider.settings.clusters_from_scope(scope)),
            token_end,
        };
        match self.ctx.run(command).await? {
            StoreCredentialOutcome::Stored => {
                let (version, endpoints) = (self.lease.version + 1, self.provider.version.endpoints);
                let token = tokens.resource_token().ok_or(ReadError::Upstream(UpstreamError::Failed));
                Ok(UpstreamAccessToken { token: token.map_err(RefreshError::Failed)?, version, endpoints })
            }
            // The connection has ended or another refresh was faster. The next attempt reads the credential again.
            StoreCredentialOutcome::LeaseLost => Err(RefreshError::Busy),
        }
    }

    /// Handles `invalid_grant`: the second one ends the connection, unless the refresh used an outdated credential or the
    /// provider is paused.
    async fn handle_invalid_grant(&self) -> Result<UpstreamAccessToken, RefreshError> {
        let confirmation_delay = self.ctx.app().config().upstream.invalid_grant_delay.duration();
        let command = HandleInvalidGrant {
            moment: self.ctx.new_moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.clone(),
            confirmation_delay,
        };
        match crate::connections::handle_invalid_grant(&self.ctx, self.provider.id, command).await? {
            InvalidGrantOutcome::Fenced => Err(RefreshError::Busy),
            InvalidGrantOutcome::AwaitingConfirmation => {
                let error = UpstreamError::GrantUnconfirmed(confirmation_delay);
                Err(RefreshError::Failed(ReadError::Upstream(error)))
            }
            InvalidGrantOutcome::Ended | InvalidGrantOutcome::AlreadyEnded => {
                Err(RefreshError::Failed(load_end(&self.ctx, &self.id).await))
            }
            InvalidGrantOutcome::ProviderPaused | InvalidGrantOutcome::ProviderAutoPaused(_) => {
                Err(RefreshError::Failed(ReadError::ProviderPaused))
            }
        }
    }

    /// Releases the lease after a refresh that failed, so that the next read can try again.
    async fn release_lease(
        &self,
        error: UpstreamError,
        outcome_unknown: bool,
    ) -> Result<UpstreamAccessToken, RefreshError> {
        let release = ReleaseLease {
            moment: self.ctx.new_moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.clone(),
            outcome_unknown,
        };
        self.ctx.run(release).await?;
        Err(RefreshError::Failed(ReadError::Upstream(error)))
    }
}
