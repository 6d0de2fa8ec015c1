//! The connectivity check of a provider. It changes nothing in the hub, and nothing at the provider except that a pushed
//! authorization request may expire there unused.

mod input;
mod probes;

use domain::Secret;
use domain::model::provider::{
    EndpointError, IdentityClient, Provider, ProviderEndpoint, ProviderMetadata, PushedRequests,
    RevokeMethod, TermsSource, UpstreamClientMode,
};
use domain::rule::provider_check::{
    CheckResult, compare_with_metadata, evaluate_date_parameters, evaluate_fdx_version,
};
use futures_util::future::join_all;

use super::client_authentication::UpstreamClientCredentials;
use super::discovery::request_metadata;
use super::hub_secrets::{load_hub_secret, load_initial_access_token};
use super::login::max_consent_duration;
use super::transport::outbound_for;
use crate::context::RequestContext;
pub(crate) use input::{IdentityClientInput, ProviderCheck};
use probes::Probes;

/// Checks the secrets and the endpoints of a stored provider. Returns the results in the order in which a connection uses
/// what was checked.
pub async fn check_provider(ctx: &RequestContext, provider: &Provider) -> Vec<CheckResult> {
    let settings = &provider.settings;
    let (credentials, mut checks) = check_credentials(ctx, provider).await;
    let outbound = match outbound_for(ctx, provider).await {
        Ok(outbound) => outbound,
        Err(error) => {
            let change = "correct tls, secret_headers and proxy; the log has the reason";
            checks.push(CheckResult::failed("transport", error.to_string(), change));
            return checks;
        }
    };
    if settings.has_own_transport() {
        let detail = "the certificates, keys and headers of the settings are readable";
        checks.push(CheckResult::passed("transport", detail));
    }
    let config = ctx.app().config();
    let identity_client = load_identity_client(ctx, provider).await;
    let endpoint_checks = ProviderCheck {
        identity_client: identity_client.as_ref(),
        outbound: &outbound,
        public_url: ctx.app().public_url(),
        id: provider.id,
        settings,
        metadata: provider.metadata(),
        allow_http: config.upstream.allow_loopback,
        now: ctx.now(),
        max_duration: max_consent_duration(ctx),
        history: config.connection.history.span(),
    };
    let mut initial_access_token = None;
    if let Some(registration) = &settings.dynamic_registration {
        const NAME: &str = "initial_access_token";
        checks.push(match load_initial_access_token(ctx, provider, registration).await {
            Ok(None) => CheckResult::passed(NAME, "not needed: the provider requires no token"),
            Ok(Some(token)) => {
                initial_access_token = Some(token);
                CheckResult::passed(NAME, "the token is readable")
            }
            Err(error) => {
                let change = "correct dynamic_registration.initial_access_token";
                CheckResult::failed(NAME, error.to_string(), change)
            }
        });
    }
    checks.extend(endpoint_checks.check_endpoints(credentials.as_ref(), initial_access_token.as_ref()).await);
    let found = ctx.app().read_diagnostics().date_parameters(provider.id);
    checks.push(evaluate_date_parameters(settings, found));
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
        return (None, vec![CheckResult::passed("client_secret", detail)]);
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
            (Some(credentials), vec![CheckResult::passed(name, detail)])
        }
        Err(error) => (None, vec![CheckResult::failed(name, error, format!("correct {name}"))]),
    }
}

/// Loads the identity client, if the settings name one.
async fn load_identity_client(ctx: &RequestContext, provider: &Provider) -> Option<IdentityClientInput> {
    let settings = provider.settings.for_identity_client()?;
    let secret = match settings.authentication_secret() {
        Some((name, source)) => {
            let path = IdentityClient::member_path(name);
            load_hub_secret(ctx, provider, (path.as_str(), source)).await.map(Some)
        }
        None => Ok(None),
    };
    Some(IdentityClientInput::new(settings, secret.map_err(|error| error.to_string())))
}

