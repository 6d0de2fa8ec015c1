//! A provider says that a grant is over: believed of a few, not of many at once.

use domain::id::{ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::{Cause, State};
use domain::model::provider::ProviderState;
use domain::rule::trip::{Refreshes, Verdict, first_minute, heed, minute};
use domain::{Moment, Timestamp};
use serde_json::json;

use super::credential::{Lease, release};
use super::end_connection::{Reason, end};
use super::provider::set_state;
use crate::error::{Result, StoreError};
use crate::record::{lock_connection, lock_provider};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;
use crate::{Command, Lane};

/// Heeds the `invalid_grant` that a leased refresh was answered with: the connection ends, or, when there are
/// too many of them, its provider is tripped and nobody ends.
#[derive(Debug)]
pub struct HeedInvalidGrant {
    /// When.
    pub moment: Moment,
    /// Whose refresh.
    pub connection_id: ConnectionId,
    /// Under which lease: news about a credential that is no more the stored one is no news.
    pub lease: Lease,
}

/// What an `invalid_grant` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heeded {
    /// The connection ended now.
    Ended,
    /// It had ended before.
    Over,
    /// The credential is of a newer version; nothing was done.
    Fenced,
    /// The provider is held; nothing was done.
    Held,
    /// That was one too many: the provider is held from now on, the connection lives.
    Tripped(Refreshes),
}

impl Command for HeedInvalidGrant {
    type Reply = Heeded;
    const LANE: Lane = Lane::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Heeded> {
        let connection = lock_connection(tx, &self.connection_id).await?;
        let Some(connection) = connection.filter(|c| c.state == State::Active) else {
            return Ok(Heeded::Over);
        };
        if connection.credential_version != self.lease.version {
            return Ok(Heeded::Fenced);
        }
        // Whoever judges waits here for who judged before: exactly so many end.
        let provider = lock_provider(tx, connection.provider_id).await?;
        let provider = provider.ok_or_else(|| StoreError::Fault("a connection has no provider".into()))?;
        let refreshes = with_this_one(tx, provider.id, self.moment.now).await?;
        match heed(provider.state, refreshes) {
            Verdict::End => {
                count(tx, &self.moment, provider.id, true);
                let actor = Actor::new(ActorKind::Provider, provider.id.to_string());
                end(tx, &connection, &Reason::new(&self.moment, Cause::Provider, actor)).await?;
                Ok(Heeded::Ended)
            }
            Verdict::Trip => {
                release(tx, &connection.id, &self.lease.id, false);
                let particulars = json!({"state": ProviderState::Tripped.as_str(),
                    "refreshes": refreshes.answered, "invalid_grants": refreshes.invalid});
                let actor = Actor::system("refresh");
                set_state(tx, &self.moment, &provider, ProviderState::Tripped, actor, &particulars);
                Ok(Heeded::Tripped(refreshes))
            }
            Verdict::Held => {
                release(tx, &connection.id, &self.lease.id, false);
                Ok(Heeded::Held)
            }
        }
    }
}

/// The refreshes of the window, and the one that is being judged.
async fn with_this_one(tx: &mut Tx<'_>, provider: ProviderId, now: Timestamp) -> Result<Refreshes> {
    let row = tx.query_opt(REFRESHES, values![provider, first_minute(now)]).await?;
    let mut row = row.ok_or_else(|| StoreError::Fault("a sum has no row".into()))?;
    Ok(Refreshes { answered: row.take::<i64>()? + 1, invalid: row.take::<i64>()? + 1 })
}

pub(crate) static REFRESHES: &Sql = sql!(
    "-- refreshes at a provider within the window, since its state last changed
    SELECT CAST(COALESCE(SUM(r.refreshes), 0) AS BIGINT), CAST(COALESCE(SUM(r.invalid_grants), 0) AS BIGINT)
    FROM refresh_counts r
    JOIN providers p ON p.id = r.provider_id AND r.since = COALESCE(p.state_changed_at, 0)
    WHERE r.provider_id = ?1 AND r.minute >= ?2"
);

/// Rows that one minute's refreshes at a provider are spread over.
const SHARDS: u8 = 16;

/// Counts a refresh that a provider answered, with the commit.
pub(super) fn count(tx: &mut Tx<'_>, moment: &Moment, provider: ProviderId, invalid: bool) {
    let shard = i64::from(tx.ids().seed().bytes()[0] % SHARDS);
    tx.defer(
        sql!(
            "-- count a refresh
            INSERT INTO refresh_counts (provider_id, since, minute, shard, refreshes, invalid_grants)
            SELECT id, COALESCE(state_changed_at, 0), ?2, ?3, 1, ?4 FROM providers WHERE id = ?1
            ON CONFLICT (provider_id, since, minute, shard) DO UPDATE
                SET refreshes = refresh_counts.refreshes + 1,
                    invalid_grants = refresh_counts.invalid_grants + excluded.invalid_grants"
        ),
        values![provider, minute(moment.now), shard, i64::from(invalid)],
    );
}
