//! The faces: how each says what lies outside of its own errors.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::error::{OAuthCode, OAuthError};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::oauth_error::render_oauth_error;
use super::problem::Problem;

/// Renders an error of the hub's pages. The pages are a feature of their own, which `http` does not know.
pub type PageErrorRenderer = fn(StatusCode) -> Response;

/// A surface with its own way of saying no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiSurface {
    /// `/api/v1`
    Flinks,
    /// `/api/fdx/5`
    Fdx,
    /// Pages for people.
    Page,
    /// `/admin/v1`, on a listener of its own.
    Admin,
    /// Probes for the platform.
    Probe,
}

impl ApiSurface {
    /// The face that a path belongs to.
    pub fn from_path(path: &str) -> Self {
        if path.starts_with("/api/fdx/") {
            Self::Fdx
        } else if path.starts_with("/api/") {
            Self::Flinks
        } else {
            Self::Page
        }
    }

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flinks => "flinks",
            Self::Fdx => "fdx",
            Self::Page => "page",
            Self::Admin => "admin",
            Self::Probe => "probe",
        }
    }

    /// An answer outside of the documented lists: 404, 405, 413, 415, 500, 503.
    pub fn render_error(
        self,
        status: StatusCode,
        message: &'static str,
        render_page: PageErrorRenderer,
    ) -> Response {
        let mut response = match self {
            Self::Flinks => {
                let code = match status {
                    StatusCode::SERVICE_UNAVAILABLE => OAuthCode::TemporarilyUnavailable,
                    status if status.is_server_error() => OAuthCode::ServerError,
                    _ => OAuthCode::InvalidRequest,
                };
                render_oauth_error(status, &OAuthError::new(code, message))
            }
            // 500 and 503 stand in the documented list, the others outside of it with a message alone.
            Self::Fdx => match status {
                StatusCode::SERVICE_UNAVAILABLE => {
                    render_fdx_error(status, fdx::ErrorCode::Maintenance, message)
                }
                StatusCode::INTERNAL_SERVER_ERROR => {
                    render_fdx_error(status, fdx::ErrorCode::Internal, message)
                }
                _ => (status, Json(json!({ "message": message }))).into_response(),
            },
            Self::Page => render_page(status),
            Self::Admin => Problem::for_status(status, message).into_response(),
            Self::Probe => (status, message).into_response(),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn render_fdx_error(status: StatusCode, code: fdx::ErrorCode, message: &str) -> Response {
    (status, Json(fdx::ErrorBody::new(code, message))).into_response()
}
