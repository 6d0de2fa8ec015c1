//! FDX resources and documents of a provider.

use http::{StatusCode, header};
use url::Url;

use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::response::classify_error_response;
use super::urls::resolve_redirect;
use crate::outbound::{OutboundError, StreamingResponse, UpstreamResponse};

impl ProviderEndpoints<'_> {
    /// Reads an FDX resource. The path is appended to the configured base, nothing else is followed.
    pub(super) async fn read_resource(
        &self,
        url: &Url,
        bearer: &str,
    ) -> Result<UpstreamResponse, UpstreamError> {
        self.ensure_closed()?;
        let outbound = self.ctx.app().outbound();
        let response = async {
            let request = outbound.get(url, bearer)?;
            let request = request
                .header(header::ACCEPT, "application/json")
                .header("x-fapi-interaction-id", self.interaction_id());
            outbound.send(request).await
        }
        .await;
        let response = self.record_outcome("fdx", response, |answer| answer.status)?;
        match response.status {
            // A part of what was asked for (FDX 6.4): the rest is marked in it.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            _ => Err(classify_error_response(&response)),
        }
    }

    /// Opens a document. A redirect is followed below the configured base alone, with the bearer; nothing is asked
    /// for anywhere else.
    pub(super) async fn open_document(
        &self,
        base: &Url,
        url: &Url,
        bearer: &str,
        kind: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        const MAX_REDIRECTS: usize = 3;
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let opened = self.open_once(&url, bearer, kind).await?;
            let is_redirect = matches!(opened.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            match (opened.status, is_redirect) {
                (StatusCode::OK, _) => return Ok(opened),
                (_, true) => url = resolve_redirect(base, &url, &opened).ok_or(UpstreamError::Failed)?,
                _ => {
                    let response = opened.read_body(self.ctx.app().config().upstream.max_body.bytes()).await;
                    return Err(
                        response.map_or(UpstreamError::Failed, |answer| classify_error_response(&answer))
                    );
                }
            }
        }
        Err(UpstreamError::Failed)
    }

    async fn open_once(
        &self,
        url: &Url,
        bearer: &str,
        kind: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        self.ensure_closed()?;
        let section = &self.ctx.app().config().upstream;
        let outbound = self.ctx.app().outbound();
        let opened = async {
            let request = outbound.get(url, bearer)?;
            let request = request
                .timeout(section.statement_timeout.duration())
                .header(header::ACCEPT, kind)
                .header("x-fapi-interaction-id", self.interaction_id());
            let opened = tokio::time::timeout(section.timeout.duration(), outbound.open(request)).await;
            opened.map_err(|_| OutboundError::Timeout)?
        };
        let opened = opened.await;
        self.record_outcome("fdx", opened, |opened| opened.status)
    }
}
