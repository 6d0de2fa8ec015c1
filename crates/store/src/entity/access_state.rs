//! The stored facts about a connection on which the access check decides.

use std::sync::Arc;

use domain::id::{ClientId, ConnectionId};
use domain::model::connection::ConnectionStatus;
use domain::rule::access::AccessState;

use super::client::CLIENT_STATE_MAC;
use super::connection::{CONNECTION_MAC, TERMS_MAC};
use super::provider::PROVIDER_STATE_MAC;
use super::registration::REGISTRATION_MAC;
use crate::account_list::AccountListOwner;
use crate::error::{Result, StoreError};
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The columns of an access state, selected from `connections c` and [`access_state_joins`].
macro_rules! access_state_columns {
    () => {
        "c.id AS connection_id, c.client_id, c.provider_id, c.customer_id, c.sub, c.status, c.terms_version,
        c.token_generation, c.expires_at, c.mac AS connection_mac, t.clusters, t.accounts,
        t.expires_at AS terms_expires_at, t.mac AS terms_mac, c.accounts_key, l.profile, l.state AS client_state, l.state_mac AS client_mac, r.state AS registration_state,
        r.mac AS registration_mac, p.state AS provider_state, p.state_mac AS provider_mac, c.cause,
        s.status AS successor_status, c.provider_revocation"
    };
}
pub(crate) use access_state_columns;

macro_rules! access_state_joins {
    () => {
        "JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    JOIN clients l ON l.id = c.client_id
    JOIN providers p ON p.id = c.provider_id
    LEFT JOIN registrations r ON r.client_id = c.client_id AND r.provider_id = c.provider_id
    LEFT JOIN connections s ON s.id = c.replaced_by"
    };
}
pub(crate) use access_state_joins;

/// [`CONNECTION_MAC`] with the names that columns have in an access state.
pub(crate) static JOINED_CONNECTION_MAC: RowMac = RowMac {
    columns: &[
        "connection_id",
        "client_id",
        "provider_id",
        "customer_id",
        "sub",
        "status",
        "terms_version",
        "token_generation",
        "expires_at",
    ],
    mac: "connection_mac",
    id: ("connection_id", ConnectionId::PREFIX),
    ..CONNECTION_MAC
};

/// [`TERMS_MAC`] with the names that columns have in an access state.
pub(crate) static JOINED_TERMS_MAC: RowMac = RowMac {
    columns: &["connection_id", "terms_version", "clusters", "accounts", "terms_expires_at"],
    mac: "terms_mac",
    ..TERMS_MAC
};

/// [`CLIENT_STATE_MAC`] with the names that columns have in an access state.
static JOINED_CLIENT_MAC: RowMac = RowMac {
    columns: &["client_id", "profile", "client_state"],
    mac: "client_mac",
    id: ("client_id", ClientId::PREFIX),
    ..CLIENT_STATE_MAC
};

/// [`REGISTRATION_MAC`] with the names that columns have in an access state.
static JOINED_REGISTRATION_MAC: RowMac = RowMac {
    columns: &["client_id", "provider_id", "registration_state"],
    mac: "registration_mac",
    ..REGISTRATION_MAC
};

/// [`PROVIDER_STATE_MAC`] with the names that columns have in an access state.
static JOINED_PROVIDER_MAC: RowMac = RowMac {
    columns: &["provider_id", "provider_state"],
    mac: "provider_mac",
    id: ("provider_id", ""),
    ..PROVIDER_STATE_MAC
};

/// Ensures that the hub has written every row of an access state. The row of a successor decides nothing but the error code of
/// a replaced connection, and is not verified.
fn verify_access_state(row: &mut Row) -> Result<()> {
    row.verify(&JOINED_CONNECTION_MAC)?;
    row.verify(&JOINED_TERMS_MAC)?;
    row.verify(&JOINED_CLIENT_MAC)?;
    // Without a registration, the recipient gets no access.
    if !row.is_null("registration_state")? {
        row.verify(&JOINED_REGISTRATION_MAC)?;
    }
    row.verify(&JOINED_PROVIDER_MAC)
}

/// Takes the accounts of a connection from a row that contains the connection and its terms, by the provider's ids; `None` if
/// the customer consented to all accounts.
///
/// Only the list of an active connection is opened. Another connection serves no data, and the end has deleted the key, so its
/// list is empty.
pub(crate) fn take_accounts(row: &mut Row) -> Result<Option<Arc<[String]>>> {
    let (sealed, key): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get("accounts")?, row.get("accounts_key")?);
    let Some(sealed) = sealed else { return Ok(None) };
    if row.peek::<ConnectionStatus>("status")? != ConnectionStatus::Active {
        return Ok(Some(Arc::from([])));
    }
    let (connection, client): (ConnectionId, ClientId) = (row.peek("connection_id")?, row.peek("client_id")?);
    let owner =
        AccountListOwner { connection: &connection, client: &client, provider: row.peek("provider_id")? };
    // A missing key cannot be unwrapped, and is reported like a changed one.
    let accounts = row.open_accounts(owner, &key.unwrap_or_default(), &sealed)?;
    // Neither all accounts nor none would be what the customer consented to. The MAC of the terms covers the list, so the key in the
    // row of the connection was changed.
    let error = || StoreError::UnverifiedRow { table: "connections", id: connection.to_string() };
    accounts.map(|accounts| Some(accounts.into())).ok_or_else(error)
}

impl FromRow for AccessState {
    fn from_row(row: &mut Row) -> Result<Self> {
        verify_access_state(row)?;
        let accounts = take_accounts(row)?;
        Ok(Self {
            connection_id: row.get("connection_id")?,
            client_id: row.get("client_id")?,
            provider_id: row.get("provider_id")?,
            sub: row.get("sub")?,
            status: row.get("status")?,
            cause: row.get("cause")?,
            successor_active: row.get::<Option<_>>("successor_status")? == Some(ConnectionStatus::Active),
            provider_revocation: row.get("provider_revocation")?,
            expires_at: row.get("expires_at")?,
            token_generation: row.get("token_generation")?,
            clusters: row.get("clusters")?,
            accounts,
            client_state: row.get("client_state")?,
            profile: row.get("profile")?,
            registration_state: row.get("registration_state")?,
            provider_state: row.get("provider_state")?,
        })
    }
}

/// Announces that the access state is found later, see [`Tx::announce`].
pub(crate) fn announce_access_state(tx: &mut Tx<'_>, id: &ConnectionId) {
    tx.announce(ACCESS_STATE, values![id]);
}

/// Finds the access state of a connection. One statement reads all of it, so that it is consistent.
pub(crate) async fn find_access_state(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<AccessState>> {
    tx.fetch_optional(ACCESS_STATE, values![id]).await
}

static ACCESS_STATE: &Sql = sql!(concat!(
    "-- find the access state of a connection\nSELECT ",
    access_state_columns!(),
    "\n    FROM connections c ",
    access_state_joins!(),
    "\n    WHERE c.id = ?1"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[ACCESS_STATE];
