//! Error responses of the Flinks API (RFC 6749, section 5.2).

use std::time::Duration;

use axum::response::Response;
use domain::error::{OAuthCode, OAuthError};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::json::json_response;
use super::retry_after::set_retry_after;

/// The body of an error response of the Flinks API (RFC 6749, section 5.2).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OAuthError")]
pub(crate) struct OAuthErrorBody<'a> {
    /// The error code, for programs.
    #[schemars(extend("enum" = OAuthCode::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>()))]
    error: &'static str,
    /// A description for developers. It names the field and the expected value.
    error_description: &'a str,
}

impl<'a> OAuthErrorBody<'a> {
    pub(crate) fn new(error: &'a OAuthError) -> Self {
        Self { error: error.code.as_str(), error_description: &error.description }
    }
}

/// Renders an OAuth error as JSON. Every error of the Flinks API is rendered here.
pub fn render_oauth_error(status: StatusCode, error: &OAuthError) -> Response {
    let mut response = json_response(status, &OAuthErrorBody::new(error));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set_retry_after(&mut response, Duration::from_secs(1));
    }
    response
}
