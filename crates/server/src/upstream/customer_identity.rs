//! Determines the identity of the customer who signed in at a provider, from the source that the settings name.

use domain::Secret;
use domain::jose::{ExpectedIdToken, IdTokenError, MAX_KEY_SET_BYTES, ProviderKeys};
use domain::model::job::TokenType;
use domain::model::provider::{CustomerIdentity, EndpointError, ProviderEndpoint};
use domain::rule::provider_response::ProviderCall;
use http::header;
use serde_json::Value;
use url::Url;

use super::dpop::ResourceToken;
use super::endpoints::ProviderEndpoints;
use super::login_call::{LoginCallError, parse_object};
use super::token_response::{TokenResponse, read_text};
use super::urls::build_resource_url;
use crate::error::InternalError;
use crate::outbound::{BodyEnd, OutboundError};
use crate::provider_keys::SharedKeys;

/// The reason why the identity of a customer cannot be determined. It contains nothing of a response.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    /// The token response does not contain a member that the source needs.
    #[error("the token response has no usable member `{0}`")]
    NoMember(String),
    /// The id token is not accepted.
    #[error("{0}")]
    IdToken(#[from] IdTokenError),
    /// The keys of the provider are not available.
    #[error("the keys of the provider could not be read")]
    NoKeys,
    /// The provider states that the access token is not valid.
    #[error("introspection: the access token is not active")]
    Inactive,
    /// A call did not succeed, or its response contains no identity.
    #[error(transparent)]
    Call(#[from] LoginCallError),
    /// All calls together took too long.
    #[error("the provider did not respond in time")]
    TimedOut,
    /// The access token has a type that the settings do not allow, so it is not presented.
    #[error("the access token has a type that is not accepted")]
    TokenTypeRejected,
    /// An endpoint of the provider is not known.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// A setting is missing.
    #[error("the setting `{0}` is missing")]
    NotConfigured(&'static str),
    /// The hub or its store failed.
    #[error("internal error: {0}")]
    Internal(#[from] InternalError),
}

impl IdentityError {
    fn no_identity(call: ProviderCall) -> Self {
        Self::Call(LoginCallError::new(call, "the response contains no identity"))
    }
}

impl ProviderEndpoints<'_> {
    /// Returns the keyed hash of the identity of the customer who owns the tokens; `None` if the settings name no source.
    /// `nonce` is the value that the hub sent with the authorization request.
    ///
    /// Only the hash is stored, so that the database does not reveal who the customers are.
    pub(super) async fn find_identity(
        &self,
        tokens: &TokenResponse,
        nonce: Option<&str>,
    ) -> Result<Option<Vec<u8>>, IdentityError> {
        let app = self.ctx.app();
        // The source may need several calls. Together, they must not outlast the lease of the exchange.
        let limit = app.config().upstream.timeout.duration();
        let found = tokio::time::timeout(limit, self.find_plain_identity(tokens, nonce)).await;
        let identity = found.unwrap_or(Err(IdentityError::TimedOut)).inspect_err(|error| {
            tracing::warn!(provider = %self.provider.id, reason = %error,
                "the identity of a customer could not be determined");
        })?;
        let settings = &self.provider.settings;
        let namespace = settings.customer_identity.namespace(settings.issuer.as_deref());
        Ok(identity.map(|found| app.vault().hash_identity(self.provider.id, &namespace, found.expose())))
    }

    async fn find_plain_identity(
        &self,
        tokens: &TokenResponse,
        nonce: Option<&str>,
    ) -> Result<Option<Secret<String>>, IdentityError> {
        let identity = match &self.provider.settings.customer_identity {
            CustomerIdentity::None => return Ok(None),
            CustomerIdentity::TokenField(name) => {
                let text = tokens.string_field(name);
                Secret::new(text.ok_or_else(|| IdentityError::NoMember(name.clone()))?)
            }
            CustomerIdentity::IdToken(claim) => self.verify_id_token(tokens, claim, nonce).await?,
            CustomerIdentity::Introspection => self.introspect_identity(&tokens.access_token).await?,
            CustomerIdentity::FdxCustomer => {
                let token = tokens.resource_token().ok_or(IdentityError::TokenTypeRejected)?;
                self.read_customer_id(&token).await?
            }
        };
        Ok(Some(identity))
    }

    async fn verify_id_token(
        &self,
        tokens: &TokenResponse,
        claim: &str,
        nonce: Option<&str>,
    ) -> Result<Secret<String>, IdentityError> {
        const MEMBER: &str = "id_token";
        let token = tokens.string_field(MEMBER).ok_or_else(|| IdentityError::NoMember(MEMBER.to_owned()))?;
        let issuer = self.provider.settings.issuer.as_deref();
        let client_id = self.load_client_id().await?;
        let metadata = self.provider.metadata();
        let expected = ExpectedIdToken {
            issuer: issuer.ok_or(IdentityError::NotConfigured("issuer"))?,
            client_id: &client_id,
            nonce,
            claim,
            announced_algorithms: metadata
                .map_or(&[][..], |metadata| metadata.id_token_signing_alg_values_supported.as_slice()),
            now: self.ctx.app().now().unwrap_or(self.ctx.now()),
        };
        let keys = self.load_keys(false).await?;
        match expected.verify(&token, &keys) {
            // The provider may have changed its keys since they were read.
            Err(IdTokenError::UnknownKey) => {
                let keys = self.load_keys(true).await?;
                Ok(expected.verify(&token, &keys)?)
            }
            verified => Ok(verified?),
        }
    }

    async fn load_keys(&self, is_outdated: bool) -> Result<SharedKeys, IdentityError> {
        let uri = self.provider.endpoint(ProviderEndpoint::Keys)?;
        let app = self.ctx.app();
        let now = app.now().unwrap_or(self.ctx.now());
        let request = self.request_keys(uri);
        let keys = app.provider_keys().find_or_request(self.provider.id, uri, is_outdated, now, request);
        keys.await.ok_or(IdentityError::NoKeys)
    }

    /// Requests the keys that the provider publishes. A failure is logged.
    async fn request_keys(&self, uri: &str) -> Option<ProviderKeys> {
        const CALL: ProviderCall = ProviderCall::Keys;
        let response = async {
            let url = Url::parse(uri).map_err(|_| OutboundError::Forbidden)?;
            let outbound = self.outbound().await?;
            let request = self.add_headers(outbound.get(&url)?);
            let response = outbound.open(request.header(header::ACCEPT, "application/json")).await?;
            Ok::<_, OutboundError>(response.read_available(MAX_KEY_SET_BYTES).await)
        };
        let response = response.await;
        let complete = response.as_ref().ok().filter(|response| response.end == BodyEnd::Complete);
        let keys = complete.and_then(|response| ProviderKeys::parse(&response.body).ok());
        let report = self.report_login_call(CALL, &response, keys.is_some()).await;
        keys.filter(|_| report.outcome.reason().is_none())
    }

    /// Returns the member `sub` of the introspection of an access token (RFC 7662 §2).
    async fn introspect_identity(&self, token: &Secret<String>) -> Result<Secret<String>, IdentityError> {
        self.provider.endpoint(ProviderEndpoint::Introspection)?;
        let body = self.introspect(token, TokenType::AccessToken).await?;
        if body.get("active") != Some(&Value::Bool(true)) {
            return Err(IdentityError::Inactive);
        }
        let identity = body.get("sub").and_then(read_text);
        identity.map(Secret::new).ok_or_else(|| IdentityError::no_identity(ProviderCall::Introspection))
    }

    /// Returns the member `customerId` of the customer (`GET /customers/current`).
    async fn read_customer_id(&self, token: &ResourceToken) -> Result<Secret<String>, IdentityError> {
        const CALL: ProviderCall = ProviderCall::Data;
        let base = &self.provider.settings.fdx.base_url;
        let url = build_resource_url(base, &["customers", "current"], std::iter::empty());
        let url = url.ok_or(IdentityError::NotConfigured("fdx.base_url"))?;
        let response = self.read_resource(&url, token).await;
        let response = response.map_err(|error| LoginCallError::new(CALL, error.to_string()))?;
        let identity = parse_object(&response.body).and_then(|body| read_text(body.get("customerId")?));
        identity.map(Secret::new).ok_or_else(|| IdentityError::no_identity(CALL))
    }
}
