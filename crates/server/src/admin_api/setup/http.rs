//! Partners, recipients, registrations and new providers below `/admin/v1`: parses, asks a use case, renders.

use axum::extract::{RawQuery, Request, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use domain::model::operator::Role;

use super::registration::RegistrationAction;
use super::{new_provider, partner, recipient, registration};
use crate::admin_api::http::{
    AuthenticatedOperator, NoBody, created, read_members, read_optional_members, render,
};
use crate::app::App;
use crate::context::RequestContext;
use crate::http::{Route, Segment, Segments};
use crate::partner_api::JsonMembers;

/// The routes of what operators set up.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = partner_routes();
    routes.extend(recipient_routes());
    routes.extend(registration_routes());
    routes.push(Route::admin(Role::Admin, Method::POST, "/admin/v1/providers", post(add_provider)));
    routes
}

fn partner_routes() -> Vec<Route> {
    const PARTNERS: &str = "/admin/v1/partners";
    const PARTNER: &str = "/admin/v1/partners/{client_id}";
    const SECRET: &str = "/admin/v1/partners/{client_id}/secret";
    const SUSPEND: &str = "/admin/v1/partners/{client_id}/suspend";
    const REINSTATE: &str = "/admin/v1/partners/{client_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, PARTNERS, get(list_partners)),
        Route::admin(Role::Admin, Method::POST, PARTNERS, post(create_partner)),
        Route::admin(Role::Viewer, Method::GET, PARTNER, get(show_partner)),
        Route::admin(Role::Admin, Method::POST, SECRET, post(regenerate_partner_secret)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, post(suspend_partner)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, post(reinstate_partner)),
    ]
}

fn recipient_routes() -> Vec<Route> {
    const RECIPIENTS: &str = "/admin/v1/recipients";
    const RECIPIENT: &str = "/admin/v1/recipients/{client_id}";
    const SECRET: &str = "/admin/v1/recipients/{client_id}/secret";
    const SUSPEND: &str = "/admin/v1/recipients/{client_id}/suspend";
    const REINSTATE: &str = "/admin/v1/recipients/{client_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, RECIPIENTS, get(list_recipients)),
        Route::admin(Role::Admin, Method::POST, RECIPIENTS, post(create_recipient)),
        Route::admin(Role::Viewer, Method::GET, RECIPIENT, get(show_recipient)),
        Route::admin(Role::Admin, Method::PUT, RECIPIENT, put(update_recipient)),
        Route::admin(Role::Admin, Method::DELETE, RECIPIENT, delete(remove_recipient)).with_dry_run(),
        Route::admin(Role::Admin, Method::POST, SECRET, post(regenerate_recipient_secret)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, post(suspend_recipient)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, post(reinstate_recipient)),
    ]
}

fn registration_routes() -> Vec<Route> {
    const REGISTRATIONS: &str = "/admin/v1/registrations";
    const REGISTRATION: &str = "/admin/v1/registrations/{client_id}/{provider_id}";
    const APPROVE: &str = "/admin/v1/registrations/{client_id}/{provider_id}/approve";
    const ACTIVATE: &str = "/admin/v1/registrations/{client_id}/{provider_id}/activate";
    const REJECT: &str = "/admin/v1/registrations/{client_id}/{provider_id}/reject";
    const SUSPEND: &str = "/admin/v1/registrations/{client_id}/{provider_id}/suspend";
    const REINSTATE: &str = "/admin/v1/registrations/{client_id}/{provider_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, REGISTRATIONS, get(list_registrations)),
        Route::admin(Role::Operator, Method::POST, REGISTRATIONS, post(request_registrations)),
        Route::admin(Role::Viewer, Method::GET, REGISTRATION, get(show_registration)),
        Route::admin(Role::Operator, Method::POST, APPROVE, post(approve)),
        Route::admin(Role::Operator, Method::POST, ACTIVATE, post(activate)),
        Route::admin(Role::Operator, Method::POST, REJECT, post(reject)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, post(suspend)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, post(reinstate)),
    ]
}

async fn list_partners(_: AuthenticatedOperator, ctx: RequestContext, RawQuery(query): RawQuery) -> Response {
    render(partner::list(&ctx, query.as_deref()).await)
}

async fn create_partner(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    request: Request,
) -> Response {
    match read_members(&app, request).await {
        Ok(members) => created(partner::create(&ctx, members, &operator.actor()).await),
        Err(refused) => refused,
    }
}

async fn show_partner(_: AuthenticatedOperator, ctx: RequestContext, Segment(id): Segment) -> Response {
    render(partner::show(&ctx, &id).await)
}

