//! The connectivity check of a provider. It changes nothing in the hub or at the provider.

use domain::id::ProviderId;
use domain::model::provider::{
    DynamicRegistration, EndpointError, Provider, ProviderEndpoint, ProviderMetadata, ProviderSettings,
    UpstreamClientMode,
};
use domain::{Secret, Timestamp};
use futures_util::future::join5;
use http::{StatusCode, header};
use url::Url;

use super::check_result::{
    CheckResult, InitialAccessToken, evaluate_date_parameters, evaluate_registration_response,
    evaluate_revocation_response, evaluate_status, evaluate_token_response,
};
use super::client_authentication::{ClientForm, UpstreamClientCredentials, build_authenticated_form};
use super::discovery::request_metadata;
use super::hub_secrets::{load_hub_secret, load_initial_access_token};
use super::transport::outbound_for;
use super::urls::callback_uri;
use crate::context::RequestContext;
use crate::outbound::{Outbound, OutboundError, UpstreamResponse};

/// The token, code and client metadata of the checks. The provider has never issued it, and it is not valid metadata.
const PROBE_VALUE: &str = "bowline-provider-check";

/// Checks the secrets and the endpoints of a stored provider. Returns one result per check.
pub async fn check_provider(ctx: &RequestContext, provider: &Provider) -> Vec<CheckResult> {
    let settings = &provider.settings;
    let (credentials, mut checks) = check_credentials(ctx, provider).await;
    let outbound = match outbound_for(ctx, provider).await {
        Ok(outbound) => outbound,
        Err(error) => {
            let detail = format!("{error}: see the log for the reason");
            checks.push(CheckResult::new("transport", false, detail));
            return checks;
        }
    };
    if settings.has_own_transport() {
        let detail = "the certificates, keys and headers of the settings are readable";
        checks.push(CheckResult::new("transport", true, detail));
    }
    let (outbound, public_url, now) = (&outbound, ctx.app().public_url(), ctx.now());
    let metadata = provider.metadata();
    let allow_http = ctx.app().config().upstream.allow_loopback;
    let endpoint_checks =
        ProviderCheck { outbound, public_url, id: provider.id, settings, metadata, allow_http, now };
    let mut initial_access_token = None;
    if let Some(registration) = &settings.dynamic_registration {
        let (ok, detail) = match load_initial_access_token(ctx, provider, registration).await {
            Ok(None) => (true, "not needed: the provider requires no token".to_owned()),
            Ok(Some(token)) => {
                initial_access_token = Some(token);
                (true, "the token is readable".to_owned())
            }
            Err(error) => (false, error.to_string()),
        };
        checks.push(CheckResult::new("initial_access_token", ok, detail));
    }
    checks.extend(endpoint_checks.check_endpoints(credentials.as_ref(), initial_access_token.as_ref()).await);
    let found = ctx.app().read_diagnostics().date_parameters(provider.id);
    checks.extend(found.map(|found| evaluate_date_parameters(settings.fdx.date_parameters, found)));
    checks
}

/// Loads the credentials of the hub's own client, and returns the result of the check that they can be used.
async fn check_credentials(
    ctx: &RequestContext,
    provider: &Provider,
) -> (Option<UpstreamClientCredentials>, Vec<CheckResult>) {
    let settings = &provider.settings;
    if settings.upstream_client == UpstreamClientMode::PerRegistration {
        let detail = "not needed: each registration has a client of its own";
        return (None, vec![CheckResult::new("client_secret", true, detail)]);
    }
    // A certificate is checked with the TLS settings.
    let Some((name, source)) = settings.authentication_secret() else {
        return (UpstreamClientCredentials::for_hub(settings, None).ok(), Vec::new());
    };
    let loaded = match load_hub_secret(ctx, provider, (name, source)).await {
        Ok(secret) => UpstreamClientCredentials::for_hub(settings, Some(secret)).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match loaded {
        Ok(credentials) => {
            let detail =
                if name == "client_secret" { "the secret is readable" } else { "the key is readable" };
            (Some(credentials), vec![CheckResult::new(name, true, detail)])
        }
        Err(error) => (None, vec![CheckResult::new(name, false, error)]),
    }
}

/// The input of the checks of a provider's endpoints, which do not use the store.
pub(crate) struct ProviderCheck<'a> {
    pub(crate) outbound: &'a Outbound,
    pub(crate) public_url: &'a str,
    pub(crate) id: ProviderId,
    pub(crate) settings: &'a ProviderSettings,
    /// The stored metadata of the issuer.
    pub(crate) metadata: Option<&'a ProviderMetadata>,
    /// True if the metadata may name URLs with plain http.
    pub(crate) allow_http: bool,
    pub(crate) now: Timestamp,
}

