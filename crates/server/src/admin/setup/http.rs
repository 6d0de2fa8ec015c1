//! Partners, recipients, registrations and new providers below `/admin/v1`: parses, asks a use case, renders.

use axum::extract::{RawQuery, Request, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use domain::model::operator::Role;

use super::registration::Step;
use super::{new_provider, partner, recipient, registration};
use crate::admin::http::{Alone, By, made, members, members_if_any, render};
use crate::app::App;
use crate::ctx::Ctx;
use crate::manage::Members;
use crate::web::{Route, Segment, Segments};

/// The routes of what operators set up.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = of_partners();
    routes.extend(of_recipients());
    routes.extend(of_registrations());
    routes.push(Route::admin(Role::Admin, Method::POST, "/admin/v1/providers", post(add_provider)));
    routes
}

fn of_partners() -> Vec<Route> {
    const ALL: &str = "/admin/v1/partners";
    const ONE: &str = "/admin/v1/partners/{client_id}";
    const SECRET: &str = "/admin/v1/partners/{client_id}/secret";
    const SUSPEND: &str = "/admin/v1/partners/{client_id}/suspend";
    const REINSTATE: &str = "/admin/v1/partners/{client_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, ALL, get(partners)),
        Route::admin(Role::Admin, Method::POST, ALL, post(create_partner)),
        Route::admin(Role::Viewer, Method::GET, ONE, get(show_partner)),
        Route::admin(Role::Admin, Method::POST, SECRET, post(regenerate_partner)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, post(suspend_partner)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, post(reinstate_partner)),
    ]
}

fn of_recipients() -> Vec<Route> {
    const ALL: &str = "/admin/v1/recipients";
    const ONE: &str = "/admin/v1/recipients/{client_id}";
    const SECRET: &str = "/admin/v1/recipients/{client_id}/secret";
    const SUSPEND: &str = "/admin/v1/recipients/{client_id}/suspend";
    const REINSTATE: &str = "/admin/v1/recipients/{client_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, ALL, get(recipients)),
        Route::admin(Role::Admin, Method::POST, ALL, post(create_recipient)),
        Route::admin(Role::Viewer, Method::GET, ONE, get(show_recipient)),
        Route::admin(Role::Admin, Method::PUT, ONE, put(update_recipient)),
        Route::admin(Role::Admin, Method::DELETE, ONE, delete(remove_recipient)).tried(),
        Route::admin(Role::Admin, Method::POST, SECRET, post(regenerate_recipient)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, post(suspend_recipient)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, post(reinstate_recipient)),
    ]
}

fn of_registrations() -> Vec<Route> {
    const ALL: &str = "/admin/v1/registrations";
    const ONE: &str = "/admin/v1/registrations/{client_id}/{provider_id}";
    const APPROVE: &str = "/admin/v1/registrations/{client_id}/{provider_id}/approve";
    const ACTIVATE: &str = "/admin/v1/registrations/{client_id}/{provider_id}/activate";
    const REJECT: &str = "/admin/v1/registrations/{client_id}/{provider_id}/reject";
    const SUSPEND: &str = "/admin/v1/registrations/{client_id}/{provider_id}/suspend";
    const REINSTATE: &str = "/admin/v1/registrations/{client_id}/{provider_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, ALL, get(registrations)),
        Route::admin(Role::Operator, Method::POST, ALL, post(request_registrations)),
        Route::admin(Role::Viewer, Method::GET, ONE, get(show_registration)),
        Route::admin(Role::Operator, Method::POST, APPROVE, post(approve)),
        Route::admin(Role::Operator, Method::POST, ACTIVATE, post(activate)),
        Route::admin(Role::Operator, Method::POST, REJECT, post(reject)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, post(suspend)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, post(reinstate)),
    ]
}

async fn partners(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(partner::list(&ctx, query.as_deref()).await)
}

async fn create_partner(By(by): By, ctx: Ctx, State(app): State<App>, request: Request) -> Response {
    match members(&app, request).await {
        Ok(members) => made(partner::create(&ctx, members, &by.actor()).await),
        Err(refused) => refused,
    }
}

