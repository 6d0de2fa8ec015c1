//! Jobs as operators look for them: each search goes along an index.

use domain::Timestamp;
use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, JobId, ProviderId};
use domain::model::job::{JobKind, JobState};

use crate::Query;
use crate::error::Result;
use crate::record::{FromRow, known_job_kind, read_scalar};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A job without what it holds.
#[derive(Clone, Debug)]
pub struct JobSummary {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The connection it is about; none if it is about a registration.
    pub connection_id: Option<ConnectionId>,
    /// The provider to tell.
    pub provider_id: ProviderId,
    /// The recipient, where the provider has a client for each, or it is about a registration.
    pub client_id: Option<ClientId>,
    /// Where it stands.
    pub state: JobState,
    /// Tries so far.
    pub attempt: u32,
    /// How the last try went, in words.
    pub outcome: Option<String>,
    /// Whether it holds a sealed token.
    pub holds_token: bool,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// When it is given up.
    pub retry_until: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was done or given up.
    pub finished_at: Option<Timestamp>,
}

impl FromRow for JobSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            kind: row.next()?,
            connection_id: row.next()?,
            provider_id: row.next()?,
            client_id: row.next()?,
            state: row.next()?,
            attempt: row.next()?,
            outcome: row.next()?,
            holds_token: row.next()?,
            due_at: row.next()?,
            retry_until: row.next()?,
            created_at: row.next()?,
            finished_at: row.next()?,
        })
    }
}

macro_rules! job_summary_columns {
    () => {
        "SELECT id, kind, connection_id, provider_id, client_id, state, attempt, outcome, token IS NOT NULL, due_at, retry_until,
        created_at, finished_at
    FROM jobs "
    };
}

/// The jobs of a connection, the newest first; at most a hundred.
#[derive(Clone, Debug)]
pub struct ListConnectionJobs {
    /// The connection.
    pub connection_id: ConnectionId,
}

impl Query for ListConnectionJobs {
    type Reply = Vec<JobSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(CONNECTION_JOBS, values![self.connection_id]).await?;
        rows.into_iter().map(|mut row| JobSummary::from_row(&mut row)).collect()
    }
}

static CONNECTION_JOBS: &Sql = sql!(concat!(
    "-- the jobs of a connection\n",
    job_summary_columns!(),
    "WHERE connection_id = ?1 AND ",
    known_job_kind!(),
    " ORDER BY id DESC LIMIT 100"
));

/// Jobs, the newest first.
#[derive(Clone, Debug)]
pub struct ListJobs {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// For this provider.
    pub provider_id: Option<ProviderId>,
    /// Older than this one.
    pub after: Option<JobId>,
    /// At most so many.
    pub limit: u32,
}

impl ListJobs {
    /// The statement that goes along the narrowest index.
    const fn select_statement(&self) -> &'static Sql {
        match self {
            Self { state: Some(JobState::Failed | JobState::Pending), .. } => BY_STATE,
            Self { provider_id: Some(_), .. } => BY_PROVIDER,
            Self { kind: Some(_), .. } => BY_KIND,
            Self { state: Some(_), .. } => BY_STATE,
            _ => BY_TIME,
        }
    }
}

impl Query for ListJobs {
    type Reply = Vec<JobSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let after = self.after.as_ref().map_or("job_zzzz", JobId::as_str);
        let params = values![self.state, self.kind, self.provider_id, *after, self.limit];
        tx.query(self.select_statement(), params)
            .await?
            .into_iter()
            .map(|mut row| JobSummary::from_row(&mut row))
            .collect()
    }
}

/// A search along one index; what else is asked for is looked at in the rows.
macro_rules! job_search {
    ($name:literal, $along:literal) => {
        sql!(concat!(
            "-- jobs by ",
            $name,
            "\n",
            job_summary_columns!(),
            "WHERE ",
            $along,
            " AND state = COALESCE(?1, state) AND kind = COALESCE(?2, kind)
        AND provider_id = COALESCE(?3, provider_id) AND id < ?4 AND ",
            known_job_kind!(),
            "
    ORDER BY id DESC LIMIT ?5"
        ))
    };
}

static BY_STATE: &Sql = job_search!("state", "state || '' = ?1");
static BY_KIND: &Sql = job_search!("kind", "kind || '' = ?2");
static BY_PROVIDER: &Sql = job_search!("provider", "provider_id = ?3");
static BY_TIME: &Sql = job_search!("time", "id < ?4");

/// Whether a provider is still to be told something as the client of a recipient: a job is to tell it, or was given up
/// and holds what a person may have it told; or a code is being exchanged, of which a grant may come.
#[derive(Clone, Debug)]
pub struct HasPendingRevocations {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
}

impl Query for HasPendingRevocations {
    type Reply = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let params = values![self.client_id, self.provider_id];
        // The exchange first: what it leaves to a job commits with its end.
        let exchanging = tx.query_opt(ONGOING_EXCHANGE, params).await?;
        if read_scalar::<AuthorizationRequestId>(exchanging)?.is_some() {
            return Ok(true);
        }
        Ok(read_scalar::<JobId>(tx.query_opt(PENDING_REVOCATION, params).await?)?.is_some())
    }
}

static PENDING_REVOCATION: &Sql = sql!(
    "-- a job that speaks with a provider as a recipient's client
    SELECT id FROM jobs WHERE client_id = ?1 AND provider_id = ?2 AND state IN ('pending', 'failed')
        AND (state = 'pending' OR token IS NOT NULL)
        AND COALESCE(kind, '') IN ('revoke_at_provider', 'revoke_orphaned_grant', 'recover_authorization_code') LIMIT 1"
);

static ONGOING_EXCHANGE: &Sql = sql!(
    "-- a code that is exchanged as a recipient's client, or was and is not left to a job yet
    SELECT id FROM authorization_requests WHERE client_id = ?1 AND COALESCE(provider_id, 0) = ?2
        AND status = 'exchanging' LIMIT 1"
);

/// Every statement of this file.
pub(super) static STATEMENTS: [&Sql; 7] =
    [CONNECTION_JOBS, BY_STATE, BY_KIND, BY_PROVIDER, BY_TIME, PENDING_REVOCATION, ONGOING_EXCHANGE];
