//! The provider's answer: its code is sealed, exchanged, and becomes a pending connection.

use domain::error::{OAuthCode, OAuthError};
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, RequestStepError};
use domain::model::client::Client;
use domain::model::connection::{Terms, consent_expiry, is_valid_account_list, is_valid_grant_id};
use domain::model::provider::{CustomerIdentity, Provider};
use domain::rule::authorize::{ACCESS_DENIED, compute_granted_scope};
use domain::secret::TokenHashes;
use domain::{Secret, Timestamp};
use store::command::{FailRequest, OpenConnection, OpenOutcome, ReceiveCode, SealedGrant, UnrevokedToken};
use store::query::FindAuthorizationRequestByState;

use super::client::OnBehalfOf;
use super::consent::{ConsentError, build_client_redirect, load_client_and_provider, max_consent_duration};
use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::token_endpoint::{TokenGrant, TokenResponse};
use super::urls::callback_uri;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::vault::DataKey;

/// What a provider's redirect carried.
#[derive(Debug)]
pub struct Callback {
    /// Whose callback was called.
    pub provider_id: ProviderId,
    /// `state`
    pub state: Secret<String>,
    /// `iss` (RFC 9207)
    pub issuer: Option<String>,
    /// `code`, or the `error` word.
    pub result: Result<Secret<String>, String>,
    /// The flow cookies of the browser.
    pub cookies: TokenHashes,
}

/// Where the browser goes after a provider's answer, and the request that is over with it.
pub struct CallbackOutcome {
    /// The request.
    pub request_id: AuthorizationRequestId,
    /// The recipient's redirect URI, with a code or an error.
    pub url: String,
}

/// Takes a provider's answer: where the browser goes now.
///
/// From the exchange on, a browser that goes away changes nothing: the work goes on in a task of its own.
pub async fn receive_callback(
    ctx: RequestContext,
    callback: Callback,
) -> Result<CallbackOutcome, ConsentError> {
    let unknown = ConsentError::Rejected(RequestStepError::Unknown);
    let states = ctx.app().vault().hash_all_generations(callback.state.expose());
    let request =
        ctx.ask(&FindAuthorizationRequestByState { state: states.clone() }).await?.ok_or(unknown)?;
    // Here for those that are over, and have no key any more; decided again with the row locked.
    request
        .ensure_step_allowed(RequestStatus::AtProvider, &callback.cookies, ctx.now())
        .map_err(ConsentError::Rejected)?;
    let (client, provider) = load_client_and_provider(&ctx, &request).await?;
    let expected = provider.settings.issuer.as_ref();
    if callback.issuer.is_some() && expected.is_some() && callback.issuer.as_ref() != expected {
        return Err(ConsentError::Rejected(RequestStepError::Unknown));
    }
    let key = ctx.app().vault().unwrap_data_key(&request.data_key, request.connection_id.as_str())?;
    let sealed = match &callback.result {
        Ok(code) => Some(key.seal(request.connection_id.as_str(), code.expose().as_bytes())?),
        Err(_) => None,
    };
    let moment = ctx.new_moment()?;
    let leased_at = moment.now;
    let received = ReceiveCode {
        moment,
        provider_id: callback.provider_id,
        state: states,
        cookie: callback.cookies,
        provider_code: sealed,
        exchange_timeout: ctx.app().refresh_lease_duration(),
    };
    let received = ctx.run(received).await?.map_err(ConsentError::Rejected)?;
    let request = received.request;
    let outcome = match (received.may_continue, callback.result) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(word)) => Err(map_provider_error(&word)),
        (Ok(()), Ok(code)) => {
            let (client, request) = (client.clone(), request.clone());
            let exchange = CodeExchange { ctx, client, provider, request, key, leased_at };
            tokio::spawn(exchange.run(code)).await.map_err(|_| InternalError::new("an exchange broke off"))?
        }
    };
    let url = build_client_redirect(&client, &request, outcome.as_ref().map(String::as_str));
    let url = url.ok_or(ConsentError::Rejected(RequestStepError::Unknown))?;
    Ok(CallbackOutcome { request_id: request.id, url })
}

