//! Queries that list and count jobs, for operators, the dispatcher and metrics.

use std::collections::BTreeMap;

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::job::{JobKind, JobState};
use domain::model::provider::EndpointGroup;

use crate::entity::job::{JobQueue, known_job_kind};
use crate::error::Result;
use crate::keyset_search::{KeyRange, KeysetSearch, PageLimits, SearchPage, keyset_search};
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, encode_id_after_all, values};

/// A job without its sealed token and keys.
#[derive(Clone, Debug)]
pub struct JobSummary {
    pub id: JobId,
    pub kind: JobKind,
    /// The connection that the job belongs to; `None` if it belongs to a registration.
    pub connection_id: Option<ConnectionId>,
    /// The provider that the job calls.
    pub provider_id: ProviderId,
    /// The recipient whose upstream client the job uses or manages.
    pub client_id: Option<ClientId>,
    pub state: JobState,
    /// The number of attempts so far.
    pub attempt: u32,
    /// A description of the last attempt's outcome.
    pub outcome: Option<String>,
    /// Whether the job still has its sealed token, code or client configuration access.
    pub holds_token: bool,
    /// The time of the next attempt.
    pub due_at: Timestamp,
    /// The time after which the job fails instead of being retried.
    pub retry_until: Timestamp,
    pub created_at: Timestamp,
    /// The time when the job was done or failed.
    pub finished_at: Option<Timestamp>,
}

impl FromRow for JobSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            kind: row.get("kind")?,
            connection_id: row.get("connection_id")?,
            provider_id: row.get("provider_id")?,
            client_id: row.get("client_id")?,
            state: row.get("state")?,
            attempt: row.get("attempt")?,
            outcome: row.get("outcome")?,
            holds_token: row.get("holds_token")?,
            due_at: row.get("due_at")?,
            retry_until: row.get("retry_until")?,
            created_at: row.get("created_at")?,
            finished_at: row.get("finished_at")?,
        })
    }
}

macro_rules! select_job_summaries {
    () => {
        "SELECT id, kind, connection_id, provider_id, client_id, state, attempt, outcome,
        token IS NOT NULL AS holds_token, due_at, retry_until, created_at, finished_at
    FROM jobs"
    };
}

/// Lists the newest 100 jobs of a connection.
#[derive(Clone, Debug)]
pub struct ListConnectionJobs {
    pub connection_id: ConnectionId,
}

impl Query for ListConnectionJobs {
    type Reply = Vec<JobSummary>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_all(CONNECTION_JOBS, values![self.connection_id]).await
    }
}

static CONNECTION_JOBS: &Sql = sql!(concat!(
    "-- list the jobs of a connection
    WITH RECURSIVE chain (job, before, depth) AS (
        SELECT id, previous_job_id, CAST(1 AS BIGINT) FROM jobs
        WHERE id = (SELECT job_id FROM connections WHERE connections.id = ?1)
        UNION ALL SELECT j.id, j.previous_job_id, c.depth + 1
        FROM chain c JOIN jobs j ON j.id = c.before WHERE c.depth < 100
    )
    ",
    select_job_summaries!(),
    " JOIN chain ON id = job WHERE ",
    known_job_kind!(),
    " ORDER BY depth"
));

/// Lists jobs that match every filter, the newest first.
#[derive(Clone, Debug)]
pub struct ListJobs {
    pub state: Option<JobState>,
    pub kind: Option<JobKind>,
    pub provider_id: Option<ProviderId>,
    /// The id of the last job of the previous page.
    pub after: Option<JobId>,
    pub limit: u32,
    /// The maximum number of rows that the search examines.
    pub window: u32,
}

impl ListJobs {
    /// Returns the search to use. Failed jobs are few among many done ones and have an index of their own. The others are
    /// found along the primary key, so that the end of a connection does not have to change an index for this search.
    const fn select_search(&self) -> &'static KeysetSearch {
        match self.state {
            Some(JobState::Failed) => &FAILED,
            _ => &BY_TIME,
        }
    }
}

impl Query for ListJobs {
    type Reply = SearchPage<JobSummary>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // Without a cursor the list starts at the newest job.
        let after = self.after.as_ref().map_or_else(encode_id_after_all, ToValue::to_value);
        let filters = values![self.state, self.kind, self.provider_id];
        let range = KeyRange { after: vec![after], from: vec![Value::Blob(Vec::new())] };
        let limits = PageLimits { rows: self.limit, window: self.window };
        let key = |job: &JobSummary| values![job.id].to_vec();
        self.select_search().fetch(tx, filters, range, limits, key).await
    }
}

