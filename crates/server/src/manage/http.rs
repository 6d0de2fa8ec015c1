//! Management on the Flinks face: parse, call, render.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use domain::error::{OAuthCode, OAuthError};
use domain::model::connection::Cause;
use serde::Serialize;

use super::wire::{
    ConnectionBody, ConnectionsBody, DetailBody, PairsBody, ProviderBody, RecipientBody, RegistrationBody,
    SecondBody, SecretBody,
};
use super::{ManageError, Members, Own, Partner, Party, Wants};
use crate::app::App;
use crate::authz::http::{bearer, render as refuse_authz, render_body};
use crate::ctx::Ctx;
use crate::gateway::page::ListQuery;
use crate::web::{Face, Limited, Route, Segment, Segments, oauth_error};

/// The routes of this face.
pub(crate) fn routes() -> Vec<Route> {
    let row = |method, path, handler| Route::new(Face::Flinks, method, path, handler);
    let recipient = "/api/v1/recipients/{client_id}";
    let under = "/api/v1/recipients/{client_id}/connections/{connection_id}";
    vec![
        row(Method::POST, "/api/v1/recipients", post(create)),
        row(Method::GET, "/api/v1/recipients", get(list)),
        row(Method::GET, recipient, get(one)),
        row(Method::PUT, recipient, put(update)),
        row(Method::DELETE, recipient, delete(remove)),
        row(Method::POST, "/api/v1/recipients/{client_id}/secret", post(regenerate)),
        row(
            Method::POST,
            "/api/v1/recipients/providers/requests/{recipient_ids}/{provider_ids}",
            post(request_registrations),
        ),
        row(Method::GET, "/api/v1/recipients/providers/requests", get(all_registrations)),
        row(Method::GET, "/api/v1/recipients/{client_id}/providers/requests", get(registrations)),
        row(Method::GET, "/api/v1/recipients/{client_id}/providers/{provider_id}", get(registration)),
        row(Method::GET, "/api/v1/providers", get(providers)),
        row(Method::GET, "/api/v1/authorize/providers", get(own_providers)),
        row(Method::GET, "/api/v1/providers/{provider_id}", get(provider)),
        row(Method::GET, "/api/v2/providers", get(second_providers)),
        row(Method::GET, OWN, get(own_connections)),
        row(Method::GET, "/api/v1/connections/{connection_id}", get(own_connection)),
        row(Method::DELETE, "/api/v1/connections/{connection_id}", delete(end_own)),
        row(Method::GET, "/api/v1/recipients/{client_id}/connections", get(connections)),
        row(Method::GET, under, get(connection)),
        row(Method::DELETE, under, delete(end)),
    ]
}

const OWN: &str = "/api/v1/connections";

/// Declares extractors of who calls: whoever is not gets no further.
macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident($type:ty) = |$ctx:ident, $bearer:ident| $who:expr;)+) => {$(
        $(#[$doc])*
        struct $name($type);

        impl FromRequestParts<App> for $name {
            type Rejection = Response;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
                let ctx = Ctx::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
                let ($ctx, $bearer) = (&ctx, bearer(&parts.headers));
                let $bearer = $bearer.as_ref();
                $who.await.map(Self).map_err(|error| refuse_authz(&error))
            }
        }
    )+};
}

callers! {
    /// A partner.
    AsPartner(Partner) = |ctx, bearer| super::partner(ctx, bearer, Wants::More);
    /// A partner that looks at connections or ends one, held or not.
    AsEndingPartner(Partner) = |ctx, bearer| super::partner(ctx, bearer, Wants::Ends);
    /// A recipient.
    AsRecipient(Own) = |ctx, bearer| super::own(ctx, bearer, Wants::More);
    /// A recipient that looks at its connections or ends one, held or not.
    AsEndingRecipient(Own) = |ctx, bearer| super::own(ctx, bearer, Wants::Ends);
    /// A partner or a recipient.
    AsParty(Party) = |ctx, bearer| super::party(ctx, bearer);
}

async fn create(
    State(app): State<App>,
    ctx: Ctx,
    AsPartner(partner): AsPartner,
    request: Request<Body>,
) -> Response {
    match members(&app, &ctx, request).await {
        Ok(members) => shown(super::create(&ctx, &partner, &members).await, |(recipient, secret)| {
            json(&RecipientBody::created(recipient, secret))
        }),
        Err(refused) => refused,
    }
}

async fn list(ctx: Ctx, AsPartner(partner): AsPartner) -> Response {
    shown(super::under(&ctx, &partner).await, |recipients| {
        json(&recipients.iter().map(RecipientBody::listed).collect::<Vec<_>>())
    })
}

async fn one(ctx: Ctx, AsPartner(partner): AsPartner, Segment(id): Segment) -> Response {
    shown(super::one(&ctx, &partner, &id).await, |recipient| json(&RecipientBody::whole(recipient)))
}

async fn update(
    State(app): State<App>,
    ctx: Ctx,
    AsPartner(partner): AsPartner,
    Segment(id): Segment,
    request: Request<Body>,
) -> Response {
    match members(&app, &ctx, request).await {
        Ok(members) => {
            let replaced = super::replace_own_redirect_uris(&ctx, &partner, &id, &members).await;
            shown(replaced, |recipient| json(&RecipientBody::whole(recipient)))
        }
        Err(refused) => refused,
    }
}

async fn remove(ctx: Ctx, AsPartner(partner): AsPartner, Segment(id): Segment) -> Response {
    shown(super::remove(&ctx, &partner, &id).await, |()| StatusCode::NO_CONTENT.into_response())
}

