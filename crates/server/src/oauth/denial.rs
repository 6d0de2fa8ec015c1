//! Counts refused requests of clients, for the audit log.

use domain::error::{OAuthCode, OAuthError};
use domain::jose::TokenError;
use domain::model::access_token::Claims;
use domain::model::client::Client;
use domain::rule::access_denial::{DenialReason, DeniedCaller};
use domain::rule::client_auth::CLIENT_SUSPENDED;

use super::bearer::{Bearer, INVALID_BEARER, verify_bearer};
use super::error::AuthzError;
use crate::access_attempt::AccessAttempt;
use crate::context::RequestContext;

impl AccessAttempt {
    /// Verifies a bearer token, and counts the request as refused if the token is missing or not one of the hub's.
    ///
    /// A token that has expired is not counted: every client presents one from time to time.
    pub(crate) fn verify_bearer(
        &self,
        ctx: &RequestContext,
        bearer: Option<&Bearer>,
    ) -> Result<Claims, AuthzError> {
        verify_bearer(ctx, bearer).map_err(|error| {
            let reason = match (error, bearer) {
                (TokenError::Expired, _) => None,
                (TokenError::Forged, Some(_)) => Some(DenialReason::UnknownToken),
                (TokenError::Forged, None) => Some(DenialReason::MissingToken),
            };
            if let Some(reason) = reason {
                self.deny(ctx.app(), ctx.now(), DeniedCaller::Unknown, reason);
            }
            AuthzError::InvalidToken(INVALID_BEARER)
        })
    }

    /// Counts the request as refused, because its token was valid once. The token is verified again, so that the requests that
    /// are not refused need no copy of the client's id.
    pub(crate) fn deny_ended_token(&self, ctx: &RequestContext, bearer: Option<&Bearer>) {
        let caller = match verify_bearer(ctx, bearer) {
            Ok(claims) => DeniedCaller::Client(claims.client_id),
            Err(_) => DeniedCaller::Unknown,
        };
        self.deny(ctx.app(), ctx.now(), caller, DenialReason::EndedToken);
    }

    /// Counts the request of an authenticated client as refused, if the error means that the client may not send it.
    pub(crate) fn deny_unauthorized_client(&self, ctx: &RequestContext, client: &Client, error: &OAuthError) {
        if error.code == OAuthCode::UnauthorizedClient {
            let is_suspended = *error == CLIENT_SUSPENDED;
            let reason =
                if is_suspended { DenialReason::Suspended } else { DenialReason::UnauthorizedClient };
            self.deny(ctx.app(), ctx.now(), DeniedCaller::Client(client.id.clone()), reason);
        }
    }
}
