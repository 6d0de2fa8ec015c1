//! The routes and handlers of the admin API.

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use domain::Secret;
use domain::model::audit_event::Actor;
use domain::model::operator::Role;
use domain::rule::operator::Operator;
use domain::rule::validation::ValidationError;
use serde::Serialize;

use super::auth::{PresentedCredential, authenticate, authenticate_adder};
use super::operators::AddOperatorRequest;
use super::partners::PartnerBody;
use super::recipients::{AdminRecipientBody, UpdateRecipientRequest};
use super::{
    AdminError, Params, audit_log, clients, connections, jobs, operators, partners, providers, recipients,
    registrations,
};
use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::http::{
    BodyError, BoundedBody, PairProblemBody, Problem, RequiredRole, Route, Segment, Segments, SupportsDryRun,
    find_local_peer,
};
use crate::recipients::RegistrationPair;
use crate::request::{DUPLICATE_FIELD, EmptyRequest, RequestBody, parse_form, parse_members};

/// The routes of the admin API.
pub(crate) fn routes() -> Vec<Route> {
    [
        connection_routes(),
        job_routes(),
        provider_routes(),
        operator_routes(),
        partner_routes(),
        recipient_routes(),
        registration_routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn connection_routes() -> Vec<Route> {
    const CONNECTIONS: &str = "/admin/v1/connections";
    const CONNECTION: &str = "/admin/v1/connections/{connection_id}";
    const END: &str = "/admin/v1/connections/{connection_id}/end";
    vec![
        Route::admin(Role::Viewer, Method::GET, CONNECTIONS, list(connections::list)),
        Route::admin(Role::Viewer, Method::GET, CONNECTION, show(connections::show)),
        Route::admin(Role::Operator, Method::POST, END, post(end_connection)).with_dry_run(),
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/audit", list(audit_log::list)),
    ]
}

fn job_routes() -> Vec<Route> {
    const RETRY: &str = "/admin/v1/jobs/{job_id}/retry";
    const CLOSE: &str = "/admin/v1/jobs/{job_id}/close";
    vec![
        Route::admin(Role::Viewer, Method::GET, "/admin/v1/jobs", list(jobs::list)),
        Route::admin(Role::Operator, Method::POST, RETRY, act(jobs::retry)),
        Route::admin(Role::Operator, Method::POST, CLOSE, act(jobs::close)),
    ]
}

fn provider_routes() -> Vec<Route> {
    const PROVIDERS: &str = "/admin/v1/providers";
    const PROVIDER: &str = "/admin/v1/providers/{provider_id}";
    const PAUSE: &str = "/admin/v1/providers/{provider_id}/pause";
    const RELEASE: &str = "/admin/v1/providers/{provider_id}/release";
    const RETIRE: &str = "/admin/v1/providers/{provider_id}/retire";
    const TEST: &str = "/admin/v1/providers/{provider_id}/test";
    vec![
        Route::admin(Role::Viewer, Method::GET, PROVIDERS, list(providers::list)),
        Route::admin(Role::Admin, Method::POST, PROVIDERS, create(providers::add)),
        Route::admin(Role::Viewer, Method::GET, PROVIDER, show(providers::show)),
        Route::admin(Role::Operator, Method::POST, PAUSE, act(providers::pause)),
        Route::admin(Role::Operator, Method::POST, RELEASE, act(providers::release)),
        Route::admin(Role::Operator, Method::POST, RETIRE, act(providers::retire)),
        Route::admin(Role::Operator, Method::POST, TEST, post(test_provider)),
    ]
}

fn operator_routes() -> Vec<Route> {
    const OPERATORS: &str = "/admin/v1/operators";
    const BOOTSTRAP: &str = "/admin/v1/operators/bootstrap";
    const OPERATOR: &str = "/admin/v1/operators/{operator_id}";
    vec![
        Route::admin(Role::Admin, Method::GET, OPERATORS, list(operators::list)),
        Route::admin(Role::Admin, Method::POST, OPERATORS, post(add_operator)),
        Route::admin(Role::Admin, Method::POST, BOOTSTRAP, post(issue_bootstrap_token)),
        Route::admin(Role::Admin, Method::DELETE, OPERATOR, delete(remove_operator)),
    ]
}

fn partner_routes() -> Vec<Route> {
    const PARTNERS: &str = "/admin/v1/partners";
    const PARTNER: &str = "/admin/v1/partners/{client_id}";
    const SECRET: &str = "/admin/v1/partners/{client_id}/secret";
    const SUSPEND: &str = "/admin/v1/partners/{client_id}/suspend";
    const REINSTATE: &str = "/admin/v1/partners/{client_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, PARTNERS, list(partners::list)),
        Route::admin(Role::Admin, Method::POST, PARTNERS, create(partners::create)),
        Route::admin(Role::Viewer, Method::GET, PARTNER, show(clients::show::<PartnerBody>)),
        Route::admin(Role::Admin, Method::POST, SECRET, act(clients::rotate_secret::<PartnerBody>)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, act(clients::suspend::<PartnerBody>)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, act(clients::reinstate::<PartnerBody>)),
    ]
}

fn recipient_routes() -> Vec<Route> {
    const RECIPIENTS: &str = "/admin/v1/recipients";
    const RECIPIENT: &str = "/admin/v1/recipients/{client_id}";
    const SECRET: &str = "/admin/v1/recipients/{client_id}/secret";
    const SUSPEND: &str = "/admin/v1/recipients/{client_id}/suspend";
    const REINSTATE: &str = "/admin/v1/recipients/{client_id}/reinstate";
    vec![
        Route::admin(Role::Viewer, Method::GET, RECIPIENTS, list(recipients::list)),
        Route::admin(Role::Admin, Method::POST, RECIPIENTS, create(recipients::create)),
        Route::admin(Role::Viewer, Method::GET, RECIPIENT, show(clients::show::<AdminRecipientBody>)),
        Route::admin(Role::Admin, Method::PUT, RECIPIENT, put(update_recipient)),
        Route::admin(Role::Admin, Method::DELETE, RECIPIENT, delete(remove_recipient)).with_dry_run(),
        Route::admin(Role::Admin, Method::POST, SECRET, act(clients::rotate_secret::<AdminRecipientBody>)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, act(clients::suspend::<AdminRecipientBody>)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, act(clients::reinstate::<AdminRecipientBody>)),
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
        Route::admin(Role::Viewer, Method::GET, REGISTRATIONS, list(registrations::list)),
        Route::admin(Role::Operator, Method::POST, REGISTRATIONS, post(request_registrations)),
        Route::admin(Role::Viewer, Method::GET, REGISTRATION, show(registrations::show)),
        Route::admin(Role::Operator, Method::POST, APPROVE, act(registrations::approve)),
        Route::admin(Role::Operator, Method::POST, ACTIVATE, act_with_body(registrations::activate)),
        Route::admin(Role::Operator, Method::POST, REJECT, act_with_body(registrations::reject)),
        Route::admin(Role::Operator, Method::POST, SUSPEND, act_with_body(registrations::suspend)),
        Route::admin(Role::Operator, Method::POST, REINSTATE, act(registrations::reinstate)),
    ]
}

/// A use case: an async function that borrows the context and takes some input.
///
/// A trait of its own, because `AsyncFn` cannot say that the future is `Send`, which axum requires.
trait UseCase<'a, Input, Output>: Clone + Send + Sync + 'static {
    fn call(
        self,
        ctx: &'a RequestContext,
        input: Input,
    ) -> impl Future<Output = Result<Output, AdminError>> + Send;
}

macro_rules! impl_use_case {
    ($($name:ident: $type:ident),+) => {
        impl<'a, F, Fut, Output, $($type),+> UseCase<'a, ($($type,)+), Output> for F
        where
            F: Fn(&'a RequestContext, $($type),+) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<Output, AdminError>> + Send,
        {
            fn call(
                self,
                ctx: &'a RequestContext,
                ($($name,)+): ($($type,)+),
            ) -> impl Future<Output = Result<Output, AdminError>> + Send {
                self(ctx, $($name),+)
            }
        }
    };
}
impl_use_case!(a: A);
impl_use_case!(a: A, b: B);
impl_use_case!(a: A, b: B, c: C);

/// Handles `GET` of a list: the query goes to the use case.
fn list<T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (Option<&'a str>,), T>,
) -> MethodRouter<App> {
    get(|_: AuthenticatedOperator, ctx: RequestContext, RawQuery(query): RawQuery| async move {
        render(use_case.call(&ctx, (query.as_deref(),)).await)
    })
}

/// Handles `GET` of one object: the ids in the path go to the use case.
fn show<const N: usize, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (&'a [String; N],), T>,
) -> MethodRouter<App> {
    get(|_: AuthenticatedOperator, ctx: RequestContext, Segments(ids): Segments<N>| async move {
        render(use_case.call(&ctx, (&ids,)).await)
    })
}

/// Handles `POST` of an operation on one object, without a body.
fn act<const N: usize, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (&'a [String; N], Actor), T>,
) -> MethodRouter<App> {
    post(|ctx: RequestContext, Segments(ids): Segments<N>, OperatorRequest(operator, _): NoBody| async move {
        render(use_case.call(&ctx, (&ids, operator.actor())).await)
    })
}

/// Handles `POST` of an operation on one object, with a body.
fn act_with_body<const N: usize, B: RequestBody + Send + 'static, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (&'a [String; N], B, Actor), T>,
) -> MethodRouter<App> {
    post(|ctx: RequestContext, Segments(ids): Segments<N>, request: OperatorRequest<B>| async move {
        let OperatorRequest(operator, body) = request;
        render(use_case.call(&ctx, (&ids, body, operator.actor())).await)
    })
}

