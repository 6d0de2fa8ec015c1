//! Authenticates operators: by a bearer token, or, on the hub's Unix socket, by the user id of the calling process.

use domain::Secret;
use domain::model::operator::{OperatorToken, Role};
use domain::rule::access_denial::{DenialReason, DeniedCaller};
use domain::rule::authority::Authority;
use domain::rule::operator::{self, Operator, OperatorAuthError, admit_local, verify_bootstrap_token};
use domain::secret::TokenHashes;
use store::command::OperatorAddedBy;
use store::query::FindOperator;

use super::error::AdminError;
use crate::access_attempt::AccessAttempt;
use crate::context::RequestContext;

/// The credentials of a request: a bearer token, a connection through the hub's Unix socket, or both.
#[derive(Debug)]
pub struct PresentedCredential {
    pub bearer: Option<Secret<String>>,
    /// The operation and the source of the request, with the user ids of both ends if it arrived through the Unix socket.
    pub attempt: AccessAttempt,
}

/// Authenticates an operator whose role covers `required_role`.
///
/// If a token is presented, it determines the operator. Without a token, the hub's own user and root are admins on the
/// Unix socket. Every other local user is rejected there, even with a token.
pub async fn authenticate(
    ctx: &RequestContext,
    credential: &PresentedCredential,
    required_role: Role,
) -> Result<Operator, AdminError> {
    let found = find_token(ctx, credential).await?;
    admit(ctx, credential, found.as_ref(), required_role)
        .map_err(|error| deny(ctx, credential, found.as_ref(), error))
}

/// Authenticates the caller that adds an operator: an admin, or the bearer of the bootstrap token. Also returns the context for
/// the command.
pub async fn authenticate_adder(
    ctx: &RequestContext,
    credential: &PresentedCredential,
) -> Result<(RequestContext, OperatorAddedBy), AdminError> {
    let found = find_token(ctx, credential).await?;
    let error = match admit(ctx, credential, found.as_ref(), Role::Admin) {
        Ok(operator) => {
            let authority = operator.authority().cloned().map(Authority::Operator);
            let ctx = ctx.for_caller(authority, &credential.attempt);
            return Ok((ctx, OperatorAddedBy::Actor(operator.actor())));
        }
        Err(error) => error,
    };
    if error == OperatorAuthError::BootstrapTokenOnly
        && let Some(TokenLookup { hashes, stored }) = &found
        && let Some(token_id) = verify_bootstrap_token(hashes, stored.as_ref(), ctx.now())
    {
        // The command verifies the bootstrap token itself, which it also revokes.
        return Ok((ctx.clone(), OperatorAddedBy::Bootstrap(token_id)));
    }
    Err(deny(ctx, credential, found.as_ref(), error))
}

/// A presented token: its hashes, and the operator whose token it is or was.
struct TokenLookup {
    hashes: TokenHashes,
    stored: Option<OperatorToken>,
}

async fn find_token(
    ctx: &RequestContext,
    credential: &PresentedCredential,
) -> Result<Option<TokenLookup>, AdminError> {
    let Some(bearer) = &credential.bearer else { return Ok(None) };
    // The stored hash of the token may have been computed with an older generation of the key.
    let hashes = ctx.app().vault().hash_all_generations(bearer.expose());
    let stored = ctx.ask(&FindOperator { hashes: hashes.clone() }).await?;
    Ok(Some(TokenLookup { hashes, stored }))
}

fn admit(
    ctx: &RequestContext,
    credential: &PresentedCredential,
    found: Option<&TokenLookup>,
    required_role: Role,
) -> Result<Operator, OperatorAuthError> {
    let local = credential.attempt.local.map(admit_local).transpose()?;
    match found {
        Some(TokenLookup { hashes, stored }) => {
            operator::admit(hashes, stored.as_ref(), required_role, ctx.now())
        }
        None => {
            local.filter(|operator| operator.role().covers(required_role)).ok_or(OperatorAuthError::Unknown)
        }
    }
}

/// Counts the request as refused, and returns the error for its caller.
fn deny(
    ctx: &RequestContext,
    credential: &PresentedCredential,
    found: Option<&TokenLookup>,
    error: OperatorAuthError,
) -> AdminError {
    let stored = found.and_then(|found| found.stored.as_ref());
    let reason = match error {
        OperatorAuthError::Unknown if stored.is_some() => DenialReason::EndedToken,
        OperatorAuthError::Unknown if found.is_none() => DenialReason::MissingToken,
        OperatorAuthError::Unknown => DenialReason::UnknownToken,
        OperatorAuthError::InsufficientRole(_) => DenialReason::InsufficientRole,
        OperatorAuthError::BootstrapTokenOnly => DenialReason::BootstrapTokenOnly,
        OperatorAuthError::OtherLocalUser => DenialReason::OtherLocalUser,
    };
    let caller = stored.map_or(DeniedCaller::Unknown, |token| DeniedCaller::Operator(token.id.clone()));
    credential.attempt.deny(ctx.app(), ctx.now(), caller, reason);
    error.into()
}
