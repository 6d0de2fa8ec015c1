//! The client that the hub is at a provider: its own for all recipients, or one for each registration.

use domain::Secret;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::provider::{DynamicRegistration, Provider, SecretSource, UpstreamClient};
use domain::rule::client_registration::Management;
use store::command::{SealedClient, SealedSecret};
use store::query::{ConnectionById, ProviderSecretOf, UpstreamClientOf};

use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::vault::DataKey;

/// For whom a provider is spoken with.
#[derive(Clone, Debug)]
pub(super) enum Whom {
    /// A recipient.
    Recipient(ClientId),
    /// The recipient of a connection.
    Of(ConnectionId),
}

/// A client at a provider.
pub(crate) struct OwnClient {
    pub(crate) id: String,
    pub(crate) secret: Secret<String>,
}

/// The client to authenticate as.
pub(super) async fn own_client(ctx: &Ctx, provider: &Provider, whom: &Whom) -> Result<OwnClient, Fault> {
    match provider.settings.upstream_client {
        UpstreamClient::Hub => {
            let secret = hub_secret(ctx, provider).await?;
            Ok(OwnClient { id: provider.settings.client_id.clone(), secret })
        }
        UpstreamClient::Registration => {
            let recipient = match whom {
                Whom::Recipient(recipient) => recipient.clone(),
                Whom::Of(id) => {
                    let connection = ctx.ask(&ConnectionById { id: id.clone() }).await?;
                    connection.ok_or(Fault::new("nobody knows whose grant it is"))?.client_id
                }
            };
            let sealed = sealed(ctx, &recipient, provider.id).await?;
            let name = bound_to(&recipient, provider.id);
            let key = ctx.app().vault().unwrap(&sealed.data_key, &name)?;
            Ok(OwnClient { secret: key.open_text(&name, &sealed.secret)?, id: sealed.client_id })
        }
    }
}

/// The id to send a customer's browser with.
pub(super) async fn own_client_id(
    ctx: &Ctx,
    provider: &Provider,
    recipient: &ClientId,
) -> Result<String, Fault> {
    match provider.settings.upstream_client {
        UpstreamClient::Hub => Ok(provider.settings.client_id.clone()),
        UpstreamClient::Registration => Ok(sealed(ctx, recipient, provider.id).await?.client_id),
    }
}

async fn sealed(ctx: &Ctx, recipient: &ClientId, provider_id: ProviderId) -> Result<SealedClient, Fault> {
    let of = UpstreamClientOf { client_id: recipient.clone(), provider_id };
    ctx.ask(&of).await?.ok_or(Fault::new("a registration has no client at its provider"))
}

/// Seals a recipient's own client at a provider, and how it is deleted there. It opens for this registration alone.
pub fn seal_client(
    ctx: &Ctx,
    recipient: &ClientId,
    provider: ProviderId,
    (client_id, secret): (String, &Secret<String>),
    management: Option<&Management>,
) -> Result<SealedClient, Fault> {
    let name = bound_to(recipient, provider);
    let (key, data_key) = ctx.app().vault().data_key(ctx.random()?, &name)?;
    let secret = key.seal(&name, secret.expose().as_bytes())?;
    let management = management.map(|m| sealed_management(&key, &name, m)).transpose()?;
    Ok(SealedClient { client_id, data_key, secret, management })
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
    ctx: &Ctx,
    recipient: &ClientId,
    provider: ProviderId,
    management: &Management,
) -> Result<SealedManagement, Fault> {
    let name = bound_to(recipient, provider);
    let (key, data_key) = ctx.app().vault().data_key(ctx.random()?, &name)?;
    Ok(SealedManagement { data_key, sealed: sealed_management(&key, &name, management)? })
}

fn sealed_management(key: &DataKey, name: &str, management: &Management) -> Result<Vec<u8>, Fault> {
    Ok(key.seal(&managed(name), management.to_text().expose().as_bytes())?)
}

/// Opens how a client is deleted.
pub fn open_management(
    ctx: &Ctx,
    recipient: &ClientId,
    provider: ProviderId,
    (data_key, sealed): (&[u8], &[u8]),
) -> Result<Management, Fault> {
    let name = bound_to(recipient, provider);
    let text = ctx.app().vault().unwrap(data_key, &name)?.open_text(&managed(&name), sealed)?;
    Management::from_text(text.expose()).ok_or(Fault::new("how a client is deleted cannot be read"))
}

/// What is sealed for one purpose does not open for another.
fn managed(name: &str) -> String {
    format!("{name}\nmanagement")
}

fn bound_to(recipient: &ClientId, provider: ProviderId) -> String {
    format!("{recipient}\n{provider}")
}

/// The hub's own secret at a provider.
pub(super) async fn hub_secret(ctx: &Ctx, provider: &Provider) -> Result<Secret<String>, Fault> {
    if provider.settings.client_secret != SecretSource::Sealed {
        return read_secret(&provider.settings.client_secret).map_err(Fault::new);
    }
    let of = ProviderSecretOf { provider_id: provider.id };
    let sealed = ctx.ask(&of).await?.ok_or(Fault::new("the store has no client secret of a provider"))?;
    let name = bound_to_hub(provider.id);
    let key = ctx.app().vault().unwrap(&sealed.data_key, &name)?;
    Ok(key.open_text(&name, &sealed.secret)?)
}

/// The initial access token for the registration of clients, if the provider wants one.
pub(super) async fn initial_access_token(
    ctx: &Ctx,
    provider: &Provider,
    there: &DynamicRegistration,
) -> Result<Option<Secret<String>>, Fault> {
    let Some(source) = &there.initial_access_token else { return Ok(None) };
    if *source != SecretSource::Sealed {
        let unread = |_| Fault::new("the initial access token cannot be read where the configuration says");
        return read_secret(source).map(Some).map_err(unread);
    }
    let sealed = ctx.ask(&ProviderSecretOf { provider_id: provider.id }).await?;
    let sealed = sealed.and_then(|own| Some((own.data_key, own.initial_access_token?)));
    let (data_key, token) =
        sealed.ok_or(Fault::new("the store has no initial access token of a provider"))?;
    let name = bound_to_hub(provider.id);
    let key = ctx.app().vault().unwrap(&data_key, &name)?;
    Ok(Some(key.open_text(&initial(&name), &token)?))
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
    ctx: &Ctx,
    provider: ProviderId,
    secrets: &HubSecrets,
) -> Result<SealedSecret, Fault> {
    let name = bound_to_hub(provider);
    let (key, data_key) = ctx.app().vault().data_key(ctx.random()?, &name)?;
    let secret = key.seal(&name, secrets.client_secret.expose().as_bytes())?;
    let seal = |token: &Secret<String>| key.seal(&initial(&name), token.expose().as_bytes());
    let initial_access_token = secrets.initial_access_token.as_ref().map(seal).transpose()?;
    Ok(SealedSecret { data_key, secret, initial_access_token })
}

fn initial(name: &str) -> String {
    format!("{name}\ninitial_access_token")
}

/// No recipient has an empty id.
fn bound_to_hub(provider: ProviderId) -> String {
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