/// Handles `POST` of a new object.
fn create<B: RequestBody + Send + 'static, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (B, Actor), T>,
) -> MethodRouter<App> {
    post(|ctx: RequestContext, OperatorRequest(operator, body): OperatorRequest<B>| async move {
        created(use_case.call(&ctx, (body, operator.actor())).await)
    })
}

async fn end_connection(
    ctx: RequestContext,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    OperatorRequest(operator, _): NoBody,
) -> Response {
    render(connections::end(&ctx, &id, query.as_deref(), operator.actor()).await)
}

async fn test_provider(ctx: RequestContext, Segment(id): Segment, _: NoBody) -> Response {
    render(providers::test(&ctx, &id).await)
}

async fn update_recipient(
    ctx: RequestContext,
    Segments(ids): Segments<1>,
    OperatorRequest(operator, body): OperatorRequest<UpdateRecipientRequest>,
) -> Response {
    render(recipients::update(&ctx, &ids, body, operator.actor()).await)
}

async fn remove_recipient(
    ctx: RequestContext,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    OperatorRequest(operator, _): NoBody,
) -> Response {
    render(recipients::remove(&ctx, &id, query.as_deref(), operator.actor()).await)
}

async fn request_registrations(
    ctx: RequestContext,
    OperatorRequest(operator, body): OperatorRequest<registrations::RequestRegistrationsRequest>,
) -> Response {
    render(registrations::request(&ctx, body, operator.actor()).await)
}

