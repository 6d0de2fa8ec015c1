//! The handling of `invalid_grant` from a provider: a second one after a delay ends the connection, unless so many refreshes
//! fail at the same time that an error of the provider is more likely than the end of every grant.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::{Connection, ConnectionState, EndCause};
use domain::model::job::JobKind;
use domain::model::provider::ProviderState;
use domain::rule::invalid_grant::{
    InvalidGrantDecision, RefreshStats, evaluate_invalid_grant, invalid_grant_phase,
};
use domain::{Moment, Timestamp};
use serde_json::json;

use super::end_connection::{EndReason, end_locked_connection};
use super::job_queue::{SealedToken, queue_job_at};
use super::lease::{Lease, release_lease};
use super::provider::write_provider_state;
use super::refresh_stats::{count_refresh, load_refresh_stats};
use crate::entity::connection::lock_connection;
use crate::entity::provider::lock_provider;
use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Handles the `invalid_grant` response to a leased refresh: has it confirmed by a second one, ends the connection or, if the
/// provider returned too many of these responses, pauses the provider.
#[derive(Debug)]
pub struct HandleInvalidGrant {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    /// The lease of the refresh. The response is ignored if the credential no longer has the version of the lease.
    pub lease: Lease,
    /// The time after which the refresh is repeated. If it is zero, the first `invalid_grant` ends the connection.
    pub confirmation_delay: Duration,
}

/// The outcome of [`HandleInvalidGrant`]: whether the connection has ended, and if not, the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGrantOutcome {
    Ended,
    AlreadyEnded,
    /// The refresh must be repeated after the delay; a job will do it.
    AwaitingConfirmation,
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
        let first_at: Option<Timestamp> =
            tx.fetch_value(FIRST_INVALID_GRANT, values![connection.id], "invalid_grant_at").await?;
        let Some(phase) = invalid_grant_phase(first_at, self.confirmation_delay, self.moment.now) else {
            release_lease(tx, &connection.id, &self.lease, false);
            return Ok(InvalidGrantOutcome::AwaitingConfirmation);
        };
        // The two responses that end a connection count once.
        let is_counted = first_at.is_some();
        let mut refresh_stats = load_refresh_stats(tx, provider.id, self.moment.now).await?;
        if !is_counted {
            refresh_stats = refresh_stats.with_invalid_grant();
        }
        match evaluate_invalid_grant(provider.state, refresh_stats, phase) {
            InvalidGrantDecision::AwaitConfirmation => {
                count_refresh(tx, &self.moment, provider.id, true);
                self.await_confirmation(tx, &connection);
                Ok(InvalidGrantOutcome::AwaitingConfirmation)
            }
            InvalidGrantDecision::EndConnection => {
                if !is_counted {
                    count_refresh(tx, &self.moment, provider.id, true);
                }
                let actor = Actor::new(ActorKind::Provider, provider.id.to_string());
                let reason = EndReason::new(&self.moment, EndCause::Provider, actor);
                end_locked_connection(tx, &connection, &reason).await?;
                Ok(InvalidGrantOutcome::Ended)
            }
            InvalidGrantDecision::PauseProvider => {
                release_lease(tx, &connection.id, &self.lease, false);
                let state = ProviderState::AutoPaused;
                let detail = json!({"state": state.as_str(), "refreshes": refresh_stats.completed,
                    "invalid_grants": refresh_stats.invalid_grants});
                let actor = Actor::system("refresh");
                write_provider_state(tx, &self.moment, &provider, state, actor, &detail);
                Ok(InvalidGrantOutcome::ProviderAutoPaused(refresh_stats))
            }
            InvalidGrantDecision::ProviderPaused => {
                release_lease(tx, &connection.id, &self.lease, false);
                Ok(InvalidGrantOutcome::ProviderPaused)
            }
        }
    }
}

impl HandleInvalidGrant {
    /// Stores that the provider has rejected the refresh token once, and queues the job that sends it again.
    fn await_confirmation(&self, tx: &mut Tx<'_>, connection: &Connection) {
        tx.defer(
            sql!(
                "-- store the first invalid_grant of a credential
                UPDATE upstream_credentials SET invalid_grant_at = ?2, lease_id = NULL, lease_until = NULL
                WHERE connection_id = ?1"
            ),
            values![connection.id, self.moment.now],
        );
        let due_at = self.moment.now.plus(self.confirmation_delay);
        let (kind, sealed) = (JobKind::ConfirmInvalidGrant, SealedToken::empty());
        queue_job_at(tx, &self.moment, kind, connection, sealed, due_at);
    }
}

// An operator who releases a provider has its grants checked again, so a response from before does not count.
static FIRST_INVALID_GRANT: &Sql = sql!(
    "-- find the first invalid_grant of a credential
    SELECT u.invalid_grant_at FROM connections c
    JOIN upstream_credentials u ON u.connection_id = c.id
    JOIN providers p ON p.id = c.provider_id
    WHERE c.id = ?1 AND u.invalid_grant_at > COALESCE(p.state_changed_at, 0)"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[FIRST_INVALID_GRANT];
