//! `/admin/v1`: parses, asks a use case, renders.

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use domain::Secret;
use domain::model::operator::Role;
use domain::rule::operator::Operator;
use domain::rule::validation::ValidationError;
use serde::Serialize;

use super::{AdminError, Params, audit, connection, job, operator, provider};
use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::http::{
    BodyError, BoundedBody, PairProblemBody, Problem, RequiredRole, Route, Segment, SupportsDryRun,
    find_local_peer,
};
use crate::partner_api::{DUPLICATE_FIELD, JsonMembers, RegistrationPair};

/// The routes of the operators' own listener.
pub(crate) fn routes() -> Vec<Route> {
    const OPERATORS: &str = "/admin/v1/operators";
    const BOOTSTRAP: &str = "/admin/v1/operators/bootstrap";
    const OPERATOR: &str = "/admin/v1/operators/{operator_id}";
    const CONNECTION: &str = "/admin/v1/connections/{connection_id}";
    const END: &str = "/admin/v1/connections/{connection_id}/end";
    const RETRY: &str = "/admin/v1/jobs/{job_id}/retry";
    const CLOSE: &str = "/admin/v1/jobs/{job_id}/close";
    const PROVIDER: &str = "/admin/v1/providers/{provider_id}";
    const PAUSE: &str = "/admin/v1/providers/{provider_id}/pause";
    const RELEASE: &str = "/admin/v1/providers/{provider_id}/release";
    const RETIRE: &str = "/admin/v1/providers/{provider_id}/retire";
    const TEST: &str = "/admin/v1/providers/{provider_id}/test";
    let mut routes = vec![
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/connections", get(list_connections)),
        Route::admin(Role::Viewer, Method::GET, CONNECTION, get(show_connection)),
        Route::admin(Role::Operator, Method::POST, END, post(end_connection)).with_dry_run(),
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/jobs", get(list_jobs)),
        Route::admin(Role::Operator, Method::POST, RETRY, post(retry_job)),
        Route::admin(Role::Operator, Method::POST, CLOSE, post(close_job)),
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/audit", get(list_events)),
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/providers", get(list_providers)),
        Route::admin(Role::Viewer, Method::GET, PROVIDER, get(show_provider)),
        Route::admin(Role::Operator, Method::POST, PAUSE, post(pause_provider)),
        Route::admin(Role::Operator, Method::POST, RELEASE, post(release_provider)),
        Route::admin(Role::Operator, Method::POST, RETIRE, post(retire_provider)),
        Route::admin(Role::Operator, Method::POST, TEST, post(test_provider)),
        Route::admin(Role::Admin, Method::GET, OPERATORS, get(list_operators)),
        Route::admin(Role::Admin, Method::POST, OPERATORS, post(add_operator)),
        Route::admin(Role::Admin, Method::POST, BOOTSTRAP, post(issue_bootstrap_token)),
        Route::admin(Role::Admin, Method::DELETE, OPERATOR, delete(remove_operator)),
    ];
    routes.extend(super::setup::http::routes());
    routes
}

/// The operator who asks: let in by its token or from the machine itself, with a role that covers the route's least.
pub(super) struct AuthenticatedOperator(pub(super) Operator);

impl FromRequestParts<App> for AuthenticatedOperator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        Self::authenticate(parts).await.map_err(error_response)
    }
}

impl AuthenticatedOperator {
    async fn authenticate(parts: &Parts) -> Result<Self, AdminError> {
        let operator = AuthorizationCheck::from_parts(&parts.headers, &parts.extensions)?.authorize().await?;
        if !parts.method.is_safe() && parts.extensions.get::<SupportsDryRun>().is_none() {
            reject_query(parts.uri.query())?;
        }
        Ok(Self(operator))
    }
}

/// The operator who asks for a deed that nothing is to be said for: a body that says something is refused.
pub(super) struct NoBody(pub(super) Operator);

impl FromRequest<App> for NoBody {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let AuthenticatedOperator(operator) =
            AuthenticatedOperator::from_request_parts(&mut parts, app).await?;
        let members = read_optional_members(app, Request::from_parts(parts, body)).await?;
        members.reject_unknown(&[]).map_err(|invalid| error_response(invalid.into()))?;
        Ok(Self(operator))
    }
}

/// A deed that cannot be tried is not done where somebody wants to try it.
fn reject_query(query: Option<&str>) -> Result<(), AdminError> {
    Params::from_query(query, &[]).map(|_| ())
}