async fn show_partner(_: By, ctx: Ctx, Segment(id): Segment) -> Response {
    render(partner::show(&ctx, &id).await)
}

async fn regenerate_partner(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(partner::regenerate(&ctx, &id, by.actor()).await)
}

async fn suspend_partner(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(partner::hold(&ctx, &id, true, by.actor()).await)
}

async fn reinstate_partner(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(partner::hold(&ctx, &id, false, by.actor()).await)
}

async fn recipients(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(recipient::list(&ctx, query.as_deref()).await)
}

async fn create_recipient(By(by): By, ctx: Ctx, State(app): State<App>, request: Request) -> Response {
    match members(&app, request).await {
        Ok(members) => made(recipient::create(&ctx, members, &by.actor()).await),
        Err(refused) => refused,
    }
}

async fn show_recipient(_: By, ctx: Ctx, Segment(id): Segment) -> Response {
    render(recipient::show(&ctx, &id).await)
}

async fn update_recipient(
    By(by): By,
    ctx: Ctx,
    State(app): State<App>,
    Segment(id): Segment,
    request: Request,
) -> Response {
    match members(&app, request).await {
        Ok(members) => render(recipient::update(&ctx, &id, members, by.actor()).await),
        Err(refused) => refused,
    }
}

async fn remove_recipient(
    ctx: Ctx,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    Alone(by): Alone,
) -> Response {
    render(recipient::remove(&ctx, &id, query.as_deref(), by.actor()).await)
}

async fn regenerate_recipient(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(recipient::regenerate(&ctx, &id, by.actor()).await)
}

async fn suspend_recipient(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(recipient::hold(&ctx, &id, true, by.actor()).await)
}

async fn reinstate_recipient(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(recipient::hold(&ctx, &id, false, by.actor()).await)
}

async fn registrations(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(registration::list(&ctx, query.as_deref()).await)
}

async fn request_registrations(By(by): By, ctx: Ctx, State(app): State<App>, request: Request) -> Response {
    match members(&app, request).await {
        Ok(members) => render(registration::request(&ctx, members, by.actor()).await),
        Err(refused) => refused,
    }
}

async fn show_registration(_: By, ctx: Ctx, Segments(pair): Segments<2>) -> Response {
    render(registration::show(&ctx, &pair).await)
}

async fn approve(ctx: Ctx, Segments(pair): Segments<2>, Alone(by): Alone) -> Response {
    let step = (Step::Approve, Members::default());
    render(registration::take(&ctx, &pair, step, &by.actor()).await)
}

async fn reinstate(ctx: Ctx, Segments(pair): Segments<2>, Alone(by): Alone) -> Response {
    let step = (Step::Reinstate, Members::default());
    render(registration::take(&ctx, &pair, step, &by.actor()).await)
}

async fn activate(
    By(by): By,
    ctx: Ctx,
    State(app): State<App>,
    Segments(pair): Segments<2>,
    request: Request,
) -> Response {
    match members_if_any(&app, request).await {
        Ok(members) => render(registration::take(&ctx, &pair, (Step::Activate, members), &by.actor()).await),
        Err(refused) => refused,
    }
}

async fn reject(
    By(by): By,
    ctx: Ctx,
    State(app): State<App>,
    Segments(pair): Segments<2>,
    request: Request,
) -> Response {
    match members(&app, request).await {
        Ok(members) => render(registration::take(&ctx, &pair, (Step::Reject, members), &by.actor()).await),
        Err(refused) => refused,
    }
}

async fn suspend(
    By(by): By,
    ctx: Ctx,
    State(app): State<App>,
    Segments(pair): Segments<2>,
    request: Request,
) -> Response {
    match members_if_any(&app, request).await {
        Ok(members) => render(registration::take(&ctx, &pair, (Step::Suspend, members), &by.actor()).await),
        Err(refused) => refused,
    }
}

async fn add_provider(By(by): By, ctx: Ctx, State(app): State<App>, request: Request) -> Response {
    match members(&app, request).await {
        Ok(members) => made(new_provider::add(&ctx, members, by.actor()).await),
        Err(refused) => refused,
    }
}
