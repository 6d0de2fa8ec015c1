//! Queries: reads of the state as it is now. There is no cache.

mod audit;
mod clients;
mod connections;
mod jobs;
mod manage;
mod operator;
mod registrations;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Timestamp;
use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, AuditEntry, AuditEvent, SubjectKind};
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::client::Client;
use domain::model::connection::Connection;
use domain::model::job::{JobKind, JobState};
use domain::model::provider::{Provider, ProviderState};
use domain::model::refresh_token::RefreshToken;
use domain::model::registration::{Registration, RegistrationState};
use domain::rule::access::AccessState;
use domain::secret::{TokenHash, TokenHashes};

use crate::command::statement;
use crate::error::Result;
use crate::record::{self, FromRow, access_columns, access_joins, read_scalar};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;
use crate::{Query, Statement};

pub use audit::ListAuditEvents;
pub use clients::{ClientSummary, CountConnectionsEndedByRemoval, GetClientSummary, ListClients};
pub use connections::{ConnectionSummary, GetConnectionSummary, ListConnections, TimeRange};
pub use jobs::{HasPendingRevocations, JobSummary, ListConnectionJobs, ListJobs};
pub use manage::{
    ClientRemoval, GetProviderSecret, GetRecipient, GetRecipientConnection, GetUpstreamClient,
    ListClientRemovals, ListLiveConnections, ListPartnerRegistrations, ListRecipientConnections,
    ListRecipientRegistrations, ListRecipients, NamedRegistration, RecipientConnection,
};
pub use operator::{FindOperator, ListOperators};
pub use registrations::{GetRegistrationSummary, ListRegistrations, RegistrationSummary};

/// Declares queries that are one lookup.
macro_rules! lookup {
    ($($(#[$doc:meta])* $name:ident($($field:ident: $type:ty),*) -> $reply:ty = |$tx:ident, $this:ident| $body:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name { $(#[doc = "What is looked for."] pub $field: $type),* }

        impl Query for $name {
            type Reply = $reply;
            async fn run(&self, $tx: &mut Tx<'_>) -> Result<$reply> {
                let $this = self;
                $body
            }
        }
    )+};
}

lookup! {
    /// A client.
    GetClient(id: ClientId) -> Option<Client> = |tx, q| record::find_client(tx, &q.id).await;
    /// A provider.
    GetProvider(id: ProviderId) -> Option<Provider> = |tx, q| record::find_provider(tx, q.id).await;
    /// A registration.
    GetRegistration(client_id: ClientId, provider_id: ProviderId) -> Option<Registration>
        = |tx, q| record::find_registration(tx, &q.client_id, q.provider_id).await;
    /// Everything that the access check needs to know of a connection.
    GetAccessState(connection_id: ConnectionId) -> Option<AccessState>
        = |tx, q| record::find_access_state(tx, &q.connection_id).await;
    /// A connection as it stands.
    GetConnection(id: ConnectionId) -> Option<Connection> = |tx, q| record::find_connection(tx, &q.id).await;
    /// An authorization request.
    GetAuthorizationRequest(id: AuthorizationRequestId) -> Option<AuthorizationRequest>
        = |tx, q| record::find_request(tx, &q.id).await;
    /// The authorization request that a provider's `state` belongs to.
    FindAuthorizationRequestByState(state: TokenHashes) -> Option<AuthorizationRequest>
        = |tx, q| record::find_request_by_state(tx, record::REQUEST_BY_STATE, &q.state).await;
    /// A mark of the store.
    GetMetadata(name: &'static str) -> Option<String>
        = |tx, q| read_scalar(tx.query_opt(statement::METADATA_VALUE, values![q.name]).await?);
}

/// The providers that a recipient has an active registration with, whatever state they are in.
#[derive(Debug, Clone)]
pub struct ListRecipientProviders {
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for ListRecipientProviders {
    type Reply = Vec<Provider>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(RECIPIENT_PROVIDERS, values![self.client_id, RegistrationState::Active]).await?;
        rows.into_iter().map(|mut row| Provider::from_row(&mut row)).collect()
    }
}

static RECIPIENT_PROVIDERS: &Sql = sql!(
    "-- the providers that a recipient is registered with
    SELECT p.id, p.state, p.source, p.settings, p.audit_seq, p.audit_mac
    FROM registrations r JOIN providers p ON p.id = r.provider_id
    WHERE r.client_id = ?1 AND r.state = ?2 ORDER BY p.id"
);

/// Every provider.
#[derive(Debug, Clone)]
pub struct ListProviders;

impl Query for ListProviders {
    type Reply = Vec<Provider>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let all = sql!(
            "-- every provider
            SELECT id, state, source, settings, audit_seq, audit_mac FROM providers ORDER BY id"
        );
        tx.query(all, &[]).await?.into_iter().map(|mut row| Provider::from_row(&mut row)).collect()
    }
}

/// A presented refresh token, with what the access check needs to know.
#[derive(Debug, Clone)]
pub struct FindRefreshToken {
    /// The presented token's hashes.
    pub hashes: TokenHashes,
}

/// A refresh token that exists.
#[derive(Debug)]
pub struct StoredRefreshToken {
    /// How it is remembered.
    pub hash: TokenHash,
    /// The token.
    pub token: RefreshToken,
    /// Its connection's state.
    pub access_state: AccessState,
}

impl Query for FindRefreshToken {
    type Reply = Option<StoredRefreshToken>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        for hash in self.hashes.iter() {
            let Some(mut row) = tx.query_opt(REFRESH_TOKEN, values![hash]).await? else {
                continue;
            };
            let token = RefreshToken {
                connection_id: row.next()?,
                client_id: row.next()?,
                last_used_at: row.next()?,
            };
            let state = AccessState::from_row(&mut row)?;
            return Ok(Some(StoredRefreshToken { hash: hash.clone(), token, access_state: state }));
        }
        Ok(None)
    }
}

