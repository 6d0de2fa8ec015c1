//! The hub's consent page: the first step of an authorization, before the browser goes to the provider.

use domain::error::OAuthError;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, RequestStepError};
use domain::model::client::Client;
use domain::model::connection::consent_expiry;
use domain::model::provider::Provider;
use domain::rule::authorize::{ACCESS_DENIED, Language, VerifiedRedirect, ensure_may_continue};
use domain::rule::pkce;
use domain::secret::TokenHashes;
use domain::{Clusters, Timestamp};
use store::command::{DenyRequest, SendToProvider, SendToProviderOutcome};
use store::query::{
    GetAuthorizationRequest, GetClient, GetProvider, GetRegistration, ListRecipientProviders,
};

use super::client::load_upstream_client_id;
use super::urls::{authorization_url, callback_uri};
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{SealOwner, SealPurpose};

/// The version of the consent page's text. It is stored with each consent as proof of what the customer agreed to.
const PAGE_VERSION: &str = "2026-11";

/// The content of the consent page, on which the customer agrees or declines.
#[derive(Debug)]
pub struct ConsentPage {
    pub request: AuthorizationRequest,
    pub recipient: String,
    /// The purpose for which the recipient reads data.
    pub purpose: String,
    pub provider: String,
    /// The data clusters that the recipient requests to read.
    pub clusters: Clusters,
    /// The time at which the consent would expire if the customer consented now.
    pub expires_at: Timestamp,
}

/// The reason why a step of an authorization (consent, denial or callback) failed.
#[derive(Debug)]
pub enum ConsentError {
    /// The authorization request belongs to another browser, has already taken this step, has expired or is unknown.
    Rejected(RequestStepError),
    /// The authorization cannot continue, for example because the recipient was suspended. The customer gets a page
    /// that explains this.
    Stopped(Box<AuthorizationStopped>),
    /// The hub or its store failed.
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for ConsentError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// The content of the page for an authorization that cannot continue.
#[derive(Debug)]
pub struct AuthorizationStopped {
    pub language: Language,
    pub recipient: String,
    pub provider: String,
    /// The link back to the recipient, with the error as its parameters. Absent if no redirect is allowed.
    pub return_url: Option<String>,
}

/// Loads the content of the consent page. The cookie must be that of the browser that started the request.
pub async fn load_consent_page(
    ctx: &RequestContext,
    id: &AuthorizationRequestId,
    cookie: &TokenHashes,
) -> Result<ConsentPage, ConsentError> {
    let request = load_pending_request(ctx, id, cookie).await?;
    let (client, provider) = load_client_and_provider(ctx, &request).await?;
    let query = GetRegistration { client_id: client.id.clone(), provider_id: provider.id };
    let registration = ctx.ask(&query).await?;
    let may_continue =
        ensure_may_continue(&client, Some(&provider), registration.as_ref(), &request.redirect_uri);
    if let Err(error) = may_continue {
        let page = build_stopped_page(ctx, &request, client, provider, &error).await?;
        return Err(ConsentError::Stopped(page));
    }
    Ok(ConsentPage {
        recipient: client.name.clone(),
        purpose: purpose_in_language(&client, &request.language).to_owned(),
        provider: provider.settings.name,
        clusters: request.clusters,
        expires_at: consent_expiry(ctx.now(), client.max_duration_days, max_consent_duration(ctx)),
        request,
    })
}

/// Loads an authorization request and ensures that it waits for the decision of the customer in this browser.
async fn load_pending_request(
    ctx: &RequestContext,
    id: &AuthorizationRequestId,
    cookie: &TokenHashes,
) -> Result<AuthorizationRequest, ConsentError> {
    let request = ctx.ask(&GetAuthorizationRequest { id: id.clone() }).await?;
    let request = request.ok_or(ConsentError::Rejected(RequestStepError::Unknown))?;
    request
        .ensure_step_allowed(RequestStatus::AwaitingConsent, cookie, ctx.now())
        .map_err(ConsentError::Rejected)?;
    Ok(request)
}

/// Returns the owner of the sealed values of a login, which is also that of the connection that it opens.
pub(super) const fn login_owner(request: &AuthorizationRequest) -> SealOwner<'_> {
    SealOwner::for_connection(&request.connection_id, &request.client_id, request.provider_id)
}

