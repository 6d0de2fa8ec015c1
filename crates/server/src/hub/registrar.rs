//! Recipients' own clients at a provider: it registers them (RFC 7591) and deletes them (RFC 7592).

use std::time::Duration;

use domain::id::ClientId;
use domain::model::client::Recipient;
use domain::model::job::Attempt;
use domain::model::provider::{DynamicRegistration, Provider};
use domain::rule::client_registration::{Answered, ClientMetadata, Management, deleted, read};
use http::header;
use reqwest::RequestBuilder;
use url::Url;

use super::own_client::{Whom, initial_access_token};
use super::provider::{Endpoint, callback_uri, retry_after};
use super::tell::Told;
use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::outbound::{Opened, OutboundError};

/// The longest answer that is read.
const MOST: usize = 64 * 1024;

/// What came of a request for a client.
#[derive(Debug)]
pub struct Registering {
    /// What the answer means.
    pub answered: Answered,
    /// What happened, in words for a person.
    pub said: String,
    /// When the provider wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Registering {
    fn later(said: &impl ToString) -> Self {
        Self { answered: Answered::Later, said: said.to_string(), retry_after: None }
    }
}

/// Asks a provider to register a client for a recipient.
pub async fn register(
    ctx: &Ctx,
    provider: &Provider,
    there: &DynamicRegistration,
    recipient: &Recipient,
) -> Result<Registering, Fault> {
    let token = initial_access_token(ctx, provider, there).await?;
    let redirect_uri = callback_uri(ctx.app().public_url(), provider.id);
    let metadata = ClientMetadata::of(recipient, &provider.settings, &redirect_uri);
    let url = Url::parse(&there.endpoint).map_err(|_| Fault::new("a registration endpoint is no address"))?;
    let bearer = token.as_ref().map(|token| token.expose().as_str());
    let request = ctx.app().outbound().post_json(&url, &metadata, bearer);
    let endpoint = Endpoint::new(ctx, provider, Whom::Recipient(recipient.client.id.clone()));
    let opened = match sent(ctx, &endpoint, "register", request).await {
        Ok(opened) => opened,
        Err(error) => return Ok(Registering::later(&error)),
    };
    let (status, retry_after) = (opened.status.as_u16(), retry_after(&opened.headers));
    let answered = match opened.whole(MOST).await {
        Ok(answer) => read(status, &answer.body, &provider.settings, &redirect_uri),
        Err(OutboundError::TooLarge) if matches!(status, 200 | 201) => {
            Answered::Unusable { why: "its answer is too large", management: None }
        }
        Err(_) => Answered::Later,
    };
    Ok(Registering { answered, said: format!("HTTP {status}"), retry_after })
}

/// Has a provider delete a client.
pub async fn delete(ctx: &Ctx, provider: &Provider, recipient: ClientId, management: &Management) -> Told {
    let whom = Whom::Recipient(recipient);
    let Management { uri, token } = management;
    let request = ctx.app().outbound().delete(uri, token.expose());
    let opened = match sent(ctx, &Endpoint::new(ctx, provider, whom), "delete_client", request).await {
        Ok(opened) => opened,
        Err(error) => return Told::later(&error),
    };
    let status = opened.status.as_u16();
    let later = Attempt::Later { retry_after: retry_after(&opened.headers) };
    Told::new(deleted(status).unwrap_or(later), format!("HTTP {status}"))
}

/// Neither asks the provider's breaker nor tells it anything: the job's back-off is the brake here, and customers' data
/// are another matter than the registration of clients.
async fn sent(
    ctx: &Ctx,
    endpoint: &Endpoint<'_>,
    call: &'static str,
    request: Result<RequestBuilder, OutboundError>,
) -> Result<Opened, OutboundError> {
    let opened = match request {
        Ok(request) => ctx.app().outbound().open(request.header(header::ACCEPT, "application/json")).await,
        Err(error) => Err(error),
    };
    endpoint.count(call, opened.as_ref().ok().map(|opened| opened.status));
    opened
}
