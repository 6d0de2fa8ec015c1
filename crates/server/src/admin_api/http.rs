//! The HTTP handlers of the admin API, and the extractors that authenticate operators.

use std::pin::Pin;

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Secret;
use domain::model::audit_event::Actor;
use domain::model::operator::Role;
use domain::rule::authority::Authority;
use domain::rule::operator::Operator;
use domain::rule::validation::ValidationError;
use serde::Serialize;

use super::auth::{PresentedCredential, authenticate, authenticate_adder};
use super::operators::AddOperatorRequest;
use super::provider_changes::UpdateProviderRequest;
use super::recipients::UpdateRecipientRequest;
use super::{
    AdminError, Params, connections, jobs, operators, provider_changes, providers, recipients, registrations,
};
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::http::{BodyError, BoundedBody, PairProblemBody, Problem, RequestState, Segment, Segments};
use crate::recipients::RegistrationPair;
use crate::request::{DUPLICATE_FIELD, EmptyRequest, RequestBody, parse_form, parse_members};

/// A use case: an async function with a borrowed context and one to three further arguments.
///
/// The standard trait `AsyncFn` cannot be used here, because axum requires a future that is `Send`, and `AsyncFn` has
/// no bound for that.
pub(super) trait UseCase<'a, Input, Output>: Clone + Send + Sync + 'static {
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

/// The response of a handler that `list`, `show`, `act`, `act_with_body` or `create` makes.
///
/// The future is boxed, because the return type of these functions cannot name the future of an `async` block.
type BoxedResponse = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Creates the handler for `GET` of a list. The handler passes the query string to the use case.
pub(super) fn list<T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (Option<&'a str>,), T>,
) -> impl Fn(AuthenticatedOperator, RequestContext, RawQuery) -> BoxedResponse + Clone + Send + Sync + 'static
{
    move |_, ctx, RawQuery(query)| {
        let use_case = use_case.clone();
        Box::pin(async move { render(use_case.call(&ctx, (query.as_deref(),)).await) })
    }
}

/// Creates the handler for `GET` of one object. The handler passes the ids in the path to the use case.
pub(super) fn show<const N: usize, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (&'a [String; N],), T>,
) -> impl Fn(AuthenticatedOperator, RequestContext, Segments<N>) -> BoxedResponse + Clone + Send + Sync + 'static
{
    move |_, ctx, Segments(ids)| {
        let use_case = use_case.clone();
        Box::pin(async move { render(use_case.call(&ctx, (&ids,)).await) })
    }
}

/// Creates the handler for a `POST` operation on one object, without a body.
pub(super) fn act<const N: usize, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (&'a [String; N], Actor), T>,
) -> impl Fn(Segments<N>, NoBody) -> BoxedResponse + Clone + Send + Sync + 'static {
    move |Segments(ids), OperatorRequest { ctx, actor, .. }| {
        let use_case = use_case.clone();
        Box::pin(async move { render(use_case.call(&ctx, (&ids, actor)).await) })
    }
}

/// Creates the handler for a `POST` operation on one object, with a body.
pub(super) fn act_with_body<const N: usize, B: RequestBody + Send + 'static, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (&'a [String; N], B, Actor), T>,
) -> impl Fn(Segments<N>, OperatorRequest<B>) -> BoxedResponse + Clone + Send + Sync + 'static {
    move |Segments(ids), OperatorRequest { ctx, actor, body }| {
        let use_case = use_case.clone();
        Box::pin(async move { render(use_case.call(&ctx, (&ids, body, actor)).await) })
    }
}

/// Creates the handler for `POST` of a new object. It responds with 201.
pub(super) fn create<B: RequestBody + Send + 'static, T: Serialize + 'static>(
    use_case: impl for<'a> UseCase<'a, (B, Actor), T>,
) -> impl Fn(OperatorRequest<B>) -> BoxedResponse + Clone + Send + Sync + 'static {
    move |OperatorRequest { ctx, actor, body }| {
        let use_case = use_case.clone();
        Box::pin(async move { created(use_case.call(&ctx, (body, actor)).await) })
    }
}

