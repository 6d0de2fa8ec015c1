//! The client that the hub is at a provider: its own for all recipients, or one for each registration.

use domain::Secret;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::provider::{
    ClientAuthentication, DynamicRegistration, Provider, SecretSource, UpstreamClientMode,
};
use domain::rule::client_registration::ClientManagement;
use reqwest::RequestBuilder;
use store::command::{SealedProviderSecret, SealedUpstreamClient};
use store::query::{GetConnection, GetProviderSecret, GetUpstreamClient};
use url::Url;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::{Outbound, OutboundError};
use crate::vault::DataKey;

/// For whom a provider is spoken with.
#[derive(Clone, Debug)]
pub(super) enum OnBehalfOf {
    /// A recipient.
    Recipient(ClientId),
    /// The recipient of a connection.
    Connection(ConnectionId),
}

/// A client at a provider.
pub(crate) struct UpstreamClientCredentials {
    pub(crate) id: String,
    pub(crate) secret: Secret<String>,
}

/// The client to authenticate as.
pub(super) async fn load_upstream_credentials(
    ctx: &RequestContext,
    provider: &Provider,
    on_behalf_of: &OnBehalfOf,
) -> Result<UpstreamClientCredentials, InternalError> {
    match provider.settings.upstream_client {
        UpstreamClientMode::Shared => {
            let secret = load_hub_secret(ctx, provider).await?;
            Ok(UpstreamClientCredentials { id: provider.settings.client_id.clone(), secret })
        }
        UpstreamClientMode::PerRegistration => {
            let recipient = match on_behalf_of {
                OnBehalfOf::Recipient(recipient) => recipient.clone(),
                OnBehalfOf::Connection(id) => {
                    let connection = ctx.ask(&GetConnection { id: id.clone() }).await?;
                    connection.ok_or(InternalError::new("nobody knows whose grant it is"))?.client_id
                }
            };
            let sealed = load_sealed_client(ctx, &recipient, provider.id).await?;
            let name = client_sealing_context(&recipient, provider.id);
            let key = ctx.app().vault().unwrap_data_key(&sealed.data_key, &name)?;
            Ok(UpstreamClientCredentials {
                secret: key.open_text(&name, &sealed.secret)?,
                id: sealed.client_id,
            })
        }
    }
}

/// A form that a client of ours at a provider posts (RFC 6749 §2.3.1).
pub(super) fn build_authenticated_form<'f>(
    outbound: &Outbound,
    auth: ClientAuthentication,
    url: &Url,
    mut fields: Vec<(&'f str, &'f str)>,
    own: &'f UpstreamClientCredentials,
) -> Result<RequestBuilder, OutboundError> {
    match auth {
        ClientAuthentication::ClientSecretPost => {
            fields.extend([("client_id", own.id.as_str()), ("client_secret", own.secret.expose())]);
            outbound.post_form(url, &fields)
        }
        ClientAuthentication::ClientSecretBasic => {
            // Both halves are form-encoded first.
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let request = outbound.post_form(url, &fields)?;
            Ok(request.basic_auth(encode(&own.id), Some(encode(own.secret.expose()))))
        }
    }
}

