//! What is of no more use is removed, a batch at a time.

use std::time::Duration;

use domain::Moment;
use domain::rule::invalid_grant::epoch_minute;

use crate::Command;
use crate::error::Result;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Codes are kept for so long after their end, so that a late use of one is recorded. Requests go at their end: a
/// stranger can make them, and a late step is answered alike before and after.
const CODE_RETENTION: Duration = Duration::from_hours(1);
/// Finished jobs are kept for so long. Dead ones stay until a person closes them.
const FINISHED_JOB_RETENTION: Duration = Duration::from_hours(30 * 24);
/// Counters of refreshes are kept for so long: longer than the window that is looked at.
const REFRESH_STATS_RETENTION: Duration = Duration::from_hours(1);

/// Removes one batch of what is of no more use.
#[derive(Debug)]
pub struct Purge {
    /// When.
    pub moment: Moment,
    /// At most so many rows.
    pub limit: u32,
}

impl Command for Purge {
    /// How many rows were removed: the limit, if there may be more.
    type Reply = u32;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u32> {
        let now = self.moment.now;
        let mut kinds: [(&'static Sql, i64); 4] = [
            (OLD_CODES, now.minus(CODE_RETENTION).millis()),
            (OLD_REQUESTS, now.millis()),
            (OLD_JOBS, now.minus(FINISHED_JOB_RETENTION).millis()),
            (OLD_REFRESH_STATS, epoch_minute(now.minus(REFRESH_STATS_RETENTION))),
        ];
        // Which kind comes first is drawn, so that none waits for ever behind another.
        kinds.rotate_left(usize::from(tx.ids().draw_seed().bytes()[0] % 4));
        let mut remaining = self.limit;
        for (delete, until) in kinds {
            let removed =
                if remaining > 0 { tx.execute(delete, values![until, remaining]).await? } else { 0 };
            remaining = remaining.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX));
        }
        Ok(self.limit - remaining)
    }
}

pub(crate) static OLD_CODES: &Sql = sql!(
    "-- remove codes that died long ago
    DELETE FROM authorization_codes WHERE code_hash IN (
        SELECT code_hash FROM authorization_codes WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

pub(crate) static OLD_REQUESTS: &Sql = sql!(
    "-- remove requests that are over; one whose exchange is under way must be recovered first
    DELETE FROM authorization_requests WHERE id IN (
        SELECT id FROM authorization_requests WHERE expires_at <= ?1 AND status <> 'exchanging'
        ORDER BY expires_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

pub(crate) static OLD_JOBS: &Sql = sql!(
    "-- remove jobs that were done long ago
    DELETE FROM jobs WHERE id IN (
        SELECT id FROM jobs WHERE state = 'done' AND finished_at <= ?1 ORDER BY finished_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

pub(crate) static OLD_REFRESH_STATS: &Sql = sql!(
    "-- remove old counters of refreshes
    DELETE FROM provider_refresh_stats WHERE (provider_id, since, minute, shard) IN (
        SELECT provider_id, since, minute, shard FROM provider_refresh_stats WHERE minute < ?1 ORDER BY minute LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);