static REFRESH_TOKEN: &Sql = sql!(concat!(
    "-- a refresh token with the access state of its connection
    SELECT f.connection_id, f.client_id, f.last_used_at, ",
    access_columns!(),
    "FROM refresh_tokens f JOIN connections c ON c.id = f.connection_id ",
    access_joins!(),
    "WHERE f.token_hash = ?1"
));

/// The provider's tokens of a connection, sealed.
#[derive(Debug, Clone)]
pub struct GetUpstreamCredential {
    /// The connection.
    pub connection_id: ConnectionId,
}

/// The provider's tokens as stored.
#[derive(Debug, Clone)]
pub struct UpstreamCredential {
    /// The version that fences refreshes.
    pub version: i64,
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// The sealed access token.
    pub access_token: Vec<u8>,
    /// When it dies.
    pub access_expires_at: Timestamp,
}

impl Query for GetUpstreamCredential {
    type Reply = Option<UpstreamCredential>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(mut row) = tx.query_opt(CREDENTIAL, values![self.connection_id]).await? else {
            return Ok(None);
        };
        Ok(Some(UpstreamCredential {
            version: row.next()?,
            data_key: row.next()?,
            access_token: row.next()?,
            access_expires_at: row.next()?,
        }))
    }
}

static CREDENTIAL: &Sql = sql!(
    "-- the provider's tokens of a live connection
    SELECT c.credential_version, c.data_key, u.access_token, u.access_expires_at
    FROM upstream_credentials u JOIN connections c ON c.id = u.connection_id
    WHERE u.connection_id = ?1 AND c.data_key IS NOT NULL"
);

/// Connections that time may have ended, the most overdue first.
#[derive(Debug, Clone)]
pub struct ListDueConnections {
    /// The time.
    pub now: Timestamp,
    /// How long a refresh token may lie unused.
    pub idle_timeout: Duration,
    /// At most so many.
    pub limit: u32,
}

impl Query for ListDueConnections {
    type Reply = Vec<ConnectionId>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // The inverse of `idle_expiry`: a token last used before this has idled out.
        let idle = self.idle_timeout + Duration::from_hours(24);
        let idle_before = self.now.minus(idle);
        let mut due: Vec<ConnectionId> = Vec::new();
        for (sql, until) in [(DUE_PENDING, self.now), (DUE_CONSENT, self.now), (DUE_IDLE, idle_before)] {
            for mut row in tx.query(sql, values![until, self.limit]).await? {
                let id = row.next()?;
                if !due.contains(&id) {
                    due.push(id);
                }
            }
        }
        due.truncate(self.limit as usize);
        Ok(due)
    }
}

static DUE_PENDING: &Sql = sql!(
    "-- connections whose code was never redeemed
    SELECT id FROM connections WHERE status = 'pending' AND pending_until <= ?1 ORDER BY pending_until LIMIT ?2"
);
static DUE_CONSENT: &Sql = sql!(
    "-- connections whose consent is over
    SELECT id FROM connections WHERE status = 'active' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2"
);
static DUE_IDLE: &Sql = sql!(
    "-- connections whose refresh token was not used for too long
    SELECT connection_id FROM refresh_tokens WHERE last_used_at <= ?1 ORDER BY last_used_at LIMIT ?2"
);

