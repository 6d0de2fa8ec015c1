//! Requests to the token endpoint (RFC 6749 §3.2) and the revocation endpoint (RFC 7009 §2) of a provider.

use domain::jose::DpopKey;
use domain::model::job::TokenType;
use domain::model::provider::{EndpointError, EndpointGroup, ProviderEndpoint};
use domain::rule::provider_response::{CallOutcome, FailureReason, ProviderCall};

use super::call_report::CallReport;
use super::client_authentication::UpstreamClientCredentials;
use super::endpoints::{ProviderEndpoints, decides_on_client};
use super::error::UpstreamError;
use super::response::{limit_retry_after, limit_unavailable};
use super::token_response::{FoundToken, TokenReply, TokenResponse};
use crate::breaker::BreakerOpenError;
use crate::outbound::{OutboundError, PartialResponse};

/// The grant in a token request.
pub(super) enum TokenGrant<'a> {
    /// An authorization code (RFC 6749 §4.1.3) with its PKCE verifier (RFC 7636 §4.5).
    Code { code: &'a str, redirect_uri: &'a str, verifier: &'a str },
    /// A refresh token (RFC 6749 §6).
    Refresh { token: &'a str },
    /// The hub itself (RFC 6749 §4.4).
    ClientCredentials { scope: Option<&'a str> },
}

impl<'a> TokenGrant<'a> {
    const fn call(&self) -> ProviderCall {
        match self {
            Self::Code { .. } => ProviderCall::CodeExchange,
            Self::Refresh { .. } => ProviderCall::Refresh,
            Self::ClientCredentials { .. } => ProviderCall::ClientCredentials,
        }
    }

    /// Returns the group of the circuit breaker that counts the request.
    const fn endpoint_group(&self) -> EndpointGroup {
        match self {
            Self::Code { .. } | Self::Refresh { .. } => EndpointGroup::Token,
            Self::ClientCredentials { .. } => EndpointGroup::ClientCredentials,
        }
    }

    fn to_form_fields(&self) -> Vec<(&'static str, &'a str)> {
        match *self {
            Self::Code { code, redirect_uri, verifier } => vec![
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier),
            ],
            Self::Refresh { token } => vec![("grant_type", "refresh_token"), ("refresh_token", token)],
            Self::ClientCredentials { scope } => {
                let scope = scope.map(|scope| ("scope", scope));
                std::iter::once(("grant_type", "client_credentials")).chain(scope).collect()
            }
        }
    }
}

/// The reason why a token request returned no tokens.
pub(super) enum TokenCallError {
    /// The circuit breaker of the grant is open. Nothing was sent.
    CircuitOpen,
    /// The call did not succeed.
    Failed {
        report: CallReport,
        /// The tokens that were found in a response that proves nothing.
        found: Vec<FoundToken>,
    },
}

impl From<BreakerOpenError> for TokenCallError {
    fn from(_: BreakerOpenError) -> Self {
        Self::CircuitOpen
    }
}

impl From<TokenCallError> for UpstreamError {
    fn from(error: TokenCallError) -> Self {
        let report = match error {
            TokenCallError::CircuitOpen => return Self::CircuitOpen,
            TokenCallError::Failed { report, .. } => report,
        };
        match report.outcome.reason() {
            Some(FailureReason::GrantRejected) => Self::GrantEnded,
            Some(FailureReason::ClientRejected) => Self::ClientRejected,
            Some(FailureReason::RateLimited) => Self::RateLimited(limit_retry_after(report.retry_after)),
            Some(FailureReason::TlsFailed) => Self::TlsFailed,
            Some(FailureReason::NoResponse) => Self::NoResponse,
            Some(FailureReason::NotConnected) => Self::NotConnected,
            Some(FailureReason::NotSent) => Self::NotSent,
            Some(FailureReason::Unavailable | FailureReason::ServerError) => match report.status {
                Some(503) => Self::UnavailableFor(limit_unavailable(report.retry_after)),
                _ => Self::TokenEndpointFailed,
            },
            _ => Self::Failed,
        }
    }
}

impl ProviderEndpoints<'_> {
    /// Posts a form as a client, with a proof if a key is given. Returns the client's id, too.
    pub(super) async fn post_form_as(
        &self,
        credentials: Result<UpstreamClientCredentials, OutboundError>,
        endpoint: Result<&str, EndpointError>,
        fields: Vec<(&str, &str)>,
        dpop_key: Option<&DpopKey>,
    ) -> (Option<String>, Result<PartialResponse, OutboundError>) {
        let endpoint = endpoint.map_err(|error| {
            tracing::warn!(provider = %self.provider.id, reason = %error, "a call to a provider was not sent");
            OutboundError::NoEndpoint(error)
        });
        match credentials.and_then(|credentials| Ok((credentials, endpoint?))) {
            Ok((credentials, endpoint)) => {
                let result = self.post_form(&credentials, endpoint, fields, dpop_key).await;
                (Some(credentials.id), result)
            }
            Err(error) => (None, Err(error)),
        }
    }

    /// Requests tokens for a grant. `dpop_key` is the key that they are to be bound to, if the provider uses DPoP.
    pub(super) async fn request_tokens(
        &self,
        grant: TokenGrant<'_>,
        dpop_key: Option<DpopKey>,
    ) -> Result<TokenResponse, TokenCallError> {
        self.ensure_circuit_closed(grant.endpoint_group())?;
        self.send_token_request(grant, dpop_key).await
    }

    /// Requests tokens for a grant. The caller has ensured that the circuit breaker of the grant is closed.
    pub(super) async fn send_token_request(
        &self,
        grant: TokenGrant<'_>,
        dpop_key: Option<DpopKey>,
    ) -> Result<TokenResponse, TokenCallError> {
        let (call, group) = (grant.call(), grant.endpoint_group());
        let credentials = self.load_credentials().await;
        // A request that does not decide about the client must not use up its trial call.
        if decides_on_client(call)
            && credentials.as_ref().is_ok_and(|client| self.ensure_client_accepted(&client.id).is_err())
        {
            let report = CallReport::client_blocked(call);
            return Err(TokenCallError::Failed { report, found: Vec::new() });
        }
        let endpoint = self.provider.endpoint(ProviderEndpoint::Token);
        let fields = grant.to_form_fields();
        let (client, result) = self.post_form_as(credentials, endpoint, fields, dpop_key.as_ref()).await;
        let status = result.as_ref().and_then(PartialResponse::complete_status);
        self.record_outcome("token", group, status);
        let TokenReply { report, tokens, found } = TokenReply::read(call, result, self.ctx.now());
        if let Some(client) = client {
            self.record_client(&client, &report);
        }
        self.record_report(&report).await;
        let mut tokens = tokens.ok_or(TokenCallError::Failed { report, found })?;
        if let Err(error) = tokens.bind(self.provider.settings.dpop, dpop_key) {
            tracing::warn!(provider = %self.provider.id, %call, reason = %error, "an access token is not used");
            let outcome = CallOutcome::Unknown(FailureReason::TokenTypeRejected);
            let report = CallReport { outcome, ..report };
            self.record_report(&report).await;
            // No grant depends on the token of the hub itself. The others must be stored or revoked.
            if call == ProviderCall::ClientCredentials {
                return Err(TokenCallError::Failed { report, found: Vec::new() });
            }
        }
        Ok(tokens)
    }

    /// Revokes a token at the provider (RFC 7009). Returns an error if the circuit breaker of the revocation endpoint is
    /// open; nothing was sent then.
    pub(super) async fn revoke(
        &self,
        endpoint: &str,
        token: &str,
        token_type: TokenType,
    ) -> Result<CallReport, BreakerOpenError> {
        const CALL: ProviderCall = ProviderCall::Revocation;
        self.ensure_circuit_closed(EndpointGroup::Revocation)?;
        let fields = vec![("token", token), ("token_type_hint", token_type.as_str())];
        // Each job is a trial call: it has a back-off of its own, and no other call waits for it.
        // RFC 7009 §2.1: the client is authenticated, so a token that is bound to a key needs no proof.
        let credentials = self.load_credentials().await;
        let (client, result) = self.post_form_as(credentials, Ok(endpoint), fields, None).await;
        let status = result.as_ref().and_then(PartialResponse::complete_status);
        self.record_outcome("revoke", EndpointGroup::Revocation, status);
        let report = match &result {
            Ok(response) => CallReport::from_response(CALL, response, false),
            Err(error) => CallReport::from_error(CALL, error),
        };
        if let Some(client) = client {
            self.record_client(&client, &report);
        }
        self.record_report(&report).await;
        Ok(report)
    }
}
