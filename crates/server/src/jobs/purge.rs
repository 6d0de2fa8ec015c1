//! The purge: deletes rows that are no longer needed, such as expired authorization requests.

use std::time::Duration;

use store::command::{DeleteFormerSettings, FormerSettingsDeletion, Purge};
use store::query::ListFormerSettings;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::telemetry::monotonic_now;
use crate::upstream;

/// The maximum number of rows that one transaction deletes. It is small, so that other transactions do not wait long
/// for locks or for the only writer of SQLite.
const BATCH_SIZE: u32 = 500;
/// The time after which a round does not start another batch.
const MAX_ROUND_DURATION: Duration = Duration::from_millis(50);

/// The number of connections of a provider that one round examines for each of its former settings.
const EXAMINED_CONNECTIONS: u32 = 500;

/// The result of one round of the purge, which decides when the next one starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeOutcome {
    /// The number of rows that this round deleted.
    pub removed: u64,
    /// Whether more rows may be due for deletion.
    ///
    /// If so, the next round must start soon: clients that are not authenticated can create authorization requests, and
    /// must not create them faster than the purge deletes them.
    pub has_more: bool,
}

/// Deletes rows that are no longer needed, in batches, until none is left or the round has taken `MAX_ROUND_DURATION`.
pub async fn purge(ctx: &RequestContext) -> Result<PurgeOutcome, InternalError> {
    let started_at = monotonic_now();
    let mut outcome = PurgeOutcome { removed: 0, has_more: true };
    while outcome.has_more {
        let batch = ctx.run(Purge { moment: ctx.new_moment()?, limit: BATCH_SIZE }).await?;
        outcome.removed += u64::from(batch);
        outcome.has_more = batch == BATCH_SIZE;
        if started_at.elapsed() >= MAX_ROUND_DURATION {
            break;
        }
    }
    if outcome.removed > 0 {
        tracing::debug!(removed = outcome.removed, "rows purged");
    }
    if !outcome.has_more {
        delete_former_settings(ctx).await?;
        // Another node may have deleted former settings, too.
        upstream::drop_unused_clients(ctx).await?;
    }
    Ok(outcome)
}

/// Deletes former settings of providers that no grant needs any longer. Each call examines some connections.
async fn delete_former_settings(ctx: &RequestContext) -> Result<(), InternalError> {
    for former in ctx.ask(&ListFormerSettings).await? {
        let (provider_id, endpoints_version) = (former.provider_id, former.version.endpoints);
        let (moment, limit) = (ctx.new_moment()?, EXAMINED_CONNECTIONS);
        let delete = DeleteFormerSettings { moment, provider_id, endpoints_version, limit };
        match ctx.run(delete).await {
            Ok(FormerSettingsDeletion::Deleted) => {
                tracing::info!(provider = %provider_id, endpoints_version, "former settings of a provider were deleted");
            }
            Ok(_) => {}
            // Those of the other providers are deleted all the same.
            Err(error) => {
                tracing::error!(%error, provider = %provider_id, "former settings of a provider could not be deleted");
            }
        }
    }
    Ok(())
}
