//! Commands for benchmarks and tests, which insert connections as logins would create them, but without the logins.

use domain::id::{ClientId, ConnectionId, CustomerId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditHead, SubjectKind};
use domain::model::connection::{Connection, ConnectionState, ConnectionStatus, UpstreamRevocation};
use domain::model::provider::Provider;
use domain::secret::TokenHash;
use domain::{Clusters, Moment, Timestamp};
use serde_json::json;

use super::audit_entry::build_audit_entry;
use super::sealed_value::SealedValue;
use crate::entity::authorization_code::CODE_MAC;
use crate::entity::connection::{
    CONNECTION_MAC, StoredTerms, TERMS_MAC, compute_connection_mac, find_terms, lock_connection,
};
use crate::entity::provider::ProviderSettingsColumns;
use crate::entity::refresh_token::REFRESH_TOKEN_MAC;
use crate::error::Result;
use crate::operation::Command;
use crate::row_mac::RowAuthenticator;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, values};

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
    /// The access token at the provider.
    pub access_token: SealedValue,
    /// The refresh token at the provider.
    pub refresh_token: SealedValue,
}

impl SeededConnection {
    /// Creates an active connection whose ids and token hash are derived from a key. The order of the ids is that of the keys.
    /// `token` is stored as the access token and as the refresh token at the provider.
    pub fn from_key(key: u64, token: SealedValue) -> Option<Self> {
        let hash = [&1_u32.to_be_bytes()[..], &key.to_be_bytes(), &[0; 24]].concat();
        Some(Self {
            id: Self::id_from_key(key)?,
            customer_id: format!("cus_{key:016x}{:016x}", 0).parse().ok()?,
            refresh_hash: Some(TokenHash::from_bytes(&hash)?),
            code_hash: None,
            access_token: token.clone(),
            refresh_token: token,
        })
    }

    /// Returns the id of the connection with a key.
    pub fn id_from_key(key: u64) -> Option<ConnectionId> {
        format!("con_{key:016x}{:016x}", 0).parse().ok()
    }
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
        let heads: Vec<_> = self.connections.iter().map(|c| self.append_audit_events(tx, c)).collect();
        let macs = tx.row_authenticator();
        let build_rows =
            |row: &dyn Fn(&SeededConnection) -> Vec<Value>| self.connections.iter().map(row).collect();
        tx.defer_rows(SEED_CUSTOMERS, build_rows(&|c| self.build_customer_row(c)));
        tx.defer_rows(SEED_SUBJECTS, build_rows(&|c| self.build_subject_row(c)));
        let connections = self.connections.iter().zip(&heads);
        tx.defer_rows(
            SEED_CONNECTIONS,
            connections.map(|(c, head)| self.build_connection_row(macs, c, head)).collect(),
        );
        tx.defer_rows(SEED_TERMS, build_rows(&|c| self.build_terms_row(macs, c)));
        tx.defer_rows(SEED_CREDENTIALS, build_rows(&|c| self.build_credential_row(c)));
        let active = self.connections.iter().filter_map(|c| Some((c, c.refresh_hash.as_ref()?)));
        let (mut tokens, mut newest) = (Vec::new(), Vec::new());
        for (c, hash) in active {
            let mac = macs.compute(&REFRESH_TOKEN_MAC, values![hash, c.id, self.client_id]);
            tokens.push(values![hash, c.id, self.client_id, self.moment.now, mac].to_vec());
            newest.push(values![self.client_id, self.provider_id, c.customer_id, c.id].to_vec());
        }
        tx.defer_rows(SEED_REFRESH_TOKENS, tokens);
        tx.defer_rows(SEED_NEWEST_CONNECTIONS, newest);
        let pending = self.connections.iter().filter_map(|c| Some((c, c.code_hash.as_ref()?)));
        let codes = pending.map(|(c, hash)| {
            let (redirect_uri, challenge) = (&self.redirect_uri, None::<String>);
            let covered = values![hash, c.id, self.client_id, redirect_uri, challenge, self.expires_at];
            let mac = macs.compute(&CODE_MAC, covered);
            values![hash, c.id, self.client_id, redirect_uri, self.expires_at, mac].to_vec()
        });
        tx.defer_rows(SEED_CODES, codes.collect());
        Ok(())
    }
}

impl SeedConnections {
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

    fn build_customer_row(&self, c: &SeededConnection) -> Vec<Value> {
        let identity = c.customer_id.as_str().as_bytes().to_vec();
        values![c.customer_id, self.provider_id, identity, self.moment.now].to_vec()
    }

