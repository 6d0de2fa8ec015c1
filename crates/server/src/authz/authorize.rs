//! `GET /api/v1/authorize`: who asks, where the answer goes, for what; then the consent page.

use std::time::Duration;

use domain::Secret;
use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ClientId, ConnectionId};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus};
use domain::model::client::Client;
use domain::rule::authorize::{
    CheckedRequest, Language, PageRefusal, Query, VerifiedRedirect, check, may_connect, redirect,
};
use store::command::OpenAuthorizationRequest;
use store::query::{ClientById, HasActiveRegistration, ProviderById, RegistrationOf};

use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::hub::redirect_answer;

/// How long a browser may take from here to the provider's answer.
pub const REQUEST_LIFE: Duration = Duration::from_mins(20);

/// A request whose consent page waits.
#[derive(Debug)]
pub struct Begun {
    /// The request.
    pub id: AuthorizationRequestId,
    /// What binds the browser to it.
    pub cookie: Secret<String>,
}

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
    open(ctx, query, client, to, checked).await
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
    let provider = ctx.ask(&ProviderById { id: checked.provider_id }).await?;
    let (client_id, provider_id) = (client.id.clone(), checked.provider_id);
    let registration = ctx.ask(&RegistrationOf { client_id, provider_id }).await?;
    Ok(may_connect(client, provider.as_ref(), registration.as_ref()).map(|()| checked))
}

/// A recipient without any active registration redirects nobody: the hub is no open redirector.
async fn refused(
    ctx: &Ctx,
    query: &Query,
    client: &Client,
    to: &VerifiedRedirect,
    error: &OAuthError,
) -> Result<NotBegun, Fault> {
    if !ctx.ask(&HasActiveRegistration { client_id: client.id.clone() }).await? {
        return Ok(NotBegun::Page(PageRefusal::UnknownClient));
    }
    let state = query.single("state").ok().flatten();
    Ok(NotBegun::Redirect(redirect_answer(to, state, Err(error))))
}

async fn open(
    ctx: &Ctx,
    query: &Query,
    client: Client,
    to: VerifiedRedirect,
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
        provider_id: checked.provider_id,
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
    Ok(Begun { id, cookie })
}
