//! Registration (RFC 7591) and deletion (RFC 7592) of a recipient's own client at a provider.

use std::time::Duration;

use domain::id::ClientId;
use domain::model::client::Recipient;
use domain::model::job::AttemptOutcome;
use domain::model::provider::{DynamicRegistration, Provider};
use domain::rule::client_registration::{
    ClientManagement, ClientMetadata, RegistrationResponse, deletion_outcome, parse_response,
};
use http::header;
use reqwest::RequestBuilder;
use url::Url;

use super::attempt_report::AttemptReport;
use super::client::{OnBehalfOf, load_initial_access_token};
use super::endpoints::ProviderEndpoints;
use super::response::parse_retry_after;
use super::urls::callback_uri;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::{OutboundError, StreamingResponse};

const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The result of a registration request.
#[derive(Debug)]
pub struct RegistrationReport {
    /// The evaluated response.
    pub outcome: RegistrationResponse,
    /// A description for operators. It never contains text from the provider.
    pub description: String,
    /// The wait that the provider requested.
    pub retry_after: Option<Duration>,
}

/// Registers a client for a recipient at a provider.
pub async fn register_upstream_client(
    ctx: &RequestContext,
    provider: &Provider,
    registration: &DynamicRegistration,
    recipient: &Recipient,
) -> Result<RegistrationReport, InternalError> {
    let token = load_initial_access_token(ctx, provider, registration).await?;
    let redirect_uri = callback_uri(ctx.app().public_url(), provider.id);
    let metadata = ClientMetadata::new(recipient, &provider.settings, &redirect_uri);
    let url = Url::parse(&registration.endpoint)
        .map_err(|_| InternalError::new("the registration endpoint of a provider is not a URL"))?;
    let bearer = token.as_ref().map(|token| token.expose().as_str());
    let request = ctx.app().outbound().post_json(&url, &metadata, bearer);
    let on_behalf_of = OnBehalfOf::Recipient(recipient.client.id.clone());
    let endpoints = ProviderEndpoints::new(ctx, provider, on_behalf_of);
    let response = match send_request(&endpoints, "register", request).await {
        Ok(response) => response,
        Err(error) => {
            let (outcome, description) = (RegistrationResponse::RetryLater, error.to_string());
            return Ok(RegistrationReport { outcome, description, retry_after: None });
        }
    };
    let (status, retry_after) = (response.status.as_u16(), parse_retry_after(&response.headers));
    let outcome = match response.read_body(MAX_RESPONSE_BYTES).await {
        Ok(response) => parse_response(status, &response.body, &provider.settings, &redirect_uri),
        // The status says that a client was registered. A retry would only register one more.
        Err(OutboundError::TooLarge) if matches!(status, 200 | 201) => {
            RegistrationResponse::Unusable { problem: "the response is too large", management: None }
        }
        Err(_) => RegistrationResponse::RetryLater,
    };
    Ok(RegistrationReport { outcome, description: format!("HTTP {status}"), retry_after })
}

/// Deletes a client at a provider.
pub async fn delete_upstream_client(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: ClientId,
    management: &ClientManagement,
) -> AttemptReport {
    let ClientManagement { uri, token } = management;
    let request = ctx.app().outbound().delete(uri, token.expose());
    let endpoints = ProviderEndpoints::new(ctx, provider, OnBehalfOf::Recipient(recipient));
    let response = match send_request(&endpoints, "delete_client", request).await {
        Ok(response) => response,
        Err(error) => return AttemptReport::retry_later(&error),
    };
    let status = response.status.as_u16();
    let outcome = deletion_outcome(status)
        .unwrap_or(AttemptOutcome::RetryLater { retry_after: parse_retry_after(&response.headers) });
    AttemptReport::new(outcome, format!("HTTP {status}"))
}

/// Sends a request of client registration and reads the head of the response.
async fn send_request(
    endpoints: &ProviderEndpoints<'_>,
    call: &'static str,
    request: Result<RequestBuilder, OutboundError>,
) -> Result<StreamingResponse, OutboundError> {
    // The circuit breaker is neither asked nor informed: the back-off of the job limits the calls, and the state of the
    // registration endpoint says nothing about the endpoints that serve customers' data.
    let response = match request {
        Ok(request) => {
            let request = request.header(header::ACCEPT, "application/json");
            endpoints.ctx.app().outbound().open(request).await
        }
        Err(error) => Err(error),
    };
    endpoints.count(call, response.as_ref().ok().map(|response| response.status));
    response
}
