//! The response bodies of the partner API: the members that Flinks documents, in the documented order.

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

use super::connections::ConnectionsPage;
use super::inventory::{Inventory, build_inventory};
use super::registrations::{rejection_message, v1_status};
use crate::response::{EnumValue, Time};

/// A data recipient. Members without a value are absent, except `contacts`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DataRecipient")]
pub(crate) struct RecipientBody<'a> {
    client_id: &'a str,
    /// The client secret. It is returned only once, when the recipient is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// The name, exactly as customers see it.
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
    /// The data clusters that the recipient may request, space-delimited.
    scope: Option<String>,
    contacts: Vec<Contact<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Contact<'a> {
    email: &'a str,
}

impl<'a> RecipientBody<'a> {
    /// Creates the short form that lists contain, without secret, scope and redirect URIs.
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

    /// Creates a body with every member except the secret.
    pub(super) fn from_recipient(recipient: &'a Recipient) -> Self {
        let client = &recipient.client;
        Self {
            redirect_uris: Some(&client.redirect_uris),
            scope: Some(client.scope.to_string()),
            ..Self::for_list(recipient)
        }
    }

    /// Creates a body with the secret, for the response to the creation of the recipient.
    pub(super) fn from_created(recipient: &'a Recipient, secret: &'a Secret<String>) -> Self {
        Self { client_secret: Some(secret.expose()), ..Self::from_recipient(recipient) }
    }
}

/// The response to the replacement of a client's secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Secret")]
pub(crate) struct SecretBody<'a> {
    client_id: &'a str,
    /// The client secret. It is returned only once; the previous one is invalid.
    client_secret: &'a str,
}

impl<'a> SecretBody<'a> {
    pub(super) fn new(client_id: &'a ClientId, secret: &'a Secret<String>) -> Self {
        Self { client_id: client_id.as_str(), client_secret: secret.expose() }
    }
}

/// A registration. Flinks documents three states; `SUSPENDED`, `REJECTED` and `reason` are additions of this hub.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Registration")]
pub(crate) struct RegistrationBody<'a> {
    client_id: &'a str,
    client_name: &'a str,
    #[schemars(with = "u32")]
    provider_id: ProviderId,
    provider_name: &'a str,
    /// The country code of the provider, such as `CA`.
    country: &'a str,
    #[schemars(extend("enum" = ["PENDING_APPROVAL", "PENDING_ACTIVATION", "ACTIVE", "SUSPENDED", "REJECTED"]))]
    registration_status: String,
    /// The time of the request, with seven decimal places of a second.
    #[schemars(extend("format" = "date-time"))]
    requested_on: String,
    /// The reason for the rejection or suspension.
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

/// The response to a rejected request for registrations, with the pairs that were rejected.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PairsInTheWay")]
pub(crate) struct RejectedPairsBody<'a> {
    #[schemars(extend("enum" = ["invalid_request"]))]
    error: &'static str,
    /// The message of the first pair with the most severe error, and the number of rejected pairs.
    error_description: Cow<'static, str>,
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
    /// Returns the body and its status. If the pairs have different errors, an unknown recipient (404) has precedence
    /// over an unavailable provider (400), and that over a duplicate registration (409).
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
        tracing::info!(error = %description, "request rejected");
        let to_body = |pair: &'a RejectedPair| RejectedPairBody {
            client_id: pair.client_id.as_str(),
            provider_id: pair.provider_id,
            error_description: rejection_message(pair),
        };
        let pairs = pairs.iter().map(to_body).collect();
        (worst, Self { error: code.as_str(), error_description: description, pairs })
    }
}

/// A provider in a list of version 1 of the API.
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

/// A provider in a list of version 2 of the API, which writes booleans as strings.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DataProviderOfV2")]
pub(crate) struct ProviderV2Body<'a> {
    #[serde(flatten)]
    provider: ProviderBody<'a>,
    /// The data clusters that the provider offers.
    scopes: Vec<&'static str>,
    /// The state of the caller's registration with the provider, such as `Available`.
    #[schemars(extend("enum" = ["Available", "PendingActivation", "Activated", "Suspended"]))]
    status: &'static str,
    #[serde(rename = "connectorName")]
    connector_name: &'static str,
    #[serde(rename = "availableAccountTypes")]
    /// The account types that the provider offers; `true` and `false` are strings.
    #[schemars(extend("additionalProperties" = {"type": "string", "enum": ["true", "false"]}))]
    available_account_types: BTreeMap<String, &'static str>,
}

/// The value of `connectorName`, which is the same for every provider of this hub.
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

/// A provider with every field that Flinks documents.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DataProviderDetails")]
pub(crate) struct ProviderDetailBody<'a> {
    #[serde(flatten)]
    provider: ProviderBody<'a>,
    /// The URL of the provider's website.
    provider_url: Option<&'a str>,
    /// The data clusters that the provider offers.
    scopes: Vec<&'static str>,
    /// The FDX fields that the provider can deliver.
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

/// A connection. `ended_at`, `cause`, `provider_revocation` and `recipient_notification` are absent until it has ended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Connection")]
pub(crate) struct ConnectionBody<'a> {
    connection_id: &'a str,
    client_id: &'a str,
    #[schemars(with = "u32")]
    provider_id: ProviderId,
    state: EnumValue<ConnectionStatus>,
    /// The data clusters that the customer consented to, space-delimited.
    scope: String,
    created_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    activated_at: Option<Time>,
    expires_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The reason why the connection ended.
    cause: Option<EnumValue<EndCause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The progress of the revocation at the provider.
    provider_revocation: Option<EnumValue<UpstreamRevocation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The progress of notifying the recipient of the end.
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

/// A page of connections, with the same `page` and `links` members as FDX lists.
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
