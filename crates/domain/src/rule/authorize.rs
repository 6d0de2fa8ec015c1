//! The validation of an authorization request (RFC 6749 §4.1.1).

use crate::error::{OAuthCode, OAuthError};
use crate::id::ProviderId;
use crate::model::client::{Client, ClientKind, ClientState, Profile};
use crate::model::provider::{Provider, ProviderState};
use crate::model::registration::{Registration, RegistrationState};
use crate::model::undecided_request::REDIRECT_HASH_LEN;
use crate::scope::{Clusters, DataCluster};

use super::pkce;

/// The query parameters of an authorization request as received, including repeated and empty ones.
#[derive(Debug, Clone, Default)]
pub struct AuthorizeQuery(pub Vec<(String, String)>);

impl AuthorizeQuery {
    /// Returns the value of a parameter. An empty value counts as absent, and a repeated parameter is an error (§3.1).
    pub fn single(&self, name: &str) -> Result<Option<&str>, OAuthError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(OAuthError::for_repeated_field(name)),
            (value, None) => Ok(value.filter(|v| !v.is_empty())),
        }
    }

    /// Returns `state` if it can be returned unchanged (§4.1.2): valid UTF-8 without control characters.
    pub fn state(&self) -> Result<Option<&str>, OAuthError> {
        // Bytes that are not UTF-8 were replaced by U+FFFD when the query was parsed.
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

/// Error that must be shown on a page and must not be redirected (§4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizePageError {
    /// `client_id` is missing, repeated or unknown.
    UnknownClient,
    /// `redirect_uri` is missing, repeated or not exactly a registered one.
    UnknownRedirect,
}

/// A redirect URI that its client has registered. Every redirect requires this type, so an unchecked URI is never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRedirect(String);

impl VerifiedRedirect {
    /// Verifies that the client has registered exactly this URI (RFC 9700 §2.1). A removed client has no redirect URIs.
    pub fn verify(client: &Client, uri: &str) -> Option<Self> {
        if client.state == ClientState::Closed {
            return None;
        }
        client.redirect_uris.iter().any(|known| known == uri).then(|| Self(uri.to_owned()))
    }

    /// Finds the URI with a hash among those that the client has registered.
    pub fn find_by_hash(client: &Client, hash: &[u8; REDIRECT_HASH_LEN]) -> Option<Self> {
        let uri = client.redirect_uris.iter().find(|uri| hash_redirect_uri(uri) == *hash)?;
        Self::verify(client, uri)
    }

    /// Returns the hash of the URI, which is shorter than the URI.
    pub fn hash(&self) -> [u8; REDIRECT_HASH_LEN] {
        hash_redirect_uri(&self.0)
    }

    /// Returns the URI exactly as it is registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the start page of the URI's origin: the link to an app that expects no response.
    pub fn start_page(&self) -> Option<String> {
        let origin = url::Url::parse(&self.0).ok()?.origin();
        origin.is_tuple().then(|| format!("{}/", origin.ascii_serialization()))
    }

    /// Returns the URI with the parameters of the response. An existing query is kept (§3.1.2).
    pub fn with_params(&self, params: &[(&str, &str)]) -> String {
        match url::Url::parse(&self.0) {
            Ok(mut url) => {
                url.query_pairs_mut().extend_pairs(params);
                url.into()
            }
            // Unreachable: the URI was parsed when it was registered.
            Err(_) => self.0.clone(),
        }
    }
}

fn hash_redirect_uri(uri: &str) -> [u8; REDIRECT_HASH_LEN] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, uri.as_bytes());
    let mut hash = [0; REDIRECT_HASH_LEN];
    hash.copy_from_slice(&digest.as_ref()[..REDIRECT_HASH_LEN]);
    hash
}

/// Determines the verified redirect URI of a request. If there is none, every error of the request is shown on a page.
pub fn resolve_redirect(
    query: &AuthorizeQuery,
    client: Option<&Client>,
) -> Result<VerifiedRedirect, AuthorizePageError> {
    let known = |c: &&Client| c.kind == ClientKind::Recipient && c.state != ClientState::Closed;
    let client = client.filter(known).ok_or(AuthorizePageError::UnknownClient)?;
    let uri = query.single("redirect_uri").ok().flatten().ok_or(AuthorizePageError::UnknownRedirect)?;
    VerifiedRedirect::verify(client, uri).ok_or(AuthorizePageError::UnknownRedirect)
}

/// The language of the pages that the hub shows to customers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, which is used if neither the request nor the browser names a supported language.
    #[default]
    En,
    /// French, if the request or the browser asks for it.
    Fr,
}

