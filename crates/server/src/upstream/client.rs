//! The hub's OAuth clients at providers, and their secrets.
//!
//! At some providers, the hub has one client for all recipients. At others, each registration of a recipient has a
//! client of its own.

use domain::Secret;
use domain::id::{ClientId, ProviderId};
use domain::model::provider::{
    ClientAuthentication, DynamicRegistration, Provider, SecretSource, UpstreamClientMode,
};
use domain::rule::client_registration::ClientManagement;
use reqwest::RequestBuilder;
use store::command::{SealedProviderSecret, SealedUpstreamClient};
use store::query::{GetProviderSecret, GetUpstreamClient};
use url::Url;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::{Outbound, OutboundError};
use crate::vault::{DataKey, SealOwner, SealPurpose};

/// The id and the secret of a client at a provider (RFC 6749 §2.3.1).
pub(crate) struct UpstreamClientCredentials {
    pub(crate) id: String,
    pub(crate) secret: Secret<String>,
}

/// Loads the credentials with which a provider is called: those of the hub's own client, or those of the recipient's client if
/// each registration has its own.
pub(super) async fn load_upstream_credentials(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: &ClientId,
) -> Result<UpstreamClientCredentials, InternalError> {
    match provider.settings.upstream_client {
        UpstreamClientMode::Shared => {
            let secret = load_hub_secret(ctx, provider).await?;
            Ok(UpstreamClientCredentials { id: provider.settings.client_id.clone(), secret })
        }
        UpstreamClientMode::PerRegistration => {
            let client = load_sealed_client(ctx, recipient, provider.id).await?;
            let owner = SealOwner::for_registration(recipient, provider.id);
            let vault = ctx.app().vault();
            let key = vault.unwrap_data_key(&client.data_key, owner, SealPurpose::RegistrationKey)?;
            let secret = key.open_text(&bind_client_secret(owner, &client.client_id), &client.secret)?;
            Ok(UpstreamClientCredentials { id: client.client_id, secret })
        }
    }
}

/// Loads the client id for the authorization URL.
pub(super) async fn load_upstream_client_id(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: &ClientId,
) -> Result<String, InternalError> {
    match provider.settings.upstream_client {
        UpstreamClientMode::Shared => Ok(provider.settings.client_id.clone()),
        // The secret is opened, because this shows that the stored client id belongs to it.
        UpstreamClientMode::PerRegistration => {
            Ok(load_upstream_credentials(ctx, provider, recipient).await?.id)
        }
    }
}

async fn load_sealed_client(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider_id: ProviderId,
) -> Result<SealedUpstreamClient, InternalError> {
    let query = GetUpstreamClient { client_id: recipient.clone(), provider_id };
    ctx.ask(&query).await?.ok_or(InternalError::new("a registration has no client at its provider"))
}

/// Builds a form request with client authentication (RFC 6749 §2.3.1).
pub(super) fn build_authenticated_form<'f>(
    outbound: &Outbound,
    auth: ClientAuthentication,
    url: &Url,
    mut fields: Vec<(&'f str, &'f str)>,
    credentials: &'f UpstreamClientCredentials,
) -> Result<RequestBuilder, OutboundError> {
    match auth {
        ClientAuthentication::ClientSecretPost => {
            fields.extend([
                ("client_id", credentials.id.as_str()),
                ("client_secret", credentials.secret.expose()),
            ]);
            outbound.post_form(url, &fields)
        }
        ClientAuthentication::ClientSecretBasic => {
            // RFC 6749 §2.3.1: id and secret are form-encoded before they become user name and password.
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let request = outbound.post_form(url, &fields)?;
            Ok(request.basic_auth(encode(&credentials.id), Some(encode(credentials.secret.expose()))))
        }
    }
}

/// Encrypts the client of a registration for the store. `management` is the access to the client's configuration, if
/// the provider offers it (RFC 7592).
pub fn seal_client(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider: ProviderId,
    (client_id, secret): (String, &Secret<String>),
    management: Option<&ClientManagement>,
) -> Result<SealedUpstreamClient, InternalError> {
    let owner = SealOwner::for_registration(recipient, provider);
    let (key, data_key) =
        ctx.app().vault().create_data_key(ctx.random_bytes()?, owner, SealPurpose::RegistrationKey)?;
    let secret = key.seal(&bind_client_secret(owner, &client_id), secret.expose().as_bytes())?;
    let configuration_access =
        management.map(|management| seal_management(&key, owner, management)).transpose()?;
    Ok(SealedUpstreamClient { client_id, data_key, secret, configuration_access })
}

/// The client configuration access (RFC 7592) of a client at a provider, encrypted. The hub deletes the client with it.
#[derive(Debug)]
pub struct SealedClientConfiguration {
    /// The data key, encrypted with the hub's key.
    pub data_key: Vec<u8>,
    /// The client configuration endpoint and the registration access token, encrypted with the data key.
    pub sealed: Vec<u8>,
}

