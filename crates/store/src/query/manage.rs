//! What partners and recipients look at: recipients, registrations, connections.

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::client::Recipient;
use domain::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use domain::model::provider::ProviderSettings;
use domain::model::registration::Registration;
use domain::{Clusters, Timestamp};

use crate::Query;
use crate::command::{SealedProviderSecret, SealedUpstreamClient};
use crate::error::Result;
use crate::record::{FromRow, RECIPIENT, RECIPIENTS, list_registrations};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A recipient of a partner, removed or not.
#[derive(Debug, Clone)]
pub struct GetRecipient {
    /// The partner.
    pub partner: ClientId,
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for GetRecipient {
    type Reply = Option<Recipient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(RECIPIENT, values![self.client_id, self.partner]).await?;
        row.map(|mut row| Recipient::from_row(&mut row)).transpose()
    }
}

/// The recipients of a partner that were not removed, the oldest first.
#[derive(Debug, Clone)]
pub struct ListRecipients {
    /// The partner.
    pub partner: ClientId,
}

impl Query for ListRecipients {
    type Reply = Vec<Recipient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = tx.query(RECIPIENTS, values![self.partner]).await?;
        rows.into_iter().map(|mut row| Recipient::from_row(&mut row)).collect()
    }
}

/// The registrations of a recipient.
#[derive(Debug, Clone)]
pub struct ListRecipientRegistrations {
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for ListRecipientRegistrations {
    type Reply = Vec<Registration>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        list_registrations(tx, &self.client_id).await
    }
}

/// The registrations of a partner's recipients that were not removed.
#[derive(Debug, Clone)]
pub struct ListPartnerRegistrations {
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

impl FromRow for NamedRegistration {
    fn from_row(row: &mut Row) -> Result<Self> {
        let registration = Registration::from_row(row)?;
        Ok(Self { registration, client_name: row.next()?, provider: row.next_json()? })
    }
}

impl Query for ListPartnerRegistrations {
    type Reply = Vec<NamedRegistration>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = match &self.client_id {
            None => tx.query(PARTNER_REGISTRATIONS, values![self.partner]).await?,
            Some(one) => tx.query(PARTNER_RECIPIENT_REGISTRATIONS, values![self.partner, one]).await?,
        };
        rows.into_iter().map(|mut row| NamedRegistration::from_row(&mut row)).collect()
    }
}

macro_rules! named_registration_columns {
    () => {
        "SELECT r.client_id, r.provider_id, r.state, r.requested_at, r.reason, c.name, p.settings
    FROM clients c
    JOIN registrations r ON r.client_id = c.id
    JOIN providers p ON p.id = r.provider_id
    WHERE c.owner_id = ?1 AND c.kind = 'recipient' AND c.state <> 'closed'"
    };
}

pub(super) static PARTNER_REGISTRATIONS: &Sql = sql!(concat!(
    "-- the registrations of a partner's recipients\n",
    named_registration_columns!(),
    " ORDER BY c.created_at, c.id, r.provider_id"
));
pub(super) static PARTNER_RECIPIENT_REGISTRATIONS: &Sql = sql!(concat!(
    "-- the registrations of one recipient of a partner\n",
    named_registration_columns!(),
    " AND c.id = ?2 ORDER BY r.provider_id"
));

/// A recipient's own client at a provider, its secret sealed.
#[derive(Debug, Clone)]
pub struct GetUpstreamClient {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
}

impl Query for GetUpstreamClient {
    type Reply = Option<SealedUpstreamClient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(UPSTREAM_CLIENT, values![self.client_id, self.provider_id]).await?;
        row.map(|mut row| {
            Ok(SealedUpstreamClient {
                client_id: row.next()?,
                data_key: row.next()?,
                secret: row.next()?,
                configuration_access: row.next()?,
            })
        })
        .transpose()
    }
}

pub(super) static UPSTREAM_CLIENT: &Sql = sql!(
    "-- a recipient's own client at a provider
    SELECT upstream_client_id, upstream_data_key, upstream_client_secret, client_configuration FROM registrations
    WHERE client_id = ?1 AND provider_id = ?2 AND upstream_client_secret IS NOT NULL"
);

/// The hub's own secret at a provider, where the store keeps it.
#[derive(Debug, Clone)]
pub struct GetProviderSecret {
    /// The provider.
    pub provider_id: ProviderId,
}

