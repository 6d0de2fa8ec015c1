//! Errors of the Flinks API (RFC 6749, section 5.2).

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::error::{OAuthCode, OAuthError};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

/// An error of the Flinks face (RFC 6749 §5.2).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OAuthError")]
pub(crate) struct OAuthErrorBody<'a> {
    /// The word, for programs.
    #[schemars(extend("enum" = OAuthCode::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>()))]
    error: &'static str,
    /// The sentence, for people: it names the field and what was expected.
    error_description: &'a str,
}

impl<'a> OAuthErrorBody<'a> {
    pub(crate) fn new(error: &'a OAuthError) -> Self {
        Self { error: error.code.as_str(), error_description: &error.description }
    }
}

/// The one rendering of an OAuth error as JSON.
pub fn render_oauth_error(status: StatusCode, error: &OAuthError) -> Response {
    let mut response = (status, Json(OAuthErrorBody::new(error))).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
