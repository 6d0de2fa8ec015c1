//! Reads FDX resources and documents, such as statements, from a provider.

use domain::model::provider::EndpointGroup;
use http::{StatusCode, header};
use url::Url;

use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::response::classify_error_response;
use super::urls::resolve_redirect;
use crate::outbound::{OutboundError, StreamingResponse, UpstreamResponse};

const MAX_REDIRECTS: usize = 3;

impl ProviderEndpoints<'_> {
    /// Reads an FDX resource as JSON. Returns an error for a redirect.
    pub(super) async fn read_resource(
        &self,
        url: &Url,
        bearer: &str,
    ) -> Result<UpstreamResponse, UpstreamError> {
        self.ensure_circuit_closed(EndpointGroup::Data)?;
        let outbound = self.ctx.app().outbound();
        let response = async {
            let request = outbound
                .get(url, bearer)?
                .header(header::ACCEPT, "application/json")
                .header("x-fapi-interaction-id", self.interaction_id());
            outbound.send(request).await
        };
        let response = response.await;
        self.record_outcome("fdx", EndpointGroup::Data, response.as_ref().map(|response| response.status));
        let response = response?;
        match response.status {
            // FDX 6.4 defines 206 for a response in which a part of the requested data is missing. The body marks that
            // part.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            _ => Err(classify_error_response(&response)),
        }
    }

    /// Requests a document and returns its response, whose body is not read yet. Up to `MAX_REDIRECTS` redirects are
    /// followed, if their targets are below the URL `base`.
    pub(super) async fn open_document(
        &self,
        base: &Url,
        url: &Url,
        bearer: &str,
        content_type: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request_document(&url, bearer, content_type).await?;
            match response.status.as_u16() {
                200 => return Ok(response),
                // Each request contains the access token, so it must not be sent to a URL outside `base`.
                301 | 302 | 303 | 307 | 308 => {
                    url = resolve_redirect(base, &url, &response).ok_or(UpstreamError::Failed)?;
                }
                _ => {
                    let max_bytes = self.ctx.app().config().upstream.max_body.bytes();
                    let response = response.read_body(max_bytes).await.map_err(|_| UpstreamError::Failed)?;
                    return Err(classify_error_response(&response));
                }
            }
        }
        Err(UpstreamError::Failed)
    }

    /// Requests a document without following redirects, and reads the status and headers of the response.
    async fn request_document(
        &self,
        url: &Url,
        bearer: &str,
        content_type: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        self.ensure_circuit_closed(EndpointGroup::Data)?;
        let section = &self.ctx.app().config().upstream;
        let outbound = self.ctx.app().outbound();
        let response = async {
            // The body may be long, so the whole request has a longer timeout. The status and headers must arrive
            // within the usual one.
            let request = outbound
                .get(url, bearer)?
                .timeout(section.statement_timeout.duration())
                .header(header::ACCEPT, content_type)
                .header("x-fapi-interaction-id", self.interaction_id());
            let head = tokio::time::timeout(section.timeout.duration(), outbound.open(request)).await;
            head.unwrap_or(Err(OutboundError::Timeout))
        };
        let response = response.await;
        self.record_outcome("fdx", EndpointGroup::Data, response.as_ref().map(|response| response.status));
        Ok(response?)
    }
}
