//! The provider's answer: its code is sealed, exchanged, and becomes a pending connection.

use domain::error::{OAuthCode, OAuthError};
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::model::authorization_request::{AuthorizationRequest, RequestStatus, StepRefusal};
use domain::model::client::Client;
use domain::model::connection::{Terms, are_accounts, consent_end, is_grant_id};
use domain::model::provider::{CustomerIdentity, Provider};
use domain::rule::authorize::{DENIED, granted};
use domain::secret::TokenHashes;
use domain::{Secret, Timestamp};
use store::command::{FailRequest, InHand, OpenConnection, OpenOutcome, OpenedWith, ReceiveCode};
use store::query::RequestByState;

use super::connect::{StepError, answer, max_duration, parties};
use super::own_client::Whom;
use super::provider::{Endpoint, Grant, TokenReply, Upstream, callback_uri};
use crate::ctx::Ctx;
use crate::fault::Fault;
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
    pub answer: Result<Secret<String>, String>,
    /// The flow cookies of the browser.
    pub cookies: TokenHashes,
}

/// Where the browser goes after a provider's answer, and the request that is over with it.
pub struct Answered {
    /// The request.
    pub request_id: AuthorizationRequestId,
    /// The recipient's redirect URI, with a code or an error.
    pub url: String,
}

/// Takes a provider's answer: where the browser goes now.
///
/// From the exchange on, a browser that goes away changes nothing: the work goes on in a task of its own.
pub async fn receive(ctx: Ctx, callback: Callback) -> Result<Answered, StepError> {
    let unknown = StepError::Refused(StepRefusal::Unknown);
    let states = ctx.app().vault().hashes(callback.state.expose());
    let request = ctx.ask(&RequestByState { state: states.clone() }).await?.ok_or(unknown)?;
    // Here for those that are over, and have no key any more; decided again with the row locked.
    request.step(RequestStatus::AtProvider, &callback.cookies, ctx.now()).map_err(StepError::Refused)?;
    let (client, provider) = parties(&ctx, &request).await?;
    let expected = provider.settings.issuer.as_ref();
    if callback.issuer.is_some() && expected.is_some() && callback.issuer.as_ref() != expected {
        return Err(StepError::Refused(StepRefusal::Unknown));
    }
    let key = ctx.app().vault().unwrap(&request.data_key, request.connection_id.as_str())?;
    let sealed = match &callback.answer {
        Ok(code) => Some(key.seal(request.connection_id.as_str(), code.expose().as_bytes())?),
        Err(_) => None,
    };
    let moment = ctx.moment()?;
    let leased_at = moment.now;
    let received = ReceiveCode {
        moment,
        provider_id: callback.provider_id,
        state: states,
        cookie: callback.cookies,
        bank_code: sealed,
        exchange_life: ctx.app().lease_life(),
    };
    let received = ctx.run(received).await?.map_err(StepError::Refused)?;
    let request = received.request;
    let outcome = match (received.goes_on, callback.answer) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(word)) => Err(provider_error(&word)),
        (Ok(()), Ok(code)) => {
            let (client, request) = (client.clone(), request.clone());
            let exchange = Exchange { ctx, client, provider, request, key, leased_at };
            tokio::spawn(exchange.run(code)).await.map_err(|_| Fault::new("an exchange broke off"))?
        }
    };
    let url = answer(&client, &request, outcome.as_ref().map(String::as_str));
    let url = url.ok_or(StepError::Refused(StepRefusal::Unknown))?;
    Ok(Answered { request_id: request.id, url })
}

fn provider_error(word: &str) -> OAuthError {
    match word {
        "access_denied" => DENIED,
        "temporarily_unavailable" => UNAVAILABLE,
        _ => FAILED,
    }
}

const UNAVAILABLE: OAuthError =
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "The provider is not available at present");
const FAILED: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The provider did not complete the authorization");

struct Exchange {
    ctx: Ctx,
    client: Client,
    provider: Provider,
    request: AuthorizationRequest,
    key: DataKey,
    leased_at: Timestamp,
}

/// An exchange that comes to nothing.
enum Failure {
    /// With what the provider gave.
    Known { error: OAuthError, in_hand: Option<InHand> },
    /// What the provider did with the code is not known, as after a crash: the request is left to recovery.
    Unknown(OAuthError),
}

impl From<OAuthError> for Failure {
    fn from(error: OAuthError) -> Self {
        Self::Known { error, in_hand: None }
    }
}

impl Exchange {
    /// The recipient's code, or what the recipient is told. Whatever fails, what is in hand is revoked.
    async fn run(self, bank_code: Secret<String>) -> Result<String, OAuthError> {
        match self.exchange(bank_code.expose()).await {
            Ok(code) => Ok(code),
            Err(Failure::Unknown(error)) => {
                tracing::warn!(request = %self.request.id, "an exchange broke off: its code will be tried again");
                Err(error)
            }
            Err(Failure::Known { error, in_hand }) => {
                let failed = async {
                    let moment = self.ctx.moment()?;
                    let request_id = self.request.id.clone();
                    Ok::<_, Fault>(self.ctx.run(FailRequest { moment, request_id, in_hand }).await?)
                };
                if let Err(fault) = failed.await {
                    tracing::error!(%fault, request = %self.request.id, "a failed exchange is not recorded");
                }
                Err(error)
            }
        }
    }

