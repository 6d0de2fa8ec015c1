//! A login: an authorization request with its recipient, its provider and its progress. It determines the page that the
//! customer sees.

use domain::Timestamp;
use domain::error::OAuthError;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::{
    AuthorizationRequest, FLOW_COOKIE_TTL, REQUEST_TTL, RequestStatus, RequestStepError,
};
use domain::model::client::Client;
use domain::model::connection::Connection;
use domain::model::provider::Provider;
use domain::model::undecided_request::UndecidedRequest;
use domain::rule::authorization_failure::{EXPIRED, FAILED};
use domain::rule::authorization_progress::{AuthorizationProgress, determine_progress};
use domain::rule::authorize::{Language, VerifiedRedirect};
use domain::secret::{TokenHash, TokenHashes};
use store::query::{GetAuthorizationRequest, GetClient, GetConnection, GetProvider};

use super::client_redirect::{build_client_redirect, may_redirect};
use super::grant_secret::{GrantSecret, at_endpoints};
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{DataKey, SealOwner, SealPurpose, UnsealError};

/// The reason why a step of an authorization (consent, denial or callback) does not redirect the browser onwards.
#[derive(Debug)]
pub enum LoginError {
    /// The authorization request is unknown or belongs to another browser.
    Rejected(RequestStepError),
    /// The step does not fit the progress of the request, for example because it was taken in another tab. The page of the
    /// request shows its progress.
    NotPossibleNow(AuthorizationRequestId),
    /// The authorization cannot continue, for example because the recipient was suspended. The customer gets a page
    /// that explains this.
    Stopped(Box<LoginPage>),
    /// The hub or its store failed.
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for LoginError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

impl LoginError {
    /// Creates the error for a step of a request that was rejected. A request of this browser has a page.
    pub(super) fn for_step(error: RequestStepError, id: &AuthorizationRequestId) -> Self {
        match error {
            RequestStepError::Unknown | RequestStepError::ForeignBrowser => Self::Rejected(error),
            RequestStepError::AlreadyTaken | RequestStepError::Expired => Self::NotPossibleNow(id.clone()),
        }
    }
}

/// The content of the page that shows the progress of a login.
#[derive(Debug)]
pub struct LoginPage {
    pub request_id: AuthorizationRequestId,
    /// The language in which the request is shown if the customer chooses no other one.
    pub language: Language,
    pub recipient: String,
    pub provider: String,
    pub status: LoginStatus,
    /// The end of the consent, if the request opened a connection.
    pub expires_at: Option<Timestamp>,
    /// The link back to the recipient. Absent if no redirect is allowed, or if a form leads to the next step.
    pub return_url: Option<String>,
}

/// The statement of the page of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginStatus {
    Progress(AuthorizationProgress),
    /// The authorization cannot continue before the provider was contacted.
    Stopped,
    /// The authorization cannot continue, and the customer was sent to the provider before.
    StoppedAtProvider,
    /// The customer cannot be sent to the provider, because the hub cannot use it at present.
    ProviderUnavailable,
}

/// The evidence that a browser sends for one authorization request.
#[derive(Debug)]
pub struct BrowserFlow {
    pub id: AuthorizationRequestId,
    /// The hashes of the cookies that may bind the request to this browser.
    pub cookie: TokenHashes,
    /// The request in the cookie, with the hash of this cookie; `None` if there is no authentic one.
    pub undecided: Option<(UndecidedRequest, TokenHash)>,
}

/// An authorization request with everything that its pages show.
pub(super) struct Login {
    pub(super) request: AuthorizationRequest,
    pub(super) client: Client,
    pub(super) provider: Provider,
    connection: Option<Connection>,
    pub(super) progress: AuthorizationProgress,
}

