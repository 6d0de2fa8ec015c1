//! Reads FDX resources and documents, such as statements, from a provider.

use domain::model::provider::EndpointGroup;
use domain::rule::provider_response::{ProviderReply, ResponseBody};
use fdx::ErrorCode;
use http::{HeaderMap, StatusCode, header};
use url::Url;

use super::dpop::{ProofResponse, ResourceToken};
use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::read_report::reply_of;
use super::response::classify_error_response;
use super::urls::resolve_redirect;
use crate::dpop_nonces::NonceServer;
use crate::outbound::{OutboundError, StreamingResponse, UpstreamResponse};

const MAX_REDIRECTS: usize = 3;

impl ProviderEndpoints<'_> {
    /// Reads an FDX resource as JSON. Returns an error for a redirect.
    pub(super) async fn read_resource(
        &self,
        url: &Url,
        token: &ResourceToken,
    ) -> Result<UpstreamResponse, UpstreamError> {
        self.ensure_data_circuit_closed()?;
        let response = async {
            let outbound = &self.outbound().await?;
            let send = |nonce| async move {
                let request = outbound.get(url)?.header(header::ACCEPT, "application/json");
                outbound.send(self.add_token(self.add_headers(request), token, nonce)?).await
            };
            self.send_proved((NonceServer::Resource, url, token.dpop_key.as_ref()), send, || true).await
        };
        let response = response.await;
        self.record_outcome("fdx", EndpointGroup::Data, response.as_ref().map(|response| response.status));
        let response = self.report_outbound_failure(response)?;
        match response.status {
            // FDX 6.4 defines 206 for a response in which a part of the requested data is missing. The body marks that
            // part.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                self.ensure_not_encoded(response.status, &response.headers)?;
                Ok(response)
            }
            _ => Err(self.report_error_response(&response, token)),
        }
    }

    /// Returns an error for a response with a `Content-Encoding` that the HTTP client has not removed: the hub did not ask for it,
    /// and would pass on or read encoded bytes as if they were the content.
    fn ensure_not_encoded(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), UpstreamError> {
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Ok(());
        }
        self.read_reporter().report(reply_of(status, headers, ResponseBody::Encoded), "encoded");
        Err(UpstreamError::Failed)
    }

    fn ensure_data_circuit_closed(&self) -> Result<(), UpstreamError> {
        self.ensure_circuit_closed(EndpointGroup::Data).map_err(|error| {
            self.read_reporter().report(ProviderReply::NotSent, "circuit_open");
            error.into()
        })
    }

    fn report_outbound_failure<T>(&self, response: Result<T, OutboundError>) -> Result<T, UpstreamError> {
        response.map_err(|error| {
            self.read_reporter().report_outbound_error(&error);
            error.into()
        })
    }

    /// Reports a response whose status reports a success and whose body cannot be read.
    pub(super) fn report_unreadable(&self, status: StatusCode, detail: &'static str) {
        self.read_reporter().report(reply_of(status, &HeaderMap::new(), ResponseBody::Other), detail);
    }

    pub(super) fn report_status(&self, status: StatusCode, headers: &HeaderMap) {
        self.read_reporter().report(reply_of(status, headers, ResponseBody::Other), "error_status");
    }

    fn report_error_response(&self, response: &UpstreamResponse, token: &ResourceToken) -> UpstreamError {
        // RFC 9449 §7.1: the proof is rejected, and not the token. A refresh would not help.
        if let Some(code) = response.proof_error() {
            let reply = reply_of(response.status, &response.headers, ResponseBody::OAuthError(code));
            self.read_reporter().report(reply, code.as_str());
            // A bearer token was sent without a proof. A refresh may get a token that is bound to a key.
            return if token.dpop_key.is_some() {
                UpstreamError::Failed
            } else {
                UpstreamError::ProofDemanded
            };
        }
        let error = classify_error_response(response);
        let is_failure = match &error {
            // A rejected token is refreshed first. Only the rejection of the new one is a failure.
            UpstreamError::TokenRefused => false,
            // The provider works: it has no such data, not in this type, or not yet.
            UpstreamError::FdxError(code) => !matches!(
                code,
                ErrorCode::DataNotFound | ErrorCode::ContentType | ErrorCode::StatementProcessing
            ),
            _ => true,
        };
        if is_failure {
            self.report_status(response.status, &response.headers);
        }
        error
    }

    /// Requests a document and returns its response, whose body is not read yet. Up to `MAX_REDIRECTS` redirects are
    /// followed, if their targets are below the URL `base`.
    pub(super) async fn open_document(
        &self,
        base: &Url,
        url: &Url,
        token: &ResourceToken,
        content_type: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request_document(&url, token, content_type).await?;
            match response.status.as_u16() {
                200 => {
                    self.ensure_not_encoded(response.status, &response.headers)?;
                    return Ok(response);
                }
                // Each request contains the access token, so it must not be sent to a URL outside `base`.
                301 | 302 | 303 | 307 | 308 => {
                    url = resolve_redirect(base, &url, &response).ok_or_else(|| {
                        self.report_status(response.status, &response.headers);
                        UpstreamError::Failed
                    })?;
                }
                _ => {
                    let max_bytes = self.ctx.app().config().upstream.max_body.bytes();
                    let response = response.read_body(max_bytes).await.map_err(|error| {
                        self.read_reporter().report_outbound_error(&error);
                        UpstreamError::from(error)
                    })?;
                    return Err(self.report_error_response(&response, token));
                }
            }
        }
        self.report_status(StatusCode::FOUND, &HeaderMap::new());
        Err(UpstreamError::Failed)
    }

    /// Requests a document without following redirects, and reads the status and headers of the response.
    async fn request_document(
        &self,
        url: &Url,
        token: &ResourceToken,
        content_type: &str,
    ) -> Result<StreamingResponse, UpstreamError> {
        self.ensure_data_circuit_closed()?;
        let section = &self.ctx.app().config().upstream;
        let response = async {
            let outbound = &self.outbound().await?;
            let send = |nonce| async move {
                // The body may be long, so the whole request has a longer timeout. The status and headers must arrive
                // within the usual one.
                let request = outbound
                    .get(url)?
                    .timeout(section.statement_timeout.duration())
                    .header(header::ACCEPT, content_type);
                let request = self.add_token(self.add_headers(request), token, nonce)?;
                let head = tokio::time::timeout(outbound.timeout(), outbound.open(request)).await;
                head.unwrap_or(Err(OutboundError::Timeout))
            };
            self.send_proved((NonceServer::Resource, url, token.dpop_key.as_ref()), send, || true).await
        };
        let response = response.await;
        self.record_outcome("fdx", EndpointGroup::Data, response.as_ref().map(|response| response.status));
        self.report_outbound_failure(response)
    }
}
