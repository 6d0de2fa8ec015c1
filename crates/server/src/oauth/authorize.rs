//! `GET /api/v1/authorize`: validates an authorization request (RFC 6749 §4.1.1) and stores it until the customer
//! decides on the consent page.

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
use crate::vault::{SealOwner, SealPurpose};

/// The maximum time between an authorization request and the provider's callback. After it, the customer must start
/// again.
pub const REQUEST_TTL: Duration = Duration::from_mins(20);

/// The result of a valid authorization request, which determines the page that the browser shows next.
#[derive(Debug)]
pub enum AuthorizeOutcome {
    /// The request is stored, and the browser is redirected to its consent page.
    Consent {
        id: AuthorizationRequestId,
        /// The value of the flow cookie, which binds the request to this browser.
        cookie: Secret<String>,
    },
    /// The customer must choose a provider first. Nothing is stored: the page sends the same request again with
    /// `provider_id` added.
    PickProvider(ProviderPicker),
}

/// The content of the page on which the customer chooses a provider.
#[derive(Debug)]
pub struct ProviderPicker {
    /// The name of the recipient that requests access.
    pub recipient: String,
    /// The active providers that the recipient is registered with, with their names.
    pub providers: Vec<(ProviderId, String)>,
    /// The parameters of the authorization request. The page sends them again, together with the chosen provider.
    pub parameters: Vec<(String, String)>,
    /// The recipient's redirect URI with the error `access_denied`: the link for a customer who does not want to
    /// continue.
    pub decline_url: String,
}

/// The parameters of the authorization request that the provider picker sends again. All others are dropped, so that
/// the page does not repeat arbitrary input.
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

/// The reason why an authorization request is rejected, which determines where the error is reported.
#[derive(Debug)]
pub enum AuthorizeError {
    /// The client or its redirect URI is not verified. The customer gets an error page, because a redirect would not be
    /// safe.
    Page(AuthorizePageError),
    /// The error is returned to the recipient. The text is the redirect URI with the error in its query (RFC 6749
    /// §4.1.2.1).
    Redirect(String),
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for AuthorizeError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// Validates an authorization request and stores it, with the language of its pages. If the request names no provider, the customer must choose one
/// first.
pub async fn begin_authorization(
    ctx: &RequestContext,
    query: &AuthorizeQuery,
    language: Language,
) -> Result<AuthorizeOutcome, AuthorizeError> {
    // A missing, repeated or malformed client_id is treated like an unknown client: without a client there is no
    // redirect URI that an error could be sent to (RFC 6749 §4.1.2.1).
    let client = match query.single("client_id").ok().flatten().map(str::parse::<ClientId>) {
        Some(Ok(id)) => ctx.ask(&GetClient { id }).await?,
        _ => None,
    };
    let redirect = resolve_redirect(query, client.as_ref()).map_err(AuthorizeError::Page)?;
    let client = client.ok_or(AuthorizeError::Page(AuthorizePageError::UnknownClient))?;
    let request = RedirectableRequest { ctx, query, language, client, redirect };
    match request.validate_and_store().await? {
        Ok(outcome) => Ok(outcome),
        Err(error) => Err(request.reject(&error).await?),
    }
}

/// An authorization request whose client and redirect URI are verified, so that errors can be sent to the redirect URI.
struct RedirectableRequest<'a> {
    ctx: &'a RequestContext,
    query: &'a AuthorizeQuery,
    language: Language,
    client: Client,
    redirect: VerifiedRedirect,
}

