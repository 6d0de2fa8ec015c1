//! `DELETE /api/v1/revoke`: permanently ends the connection to which the access token belongs.

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

const NOT_A_CONNECTION_TOKEN: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This access token does not belong to a connection");
const REPLACED: OAuthError = OAuthError::new(
    OAuthCode::InvalidRequest,
    "A newer login has replaced this connection: revoke with the newer login's token",
);

/// Ends the connection to which an access token belongs. Revoking again succeeds and changes nothing, as in RFC 7009
/// §2.2.
pub async fn revoke(ctx: &RequestContext, bearer: Option<&Bearer>) -> Result<(), AuthzError> {
    let claims = verify_bearer(ctx, bearer).map_err(|_| AuthzError::InvalidToken(INVALID_BEARER))?;
    let TokenSubject::Connection { id, .. } = &claims.subject else {
        return Err(AuthzError::Rejected(NOT_A_CONNECTION_TOKEN));
    };
    let state = ctx.ask(&GetAccessState { connection_id: id.clone() }).await?;
    match check_access(claims, state, ctx.now()) {
        AccessDecision::Rejected(_) => Err(AuthzError::InvalidToken(INVALID_BEARER)),
        // A success here would let the recipient believe that its access has ended, while the connection that
        // replaced this one is still active.
        AccessDecision::Ended(ended) if ended.successor_active => Err(AuthzError::Rejected(REPLACED)),
        AccessDecision::Ended(_) => Ok(ctx.app().store().confirm_commits(ctx.new_moment()?).await?),
        // Suspended recipients and paused providers are not checked: revoking works in every state.
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
                // A newer login was stored after the check above.
                EndOutcome::AlreadyEnded(previous) if previous.cause == EndCause::Replaced => {
                    Err(AuthzError::Rejected(REPLACED))
                }
                EndOutcome::Ended(_) | EndOutcome::AlreadyEnded(_) => Ok(()),
                EndOutcome::NotFound | EndOutcome::Fenced => Err(AuthzError::InvalidToken(INVALID_BEARER)),
            }
        }
    }
}
