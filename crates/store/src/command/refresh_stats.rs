//! Counts the refreshes at a provider. The counts decide whether an `invalid_grant` response is trusted.

use domain::id::ProviderId;
use domain::rule::invalid_grant::{RefreshStats, epoch_minute, first_window_minute};
use domain::{Moment, Timestamp};

use crate::error::{Result, StoreError};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The number of rows that the refreshes of one minute are spread over, so that concurrent refreshes at a provider
/// rarely wait for the lock of one row.
const SHARDS: u8 = 16;

/// Sums up the refreshes of the current window.
pub(super) async fn load_refresh_stats(
    tx: &mut Tx<'_>,
    provider: ProviderId,
    now: Timestamp,
) -> Result<RefreshStats> {
    let row = tx.fetch_row(REFRESH_STATS, values![provider, first_window_minute(now)]).await?;
    let mut row = row.ok_or_else(|| StoreError::Internal("a sum has no row".into()))?;
    Ok(RefreshStats { completed: row.get("refreshes")?, invalid_grants: row.get("invalid_grants")? })
}

// Rows that were counted before the last change of the provider's state have another `since` and are left out: a provider
// that an operator releases begins with empty counters.
static REFRESH_STATS: &Sql = sql!(
    "-- sum up the refreshes at a provider
    SELECT CAST(COALESCE(SUM(r.refreshes), 0) AS BIGINT) AS refreshes,
        CAST(COALESCE(SUM(r.invalid_grants), 0) AS BIGINT) AS invalid_grants
    FROM provider_refresh_stats r
    JOIN providers p ON p.id = r.provider_id AND r.since = COALESCE(p.state_changed_at, 0)
    WHERE r.provider_id = ?1 AND r.minute >= ?2"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[REFRESH_STATS];

/// Counts, with the commit, one refresh to which the provider responded.
pub(super) fn count_refresh(tx: &mut Tx<'_>, moment: &Moment, provider: ProviderId, is_invalid_grant: bool) {
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
        values![provider, epoch_minute(moment.now), shard, i64::from(is_invalid_grant)],
    );
}
