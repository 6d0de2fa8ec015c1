//! A login: an authorization request with its recipient, its provider and its progress. It determines the page that the
//! customer sees.

use domain::Timestamp;
use domain::error::OAuthError;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, RequestStepError};
use domain::model::client::Client;
use domain::model::connection::Connection;
use domain::model::provider::Provider;
use domain::rule::authorization_failure::{EXPIRED, FAILED};
use domain::rule::authorization_progress::{AuthorizationProgress, determine_progress};
use domain::rule::authorize::{Language, VerifiedRedirect};
use domain::secret::TokenHashes;
use store::query::{GetAuthorizationRequest, GetClient, GetConnection, GetProvider};

use super::client_redirect::{build_client_redirect, may_redirect};
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::SealOwner;

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
    /// Loads a login by its id. `cookie` must be that of the browser that started it.
    pub(super) async fn load(
        ctx: &RequestContext,
        id: &AuthorizationRequestId,
        cookie: &TokenHashes,
    ) -> Result<Self, LoginError> {
        let request = ctx.ask(&GetAuthorizationRequest { id: id.clone() }).await?;
        let request = request.ok_or(LoginError::Rejected(RequestStepError::Unknown))?;
        request.ensure_own_browser(cookie).map_err(LoginError::Rejected)?;
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
        let return_url = if may_redirect(ctx, &self.client).await? {
            build_client_redirect(&self.client, &self.request, Err(error))
        } else {
            None
        };
        // The time of the consent remains when the request has failed.
        let status = if self.request.agreed_at.is_some() {
            LoginStatus::StoppedAtProvider
        } else {
            LoginStatus::Stopped
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

/// Returns the language of a stored request.
pub(super) fn request_language(request: &AuthorizationRequest) -> Language {
    Language::from_tags(&request.language).unwrap_or_default()
}

/// Returns the owner of the sealed values of a login, which is also that of the connection that it opens.
pub(super) const fn login_owner(request: &AuthorizationRequest) -> SealOwner<'_> {
    SealOwner::for_connection(&request.connection_id, &request.client_id, request.provider_id)
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