/// Somebody who asks for what wants a role.
struct AuthorizationCheck {
    ctx: RequestContext,
    credential: operator::PresentedCredential,
    required_role: Role,
}

impl AuthorizationCheck {
    fn from_parts(headers: &HeaderMap, extensions: &Extensions) -> Result<Self, AdminError> {
        let of_route =
            extensions.get::<RequestContext>().cloned().zip(extensions.get::<RequiredRole>().copied());
        let (ctx, RequiredRole(required_role)) =
            of_route.ok_or_else(|| InternalError::new("a route has no least role"))?;
        Ok(Self { ctx, credential: presented_credential(headers, extensions), required_role })
    }

    /// Lets them in as things stand now.
    async fn authorize(&self) -> Result<Operator, AdminError> {
        operator::admit(&self.ctx.refreshed()?, &self.credential, self.required_role).await
    }
}

/// What somebody shows. A credential that is none counts as one that is wrong: only who shows none at all can come
/// from the machine itself.
fn presented_credential(headers: &HeaderMap, extensions: &Extensions) -> operator::PresentedCredential {
    let bearer = crate::oauth::Bearer::from_headers(headers).map(|bearer| bearer.0);
    let has_header = headers.contains_key(header::AUTHORIZATION);
    let bearer = bearer.or_else(|| has_header.then(|| Secret::new(String::new())));
    operator::PresentedCredential { bearer, local: find_local_peer(extensions) }
}

async fn list_connections(
    _: AuthenticatedOperator,
    ctx: RequestContext,
    RawQuery(query): RawQuery,
) -> Response {
    render(connection::list(&ctx, query.as_deref()).await)
}

async fn show_connection(_: AuthenticatedOperator, ctx: RequestContext, Segment(id): Segment) -> Response {
    render(connection::show(&ctx, &id).await)
}

async fn end_connection(
    ctx: RequestContext,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    NoBody(operator): NoBody,
) -> Response {
    render(connection::end(&ctx, &id, query.as_deref(), operator.actor()).await)
}

async fn list_jobs(_: AuthenticatedOperator, ctx: RequestContext, RawQuery(query): RawQuery) -> Response {
    render(job::list(&ctx, query.as_deref()).await)
}

async fn retry_job(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(job::retry(&ctx, &id, operator.actor()).await)
}

async fn close_job(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(job::close(&ctx, &id, operator.actor()).await)
}

async fn list_events(_: AuthenticatedOperator, ctx: RequestContext, RawQuery(query): RawQuery) -> Response {
    render(audit::list(&ctx, query.as_deref()).await)
}

async fn list_providers(
    _: AuthenticatedOperator,
    ctx: RequestContext,
    RawQuery(query): RawQuery,
) -> Response {
    render(provider::list(&ctx, query.as_deref()).await)
}

async fn show_provider(_: AuthenticatedOperator, ctx: RequestContext, Segment(id): Segment) -> Response {
    render(provider::show(&ctx, &id).await)
}

async fn pause_provider(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(provider::pause(&ctx, &id, operator.actor()).await)
}

async fn release_provider(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(provider::release(&ctx, &id, operator.actor()).await)
}

async fn retire_provider(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    render(provider::retire(&ctx, &id, operator.actor()).await)
}

async fn test_provider(ctx: RequestContext, Segment(id): Segment, _: NoBody) -> Response {
    render(provider::test(&ctx, &id).await)
}

async fn list_operators(
    _: AuthenticatedOperator,
    ctx: RequestContext,
    RawQuery(query): RawQuery,
) -> Response {
    render(operator::list(&ctx, query.as_deref()).await)
}

async fn add_operator(ctx: RequestContext, State(app): State<App>, request: Request) -> Response {
    let credential = presented_credential(request.headers(), request.extensions());
    if let Err(error) = operator::authorize_adder(&ctx, &credential).await {
        return error_response(error);
    }
    if let Err(error) = reject_query(request.uri().query()) {
        return error_response(error);
    }
    match read_fields(&app, request, &operator::FIELDS).await {
        Ok(params) => created(operator::authorize_and_add(&ctx, &params, &credential).await),
        Err(refused) => refused,
    }
}

async fn issue_bootstrap_token(ctx: RequestContext, NoBody(operator): NoBody) -> Response {
    created(operator::issue_bootstrap_token(&ctx, operator.actor()).await)
}

