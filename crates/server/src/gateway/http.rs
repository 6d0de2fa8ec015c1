//! The FDX face: parse, call, render.

use axum::Json;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::page::ListQuery;
use super::{
    DataError, Served, accounts, contact, customers, meta, payment_networks, statements, transactions,
};
use crate::authz::Bearer;
use crate::ctx::Ctx;
use crate::hub::Document;
use crate::web::{Face, Route, Segment, Segments};

/// The routes of this face.
pub(crate) fn routes() -> Vec<Route> {
    let get_of = |path, handler| Route::new(Face::Fdx, Method::GET, path, handler);
    vec![
        get_of("/api/fdx/5/availability", get(availability)),
        get_of("/api/fdx/5/capability", get(capability)),
        get_of("/api/fdx/5/certification-metrics", get(certification_metrics)),
        get_of("/api/fdx/5/customers/current", get(current_customer)),
        get_of("/api/fdx/5/accounts", get(list_accounts)),
        get_of("/api/fdx/5/accounts/{account_id}", get(account)),
        get_of("/api/fdx/5/accounts/{account_id}/contact", get(account_contact)),
        get_of("/api/fdx/5/accounts/{account_id}/transactions", get(list_transactions)),
        get_of("/api/fdx/5/accounts/{account_id}/payment-networks", get(list_payment_networks)),
        get_of("/api/fdx/5/accounts/{account_id}/statements", get(list_statements)),
        get_of("/api/fdx/5/accounts/{account_id}/statements/{statement_id}", get(download_statement)),
    ]
}

async fn availability(ctx: Ctx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    tell(meta::availability(ctx, bearer(&headers).as_ref(), &query).await)
}

async fn capability(ctx: Ctx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    tell(meta::capability(ctx, bearer(&headers).as_ref(), &query).await)
}

async fn certification_metrics(ctx: Ctx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    tell(meta::certification_metrics(ctx, bearer(&headers).as_ref(), &query).await)
}

async fn current_customer(ctx: Ctx, headers: HeaderMap) -> Response {
    render(customers::current(ctx, bearer(&headers).as_ref()).await)
}

async fn list_accounts(ctx: Ctx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(accounts::list(ctx, bearer(&headers).as_ref(), &query).await)
}

async fn account(ctx: Ctx, headers: HeaderMap, Segment(id): Segment) -> Response {
    render(accounts::one(ctx, bearer(&headers).as_ref(), &id).await)
}

async fn account_contact(ctx: Ctx, headers: HeaderMap, Segment(id): Segment) -> Response {
    render(contact::of(ctx, bearer(&headers).as_ref(), &id).await)
}

async fn list_transactions(
    ctx: Ctx,
    headers: HeaderMap,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(transactions::list(ctx, bearer(&headers).as_ref(), &id, &query).await)
}

async fn list_payment_networks(
    ctx: Ctx,
    headers: HeaderMap,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(payment_networks::list(ctx, bearer(&headers).as_ref(), &id, &query).await)
}

async fn list_statements(
    ctx: Ctx,
    headers: HeaderMap,
    Segment(id): Segment,
    RawQuery(query): RawQuery,
) -> Response {
    let query = ListQuery::parse(query.as_deref());
    render(statements::list(ctx, bearer(&headers).as_ref(), &id, &query).await)
}

async fn download_statement(ctx: Ctx, headers: HeaderMap, Segments(ids): Segments<2>) -> Response {
    let [account, statement] = &ids;
    let (bearer, accept) = (bearer(&headers), accept(&headers));
    match statements::download(ctx, bearer.as_ref(), (account, statement), accept.as_deref()).await {
        Ok(served) => render_document(served.into_inner()),
        Err(error) => refuse(&error),
    }
}

/// What is accepted, in whichever headers it stands. What is no text accepts nothing.
fn accept(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    values.peek()?;
    let texts: Vec<&str> = values.map(|value| value.to_str().unwrap_or("-")).collect();
    Some(texts.join(","))
}

fn render_document(document: Document) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(document.kind)),
        (header::CONTENT_LENGTH, HeaderValue::from(document.length)),
    ];
    (headers, Body::from_stream(document.body)).into_response()
}

/// A token in the header alone counts: one in the query is as good as none.
fn bearer(headers: &HeaderMap) -> Option<Bearer> {
    crate::authz::http::bearer(headers)
}

/// Renders a customer's data that was confirmed, or says no.
fn render<T: Serialize>(answer: Result<Served<T>, DataError>) -> Response {
    tell(answer.map(Served::into_inner))
}

/// Renders what is no customer's, or says no.
fn tell<T: Serialize>(answer: Result<T, DataError>) -> Response {
    match answer {
        Ok(told) => Json(told).into_response(),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &DataError) -> Response {
    if let DataError::Fault(fault) = error {
        tracing::error!(%fault, "a data read failed");
    }
    let status = error.code().map_or(401, fdx::ErrorCode::status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(error.body())).into_response();
    if let Some(challenge) = challenge(error) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // A provider without the resource: reading it is not allowed either (RFC 9110 §15.5.6).
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("OPTIONS"));
    }
    if let Some(after) = error.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(crate::web::whole_seconds(after)));
    }
    response
}

/// What a 401 carries (RFC 9110 §15.5.2, RFC 6750 §3).
const fn challenge(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::BadToken | DataError::Ended => Some(r#"Bearer error="invalid_token""#),
        DataError::Fdx(fdx::ErrorCode::NotAuthorized, _) => Some(r#"Bearer error="insufficient_scope""#),
        _ => None,
    }
}
