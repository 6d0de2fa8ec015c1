//! The stored form of providers, and of the hub's credentials at them.

use domain::id::ProviderId;
use domain::model::audit_event::AuditHead;
use domain::model::provider::{Provider, ProviderMetadata, ProviderState, SettingsVersion};

use crate::error::{Result, StoreError};
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, to_json, values};

macro_rules! provider_columns {
    () => {
        "id, state, state_mac, source, settings, version, endpoints_version, former_revokes, mac, metadata, metadata_mac, audit_head"
    };
}
pub(crate) use provider_columns;

/// The MAC over the state of a provider, which changes without the settings.
pub(crate) static PROVIDER_STATE_MAC: RowMac =
    RowMac { table: "providers", part: "state", columns: &["id", "state"], mac: "state_mac", id: ("id", "") };

/// The MAC over the settings of a provider, which contain its endpoints, and over their version.
pub(crate) static PROVIDER_MAC: RowMac = RowMac {
    table: "providers",
    part: "",
    columns: &["id", "source", "settings", "version", "endpoints_version", "former_revokes"],
    mac: "mac",
    id: ("id", ""),
};

/// The MAC over the metadata of a provider's issuer, which contain endpoints too and change without the settings.
pub(crate) static PROVIDER_METADATA_MAC: RowMac = RowMac {
    table: "providers",
    part: "metadata",
    columns: &["id", "metadata"],
    mac: "metadata_mac",
    id: ("id", ""),
};

/// The MAC over the sealed secrets of a provider, which belong to its current endpoints.
static PROVIDER_SECRETS_MAC: RowMac = RowMac {
    table: "providers",
    part: "secrets",
    columns: &["id", "endpoints_version", "data_key", "secrets"],
    mac: "secrets_mac",
    id: ("id", ""),
};

/// The values of the columns that a new version of a provider's settings changes.
pub(crate) struct ProviderSettingsColumns {
    pub(crate) settings: String,
    pub(crate) mac: Value,
}

impl ProviderSettingsColumns {
    pub(crate) fn new(tx: &Tx<'_>, provider: &Provider) -> Result<Self> {
        let settings = to_json(&provider.settings)?;
        let SettingsVersion { number, endpoints, has_former_revocation, .. } = provider.version;
        let covered =
            values![provider.id, provider.source, settings, number, endpoints, has_former_revocation];
        let mac = tx.compute_mac(&PROVIDER_MAC, covered);
        Ok(Self { settings, mac })
    }
}

/// Computes the MAC over the state of a provider.
pub(crate) fn compute_provider_state_mac(tx: &Tx<'_>, id: ProviderId, state: ProviderState) -> Value {
    tx.compute_mac(&PROVIDER_STATE_MAC, values![id, state])
}

/// The values of the columns that new metadata of a provider's issuer change.
pub(crate) struct ProviderMetadataColumns {
    pub(crate) metadata: Option<String>,
    pub(crate) mac: Value,
}

impl ProviderMetadataColumns {
    pub(crate) fn new(tx: &Tx<'_>, id: ProviderId, metadata: Option<&ProviderMetadata>) -> Result<Self> {
        let metadata = metadata.map(to_json).transpose()?;
        let mac = tx.compute_mac(&PROVIDER_METADATA_MAC, values![id, metadata]);
        Ok(Self { metadata, mac })
    }
}

impl FromRow for Provider {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&PROVIDER_STATE_MAC)?;
        row.verify(&PROVIDER_MAC)?;
        row.verify(&PROVIDER_METADATA_MAC)?;
        Ok(Self {
            id: row.get("id")?,
            state: row.get("state")?,
            source: row.get("source")?,
            settings: row.get_json("settings")?,
            discovered: row.get_optional_json("metadata")?,
            version: SettingsVersion {
                number: row.get("version")?,
                endpoints: row.get("endpoints_version")?,
                has_former_revocation: row.get("former_revokes")?,
                is_former: false,
            },
            audit: AuditHead::from_row(row)?,
        })
    }
}

/// The hub's secrets at a provider that an operator added. Those of a configured provider are where its settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedProviderSecrets {
    /// The wrapped key that the secrets are sealed with.
    pub data_key: Vec<u8>,
    /// The secrets, sealed as one text.
    pub secrets: Vec<u8>,
}

impl FromRow for SealedProviderSecrets {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&PROVIDER_SECRETS_MAC)?;
        Ok(Self { data_key: row.get("data_key")?, secrets: row.get("secrets")? })
    }
}

/// Computes the MAC over the sealed secrets of a provider, or over their absence.
pub(crate) fn compute_provider_secrets_mac(
    tx: &Tx<'_>,
    (id, endpoints_version): (ProviderId, i64),
    secrets: Option<&SealedProviderSecrets>,
) -> Value {
    let (data_key, secrets) = secrets.map(|sealed| (sealed.data_key.clone(), sealed.secrets.clone())).unzip();
    tx.compute_mac(&PROVIDER_SECRETS_MAC, values![id, endpoints_version, data_key, secrets])
}

/// Reads the secrets that are stored with a provider.
pub(crate) async fn find_provider_secrets(
    tx: &mut Tx<'_>,
    id: ProviderId,
    endpoints_version: i64,
) -> Result<Option<SealedProviderSecrets>> {
    tx.fetch_optional(PROVIDER_SECRETS, values![id, endpoints_version]).await
}

static PROVIDER_SECRETS: &Sql = sql!(
    "-- find the secrets of a provider
    SELECT id, endpoints_version, data_key, secrets, secrets_mac FROM providers
    WHERE id = ?1 AND endpoints_version = ?2 AND secrets IS NOT NULL"
);

/// Announces that the provider is found later, see [`Tx::announce`].
pub(crate) fn announce_provider(tx: &mut Tx<'_>, id: ProviderId) {
    tx.announce(PROVIDER, values![id]);
}

pub(crate) async fn find_provider(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    tx.fetch_optional(PROVIDER, values![id]).await
}

/// Locks a provider, so that the caller can change its row and append to its audit chain.
pub(crate) async fn lock_provider(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    tx.fetch_optional(LOCK_PROVIDER, values![id]).await
}

/// Locks the provider of a job, to append to its audit chain. Returns `None` for a provider that another program has changed: it
/// is not written, but the job must not wait until it is restored.
pub(crate) async fn lock_provider_of_job(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    match lock_provider(tx, id).await {
        Err(StoreError::UnverifiedRow { .. }) => Ok(None),
        provider => provider,
    }
}

static PROVIDER: &Sql =
    sql!(concat!("-- find a provider\nSELECT ", provider_columns!(), " FROM providers WHERE id = ?1"));

// `NO KEY`, because the id never changes: rows that reference the provider can be written concurrently.
static LOCK_PROVIDER: &Sql = sql!(concat!(
    "-- lock a provider\nSELECT ",
    provider_columns!(),
    " FROM providers WHERE id = ?1 FOR NO KEY UPDATE"
));

/// The statements whose rows are kept in the access map.
pub(crate) static STATEMENTS_IN_MEMORY: &[&Sql] = &[PROVIDER];

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[LOCK_PROVIDER, PROVIDER_SECRETS];
