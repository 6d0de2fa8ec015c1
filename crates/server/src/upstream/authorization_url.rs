//! Builds the URL with which the browser goes to a provider. Before that, the hub may sign the authorization request (RFC 9101) and
//! push it to the provider (RFC 9126).

use domain::Timestamp;
use domain::error::OAuthError;
use domain::jose::DpopKey;
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::client::Client;
use domain::model::connection::consent_expiry;
use domain::model::provider::{
    ClientAuthentication, EndpointGroup, Provider, ProviderEndpoint, ProviderSettings, RequestObject,
};
use domain::rule::authorization_failure::{
    METADATA_REJECTED, NOT_CONFIGURED, UNAVAILABLE, describe_exchange_failure,
    describe_pushed_request_failure,
};
use domain::rule::authorize::Language;
use domain::rule::pkce;
use domain::rule::provider_authorization::{AuthorizationParts, build_parameters};
use domain::rule::provider_response::{CallFailure, ProviderCall, ProviderErrorCode};
use serde_json::{Map, Value};

use super::call_report::CallReport;
use super::client::load_upstream_client_id;
use super::client_authentication::{ClientProof, UpstreamClientCredentials};
use super::endpoints::ProviderEndpoints;
use super::login::{login_owner, max_consent_duration, open_verifier};
use super::urls::{authorization_url, callback_uri};
use crate::context::{RequestContext, create_jwt_id};
use crate::error::InternalError;
use crate::outbound::PartialResponse;
use crate::vault::SealPurpose;

const MAX_REQUEST_URI_BYTES: usize = 2048;

/// An authorization request that was stored with the customer's consent, with its recipient and its provider.
pub(super) struct ConsentedLogin<'a> {
    pub(super) client: &'a Client,
    pub(super) provider: &'a Provider,
    pub(super) request: &'a AuthorizationRequest,
    pub(super) language: Language,
}

type Parameters = Vec<(String, String)>;

/// Builds the provider's authorization URL. The inner error is that for the recipient: the provider cannot be used, or has
/// rejected the request.
pub(super) async fn build_provider_url(
    ctx: &RequestContext,
    login: &ConsentedLogin<'_>,
) -> Result<Result<String, OAuthError>, InternalError> {
    let (provider, request) = (login.provider, login.request);
    let client_id = load_upstream_client_id(ctx, provider, &request.client_id).await?;
    let parameters = build_request(ctx, login, &client_id)?;
    let endpoints =
        ProviderEndpoints::new(ctx, provider, &request.client_id).for_connection(&request.connection_id);
    let sent = match sign_request(&endpoints, parameters).await {
        Ok(parameters) => push_request(&endpoints, &client_id, parameters).await,
        Err(error) => Err(error),
    };
    let url = sent.and_then(|parameters| {
        let endpoint = provider.endpoint(ProviderEndpoint::Authorization).map_err(|_| METADATA_REJECTED)?;
        authorization_url(endpoint, &parameters).ok_or(NOT_CONFIGURED)
    });
    Ok(url)
}

fn build_request(
    ctx: &RequestContext,
    login: &ConsentedLogin<'_>,
    client_id: &str,
) -> Result<Parameters, InternalError> {
    let ConsentedLogin { client, provider, request, language } = *login;
    let vault = ctx.app().vault();
    let key = vault.unwrap_data_key(&request.data_key, login_owner(request), SealPurpose::LoginKey)?;
    let verifier = open_verifier(request, &key)?;
    let dpop_jkt = verifier.dpop_key.as_ref().map(DpopKey::thumbprint).transpose();
    let dpop_jkt = dpop_jkt.map_err(|_| InternalError::new("a DPoP key has no thumbprint"))?;
    let agreed_at = request.agreed_at.unwrap_or(ctx.now());
    let expires_at = consent_expiry(agreed_at, client.max_duration_days, max_consent_duration(ctx));
    Ok(build_parameters(
        &provider.settings,
        &AuthorizationParts {
            client_id,
            redirect_uri: &callback_uri(ctx.app().public_url(), provider.id),
            clusters: request.clusters,
            state: vault.login_state(request).expose(),
            code_challenge: &pkce::compute_challenge(verifier.secret.expose()),
            nonce: vault.login_nonce(request).expose(),
            dpop_jkt: dpop_jkt.as_deref(),
            language: language.as_str(),
            now: ctx.now(),
            duration: expires_at.since(agreed_at),
            history: ctx.app().config().connection.history.span(),
        },
    ))
}

