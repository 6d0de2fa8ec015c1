//! The hub's consent page: who asks, for what, until when. Nothing goes to the provider before a yes.

use domain::error::OAuthError;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, StepRefusal};
use domain::model::client::Client;
use domain::model::connection::consent_end;
use domain::model::provider::Provider;
use domain::rule::authorize::{DENIED, Language, VerifiedRedirect, may_go_on};
use domain::rule::pkce;
use domain::secret::TokenHashes;
use domain::{Clusters, Timestamp};
use store::command::{DenyRequest, SendToProvider, Stepped};
use store::query::{ClientById, ProviderById, ProvidersOf, RegistrationOf, RequestById};

use super::own_client::own_client_id;
use super::provider::{authorization_url, callback_uri};
use crate::ctx::Ctx;
use crate::fault::Fault;

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
    pub until: Timestamp,
}

/// Why a step of the browser's way cannot be taken.
#[derive(Debug)]
pub enum StepError {
    /// It is not this browser's, taken already, or too late: a page.
    Refused(StepRefusal),
    /// The recipient may not connect any more: a page that says so.
    Stopped(Box<Stopped>),
    /// Our own trouble.
    Fault(Fault),
}

/// What the page shows of a request that may not go on.
#[derive(Debug)]
pub struct Stopped {
    /// The language of the page.
    pub language: Language,
    /// The recipient's name.
    pub recipient: String,
    /// The provider's name.
    pub provider: String,
    /// Where the recipient is told why; none if it may send nobody there.
    pub back: Option<String>,
}

impl<E: Into<Fault>> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// What is shown to the browser that began a request.
pub async fn consent_page(
    ctx: &Ctx,
    id: &AuthorizationRequestId,
    cookie: &TokenHashes,
) -> Result<ConsentPage, StepError> {
    let request = awaited(ctx, id, cookie).await?;
    let (client, provider) = parties(ctx, &request).await?;
    let registered = RegistrationOf { client_id: client.id.clone(), provider_id: provider.id };
    let registration = ctx.ask(&registered).await?;
    let goes_on = may_go_on(&client, Some(&provider), registration.as_ref(), &request.redirect_uri);
    if let Err(error) = goes_on {
        return Err(StepError::Stopped(stopped(ctx, &request, (client, provider), &error).await?));
    }
    Ok(ConsentPage {
        recipient: client.name.clone(),
        purpose: purpose(&client, &request.language).to_owned(),
        provider: provider.settings.name,
        clusters: request.clusters,
        until: consent_end(ctx.now(), client.max_duration_days, max_duration(ctx)),
        request,
    })
}

/// A request whose customer has not decided yet.
async fn awaited(
    ctx: &Ctx,
    id: &AuthorizationRequestId,
    cookie: &TokenHashes,
) -> Result<AuthorizationRequest, StepError> {
    let request = ctx.ask(&RequestById { id: id.clone() }).await?;
    let request = request.ok_or(StepError::Refused(StepRefusal::Unknown))?;
    request.step(RequestStatus::AwaitingConsent, cookie, ctx.now()).map_err(StepError::Refused)?;
    Ok(request)
}

/// The customer says yes: where the browser goes now. Whether the request may go on is decided with its row locked.
pub async fn approve(
    ctx: &Ctx,
    id: &AuthorizationRequestId,
    cookie: TokenHashes,
) -> Result<String, StepError> {
    let request = awaited(ctx, id, &cookie).await?;
    let (client, provider) = parties(ctx, &request).await?;
    let (state, verifier) = (ctx.secret()?, ctx.secret()?);
    let vault = ctx.app().vault();
    let connection = request.connection_id.as_str();
    let key = vault.unwrap(&request.data_key, connection)?;
    let sent = SendToProvider {
        moment: ctx.moment()?,
        request_id: request.id.clone(),
        cookie,
        state_hash: vault.hash(state.expose()),
        verifier: key.seal(connection, verifier.expose().as_bytes())?,
        purpose: purpose(&client, &request.language).to_owned(),
        page_version: PAGE_VERSION.to_owned(),
    };
    let Stepped { request, goes_on } = ctx.run(sent).await?.map_err(StepError::Refused)?;
    if let Err(error) = goes_on {
        return Err(StepError::Stopped(stopped(ctx, &request, parties(ctx, &request).await?, &error).await?));
    }
    let settings = &provider.settings;
    let url = authorization_url(
        &provider,
        &[
            ("response_type", "code"),
            ("client_id", &own_client_id(ctx, &provider, &request.client_id).await?),
            ("redirect_uri", &callback_uri(ctx.app().public_url(), provider.id)),
            ("scope", &settings.scope_for(request.clusters)),
            ("state", state.expose()),
            ("code_challenge", &pkce::challenge(verifier.expose())),
            ("code_challenge_method", "S256"),
            ("ui_locales", &request.language),
        ],
    );
    url.ok_or_else(|| StepError::Fault(Fault::new("a provider's authorization endpoint is no URL")))
}