keyset_search! {
    "search jobs",
    select: select_job_summaries!(),
    filter: concat!(
        "state = COALESCE(?1, state) AND kind = COALESCE(?2, kind) AND provider_id = COALESCE(?3, provider_id)
        AND ",
        known_job_kind!()
    ),
    after: "?4",
    from: "?5",
    limit: "?6",
    FAILED: "failure" along "state = 'failed'" by ("id");
    BY_TIME: "time" along "TRUE" by ("id");
}

/// Lists the queues that contain a job that is due and not leased.
#[derive(Clone, Debug)]
pub struct ListDueQueues {
    pub now: Timestamp,
}

impl Query for ListDueQueues {
    type Reply = Vec<JobQueue>;
    const KIND: QueryKind = QueryKind::Background;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        const GROUPS: [(EndpointGroup, &str); 3] = [
            (EndpointGroup::Revocation, "has_revocation"),
            (EndpointGroup::Token, "has_token"),
            (EndpointGroup::Registration, "has_registration"),
        ];
        let mut queues = Vec::new();
        for mut row in tx.fetch_rows(DUE_QUEUES, values![self.now]).await? {
            let provider_id = row.get("id")?;
            for (endpoint_group, column) in GROUPS {
                if row.get(column)? {
                    queues.push(JobQueue { provider_id, endpoint_group });
                }
            }
        }
        queues.sort_by_key(|queue: &JobQueue| queue.provider_id);
        Ok(queues)
    }
}

// The limit is necessary: PostgreSQL may execute `EXISTS` for all providers together, which reads every due job.
macro_rules! has_due_job {
    ($group:literal) => {
        concat!(
            "(SELECT due_at FROM jobs WHERE provider_id = providers.id AND endpoint_group = '",
            $group,
            "' AND state = 'pending' AND due_at <= ?1 AND (lease_until IS NULL OR lease_until <= ?1) AND ",
            known_job_kind!(),
            " ORDER BY due_at LIMIT 1) IS NOT NULL"
        )
    };
}

// For each provider and group, the query reads only the first entry of the index `jobs_due`, so its time does not
// depend on the number of waiting jobs. The condition on the id is always true. With it, the plan of SQLite names the
// index through which it reads providers, which the test of the query plans requires.
static DUE_QUEUES: &Sql = sql!(concat!(
    "-- list the queues with due jobs\nSELECT id, ",
    has_due_job!("revocation"),
    " AS has_revocation, ",
    has_due_job!("token"),
    " AS has_token, ",
    has_due_job!("registration"),
    " AS has_registration FROM providers WHERE id >= 0"
));

/// Lists failed jobs that an operator can retry, see `ManagedJob::retry`.
#[derive(Clone, Debug)]
pub struct ListRetryableJobs {
    /// Selects the jobs of one provider, or of all.
    pub provider_id: Option<ProviderId>,
    /// The latest time of failure.
    pub failed_until: Timestamp,
    /// The job after which the list begins; `None` lists from the beginning.
    pub after: Option<RetryableJob>,
    pub limit: u32,
}

/// A failed job that an operator can retry, with its provider.
#[derive(Clone, Debug)]
pub struct RetryableJob {
    pub provider_id: ProviderId,
    pub id: JobId,
}

impl FromRow for RetryableJob {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { provider_id: row.get("provider_id")?, id: row.get("id")? })
    }
}

impl Query for ListRetryableJobs {
    type Reply = Vec<RetryableJob>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let (until, limit) = (self.failed_until, self.limit);
        let beginning = (Value::Int(i64::MIN), Value::Blob(Vec::new()));
        let after = self.after.as_ref().map(|job| (job.provider_id.to_value(), job.id.to_value()));
        let (provider, job) = after.unwrap_or(beginning);
        match self.provider_id {
            Some(id) => tx.fetch_all(RETRYABLE_OF_PROVIDER, values![id, until, limit, job]).await,
            None => tx.fetch_all(RETRYABLE, values![until, limit, provider, job]).await,
        }
    }
}

macro_rules! retryable {
    () => {
        concat!(
            "state = 'failed' AND (token IS NOT NULL OR kind = 'register_upstream_client') AND ",
            known_job_kind!()
        )
    };
}

static RETRYABLE_OF_PROVIDER: &Sql = sql!(concat!(
    "-- list the failed jobs of a provider that can be retried\nSELECT provider_id, id FROM jobs
    WHERE provider_id = ?1 AND id > ?4 AND finished_at <= ?2 AND ",
    retryable!(),
    " ORDER BY id LIMIT ?3"
));

