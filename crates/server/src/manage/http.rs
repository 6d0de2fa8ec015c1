//! Management on the Flinks face: parse, call, render.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use domain::error::{OAuthCode, OAuthError};
use serde::Serialize;
use serde_json::json;

use super::wire::{PairsBody, RecipientBody, RegistrationBody};
use super::{ManageError, Members, Partner};
use crate::app::App;
use crate::authz::http::{bearer, render as refuse_authz, render_body};
use crate::ctx::Ctx;
use crate::web::{Face, Limited, Route, Segment, Segments, oauth_error};

/// The routes of this face.
pub(crate) fn routes() -> Vec<Route> {
    let row = |method, path, handler| Route::new(Face::Flinks, method, path, handler);
    let recipient = "/api/v1/recipients/{client_id}";
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
    ]
}

/// A partner that calls: strangers get no further.
struct AsPartner(Partner);

impl FromRequestParts<App> for AsPartner {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let ctx = Ctx::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        let partner = super::partner(&ctx, bearer(&parts.headers).as_ref()).await;
        partner.map(Self).map_err(|error| refuse_authz(&error))
    }
}

async fn create(
    State(app): State<App>,
    ctx: Ctx,
    AsPartner(partner): AsPartner,
    request: Request<Body>,
) -> Response {
    match members(&app, request).await {
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
    match members(&app, request).await {
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
        json(&json!({"client_id": client_id, "client_secret": secret.expose()}))
    })
}

async fn request_registrations(
    ctx: Ctx,
    AsPartner(partner): AsPartner,
    Segments(recipients, providers): Segments,
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

async fn registration(ctx: Ctx, AsPartner(partner): AsPartner, Segments(id, provider): Segments) -> Response {
    shown(super::registration::with(&ctx, &partner, &id, &provider).await, |registration| {
        json(&RegistrationBody::new(registration))
    })
}

/// The members of a request's JSON object, or the answer that says no.
async fn members(app: &App, request: Request<Body>) -> Result<Members, Response> {
    let members = Limited::read(app, request).await.and_then(|body| body.members());
    let members = members.map_err(|error| render_body(&error))?;
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
