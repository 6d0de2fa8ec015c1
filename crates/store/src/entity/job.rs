//! Jobs: deferred calls to providers.

use domain::Timestamp;
use domain::id::{JobId, LeaseId};
use domain::model::job::Job;

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

macro_rules! job_columns {
    () => {
        "id, kind, connection_id, provider_id, client_id, data_key, token, verifier, identity, outcome_unknown, attempt,
        seed, retry_until"
    };
}

/// The condition that this program knows the kind of a job. Nodes of a later version may queue jobs of other kinds, and
/// only they run them. `COALESCE` keeps the planner from choosing an index on `kind`, which selects too many jobs.
macro_rules! known_job_kind {
    () => {
        "COALESCE(kind, '') IN ('revoke_at_provider', 'revoke_orphaned_grant', 'recover_authorization_code', \
        'register_upstream_client', 'delete_upstream_client')"
    };
}
pub(crate) use known_job_kind;

impl FromRow for Job {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            kind: row.get("kind")?,
            connection_id: row.get("connection_id")?,
            provider_id: row.get("provider_id")?,
            client_id: row.get("client_id")?,
            // Jobs that register a client have no token.
            data_key: row.get::<Option<_>>("data_key")?.unwrap_or_default(),
            token: row.get::<Option<_>>("token")?.unwrap_or_default(),
            verifier: row.get("verifier")?,
            identity: row.get("identity")?,
            refresh_outcome_unknown: row.get("outcome_unknown")?,
            attempt: row.get("attempt")?,
            seed: row.get("seed")?,
            retry_until: row.get("retry_until")?,
        })
    }
}

/// Locks the next due job. Skips jobs that other workers have locked.
pub(crate) async fn lock_due_job(tx: &mut Tx<'_>, now: Timestamp) -> Result<Option<Job>> {
    tx.fetch_optional(LOCK_DUE_JOB, values![now]).await
}

/// Locks a job, unless its lease has expired and another worker has taken it.
pub(crate) async fn lock_leased_job(tx: &mut Tx<'_>, id: &JobId, lease: &LeaseId) -> Result<Option<Job>> {
    tx.fetch_optional(LOCK_LEASED_JOB, values![id, lease]).await
}

static LOCK_DUE_JOB: &Sql = sql!(concat!(
    "-- lock the next due job\nSELECT ",
    job_columns!(),
    " FROM jobs
    WHERE state = 'pending' AND due_at <= ?1 AND (lease_until IS NULL OR lease_until <= ?1) AND ",
    known_job_kind!(),
    "
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED"
));

static LOCK_LEASED_JOB: &Sql = sql!(concat!(
    "-- lock a leased job\nSELECT ",
    job_columns!(),
    " FROM jobs WHERE id = ?1 AND lease_id = ?2 AND state = 'pending' FOR UPDATE"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[LOCK_DUE_JOB, LOCK_LEASED_JOB];

#[cfg(test)]
mod tests {
    use domain::model::job::JobKind;

    #[test]
    fn known_job_kind_lists_every_job_kind() {
        let kinds: Vec<_> = JobKind::ALL.iter().map(|kind| format!("'{kind}'")).collect();

        assert_eq!(known_job_kind!(), format!("COALESCE(kind, '') IN ({})", kinds.join(", ")));
    }
}