fn map_provider_error(error_code: &str) -> OAuthError {
    match error_code {
        "access_denied" => ACCESS_DENIED,
        "temporarily_unavailable" => UNAVAILABLE,
        _ => FAILED,
    }
}

const UNAVAILABLE: OAuthError =
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "The provider is not available at present");
const FAILED: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The provider did not complete the authorization");

struct CodeExchange {
    ctx: RequestContext,
    client: Client,
    provider: Provider,
    request: AuthorizationRequest,
    key: DataKey,
    leased_at: Timestamp,
}

/// An exchange that comes to nothing.
enum ExchangeError {
    /// With what the provider gave.
    Failed { error: OAuthError, unrevoked: Option<UnrevokedToken> },
    /// What the provider did with the code is not known, as after a crash: the request is left to recovery.
    OutcomeUnknown(OAuthError),
}

impl From<OAuthError> for ExchangeError {
    fn from(error: OAuthError) -> Self {
        Self::Failed { error, unrevoked: None }
    }
}

impl CodeExchange {
    /// The recipient's code, or what the recipient is told. Whatever fails, what is in hand is revoked.
    async fn run(self, provider_code: Secret<String>) -> Result<String, OAuthError> {
        match self.exchange(provider_code.expose()).await {
            Ok(code) => Ok(code),
            Err(ExchangeError::OutcomeUnknown(error)) => {
                tracing::warn!(request = %self.request.id, "an exchange broke off: its code will be tried again");
                Err(error)
            }
            Err(ExchangeError::Failed { error, unrevoked }) => {
                let failed = async {
                    let moment = self.ctx.new_moment()?;
                    let request_id = self.request.id.clone();
                    Ok::<_, InternalError>(self.ctx.run(FailRequest { moment, request_id, unrevoked }).await?)
                };
                if let Err(fault) = failed.await {
                    tracing::error!(%fault, request = %self.request.id, "a failed exchange is not recorded");
                }
                Err(error)
            }
        }
    }

    async fn exchange(&self, provider_code: &str) -> Result<String, ExchangeError> {
        let reply = self.request_tokens(provider_code).await?;
        let sealed = reply.refresh_token.as_ref().map(|t| self.seal(t.expose())).transpose();
        let token = sealed.map_err(|fault| to_server_error(&fault))?;
        let identity = derive_identity(&self.ctx, &self.provider, &reply);
        let opened = self.open_connection(&reply, identity.clone(), token.clone()).await;
        let unrevoked = token.map(|token| UnrevokedToken { token, identity });
        opened.map_err(|error| ExchangeError::Failed { error, unrevoked })
    }

    async fn request_tokens(&self, provider_code: &str) -> Result<TokenResponse, ExchangeError> {
        let sealed = self.request.verifier.as_deref().unwrap_or_default();
        let verifier = self.key.open_text(self.request.connection_id.as_str(), sealed);
        let verifier = verifier.map_err(|error| to_server_error(&error.into()))?;
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        if !self.ctx.app().has_time_left(self.leased_at).map_err(|unfit| to_server_error(&unfit.into()))? {
            return Err(ExchangeError::OutcomeUnknown(UNAVAILABLE));
        }
        let on_behalf_of = OnBehalfOf::Recipient(self.request.client_id.clone());
        let grant = TokenGrant::Code {
            code: provider_code,
            redirect_uri: &redirect_uri,
            verifier: verifier.expose(),
        };
        ProviderEndpoints::new(&self.ctx, &self.provider, on_behalf_of).request_tokens(grant).await.map_err(
            |upstream| match upstream {
                UpstreamError::NoResponse => ExchangeError::OutcomeUnknown(UNAVAILABLE),
                UpstreamError::Unavailable | UpstreamError::RateLimited(_) => UNAVAILABLE.into(),
                _ => FAILED.into(),
            },
        )
    }

