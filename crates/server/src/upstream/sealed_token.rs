//! Seals the hub's tokens at providers, each under a key of its own.

use domain::Secret;
use store::command::SealedValue;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{SealOwner, SealPurpose, UnsealError};

/// Seals a token for a connection under a new key. When the connection ends, its keys are deleted, except the key of the token
/// that must be revoked at the provider.
pub(super) fn seal_token(
    ctx: &RequestContext,
    owner: SealOwner<'_>,
    purpose: SealPurpose,
    token: &Secret<String>,
) -> Result<SealedValue, InternalError> {
    let plain = token.expose().as_bytes();
    let (key, sealed) = ctx.app().vault().seal(ctx.random_bytes()?, owner, purpose, plain)?;
    Ok(SealedValue { key, sealed })
}

/// Opens a token that [`seal_token`] has sealed for the same connection, recipient, provider and purpose.
pub(super) fn open_token(
    ctx: &RequestContext,
    owner: SealOwner<'_>,
    purpose: SealPurpose,
    token: &SealedValue,
) -> Result<Secret<String>, UnsealError> {
    ctx.app().vault().open_text(owner, &[purpose], (&token.key, &token.sealed))
}
