//! The authorization request (RFC 6749 §4.1.1): who asks, where the answer goes, for what.

use crate::error::{OAuthCode, OAuthError};
use crate::id::ProviderId;
use crate::model::client::{Client, ClientKind, ClientState, Profile};
use crate::model::provider::{Provider, ProviderState};
use crate::model::registration::{Registration, RegistrationState};
use crate::scope::{Clusters, DataCluster};

use super::pkce;

/// The query of a request as it came: repeated and empty parameters still in it.
#[derive(Debug, Clone, Default)]
pub struct AuthorizeQuery(pub Vec<(String, String)>);

impl AuthorizeQuery {
    /// The value of a parameter that is sent once; an empty one is absent (§3.1).
    pub fn single(&self, name: &str) -> Result<Option<&str>, OAuthError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(OAuthError::for_repeated_field(name)),
            (value, None) => Ok(value.filter(|v| !v.is_empty())),
        }
    }

    /// `state`, if it can come back byte for byte: text without control characters. What was no UTF-8 was
    /// replaced by U+FFFD when the query was read.
    pub fn state(&self) -> Result<Option<&str>, OAuthError> {
        let state = self.single("state")?;
        match state.filter(|text| text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER)) {
            None => Ok(state),
            Some(_) => Err(OAuthError::new(OAuthCode::InvalidRequest, "state must be printable text")),
        }
    }

    fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.single(name)?.ok_or_else(|| OAuthError::for_missing_field(name))
    }
}

/// Why the person in front of the browser sees a page and nothing is redirected (§4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizePageError {
    /// `parse_client_id` is missing, repeated or of nobody.
    UnknownClient,
    /// `redirect_uri` is missing, repeated or not registered exactly.
    UnknownRedirect,
}

/// A redirect URI that its client has registered: only its holder can redirect anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRedirect(String);

impl VerifiedRedirect {
    /// Verifies a URI against the client's registered ones, as exact strings (RFC 9700 §2.1). A client that was
    /// removed has none.
    pub fn verify(client: &Client, uri: &str) -> Option<Self> {
        if client.state == ClientState::Closed {
            return None;
        }
        client.redirect_uris.iter().any(|known| known == uri).then(|| Self(uri.to_owned()))
    }

    /// The URI as registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI with an answer appended; a query that it has is kept (§3.1.2).
    pub fn with_params(&self, params: &[(&str, &str)]) -> String {
        match url::Url::parse(&self.0) {
            Ok(mut url) => {
                url.query_pairs_mut().extend_pairs(params);
                url.into()
            }
            // Registered URIs were parsed when they were registered.
            Err(_) => self.0.clone(),
        }
    }
}

/// The first stage: who asks and where the answer goes.
pub fn resolve_redirect(
    query: &AuthorizeQuery,
    client: Option<&Client>,
) -> Result<VerifiedRedirect, AuthorizePageError> {
    let known = |c: &&Client| c.kind == ClientKind::Recipient && c.state != ClientState::Closed;
    let client = client.filter(known).ok_or(AuthorizePageError::UnknownClient)?;
    let uri = query.single("redirect_uri").ok().flatten().ok_or(AuthorizePageError::UnknownRedirect)?;
    VerifiedRedirect::verify(client, uri).ok_or(AuthorizePageError::UnknownRedirect)
}

/// The language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English, the default.
    En,
    /// French.
    Fr,
}

impl Language {
    /// From `ui_locales`, `lang` or `language`: the first tag that we speak.
    pub fn from_query(query: &AuthorizeQuery) -> Self {
        let names = ["ui_locales", "lang", "language"];
        let wanted = names.into_iter().find_map(|name| query.single(name).ok().flatten());
        wanted.map_or(Self::En, Self::from_tags)
    }

    /// From language tags separated by spaces.
    pub fn from_tags(tags: &str) -> Self {
        let known = |tag: &str| match tag.split(['-', '_']).next() {
            Some(primary) if primary.eq_ignore_ascii_case("fr") => Some(Self::Fr),
            Some(primary) if primary.eq_ignore_ascii_case("en") => Some(Self::En),
            _ => None,
        };
        tags.split([' ', ',']).find_map(known).unwrap_or(Self::En)
    }

    /// The language tag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }
}

/// The second stage: a request whose parameters are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRequest {
    /// The provider; the customer picks one if it is absent.
    pub provider_id: Option<ProviderId>,
    /// What is asked for.
    pub clusters: Clusters,
    /// The PKCE challenge.
    pub code_challenge: Option<String>,
    /// `state`, to be returned byte for byte.
    pub state: String,
}

