//! The provider's callback: exchanges the provider's authorization code for tokens and opens a pending connection.

use std::net::IpAddr;
use std::time::Duration;

use domain::error::{OAuthCode, OAuthError};
use domain::id::ProviderId;
use domain::model::authorization_request::{AuthorizationRequest, RequestStepError};
use domain::model::client::Client;
use domain::model::connection::is_valid_grant_id;
use domain::model::provider::Provider;
use domain::rule::authorization_failure::{
    FAILED, NOT_IDENTIFIED, TERMS_UNKNOWN, TOKEN_TYPE_REJECTED, UNAVAILABLE, describe_exchange_failure,
    map_authorization_error,
};
use domain::rule::authorization_progress::AuthorizationProgress;
use domain::rule::provider_response::CallOutcome;
use domain::secret::TokenHashes;
use domain::{Secret, Timestamp};
use store::command::{
    FailRequest, OpenConnection, OpenOutcome, ReceiveCode, RecoverExchange, RecoveryCause, SealedGrant,
    SealedValue, UnrevokedToken,
};
use store::query::FindAuthorizationRequestByState;

use super::call_report::CallReport;
use super::client_redirect::build_client_redirect;
use super::dpop::choose_dpop_key;
use super::endpoints::ProviderEndpoints;
use super::grant_secret::GrantSecret;
use super::grant_terms::{HubConsent, NewTerms, SourceStatement, find_grant_id};
use super::login::{Login, LoginError, login_owner, max_consent_duration, open_verifier};
use super::recipient_code::{NewCode, create_code, redirect_or_stop, repeat_callback};
use super::sealed_token::{seal_found_tokens, seal_grant_id, seal_token};
use super::token_endpoint::{TokenCallError, TokenGrant};
use super::token_response::{FoundToken, TokenResponse};
use super::urls::callback_uri;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::SealPurpose;

/// The parameters of a provider's authorization response (RFC 6749 §4.1.2).
#[derive(Debug)]
pub struct Callback {
    /// The provider in the path of the callback URI.
    pub provider_id: ProviderId,
    /// The value of the parameter `state`, with which the authorization request is found.
    pub state: Secret<String>,
    /// The value of the parameter `iss` (RFC 9207), if the provider sends it.
    pub issuer: Option<String>,
    /// The value of the parameter `code`, or that of `error` if the authorization failed.
    pub result: Result<Secret<String>, String>,
    /// The hashes of the cookies that bind the authorization request to one browser.
    pub cookies: TokenHashes,
    /// The address of the customer; `None` if it is not known.
    pub customer_address: Option<IpAddr>,
}

/// Handles a provider's callback and returns the redirect to the recipient. A repetition returns the same redirect, or one with
/// a new code.
pub async fn receive_callback(ctx: RequestContext, callback: Callback) -> Result<String, LoginError> {
    let unknown = || LoginError::Rejected(RequestStepError::Unknown);
    let state = ctx.app().vault().hash_all_generations(callback.state.expose());
    let request = ctx.ask(&FindAuthorizationRequestByState { state: state.clone() }).await?;
    // A `state` is valid only at the callback of its own provider (mix-up attack, RFC 9700 §4.4). `ReceiveCode` repeats these
    // checks with the request locked.
    let request = request.filter(|r| r.provider_id == callback.provider_id).ok_or_else(unknown)?;
    request.ensure_own_browser(&callback.cookies).map_err(LoginError::Rejected)?;
    let login = Login::for_request(&ctx, request).await?;
    let login = login.at_first_endpoints(&ctx).await?;
    if !is_issuer_accepted(&login.provider, callback.issuer.as_deref()) {
        tracing::warn!(provider = %callback.provider_id, request = %login.request.id,
            is_missing = callback.issuer.is_none(), "a callback without the issuer of its provider was rejected");
        return Err(unknown());
    }
    // A completed request no longer has a data key with which the code could be sealed.
    if login.progress != AuthorizationProgress::AtProvider {
        return repeat_callback(&ctx, login.request.id, callback.cookies).await;
    }
    let Login { request, client, provider, .. } = login;
    let owner = login_owner(&request);
    let key = ctx.app().vault().unwrap_data_key(&request.data_key, owner, SealPurpose::LoginKey)?;
    let verifier = open_verifier(&request, &key)?;
    // The code is stored before it is sent. If the process dies during the exchange, recovery sends it again and
    // revokes what the provider granted.
    let result = callback.result.map_err(|error_code| map_authorization_error(&error_code));
    let sealed = match &result {
        Ok(code) => Ok(key.seal(&owner.bind(SealPurpose::ProviderCode), code.expose().as_bytes())?),
        Err(error) => Err(error.clone()),
    };
    let moment = ctx.new_moment()?;
    let leased_at = moment.now;
    let command = ReceiveCode {
        moment,
        provider_id: callback.provider_id,
        state,
        cookie: callback.cookies.clone(),
        result: sealed,
        exchange_timeout: exchange_timeout(&ctx, &provider),
    };
    let received = match ctx.run(command).await? {
        Ok(received) => received,
        // Another callback of this browser came first.
        Err(RequestStepError::AlreadyTaken) => {
            return repeat_callback(&ctx, request.id, callback.cookies).await;
        }
        Err(error) => return Err(LoginError::for_step(error, &request.id)),
    };
    let request = received.request;
    let result = match (received.may_continue, result) {
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(code)) => {
            let (ctx, client, request) = (ctx.clone(), client.clone(), request.clone());
            let customer_address = callback.customer_address;
            let exchange =
                CodeExchange { ctx, client, provider, request, verifier, leased_at, customer_address };
            // The exchange runs in a separate task, because this future is dropped when the browser disconnects.
            // Without completion, the provider's grant would be orphaned.
            let result = tokio::spawn(exchange.run(code)).await;
            result.map_err(|_| InternalError::new("the task of a code exchange was aborted"))?
        }
    };
    if let Some(url) = build_client_redirect(&client, &request, result.as_ref().map(String::as_str)) {
        return Ok(url);
    }
    let login = Login::for_request(&ctx, request).await?;
    redirect_or_stop(&ctx, None, login).await
}