impl RedirectableRequest<'_> {
    async fn validate_and_store(&self) -> Result<Result<AuthorizeOutcome, OAuthError>, InternalError> {
        let checked = match check(self.query, &self.client) {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error)),
        };
        let Some(provider_id) = checked.provider_id else {
            return Ok(self.build_picker().await?.map(AuthorizeOutcome::PickProvider));
        };
        match self.validate_provider(provider_id).await? {
            Ok(()) => Ok(Ok(self.store(provider_id, checked).await?)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Builds the page with the providers that the recipient can connect to now. Returns an OAuth error if there are
    /// none.
    async fn build_picker(&self) -> Result<Result<ProviderPicker, OAuthError>, InternalError> {
        let client_id = self.client.id.clone();
        let registered = self.ctx.ask(&ListRecipientProviders { client_id }).await?;
        let active = registered.iter().filter(|provider| provider.state == ProviderState::Active);
        let providers: Vec<_> =
            active.map(|provider| (provider.id, provider.settings.name.clone())).collect();
        if providers.is_empty() {
            // A paused provider may become available again; a missing registration requires an operator.
            return Ok(Err(if registered.is_empty() { NOT_REGISTERED } else { PROVIDER_UNAVAILABLE }));
        }
        let forwarded = self.query.0.iter().filter(|(name, _)| FORWARDED_PARAMETERS.contains(&name.as_str()));
        Ok(Ok(ProviderPicker {
            recipient: self.client.name.clone(),
            providers,
            parameters: forwarded.cloned().collect(),
            decline_url: self.error_redirect(&ACCESS_DENIED),
        }))
    }

    async fn validate_provider(
        &self,
        provider_id: ProviderId,
    ) -> Result<Result<(), OAuthError>, InternalError> {
        let provider = self.ctx.ask(&GetProvider { id: provider_id }).await?;
        let client_id = self.client.id.clone();
        let registration = self.ctx.ask(&GetRegistration { client_id, provider_id }).await?;
        Ok(ensure_may_connect(&self.client, provider.as_ref(), registration.as_ref()))
    }

    /// Returns an error to the recipient by redirect if it may redirect browsers, and shows a page otherwise.
    async fn reject(&self, error: &OAuthError) -> Result<AuthorizeError, InternalError> {
        // Anyone could send browsers through this endpoint with a request that is certain to fail. Only recipients
        // with an active registration may redirect, so that the hub is not an open redirector (RFC 9700 §4.11.2).
        if !may_redirect(self.ctx, &self.client).await? {
            return Ok(AuthorizeError::Page(AuthorizePageError::UnknownClient));
        }
        Ok(AuthorizeError::Redirect(self.error_redirect(error)))
    }

    fn error_redirect(&self, error: &OAuthError) -> String {
        // A `state` that is repeated or not printable cannot be returned unchanged, so it is left out.
        build_redirect_url(&self.redirect, self.query.state().ok().flatten(), Err(error))
    }

    async fn store(
        &self,
        provider_id: ProviderId,
        checked: CheckedRequest,
    ) -> Result<AuthorizeOutcome, InternalError> {
        let ctx = self.ctx;
        let mut ids = ctx.new_id_source()?;
        // The connection's id is chosen before the connection exists, because sealed values are bound to it: the PKCE
        // verifier and the provider's code are sealed before the connection is created.
        let (id, connection_id) = (ids.mint::<AuthorizationRequestId>(), ids.mint::<ConnectionId>());
        let vault = ctx.app().vault();
        let owner = SealOwner::for_connection(&connection_id, &self.client.id, provider_id);
        let (_, data_key) = vault.create_data_key(ctx.random_bytes()?, owner, SealPurpose::LoginKey)?;
        let cookie = ctx.random_secret()?;
        let request = AuthorizationRequest {
            id: id.clone(),
            connection_id,
            client_id: self.client.id.clone(),
            provider_id,
            redirect_uri: self.redirect.as_str().to_owned(),
            clusters: checked.clusters,
            client_state: Some(checked.state),
            code_challenge: checked.code_challenge,
            language: self.language.as_str().to_owned(),
            status: RequestStatus::AwaitingConsent,
            // Only a hash is stored, so that read access to the store is not enough to continue a request.
            cookie_hash: vault.hash(cookie.expose()),
            data_key,
            verifier: None,
            purpose: None,
            page_version: None,
            agreed_at: None,
            code_hash: None,
            failure: None,
            correlation_id: ctx.correlation_id().to_owned(),
            created_at: ctx.now(),
            expires_at: ctx.now().plus(REQUEST_TTL),
        };
        ctx.run(OpenAuthorizationRequest { moment: ctx.new_moment()?, request }).await?;
        Ok(AuthorizeOutcome::Consent { id, cookie })
    }
}
