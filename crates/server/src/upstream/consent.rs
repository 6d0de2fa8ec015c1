//! The hub's consent page: the first step of an authorization, before the browser goes to the provider.

use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::{RequestStatus, RequestStepError};
use domain::model::client::Client;
use domain::model::connection::consent_expiry;
use domain::rule::authorization_progress::AuthorizationProgress;
use domain::rule::authorize::{ACCESS_DENIED, Language, ensure_may_continue};
use domain::{Clusters, Timestamp};
use store::command::{DenyRequest, SendToProvider};
use store::query::GetRegistration;

use super::authorization_url::{ConsentedLogin, build_provider_url};
use super::discovery::ensure_endpoints;
use super::dpop::choose_dpop_key;
use super::grant_secret::{GrantSecret, at_endpoints};
use super::login::{
    BrowserFlow, Login, LoginError, LoginPage, login_owner, max_consent_duration, open_verifier,
    request_language,
};
use super::recipient_code::replace_code;
use crate::context::RequestContext;
use crate::vault::SealPurpose;

/// The version of the consent page's text. It is stored with each consent as proof of what the customer agreed to.
const PAGE_VERSION: &str = "2026-11.2";

/// The content of the consent page, on which the customer agrees or declines.
#[derive(Debug)]
pub struct ConsentPage {
    pub request_id: AuthorizationRequestId,
    pub language: Language,
    pub recipient: String,
    /// The purpose for which the recipient reads data.
    pub purpose: String,
    pub provider: String,
    /// The data clusters that the recipient requests to read.
    pub clusters: Clusters,
    /// The time at which the consent would expire if the customer consented now.
    pub expires_at: Timestamp,
}

/// The page of an authorization request in its browser.
#[derive(Debug)]
pub enum RequestPage {
    Consent(Box<ConsentPage>),
    Progress(Box<LoginPage>),
}

/// Loads the page of a request in the browser that started it. Without a choice of the customer, the page is in the language of the
/// request.
pub async fn load_request_page(
    ctx: &RequestContext,
    flow: BrowserFlow,
    language: Option<Language>,
) -> Result<RequestPage, LoginError> {
    let login = Login::load(ctx, flow).await?;
    let can_decide =
        matches!(login.progress, AuthorizationProgress::AwaitingConsent | AuthorizationProgress::AtProvider);
    if can_decide {
        let query =
            GetRegistration { client_id: login.client.id.clone(), provider_id: login.request.provider_id };
        let registration = ctx.ask(&query).await?;
        let (provider, uri) = (Some(&login.provider), &login.request.redirect_uri);
        if let Err(error) = ensure_may_continue(&login.client, provider, registration.as_ref(), uri) {
            return Err(LoginError::Stopped(login.into_stopped_page(ctx, &error).await?));
        }
    }
    if login.progress != AuthorizationProgress::AwaitingConsent {
        return Ok(RequestPage::Progress(Box::new(login.into_page(ctx).await?)));
    }
    let Login { request, client, provider, .. } = login;
    let language = language.unwrap_or_else(|| request_language(&request));
    Ok(RequestPage::Consent(Box::new(ConsentPage {
        language,
        recipient: client.name.clone(),
        purpose: purpose_in_language(&client, language).to_owned(),
        provider: provider.settings.name,
        clusters: request.clusters,
        expires_at: consent_expiry(ctx.now(), client.max_duration_days, max_consent_duration(ctx)),
        request_id: request.id,
    })))
}