/// Returns whether a callback has the issuer of its provider. A response from another issuer is a mix-up attack (RFC 9207 §2.4).
fn is_issuer_accepted(provider: &Provider, issuer: Option<&str>) -> bool {
    let is_promised = provider.metadata().is_some_and(|m| m.authorization_response_iss_parameter_supported);
    match (issuer, provider.settings.issuer.as_deref()) {
        (Some(issuer), Some(expected)) => issuer == expected,
        // A provider that does not support RFC 9207 sends no `iss`. Its callback URI, which no other provider uses, protects.
        (None, _) => !is_promised,
        (Some(_), None) => true,
    }
}

/// An exchange of a provider's authorization code for tokens (RFC 6749 §4.1.3).
struct CodeExchange {
    ctx: RequestContext,
    client: Client,
    provider: Provider,
    request: AuthorizationRequest,
    /// The PKCE verifier, with the key that the tokens are to be bound to.
    verifier: GrantSecret,
    /// The start of the lease: when the lease has expired, recovery assumes that the exchange was interrupted.
    leased_at: Timestamp,
    customer_address: Option<IpAddr>,
}

/// The reason why an exchange results in no connection.
enum ExchangeError {
    /// The exchange failed. The tokens that the provider issued must be revoked.
    Failed { error: OAuthError, unrevoked: Vec<UnrevokedToken> },
    /// Another party may have recovered the exchange. The authorization request keeps its status, so that recovery handles
    /// it when the lease has expired.
    Interrupted(OAuthError),
    /// The call proves nothing, so the exchange must be recovered.
    OutcomeUnknown { error: OAuthError, cause: RecoveryCause },
}

impl From<OAuthError> for ExchangeError {
    fn from(error: OAuthError) -> Self {
        Self::Failed { error, unrevoked: Vec::new() }
    }
}

impl CodeExchange {
    /// Runs the exchange and returns the recipient's authorization code. If the exchange failed, jobs revoke the tokens
    /// that the provider issued or may have issued.
    async fn run(self, provider_code: Secret<String>) -> Result<String, OAuthError> {
        match self.exchange(provider_code.expose()).await {
            Ok(code) => Ok(code),
            Err(ExchangeError::Interrupted(error)) => {
                tracing::warn!(request = %self.request.id, "code exchange interrupted; recovery will handle it");
                Err(error)
            }
            Err(ExchangeError::OutcomeUnknown { error, cause }) => {
                if let Err(error) = self.recover(cause).await {
                    tracing::error!(%error, request = %self.request.id, "code exchange could not be recovered yet");
                }
                Err(error)
            }
            Err(ExchangeError::Failed { error, unrevoked }) => {
                if let Err(error) = self.fail_request(error.clone(), unrevoked).await {
                    // The status remains `exchanging`, so recovery handles the request when its lease has expired.
                    tracing::error!(%error, request = %self.request.id, "failed code exchange could not be stored");
                }
                Err(error)
            }
        }
    }

