//! The parts that all calls to a provider have in common: client authentication, the circuit breaker and metrics.

use domain::model::provider::{EndpointGroup, Provider};
use domain::rule::provider_response::ProviderErrorCode;
use http::{StatusCode, header};
use url::Url;

use super::call_report::CallReport;
use super::client::{OnBehalfOf, build_authenticated_form, load_upstream_credentials};
use crate::breaker::{BreakerOpenError, BreakerSignal};
use crate::context::RequestContext;
use crate::outbound::{OutboundError, PartialResponse};

/// The endpoints of a provider, called during one request or job. Other modules add a method for each call.
pub(super) struct ProviderEndpoints<'a> {
    pub(super) ctx: &'a RequestContext,
    pub(super) provider: &'a Provider,
    on_behalf_of: OnBehalfOf,
}

impl<'a> ProviderEndpoints<'a> {
    pub(super) const fn new(
        ctx: &'a RequestContext,
        provider: &'a Provider,
        on_behalf_of: OnBehalfOf,
    ) -> Self {
        Self { ctx, provider, on_behalf_of }
    }

    /// Posts a form with client authentication (RFC 6749 §2.3.1).
    pub(super) async fn post_form(
        &self,
        endpoint: &str,
        fields: Vec<(&str, &str)>,
    ) -> Result<PartialResponse, OutboundError> {
        let outbound = self.ctx.app().outbound();
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let credentials = load_upstream_credentials(self.ctx, self.provider, &self.on_behalf_of).await;
        let credentials = credentials.map_err(|error| {
            tracing::error!(%error, provider = %self.provider.id, "client credentials could not be loaded");
            OutboundError::Forbidden
        })?;
        let auth = self.provider.settings.auth;
        let request = build_authenticated_form(outbound, auth, &url, fields, &credentials)?;
        outbound.send_and_read_available(request.header(header::ACCEPT, "application/json")).await
    }

    /// Returns the value of the header `x-fapi-interaction-id`: the correlation id, or a UUID that is derived from it.
    pub(super) fn interaction_id(&self) -> String {
        let id = self.ctx.correlation_id();
        if id.parse::<uuid::Uuid>().is_ok() && id.len() == 36 {
            return id.to_owned();
        }
        // FDX 6 requires a UUID, but a recipient may send any text as correlation id. The UUID is derived
        // from a digest of that text, so that all calls of one request have the same UUID.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, digest_byte)| *byte = *digest_byte);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    /// Returns an error while the circuit breaker of an endpoint group is open.
    pub(super) fn ensure_circuit_closed(&self, group: EndpointGroup) -> Result<(), BreakerOpenError> {
        self.ctx.app().breaker().ensure_closed(self.provider.id, group, self.ctx.now())
    }

    /// Logs and counts a call that did not succeed. The provider's own text is never logged.
    pub(super) fn record_report(&self, report: &CallReport) {
        let Some(reason) = report.outcome.reason() else { return };
        let CallReport { call, status, error_code, .. } = *report;
        let provider = self.provider.id;
        tracing::warn!(%provider, %call, %reason, status, error_code = error_code.map(ProviderErrorCode::as_str),
            "call to the provider failed");
        let labels =
            [("provider", provider.to_string()), ("call", call.to_string()), ("reason", reason.to_string())];
        self.ctx.app().telemetry().count("bowline_provider_call_failures_total", &labels);
    }

    /// Counts a call in the metrics and in the circuit breaker.
    pub(super) fn record_outcome(
        &self,
        call: &'static str,
        group: EndpointGroup,
        result: Result<StatusCode, &OutboundError>,
    ) {
        self.ctx.app().telemetry().count_upstream_request(self.provider.id, call, result.ok());
        let outcome = match result {
            // 501 means that the provider does not implement this operation. Its other operations may work.
            Ok(status) if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                BreakerSignal::Failed
            }
            Ok(_) => BreakerSignal::Succeeded,
            // The URL or the client credentials cannot be used.
            Err(OutboundError::Forbidden) => BreakerSignal::NotSent,
            Err(_) => BreakerSignal::Failed,
        };
        // The open time starts now, at the end of the call. A call may take as long as the open time.
        let now = self.ctx.app().now().unwrap_or(self.ctx.now());
        self.ctx.app().breaker().record_outcome(self.provider.id, group, outcome, now);
    }
}
