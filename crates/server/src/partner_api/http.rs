//! Management on the Flinks face: parse, call, render.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use domain::error::{OAuthCode, OAuthError};
use domain::model::connection::EndCause;
use serde::Serialize;

use super::wire::{
    ConnectionBody, ConnectionsBody, ProviderBody, ProviderDetailBody, ProviderV2Body, RecipientBody,
    RegistrationBody, RejectedPairsBody, SecretBody,
};
use super::{
    AccessLevel, AuthenticatedClientKind, AuthenticatedPartner, AuthenticatedRecipient, JsonMembers,
    ManageError,
};
use crate::app::App;
use crate::context::RequestContext;
use crate::http::{ApiSurface, BoundedBody, Route, Segment, Segments, render_oauth_error};
use crate::oauth::Bearer;
use crate::oauth::http::{render_body_error, render_error as refuse_authz};
use crate::paging::ListQuery;

/// The routes of this face.
pub(crate) fn routes() -> Vec<Route> {
    let row = |method, path, handler| Route::new(ApiSurface::Flinks, method, path, handler);
    let recipient = "/api/v1/recipients/{client_id}";
    let connection_path = "/api/v1/recipients/{client_id}/connections/{connection_id}";
    vec![
        row(Method::POST, "/api/v1/recipients", post(create_recipient)),
        row(Method::GET, "/api/v1/recipients", get(list_recipients)),
        row(Method::GET, recipient, get(show_recipient)),
        row(Method::PUT, recipient, put(update_recipient)),
        row(Method::DELETE, recipient, delete(remove_recipient)),
        row(Method::POST, "/api/v1/recipients/{client_id}/secret", post(regenerate_secret)),
        row(
            Method::POST,
            "/api/v1/recipients/providers/requests/{recipient_ids}/{provider_ids}",
            post(request_registrations),
        ),
        row(Method::GET, "/api/v1/recipients/providers/requests", get(list_all_registrations)),
        row(Method::GET, "/api/v1/recipients/{client_id}/providers/requests", get(list_registrations)),
        row(Method::GET, "/api/v1/recipients/{client_id}/providers/{provider_id}", get(show_registration)),
        row(Method::GET, "/api/v1/providers", get(list_providers)),
        row(Method::GET, "/api/v1/authorize/providers", get(list_own_providers)),
        row(Method::GET, "/api/v1/providers/{provider_id}", get(show_provider)),
        row(Method::GET, "/api/v2/providers", get(list_providers_v2)),
        row(Method::GET, OWN_CONNECTIONS_PATH, get(list_own_connections)),
        row(Method::GET, "/api/v1/connections/{connection_id}", get(show_own_connection)),
        row(Method::DELETE, "/api/v1/connections/{connection_id}", delete(end_own_connection)),
        row(Method::GET, "/api/v1/recipients/{client_id}/connections", get(list_connections)),
        row(Method::GET, connection_path, get(show_connection)),
        row(Method::DELETE, connection_path, delete(end_connection)),
    ]
}

const OWN_CONNECTIONS_PATH: &str = "/api/v1/connections";