    /// Queues the jobs that recover the grant. If this fails, the sweep does it when the lease has expired.
    async fn recover(&self, cause: RecoveryCause) -> Result<(), InternalError> {
        let request_id = self.request.id.clone();
        self.ctx.run(RecoverExchange { moment: self.ctx.new_moment()?, request_id, cause }).await?;
        self.ctx.app().job_notify().notify_one();
        Ok(())
    }

    /// Stores that the exchange failed. Has no effect if another command has completed the request.
    async fn fail_request(
        &self,
        error: OAuthError,
        unrevoked: Vec<UnrevokedToken>,
    ) -> Result<(), InternalError> {
        let request_id = self.request.id.clone();
        let command = FailRequest { moment: self.ctx.new_moment()?, request_id, error, unrevoked };
        self.ctx.run(command).await?;
        self.ctx.app().job_notify().notify_one();
        Ok(())
    }

    async fn exchange(&self, provider_code: &str) -> Result<String, ExchangeError> {
        let tokens = self.request_tokens(provider_code).await?;
        let mut grant = self.seal_grant(&tokens).map_err(to_server_error)?;
        let unrevoked = grant.to_unrevoked();
        if !tokens.is_type_accepted {
            return Err(ExchangeError::Failed { error: TOKEN_TYPE_REJECTED, unrevoked: vec![unrevoked] });
        }
        let nonce = self.ctx.app().vault().login_nonce(&self.request);
        let nonce = self.provider.settings.requests_id_token().then(|| nonce.expose().as_str());
        // The customer waits, so the calls are made at the same time.
        let endpoints = self.endpoints();
        let agreed_at = self.request.agreed_at.unwrap_or(self.leased_at);
        let (identity, statements) =
            tokio::join!(endpoints.find_identity(&tokens, nonce), endpoints.find_terms(&tokens, agreed_at));
        // Without the configured identity, the hub could not recognize that two connections belong to one customer.
        let Ok(identity) = identity else {
            return Err(ExchangeError::Failed { error: NOT_IDENTIFIED, unrevoked: vec![unrevoked] });
        };
        let unrevoked = UnrevokedToken { identity: identity.clone(), ..unrevoked };
        // Without the configured source, the connection could seem to cover more than the customer granted.
        let Ok(statements) = statements else {
            return Err(ExchangeError::Failed { error: TERMS_UNKNOWN, unrevoked: vec![unrevoked] });
        };
        grant.identity = identity;
        let opened = self.open_connection(&tokens, statements, grant).await;
        opened.map_err(|error| ExchangeError::Failed { error, unrevoked: vec![unrevoked] })
    }

