//! `GET /api/v1/authorize`: who asks, where the answer goes, for what; then the consent page.

use std::time::Duration;

use domain::Secret;
use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::client::Client;
use domain::model::provider::ProviderState;
use domain::rule::authorize::{
    CheckedRequest, DENIED, Language, NOT_NOW, NOT_REGISTERED, PageRefusal, Query, VerifiedRedirect, check,
    may_connect, redirect,
};
use store::command::OpenAuthorizationRequest;
use store::query::{ClientById, ProviderById, ProvidersOf, RegistrationOf};

use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::hub::{may_redirect, redirect_answer};

/// How long a browser may take from here to the provider's answer.
pub const REQUEST_LIFE: Duration = Duration::from_mins(20);

/// What a well-formed request begins with.
#[derive(Debug)]
pub enum Begun {
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
const REPEATED: [&str; 11] = [
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
pub enum NotBegun {
    /// A page for the person in front of the browser: the recipient is not one that may redirect.
    Page(PageRefusal),
    /// An answer to the recipient: where the browser goes.
    Redirect(String),
    /// Our own trouble.
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for NotBegun {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// Checks a request and keeps it.
pub async fn begin(ctx: &Ctx, query: &Query) -> Result<Begun, NotBegun> {
    let client = match query.single("client_id").ok().flatten().map(ClientId::parse) {
        Some(Ok(id)) => ctx.ask(&ClientById { id }).await?,
        _ => None,
    };
    let to = redirect(query, client.as_ref()).map_err(NotBegun::Page)?;
    let client = client.ok_or(NotBegun::Page(PageRefusal::UnknownClient))?;
    let checked = match checked(ctx, query, &client).await? {
        Ok(checked) => checked,
        Err(error) => return Err(refused(ctx, query, &client, &to, &error).await?),
    };
    match checked.provider_id {
        Some(provider_id) => open(ctx, query, client, to, provider_id, checked).await,
        None => match picker(ctx, query, &client, &to).await? {
            Ok(picker) => Ok(Begun::Pick(picker)),
            Err(error) => Err(refused(ctx, query, &client, &to, &error).await?),
        },
    }
}

/// The providers that the recipient may use now; an error if there is none.
async fn picker(
    ctx: &Ctx,
    query: &Query,
    client: &Client,
    to: &VerifiedRedirect,
) -> Result<Result<Picker, OAuthError>, Fault> {
    let registered = ctx.ask(&ProvidersOf { client_id: client.id.clone() }).await?;
    let open = registered.iter().filter(|p| p.state == ProviderState::Active);
    let providers: Vec<_> = open.map(|p| (p.id, p.settings.name.clone())).collect();
    if providers.is_empty() {
        return Ok(Err(if registered.is_empty() { NOT_REGISTERED } else { NOT_NOW }));
    }
    let kept = query.0.iter().filter(|(name, _)| REPEATED.contains(&name.as_str()));
    Ok(Ok(Picker {
        language: Language::of(query),
        recipient: client.name.clone(),
        providers,
        parameters: kept.cloned().collect(),
        declined: redirect_answer(to, query.state().ok().flatten(), Err(&DENIED)),
    }))
}

async fn checked(
    ctx: &Ctx,
    query: &Query,
    client: &Client,
) -> Result<Result<CheckedRequest, OAuthError>, Fault> {
    let checked = match check(query, client) {
        Ok(checked) => checked,
        Err(error) => return Ok(Err(error)),
    };
    let Some(provider_id) = checked.provider_id else { return Ok(Ok(checked)) };
    let provider = ctx.ask(&ProviderById { id: provider_id }).await?;
    let client_id = client.id.clone();
    let registration = ctx.ask(&RegistrationOf { client_id, provider_id }).await?;
    Ok(may_connect(client, provider.as_ref(), registration.as_ref()).map(|()| checked))
}

/// An answer to a recipient that may have it; a page otherwise.
async fn refused(
    ctx: &Ctx,
    query: &Query,
    client: &Client,
    to: &VerifiedRedirect,
    error: &OAuthError,
) -> Result<NotBegun, Fault> {
    if !may_redirect(ctx, client).await? {
        return Ok(NotBegun::Page(PageRefusal::UnknownClient));
    }
    let state = query.state().ok().flatten();
    Ok(NotBegun::Redirect(redirect_answer(to, state, Err(error))))
}

async fn open(
    ctx: &Ctx,
    query: &Query,
    client: Client,
    to: VerifiedRedirect,
    provider_id: ProviderId,
    checked: CheckedRequest,
) -> Result<Begun, NotBegun> {
    let mut ids = ctx.ids()?;
    let (id, connection_id) = (ids.mint::<AuthorizationRequestId>(), ids.mint::<ConnectionId>());
    let vault = ctx.app().vault();
    let (_, data_key) = vault.data_key(ctx.random()?, connection_id.as_str())?;
    let cookie = ctx.secret()?;
    let request = AuthorizationRequest {
        id: id.clone(),
        connection_id,
        client_id: client.id,
        provider_id,
        redirect_uri: to.as_str().to_owned(),
        clusters: checked.clusters,
        client_state: Some(checked.state),
        code_challenge: checked.code_challenge,
        language: Language::of(query).as_str().to_owned(),
        status: RequestStatus::AwaitingConsent,
        cookie_hash: vault.hash(cookie.expose()),
        data_key,
        verifier: None,
        purpose: None,
        page_version: None,
        agreed_at: None,
        correlation_id: ctx.correlation_id().to_owned(),
        created_at: ctx.now(),
        expires_at: ctx.now().plus(REQUEST_LIFE),
    };
    ctx.run(OpenAuthorizationRequest { moment: ctx.moment()?, request }).await?;
    Ok(Begun::Consent { id, cookie })
}