/// Adds an operator. The only operation that accepts the bootstrap token, and a form as well as JSON.
async fn add_operator(ctx: RequestContext, State(app): State<App>, request: Request) -> Response {
    let credential = presented_credential(request.headers(), request.extensions());
    // Before the body is read: only who may add an operator may make the hub buffer one.
    let access = authenticate_adder(&ctx, &credential).await.map(drop);
    if let Err(error) = access.and_then(|()| reject_query(request.uri().query())) {
        return error_response(error);
    }
    let body = BoundedBody::read(&app, request).await;
    match body.map_err(|error| body_problem(&error)).and_then(|body| parse_new_operator(&body)) {
        Ok(request) => created(operators::add(&ctx, request, &credential).await),
        Err(problem) => problem.into_response(),
    }
}

fn parse_new_operator(body: &BoundedBody) -> Result<AddOperatorRequest, Problem> {
    let request = match body.json_members() {
        Ok(members) => parse_members(members),
        Err(BodyError::NotJson) if body.is_form() => parse_form(body.form_fields()),
        Err(BodyError::NotJson) => return Err(body_problem(&BodyError::UnsupportedMediaType)),
        Err(error) => return Err(body_problem(&error)),
    };
    request.map_err(|invalid| render_problem(invalid.into()))
}

async fn issue_bootstrap_token(ctx: RequestContext, OperatorRequest(operator, _): NoBody) -> Response {
    created(operators::issue_bootstrap_token(&ctx, operator.actor()).await)
}

async fn remove_operator(
    ctx: RequestContext,
    Segment(id): Segment,
    OperatorRequest(operator, _): NoBody,
) -> Response {
    match operators::remove(&ctx, &id, operator.actor()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error_response(error),
    }
}

/// An operator whose role covers the required role of the route.
struct AuthenticatedOperator(Operator);

impl FromRequestParts<App> for AuthenticatedOperator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        Self::authenticate(parts).await.map_err(error_response)
    }
}

impl AuthenticatedOperator {
    async fn authenticate(parts: &Parts) -> Result<Self, AdminError> {
        let operator = AuthorizationCheck::from_parts(&parts.headers, &parts.extensions)?.run().await?;
        // An operation without dry run must not be executed when the caller asks for one.
        if !parts.method.is_safe() && parts.extensions.get::<SupportsDryRun>().is_none() {
            reject_query(parts.uri.query())?;
        }
        Ok(Self(operator))
    }
}

