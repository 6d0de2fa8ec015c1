//! Seals the hub's tokens at providers, each under a key of its own.

use domain::Secret;
use domain::id::ConnectionId;
use store::command::SealedValue;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::UnsealError;

/// Seals a token for a connection under a new key. When the connection ends, its keys are deleted, except the key of the token
/// that must be revoked at the provider.
pub(super) fn seal_token(
    ctx: &RequestContext,
    connection: &ConnectionId,
    token: &Secret<String>,
) -> Result<SealedValue, InternalError> {
    let (key, wrapped) = ctx.app().vault().create_data_key(ctx.random_bytes()?, connection.as_str())?;
    Ok(SealedValue { key: wrapped, sealed: key.seal(connection.as_str(), token.expose().as_bytes())? })
}

/// Opens a token that [`seal_token`] has sealed for the same connection.
pub(super) fn open_token(
    ctx: &RequestContext,
    connection: &ConnectionId,
    token: &SealedValue,
) -> Result<Secret<String>, UnsealError> {
    let key = ctx.app().vault().unwrap_data_key(&token.key, connection.as_str())?;
    key.open_text(connection.as_str(), &token.sealed)
}
