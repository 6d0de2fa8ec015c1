//! The stored form of providers, and of the hub's credentials at them.

use domain::id::ProviderId;
use domain::model::audit_event::AuditHead;
use domain::model::provider::Provider;

use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

macro_rules! provider_columns {
    () => {
        "id, state, source, settings, audit_head"
    };
}
pub(crate) use provider_columns;

impl FromRow for Provider {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            state: row.get("state")?,
            source: row.get("source")?,
            settings: row.get_json("settings")?,
            audit: AuditHead::from_row(row)?,
        })
    }
}

/// The hub's credentials at a provider that an operator added. For a configured provider they are in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedProviderSecret {
    /// The wrapped key that the other fields are sealed with.
    pub data_key: Vec<u8>,
    /// The hub's client secret at the provider, sealed.
    pub secret: Vec<u8>,
    /// The sealed initial access token (RFC 7591 section 3), if the provider requires one for registrations.
    pub initial_access_token: Option<Vec<u8>>,
}

impl FromRow for SealedProviderSecret {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            data_key: row.get("data_key")?,
            secret: row.get("client_secret")?,
            initial_access_token: row.get("initial_access_token")?,
        })
    }
}

pub(crate) async fn find_provider(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    tx.fetch_optional(PROVIDER, values![id]).await
}

/// Locks a provider, so that the caller can change its row and append to its audit chain.
pub(crate) async fn lock_provider(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    tx.fetch_optional(LOCK_PROVIDER, values![id]).await
}

static PROVIDER: &Sql =
    sql!(concat!("-- find a provider\nSELECT ", provider_columns!(), " FROM providers WHERE id = ?1"));

// `NO KEY`, because the id never changes: rows that reference the provider can be written concurrently.
static LOCK_PROVIDER: &Sql = sql!(concat!(
    "-- lock a provider\nSELECT ",
    provider_columns!(),
    " FROM providers WHERE id = ?1 FOR NO KEY UPDATE"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[PROVIDER, LOCK_PROVIDER];
