//! Determines the terms of a new connection: what the customer consented to at the hub, limited to what the provider states.

use std::time::Duration;

use domain::error::OAuthError;
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::client::Client;
use domain::model::connection::{Terms, consent_expiry, is_valid_account_list, is_valid_grant_id};
use domain::model::job::TokenType;
use domain::model::provider::{EndpointError, Provider, ProviderEndpoint, TermsSource};
use domain::rule::authorization_failure::FAILED;
use domain::rule::authorize::compute_granted_scope;
use domain::rule::provider_response::ProviderCall;
use domain::rule::provider_terms::{
    ConsentEndedError, GrantedTerms, TermsProblem, TermsStatement, parse_authorization_details,
    parse_consent, parse_introspection,
};
use domain::{Secret, Timestamp};
use http::header;
use serde_json::{Map, Value};

use super::dpop::choose_dpop_key;
use super::endpoints::ProviderEndpoints;
use super::login_call::{LoginCallError, parse_object};
use super::token_endpoint::{TokenCallError, TokenGrant};
use super::token_response::TokenResponse;
use crate::dpop_nonces::NonceServer;
use crate::outbound::{BodyEnd, OutboundError};

const MAX_CONSENT_BYTES: usize = 256 * 1024;
const DETAILS: &str = "authorization_details";