pub(super) async fn end_connection(
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    OperatorRequest { ctx, actor, .. }: NoBody,
) -> Response {
    render(connections::end(&ctx, &id, query.as_deref(), actor).await)
}

pub(super) async fn retry_jobs(
    RawQuery(query): RawQuery,
    OperatorRequest { ctx, actor, body }: OperatorRequest<jobs::RetryJobsRequest>,
) -> Response {
    render(jobs::retry_batch(&ctx, query.as_deref(), body, actor).await)
}

pub(super) async fn test_provider(Segment(id): Segment, OperatorRequest { ctx, .. }: NoBody) -> Response {
    render(providers::test(&ctx, &id).await)
}

pub(super) async fn update_provider(
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    OperatorRequest { ctx, actor, body }: OperatorRequest<UpdateProviderRequest>,
) -> Response {
    render(provider_changes::update(&ctx, &id, query.as_deref(), (body, actor)).await)
}

pub(super) async fn update_recipient(
    Segments(ids): Segments<1>,
    OperatorRequest { ctx, actor, body }: OperatorRequest<UpdateRecipientRequest>,
) -> Response {
    render(recipients::update(&ctx, &ids, body, actor).await)
}

pub(super) async fn remove_recipient(
    Segment(id): Segment,
    RawQuery(query): RawQuery,
    OperatorRequest { ctx, actor, .. }: NoBody,
) -> Response {
    render(recipients::remove(&ctx, &id, query.as_deref(), actor).await)
}

pub(super) async fn request_registrations(
    OperatorRequest { ctx, actor, body }: OperatorRequest<registrations::RequestRegistrationsRequest>,
) -> Response {
    render(registrations::request(&ctx, body, actor).await)
}

/// Handles the request to add an operator. No other operation accepts the bootstrap token, or a form instead of JSON.
pub(super) async fn add_operator(
    ctx: RequestContext,
    State(state): State<RequestState>,
    request: Request,
) -> Response {
    let credential = presented_credential(request.method(), request.headers(), &state);
    // The caller is authenticated before the body is read, so that only a caller that may add an operator can make the
    // hub buffer a body.
    let access = authenticate_adder(&ctx, &credential).await.map(drop);
    if let Err(error) = access.and_then(|()| reject_query(request.uri().query())) {
        return error_response(error);
    }
    let body = BoundedBody::read(state.app(), request).await;
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

pub(super) async fn issue_bootstrap_token(OperatorRequest { ctx, actor, .. }: NoBody) -> Response {
    created(operators::issue_bootstrap_token(&ctx, actor).await)
}

pub(super) async fn remove_operator(
    Segment(id): Segment,
    OperatorRequest { ctx, actor, .. }: NoBody,
) -> Response {
    match operators::remove(&ctx, &id, actor).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error_response(error),
    }
}

/// The authenticated operator of a request, whose role covers the required role of the route.
pub(super) struct AuthenticatedOperator(Operator);

impl FromRequestParts<RequestState> for AuthenticatedOperator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &RequestState) -> Result<Self, Response> {
        Self::authenticate(parts, state).await.map_err(error_response)
    }
}

impl AuthenticatedOperator {
    async fn authenticate(parts: &Parts, state: &RequestState) -> Result<Self, AdminError> {
        let operator = AuthorizationCheck::new(&parts.method, &parts.headers, state)?.run().await?;
        // Counted only now: before authentication, anyone could use up another operator's limit.
        if let Some(id) = &operator.actor().id {
            state.app().limits().ensure_operator_request_allowed(id)?;
        }
        // If an operation without dry run ignored `dry_run`, it would be executed against the caller's intention.
        if !parts.method.is_safe() && !state.route().supports_dry_run {
            reject_query(parts.uri.query())?;
        }
        Ok(Self(operator))
    }
}

