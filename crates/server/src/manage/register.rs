//! What an operator sets up: recipients, and the partners that manage others.

use domain::error::OAuthError;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::client::{About, Client, ClientKind, ClientState, Localized, Profile, Recipient};
use domain::model::provider::UpstreamClient;
use domain::model::registration::RegistrationState;
use domain::rule::recipient::{
    Invalid, LONGEST_NAME, Loopback, are_redirect_uris, is_duration, is_text, scope,
};
use domain::{Clusters, Secret};
use store::command::{ChangeClient, ClientChange, PutRegistration, Whose};

use super::described::{Described, is_purpose, keep};
use crate::ctx::Ctx;
use crate::fault::Fault;

/// A recipient as an operator describes it.
#[derive(Clone, Debug)]
pub struct NewRecipient {
    /// Its id and secret, if they are brought along; else they are made.
    pub credentials: Option<(String, Secret<String>)>,
    /// Its name, as customers should see it.
    pub name: String,
    /// Why it reads data, as customers should see it.
    pub purpose: Localized,
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
pub struct Registered {
    /// The id.
    pub client_id: ClientId,
    /// The secret.
    pub client_secret: Secret<String>,
}

/// Why a recipient is not registered.
#[derive(Debug, thiserror::Error)]
pub enum NotRegistered {
    /// A field is not what it should be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its id is taken.
    #[error("client_id: a client of this id is registered already")]
    Taken,
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

macro_rules! faults {
    ($($type:ty),+) => {$(
        impl From<$type> for NotRegistered {
            fn from(error: $type) -> Self {
                Self::Fault(error.into())
            }
        }
    )+};
}
faults!(store::StoreError, crate::ctx::Unfit);

fn invalid<T>(field: &str, expected: impl std::fmt::Display) -> Result<T, NotRegistered> {
    Err(Invalid::new(field, expected).into())
}

fn client_id(text: &str) -> Result<ClientId, NotRegistered> {
    ClientId::parse(text).or_else(|_| invalid("client_id", "must be an id"))
}

/// Registers a recipient and activates it with its providers.
pub async fn register(ctx: &Ctx, new: NewRecipient, actor: &Actor) -> Result<Registered, NotRegistered> {
    let scope = checked(&new)?;
    for id in &new.providers {
        let provider = ctx.ask(&store::query::ProviderById { id: ProviderId::new(*id) }).await?;
        match provider.map(|p| p.settings.upstream_client) {
            None => return invalid("provider", format_args!("{id} is none of this hub")),
            Some(UpstreamClient::Hub) => {}
            Some(UpstreamClient::Registration) => {
                return invalid(
                    "provider",
                    format_args!("{id} has a client for each registration: activate one"),
                );
            }
        }
    }
    let described = Described {
        name: new.name,
        purpose: new.purpose,
        scope,
        redirect_uris: new.redirect_uris,
        about: About::default(),
        partner: None,
        require_pkce: new.require_pkce,
        max_duration_days: new.max_duration_days,
    };
    let (recipient, secret) = described.keep(ctx, new.credentials, actor).await?;
    let id = recipient.client.id;
    for provider in new.providers {
        activate(ctx, &id, ProviderId::new(provider), actor).await?;
    }
    Ok(Registered { client_id: id, client_secret: secret })
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
    ctx: &Ctx,
    new: NewPartner,
    actor: &Actor,
) -> Result<Registered, NotRegistered> {
    is_text("name", &new.name, LONGEST_NAME)?;
    let (id, secret) = credentials(ctx, new.credentials)?;
    let client = Client {
        id,
        kind: ClientKind::Partner,
        owner_id: None,
        profile: Profile::Flinks,
        state: ClientState::Active,
        name: new.name,
        purpose: Localized::default(),
        scope: Clusters::NONE,
        redirect_uris: Vec::new(),
        secret_hash: ctx.app().vault().hash(secret.expose()),
        credential_generation: 1,
        require_pkce: false,
        max_duration_days: None,
        audit: AuditHead::default(),
    };
    let (client_id, about) = (client.id.clone(), About::default());
    keep(ctx, &Recipient { client, about }, actor).await?;
    Ok(Registered { client_id, client_secret: secret })
}

/// Replaces a recipient's redirect URIs; those that are the same already leave no trace.
pub async fn replace_redirect_uris(
    ctx: &Ctx,
    id: &str,
    redirect_uris: Vec<String>,
    actor: &Actor,
) -> Result<(), NotRegistered> {
    are_redirect_uris("redirect_uris", &redirect_uris, Loopback::Allowed)?;
    let whose = Whose::any(ClientKind::Recipient, client_id(id)?);
    let change = ClientChange::RedirectUris(redirect_uris);
    let replace = ChangeClient { moment: ctx.moment()?, whose, change, actor: actor.clone() };
    if ctx.run(replace).await? { Ok(()) } else { invalid("client_id", "is of no client") }
}

pub(super) fn credentials(
    ctx: &Ctx,
    brought: Option<(String, Secret<String>)>,
) -> Result<(ClientId, Secret<String>), NotRegistered> {
    match brought {
        Some((id, secret)) => Ok((client_id(&id)?, secret)),
        None => Ok((ctx.ids()?.mint(), ctx.secret()?)),
    }
}

async fn activate(
    ctx: &Ctx,
    client_id: &ClientId,
    provider_id: ProviderId,
    actor: &Actor,
) -> Result<(), NotRegistered> {
    let put = PutRegistration {
        moment: ctx.moment()?,
        client_id: client_id.clone(),
        provider_id,
        state: RegistrationState::Active,
        actor: actor.clone(),
    };
    ctx.run(put).await?.or_else(|error: OAuthError| invalid("provider", error.description))
}

fn checked(new: &NewRecipient) -> Result<Clusters, Invalid> {
    is_text("name", &new.name, LONGEST_NAME)?;
    is_purpose(&new.purpose)?;
    are_redirect_uris("redirect_uris", &new.redirect_uris, Loopback::Allowed)?;
    new.max_duration_days.map_or(Ok(()), |days| is_duration("max_duration_days", days))?;
    scope("scope", &new.scope)
}
