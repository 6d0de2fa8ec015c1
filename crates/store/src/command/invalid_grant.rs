//! The handling of `invalid_grant` from a provider: it ends the connection, unless so many refreshes fail at the same time
//! that an error of the provider is more likely than the end of every grant.

use domain::Moment;
use domain::id::ConnectionId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::{ConnectionState, EndCause};
use domain::model::provider::ProviderState;
use domain::rule::invalid_grant::{InvalidGrantDecision, RefreshStats, evaluate_invalid_grant};
use serde_json::json;

use super::end_connection::{EndReason, end_locked_connection};
use super::lease::{Lease, release_lease};
use super::provider::write_provider_state;
use super::refresh_stats::{count_refresh, load_refresh_stats};
use crate::entity::connection::lock_connection;
use crate::entity::provider::lock_provider;
use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::tx::Tx;

/// Handles the `invalid_grant` response to a leased refresh: ends the connection or, if the provider returned too many
/// of these responses, pauses the provider.
#[derive(Debug)]
pub struct HandleInvalidGrant {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    /// The lease of the refresh. The response is ignored if the credential no longer has the version of the lease.
    pub lease: Lease,
}

/// The outcome of [`HandleInvalidGrant`]: whether the connection has ended, and if not, the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGrantOutcome {
    Ended,
    AlreadyEnded,
    /// Nothing was done, because the credential has a newer version.
    Fenced,
    /// Nothing was done, because the provider is paused.
    ProviderPaused,
    /// The provider was paused, because too many refreshes failed. The connection remains active.
    ProviderAutoPaused(RefreshStats),
}

impl Command for HandleInvalidGrant {
    type Reply = InvalidGrantOutcome;
    const KIND: CommandKind = CommandKind::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<InvalidGrantOutcome> {
        let connection = lock_connection(tx, &self.connection_id).await?;
        let Some(connection) = connection.filter(|c| c.state == ConnectionState::Active) else {
            return Ok(InvalidGrantOutcome::AlreadyEnded);
        };
        if connection.credential_version != self.lease.version {
            return Ok(InvalidGrantOutcome::Fenced);
        }
        // This lock serializes the evaluations for one provider. Each of them sees the counters of those before it, so
        // concurrent responses cannot end more connections than the limit allows.
        let provider = lock_provider(tx, connection.provider_id).await?;
        let provider = provider.ok_or_else(|| StoreError::Internal("a connection has no provider".into()))?;
        let refresh_stats = load_refresh_stats(tx, provider.id, self.moment.now).await?;
        match evaluate_invalid_grant(provider.state, refresh_stats) {
            InvalidGrantDecision::EndConnection => {
                count_refresh(tx, &self.moment, provider.id, true);
                let actor = Actor::new(ActorKind::Provider, provider.id.to_string());
                let reason = EndReason::new(&self.moment, EndCause::Provider, actor);
                end_locked_connection(tx, &connection, &reason).await?;
                Ok(InvalidGrantOutcome::Ended)
            }
            InvalidGrantDecision::PauseProvider => {
                release_lease(tx, &connection.id, &self.lease.id, false);
                let state = ProviderState::AutoPaused;
                let detail = json!({"state": state.as_str(), "refreshes": refresh_stats.completed,
                    "invalid_grants": refresh_stats.invalid_grants});
                let actor = Actor::system("refresh");
                write_provider_state(tx, &self.moment, &provider, state, actor, &detail);
                Ok(InvalidGrantOutcome::ProviderAutoPaused(refresh_stats))
            }
            InvalidGrantDecision::ProviderPaused => {
                release_lease(tx, &connection.id, &self.lease.id, false);
                Ok(InvalidGrantOutcome::ProviderPaused)
            }
        }
    }
}
