//! The provider's access token of a connection: refreshed once at a time, across nodes, and fenced.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use domain::Secret;
use domain::id::ConnectionId;
use domain::model::provider::Provider;
use store::command::{
    HeedInvalidGrant, Heeded, Lease, LeaseCredential, Leased, ReleaseLease, StoreCredential, Stored,
};
use store::query::CredentialOf;

use super::fetch::ReadError;
use super::own_client::Whom;
use super::provider::{Endpoint, Grant, TokenReply, Upstream};
use crate::ctx::Ctx;

/// A token that dies within this time is not used any more.
const MARGIN: Duration = Duration::from_secs(30);

/// A provider's access token, and the version of the credential that it is of.
pub(super) struct Usable {
    pub(super) token: Secret<String>,
    pub(super) version: i64,
}

enum Step {
    /// Somebody else refreshes: ask again a little later.
    Busy,
    Stop(ReadError),
}

impl<E: Into<ReadError>> From<E> for Step {
    fn from(error: E) -> Self {
        Self::Stop(error.into())
    }
}

/// A usable access token. `refused` is a version that the provider has just refused.
pub(super) async fn access_token(
    ctx: &Ctx,
    provider: &Provider,
    id: &ConnectionId,
    refused: Option<i64>,
) -> Result<Usable, ReadError> {
    let patience = ctx.app().lease_life();
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_millis(500))
        .with_total_delay(Some(patience))
        .without_max_times()
        .with_jitter();
    let found = (|| step(ctx, provider, id, refused)).retry(waits).when(|step| matches!(step, Step::Busy));
    found.await.map_err(|step| match step {
        Step::Busy => ReadError::Upstream(Upstream::Unavailable),
        Step::Stop(error) => error,
    })
}

async fn step(
    ctx: &Ctx,
    provider: &Provider,
    id: &ConnectionId,
    refused: Option<i64>,
) -> Result<Usable, Step> {
    let ctx = ctx.later()?;
    let credential = ctx.ask(&CredentialOf { connection_id: id.clone() }).await?;
    let credential = credential.ok_or(ReadError::Over)?;
    let fresh = ctx.now().plus(MARGIN) < credential.access_expires_at;
    if fresh && Some(credential.version) != refused {
        let key = ctx.app().vault().unwrap(&credential.data_key, id.as_str())?;
        let token = key.open_text(id.as_str(), &credential.access_token)?;
        return Ok(Usable { token, version: credential.version });
    }
    let lease = LeaseCredential {
        moment: ctx.moment()?,
        connection_id: id.clone(),
        seen_version: credential.version,
        life: ctx.app().lease_life(),
    };
    match ctx.run(lease).await? {
        Leased::Over => Err(Step::Stop(ReadError::Over)),
        Leased::Fresh | Leased::Busy(_) => Err(Step::Busy),
        Leased::Yours(lease) => {
            // A caller that goes away must not leave a lease behind whose outcome nobody knows.
            let refresh = Refresh { ctx, provider: provider.clone(), id: id.clone(), lease };
            let done = tokio::spawn(refresh.run()).await;
            done.map_err(|_| ReadError::Upstream(Upstream::Failed))?
        }
    }
}

struct Refresh {
    ctx: Ctx,
    provider: Provider,
    id: ConnectionId,
    lease: Lease,
}

impl Refresh {
    async fn run(self) -> Result<Usable, Step> {
        let key = self.ctx.app().vault().unwrap(&self.lease.data_key, self.id.as_str())?;
        let Some(sealed) = &self.lease.refresh_token else {
            return self.give_back(Upstream::TokenRefused).await;
        };
        let token = key.open_text(self.id.as_str(), sealed)?;
        let grant = Grant::Refresh { token: token.expose() };
        match Endpoint::new(&self.ctx, &self.provider, Whom::Of(self.id.clone())).token(grant).await {
            Ok(reply) => self.store(&key, reply).await,
            Err(Upstream::GrantOver) => self.heed().await,
            Err(other) => self.give_back(other).await,
        }
    }

    async fn store(&self, key: &crate::vault::DataKey, reply: TokenReply) -> Result<Usable, Step> {
        let seal = |token: &Secret<String>| key.seal(self.id.as_str(), token.expose().as_bytes());
        let stored = StoreCredential {
            moment: self.ctx.moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.clone(),
            access_token: seal(&reply.access_token)?,
            access_expires_at: reply.access_expires_at,
            refresh_token: reply.refresh_token.as_ref().map(seal).transpose()?,
        };
        match self.ctx.run(stored).await? {
            Stored::Stored => Ok(Usable { token: reply.access_token, version: self.lease.version + 1 }),
            Stored::TooLate => Err(Step::Busy),
        }
    }

    /// The provider says that the grant is over: so is the connection, unless the news is old, or the
    /// provider says so of too many.
    async fn heed(&self) -> Result<Usable, Step> {
        let heed = HeedInvalidGrant {
            moment: self.ctx.moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.clone(),
        };
        match crate::connection::heed(&self.ctx, self.provider.id, heed).await? {
            Heeded::Fenced => Err(Step::Busy),
            Heeded::Ended | Heeded::Over => Err(Step::Stop(ReadError::Over)),
            Heeded::Held | Heeded::Tripped(_) => Err(Step::Stop(ReadError::Held)),
        }
    }

    async fn give_back(&self, upstream: Upstream) -> Result<Usable, Step> {
        let release = ReleaseLease {
            moment: self.ctx.moment()?,
            connection_id: self.id.clone(),
            lease: self.lease.id.clone(),
            doubt: upstream == Upstream::Silent,
        };
        self.ctx.run(release).await?;
        Err(Step::Stop(ReadError::Upstream(upstream)))
    }
}
