//! The stored form of clients, which are recipients and partners.

use domain::id::ClientId;
use domain::model::audit_event::AuditHead;
use domain::model::client::{Client, ClientProfile, LocalizedText, Recipient};

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, values};

macro_rules! client_columns {
    () => {
        "id, kind, owner_id, profile, state, name, purpose_en, purpose_fr, scope, redirect_uris, secret_hash,
        credential_generation, require_pkce, max_duration_days, audit_head"
    };
}
pub(crate) use client_columns;

/// The columns of a [`Recipient`], in addition to those of its client.
macro_rules! client_profile_columns {
    () => {
        "description, country, logo_uri, terms_uri, client_uri, contacts"
    };
}
pub(crate) use client_profile_columns;

impl FromRow for Client {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            kind: row.get("kind")?,
            owner_id: row.get("owner_id")?,
            profile: row.get("profile")?,
            state: row.get("state")?,
            name: row.get("name")?,
            purpose: LocalizedText { en: row.get("purpose_en")?, fr: row.get("purpose_fr")? },
            scope: row.get("scope")?,
            redirect_uris: row.get_json("redirect_uris")?,
            secret_hash: row.get("secret_hash")?,
            credential_generation: row.get("credential_generation")?,
            require_pkce: row.get("require_pkce")?,
            max_duration_days: row.get("max_duration_days")?,
            audit: AuditHead::from_row(row)?,
        })
    }
}

impl FromRow for Recipient {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            client: Client::from_row(row)?,
            client_profile: ClientProfile {
                description: row.get("description")?,
                country: row.get("country")?,
                logo_uri: row.get("logo_uri")?,
                terms_uri: row.get("terms_uri")?,
                client_uri: row.get("client_uri")?,
                contacts: row.get_json("contacts")?,
            },
        })
    }
}

pub(crate) async fn find_client(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    tx.find(CLIENT, id.to_value()).await
}

/// Locks a client in shared mode: until the commit, no other transaction can suspend, remove or change the client.
pub(crate) async fn lock_client_shared(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    tx.fetch_optional(LOCK_CLIENT_SHARED, values![id]).await
}

/// Locks a client, so that the caller can change its row and append to its audit chain.
pub(crate) async fn lock_client(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    tx.fetch_optional(LOCK_CLIENT, values![id]).await
}

macro_rules! clients {
    ($condition:literal) => {
        concat!(
            "-- find a client\nSELECT ",
            "id AS lookup_key, ",
            client_columns!(),
            " FROM clients WHERE id = ",
            $condition
        )
    };
}

static CLIENT: &Sql = sql!(sqlite: clients!("?1"), postgres: clients!("ANY(?1)"));

static LOCK_CLIENT_SHARED: &Sql = sql!(concat!(
    "-- lock a client shared\nSELECT ",
    client_columns!(),
    " FROM clients WHERE id = ?1 FOR SHARE"
));

// `NO KEY`, because the id never changes: rows that reference the client can be written concurrently.
static LOCK_CLIENT: &Sql = sql!(concat!(
    "-- lock a client\nSELECT ",
    client_columns!(),
    " FROM clients WHERE id = ?1 FOR NO KEY UPDATE"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[CLIENT, LOCK_CLIENT_SHARED, LOCK_CLIENT];
