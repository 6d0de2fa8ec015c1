//! Registration (RFC 7591) and deletion (RFC 7592) of a recipient's own client at a provider.

use std::time::Duration;

use domain::id::ClientId;
use domain::model::client::Recipient;
use domain::model::job::AttemptOutcome;
use domain::model::provider::{DynamicRegistration, EndpointGroup, Provider};
use domain::rule::client_registration::{
    ClientManagement, ClientMetadata, RegistrationResponse, deletion_outcome, parse_response,
};
use domain::rule::provider_response::ProviderCall;
use http::header;
use reqwest::RequestBuilder;
use url::Url;

use super::attempt_report::{AttemptError, AttemptReport};
use super::call_report::CallReport;
use super::client::{OnBehalfOf, load_initial_access_token};
use super::endpoints::ProviderEndpoints;
use super::response::parse_retry_after;
use super::urls::callback_uri;
use crate::breaker::BreakerOpenError;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::{BodyEnd, OutboundError, StreamingResponse};

const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The result of a registration request, with a description for operators.
#[derive(Debug)]
pub struct RegistrationReport {
    /// The provider's response, or `RetryLater` if there was none.
    pub outcome: RegistrationResponse,
    /// A description of the result for operators. It never contains text from the provider.
    pub description: String,
    /// The value of `Retry-After`, if the provider sent it.
    pub retry_after: Option<Duration>,
}

/// Requests the registration of a recipient's client at a provider (RFC 7591 §3.1). Stores nothing.
pub async fn register_upstream_client(
    ctx: &RequestContext,
    provider: &Provider,
    registration: &DynamicRegistration,
    recipient: &Recipient,
) -> Result<RegistrationReport, AttemptError> {
    let token = load_initial_access_token(ctx, provider, registration).await?;
    let redirect_uri = callback_uri(ctx.app().public_url(), provider.id);
    let metadata = ClientMetadata::new(recipient, &provider.settings, &redirect_uri);
    let url = Url::parse(&registration.endpoint)
        .map_err(|_| InternalError::new("the registration endpoint of a provider is not a URL"))?;
    let bearer = token.as_ref().map(|token| token.expose().as_str());
    let request = ctx.app().outbound().post_json(&url, &metadata, bearer);
    let on_behalf_of = OnBehalfOf::Recipient(recipient.client.id.clone());
    let endpoints = ProviderEndpoints::new(ctx, provider, on_behalf_of);
    let response = match send_request(&endpoints, "register", request).await? {
        Ok(response) => response,
        Err(error) => {
            endpoints.record_report(&CallReport::from_error(ProviderCall::Registration, &error)).await;
            let (outcome, description) = (RegistrationResponse::RetryLater, error.to_string());
            return Ok(RegistrationReport { outcome, description, retry_after: None });
        }
    };
    let response = response.read_available(MAX_RESPONSE_BYTES).await;
    let status = response.status.as_u16();
    let outcome = match response.end {
        BodyEnd::Complete => parse_response(status, &response.body, &provider.settings, &redirect_uri),
        // The status means that a client was registered, so a retry would register a second one.
        BodyEnd::TooLarge if matches!(status, 200 | 201) => {
            RegistrationResponse::Unusable { problem: "the response is too large", management: None }
        }
        BodyEnd::TooLarge | BodyEnd::Interrupted => RegistrationResponse::RetryLater,
    };
    let is_registered = matches!(outcome, RegistrationResponse::Registered(_));
    let report = CallReport::from_response(ProviderCall::Registration, &response, is_registered);
    endpoints.record_report(&report).await;
    Ok(RegistrationReport { outcome, description: format!("HTTP {status}"), retry_after: report.retry_after })
}

/// Deletes a recipient's client at a provider (RFC 7592 §2.3).
pub async fn delete_upstream_client(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: ClientId,
    management: &ClientManagement,
) -> Result<AttemptReport, AttemptError> {
    let ClientManagement { uri, token } = management;
    let request = ctx.app().outbound().delete(uri, token.expose());
    let endpoints = ProviderEndpoints::new(ctx, provider, OnBehalfOf::Recipient(recipient));
    let response = match send_request(&endpoints, "delete_client", request).await? {
        Ok(response) => response,
        Err(error) => return Ok(AttemptReport::retry_later(&error)),
    };
    let status = response.status.as_u16();
    let outcome = deletion_outcome(status)
        .unwrap_or(AttemptOutcome::RetryLater { retry_after: parse_retry_after(&response.headers) });
    Ok(AttemptReport::new(outcome, format!("HTTP {status}")))
}

/// Sends a registration or deletion request, and reads the status and headers of the response. `call` is the label in
/// the metrics. Returns an error if the circuit breaker is open; nothing was sent then.
async fn send_request(
    endpoints: &ProviderEndpoints<'_>,
    call: &'static str,
    request: Result<RequestBuilder, OutboundError>,
) -> Result<Result<StreamingResponse, OutboundError>, BreakerOpenError> {
    endpoints.ensure_circuit_closed(EndpointGroup::Registration)?;
    let response = match request {
        Ok(request) => {
            let request = request.header(header::ACCEPT, "application/json");
            endpoints.ctx.app().outbound().open(request).await
        }
        Err(error) => Err(error),
    };
    endpoints.record_outcome(
        call,
        EndpointGroup::Registration,
        response.as_ref().map(|response| response.status),
    );
    Ok(response)
}
