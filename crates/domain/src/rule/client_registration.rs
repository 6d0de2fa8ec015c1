//! Upstream clients of recipients: the registration request and the evaluation of its response (RFC 7591), and the
//! deletion (RFC 7592). Responses of providers are untrusted input.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::Secret;
use crate::model::client::Recipient;
use crate::model::job::AttemptOutcome;
use crate::model::provider::{
    Dpop, DynamicRegistration, Provider, ProviderRetiredError, ProviderSettings, ProviderState,
    UpstreamClientMode,
};
use crate::model::registration::RegistrationState;
use crate::rule::provider_response::{CallOutcome, FailureReason, ProviderErrorCode};
use crate::rule::validation::validate_credential;

/// The metadata of a client in a registration request (RFC 7591 §2).
#[derive(Debug, Serialize)]
pub struct ClientMetadata<'a> {
    client_name: &'a str,
    redirect_uris: [&'a str; 1],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    scope: String,
    /// The recipient's id at the hub. It is the same in every attempt, so the provider can recognize a repetition.
    software_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tos_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    contacts: &'a [String],
    /// A description of the recipient. FDX adds this field to the metadata of RFC 7591.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// True if the provider is to issue only tokens that are bound to a key (RFC 9449 §5.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_bound_access_tokens: Option<bool>,
}

impl<'a> ClientMetadata<'a> {
    /// Creates the metadata of a recipient. `redirect_uri` is the hub's callback.
    pub fn new(recipient: &'a Recipient, provider: &ProviderSettings, redirect_uri: &'a str) -> Self {
        let (client, profile) = (&recipient.client, &recipient.client_profile);
        Self {
            client_name: &client.name,
            redirect_uris: [redirect_uri],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: registered_authentication(provider),
            scope: provider.scope_for(client.scope),
            software_id: client.id.as_str(),
            client_uri: profile.client_uri.as_deref(),
            logo_uri: profile.logo_uri.as_deref(),
            tos_uri: profile.terms_uri.as_deref(),
            contacts: &profile.contacts,
            description: profile.description.as_deref(),
            dpop_bound_access_tokens: (provider.dpop == Dpop::Required).then_some(true),
        }
    }
}

/// Returns the authentication method of a registered client (RFC 7591 §2). The client of a recipient whose hub is an aggregator only appears
/// in authorization requests.
const fn registered_authentication(provider: &ProviderSettings) -> &'static str {
    match provider.upstream_client {
        UpstreamClientMode::Aggregator => "none",
        UpstreamClientMode::Shared | UpstreamClientMode::PerRegistration => provider.auth.as_str(),
    }
}

/// The reason why no upstream client is requested at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationNotDue {
    /// The registration is not pending any more, or does not exist any more.
    #[error("the registration is no longer pending")]
    AlreadyDecided,
    /// The provider is retired, so that it accepts no new recipients.
    #[error(transparent)]
    Retired(#[from] ProviderRetiredError),
    /// The provider's settings no longer contain dynamic registration.
    #[error("the provider's settings contain no dynamic registration: activate the registration by hand")]
    ManualActivation,
    /// The provider is paused. The value is its state.
    #[error("the provider is {0}: the client is requested after its release")]
    ProviderPaused(ProviderState),
}

/// Ensures that an upstream client must be requested, and returns the settings for the request. `state` is the state of
/// the registration; absent if there is no registration or the recipient was removed.
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

/// Returns whether an error of a registration request (RFC 7591 §3.2.2) means that the provider rejects the recipient, not
/// only the metadata that the hub chose.
pub const fn rejects_recipient(code: ProviderErrorCode) -> bool {
    // The hub chooses the callback, the scope values and the authentication method. An error in them must not reject the
    // recipient.
    matches!(
        code,
        ProviderErrorCode::InvalidSoftwareStatement | ProviderErrorCode::UnapprovedSoftwareStatement
    )
}

/// Returns the reason for a rejection that partners see. It contains the error code, but no text from the provider.
pub fn rejection_reason(code: ProviderErrorCode) -> String {
    format!("The data provider rejected the registration: {code}")
}

/// A client that a provider has registered.
#[derive(Debug)]
pub struct RegisteredClient {
    /// The client id at the provider.
    pub id: String,
    /// The client secret at the provider; absent if the hub does not authenticate as this client.
    pub secret: Option<Secret<String>>,
    /// The client configuration access, with which the client can be deleted, if the provider offers it.
    pub management: Option<ClientManagement>,
}

