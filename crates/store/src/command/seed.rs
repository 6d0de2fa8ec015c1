//! Commands for benchmarks and tests, which insert connections as logins would create them, but without the logins.

use domain::id::{ClientId, ConnectionId, CustomerId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditHead, SubjectKind};
use domain::model::connection::{ConnectionStatus, UpstreamRevocation};
use domain::secret::TokenHash;
use domain::{Clusters, Moment, Timestamp};
use serde_json::json;

use super::audit_entry::build_audit_entry;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// A connection that [`SeedConnections`] inserts: active with a refresh token, or pending with a code.
#[derive(Clone, Debug)]
pub struct SeededConnection {
    pub id: ConnectionId,
    /// The customer, who has no other connection.
    pub customer_id: CustomerId,
    /// The hash of the refresh token, if the connection is active.
    pub refresh_hash: Option<TokenHash>,
    /// The hash of the authorization code, if the connection is pending.
    pub code_hash: Option<TokenHash>,
    /// The wrapped key of the connection.
    pub data_key: Vec<u8>,
    /// The sealed access token, which is also stored as the refresh token.
    pub credential: Vec<u8>,
}

/// Inserts connections of one recipient and provider, in one transaction.
#[derive(Debug)]
pub struct SeedConnections {
    pub moment: Moment,
    pub client_id: ClientId,
    pub provider_id: ProviderId,
    /// The data clusters of the consent.
    pub clusters: Clusters,
    /// The time at which the consent ends.
    pub expires_at: Timestamp,
    pub redirect_uri: String,
    pub connections: Vec<SeededConnection>,
}

impl Command for SeedConnections {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        for connection in &self.connections {
            self.insert_connection(tx, connection);
        }
        Ok(())
    }
}

