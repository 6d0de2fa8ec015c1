//! What partners and recipients look at: recipients, registrations, connections.

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::client::Recipient;
use domain::model::connection::{BankState, Cause, Status};
use domain::model::provider::ProviderSettings;
use domain::model::registration::Registration;
use domain::{Clusters, Timestamp};

use crate::Query;
use crate::command::{SealedClient, SealedSecret};
use crate::error::Result;
use crate::record::{RECIPIENT, RECIPIENTS, Record, registrations_of};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A recipient of a partner, removed or not.
#[derive(Debug, Clone)]
pub struct RecipientOf {
    /// The partner.
    pub partner: ClientId,
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for RecipientOf {
    type Reply = Option<Recipient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(RECIPIENT, values![self.client_id, self.partner]).await?;
        row.map(|mut row| Recipient::read(&mut row)).transpose()
    }
}

/// The recipients of a partner that were not removed, the oldest first.
#[derive(Debug, Clone)]
pub struct RecipientsOf {
    /// The partner.
    pub partner: ClientId,
}

impl Query for RecipientsOf {
    type Reply = Vec<Recipient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(RECIPIENTS, values![self.partner]).await?;
        rows.into_iter().map(|mut row| Recipient::read(&mut row)).collect()
    }
}

/// The registrations of a recipient.
#[derive(Debug, Clone)]
pub struct RegistrationsOf {
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for RegistrationsOf {
    type Reply = Vec<Registration>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        registrations_of(tx, &self.client_id).await
    }
}

/// The registrations of a partner's recipients that were not removed.
#[derive(Debug, Clone)]
pub struct RegistrationsUnder {
    /// The partner.
    pub partner: ClientId,
    /// Of this recipient alone.
    pub client_id: Option<ClientId>,
}

/// A registration with the names of both sides.
#[derive(Debug, Clone)]
pub struct NamedRegistration {
    /// The registration.
    pub registration: Registration,
    /// The recipient's name.
    pub client_name: String,
    /// The provider's settings: its name and country are in them.
    pub provider: ProviderSettings,
}

impl Record for NamedRegistration {
    fn read(row: &mut Row) -> Result<Self> {
        let registration = Registration::read(row)?;
        Ok(Self { registration, client_name: row.take()?, provider: row.json()? })
    }
}

impl Query for RegistrationsUnder {
    type Reply = Vec<NamedRegistration>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = match &self.client_id {
            None => tx.query(REGISTRATIONS_UNDER, values![self.partner]).await?,
            Some(one) => tx.query(REGISTRATIONS_UNDER_ONE, values![self.partner, one]).await?,
        };
        rows.into_iter().map(|mut row| NamedRegistration::read(&mut row)).collect()
    }
}

macro_rules! named {
    () => {
        "SELECT r.client_id, r.provider_id, r.state, r.requested_at, r.reason, c.name, p.settings
    FROM clients c
    JOIN registrations r ON r.client_id = c.id
    JOIN providers p ON p.id = r.provider_id
    WHERE c.owner_id = ?1 AND c.kind = 'recipient' AND c.state <> 'closed'"
    };
}

pub(super) static REGISTRATIONS_UNDER: &Sql = sql!(concat!(
    "-- the registrations of a partner's recipients\n",
    named!(),
    " ORDER BY c.created_at, c.id, r.provider_id"
));
pub(super) static REGISTRATIONS_UNDER_ONE: &Sql = sql!(concat!(
    "-- the registrations of one recipient of a partner\n",
    named!(),
    " AND c.id = ?2 ORDER BY r.provider_id"
));

/// A recipient's own client at a provider, its secret sealed.
#[derive(Debug, Clone)]
pub struct UpstreamClientOf {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
}

impl Query for UpstreamClientOf {
    type Reply = Option<SealedClient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(UPSTREAM_CLIENT, values![self.client_id, self.provider_id]).await?;
        row.map(|mut row| {
            Ok(SealedClient {
                client_id: row.take()?,
                data_key: row.take()?,
                secret: row.take()?,
                management: row.take()?,
            })
        })
        .transpose()
    }
}

pub(super) static UPSTREAM_CLIENT: &Sql = sql!(
    "-- a recipient's own client at a provider
    SELECT upstream_client_id, upstream_data_key, upstream_client_secret, upstream_management FROM registrations
    WHERE client_id = ?1 AND provider_id = ?2 AND upstream_client_secret IS NOT NULL"
);

/// The hub's own secret at a provider, where the store keeps it.
#[derive(Debug, Clone)]
pub struct ProviderSecretOf {
    /// The provider.
    pub provider_id: ProviderId,
}

impl Query for ProviderSecretOf {
    type Reply = Option<SealedSecret>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(PROVIDER_SECRET, values![self.provider_id]).await?;
        row.map(|mut row| {
            Ok(SealedSecret { data_key: row.take()?, secret: row.take()?, initial_access_token: row.take()? })
        })
        .transpose()
    }
}

