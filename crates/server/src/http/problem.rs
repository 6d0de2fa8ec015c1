//! Problems (RFC 9457): how the operators' face says no.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

/// A problem, for whoever reads it. What surrounds the routes writes it down, with the correlation id.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    field: Option<String>,
    pairs: Vec<PairProblemBody>,
}

/// A recipient and a provider, and what is in the way of their registration.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "PairInTheWay")]
pub struct PairProblemBody {
    /// The recipient.
    pub client_id: String,
    /// The provider.
    pub provider_id: i64,
    /// What is in the way.
    pub detail: String,
}

/// A problem as it stands in a body (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'a> {
    #[schemars(extend("const" = "about:blank"))]
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    pub status: u16,
    /// The sentence, for people.
    detail: &'a str,
    /// The word, for programs.
    code: &'static str,
    /// The field that is not what it should be.
    field: Option<&'a str>,
    /// What to look for in the logs.
    correlation_id: &'a str,
    /// Each pair that is in the way of a request for registrations.
    #[serde(skip_serializing_if = "<[PairProblemBody]>::is_empty")]
    pairs: &'a [PairProblemBody],
}

impl Problem {
    /// A problem with a word for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), field: None, pairs: Vec::new() }
    }

    /// A problem that the status alone tells.
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

    /// The word for programs.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The same, about one field.
    #[must_use]
    pub fn with_field(self, field: Option<String>) -> Self {
        Self { field, ..self }
    }

    /// What is written of it.
    pub fn body<'a>(&'a self, correlation_id: &'a str) -> ProblemBody<'a> {
        ProblemBody {
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

    /// The same, about pairs.
    #[must_use]
    pub fn with_pairs(self, pairs: Vec<PairProblemBody>) -> Self {
        Self { pairs, ..self }
    }

    /// An answer with its problem written into it; any other as it is.
    pub(super) fn write_into_response(mut response: Response, correlation_id: &str) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Self>() {
            let body = serde_json::to_vec(&problem.body(correlation_id)).unwrap_or_default();
            *response.body_mut() = Body::from(body);
            let kind = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