/// The id to send a customer's browser with.
pub(super) async fn load_upstream_client_id(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: &ClientId,
) -> Result<String, InternalError> {
    match provider.settings.upstream_client {
        UpstreamClientMode::Shared => Ok(provider.settings.client_id.clone()),
        UpstreamClientMode::PerRegistration => {
            Ok(load_sealed_client(ctx, recipient, provider.id).await?.client_id)
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

/// Seals a recipient's own client at a provider, and how it is deleted there. It opens for this registration alone.
pub fn seal_client(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider: ProviderId,
    (client_id, secret): (String, &Secret<String>),
    management: Option<&ClientManagement>,
) -> Result<SealedUpstreamClient, InternalError> {
    let name = client_sealing_context(recipient, provider);
    let (key, data_key) = ctx.app().vault().create_data_key(ctx.random_bytes()?, &name)?;
    let secret = key.seal(&name, secret.expose().as_bytes())?;
    let management = management.map(|m| seal_management_text(&key, &name, m)).transpose()?;
    Ok(SealedUpstreamClient { client_id, data_key, secret, configuration_access: management })
}

/// How a client is deleted at its provider, sealed.
#[derive(Debug)]
pub struct SealedManagement {
    /// The wrapped key.
    pub data_key: Vec<u8>,
    /// The sealed text.
    pub sealed: Vec<u8>,
}

/// Seals how a client is deleted that no registration takes.
pub fn seal_management(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider: ProviderId,
    management: &ClientManagement,
) -> Result<SealedManagement, InternalError> {
    let name = client_sealing_context(recipient, provider);
    let (key, data_key) = ctx.app().vault().create_data_key(ctx.random_bytes()?, &name)?;
    Ok(SealedManagement { data_key, sealed: seal_management_text(&key, &name, management)? })
}

fn seal_management_text(
    key: &DataKey,
    name: &str,
    management: &ClientManagement,
) -> Result<Vec<u8>, InternalError> {
    Ok(key.seal(&management_sealing_context(name), management.to_text().expose().as_bytes())?)
}

/// Opens how a client is deleted.
pub fn open_management(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider: ProviderId,
    (data_key, sealed): (&[u8], &[u8]),
) -> Result<ClientManagement, InternalError> {
    let name = client_sealing_context(recipient, provider);
    let text = ctx
        .app()
        .vault()
        .unwrap_data_key(data_key, &name)?
        .open_text(&management_sealing_context(&name), sealed)?;
    ClientManagement::from_text(text.expose())
        .ok_or(InternalError::new("how a client is deleted cannot be read"))
}

/// What is sealed for one purpose does not open for another.
fn management_sealing_context(name: &str) -> String {
    format!("{name}\nmanagement")
}

fn client_sealing_context(recipient: &ClientId, provider: ProviderId) -> String {
    format!("{recipient}\n{provider}")
}

/// The hub's own secret at a provider.
pub(super) async fn load_hub_secret(
    ctx: &RequestContext,
    provider: &Provider,
) -> Result<Secret<String>, InternalError> {
    if provider.settings.client_secret != SecretSource::Sealed {
        return read_secret(&provider.settings.client_secret).map_err(InternalError::new);
    }
    let query = GetProviderSecret { provider_id: provider.id };
    let sealed =
        ctx.ask(&query).await?.ok_or(InternalError::new("the store has no client secret of a provider"))?;
    let name = hub_sealing_context(provider.id);
    let key = ctx.app().vault().unwrap_data_key(&sealed.data_key, &name)?;
    Ok(key.open_text(&name, &sealed.secret)?)
}

/// The initial access token for the registration of clients, if the provider wants one.
pub(super) async fn load_initial_access_token(
    ctx: &RequestContext,
    provider: &Provider,
    registration: &DynamicRegistration,
) -> Result<Option<Secret<String>>, InternalError> {
    let Some(source) = &registration.initial_access_token else { return Ok(None) };
    if *source != SecretSource::Sealed {
        let unreadable =
            |_| InternalError::new("the initial access token cannot be read where the configuration says");
        return read_secret(source).map(Some).map_err(unreadable);
    }
    let sealed = ctx.ask(&GetProviderSecret { provider_id: provider.id }).await?;
    let sealed = sealed.and_then(|own| Some((own.data_key, own.initial_access_token?)));
    let (data_key, token) =
        sealed.ok_or(InternalError::new("the store has no initial access token of a provider"))?;
    let name = hub_sealing_context(provider.id);
    let key = ctx.app().vault().unwrap_data_key(&data_key, &name)?;
    Ok(Some(key.open_text(&initial_token_sealing_context(&name), &token)?))
}

/// What the hub alone knows at a provider.
#[derive(Debug)]
pub struct HubSecrets {
    /// The secret of its own client.
    pub client_secret: Secret<String>,
    /// What opens the registration of clients, if that is wanted.
    pub initial_access_token: Option<Secret<String>>,
}

/// Seals the hub's own secrets at a provider. They open for this provider alone.
pub fn seal_hub_secrets(
    ctx: &RequestContext,
    provider: ProviderId,
    secrets: &HubSecrets,
) -> Result<SealedProviderSecret, InternalError> {
    let name = hub_sealing_context(provider);
    let (key, data_key) = ctx.app().vault().create_data_key(ctx.random_bytes()?, &name)?;
    let secret = key.seal(&name, secrets.client_secret.expose().as_bytes())?;
    let seal =
        |token: &Secret<String>| key.seal(&initial_token_sealing_context(&name), token.expose().as_bytes());
    let initial_access_token = secrets.initial_access_token.as_ref().map(seal).transpose()?;
    Ok(SealedProviderSecret { data_key, secret, initial_access_token })
}

fn initial_token_sealing_context(name: &str) -> String {
    format!("{name}\ninitial_access_token")
}

/// No recipient has an empty id.
fn hub_sealing_context(provider: ProviderId) -> String {
    format!("\n{provider}")
}

/// A secret, read where the configuration says that it is; else what is wrong there.
pub(crate) fn read_secret(source: &SecretSource) -> Result<Secret<String>, &'static str> {
    let read = match source {
        SecretSource::File(path) => {
            std::fs::read_to_string(path).map_err(|_| "the file of the secret cannot be read")
        }
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|_| "the environment variable of the secret is not set")
        }
        SecretSource::Sealed => Err("the secret is sealed in the store"),
    };
    match read?.trim_end_matches(['\r', '\n']) {
        "" => Err("the secret is empty"),
        text => Ok(Secret::from(text)),
    }
}
