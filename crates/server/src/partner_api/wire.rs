//! What management answers with: the documented names, in the documented order.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::error::{OAuthCode, OAuthError};
use domain::id::{ClientId, ProviderId};
use domain::model::client::Recipient;
use domain::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use domain::model::provider::{AccountType, Provider};
use domain::{DataCluster, Secret};
use fdx::{HateoasLink, PageLinks, PageMetadata};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{PairRejection, RejectedPair};
use store::query::{NamedRegistration, RecipientConnection};

use super::connection::ConnectionsPage;
use super::inventory::{Inventory, build_inventory};
use super::registration::{rejection_message, v1_status};
use crate::response::{EnumValue, Time};

/// A recipient. What it does not say of itself is absent; `contacts` is always there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DataRecipient")]
pub(crate) struct RecipientBody<'a> {
    /// The id of the data recipient.
    client_id: &'a str,
    /// Its secret. It is shown when it is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// Its name, exactly as customers see it.
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri"))]
    logo_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri"))]
    terms_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri"))]
    client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["CA", "US"]))]
    country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    redirect_uris: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The most that it may ask for: words that spaces part.
    scope: Option<String>,
    /// Whom to write to.
    contacts: Vec<Contact<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Contact<'a> {
    /// An e-mail address.
    email: &'a str,
}

impl<'a> RecipientBody<'a> {
    /// As it stands in a list: without scope and redirect URIs.
    pub(super) fn for_list(recipient: &'a Recipient) -> Self {
        let Recipient { client, client_profile: about } = recipient;
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
    pub(super) fn from_recipient(recipient: &'a Recipient) -> Self {
        let client = &recipient.client;
        Self {
            redirect_uris: Some(&client.redirect_uris),
            scope: Some(client.scope.to_string()),
            ..Self::for_list(recipient)
        }
    }

    /// Whole, once, with its secret.
    pub(super) fn from_created(recipient: &'a Recipient, secret: &'a Secret<String>) -> Self {
        Self { client_secret: Some(secret.expose()), ..Self::from_recipient(recipient) }
    }
}

/// A fresh secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Secret")]
pub(crate) struct SecretBody<'a> {
    client_id: &'a str,
    /// It is shown now, and never again. The former one is void.
    client_secret: &'a str,
}

impl<'a> SecretBody<'a> {
    pub(super) fn new(client_id: &'a ClientId, secret: &'a Secret<String>) -> Self {
        Self { client_id: client_id.as_str(), client_secret: secret.expose() }
    }
}

/// A registration. The documentation knows three words for its state; `CLIENT_SUSPENDED`, `REJECTED` and `reason` are ours.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Registration")]
pub(crate) struct RegistrationBody<'a> {
    client_id: &'a str,
    client_name: &'a str,
    #[schemars(with = "u32")]
    provider_id: ProviderId,
    provider_name: &'a str,
    /// The provider's country.
    country: &'a str,
    #[schemars(extend("enum" = ["PENDING_APPROVAL", "PENDING_ACTIVATION", "ACTIVE", "SUSPENDED", "REJECTED"]))]
    registration_status: String,
    /// When it was requested, with seven digits of a second.
    #[schemars(extend("format" = "date-time"))]
    requested_on: String,
    /// Why it was turned down or is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> RegistrationBody<'a> {
    pub(super) fn list_from(named: &'a [NamedRegistration]) -> Vec<Self> {
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
            registration_status: v1_status(registration.state),
            requested_on: registration.requested_at.to_rfc3339_seven_digits(),
            reason: registration.reason.as_deref(),
        }
    }
}

/// The documented error of a request for registrations, and each pair that is in its way beside it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PairsInTheWay")]
pub(crate) struct RejectedPairsBody<'a> {
    #[schemars(extend("enum" = ["invalid_request"]))]
    error: &'static str,
    /// The first pair that is in the way, and how many there are.
    error_description: Cow<'static, str>,
    /// Each pair that is in the way.
    pairs: Vec<RejectedPairBody<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PairInTheWay")]
struct RejectedPairBody<'a> {
    client_id: &'a str,
    #[schemars(with = "u32")]
    provider_id: ProviderId,
    error_description: String,
}

impl<'a> RejectedPairsBody<'a> {
    /// With the status of the worst pair: what is not there, what is wrong, what is there already.
    pub(super) fn new(pairs: &'a [RejectedPair]) -> (u16, Self) {
        let status = |pair: &RejectedPair| match pair.reason {
            PairRejection::RecipientNotFound => 404,
            PairRejection::ProviderNotAvailable => 400,
            PairRejection::Duplicate(_) => 409,
        };
        let worst = [404, 400].into_iter().find(|wanted| pairs.iter().any(|pair| status(pair) == *wanted));
        let worst = worst.unwrap_or(409);
        let first =
            pairs.iter().find(|pair| status(pair) == worst).map(rejection_message).unwrap_or_default();
        let message = format_args!("{first} (bad pairs: {})", pairs.len());
        let OAuthError { code, description } =
            OAuthError::with_description(OAuthCode::InvalidRequest, message);
        tracing::info!(error = %description, "refused");
        let to_body = |pair: &'a RejectedPair| RejectedPairBody {
            client_id: pair.client_id.as_str(),
            provider_id: pair.provider_id,
            error_description: rejection_message(pair),
        };
        let pairs = pairs.iter().map(to_body).collect();
        (worst, Self { error: code.as_str(), error_description: description, pairs })
    }
}

