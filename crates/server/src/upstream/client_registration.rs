//! Registration (RFC 7591) and deletion (RFC 7592) of a recipient's own client at a provider.

use std::time::Duration;

use domain::id::ClientId;
use domain::model::client::Recipient;
use domain::model::provider::{DynamicRegistration, EndpointGroup, Provider, ProviderSettings};
use domain::rule::client_registration::{
    ClientManagement, ClientMetadata, RegistrationResponse, deletion_outcome, evaluate_response,
    parse_response,
};
use domain::rule::provider_response::ProviderCall;
use http::header;
use reqwest::RequestBuilder;
use url::Url;

use super::attempt_report::{AttemptError, AttemptReport};
use super::call_report::CallReport;
use super::endpoints::ProviderEndpoints;
use super::hub_secrets::load_initial_access_token;
use super::urls::callback_uri;
use crate::breaker::BreakerOpenError;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::{Outbound, OutboundError, PartialResponse};

const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The result of a registration request, with a description for operators.
#[derive(Debug)]
pub struct RegistrationReport {
    /// The meaning of the provider's response, or of its absence.
    pub outcome: RegistrationResponse,
    /// A description of the result for operators. It never contains text from the provider.
    pub description: String,
    /// The value of `Retry-After`, if the provider sent it.
    pub retry_after: Option<Duration>,
}

/// Requests the registration of a recipient's client at a provider (RFC 7591 §3.1). Stores nothing but a failure of the call.
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
    let endpoints = build_endpoints(ctx, provider, &recipient.client.id);
    let post = |outbound: &Outbound| outbound.post_json(&url, &metadata, bearer);
    let result = send_request(&endpoints, "register", post).await?;
    let (report, outcome) = read_registration(result, &provider.settings, &redirect_uri);
    if report.outcome.is_client_rejected() {
        tracing::error!(provider = %provider.id, status = report.status,
            "the provider rejects the hub's initial access token: correct it");
    }
    endpoints.record_report(&report).await;
    Ok(RegistrationReport { outcome, description: report.to_string(), retry_after: report.retry_after })
}

/// Classifies the result of a registration request, and reads the client from the response.
pub(super) fn read_registration(
    result: Result<PartialResponse, OutboundError>,
    provider: &ProviderSettings,
    redirect_uri: &str,
) -> (CallReport, RegistrationResponse) {
    const CALL: ProviderCall = ProviderCall::Registration;
    let response = match result {
        Ok(response) => response,
        Err(error) => return (CallReport::from_error(CALL, &error), RegistrationResponse::RetryLater),
    };
    let client = parse_response(&response.body, provider, redirect_uri);
    let report = CallReport::from_response(CALL, &response, client.is_ok());
    let outcome = evaluate_response(report.outcome, report.status, report.error_code, client);
    (report, outcome)
}

/// Deletes a recipient's client at a provider (RFC 7592 §2.3).
pub async fn delete_upstream_client(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: ClientId,
    management: &ClientManagement,
) -> Result<AttemptReport, AttemptError> {
    let ClientManagement { uri, token } = management;
    let endpoints = build_endpoints(ctx, provider, &recipient);
    let delete = |outbound: &Outbound| Ok(outbound.delete(uri)?.bearer_auth(token.expose()));
    let report = read_deletion(send_request(&endpoints, "delete_client", delete).await?);
    endpoints.record_report(&report).await;
    let outcome = deletion_outcome(report.outcome, report.retry_after);
    Ok(AttemptReport::new(outcome, report.to_string()))
}

/// Classifies the result of the deletion of a client.
pub(super) fn read_deletion(result: Result<PartialResponse, OutboundError>) -> CallReport {
    match result {
        Ok(response) => CallReport::from_response(ProviderCall::Deletion, &response, false),
        Err(error) => CallReport::from_error(ProviderCall::Deletion, &error),
    }
}

fn build_endpoints<'a>(
    ctx: &'a RequestContext,
    provider: &'a Provider,
    recipient: &'a ClientId,
) -> ProviderEndpoints<'a> {
    ProviderEndpoints::new(ctx, provider, recipient).for_client(recipient)
}

/// Sends a registration or deletion request, and reads the response. `call` is the label in the metrics. Returns an error if
/// the circuit breaker is open; nothing was sent then.
async fn send_request(
    endpoints: &ProviderEndpoints<'_>,
    call: &'static str,
    build: impl FnOnce(&Outbound) -> Result<RequestBuilder, OutboundError>,
) -> Result<Result<PartialResponse, OutboundError>, BreakerOpenError> {
    endpoints.ensure_circuit_closed(EndpointGroup::Registration)?;
    let open = async {
        let outbound = endpoints.outbound().await?;
        let request = build(&outbound)?.header(header::ACCEPT, "application/json");
        outbound.open(endpoints.add_headers(request)).await
    };
    let result = match open.await {
        Ok(response) => Ok(response.read_available(MAX_RESPONSE_BYTES).await),
        Err(error) => Err(error),
    };
    let status = result.as_ref().and_then(PartialResponse::complete_status);
    endpoints.record_outcome(call, EndpointGroup::Registration, status);
    Ok(result)
}
