//! The faults of the token endpoint and the revocation endpoint: the request may be processed, but the response is not the
//! expected one.

use axum::Json;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::oauth_error::{BankOAuthError, bad_request};

/// The response of the token endpoint, as a fault setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenResponseFault {
    /// Responds normally.
    Normal,
    /// Issues the tokens and responds with 500.
    ServerError,
    /// Issues the tokens and responds with 503 and `Retry-After`.
    RetryAfter,
    /// Issues the tokens; a gateway responds with 504 and an HTML page.
    GatewayTimeout,
    /// Issues the tokens and responds with a redirect.
    Redirect,
    /// Responds with 201 instead of 200.
    Created,
    /// Issues the tokens and responds with 202 and an empty body.
    Accepted,
    /// The refresh token in the response is empty.
    EmptyRefreshToken,
    /// The response has no refresh token.
    NoRefreshToken,
    /// The response to a refresh repeats the refresh token of the request.
    RepeatedRefreshToken,
    /// The body begins with a byte order mark.
    ByteOrderMark,
    /// The response claims to be compressed.
    Gzip,
    /// The body contains a byte that is not UTF-8.
    NonAscii,
    /// The body is larger than 4 MiB.
    TooLarge,
    /// The end of the body is missing.
    Truncated,
    /// Issues the tokens and responds with 200 and an HTML page.
    Html,
    /// Responds with 401 `invalid_client` and issues nothing.
    WrongClient,
    /// Responds with 400 `unauthorized_client` and issues nothing.
    UnauthorizedClient,
    /// The member `expires_in` is a text.
    ExpiryAsText,
    /// The member `scope` is an array.
    ScopeAsList,
    /// The scope in the response has only its first value, in an array.
    NarrowScope,
}

impl TokenResponseFault {
    pub(super) const ALL: &'static [Self] = &[
        Self::Normal,
        Self::ServerError,
        Self::RetryAfter,
        Self::GatewayTimeout,
        Self::Redirect,
        Self::Created,
        Self::Accepted,
        Self::EmptyRefreshToken,
        Self::NoRefreshToken,
        Self::RepeatedRefreshToken,
        Self::ByteOrderMark,
        Self::Gzip,
        Self::NonAscii,
        Self::TooLarge,
        Self::Truncated,
        Self::Html,
        Self::WrongClient,
        Self::UnauthorizedClient,
        Self::ExpiryAsText,
        Self::ScopeAsList,
        Self::NarrowScope,
    ];

    /// Returns the value in JSON and in the form of the fault injection page.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ServerError => "server_error",
            Self::RetryAfter => "retry_after",
            Self::GatewayTimeout => "gateway_timeout",
            Self::Redirect => "redirect",
            Self::Created => "created",
            Self::Accepted => "accepted",
            Self::EmptyRefreshToken => "empty_refresh_token",
            Self::NoRefreshToken => "no_refresh_token",
            Self::RepeatedRefreshToken => "repeated_refresh_token",
            Self::ByteOrderMark => "byte_order_mark",
            Self::Gzip => "gzip",
            Self::NonAscii => "non_ascii",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Html => "html",
            Self::WrongClient => "wrong_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::ExpiryAsText => "expiry_as_text",
            Self::ScopeAsList => "scope_as_list",
            Self::NarrowScope => "narrow_scope",
        }
    }
}

/// The behavior of the revocation endpoint, as a fault setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationBehavior {
    /// Responds with 200 and ends the grant.
    Ok,
    /// Responds with 400 `unsupported_token_type`; the grant stays active.
    Refuse,
    /// Responds with 200, as for a token that is already invalid, but does nothing.
    Already,
    /// Ends the grant and responds with 201.
    Created,
    /// Ends the grant and responds with 202.
    Accepted,
    /// Ends the grant and responds with 500.
    ServerError,
    /// Responds with 400 `invalid_client`.
    WrongClient,
    /// Responds with 404 and an HTML page.
    NotFound,
    /// Responds with 405.
    MethodNotAllowed,
    /// Responds with 409.
    Conflict,
    /// Responds with 421.
    Misdirected,
    /// Responds with 425.
    TooEarly,
    /// Responds with 400 `invalid_request`.
    InvalidRequest,
    /// Responds with 400 `invalid_token`.
    InvalidToken,
    /// Revokes access tokens, and responds to others with 400 `unsupported_token_type`.
    AccessTokensOnly,
}

impl RevocationBehavior {
    pub(super) const ALL: &'static [Self] = &[
        Self::Ok,
        Self::Refuse,
        Self::Already,
        Self::Created,
        Self::Accepted,
        Self::ServerError,
        Self::WrongClient,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::Misdirected,
        Self::TooEarly,
        Self::InvalidRequest,
        Self::InvalidToken,
        Self::AccessTokensOnly,
    ];

    /// Returns the value in JSON and in the form of the fault injection page.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refuse => "refuse",
            Self::Already => "already",
            Self::Created => "created",
            Self::Accepted => "accepted",
            Self::ServerError => "server_error",
            Self::WrongClient => "wrong_client",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::Misdirected => "misdirected",
            Self::TooEarly => "too_early",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::AccessTokensOnly => "access_tokens_only",
        }
    }
}