async fn regenerate(ctx: Ctx, AsPartner(partner): AsPartner, Segment(id): Segment) -> Response {
    shown(super::regenerate_secret(&ctx, &partner, &id).await, |(client_id, secret)| {
        json(&SecretBody::new(client_id, secret))
    })
}

async fn request_registrations(
    ctx: Ctx,
    AsPartner(partner): AsPartner,
    Segments([recipients, providers]): Segments<2>,
) -> Response {
    shown(super::registration::request(&ctx, &partner, &recipients, &providers).await, |all| {
        json(&RegistrationBody::all(all))
    })
}

async fn all_registrations(ctx: Ctx, AsPartner(partner): AsPartner) -> Response {
    shown(super::registration::all(&ctx, &partner).await, |all| json(&RegistrationBody::all(all)))
}

async fn registrations(ctx: Ctx, AsPartner(partner): AsPartner, Segment(id): Segment) -> Response {
    shown(super::registration::of(&ctx, &partner, &id).await, |all| json(&RegistrationBody::all(all)))
}

async fn registration(
    ctx: Ctx,
    AsPartner(partner): AsPartner,
    Segments([id, provider]): Segments<2>,
) -> Response {
    shown(super::registration::with(&ctx, &partner, &id, &provider).await, |registration| {
        json(&RegistrationBody::new(registration))
    })
}

async fn providers(ctx: Ctx, AsParty(party): AsParty) -> Response {
    shown(super::provider::of(&ctx, &party).await, |all| json(&ProviderBody::all(all)))
}

async fn own_providers(ctx: Ctx, AsRecipient(own): AsRecipient) -> Response {
    shown(super::provider::active(&ctx, &own).await, |all| json(&ProviderBody::all(all)))
}

async fn provider(ctx: Ctx, AsPartner(_): AsPartner, Segment(id): Segment) -> Response {
    shown(super::provider::one(&ctx, &id).await, |provider| json(&DetailBody::new(provider)))
}

async fn second_providers(ctx: Ctx, AsParty(party): AsParty, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    shown(super::provider::second(&ctx, &party, &query).await, |all| json(&SecondBody::all(all)))
}

async fn own_connections(
    ctx: Ctx,
    AsEndingRecipient(own): AsEndingRecipient,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    shown(super::connection::list(&ctx, own.id(), OWN, &query).await, |page| {
        json(&ConnectionsBody::new(page))
    })
}

async fn own_connection(
    ctx: Ctx,
    AsEndingRecipient(own): AsEndingRecipient,
    Segment(id): Segment,
) -> Response {
    shown(super::connection::one(&ctx, own.id(), &id).await, |found| json(&ConnectionBody::new(found)))
}

async fn end_own(ctx: Ctx, AsEndingRecipient(own): AsEndingRecipient, Segment(id): Segment) -> Response {
    let ended = super::connection::end(&ctx, own.id(), &id, Cause::Recipient, own.actor()).await;
    shown(ended, |()| StatusCode::NO_CONTENT.into_response())
}

async fn connections(
    ctx: Ctx,
    AsEndingPartner(partner): AsEndingPartner,
    Segment(client_id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    let page = super::connection::list_under(&ctx, &partner, &client_id, &query).await;
    shown(page, |page| json(&ConnectionsBody::new(page)))
}

async fn connection(
    ctx: Ctx,
    AsEndingPartner(partner): AsEndingPartner,
    Segments([client_id, id]): Segments<2>,
) -> Response {
    let found = super::connection::one_under(&ctx, &partner, &client_id, &id).await;
    shown(found, |found| json(&ConnectionBody::new(found)))
}

async fn end(
    ctx: Ctx,
    AsEndingPartner(partner): AsEndingPartner,
    Segments([client_id, id]): Segments<2>,
) -> Response {
    let ended = super::connection::end_under(&ctx, &partner, &client_id, &id).await;
    shown(ended, |()| StatusCode::NO_CONTENT.into_response())
}

/// The members of a partner's JSON object, or the answer that says no. A partner that was held, or whose token has
/// ended, while the body was on its way does nothing with it.
async fn members(app: &App, ctx: &Ctx, request: Request<Body>) -> Result<Members, Response> {
    let bearer = bearer(request.headers());
    let body = Limited::read(app, request).await.map_err(|error| render_body(&error))?;
    let later = ctx.later().map_err(|unfit| refuse_authz(&unfit.into()))?;
    super::partner(&later, bearer.as_ref(), Wants::More).await.map_err(|error| refuse_authz(&error))?;
    let members = body.members().map_err(|error| render_body(&error))?;
    Members::new(members).map_err(|invalid| refuse(&invalid.into()))
}

fn json<T: Serialize>(body: &T) -> Response {
    Json(body).into_response()
}

fn shown<T>(done: Result<T, ManageError>, show: impl FnOnce(&T) -> Response) -> Response {
    match done {
        Ok(done) => show(&done),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &ManageError) -> Response {
    let (status, error) = match error {
        ManageError::Authz(error) => return refuse_authz(error),
        ManageError::Invalid(invalid) => {
            (StatusCode::BAD_REQUEST, OAuthError::about(OAuthCode::InvalidRequest, invalid))
        }
        ManageError::Pairs(pairs) => {
            let (status, body) = PairsBody::new(pairs);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, Json(body)).into_response();
        }
        ManageError::NotFound(what) => {
            (StatusCode::NOT_FOUND, OAuthError::new(OAuthCode::InvalidRequest, what))
        }
    };
    tracing::info!(%error, "refused");
    oauth_error(status, &error)
}