/// Requests whose exchange broke off, the oldest first.
#[derive(Debug, Clone)]
pub struct ListInterruptedExchanges {
    /// The time.
    pub now: Timestamp,
    /// At most so many.
    pub limit: u32,
}

impl Query for ListInterruptedExchanges {
    type Reply = Vec<AuthorizationRequestId>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(INTERRUPTED_EXCHANGES, values![self.now, self.limit]).await?;
        rows.into_iter().map(|mut row| row.next()).collect()
    }
}

static INTERRUPTED_EXCHANGES: &Sql = sql!(
    "-- requests whose exchange broke off
    SELECT id FROM authorization_requests
    WHERE status = 'exchanging' AND COALESCE(exchange_until, expires_at) <= ?1
    ORDER BY COALESCE(exchange_until, expires_at) LIMIT ?2"
);

/// The number of the newest migration that was applied.
#[derive(Debug, Clone)]
pub struct GetSchemaVersion;

impl Query for GetSchemaVersion {
    type Reply = i64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let newest = sql!("-- the newest migration\nSELECT max(version) FROM schema_migrations");
        Ok(read_scalar(tx.query_opt(newest, &[]).await?)?.unwrap_or(0))
    }
}

/// How many jobs there are of each kind and state; what there is none of is there with zero.
#[derive(Debug, Clone)]
pub struct CountJobs;

impl Query for CountJobs {
    type Reply = BTreeMap<(&'static str, &'static str), i64>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let count = sql!(concat!(
            "-- count jobs\nSELECT kind, state, count(*) FROM jobs WHERE ",
            record::known_job_kind!(),
            " GROUP BY kind, state"
        ));
        let all = JobKind::ALL.iter().flat_map(|k| JobState::ALL.iter().map(|s| (k.as_str(), s.as_str())));
        let mut counts: BTreeMap<_, _> = all.map(|pair| (pair, 0)).collect();
        for mut row in tx.query(count, &[]).await? {
            let (kind, state) = (row.next::<JobKind>()?, row.next::<JobState>()?);
            counts.insert((kind.as_str(), state.as_str()), row.next()?);
        }
        Ok(counts)
    }
}

/// Whether a live connection hangs from the grant that a job's token is of, where grants are shared: the
/// customer's, who is known by the job's connection or by the identity that the provider gave.
#[derive(Debug, Clone)]
pub struct IsGrantShared {
    /// The provider.
    pub provider_id: ProviderId,
    /// The job's connection, if there ever was one.
    pub connection_id: ConnectionId,
    /// The keyed hash of the customer's identity, if it is known.
    pub identity: Option<Vec<u8>>,
}

impl Query for IsGrantShared {
    type Reply = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        if tx.query_opt(LIVE_CONNECTION_BY_CONNECTION, values![self.connection_id]).await?.is_some() {
            return Ok(true);
        }
        let Some(identity) = &self.identity else {
            return Ok(false);
        };
        Ok(tx.query_opt(LIVE_CONNECTION_BY_IDENTITY, values![self.provider_id, identity]).await?.is_some())
    }
}

static LIVE_CONNECTION_BY_CONNECTION: &Sql = sql!(
    "-- a live connection of the customer that a connection was of
    SELECT l.id FROM connections c JOIN connections l ON l.customer_id = c.customer_id
    WHERE c.id = ?1 AND l.status IN ('pending', 'active') LIMIT 1"
);
static LIVE_CONNECTION_BY_IDENTITY: &Sql = sql!(
    "-- a live connection of a customer by identity
    SELECT l.id FROM customers u JOIN connections l ON l.customer_id = u.id
    WHERE u.provider_id = ?1 AND u.identity = ?2 AND l.status IN ('pending', 'active') LIMIT 1"
);

/// How many providers there are in each state; a state that none is in is there with zero.
#[derive(Debug, Clone)]
pub struct CountProviders;

impl Query for CountProviders {
    type Reply = BTreeMap<&'static str, i64>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let count = sql!("-- count providers\nSELECT state, count(*) FROM providers GROUP BY state");
        let mut counts: BTreeMap<_, _> = ProviderState::ALL.iter().map(|s| (s.as_str(), 0)).collect();
        for mut row in tx.query(count, &[]).await? {
            counts.insert(row.next::<ProviderState>()?.as_str(), row.next()?);
        }
        Ok(counts)
    }
}

