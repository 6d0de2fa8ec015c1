//! Rows for measurements: connections as logins would have left them, without the logins.

use domain::id::{ClientId, ConnectionId, CustomerId, ProviderId};
use domain::model::connection::{BankState, Status};
use domain::secret::TokenHash;
use domain::{Clusters, Moment, Timestamp};

use crate::Command;
use crate::error::Result;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// A connection to be put there.
#[derive(Clone, Debug)]
pub struct SeededConnection {
    /// Its id.
    pub id: ConnectionId,
    /// Its customer, who has no other.
    pub customer_id: CustomerId,
    /// How its refresh token is remembered, if it is active.
    pub refresh: Option<TokenHash>,
    /// How its code is remembered, if it waits for the exchange.
    pub code: Option<TokenHash>,
    /// Its wrapped key.
    pub data_key: Vec<u8>,
    /// The provider's sealed access token, which stands for the refresh token as well.
    pub credential: Vec<u8>,
}

/// Puts connections of one recipient and provider there, in one transaction.
#[derive(Debug)]
pub struct SeedConnections {
    /// When.
    pub moment: Moment,
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// What was agreed to.
    pub clusters: Clusters,
    /// Until when.
    pub expires_at: Timestamp,
    /// Where answers go.
    pub redirect_uri: String,
    /// The connections.
    pub connections: Vec<SeededConnection>,
}

impl Command for SeedConnections {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        for connection in &self.connections {
            self.put(tx, connection);
        }
        Ok(())
    }
}

impl SeedConnections {
    fn put(&self, tx: &mut Tx<'_>, c: &SeededConnection) {
        let now = self.moment.now;
        let pending = c.code.as_ref().map(|_| self.expires_at);
        let status = if pending.is_some() { Status::Pending } else { Status::Active };
        tx.defer(
            sql!(
                "-- seed a customer
                INSERT INTO customers (id, provider_id, identity, created_at) VALUES (?1, ?2, ?3, ?4)"
            ),
            values![c.customer_id, self.provider_id, c.customer_id.as_str().as_bytes().to_vec(), now],
        );
        tx.defer(
            sql!(
                "-- seed a connection
                INSERT INTO connections (id, client_id, provider_id, customer_id, sub, status, pending_until,
                    terms_version, token_generation, credential_version, expires_at, data_key, bank_state,
                    recipient_state, audit_seq, audit_mac, created_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, 1, 1, 1, ?7, ?8, ?9, 'none', 0, ?10, ?11, ?11)"
            ),
            values![
                c.id,
                self.client_id,
                self.provider_id,
                c.customer_id,
                status,
                pending,
                self.expires_at,
                c.data_key,
                BankState::NotNeeded,
                Vec::<u8>::new(),
                now
            ],
        );
        tx.defer(
            sql!(
                "-- seed terms
                INSERT INTO connection_terms (connection_id, version, clusters, purpose, language, page_version,
                    expires_at, agreed_at)
                VALUES (?1, 1, ?2, 'measurement', 'en', '1', ?3, ?4)"
            ),
            values![c.id, self.clusters, self.expires_at, now],
        );
        tx.defer(
            sql!(
                "-- seed a credential
                INSERT INTO upstream_credentials (connection_id, access_token, access_expires_at, refresh_token,
                    uncertain, updated_at)
                VALUES (?1, ?2, ?3, ?2, ?4, ?5)"
            ),
            values![c.id, c.credential, self.expires_at, false, now],
        );
        self.put_tokens(tx, c);
    }

    fn put_tokens(&self, tx: &mut Tx<'_>, c: &SeededConnection) {
        if let Some(hash) = &c.refresh {
            tx.defer(
                sql!(
                    "-- seed a refresh token
                    INSERT INTO refresh_tokens (token_hash, connection_id, client_id, issued_at, last_used_at)
                    VALUES (?1, ?2, ?3, ?4, ?4)"
                ),
                values![hash, c.id, self.client_id, self.moment.now],
            );
        }
        if let Some(hash) = &c.code {
            tx.defer(
                sql!(
                    "-- seed a code
                    INSERT INTO authorization_codes (code_hash, connection_id, client_id, redirect_uri, expires_at)
                    VALUES (?1, ?2, ?3, ?4, ?5)"
                ),
                values![hash, c.id, self.client_id, self.redirect_uri, self.expires_at],
            );
        }
    }
}

/// The least that a durable command can do: one row of one connection, one commit. The floor of an end.
#[derive(Debug)]
pub struct TouchConnection {
    /// When.
    pub moment: Moment,
    /// Which.
    pub id: ConnectionId,
}

impl Command for TouchConnection {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let touch = sql!("-- touch a connection\nUPDATE connections SET updated_at = ?2 WHERE id = ?1");
        tx.execute(touch, values![self.id, self.moment.now]).await?;
        Ok(())
    }
}
