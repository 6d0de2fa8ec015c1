//! The client that the hub is at a provider: its own for all recipients, or one for each registration.

use domain::Secret;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::provider::{Provider, SecretSource, UpstreamClient};
use store::command::{SealedClient, SealedSecret};
use store::query::{ConnectionById, ProviderSecretOf, UpstreamClientOf};

use crate::ctx::Ctx;
use crate::fault::Fault;

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

/// Seals a recipient's own client at a provider. It opens for this registration alone.
pub fn seal_client(
    ctx: &Ctx,
    recipient: &ClientId,
    provider: ProviderId,
    client_id: String,
    secret: &Secret<String>,
) -> Result<SealedClient, Fault> {
    let name = bound_to(recipient, provider);
    let (key, data_key) = ctx.app().vault().data_key(ctx.random()?, &name)?;
    let secret = key.seal(&name, secret.expose().as_bytes())?;
    Ok(SealedClient { client_id, data_key, secret })
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

/// Seals the hub's own secret at a provider. It opens for this provider alone.
pub fn seal_hub_secret(
    ctx: &Ctx,
    provider: ProviderId,
    secret: &Secret<String>,
) -> Result<SealedSecret, Fault> {
    let name = bound_to_hub(provider);
    let (key, data_key) = ctx.app().vault().data_key(ctx.random()?, &name)?;
    let secret = key.seal(&name, secret.expose().as_bytes())?;
    Ok(SealedSecret { data_key, secret })
}

/// No recipient has an empty id.
fn bound_to_hub(provider: ProviderId) -> String {
    format!("\n{provider}")
}

/// A secret, read where the configuration says that it is; else what is wrong there.
pub(crate) fn read_secret(source: &SecretSource) -> Result<Secret<String>, &'static str> {
    let read = match source {
        SecretSource::File(path) => {
            std::fs::read_to_string(path).map_err(|_| "the file of the client secret cannot be read")
        }
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|_| "the environment variable of the client secret is not set")
        }
        SecretSource::Sealed => Err("the client secret is sealed in the store"),
    };
    match read?.trim_end_matches(['\r', '\n']) {
        "" => Err("the client secret is empty"),
        text => Ok(Secret::from(text)),
    }
}