    fn endpoints(&self) -> ProviderEndpoints<'_> {
        ProviderEndpoints::new(&self.ctx, &self.provider, &self.request.client_id)
            .for_connection(&self.request.connection_id)
            .for_present_customer(self.customer_address)
    }

    /// Seals the tokens of a grant, and its id. The identity of the customer is not known yet.
    fn seal_grant(&self, tokens: &TokenResponse) -> Result<SealedGrant, InternalError> {
        let grant_id = find_grant_id(&self.provider, tokens).filter(|id| is_valid_grant_id(id.expose()));
        let (owner, refresh_token) =
            ((login_owner(&self.request), &self.provider), tokens.refresh_token.as_ref());
        let seal = |purpose, token| seal_token(&self.ctx, owner, purpose, (token, tokens.dpop_key.as_ref()));
        Ok(SealedGrant {
            identity: None,
            grant_id: grant_id
                .map(|id| seal_grant_id(&self.ctx, login_owner(&self.request), id.expose()))
                .transpose()?,
            access_token: seal(SealPurpose::AccessToken, &tokens.access_token)?,
            access_expires_at: tokens.access_expires_at,
            refresh_token: refresh_token.map(|token| seal(SealPurpose::RefreshToken, token)).transpose()?,
        })
    }

    async fn request_tokens(&self, provider_code: &str) -> Result<TokenResponse, ExchangeError> {
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        let dpop_key = choose_dpop_key(&self.ctx, &self.provider, self.verifier.dpop_key.clone());
        let dpop_key = dpop_key.map_err(to_server_error)?;
        // A task that stalled must not send the code: recovery may have sent it in the meantime, and a code that is
        // used twice can make the provider revoke the tokens of its first use (RFC 6749 §4.1.2).
        if !self.ctx.app().has_time_left(self.leased_at).map_err(to_server_error)? {
            return Err(ExchangeError::Interrupted(UNAVAILABLE));
        }
        let grant = TokenGrant::Code {
            code: provider_code,
            redirect_uri: &redirect_uri,
            verifier: self.verifier.secret.expose(),
        };
        match self.endpoints().request_tokens(grant, dpop_key).await {
            Ok(tokens) => Ok(tokens),
            Err(TokenCallError::CircuitOpen) => Err(UNAVAILABLE.into()),
            Err(TokenCallError::Failed { report, found }) => Err(self.evaluate_failure(&report, found)),
        }
    }

    /// Decides the consequence of an exchange that returned no usable tokens.
    fn evaluate_failure(&self, report: &CallReport, found: Vec<FoundToken>) -> ExchangeError {
        let error = describe_exchange_failure(report.outcome);
        match report.outcome {
            CallOutcome::Unknown(_) => {
                let may_still_be_processed = report.may_still_be_processed(!found.is_empty());
                let owner = login_owner(&self.request);
                match seal_found_tokens(&self.ctx, &self.provider, owner, found) {
                    Ok(found) => {
                        let cause = RecoveryCause::OutcomeUnknown {
                            error: error.clone(),
                            found,
                            may_still_be_processed,
                        };
                        ExchangeError::OutcomeUnknown { error, cause }
                    }
                    Err(internal) => ExchangeError::Interrupted(to_server_error(internal)),
                }
            }
            CallOutcome::Succeeded | CallOutcome::Refused(_) | CallOutcome::NeverProcessed(_) => error.into(),
        }
    }

    async fn open_connection(
        &self,
        tokens: &TokenResponse,
        statements: Vec<SourceStatement>,
        grant: SealedGrant,
    ) -> Result<String, OAuthError> {
        let consent = HubConsent {
            provider: &self.provider,
            client: &self.client,
            request: &self.request,
            max_duration: max_consent_duration(&self.ctx),
            now: self.ctx.app().now().unwrap_or(self.ctx.now()),
        };
        let terms = consent.build_terms(tokens, statements)?;
        self.ensure_revocable(tokens)?;
        match self.store_connection(terms, grant).await.map_err(to_server_error)? {
            (code, OpenOutcome::Opened) => Ok(code.expose().clone()),
            (_, OpenOutcome::Refused(error)) => Err(error),
        }
    }

    /// Returns an error if the provider's id of the grant cannot be stored, or is missing although the hub needs it, usually in order
    /// to revoke the grant.
    fn ensure_revocable(&self, tokens: &TokenResponse) -> Result<(), OAuthError> {
        let id = find_grant_id(&self.provider, tokens);
        let is_missing = id.is_none() && self.provider.settings.needs_grant_id();
        if is_missing || id.is_some_and(|id| !is_valid_grant_id(id.expose())) {
            let provider = self.provider.id;
            tracing::warn!(%provider, is_missing, "the token response has no usable id of the grant, which the settings need");
            return Err(FAILED);
        }
        Ok(())
    }

    /// Stores the pending connection with the hash of a new authorization code for the recipient.
    async fn store_connection(
        &self,
        NewTerms { terms, expires_at, accounts }: NewTerms,
        grant: SealedGrant,
    ) -> Result<(Secret<String>, OpenOutcome), InternalError> {
        // The exchange took time. The lifetime of the recipient's code must start now, not when the callback arrived.
        let NewCode { code, hash, expires_at: code_expires_at } = create_code(&self.ctx)?;
        let command = OpenConnection {
            moment: self.ctx.new_moment()?,
            request_id: self.request.id.clone(),
            terms,
            expires_at,
            accounts: accounts.map(|accounts| self.seal_accounts(&accounts)).transpose()?,
            grant,
            code_hash: hash,
            code_expires_at,
        };
        Ok((code, self.ctx.run(command).await?))
    }

    fn seal_accounts(&self, accounts: &[String]) -> Result<SealedValue, InternalError> {
        let random = self.ctx.random_bytes()?;
        let (key, sealed) =
            self.ctx.app().vault().seal_accounts(random, login_owner(&self.request), accounts)?;
        Ok(SealedValue { key, sealed })
    }
}

/// Returns the time within which an exchange must end: the call, and those that determine the identity of the customer and the terms of
/// the grant, which are made at the same time.
fn exchange_timeout(ctx: &RequestContext, provider: &Provider) -> Duration {
    let lease = ctx.app().refresh_lease_duration();
    if provider.settings.needs_login_calls() {
        lease + ctx.app().config().upstream.timeout.duration()
    } else {
        lease
    }
}

fn to_server_error(error: impl Into<InternalError>) -> OAuthError {
    let error = error.into();
    tracing::error!(%error, "code exchange failed");
    OAuthError::new(OAuthCode::ServerError, "The hub could not complete the authorization")
}