impl SeedConnections {
    fn insert_connection(&self, tx: &mut Tx<'_>, c: &SeededConnection) {
        let now = self.moment.now;
        let pending = c.code_hash.as_ref().map(|_| self.expires_at);
        let status = if pending.is_some() { ConnectionStatus::Pending } else { ConnectionStatus::Active };
        tx.defer(
            sql!(
                "-- seed a customer
                INSERT INTO customers (id, provider_id, identity, created_at) VALUES (?1, ?2, ?3, ?4)"
            ),
            values![c.customer_id, self.provider_id, c.customer_id.as_str().as_bytes().to_vec(), now],
        );
        tx.defer(
            sql!(
                "-- seed a subject identifier
                INSERT INTO subject_identifiers (client_id, customer_id, sub, created_at) VALUES (?1, ?2, ?2, ?3)"
            ),
            values![self.client_id, c.customer_id, now],
        );
        let head = self.append_audit_events(tx, c);
        tx.defer(
            sql!(
                "-- seed a connection
                INSERT INTO connections (id, client_id, provider_id, customer_id, sub, status, pending_until,
                    terms_version, token_generation, credential_version, expires_at, data_key,
                    provider_revocation, recipient_notification, audit_seq, audit_mac, created_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, 1, 1, 1, ?7, ?8, ?9, 'none', ?10, ?11, ?12, ?12)"
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
                UpstreamRevocation::NotNeeded,
                head.seq,
                head.mac,
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
                    outcome_unknown, updated_at)
                VALUES (?1, ?2, ?3, ?2, ?4, ?5)"
            ),
            values![c.id, c.credential, self.expires_at, false, now],
        );
        self.insert_tokens(tx, c);
    }

    /// Appends the audit events of a login, so that the store has the size of one that logins have filled.
    fn append_audit_events(&self, tx: &mut Tx<'_>, c: &SeededConnection) -> AuditHead {
        let subject = (SubjectKind::Connection, &c.id);
        let detail = json!({"client": self.client_id.as_str(), "provider": self.provider_id,
            "clusters": self.clusters.to_string()});
        let action = AuditAction::ConnectionOpened;
        let opened = build_audit_entry(subject, &self.moment, action, Actor::customer(), &detail);
        let head = tx.audit(&AuditHead::default(), opened);
        if c.refresh_hash.is_none() {
            return head;
        }
        let detail = json!({"client": self.client_id.as_str()});
        let actor = Actor::new(ActorKind::Recipient, self.client_id.as_str());
        let action = AuditAction::ConnectionActivated;
        tx.audit(&head, build_audit_entry(subject, &self.moment, action, actor, &detail))
    }

    fn insert_tokens(&self, tx: &mut Tx<'_>, c: &SeededConnection) {
        if let Some(hash) = &c.refresh_hash {
            tx.defer(
                sql!(
                    "-- seed a refresh token
                    INSERT INTO refresh_tokens (token_hash, connection_id, client_id, issued_at, last_used_at)
                    VALUES (?1, ?2, ?3, ?4, ?4)"
                ),
                values![hash, c.id, self.client_id, self.moment.now],
            );
        }
        if let Some(hash) = &c.code_hash {
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

/// Inserts connections that are never read, to bring a store to the size of a benchmark. Their keys ascend, so that
/// they are written quickly, and are spread over the whole range of keys, so that other keys lie between them.
#[derive(Debug)]
pub struct FillConnections {
    pub moment: Moment,
    pub client_id: ClientId,
    pub provider_id: ProviderId,
    /// The data clusters of the consent.
    pub clusters: Clusters,
    /// The time at which the consent ends.
    pub expires_at: Timestamp,
    /// The sequence numbers of the connections, from which their ids are derived.
    pub numbers: std::ops::Range<i64>,
    /// The distance between the keys of two consecutive connections.
    pub key_step: i64,
    /// The wrapped key of every connection.
    pub data_key: Vec<u8>,
    /// The sealed token of every connection, stored as its access token and as its refresh token.
    pub credential: Vec<u8>,
}

impl Command for FillConnections {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let now = self.moment.now;
        let numbers = [self.numbers.start, self.numbers.end];
        tx.execute(FILL_CUSTOMERS, values![numbers[0], numbers[1], self.key_step, self.provider_id, now])
            .await?;
        let [from, to] = numbers.map(|number| format!("cus_{:016x}", number.saturating_mul(self.key_step)));
        let connections = values![
            from,
            to,
            self.client_id,
            self.provider_id,
            ConnectionStatus::Active,
            self.expires_at,
            self.data_key,
            UpstreamRevocation::NotNeeded,
            now
        ];
        tx.execute(FILL_CONNECTIONS, connections).await?;
        tx.execute(FILL_TERMS, values![from, to, self.clusters, self.expires_at, now]).await?;
        tx.execute(FILL_CREDENTIALS, values![from, to, self.credential, self.expires_at, false, now]).await?;
        tx.execute(FILL_REFRESH_TOKENS, values![from, to, self.client_id, now]).await?;
        Ok(())
    }
}

// Each database has its own text, because their functions for hexadecimal digits differ. The identity of a customer has
// the form of a token hash, because it also serves as the hash of the refresh token.
static FILL_CUSTOMERS: &Sql = sql!(
    sqlite: "-- fill customers
    WITH RECURSIVE numbers (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)
    INSERT INTO customers (id, provider_id, identity, created_at)
    SELECT 'cus_' || printf('%016x', n * ?3) || '0000000000000000', ?4,
        unhex('00000001' || printf('%016x', n * ?3) || printf('%048x', 0)), ?5
    FROM numbers",
    postgres: "-- fill customers
    WITH RECURSIVE numbers (n) AS
        (SELECT CAST(?1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < CAST(?2 AS BIGINT))
    INSERT INTO customers (id, provider_id, identity, created_at)
    SELECT 'cus_' || lpad(to_hex(n * CAST(?3 AS BIGINT)), 16, '0') || '0000000000000000', CAST(?4 AS BIGINT),
        decode('00000001' || lpad(to_hex(n * CAST(?3 AS BIGINT)), 16, '0') || repeat('0', 48), 'hex'),
        CAST(?5 AS BIGINT)
    FROM numbers"
);

/// The end of a statement that reads the customers inserted by `FILL_CUSTOMERS`, from id `?1` up to but excluding `?2`.
macro_rules! filled_customers {
    () => {
        " FROM customers WHERE id >= ?1 AND id < ?2 AND id LIKE '%0000000000000000' ORDER BY id"
    };
}

static FILL_CONNECTIONS: &Sql = sql!(concat!(
    "-- fill connections
    INSERT INTO connections (id, client_id, provider_id, customer_id, sub, status, terms_version,
        token_generation, credential_version, expires_at, data_key, provider_revocation,
        recipient_notification, audit_seq, audit_mac, created_at, updated_at)
    SELECT 'con_' || substr(id, 5), ?3, CAST(?4 AS BIGINT), id, id, ?5, 1, 1, 1, CAST(?6 AS BIGINT),
        COALESCE(?7, identity), ?8, 'none', 0, identity, CAST(?9 AS BIGINT), CAST(?9 AS BIGINT)",
    filled_customers!()
));

static FILL_TERMS: &Sql = sql!(concat!(
    "-- fill terms
    INSERT INTO connection_terms (connection_id, version, clusters, purpose, language, page_version, expires_at,
        agreed_at)
    SELECT 'con_' || substr(id, 5), 1, ?3, 'measurement', 'en', '1', CAST(?4 AS BIGINT), CAST(?5 AS BIGINT)",
    filled_customers!()
));

static FILL_CREDENTIALS: &Sql = sql!(concat!(
    "-- fill credentials
    INSERT INTO upstream_credentials (connection_id, access_token, access_expires_at, refresh_token,
        outcome_unknown, updated_at)
    SELECT 'con_' || substr(id, 5), COALESCE(?3, identity), CAST(?4 AS BIGINT), COALESCE(?3, identity),
        CAST(?5 AS BOOLEAN), CAST(?6 AS BIGINT)",
    filled_customers!()
));

static FILL_REFRESH_TOKENS: &Sql = sql!(concat!(
    "-- fill refresh tokens
    INSERT INTO refresh_tokens (token_hash, connection_id, client_id, issued_at, last_used_at)
    SELECT identity, 'con_' || substr(id, 5), ?3, CAST(?4 AS BIGINT), CAST(?4 AS BIGINT)",
    filled_customers!()
));

/// Updates one row of a connection. This is the cheapest durable command and serves as the baseline when ends are
/// measured.
#[derive(Debug)]
pub struct TouchConnection {
    pub moment: Moment,
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

/// Lets a PostgreSQL server collect statistics about the filled tables, as it does for tables that grow slowly. Without
/// them it would plan statements for small tables. SQLite uses none.
#[derive(Debug)]
pub struct AnalyzeTables {
    pub moment: Moment,
}

impl Command for AnalyzeTables {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let analyze = sql!(
            sqlite: "-- collect statistics about tables\nSELECT 1 AS one",
            postgres: "-- collect statistics about tables\nANALYZE"
        );
        tx.fetch_rows(analyze, &[]).await?;
        Ok(())
    }
}

/// Installs the extension of PostgreSQL that reads the log. Requires a superuser.
#[derive(Debug)]
pub struct InstallLogInspection {
    pub moment: Moment,
}

impl Command for InstallLogInspection {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let install = sql!(
            sqlite: "-- install the extension that reads the log\nSELECT 1 AS one",
            postgres: "-- install the extension that reads the log
            CREATE EXTENSION IF NOT EXISTS pg_walinspect"
        );
        tx.fetch_rows(install, &[]).await?;
        Ok(())
    }
}
