//! The stored form of former settings of providers: of those with endpoints that a provider has no longer.

use domain::id::ProviderId;
use domain::model::provider::{Provider, ProviderMetadata, ProviderSettings, SettingsVersion};
use domain::rule::provider::has_same_endpoints;

use super::provider::SealedProviderSecrets;
use crate::error::Result;
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, to_json, values};

macro_rules! former_settings_columns {
    () => {
        "provider_id, endpoints_version, version, settings, metadata, data_key, secrets, mac"
    };
}
pub(crate) use former_settings_columns;

/// The MAC over former settings of a provider. It covers their sealed secrets, so that no others are sent to the former endpoints.
static FORMER_SETTINGS_MAC: RowMac = RowMac {
    table: "former_provider_settings",
    part: "",
    columns: &["provider_id", "endpoints_version", "version", "settings", "metadata", "data_key", "secrets"],
    mac: "mac",
    id: ("provider_id", ""),
};

/// Settings of a provider with endpoints that it has no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerSettings {
    pub provider_id: ProviderId,
    pub settings: ProviderSettings,
    /// The metadata of the issuer, which may name endpoints.
    pub discovered: Option<ProviderMetadata>,
    pub version: SettingsVersion,
    /// The secrets that are not read from files and variables.
    pub secrets: Option<SealedProviderSecrets>,
}

impl FormerSettings {
    /// Returns the settings that a provider leaves, with the secrets that are stored with it.
    pub(crate) fn from_provider(provider: &Provider, secrets: Option<SealedProviderSecrets>) -> Self {
        Self {
            provider_id: provider.id,
            settings: provider.settings.clone(),
            discovered: provider.discovered.clone(),
            version: SettingsVersion { is_former: true, ..provider.version },
            secrets,
        }
    }

    /// Returns the provider as it was with these settings.
    pub fn apply_to(self, provider: Provider) -> Provider {
        let Self { settings, discovered, version, .. } = self;
        Provider { settings, discovered, version, ..provider }
    }

    /// Returns whether a provider has the endpoints of these settings.
    pub(crate) fn has_endpoints_of(&self, provider: &Provider) -> bool {
        has_same_endpoints(&self.clone().apply_to(provider.clone()), provider)
    }

    /// Returns the values of the columns of [`former_settings_columns`], in their order.
    pub(crate) fn to_columns(&self, tx: &Tx<'_>) -> Result<Vec<Value>> {
        let secrets = self.secrets.as_ref();
        let covered = values![
            self.provider_id,
            self.version.endpoints,
            self.version.number,
            to_json(&self.settings)?,
            self.discovered.as_ref().map(to_json).transpose()?,
            secrets.map(|sealed| sealed.data_key.clone()),
            secrets.map(|sealed| sealed.secrets.clone())
        ];
        let mac = tx.compute_mac(&FORMER_SETTINGS_MAC, covered);
        Ok(covered.iter().cloned().chain([mac]).collect())
    }
}

impl FromRow for FormerSettings {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&FORMER_SETTINGS_MAC)?;
        let data_key: Option<Vec<u8>> = row.get("data_key")?;
        let secrets: Option<Vec<u8>> = row.get("secrets")?;
        let version = SettingsVersion {
            number: row.get("version")?,
            endpoints: row.get("endpoints_version")?,
            has_former_revocation: false,
            is_former: true,
        };
        Ok(Self {
            provider_id: row.get("provider_id")?,
            settings: row.get_json("settings")?,
            discovered: row.get_optional_json("metadata")?,
            version,
            secrets: data_key
                .zip(secrets)
                .map(|(data_key, secrets)| SealedProviderSecrets { data_key, secrets }),
        })
    }
}

pub(crate) async fn find_former_settings(
    tx: &mut Tx<'_>,
    provider: ProviderId,
    endpoints_version: i64,
) -> Result<Option<FormerSettings>> {
    tx.fetch_optional(FORMER_SETTINGS, values![provider, endpoints_version]).await
}

static FORMER_SETTINGS: &Sql = sql!(concat!(
    "-- find former settings of a provider\nSELECT ",
    former_settings_columns!(),
    " FROM former_provider_settings WHERE provider_id = ?1 AND endpoints_version = ?2"
));

/// The former settings of one provider.
pub(crate) static PROVIDER_FORMER_SETTINGS: &Sql = sql!(concat!(
    "-- list the former settings of a provider\nSELECT ",
    former_settings_columns!(),
    " FROM former_provider_settings WHERE provider_id = ?1 ORDER BY endpoints_version"
));

/// The former settings of one provider, except those with one version of the endpoints.
pub(crate) static OTHER_FORMER_SETTINGS: &Sql = sql!(concat!(
    "-- list the other former settings of a provider\nSELECT ",
    former_settings_columns!(),
    " FROM former_provider_settings WHERE provider_id = ?1 AND endpoints_version <> ?2 ORDER BY endpoints_version"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] =
    &[FORMER_SETTINGS, PROVIDER_FORMER_SETTINGS, OTHER_FORMER_SETTINGS];
