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
use crate::record::{self, Record, access_columns, access_joins, scalar};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;
use crate::{Query, Statement};

pub use audit::AuditEvents;
pub use clients::{ClientSeen, ClientSeenById, Clients, EndsWith};
pub use connections::{Connections, Found, FoundById, Window};
pub use jobs::{JobSeen, Jobs, JobsOf, StillTelling};
pub use manage::{
    ConnectionOf, ConnectionsOf, ListedConnection, LiveOf, NamedRegistration, ProviderSecretOf, RecipientOf,
    RecipientsOf, RegistrationsOf, RegistrationsUnder, Removal, Removals, UpstreamClientOf,
};
pub use operator::{OperatorBy, Operators};
pub use registrations::{RegistrationSeen, RegistrationSeenOf, Registrations};

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
    ClientById(id: ClientId) -> Option<Client> = |tx, q| record::client(tx, &q.id).await;
    /// A provider.
    ProviderById(id: ProviderId) -> Option<Provider> = |tx, q| record::provider(tx, q.id).await;
    /// A registration.
    RegistrationOf(client_id: ClientId, provider_id: ProviderId) -> Option<Registration>
        = |tx, q| record::registration(tx, &q.client_id, q.provider_id).await;
    /// Everything that the access check needs to know of a connection.
    AccessStateOf(connection_id: ConnectionId) -> Option<AccessState>
        = |tx, q| record::access_state(tx, &q.connection_id).await;
    /// A connection as it stands.
    ConnectionById(id: ConnectionId) -> Option<Connection> = |tx, q| record::connection(tx, &q.id).await;
    /// An authorization request.
    RequestById(id: AuthorizationRequestId) -> Option<AuthorizationRequest>
        = |tx, q| record::request(tx, &q.id).await;
    /// The authorization request that a provider's `state` belongs to.
    RequestByState(state: TokenHashes) -> Option<AuthorizationRequest>
        = |tx, q| record::request_by_state(tx, record::REQUEST_BY_STATE, &q.state).await;
    /// A mark of the store.
    MarkOf(name: &'static str) -> Option<String>
        = |tx, q| scalar(tx.query_opt(statement::MARK, values![q.name]).await?);
}

/// The providers that a recipient has an active registration with, whatever state they are in.
#[derive(Debug, Clone)]
pub struct ProvidersOf {
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for ProvidersOf {
    type Reply = Vec<Provider>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(PROVIDERS_OF, values![self.client_id, RegistrationState::Active]).await?;
        rows.into_iter().map(|mut row| Provider::read(&mut row)).collect()
    }
}

static PROVIDERS_OF: &Sql = sql!(
    "-- the providers that a recipient is registered with
    SELECT p.id, p.state, p.source, p.settings, p.audit_seq, p.audit_mac
    FROM registrations r JOIN providers p ON p.id = r.provider_id
    WHERE r.client_id = ?1 AND r.state = ?2 ORDER BY p.id"
);

/// Every provider.
#[derive(Debug, Clone)]
pub struct AllProviders;

impl Query for AllProviders {
    type Reply = Vec<Provider>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let all = sql!(
            "-- every provider
            SELECT id, state, source, settings, audit_seq, audit_mac FROM providers ORDER BY id"
        );
        tx.query(all, &[]).await?.into_iter().map(|mut row| Provider::read(&mut row)).collect()
    }
}

/// A presented refresh token, with what the access check needs to know.
#[derive(Debug, Clone)]
pub struct RefreshTokenBy {
    /// The presented token's hashes.
    pub hashes: TokenHashes,
}

/// A refresh token that exists.
#[derive(Debug)]
pub struct KnownRefreshToken {
    /// How it is remembered.
    pub hash: TokenHash,
    /// The token.
    pub token: RefreshToken,
    /// Its connection's state.
    pub state: AccessState,
}

