//! The properties of a recipient that is to be created, and their validation.

use domain::Clusters;
use domain::id::ClientId;
use domain::model::client::{ClientProfile, LocalizedText};
use domain::rule::validation::{
    LoopbackPolicy, MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS, ValidationError, parse_scope,
    validate_consent_days, validate_contacts, validate_country, validate_redirect_uris, validate_text,
    validate_url,
};
use schemars::{Schema, SchemaGenerator, json_schema};
use store::StorePurpose;

use crate::context::RequestContext;

/// The maximum length of a recipient's purpose, in characters.
const MAX_PURPOSE_CHARS: usize = 300;

/// The properties of a recipient that is to be created. [`super::create_recipient`] validates every field.
#[derive(Clone, Debug, Default)]
pub struct RecipientDraft {
    pub name: String,
    /// The purpose of reading data, as customers see it. If it is absent, the description is used instead.
    pub purpose: Option<LocalizedText>,
    /// The data clusters that the recipient may request, space-delimited (RFC 6749 §3.3).
    pub scope: String,
    pub redirect_uris: Vec<String>,
    pub profile: ClientProfile,
    /// The partner that manages the recipient; `None` if only operators manage it.
    pub partner: Option<ClientId>,
    /// Whether authorization requests must use PKCE (RFC 7636).
    pub require_pkce: bool,
    /// The longest consent that the recipient requests, in days; `None` for the maximum of the hub.
    pub max_duration_days: Option<u16>,
}

impl RecipientDraft {
    /// Validates every field of the draft and returns the parsed scope.
    pub(super) fn validate(&self, loopback: LoopbackPolicy) -> Result<Clusters, ValidationError> {
        validate_text("name", &self.name, MAX_NAME_CHARS)?;
        // A purpose that is derived from the description is not subject to this limit: the description may be longer.
        if let Some(purpose) = &self.purpose {
            validate_text("purpose_en", &purpose.en, MAX_PURPOSE_CHARS)?;
            validate_text("purpose_fr", &purpose.fr, MAX_PURPOSE_CHARS)?;
        }
        if self.scope.trim().is_empty() {
            return Err(ValidationError::for_missing_field("scope"));
        }
        let scope = parse_scope("scope", &self.scope)?;
        validate_redirect_uris("redirect_uris", &self.redirect_uris, loopback)?;
        if let Some(days) = self.max_duration_days {
            validate_consent_days("max_duration_days", days)?;
        }
        validate_profile(&self.profile)?;
        Ok(scope)
    }

    /// Returns the purpose, or else the description, or else a general text.
    pub(super) fn purpose_or_default(&self) -> LocalizedText {
        match (&self.purpose, &self.profile.description) {
            (Some(purpose), _) => purpose.clone(),
            // A partner describes its app in one language, and the hub does not know which.
            (None, Some(text)) => LocalizedText { en: text.clone(), fr: text.clone() },
            (None, None) => LocalizedText {
                en: "To provide its service to you.".into(),
                fr: "Pour vous fournir son service.".into(),
            },
        }
    }
}

fn validate_profile(profile: &ClientProfile) -> Result<(), ValidationError> {
    if let Some(text) = &profile.description {
        validate_text("description", text, MAX_DESCRIPTION_CHARS)?;
    }
    if let Some(country) = &profile.country {
        validate_country("country", country)?;
    }
    let urls = [
        ("logo_uri", &profile.logo_uri),
        ("terms_uri", &profile.terms_uri),
        ("client_uri", &profile.client_uri),
    ];
    for (field, url) in urls {
        url.as_deref().map_or(Ok(()), |url| validate_url(field, url))?;
    }
    validate_contacts("contacts", "", &profile.contacts)
}

/// Returns whether redirect URIs may use HTTP on loopback: only in a sandbox, where apps run on the same machine.
pub(super) fn loopback_policy(ctx: &RequestContext) -> LoopbackPolicy {
    match ctx.app().store_purpose() {
        StorePurpose::Sandbox => LoopbackPolicy::Allowed,
        StorePurpose::Hub => LoopbackPolicy::Refused,
    }
}

/// Returns the JSON schema of a list of redirect URIs in a request body.
pub fn redirect_uris_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": 100, "uniqueItems": true,
        "items": {"type": "string", "format": "uri", "pattern": "^https?://[^#]*$", "maxLength": 2000}})
}
