//! Seals the hub's tokens at providers, each under a key of its own.

use domain::Secret;
use domain::jose::DpopKey;
use domain::model::connection::Connection;
use domain::model::job::TokenType;
use domain::model::provider::{GrantScope, Provider};
use store::command::{SealedValue, UnrevokedToken};

use super::grant_secret::GrantSecret;
use super::token_response::FoundToken;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::{SealOwner, SealPurpose, UnsealError};

/// Seals a token for a connection under a new key, with the version of the endpoints that issued it, and with the key that the
/// tokens of its grant are bound to. When the connection ends, the keys that seal are deleted, except those of the tokens that must
/// be revoked at the provider.
pub(super) fn seal_token(
    ctx: &RequestContext,
    (owner, provider): (SealOwner<'_>, &Provider),
    purpose: SealPurpose,
    (token, dpop_key): (&Secret<String>, Option<&DpopKey>),
) -> Result<SealedValue, InternalError> {
    seal_text(ctx, owner, purpose, &GrantSecret::to_text(token, provider.version.endpoints, dpop_key))
}

/// Seals an access token that is never presented, so that it can be revoked at the end of the connection.
pub(super) fn seal_unpresented_token(
    ctx: &RequestContext,
    (owner, provider): (SealOwner<'_>, &Provider),
    token: &Secret<String>,
) -> Result<SealedValue, InternalError> {
    let text = GrantSecret::to_unpresented_text(token, provider.version.endpoints);
    seal_text(ctx, owner, SealPurpose::AccessToken, &text)
}

fn seal_text(
    ctx: &RequestContext,
    owner: SealOwner<'_>,
    purpose: SealPurpose,
    text: &Secret<String>,
) -> Result<SealedValue, InternalError> {
    let plain = text.expose().as_bytes();
    let (key, sealed) = ctx.app().vault().seal(ctx.random_bytes()?, owner, purpose, plain)?;
    Ok(SealedValue { key, sealed })
}

/// Opens a token that [`seal_token`] has sealed for the same connection, recipient, provider and purpose.
pub(super) fn open_token(
    ctx: &RequestContext,
    owner: SealOwner<'_>,
    purpose: SealPurpose,
    token: &SealedValue,
) -> Result<GrantSecret, UnsealError> {
    let text = ctx.app().vault().open_text(owner, &[purpose], (&token.key, &token.sealed))?;
    GrantSecret::from_text(text)
}

/// The length of a wrapped key: the number of its root key, the nonce, the key and the tag.
const WRAPPED_KEY_LEN: usize = 4 + 12 + 32 + 16;

/// Seals the provider's id of the grant of a connection. The wrapped key is in front of the sealed id.
pub(super) fn seal_grant_id(
    ctx: &RequestContext,
    owner: SealOwner<'_>,
    id: &str,
) -> Result<Vec<u8>, InternalError> {
    let vault = ctx.app().vault();
    let (key, sealed) = vault.seal(ctx.random_bytes()?, owner, SealPurpose::GrantId, id.as_bytes())?;
    Ok([key, sealed].concat())
}

/// Opens the provider's id of a grant that [`seal_grant_id`] has sealed for the same connection, recipient and provider.
pub(super) fn open_grant_id(
    ctx: &RequestContext,
    owner: SealOwner<'_>,
    sealed: &[u8],
) -> Result<Secret<String>, UnsealError> {
    let (key, id) = sealed.split_at_checked(WRAPPED_KEY_LEN).ok_or(UnsealError)?;
    ctx.app().vault().open_text(owner, &[SealPurpose::GrantId], (key, id))
}

/// Opens the provider's id of the grant of a connection, for an operator who asks the provider to end it.
pub fn open_connection_grant_id(
    ctx: &RequestContext,
    connection: &Connection,
    sealed: &[u8],
) -> Result<Secret<String>, InternalError> {
    let owner = SealOwner::for_connection(&connection.id, &connection.client_id, connection.provider_id);
    Ok(open_grant_id(ctx, owner, sealed)?)
}

/// Returns the purpose to which a token of a type is bound.
pub(super) const fn seal_purpose(token_type: TokenType) -> SealPurpose {
    match token_type {
        TokenType::RefreshToken => SealPurpose::RefreshToken,
        TokenType::AccessToken => SealPurpose::AccessToken,
    }
}

/// Seals tokens that were found in an unreadable response. A job revokes each.
///
/// Returns none if all connections of a customer share one grant: the response does not show whose grant it is, and the
/// revocation could end another connection.
pub(super) fn seal_found_tokens(
    ctx: &RequestContext,
    provider: &Provider,
    owner: SealOwner<'_>,
    found: Vec<FoundToken>,
) -> Result<Vec<UnrevokedToken>, InternalError> {
    if provider.settings.grant_scope == GrantScope::PerClientCustomer {
        return Ok(Vec::new());
    }
    let seal = |FoundToken { token, token_type }: FoundToken| {
        // A token is revoked with client authentication, and without a proof of its key.
        let token = seal_token(ctx, (owner, provider), seal_purpose(token_type), (&token, None))?;
        Ok(UnrevokedToken { token, token_type, grant_id: None, identity: None, is_complete: false })
    };
    found.into_iter().map(seal).collect()
}