impl SealedClientConfiguration {
    /// Encrypts the client configuration access of a client that no registration uses.
    pub fn seal(
        ctx: &RequestContext,
        recipient: &ClientId,
        provider: ProviderId,
        management: &ClientManagement,
    ) -> Result<Self, InternalError> {
        let owner = SealOwner::for_registration(recipient, provider);
        let (key, data_key) =
            ctx.app().vault().create_data_key(ctx.random_bytes()?, owner, SealPurpose::RegistrationKey)?;
        Ok(Self { data_key, sealed: seal_management(&key, owner, management)? })
    }

    /// Decrypts the client configuration endpoint and the registration access token.
    pub fn open(
        &self,
        ctx: &RequestContext,
        recipient: &ClientId,
        provider: ProviderId,
    ) -> Result<ClientManagement, InternalError> {
        let owner = SealOwner::for_registration(recipient, provider);
        let key = ctx.app().vault().unwrap_data_key(&self.data_key, owner, SealPurpose::RegistrationKey)?;
        let text = key.open_text(&owner.bind(SealPurpose::ClientConfiguration), &self.sealed)?;
        ClientManagement::from_text(text.expose())
            .ok_or(InternalError::new("the sealed client configuration access cannot be read"))
    }
}

fn seal_management(
    key: &DataKey,
    owner: SealOwner<'_>,
    management: &ClientManagement,
) -> Result<Vec<u8>, InternalError> {
    let bound_to = owner.bind(SealPurpose::ClientConfiguration);
    Ok(key.seal(&bound_to, management.to_text().expose().as_bytes())?)
}

/// The secrets with which the hub's own client authenticates at a provider and registers other clients there.
#[derive(Debug)]
pub struct HubSecrets {
    pub client_secret: Secret<String>,
    /// The initial access token for client registration (RFC 7591 §3), if the provider requires one.
    pub initial_access_token: Option<Secret<String>>,
}

/// Loads the secret of the hub's own client at a provider from a file, an environment variable or the store.
pub(super) async fn load_hub_secret(
    ctx: &RequestContext,
    provider: &Provider,
) -> Result<Secret<String>, InternalError> {
    // A secret in a file or variable is read at each use, so that it can be rotated without a restart.
    if provider.settings.client_secret != SecretSource::Sealed {
        return read_secret(&provider.settings.client_secret).map_err(InternalError::new);
    }
    let query = GetProviderSecret { provider_id: provider.id };
    let sealed =
        ctx.ask(&query).await?.ok_or(InternalError::new("the store has no client secret of a provider"))?;
    let owner = SealOwner::for_provider(provider.id);
    let key = ctx.app().vault().unwrap_data_key(&sealed.data_key, owner, SealPurpose::HubKey)?;
    Ok(key.open_text(&owner.bind(SealPurpose::HubSecret), &sealed.secret)?)
}

/// Loads the initial access token for client registration, if the provider requires one.
pub(super) async fn load_initial_access_token(
    ctx: &RequestContext,
    provider: &Provider,
    registration: &DynamicRegistration,
) -> Result<Option<Secret<String>>, InternalError> {
    let Some(source) = &registration.initial_access_token else { return Ok(None) };
    if *source != SecretSource::Sealed {
        let unreadable = |_| InternalError::new("the initial access token cannot be read from its source");
        return read_secret(source).map(Some).map_err(unreadable);
    }
    let sealed = ctx.ask(&GetProviderSecret { provider_id: provider.id }).await?;
    let sealed = sealed.and_then(|secret| Some((secret.data_key, secret.initial_access_token?)));
    let (data_key, token) =
        sealed.ok_or(InternalError::new("the store has no initial access token of a provider"))?;
    let owner = SealOwner::for_provider(provider.id);
    let key = ctx.app().vault().unwrap_data_key(&data_key, owner, SealPurpose::HubKey)?;
    Ok(Some(key.open_text(&owner.bind(SealPurpose::InitialAccessToken), &token)?))
}

/// Encrypts the secrets of the hub's own client at a provider for the store.
pub fn seal_hub_secrets(
    ctx: &RequestContext,
    provider: ProviderId,
    secrets: &HubSecrets,
) -> Result<SealedProviderSecret, InternalError> {
    let owner = SealOwner::for_provider(provider);
    let (key, data_key) =
        ctx.app().vault().create_data_key(ctx.random_bytes()?, owner, SealPurpose::HubKey)?;
    let secret = key.seal(&owner.bind(SealPurpose::HubSecret), secrets.client_secret.expose().as_bytes())?;
    let seal_token = |token: &Secret<String>| {
        key.seal(&owner.bind(SealPurpose::InitialAccessToken), token.expose().as_bytes())
    };
    let initial_access_token = secrets.initial_access_token.as_ref().map(seal_token).transpose()?;
    Ok(SealedProviderSecret { data_key, secret, initial_access_token })
}

/// Returns the associated data of the secret of a client at a provider. It contains the client's id, which is not secret but must
/// not be exchanged either.
fn bind_client_secret(owner: SealOwner<'_>, upstream_client_id: &str) -> String {
    format!("{}\n{upstream_client_id}", owner.bind(SealPurpose::ClientSecret))
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
    match text?.trim_end_matches(['\r', '\n']) {
        "" => Err("the secret is empty"),
        secret => Ok(Secret::from(secret)),
    }
}
