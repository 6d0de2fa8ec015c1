//! A recipient as somebody describes it, and how it comes to be, whoever does.

use domain::id::ClientId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::client::{
    Client, ClientKind, ClientProfile, ClientState, LocalizedText, Profile, Recipient,
};
use domain::rule::validation::{
    LoopbackPolicy, MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS, ValidationError, parse_scope,
    validate_consent_days, validate_contacts, validate_country, validate_redirect_uris, validate_text,
    validate_url,
};
use domain::{Clusters, Secret};
use store::command::RegisterClient;
use store::query::GetMetadata;

use super::member::JsonMembers;
use super::register::RegisterClientError;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The longest purpose of a recipient, in characters.
const MAX_PURPOSE_CHARS: usize = 300;

/// A recipient whose fields are what they should be.
pub(super) struct RecipientDraft {
    pub(super) name: String,
    /// What customers read as the purpose.
    pub(super) purpose: LocalizedText,
    pub(super) scope: Clusters,
    pub(super) redirect_uris: Vec<String>,
    pub(super) about: ClientProfile,
    /// The partner that manages it.
    pub(super) partner: Option<ClientId>,
    pub(super) require_pkce: bool,
    pub(super) max_duration_days: Option<u16>,
}

impl RecipientDraft {
    /// As a partner describes it. Its purpose is its own description, if it has one.
    pub(super) fn from_partner_request(
        members: &JsonMembers,
        partner: ClientId,
        loopback: LoopbackPolicy,
    ) -> Result<Self, ValidationError> {
        let name = parse_name(members)?;
        let scope = parse_scope_words(&members.space_delimited_list("scope")?)?;
        let redirect_uris = parse_redirect_uris(members.space_delimited_list("redirect_uris")?, loopback)?;
        let contacts = members.object_list_field("contacts", "email")?;
        validate_contacts("contacts", ".email", &contacts)?;
        let about = parse_profile(members, contacts)?;
        let purpose = match &about.description {
            Some(text) => LocalizedText { en: text.clone(), fr: text.clone() },
            None => LocalizedText {
                en: "To provide its service to you.".into(),
                fr: "Pour vous fournir son service.".into(),
            },
        };
        let (partner, require_pkce, max_duration_days) = (Some(partner), false, None);
        Ok(Self { name, purpose, scope, redirect_uris, about, partner, require_pkce, max_duration_days })
    }

    /// As an operator describes it; whose it is, is looked at elsewhere.
    pub(super) fn from_operator_request(
        members: &JsonMembers,
        loopback: LoopbackPolicy,
    ) -> Result<Self, ValidationError> {
        let name = parse_name(members)?;
        let purpose = LocalizedText {
            en: members.required_string("purpose_en")?,
            fr: members.required_string("purpose_fr")?,
        };
        validate_purpose(&purpose)?;
        let redirect_uris = parse_redirect_uris(members.string_list("redirect_uris")?, loopback)?;
        let scope = parse_scope_words(&members.string_list("scope")?)?;
        let require_pkce = members.boolean("require_pkce")?.unwrap_or(false);
        let days = members.unsigned_integer("max_duration_days")?;
        let max_duration_days = days.map(|days| u16::try_from(days).unwrap_or(u16::MAX));
        max_duration_days.map_or(Ok(()), |days| validate_consent_days("max_duration_days", days))?;
        let contacts = members.string_list("contacts")?;
        validate_contacts("contacts", "", &contacts)?;
        let about = parse_profile(members, contacts)?;
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
    pub(super) async fn register(
        self,
        ctx: &RequestContext,
        credentials: Option<(String, Secret<String>)>,
        actor: &Actor,
    ) -> Result<(Recipient, Secret<String>), RegisterClientError> {
        let (id, secret) = super::register::resolve_credentials(ctx, credentials)?;
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
        let recipient = Recipient { client, client_profile: self.about };
        store_client(ctx, &recipient, actor).await?;
        Ok((recipient, secret))
    }
}

/// Keeps a client that is not there yet.
pub(super) async fn store_client(
    ctx: &RequestContext,
    new: &Recipient,
    actor: &Actor,
) -> Result<(), RegisterClientError> {
    let Recipient { client, client_profile: about } = new.clone();
    let register =
        RegisterClient { moment: ctx.new_moment()?, client, client_profile: about, actor: actor.clone() };
    if ctx.run(register).await? { Ok(()) } else { Err(RegisterClientError::IdTaken) }
}

/// Answers may go to this machine in a sandbox alone.
pub(super) async fn load_loopback_policy(ctx: &RequestContext) -> Result<LoopbackPolicy, InternalError> {
    let sandbox = ctx.ask(&GetMetadata { name: super::SANDBOX_METADATA_NAME }).await?;
    Ok(if sandbox.is_some() { LoopbackPolicy::Allowed } else { LoopbackPolicy::Refused })
}

/// The redirect URIs that a recipient is to have.
pub(super) fn parse_redirect_uris(
    uris: Vec<String>,
    loopback: LoopbackPolicy,
) -> Result<Vec<String>, ValidationError> {
    validate_redirect_uris("redirect_uris", &uris, loopback)?;
    Ok(uris)
}

/// Why a recipient reads data, as customers see it.
pub(super) fn validate_purpose(purpose: &LocalizedText) -> Result<(), ValidationError> {
    validate_text("purpose_en", &purpose.en, MAX_PURPOSE_CHARS)?;
    validate_text("purpose_fr", &purpose.fr, MAX_PURPOSE_CHARS)
}

fn parse_name(members: &JsonMembers) -> Result<String, ValidationError> {
    let name = members.required_string("name")?;
    validate_text("name", &name, MAX_NAME_CHARS)?;
    Ok(name)
}

fn parse_scope_words(words: &[String]) -> Result<Clusters, ValidationError> {
    if words.is_empty() {
        return Err(ValidationError::for_missing_field("scope"));
    }
    parse_scope("scope", &words.join(" "))
}

fn parse_profile(members: &JsonMembers, contacts: Vec<String>) -> Result<ClientProfile, ValidationError> {
    let text = |name, check: fn(&str, &str) -> Result<(), ValidationError>| {
        let text = members.optional_string(name)?;
        text.as_deref().map_or(Ok(()), |text| check(name, text)).map(|()| text)
    };
    Ok(ClientProfile {
        description: text("description", |name, text| validate_text(name, text, MAX_DESCRIPTION_CHARS))?,
        country: text("country", validate_country)?,
        logo_uri: text("logo_uri", validate_url)?,
        terms_uri: text("terms_uri", validate_url)?,
        client_uri: text("client_uri", validate_url)?,
        contacts,
    })
}
