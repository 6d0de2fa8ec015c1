//! `/api/v1/revoke`: permanently ends the connection to which a token belongs.

use domain::Secret;
use domain::error::{OAuthCode, OAuthError};
use domain::id::{ClientId, ConnectionId};
use domain::model::access_token::TokenSubject;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::EndCause;
use domain::rule::access::{AccessDecision, check_access};
use domain::rule::access_denial::{DenialReason, DeniedCaller};
use domain::rule::revoke::{
    PresentedToken, TokenRevocationRequest, ensure_may_revoke, ensure_token_of_connection,
};
use store::command::{EndConnection, EndOutcome};
use store::query::{FindRefreshToken, GetAccessState};

use super::bearer::{Bearer, INVALID_BEARER};
use super::error::AuthzError;
use super::token::authenticate_client;
use crate::access_attempt::AccessAttempt;
use crate::context::RequestContext;

const NOT_A_CONNECTION_TOKEN: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This access token does not belong to a connection");
const REPLACED: OAuthError = OAuthError::new(
    OAuthCode::InvalidRequest,
    "A newer login has replaced this connection: revoke with the newer login's token",
);

/// Ends the connection to which an access token belongs. Revoking again succeeds and changes nothing, as in RFC 7009
/// §2.2. `other_token` is the token in the body, if it differs from the bearer token.
pub async fn revoke_by_bearer(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    bearer: Option<&Bearer>,
    other_token: Option<&Secret<String>>,
) -> Result<(), AuthzError> {
    let claims = attempt.verify_bearer(ctx, bearer)?;
    let TokenSubject::Connection { id, .. } = &claims.subject else {
        let caller = DeniedCaller::Client(claims.client_id.clone());
        attempt.deny(ctx.app(), ctx.now(), caller, DenialReason::InsufficientScope);
        return Err(AuthzError::Rejected(NOT_A_CONNECTION_TOKEN));
    };
    let id = id.clone();
    let state = ctx.ask(&GetAccessState { connection_id: id.clone() }).await?;
    let decision = check_access(claims, state, ctx.now());
    if let Some(token) = other_token {
        let token = identify_token(ctx, token).await?;
        ensure_token_of_connection(&token, &id, matches!(decision, AccessDecision::Ended(_)))?;
    }
    match decision {
        AccessDecision::Rejected(_) => {
            attempt.deny_ended_token(ctx, bearer);
            Err(AuthzError::InvalidToken(INVALID_BEARER))
        }
        // A success here would let the recipient believe that its access has ended, while the connection that
        // replaced this one is still active.
        AccessDecision::Ended(ended) if ended.successor_active => Err(AuthzError::Rejected(REPLACED)),
        AccessDecision::Ended(_) => Ok(ctx.app().store().confirm_commits(ctx.new_moment()?).await?),
        // Suspended recipients and paused providers are not checked: revoking works in every state.
        AccessDecision::Granted(access) => {
            ctx.app().limits().ensure_revocation_allowed(access.client_id())?;
            match end_by_recipient(ctx, access.client_id(), id).await? {
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

/// Authenticates a client and ends the connection of one of its tokens (RFC 7009 §2.1). The token may have expired.
///
/// Any other token is ignored, because what the client wants is already true: it has no access by this token (RFC 7009
/// §2.2).
pub async fn revoke_by_client(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    request: &TokenRevocationRequest,
) -> Result<(), AuthzError> {
    let client = authenticate_client(ctx, attempt, &request.credentials).await?;
    let client = client.client();
    // Counted only now: before authentication, anyone could use up another client's quota.
    ctx.app().limits().ensure_revocation_allowed(&client.id)?;
    ensure_may_revoke(client).inspect_err(|error| attempt.deny_unauthorized_client(ctx, client, error))?;
    match identify_token(ctx, &request.token).await?.connection_of(&client.id) {
        // An earlier request may have ended the connection without having been acknowledged.
        None => ctx.app().store().confirm_commits(ctx.new_moment()?).await?,
        Some(connection_id) => {
            // The connection may already have ended, also by a newer login. The token is invalid in each case.
            end_by_recipient(ctx, &client.id, connection_id).await?;
        }
    }
    Ok(())
}

/// Ends a connection for the recipient to which it belongs. An end that is already stored is durable when this returns.
async fn end_by_recipient(
    ctx: &RequestContext,
    recipient: &ClientId,
    connection_id: ConnectionId,
) -> Result<EndOutcome, AuthzError> {
    let end = EndConnection {
        moment: ctx.new_moment()?,
        connection_id,
        cause: EndCause::Recipient,
        actor: Actor::new(ActorKind::Recipient, recipient.as_str()),
        fence: None,
    };
    Ok(crate::connections::end(ctx, end).await?)
}

/// Finds out which token of the hub a text is. The type does not have to be known (RFC 7009 §2.1).
async fn identify_token(ctx: &RequestContext, token: &Secret<String>) -> Result<PresentedToken, AuthzError> {
    if let Ok(claims) = ctx.app().access_keys().authenticate(token.expose()) {
        return Ok(match claims.subject {
            TokenSubject::Connection { id, .. } => {
                PresentedToken::Access { client_id: claims.client_id, connection_id: id }
            }
            TokenSubject::Client { .. } => PresentedToken::Unknown,
        });
    }
    let hashes = ctx.app().vault().hash_all_generations(token.expose());
    let stored = ctx.ask(&FindRefreshToken { hashes }).await?;
    Ok(stored.map_or(PresentedToken::Unknown, |stored| PresentedToken::Refresh {
        client_id: stored.token.client_id,
        connection_id: stored.token.connection_id,
    }))
}