/// Declares extractors of who calls: whoever is not gets no further.
macro_rules! caller_extractors {
    ($($(#[$doc:meta])* $name:ident($type:ty) = |$ctx:ident, $bearer:ident| $who:expr;)+) => {$(
        $(#[$doc])*
        struct $name($type);

        impl FromRequestParts<App> for $name {
            type Rejection = Response;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
                let ctx = RequestContext::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
                let ($ctx, $bearer) = (&ctx, Bearer::from_headers(&parts.headers));
                let $bearer = $bearer.as_ref();
                $who.await.map(Self).map_err(|error| refuse_authz(&error))
            }
        }
    )+};
}

caller_extractors! {
    /// A partner.
    AsPartner(AuthenticatedPartner) = |ctx, bearer| super::authenticate_partner(ctx, bearer, AccessLevel::Full);
    /// A partner that looks at connections or ends one, held or not.
    AsEndingPartner(AuthenticatedPartner) = |ctx, bearer| super::authenticate_partner(ctx, bearer, AccessLevel::ReadAndEnd);
    /// A recipient.
    AsRecipient(AuthenticatedRecipient) = |ctx, bearer| super::authenticate_recipient(ctx, bearer, AccessLevel::Full);
    /// A recipient that looks at its connections or ends one, held or not.
    AsEndingRecipient(AuthenticatedRecipient) = |ctx, bearer| super::authenticate_recipient(ctx, bearer, AccessLevel::ReadAndEnd);
    /// A partner or a recipient.
    AsParty(AuthenticatedClientKind) = |ctx, bearer| super::authenticate_client(ctx, bearer);
}

async fn create_recipient(
    State(app): State<App>,
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    request: Request<Body>,
) -> Response {
    match read_members(&app, &ctx, request).await {
        Ok(members) => {
            render_result(super::create_recipient(&ctx, &partner, &members).await, |(recipient, secret)| {
                json(&RecipientBody::from_created(recipient, secret))
            })
        }
        Err(refused) => refused,
    }
}

async fn list_recipients(ctx: RequestContext, AsPartner(partner): AsPartner) -> Response {
    render_result(super::list_recipients(&ctx, &partner).await, |recipients| {
        json(&recipients.iter().map(RecipientBody::for_list).collect::<Vec<_>>())
    })
}

async fn show_recipient(
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    Segment(id): Segment,
) -> Response {
    render_result(super::find_active_recipient(&ctx, &partner, &id).await, |recipient| {
        json(&RecipientBody::from_recipient(recipient))
    })
}

async fn update_recipient(
    State(app): State<App>,
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    Segment(id): Segment,
    request: Request<Body>,
) -> Response {
    match read_members(&app, &ctx, request).await {
        Ok(members) => {
            let replaced = super::replace_own_redirect_uris(&ctx, &partner, &id, &members).await;
            render_result(replaced, |recipient| json(&RecipientBody::from_recipient(recipient)))
        }
        Err(refused) => refused,
    }
}

async fn remove_recipient(
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    Segment(id): Segment,
) -> Response {
    render_result(super::remove_recipient(&ctx, &partner, &id).await, |()| {
        StatusCode::NO_CONTENT.into_response()
    })
}

async fn regenerate_secret(
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    Segment(id): Segment,
) -> Response {
    render_result(super::regenerate_secret(&ctx, &partner, &id).await, |(client_id, secret)| {
        json(&SecretBody::new(client_id, secret))
    })
}

async fn request_registrations(
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    Segments([recipients, providers]): Segments<2>,
) -> Response {
    render_result(
        super::registration::request_registrations(&ctx, &partner, &recipients, &providers).await,
        |all| json(&RegistrationBody::list_from(all)),
    )
}

async fn list_all_registrations(ctx: RequestContext, AsPartner(partner): AsPartner) -> Response {
    render_result(super::registration::list_partner_registrations(&ctx, &partner).await, |all| {
        json(&RegistrationBody::list_from(all))
    })
}

async fn list_registrations(
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    Segment(id): Segment,
) -> Response {
    render_result(super::registration::list_recipient_registrations(&ctx, &partner, &id).await, |all| {
        json(&RegistrationBody::list_from(all))
    })
}

async fn show_registration(
    ctx: RequestContext,
    AsPartner(partner): AsPartner,
    Segments([id, provider]): Segments<2>,
) -> Response {
    render_result(
        super::registration::find_registration(&ctx, &partner, &id, &provider).await,
        |registration| json(&RegistrationBody::new(registration)),
    )
}

async fn list_providers(ctx: RequestContext, AsParty(party): AsParty) -> Response {
    render_result(super::provider::list_visible_providers(&ctx, &party).await, |all| {
        json(&ProviderBody::list_from(all))
    })
}

async fn list_own_providers(ctx: RequestContext, AsRecipient(own): AsRecipient) -> Response {
    render_result(super::provider::list_active_providers(&ctx, &own).await, |all| {
        json(&ProviderBody::list_from(all))
    })
}

async fn show_provider(ctx: RequestContext, AsPartner(_): AsPartner, Segment(id): Segment) -> Response {
    render_result(super::provider::find_provider(&ctx, &id).await, |provider| {
        json(&ProviderDetailBody::new(provider))
    })
}

async fn list_providers_v2(
    ctx: RequestContext,
    AsParty(party): AsParty,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_result(super::provider::list_providers_v2(&ctx, &party, &query).await, |all| {
        json(&ProviderV2Body::list_from(all))
    })
}

async fn list_own_connections(
    ctx: RequestContext,
    AsEndingRecipient(own): AsEndingRecipient,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_result(super::connection::list(&ctx, own.id(), OWN_CONNECTIONS_PATH, &query).await, |page| {
        json(&ConnectionsBody::new(page))
    })
}

async fn show_own_connection(
    ctx: RequestContext,
    AsEndingRecipient(own): AsEndingRecipient,
    Segment(id): Segment,
) -> Response {
    render_result(super::connection::find_connection(&ctx, own.id(), &id).await, |found| {
        json(&ConnectionBody::new(found))
    })
}

async fn end_own_connection(
    ctx: RequestContext,
    AsEndingRecipient(own): AsEndingRecipient,
    Segment(id): Segment,
) -> Response {
    let ended = super::connection::end(&ctx, own.id(), &id, EndCause::Recipient, own.actor()).await;
    render_result(ended, |()| StatusCode::NO_CONTENT.into_response())
}

async fn list_connections(
    ctx: RequestContext,
    AsEndingPartner(partner): AsEndingPartner,
    Segment(client_id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    let page = super::connection::list_recipient_connections(&ctx, &partner, &client_id, &query).await;
    render_result(page, |page| json(&ConnectionsBody::new(page)))
}

async fn show_connection(
    ctx: RequestContext,
    AsEndingPartner(partner): AsEndingPartner,
    Segments([client_id, id]): Segments<2>,
) -> Response {
    let connection = super::connection::find_recipient_connection(&ctx, &partner, &client_id, &id).await;
    render_result(connection, |found| json(&ConnectionBody::new(found)))
}

async fn end_connection(
    ctx: RequestContext,
    AsEndingPartner(partner): AsEndingPartner,
    Segments([client_id, id]): Segments<2>,
) -> Response {
    let ended = super::connection::end_recipient_connection(&ctx, &partner, &client_id, &id).await;
    render_result(ended, |()| StatusCode::NO_CONTENT.into_response())
}

/// The members of a partner's JSON object, or the answer that says no. A partner that was held, or whose token has
/// ended, while the body was on its way does nothing with it.
async fn read_members(
    app: &App,
    ctx: &RequestContext,
    request: Request<Body>,
) -> Result<JsonMembers, Response> {
    let bearer = Bearer::from_headers(request.headers());
    let body = BoundedBody::read(app, request).await.map_err(|error| render_body_error(&error))?;
    let fresh_ctx = ctx.refreshed().map_err(|unfit| refuse_authz(&unfit.into()))?;
    super::authenticate_partner(&fresh_ctx, bearer.as_ref(), AccessLevel::Full)
        .await
        .map_err(|error| refuse_authz(&error))?;
    let members = body.json_members().map_err(|error| render_body_error(&error))?;
    JsonMembers::new(members).map_err(|invalid| error_response(&invalid.into()))
}

fn json<T: Serialize>(body: &T) -> Response {
    Json(body).into_response()
}

fn render_result<T>(result: Result<T, ManageError>, show: impl FnOnce(&T) -> Response) -> Response {
    match result {
        Ok(done) => show(&done),
        Err(error) => error_response(&error),
    }
}

fn error_response(error: &ManageError) -> Response {
    let (status, error) = match error {
        ManageError::Authz(error) => return refuse_authz(error),
        ManageError::Invalid(invalid) => {
            (StatusCode::BAD_REQUEST, OAuthError::with_description(OAuthCode::InvalidRequest, invalid))
        }
        ManageError::Pairs(pairs) => {
            let (status, body) = RejectedPairsBody::new(pairs);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, Json(body)).into_response();
        }
        ManageError::NotFound(what) => {
            (StatusCode::NOT_FOUND, OAuthError::new(OAuthCode::InvalidRequest, what))
        }
    };
    tracing::info!(%error, "refused");
    render_oauth_error(status, &error)
}