    async fn open_connection(
        &self,
        reply: &TokenResponse,
        identity: Option<Vec<u8>>,
        refresh_token: Option<Vec<u8>>,
    ) -> Result<String, OAuthError> {
        let terms = self.build_terms(reply)?;
        if identity.is_none() && self.provider.settings.customer_identity != CustomerIdentity::None {
            return Err(FAILED);
        }
        let grant_id =
            self.provider.settings.grant_field.as_deref().and_then(|name| reply.string_field(name));
        if grant_id.as_deref().is_some_and(|id| !is_valid_grant_id(id)) {
            return Err(FAILED);
        }
        let opened = async {
            let code = self.ctx.random_secret()?;
            let open = OpenConnection {
                moment: self.ctx.new_moment()?,
                request_id: self.request.id.clone(),
                terms,
                grant: SealedGrant {
                    identity,
                    grant_id,
                    access_token: self.seal(reply.access_token.expose())?,
                    access_expires_at: reply.access_expires_at,
                    refresh_token,
                },
                code_hash: self.ctx.app().vault().hash(code.expose()),
                code_expires_at: self
                    .ctx
                    .refreshed()?
                    .now()
                    .plus(self.ctx.app().config().token.code_ttl.duration()),
            };
            Ok::<_, InternalError>((code, self.ctx.run(open).await?))
        };
        match opened.await.map_err(|fault| to_server_error(&fault))? {
            (code, OpenOutcome::Opened) => Ok(code.expose().clone()),
            (_, OpenOutcome::Refused(error)) => Err(error),
        }
    }

    fn build_terms(&self, reply: &TokenResponse) -> Result<Terms, OAuthError> {
        let (settings, request) = (&self.provider.settings, &self.request);
        let provider_clusters =
            reply.scope.as_deref().map_or(request.clusters, |scope| settings.clusters_from_scope(scope));
        let clusters = compute_granted_scope(
            request.clusters,
            provider_clusters,
            self.client.scope,
            settings.clusters(),
        )?;
        let accounts = match &settings.accounts_field {
            None => None,
            Some(name) => {
                Some(reply.string_list(name).filter(|ids| is_valid_account_list(ids)).ok_or(FAILED)?)
            }
        };
        if accounts.as_ref().is_some_and(Vec::is_empty) {
            return Err(ACCESS_DENIED);
        }
        let agreed_at = request.agreed_at.ok_or(FAILED)?;
        Ok(Terms {
            clusters,
            accounts,
            purpose: request.purpose.clone().unwrap_or_default(),
            language: request.language.clone(),
            page_version: request.page_version.clone().unwrap_or_default(),
            expires_at: consent_expiry(
                agreed_at,
                self.client.max_duration_days,
                max_consent_duration(&self.ctx),
            ),
            agreed_at,
        })
    }

    fn seal(&self, text: &str) -> Result<Vec<u8>, InternalError> {
        Ok(self.key.seal(self.request.connection_id.as_str(), text.as_bytes())?)
    }
}

/// How the customer that a reply names is remembered; none where it names nobody.
pub(super) fn derive_identity(
    ctx: &RequestContext,
    provider: &Provider,
    reply: &TokenResponse,
) -> Option<Vec<u8>> {
    match &provider.settings.customer_identity {
        CustomerIdentity::None => None,
        CustomerIdentity::TokenField(name) => {
            Some(ctx.app().vault().hash_identity(provider.id, &reply.string_field(name)?))
        }
    }
}

fn to_server_error(fault: &InternalError) -> OAuthError {
    tracing::error!(%fault, "an exchange failed");
    OAuthError::new(OAuthCode::ServerError, "The hub could not complete the authorization")
}
