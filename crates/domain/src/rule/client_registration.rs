//! A recipient's own client at a provider: how it is asked for (RFC 7591), what the answer means, and how it is left
//! again (RFC 7592). The answer is a stranger's: what cannot be used is not taken.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::Secret;
use crate::model::client::Recipient;
use crate::model::job::AttemptOutcome;
use crate::model::provider::{
    DynamicRegistration, Provider, ProviderRetiredError, ProviderSettings, ProviderState,
};
use crate::model::registration::RegistrationState;
use crate::rule::validation::validate_credential;

/// What the provider is told of the client (RFC 7591 §2).
#[derive(Debug, Serialize)]
pub struct ClientMetadata<'a> {
    client_name: &'a str,
    redirect_uris: [&'a str; 1],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    scope: String,
    /// The recipient's id at this hub: the same at every try, so that the provider can tell.
    software_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tos_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    contacts: &'a [String],
    /// A name of FDX.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

impl<'a> ClientMetadata<'a> {
    /// What is said of a recipient whose customers the provider sends back to `redirect_uri`.
    pub fn new(recipient: &'a Recipient, provider: &ProviderSettings, redirect_uri: &'a str) -> Self {
        let (client, profile) = (&recipient.client, &recipient.client_profile);
        Self {
            client_name: &client.name,
            redirect_uris: [redirect_uri],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: provider.auth.as_str(),
            scope: provider.scope_for(client.scope),
            software_id: client.id.as_str(),
            client_uri: profile.client_uri.as_deref(),
            logo_uri: profile.logo_uri.as_deref(),
            tos_uri: profile.terms_uri.as_deref(),
            contacts: &profile.contacts,
            description: profile.description.as_deref(),
        }
    }
}

/// Why nothing is asked for at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationNotDue {
    /// Somebody decided meanwhile, and that stands.
    #[error("the registration does not wait for the provider any more")]
    AlreadyDecided,
    /// The provider takes nobody any more.
    #[error(transparent)]
    Retired(#[from] ProviderRetiredError),
    /// The provider is not set up to register clients any more: an operator must activate.
    #[error("the provider is not set up to register clients any more: activate it by hand")]
    ManualActivation,
    /// The provider is held, in this state.
    #[error("the provider is {0}: it is asked when it is released")]
    ProviderPaused(ProviderState),
}

/// Whether a client is to be asked for, and where. `state` is none where there is no registration of an open client.
pub fn ensure_due(
    state: Option<RegistrationState>,
    provider: &Provider,
) -> Result<&DynamicRegistration, RegistrationNotDue> {
    if state != Some(RegistrationState::PendingActivation) {
        return Err(RegistrationNotDue::AlreadyDecided);
    }
    provider.ensure_accepts_recipients()?;
    let registration =
        provider.settings.dynamic_registration.as_ref().ok_or(RegistrationNotDue::ManualActivation)?;
    match provider.state {
        ProviderState::Active => Ok(registration),
        state => Err(RegistrationNotDue::ProviderPaused(state)),
    }
}

crate::str_enum! {
    /// The errors that no repetition mends (RFC 7591 §3.2.2).
    pub enum RegistrationErrorCode {
        /// The value of a redirection URI is invalid.
        InvalidRedirectUri = "invalid_redirect_uri",
        /// A field of the metadata is invalid, or the provider takes nobody like this.
        InvalidClientMetadata = "invalid_client_metadata",
        /// A software statement is invalid.
        InvalidSoftwareStatement = "invalid_software_statement",
        /// A software statement is not approved.
        UnapprovedSoftwareStatement = "unapproved_software_statement",
    }
}

impl RegistrationErrorCode {
    /// Whether it turns the recipient down. The others may be a mistake of the hub: the callback is its own, and so are
    /// the words for scopes and the way to authenticate.
    pub const fn rejects_recipient(self) -> bool {
        match self {
            Self::InvalidSoftwareStatement | Self::UnapprovedSoftwareStatement => true,
            Self::InvalidRedirectUri | Self::InvalidClientMetadata => false,
        }
    }

    /// What the partner reads. The provider's own words are not passed on.
    pub fn reason(self) -> String {
        format!("The data provider refuses the registration: {self}")
    }
}

/// A client that a provider registered.
#[derive(Debug)]
pub struct RegisteredClient {
    /// Its id there.
    pub id: String,
    /// Its secret there.
    pub secret: Secret<String>,
    /// How to delete it there, if the provider offers that.
    pub management: Option<ClientManagement>,
}

/// How a client is managed at its provider (RFC 7592 §3).
#[derive(Clone, Debug)]
pub struct ClientManagement {
    /// The client configuration endpoint: of the origin of the registration endpoint.
    pub uri: Url,
    /// The registration access token.
    pub token: Secret<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredManagement<'a> {
    registration_client_uri: Cow<'a, str>,
    registration_access_token: Cow<'a, str>,
}

impl ClientManagement {
    /// One text, to be sealed.
    pub fn to_text(&self) -> Secret<String> {
        let stored = StoredManagement {
            registration_client_uri: self.uri.as_str().into(),
            registration_access_token: self.token.expose().into(),
        };
        Secret::new(serde_json::to_string(&stored).unwrap_or_default())
    }

    /// Reads that text back.
    pub fn from_text(text: &str) -> Option<Self> {
        let stored: StoredManagement<'_> = serde_json::from_str(text).ok()?;
        let token = Secret::from(&*stored.registration_access_token);
        Some(Self { uri: Url::parse(&stored.registration_client_uri).ok()?, token })
    }
}

/// What an answer to a registration request means.
#[derive(Debug)]
pub enum RegistrationResponse {
    /// The client is registered.
    Registered(RegisteredClient),
    /// The provider refuses what it was asked for, and would do so again.
    Rejected(RegistrationErrorCode),
    /// Something was registered that the hub cannot use: a person must look, and it is deleted if that can be done.
    Unusable {
        /// What is wrong with it.
        problem: &'static str,
        /// How to delete it.
        management: Option<ClientManagement>,
    },
    /// Nothing was registered, and it may go better later.
    RetryLater,
}

const MAX_URI_BYTES: usize = 2048;

/// Reads an answer (RFC 7591 §3.2). `redirect_uri` is what was asked for.
pub fn parse_response(
    status: u16,
    body: &[u8],
    provider: &ProviderSettings,
    redirect_uri: &str,
) -> RegistrationResponse {
    match status {
        // 201 by the letter; some say 200.
        200 | 201 => parse_registered_client(body, provider, redirect_uri),
        400 => {
            let fields: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
            let word = fields.as_ref().and_then(|fields| fields.get("error")?.as_str());
            word.and_then(RegistrationErrorCode::from_word)
                .map_or(RegistrationResponse::RetryLater, RegistrationResponse::Rejected)
        }
        _ => RegistrationResponse::RetryLater,
    }
}

fn parse_registered_client(
    body: &[u8],
    provider: &ProviderSettings,
    redirect_uri: &str,
) -> RegistrationResponse {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return RegistrationResponse::Unusable { problem: "its answer cannot be read", management: None };
    };
    let secret = take_credential(&mut fields, "client_secret").map(Secret::new);
    let id = take_credential(&mut fields, "client_id");
    let management = parse_management(&mut fields, id.as_deref(), provider);
    match (id, secret, find_mismatch(&fields, provider, redirect_uri)) {
        (Some(id), Some(secret), None) => {
            RegistrationResponse::Registered(RegisteredClient { id, secret, management })
        }
        (_, _, Some(problem)) => RegistrationResponse::Unusable { problem, management },
        (None, ..) => RegistrationResponse::Unusable {
            problem: "client_id is missing, too long or not printable",
            management,
        },
        (_, None, _) => RegistrationResponse::Unusable {
            problem: "client_secret is missing, too long or not printable",
            management,
        },
    }
}

