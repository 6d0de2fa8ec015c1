//! Clients: recipients, who may ask for data, with where their answers go, and partners.

use domain::error::OAuthError;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::client::{Client, ClientKind, ClientState, Localized, Profile};
use domain::model::registration::{Registration, RegistrationState};
use domain::{Clusters, DataCluster, Secret};
use store::command::{PutRegistration, RegisterClient, ReplaceRedirectUris};

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
    #[error("{field}: {expected}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What was expected.
        expected: String,
    },
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

fn invalid<T>(field: &'static str, expected: impl std::fmt::Display) -> Result<T, NotRegistered> {
    Err(NotRegistered::Invalid { field, expected: expected.to_string() })
}

/// Registers a recipient and activates it with its providers.
pub async fn register(ctx: &Ctx, new: NewRecipient, actor: &Actor) -> Result<Registered, NotRegistered> {
    let scope = checked(&new)?;
    for id in &new.providers {
        if ctx.ask(&store::query::ProviderById { id: ProviderId::new(*id) }).await?.is_none() {
            return invalid("provider", format!("there is no provider {id}"));
        }
    }
    let (id, secret) = credentials(ctx, new.credentials)?;
    let client = Client {
        id: id.clone(),
        kind: ClientKind::Recipient,
        profile: Profile::Flinks,
        state: ClientState::Active,
        name: new.name,
        purpose: new.purpose,
        scope,
        redirect_uris: new.redirect_uris,
        secret_hash: ctx.app().vault().hash(secret.expose()),
        credential_generation: 1,
        require_pkce: new.require_pkce,
        max_duration_days: new.max_duration_days,
        audit: AuditHead::default(),
    };
    keep(ctx, client, actor).await?;
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
    is_text("name", &new.name, 100)?;
    let (id, secret) = credentials(ctx, new.credentials)?;
    let client = Client {
        id: id.clone(),
        kind: ClientKind::Partner,
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
    keep(ctx, client, actor).await?;
    Ok(Registered { client_id: id, client_secret: secret })
}

/// Replaces a recipient's redirect URIs; those that are the same already leave no trace.
pub async fn replace_redirect_uris(
    ctx: &Ctx,
    client_id: &str,
    redirect_uris: Vec<String>,
    actor: &Actor,
) -> Result<(), NotRegistered> {
    are_redirect_uris(&redirect_uris)?;
    let client_id = ClientId::parse(client_id).or_else(|e| invalid("client_id", e))?;
    let replace =
        ReplaceRedirectUris { moment: ctx.moment()?, client_id, redirect_uris, actor: actor.clone() };
    if ctx.run(replace).await? { Ok(()) } else { invalid("client_id", "there is no client of this id") }
}

fn credentials(
    ctx: &Ctx,
    brought: Option<(String, Secret<String>)>,
) -> Result<(ClientId, Secret<String>), NotRegistered> {
    match brought {
        Some((id, secret)) => Ok((ClientId::parse(&id).or_else(|e| invalid("client_id", e))?, secret)),
        None => Ok((ctx.ids()?.mint(), ctx.secret()?)),
    }
}

async fn keep(ctx: &Ctx, client: Client, actor: &Actor) -> Result<(), NotRegistered> {
    let register = RegisterClient { moment: ctx.moment()?, client, actor: actor.clone() };
    if ctx.run(register).await? { Ok(()) } else { Err(NotRegistered::Taken) }
}

async fn activate(
    ctx: &Ctx,
    client_id: &ClientId,
    provider_id: ProviderId,
    actor: &Actor,
) -> Result<(), NotRegistered> {
    let registration =
        Registration { client_id: client_id.clone(), provider_id, state: RegistrationState::Active };
    let put = PutRegistration { moment: ctx.moment()?, registration, actor: actor.clone() };
    ctx.run(put).await?.or_else(|error: OAuthError| invalid("provider", error.description))
}

fn checked(new: &NewRecipient) -> Result<Clusters, NotRegistered> {
    let texts = [
        ("name", &new.name, 100),
        ("purpose_en", &new.purpose.en, 300),
        ("purpose_fr", &new.purpose.fr, 300),
    ];
    for (field, text, most) in texts {
        is_text(field, text, most)?;
    }
    are_redirect_uris(&new.redirect_uris)?;
    let scope = Clusters::parse(&new.scope).or_else(|unknown| invalid("scope", unknown))?;
    if !scope.contains(DataCluster::AccountBasic) {
        return invalid("scope", "expected ACCOUNT_BASIC among the words");
    }
    Ok(scope)
}

fn is_text(field: &'static str, text: &str, most: usize) -> Result<(), NotRegistered> {
    let length = text.trim().chars().count();
    if length == 0 || length > most || text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return invalid(field, format!("expected 1 to {most} characters of text"));
    }
    Ok(())
}

/// Characters that turn the reading direction, join, break or show nothing: with them a name could pass for another.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn are_redirect_uris(uris: &[String]) -> Result<(), NotRegistered> {
    if uris.is_empty() {
        return invalid("redirect_uri", "expected at least one");
    }
    match uris.iter().find(|uri| !is_redirect_uri(uri)) {
        None => Ok(()),
        Some(bad) => {
            let expected = format!("expected an https URL without a fragment (http on loopback), not {bad}");
            invalid("redirect_uri", expected)
        }
    }
}

fn is_redirect_uri(uri: &str) -> bool {
    let Ok(url) = url::Url::parse(uri) else { return false };
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    let scheme = url.scheme() == "https" || url.scheme() == "http" && loopback;
    let plain = uri.len() <= 2000 && uri.bytes().all(|b| b.is_ascii_graphic());
    let bare = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    scheme && plain && bare && !uri.contains('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_what_it_is() {
        for good in ["Acme Budget", "L’Épargne d'Amélie & Cie", "銀行", "Ünïcode 100 %"] {
            assert!(is_text("name", good, 100).is_ok(), "{good}");
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "Acme\u{202e}knaB",
            "Ac\u{200b}me",
            "Acme\u{2028}x",
            "\u{feff}Acme",
            "A\u{ad}cme",
        ] {
            assert!(is_text("name", bad, 100).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn redirect_uris_are_https_or_on_this_machine() {
        for good in ["https://app.example.org/back", "http://127.0.0.1:3000/cb?x=1", "http://localhost/cb"] {
            assert!(is_redirect_uri(good), "{good}");
        }
        for bad in [
            "http://app.example.org/",
            "https://app.example.org/#top",
            "javascript:alert(1)",
            "/back",
            "",
            "https://me:pw@app.example.org/",
            "https://app.example.org/a b",
            "myapp://back",
        ] {
            assert!(!is_redirect_uri(bad), "{bad}");
        }
    }
}