impl Login {
    /// Loads the login of a browser. Before the customer's decision, only the browser has the request.
    pub(super) async fn load(ctx: &RequestContext, flow: BrowserFlow) -> Result<Self, LoginError> {
        if let Some(stored) = ctx.ask(&GetAuthorizationRequest { id: flow.id.clone() }).await? {
            stored.ensure_own_browser(&flow.cookie).map_err(LoginError::Rejected)?;
            return Ok(Self::for_request(ctx, stored).await?);
        }
        let Some((undecided, cookie_hash)) = flow.undecided else {
            return Err(LoginError::Rejected(explain_missing_request(ctx, &flow.id)));
        };
        let created_at = undecided.id.created_at().unwrap_or(Timestamp::EPOCH);
        if ctx.now() >= created_at.plus(FLOW_COOKIE_TTL) {
            // The customer may have decided: the row is deleted some time after the request has expired.
            return Err(LoginError::Rejected(RequestStepError::Unknown));
        }
        let client = ctx.ask(&GetClient { id: undecided.client_id.clone() }).await?;
        let redirect =
            client.and_then(|client| VerifiedRedirect::find_by_hash(&client, &undecided.redirect_hash));
        let request = AuthorizationRequest {
            // The connection's id is chosen before the connection exists, because sealed values are bound to it: the PKCE
            // verifier and the provider's code are sealed before the connection is created.
            connection_id: ctx.new_id_source()?.mint(),
            id: undecided.id,
            client_id: undecided.client_id,
            provider_id: undecided.provider_id,
            redirect_uri: redirect.map(|uri| uri.as_str().to_owned()).unwrap_or_default(),
            clusters: undecided.clusters,
            client_state: Some(undecided.client_state),
            code_challenge: undecided.code_challenge,
            language: undecided.language,
            status: RequestStatus::AwaitingConsent,
            // Only a hash is stored, so that read access to the store is not enough to continue a request.
            cookie_hash,
            data_key: Vec::new(),
            verifier: None,
            purpose: None,
            page_version: None,
            agreed_at: None,
            code_hash: None,
            failure: None,
            correlation_id: ctx.correlation_id().to_owned(),
            created_at,
            expires_at: created_at.plus(REQUEST_TTL),
        };
        Ok(Self::for_request(ctx, request).await?)
    }

    /// Loads everything that belongs to a request.
    pub(super) async fn for_request(
        ctx: &RequestContext,
        request: AuthorizationRequest,
    ) -> Result<Self, InternalError> {
        let (client, provider) = load_client_and_provider(ctx, &request).await?;
        let connection = if request.status == RequestStatus::Connected {
            ctx.ask(&GetConnection { id: request.connection_id.clone() }).await?
        } else {
            None
        };
        let progress = determine_progress(&request, &client, connection.as_ref(), ctx.now());
        Ok(Self { request, client, provider, connection, progress })
    }

    /// Replaces the provider by that with the endpoints at which the login began. A code is exchanged there, although the provider
    /// may have other endpoints by now.
    pub(super) async fn at_first_endpoints(self, ctx: &RequestContext) -> Result<Self, InternalError> {
        // A request that is completed has no verifier any more, and calls the provider no more.
        if self.request.verifier.is_none() || self.request.data_key.is_empty() {
            return Ok(self);
        }
        let (vault, owner) = (ctx.app().vault(), login_owner(&self.request));
        let key = vault.unwrap_data_key(&self.request.data_key, owner, SealPurpose::LoginKey)?;
        let endpoints = open_verifier(&self.request, &key)?.endpoints;
        Ok(Self { provider: at_endpoints(ctx, self.provider, endpoints).await?, ..self })
    }

    /// Builds the page that shows the progress.
    pub(super) async fn into_page(self, ctx: &RequestContext) -> Result<LoginPage, InternalError> {
        let may_redirect = may_redirect(ctx, &self.client).await?;
        let return_url = if may_redirect { self.build_return_url() } else { None };
        let status = LoginStatus::Progress(self.progress);
        Ok(self.build_page(status, return_url))
    }

    /// Builds the page for a login that cannot continue because of `error`.
    pub(super) async fn into_stopped_page(
        self,
        ctx: &RequestContext,
        error: &OAuthError,
    ) -> Result<Box<LoginPage>, InternalError> {
        // The time of the consent remains when the request has failed.
        let status = if self.request.agreed_at.is_some() {
            LoginStatus::StoppedAtProvider
        } else {
            LoginStatus::Stopped
        };
        self.into_error_page(ctx, status, error).await
    }

    /// Builds the page for a login that cannot continue, because the customer cannot be sent to the provider.
    pub(super) async fn into_unavailable_page(
        self,
        ctx: &RequestContext,
        error: &OAuthError,
    ) -> Result<Box<LoginPage>, InternalError> {
        self.into_error_page(ctx, LoginStatus::ProviderUnavailable, error).await
    }

