//! What management answers with: the documented names, in the documented order.

use std::borrow::Cow;

use domain::Secret;
use domain::error::{OAuthCode, OAuthError};
use domain::id::ProviderId;
use domain::model::client::Recipient;
use serde::Serialize;
use store::command::{BadPair, WhyNot};
use store::query::NamedRegistration;

use super::registration::why;

/// A recipient. What it does not say of itself is absent; `contacts` is always there.
#[derive(Serialize)]
pub(super) struct RecipientBody<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terms_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uris: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    contacts: Vec<Contact<'a>>,
}

#[derive(Serialize)]
struct Contact<'a> {
    email: &'a str,
}

impl<'a> RecipientBody<'a> {
    /// As it stands in a list: without scope and redirect URIs.
    pub(super) fn listed(recipient: &'a Recipient) -> Self {
        let Recipient { client, about } = recipient;
        Self {
            client_id: client.id.as_str(),
            client_secret: None,
            name: &client.name,
            logo_uri: about.logo_uri.as_deref(),
            description: about.description.as_deref(),
            terms_uri: about.terms_uri.as_deref(),
            client_uri: about.client_uri.as_deref(),
            country: about.country.as_deref(),
            redirect_uris: None,
            scope: None,
            contacts: about.contacts.iter().map(|email| Contact { email }).collect(),
        }
    }

    /// Whole, without its secret.
    pub(super) fn whole(recipient: &'a Recipient) -> Self {
        let client = &recipient.client;
        Self {
            redirect_uris: Some(&client.redirect_uris),
            scope: Some(client.scope.to_string()),
            ..Self::listed(recipient)
        }
    }

    /// Whole, once, with its secret.
    pub(super) fn created(recipient: &'a Recipient, secret: &'a Secret<String>) -> Self {
        Self { client_secret: Some(secret.expose()), ..Self::whole(recipient) }
    }
}

/// A registration. The documentation knows three words for its state; `SUSPENDED`, `REJECTED` and `reason` are ours.
#[derive(Serialize)]
pub(super) struct RegistrationBody<'a> {
    client_id: &'a str,
    client_name: &'a str,
    provider_id: ProviderId,
    provider_name: &'a str,
    country: &'a str,
    registration_status: String,
    requested_on: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> RegistrationBody<'a> {
    pub(super) fn all(named: &'a [NamedRegistration]) -> Vec<Self> {
        named.iter().map(Self::new).collect()
    }

    pub(super) fn new(named: &'a NamedRegistration) -> Self {
        let registration = &named.registration;
        Self {
            client_id: registration.client_id.as_str(),
            client_name: &named.client_name,
            provider_id: registration.provider_id,
            provider_name: &named.provider.name,
            country: &named.provider.country,
            registration_status: registration.state.as_str().to_uppercase(),
            requested_on: registration.requested_at.seven_digits(),
            reason: registration.reason.as_deref(),
        }
    }
}

/// The documented error of a request for registrations, and each pair that is in its way beside it.
#[derive(Serialize)]
pub(super) struct PairsBody<'a> {
    error: &'static str,
    error_description: Cow<'static, str>,
    pairs: Vec<PairBody<'a>>,
}

#[derive(Serialize)]
struct PairBody<'a> {
    client_id: &'a str,
    provider_id: ProviderId,
    error_description: String,
}

impl<'a> PairsBody<'a> {
    /// With the status of the worst pair: what is not there, what is wrong, what is there already.
    pub(super) fn new(pairs: &'a [BadPair]) -> (u16, Self) {
        let status = |pair: &BadPair| match pair.why {
            WhyNot::NoRecipient => 404,
            WhyNot::NoProvider => 400,
            WhyNot::Duplicate(_) => 409,
        };
        let worst = [404, 400].into_iter().find(|wanted| pairs.iter().any(|pair| status(pair) == *wanted));
        let worst = worst.unwrap_or(409);
        let first = pairs.iter().find(|pair| status(pair) == worst).map(why).unwrap_or_default();
        let sentence = format_args!("{first} (bad pairs: {})", pairs.len());
        let OAuthError { code, description } = OAuthError::about(OAuthCode::InvalidRequest, sentence);
        tracing::info!(error = %description, "refused");
        let each = |pair: &'a BadPair| PairBody {
            client_id: pair.client_id.as_str(),
            provider_id: pair.provider_id,
            error_description: why(pair),
        };
        let pairs = pairs.iter().map(each).collect();
        (worst, Self { error: code.as_str(), error_description: description, pairs })
    }
}
