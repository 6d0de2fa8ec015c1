//! The hub's consent page: who asks, for what, until when. Nothing goes to the provider before a yes.

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

/// The version of the consent page's text: recorded with every consent.
const PAGE_VERSION: &str = "2026-11";

/// What the consent page shows.
#[derive(Debug)]
pub struct ConsentPage {
    /// The request that it is for.
    pub request: AuthorizationRequest,
    /// The recipient's name.
    pub recipient: String,
    /// Why it reads data.
    pub purpose: String,
    /// The provider's name.
    pub provider: String,
    /// What may be read.
    pub clusters: Clusters,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Why a step of the browser's way cannot be taken.
#[derive(Debug)]
pub enum ConsentError {
    /// It is not this browser's, taken already, or too late: a page.
    Rejected(RequestStepError),
    /// The recipient may not connect any more: a page that says so.
    Stopped(Box<AuthorizationStopped>),
    /// Our own trouble.
    Internal(InternalError),
}

/// What the page shows of a request that may not go on.
#[derive(Debug)]
pub struct AuthorizationStopped {
    /// The language of the page.
    pub language: Language,
    /// The recipient's name.
    pub recipient: String,
    /// The provider's name.
    pub provider: String,
    /// Where the recipient is told why; none if it may send nobody there.
    pub return_url: Option<String>,
}

impl<E: Into<InternalError>> From<E> for ConsentError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// What is shown to the browser that began a request.
pub async fn load_consent_page(
    ctx: &RequestContext,
    id: &AuthorizationRequestId,
    cookie: &TokenHashes,
) -> Result<ConsentPage, ConsentError> {
    let request = load_pending_request(ctx, id, cookie).await?;
    let (client, provider) = load_client_and_provider(ctx, &request).await?;
    let registered = GetRegistration { client_id: client.id.clone(), provider_id: provider.id };
    let registration = ctx.ask(&registered).await?;
    let may_continue =
        ensure_may_continue(&client, Some(&provider), registration.as_ref(), &request.redirect_uri);
    if let Err(error) = may_continue {
        return Err(ConsentError::Stopped(
            build_stopped_page(ctx, &request, (client, provider), &error).await?,
        ));
    }
    Ok(ConsentPage {
        recipient: client.name.clone(),
        purpose: purpose(&client, &request.language).to_owned(),
        provider: provider.settings.name,
        clusters: request.clusters,
        expires_at: consent_expiry(ctx.now(), client.max_duration_days, max_consent_duration(ctx)),
        request,
    })
}

/// A request whose customer has not decided yet.
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

/// The customer says yes: where the browser goes now. Whether the request may go on is decided with its row locked.
pub async fn approve(
    ctx: &RequestContext,
    id: &AuthorizationRequestId,
    cookie: TokenHashes,
) -> Result<String, ConsentError> {
    let request = load_pending_request(ctx, id, &cookie).await?;
    let (client, provider) = load_client_and_provider(ctx, &request).await?;
    let (state, verifier) = (ctx.random_secret()?, ctx.random_secret()?);
    let vault = ctx.app().vault();
    let connection = request.connection_id.as_str();
    let key = vault.unwrap_data_key(&request.data_key, connection)?;
    let command = SendToProvider {
        moment: ctx.new_moment()?,
        request_id: request.id.clone(),
        cookie,
        state_hash: vault.hash(state.expose()),
        verifier: key.seal(connection, verifier.expose().as_bytes())?,
        purpose: purpose(&client, &request.language).to_owned(),
        page_version: PAGE_VERSION.to_owned(),
    };
    let SendToProviderOutcome { request, may_continue } =
        ctx.run(command).await?.map_err(ConsentError::Rejected)?;
    if let Err(error) = may_continue {
        return Err(ConsentError::Stopped(
            build_stopped_page(ctx, &request, load_client_and_provider(ctx, &request).await?, &error).await?,
        ));
    }
    let settings = &provider.settings;
    let url = authorization_url(
        &provider,
        &[
            ("response_type", "code"),
            ("client_id", &load_upstream_client_id(ctx, &provider, &request.client_id).await?),
            ("redirect_uri", &callback_uri(ctx.app().public_url(), provider.id)),
            ("scope", &settings.scope_for(request.clusters)),
            ("state", state.expose()),
            ("code_challenge", &pkce::compute_challenge(verifier.expose())),
            ("code_challenge_method", "S256"),
            ("ui_locales", &request.language),
        ],
    );
    url.ok_or_else(|| {
        ConsentError::Internal(InternalError::new("a provider's authorization endpoint is no URL"))
    })
}

/// The customer says no: where the browser goes now. Where the recipient may send nobody, a page says that it is over.
pub async fn deny(
    ctx: &RequestContext,
    id: &AuthorizationRequestId,
    cookie: TokenHashes,
) -> Result<String, ConsentError> {
    let command = DenyRequest { moment: ctx.new_moment()?, request_id: id.clone(), cookie };
    let request = ctx.run(command).await?.map_err(ConsentError::Rejected)?;
    let mut page =
        build_stopped_page(ctx, &request, load_client_and_provider(ctx, &request).await?, &ACCESS_DENIED)
            .await?;
    page.return_url.take().ok_or(ConsentError::Stopped(page))
}

/// The page of a request that may not go on. The customer is told here, and the recipient by the way back.
async fn build_stopped_page(
    ctx: &RequestContext,
    request: &AuthorizationRequest,
    (client, provider): (Client, Provider),
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

/// Whether a recipient may send anybody anywhere: one without any active registration may not, for the hub is no open
/// redirector.
pub async fn may_redirect(ctx: &RequestContext, client: &Client) -> Result<bool, InternalError> {
    Ok(!ctx.ask(&ListRecipientProviders { client_id: client.id.clone() }).await?.is_empty())
}

/// The recipient's redirect URI with a code or an error; none if the URI is registered no more.
pub(super) fn build_client_redirect(
    client: &Client,
    request: &AuthorizationRequest,
    result: Result<&str, &OAuthError>,
) -> Option<String> {
    let redirect = VerifiedRedirect::verify(client, &request.redirect_uri)?;
    Some(build_redirect_url(&redirect, request.client_state.as_deref(), result))
}

/// A redirect URI with a code or an error (RFC 6749 §4.1.2, §4.1.2.1).
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

/// The recipient and the provider of a request.
pub(super) async fn load_client_and_provider(
    ctx: &RequestContext,
    request: &AuthorizationRequest,
) -> Result<(Client, Provider), InternalError> {
    let client = ctx.ask(&GetClient { id: request.client_id.clone() }).await?;
    let provider = ctx.ask(&GetProvider { id: request.provider_id }).await?;
    client.zip(provider).ok_or_else(|| InternalError::new("a request has lost its recipient or its provider"))
}

/// How long a consent may last at most.
pub(super) fn max_consent_duration(ctx: &RequestContext) -> std::time::Duration {
    ctx.app().config().connection.max_duration.duration()
}

fn purpose<'a>(client: &'a Client, language: &str) -> &'a str {
    if language == "fr" { &client.purpose.fr } else { &client.purpose.en }
}
