//! A provider says that a grant is over: believed of a few, not of many at once.

use domain::id::{ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::{ConnectionState, EndCause};
use domain::model::provider::ProviderState;
use domain::rule::invalid_grant::{
    InvalidGrantDecision, RefreshStats, epoch_minute, evaluate_invalid_grant, first_window_minute,
};
use domain::{Moment, Timestamp};
use serde_json::json;

use super::credential::{Lease, release_lease};
use super::end_connection::{EndReason, end_locked_connection};
use super::provider::write_provider_state;
use crate::error::{Result, StoreError};
use crate::record::{lock_connection, lock_provider};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;
use crate::{Command, CommandPriority};

/// Heeds the `invalid_grant` that a leased refresh was answered with: the connection ends, or, when there are
/// too many of them, its provider is tripped and nobody ends.
#[derive(Debug)]
pub struct HandleInvalidGrant {
    /// When.
    pub moment: Moment,
    /// Whose refresh.
    pub connection_id: ConnectionId,
    /// Under which lease: news about a credential that is no more the stored one is no news.
    pub lease: Lease,
}

/// What an `invalid_grant` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGrantOutcome {
    /// The connection ended now.
    Ended,
    /// It had ended before.
    AlreadyEnded,
    /// The credential is of a newer version; nothing was done.
    Fenced,
    /// The provider is held; nothing was done.
    ProviderPaused,
    /// That was one too many: the provider is held from now on, the connection lives.
    ProviderAutoPaused(RefreshStats),
}

impl Command for HandleInvalidGrant {
    type Reply = InvalidGrantOutcome;
    const PRIORITY: CommandPriority = CommandPriority::High;

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
        // Whoever judges waits here for who judged before: exactly so many end.
        let provider = lock_provider(tx, connection.provider_id).await?;
        let provider = provider.ok_or_else(|| StoreError::Internal("a connection has no provider".into()))?;
        let refreshes = load_refresh_stats(tx, provider.id, self.moment.now).await?;
        match evaluate_invalid_grant(provider.state, refreshes) {
            InvalidGrantDecision::EndConnection => {
                count_refresh(tx, &self.moment, provider.id, true);
                let actor = Actor::new(ActorKind::Provider, provider.id.to_string());
                end_locked_connection(
                    tx,
                    &connection,
                    &EndReason::new(&self.moment, EndCause::Provider, actor),
                )
                .await?;
                Ok(InvalidGrantOutcome::Ended)
            }
            InvalidGrantDecision::PauseProvider => {
                release_lease(tx, &connection.id, &self.lease.id, false);
                let detail = json!({"state": ProviderState::AutoPaused.as_str(),
                    "refreshes": refreshes.completed, "invalid_grants": refreshes.invalid_grants});
                let actor = Actor::system("refresh");
                write_provider_state(tx, &self.moment, &provider, ProviderState::AutoPaused, actor, &detail);
                Ok(InvalidGrantOutcome::ProviderAutoPaused(refreshes))
            }
            InvalidGrantDecision::ProviderPaused => {
                release_lease(tx, &connection.id, &self.lease.id, false);
                Ok(InvalidGrantOutcome::ProviderPaused)
            }
        }
    }
}

/// The refreshes of the window, and the one that is being judged.
async fn load_refresh_stats(tx: &mut Tx<'_>, provider: ProviderId, now: Timestamp) -> Result<RefreshStats> {
    let row = tx.query_opt(REFRESH_STATS, values![provider, first_window_minute(now)]).await?;
    let mut row = row.ok_or_else(|| StoreError::Internal("a sum has no row".into()))?;
    Ok(RefreshStats { completed: row.next::<i64>()? + 1, invalid_grants: row.next::<i64>()? + 1 })
}

pub(crate) static REFRESH_STATS: &Sql = sql!(
    "-- refreshes at a provider within the window, since its state last changed
    SELECT CAST(COALESCE(SUM(r.refreshes), 0) AS BIGINT), CAST(COALESCE(SUM(r.invalid_grants), 0) AS BIGINT)
    FROM provider_refresh_stats r
    JOIN providers p ON p.id = r.provider_id AND r.since = COALESCE(p.state_changed_at, 0)
    WHERE r.provider_id = ?1 AND r.minute >= ?2"
);

/// Rows that one minute's refreshes at a provider are spread over.
const SHARDS: u8 = 16;

/// Counts a refresh that a provider answered, with the commit.
pub(super) fn count_refresh(tx: &mut Tx<'_>, moment: &Moment, provider: ProviderId, invalid: bool) {
    let shard = i64::from(tx.ids().draw_seed().bytes()[0] % SHARDS);
    tx.defer(
        sql!(
            "-- count a refresh
            INSERT INTO provider_refresh_stats (provider_id, since, minute, shard, refreshes, invalid_grants)
            SELECT id, COALESCE(state_changed_at, 0), ?2, ?3, 1, ?4 FROM providers WHERE id = ?1
            ON CONFLICT (provider_id, since, minute, shard) DO UPDATE
                SET refreshes = provider_refresh_stats.refreshes + 1,
                    invalid_grants = provider_refresh_stats.invalid_grants + excluded.invalid_grants"
        ),
        values![provider, epoch_minute(moment.now), shard, i64::from(invalid)],
    );
}