fn reject_query(query: Option<&str>) -> Result<(), AdminError> {
    Params::from_query(query, &[]).map(|_| ())
}

/// A request of an authenticated operator.
pub(super) struct OperatorRequest<B> {
    /// The context in which every command verifies the operator again.
    ctx: RequestContext,
    /// The operator, for the audit log.
    actor: Actor,
    body: B,
}

/// A request for an operation without input. The body must be empty or an empty JSON object.
pub(super) type NoBody = OperatorRequest<EmptyRequest>;

impl<B: RequestBody> FromRequest<RequestState> for OperatorRequest<B> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &RequestState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let AuthenticatedOperator(operator) =
            AuthenticatedOperator::from_request_parts(&mut parts, state).await?;
        let check = AuthorizationCheck::new(&parts.method, &parts.headers, state).map_err(error_response)?;
        let mut members = Vec::new();
        if B::REQUIRED || !body.is_end_stream() {
            let body = BoundedBody::read(state.app(), Request::from_parts(parts, body))
                .await
                .map_err(|error| body_problem(&error).into_response())?;
            // The check is repeated, because the operator may have been removed while the body was being received.
            check.run().await.map_err(error_response)?;
            if B::REQUIRED || !body.bytes.is_empty() {
                members = body.json_members().map_err(|error| body_problem(&error).into_response())?;
            }
        }
        let authority = operator.authority().cloned().map(Authority::Operator);
        let ctx = check.ctx.for_caller(authority, &check.credential.attempt);
        let actor = operator.actor();
        parse_members(members)
            .map(|body| Self { ctx, actor, body })
            .map_err(|invalid| error_response(invalid.into()))
    }
}

/// The check that the credentials of a request are valid and that the operator's role covers the required role of the
/// route.
struct AuthorizationCheck {
    ctx: RequestContext,
    credential: PresentedCredential,
    required_role: Role,
}

impl AuthorizationCheck {
    fn new(method: &Method, headers: &HeaderMap, state: &RequestState) -> Result<Self, AdminError> {
        let (ctx, required_role) = state
            .context()
            .cloned()
            .zip(state.route().required_role)
            .ok_or_else(|| InternalError::new("a route has no required role"))?;
        Ok(Self { ctx, credential: presented_credential(method, headers, state), required_role })
    }

    /// Runs the check with the current time. It runs again after the body was received, because the token may have
    /// expired by then.
    async fn run(&self) -> Result<Operator, AdminError> {
        authenticate(&self.ctx.refreshed()?, &self.credential, self.required_role).await
    }
}

/// Returns the bearer token and the local peer of a request, without verifying them.
fn presented_credential(method: &Method, headers: &HeaderMap, state: &RequestState) -> PresentedCredential {
    let bearer = crate::oauth::Bearer::from_headers(headers).map(|bearer| bearer.to_secret());
    let has_header = headers.contains_key(header::AUTHORIZATION);
    // A malformed `Authorization` header counts as an invalid token, not as a missing one: without a token, a local
    // user would be admitted as an admin.
    let bearer = bearer.or_else(|| has_header.then(|| Secret::new(String::new())));
    PresentedCredential { bearer, attempt: state.attempt(method, headers) }
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

/// Renders an error of the admin API as a problem (RFC 9457).
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
        AdminError::RateLimited(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail),
        // The cause is only logged, because it describes internals of the hub.
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

/// The message for every internal error.
pub(crate) const UNAVAILABLE: &str = "The hub could not process the request";

fn render_pairs(pairs: Vec<(RegistrationPair, String)>) -> Vec<PairProblemBody> {
    let to_body = |(pair, detail): (RegistrationPair, String)| PairProblemBody {
        client_id: pair.client_id.to_string(),
        provider_id: pair.provider_id.number(),
        detail,
    };
    pairs.into_iter().map(to_body).collect()
}
