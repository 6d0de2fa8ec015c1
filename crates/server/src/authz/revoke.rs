//! `DELETE /api/v1/revoke`: the connection of the bearer ends, everywhere, for good.

use domain::error::{OAuthCode, OAuthError};
use domain::model::access_token::Bearing;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::Cause;
use domain::rule::access::{Presented, present};
use store::command::{EndConnection, EndOutcome};
use store::query::AccessStateOf;

use super::bearer::{BAD_BEARER, Bearer, verified};
use super::error::AuthzError;
use crate::ctx::Ctx;

const NO_CONNECTION: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This token names no connection");
const REPLACED: OAuthError = OAuthError::new(
    OAuthCode::InvalidRequest,
    "A newer login has replaced this connection: revoke with the newer login's token",
);

/// Ends the connection that the bearer names. Repeating it is harmless: an ended connection stays ended.
pub async fn revoke(ctx: &Ctx, bearer: Option<&Bearer>) -> Result<(), AuthzError> {
    let claims = verified(ctx, bearer).map_err(|_| AuthzError::Bearer(BAD_BEARER))?;
    let Bearing::Connection { id, .. } = &claims.bearing else {
        return Err(AuthzError::Refused(NO_CONNECTION));
    };
    let state = ctx.ask(&AccessStateOf { connection_id: id.clone() }).await?;
    match present(claims, state, ctx.now()) {
        Presented::Refused(_) => Err(AuthzError::Bearer(BAD_BEARER)),
        Presented::Ended(ended) if ended.successor_active => Err(AuthzError::Refused(REPLACED)),
        Presented::Ended(_) => Ok(()),
        Presented::Live(access) => {
            ctx.app().limits().revoke(access.client_id())?;
            let end = EndConnection {
                moment: ctx.moment()?,
                connection_id: access.connection_id().clone(),
                cause: Cause::Recipient,
                actor: Actor::new(ActorKind::Recipient, access.client_id().as_str()),
                fence: None,
            };
            match crate::connection::end(ctx, end).await? {
                EndOutcome::Already(before) if before.cause == Cause::Replaced => {
                    Err(AuthzError::Refused(REPLACED))
                }
                EndOutcome::Ended | EndOutcome::Already(_) => Ok(()),
                EndOutcome::Unknown | EndOutcome::Fenced => Err(AuthzError::Bearer(BAD_BEARER)),
            }
        }
    }
}
