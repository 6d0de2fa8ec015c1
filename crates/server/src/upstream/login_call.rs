//! The calls that a login makes in addition to the exchange of its code.

use domain::Secret;
use domain::model::job::TokenType;
use domain::model::provider::ProviderEndpoint;
use domain::rule::provider_response::ProviderCall;
use serde_json::{Map, Value};

use super::call_report::CallReport;
use super::endpoints::ProviderEndpoints;
use crate::outbound::{OutboundError, PartialResponse};

/// A call of a login that has no usable response. It contains nothing of a response.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {description}")]
pub(super) struct LoginCallError {
    call: ProviderCall,
    description: String,
}

impl LoginCallError {
    pub(super) fn new(call: ProviderCall, description: impl Into<String>) -> Self {
        Self { call, description: description.into() }
    }
}

impl ProviderEndpoints<'_> {
    /// Requests the introspection of a token (RFC 7662 §2). Returns the response, whose member `active` is a boolean.
    pub(super) async fn introspect(
        &self,
        token: &Secret<String>,
        token_type: TokenType,
    ) -> Result<Map<String, Value>, LoginCallError> {
        const CALL: ProviderCall = ProviderCall::Introspection;
        let endpoint = self.provider.endpoint(ProviderEndpoint::Introspection);
        let fields = vec![("token", token.expose().as_str()), ("token_type_hint", token_type.as_str())];
        // RFC 7662 §2.1: the client is authenticated, so a token that is bound to a key needs no proof.
        let credentials = self.load_credentials().await;
        let (client, response) = self.post_form_as(credentials, endpoint, fields, None).await;
        let body = response.as_ref().ok().and_then(|response| parse_object(&response.body));
        let body = body.filter(|body| body.get("active").is_some_and(Value::is_boolean));
        let report = self.report_login_call(CALL, &response, body.is_some()).await;
        if let Some(client) = client {
            self.record_client(&client, &report);
        }
        match body {
            Some(body) if report.outcome.reason().is_none() => Ok(body),
            _ => Err(LoginCallError::new(CALL, report.to_string())),
        }
    }

    /// Reports a call that a login makes in addition to the exchange. It does not count for the circuit breaker of the token
    /// endpoint, on which refreshes depend.
    pub(super) async fn report_login_call(
        &self,
        call: ProviderCall,
        response: &Result<PartialResponse, OutboundError>,
        is_complete: bool,
    ) -> CallReport {
        let status = response.as_ref().and_then(PartialResponse::complete_status).ok();
        self.ctx.app().telemetry().count_upstream_request(self.provider.id, call.as_str(), status);
        let report = match response {
            Ok(response) => CallReport::from_response(call, response, is_complete),
            Err(error) => CallReport::from_error(call, error),
        };
        self.record_report(&report).await;
        report
    }
}

/// Parses a body that is a JSON object.
pub(super) fn parse_object(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(body).ok()
}
