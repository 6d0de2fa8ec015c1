//! Who calls on its own account, by the token of `client_credentials`.

use domain::error::{OAuthCode, OAuthError};
use domain::id::ClientId;
use domain::model::access_token::Bearing;
use domain::model::audit_event::{Actor, ActorKind};
use domain::rule::access::{ClientAccess, present_client};
use domain::scope::ClientScope;
use store::query::ClientById;

use crate::authz::{AuthzError, BAD_BEARER, Bearer, verified};
use crate::ctx::Ctx;

/// A partner that calls, and may manage.
#[derive(Clone, Debug)]
pub struct Partner(ClientAccess);

impl Partner {
    /// Its id.
    pub const fn id(&self) -> &ClientId {
        &self.0.client().id
    }

    /// How it is recorded.
    pub fn actor(&self) -> Actor {
        Actor::new(ActorKind::Partner, self.id().as_str())
    }
}

/// The partner that a bearer is of.
pub async fn partner(ctx: &Ctx, bearer: Option<&Bearer>) -> Result<Partner, AuthzError> {
    let access = client(ctx, bearer, Some(ClientScope::ClientAdmin)).await?;
    access.allows_more()?;
    Ok(Partner(access))
}

const NO_CLIENT: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This operation needs an access token of the client itself");

/// The client that a bearer is of, with the scope that is needed, if one is.
async fn client(
    ctx: &Ctx,
    bearer: Option<&Bearer>,
    needed: Option<ClientScope>,
) -> Result<ClientAccess, AuthzError> {
    let claims = verified(ctx, bearer).map_err(|_| AuthzError::Bearer(BAD_BEARER))?;
    let Bearing::Client { scope, .. } = &claims.bearing else {
        return Err(AuthzError::Scope(needed.map_or(NO_CLIENT, needs)));
    };
    if let Some(needed) = needed.filter(|needed| needed != scope) {
        return Err(AuthzError::Scope(needs(needed)));
    }
    let client = ctx.ask(&ClientById { id: claims.client_id.clone() }).await?;
    present_client(&claims, client).map_err(|_| AuthzError::Bearer(BAD_BEARER))
}

fn needs(scope: ClientScope) -> OAuthError {
    let sentence = format_args!("This operation needs an access token with scope {}", scope.as_str());
    OAuthError::about(OAuthCode::InvalidRequest, sentence)
}