    fn build_subject_row(&self, c: &SeededConnection) -> Vec<Value> {
        values![self.client_id, c.customer_id, c.customer_id.as_str(), self.moment.now].to_vec()
    }

    fn build_connection_row(
        &self,
        macs: &RowAuthenticator,
        c: &SeededConnection,
        head: &AuditHead,
    ) -> Vec<Value> {
        let pending_until = c.code_hash.as_ref().map(|_| self.expires_at);
        let status =
            if pending_until.is_some() { ConnectionStatus::Pending } else { ConnectionStatus::Active };
        let (sub, first) = (c.customer_id.as_str(), 1_i64);
        let covered = values![
            c.id,
            self.client_id,
            self.provider_id,
            c.customer_id,
            sub,
            status,
            first,
            first,
            self.expires_at
        ];
        let mac = macs.compute(&CONNECTION_MAC, covered);
        values![
            c.id,
            self.client_id,
            self.provider_id,
            c.customer_id,
            sub,
            status,
            pending_until,
            self.expires_at,
            c.access_token.key,
            c.refresh_token.key,
            c.refresh_hash,
            UpstreamRevocation::NotNeeded,
            head,
            self.moment.now,
            mac
        ]
        .to_vec()
    }

    fn build_terms_row(&self, macs: &RowAuthenticator, c: &SeededConnection) -> Vec<Value> {
        let (version, accounts) = (1_i64, None::<String>);
        let mac = macs.compute(&TERMS_MAC, values![c.id, version, self.clusters, accounts, self.expires_at]);
        values![c.id, self.clusters, self.expires_at, self.moment.now, mac].to_vec()
    }

    fn build_credential_row(&self, c: &SeededConnection) -> Vec<Value> {
        values![c.id, c.access_token.sealed, self.expires_at, c.refresh_token.sealed, self.moment.now]
            .to_vec()
    }
}

/// Declares a statement that inserts rows, once for each row on SQLite and with arrays on PostgreSQL.
macro_rules! insert_rows {
    ($name:literal, $insert:literal, sqlite: $values:literal, postgres: $select:literal) => {
        sql!(
            sqlite: concat!("-- ", $name, "\n    ", $insert, " VALUES ", $values),
            postgres: concat!("-- ", $name, "\n    ", $insert, " SELECT ", $select)
        )
    };
}

static SEED_CUSTOMERS: &Sql = insert_rows!(
    "seed customers",
    "INSERT INTO customers (id, provider_id, identity, created_at)",
    sqlite: "(?1, ?2, ?3, ?4)",
    postgres: "* FROM unnest(?1::bytea[], ?2::bigint[], ?3::bytea[], ?4::bigint[])"
);

static SEED_SUBJECTS: &Sql = insert_rows!(
    "seed subject identifiers",
    "INSERT INTO subject_identifiers (client_id, customer_id, sub, created_at)",
    sqlite: "(?1, ?2, ?3, ?4)",
    postgres: "* FROM unnest(?1::bytea[], ?2::bytea[], ?3::text[], ?4::bigint[])"
);

static SEED_CONNECTIONS: &Sql = insert_rows!(
    "seed connections",
    "INSERT INTO connections (id, client_id, provider_id, customer_id, sub, status, pending_until, expires_at, access_key,
        refresh_key, refresh_token_hash, provider_revocation, audit_head, created_at, mac, updated_at, terms_version,
        token_generation, credential_version, recipient_notification)",
    sqlite: "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?14, 1, 1, 1, 'none')",
    postgres: "c.*, c.now, 1, 1, 1, 'none'
        FROM unnest(?1::bytea[], ?2::bytea[], ?3::bigint[], ?4::bytea[], ?5::text[], ?6::text[], ?7::bigint[],
            ?8::bigint[], ?9::bytea[], ?10::bytea[], ?11::bytea[], ?12::text[], ?13::bytea[], ?14::bigint[],
            ?15::bytea[])
            AS c (id, client_id, provider_id, customer_id, sub, status, pending_until, expires_at, access_key, refresh_key,
                refresh_token_hash, provider_revocation, audit_head, now, mac)"
);

static SEED_TERMS: &Sql = insert_rows!(
    "seed terms",
    "INSERT INTO connection_terms (connection_id, clusters, expires_at, agreed_at, mac, version, purpose, language,
        page_version)",
    sqlite: "(?1, ?2, ?3, ?4, ?5, 1, 'measurement', 'en', '1')",
    postgres: "t.*, 1, 'measurement', 'en', '1'
        FROM unnest(?1::bytea[], ?2::text[], ?3::bigint[], ?4::bigint[], ?5::bytea[]) AS t"
);