/// Checks the parameters of a request whose client and redirect URI are known.
pub fn check(query: &AuthorizeQuery, client: &Client) -> Result<CheckedRequest, OAuthError> {
    if client.profile != Profile::Flinks {
        return Err(OAuthError::new(OAuthCode::UnauthorizedClient, "This client must use the FAPI face"));
    }
    super::client_auth::ensure_client_active(client)?;
    let state = query.state()?.ok_or_else(|| OAuthError::for_missing_field("state"))?.to_owned();
    if query.require("response_type")? != "code" {
        return Err(OAuthError::new(OAuthCode::UnsupportedResponseType, "response_type must be code"));
    }
    let clusters = parse_requested_scope(query.require("scope")?, client)?;
    let provider_id =
        query.single("provider_id")?.map(|text| ProviderId::parse(text).ok_or(INVALID_PROVIDER_ID));
    let provider_id = provider_id.transpose()?;
    if state.len() > MAX_STATE_BYTES {
        return Err(STATE_TOO_LONG);
    }
    Ok(CheckedRequest { provider_id, clusters, code_challenge: parse_code_challenge(query, client)?, state })
}

/// Whoever asks is a stranger, and the request is kept until it is over.
const MAX_STATE_BYTES: usize = 4096;

const STATE_TOO_LONG: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "state must have at most 4096 bytes");

const INVALID_PROVIDER_ID: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "provider_id must be a positive integer");

fn parse_requested_scope(scope: &str, client: &Client) -> Result<Clusters, OAuthError> {
    let clusters = Clusters::parse(scope)
        .map_err(|unknown| OAuthError::with_description(OAuthCode::InvalidScope, unknown))?;
    if let Some(beyond) = clusters.first_missing_from(client.scope) {
        return Err(OAuthError::with_description(
            OAuthCode::InvalidScope,
            format_args!("scope {} is not allowed for this client", beyond.as_str()),
        ));
    }
    if !clusters.contains(DataCluster::AccountBasic) {
        return Err(OAuthError::new(OAuthCode::InvalidScope, "scope must include ACCOUNT_BASIC"));
    }
    Ok(clusters)
}

fn parse_code_challenge(query: &AuthorizeQuery, client: &Client) -> Result<Option<String>, OAuthError> {
    let refuse = |description| Err(OAuthError::new(OAuthCode::InvalidRequest, description));
    match (query.single("code_challenge")?, query.single("code_challenge_method")?) {
        (None, None) if client.require_pkce => Err(OAuthError::for_missing_field("code_challenge")),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(OAuthError::for_missing_field("code_challenge")),
        // An absent method means `plain` (RFC 7636 §4.3), which is not served.
        (Some(challenge), Some("S256")) if pkce::is_valid_challenge(challenge) => {
            Ok(Some(challenge.to_owned()))
        }
        (Some(_), Some("S256")) => refuse("code_challenge must be 43 characters of base64url"),
        (Some(_), _) => refuse("code_challenge_method must be S256"),
    }
}

/// Whether a recipient may connect to a provider now. Checked at the request, on the consent page, at the
/// provider's callback and at the exchange, because minutes may have passed.
pub fn ensure_may_connect(
    client: &Client,
    provider: Option<&Provider>,
    registration: Option<&Registration>,
) -> Result<(), OAuthError> {
    super::client_auth::ensure_client_active(client)?;
    let provider = provider
        .ok_or(OAuthError::new(OAuthCode::InvalidRequest, "provider_id names no provider of this hub"))?;
    if registration.is_none_or(|r| r.state != RegistrationState::Active) {
        return Err(NOT_REGISTERED);
    }
    match provider.state {
        ProviderState::Active => Ok(()),
        ProviderState::Paused | ProviderState::Retired | ProviderState::AutoPaused => {
            Err(PROVIDER_UNAVAILABLE)
        }
    }
}

/// Whether a request that began may go on: its recipient may connect still, and its answer has a place to go.
pub fn ensure_may_continue(
    client: &Client,
    provider: Option<&Provider>,
    registration: Option<&Registration>,
    redirect_uri: &str,
) -> Result<(), OAuthError> {
    ensure_may_connect(client, provider, registration)?;
    VerifiedRedirect::verify(client, redirect_uri).map(|_| ()).ok_or(REDIRECT_URI_REMOVED)
}

const REDIRECT_URI_REMOVED: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "redirect_uri is registered no more");

/// What is told where a provider is held.
pub const PROVIDER_UNAVAILABLE: OAuthError =
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "The provider cannot be connected at present");

/// What a recipient without an active registration is told.
pub const NOT_REGISTERED: OAuthError = OAuthError::new(
    OAuthCode::UnauthorizedClient,
    "This client has no active registration with the provider",
);

/// What was granted: requested, by the bank, to the recipient, by the provider; at least `ACCOUNT_BASIC`.
pub fn compute_granted_scope(
    requested: Clusters,
    provider_granted: Clusters,
    client: Clusters,
    provider: Clusters,
) -> Result<Clusters, OAuthError> {
    let granted = requested.intersection(provider_granted).intersection(client).intersection(provider);
    if granted.contains(DataCluster::AccountBasic) { Ok(granted) } else { Err(ACCESS_DENIED) }
}

/// What a recipient is told when the customer said no.
pub const ACCESS_DENIED: OAuthError = OAuthError::new(OAuthCode::AccessDenied, "The user denied the access");

#[cfg(test)]
#[path = "authorize_tests.rs"]
pub(crate) mod tests;
