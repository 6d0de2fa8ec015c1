//! The command that deletes rows which are no longer needed.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Moment;
use domain::model::job::JobState;
use domain::rule::invalid_grant::epoch_minute;

use super::job_count::record_job_transition;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, values};

/// The time that codes are kept after their expiry, so that a late use can be recorded.
const CODE_RETENTION: Duration = Duration::from_hours(1);
/// The time that authorization requests are kept after their expiry. It is longer than the browser keeps the cookie of a request,
/// from which the request could otherwise begin again.
const REQUEST_RETENTION: Duration = Duration::from_hours(1);
/// The time that done jobs are kept. Failed ones are kept until an operator closes them.
const FINISHED_JOB_RETENTION: Duration = Duration::from_hours(30 * 24);
/// The time that a failed job keeps its token, so that an operator can retry it.
const FAILED_JOB_TOKEN_RETENTION: Duration = Duration::from_hours(90 * 24);
/// The time that failed calls are remembered, so that each reason is recorded once a day.
const RECORDED_FAILURE_RETENTION: Duration = Duration::from_hours(24);
/// The time that counters of refreshes are kept; longer than the window of `evaluate_invalid_grant`.
const REFRESH_STATS_RETENTION: Duration = Duration::from_hours(1);

/// The time that changes of rows are kept for the barriers of nodes. A node that passes none for longer empties its memory.
const CHANGE_RETENTION: Duration = Duration::from_mins(10);

/// Deletes one batch of rows that are no longer needed.
#[derive(Debug)]
pub struct Purge {
    pub moment: Moment,
    pub limit: u32,
}

impl Command for Purge {
    /// The number of deleted rows. If it equals the limit, there may be more.
    type Reply = u32;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u32> {
        let now = self.moment.now;
        let mut deletions: [(&'static Sql, i64); 7] = [
            (OLD_CODES, now.minus(CODE_RETENTION).millis()),
            (OLD_REQUESTS, now.minus(REQUEST_RETENTION).millis()),
            (OLD_JOBS, now.minus(FINISHED_JOB_RETENTION).millis()),
            (OLD_JOB_TOKENS, now.minus(FAILED_JOB_TOKEN_RETENTION).millis()),
            (OLD_FAILURES, now.minus(RECORDED_FAILURE_RETENTION).millis()),
            (OLD_REFRESH_STATS, epoch_minute(now.minus(REFRESH_STATS_RETENTION))),
            (OLD_CHANGES, i64::try_from(CHANGE_RETENTION.as_millis()).unwrap_or(i64::MAX)),
        ];
        // A random table comes first in each batch, so that one with many rows cannot use up the limit every time.
        let first = usize::from(tx.ids().draw_seed().bytes()[0]) % deletions.len();
        deletions.rotate_left(first);
        let mut remaining = self.limit;
        for (delete, until) in deletions {
            if remaining == 0 {
                break;
            }
            let params = values![until, remaining];
            let deleted = if std::ptr::eq(delete, OLD_JOBS) {
                delete_old_jobs(tx, params).await?
            } else {
                tx.execute(delete, params).await?
            };
            remaining = remaining.saturating_sub(u32::try_from(deleted).unwrap_or(u32::MAX));
        }
        Ok(self.limit - remaining)
    }
}

/// Deletes old jobs, and records by how many the number of jobs of each kind decreases.
async fn delete_old_jobs(tx: &mut Tx<'_>, params: &[Value]) -> Result<u64> {
    let mut deleted: BTreeMap<String, i64> = BTreeMap::new();
    for kind in tx.fetch_column::<String>(OLD_JOBS, params, "kind").await? {
        *deleted.entry(kind).or_default() += 1;
    }
    for (kind, jobs) in &deleted {
        record_job_transition(tx, kind, Some(JobState::Done), None, *jobs);
    }
    Ok(deleted.into_values().sum::<i64>().unsigned_abs())
}

// `SKIP LOCKED`: a row that another transaction uses is left for the next purge, and two nodes that purge concurrently
// do not wait for each other.
static OLD_CODES: &Sql = sql!(
    "-- delete old authorization codes
    DELETE FROM authorization_codes WHERE code_hash IN (
        SELECT code_hash FROM authorization_codes WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

// A request that is being exchanged is kept until the exchange has finished or was recovered, because its row contains
// the only copy of the provider's code.
static OLD_REQUESTS: &Sql = sql!(
    "-- delete expired authorization requests
    DELETE FROM authorization_requests WHERE id IN (
        SELECT id FROM authorization_requests WHERE expires_at <= ?1 AND status <> 'exchanging'
        ORDER BY expires_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

// A job stays as long as the one before it, because the jobs of a connection are found through their order.
static OLD_JOBS: &Sql = sql!(
    "-- delete old jobs
    DELETE FROM jobs WHERE id IN (
        SELECT id FROM jobs WHERE state = 'done' AND finished_at <= ?1 AND (previous_job_id IS NULL
            OR NOT EXISTS (SELECT 1 FROM jobs previous WHERE previous.id = jobs.previous_job_id))
        ORDER BY finished_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    ) RETURNING kind"
);

// The job itself stays, so that an operator learns that it has failed.
static OLD_JOB_TOKENS: &Sql = sql!(
    "-- delete the tokens of old failed jobs
    UPDATE jobs SET data_key = NULL, token = NULL, access_key = NULL, access_token = NULL, grant_id = NULL, verifier = NULL
    WHERE id IN (
        SELECT id FROM jobs WHERE state = 'failed' AND token IS NOT NULL AND finished_at <= ?1
        ORDER BY finished_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

static OLD_FAILURES: &Sql = sql!(
    "-- delete old failures
    DELETE FROM recorded_failures WHERE (connection_id, call, reason) IN (
        SELECT connection_id, call, reason FROM recorded_failures WHERE recorded_at <= ?1
        ORDER BY recorded_at LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

static OLD_REFRESH_STATS: &Sql = sql!(
    "-- delete old counters of refreshes
    DELETE FROM provider_refresh_stats WHERE (provider_id, since, minute, shard) IN (
        SELECT provider_id, since, minute, shard FROM provider_refresh_stats WHERE minute < ?1
        ORDER BY minute LIMIT ?2
        FOR UPDATE SKIP LOCKED
    )"
);

// The server's clock decides, which has set the times of the changes. Only changes are deleted that all current snapshots of nodes
// contain, so that a long transaction does not make the nodes empty their memory again and again. Transactions that have not begun
// yet are those of another server, whose database was copied. A trigger announces the deletion to the barriers.
static OLD_CHANGES: &Sql = sql!(
    sqlite: "-- delete old changes, which SQLite does not have
    DELETE FROM store_metadata WHERE name = '' AND ?1 > ?2",
    postgres: "-- delete old changes
    DELETE FROM changes WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM changes WHERE ctid = ANY(ARRAY(
            SELECT oldest.ctid FROM (
                (SELECT ctid, changed_at FROM changes WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY xid LIMIT ?2)
                UNION ALL
                (SELECT ctid, changed_at FROM changes WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()) LIMIT ?2)
            ) oldest
            WHERE oldest.changed_at <= CAST(extract(epoch FROM now()) * 1000 AS BIGINT) - ?1
            LIMIT ?2
        )) FOR UPDATE SKIP LOCKED
    ))"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] =
    &[OLD_CODES, OLD_REQUESTS, OLD_JOBS, OLD_JOB_TOKENS, OLD_FAILURES, OLD_REFRESH_STATS, OLD_CHANGES];
