//! The stored form of registrations of recipients with providers, and of the upstream clients that belong to them.

use domain::id::{ClientId, ProviderId};
use domain::model::registration::{Registration, RegistrationState};

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, values};

/// The columns of a registration, selected from `registrations r`.
macro_rules! registration_columns {
    () => {
        "r.client_id, r.provider_id, r.state, r.mac, r.requested_at, r.reason"
    };
}
pub(crate) use registration_columns;

/// The MAC over the state of a registration.
pub(crate) static REGISTRATION_MAC: RowMac = RowMac {
    table: "registrations",
    part: "",
    columns: &["client_id", "provider_id", "state"],
    mac: "mac",
    id: ("client_id", ClientId::PREFIX),
};

/// Computes the MAC of a registration whose state becomes `state`.
pub(crate) fn compute_registration_mac(
    tx: &Tx<'_>,
    client: &ClientId,
    provider: ProviderId,
    state: RegistrationState,
) -> Value {
    tx.compute_mac(&REGISTRATION_MAC, values![client, provider, state])
}

impl FromRow for Registration {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&REGISTRATION_MAC)?;
        Ok(Self {
            client_id: row.get("client_id")?,
            provider_id: row.get("provider_id")?,
            state: row.get("state")?,
            requested_at: row.get("requested_at")?,
            reason: row.get("reason")?,
        })
    }
}

/// The upstream client with which a registration is activated, at a provider where each registration has its own client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedUpstreamClient {
    /// The client id at the provider.
    pub client_id: String,
    /// The wrapped key that the other fields are sealed with.
    pub data_key: Vec<u8>,
    /// The upstream client's secret at the provider, sealed. Without a secret, this is the seal of an empty one.
    pub secret: Vec<u8>,
    /// True if the upstream client has a secret, which its seal does not show.
    pub has_secret: bool,
    /// The sealed client configuration access (RFC 7592), with which a client that the hub registered can be deleted.
    pub configuration_access: Option<Vec<u8>>,
}

/// The stored upstream client of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUpstreamClient {
    /// The client id at the provider.
    pub client_id: String,
    /// The wrapped key that the secret is sealed with.
    pub data_key: Vec<u8>,
    /// The sealed secret, which is empty if the hub does not authenticate with it.
    pub secret: Vec<u8>,
}

impl FromRow for StoredUpstreamClient {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            client_id: row.get("upstream_client_id")?,
            data_key: row.get("upstream_data_key")?,
            secret: row.get("upstream_client_secret")?,
        })
    }
}

/// Announces that the registration is found later, see [`Tx::announce`].
pub(crate) fn announce_registration(tx: &mut Tx<'_>, client_id: &ClientId, provider_id: ProviderId) {
    tx.announce(REGISTRATION, values![client_id, provider_id]);
}

pub(crate) async fn find_registration(
    tx: &mut Tx<'_>,
    client_id: &ClientId,
    provider_id: ProviderId,
) -> Result<Option<Registration>> {
    tx.fetch_optional(REGISTRATION, values![client_id, provider_id]).await
}

/// Lists the registrations of a recipient.
pub(crate) async fn list_registrations(tx: &mut Tx<'_>, client_id: &ClientId) -> Result<Vec<Registration>> {
    tx.fetch_all(RECIPIENT_REGISTRATIONS, values![client_id]).await
}

/// Lists the registrations of a recipient, without those that another program has changed.
pub(crate) async fn list_verified_registrations(
    tx: &mut Tx<'_>,
    client_id: &ClientId,
) -> Result<Vec<Registration>> {
    tx.fetch_verified(RECIPIENT_REGISTRATIONS, values![client_id]).await
}

/// Returns whether recipients that are not removed have registrations with a provider that are active or suspended.
pub(crate) async fn has_registrations_in_use(tx: &mut Tx<'_>, provider_id: ProviderId) -> Result<bool> {
    tx.exists(REGISTRATION_IN_USE, values![provider_id]).await
}

static REGISTRATION: &Sql = sql!(concat!(
    "-- find a registration\nSELECT ",
    registration_columns!(),
    " FROM registrations r WHERE r.client_id = ?1 AND r.provider_id = ?2"
));

static RECIPIENT_REGISTRATIONS: &Sql = sql!(concat!(
    "-- list the registrations of a recipient\nSELECT ",
    registration_columns!(),
    " FROM registrations r WHERE r.client_id = ?1 ORDER BY r.provider_id"
));

static REGISTRATION_IN_USE: &Sql = sql!(
    "-- find a registration in use at a provider
    SELECT r.client_id FROM registrations r JOIN clients c ON c.id = r.client_id
    WHERE r.provider_id = ?1 AND r.state IN ('active', 'suspended') AND c.state <> 'closed' LIMIT 1"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[REGISTRATION, RECIPIENT_REGISTRATIONS, REGISTRATION_IN_USE];
