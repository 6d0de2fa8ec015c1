//! What an operator sets up: recipients, and the partners that manage others.

use domain::error::OAuthError;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::client::{
    Client, ClientKind, ClientProfile, ClientState, LocalizedText, Profile, Recipient,
};
use domain::model::provider::UpstreamClientMode;
use domain::model::registration::RegistrationState;
use domain::rule::validation::{
    LoopbackPolicy, MAX_NAME_CHARS, ValidationError, parse_scope, validate_consent_days,
    validate_redirect_uris, validate_text,
};
use domain::{Clusters, Secret};
use store::command::{ActivateRegistrationDirectly, ClientSelector, ClientUpdate, UpdateClient};

use super::described::{RecipientDraft, store_client, validate_purpose};
use crate::context::RequestContext;
use crate::error::InternalError;

/// A recipient as an operator describes it.
#[derive(Clone, Debug)]
pub struct NewRecipient {
    /// Its id and secret, if they are brought along; else they are made.
    pub credentials: Option<(String, Secret<String>)>,
    /// Its name, as customers should see it.
    pub name: String,
    /// Why it reads data, as customers should see it.
    pub purpose: LocalizedText,
    /// Where answers may go.
    pub redirect_uris: Vec<String>,
    /// The most it may ask for.
    pub scope: String,
    /// The providers that it may use.
    pub providers: Vec<i64>,
    /// Whether PKCE is required of it.
    pub require_pkce: bool,
    /// The longest consent it asks for, in days.
    pub max_duration_days: Option<u16>,
}

/// What the recipient needs to know; the secret is not kept and cannot be shown again.
#[derive(Debug)]
pub struct NewClientCredentials {
    /// The id.
    pub client_id: ClientId,
    /// The secret.
    pub client_secret: Secret<String>,
}

/// Why a recipient is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterClientError {
    /// A field is not what it should be.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// Its id is taken.
    #[error("client_id: a client of this id is registered already")]
    IdTaken,
    /// Our own trouble.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

macro_rules! impl_from_internal {
    ($($type:ty),+) => {$(
        impl From<$type> for RegisterClientError {
            fn from(error: $type) -> Self {
                Self::Internal(error.into())
            }
        }
    )+};
}
impl_from_internal!(store::StoreError, crate::error::ContextError);

fn reject_field<T>(field: &str, expected: impl std::fmt::Display) -> Result<T, RegisterClientError> {
    Err(ValidationError::new(field, expected).into())
}

fn parse_client_id(text: &str) -> Result<ClientId, RegisterClientError> {
    ClientId::parse(text).or_else(|_| reject_field("client_id", "must be an id"))
}

/// Registers a recipient and activates it with its providers.
pub async fn register_active_recipient(
    ctx: &RequestContext,
    new: NewRecipient,
    actor: &Actor,
) -> Result<NewClientCredentials, RegisterClientError> {
    let scope = validate_recipient(&new)?;
    for id in &new.providers {
        let provider = ctx.ask(&store::query::GetProvider { id: ProviderId::new(*id) }).await?;
        match provider.map(|p| p.settings.upstream_client) {
            None => return reject_field("provider", format_args!("{id} is none of this hub")),
            Some(UpstreamClientMode::Shared) => {}
            Some(UpstreamClientMode::PerRegistration) => {
                return reject_field(
                    "provider",
                    format_args!("{id} has a client for each registration: activate one"),
                );
            }
        }
    }
    let draft = RecipientDraft {
        name: new.name,
        purpose: new.purpose,
        scope,
        redirect_uris: new.redirect_uris,
        about: ClientProfile::default(),
        partner: None,
        require_pkce: new.require_pkce,
        max_duration_days: new.max_duration_days,
    };
    let (recipient, secret) = draft.register(ctx, new.credentials, actor).await?;
    let id = recipient.client.id;
    for provider in new.providers {
        activate_registration(ctx, &id, ProviderId::new(provider), actor).await?;
    }
    Ok(NewClientCredentials { client_id: id, client_secret: secret })
}

/// A partner as an operator describes it.
#[derive(Clone, Debug)]
pub struct NewPartner {
    /// Its id and secret, if they are brought along; else they are made.
    pub credentials: Option<(String, Secret<String>)>,
    /// Its name.
    pub name: String,
}

/// Registers a partner: it manages recipients and never receives data itself.
pub async fn register_partner(
    ctx: &RequestContext,
    new: NewPartner,
    actor: &Actor,
) -> Result<NewClientCredentials, RegisterClientError> {
    validate_text("name", &new.name, MAX_NAME_CHARS)?;
    let (id, secret) = resolve_credentials(ctx, new.credentials)?;
    let client = Client {
        id,
        kind: ClientKind::Partner,
        owner_id: None,
        profile: Profile::Flinks,
        state: ClientState::Active,
        name: new.name,
        purpose: LocalizedText::default(),
        scope: Clusters::NONE,
        redirect_uris: Vec::new(),
        secret_hash: ctx.app().vault().hash(secret.expose()),
        credential_generation: 1,
        require_pkce: false,
        max_duration_days: None,
        audit: AuditHead::default(),
    };
    let (client_id, about) = (client.id.clone(), ClientProfile::default());
    store_client(ctx, &Recipient { client, client_profile: about }, actor).await?;
    Ok(NewClientCredentials { client_id, client_secret: secret })
}

/// Replaces a recipient's redirect URIs; those that are the same already leave no trace.
pub async fn replace_redirect_uris(
    ctx: &RequestContext,
    id: &str,
    redirect_uris: Vec<String>,
    actor: &Actor,
) -> Result<(), RegisterClientError> {
    validate_redirect_uris("redirect_uris", &redirect_uris, LoopbackPolicy::Allowed)?;
    let selector = ClientSelector::for_kind(ClientKind::Recipient, parse_client_id(id)?);
    let change = ClientUpdate::RedirectUris(redirect_uris);
    let replace = UpdateClient { moment: ctx.new_moment()?, selector, update: change, actor: actor.clone() };
    if ctx.run(replace).await? { Ok(()) } else { reject_field("client_id", "is of no client") }
}

pub(super) fn resolve_credentials(
    ctx: &RequestContext,
    provided: Option<(String, Secret<String>)>,
) -> Result<(ClientId, Secret<String>), RegisterClientError> {
    match provided {
        Some((id, secret)) => Ok((parse_client_id(&id)?, secret)),
        None => Ok((ctx.new_id_source()?.mint(), ctx.random_secret()?)),
    }
}

async fn activate_registration(
    ctx: &RequestContext,
    client_id: &ClientId,
    provider_id: ProviderId,
    actor: &Actor,
) -> Result<(), RegisterClientError> {
    let command = ActivateRegistrationDirectly {
        moment: ctx.new_moment()?,
        client_id: client_id.clone(),
        provider_id,
        state: RegistrationState::Active,
        actor: actor.clone(),
    };
    ctx.run(command).await?.or_else(|error: OAuthError| reject_field("provider", error.description))
}

fn validate_recipient(new: &NewRecipient) -> Result<Clusters, ValidationError> {
    validate_text("name", &new.name, MAX_NAME_CHARS)?;
    validate_purpose(&new.purpose)?;
    validate_redirect_uris("redirect_uris", &new.redirect_uris, LoopbackPolicy::Allowed)?;
    new.max_duration_days.map_or(Ok(()), |days| validate_consent_days("max_duration_days", days))?;
    parse_scope("scope", &new.scope)
}
