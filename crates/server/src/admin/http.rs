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
use domain::rule::recipient::Invalid;
use serde::Serialize;

use super::{AdminError, Params, audit, connection, job, operator, provider};
use crate::app::App;
use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::manage::{GIVEN_TWICE, Members, Pair};
use crate::web::{BodyError, Least, Limited, PairBody, Problem, Route, Segment, Tried, local_peer};

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
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/connections", get(connections)),
        Route::admin(Role::Viewer, Method::GET, CONNECTION, get(show_connection)),
        Route::admin(Role::Operator, Method::POST, END, post(end_connection)).tried(),
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/jobs", get(jobs)),
        Route::admin(Role::Operator, Method::POST, RETRY, post(retry_job)),
        Route::admin(Role::Operator, Method::POST, CLOSE, post(close_job)),
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/audit", get(events)),
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/providers", get(providers)),
        Route::admin(Role::Viewer, Method::GET, PROVIDER, get(show_provider)),
        Route::admin(Role::Operator, Method::POST, PAUSE, post(pause_provider)),
        Route::admin(Role::Operator, Method::POST, RELEASE, post(release_provider)),
        Route::admin(Role::Operator, Method::POST, RETIRE, post(retire_provider)),
        Route::admin(Role::Operator, Method::POST, TEST, post(test_provider)),
        Route::admin(Role::Admin, Method::GET, OPERATORS, get(operators)),
        Route::admin(Role::Admin, Method::POST, OPERATORS, post(add_operator)),
        Route::admin(Role::Admin, Method::POST, BOOTSTRAP, post(bootstrap)),
        Route::admin(Role::Admin, Method::DELETE, OPERATOR, delete(remove_operator)),
    ];
    routes.extend(super::setup::http::routes());
    routes
}

/// The operator who asks: let in by its token or from the machine itself, with a role that covers the route's least.
pub(super) struct By(pub(super) Operator);

impl FromRequestParts<App> for By {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        Self::of(parts).await.map_err(refuse)
    }
}

impl By {
    async fn of(parts: &Parts) -> Result<Self, AdminError> {
        let operator = Asking::of(&parts.headers, &parts.extensions)?.admitted().await?;
        if !parts.method.is_safe() && parts.extensions.get::<Tried>().is_none() {
            no_query(parts.uri.query())?;
        }
        Ok(Self(operator))
    }
}

/// The operator who asks for a deed that nothing is to be said for: a body that says something is refused.
pub(super) struct Alone(pub(super) Operator);

impl FromRequest<App> for Alone {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let By(operator) = By::from_request_parts(&mut parts, app).await?;
        let members = members_if_any(app, Request::from_parts(parts, body)).await?;
        members.known(&[]).map_err(|invalid| refuse(invalid.into()))?;
        Ok(Self(operator))
    }
}

/// A deed that cannot be tried is not done where somebody wants to try it.
fn no_query(query: Option<&str>) -> Result<(), AdminError> {
    Params::query(query, &[]).map(|_| ())
}

/// Somebody who asks for what wants a role.
struct Asking {
    ctx: Ctx,
    came: operator::Came,
    least: Role,
}

impl Asking {
    fn of(headers: &HeaderMap, extensions: &Extensions) -> Result<Self, AdminError> {
        let of_route = extensions.get::<Ctx>().cloned().zip(extensions.get::<Least>().copied());
        let (ctx, Least(least)) = of_route.ok_or_else(|| Fault::new("a route has no least role"))?;
        Ok(Self { ctx, came: came(headers, extensions), least })
    }

    /// Lets them in as things stand now.
    async fn admitted(&self) -> Result<Operator, AdminError> {
        operator::admit(&self.ctx.later()?, &self.came, self.least).await
    }
}

/// What somebody shows. A credential that is none counts as one that is wrong: only who shows none at all can come
/// from the machine itself.
fn came(headers: &HeaderMap, extensions: &Extensions) -> operator::Came {
    let bearer = crate::authz::http::bearer(headers).map(|bearer| bearer.0);
    let shown = headers.contains_key(header::AUTHORIZATION);
    let bearer = bearer.or_else(|| shown.then(|| Secret::new(String::new())));
    operator::Came { bearer, local: local_peer(extensions) }
}

async fn connections(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(connection::list(&ctx, query.as_deref()).await)
}

async fn show_connection(_: By, ctx: Ctx, Segment(id): Segment) -> Response {
    render(connection::show(&ctx, &id).await)
}

async fn end_connection(
    ctx: Ctx,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    Alone(by): Alone,
) -> Response {
    render(connection::end(&ctx, &id, query.as_deref(), by.actor()).await)
}

async fn jobs(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(job::list(&ctx, query.as_deref()).await)
}

async fn retry_job(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(job::retry(&ctx, &id, by.actor()).await)
}

async fn close_job(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(job::close(&ctx, &id, by.actor()).await)
}

async fn events(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(audit::list(&ctx, query.as_deref()).await)
}

async fn providers(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(provider::list(&ctx, query.as_deref()).await)
}

async fn show_provider(_: By, ctx: Ctx, Segment(id): Segment) -> Response {
    render(provider::show(&ctx, &id).await)
}

async fn pause_provider(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(provider::pause(&ctx, &id, by.actor()).await)
}

async fn release_provider(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(provider::release(&ctx, &id, by.actor()).await)
}