impl ProviderCheck<'_> {
    /// Checks that the provider accepts the identity client: that it responds to a code that was never issued as to one of this client.
    async fn check_identity_client(
        &self,
        client: &IdentityClientInput,
        endpoint: Result<&str, EndpointError>,
        uses_dpop: bool,
    ) -> CheckResult {
        const NAME: &str = IdentityClient::SETTING;
        match &client.credentials {
            Ok(credentials) => {
                let check = ProviderCheck { settings: &client.settings, identity_client: None, ..*self };
                let result =
                    Probes::new(&check, Some(credentials)).check_token_endpoint(endpoint, uses_dpop).await;
                let change = result.change.map(|change| format!("for {NAME}: {change}"));
                CheckResult { name: NAME, change, ..result }
            }
            Err(error) => CheckResult::failed(NAME, error, "correct the secret or key of identity_client"),
        }
    }

    /// Checks that the endpoints exist and respond, and, with `credentials`, that they accept the client. The checks run
    /// concurrently.
    pub(crate) async fn check_endpoints(
        &self,
        credentials: Option<&UpstreamClientCredentials>,
        initial_access_token: Option<&Secret<String>>,
    ) -> Vec<CheckResult> {
        let settings = self.settings;
        let probes = Probes::new(self, credentials);
        let discovered = self.request_metadata(&probes).await;
        let (metadata_check, found) = discovered.map_or((None, None), |(check, found)| (Some(check), found));
        let metadata = found.as_ref().or(self.metadata);
        let find = |endpoint| settings.find_endpoint(metadata, endpoint);
        // Each call may last as long as the timeout, and the caller of the check waits only a little longer.
        let (
            authorization,
            token,
            identity,
            par,
            revocation,
            introspection,
            grants,
            keys,
            data,
            registration,
        ) = tokio::join!(
            probes.check_authorization_endpoint(find(ProviderEndpoint::Authorization)),
            probes.check_token_endpoint(find(ProviderEndpoint::Token), settings.uses_dpop(metadata)),
            optional(self.identity_client, |client| {
                self.check_identity_client(
                    client,
                    find(ProviderEndpoint::Token),
                    settings.uses_dpop(metadata),
                )
            }),
            optional(self.find_pushed_request_endpoint(metadata), |endpoint| {
                probes
                    .check_pushed_request(endpoint, find(ProviderEndpoint::Authorization).unwrap_or_default())
            }),
            optional(self.find_needed(metadata, ProviderEndpoint::Revocation), |endpoint| {
                probes.check_revocation_endpoint(endpoint)
            }),
            optional(self.find_needed(metadata, ProviderEndpoint::Introspection), |endpoint| {
                probes.check_introspection_endpoint(endpoint)
            }),
            self.check_grant_endpoints(&probes, metadata),
            optional(self.find_needed(metadata, ProviderEndpoint::Keys), |endpoint| {
                probes.check_keys(endpoint)
            }),
            probes.check_data_endpoint(),
            optional(settings.dynamic_registration.as_ref(), |registration| {
                probes.check_registration_endpoint(registration, initial_access_token)
            }),
        );
        let (data, versions) = data;
        let of_connection =
            [metadata_check, probes.tls_result(), Some(authorization), Some(token), identity, par];
        let of_end = [revocation, introspection].into_iter().chain(grants.into_iter().map(Some));
        let version = evaluate_fdx_version(settings, versions.as_deref());
        let rest = [keys, Some(data), Some(version), registration];
        let called = of_connection.into_iter().chain(of_end).chain(rest).flatten();
        // Only a document that was just requested has the members about abilities, which are not stored.
        called.chain(compare_with_metadata(settings, found.as_ref())).collect()
    }

    /// Requests the metadata of the issuer. They are not needed if the settings name every endpoint, but show more about the
    /// provider.
    async fn request_metadata(&self, probes: &Probes<'_>) -> Option<(CheckResult, Option<ProviderMetadata>)> {
        const NAME: &str = "metadata";
        const CHANGE: &str = "correct issuer, or set the endpoints explicitly";
        let issuer = self.settings.issuer.as_deref()?;
        let (error, change) = match request_metadata(self.outbound, issuer, self.allow_http).await {
            Ok((metadata, _)) => match metadata.ensure_usable(self.settings) {
                Ok(()) => {
                    let detail = "the metadata of the issuer name every endpoint";
                    return Some((CheckResult::passed(NAME, detail), Some(metadata)));
                }
                Err(error) => (
                    error.to_string(),
                    "correct issuer to the one in the document, metadata_hosts, or the endpoints",
                ),
            },
            Err(error) => {
                // The reason of a failed handshake belongs to the result about TLS, too.
                if let Some(failure) = error.tls_failure() {
                    probes.store_failed_handshake(issuer, failure);
                }
                (error.to_string(), CHANGE)
            }
        };
        // The reason for each URL is on a line of its own.
        let error = error.replace('\n', "; ");
        let check = if self.settings.needs_metadata() {
            CheckResult::failed(NAME, error, change)
        } else {
            let detail = format!("not needed, because the settings name every endpoint ({error})");
            CheckResult::undetermined(NAME, detail)
        };
        Some((check, None))
    }

    /// Returns an endpoint if the settings need it, or name it. A missing one is reported with the metadata.
    fn find_needed<'m>(
        &'m self,
        metadata: Option<&'m ProviderMetadata>,
        endpoint: ProviderEndpoint,
    ) -> Option<&'m str> {
        // A revocation endpoint shows which methods are possible, even if the settings do not need it.
        let is_needed =
            self.settings.needed_endpoints().contains(&endpoint) || endpoint == ProviderEndpoint::Revocation;
        let found = self.settings.find_endpoint(metadata, endpoint).ok();
        found.filter(|_| is_needed)
    }

    fn find_pushed_request_endpoint<'m>(
        &'m self,
        metadata: Option<&'m ProviderMetadata>,
    ) -> Option<Result<&'m str, EndpointError>> {
        if !self.settings.may_push_requests() {
            return None;
        }
        let endpoint = self.settings.find_endpoint(metadata, ProviderEndpoint::PushedAuthorizationRequest);
        match (self.settings.par, endpoint) {
            (PushedRequests::Off, _)
            | (PushedRequests::Auto, Err(EndpointError::Missing(_) | EndpointError::NotDiscovered(_))) => {
                None
            }
            (PushedRequests::Auto | PushedRequests::Required, endpoint) => Some(endpoint),
        }
    }

    /// Checks the endpoints that show or revoke consents, and revoke grants, by their ids.
    async fn check_grant_endpoints(
        &self,
        probes: &Probes<'_>,
        metadata: Option<&ProviderMetadata>,
    ) -> Vec<CheckResult> {
        // The consents are those of the same API, whether they are read or revoked.
        let is_read = self.settings.terms.contains(&TermsSource::FdxConsent)
            && !self.settings.revoke.contains(&RevokeMethod::FdxConsent);
        let read = is_read.then_some(&RevokeMethod::FdxConsent);
        let checks = self.settings.revoke.iter().chain(read).filter_map(|method| {
            let endpoint = match method {
                RevokeMethod::Rfc7009 => None,
                RevokeMethod::GrantManagement => {
                    let found = self.settings.find_endpoint(metadata, ProviderEndpoint::GrantManagement);
                    found.ok().map(str::to_owned)
                }
                RevokeMethod::FdxConsent => {
                    Some(self.settings.consent_endpoint.clone().unwrap_or_else(|| {
                        format!("{}/consents", self.settings.fdx.base_url.trim_end_matches('/'))
                    }))
                }
            };
            let endpoint = endpoint?;
            Some(async move { probes.check_grant_endpoint(&endpoint, *method).await })
        });
        join_all(checks).await
    }
}

/// Runs a check if there is something to check.
async fn optional<T, F>(subject: Option<T>, check: impl FnOnce(T) -> F) -> Option<CheckResult>
where
    F: Future<Output = CheckResult>,
{
    match subject {
        Some(subject) => Some(check(subject).await),
        None => None,
    }
}
