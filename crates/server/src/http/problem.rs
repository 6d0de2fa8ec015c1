//! Problems (RFC 9457): the error format of the admin API.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::retry_after::set_retry_after;

/// An error response of the admin API.
///
/// A handler returns it as an extension of an empty response. The middleware writes the body, because only the
/// middleware knows the correlation id.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    field: Option<String>,
    pairs: Vec<PairProblemBody>,
}

/// A recipient and a provider that cannot be registered with each other.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "PairInTheWay")]
pub struct PairProblemBody {
    /// The client id of the recipient.
    pub client_id: String,
    /// The id of the provider that the recipient cannot be registered with.
    pub provider_id: i64,
    /// The reason why this registration is not possible.
    pub detail: String,
}

/// The JSON body of an error response of the admin API (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'a> {
    #[schemars(extend("const" = "about:blank"))]
    r#type: &'static str,
    /// The reason phrase of the HTTP status, such as `Not Found`.
    title: &'static str,
    /// The HTTP status of the response.
    pub status: u16,
    /// A message for operators that describes the error.
    detail: &'a str,
    /// The error code, for programs.
    code: &'static str,
    /// The name of the invalid field, if one field caused the error.
    field: Option<&'a str>,
    /// The correlation id, with which the details can be found in the log.
    correlation_id: &'a str,
    /// The pairs that cannot be registered, if several registrations were requested.
    #[serde(skip_serializing_if = "<[PairProblemBody]>::is_empty")]
    pairs: &'a [PairProblemBody],
}

impl Problem {
    /// Creates a problem from a status, an error code for programs and a message for operators.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), field: None, pairs: Vec::new() }
    }

    /// Creates a problem whose error code is derived from the status.
    pub fn for_status(status: StatusCode, detail: &'static str) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::REQUEST_TIMEOUT => "timeout",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_server_error() => "internal",
            _ => "invalid",
        };
        Self::new(status, code, detail)
    }

    /// Returns the error code, for programs.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Adds the name of the invalid field, if one field caused the error.
    #[must_use]
    pub fn with_field(self, field: Option<String>) -> Self {
        Self { field, ..self }
    }

    /// Adds the pairs of recipient and provider that cannot be registered.
    #[must_use]
    pub fn with_pairs(self, pairs: Vec<PairProblemBody>) -> Self {
        Self { pairs, ..self }
    }

    /// Returns the JSON body, with the correlation id of the request that failed.
    pub fn body<'a>(&'a self, correlation_id: &'a str) -> ProblemBody<'a> {
        ProblemBody {
            // RFC 9457, section 4.2.1: "about:blank" means that the title is the reason phrase of the status.
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Problem"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            field: self.field.as_deref(),
            correlation_id,
            pairs: &self.pairs,
        }
    }

    /// Writes the body of a response that has a problem as an extension. Other responses are returned unchanged.
    pub(super) fn write_into_response(mut response: Response, correlation_id: &str) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Self>() {
            let body = serde_json::to_vec(&problem.body(correlation_id)).unwrap_or_default();
            *response.body_mut() = Body::from(body);
            let media_type = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // A 401 must carry a challenge (RFC 9110, section 15.5.2; RFC 6750, section 3).
            let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            set_retry_after(&mut response, Duration::from_secs(1));
        }
        response.extensions_mut().insert(self);
        response
    }
}
