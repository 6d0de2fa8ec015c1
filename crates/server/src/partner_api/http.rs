//! The HTTP handlers of the partner API, and the extractors that authenticate its callers.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawQuery};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::error::{OAuthCode, OAuthError};
use domain::model::connection::EndCause;
use serde::Serialize;

use super::array_page::ArrayPage;
use super::wire::{
    ConnectionBody, ConnectionsBody, ProviderBody, ProviderDetailBody, ProviderV2Body, RecipientBody,
    RegistrationBody, RejectedPairsBody, SecretBody,
};
use super::{
    AccessLevel, AuthenticatedClientKind, AuthenticatedPartner, AuthenticatedRecipient,
    CreateDataRecipientRequest, PartnerApiError, UpdateDataRecipientRequest, connections, providers,
    recipients, registrations,
};
use crate::context::RequestContext;
use crate::http::{BoundedBody, RequestState, Segment, Segments, render_oauth_error};
use crate::oauth::Bearer;
use crate::oauth::http::{render_body_error, render_error as render_authz_error};
use crate::paging::ListQuery;
use crate::request::{RequestBody, parse_members};

pub(super) const OWN_CONNECTIONS: &str = "/api/v1/connections";
pub(super) const RECIPIENTS: &str = "/api/v1/recipients";
pub(super) const ALL_REGISTRATIONS: &str = "/api/v1/recipients/providers/requests";

/// Declares axum extractors that authenticate the caller, and count its request, or reject the request with an OAuth error. Each
/// contains the context in which every command verifies the caller again.
macro_rules! caller_extractors {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $authenticate:path, $level:ident;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name(RequestContext, $type);

        impl FromRequestParts<RequestState> for $name {
            type Rejection = Response;

            async fn from_request_parts(parts: &mut Parts, state: &RequestState) -> Result<Self, Response> {
                let ctx = RequestContext::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
                let (bearer, level) = (Bearer::from_headers(&parts.headers), AccessLevel::$level);
                let attempt = state.attempt(&parts.method, &parts.headers);
                let caller = $authenticate(&ctx, &attempt, bearer.as_ref(), level).await;
                let caller = caller.map_err(|error| render_authz_error(&error))?;
                // Counted only now: before authentication, anyone could use up another client's limit.
                level.count_request(&ctx, caller.id()).map_err(|error| render_authz_error(&error))?;
                Ok(Self(ctx.for_caller(caller.authority(level), &attempt), caller))
            }
        }
    )+};
}

caller_extractors! {
    /// A partner that is not suspended.
    AsPartner(AuthenticatedPartner) = super::authenticate_partner, Full;
    /// A partner, suspended or not, that reads connections, or lists the recipients that have them.
    AsReadingPartner(AuthenticatedPartner) = super::authenticate_partner, ReadConnections;
    /// A partner, suspended or not, that ends a connection.
    AsEndingPartner(AuthenticatedPartner) = super::authenticate_partner, EndConnection;
    /// A recipient that is not suspended.
    AsRecipient(AuthenticatedRecipient) = super::authenticate_recipient, Full;
    /// A recipient, suspended or not, that reads connections.
    AsReadingRecipient(AuthenticatedRecipient) = super::authenticate_recipient, ReadConnections;
    /// A recipient, suspended or not, that ends a connection.
    AsEndingRecipient(AuthenticatedRecipient) = super::authenticate_recipient, EndConnection;
    /// A partner or a recipient that is not suspended.
    AsClient(AuthenticatedClientKind) = super::authenticate_client, Full;
}

/// The context in which every command verifies the partner again, the authenticated partner, which is not suspended, and the parsed
/// body of its request.
pub(super) struct PartnerRequest<B>(RequestContext, AuthenticatedPartner, B);