    async fn exchange(&self, bank_code: &str) -> Result<String, Failure> {
        let reply = self.tokens(bank_code).await?;
        let sealed = reply.refresh_token.as_ref().map(|t| self.seal(t.expose())).transpose();
        let token = sealed.map_err(|fault| server_error(&fault))?;
        let identity = identity(&self.ctx, &self.provider, &reply);
        let opened = self.open(&reply, identity.clone(), token.clone()).await;
        let in_hand = token.map(|token| InHand { token, identity });
        opened.map_err(|error| Failure::Known { error, in_hand })
    }

    async fn tokens(&self, bank_code: &str) -> Result<TokenReply, Failure> {
        let sealed = self.request.verifier.as_deref().unwrap_or_default();
        let verifier = self.key.open_text(self.request.connection_id.as_str(), sealed);
        let verifier = verifier.map_err(|error| server_error(&error.into()))?;
        let redirect_uri = callback_uri(self.ctx.app().public_url(), self.provider.id);
        if !self.ctx.app().may_begin(self.leased_at).map_err(|unfit| server_error(&unfit.into()))? {
            return Err(Failure::Unknown(UNAVAILABLE));
        }
        let whom = Whom::Recipient(self.request.client_id.clone());
        let grant = Grant::Code { code: bank_code, redirect_uri: &redirect_uri, verifier: verifier.expose() };
        Endpoint::new(&self.ctx, &self.provider, whom).token(grant).await.map_err(|upstream| match upstream {
            Upstream::Silent => Failure::Unknown(UNAVAILABLE),
            Upstream::Unavailable | Upstream::RateLimited(_) => UNAVAILABLE.into(),
            _ => FAILED.into(),
        })
    }

    async fn open(
        &self,
        reply: &TokenReply,
        identity: Option<Vec<u8>>,
        refresh_token: Option<Vec<u8>>,
    ) -> Result<String, OAuthError> {
        let terms = self.terms(reply)?;
        if identity.is_none() && self.provider.settings.customer_identity != CustomerIdentity::None {
            return Err(FAILED);
        }
        let grant_id = self.provider.settings.grant_field.as_deref().and_then(|name| reply.field(name));
        if grant_id.as_deref().is_some_and(|id| !is_grant_id(id)) {
            return Err(FAILED);
        }
        let opened = async {
            let code = self.ctx.secret()?;
            let open = OpenConnection {
                moment: self.ctx.moment()?,
                request_id: self.request.id.clone(),
                terms,
                with: OpenedWith {
                    identity,
                    grant_id,
                    access_token: self.seal(reply.access_token.expose())?,
                    access_expires_at: reply.access_expires_at,
                    refresh_token,
                },
                code_hash: self.ctx.app().vault().hash(code.expose()),
                code_expires_at: self
                    .ctx
                    .later()?
                    .now()
                    .plus(self.ctx.app().config().token.code_ttl.duration()),
            };
            Ok::<_, Fault>((code, self.ctx.run(open).await?))
        };
        match opened.await.map_err(|fault| server_error(&fault))? {
            (code, OpenOutcome::Opened) => Ok(code.expose().clone()),
            (_, OpenOutcome::Refused(error)) => Err(error),
        }
    }

    fn terms(&self, reply: &TokenReply) -> Result<Terms, OAuthError> {
        let (settings, request) = (&self.provider.settings, &self.request);
        let bank = reply.scope.as_deref().map_or(request.clusters, |scope| settings.clusters_of(scope));
        let clusters = granted(request.clusters, bank, self.client.scope, settings.clusters())?;
        let accounts = match &settings.accounts_field {
            None => None,
            Some(name) => Some(reply.list(name).filter(|ids| are_accounts(ids)).ok_or(FAILED)?),
        };
        if accounts.as_ref().is_some_and(Vec::is_empty) {
            return Err(DENIED);
        }
        let agreed_at = request.agreed_at.ok_or(FAILED)?;
        Ok(Terms {
            clusters,
            accounts,
            purpose: request.purpose.clone().unwrap_or_default(),
            language: request.language.clone(),
            page_version: request.page_version.clone().unwrap_or_default(),
            expires_at: consent_end(agreed_at, self.client.max_duration_days, max_duration(&self.ctx)),
            agreed_at,
        })
    }

    fn seal(&self, text: &str) -> Result<Vec<u8>, Fault> {
        Ok(self.key.seal(self.request.connection_id.as_str(), text.as_bytes())?)
    }
}

/// How the customer that a reply names is remembered; none where it names nobody.
pub(super) fn identity(ctx: &Ctx, provider: &Provider, reply: &TokenReply) -> Option<Vec<u8>> {
    match &provider.settings.customer_identity {
        CustomerIdentity::None => None,
        CustomerIdentity::TokenField(name) => {
            Some(ctx.app().vault().identity(provider.id, &reply.field(name)?))
        }
    }
}

fn server_error(fault: &Fault) -> OAuthError {
    tracing::error!(%fault, "an exchange failed");
    OAuthError::new(OAuthCode::ServerError, "The hub could not complete the authorization")
}