/// The size of a response that is larger than a hub accepts.
const LARGE_BODY_BYTES: usize = 5 * 1024 * 1024;

impl TokenResponseFault {
    /// Returns the error with which every request is rejected before it is processed.
    pub(super) const fn rejection(self) -> Option<BankOAuthError> {
        match self {
            Self::WrongClient => Some(BankOAuthError(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "Unknown client or wrong secret",
            )),
            Self::UnauthorizedClient => {
                Some(bad_request("unauthorized_client", "The client may not use this grant type"))
            }
            _ => None,
        }
    }

    /// Renders the response to a request that was processed and whose regular body would be `body`.
    pub(super) fn render(self, mut body: Value) -> Response {
        match self {
            // A refresh repeats the token where it builds the body.
            Self::Normal | Self::RepeatedRefreshToken | Self::WrongClient | Self::UnauthorizedClient => {}
            Self::ServerError => return server_error(),
            Self::RetryAfter => {
                return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
            }
            Self::GatewayTimeout => return html_page(StatusCode::GATEWAY_TIMEOUT),
            Self::Redirect => {
                return (StatusCode::FOUND, [(header::LOCATION, "/maintenance")]).into_response();
            }
            Self::Created => return (StatusCode::CREATED, Json(body)).into_response(),
            Self::Accepted => return StatusCode::ACCEPTED.into_response(),
            Self::Html => return html_page(StatusCode::OK),
            Self::EmptyRefreshToken => body["refresh_token"] = "".into(),
            Self::NoRefreshToken => {
                body.as_object_mut().map(|members| members.remove("refresh_token"));
            }
            Self::ExpiryAsText => body["expires_in"] = body["expires_in"].to_string().into(),
            Self::ScopeAsList => body["scope"] = split_scope(&body).into(),
            Self::NarrowScope => body["scope"] = split_scope(&body).into_iter().take(1).collect(),
            Self::ByteOrderMark => {
                return json_bytes([&b"\xEF\xBB\xBF"[..], body.to_string().as_bytes()].concat());
            }
            Self::Gzip => {
                let mut response = json_bytes(body.to_string().into_bytes());
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
                return response;
            }
            Self::NonAscii => {
                body["customer_name"] = "Andr?".into();
                let text = body.to_string().into_bytes();
                return json_bytes(
                    text.into_iter().map(|byte| if byte == b'?' { 0xE9 } else { byte }).collect(),
                );
            }
            Self::TooLarge => {
                let mut text = body.to_string().into_bytes();
                text.resize(LARGE_BODY_BYTES, b' ');
                return json_bytes(text);
            }
            Self::Truncated => {
                let mut text = body.to_string().into_bytes();
                text.truncate(text.len() - 2);
                return json_bytes(text);
            }
        }
        Json(body).into_response()
    }
}

fn split_scope(body: &Value) -> Vec<String> {
    body["scope"].as_str().unwrap_or_default().split(' ').map(str::to_owned).collect()
}

fn json_bytes(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

fn html_page(status: StatusCode) -> Response {
    (status, Html("<!doctype html><title>Gateway</title><p>Please try again later.</p>")).into_response()
}

fn server_error() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": "server_error"}))).into_response()
}

impl RevocationBehavior {
    /// Returns whether the bank ends the grant of a token. `is_access_token` is true for an access token.
    pub(super) const fn ends_grant(self, is_access_token: bool) -> bool {
        match self {
            Self::Ok | Self::Created | Self::Accepted | Self::ServerError => true,
            Self::AccessTokensOnly => is_access_token,
            _ => false,
        }
    }

    /// Renders the response to the revocation of a token.
    pub(super) fn render(self, is_access_token: bool) -> Response {
        let unsupported = bad_request("unsupported_token_type", "This token cannot be revoked");
        match self {
            Self::Ok | Self::Already => StatusCode::OK.into_response(),
            Self::AccessTokensOnly if is_access_token => StatusCode::OK.into_response(),
            Self::Refuse | Self::AccessTokensOnly => unsupported.into_response(),
            Self::Created => StatusCode::CREATED.into_response(),
            Self::Accepted => StatusCode::ACCEPTED.into_response(),
            Self::ServerError => server_error(),
            Self::WrongClient => {
                bad_request("invalid_client", "Unknown client or wrong secret").into_response()
            }
            Self::NotFound => html_page(StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED.into_response(),
            Self::Conflict => StatusCode::CONFLICT.into_response(),
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST.into_response(),
            Self::TooEarly => StatusCode::TOO_EARLY.into_response(),
            Self::InvalidRequest => {
                bad_request("invalid_request", "The request is malformed").into_response()
            }
            Self::InvalidToken => bad_request("invalid_token", "The token is unknown").into_response(),
        }
    }
}