/// The reason why the terms of a grant cannot be determined. It contains nothing of a response.
#[derive(Debug, thiserror::Error)]
pub(super) enum TermsError {
    /// A call did not succeed, or its response cannot be read.
    #[error(transparent)]
    Call(#[from] LoginCallError),
    /// All calls together took too long.
    #[error("the provider did not respond in time")]
    TimedOut,
    /// An endpoint of the provider is not known.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// The token response does not name the consent.
    #[error("the token response has no usable id of the consent")]
    NoConsentId,
    /// The provider states that the consent is not active.
    #[error("{0}")]
    ConsentEnded(#[from] ConsentEndedError),
}

/// The statement of one source, with the name of the source for the log.
pub(super) struct SourceStatement {
    source: &'static str,
    statement: TermsStatement,
}

impl ProviderEndpoints<'_> {
    /// Returns what the provider states about a grant in addition to its scope: in the token response, and in the sources that the
    /// settings name. A source that states something unreadable is not an error.
    pub(super) async fn find_terms(
        &self,
        tokens: &TokenResponse,
        agreed_at: Timestamp,
    ) -> Result<Vec<SourceStatement>, TermsError> {
        // Together, the calls must not outlast the lease of the exchange.
        let limit = self.ctx.app().config().upstream.timeout.duration();
        let found = tokio::time::timeout(limit, self.request_terms(tokens, agreed_at)).await;
        found.unwrap_or(Err(TermsError::TimedOut)).inspect_err(|error| {
            tracing::warn!(provider = %self.provider.id, reason = %error,
                "the terms of a grant could not be determined");
        })
    }

    async fn request_terms(
        &self,
        tokens: &TokenResponse,
        agreed_at: Timestamp,
    ) -> Result<Vec<SourceStatement>, TermsError> {
        let mut found = Vec::new();
        let mut add = |source, statement| found.push(SourceStatement { source, statement });
        if let Some(details) = tokens.field(DETAILS) {
            add("token_response", parse_authorization_details(details, agreed_at));
        }
        for source in self.provider.settings.terms.iter().copied() {
            match source {
                TermsSource::FdxConsent => {
                    let id = find_grant_id(self.provider, tokens).filter(|id| is_valid_grant_id(id.expose()));
                    let id = id.ok_or(TermsError::NoConsentId)?;
                    let consent = self.read_consent(&id).await?;
                    add(source.as_str(), parse_consent(&consent, id.expose(), agreed_at)?);
                }
                TermsSource::Introspection => {
                    for statement in self.introspect_terms(tokens, agreed_at).await? {
                        add(source.as_str(), statement);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Introspects the refresh token, whose expiry is that of the grant. Without one, the access token states the scope only.
    async fn introspect_terms(
        &self,
        tokens: &TokenResponse,
        agreed_at: Timestamp,
    ) -> Result<Vec<TermsStatement>, TermsError> {
        self.provider.endpoint(ProviderEndpoint::Introspection)?;
        let (token, token_type) = match &tokens.refresh_token {
            Some(token) => (token, TokenType::RefreshToken),
            None => (&tokens.access_token, TokenType::AccessToken),
        };
        let body = self.introspect(token, token_type).await?;
        // RFC 7662 §2.2: this is also the response about a token that the endpoint does not describe to this client.
        if body.get("active") != Some(&Value::Bool(true)) {
            let problems = vec![TermsProblem::InactiveToken];
            return Ok(vec![TermsStatement { problems, ..TermsStatement::default() }]);
        }
        let mut statement = parse_introspection(&body, &self.provider.settings);
        if token_type == TokenType::AccessToken {
            statement.refresh_expires_at = None;
        }
        let details = body.get(DETAILS).filter(|details| !details.is_null());
        let details = details.map(|details| parse_authorization_details(details, agreed_at));
        Ok(std::iter::once(statement).chain(details).collect())
    }

    /// Reads a consent (FDX, `GET /consents/{consentId}`) with an access token of the hub itself.
    async fn read_consent(&self, id: &Secret<String>) -> Result<Map<String, Value>, LoginCallError> {
        const CALL: ProviderCall = ProviderCall::Consent;
        let scope = self.provider.settings.consent_scope.as_deref();
        let no_token = |reason: String| LoginCallError::new(ProviderCall::ClientCredentials, reason);
        let key =
            choose_dpop_key(self.ctx, self.provider, None).map_err(|error| no_token(error.to_string()))?;
        let own = self.request_tokens(TokenGrant::ClientCredentials { scope }, key).await;
        let own = own.map_err(|error| {
            no_token(match error {
                TokenCallError::CircuitOpen => "the circuit breaker of this grant is open".to_owned(),
                TokenCallError::Failed { report, .. } => report.to_string(),
            })
        })?;
        let token =
            own.resource_token().ok_or_else(|| no_token("the access token has another type".into()))?;
        let response = async {
            let (outbound, url, token) =
                (&self.outbound().await?, &self.consent_url(id.expose(), &[])?, &token);
            let send = |nonce| async move {
                let request = outbound.get(url)?.header(header::ACCEPT, "application/json");
                let request = self.add_token(self.add_headers(request), token, nonce)?;
                Ok::<_, OutboundError>(outbound.open(request).await?.read_available(MAX_CONSENT_BYTES).await)
            };
            self.send_proved((NonceServer::Resource, url, token.dpop_key.as_ref()), send, || true).await
        };
        let response = response.await;
        let complete = response.as_ref().ok().filter(|response| response.end == BodyEnd::Complete);
        let consent = complete.and_then(|response| parse_object(&response.body));
        let report = self.report_login_call(CALL, &response, consent.is_some()).await;
        match consent {
            Some(consent) if report.outcome.reason().is_none() => Ok(consent),
            _ => Err(LoginCallError::new(CALL, report.to_string())),
        }
    }
}

/// The consent of a customer at the hub, for which the provider has issued tokens.
pub(super) struct HubConsent<'a> {
    pub(super) provider: &'a Provider,
    pub(super) client: &'a Client,
    pub(super) request: &'a AuthorizationRequest,
    /// The longest consent that the hub allows.
    pub(super) max_duration: Duration,
    pub(super) now: Timestamp,
}

/// The terms of a new connection.
pub(super) struct NewTerms {
    pub(super) terms: Terms,
    /// The end of the connection, which may be earlier than that of the consent.
    pub(super) expires_at: Timestamp,
    /// The provider's ids of the accounts, which the terms do not contain.
    pub(super) accounts: Option<Vec<String>>,
}

impl HubConsent<'_> {
    /// Builds the terms of the connection: what the customer consented to, limited to what the provider states.
    pub(super) fn build_terms(
        &self,
        tokens: &TokenResponse,
        statements: Vec<SourceStatement>,
    ) -> Result<NewTerms, OAuthError> {
        let request = self.request;
        let agreed_at = request.agreed_at.ok_or(FAILED)?;
        let consent_end = consent_expiry(agreed_at, self.client.max_duration_days, self.max_duration);
        let mut granted = GrantedTerms::new(self.compute_clusters(tokens)?, consent_end);
        let token_response = TermsStatement {
            accounts: self.find_accounts(tokens)?,
            // When the refresh token has expired, the hub cannot read any more. The connection must not seem to last longer.
            refresh_expires_at: tokens.refresh_expires_at,
            ..TermsStatement::default()
        };
        granted.narrow(token_response, self.now);
        granted.ensure_usable()?;
        for SourceStatement { source, statement } in statements {
            for problem in granted.narrow(statement, self.now) {
                tracing::warn!(provider = %self.provider.id, source, reason = %problem,
                    "a statement of the provider about the terms of a grant has no effect");
            }
        }
        granted.ensure_usable()?;
        let GrantedTerms { clusters, accounts, consent_ends_at, expires_at } = granted;
        let terms = Terms {
            clusters,
            account_count: accounts.as_ref().map(|ids| u32::try_from(ids.len()).unwrap_or(u32::MAX)),
            purpose: request.purpose.clone().unwrap_or_default(),
            language: request.language.clone(),
            page_version: request.page_version.clone().unwrap_or_default(),
            expires_at: consent_ends_at,
            agreed_at,
        };
        Ok(NewTerms { terms, expires_at, accounts })
    }

    /// Returns the data clusters that the customer consented to and the scope of the token response contains.
    fn compute_clusters(&self, tokens: &TokenResponse) -> Result<domain::Clusters, OAuthError> {
        let (settings, requested) = (&self.provider.settings, self.request.clusters);
        // RFC 6749 §5.1: `scope` may be omitted if it is identical to the requested scope.
        let granted = tokens.scope.as_deref().map_or(requested, |scope| settings.clusters_from_scope(scope));
        compute_granted_scope(requested, granted, self.client.scope, settings.clusters())
    }

    /// Returns the ids of the accounts that the customer selected; `None` if the settings name no field with them.
    fn find_accounts(&self, tokens: &TokenResponse) -> Result<Option<Vec<String>>, OAuthError> {
        let Some(name) = &self.provider.settings.accounts_field else { return Ok(None) };
        // A list that is missing or invalid must not be taken for consent to all accounts.
        let accounts = tokens.string_list(name).filter(|ids| is_valid_account_list(ids)).ok_or(FAILED)?;
        Ok(Some(accounts))
    }
}

/// Returns the id of the grant in a token response, if there is one and the settings name its field or need it.
pub(super) fn find_grant_id(provider: &Provider, tokens: &TokenResponse) -> Option<Secret<String>> {
    provider.settings.grant_fields().into_iter().find_map(|name| tokens.string_field(name)).map(Secret::new)
}