async fn regenerate_partner_secret(
    ctx: RequestContext,
    Segment(id): Segment,
    NoBody(operator): NoBody,
) -> Response {
    render(partner::regenerate_secret(&ctx, &id, operator.actor()).await)
}

async fn suspend_partner(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(partner::set_suspended(&ctx, &id, true, operator.actor()).await)
}

async fn reinstate_partner(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(partner::set_suspended(&ctx, &id, false, operator.actor()).await)
}

async fn list_recipients(
    _: AuthenticatedOperator,
    ctx: RequestContext,
    RawQuery(query): RawQuery,
) -> Response {
    render(recipient::list(&ctx, query.as_deref()).await)
}

async fn create_recipient(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    request: Request,
) -> Response {
    match read_members(&app, request).await {
        Ok(members) => created(recipient::create(&ctx, members, &operator.actor()).await),
        Err(refused) => refused,
    }
}

async fn show_recipient(_: AuthenticatedOperator, ctx: RequestContext, Segment(id): Segment) -> Response {
    render(recipient::show(&ctx, &id).await)
}

async fn update_recipient(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    Segment(id): Segment,
    request: Request,
) -> Response {
    match read_members(&app, request).await {
        Ok(members) => render(recipient::update(&ctx, &id, members, operator.actor()).await),
        Err(refused) => refused,
    }
}

async fn remove_recipient(
    ctx: RequestContext,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    NoBody(operator): NoBody,
) -> Response {
    render(recipient::remove(&ctx, &id, query.as_deref(), operator.actor()).await)
}

async fn regenerate_recipient_secret(
    ctx: RequestContext,
    Segment(id): Segment,
    NoBody(operator): NoBody,
) -> Response {
    render(recipient::regenerate_secret(&ctx, &id, operator.actor()).await)
}

async fn suspend_recipient(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(recipient::set_suspended(&ctx, &id, true, operator.actor()).await)
}

async fn reinstate_recipient(
    ctx: RequestContext,
    Segment(id): Segment,
    NoBody(operator): NoBody,
) -> Response {
    render(recipient::set_suspended(&ctx, &id, false, operator.actor()).await)
}

async fn list_registrations(
    _: AuthenticatedOperator,
    ctx: RequestContext,
    RawQuery(query): RawQuery,
) -> Response {
    render(registration::list(&ctx, query.as_deref()).await)
}

async fn request_registrations(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    request: Request,
) -> Response {
    match read_members(&app, request).await {
        Ok(members) => render(registration::request(&ctx, members, operator.actor()).await),
        Err(refused) => refused,
    }
}

async fn show_registration(
    _: AuthenticatedOperator,
    ctx: RequestContext,
    Segments(pair): Segments<2>,
) -> Response {
    render(registration::show(&ctx, &pair).await)
}

async fn approve(ctx: RequestContext, Segments(pair): Segments<2>, NoBody(operator): NoBody) -> Response {
    let step = (RegistrationAction::Approve, JsonMembers::default());
    render(registration::take_step(&ctx, &pair, step, &operator.actor()).await)
}

async fn reinstate(ctx: RequestContext, Segments(pair): Segments<2>, NoBody(operator): NoBody) -> Response {
    let step = (RegistrationAction::Reinstate, JsonMembers::default());
    render(registration::take_step(&ctx, &pair, step, &operator.actor()).await)
}

async fn activate(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    Segments(pair): Segments<2>,
    request: Request,
) -> Response {
    match read_optional_members(&app, request).await {
        Ok(members) => render(
            registration::take_step(&ctx, &pair, (RegistrationAction::Activate, members), &operator.actor())
                .await,
        ),
        Err(refused) => refused,
    }
}

async fn reject(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    Segments(pair): Segments<2>,
    request: Request,
) -> Response {
    match read_members(&app, request).await {
        Ok(members) => render(
            registration::take_step(&ctx, &pair, (RegistrationAction::Reject, members), &operator.actor())
                .await,
        ),
        Err(refused) => refused,
    }
}

async fn suspend(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    Segments(pair): Segments<2>,
    request: Request,
) -> Response {
    match read_optional_members(&app, request).await {
        Ok(members) => render(
            registration::take_step(&ctx, &pair, (RegistrationAction::Suspend, members), &operator.actor())
                .await,
        ),
        Err(refused) => refused,
    }
}

async fn add_provider(
    AuthenticatedOperator(operator): AuthenticatedOperator,
    ctx: RequestContext,
    State(app): State<App>,
    request: Request,
) -> Response {
    match read_members(&app, request).await {
        Ok(members) => created(new_provider::add(&ctx, members, operator.actor()).await),
        Err(refused) => refused,
    }
}