/// A subject's chain of the record, from its first event on.
#[derive(Debug, Clone)]
pub struct GetAuditChain {
    /// What kind of subject.
    pub kind: SubjectKind,
    /// Which.
    pub id: String,
}

impl Query for GetAuditChain {
    type Reply = Vec<AuditEvent>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let mut events = Vec::new();
        for mut row in tx.query(AUDIT_CHAIN, values![self.kind, self.id]).await? {
            let (id, seq) = (row.next()?, row.next()?);
            let (at, action) = (row.next()?, row.next()?);
            let actor = Actor { kind: row.next()?, id: row.next()? };
            let (correlation_id, detail) = (row.next()?, row.next()?);
            let subject = (self.kind, self.id.clone());
            let entry = AuditEntry { subject, at, action, actor, correlation_id, detail };
            events.push(AuditEvent { id, seq, entry, mac: row.next()? });
        }
        Ok(events)
    }
}

static AUDIT_CHAIN: &Sql = sql!(
    "-- a subject's chain
    SELECT id, seq, at, action, actor_kind, actor_id, correlation_id, detail, mac
    FROM audit_events WHERE subject_kind = ?1 AND subject_id = ?2 ORDER BY seq"
);

/// Every statement on a hot path, with its name, for the test of their plans.
#[doc(hidden)]
pub fn hot_statements() -> Vec<Statement> {
    [
        record::CLIENT,
        record::LOCK_CLIENT_SHARED,
        record::LOCK_CLIENT,
        record::RECIPIENT,
        record::RECIPIENTS,
        record::RECIPIENT_REGISTRATIONS,
        manage::PARTNER_REGISTRATIONS,
        manage::PARTNER_RECIPIENT_REGISTRATIONS,
        manage::UPSTREAM_CLIENT,
        manage::PROVIDER_SECRET,
        manage::NEWEST_RECIPIENT_CONNECTIONS,
        manage::OLDER_RECIPIENT_CONNECTIONS,
        manage::RECIPIENT_CONNECTION,
        manage::ACTIVE_CONNECTIONS,
        manage::PENDING_CONNECTIONS,
        record::PROVIDER,
        record::LOCK_PROVIDER,
        record::REGISTRATION,
        record::CONNECTION,
        record::LOCK_CONNECTION,
        record::LOCK_ACTIVE_CONNECTION,
        record::REQUEST,
        record::LOCK_REQUEST,
        record::REQUEST_BY_STATE,
        record::LOCK_REQUEST_BY_STATE,
        record::CODE,
        record::ACCESS_STATE,
        record::DUE_JOB,
        record::LEASED_JOB,
        statement::METADATA_VALUE,
        statement::UPSTREAM_ROW,
        statement::LAST_USE,
        statement::CREDENTIAL_TO_LEASE,
        statement::CUSTOMER_BY_IDENTITY,
        statement::SUBJECT_OF_CUSTOMER,
        statement::LOCK_CUSTOMER,
        statement::LIVE_SIBLING,
        statement::OTHER_PENDING_REVOCATION,
        statement::DELETABLE_UPSTREAM_CLIENTS,
        LIVE_CONNECTION_BY_CONNECTION,
        LIVE_CONNECTION_BY_IDENTITY,
        statement::OLD_CODES,
        statement::OLD_REQUESTS,
        statement::OLD_JOBS,
        statement::OLD_REFRESH_STATS,
        RECIPIENT_PROVIDERS,
        REFRESH_TOKEN,
        CREDENTIAL,
        DUE_PENDING,
        DUE_CONSENT,
        DUE_IDLE,
        INTERRUPTED_EXCHANGES,
        statement::INTERRUPTED_EXCHANGE,
        statement::REFRESH_STATS,
        statement::LOCK_OPERATOR,
        statement::LOCK_OPERATOR_BY_NAME,
        statement::LOCK_JOB,
        operator::OPERATOR_BY_TOKEN,
        operator::OPERATORS,
        AUDIT_CHAIN,
    ]
    .into_iter()
    .chain(audit::STATEMENTS)
    .chain(clients::STATEMENTS)
    .chain(connections::STATEMENTS)
    .chain(jobs::STATEMENTS)
    .chain(registrations::STATEMENTS)
    .map(Statement)
    .collect()
}