/// A provider in a list of the first version.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DataProvider")]
pub(crate) struct ProviderBody<'a> {
    #[schemars(with = "u32")]
    provider_id: ProviderId,
    name: &'a str,
    country: &'a str,
}

impl<'a> ProviderBody<'a> {
    pub(super) fn new(provider: &'a Provider) -> Self {
        let settings = &provider.settings;
        Self { provider_id: provider.id, name: &settings.name, country: &settings.country }
    }

    pub(super) fn list_from(providers: &'a [Provider]) -> Vec<Self> {
        providers.iter().map(Self::new).collect()
    }
}

/// A provider in the list of the second version. Truth is a text there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DataProviderOfV2")]
pub(crate) struct ProviderV2Body<'a> {
    #[serde(flatten)]
    provider: ProviderBody<'a>,
    /// What it can deliver, as scope words.
    scopes: Vec<&'static str>,
    /// Where the caller's registration with it stands.
    #[schemars(extend("enum" = ["Available", "PendingActivation", "Activated", "Suspended"]))]
    status: &'static str,
    #[serde(rename = "connectorName")]
    connector_name: &'static str,
    #[serde(rename = "availableAccountTypes")]
    /// Which kinds of account it has: `true` and `false` are texts.
    #[schemars(extend("additionalProperties" = {"type": "string", "enum": ["true", "false"]}))]
    available_account_types: BTreeMap<String, &'static str>,
}

/// The connector that every provider is reached through.
const CONNECTOR: &str = "fdx";

impl<'a> ProviderV2Body<'a> {
    pub(super) fn list_from(providers: &'a [(Provider, &'static str)]) -> Vec<Self> {
        providers.iter().map(|(provider, status)| Self::new(provider, status)).collect()
    }

    fn new(provider: &'a Provider, status: &'static str) -> Self {
        let kinds = [AccountType::Deposit, AccountType::Investment, AccountType::Loan, AccountType::Loc];
        let bool_text = |kind| if provider.settings.has_account_type(kind) { "true" } else { "false" };
        Self {
            provider: ProviderBody::new(provider),
            scopes: scopes(provider),
            status,
            connector_name: CONNECTOR,
            available_account_types: kinds.map(|kind| (format!("{kind}s"), bool_text(kind))).into(),
        }
    }
}

/// A provider with all that it delivers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DataProviderDetails")]
pub(crate) struct ProviderDetailBody<'a> {
    #[serde(flatten)]
    provider: ProviderBody<'a>,
    /// Its site.
    provider_url: Option<&'a str>,
    /// What it can deliver, as scope words.
    scopes: Vec<&'static str>,
    /// What it can deliver, field by field.
    data_inventory: Inventory,
}

impl<'a> ProviderDetailBody<'a> {
    pub(super) fn new(provider: &'a Provider) -> Self {
        let settings = &provider.settings;
        Self {
            provider: ProviderBody::new(provider),
            provider_url: settings.url.as_deref().or(settings.issuer.as_deref()),
            scopes: scopes(provider),
            data_inventory: build_inventory(settings),
        }
    }
}

fn scopes(provider: &Provider) -> Vec<&'static str> {
    provider.settings.clusters().iter().map(DataCluster::as_str).collect()
}

/// A connection. What is only known of an end is absent before it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Connection")]
pub(crate) struct ConnectionBody<'a> {
    connection_id: &'a str,
    client_id: &'a str,
    #[schemars(with = "u32")]
    provider_id: ProviderId,
    state: EnumValue<ConnectionStatus>,
    /// What the customer consented to: words that spaces part.
    scope: String,
    created_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    activated_at: Option<Time>,
    expires_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Why it has ended.
    cause: Option<EnumValue<EndCause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What the provider knows of the end.
    provider_revocation: Option<EnumValue<UpstreamRevocation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What the recipient knows of the end.
    recipient_notification: Option<&'a str>,
}

impl<'a> ConnectionBody<'a> {
    pub(super) fn new(connection: &'a RecipientConnection) -> Self {
        let c = connection;
        Self {
            connection_id: c.id.as_str(),
            client_id: c.client_id.as_str(),
            provider_id: c.provider_id,
            state: EnumValue(c.status),
            scope: c.clusters.to_string(),
            created_at: c.created_at.into(),
            activated_at: c.activated_at.map(Time),
            expires_at: c.expires_at.into(),
            ended_at: c.ended_at.map(Time),
            cause: c.cause.map(EnumValue),
            provider_revocation: c.cause.map(|_| EnumValue(c.provider_revocation)),
            recipient_notification: c.cause.map(|_| c.recipient_notification.as_str()),
        }
    }
}

/// A page of connections, in the form of the data face.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Connections")]
pub(crate) struct ConnectionsBody<'a> {
    page: PageMetadata,
    links: PageLinks,
    connections: Vec<ConnectionBody<'a>>,
}

impl<'a> ConnectionsBody<'a> {
    pub(super) fn new(page: &'a ConnectionsPage) -> Self {
        let next = page.next.as_ref();
        let link = |(_, url): &(String, String)| HateoasLink {
            href: Some(url.clone()),
            action: Some("GET".into()),
            ..HateoasLink::default()
        };
        Self {
            page: PageMetadata {
                next_offset: next.map(|(cursor, _)| cursor.clone()),
                ..PageMetadata::default()
            },
            links: PageLinks { next: next.map(link), prev: None },
            connections: page.connections.iter().map(ConnectionBody::new).collect(),
        }
    }
}