/// Signs the parameters, if the provider requires it. The object then replaces them.
async fn sign_request(
    endpoints: &ProviderEndpoints<'_>,
    parameters: Parameters,
) -> Result<Parameters, OAuthError> {
    let settings = &endpoints.provider.settings;
    if settings.request_object == RequestObject::Off {
        return Ok(parameters);
    }
    let not_signed = |error: &dyn std::fmt::Display| {
        tracing::error!(provider = %endpoints.provider.id, %error, "an authorization request could not be signed");
        NOT_CONFIGURED
    };
    let credentials = endpoints.load_credentials().await.map_err(|error| not_signed(&error))?;
    // RFC 9101 §5.2.1: the audience is the issuer identifier. A provider without one expects its endpoint.
    let endpoint = endpoints.provider.endpoint(ProviderEndpoint::Authorization).unwrap_or_default();
    let audience = settings.issuer.as_deref().unwrap_or(endpoint);
    build_request_object(&credentials, &parameters, audience, endpoints.ctx.now())
        .map_err(|error| not_signed(&error))
}

/// Signs the parameters of an authorization request, and returns those that replace them.
pub(super) fn build_request_object(
    credentials: &UpstreamClientCredentials,
    parameters: &[(String, String)],
    audience: &str,
    now: Timestamp,
) -> Result<Parameters, String> {
    let ClientProof::Keys(keys) = &credentials.proof else {
        return Err("there is no key".to_owned());
    };
    let id = create_jwt_id().map_err(|error| error.to_string())?;
    let object = keys.sign_request_object(parameters, audience, now, &id);
    let object = object.map_err(|error| error.to_string())?.expose().clone();
    Ok(vec![("client_id".to_owned(), credentials.id.clone()), ("request".to_owned(), object)])
}

/// Returns the fields of the form that pushes an authorization request.
pub(super) fn pushed_fields<'p>(
    settings: &ProviderSettings,
    parameters: &'p [(String, String)],
) -> Vec<(&'p str, &'p str)> {
    // The other methods of authentication add the client id themselves.
    let has_own_client_id = settings.auth == ClientAuthentication::ClientSecretBasic;
    let fields = parameters.iter().filter(|(name, _)| name != "client_id" || has_own_client_id);
    fields.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Pushes the parameters, if the provider requires or offers it. The request URI then replaces them.
async fn push_request(
    endpoints: &ProviderEndpoints<'_>,
    client_id: &str,
    parameters: Parameters,
) -> Result<Parameters, OAuthError> {
    let provider = endpoints.provider;
    let endpoint = match provider.pushed_request_endpoint() {
        Ok(Some(endpoint)) => endpoint,
        Ok(None) => return Ok(parameters),
        Err(reason) => {
            tracing::warn!(provider = %provider.id, %reason, "an authorization request could not be pushed");
            return Err(METADATA_REJECTED);
        }
    };
    let request_uri = endpoints.push_authorization_request(endpoint, &parameters).await?;
    // RFC 9126 §4: the other parameters are part of the pushed request.
    Ok(vec![("client_id".to_owned(), client_id.to_owned()), ("request_uri".to_owned(), request_uri)])
}

/// A pushed authorization request that has no usable response.
struct PushFailure {
    /// The reason, for the log.
    reason: String,
    /// The error for the recipient.
    error: OAuthError,
}

impl ProviderEndpoints<'_> {
    /// Pushes an authorization request (RFC 9126 §2). Returns the request URI, or the error for the recipient.
    ///
    /// Whatever the response, it stops no call to the token endpoint: everyone can begin logins, and refreshes must not depend on them.
    async fn push_authorization_request(
        &self,
        endpoint: &str,
        parameters: &[(String, String)],
    ) -> Result<String, OAuthError> {
        const CALL: ProviderCall = ProviderCall::PushedAuthorization;
        const GROUP: EndpointGroup = EndpointGroup::PushedAuthorization;
        self.ensure_circuit_closed(GROUP).map_err(|_| UNAVAILABLE)?;
        let fields = pushed_fields(&self.provider.settings, parameters);
        let credentials = self.load_credentials().await;
        let (_, result) = self.post_form_as(credentials, Ok(endpoint), fields, None).await;
        let status = result.as_ref().and_then(PartialResponse::complete_status);
        self.record_outcome("par", GROUP, status);
        let (report, request_uri) = match &result {
            Ok(response) => {
                let request_uri = read_request_uri(response);
                (CallReport::from_response(CALL, response, request_uri.is_ok()), request_uri)
            }
            Err(error) => {
                let report = CallReport::from_error(CALL, error);
                let failure = PushFailure {
                    reason: error.to_string(),
                    error: describe_exchange_failure(report.outcome),
                };
                (report, Err(failure))
            }
        };
        let detail = request_uri.as_ref().err().map(|failure| failure.reason.as_str());
        self.record_failed_push(&report, detail).await;
        request_uri.map_err(|failure| failure.error)
    }

    /// Logs and counts a pushed request that did not succeed. The logs get at most one entry in some seconds: untrusted clients can begin
    /// logins again and again.
    async fn record_failed_push(&self, report: &CallReport, detail: Option<&str>) {
        let Some(failure) = self.count_failed_call(report) else { return };
        let CallFailure { call, reason, status, error_code } = failure;
        let (diagnostics, provider) = (self.ctx.app().read_diagnostics(), self.provider.id);
        let Some(count) = diagnostics.count_failure(provider, call.as_str(), self.ctx.now()) else { return };
        tracing::warn!(%provider, %call, %reason, status, error_code = error_code.map(ProviderErrorCode::as_str),
            detail, count, "call to the provider failed");
        self.audit_failed_call(failure).await;
    }
}

