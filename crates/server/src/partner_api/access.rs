//! Who calls on its own account, by the token of `build_client_credentials_request`.

use domain::error::{OAuthCode, OAuthError};
use domain::id::ClientId;
use domain::model::access_token::TokenSubject;
use domain::model::audit_event::{Actor, ActorKind};
use domain::rule::access::{ClientAccess, check_client_access};
use domain::scope::ClientScope;
use store::query::GetClient;

use crate::context::RequestContext;
use crate::oauth::{AuthzError, Bearer, INVALID_BEARER, verify_bearer};

/// A partner that calls, and may manage.
#[derive(Clone, Debug)]
pub struct AuthenticatedPartner(ClientAccess);

impl AuthenticatedPartner {
    /// Its id.
    pub const fn id(&self) -> &ClientId {
        &self.0.client().id
    }

    /// How it is recorded.
    pub fn actor(&self) -> Actor {
        Actor::new(ActorKind::Partner, self.id().as_str())
    }
}

/// A recipient that calls on its own account.
#[derive(Clone, Debug)]
pub struct AuthenticatedRecipient(ClientAccess);

impl AuthenticatedRecipient {
    /// Its id.
    pub const fn id(&self) -> &ClientId {
        &self.0.client().id
    }

    /// How it is recorded.
    pub fn actor(&self) -> Actor {
        Actor::new(ActorKind::Recipient, self.id().as_str())
    }
}

/// Either of the two.
#[derive(Clone, Debug)]
pub enum AuthenticatedClientKind {
    /// A partner.
    Partner(AuthenticatedPartner),
    /// A recipient.
    Recipient(AuthenticatedRecipient),
}

/// What a client that is held may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLevel {
    /// To look at connections and to end them: that always works.
    ReadAndEnd,
    /// Anything else.
    Full,
}

/// The partner that a bearer is of.
pub async fn authenticate_partner(
    ctx: &RequestContext,
    bearer: Option<&Bearer>,
    level: AccessLevel,
) -> Result<AuthenticatedPartner, AuthzError> {
    Ok(AuthenticatedPartner(authorize_client(ctx, bearer, Some(ClientScope::ClientAdmin), level).await?))
}

/// The recipient that a bearer is of.
pub async fn authenticate_recipient(
    ctx: &RequestContext,
    bearer: Option<&Bearer>,
    level: AccessLevel,
) -> Result<AuthenticatedRecipient, AuthzError> {
    Ok(AuthenticatedRecipient(authorize_client(ctx, bearer, Some(ClientScope::ProvidersRead), level).await?))
}

/// Whichever a bearer is of.
pub async fn authenticate_client(
    ctx: &RequestContext,
    bearer: Option<&Bearer>,
) -> Result<AuthenticatedClientKind, AuthzError> {
    let access = authorize_client(ctx, bearer, None, AccessLevel::Full).await?;
    Ok(match access.scope() {
        ClientScope::ClientAdmin => AuthenticatedClientKind::Partner(AuthenticatedPartner(access)),
        ClientScope::ProvidersRead => AuthenticatedClientKind::Recipient(AuthenticatedRecipient(access)),
    })
}

const CLIENT_TOKEN_REQUIRED: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This operation needs an access token of the client itself");

/// The client that a bearer is of, with the scope that is needed, if one is.
async fn authorize_client(
    ctx: &RequestContext,
    bearer: Option<&Bearer>,
    needed: Option<ClientScope>,
    level: AccessLevel,
) -> Result<ClientAccess, AuthzError> {
    let claims = verify_bearer(ctx, bearer).map_err(|_| AuthzError::InvalidToken(INVALID_BEARER))?;
    let TokenSubject::Client { scope, .. } = &claims.subject else {
        return Err(AuthzError::InsufficientScope(needed.map_or(CLIENT_TOKEN_REQUIRED, missing_scope_error)));
    };
    if let Some(needed) = needed.filter(|needed| needed != scope) {
        return Err(AuthzError::InsufficientScope(missing_scope_error(needed)));
    }
    let client = ctx.ask(&GetClient { id: claims.client_id.clone() }).await?;
    let access =
        check_client_access(&claims, client).map_err(|_| AuthzError::InvalidToken(INVALID_BEARER))?;
    if level == AccessLevel::Full {
        access.ensure_not_suspended()?;
    }
    Ok(access)
}

fn missing_scope_error(scope: ClientScope) -> OAuthError {
    let message = format_args!("This operation needs an access token with scope {}", scope.as_str());
    OAuthError::with_description(OAuthCode::InvalidRequest, message)
}