/// Stores the request with the customer's consent and returns the provider's authorization URL.
///
/// A repetition returns the same URL, or a redirect to the recipient if the provider has granted access in the meantime.
pub async fn approve(
    ctx: &RequestContext,
    flow: BrowserFlow,
    language: Option<Language>,
) -> Result<String, LoginError> {
    let cookie = flow.cookie.clone();
    let login = Login::load(ctx, flow).await?;
    match login.progress {
        AuthorizationProgress::AwaitingConsent | AuthorizationProgress::AtProvider => {}
        AuthorizationProgress::Confirmed => return replace_code(ctx, login, cookie).await,
        _ => return Err(LoginError::NotPossibleNow(login.request.id)),
    }
    let language = language.unwrap_or_else(|| request_language(&login.request));
    let login = ensure_provider_usable(ctx, login).await?;
    let Login { mut request, client, provider, .. } = login;
    let vault = ctx.app().vault();
    if request.status == RequestStatus::AwaitingConsent {
        let owner = login_owner(&request);
        (_, request.data_key) = vault.create_data_key(ctx.random_bytes()?, owner, SealPurpose::LoginKey)?;
    }
    // The `state` is derived from the request, so that a repetition sends the same one. Only its hash is stored.
    let state = vault.login_state(&request);
    let key = vault.unwrap_data_key(&request.data_key, login_owner(&request), SealPurpose::LoginKey)?;
    let bound_to = login_owner(&request).bind(SealPurpose::PkceVerifier);
    // The key is sealed with the verifier, so the code can be bound to it although nothing else is stored before the exchange.
    let dpop_key = choose_dpop_key(ctx, &provider, None)?;
    let endpoints = provider.version.endpoints;
    let verifier = GrantSecret::to_text(&ctx.random_secret()?, endpoints, dpop_key.as_ref());
    // The command checks all conditions again and locks the request: the client may have been suspended while the
    // customer read the page, or the form may have been submitted twice.
    let command = SendToProvider {
        moment: ctx.new_moment()?,
        cookie,
        state_hash: vault.hash(state.expose()),
        verifier: key.seal(&bound_to, verifier.expose().as_bytes())?,
        purpose: purpose_in_language(&client, language).to_owned(),
        page_version: PAGE_VERSION.to_owned(),
        language,
        request: Box::new(request.clone()),
    };
    let sent = ctx.run(command).await?.map_err(|error| LoginError::for_step(error, &request.id))?;
    // From here on, the stored request counts: if the step is repeated, it has the key and the verifier of the first time.
    let request = sent.request;
    if let Err(error) = sent.may_continue {
        let login = Login::for_request(ctx, request).await?;
        return Err(LoginError::Stopped(login.into_stopped_page(ctx, &error).await?));
    }
    let key = vault.unwrap_data_key(&request.data_key, login_owner(&request), SealPurpose::LoginKey)?;
    let provider = at_endpoints(ctx, provider, open_verifier(&request, &key)?.endpoints).await?;
    let login = ConsentedLogin { client: &client, provider: &provider, request: &request, language };
    match build_provider_url(ctx, &login).await? {
        Ok(url) => Ok(url),
        // The customer can try again: the request is stored as if the browser had not followed the redirect.
        Err(error) => {
            let login = Login::for_request(ctx, request).await?;
            Err(LoginError::Stopped(login.into_unavailable_page(ctx, &error).await?))
        }
    }
}

/// Returns a login with the endpoints that it needs, or a page that explains that it cannot be started.
async fn ensure_provider_usable(ctx: &RequestContext, mut login: Login) -> Result<Login, LoginError> {
    match ensure_endpoints(ctx, login.provider.clone()).await? {
        Ok(provider) => {
            login.provider = provider;
            Ok(login)
        }
        Err(error) => Err(LoginError::Stopped(login.into_unavailable_page(ctx, &error).await?)),
    }
}

/// Stores that the customer declined and returns the recipient's redirect URI with the error. A repetition returns the same.
///
/// If the recipient may not receive redirects, the returned error contains a page for the customer.
pub async fn deny(ctx: &RequestContext, flow: BrowserFlow) -> Result<String, LoginError> {
    let (id, cookie) = (flow.id.clone(), flow.cookie.clone());
    let request = Box::new(Login::load(ctx, flow).await?.request);
    let command = DenyRequest { moment: ctx.new_moment()?, request, cookie: cookie.clone() };
    match ctx.run(command).await? {
        Ok(_) | Err(RequestStepError::AlreadyTaken) => {}
        Err(error) => return Err(LoginError::for_step(error, &id)),
    }
    // Loaded again, because the step may have been taken before.
    let login = Login::load(ctx, BrowserFlow { id, cookie, undecided: None }).await?;
    if login.progress != AuthorizationProgress::Declined {
        return Err(LoginError::NotPossibleNow(login.request.id));
    }
    let mut page = login.into_stopped_page(ctx, &ACCESS_DENIED).await?;
    page.return_url.take().ok_or(LoginError::Stopped(page))
}

fn purpose_in_language(client: &Client, language: Language) -> &str {
    match language {
        Language::En => &client.purpose.en,
        Language::Fr => &client.purpose.fr,
    }
}
