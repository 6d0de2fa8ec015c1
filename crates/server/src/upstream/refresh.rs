//! The provider's access token of a connection: refreshed once at a time, across nodes, and fenced.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use domain::Secret;
use domain::id::ConnectionId;
use domain::model::provider::Provider;
use store::command::{
    HandleInvalidGrant, InvalidGrantOutcome, Lease, LeaseCredential, LeaseOutcome, ReleaseLease,
    StoreCredential, StoreCredentialOutcome,
};
use store::query::GetUpstreamCredential;

use super::client::OnBehalfOf;
use super::endpoints::ProviderEndpoints;
use super::error::{ReadError, UpstreamError};
use super::token_endpoint::{TokenGrant, TokenResponse};
use crate::context::RequestContext;

/// A token that dies within this time is not used any more.
const TOKEN_EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// A provider's access token, and the version of the credential that it is of.
pub(super) struct UpstreamAccessToken {
    pub(super) token: Secret<String>,
    pub(super) version: i64,
}

enum RefreshError {
    /// Somebody else refreshes: ask again a little later.
    Busy,
    Failed(ReadError),
}

impl<E: Into<ReadError>> From<E> for RefreshError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A usable access token. `refused` is a version that the provider has just refused.
pub(super) async fn obtain_access_token(
    ctx: &RequestContext,
    provider: &Provider,
    id: &ConnectionId,
    rejected_version: Option<i64>,
) -> Result<UpstreamAccessToken, ReadError> {
    let patience = ctx.app().refresh_lease_duration();
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_millis(500))
        .with_total_delay(Some(patience))
        .without_max_times()
        .with_jitter();
    let attempt = (|| try_obtain_access_token(ctx, provider, id, rejected_version))
        .retry(waits)
        .when(|step| matches!(step, RefreshError::Busy));
    attempt.await.map_err(|step| match step {
        RefreshError::Busy => ReadError::Upstream(UpstreamError::Unavailable),
        RefreshError::Failed(error) => error,
    })
}

async fn try_obtain_access_token(
    ctx: &RequestContext,
    provider: &Provider,
    id: &ConnectionId,
    rejected_version: Option<i64>,
) -> Result<UpstreamAccessToken, RefreshError> {
    let ctx = ctx.refreshed()?;
    let credential = ctx.ask(&GetUpstreamCredential { connection_id: id.clone() }).await?;
    let credential = credential.ok_or(ReadError::ConnectionEnded)?;
    let fresh = ctx.now().plus(TOKEN_EXPIRY_MARGIN) < credential.access_expires_at;
    if fresh && Some(credential.version) != rejected_version {
        let key = ctx.app().vault().unwrap_data_key(&credential.data_key, id.as_str())?;
        let token = key.open_text(id.as_str(), &credential.access_token)?;
        return Ok(UpstreamAccessToken { token, version: credential.version });
    }
    let lease = LeaseCredential {
        moment: ctx.new_moment()?,
        connection_id: id.clone(),
        seen_version: credential.version,
        lease_ttl: ctx.app().refresh_lease_duration(),
    };
    match ctx.run(lease).await? {
        LeaseOutcome::ConnectionEnded => Err(RefreshError::Failed(ReadError::ConnectionEnded)),
        LeaseOutcome::AlreadyRefreshed | LeaseOutcome::Busy(_) => Err(RefreshError::Busy),
        LeaseOutcome::Acquired(lease) => {
            // A caller that goes away must not leave a lease behind whose outcome nobody knows.
            let refresh = RefreshTask { ctx, provider: provider.clone(), id: id.clone(), lease };
            let done = tokio::spawn(refresh.run()).await;
            done.map_err(|_| ReadError::Upstream(UpstreamError::Failed))?
        }
    }
}

struct RefreshTask {
    ctx: RequestContext,
    provider: Provider,
    id: ConnectionId,
    lease: Lease,
}

impl RefreshTask {
    async fn run(self) -> Result<UpstreamAccessToken, RefreshError> {
        let key = self.ctx.app().vault().unwrap_data_key(&self.lease.data_key, self.id.as_str())?;
        let Some(sealed) = &self.lease.refresh_token else {
            return self.release_lease(UpstreamError::TokenRefused).await;
        };
        let token = key.open_text(self.id.as_str(), sealed)?;
        let grant = TokenGrant::Refresh { token: token.expose() };
        match ProviderEndpoints::new(&self.ctx, &self.provider, OnBehalfOf::Connection(self.id.clone()))
            .request_tokens(grant)
            .await
        {
            Ok(reply) => self.store_tokens(&key, reply).await,
            Err(UpstreamError::GrantEnded) => self.handle_invalid_grant().await,
            Err(other) => self.release_lease(other).await,
        }
    }

    async fn store_tokens(
        &self,
        key: &crate::vault::DataKey,
        reply: TokenResponse,
    ) -> Result<UpstreamAccessToken, RefreshError> {
        let seal = |token: &Secret<String>| key.seal(self.id.as_str(), token.expose().as_bytes());
        let command = StoreCredential {
            moment: self.ctx.new_moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.clone(),
            access_token: seal(&reply.access_token)?,
            access_expires_at: reply.access_expires_at,
            refresh_token: reply.refresh_token.as_ref().map(seal).transpose()?,
        };
        match self.ctx.run(command).await? {
            StoreCredentialOutcome::Stored => {
                Ok(UpstreamAccessToken { token: reply.access_token, version: self.lease.version + 1 })
            }
            StoreCredentialOutcome::LeaseLost => Err(RefreshError::Busy),
        }
    }

    /// The provider says that the grant is over: so is the connection, unless the news is old, or the
    /// provider says so of too many.
    async fn handle_invalid_grant(&self) -> Result<UpstreamAccessToken, RefreshError> {
        let command = HandleInvalidGrant {
            moment: self.ctx.new_moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.clone(),
        };
        match crate::connections::handle_invalid_grant(&self.ctx, self.provider.id, command).await? {
            InvalidGrantOutcome::Fenced => Err(RefreshError::Busy),
            InvalidGrantOutcome::Ended | InvalidGrantOutcome::AlreadyEnded => {
                Err(RefreshError::Failed(ReadError::ConnectionEnded))
            }
            InvalidGrantOutcome::ProviderPaused | InvalidGrantOutcome::ProviderAutoPaused(_) => {
                Err(RefreshError::Failed(ReadError::ProviderPaused))
            }
        }
    }

    async fn release_lease(&self, upstream: UpstreamError) -> Result<UpstreamAccessToken, RefreshError> {
        let release = ReleaseLease {
            moment: self.ctx.new_moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.id.clone(),
            outcome_unknown: upstream == UpstreamError::NoResponse,
        };
        self.ctx.run(release).await?;
        Err(RefreshError::Failed(ReadError::Upstream(upstream)))
    }
}