impl<B: RequestBody> FromRequest<RequestState> for PartnerRequest<B> {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &RequestState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        // The partner is authenticated before the body is read, so that no other client can make the hub buffer a body.
        AsPartner::from_request_parts(&mut parts, state).await?;
        let ctx = RequestContext::from_request_parts(&mut parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let bearer = Bearer::from_headers(&parts.headers);
        let attempt = state.attempt(&parts.method, &parts.headers);
        let body = BoundedBody::read(state.app(), Request::from_parts(parts, body))
            .await
            .map_err(|error| render_body_error(&error))?;
        // The partner is authenticated again with the current time: it may have been suspended, or its token may have
        // expired, while the body was being received.
        let ctx = ctx.refreshed().map_err(|error| render_authz_error(&error.into()))?;
        let level = AccessLevel::Full;
        let partner = super::authenticate_partner(&ctx, &attempt, bearer.as_ref(), level)
            .await
            .map_err(|error| render_authz_error(&error))?;
        let ctx = ctx.for_caller(partner.authority(level), &attempt);
        let members = body.json_members().map_err(|error| render_body_error(&error))?;
        parse_members(members)
            .map(|body| Self(ctx, partner, body))
            .map_err(|invalid| render_error(&invalid.into()))
    }
}

pub(super) async fn create_recipient(
    PartnerRequest(ctx, partner, body): PartnerRequest<CreateDataRecipientRequest>,
) -> Response {
    render(recipients::create(&ctx, &partner, body).await, |(recipient, secret)| {
        json(&RecipientBody::from_created(recipient, secret))
    })
}

pub(super) async fn list_recipients(
    // A suspended partner must find the recipients whose connections it may end.
    AsReadingPartner(ctx, partner): AsReadingPartner,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(recipients::list(&ctx, &partner, RECIPIENTS, &query).await, |page| {
        array_page(page, |recipients| recipients.iter().map(RecipientBody::for_list).collect::<Vec<_>>())
    })
}

pub(super) async fn show_recipient(AsPartner(ctx, partner): AsPartner, Segment(id): Segment) -> Response {
    render(recipients::find_active(&ctx, &partner, &id).await, |recipient| {
        json(&RecipientBody::from_recipient(recipient))
    })
}

pub(super) async fn update_recipient(
    Segment(id): Segment,
    PartnerRequest(ctx, partner, body): PartnerRequest<UpdateDataRecipientRequest>,
) -> Response {
    render(recipients::update(&ctx, &partner, &id, body).await, |recipient| {
        json(&RecipientBody::from_recipient(recipient))
    })
}

pub(super) async fn remove_recipient(AsPartner(ctx, partner): AsPartner, Segment(id): Segment) -> Response {
    render(recipients::remove(&ctx, &partner, &id).await, no_content)
}

pub(super) async fn rotate_secret(AsPartner(ctx, partner): AsPartner, Segment(id): Segment) -> Response {
    render(recipients::rotate_secret(&ctx, &partner, &id).await, |(client_id, secret)| {
        json(&SecretBody::new(client_id, secret))
    })
}

pub(super) async fn request_registrations(
    AsPartner(ctx, partner): AsPartner,
    Segments([recipient_ids, provider_ids]): Segments<2>,
) -> Response {
    render(registrations::request(&ctx, &partner, &recipient_ids, &provider_ids).await, |all| {
        json(&RegistrationBody::list_from(all))
    })
}

pub(super) async fn list_all_registrations(
    AsPartner(ctx, partner): AsPartner,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(registrations::list_all(&ctx, &partner, ALL_REGISTRATIONS, &query).await, |page| {
        array_page(page, RegistrationBody::list_from)
    })
}

pub(super) async fn list_registrations(
    AsPartner(ctx, partner): AsPartner,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(registrations::list_for_recipient(&ctx, &partner, &id, &query).await, |page| {
        array_page(page, RegistrationBody::list_from)
    })
}

pub(super) async fn show_registration(
    AsPartner(ctx, partner): AsPartner,
    Segments([id, provider]): Segments<2>,
) -> Response {
    render(registrations::find(&ctx, &partner, &id, &provider).await, |registration| {
        json(&RegistrationBody::new(registration))
    })
}

pub(super) async fn list_providers(AsClient(ctx, client): AsClient) -> Response {
    render(providers::list_visible(&ctx, &client).await, |all| json(&ProviderBody::list_from(all)))
}

