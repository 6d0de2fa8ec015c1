//! The hub's OAuth clients at providers, and their secrets.
//!
//! At some providers, the hub has one client for all recipients. At others, each registration of a recipient has a
//! client of its own. An aggregator uses both: the latter for authorization, and the former for everything else.

use domain::Secret;
use domain::id::{ClientId, ProviderId};
use domain::model::provider::{Provider, UpstreamClientMode};
use domain::rule::client_registration::ClientManagement;
use store::command::SealedUpstreamClient;
use store::query::{GetUpstreamClient, StoredUpstreamClient};

use super::client_authentication::{ClientProof, UpstreamClientCredentials};
use super::hub_secrets::load_hub_secret;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{DataKey, SealOwner, SealPurpose};

/// Loads the credentials with which a provider is called: those of the hub's own client, or those of the recipient's client if
/// each registration has its own.
pub(super) async fn load_upstream_credentials(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: &ClientId,
) -> Result<UpstreamClientCredentials, InternalError> {
    match provider.settings.upstream_client {
        UpstreamClientMode::Shared | UpstreamClientMode::Aggregator => {
            let secret = match provider.settings.authentication_secret() {
                Some(setting) => Some(load_hub_secret(ctx, provider, setting).await?),
                None => None,
            };
            UpstreamClientCredentials::for_hub(&provider.settings, secret)
                .map_err(|_| InternalError::new("auth_key of a provider contains no usable key"))
        }
        UpstreamClientMode::PerRegistration => {
            let (id, secret) = open_registration_client(ctx, recipient, provider.id).await?;
            Ok(UpstreamClientCredentials { id, proof: ClientProof::Secret(secret) })
        }
    }
}

/// Loads the client id for the authorization URL, which is also the audience of id tokens.
pub(super) async fn load_upstream_client_id(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: &ClientId,
) -> Result<String, InternalError> {
    match provider.settings.upstream_client {
        UpstreamClientMode::Shared => Ok(provider.settings.client_id.clone()),
        UpstreamClientMode::PerRegistration | UpstreamClientMode::Aggregator => {
            Ok(open_registration_client(ctx, recipient, provider.id).await?.0)
        }
    }
}

/// Opens the client of a registration: its id and its secret, which is empty if the hub does not authenticate as this client.
///
/// The secret is opened in any case, because this shows that the stored client id belongs to it.
async fn open_registration_client(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider: ProviderId,
) -> Result<(String, Secret<String>), InternalError> {
    let client = load_sealed_client(ctx, recipient, provider).await?;
    let owner = SealOwner::for_registration(recipient, provider);
    let key = ctx.app().vault().unwrap_data_key(&client.data_key, owner, SealPurpose::RegistrationKey)?;
    let secret = key.open_text(&bind_client_secret(owner, &client.client_id), &client.secret)?;
    Ok((client.client_id, secret))
}

async fn load_sealed_client(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider_id: ProviderId,
) -> Result<StoredUpstreamClient, InternalError> {
    let query = GetUpstreamClient { client_id: recipient.clone(), provider_id };
    ctx.ask(&query).await?.ok_or(InternalError::new("a registration has no client at its provider"))
}

/// Encrypts the client of a registration for the store. Without a secret, the seal of an empty one protects the id. `management` is
/// the access to the client's configuration, if the provider offers it (RFC 7592).
pub fn seal_client(
    ctx: &RequestContext,
    recipient: &ClientId,
    provider: ProviderId,
    (client_id, secret): (String, Option<&Secret<String>>),
    management: Option<&ClientManagement>,
) -> Result<SealedUpstreamClient, InternalError> {
    let owner = SealOwner::for_registration(recipient, provider);
    let (key, data_key) =
        ctx.app().vault().create_data_key(ctx.random_bytes()?, owner, SealPurpose::RegistrationKey)?;
    let has_secret = secret.is_some();
    let secret = secret.map_or(&[][..], |secret| secret.expose().as_bytes());
    let secret = key.seal(&bind_client_secret(owner, &client_id), secret)?;
    let configuration_access =
        management.map(|management| seal_management(&key, owner, management)).transpose()?;
    Ok(SealedUpstreamClient { client_id, data_key, secret, has_secret, configuration_access })
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

/// Returns the associated data of the secret of a client at a provider. It contains the client's id, which is not secret but must
/// not be exchanged either.
fn bind_client_secret(owner: SealOwner<'_>, upstream_client_id: &str) -> String {
    format!("{}\n{upstream_client_id}", owner.bind(SealPurpose::ClientSecret))
}
