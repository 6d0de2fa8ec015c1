//! What management answers with: the documented names, in the documented order.

use domain::Secret;
use domain::model::client::Recipient;
use serde::Serialize;

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
