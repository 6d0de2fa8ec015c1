//! Recipients' own clients at a provider: it registers them (RFC 7591) and deletes them (RFC 7592).

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

use super::client::{OnBehalfOf, load_initial_access_token};
use super::endpoints::ProviderEndpoints;
use super::response::parse_retry_after;
use super::revocation::AttemptReport;
use super::urls::callback_uri;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::{OutboundError, StreamingResponse};

/// The longest answer that is read.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// What came of a request for a client.
#[derive(Debug)]
pub struct RegistrationReport {
    /// What the answer means.
    pub outcome: RegistrationResponse,
    /// What happened, in words for a person.
    pub description: String,
    /// When the provider wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl RegistrationReport {
    fn retry_later(description: &impl ToString) -> Self {
        Self {
            outcome: RegistrationResponse::RetryLater,
            description: description.to_string(),
            retry_after: None,
        }
    }
}

/// Asks a provider to register a client for a recipient.
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
        .map_err(|_| InternalError::new("a registration endpoint is no address"))?;
    let bearer = token.as_ref().map(|token| token.expose().as_str());
    let request = ctx.app().outbound().post_json(&url, &metadata, bearer);
    let endpoint = ProviderEndpoints::new(ctx, provider, OnBehalfOf::Recipient(recipient.client.id.clone()));
    let opened = match send_request(ctx, &endpoint, "register", request).await {
        Ok(opened) => opened,
        Err(error) => return Ok(RegistrationReport::retry_later(&error)),
    };
    let (status, retry_after) = (opened.status.as_u16(), parse_retry_after(&opened.headers));
    let outcome = match opened.read_body(MAX_RESPONSE_BYTES).await {
        Ok(answer) => parse_response(status, &answer.body, &provider.settings, &redirect_uri),
        Err(OutboundError::TooLarge) if matches!(status, 200 | 201) => {
            RegistrationResponse::Unusable { problem: "its answer is too large", management: None }
        }
        Err(_) => RegistrationResponse::RetryLater,
    };
    Ok(RegistrationReport { outcome, description: format!("HTTP {status}"), retry_after })
}

/// Has a provider delete a client.
pub async fn delete_upstream_client(
    ctx: &RequestContext,
    provider: &Provider,
    recipient: ClientId,
    management: &ClientManagement,
) -> AttemptReport {
    let on_behalf_of = OnBehalfOf::Recipient(recipient);
    let ClientManagement { uri, token } = management;
    let request = ctx.app().outbound().delete(uri, token.expose());
    let opened = match send_request(
        ctx,
        &ProviderEndpoints::new(ctx, provider, on_behalf_of),
        "delete_client",
        request,
    )
    .await
    {
        Ok(opened) => opened,
        Err(error) => return AttemptReport::retry_later(&error),
    };
    let status = opened.status.as_u16();
    let later = AttemptOutcome::RetryLater { retry_after: parse_retry_after(&opened.headers) };
    AttemptReport::new(deletion_outcome(status).unwrap_or(later), format!("HTTP {status}"))
}

/// Neither asks the provider's breaker nor tells it anything: the job's back-off is the brake here, and customers' data
/// are another matter than the registration of clients.
async fn send_request(
    ctx: &RequestContext,
    endpoint: &ProviderEndpoints<'_>,
    call: &'static str,
    request: Result<RequestBuilder, OutboundError>,
) -> Result<StreamingResponse, OutboundError> {
    let opened = match request {
        Ok(request) => ctx.app().outbound().open(request.header(header::ACCEPT, "application/json")).await,
        Err(error) => Err(error),
    };
    endpoint.count(call, opened.as_ref().ok().map(|opened| opened.status));
    opened
}