fn reject_query(query: Option<&str>) -> Result<(), AdminError> {
    Params::from_query(query, &[]).map(|_| ())
}

/// An authenticated operator, and the body of its request.
struct OperatorRequest<B>(Operator, B);

/// The request for an operation that takes no input: a body that contains a member is rejected.
type NoBody = OperatorRequest<EmptyRequest>;

impl<B: RequestBody> FromRequest<App> for OperatorRequest<B> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let AuthenticatedOperator(operator) =
            AuthenticatedOperator::from_request_parts(&mut parts, app).await?;
        let check =
            AuthorizationCheck::from_parts(&parts.headers, &parts.extensions).map_err(error_response)?;
        let mut members = Vec::new();
        if B::REQUIRED || !body.is_end_stream() {
            let body = BoundedBody::read(app, Request::from_parts(parts, body))
                .await
                .map_err(|error| body_problem(&error).into_response())?;
            // Again: the operator may have been removed while the body was on its way.
            check.run().await.map_err(error_response)?;
            if B::REQUIRED || !body.bytes.is_empty() {
                members = body.json_members().map_err(|error| body_problem(&error).into_response())?;
            }
        }
        parse_members(members)
            .map(|body| Self(operator, body))
            .map_err(|invalid| error_response(invalid.into()))
    }
}

/// The check that a credential is valid and its role covers the route.
struct AuthorizationCheck {
    ctx: RequestContext,
    credential: PresentedCredential,
    required_role: Role,
}

impl AuthorizationCheck {
    fn from_parts(headers: &HeaderMap, extensions: &Extensions) -> Result<Self, AdminError> {
        let ctx = extensions.get::<RequestContext>().cloned();
        let (ctx, RequiredRole(required_role)) = ctx
            .zip(extensions.get::<RequiredRole>().copied())
            .ok_or_else(|| InternalError::new("a route has no required role"))?;
        Ok(Self { ctx, credential: presented_credential(headers, extensions), required_role })
    }

    /// Runs the check with the current time.
    async fn run(&self) -> Result<Operator, AdminError> {
        authenticate(&self.ctx.refreshed()?, &self.credential, self.required_role).await
    }
}

/// Returns the credentials of a request.
fn presented_credential(headers: &HeaderMap, extensions: &Extensions) -> PresentedCredential {
    let bearer = crate::oauth::Bearer::from_headers(headers).map(|bearer| bearer.0);
    let has_header = headers.contains_key(header::AUTHORIZATION);
    // A malformed credential counts as a wrong one and not as none: without one, a local user would be an admin.
    let bearer = bearer.or_else(|| has_header.then(|| Secret::new(String::new())));
    PresentedCredential { bearer, local: find_local_peer(extensions) }
}

fn body_problem(error: &BodyError) -> Problem {
    if let BodyError::DuplicateKey(path) = error {
        return render_problem(ValidationError::new(path, DUPLICATE_FIELD).into());
    }
    let (status, error) = error.to_status_and_error();
    Problem::new(status, Problem::for_status(status, "").code(), error.description)
}

fn render<T: Serialize>(result: Result<T, AdminError>) -> Response {
    match result {
        Ok(body) => Json(body).into_response(),
        Err(error) => error_response(error),
    }
}

fn created<T: Serialize>(result: Result<T, AdminError>) -> Response {
    match result {
        Ok(body) => (StatusCode::CREATED, Json(body)).into_response(),
        Err(error) => error_response(error),
    }
}

fn error_response(error: AdminError) -> Response {
    if let AdminError::Internal(error) = &error {
        tracing::error!(%error, "admin request failed");
    }
    render_problem(error).into_response()
}

/// Renders an error as a problem (RFC 9457).
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
        // The cause is only logged: it describes the inside of the hub.
        AdminError::Internal(error) => {
            let status = if error.is_transient() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            Problem::for_status(status, UNAVAILABLE)
        }
    }
}

/// The message of an internal error.
pub(crate) const UNAVAILABLE: &str = "The hub could not process the request";

fn render_pairs(pairs: Vec<(RegistrationPair, String)>) -> Vec<PairProblemBody> {
    let to_body = |(pair, detail): (RegistrationPair, String)| PairProblemBody {
        client_id: pair.client_id.to_string(),
        provider_id: pair.provider_id.number(),
        detail,
    };
    pairs.into_iter().map(to_body).collect()
}
