//! The stored form of jobs, which are deferred calls to providers.

use domain::Timestamp;
use domain::id::{JobId, LeaseId, ProviderId};
use domain::model::job::{Job, SealedAccessToken, TokenType};
use domain::model::provider::EndpointGroup;

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

macro_rules! job_columns {
    () => {
        "id, kind, connection_id, provider_id, client_id, data_key, token, token_type, access_key, access_token, grant_id,
        accepted_methods, verifier, identity, outcome_unknown, attempt, invalid_requests, seed, retry_until"
    };
}

/// The condition that this program knows the kind of a job. Nodes of a later version may queue jobs of other kinds, and
/// only they run them. `COALESCE` keeps the planner from choosing an index on `kind`, which selects too many jobs.
macro_rules! known_job_kind {
    () => {
        "COALESCE(kind, '') IN ('revoke_at_provider', 'revoke_orphaned_grant', 'recover_authorization_code', \
        'register_upstream_client', 'delete_upstream_client', 'confirm_invalid_grant')"
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
            token_type: row.get::<Option<_>>("token_type")?.unwrap_or(TokenType::RefreshToken),
            access_token: row
                .get::<Option<_>>("access_key")?
                .zip(row.get("access_token")?)
                .map(|(data_key, token)| SealedAccessToken { data_key, token }),
            grant_id: row.get("grant_id")?,
            accepted_methods: row.get_optional_json("accepted_methods")?.unwrap_or_default(),
            verifier: row.get("verifier")?,
            identity: row.get("identity")?,
            outcome_unknown: row.get("outcome_unknown")?,
            attempt: row.get("attempt")?,
            invalid_requests: row.get("invalid_requests")?,
            seed: row.get("seed")?,
            retry_until: row.get("retry_until")?,
        })
    }
}

/// The jobs of one endpoint group of one provider. A worker takes them in the order in which they became due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobQueue {
    pub provider_id: ProviderId,
    pub endpoint_group: EndpointGroup,
}

/// Locks the next due jobs of a queue, at most `limit`. Skips jobs that other workers have locked or leased.
pub(crate) async fn lock_due_jobs(
    tx: &mut Tx<'_>,
    queue: &JobQueue,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Job>> {
    tx.fetch_all(LOCK_DUE_JOBS, values![queue.provider_id, queue.endpoint_group, now, limit]).await
}

/// Locks a job, unless its lease has expired and another worker has taken it.
pub(crate) async fn lock_leased_job(tx: &mut Tx<'_>, id: &JobId, lease: &LeaseId) -> Result<Option<Job>> {
    tx.fetch_optional(LOCK_LEASED_JOB, values![id, lease]).await
}

// Leased jobs stay at the beginning of the index and are skipped. They are few, because the workers limit the number of
// calls.
static LOCK_DUE_JOBS: &Sql = sql!(concat!(
    "-- lock the next due jobs of a queue\nSELECT ",
    job_columns!(),
    " FROM jobs
    WHERE provider_id = ?1 AND endpoint_group = ?2 AND state = 'pending' AND due_at <= ?3
        AND (lease_until IS NULL OR lease_until <= ?3) AND ",
    known_job_kind!(),
    "
    ORDER BY due_at LIMIT ?4 FOR UPDATE SKIP LOCKED"
));

static LOCK_LEASED_JOB: &Sql = sql!(concat!(
    "-- lock a leased job\nSELECT ",
    job_columns!(),
    " FROM jobs WHERE id = ?1 AND lease_id = ?2 AND state = 'pending' FOR UPDATE"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[LOCK_DUE_JOBS, LOCK_LEASED_JOB];

#[cfg(test)]
mod tests {
    use domain::model::job::JobKind;

    #[test]
    fn lease_condition_names_every_job_kind() {
        let kinds: Vec<_> = JobKind::ALL.iter().map(|kind| format!("'{kind}'")).collect();

        assert_eq!(known_job_kind!(), format!("COALESCE(kind, '') IN ({})", kinds.join(", ")));
    }
}
