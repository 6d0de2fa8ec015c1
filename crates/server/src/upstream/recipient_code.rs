//! The authorization codes that recipients get at the end of a login, and the continuation of a login whose last step is
//! repeated.

use std::time::Duration;

use domain::error::OAuthError;
use domain::id::AuthorizationRequestId;
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, RequestStepError};
use domain::rule::authorization_progress::AuthorizationProgress;
use domain::secret::{TokenHash, TokenHashes};
use domain::{Secret, Timestamp};
use store::command::{ReplaceCode, ReplaceCodeOutcome};
use store::query::GetAuthorizationRequest;

use super::client_redirect::build_client_redirect;
use super::login::{Login, LoginError};
use crate::context::RequestContext;
use crate::error::InternalError;

/// The time for which a repeated callback waits for the exchange that the first one has begun.
const MAX_EXCHANGE_WAIT: Duration = Duration::from_secs(10);
const EXCHANGE_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A new authorization code for a recipient.
pub(super) struct NewCode {
    pub(super) code: Secret<String>,
    pub(super) hash: TokenHash,
    pub(super) expires_at: Timestamp,
}

/// Creates an authorization code for a recipient. Its lifetime starts now.
pub(super) fn create_code(ctx: &RequestContext) -> Result<NewCode, InternalError> {
    let code = ctx.random_secret()?;
    let hash = ctx.app().vault().hash(code.expose());
    let issued_at = ctx.refreshed()?.now();
    Ok(NewCode { code, hash, expires_at: issued_at.plus(ctx.app().config().token.code_ttl.duration()) })
}

/// Continues a login whose callback was received before, and returns the redirect to the recipient.
pub(super) async fn repeat_callback(
    ctx: &RequestContext,
    id: AuthorizationRequestId,
    cookie: TokenHashes,
) -> Result<String, LoginError> {
    let request = wait_for_exchange(ctx, id).await?;
    // The wait took time, and codes and connections may have expired in the meantime.
    let ctx = &ctx.refreshed()?;
    let login = Login::for_request(ctx, request).await?;
    match login.progress {
        AuthorizationProgress::Confirmed => replace_code(ctx, login, cookie).await,
        AuthorizationProgress::Declined | AuthorizationProgress::Failed => {
            redirect_or_stop(ctx, login.build_failure_redirect(), login).await
        }
        _ => Err(LoginError::NotPossibleNow(login.request.id)),
    }
}

/// Waits until an exchange that is running has a result, and returns the request as it is then.
async fn wait_for_exchange(
    ctx: &RequestContext,
    id: AuthorizationRequestId,
) -> Result<AuthorizationRequest, LoginError> {
    let mut interval = tokio::time::interval(EXCHANGE_POLL_INTERVAL);
    let deadline = tokio::time::Instant::now() + MAX_EXCHANGE_WAIT;
    loop {
        interval.tick().await;
        let request = ctx.ask(&GetAuthorizationRequest { id: id.clone() }).await?;
        let request = request.ok_or(LoginError::Rejected(RequestStepError::Unknown))?;
        if request.status != RequestStatus::Exchanging || tokio::time::Instant::now() >= deadline {
            return Ok(request);
        }
    }
}

/// Replaces the code of a login that the recipient has not redeemed, and returns the redirect with the new code.
///
/// The browser may have lost the former redirect, and the hub stores no code that it could send again.
pub(super) async fn replace_code(
    ctx: &RequestContext,
    login: Login,
    cookie: TokenHashes,
) -> Result<String, LoginError> {
    let NewCode { code, hash, expires_at } = create_code(ctx)?;
    let command = ReplaceCode {
        moment: ctx.new_moment()?,
        request_id: login.request.id.clone(),
        cookie,
        code_hash: hash,
        code_expires_at: expires_at,
    };
    match ctx.run(command).await? {
        ReplaceCodeOutcome::Replaced => {
            let url = build_client_redirect(&login.client, &login.request, Ok(code.expose()));
            redirect_or_stop(ctx, url, login).await
        }
        ReplaceCodeOutcome::NotReplaceable => Err(LoginError::NotPossibleNow(login.request.id)),
        ReplaceCodeOutcome::Refused(error) => Err(stop(ctx, login, &error).await?),
    }
}

/// Returns the redirect to the recipient. If there is none, the returned error contains a page for the customer.
pub(super) async fn redirect_or_stop(
    ctx: &RequestContext,
    url: Option<String>,
    login: Login,
) -> Result<String, LoginError> {
    match url {
        Some(url) => Ok(url),
        None => Err(stop(ctx, login, &domain::rule::authorization_failure::FAILED).await?),
    }
}

async fn stop(ctx: &RequestContext, login: Login, error: &OAuthError) -> Result<LoginError, InternalError> {
    Ok(LoginError::Stopped(login.into_stopped_page(ctx, error).await?))
}
