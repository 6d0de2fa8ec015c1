//! The stored form of clients, which are recipients and partners.

use domain::id::ClientId;
use domain::model::audit_event::AuditHead;
use domain::model::client::{Client, ClientProfile, ClientState, LocalizedText, Recipient};

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, to_json, values};

macro_rules! client_columns {
    () => {
        "id, profile, state, state_mac, kind, owner_id, name, purpose_en, purpose_fr, scope, redirect_uris, secret_hash,
        credential_generation, require_pkce, max_duration_days, mac, audit_head"
    };
}
pub(crate) use client_columns;

/// The columns of a [`Recipient`]: those of its client, and its profile.
macro_rules! recipient_columns {
    () => {
        concat!(
            $crate::entity::client::client_columns!(),
            ", description, country, logo_uri, terms_uri, client_uri, contacts"
        )
    };
}
pub(crate) use recipient_columns;

/// The MAC over the state of a client, which the access check reads without the other columns.
pub(crate) static CLIENT_STATE_MAC: RowMac = RowMac {
    table: "clients",
    part: "state",
    columns: &["id", "profile", "state"],
    mac: "state_mac",
    id: ("id", ClientId::PREFIX),
};

/// The MAC over the credentials and permissions of a client, and over what customers see of it.
pub(crate) static CLIENT_MAC: RowMac = RowMac {
    table: "clients",
    part: "",
    columns: &[
        "id",
        "kind",
        "owner_id",
        "name",
        "purpose_en",
        "purpose_fr",
        "scope",
        "redirect_uris",
        "secret_hash",
        "credential_generation",
        "require_pkce",
        "max_duration_days",
    ],
    mac: "mac",
    id: ("id", ClientId::PREFIX),
};

/// Computes the MAC over the state of a client whose state becomes `state`.
pub(crate) fn compute_client_state_mac(tx: &Tx<'_>, client: &Client, state: ClientState) -> Value {
    tx.compute_mac(&CLIENT_STATE_MAC, values![client.id, client.profile, state])
}

/// Computes the MAC over the other covered columns of a client.
pub(crate) fn compute_client_mac(tx: &Tx<'_>, client: &Client) -> Result<Value> {
    let c = client;
    let values = values![
        c.id,
        c.kind,
        c.owner_id,
        c.name,
        c.purpose.en,
        c.purpose.fr,
        c.scope,
        to_json(&c.redirect_uris)?,
        c.secret_hash,
        c.credential_generation,
        c.require_pkce,
        c.max_duration_days.map(u32::from)
    ];
    Ok(tx.compute_mac(&CLIENT_MAC, values))
}

impl FromRow for Client {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&CLIENT_STATE_MAC)?;
        row.verify(&CLIENT_MAC)?;
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

/// Announces that the client is found later, see [`Tx::announce`].
pub(crate) fn announce_client(tx: &mut Tx<'_>, id: &ClientId) {
    tx.announce_keys(CLIENT, vec![id.to_value()]);
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