async fn retire_provider(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    render(provider::retire(&ctx, &id, by.actor()).await)
}

async fn test_provider(ctx: Ctx, Segment(id): Segment, _: Alone) -> Response {
    render(provider::test(&ctx, &id).await)
}

async fn operators(_: By, ctx: Ctx, RawQuery(query): RawQuery) -> Response {
    render(operator::list(&ctx, query.as_deref()).await)
}

async fn add_operator(ctx: Ctx, State(app): State<App>, request: Request) -> Response {
    let came = came(request.headers(), request.extensions());
    if let Err(error) = operator::adder(&ctx, &came).await {
        return refuse(error);
    }
    if let Err(error) = no_query(request.uri().query()) {
        return refuse(error);
    }
    match fields(&app, request, &operator::FIELDS).await {
        Ok(params) => made(operator::add_by(&ctx, &params, &came).await),
        Err(refused) => refused,
    }
}

async fn bootstrap(ctx: Ctx, Alone(by): Alone) -> Response {
    made(operator::first(&ctx, by.actor()).await)
}

async fn remove_operator(ctx: Ctx, Segment(id): Segment, Alone(by): Alone) -> Response {
    match operator::remove(&ctx, &id, &by).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(error),
    }
}

/// The fields of a body, each known and given once.
async fn fields(app: &App, request: Request, known: &[&str]) -> Result<Params, Response> {
    let pairs = read(app, request).await?.fields(known).map_err(|error| told(&error).into_response())?;
    Params::of(pairs, known).map_err(refuse)
}

/// The members of a body that is a JSON object. Whoever was removed while it was on its way does nothing with it.
pub(super) async fn members(app: &App, request: Request) -> Result<Members, Response> {
    let body = sent(app, request).await?;
    members_of(&body).map_err(IntoResponse::into_response)
}

async fn sent(app: &App, request: Request) -> Result<Limited, Response> {
    let asking = Asking::of(request.headers(), request.extensions()).map_err(refuse)?;
    let body = read(app, request).await?;
    asking.admitted().await.map_err(refuse)?;
    Ok(body)
}

fn members_of(body: &Limited) -> Result<Members, Problem> {
    let members = body.members().map_err(|error| told(&error))?;
    Members::new(members).map_err(|invalid| problem(invalid.into()))
}

/// The members of a body that may be left out.
pub(super) async fn members_if_any(app: &App, request: Request) -> Result<Members, Response> {
    if request.body().is_end_stream() {
        return Ok(Members::default());
    }
    let body = sent(app, request).await?;
    let members = if body.bytes.is_empty() { Ok(Members::default()) } else { members_of(&body) };
    members.map_err(IntoResponse::into_response)
}

async fn read(app: &App, request: Request) -> Result<Limited, Response> {
    Limited::read(app, request).await.map_err(|error| told(&error).into_response())
}

/// Why a body is not read, as it is told.
fn told(error: &BodyError) -> Problem {
    if let BodyError::Twice(way) = error {
        return problem(Invalid::new(way, GIVEN_TWICE).into());
    }
    let (status, error) = error.shown();
    Problem::new(status, Problem::plain(status, "").code(), error.description)
}

pub(super) fn render<T: Serialize>(answer: Result<T, AdminError>) -> Response {
    match answer {
        Ok(shown) => Json(shown).into_response(),
        Err(error) => refuse(error),
    }
}

/// As [`render`], of something that was made.
pub(super) fn made<T: Serialize>(answer: Result<T, AdminError>) -> Response {
    match answer {
        Ok(shown) => (StatusCode::CREATED, Json(shown)).into_response(),
        Err(error) => refuse(error),
    }
}

pub(super) fn refuse(error: AdminError) -> Response {
    if let AdminError::Fault(fault) = &error {
        tracing::error!(%fault, "an operator's request failed");
    }
    problem(error).into_response()
}

/// A refusal as it is told.
pub(crate) fn problem(error: AdminError) -> Problem {
    let told = error.to_string();
    match error {
        AdminError::Unauthorized => Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", told),
        AdminError::Role(_) | AdminError::Bootstrap => Problem::new(StatusCode::FORBIDDEN, "forbidden", told),
        AdminError::Invalid { field, .. } => {
            Problem::new(StatusCode::BAD_REQUEST, "invalid", told).about(Some(field))
        }
        AdminError::NotFound(_) => Problem::new(StatusCode::NOT_FOUND, "not_found", told),
        AdminError::Conflict(_) => Problem::new(StatusCode::CONFLICT, "conflict", told),
        AdminError::Pairs { missing: true, pairs } => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", told).of_pairs(shown_pairs(pairs))
        }
        AdminError::Pairs { missing: false, pairs } => {
            Problem::new(StatusCode::CONFLICT, "conflict", told).of_pairs(shown_pairs(pairs))
        }
        AdminError::Fault(fault) => {
            let status = if fault.is_transient() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            Problem::plain(status, "The hub cannot answer at present")
        }
    }
}

fn shown_pairs(pairs: Vec<(Pair, String)>) -> Vec<PairBody> {
    let shown = |(pair, detail): (Pair, String)| PairBody {
        client_id: pair.client_id.to_string(),
        provider_id: pair.provider_id.number(),
        detail,
    };
    pairs.into_iter().map(shown).collect()
}