/// The client configuration access of an upstream client (RFC 7592 §3).
#[derive(Clone, Debug)]
pub struct ClientManagement {
    /// The client configuration endpoint. It has the origin of the registration endpoint.
    pub uri: Url,
    /// The registration access token, with which the hub can delete the client.
    pub token: Secret<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredManagement<'a> {
    registration_client_uri: Cow<'a, str>,
    registration_access_token: Cow<'a, str>,
}

impl ClientManagement {
    /// Serializes the URI and the token to one text, which the caller seals.
    pub fn to_text(&self) -> Secret<String> {
        let stored = StoredManagement {
            registration_client_uri: self.uri.as_str().into(),
            registration_access_token: self.token.expose().into(),
        };
        Secret::new(serde_json::to_string(&stored).unwrap_or_default())
    }

    /// Parses a text from [`Self::to_text`]; returns `None` if it is malformed.
    pub fn from_text(text: &str) -> Option<Self> {
        let stored: StoredManagement<'_> = serde_json::from_str(text).ok()?;
        let token = Secret::from(&*stored.registration_access_token);
        Some(Self { uri: Url::parse(&stored.registration_client_uri).ok()?, token })
    }
}

/// The meaning of a response to a registration request.
#[derive(Debug)]
pub enum RegistrationResponse {
    /// The provider registered a client that the hub can use.
    Registered(RegisteredClient),
    /// The provider rejected the request permanently.
    Rejected(ProviderErrorCode),
    /// The provider registered a client that the hub cannot use. It is deleted if possible; manual action required.
    Unusable(Box<UnusableClient>),
    /// The response does not prove that a client was registered, so another attempt is made.
    RetryLater,
}

/// A client that a provider has registered, but that the hub cannot use.
#[derive(Debug)]
pub struct UnusableClient {
    /// A description, for operators, of the reason why the hub cannot use the client.
    pub problem: &'static str,
    /// The client configuration access, with which the client can be deleted.
    pub management: Option<ClientManagement>,
}

const MAX_URI_BYTES: usize = 2048;

/// Determines the meaning of a response to a registration request. `outcome` is its classification, `error_code` its error
/// code, and `client` the result of [`parse_response`].
pub fn evaluate_response(
    outcome: CallOutcome,
    status: Option<u16>,
    error_code: Option<ProviderErrorCode>,
    client: Result<RegisteredClient, Box<UnusableClient>>,
) -> RegistrationResponse {
    match (outcome, status) {
        (CallOutcome::Succeeded, _) => {
            client.map_or_else(RegistrationResponse::Unusable, RegistrationResponse::Registered)
        }
        (CallOutcome::Refused(_), _) => {
            error_code.map_or(RegistrationResponse::RetryLater, RegistrationResponse::Rejected)
        }
        // The status means that a client was registered, so another attempt would register a second one.
        (CallOutcome::Unknown(FailureReason::TooLarge), Some(200 | 201)) => {
            let problem = "the response is too large";
            RegistrationResponse::Unusable(Box::new(UnusableClient { problem, management: None }))
        }
        (CallOutcome::Unknown(FailureReason::Unreadable | FailureReason::Encoded), Some(200 | 201)) => {
            let unreadable = || Box::new(UnusableClient { problem: UNREADABLE, management: None });
            RegistrationResponse::Unusable(client.err().unwrap_or_else(unreadable))
        }
        (CallOutcome::NeverProcessed(_) | CallOutcome::Unknown(_), _) => RegistrationResponse::RetryLater,
    }
}

const UNREADABLE: &str = "the response cannot be parsed";