static SEED_CREDENTIALS: &Sql = insert_rows!(
    "seed credentials",
    "INSERT INTO upstream_credentials (connection_id, access_token, access_expires_at, refresh_token, updated_at,
        outcome_unknown)",
    sqlite: "(?1, ?2, ?3, ?4, ?5, FALSE)",
    postgres: "u.*, FALSE
        FROM unnest(?1::bytea[], ?2::bytea[], ?3::bigint[], ?4::bytea[], ?5::bigint[]) AS u"
);

static SEED_REFRESH_TOKENS: &Sql = insert_rows!(
    "seed refresh tokens",
    "INSERT INTO refresh_tokens (token_hash, connection_id, client_id, issued_at, mac, last_used_at)",
    sqlite: "(?1, ?2, ?3, ?4, ?5, ?4)",
    postgres: "t.*, t.now
        FROM unnest(?1::bytea[], ?2::bytea[], ?3::bytea[], ?4::bigint[], ?5::bytea[])
            AS t (hash, connection, client, now, mac)"
);

static SEED_NEWEST_CONNECTIONS: &Sql = insert_rows!(
    "seed the newest connections of customers",
    "INSERT INTO newest_connections (client_id, provider_id, customer_id, connection_id)",
    sqlite: "(?1, ?2, ?3, ?4)",
    postgres: "* FROM unnest(?1::bytea[], ?2::bigint[], ?3::bytea[], ?4::bytea[])"
);

static SEED_CODES: &Sql = insert_rows!(
    "seed codes",
    "INSERT INTO authorization_codes (code_hash, connection_id, client_id, redirect_uri, expires_at, mac)",
    sqlite: "(?1, ?2, ?3, ?4, ?5, ?6)",
    postgres: "* FROM unnest(?1::bytea[], ?2::bytea[], ?3::bytea[], ?4::text[], ?5::bigint[], ?6::bytea[])"
);

/// Sets the end of the consent of a connection, for tests that cannot wait until it has passed.
#[derive(Debug)]
pub struct SetConsentEnd {
    pub moment: Moment,
    pub id: ConnectionId,
    pub expires_at: Timestamp,
}

impl Command for SetConsentEnd {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let Some(connection) = lock_connection(tx, &self.id).await? else { return Ok(()) };
        let status = match connection.state {
            ConnectionState::Pending { .. } => ConnectionStatus::Pending,
            ConnectionState::Active => ConnectionStatus::Active,
            // An end is final, and so is everything that it has recorded.
            ConnectionState::Ended(_) => return Ok(()),
        };
        let connection = Connection { expires_at: self.expires_at, ..connection };
        let mac = compute_connection_mac(tx, &connection, status);
        tx.defer(
            sql!(
                "-- set the end of a consent\nUPDATE connections SET expires_at = ?2, mac = ?3 WHERE id = ?1"
            ),
            values![self.id, self.expires_at, mac],
        );
        let version = connection.terms_version;
        let Some(StoredTerms { terms, accounts }) = find_terms(tx, &self.id, version).await? else {
            return Ok(());
        };
        let mac =
            tx.compute_mac(&TERMS_MAC, values![self.id, version, terms.clusters, accounts, self.expires_at]);
        tx.defer(
            sql!(
                "-- set the end of a consent in its terms
                UPDATE connection_terms SET expires_at = ?3, mac = ?4 WHERE connection_id = ?1 AND version = ?2"
            ),
            values![self.id, version, self.expires_at, mac],
        );
        Ok(())
    }
}

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

/// Replaces the settings of a stored provider as if it had always had them: its version stays, so existing grants belong to the
/// new endpoints.
#[derive(Debug)]
pub struct OverwriteProviderSettings {
    pub moment: Moment,
    /// The stored provider with other settings.
    pub provider: Provider,
}

impl Command for OverwriteProviderSettings {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let ProviderSettingsColumns { settings, mac } = ProviderSettingsColumns::new(tx, &self.provider)?;
        let overwrite = sql!(
            "-- overwrite the settings of a provider
            UPDATE providers SET settings = ?2, mac = ?3 WHERE id = ?1"
        );
        tx.execute(overwrite, values![self.provider.id, settings, mac]).await?;
        Ok(())
    }
}