async fn remove_operator(ctx: RequestContext, Segment(id): Segment, NoBody(operator): NoBody) -> Response {
    match operator::remove(&ctx, &id, &operator).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error_response(error),
    }
}

/// The fields of a body, each known and given once.
async fn read_fields(app: &App, request: Request, known: &[&str]) -> Result<Params, Response> {
    let pairs =
        read_body(app, request).await?.fields(known).map_err(|error| to_problem(&error).into_response())?;
    Params::from_pairs(pairs, known).map_err(error_response)
}

/// The members of a body that is a JSON object. Whoever was removed while it was on its way does nothing with it.
pub(super) async fn read_members(app: &App, request: Request) -> Result<JsonMembers, Response> {
    let body = read_authorized_body(app, request).await?;
    parse_members(&body).map_err(IntoResponse::into_response)
}

async fn read_authorized_body(app: &App, request: Request) -> Result<BoundedBody, Response> {
    let check =
        AuthorizationCheck::from_parts(request.headers(), request.extensions()).map_err(error_response)?;
    let body = read_body(app, request).await?;
    check.authorize().await.map_err(error_response)?;
    Ok(body)
}

fn parse_members(body: &BoundedBody) -> Result<JsonMembers, Problem> {
    let members = body.json_members().map_err(|error| to_problem(&error))?;
    JsonMembers::new(members).map_err(|invalid| render_problem(invalid.into()))
}

/// The members of a body that may be left out.
pub(super) async fn read_optional_members(app: &App, request: Request) -> Result<JsonMembers, Response> {
    if request.body().is_end_stream() {
        return Ok(JsonMembers::default());
    }
    let body = read_authorized_body(app, request).await?;
    let members = if body.bytes.is_empty() { Ok(JsonMembers::default()) } else { parse_members(&body) };
    members.map_err(IntoResponse::into_response)
}

async fn read_body(app: &App, request: Request) -> Result<BoundedBody, Response> {
    BoundedBody::read(app, request).await.map_err(|error| to_problem(&error).into_response())
}

/// Why a body is not read, as it is told.
fn to_problem(error: &BodyError) -> Problem {
    if let BodyError::DuplicateKey(path) = error {
        return render_problem(ValidationError::new(path, DUPLICATE_FIELD).into());
    }
    let (status, error) = error.to_status_and_error();
    Problem::new(status, Problem::for_status(status, "").code(), error.description)
}

pub(super) fn render<T: Serialize>(result: Result<T, AdminError>) -> Response {
    match result {
        Ok(shown) => Json(shown).into_response(),
        Err(error) => error_response(error),
    }
}

/// As [`render`], of something that was made.
pub(super) fn created<T: Serialize>(result: Result<T, AdminError>) -> Response {
    match result {
        Ok(shown) => (StatusCode::CREATED, Json(shown)).into_response(),
        Err(error) => error_response(error),
    }
}

pub(super) fn error_response(error: AdminError) -> Response {
    if let AdminError::Internal(fault) = &error {
        tracing::error!(%fault, "an operator's request failed");
    }
    render_problem(error).into_response()
}

/// A refusal as it is told.
pub(crate) fn render_problem(error: AdminError) -> Problem {
    let detail = error.to_string();
    match error {
        AdminError::Unauthorized => Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail),
        AdminError::Role(_) | AdminError::Bootstrap => {
            Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
        }
        AdminError::Invalid { field, .. } => {
            Problem::new(StatusCode::BAD_REQUEST, "invalid", detail).with_field(Some(field))
        }
        AdminError::NotFound(_) => Problem::new(StatusCode::NOT_FOUND, "not_found", detail),
        AdminError::Conflict(_) => Problem::new(StatusCode::CONFLICT, "conflict", detail),
        AdminError::Pairs { missing: true, pairs } => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", detail).with_pairs(render_pairs(pairs))
        }
        AdminError::Pairs { missing: false, pairs } => {
            Problem::new(StatusCode::CONFLICT, "conflict", detail).with_pairs(render_pairs(pairs))
        }
        AdminError::Internal(fault) => {
            let status = if fault.is_transient() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            Problem::for_status(status, "The hub could not process the request")
        }
    }
}

fn render_pairs(pairs: Vec<(RegistrationPair, String)>) -> Vec<PairProblemBody> {
    let to_body = |(pair, detail): (RegistrationPair, String)| PairProblemBody {
        client_id: pair.client_id.to_string(),
        provider_id: pair.provider_id.number(),
        detail,
    };
    pairs.into_iter().map(to_body).collect()
}
