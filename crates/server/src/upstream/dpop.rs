//! Access tokens in requests to a provider, and the proofs that the hub has the key which they are bound to (DPoP, RFC 9449).

use std::sync::Arc;

use domain::jose::{DpopKey, ProvedRequest};
use domain::model::provider::Provider;
use domain::rule::dpop::is_valid_nonce;
use domain::rule::provider_response::ProviderErrorCode;
use domain::{Secret, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::RequestBuilder;
use url::Url;

use super::endpoints::ProviderEndpoints;
use super::oauth_error::{OAuthErrorBody, is_proof_error, parse_challenge_error};
use crate::context::{RequestContext, create_jwt_id};
use crate::dpop_nonces::NonceServer;
use crate::error::InternalError;
use crate::outbound::{OutboundError, PartialResponse, StreamingResponse, UpstreamResponse};

/// The header with the proof (RFC 9449 §4.1).
const PROOF: HeaderName = HeaderName::from_static("dpop");
/// The header in which a server supplies a nonce (RFC 9449 §8).
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// An access token as the hub presents it to a provider.
pub(super) struct ResourceToken {
    pub(super) secret: Secret<String>,
    /// The key that the token is bound to; `None` for a bearer token.
    pub(super) dpop_key: Option<DpopKey>,
}

/// Returns the key for the tokens of a grant: the one that it has, or a new one if the provider uses DPoP.
///
/// A grant keeps its key when the setting changes, because its tokens are bound to it.
pub(super) fn choose_dpop_key(
    ctx: &RequestContext,
    provider: &Provider,
    known: Option<DpopKey>,
) -> Result<Option<DpopKey>, InternalError> {
    if known.is_some() || !provider.uses_dpop() {
        return Ok(known);
    }
    let key = DpopKey::from_random(ctx.random_bytes()?);
    key.map(Some).map_err(|_| InternalError::new("a DPoP key could not be created"))
}

/// A response to a request that may contain a proof.
pub(super) trait ProofResponse {
    fn headers(&self) -> &HeaderMap;

    /// Returns the code of an error about the proof, if the response is one.
    fn proof_error(&self) -> Option<ProviderErrorCode>;
}

impl ProofResponse for PartialResponse {
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn proof_error(&self) -> Option<ProviderErrorCode> {
        if !self.status.is_client_error() {
            return None;
        }
        // RFC 9449 §8: the body of a token endpoint. §9: the header of a resource.
        let code = OAuthErrorBody::parse(&self.body).and_then(|error| error.code);
        code.filter(|code| is_proof_error(*code)).or_else(|| find_proof_error(&self.headers))
    }
}

impl ProofResponse for UpstreamResponse {
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn proof_error(&self) -> Option<ProviderErrorCode> {
        self.status.is_client_error().then(|| find_proof_error(&self.headers)).flatten()
    }
}

impl ProofResponse for StreamingResponse {
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn proof_error(&self) -> Option<ProviderErrorCode> {
        self.status.is_client_error().then(|| find_proof_error(&self.headers)).flatten()
    }
}

fn find_proof_error(headers: &HeaderMap) -> Option<ProviderErrorCode> {
    parse_challenge_error(headers).filter(|code| is_proof_error(*code))
}

impl ProviderEndpoints<'_> {
    /// Adds an access token to a request, with a proof if the token is bound to a key (RFC 9449 §7.1). `demanded` is the nonce that
    /// the response to the same request demanded.
    pub(super) fn add_token(
        &self,
        request: RequestBuilder,
        token: &ResourceToken,
        demanded: Option<Arc<str>>,
    ) -> Result<RequestBuilder, OutboundError> {
        let secret = token.secret.expose();
        let Some(key) = &token.dpop_key else { return Ok(request.bearer_auth(secret)) };
        let authorization = build_secret_header(&format!("DPoP {secret}"))?;
        self.add_proof(request.header(header::AUTHORIZATION, authorization), (key, Some(secret)), demanded)
    }

    /// Adds the proof that the hub has a key to a request. `access_token` is the token in the request that is bound to it.
    /// Without a demanded nonce, the newest known one of the server is used.
    pub(super) fn add_proof(
        &self,
        request: RequestBuilder,
        (key, access_token): (&DpopKey, Option<&str>),
        demanded: Option<Arc<str>>,
    ) -> Result<RequestBuilder, OutboundError> {
        let app = self.ctx.app();
        let server = if access_token.is_some() { NonceServer::Resource } else { NonceServer::Authorization };
        let find_nonce =
            |url: &Url| demanded.or_else(|| app.dpop_nonces().find(self.provider.id, server, origin_of(url)));
        // A job may begin long before this call, as for an assertion that authenticates the hub.
        let now = app.now().unwrap_or(self.ctx.now());
        sign_request(request, (key, access_token), now, find_nonce).inspect_err(|_| {
            tracing::error!(provider = %self.provider.id, "a DPoP proof could not be signed");
        })
    }

    /// Sends a request, which has a proof if there is a key. If the server demands a nonce and supplies it, the request is repeated
    /// once with the nonce (RFC 9449 §8, §9), provided that `may_repeat` returns true: the response proves that the request was not
    /// processed.
    ///
    /// `send` builds the request to `url` and sends it, each time with a new proof. It gets the demanded nonce: another call may have
    /// stored another one in the meantime.
    pub(super) async fn send_proved<T, F>(
        &self,
        (server, url, dpop_key): (NonceServer, &Url, Option<&DpopKey>),
        send: impl Fn(Option<Arc<str>>) -> F,
        may_repeat: impl FnOnce() -> bool,
    ) -> Result<T, OutboundError>
    where
        T: ProofResponse,
        F: Future<Output = Result<T, OutboundError>>,
    {
        let mut response = send(None).await?;
        if dpop_key.is_none() {
            return Ok(response);
        }
        self.store_nonce((server, url), response.headers());
        let nonce: Option<Arc<str>> = find_nonce(response.headers()).map(Arc::from);
        if response.proof_error() == Some(ProviderErrorCode::UseDpopNonce) && nonce.is_some() && may_repeat()
        {
            response = send(nonce).await?;
            self.store_nonce((server, url), response.headers());
        }
        if let Some(error) = response.proof_error() {
            self.warn_about_proof(error, url);
        }
        Ok(response)
    }

    /// Stores the nonce of a response, if there is one that can be used.
    fn store_nonce(&self, (server, url): (NonceServer, &Url), headers: &HeaderMap) {
        if let Some(nonce) = find_nonce(headers) {
            self.ctx.app().dpop_nonces().store(self.provider.id, server, origin_of(url), nonce);
        }
    }

    /// Logs what to check after a proof was rejected, at most once in ten seconds for each reason.
    fn warn_about_proof(&self, error: ProviderErrorCode, url: &Url) {
        let (provider, origin) = (self.provider.id, origin_of(url));
        let diagnostics = self.ctx.app().read_diagnostics();
        let Some(count) = diagnostics.count_failure(provider, error.as_str(), self.ctx.now()) else { return };
        if error == ProviderErrorCode::UseDpopNonce {
            tracing::warn!(%provider, origin, count,
                "the provider demands another nonce although the DPoP proof contained the one that it had supplied, or it demands a \
                 nonce and supplies none of 1 to 1024 printable characters: ask it about its DPoP nonces");
        } else {
            tracing::warn!(%provider, origin, count,
                "the provider rejects the DPoP proof: check the clock of this machine, and that the settings contain the URLs \
                 which the provider knows (token_endpoint, fdx.base_url)");
        }
    }
}

