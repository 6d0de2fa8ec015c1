//! The FDX face: parse, call, render.

use axum::Json;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::{
    ConfirmedResponse, DataError, accounts, contact, customers, meta, payment_networks, statements,
    transactions,
};
use crate::context::RequestContext;
use crate::http::{ApiSurface, Route, Segment, Segments};
use crate::oauth::Bearer;
use crate::paging::ListQuery;
use crate::upstream::StreamedDocument;

/// The routes of this face.
pub(crate) fn routes() -> Vec<Route> {
    let get_route = |path, handler| Route::new(ApiSurface::Fdx, Method::GET, path, handler);
    vec![
        get_route("/api/fdx/5/availability", get(show_availability)),
        get_route("/api/fdx/5/capability", get(show_capability)),
        get_route("/api/fdx/5/certification-metrics", get(show_certification_metrics)),
        get_route("/api/fdx/5/customers/current", get(show_current_customer)),
        get_route("/api/fdx/5/accounts", get(list_accounts)),
        get_route("/api/fdx/5/accounts/{account_id}", get(show_account)),
        get_route("/api/fdx/5/accounts/{account_id}/contact", get(show_account_contact)),
        get_route("/api/fdx/5/accounts/{account_id}/transactions", get(list_transactions)),
        get_route("/api/fdx/5/accounts/{account_id}/payment-networks", get(list_payment_networks)),
        get_route("/api/fdx/5/accounts/{account_id}/statements", get(list_statements)),
        get_route("/api/fdx/5/accounts/{account_id}/statements/{statement_id}", get(download_statement)),
    ]
}

async fn show_availability(ctx: RequestContext, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_result(meta::get_availability(ctx, Bearer::from_headers(&headers).as_ref(), &query).await)
}

async fn show_capability(ctx: RequestContext, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_result(meta::get_capability(ctx, Bearer::from_headers(&headers).as_ref(), &query).await)
}

async fn show_certification_metrics(
    ctx: RequestContext,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_result(meta::get_certification_metrics(ctx, Bearer::from_headers(&headers).as_ref(), &query).await)
}

async fn show_current_customer(ctx: RequestContext, headers: HeaderMap) -> Response {
    render_confirmed(customers::get_current_customer(ctx, Bearer::from_headers(&headers).as_ref()).await)
}

async fn list_accounts(ctx: RequestContext, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_confirmed(accounts::list(ctx, Bearer::from_headers(&headers).as_ref(), &query).await)
}

async fn show_account(ctx: RequestContext, headers: HeaderMap, Segment(id): Segment) -> Response {
    render_confirmed(accounts::get_account(ctx, Bearer::from_headers(&headers).as_ref(), &id).await)
}

async fn show_account_contact(ctx: RequestContext, headers: HeaderMap, Segment(id): Segment) -> Response {
    render_confirmed(contact::get_contact(ctx, Bearer::from_headers(&headers).as_ref(), &id).await)
}

async fn list_transactions(
    ctx: RequestContext,
    headers: HeaderMap,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_confirmed(transactions::list(ctx, Bearer::from_headers(&headers).as_ref(), &id, &query).await)
}

async fn list_payment_networks(
    ctx: RequestContext,
    headers: HeaderMap,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_confirmed(payment_networks::list(ctx, Bearer::from_headers(&headers).as_ref(), &id, &query).await)
}

async fn list_statements(
    ctx: RequestContext,
    headers: HeaderMap,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render_confirmed(statements::list(ctx, Bearer::from_headers(&headers).as_ref(), &id, &query).await)
}

async fn download_statement(ctx: RequestContext, headers: HeaderMap, Segments(ids): Segments<2>) -> Response {
    let [account, statement] = &ids;
    let (bearer, accept) = (Bearer::from_headers(&headers), parse_accept(&headers));
    match statements::download(ctx, bearer.as_ref(), (account, statement), accept.as_deref()).await {
        Ok(served) => render_document(served.into_inner()),
        Err(error) => render_error(&error),
    }
}

/// What is accepted, in whichever headers it stands. What is no text accepts nothing.
fn parse_accept(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    values.peek()?;
    let texts: Vec<&str> = values.map(|value| value.to_str().unwrap_or("-")).collect();
    Some(texts.join(","))
}

fn render_document(document: StreamedDocument) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(document.kind)),
        (header::CONTENT_LENGTH, HeaderValue::from(document.length)),
    ];
    (headers, Body::from_stream(document.body)).into_response()
}

/// Renders a customer's data that was confirmed, or says no.
fn render_confirmed<T: Serialize>(result: Result<ConfirmedResponse<T>, DataError>) -> Response {
    render_result(result.map(ConfirmedResponse::into_inner))
}

/// Renders what is no customer's, or says no.
fn render_result<T: Serialize>(result: Result<T, DataError>) -> Response {
    match result {
        Ok(body) => Json(body).into_response(),
        Err(error) => render_error(&error),
    }
}

fn render_error(error: &DataError) -> Response {
    if let DataError::Internal(fault) = error {
        tracing::error!(%fault, "a data read failed");
    }
    let status = error.code().map_or(401, fdx::ErrorCode::status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(error.body())).into_response();
    if let Some(challenge) = bearer_challenge(error) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // A provider without the resource: reading it is not allowed either (RFC 9110 §15.5.6).
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("OPTIONS"));
    }
    if let Some(after) = error.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(crate::http::round_up_to_seconds(after)));
    }
    response
}

/// What a 401 carries (RFC 9110 §15.5.2, RFC 6750 §3).
const fn bearer_challenge(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::InvalidToken | DataError::Ended => Some(r#"Bearer error="invalid_token""#),
        DataError::Fdx(fdx::ErrorCode::NotAuthorized, _) => Some(r#"Bearer error="insufficient_scope""#),
        _ => None,
    }
}
