//! Calls that revoke a grant by its id at the provider: the FDX Consent API and FAPI Grant Management.

use domain::Secret;
use domain::model::connection::EndCause;
use domain::model::provider::{EndpointGroup, ProviderEndpoint, RevokeMethod};
use domain::rule::provider_response::ProviderCall;
use http::header;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use url::Url;

use super::call_report::CallReport;
use super::dpop::{ResourceToken, choose_dpop_key};
use super::endpoints::ProviderEndpoints;
use super::token_endpoint::{TokenCallError, TokenGrant};
use super::urls::build_resource_url;
use crate::breaker::BreakerOpenError;
use crate::dpop_nonces::NonceServer;
use crate::outbound::{Outbound, OutboundError, PartialResponse};

/// The scope of an access token that revokes grants (FAPI Grant Management §6.1).
const GRANT_MANAGEMENT_SCOPE: &str = "grant_management_revoke";

/// The reason of the revocation of a consent, in the terms of FDX (`ConsentRevocationRequest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConsentRevocationReason {
    reason: &'static str,
    initiator: &'static str,
}

impl ConsentRevocationReason {
    /// Returns the reason for a grant whose connection ended for this cause; `None` if no connection was opened.
    pub(super) const fn for_cause(cause: Option<EndCause>) -> Self {
        let (reason, initiator) = match cause {
            Some(EndCause::Customer) => ("USER_ACTION", "INDIVIDUAL"),
            Some(EndCause::Recipient | EndCause::Partner) => ("BUSINESS_RULE", "DATA_RECIPIENT"),
            Some(EndCause::Provider) => ("BUSINESS_RULE", "DATA_PROVIDER"),
            _ => ("BUSINESS_RULE", "DATA_ACCESS_PLATFORM"),
        };
        Self { reason, initiator }
    }

    fn to_json(self) -> Value {
        json!({"reason": self.reason, "initiator": self.initiator})
    }
}

impl ProviderEndpoints<'_> {
    /// Revokes a grant by its id, with an access token of the hub itself. Returns an error if a circuit breaker is open;
    /// the provider has not received the id then.
    pub(super) async fn revoke_grant_by_id(
        &self,
        method: RevokeMethod,
        id: &Secret<String>,
        reason: ConsentRevocationReason,
    ) -> Result<CallReport, BreakerOpenError> {
        self.ensure_circuit_closed(EndpointGroup::Revocation)?;
        let settings = &self.provider.settings;
        let (call, scope) = match method {
            RevokeMethod::GrantManagement => (ProviderCall::GrantRevocation, Some(GRANT_MANAGEMENT_SCOPE)),
            RevokeMethod::FdxConsent | RevokeMethod::Rfc7009 => {
                (ProviderCall::ConsentRevocation, settings.consent_scope.as_deref())
            }
        };
        let dpop_key = match choose_dpop_key(self.ctx, self.provider, None) {
            Ok(key) => key,
            Err(error) => {
                tracing::error!(%error, provider = %self.provider.id, "a revocation could not be sent");
                return Ok(CallReport::from_error(call, &OutboundError::Credentials));
            }
        };
        let tokens = match self.request_tokens(TokenGrant::ClientCredentials { scope }, dpop_key).await {
            Ok(tokens) => tokens,
            Err(TokenCallError::CircuitOpen) => return Err(BreakerOpenError),
            // The report is that of the token request, so that its description names the reason.
            Err(TokenCallError::Failed { report, .. }) => return Ok(report),
        };
        let token = ResourceToken { secret: tokens.access_token, dpop_key: tokens.dpop_key };
        let result = if call == ProviderCall::GrantRevocation {
            self.send_revocation(self.grant_url(id.expose()), &token, Outbound::delete).await
        } else {
            let reason = reason.to_json();
            let put = |outbound: &Outbound, url: &Url| outbound.put_json(url, &reason);
            self.send_revocation(self.consent_url(id.expose(), &["revocation"]), &token, put).await
        };
        self.record_outcome(
            "revoke",
            EndpointGroup::Revocation,
            result.as_ref().and_then(PartialResponse::complete_status),
        );
        let report = match &result {
            Ok(response) => CallReport::from_response(call, response, false),
            Err(error) => CallReport::from_error(call, error),
        };
        self.record_report(&report).await;
        Ok(report)
    }

    async fn send_revocation(
        &self,
        url: Result<Url, OutboundError>,
        token: &ResourceToken,
        build: impl Fn(&Outbound, &Url) -> Result<RequestBuilder, OutboundError>,
    ) -> Result<PartialResponse, OutboundError> {
        let (outbound, url, build) = (&self.outbound().await?, &url?, &build);
        let send = |nonce| async move {
            let request = build(outbound, url)?.header(header::ACCEPT, "application/json");
            let request = self.add_token(self.add_headers(request), token, nonce)?;
            outbound.send_and_read_available(request).await
        };
        // A job has time for two calls, of which the token request was one: the repetition must begin soon after its start.
        let may_repeat = || self.ctx.app().has_time_left(self.ctx.now()).unwrap_or(false);
        self.send_proved((NonceServer::Resource, url, token.dpop_key.as_ref()), send, may_repeat).await
    }

    fn grant_url(&self, id: &str) -> Result<Url, OutboundError> {
        let endpoint = self.provider.endpoint(ProviderEndpoint::GrantManagement);
        build_id_url(endpoint.map_err(OutboundError::NoEndpoint)?, &[id])
    }

    /// Returns the URL of a consent, or of a resource below it.
    pub(super) fn consent_url(&self, id: &str, below: &[&str]) -> Result<Url, OutboundError> {
        let settings = &self.provider.settings;
        let (base, path): (&str, &[&str]) = match &settings.consent_endpoint {
            Some(endpoint) => (endpoint, &[]),
            None => (&settings.fdx.base_url, &["consents"]),
        };
        build_id_url(base, &[path, &[id][..], below].concat())
    }
}

/// Builds the URL of a resource with an id.
fn build_id_url(base: &str, path: &[&str]) -> Result<Url, OutboundError> {
    // These ids are not segments of a path, so the URL would address another resource.
    if path.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Err(OutboundError::Forbidden);
    }
    build_resource_url(base, path, std::iter::empty()).ok_or(OutboundError::Forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_id_is_one_segment_of_the_url() {
        let url =
            |id| build_id_url("https://bank.example/consents/", &[id, "revocation"]).map(String::from).ok();

        assert_eq!(url("c-1").as_deref(), Some("https://bank.example/consents/c-1/revocation"));
        assert_eq!(url("../x?y").as_deref(), Some("https://bank.example/consents/..%2Fx%3Fy/revocation"));
        assert_eq!((url("."), url("..")), (None, None));
    }

    #[test]
    fn consent_revocation_names_initiator() {
        let initiator = |cause| ConsentRevocationReason::for_cause(cause).initiator;

        assert_eq!(initiator(Some(EndCause::Customer)), "INDIVIDUAL");
        assert_eq!(initiator(Some(EndCause::Recipient)), "DATA_RECIPIENT");
        assert_eq!(initiator(Some(EndCause::ConsentEnd)), "DATA_ACCESS_PLATFORM");
        assert_eq!(initiator(None), "DATA_ACCESS_PLATFORM");
    }
}
