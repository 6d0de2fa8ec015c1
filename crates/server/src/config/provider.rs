//! `[[provider]]`: an id, and how to speak with the provider.

use domain::id::ProviderId;
use domain::model::audit_event::AuditHead;
use domain::model::provider::{
    BankGrant, CustomerIdentity, Provider, ProviderSettings, ProviderSource, ProviderState, UpstreamClient,
};
use serde::{Deserialize, Serialize};
use toml::Table;

/// A provider of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct ProviderEntry {
    /// Its id.
    pub id: i64,
    /// How to speak with it.
    pub settings: ProviderSettings,
}

impl ProviderEntry {
    /// The row that it becomes.
    pub fn provider(&self) -> Provider {
        Provider {
            id: ProviderId::new(self.id),
            state: ProviderState::Active,
            source: ProviderSource::Config,
            settings: self.settings.clone(),
            audit: AuditHead::default(),
        }
    }

    /// Refuses endpoints that could not be called.
    pub(super) fn check(&self, allow_loopback: bool) -> Result<(), String> {
        let s = &self.settings;
        let endpoints = [
            ("authorization_endpoint", Some(&s.authorization_endpoint)),
            ("token_endpoint", Some(&s.token_endpoint)),
            ("revocation_endpoint", s.revocation_endpoint.as_ref()),
            ("fdx.base_url", Some(&s.fdx.base_url)),
        ];
        for (key, endpoint) in endpoints {
            let Some(endpoint) = endpoint else { continue };
            let url = url::Url::parse(endpoint).ok();
            let fits = url.is_some_and(|u| u.scheme() == "https" || allow_loopback && u.scheme() == "http");
            if !fits {
                return Err(format!("provider {}: {key}: expected an https URL", self.id));
            }
        }
        if !s.revoke.is_empty() && s.revocation_endpoint.is_none() {
            return Err(format!("provider {}: revoke needs a revocation_endpoint", self.id));
        }
        if s.bank_grant == BankGrant::PerClientCustomer && s.customer_identity == CustomerIdentity::None {
            return Err(format!(
                "provider {}: bank_grant: per_client_customer needs a customer_identity, or nobody knows which \
                 connections share a grant",
                self.id
            ));
        }
        if s.bank_grant == BankGrant::PerClientCustomer && s.upstream_client == UpstreamClient::Registration {
            return Err(format!(
                "provider {}: upstream_client: registration needs bank_grant = \"per_token\"",
                self.id
            ));
        }
        Ok(())
    }
}

impl TryFrom<Table> for ProviderEntry {
    type Error = String;
    fn try_from(mut table: Table) -> Result<Self, String> {
        let id = table.remove("id").and_then(|id| id.as_integer()).filter(|id| *id > 0);
        let id = id.ok_or("provider: id: expected a positive integer")?;
        // Looked at first: what is said of a wrong value would show it.
        if table.get("client_secret").is_some_and(|secret| !secret.is_table()) {
            let expected = "expected { file = \"PATH\" } or { env = \"NAME\" }, never the secret itself";
            return Err(format!("provider {id}: client_secret: {expected}"));
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
