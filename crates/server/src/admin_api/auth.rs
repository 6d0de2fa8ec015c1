//! Authenticates operators: by a bearer token, or, on the hub's Unix socket, by the user id of the calling process.

use domain::Secret;
use domain::model::operator::Role;
use domain::rule::operator::{self, LocalPeer, Operator, admit_local, verify_bootstrap_token};
use store::command::OperatorAddedBy;
use store::query::FindOperator;

use super::error::AdminError;
use crate::context::RequestContext;

/// The credentials of a request: a bearer token, a connection through the hub's Unix socket, or both.
#[derive(Debug)]
pub struct PresentedCredential {
    pub bearer: Option<Secret<String>>,
    /// The user ids of both ends, if the request arrived through the Unix socket.
    pub local: Option<LocalPeer>,
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
    let local = credential.local.map(admit_local).transpose()?;
    let Some(bearer) = &credential.bearer else {
        return local
            .filter(|operator| operator.role().covers(required_role))
            .ok_or(AdminError::Unauthorized);
    };
    // The stored hash of the token may have been computed with an older generation of the key.
    let hashes = ctx.app().vault().hash_all_generations(bearer.expose());
    let stored = ctx.ask(&FindOperator { hashes: hashes.clone() }).await?;
    Ok(operator::admit(&hashes, stored.as_ref(), required_role, ctx.now())?)
}

/// Authenticates the caller that adds an operator: an admin, or the bearer of the bootstrap token.
pub async fn authenticate_adder(
    ctx: &RequestContext,
    credential: &PresentedCredential,
) -> Result<OperatorAddedBy, AdminError> {
    match authenticate(ctx, credential, Role::Admin).await {
        Err(AdminError::Bootstrap) => {}
        result => return Ok(OperatorAddedBy::Actor(result?.actor())),
    }
    let bearer = credential.bearer.as_ref().ok_or(AdminError::Unauthorized)?;
    let hashes = ctx.app().vault().hash_all_generations(bearer.expose());
    let stored = ctx.ask(&FindOperator { hashes: hashes.clone() }).await?;
    let token_id =
        verify_bootstrap_token(&hashes, stored.as_ref(), ctx.now()).ok_or(AdminError::Unauthorized)?;
    Ok(OperatorAddedBy::Bootstrap(token_id))
}
