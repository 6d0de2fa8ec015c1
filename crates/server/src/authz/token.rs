//! `POST /api/v1/token`: three grants.

use domain::error::{OAuthCode, OAuthError};
use domain::id::ClientId;
use domain::model::access_token::Claims;
use domain::model::client::Profile;
use domain::model::refresh_token::idle_end;
use domain::rule::access::{AccessState, MintRefusal, mint, mint_for_client};
use domain::rule::client_auth::{AuthenticatedClient, Credentials, SUSPENDED, authenticate};
use domain::rule::token::{
    BAD_CODE, BAD_REFRESH_TOKEN, Fields, TokenRequest, client_scope, may_ask, refreshed_scope,
};
use domain::{Clusters, Secret};
use store::command::{RecordRefreshUse, RedeemCode, Redeemed};
use store::query::{ClientById, RefreshTokenBy};

use super::error::AuthzError;
use crate::ctx::Ctx;
use crate::limit::Network;

/// What was issued.
#[derive(Debug)]
pub struct Issued {
    /// The access token.
    pub access_token: Secret<String>,
    /// Its life in seconds.
    pub expires_in: i64,
    /// The refresh token: with a new connection only.
    pub refresh_token: Option<Secret<String>>,
    /// What was granted.
    pub scope: String,
}

/// Authenticates the client and serves its grant.
pub async fn token(
    ctx: &Ctx,
    from: Network,
    credentials: Credentials,
    fields: &Fields,
) -> Result<Issued, AuthzError> {
    let client = authenticated(ctx, from, &credentials).await?;
    ctx.app().limits().token(&client.client().id)?;
    let asked = TokenRequest::parse(fields)?;
    if client.client().profile != Profile::Flinks {
        return Err(OAuthError::new(
            OAuthCode::UnauthorizedClient,
            "This client uses another token endpoint",
        )
        .into());
    }
    may_ask(client.client(), &asked)?;
    match asked {
        TokenRequest::AuthorizationCode { code, redirect_uri, verifier } => {
            redeem(ctx, &client, &code, redirect_uri, verifier).await
        }
        TokenRequest::RefreshToken { token, scope } => refresh(ctx, &client, &token, scope).await,
        TokenRequest::ClientCredentials { scope } => {
            let scope = client_scope(client.client(), scope.as_deref())?;
            let claims = mint_for_client(&client, scope, ctx.ids()?.mint(), ctx.now(), access_ttl(ctx))?;
            issued(ctx, &claims, scope.as_str().to_owned(), None)
        }
    }
}

/// Wrong secrets are counted for each client and network, never for a client alone: nobody can shut another out.
async fn authenticated(
    ctx: &Ctx,
    from: Network,
    credentials: &Credentials,
) -> Result<AuthenticatedClient, AuthzError> {
    let client = match ClientId::parse(&credentials.client_id) {
        Ok(id) => ctx.ask(&ClientById { id }).await?,
        Err(_) => None,
    };
    let (limits, id) = (ctx.app().limits(), client.as_ref().map(|client| client.id.clone()));
    limits.may_try(id.as_ref(), from)?;
    let authenticated = authenticate(client, &ctx.app().vault().hashes(credentials.secret.expose()));
    if authenticated.is_err() {
        limits.failed(id.as_ref(), from);
    }
    Ok(authenticated?)
}

async fn redeem(
    ctx: &Ctx,
    client: &AuthenticatedClient,
    code: &Secret<String>,
    redirect_uri: String,
    verifier: Option<Secret<String>>,
) -> Result<Issued, AuthzError> {
    let vault = ctx.app().vault();
    let refresh_token = ctx.secret()?;
    let redeem = RedeemCode {
        moment: ctx.moment()?,
        client_id: client.client().id.clone(),
        code: vault.hashes(code.expose()),
        redirect_uri,
        verifier,
        refresh_hash: vault.hash(refresh_token.expose()),
    };
    let (redeemed, ended) = ctx.run(redeem).await?;
    if let Some(cause) = ended {
        crate::connection::ended(ctx, cause);
    }
    let state = match redeemed {
        Redeemed::Activated(state) => state,
        Redeemed::Refused(error) => return Err(error.into()),
    };
    let claims = minted(ctx, &state, state.clusters, BAD_CODE)?;
    issued(ctx, &claims, state.clusters.to_string(), Some(refresh_token))
}

async fn refresh(
    ctx: &Ctx,
    client: &AuthenticatedClient,
    token: &Secret<String>,
    wanted: Option<Clusters>,
) -> Result<Issued, AuthzError> {
    let hashes = ctx.app().vault().hashes(token.expose());
    let known = ctx.ask(&RefreshTokenBy { hashes }).await?;
    let idle = ctx.app().config().token.refresh_idle.duration();
    let known = known
        .filter(|k| k.token.client_id == client.client().id)
        .filter(|k| ctx.now() < idle_end(k.token.last_used_at, idle))
        .ok_or(BAD_REFRESH_TOKEN)?;
    let clusters = refreshed_scope(known.state.clusters, wanted)?;
    let claims = minted(ctx, &known.state, clusters, BAD_REFRESH_TOKEN)?;
    if known.token.use_is_news(ctx.now()) {
        let current = ctx.app().vault().hash(token.expose());
        ctx.run(RecordRefreshUse { moment: ctx.moment()?, stored: known.hash, current }).await?;
    }
    issued(ctx, &claims, clusters.to_string(), None)
}

fn minted(
    ctx: &Ctx,
    state: &AccessState,
    clusters: Clusters,
    ended: OAuthError,
) -> Result<Claims, AuthzError> {
    let claims = mint(state, ctx.ids()?.mint(), clusters, ctx.now(), access_ttl(ctx));
    claims.map_err(|refusal| match refusal {
        MintRefusal::Ended => ended.into(),
        MintRefusal::Suspended => SUSPENDED.into(),
    })
}

fn access_ttl(ctx: &Ctx) -> std::time::Duration {
    ctx.app().config().token.access_ttl.duration()
}

fn issued(
    ctx: &Ctx,
    claims: &Claims,
    scope: String,
    refresh_token: Option<Secret<String>>,
) -> Result<Issued, AuthzError> {
    let signed = ctx.app().access_keys().sign(claims);
    let access_token = signed.map_err(|_| crate::fault::Fault::new("an access token cannot be signed"))?;
    let expires_in = claims.expires_at.seconds() - claims.issued_at.seconds();
    Ok(Issued { access_token, expires_in, refresh_token, scope })
}