pub(super) static PROVIDER_SECRET: &Sql = sql!(
    "-- the hub's own secret at a provider
    SELECT data_key, client_secret, initial_access_token FROM providers WHERE id = ?1 AND client_secret IS NOT NULL"
);

/// Connections of a recipient, the newest first.
#[derive(Debug, Clone)]
pub struct ConnectionsOf {
    /// The recipient.
    pub client_id: ClientId,
    /// Only those that are older than this one.
    pub before: Option<ConnectionId>,
    /// At most so many.
    pub limit: u32,
}

/// A connection without its customer.
#[derive(Debug, Clone)]
pub struct ListedConnection {
    /// Its id.
    pub id: ConnectionId,
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Where it stands.
    pub status: Status,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What the customer agreed to.
    pub clusters: Clusters,
    /// When the provider agreed.
    pub created_at: Timestamp,
    /// When its code was redeemed.
    pub activated_at: Option<Timestamp>,
    /// When the consent ends.
    pub expires_at: Timestamp,
    /// What the provider knows of the end.
    pub bank: BankState,
    /// What the recipient knows of the end.
    pub recipient: String,
}

impl Record for ListedConnection {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            client_id: row.take()?,
            provider_id: row.take()?,
            status: row.take()?,
            cause: row.take()?,
            ended_at: row.take()?,
            clusters: row.take()?,
            created_at: row.take()?,
            activated_at: row.take()?,
            expires_at: row.take()?,
            bank: row.take()?,
            recipient: row.take()?,
        })
    }
}

macro_rules! listed {
    () => {
        "SELECT c.id, c.client_id, c.provider_id, c.status, c.cause, c.ended_at, t.clusters, c.created_at,
        c.activated_at, c.expires_at, c.bank_state, c.recipient_state
    FROM connections c
    JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    WHERE c.client_id = ?1"
    };
}

impl Query for ConnectionsOf {
    type Reply = Vec<ListedConnection>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = match &self.before {
            None => tx.query(NEWEST, values![self.client_id, self.limit]).await?,
            Some(before) => tx.query(OLDER, values![self.client_id, self.limit, before]).await?,
        };
        rows.into_iter().map(|mut row| ListedConnection::read(&mut row)).collect()
    }
}

pub(super) static NEWEST: &Sql =
    sql!(concat!("-- a recipient's newest connections\n", listed!(), " ORDER BY c.id DESC LIMIT ?2"));
pub(super) static OLDER: &Sql = sql!(concat!(
    "-- a recipient's connections behind one\n",
    listed!(),
    " AND c.id < ?3 ORDER BY c.id DESC LIMIT ?2"
));

/// A connection of a recipient.
#[derive(Debug, Clone)]
pub struct ConnectionOf {
    /// The recipient.
    pub client_id: ClientId,
    /// The connection.
    pub id: ConnectionId,
}

impl Query for ConnectionOf {
    type Reply = Option<ListedConnection>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(ONE, values![self.client_id, self.id]).await?;
        row.map(|mut row| ListedConnection::read(&mut row)).transpose()
    }
}

pub(super) static ONE: &Sql = sql!(concat!("-- a recipient's connection\n", listed!(), " AND c.id = ?2"));

/// Removals that are under way.
#[derive(Debug, Clone)]
pub struct Removals {
    /// At most so many.
    pub limit: u32,
}

/// A recipient that was removed, and whose connections are to end.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The recipient.
    pub client_id: ClientId,
    /// Who removed it.
    pub actor: Actor,
    /// The exchange that did.
    pub correlation_id: String,
}

impl Query for Removals {
    type Reply = Vec<Removal>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let under_way = sql!(
            "-- removals that are under way
            SELECT client_id, actor_kind, actor_id, correlation_id FROM removals ORDER BY began_at LIMIT ?1"
        );
        let rows = tx.query(under_way, values![self.limit]).await?;
        let removal = |mut row: Row| {
            let client_id = row.take()?;
            let actor = Actor { kind: row.take()?, id: row.take()? };
            Ok(Removal { client_id, actor, correlation_id: row.take()? })
        };
        rows.into_iter().map(removal).collect()
    }
}

/// Connections of a recipient that have not ended.
#[derive(Debug, Clone)]
pub struct LiveOf {
    /// The recipient.
    pub client_id: ClientId,
    /// At most about so many.
    pub limit: u32,
}

impl Query for LiveOf {
    type Reply = Vec<ConnectionId>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let mut rows = tx.query(ACTIVE_OF, values![self.client_id, self.limit]).await?;
        rows.extend(tx.query(PENDING_OF, values![self.client_id, self.limit]).await?);
        rows.into_iter().map(|mut row| row.take()).collect()
    }
}

pub(super) static ACTIVE_OF: &Sql = sql!(
    "-- a recipient's active connections
    SELECT id FROM connections WHERE client_id = ?1 AND status = 'active' LIMIT ?2"
);
pub(super) static PENDING_OF: &Sql = sql!(
    "-- a recipient's connections that wait for their exchange
    SELECT id FROM connections WHERE client_id = ?1 AND status = 'pending' LIMIT ?2"
);
