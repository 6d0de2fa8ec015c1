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

/// A recipient that calls on its own account.
#[derive(Clone, Debug)]
pub struct Own(ClientAccess);

impl Own {
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
pub enum Party {
    /// A partner.
    Partner(Partner),
    /// A recipient.
    Recipient(Own),
}

/// What a client that is held may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// To look at connections and to end them: that always works.
    Ends,
    /// Anything else.
    More,
}

/// The partner that a bearer is of.
pub async fn partner(ctx: &Ctx, bearer: Option<&Bearer>, wants: Wants) -> Result<Partner, AuthzError> {
    Ok(Partner(client(ctx, bearer, Some(ClientScope::ClientAdmin), wants).await?))
}

/// The recipient that a bearer is of.
pub async fn own(ctx: &Ctx, bearer: Option<&Bearer>, wants: Wants) -> Result<Own, AuthzError> {
    Ok(Own(client(ctx, bearer, Some(ClientScope::ProvidersRead), wants).await?))
}

/// Whichever a bearer is of.
pub async fn party(ctx: &Ctx, bearer: Option<&Bearer>) -> Result<Party, AuthzError> {
    let access = client(ctx, bearer, None, Wants::More).await?;
    Ok(match access.scope() {
        ClientScope::ClientAdmin => Party::Partner(Partner(access)),
        ClientScope::ProvidersRead => Party::Recipient(Own(access)),
    })
}

const NO_CLIENT: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "This operation needs an access token of the client itself");

/// The client that a bearer is of, with the scope that is needed, if one is.
async fn client(
    ctx: &Ctx,
    bearer: Option<&Bearer>,
    needed: Option<ClientScope>,
    wants: Wants,
) -> Result<ClientAccess, AuthzError> {
    let claims = verified(ctx, bearer).map_err(|_| AuthzError::Bearer(BAD_BEARER))?;
    let Bearing::Client { scope, .. } = &claims.bearing else {
        return Err(AuthzError::Scope(needed.map_or(NO_CLIENT, needs)));
    };
    if let Some(needed) = needed.filter(|needed| needed != scope) {
        return Err(AuthzError::Scope(needs(needed)));
    }
    let client = ctx.ask(&ClientById { id: claims.client_id.clone() }).await?;
    let access = present_client(&claims, client).map_err(|_| AuthzError::Bearer(BAD_BEARER))?;
    if wants == Wants::More {
        access.allows_more()?;
    }
    Ok(access)
}

fn needs(scope: ClientScope) -> OAuthError {
    let sentence = format_args!("This operation needs an access token with scope {}", scope.as_str());
    OAuthError::about(OAuthCode::InvalidRequest, sentence)
}