impl Language {
    /// The query parameters that name a language, in the order of their precedence.
    pub const PARAMETERS: [&str; 3] = ["ui_locales", "lang", "language"];

    /// Determines the language of a page: from the query, otherwise from the header `Accept-Language`, otherwise English.
    pub fn select(query: &AuthorizeQuery, accept_language: Option<&str>) -> Self {
        let from_header = || Self::from_accept_language(accept_language?);
        Self::from_query(query).or_else(from_header).unwrap_or_default()
    }

    /// Returns the language of the first parameter that names a supported one. A repeated parameter is ignored.
    pub fn from_query(query: &AuthorizeQuery) -> Option<Self> {
        Self::PARAMETERS.into_iter().find_map(|name| Self::from_tags(query.single(name).ok()??))
    }

    /// Returns the first supported language of a list of language tags.
    pub fn from_tags(tags: &str) -> Option<Self> {
        tags.split([' ', ',']).find_map(|tag| match tag.split(['-', '_']).next() {
            Some(primary) if primary.eq_ignore_ascii_case("fr") => Some(Self::Fr),
            Some(primary) if primary.eq_ignore_ascii_case("en") => Some(Self::En),
            _ => None,
        })
    }

    /// Returns the supported language that the header `Accept-Language` (RFC 9110 §12.5.4) prefers.
    pub fn from_accept_language(header: &str) -> Option<Self> {
        let ranges = header.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let language = Self::from_tags(parts.next()?)?;
            let weight = parse_weight(
                parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('=')).unwrap_or("1"),
            )?;
            (weight > 0).then_some((weight, language))
        });
        // Of several ranges with the highest weight, the first one counts.
        let best = ranges.reduce(|best, range| if range.0 > best.0 { range } else { best });
        best.map(|(_, language)| language)
    }

    /// Returns the language that a page offers in addition to this one.
    pub const fn other(self) -> Self {
        match self {
            Self::En => Self::Fr,
            Self::Fr => Self::En,
        }
    }

    /// Returns the language tag (BCP 47), such as `en`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }
}

/// Parses a weight of RFC 9110 §12.4.2: a number from 0 to 1 with at most three decimals. Returns it in thousandths.
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 {
        return None;
    }
    // The parser accepts digits only: a sign would have to come before the whole number.
    format!("{whole}{decimals:0<3}").parse().ok().filter(|weight| *weight <= 1000)
}

/// The validated parameters of an authorization request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRequest {
    /// The provider; if absent, the customer selects one.
    pub provider_id: Option<ProviderId>,
    /// The data clusters that the recipient requested.
    pub clusters: Clusters,
    /// The PKCE challenge, if the request contains one.
    pub code_challenge: Option<String>,
    /// `state`, which is returned unchanged.
    pub state: String,
}

/// Validates the parameters of a request whose client and redirect URI were verified before.
pub fn check(query: &AuthorizeQuery, client: &Client) -> Result<CheckedRequest, OAuthError> {
    if client.profile != Profile::Flinks {
        return Err(OAuthError::new(OAuthCode::UnauthorizedClient, "This client must use the FAPI 2.0 API"));
    }
    super::client_auth::ensure_client_active(client)?;
    let state = query.state()?.ok_or_else(|| OAuthError::for_missing_field("state"))?.to_owned();
    if query.require("response_type")? != "code" {
        return Err(OAuthError::new(OAuthCode::UnsupportedResponseType, "response_type must be code"));
    }
    let clusters = parse_requested_scope(query.require("scope")?, client)?;
    let provider_id =
        query.single("provider_id")?.map(|text| text.parse::<ProviderId>().map_err(|_| INVALID_PROVIDER_ID));
    let provider_id = provider_id.transpose()?;
    if state.len() > MAX_STATE_BYTES {
        return Err(STATE_TOO_LONG);
    }
    Ok(CheckedRequest { provider_id, clusters, code_challenge: parse_code_challenge(query, client)?, state })
}

/// The maximum length of `state`. It is part of the browser's cookie until the customer decides, and cookies are limited.
const MAX_STATE_BYTES: usize = 1500;

const STATE_TOO_LONG: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "state must have at most 1500 bytes");

const INVALID_PROVIDER_ID: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "provider_id must be a positive integer");

fn parse_requested_scope(scope: &str, client: &Client) -> Result<Clusters, OAuthError> {
    let clusters = scope
        .parse::<Clusters>()
        .map_err(|unknown| OAuthError::with_description(OAuthCode::InvalidScope, unknown))?;
    if let Some(beyond) = clusters.first_missing_from(client.scope) {
        return Err(OAuthError::with_description(
            OAuthCode::InvalidScope,
            format_args!("scope {} is not allowed for this client", beyond.as_str()),
        ));
    }
    // Every connection starts with the list of accounts, which needs this cluster.
    if !clusters.contains(DataCluster::AccountBasic) {
        return Err(OAuthError::new(OAuthCode::InvalidScope, "scope must include ACCOUNT_BASIC"));
    }
    Ok(clusters)
}

