//! One provider's endpoints, and what its answers mean.

use domain::model::provider::Provider;
use http::{StatusCode, header};
use url::Url;

use super::client::{OnBehalfOf, build_authenticated_form, load_upstream_credentials};
use super::error::UpstreamError;
use crate::breaker::Breaker;
use crate::context::RequestContext;
use crate::outbound::{OutboundError, UpstreamResponse};

/// A provider that is spoken with in one request or job.
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

    pub(super) async fn post(
        &self,
        endpoint: &str,
        fields: Vec<(&str, &str)>,
    ) -> Result<UpstreamResponse, OutboundError> {
        let outbound = self.ctx.app().outbound();
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        let own = load_upstream_credentials(self.ctx, self.provider, &self.on_behalf_of).await.map_err(|fault| {
            tracing::error!(%fault, provider = %self.provider.id, "there is no client to speak with a provider as");
            OutboundError::Forbidden
        })?;
        let request = build_authenticated_form(outbound, self.provider.settings.auth, &url, fields, &own)?;
        outbound.send(request.header(header::ACCEPT, "application/json")).await
    }

    /// FDX 6 wants a UUID. What a recipient sent may be another text: then it is one that follows from that text.
    pub(super) fn interaction_id(&self) -> String {
        let id = self.ctx.correlation_id();
        if id.parse::<uuid::Uuid>().is_ok() && id.len() == 36 {
            return id.to_owned();
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, drawn)| *byte = *drawn);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    /// Whether the provider may be asked at present.
    pub(super) fn ensure_closed(&self) -> Result<(), UpstreamError> {
        Ok(self.breaker().ensure_closed(self.provider.id, self.ctx.now())?)
    }

    fn breaker(&self) -> &Breaker {
        self.ctx.app().breaker()
    }

    /// Counts a call, and lets the breaker know how it went.
    pub(super) fn record_outcome<A>(
        &self,
        call: &'static str,
        response: Result<A, OutboundError>,
        status: impl Fn(&A) -> StatusCode,
    ) -> Result<A, UpstreamError> {
        let status = response.as_ref().ok().map(status);
        self.count(call, status);
        let failed = |status: StatusCode| status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        let succeeded = status.is_some_and(|status| !failed(status));
        self.breaker().record_outcome(self.provider.id, succeeded, self.ctx.now());
        response.map_err(UpstreamError::from)
    }

    /// Counts a call.
    pub(super) fn count(&self, call: &'static str, status: Option<StatusCode>) {
        let outcome = status.map_or_else(|| "none".to_owned(), |s| s.as_u16().to_string());
        let labels =
            [("provider", self.provider.id.to_string()), ("call", call.to_owned()), ("outcome", outcome)];
        self.ctx.app().telemetry().count("bowline_upstream_requests_total", &labels);
    }
}