/// Returns whether a response to a pushed authorization request has a request URI that can be used.
pub(super) fn has_request_uri(response: &PartialResponse) -> bool {
    read_request_uri(response).is_ok()
}

/// Reads the response to a pushed authorization request (RFC 9126 §2.2).
fn read_request_uri(response: &PartialResponse) -> Result<String, PushFailure> {
    let status = response.status.as_u16();
    let body: Option<Map<String, Value>> = serde_json::from_slice(&response.body).ok();
    let member = |name: &str| body.as_ref()?.get(name);
    let code = member("error").and_then(Value::as_str);
    let fail = |reason: &str| PushFailure {
        reason: reason.to_owned(),
        error: describe_pushed_request_failure(status, code),
    };
    if !response.status.is_success() {
        return Err(fail("the provider returned an error"));
    }
    // Some providers send a number as text.
    let lifetime = member("expires_in");
    let lifetime = lifetime.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    if lifetime.is_some_and(|seconds| seconds <= 0.0) {
        return Err(fail("the request URI has expired already"));
    }
    let is_usable = |uri: &&str| {
        (1..=MAX_REQUEST_URI_BYTES).contains(&uri.len()) && uri.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let request_uri = member("request_uri").and_then(Value::as_str).filter(is_usable);
    request_uri.map(str::to_owned).ok_or_else(|| fail("the response has no usable request_uri"))
}

#[cfg(test)]
mod tests {
    use domain::error::OAuthCode;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::outbound::BodyEnd;

    fn read(status: u16, body: &str) -> Result<String, (String, OAuthCode)> {
        let response = PartialResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            end: BodyEnd::Complete,
        };
        read_request_uri(&response).map_err(|failure| (failure.reason, failure.error.code))
    }

    #[test]
    fn rfc9126_s2_2_request_uri_is_read() {
        for body in [
            r#"{"request_uri":"urn:x:1","expires_in":60}"#,
            r#"{"request_uri":"urn:x:1","expires_in":"60"}"#,
            r#"{"request_uri":"urn:x:1"}"#,
        ] {
            assert_eq!(read(201, body), Ok("urn:x:1".to_owned()), "{body}");
        }
    }

    #[test]
    fn response_without_usable_request_uri_is_an_error() {
        let missing = "the response has no usable request_uri";
        for (status, body, reason, code) in [
            (201, "{}".to_owned(), missing, OAuthCode::ServerError),
            (201, r#"{"request_uri":5}"#.to_owned(), missing, OAuthCode::ServerError),
            (201, r#"{"request_uri":"a b"}"#.to_owned(), missing, OAuthCode::ServerError),
            (201, format!(r#"{{"request_uri":"{}"}}"#, "x".repeat(2049)), missing, OAuthCode::ServerError),
            (201, "<html>".to_owned(), missing, OAuthCode::ServerError),
            (
                201,
                r#"{"request_uri":"urn:x:1","expires_in":0}"#.to_owned(),
                "the request URI has expired already",
                OAuthCode::ServerError,
            ),
            (
                400,
                r#"{"error":"invalid_scope"}"#.to_owned(),
                "the provider returned an error",
                OAuthCode::InvalidScope,
            ),
            (503, String::new(), "the provider returned an error", OAuthCode::TemporarilyUnavailable),
        ] {
            assert_eq!(read(status, &body), Err((reason.to_owned(), code)), "{status} {body}");
        }
    }
}
