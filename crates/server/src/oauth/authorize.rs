//! `GET /api/v1/authorize`: who asks, where the answer goes, for what; then the consent page.

use std::time::Duration;

use domain::Secret;
use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::client::Client;
use domain::model::provider::ProviderState;
use domain::rule::authorize::{
    ACCESS_DENIED, AuthorizePageError, AuthorizeQuery, CheckedRequest, Language, NOT_REGISTERED,
    PROVIDER_UNAVAILABLE, VerifiedRedirect, check, ensure_may_connect, resolve_redirect,
};
use store::command::OpenAuthorizationRequest;
use store::query::{GetClient, GetProvider, GetRegistration, ListRecipientProviders};

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::upstream::{build_redirect_url, may_redirect};

/// How long a browser may take from here to the provider's answer.
pub const REQUEST_TTL: Duration = Duration::from_mins(20);

/// What a well-formed request begins with.
#[derive(Debug)]
pub enum AuthorizeOutcome {
    /// Its consent page waits.
    Consent {
        /// The request.
        id: AuthorizationRequestId,
        /// What binds the browser to it.
        cookie: Secret<String>,
    },
    /// The customer picks a provider first. Nothing is kept yet: the same request comes again with it.
    Pick(Picker),
}

/// What the page to pick a provider shows.
#[derive(Debug)]
pub struct Picker {
    /// The language of the page.
    pub language: Language,
    /// The recipient's name.
    pub recipient: String,
    /// The providers that can be connected, by name.
    pub providers: Vec<(ProviderId, String)>,
    /// The parameters of the request, to be sent again.
    pub parameters: Vec<(String, String)>,
    /// Where the browser goes if the customer does not want to.
    pub declined: String,
}

/// The parameters that a picker sends again. What is not known is left behind.
const FORWARDED_PARAMETERS: [&str; 11] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "ui_locales",
    "lang",
    "language",
    "correlation_id",
];

/// Why nothing began.
#[derive(Debug)]
pub enum AuthorizeError {
    /// A page for the person in front of the browser: the recipient is not one that may redirect.
    Page(AuthorizePageError),
    /// An answer to the recipient: where the browser goes.
    Redirect(String),
    /// Our own trouble.
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for AuthorizeError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// Checks a request and keeps it.
pub async fn begin_authorization(
    ctx: &RequestContext,
    query: &AuthorizeQuery,
) -> Result<AuthorizeOutcome, AuthorizeError> {
    let client = match query.single("client_id").ok().flatten().map(ClientId::parse) {
        Some(Ok(id)) => ctx.ask(&GetClient { id }).await?,
        _ => None,
    };
    let to = resolve_redirect(query, client.as_ref()).map_err(AuthorizeError::Page)?;
    let client = client.ok_or(AuthorizeError::Page(AuthorizePageError::UnknownClient))?;
    let checked = match check_request(ctx, query, &client).await? {
        Ok(checked) => checked,
        Err(error) => return Err(build_rejection(ctx, query, &client, &to, &error).await?),
    };
    match checked.provider_id {
        Some(provider_id) => open_request(ctx, query, client, to, provider_id, checked).await,
        None => match build_picker(ctx, query, &client, &to).await? {
            Ok(picker) => Ok(AuthorizeOutcome::Pick(picker)),
            Err(error) => Err(build_rejection(ctx, query, &client, &to, &error).await?),
        },
    }
}

/// The providers that the recipient may use now; an error if there is none.
async fn build_picker(
    ctx: &RequestContext,
    query: &AuthorizeQuery,
    client: &Client,
    to: &VerifiedRedirect,
) -> Result<Result<Picker, OAuthError>, InternalError> {
    let registered = ctx.ask(&ListRecipientProviders { client_id: client.id.clone() }).await?;
    let open = registered.iter().filter(|p| p.state == ProviderState::Active);
    let providers: Vec<_> = open.map(|p| (p.id, p.settings.name.clone())).collect();
    if providers.is_empty() {
        return Ok(Err(if registered.is_empty() { NOT_REGISTERED } else { PROVIDER_UNAVAILABLE }));
    }
    let kept = query.0.iter().filter(|(name, _)| FORWARDED_PARAMETERS.contains(&name.as_str()));
    Ok(Ok(Picker {
        language: Language::from_query(query),
        recipient: client.name.clone(),
        providers,
        parameters: kept.cloned().collect(),
        declined: build_redirect_url(to, query.state().ok().flatten(), Err(&ACCESS_DENIED)),
    }))
}

async fn check_request(
    ctx: &RequestContext,
    query: &AuthorizeQuery,
    client: &Client,
) -> Result<Result<CheckedRequest, OAuthError>, InternalError> {
    let checked = match check(query, client) {
        Ok(checked) => checked,
        Err(error) => return Ok(Err(error)),
    };
    let Some(provider_id) = checked.provider_id else { return Ok(Ok(checked)) };
    let provider = ctx.ask(&GetProvider { id: provider_id }).await?;
    let client_id = client.id.clone();
    let registration = ctx.ask(&GetRegistration { client_id, provider_id }).await?;
    Ok(ensure_may_connect(client, provider.as_ref(), registration.as_ref()).map(|()| checked))
}

/// An answer to a recipient that may have it; a page otherwise.
async fn build_rejection(
    ctx: &RequestContext,
    query: &AuthorizeQuery,
    client: &Client,
    to: &VerifiedRedirect,
    error: &OAuthError,
) -> Result<AuthorizeError, InternalError> {
    if !may_redirect(ctx, client).await? {
        return Ok(AuthorizeError::Page(AuthorizePageError::UnknownClient));
    }
    let state = query.state().ok().flatten();
    Ok(AuthorizeError::Redirect(build_redirect_url(to, state, Err(error))))
}

async fn open_request(
    ctx: &RequestContext,
    query: &AuthorizeQuery,
    client: Client,
    to: VerifiedRedirect,
    provider_id: ProviderId,
    checked: CheckedRequest,
) -> Result<AuthorizeOutcome, AuthorizeError> {
    let mut ids = ctx.new_id_source()?;
    let (id, connection_id) = (ids.mint::<AuthorizationRequestId>(), ids.mint::<ConnectionId>());
    let vault = ctx.app().vault();
    let (_, data_key) = vault.create_data_key(ctx.random_bytes()?, connection_id.as_str())?;
    let cookie = ctx.random_secret()?;
    let request = AuthorizationRequest {
        id: id.clone(),
        connection_id,
        client_id: client.id,
        provider_id,
        redirect_uri: to.as_str().to_owned(),
        clusters: checked.clusters,
        client_state: Some(checked.state),
        code_challenge: checked.code_challenge,
        language: Language::from_query(query).as_str().to_owned(),
        status: RequestStatus::AwaitingConsent,
        cookie_hash: vault.hash(cookie.expose()),
        data_key,
        verifier: None,
        purpose: None,
        page_version: None,
        agreed_at: None,
        correlation_id: ctx.correlation_id().to_owned(),
        created_at: ctx.now(),
        expires_at: ctx.now().plus(REQUEST_TTL),
    };
    ctx.run(OpenAuthorizationRequest { moment: ctx.new_moment()?, request }).await?;
    Ok(AuthorizeOutcome::Consent { id, cookie })
}