impl ProviderCheck<'_> {
    /// Checks that the endpoints exist and respond, and, with `credentials`, that they accept the client. The checks run
    /// concurrently. The results are listed in the order in which a connection uses the endpoints.
    pub(crate) async fn check_endpoints(
        &self,
        credentials: Option<&UpstreamClientCredentials>,
        initial_access_token: Option<&Secret<String>>,
    ) -> Vec<CheckResult> {
        let settings = self.settings;
        let discovered = self.request_metadata().await;
        let check = discovered.as_ref().map(|result| match result {
            Ok(_) => CheckResult::new("metadata", true, "the metadata of the issuer name every endpoint"),
            Err(error) => CheckResult::new("metadata", false, error),
        });
        let metadata = discovered.as_ref().and_then(|result| result.as_ref().ok()).or(self.metadata);
        let endpoint = |endpoint| settings.find_endpoint(metadata, endpoint);
        let revocation = async {
            // A provider without the endpoint is not notified of the end of connections.
            let endpoint = endpoint(ProviderEndpoint::Revocation).ok()?;
            Some(self.check_revocation_endpoint(endpoint, credentials).await)
        };
        let registration = async {
            let registration = settings.dynamic_registration.as_ref()?;
            Some(self.check_registration_endpoint(registration, initial_access_token).await)
        };
        let (authorization, token, revocation, data, registration) = join5(
            self.check_authorization_endpoint(endpoint(ProviderEndpoint::Authorization)),
            self.check_token_endpoint(endpoint(ProviderEndpoint::Token), credentials),
            revocation,
            self.check_data_endpoint(),
            registration,
        )
        .await;
        let required = [check, Some(authorization), Some(token)];
        required.into_iter().chain([revocation, Some(data), registration]).flatten().collect()
    }

    /// Requests the metadata of the issuer, if they are needed and the settings allow to use them.
    async fn request_metadata(&self) -> Option<Result<ProviderMetadata, String>> {
        let issuer = self.settings.issuer.as_deref().filter(|_| self.settings.needs_metadata())?;
        let found = request_metadata(self.outbound, issuer, self.allow_http).await;
        Some(match found {
            Ok((metadata, _)) => match metadata.ensure_usable(self.settings) {
                Ok(()) => Ok(metadata),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        })
    }

    /// Sends a request without parameters to the authorization endpoint, which must support `GET` (RFC 6749 §3.1). A
    /// provider that works responds with an error page or a redirect.
    async fn check_authorization_endpoint(&self, endpoint: Result<&str, EndpointError>) -> CheckResult {
        let response = async { self.get(endpoint.map_err(OutboundError::NoEndpoint)?).await };
        match response.await {
            Ok(status) => evaluate_status("authorization", status),
            Err(error) => CheckResult::new("authorization", false, error.to_string()),
        }
    }

    /// Checks that a server responds at the base URL of the FDX API. There may be no resource at that URL itself.
    async fn check_data_endpoint(&self) -> CheckResult {
        match self.get(&self.settings.fdx.base_url).await {
            Ok(status) => {
                CheckResult::new("data", !status.is_server_error(), format!("HTTP {}", status.as_u16()))
            }
            Err(error) => CheckResult::new("data", false, error.to_string()),
        }
    }

    /// Sends a request without credentials and returns the status. The body is not read.
    async fn get(&self, endpoint: &str) -> Result<StatusCode, OutboundError> {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        Ok(self.outbound.open(self.outbound.get_unauthenticated(&url)?).await?.status)
    }

    /// Sends an authorization code that was never issued to the token endpoint.
    ///
    /// A provider that works responds with an error code of RFC 6749 §5.2. The code shows whether the provider accepts
    /// the client.
    async fn check_token_endpoint(
        &self,
        endpoint: Result<&str, EndpointError>,
        credentials: Option<&UpstreamClientCredentials>,
    ) -> CheckResult {
        let redirect_uri = callback_uri(self.public_url, self.id);
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", PROBE_VALUE),
            ("redirect_uri", &*redirect_uri),
            // RFC 7636 §4.1 requires at least 43 characters.
            ("code_verifier", "bowline-provider-check-without-a-code-challenge"),
        ];
        let response =
            async { self.post_form(endpoint.map_err(OutboundError::NoEndpoint)?, fields, credentials).await };
        match response.await {
            Ok(response) => evaluate_token_response(&response, credentials.is_some()),
            Err(error) => CheckResult::new("token", false, error.to_string()),
        }
    }

    /// Requests the revocation of a token that was never issued. A provider that works responds with 200 (RFC 7009
    /// §2.2).
    async fn check_revocation_endpoint(
        &self,
        endpoint: &str,
        credentials: Option<&UpstreamClientCredentials>,
    ) -> CheckResult {
        let fields = vec![("token", PROBE_VALUE), ("token_type_hint", "refresh_token")];
        match self.post_form(endpoint, fields, credentials).await {
            Ok(response) => evaluate_revocation_response(&response, credentials.is_some()),
            Err(error) => CheckResult::new("revocation", false, error.to_string()),
        }
    }

    /// Requests a registration whose metadata is a text instead of an object (RFC 7591 §3.1), so that no provider can
    /// create a client.
    async fn check_registration_endpoint(
        &self,
        registration: &DynamicRegistration,
        initial_access_token: Option<&Secret<String>>,
    ) -> CheckResult {
        let response = async {
            let url = Url::parse(&registration.endpoint).map_err(|_| OutboundError::Forbidden)?;
            let bearer = initial_access_token.map(|token| token.expose().as_str());
            self.outbound.send(self.outbound.post_json(&url, &PROBE_VALUE, bearer)?).await
        };
        let token = match (&registration.initial_access_token, initial_access_token) {
            (None, _) => InitialAccessToken::NotConfigured,
            (Some(_), Some(_)) => InitialAccessToken::Sent,
            (Some(_), None) => InitialAccessToken::Unreadable,
        };
        match response.await {
            Ok(response) => evaluate_registration_response(&response, token),
            Err(error) => CheckResult::new("registration", false, error.to_string()),
        }
    }

    /// Posts a form, with client authentication if there are credentials.
    async fn post_form(
        &self,
        endpoint: &str,
        fields: Vec<(&str, &str)>,
        credentials: Option<&UpstreamClientCredentials>,
    ) -> Result<UpstreamResponse, OutboundError> {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let request = match credentials {
            Some(credentials) => {
                let form = ClientForm { url: &url, fields, now: self.now };
                build_authenticated_form(self.outbound, self.settings, credentials, form)?
            }
            None => self.outbound.post_form(&url, &fields)?,
        };
        self.outbound.send(request.header(header::ACCEPT, "application/json")).await
    }
}