impl Query for RefreshTokenBy {
    type Reply = Option<KnownRefreshToken>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        for hash in self.hashes.iter() {
            let Some(mut row) = tx.query_opt(REFRESH_TOKEN, values![hash]).await? else {
                continue;
            };
            let token = RefreshToken {
                connection_id: row.take()?,
                client_id: row.take()?,
                last_used_at: row.take()?,
            };
            let state = AccessState::read(&mut row)?;
            return Ok(Some(KnownRefreshToken { hash: hash.clone(), token, state }));
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
pub struct CredentialOf {
    /// The connection.
    pub connection_id: ConnectionId,
}

/// The provider's tokens as stored.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The version that fences refreshes.
    pub version: i64,
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// The sealed access token.
    pub access_token: Vec<u8>,
    /// When it dies.
    pub access_expires_at: Timestamp,
}

impl Query for CredentialOf {
    type Reply = Option<Credential>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(mut row) = tx.query_opt(CREDENTIAL, values![self.connection_id]).await? else {
            return Ok(None);
        };
        Ok(Some(Credential {
            version: row.take()?,
            data_key: row.take()?,
            access_token: row.take()?,
            access_expires_at: row.take()?,
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
pub struct DueEnds {
    /// The time.
    pub now: Timestamp,
    /// How long a refresh token may lie unused.
    pub idle: Duration,
    /// At most so many.
    pub limit: u32,
}

impl Query for DueEnds {
    type Reply = Vec<ConnectionId>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // The inverse of `idle_end`: a token last used before this has idled out.
        let idle = self.idle + Duration::from_hours(24);
        let idle_before = self.now.minus(idle);
        let mut due: Vec<ConnectionId> = Vec::new();
        for (sql, until) in [(DUE_PENDING, self.now), (DUE_CONSENT, self.now), (DUE_IDLE, idle_before)] {
            for mut row in tx.query(sql, values![until, self.limit]).await? {
                let id = row.take()?;
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
pub struct DueRecoveries {
    /// The time.
    pub now: Timestamp,
    /// At most so many.
    pub limit: u32,
}

impl Query for DueRecoveries {
    type Reply = Vec<AuthorizationRequestId>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(DUE_RECOVERIES, values![self.now, self.limit]).await?;
        rows.into_iter().map(|mut row| row.take()).collect()
    }
}

static DUE_RECOVERIES: &Sql = sql!(
    "-- requests whose exchange broke off
    SELECT id FROM authorization_requests
    WHERE status = 'exchanging' AND COALESCE(exchange_until, expires_at) <= ?1
    ORDER BY COALESCE(exchange_until, expires_at) LIMIT ?2"
);

/// The number of the newest migration that was applied.
#[derive(Debug, Clone)]
pub struct SchemaVersion;

impl Query for SchemaVersion {
    type Reply = i64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let newest = sql!("-- the newest migration\nSELECT max(version) FROM schema_migrations");
        Ok(scalar(tx.query_opt(newest, &[]).await?)?.unwrap_or(0))
    }
}

/// How many jobs there are of each kind and state; what there is none of is there with zero.
#[derive(Debug, Clone)]
pub struct JobCounts;

impl Query for JobCounts {
    type Reply = BTreeMap<(&'static str, &'static str), i64>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let count = sql!(concat!(
            "-- count jobs\nSELECT kind, state, count(*) FROM jobs WHERE ",
            record::known_kind!(),
            " GROUP BY kind, state"
        ));
        let all = JobKind::ALL.iter().flat_map(|k| JobState::ALL.iter().map(|s| (k.as_str(), s.as_str())));
        let mut counts: BTreeMap<_, _> = all.map(|pair| (pair, 0)).collect();
        for mut row in tx.query(count, &[]).await? {
            let (kind, state) = (row.take::<JobKind>()?, row.take::<JobState>()?);
            counts.insert((kind.as_str(), state.as_str()), row.take()?);
        }
        Ok(counts)
    }
}

/// Whether a live connection hangs from the grant that a job's token is of, where grants are shared: the
/// customer's, who is known by the job's connection or by the identity that the provider gave.
#[derive(Debug, Clone)]
pub struct GrantLivesOn {
    /// The provider.
    pub provider_id: ProviderId,
    /// The job's connection, if there ever was one.
    pub connection_id: ConnectionId,
    /// The keyed hash of the customer's identity, if it is known.
    pub identity: Option<Vec<u8>>,
}

impl Query for GrantLivesOn {
    type Reply = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool> {
        if tx.query_opt(LIVES_ON, values![self.connection_id]).await?.is_some() {
            return Ok(true);
        }
        let Some(identity) = &self.identity else {
            return Ok(false);
        };
        Ok(tx.query_opt(LIVES_ON_OF, values![self.provider_id, identity]).await?.is_some())
    }
}

static LIVES_ON: &Sql = sql!(
    "-- a live connection of the customer that a connection was of
    SELECT l.id FROM connections c JOIN connections l ON l.customer_id = c.customer_id
    WHERE c.id = ?1 AND l.status IN ('pending', 'active') LIMIT 1"
);
static LIVES_ON_OF: &Sql = sql!(
    "-- a live connection of a customer by identity
    SELECT l.id FROM customers u JOIN connections l ON l.customer_id = u.id
    WHERE u.provider_id = ?1 AND u.identity = ?2 AND l.status IN ('pending', 'active') LIMIT 1"
);

/// How many providers there are in each state; a state that none is in is there with zero.
#[derive(Debug, Clone)]
pub struct ProviderCounts;

impl Query for ProviderCounts {
    type Reply = BTreeMap<&'static str, i64>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let count = sql!("-- count providers\nSELECT state, count(*) FROM providers GROUP BY state");
        let mut counts: BTreeMap<_, _> = ProviderState::ALL.iter().map(|s| (s.as_str(), 0)).collect();
        for mut row in tx.query(count, &[]).await? {
            counts.insert(row.take::<ProviderState>()?.as_str(), row.take()?);
        }
        Ok(counts)
    }
}

/// A subject's chain of the record, from its first event on.
#[derive(Debug, Clone)]
pub struct AuditOf {
    /// What kind of subject.
    pub kind: SubjectKind,
    /// Which.
    pub id: String,
}

impl Query for AuditOf {
    type Reply = Vec<AuditEvent>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let mut events = Vec::new();
        for mut row in tx.query(AUDIT, values![self.kind, self.id]).await? {
            let (id, seq) = (row.take()?, row.take()?);
            let (at, action) = (row.take()?, row.take()?);
            let actor = Actor { kind: row.take()?, id: row.take()? };
            let (correlation_id, detail) = (row.take()?, row.take()?);
            let subject = (self.kind, self.id.clone());
            let entry = AuditEntry { subject, at, action, actor, correlation_id, detail };
            events.push(AuditEvent { id, seq, entry, mac: row.take()? });
        }
        Ok(events)
    }
}

static AUDIT: &Sql = sql!(
    "-- a subject's chain
    SELECT id, seq, at, action, actor_kind, actor_id, correlation_id, detail, mac
    FROM audit_events WHERE subject_kind = ?1 AND subject_id = ?2 ORDER BY seq"
);

/// Every statement on a hot path, with its name, for the test of their plans.
#[doc(hidden)]
pub fn hot_statements() -> Vec<Statement> {
    [
        record::CLIENT,
        record::KEEP_CLIENT,
        record::LOCK_CLIENT,
        record::RECIPIENT,
        record::RECIPIENTS,
        record::REGISTRATIONS_OF,
        manage::REGISTRATIONS_UNDER,
        manage::REGISTRATIONS_UNDER_ONE,
        manage::UPSTREAM_CLIENT,
        manage::PROVIDER_SECRET,
        manage::NEWEST,
        manage::OLDER,
        manage::ONE,
        manage::ACTIVE_OF,
        manage::PENDING_OF,
        record::PROVIDER,
        record::LOCK_PROVIDER,
        record::REGISTRATION,
        record::CONNECTION,
        record::LOCK_CONNECTION,
        record::LOCK_ACTIVE,
        record::REQUEST,
        record::LOCK_REQUEST,
        record::REQUEST_BY_STATE,
        record::LOCK_REQUEST_BY_STATE,
        record::CODE,
        record::ACCESS_STATE,
        record::DUE_JOB,
        record::LEASED_JOB,
        statement::MARK,
        statement::HELD,
        statement::LAST_USE,
        statement::LEASE_OF,
        statement::CUSTOMER,
        statement::SUBJECT,
        statement::LOCK_CUSTOMER,
        statement::OTHER_LIVE,
        statement::OTHER_TELLING,
        statement::DELETABLE,
        LIVES_ON,
        LIVES_ON_OF,
        statement::OLD_CODES,
        statement::OLD_REQUESTS,
        statement::OLD_JOBS,
        statement::OLD_COUNTS,
        PROVIDERS_OF,
        REFRESH_TOKEN,
        CREDENTIAL,
        DUE_PENDING,
        DUE_CONSENT,
        DUE_IDLE,
        DUE_RECOVERIES,
        statement::BROKEN_OFF,
        statement::REFRESHES,
        statement::LOCK_OPERATOR,
        statement::LOCK_NAMED,
        statement::LOCK_JOB,
        operator::OPERATOR_BY,
        operator::OPERATORS,
        AUDIT,
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
