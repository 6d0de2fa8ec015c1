//! `POST /api/v1/token`: three grants.

use domain::error::{OAuthCode, OAuthError};
use domain::id::ClientId;
use domain::model::access_token::Claims;
use domain::model::client::Profile;
use domain::model::refresh_token::idle_expiry;
use domain::rule::access::{AccessState, MintError, mint, mint_for_client};
use domain::rule::client_auth::{AuthenticatedClient, CLIENT_SUSPENDED, ClientCredentials, authenticate};
use domain::rule::token::{
    BAD_CODE, BAD_REFRESH_TOKEN, TokenRequest, TokenRequestFields, ensure_grant_allowed,
    narrow_refresh_scope, resolve_client_scope,
};
use domain::{Clusters, Secret};
use store::command::{RecordRefreshTokenUse, RedeemCode, RedeemOutcome};
use store::query::{FindRefreshToken, GetClient};

use super::error::AuthzError;
use crate::context::RequestContext;
use crate::rate_limit::Network;

/// What was issued.
#[derive(Debug)]
pub struct IssuedTokens {
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
pub async fn issue_tokens(
    ctx: &RequestContext,
    from: Network,
    credentials: ClientCredentials,
    fields: &TokenRequestFields,
) -> Result<IssuedTokens, AuthzError> {
    let client = authenticate_client(ctx, from, &credentials).await?;
    ctx.app().limits().ensure_token_request_allowed(&client.client().id)?;
    let token_request = TokenRequest::parse(fields)?;
    if client.client().profile != Profile::Flinks {
        return Err(OAuthError::new(
            OAuthCode::UnauthorizedClient,
            "This client uses another token endpoint",
        )
        .into());
    }
    ensure_grant_allowed(client.client(), &token_request)?;
    match token_request {
        TokenRequest::AuthorizationCode { code, redirect_uri, verifier } => {
            redeem_code(ctx, &client, &code, redirect_uri, verifier).await
        }
        TokenRequest::RefreshToken { token, scope } => {
            refresh_access_token(ctx, &client, &token, scope).await
        }
        TokenRequest::ClientCredentials { scope } => {
            let scope = resolve_client_scope(client.client(), scope.as_deref())?;
            let claims =
                mint_for_client(&client, scope, ctx.new_id_source()?.mint(), ctx.now(), access_ttl(ctx))?;
            build_issued_tokens(ctx, &claims, scope.as_str().to_owned(), None)
        }
    }
}

/// Wrong secrets are counted for each client and network, never for a client alone: nobody can shut another out.
async fn authenticate_client(
    ctx: &RequestContext,
    from: Network,
    credentials: &ClientCredentials,
) -> Result<AuthenticatedClient, AuthzError> {
    let client = match ClientId::parse(&credentials.client_id) {
        Ok(id) => ctx.ask(&GetClient { id }).await?,
        Err(_) => None,
    };
    let (limits, id) = (ctx.app().limits(), client.as_ref().map(|client| client.id.clone()));
    limits.ensure_auth_attempt_allowed(id.as_ref(), from)?;
    let authenticated =
        authenticate(client, &ctx.app().vault().hash_all_generations(credentials.secret.expose()));
    if authenticated.is_err() {
        limits.record_failed_auth(id.as_ref(), from);
    }
    Ok(authenticated?)
}

async fn redeem_code(
    ctx: &RequestContext,
    client: &AuthenticatedClient,
    code: &Secret<String>,
    redirect_uri: String,
    verifier: Option<Secret<String>>,
) -> Result<IssuedTokens, AuthzError> {
    let vault = ctx.app().vault();
    let refresh_token = ctx.random_secret()?;
    let redeem = RedeemCode {
        moment: ctx.new_moment()?,
        client_id: client.client().id.clone(),
        code: vault.hash_all_generations(code.expose()),
        redirect_uri,
        verifier,
        refresh_hash: vault.hash(refresh_token.expose()),
    };
    let (redeemed, ended) = ctx.run(redeem).await?;
    if let Some(cause) = ended {
        crate::connections::record_end(ctx, cause);
    }
    let state = match redeemed {
        RedeemOutcome::Activated(state) => state,
        RedeemOutcome::Refused(error) => return Err(error.into()),
    };
    let claims = mint_connection_token(ctx, &state, state.clusters, BAD_CODE)?;
    build_issued_tokens(ctx, &claims, state.clusters.to_string(), Some(refresh_token))
}

async fn refresh_access_token(
    ctx: &RequestContext,
    client: &AuthenticatedClient,
    token: &Secret<String>,
    wanted: Option<Clusters>,
) -> Result<IssuedTokens, AuthzError> {
    let hashes = ctx.app().vault().hash_all_generations(token.expose());
    let known = ctx.ask(&FindRefreshToken { hashes }).await?;
    let idle = ctx.app().config().token.refresh_idle.duration();
    let known = known
        .filter(|k| k.token.client_id == client.client().id)
        .filter(|k| ctx.now() < idle_expiry(k.token.last_used_at, idle))
        .ok_or(BAD_REFRESH_TOKEN)?;
    let clusters = narrow_refresh_scope(known.access_state.clusters, wanted)?;
    let claims = mint_connection_token(ctx, &known.access_state, clusters, BAD_REFRESH_TOKEN)?;
    if known.token.should_record_use(ctx.now()) {
        let current = ctx.app().vault().hash(token.expose());
        ctx.run(RecordRefreshTokenUse {
            moment: ctx.new_moment()?,
            stored_hash: known.hash,
            current_hash: current,
        })
        .await?;
    }
    build_issued_tokens(ctx, &claims, clusters.to_string(), None)
}

fn mint_connection_token(
    ctx: &RequestContext,
    state: &AccessState,
    clusters: Clusters,
    ended: OAuthError,
) -> Result<Claims, AuthzError> {
    let claims = mint(state, ctx.new_id_source()?.mint(), clusters, ctx.now(), access_ttl(ctx));
    claims.map_err(|refusal| match refusal {
        MintError::Ended => ended.into(),
        MintError::Suspended => CLIENT_SUSPENDED.into(),
    })
}

fn access_ttl(ctx: &RequestContext) -> std::time::Duration {
    ctx.app().config().token.access_ttl.duration()
}

fn build_issued_tokens(
    ctx: &RequestContext,
    claims: &Claims,
    scope: String,
    refresh_token: Option<Secret<String>>,
) -> Result<IssuedTokens, AuthzError> {
    let signed = ctx.app().access_keys().sign(claims);
    let access_token =
        signed.map_err(|_| crate::error::InternalError::new("an access token cannot be signed"))?;
    let expires_in = claims.expires_at.seconds() - claims.issued_at.seconds();
    Ok(IssuedTokens { access_token, expires_in, refresh_token, scope })
}