static RETRYABLE: &Sql = sql!(concat!(
    "-- list the failed jobs that can be retried\nSELECT provider_id, id FROM jobs
    WHERE (provider_id, id) > (?3, ?4) AND finished_at <= ?1 AND ",
    retryable!(),
    " ORDER BY provider_id, id LIMIT ?2"
));

/// Returns the number of jobs of each kind and state. Pairs without a job are included with zero, so that each has a
/// metric. The jobs are not read: the result is the sum of the stored counts and of the later transitions.
#[derive(Clone, Debug)]
pub struct CountJobs;

impl Query for CountJobs {
    type Reply = BTreeMap<(&'static str, &'static str), i64>;
    const KIND: QueryKind = QueryKind::Monitoring;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // One statement, because a task moves transitions to the counts in the meantime.
        let count = sql!(concat!(
            "-- add up the counts of jobs\nSELECT kind, state, CAST(sum(jobs) AS BIGINT) AS jobs FROM (
                SELECT kind, state, jobs FROM job_counts
                UNION ALL SELECT kind, to_state AS state, jobs FROM job_transitions
                UNION ALL SELECT kind, from_state AS state, -jobs AS jobs FROM job_transitions
            ) AS changes
            WHERE state IS NOT NULL AND ",
            known_job_kind!(),
            " GROUP BY kind, state"
        ));
        let pairs = JobKind::ALL
            .iter()
            .flat_map(|kind| JobState::ALL.iter().map(|state| (kind.as_str(), state.as_str())));
        let mut counts: BTreeMap<_, _> = pairs.map(|pair| (pair, 0)).collect();
        for mut row in tx.fetch_rows(count, &[]).await? {
            let (kind, state) = (row.get::<JobKind>("kind")?, row.get::<JobState>("state")?);
            counts.insert((kind.as_str(), state.as_str()), row.get("jobs")?);
        }
        Ok(counts)
    }
}

/// Returns whether the upstream client of a registration is still needed to revoke something at the provider: a job is
/// pending, or has failed and could be retried; or a code is being exchanged, which may result in a grant.
///
/// Pending jobs have no index by recipient, because each end of a connection would have to change it. If more of them than
/// `window` wait for the provider, they are not examined, and the client counts as needed.
#[derive(Clone, Debug)]
pub struct HasPendingRevocations {
    pub client_id: ClientId,
    pub provider_id: ProviderId,
    /// The maximum number of pending jobs that the query examines.
    pub window: u32,
}

impl Query for HasPendingRevocations {
    type Reply = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let registration = values![self.client_id, self.provider_id];
        let jobs = values![self.client_id, self.provider_id, self.window];
        // Exchanges are checked before jobs: an exchange that ends queues its job in the same commit, so that at least
        // one of the two statements sees it.
        Ok(tx.exists(ONGOING_EXCHANGE, registration).await? || tx.exists(UNFINISHED_REVOCATION, jobs).await?)
    }
}

macro_rules! is_revocation {
    () => {
        "COALESCE(kind, '') IN ('revoke_at_provider', 'revoke_orphaned_grant', 'recover_authorization_code')"
    };
}

// One statement, so that it sees a job which fails or is retried in the meantime in one of its states. The jobs beyond the
// window are searched before those in it, so that a long queue is not read.
static UNFINISHED_REVOCATION: &Sql = sql!(concat!(
    "-- find a job that revokes a grant as the client of a recipient
    SELECT id FROM providers WHERE id = ?2 AND (
        EXISTS (SELECT 1 FROM jobs WHERE client_id = ?1 AND provider_id = ?2 AND state = 'failed'
            AND token IS NOT NULL AND ",
    is_revocation!(),
    ")
        OR (SELECT 1 FROM jobs WHERE provider_id = ?2 AND endpoint_group IN ('revocation', 'token')
            AND state = 'pending' LIMIT 1 OFFSET ?3) IS NOT NULL
        OR EXISTS (SELECT 1 FROM jobs WHERE provider_id = ?2 AND endpoint_group IN ('revocation', 'token')
            AND state = 'pending' AND client_id = ?1 AND ",
    is_revocation!(),
    "))"
));

static ONGOING_EXCHANGE: &Sql = sql!(
    "-- find a code exchange as the client of a recipient, ongoing or interrupted and not yet recovered
    SELECT id FROM authorization_requests WHERE client_id = ?1 AND COALESCE(provider_id, 0) = ?2
        AND status = 'exchanging' LIMIT 1"
);

pub(super) static HOT_STATEMENTS: &[&Sql] =
    &[CONNECTION_JOBS, DUE_QUEUES, UNFINISHED_REVOCATION, ONGOING_EXCHANGE, RETRYABLE, RETRYABLE_OF_PROVIDER];
