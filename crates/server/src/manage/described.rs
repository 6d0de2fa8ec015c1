//! A recipient as somebody describes it, and how it comes to be, whoever does.

use domain::id::ClientId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::client::{About, Client, ClientKind, ClientState, Localized, Profile, Recipient};
use domain::rule::recipient::{
    Invalid, LONGEST_DESCRIPTION, LONGEST_NAME, Loopback, are_contacts, are_redirect_uris, is_country,
    is_duration, is_link, is_text, scope,
};
use domain::{Clusters, Secret};
use store::command::RegisterClient;
use store::query::MarkOf;

use super::member::Members;
use super::register::NotRegistered;
use crate::ctx::Ctx;
use crate::fault::Fault;

/// The longest purpose of a recipient, in characters.
const LONGEST_PURPOSE: usize = 300;

/// A recipient whose fields are what they should be.
pub(super) struct Described {
    pub(super) name: String,
    /// What customers read as the purpose.
    pub(super) purpose: Localized,
    pub(super) scope: Clusters,
    pub(super) redirect_uris: Vec<String>,
    pub(super) about: About,
    /// The partner that manages it.
    pub(super) partner: Option<ClientId>,
    pub(super) require_pkce: bool,
    pub(super) max_duration_days: Option<u16>,
}

impl Described {
    /// As a partner describes it. Its purpose is its own description, if it has one.
    pub(super) fn by_partner(
        members: &Members,
        partner: ClientId,
        loopback: Loopback,
    ) -> Result<Self, Invalid> {
        let name = name(members)?;
        let scope = scope_of(&members.words("scope")?)?;
        let redirect_uris = redirect_uris(members.words("redirect_uris")?, loopback)?;
        let contacts = members.each("contacts", "email")?;
        are_contacts("contacts", ".email", &contacts)?;
        let about = about(members, contacts)?;
        let purpose = match &about.description {
            Some(text) => Localized { en: text.clone(), fr: text.clone() },
            None => Localized {
                en: "To provide its service to you.".into(),
                fr: "Pour vous fournir son service.".into(),
            },
        };
        let (partner, require_pkce, max_duration_days) = (Some(partner), false, None);
        Ok(Self { name, purpose, scope, redirect_uris, about, partner, require_pkce, max_duration_days })
    }

    /// As an operator describes it; whose it is, is looked at elsewhere.
    pub(super) fn by_operator(members: &Members, loopback: Loopback) -> Result<Self, Invalid> {
        let name = name(members)?;
        let purpose = Localized { en: members.needed("purpose_en")?, fr: members.needed("purpose_fr")? };
        is_purpose(&purpose)?;
        let redirect_uris = redirect_uris(members.texts("redirect_uris")?, loopback)?;
        let scope = scope_of(&members.texts("scope")?)?;
        let require_pkce = members.flag("require_pkce")?.unwrap_or(false);
        let days = members.number("max_duration_days")?;
        let max_duration_days = days.map(|days| u16::try_from(days).unwrap_or(u16::MAX));
        max_duration_days.map_or(Ok(()), |days| is_duration("max_duration_days", days))?;
        let contacts = members.texts("contacts")?;
        are_contacts("contacts", "", &contacts)?;
        let about = about(members, contacts)?;
        Ok(Self {
            name,
            purpose,
            scope,
            redirect_uris,
            about,
            partner: None,
            require_pkce,
            max_duration_days,
        })
    }

    /// Keeps it under an id with a secret: those that are brought along, else new ones. The secret is stored as a
    /// hash and cannot be shown again.
    pub(super) async fn keep(
        self,
        ctx: &Ctx,
        credentials: Option<(String, Secret<String>)>,
        actor: &Actor,
    ) -> Result<(Recipient, Secret<String>), NotRegistered> {
        let (id, secret) = super::register::credentials(ctx, credentials)?;
        let client = Client {
            id,
            kind: ClientKind::Recipient,
            owner_id: self.partner,
            profile: Profile::Flinks,
            state: ClientState::Active,
            name: self.name,
            purpose: self.purpose,
            scope: self.scope,
            redirect_uris: self.redirect_uris,
            secret_hash: ctx.app().vault().hash(secret.expose()),
            credential_generation: 1,
            require_pkce: self.require_pkce,
            max_duration_days: self.max_duration_days,
            audit: AuditHead::default(),
        };
        let recipient = Recipient { client, about: self.about };
        keep(ctx, &recipient, actor).await?;
        Ok((recipient, secret))
    }
}

/// Keeps a client that is not there yet.
pub(super) async fn keep(ctx: &Ctx, new: &Recipient, actor: &Actor) -> Result<(), NotRegistered> {
    let Recipient { client, about } = new.clone();
    let register = RegisterClient { moment: ctx.moment()?, client, about, actor: actor.clone() };
    if ctx.run(register).await? { Ok(()) } else { Err(NotRegistered::Taken) }
}

/// Answers may go to this machine in a sandbox alone.
pub(super) async fn loopback(ctx: &Ctx) -> Result<Loopback, Fault> {
    let sandbox = ctx.ask(&MarkOf { name: super::SANDBOX_MARK }).await?;
    Ok(if sandbox.is_some() { Loopback::Allowed } else { Loopback::Refused })
}

/// The redirect URIs that a recipient is to have.
pub(super) fn redirect_uris(uris: Vec<String>, loopback: Loopback) -> Result<Vec<String>, Invalid> {
    are_redirect_uris("redirect_uris", &uris, loopback)?;
    Ok(uris)
}

/// Why a recipient reads data, as customers see it.
pub(super) fn is_purpose(purpose: &Localized) -> Result<(), Invalid> {
    is_text("purpose_en", &purpose.en, LONGEST_PURPOSE)?;
    is_text("purpose_fr", &purpose.fr, LONGEST_PURPOSE)
}

fn name(members: &Members) -> Result<String, Invalid> {
    let name = members.needed("name")?;
    is_text("name", &name, LONGEST_NAME)?;
    Ok(name)
}

fn scope_of(words: &[String]) -> Result<Clusters, Invalid> {
    if words.is_empty() {
        return Err(Invalid::missing("scope"));
    }
    scope("scope", &words.join(" "))
}

fn about(members: &Members, contacts: Vec<String>) -> Result<About, Invalid> {
    let text = |name, check: fn(&str, &str) -> Result<(), Invalid>| {
        let text = members.text(name)?;
        text.as_deref().map_or(Ok(()), |text| check(name, text)).map(|()| text)
    };
    Ok(About {
        description: text("description", |name, text| is_text(name, text, LONGEST_DESCRIPTION))?,
        country: text("country", is_country)?,
        logo_uri: text("logo_uri", is_link)?,
        terms_uri: text("terms_uri", is_link)?,
        client_uri: text("client_uri", is_link)?,
        contacts,
    })
}
