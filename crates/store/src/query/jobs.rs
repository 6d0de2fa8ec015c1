//! Jobs as operators look for them: each search goes along an index.

use domain::Timestamp;
use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, JobId, ProviderId};
use domain::model::job::{JobKind, JobState};

use crate::Query;
use crate::error::Result;
use crate::record::{Record, known_kind, scalar};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A job without what it holds.
#[derive(Clone, Debug)]
pub struct JobSeen {
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
    pub give_up_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was done or given up.
    pub finished_at: Option<Timestamp>,
}

impl Record for JobSeen {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            kind: row.take()?,
            connection_id: row.take()?,
            provider_id: row.take()?,
            client_id: row.take()?,
            state: row.take()?,
            attempt: row.take()?,
            outcome: row.take()?,
            holds_token: row.take()?,
            due_at: row.take()?,
            give_up_at: row.take()?,
            created_at: row.take()?,
            finished_at: row.take()?,
        })
    }
}

macro_rules! seen_columns {
    () => {
        "SELECT id, kind, connection_id, provider_id, client_id, state, attempt, outcome, token IS NOT NULL, due_at, give_up_at,
        created_at, finished_at
    FROM jobs "
    };
}

/// The jobs of a connection, the newest first; at most a hundred.
#[derive(Clone, Debug)]
pub struct JobsOf {
    /// The connection.
    pub connection_id: ConnectionId,
}

impl Query for JobsOf {
    type Reply = Vec<JobSeen>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(JOBS_OF, values![self.connection_id]).await?;
        rows.into_iter().map(|mut row| JobSeen::read(&mut row)).collect()
    }
}

static JOBS_OF: &Sql = sql!(concat!(
    "-- the jobs of a connection\n",
    seen_columns!(),
    "WHERE connection_id = ?1 AND ",
    known_kind!(),
    " ORDER BY id DESC LIMIT 100"
));

/// Jobs, the newest first.
#[derive(Clone, Debug)]
pub struct Jobs {
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

impl Jobs {
    /// The statement that goes along the narrowest index.
    const fn statement(&self) -> &'static Sql {
        match self {
            Self { state: Some(JobState::Dead | JobState::Pending), .. } => BY_STATE,
            Self { provider_id: Some(_), .. } => BY_PROVIDER,
            Self { kind: Some(_), .. } => BY_KIND,
            Self { state: Some(_), .. } => BY_STATE,
            _ => BY_TIME,
        }
    }
}

impl Query for Jobs {
    type Reply = Vec<JobSeen>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let after = self.after.as_ref().map_or("job_zzzz", JobId::as_str);
        let params = values![self.state, self.kind, self.provider_id, *after, self.limit];
        tx.query(self.statement(), params).await?.into_iter().map(|mut row| JobSeen::read(&mut row)).collect()
    }
}

/// A search along one index; what else is asked for is looked at in the rows.
macro_rules! search {
    ($name:literal, $along:literal) => {
        sql!(concat!(
            "-- jobs by ",
            $name,
            "\n",
            seen_columns!(),
            "WHERE ",
            $along,
            " AND state = COALESCE(?1, state) AND kind = COALESCE(?2, kind)
        AND provider_id = COALESCE(?3, provider_id) AND id < ?4 AND ",
            known_kind!(),
            "
    ORDER BY id DESC LIMIT ?5"
        ))
    };
}

static BY_STATE: &Sql = search!("state", "state || '' = ?1");
static BY_KIND: &Sql = search!("kind", "kind || '' = ?2");
static BY_PROVIDER: &Sql = search!("provider", "provider_id = ?3");
static BY_TIME: &Sql = search!("time", "id < ?4");

/// Whether a provider is still to be told something as the client of a recipient: a job is to tell it, or was given up
/// and holds what a person may have it told; or a code is being exchanged, of which a grant may come.
#[derive(Clone, Debug)]
pub struct StillTelling {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
}

impl Query for StillTelling {
    type Reply = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        let about = values![self.client_id, self.provider_id];
        // The exchange first: what it leaves to a job commits with its end.
        let exchanging = tx.query_opt(STILL_EXCHANGING, about).await?;
        if scalar::<AuthorizationRequestId>(exchanging)?.is_some() {
            return Ok(true);
        }
        Ok(scalar::<JobId>(tx.query_opt(STILL_TELLING, about).await?)?.is_some())
    }
}

static STILL_TELLING: &Sql = sql!(
    "-- a job that speaks with a provider as a recipient's client
    SELECT id FROM jobs WHERE client_id = ?1 AND provider_id = ?2 AND state IN ('pending', 'dead')
        AND (state = 'pending' OR token IS NOT NULL)
        AND COALESCE(kind, '') IN ('tell_bank', 'revoke_orphan', 'recover_code') LIMIT 1"
);

static STILL_EXCHANGING: &Sql = sql!(
    "-- a code that is exchanged as a recipient's client, or was and is not left to a job yet
    SELECT id FROM authorization_requests WHERE client_id = ?1 AND COALESCE(provider_id, 0) = ?2
        AND status = 'exchanging' LIMIT 1"
);

/// Every statement of this file.
pub(super) static STATEMENTS: [&Sql; 7] =
    [JOBS_OF, BY_STATE, BY_KIND, BY_PROVIDER, BY_TIME, STILL_TELLING, STILL_EXCHANGING];
