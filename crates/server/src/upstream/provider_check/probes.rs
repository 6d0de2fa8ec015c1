//! The calls of the connectivity check of a provider. None of them has an effect that lasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::Secret;
use domain::jose::{DpopKey, MAX_KEY_SET_BYTES, ProviderKeys};
use domain::model::provider::{DynamicRegistration, EndpointError, RequestObject, RevokeMethod};
use domain::rule::pkce;
use domain::rule::provider_authorization::{AuthorizationParts, build_parameters};
use domain::rule::provider_check::{
    CheckResult, InitialAccessToken, ProbeResponse, evaluate_authorization_response,
    evaluate_consent_response, evaluate_data_response, evaluate_introspection_response,
    evaluate_pushed_request, evaluate_registration_response, evaluate_revocation_response,
    evaluate_token_response,
};
use domain::rule::provider_response::ProviderErrorCode;
use http::{HeaderMap, StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use url::Url;

use super::super::authorization_url::{build_request_object, has_request_uri, pushed_fields};
use super::super::check_problem::{report_failed_call, suggest_tls_change};
use super::super::client_authentication::{ClientForm, UpstreamClientCredentials, build_authenticated_form};
use super::super::dpop::{ProofResponse, find_nonce, sign_request};
use super::super::oauth_error::OAuthErrorBody;
use super::super::urls::{build_resource_url, callback_uri};
use super::input::ProviderCheck;
use crate::context::fill_random;
use crate::outbound::{BodyEnd, OutboundError, PartialResponse, TlsFailure};

/// The token, code, `state` and client metadata of the checks. The provider has never issued it, and it is not valid metadata.
const PROBE_VALUE: &str = "bowline-provider-check";
/// A PKCE verifier. RFC 7636 §4.1 requires at least 43 characters.
const PROBE_VERIFIER: &str = "bowline-provider-check-without-a-code-challenge";
/// The maximum size of a response, of which only the error code, the request URI or the versions are read.
const MAX_PROBE_BYTES: usize = 65_536;

/// The result of a handshake: the failure, and the setting that names the host.
type Handshake = Result<(), (TlsFailure, &'static str)>;

/// The calls to one provider, and what they show about its TLS servers.
pub(super) struct Probes<'a> {
    check: &'a ProviderCheck<'a>,
    credentials: Option<&'a UpstreamClientCredentials>,
    /// The result of the handshakes with each host.
    handshakes: Mutex<BTreeMap<String, Handshake>>,
}

/// The member of the FDX capabilities that the check reads (FDX, `GET /capability`).
#[derive(Deserialize)]
struct OfferedVersions {
    #[serde(rename = "fdxVersions")]
    versions: Vec<String>,
}

impl<'a> Probes<'a> {
    pub(super) fn new(
        check: &'a ProviderCheck<'a>,
        credentials: Option<&'a UpstreamClientCredentials>,
    ) -> Self {
        Self { check, credentials, handshakes: Mutex::default() }
    }

    /// Returns the result about the certificates of the hosts that were called with TLS, or `None` if there are none.
    pub(super) fn tls_result(&self) -> Option<CheckResult> {
        const NAME: &str = "tls";
        let handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        if handshakes.is_empty() {
            return None;
        }
        let failed: Vec<_> =
            handshakes.iter().filter_map(|(host, result)| Some((host, result.err()?))).collect();
        let Some((_, (first, setting))) = failed.first() else {
            let hosts: Vec<_> = handshakes.keys().map(String::as_str).collect();
            return Some(CheckResult::passed(NAME, format!("valid certificates: {}", hosts.join(", "))));
        };
        let details: Vec<_> =
            failed.iter().map(|(host, (failure, _))| format!("{host}: {failure}")).collect();
        Some(CheckResult::failed(NAME, details.join("; "), suggest_tls_change(*first, setting)))
    }

    /// Stores that the handshake with the host of the issuer failed.
    pub(super) fn store_failed_handshake(&self, issuer: &str, failure: TlsFailure) {
        if let Ok(url) = Url::parse(issuer) {
            self.store_handshake(&url, Err((failure, "issuer")));
        }
    }

    /// Sends a request without parameters to the authorization endpoint, which must support `GET` (RFC 6749 §3.1).
    pub(super) async fn check_authorization_endpoint(
        &self,
        endpoint: Result<&str, EndpointError>,
    ) -> CheckResult {
        const SETTING: &str = "authorization_endpoint";
        let call = async { self.get(endpoint.map_err(OutboundError::NoEndpoint)?, SETTING).await };
        match call.await {
            Ok(response) => evaluate_authorization_response(response),
            Err(error) => report_failed_call("authorization", SETTING, &error),
        }
    }

    /// Sends an authorization code that was never issued to the token endpoint.
    ///
    /// A provider that works responds with an error code of RFC 6749 §5.2. The code shows whether the provider accepts
    /// the client. With `has_proof`, the request contains a proof of a key (DPoP).
    pub(super) async fn check_token_endpoint(
        &self,
        endpoint: Result<&str, EndpointError>,
        has_proof: bool,
    ) -> CheckResult {
        const SETTING: &str = "token_endpoint";
        let redirect_uri = self.redirect_uri();
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", PROBE_VALUE),
            ("redirect_uri", &*redirect_uri),
            ("code_verifier", PROBE_VERIFIER),
        ];
        let call = async {
            let endpoint = endpoint.map_err(OutboundError::NoEndpoint)?;
            if has_proof {
                self.post_with_proof(endpoint, SETTING, fields).await
            } else {
                self.post_form((endpoint, SETTING), fields, None).await
            }
        };
        match call.await {
            Ok(response) => evaluate_token_response(read_facts(&response), self.credentials.is_some()),
            Err(error) => report_failed_call("token", SETTING, &error),
        }
    }

    /// Requests the revocation of a token that was never issued.
    pub(super) async fn check_revocation_endpoint(&self, endpoint: &str) -> CheckResult {
        const SETTING: &str = "revocation_endpoint";
        let fields = vec![("token", PROBE_VALUE), ("token_type_hint", "refresh_token")];
        match self.post_form((endpoint, SETTING), fields, None).await {
            Ok(response) => evaluate_revocation_response(read_facts(&response), self.credentials.is_some()),
            Err(error) => report_failed_call("revocation", SETTING, &error),
        }
    }

    /// Requests the introspection of a token that was never issued.
    pub(super) async fn check_introspection_endpoint(&self, endpoint: &str) -> CheckResult {
        const SETTING: &str = "introspection_endpoint";
        let fields = vec![("token", PROBE_VALUE), ("token_type_hint", "access_token")];
        match self.post_form((endpoint, SETTING), fields, None).await {
            Ok(response) => {
                evaluate_introspection_response(read_facts(&response), self.credentials.is_some())
            }
            Err(error) => report_failed_call("introspection", SETTING, &error),
        }
    }

    /// Pushes the request of a login for every data cluster. No browser uses it, so it expires at the provider.
    pub(super) async fn check_pushed_request(
        &self,
        endpoint: Result<&str, EndpointError>,
        authorization_endpoint: &str,
    ) -> CheckResult {
        const NAME: &str = "par";
        const SETTING: &str = "pushed_authorization_request_endpoint";
        let Some(credentials) = self.credentials else {
            return CheckResult::undetermined(NAME, "not sent, because there are no client credentials");
        };
        let mut parameters = self.build_authorization_request(credentials);
        let settings = self.check.settings;
        if settings.request_object == RequestObject::Required {
            let audience = settings.issuer.as_deref().unwrap_or(authorization_endpoint);
            parameters = match build_request_object(credentials, &parameters, audience, self.check.now) {
                Ok(parameters) => parameters,
                Err(error) => return CheckResult::failed(NAME, error, "correct auth_key and auth_algorithm"),
            };
        }
        let call = async {
            let endpoint = endpoint.map_err(OutboundError::NoEndpoint)?;
            self.post_form((endpoint, SETTING), pushed_fields(settings, &parameters), None).await
        };
        match call.await {
            Ok(response) => evaluate_pushed_request(read_facts(&response), has_request_uri(&response)),
            Err(error) => report_failed_call(NAME, SETTING, &error),
        }
    }

    fn build_authorization_request(&self, credentials: &UpstreamClientCredentials) -> Vec<(String, String)> {
        let settings = self.check.settings;
        let parts = AuthorizationParts {
            client_id: &credentials.id,
            redirect_uri: &self.redirect_uri(),
            clusters: settings.clusters(),
            state: PROBE_VALUE,
            code_challenge: &pkce::compute_challenge(PROBE_VERIFIER),
            nonce: PROBE_VALUE,
            dpop_jkt: None,
            language: "en",
            now: self.check.now,
            duration: self.check.max_duration,
            history: self.check.history,
        };
        build_parameters(settings, &parts)
    }

    /// Calls the endpoint that revokes consents or grants, without the id of one and without a token.
    pub(super) async fn check_grant_endpoint(&self, endpoint: &str, method: RevokeMethod) -> CheckResult {
        let (name, setting) = match method {
            RevokeMethod::GrantManagement => ("grant_management", "grant_management_endpoint"),
            RevokeMethod::FdxConsent | RevokeMethod::Rfc7009 => ("consent", "consent_endpoint"),
        };
        let url = Url::parse(endpoint)
            .ok()
            .and_then(|url| build_resource_url(url.as_str(), &[PROBE_VALUE], std::iter::empty()));
        let call = async { self.get(url.ok_or(OutboundError::Forbidden)?.as_str(), setting).await };
        match call.await {
            Ok(response) => evaluate_consent_response(response, method),
            Err(error) => report_failed_call(name, setting, &error),
        }
    }

    /// Reads the keys that sign the id tokens of the provider.
    pub(super) async fn check_keys(&self, endpoint: &str) -> CheckResult {
        const NAME: &str = "keys";
        const SETTING: &str = "jwks_uri";
        match self.get_body(endpoint, SETTING, MAX_KEY_SET_BYTES).await {
            Ok(response) => {
                let is_complete = response.status == StatusCode::OK && response.end == BodyEnd::Complete;
                match ProviderKeys::parse(&response.body) {
                    Ok(_) if is_complete => CheckResult::passed(NAME, "the keys of id tokens are readable"),
                    _ => {
                        let status = response.status.as_u16();
                        let detail = format!("HTTP {status}: the response is not a set of keys (RFC 7517)");
                        CheckResult::failed(NAME, detail, "correct jwks_uri")
                    }
                }
            }
            Err(error) => report_failed_call(NAME, SETTING, &error),
        }
    }

    /// Requests accounts without a token, and the capabilities, from the FDX API. Returns the versions that they name.
    pub(super) async fn check_data_endpoint(&self) -> (CheckResult, Option<Vec<String>>) {
        const SETTING: &str = "fdx.base_url";
        let base = &self.check.settings.fdx.base_url;
        let url = |path: &str| {
            let url = build_resource_url(base, &[path], std::iter::empty());
            url.map(String::from).unwrap_or_default()
        };
        let (accounts_url, capability_url) = (url("accounts"), url("capability"));
        let (accounts, capability) = tokio::join!(
            self.get(&accounts_url, SETTING),
            self.get_body(&capability_url, SETTING, MAX_PROBE_BYTES)
        );
        let result = match accounts {
            Ok(response) => evaluate_data_response(response),
            Err(error) => return (report_failed_call("data", SETTING, &error), None),
        };
        let capability = capability.ok().filter(|response| response.status == StatusCode::OK);
        let capability = capability.and_then(|response| serde_json::from_slice(&response.body).ok());
        (result, capability.map(|OfferedVersions { versions }| versions))
    }

    /// Requests a registration whose metadata is a text instead of an object (RFC 7591 §3.1), so that no provider can
    /// create a client.
    pub(super) async fn check_registration_endpoint(
        &self,
        registration: &DynamicRegistration,
        initial_access_token: Option<&Secret<String>>,
    ) -> CheckResult {
        const SETTING: &str = "dynamic_registration.endpoint";
        let call = async {
            let url = Url::parse(&registration.endpoint).map_err(|_| OutboundError::Forbidden)?;
            let bearer = initial_access_token.map(|token| token.expose().as_str());
            self.send(&url, SETTING, self.check.outbound.post_json(&url, &PROBE_VALUE, bearer)?).await
        };
        let token = match (&registration.initial_access_token, initial_access_token) {
            (None, _) => InitialAccessToken::NotConfigured,
            (Some(_), Some(_)) => InitialAccessToken::Sent,
            (Some(_), None) => InitialAccessToken::Unreadable,
        };
        match call.await {
            Ok(response) => evaluate_registration_response(read_facts(&response), token),
            Err(error) => report_failed_call("registration", SETTING, &error),
        }
    }

    fn redirect_uri(&self) -> String {
        callback_uri(self.check.public_url, self.check.id)
    }

    /// Sends a request without credentials and returns the facts about the response, whose body is not read.
    async fn get(&self, endpoint: &str, setting: &'static str) -> Result<ProbeResponse, OutboundError> {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let opened = self.check.outbound.open(self.check.outbound.get(&url)?).await;
        let response = self.note_result(&url, setting, opened)?;
        Ok(ProbeResponse {
            status: response.status.as_u16(),
            is_page: is_page(&response.headers),
            error: None,
        })
    }

    /// Sends a request without credentials and reads the response up to a limit.
    async fn get_body(
        &self,
        endpoint: &str,
        setting: &'static str,
        max_bytes: usize,
    ) -> Result<PartialResponse, OutboundError> {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let request = self.check.outbound.get(&url)?;
        let opened = self.check.outbound.open(request.header(header::ACCEPT, "application/json")).await;
        Ok(self.note_result(&url, setting, opened)?.read_available(max_bytes).await)
    }

    /// Posts a form with the proof of a key that is used for nothing else. If the server demands a nonce, the request is repeated
    /// once.
    async fn post_with_proof(
        &self,
        endpoint: &str,
        setting: &'static str,
        fields: Vec<(&str, &str)>,
    ) -> Result<PartialResponse, OutboundError> {
        let mut random = [0; 32];
        fill_random(&mut random).map_err(|_| OutboundError::Credentials)?;
        let key = DpopKey::from_random(Secret::new(random)).map_err(|_| OutboundError::Credentials)?;
        let response = self.post_form((endpoint, setting), fields.clone(), Some((&key, None))).await?;
        if response.proof_error() == Some(ProviderErrorCode::UseDpopNonce)
            && let Some(nonce) = find_nonce(&response.headers)
        {
            return self.post_form((endpoint, setting), fields, Some((&key, Some(nonce)))).await;
        }
        Ok(response)
    }

    /// Posts a form, with client authentication if there are credentials, and with the proof of a key and a nonce, if they are given.
    async fn post_form(
        &self,
        (endpoint, setting): (&str, &'static str),
        fields: Vec<(&str, &str)>,
        proof: Option<(&DpopKey, Option<&str>)>,
    ) -> Result<PartialResponse, OutboundError> {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let outbound = self.check.outbound;
        let request = match self.credentials {
            Some(credentials) => {
                let form = ClientForm { url: &url, fields, now: self.check.now };
                build_authenticated_form(outbound, self.check.settings, credentials, form)?
            }
            None => outbound.post_form(&url, &fields)?,
        };
        let request = match proof {
            Some((key, nonce)) => {
                sign_request(request, (key, None), self.check.now, |_| nonce.map(Into::into))?
            }
            None => request,
        };
        self.send(&url, setting, request.header(header::ACCEPT, "application/json")).await
    }

    async fn send(
        &self,
        url: &Url,
        setting: &'static str,
        request: RequestBuilder,
    ) -> Result<PartialResponse, OutboundError> {
        let opened = self.check.outbound.open(request).await;
        let response = self.note_result(url, setting, opened)?.read_available(MAX_PROBE_BYTES).await;
        match response.end {
            BodyEnd::Complete | BodyEnd::TooLarge => Ok(response),
            BodyEnd::Interrupted => Err(OutboundError::Interrupted),
        }
    }

    /// Stores whether the handshake with the host of a URL succeeded.
    fn note_result<T>(
        &self,
        url: &Url,
        setting: &'static str,
        result: Result<T, OutboundError>,
    ) -> Result<T, OutboundError> {
        let handshake = match &result {
            Ok(_) => Some(Ok(())),
            Err(OutboundError::Tls(failure)) => Some(Err((*failure, setting))),
            Err(_) => None,
        };
        if let Some(handshake) = handshake {
            self.store_handshake(url, handshake);
        }
        result
    }

    fn store_handshake(&self, url: &Url, handshake: Handshake) {
        if let ("https", Some(host)) = (url.scheme(), url.host_str()) {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let mut handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
            let known = handshakes.entry(format!("{host}{port}")).or_insert(handshake);
            // One failure is enough: a server may require a certificate only for some of its endpoints.
            if handshake.is_err() {
                *known = handshake;
            }
        }
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|media_type| {
        let media_type = media_type.as_bytes().to_ascii_lowercase();
        media_type.starts_with(b"text/html") || media_type.starts_with(b"application/xhtml")
    })
}

fn read_facts(response: &PartialResponse) -> ProbeResponse {
    ProbeResponse {
        status: response.status.as_u16(),
        is_page: is_page(&response.headers),
        error: OAuthErrorBody::parse(&response.body).map(|error| error.code),
    }
}