impl Query for GetProviderSecret {
    type Reply = Option<SealedProviderSecret>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(PROVIDER_SECRET, values![self.provider_id]).await?;
        row.map(|mut row| {
            Ok(SealedProviderSecret {
                data_key: row.next()?,
                secret: row.next()?,
                initial_access_token: row.next()?,
            })
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
pub struct ListRecipientConnections {
    /// The recipient.
    pub client_id: ClientId,
    /// Only those that are older than this one.
    pub before: Option<ConnectionId>,
    /// At most so many.
    pub limit: u32,
}

/// A connection without its customer.
#[derive(Debug, Clone)]
pub struct RecipientConnection {
    /// Its id.
    pub id: ConnectionId,
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Where it stands.
    pub status: ConnectionStatus,
    /// Why it ended.
    pub cause: Option<EndCause>,
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
    pub provider_revocation: UpstreamRevocation,
    /// What the recipient knows of the end.
    pub recipient_notification: String,
}

impl FromRow for RecipientConnection {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            client_id: row.next()?,
            provider_id: row.next()?,
            status: row.next()?,
            cause: row.next()?,
            ended_at: row.next()?,
            clusters: row.next()?,
            created_at: row.next()?,
            activated_at: row.next()?,
            expires_at: row.next()?,
            provider_revocation: row.next()?,
            recipient_notification: row.next()?,
        })
    }
}

macro_rules! recipient_connection_columns {
    () => {
        "SELECT c.id, c.client_id, c.provider_id, c.status, c.cause, c.ended_at, t.clusters, c.created_at,
        c.activated_at, c.expires_at, c.provider_revocation, c.recipient_notification
    FROM connections c
    JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    WHERE c.client_id = ?1"
    };
}

impl Query for ListRecipientConnections {
    type Reply = Vec<RecipientConnection>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = match &self.before {
            None => tx.query(NEWEST_RECIPIENT_CONNECTIONS, values![self.client_id, self.limit]).await?,
            Some(before) => {
                tx.query(OLDER_RECIPIENT_CONNECTIONS, values![self.client_id, self.limit, before]).await?
            }
        };
        rows.into_iter().map(|mut row| RecipientConnection::from_row(&mut row)).collect()
    }
}

pub(super) static NEWEST_RECIPIENT_CONNECTIONS: &Sql = sql!(concat!(
    "-- a recipient's newest connections\n",
    recipient_connection_columns!(),
    " ORDER BY c.id DESC LIMIT ?2"
));
pub(super) static OLDER_RECIPIENT_CONNECTIONS: &Sql = sql!(concat!(
    "-- a recipient's connections behind one\n",
    recipient_connection_columns!(),
    " AND c.id < ?3 ORDER BY c.id DESC LIMIT ?2"
));

/// A connection of a recipient.
#[derive(Debug, Clone)]
pub struct GetRecipientConnection {
    /// The recipient.
    pub client_id: ClientId,
    /// The connection.
    pub id: ConnectionId,
}

impl Query for GetRecipientConnection {
    type Reply = Option<RecipientConnection>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(RECIPIENT_CONNECTION, values![self.client_id, self.id]).await?;
        row.map(|mut row| RecipientConnection::from_row(&mut row)).transpose()
    }
}

pub(super) static RECIPIENT_CONNECTION: &Sql =
    sql!(concat!("-- a recipient's connection\n", recipient_connection_columns!(), " AND c.id = ?2"));

/// Removals that are under way.
#[derive(Debug, Clone)]
pub struct ListClientRemovals {
    /// At most so many.
    pub limit: u32,
}

/// A recipient that was removed, and whose connections are to end.
#[derive(Debug, Clone)]
pub struct ClientRemoval {
    /// The recipient.
    pub client_id: ClientId,
    /// Who removed it.
    pub actor: Actor,
    /// The exchange that did.
    pub correlation_id: String,
}

impl Query for ListClientRemovals {
    type Reply = Vec<ClientRemoval>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let ongoing = sql!(
            "-- removals that are under way
            SELECT client_id, actor_kind, actor_id, correlation_id FROM client_removals ORDER BY began_at LIMIT ?1"
        );
        let rows = tx.query(ongoing, values![self.limit]).await?;
        let removal = |mut row: Row| {
            let client_id = row.next()?;
            let actor = Actor { kind: row.next()?, id: row.next()? };
            Ok(ClientRemoval { client_id, actor, correlation_id: row.next()? })
        };
        rows.into_iter().map(removal).collect()
    }
}

/// Connections of a recipient that have not ended.
#[derive(Debug, Clone)]
pub struct ListLiveConnections {
    /// The recipient.
    pub client_id: ClientId,
    /// At most about so many.
    pub limit: u32,
}

impl Query for ListLiveConnections {
    type Reply = Vec<ConnectionId>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let mut rows = tx.query(ACTIVE_CONNECTIONS, values![self.client_id, self.limit]).await?;
        rows.extend(tx.query(PENDING_CONNECTIONS, values![self.client_id, self.limit]).await?);
        rows.into_iter().map(|mut row| row.next()).collect()
    }
}

pub(super) static ACTIVE_CONNECTIONS: &Sql = sql!(
    "-- a recipient's active connections
    SELECT id FROM connections WHERE client_id = ?1 AND status = 'active' LIMIT ?2"
);
pub(super) static PENDING_CONNECTIONS: &Sql = sql!(
    "-- a recipient's connections that wait for their exchange
    SELECT id FROM connections WHERE client_id = ?1 AND status = 'pending' LIMIT ?2"
);