/// What the provider made of the request may differ from it (RFC 7591 §3.2.1): whether that can be lived with.
fn find_mismatch(
    fields: &Map<String, Value>,
    provider: &ProviderSettings,
    redirect_uri: &str,
) -> Option<&'static str> {
    // What is null is absent.
    let given = |field: &str| fields.get(field).filter(|value| !value.is_null());
    let auth_differs =
        given("token_endpoint_auth_method").is_some_and(|method| method != provider.auth.as_str());
    let includes = |field: &str, wanted: &str| {
        let among = |given: &Value| given.as_array().is_some_and(|given| given.iter().any(|g| g == wanted));
        given(field).is_none_or(among)
    };
    let expires = given("client_secret_expires_at").is_some_and(|at| at.as_i64() != Some(0));
    match () {
        () if auth_differs => Some("the client authenticates otherwise than the provider's settings say"),
        () if !includes("redirect_uris", redirect_uri) => {
            Some("the client may not be called back by the hub's URI")
        }
        () if !includes("grant_types", "authorization_code") => Some("the client may not use codes"),
        () if expires => Some("the client's secret expires, and nothing renews it"),
        () => None,
    }
}

/// A text that can stand in a header and in a form.
fn take_credential(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    let Some(Value::String(text)) = fields.remove(name) else { return None };
    validate_credential(name, &text).ok()?;
    text.bytes().all(|b| b.is_ascii_graphic()).then_some(text)
}

/// No address of another origin is asked, whatever the answer says. FDX leaves the address away.
fn parse_management(
    fields: &mut Map<String, Value>,
    client_id: Option<&str>,
    provider: &ProviderSettings,
) -> Option<ClientManagement> {
    let token = take_credential(fields, "registration_access_token").map(Secret::new)?;
    let endpoint = Url::parse(&provider.dynamic_registration.as_ref()?.endpoint).ok()?;
    let uri = match fields.remove("registration_client_uri") {
        None | Some(Value::Null) => {
            let mut uri = endpoint.clone();
            uri.path_segments_mut().ok()?.pop_if_empty().push(client_id?);
            uri
        }
        Some(given) => Url::parse(given.as_str().filter(|uri| uri.len() <= MAX_URI_BYTES)?).ok()?,
    };
    let is_same_origin =
        uri.origin() == endpoint.origin() && uri.username().is_empty() && uri.password().is_none();
    is_same_origin.then_some(ClientManagement { uri, token })
}

/// What the answer to the deletion of a client means (RFC 7592 §2.3).
pub const fn deletion_outcome(status: u16) -> Option<AttemptOutcome> {
    match status {
        200 | 204 => Some(AttemptOutcome::Accepted),
        // 401: there is no such client any more.
        401 | 404 | 410 => Some(AttemptOutcome::AlreadyGone),
        400 | 403 | 405 | 501 => Some(AttemptOutcome::Refused),
        _ => None,
    }
}

#[cfg(test)]
#[path = "client_registration_tests.rs"]
mod tests;
