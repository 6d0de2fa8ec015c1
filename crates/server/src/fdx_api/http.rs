//! HTTP handlers of the FDX API: read the request, call the use case, render the response.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::access::{ConfirmedResponse, FdxRequest};
use super::guarded_document::GuardedDocument;
use super::page::JsonText;
use super::{DataError, accounts, contact, customers, meta, payment_networks, statements, transactions};
use crate::context::RequestContext;
use crate::http::{RequestState, Segment, Segments, json_response, json_text_response};
use crate::oauth::Bearer;
use crate::paging::ListQuery;

/// The number of elements of a list that the consent covers and that were left out because the hub cannot read them.
const OMITTED: HeaderName = HeaderName::from_static("bowline-omitted");

impl FromRequestParts<RequestState> for FdxRequest {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &RequestState) -> Result<Self, StatusCode> {
        Ok(Self {
            ctx: RequestContext::from_request_parts(parts, state).await?,
            attempt: state.attempt(&parts.method, &parts.headers),
            bearer: Bearer::from_headers(&parts.headers),
            query: ListQuery::parse(parts.uri.query()),
        })
    }
}

pub(super) async fn show_availability(request: FdxRequest) -> Response {
    render_result(meta::get_availability(request).await)
}

pub(super) async fn show_capability(request: FdxRequest) -> Response {
    render_result(meta::get_capability(request).await)
}

pub(super) async fn show_certification_metrics(request: FdxRequest) -> Response {
    render_result(meta::get_certification_metrics(request).await)
}

pub(super) async fn show_current_customer(request: FdxRequest) -> Response {
    render_confirmed(customers::get_current_customer(request).await)
}

pub(super) async fn list_accounts(request: FdxRequest) -> Response {
    render_text(accounts::list(request).await)
}

pub(super) async fn show_account(Segment(id): Segment, request: FdxRequest) -> Response {
    render_text(accounts::get_account(request, &id).await)
}

pub(super) async fn show_account_contact(Segment(id): Segment, request: FdxRequest) -> Response {
    render_confirmed(contact::get_contact(request, &id).await)
}

pub(super) async fn list_transactions(Segment(id): Segment, request: FdxRequest) -> Response {
    render_text(transactions::list(request, &id).await)
}

pub(super) async fn list_payment_networks(Segment(id): Segment, request: FdxRequest) -> Response {
    render_text(payment_networks::list(request, &id).await)
}

pub(super) async fn list_statements(Segment(id): Segment, request: FdxRequest) -> Response {
    render_text(statements::list(request, &id).await)
}

pub(super) async fn download_statement(
    Segments([account, statement]): Segments<2>,
    headers: HeaderMap,
    request: FdxRequest,
) -> Response {
    let accept = combine_accept_headers(&headers);
    match statements::download(request, (&account, &statement), accept.as_deref()).await {
        Ok(confirmed) => render_document(confirmed.into_inner()),
        Err(error) => render_error(&error),
    }
}

/// Joins the values of all `Accept` headers, which are equivalent to one list (RFC 9110 §5.3).
fn combine_accept_headers(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    values.peek()?;
    // A value that is not text becomes `-`, which matches no media type.
    let texts: Vec<&str> = values.map(|value| value.to_str().unwrap_or("-")).collect();
    Some(texts.join(","))
}

fn render_document(document: GuardedDocument) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(document.kind))];
    let mut response = (content_type, Body::from_stream(document.body)).into_response();
    response.extensions_mut().insert(document.guard);
    // Without a length, the end of the body shows whether the document is complete.
    if let Some(length) = document.length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Renders customer data, which must have passed the second access check.
fn render_confirmed<T: Serialize>(result: Result<ConfirmedResponse<T>, DataError>) -> Response {
    render_result(result.map(ConfirmedResponse::into_inner))
}

/// Renders customer data that was copied as JSON, and that must have passed the second access check.
fn render_text(result: Result<ConfirmedResponse<JsonText>, DataError>) -> Response {
    match result.map(ConfirmedResponse::into_inner) {
        Ok(JsonText { text, omitted }) => {
            let mut response = json_text_response(StatusCode::OK, text);
            if omitted > 0 {
                response.headers_mut().insert(OMITTED, HeaderValue::from(omitted));
            }
            response
        }
        Err(error) => render_error(&error),
    }
}

/// Renders a result that contains no customer data as JSON. Customer data must use [`render_confirmed`] instead.
fn render_result<T: Serialize>(result: Result<T, DataError>) -> Response {
    match result {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(error) => render_error(&error),
    }
}

fn render_error(error: &DataError) -> Response {
    if let DataError::Internal(error) = error {
        tracing::error!(%error, "FDX request failed with an internal error");
    }
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, &error.body());
    let headers = response.headers_mut();
    if let Some(challenge) = bearer_challenge(error) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // A 405 must list the allowed methods (RFC 9110 §15.5.6). The provider does not offer the resource, so not
        // even GET is allowed.
        headers.insert(header::ALLOW, HeaderValue::from_static("OPTIONS"));
    }
    if let Some(wait) = error.retry_after() {
        crate::http::set_retry_after(&mut response, wait);
    }
    response
}

/// Returns the value of `WWW-Authenticate` that a 401 must contain (RFC 9110 §15.5.2, RFC 6750 §3); `None` for other
/// errors.
const fn bearer_challenge(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::InvalidToken | DataError::ClientToken | DataError::ConnectionEnded(_) => {
            Some(r#"Bearer error="invalid_token""#)
        }
        DataError::Fdx(fdx::ErrorCode::NotAuthorized, _) => Some(r#"Bearer error="insufficient_scope""#),
        _ => None,
    }
}
