//! Authenticates partners and recipients by their client access tokens (client credentials grant, RFC 6749 §4.4).

use domain::error::{OAuthCode, OAuthError};
use domain::id::ClientId;
use domain::model::access_token::TokenSubject;
use domain::model::audit_event::{Actor, ActorKind};
use domain::rule::access::{ClientAccess, check_client_access};
use domain::rule::access_denial::{DenialReason, DeniedCaller};
use domain::rule::authority::{Authority, PartnerAuthority};
use domain::scope::ClientScope;
use store::query::GetClient;

use crate::access_attempt::AccessAttempt;
use crate::context::RequestContext;
use crate::oauth::{AuthzError, Bearer, INVALID_BEARER};

/// A partner with a valid token for scope `client:admin`.
#[derive(Clone, Debug)]
pub struct AuthenticatedPartner(ClientAccess);

impl AuthenticatedPartner {
    pub const fn id(&self) -> &ClientId {
        &self.0.client().id
    }

    /// Returns the partner as the actor of audit events.
    pub fn actor(&self) -> Actor {
        Actor::new(ActorKind::Partner, self.id().as_str())
    }

    /// Returns what every command of an operation with this level verifies again in its transaction.
    pub fn authority(&self, level: AccessLevel) -> Option<Authority> {
        Some(Authority::Partner(PartnerAuthority {
            id: self.id().clone(),
            credential_generation: self.0.client().credential_generation,
            may_be_suspended: level != AccessLevel::Full,
        }))
    }
}

/// A recipient with a valid token from the client credentials grant.
#[derive(Clone, Debug)]
pub struct AuthenticatedRecipient(ClientAccess);

impl AuthenticatedRecipient {
    pub const fn id(&self) -> &ClientId {
        &self.0.client().id
    }

    /// Returns the recipient as the actor of audit events.
    pub fn actor(&self) -> Actor {
        Actor::new(ActorKind::Recipient, self.id().as_str())
    }

    /// Returns `None`: a recipient can only end its own connections, which its suspension permits and its removal does anyway.
    pub const fn authority(&self, _: AccessLevel) -> Option<Authority> {
        None
    }
}

/// The client of an authenticated request: a partner, or a recipient that acts for itself.
#[derive(Clone, Debug)]
pub enum AuthenticatedClientKind {
    Partner(AuthenticatedPartner),
    Recipient(AuthenticatedRecipient),
}

impl AuthenticatedClientKind {
    pub const fn id(&self) -> &ClientId {
        match self {
            Self::Partner(partner) => partner.id(),
            Self::Recipient(recipient) => recipient.id(),
        }
    }

    /// Returns what every command of an operation with this level verifies again in its transaction.
    pub fn authority(&self, level: AccessLevel) -> Option<Authority> {
        match self {
            Self::Partner(partner) => partner.authority(level),
            Self::Recipient(recipient) => recipient.authority(level),
        }
    }
}

/// The access that an operation requires, which decides whether a suspended client may call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLevel {
    /// Reads connections, or lists the recipients that have them. A suspended client may do this too, because it must always be
    /// possible to end a connection.
    ReadConnections,
    /// Ends a connection. A suspended client may do this too.
    EndConnection,
    /// All other operations. They are rejected while the client is suspended.
    Full,
}

impl AccessLevel {
    /// Counts a request of an authenticated client against its limit for this kind of operation.
    pub(super) fn count_request(self, ctx: &RequestContext, client: &ClientId) -> Result<(), AuthzError> {
        let limits = ctx.app().limits();
        let counted = match self {
            Self::EndConnection => limits.ensure_revocation_allowed(client),
            Self::ReadConnections | Self::Full => limits.ensure_management_allowed(client),
        };
        counted.map_err(AuthzError::from)
    }
}

/// Authenticates a partner by a bearer token with scope `client:admin`.
pub async fn authenticate_partner(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    bearer: Option<&Bearer>,
    level: AccessLevel,
) -> Result<AuthenticatedPartner, AuthzError> {
    Ok(AuthenticatedPartner(
        authorize_client(ctx, attempt, bearer, Some(ClientScope::ClientAdmin), level).await?,
    ))
}

/// Authenticates a recipient by a bearer token from the client credentials grant.
pub async fn authenticate_recipient(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    bearer: Option<&Bearer>,
    level: AccessLevel,
) -> Result<AuthenticatedRecipient, AuthzError> {
    Ok(AuthenticatedRecipient(
        authorize_client(ctx, attempt, bearer, Some(ClientScope::ProvidersRead), level).await?,
    ))
}

/// Authenticates a partner or recipient by a bearer token from the client credentials grant.
pub async fn authenticate_client(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    bearer: Option<&Bearer>,
    level: AccessLevel,
) -> Result<AuthenticatedClientKind, AuthzError> {
    let access = authorize_client(ctx, attempt, bearer, None, level).await?;
    Ok(match access.scope() {
        ClientScope::ClientAdmin => AuthenticatedClientKind::Partner(AuthenticatedPartner(access)),
        ClientScope::ProvidersRead => AuthenticatedClientKind::Recipient(AuthenticatedRecipient(access)),
    })
}

const CLIENT_TOKEN_REQUIRED: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This operation needs an access token of the client itself");

/// Verifies a client's bearer token, and ensures that its scope is `required_scope` if one is given, and that the
/// client still exists.
async fn authorize_client(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    bearer: Option<&Bearer>,
    required_scope: Option<ClientScope>,
    level: AccessLevel,
) -> Result<ClientAccess, AuthzError> {
    let claims = attempt.verify_bearer(ctx, bearer)?;
    let deny =
        |reason| attempt.deny(ctx.app(), ctx.now(), DeniedCaller::Client(claims.client_id.clone()), reason);
    let TokenSubject::Client { scope, .. } = &claims.subject else {
        deny(DenialReason::InsufficientScope);
        // This is the token of a connection. It is valid, but only for the data of one customer.
        return Err(AuthzError::InsufficientScope(
            required_scope.map_or(CLIENT_TOKEN_REQUIRED, missing_scope_error),
        ));
    };
    if let Some(required) = required_scope.filter(|required| required != scope) {
        deny(DenialReason::InsufficientScope);
        return Err(AuthzError::InsufficientScope(missing_scope_error(required)));
    }
    // A valid signature is not sufficient: since the token was issued, the client may have been removed or its secret
    // replaced.
    let client = ctx.ask(&GetClient { id: claims.client_id.clone() }).await?;
    let access = check_client_access(&claims, client).map_err(|_| {
        deny(DenialReason::EndedToken);
        AuthzError::InvalidToken(INVALID_BEARER)
    })?;
    if level == AccessLevel::Full {
        access.ensure_not_suspended().inspect_err(|_| deny(DenialReason::Suspended))?;
    }
    Ok(access)
}

fn missing_scope_error(scope: ClientScope) -> OAuthError {
    let message = format_args!("This operation needs an access token with scope {}", scope.as_str());
    OAuthError::with_description(OAuthCode::InvalidRequest, message)
}
