//! `POST /api/v1/token`: the grants `authorization_code`, `refresh_token` and `client_credentials`.

use domain::error::{OAuthCode, OAuthError};
use domain::id::ClientId;
use domain::model::access_token::Claims;
use domain::model::client::Profile;
use domain::model::refresh_token::idle_expiry;
use domain::rule::access::{AccessState, MintError, mint, mint_for_client};
use domain::rule::access_denial::{DenialReason, DeniedCaller};
use domain::rule::client_auth::{AuthenticatedClient, CLIENT_SUSPENDED, ClientCredentials, authenticate};
use domain::rule::token::{
    BAD_CODE, BAD_REFRESH_TOKEN, TokenRequest, TokenRequestFields, ensure_grant_allowed,
    narrow_refresh_scope, resolve_client_scope,
};
use domain::{Clusters, Secret};
use futures_util::future::try_join;
use store::StoreError;
use store::command::{RecordRefreshTokenUse, RedeemCode, RedeemOutcome};
use store::query::{FindRefreshToken, GetClient, StoredRefreshToken};

use super::error::AuthzError;
use crate::access_attempt::AccessAttempt;
use crate::context::RequestContext;

/// The tokens of a successful token request.
#[derive(Debug)]
pub struct IssuedTokens {
    pub access_token: Secret<String>,
    /// The lifetime of the access token in seconds.
    pub expires_in: i64,
    /// The refresh token, issued only with a new connection.
    pub refresh_token: Option<Secret<String>>,
    /// The granted scope, space-delimited.
    pub scope: String,
}

/// The parsed request, or the error that an authenticated client gets.
type ParsedRequest = Result<TokenRequest, OAuthError>;
/// The result of the lookup of a refresh token.
type TokenLookup = Result<Option<StoredRefreshToken>, StoreError>;

/// Authenticates the client and issues the tokens of the requested grant.
pub async fn issue_tokens(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    credentials: ClientCredentials,
    fields: &TokenRequestFields<'_>,
) -> Result<IssuedTokens, AuthzError> {
    let token_request = TokenRequest::parse(fields);
    // Client and refresh token are looked up at the same time: on PostgreSQL both wait for the same barrier then. What was
    // found is not used before the client is authenticated.
    let authentication = authenticate_client(ctx, attempt, &credentials);
    let lookup = async { Ok::<_, AuthzError>(find_presented_token(ctx, &token_request).await) };
    let (client, presented) = try_join(authentication, lookup).await?;
    let issued = issue_to_client(ctx, &client, token_request, presented).await;
    if let Err(AuthzError::Rejected(error)) = &issued {
        attempt.deny_unauthorized_client(ctx, client.client(), error);
    }
    issued
}

/// Issues the tokens of the requested grant to an authenticated client.
async fn issue_to_client(
    ctx: &RequestContext,
    client: &AuthenticatedClient,
    token_request: ParsedRequest,
    presented: TokenLookup,
) -> Result<IssuedTokens, AuthzError> {
    // Counted only now: before authentication, anyone could use up another client's quota.
    ctx.app().limits().ensure_token_request_allowed(&client.client().id)?;
    let token_request = token_request?;
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
            redeem_code(ctx, client, &code, redirect_uri, verifier).await
        }
        TokenRequest::RefreshToken { token, scope } => {
            refresh_access_token(ctx, client, &token, presented?, scope).await
        }
        TokenRequest::ClientCredentials { scope } => {
            let scope = resolve_client_scope(client.client(), scope.as_deref())?;
            let claims =
                mint_for_client(client, scope, ctx.new_id_source()?.mint(), ctx.now(), access_ttl(ctx))?;
            // No refresh token for this grant (RFC 6749 §4.4.3).
            build_issued_tokens(ctx, &claims, scope.as_str().to_owned(), None)
        }
    }
}

