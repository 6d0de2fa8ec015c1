//! The hub's own secrets at a provider: in files, in environment variables, or sealed in the store.

use std::collections::BTreeMap;

use domain::Secret;
use domain::id::ProviderId;
use domain::jose::AssertionKeys;
use domain::model::provider::{
    DynamicRegistration, IdentityClient, Provider, ProviderSettings, SecretSource,
};
use domain::rule::provider::is_pem;
use domain::rule::validation::ValidationError;
use store::command::SealedProviderSecrets;
use store::query::GetProviderSecrets;

use super::provider_client::build_outbound;
use crate::config::UpstreamSection;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{SealOwner, SealPurpose};

/// The secrets of a provider that an operator added, by their path in the settings.
#[derive(Clone, Debug, Default)]
pub struct HubSecrets(BTreeMap<String, Secret<String>>);

impl HubSecrets {
    /// Adds a secret. `path` is the name of its setting, such as `tls.key`.
    pub fn insert(&mut self, path: String, secret: Secret<String>) {
        self.0.insert(path, secret);
    }

    /// Replaces the secret of a setting, or removes it.
    pub(super) fn set(&mut self, path: &str, secret: Option<Secret<String>>) {
        match secret {
            Some(secret) => self.insert(path.to_owned(), secret),
            None => drop(self.0.remove(path)),
        }
    }

    /// Returns the secrets by the paths of their settings.
    pub(super) const fn as_map(&self) -> &BTreeMap<String, Secret<String>> {
        &self.0
    }

    /// Returns the paths and the secrets.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret<String>)> {
        self.0.iter().map(|(path, secret)| (path.as_str(), secret))
    }

    /// Returns the secret of a setting.
    pub fn get(&self, path: &str) -> Option<&Secret<String>> {
        self.0.get(path)
    }

    /// Ensures that the keys and certificates of a provider that is added by the API can be used. Certificates are not read from
    /// files there: a caller of the API has no access to the hub's machine.
    pub fn validate_use(
        &self,
        settings: &ProviderSettings,
        upstream: &UpstreamSection,
    ) -> Result<(), ValidationError> {
        let identity = settings.identity_client.as_ref();
        for (field, algorithm) in [
            ("auth_key".to_owned(), settings.auth_algorithm),
            (IdentityClient::member_path("auth_key"), identity.and_then(|client| client.auth_algorithm)),
        ] {
            if let (Some(keys), Some(algorithm)) = (self.get(&field), algorithm) {
                AssertionKeys::parse(keys.expose(), algorithm)
                    .map_err(|error| ValidationError::new(field, error))?;
            }
        }
        let tls = settings.tls.clone().unwrap_or_default();
        for (field, text) in [("tls.ca", tls.ca), ("tls.certificate", tls.certificate)] {
            if text.is_some_and(|text| !is_pem(&text)) {
                return Err(ValidationError::new(field, "expected certificates in PEM form"));
            }
        }
        build_outbound(upstream, settings, self.0.clone()).map(drop).map_err(|error| {
            let (field, expected) = error.split_once(": ").unwrap_or(("tls", &error));
            ValidationError::new(field, expected)
        })
    }

    /// Encrypts the secrets for the store.
    pub fn seal(
        &self,
        ctx: &RequestContext,
        provider: ProviderId,
    ) -> Result<SealedProviderSecrets, InternalError> {
        let owner = SealOwner::for_provider(provider);
        let (key, data_key) =
            ctx.app().vault().create_data_key(ctx.random_bytes()?, owner, SealPurpose::HubKey)?;
        let exposed: BTreeMap<&str, &str> =
            self.0.iter().map(|(path, secret)| (path.as_str(), secret.expose().as_str())).collect();
        let text = serde_json::to_vec(&exposed).map(Secret::new);
        let text = text.map_err(|_| InternalError::new("the secrets of a provider cannot be written"))?;
        Ok(SealedProviderSecrets {
            data_key,
            secrets: key.seal(&owner.bind(SealPurpose::HubSecrets), text.expose())?,
        })
    }

    /// Loads the secrets that belong to the endpoints of a provider.
    pub async fn load(ctx: &RequestContext, provider: &Provider) -> Result<Self, InternalError> {
        let endpoints_version = provider.version.endpoints;
        let sealed = ctx.ask(&GetProviderSecrets { provider_id: provider.id, endpoints_version }).await?;
        let sealed = sealed.ok_or(InternalError::new("the store has no secrets of a provider"))?;
        Self::open(ctx, provider.id, &sealed)
    }

    /// Decrypts secrets of the store.
    pub(super) fn open(
        ctx: &RequestContext,
        provider: ProviderId,
        sealed: &SealedProviderSecrets,
    ) -> Result<Self, InternalError> {
        let owner = SealOwner::for_provider(provider);
        let key = ctx.app().vault().unwrap_data_key(&sealed.data_key, owner, SealPurpose::HubKey)?;
        let text = key.open_text(&owner.bind(SealPurpose::HubSecrets), &sealed.secrets)?;
        let secrets: BTreeMap<String, String> = serde_json::from_str(text.expose())
            .map_err(|_| InternalError::new("the sealed secrets of a provider cannot be read"))?;
        Ok(Self(secrets.into_iter().map(|(path, secret)| (path, Secret::new(secret))).collect()))
    }
}

/// Loads one of the hub's secrets at a provider. `path` is the name of its setting.
pub(super) async fn load_hub_secret(
    ctx: &RequestContext,
    provider: &Provider,
    (path, source): (&str, &SecretSource),
) -> Result<Secret<String>, InternalError> {
    // A secret in a file or variable is read at each use, so that it can be rotated without a restart.
    if *source != SecretSource::Sealed {
        return read_secret(source).map_err(InternalError::new);
    }
    let secrets = HubSecrets::load(ctx, provider).await?;
    secrets.get(path).cloned().ok_or(InternalError::new("the store lacks a secret of a provider"))
}

/// Loads the initial access token for client registration, if the provider requires one.
pub(super) async fn load_initial_access_token(
    ctx: &RequestContext,
    provider: &Provider,
    registration: &DynamicRegistration,
) -> Result<Option<Secret<String>>, InternalError> {
    match &registration.initial_access_token {
        None => Ok(None),
        Some(source) => {
            let setting = ("dynamic_registration.initial_access_token", source);
            load_hub_secret(ctx, provider, setting).await.map(Some)
        }
    }
}

/// Reads a secret from a file or an environment variable. Returns an error if the secret is missing, empty or in the
/// store.
pub(crate) fn read_secret(source: &SecretSource) -> Result<Secret<String>, &'static str> {
    let text = match source {
        SecretSource::File(path) => {
            std::fs::read_to_string(path).map_err(|_| "the file with the secret cannot be read")
        }
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|_| "the environment variable with the secret is not set")
        }
        SecretSource::Sealed => Err("the secret is sealed in the store"),
    };
    // Editors and shells end a file with a line break that is not part of the secret.
    match text.map(Secret::new)?.expose().trim_end_matches(['\r', '\n']) {
        "" => Err("the secret is empty"),
        secret => Ok(Secret::from(secret)),
    }
}