/// Records the customer's consent and returns the provider's authorization URL.
pub async fn approve(
    ctx: &RequestContext,
    id: &AuthorizationRequestId,
    cookie: TokenHashes,
) -> Result<String, ConsentError> {
    let request = load_pending_request(ctx, id, &cookie).await?;
    let (client, provider) = load_client_and_provider(ctx, &request).await?;
    let (state, verifier) = (ctx.random_secret()?, ctx.random_secret()?);
    let vault = ctx.app().vault();
    let owner = login_owner(&request);
    let key = vault.unwrap_data_key(&request.data_key, owner, SealPurpose::LoginKey)?;
    // The command checks all conditions again and locks the request: the client may have been suspended while the
    // customer read the page, or the form may have been submitted twice.
    let command = SendToProvider {
        moment: ctx.new_moment()?,
        request_id: request.id.clone(),
        cookie,
        state_hash: vault.hash(state.expose()),
        verifier: key.seal(&owner.bind(SealPurpose::PkceVerifier), verifier.expose().as_bytes())?,
        purpose: purpose_in_language(&client, &request.language).to_owned(),
        page_version: PAGE_VERSION.to_owned(),
    };
    let SendToProviderOutcome { request, may_continue } =
        ctx.run(command).await?.map_err(ConsentError::Rejected)?;
    if let Err(error) = may_continue {
        return Err(ConsentError::Stopped(load_stopped_page(ctx, &request, &error).await?));
    }
    let settings = &provider.settings;
    let url = authorization_url(
        &provider,
        &[
            ("response_type", "code"),
            ("client_id", &load_upstream_client_id(ctx, &provider, &request.client_id).await?),
            ("redirect_uri", &callback_uri(ctx.app().public_url(), provider.id)),
            ("scope", &settings.scope_for(request.clusters)),
            // The hub generates its own `state` and PKCE values. The recipient's values never reach the provider.
            ("state", state.expose()),
            ("code_challenge", &pkce::compute_challenge(verifier.expose())),
            ("code_challenge_method", "S256"),
            // OpenID Connect Core §3.1.2.1. A provider that does not know the parameter ignores it (RFC 6749 §3.1).
            ("ui_locales", &request.language),
        ],
    );
    Ok(url.ok_or(InternalError::new("the authorization endpoint of a provider is not a URL"))?)
}

/// Records that the customer declined and returns the recipient's redirect URI with the error.
///
/// If the recipient may not receive redirects, the returned error contains a page for the customer.
pub async fn deny(
    ctx: &RequestContext,
    id: &AuthorizationRequestId,
    cookie: TokenHashes,
) -> Result<String, ConsentError> {
    let command = DenyRequest { moment: ctx.new_moment()?, request_id: id.clone(), cookie };
    let request = ctx.run(command).await?.map_err(ConsentError::Rejected)?;
    let mut page = load_stopped_page(ctx, &request, &ACCESS_DENIED).await?;
    page.return_url.take().ok_or(ConsentError::Stopped(page))
}

/// Builds the page for an authorization that cannot continue, with the current data of the recipient and the provider.
async fn load_stopped_page(
    ctx: &RequestContext,
    request: &AuthorizationRequest,
    error: &OAuthError,
) -> Result<Box<AuthorizationStopped>, InternalError> {
    // Both are loaded again, because the recipient may have changed since the check, and the page must use its current
    // redirect URIs.
    let (client, provider) = load_client_and_provider(ctx, request).await?;
    build_stopped_page(ctx, request, client, provider, error).await
}

async fn build_stopped_page(
    ctx: &RequestContext,
    request: &AuthorizationRequest,
    client: Client,
    provider: Provider,
    error: &OAuthError,
) -> Result<Box<AuthorizationStopped>, InternalError> {
    let return_url = if may_redirect(ctx, &client).await? {
        build_client_redirect(&client, request, Err(error))
    } else {
        None
    };
    Ok(Box::new(AuthorizationStopped {
        language: Language::from_tags(&request.language),
        recipient: client.name,
        provider: provider.settings.name,
        return_url,
    }))
}

/// Returns whether browsers may be redirected to a recipient: it needs an active registration with some provider.
///
/// Without this rule the hub would be an open redirector (RFC 9700 §4.11.2): anyone who can submit a recipient for
/// registration could use the hub's name for links to any site.
pub async fn may_redirect(ctx: &RequestContext, client: &Client) -> Result<bool, InternalError> {
    Ok(!ctx.ask(&ListRecipientProviders { client_id: client.id.clone() }).await?.is_empty())
}

/// Builds the redirect to the recipient with a code or an error. Returns `None` if the recipient no longer has the
/// redirect URI.
pub(super) fn build_client_redirect(
    client: &Client,
    request: &AuthorizationRequest,
    result: Result<&str, &OAuthError>,
) -> Option<String> {
    let redirect = VerifiedRedirect::verify(client, &request.redirect_uri)?;
    Some(build_redirect_url(&redirect, request.client_state.as_deref(), result))
}

/// Builds a redirect URI with a code (RFC 6749 §4.1.2) or an error (RFC 6749 §4.1.2.1).
pub fn build_redirect_url(
    redirect: &VerifiedRedirect,
    state: Option<&str>,
    result: Result<&str, &OAuthError>,
) -> String {
    let mut params = match result {
        Ok(code) => vec![("code", code)],
        Err(error) => vec![("error", error.code.as_str()), ("error_description", &*error.description)],
    };
    params.extend(state.map(|state| ("state", state)));
    redirect.with_params(&params)
}

/// Loads the recipient and the provider of an authorization request.
pub(super) async fn load_client_and_provider(
    ctx: &RequestContext,
    request: &AuthorizationRequest,
) -> Result<(Client, Provider), InternalError> {
    let client = ctx.ask(&GetClient { id: request.client_id.clone() }).await?;
    let provider = ctx.ask(&GetProvider { id: request.provider_id }).await?;
    client.zip(provider).ok_or_else(|| {
        InternalError::new("the recipient or the provider of an authorization request does not exist")
    })
}

/// Returns the longest consent that the configuration allows.
pub(super) fn max_consent_duration(ctx: &RequestContext) -> std::time::Duration {
    ctx.app().config().connection.max_duration.duration()
}

fn purpose_in_language<'a>(client: &'a Client, language: &str) -> &'a str {
    if language == "fr" { &client.purpose.fr } else { &client.purpose.en }
}