/// Parses the body of a successful response to a registration request (RFC 7591 §3.2.1). `redirect_uri` is the hub's
/// callback, as sent in the request.
pub fn parse_response(
    body: &[u8],
    provider: &ProviderSettings,
    redirect_uri: &str,
) -> Result<RegisteredClient, Box<UnusableClient>> {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Err(Box::new(UnusableClient { problem: UNREADABLE, management: None }));
    };
    // A difference to the request is reported before a missing credential: it explains more about the provider.
    let secret = take_credential(&mut fields, "client_secret").map(Secret::new);
    let id = take_credential(&mut fields, "client_id");
    let management = parse_management(&mut fields, id.as_deref(), provider);
    let needs_secret = provider.upstream_client != UpstreamClientMode::Aggregator;
    let secret = secret.filter(|_| needs_secret);
    let problem = match (id, secret, find_mismatch(&fields, provider, redirect_uri)) {
        (Some(id), secret, None) if secret.is_some() || !needs_secret => {
            return Ok(RegisteredClient { id, secret, management });
        }
        (_, _, Some(problem)) => problem,
        (None, ..) => "client_id is missing, too long or not printable",
        (Some(_), ..) => "client_secret is missing, too long or not printable",
    };
    Err(Box::new(UnusableClient { problem, management }))
}

/// Returns the first difference to the request that makes the client unusable. A provider may change any requested
/// value (RFC 7591 §3.2.1).
fn find_mismatch(
    fields: &Map<String, Value>,
    provider: &ProviderSettings,
    redirect_uri: &str,
) -> Option<&'static str> {
    // A value of null counts as absent.
    let present = |field: &str| fields.get(field).filter(|value| !value.is_null());
    let auth_differs = present("token_endpoint_auth_method")
        .is_some_and(|method| method != registered_authentication(provider));
    let includes = |field: &str, required: &str| {
        let contains =
            |value: &Value| value.as_array().is_some_and(|items| items.iter().any(|item| item == required));
        present(field).is_none_or(contains)
    };
    // Zero means that the secret does not expire (RFC 7591 §3.2.1).
    let expires = provider.upstream_client != UpstreamClientMode::Aggregator
        && present("client_secret_expires_at").is_some_and(|at| at.as_i64() != Some(0));
    match () {
        () if auth_differs => Some("the client's authentication method differs from the provider's settings"),
        () if !includes("redirect_uris", redirect_uri) => {
            Some("the client is registered without the hub's redirect URI")
        }
        () if !includes("grant_types", "authorization_code") => {
            Some("the client is registered without the grant type authorization_code")
        }
        () if expires => Some("the client secret expires, and the hub cannot renew it"),
        () => None,
    }
}

/// Removes a credential from the response; returns it if it can be sent in a header and in a form.
fn take_credential(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    let Some(Value::String(text)) = fields.remove(name) else { return None };
    validate_credential(name, &text).ok()?;
    text.bytes().all(|b| b.is_ascii_graphic()).then_some(text)
}

/// Extracts the client configuration access from a response. Returns `None` if the token is missing or the URI is not
/// at the origin of the registration endpoint.
fn parse_management(
    fields: &mut Map<String, Value>,
    client_id: Option<&str>,
    provider: &ProviderSettings,
) -> Option<ClientManagement> {
    let token = take_credential(fields, "registration_access_token").map(Secret::new)?;
    let endpoint = Url::parse(&provider.dynamic_registration.as_ref()?.endpoint).ok()?;
    let uri = match fields.remove("registration_client_uri") {
        // FDX omits the URI: the client is addressed by its id below the registration endpoint.
        None | Some(Value::Null) => {
            let mut uri = endpoint.clone();
            uri.path_segments_mut().ok()?.pop_if_empty().push(client_id?);
            uri
        }
        Some(value) => Url::parse(value.as_str().filter(|uri| uri.len() <= MAX_URI_BYTES)?).ok()?,
    };
    // The registration access token is sent to this URI. A response must not direct it to another origin.
    let is_same_origin =
        uri.origin() == endpoint.origin() && uri.username().is_empty() && uri.password().is_none();
    is_same_origin.then_some(ClientManagement { uri, token })
}

/// Returns the outcome of the deletion of a client (RFC 7592 §2.3). `retry_after` is the wait that the provider asks for.
pub const fn deletion_outcome(outcome: CallOutcome, retry_after: Option<Duration>) -> AttemptOutcome {
    match outcome {
        CallOutcome::Succeeded => AttemptOutcome::Accepted,
        // The client and its registration access token no longer exist.
        CallOutcome::Refused(FailureReason::GrantRejected) => AttemptOutcome::AlreadyGone,
        CallOutcome::Refused(_) => AttemptOutcome::Refused,
        CallOutcome::NeverProcessed(_) | CallOutcome::Unknown(_) => {
            AttemptOutcome::RetryLater { retry_after }
        }
    }
}

#[cfg(test)]
#[path = "client_registration_tests.rs"]
mod tests;