fn parse_code_challenge(query: &AuthorizeQuery, client: &Client) -> Result<Option<String>, OAuthError> {
    let reject = |description| Err(OAuthError::new(OAuthCode::InvalidRequest, description));
    match (query.single("code_challenge")?, query.single("code_challenge_method")?) {
        (None, None) if client.require_pkce => Err(OAuthError::for_missing_field("code_challenge")),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(OAuthError::for_missing_field("code_challenge")),
        // An absent method means `plain` (RFC 7636 §4.3), which the hub does not support.
        (Some(challenge), Some("S256")) if pkce::is_valid_challenge(challenge) => {
            Ok(Some(challenge.to_owned()))
        }
        (Some(_), Some("S256")) => reject("code_challenge must be 43 characters of base64url"),
        (Some(_), _) => reject("code_challenge_method must be S256"),
    }
}

/// Ensures that a recipient may connect to a provider now.
///
/// This is checked again on the consent page, at the provider's callback and at the exchange of the code, because minutes
/// may pass between these steps.
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

/// Ensures that an authorization request may continue: the recipient may still connect, and its redirect URI is still
/// registered.
pub fn ensure_may_continue(
    client: &Client,
    provider: Option<&Provider>,
    registration: Option<&Registration>,
    redirect_uri: &str,
) -> Result<(), OAuthError> {
    ensure_may_connect(client, provider, registration)?;
    VerifiedRedirect::verify(client, redirect_uri).map(|_| ()).ok_or(REDIRECT_URI_REMOVED)
}

/// Ensures that a code may be redeemed: the checks of the provider's callback still succeed, and recipient and provider still
/// allow all data clusters that the customer consented to.
pub fn ensure_may_redeem(
    client: &Client,
    provider: Option<&Provider>,
    registration: Option<&Registration>,
    redirect_uri: &str,
    clusters: Clusters,
) -> Result<(), OAuthError> {
    ensure_may_continue(client, provider, registration, redirect_uri)?;
    let offered = provider.map_or(Clusters::NONE, |provider| provider.settings.clusters());
    // The scope is not narrowed here: the customer saw the consented scope, and a new login agrees on another one.
    match clusters.first_missing_from(client.scope.intersection(offered)) {
        None => Ok(()),
        Some(missing) => Err(OAuthError::with_description(
            OAuthCode::InvalidScope,
            format_args!("{} is no longer allowed: a new authorization is needed", missing.as_str()),
        )),
    }
}

const REDIRECT_URI_REMOVED: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "redirect_uri is no longer registered");

/// Error for a provider that is paused or retired.
pub const PROVIDER_UNAVAILABLE: OAuthError =
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "The provider cannot be connected at present");

/// Error for a recipient without an active registration.
pub const NOT_REGISTERED: OAuthError = OAuthError::new(
    OAuthCode::UnauthorizedClient,
    "This client has no active registration with the provider",
);

/// Computes the granted scope: the data clusters that are in all four sets, that is requested, granted by the provider,
/// allowed for the recipient and offered by the provider. Without `ACCOUNT_BASIC` the authorization fails.
pub fn compute_granted_scope(
    requested: Clusters,
    provider_granted: Clusters,
    client: Clusters,
    provider: Clusters,
) -> Result<Clusters, OAuthError> {
    let granted = requested.intersection(provider_granted).intersection(client).intersection(provider);
    if granted.contains(DataCluster::AccountBasic) { Ok(granted) } else { Err(SCOPE_NOT_GRANTED) }
}

/// Returns the data clusters that a connection keeps after a refresh whose response grants `granted`; `None` if it keeps all
/// of them. A provider cannot add what the customer did not consent to.
pub fn narrow_scope(agreed: Clusters, granted: Clusters) -> Option<Clusters> {
    let remaining = agreed.intersection(granted);
    (remaining != agreed).then_some(remaining)
}

/// Error for a grant without the data that every connection needs.
pub const SCOPE_NOT_GRANTED: OAuthError =
    OAuthError::new(OAuthCode::InvalidScope, "The provider did not grant ACCOUNT_BASIC");

/// Error for an authorization that the customer denied.
pub const ACCESS_DENIED: OAuthError = OAuthError::new(OAuthCode::AccessDenied, "The user denied the access");

#[cfg(test)]
#[path = "authorize_tests.rs"]
pub(crate) mod tests;