    async fn into_error_page(
        self,
        ctx: &RequestContext,
        status: LoginStatus,
        error: &OAuthError,
    ) -> Result<Box<LoginPage>, InternalError> {
        let return_url = if may_redirect(ctx, &self.client).await? {
            build_client_redirect(&self.client, &self.request, Err(error))
        } else {
            None
        };
        Ok(Box::new(self.build_page(status, return_url)))
    }

    /// Returns the redirect with the error that the recipient was sent when the request failed.
    pub(super) fn build_failure_redirect(&self) -> Option<String> {
        let error = self.request.failure.clone().unwrap_or(FAILED);
        build_client_redirect(&self.client, &self.request, Err(&error))
    }

    /// Returns the link back to the recipient. A form leads to it while the recipient expects a code, and while the customer
    /// can still decide.
    fn build_return_url(&self) -> Option<String> {
        match self.progress {
            AuthorizationProgress::AwaitingConsent
            | AuthorizationProgress::AtProvider
            | AuthorizationProgress::Exchanging
            | AuthorizationProgress::Confirmed => None,
            AuthorizationProgress::Declined | AuthorizationProgress::Failed => self.build_failure_redirect(),
            AuthorizationProgress::Expired => {
                build_client_redirect(&self.client, &self.request, Err(&EXPIRED))
            }
            // The recipient got its code, so it expects no other response to the same request.
            AuthorizationProgress::Shared
            | AuthorizationProgress::Ended
            | AuthorizationProgress::Replaced
            | AuthorizationProgress::NotRedeemed => {
                VerifiedRedirect::verify(&self.client, &self.request.redirect_uri)?.start_page()
            }
        }
    }

    fn build_page(self, status: LoginStatus, return_url: Option<String>) -> LoginPage {
        LoginPage {
            language: request_language(&self.request),
            request_id: self.request.id,
            recipient: self.client.name,
            provider: self.provider.settings.name,
            status,
            expires_at: self.connection.map(|connection| connection.expires_at),
            return_url,
        }
    }
}

/// Explains why a browser gets no page of a request that is not stored. The id proves whether there was such a request.
fn explain_missing_request(ctx: &RequestContext, id: &AuthorizationRequestId) -> RequestStepError {
    let is_current = id.created_at().is_some_and(|created_at| ctx.now() < created_at.plus(REQUEST_TTL));
    if is_current && ctx.app().vault().is_own_request_id(id) {
        RequestStepError::ForeignBrowser
    } else {
        RequestStepError::Unknown
    }
}

/// Returns the longest consent that the configuration allows.
pub(super) fn max_consent_duration(ctx: &RequestContext) -> std::time::Duration {
    ctx.app().config().connection.max_duration.duration()
}

/// Returns the language of a request.
pub(super) fn request_language(request: &AuthorizationRequest) -> Language {
    Language::from_tags(&request.language).unwrap_or_default()
}

/// Returns the owner of the sealed values of a login, which is also that of the connection that it opens.
pub(super) const fn login_owner(request: &AuthorizationRequest) -> SealOwner<'_> {
    SealOwner::for_connection(&request.connection_id, &request.client_id, request.provider_id)
}

/// Opens the PKCE verifier of a login.
pub(super) fn open_verifier(
    request: &AuthorizationRequest,
    key: &DataKey,
) -> Result<GrantSecret, UnsealError> {
    let bound_to = login_owner(request).bind(SealPurpose::PkceVerifier);
    GrantSecret::from_text(key.open_text(&bound_to, request.verifier.as_deref().unwrap_or_default())?)
}

/// Loads the recipient and the provider of an authorization request.
async fn load_client_and_provider(
    ctx: &RequestContext,
    request: &AuthorizationRequest,
) -> Result<(Client, Provider), InternalError> {
    let client = ctx.ask(&GetClient { id: request.client_id.clone() }).await?;
    let provider = ctx.ask(&GetProvider { id: request.provider_id }).await?;
    client.zip(provider).ok_or_else(|| {
        InternalError::new("the recipient or the provider of an authorization request does not exist")
    })
}
