//! `GET /api/v1/authorize`: validates an authorization request (RFC 6749 §4.1.1). It stores nothing: until the customer decides on
//! the consent page, the request exists only in a sealed cookie of the browser.

use domain::Secret;
use domain::error::OAuthError;
use domain::id::{AuthorizationRequestId, ClientId, ProviderId};
use domain::model::client::Client;
use domain::model::provider::ProviderState;
use domain::model::undecided_request::UndecidedRequest;
use domain::rule::authorize::{
    ACCESS_DENIED, AuthorizePageError, AuthorizeQuery, CheckedRequest, Language, NOT_REGISTERED,
    PROVIDER_UNAVAILABLE, VerifiedRedirect, check, ensure_may_connect, resolve_redirect,
};
use store::query::{GetClient, GetProvider, GetRegistration, ListRecipientProviders};

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::upstream::{build_redirect_url, may_redirect};

/// The result of a valid authorization request, which determines the page that the browser shows next.
#[derive(Debug)]
pub enum AuthorizeOutcome {
    /// The browser is redirected to the consent page of the request.
    Consent {
        id: AuthorizationRequestId,
        /// The value of the flow cookie, which contains the request in sealed form and binds it to this browser.
        cookie: Secret<String>,
    },
    /// The customer must choose a provider first. The page sends the same request again with
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

/// The parameter that names the provider. It is absent from a request whose customer must choose a provider.
const PROVIDER_PARAMETER: &str = "provider_id";

/// The parameters of an authorization request that pages repeat. All others are dropped, so that no page repeats arbitrary input.
pub const AUTHORIZE_PARAMETERS: [&str; 12] = [
    PROVIDER_PARAMETER,
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

/// Validates an authorization request and seals it, with the language of its pages. If the request names no provider, the customer
/// must choose one first.
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
    match request.validate_and_seal().await? {
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
    async fn validate_and_seal(&self) -> Result<Result<AuthorizeOutcome, OAuthError>, InternalError> {
        let checked = match check(self.query, &self.client) {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error)),
        };
        let Some(provider_id) = checked.provider_id else {
            return Ok(self.build_picker().await?.map(AuthorizeOutcome::PickProvider));
        };
        match self.validate_provider(provider_id).await? {
            Ok(()) => Ok(Ok(self.seal(provider_id, checked)?)),
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
        // The page adds the chosen provider.
        let is_forwarded = |name: &str| name != PROVIDER_PARAMETER && AUTHORIZE_PARAMETERS.contains(&name);
        let forwarded = self.query.0.iter().filter(|(name, _)| is_forwarded(name));
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

    fn seal(
        &self,
        provider_id: ProviderId,
        checked: CheckedRequest,
    ) -> Result<AuthorizeOutcome, InternalError> {
        let vault = self.ctx.app().vault();
        let request = UndecidedRequest {
            id: self.ctx.new_id_source()?.mint_tagged(|head| vault.tag_request_id(head)),
            client_id: self.client.id.clone(),
            provider_id,
            redirect_hash: self.redirect.hash(),
            clusters: checked.clusters,
            language: self.language.as_str().to_owned(),
            code_challenge: checked.code_challenge,
            client_state: checked.state,
        };
        let cookie = vault.seal_undecided_request(&request)?;
        Ok(AuthorizeOutcome::Consent { id: request.id, cookie })
    }
}