/// The customer says no: where the browser goes now. Where the recipient may send nobody, a page says that it is over.
pub async fn deny(ctx: &Ctx, id: &AuthorizationRequestId, cookie: TokenHashes) -> Result<String, StepError> {
    let denied = DenyRequest { moment: ctx.moment()?, request_id: id.clone(), cookie };
    let request = ctx.run(denied).await?.map_err(StepError::Refused)?;
    let mut page = stopped(ctx, &request, parties(ctx, &request).await?, &DENIED).await?;
    page.back.take().ok_or(StepError::Stopped(page))
}

/// The page of a request that may not go on. The customer is told here, and the recipient by the way back.
async fn stopped(
    ctx: &Ctx,
    request: &AuthorizationRequest,
    (client, provider): (Client, Provider),
    error: &OAuthError,
) -> Result<Box<Stopped>, Fault> {
    let back = if may_redirect(ctx, &client).await? { answer(&client, request, Err(error)) } else { None };
    Ok(Box::new(Stopped {
        language: Language::from_tags(&request.language),
        recipient: client.name,
        provider: provider.settings.name,
        back,
    }))
}

/// Whether a recipient may send anybody anywhere: one without any active registration may not, for the hub is no open
/// redirector.
pub async fn may_redirect(ctx: &Ctx, client: &Client) -> Result<bool, Fault> {
    Ok(!ctx.ask(&ProvidersOf { client_id: client.id.clone() }).await?.is_empty())
}

/// The recipient's redirect URI with a code or an error; none if the URI is registered no more.
pub(super) fn answer(
    client: &Client,
    request: &AuthorizationRequest,
    what: Result<&str, &OAuthError>,
) -> Option<String> {
    let redirect = VerifiedRedirect::verify(client, &request.redirect_uri)?;
    Some(redirect_answer(&redirect, request.client_state.as_deref(), what))
}

/// A redirect URI with a code or an error (RFC 6749 §4.1.2, §4.1.2.1).
pub fn redirect_answer(
    redirect: &VerifiedRedirect,
    state: Option<&str>,
    what: Result<&str, &OAuthError>,
) -> String {
    let mut answer = match what {
        Ok(code) => vec![("code", code)],
        Err(error) => vec![("error", error.code.as_str()), ("error_description", &*error.description)],
    };
    answer.extend(state.map(|state| ("state", state)));
    redirect.with(&answer)
}

/// The recipient and the provider of a request.
pub(super) async fn parties(ctx: &Ctx, request: &AuthorizationRequest) -> Result<(Client, Provider), Fault> {
    let client = ctx.ask(&ClientById { id: request.client_id.clone() }).await?;
    let provider = ctx.ask(&ProviderById { id: request.provider_id }).await?;
    client.zip(provider).ok_or_else(|| Fault::new("a request has lost its recipient or its provider"))
}

/// How long a consent may last at most.
pub(super) fn max_duration(ctx: &Ctx) -> std::time::Duration {
    ctx.app().config().connection.max_duration.duration()
}

fn purpose<'a>(client: &'a Client, language: &str) -> &'a str {
    if language == "fr" { &client.purpose.fr } else { &client.purpose.en }
}
