//! The error responses of a bank's OAuth endpoints (RFC 6749, section 5.2).

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An OAuth error response: status, error code and description.
pub(super) struct BankOAuthError(pub(super) StatusCode, pub(super) &'static str, pub(super) &'static str);

impl IntoResponse for BankOAuthError {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.1, "error_description": self.2}));
        (self.0, body).into_response()
    }
}

pub(super) const fn bad_request(error: &'static str, description: &'static str) -> BankOAuthError {
    BankOAuthError(StatusCode::BAD_REQUEST, error, description)
}
