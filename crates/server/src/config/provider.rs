//! A section `[[provider]]` of the configuration: the id and the settings of a provider.

use domain::id::ProviderId;
use domain::model::audit_event::AuditHead;
use domain::model::provider::{
    Provider, ProviderSettings, ProviderSource, ProviderState, SettingsVersion, secret_members,
};
use domain::rule::provider::{ProviderLimits, check};
use domain::rule::validation::ValidationError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

/// A provider that is defined in the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct ProviderEntry {
    pub id: i64,
    /// The settings of the provider: endpoints, credentials and capabilities.
    pub settings: ProviderSettings,
}

impl ProviderEntry {
    /// Returns the provider as it is written to the store.
    pub fn to_provider(&self) -> Provider {
        Provider {
            id: ProviderId::new(self.id),
            state: ProviderState::Active,
            source: ProviderSource::Config,
            settings: self.settings.clone(),
            discovered: None,
            version: SettingsVersion::FIRST,
            audit: AuditHead::default(),
        }
    }

    /// Validates the settings of the provider. The error names the provider, the field and the expected value.
    pub(super) fn validate(&self, limits: ProviderLimits) -> Result<(), String> {
        check(&self.settings, limits).map_err(|invalid: ValidationError| {
            format!("provider {}: {}: {}", self.id, invalid.field, invalid.expected)
        })
    }
}

impl TryFrom<Table> for ProviderEntry {
    type Error = String;
    fn try_from(mut table: Table) -> Result<Self, String> {
        let id = table.remove("id").and_then(|id| id.as_integer()).filter(|id| *id > 0);
        let id = id.ok_or("provider: id: expected a positive integer")?;
        // Secrets are checked before deserialization, whose error messages would quote a secret written here.
        let is_reference = |secret: &Value| secret.get("file").is_some() || secret.get("env").is_some();
        let Ok(Value::Object(mut members)) = serde_json::to_value(&table) else {
            return Err(format!("provider {id}: expected a table"));
        };
        for (field, secret) in secret_members(&mut members) {
            if !is_reference(secret) {
                let expected = "expected { file = \"PATH\" } or { env = \"NAME\" }, never the secret itself";
                return Err(format!("provider {id}: {field}: {expected}"));
            }
        }
        let settings = table.try_into().map_err(|e| format!("provider {id}: {}", e.message()))?;
        Ok(Self { id, settings })
    }
}

impl From<ProviderEntry> for Table {
    fn from(entry: ProviderEntry) -> Self {
        let mut table = Self::try_from(&entry.settings).unwrap_or_default();
        table.insert("id".into(), entry.id.into());
        table
    }
}