/// Authenticates a client by its secret.
///
/// Failures are counted per client and network, never per client only: otherwise anyone could lock out a client by
/// sending wrong secrets.
pub(super) async fn authenticate_client(
    ctx: &RequestContext,
    attempt: &AccessAttempt,
    credentials: &ClientCredentials,
) -> Result<AuthenticatedClient, AuthzError> {
    let client = match credentials.client_id.parse::<ClientId>() {
        Ok(id) => ctx.ask(&GetClient { id }).await?,
        Err(_) => None,
    };
    // The secret is hashed for unknown clients too: the response time must not reveal which ids exist.
    let presented_secret = ctx.app().vault().hash_all_generations(credentials.secret.expose());
    let id = client.as_ref().map(|client| client.id.clone());
    match authenticate(client, &presented_secret) {
        // The right secret is accepted during a lockout too: otherwise anyone in the client's network could lock it out with
        // wrong secrets. This does not help an attacker to guess, because secrets have 256 random bits.
        Ok(authenticated) => Ok(authenticated),
        Err(error) => {
            match &id {
                Some(id) => attempt.deny(
                    ctx.app(),
                    ctx.now(),
                    DeniedCaller::Client(id.clone()),
                    DenialReason::WrongSecret,
                ),
                None => attempt.deny_unknown_client(ctx.app(), ctx.now(), &credentials.client_id),
            }
            let limits = ctx.app().limits();
            limits.ensure_auth_attempt_allowed(id.as_ref(), attempt.network)?;
            limits.record_failed_auth(id.as_ref(), attempt.network);
            Err(error.into())
        }
    }
}

/// Exchanges an authorization code and activates its connection (RFC 6749 §4.1.3).
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
    let (outcome, end_cause) = ctx.run(redeem).await?;
    // A replayed code ends its connection (RFC 6749 §4.1.2), and a new connection ends the one that it replaces. Such
    // an end is already committed, even if no token is issued below.
    if let Some(cause) = end_cause {
        crate::connections::record_end(ctx, cause);
    }
    let state = match outcome {
        RedeemOutcome::Activated(state) => state,
        RedeemOutcome::Refused(error) => return Err(error.into()),
    };
    let claims = mint_connection_token(ctx, &state, state.clusters, BAD_CODE)?;
    build_issued_tokens(ctx, &claims, state.clusters.to_string(), Some(refresh_token))
}

/// Looks up the refresh token of a request; other requests have none.
async fn find_presented_token(ctx: &RequestContext, request: &ParsedRequest) -> TokenLookup {
    let Ok(TokenRequest::RefreshToken { token, .. }) = request else { return Ok(None) };
    let hashes = ctx.app().vault().hash_all_generations(token.expose());
    ctx.ask(&FindRefreshToken { hashes }).await
}

/// Issues a new access token for a refresh token (RFC 6749 §6). Refresh tokens do not rotate.
async fn refresh_access_token(
    ctx: &RequestContext,
    client: &AuthenticatedClient,
    token: &Secret<String>,
    stored: Option<StoredRefreshToken>,
    requested_scope: Option<Clusters>,
) -> Result<IssuedTokens, AuthzError> {
    let max_idle = ctx.app().config().token.refresh_idle.duration();
    // One error for all cases: another client's token must look like an unknown one (RFC 6749 §5.2).
    let stored = stored
        .filter(|stored| stored.token.client_id == client.client().id)
        .filter(|stored| ctx.now() < idle_expiry(stored.token.last_used_at, max_idle))
        .ok_or(BAD_REFRESH_TOKEN)?;
    let clusters = narrow_refresh_scope(stored.access_state.clusters, requested_scope)?;
    let claims = mint_connection_token(ctx, &stored.access_state, clusters, BAD_REFRESH_TOKEN)?;
    // Not every use is recorded, because this would cost one write for each access token.
    if stored.token.should_record_use(ctx.now()) {
        let current_hash = ctx.app().vault().hash(token.expose());
        let record = RecordRefreshTokenUse {
            moment: ctx.new_moment()?,
            stored_hash: stored.hash,
            current_hash,
            token: stored.token,
        };
        ctx.run(record).await?;
    }
    build_issued_tokens(ctx, &claims, clusters.to_string(), None)
}

/// Creates the claims of a new access token for a connection; returns `ended_error` if the connection has ended.
fn mint_connection_token(
    ctx: &RequestContext,
    state: &AccessState,
    clusters: Clusters,
    ended_error: OAuthError,
) -> Result<Claims, AuthzError> {
    let claims = mint(state, ctx.new_id_source()?.mint(), clusters, ctx.now(), access_ttl(ctx));
    claims.map_err(|error| match error {
        MintError::Ended => ended_error.into(),
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
        signed.map_err(|_| crate::error::InternalError::new("signing an access token failed"))?;
    // Calculated from the claims: a token never outlives the consent, so its lifetime may be shorter than configured.
    let expires_in = claims.expires_at.seconds() - claims.issued_at.seconds();
    Ok(IssuedTokens { access_token, expires_in, refresh_token, scope })
}