pub(super) async fn list_own_providers(AsRecipient(ctx, recipient): AsRecipient) -> Response {
    render(providers::list_active(&ctx, &recipient).await, |all| json(&ProviderBody::list_from(all)))
}

pub(super) async fn show_provider(AsPartner(ctx, _): AsPartner, Segment(id): Segment) -> Response {
    render(providers::find(&ctx, &id).await, |provider| json(&ProviderDetailBody::new(provider)))
}

pub(super) async fn list_providers_v2(
    AsClient(ctx, client): AsClient,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(providers::list_v2(&ctx, &client, &query).await, |all| json(&ProviderV2Body::list_from(all)))
}

pub(super) async fn list_own_connections(
    AsReadingRecipient(ctx, recipient): AsReadingRecipient,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(connections::list(&ctx, recipient.id(), OWN_CONNECTIONS, &query).await, |page| {
        json(&ConnectionsBody::new(page))
    })
}

pub(super) async fn show_own_connection(
    AsReadingRecipient(ctx, recipient): AsReadingRecipient,
    Segment(id): Segment,
) -> Response {
    render(connections::find(&ctx, recipient.id(), &id).await, |connection| {
        json(&ConnectionBody::new(connection))
    })
}

pub(super) async fn end_own_connection(
    AsEndingRecipient(ctx, recipient): AsEndingRecipient,
    Segment(id): Segment,
) -> Response {
    let (cause, actor) = (EndCause::Recipient, recipient.actor());
    render(connections::end(&ctx, recipient.id(), &id, cause, actor).await, no_content)
}

pub(super) async fn list_connections(
    AsReadingPartner(ctx, partner): AsReadingPartner,
    Segment(client_id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(connections::list_for_partner(&ctx, &partner, &client_id, &query).await, |page| {
        json(&ConnectionsBody::new(page))
    })
}

pub(super) async fn show_connection(
    AsReadingPartner(ctx, partner): AsReadingPartner,
    Segments([client_id, id]): Segments<2>,
) -> Response {
    render(connections::find_for_partner(&ctx, &partner, &client_id, &id).await, |connection| {
        json(&ConnectionBody::new(connection))
    })
}

pub(super) async fn end_connection(
    AsEndingPartner(ctx, partner): AsEndingPartner,
    Segments([client_id, id]): Segments<2>,
) -> Response {
    render(connections::end_for_partner(&ctx, &partner, &client_id, &id).await, no_content)
}

fn json<T: Serialize>(body: &T) -> Response {
    Json(body).into_response()
}

/// Renders a page as an array, as Flinks documents these lists. The header `Link` has the next page (RFC 8288).
fn array_page<'a, T, B: Serialize>(page: &'a ArrayPage<T>, to_body: impl FnOnce(&'a [T]) -> B) -> Response {
    let mut response = json(&to_body(&page.items));
    let next =
        page.next.as_ref().and_then(|url| HeaderValue::from_str(&format!("<{url}>; rel=\"next\"")).ok());
    if let Some(next) = next {
        response.headers_mut().insert(header::LINK, next);
    }
    response
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`render` passes each result by reference")]
fn no_content(&(): &()) -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn render<T>(result: Result<T, PartnerApiError>, to_response: impl FnOnce(&T) -> Response) -> Response {
    match result {
        Ok(value) => to_response(&value),
        Err(error) => render_error(&error),
    }
}

fn render_error(error: &PartnerApiError) -> Response {
    let (status, error) = match error {
        PartnerApiError::Authz(error) => return render_authz_error(error),
        PartnerApiError::Invalid(invalid) => {
            (StatusCode::BAD_REQUEST, OAuthError::with_description(OAuthCode::InvalidRequest, invalid))
        }
        PartnerApiError::Pairs(pairs) => {
            let (status, body) = RejectedPairsBody::new(pairs);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, Json(body)).into_response();
        }
        PartnerApiError::NotFound(message) => {
            (StatusCode::NOT_FOUND, OAuthError::new(OAuthCode::InvalidRequest, message))
        }
    };
    tracing::info!(%error, "request rejected");
    render_oauth_error(status, &error)
}
