//! `DELETE /api/v1/revoke`: the connection of the bearer ends, everywhere, for good.

use domain::error::{OAuthCode, OAuthError};
use domain::model::access_token::TokenSubject;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::EndCause;
use domain::rule::access::{AccessDecision, check_access};
use store::command::{EndConnection, EndOutcome};
use store::query::GetAccessState;

use super::bearer::{Bearer, INVALID_BEARER, verify_bearer};
use super::error::AuthzError;
use crate::context::RequestContext;

const NO_CONNECTION: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This token names no connection");
const REPLACED: OAuthError = OAuthError::new(
    OAuthCode::InvalidRequest,
    "A newer login has replaced this connection: revoke with the newer login's token",
);

/// Ends the connection that the bearer names. Repeating it is harmless: an ended connection stays ended.
pub async fn revoke(ctx: &RequestContext, bearer: Option<&Bearer>) -> Result<(), AuthzError> {
    let claims = verify_bearer(ctx, bearer).map_err(|_| AuthzError::Bearer(INVALID_BEARER))?;
    let TokenSubject::Connection { id, .. } = &claims.subject else {
        return Err(AuthzError::Refused(NO_CONNECTION));
    };
    let state = ctx.ask(&GetAccessState { connection_id: id.clone() }).await?;
    match check_access(claims, state, ctx.now()) {
        AccessDecision::Rejected(_) => Err(AuthzError::Bearer(INVALID_BEARER)),
        AccessDecision::Ended(ended) if ended.successor_active => Err(AuthzError::Refused(REPLACED)),
        AccessDecision::Ended(_) => Ok(()),
        AccessDecision::Granted(access) => {
            ctx.app().limits().ensure_revocation_allowed(access.client_id())?;
            let end = EndConnection {
                moment: ctx.new_moment()?,
                connection_id: access.connection_id().clone(),
                cause: EndCause::Recipient,
                actor: Actor::new(ActorKind::Recipient, access.client_id().as_str()),
                fence: None,
            };
            match crate::connections::end(ctx, end).await? {
                EndOutcome::AlreadyEnded(before) if before.cause == EndCause::Replaced => {
                    Err(AuthzError::Refused(REPLACED))
                }
                EndOutcome::Ended | EndOutcome::AlreadyEnded(_) => Ok(()),
                EndOutcome::NotFound | EndOutcome::Fenced => Err(AuthzError::Bearer(INVALID_BEARER)),
            }
        }
    }
}