/// Adds a proof that is signed at `now` to a request. `find_nonce` returns the newest nonce of the server with a URL.
pub(super) fn sign_request(
    request: RequestBuilder,
    (key, access_token): (&DpopKey, Option<&str>),
    now: Timestamp,
    find_nonce: impl FnOnce(&Url) -> Option<Arc<str>>,
) -> Result<RequestBuilder, OutboundError> {
    // The method and the URL are taken from the request itself, so that the proof cannot be that of another one.
    let (client, request) = request.build_split();
    let mut request = request.map_err(|_| OutboundError::Forbidden)?;
    let nonce = find_nonce(request.url());
    let id = create_jwt_id().map_err(|_| OutboundError::Credentials)?;
    let proof = key.sign(&ProvedRequest {
        method: request.method().as_str(),
        url: request.url(),
        now,
        id: &id,
        access_token,
        nonce: nonce.as_deref(),
    });
    let proof = proof.map_err(|_| OutboundError::Credentials)?;
    request.headers_mut().insert(PROOF, build_secret_header(proof.expose())?);
    Ok(RequestBuilder::from_parts(client, request))
}

/// Returns the nonce that a server supplies with a response, if it can be used.
pub(super) fn find_nonce(headers: &HeaderMap) -> Option<&str> {
    headers.get(NONCE)?.to_str().ok().filter(|nonce| is_valid_nonce(nonce))
}

/// Builds the value of a header that HTTP libraries must not log.
fn build_secret_header(value: &str) -> Result<HeaderValue, OutboundError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| OutboundError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the server that a nonce belongs to.
fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}
