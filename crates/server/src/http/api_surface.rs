//! The APIs of the hub, and the format in which each reports errors that no handler produces, such as an unknown path.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use domain::error::{OAuthCode, OAuthError};
use http::StatusCode;
use serde_json::json;

use super::json::json_response;
use super::oauth_error::render_oauth_error;
use super::page_locale::PageLocale;
use super::problem::Problem;
use super::retry_after::set_retry_after;

/// A function that renders an error page. It is passed in, because `http` must not import the pages, which are a
/// feature.
pub type PageErrorRenderer = fn(StatusCode, &PageLocale) -> Response;

/// Renders the errors of one request: in the format of its API and, if they are pages, in its language.
pub(super) struct ErrorRenderer {
    pub(super) surface: ApiSurface,
    pub(super) render_page: PageErrorRenderer,
    pub(super) locale: PageLocale,
}

impl ErrorRenderer {
    /// Renders an error that no handler has produced: 404, 405, 413, 415, 500 or 503.
    pub(super) fn render(&self, status: StatusCode, message: &'static str) -> Response {
        let mut response = match self.surface {
            ApiSurface::Flinks => {
                // RFC 6749 defines these two codes for the authorization endpoint (section 4.1.2.1); this API uses them everywhere.
                let code = match status {
                    StatusCode::SERVICE_UNAVAILABLE => OAuthCode::TemporarilyUnavailable,
                    status if status.is_server_error() => OAuthCode::ServerError,
                    _ => OAuthCode::InvalidRequest,
                };
                render_oauth_error(status, &OAuthError::new(code, message))
            }
            ApiSurface::Fdx => render_fdx_error(status, message),
            ApiSurface::Page => (self.render_page)(status, &self.locale),
            ApiSurface::Admin => Problem::for_status(status, message).into_response(),
            ApiSurface::Probe => (status, message).into_response(),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            set_retry_after(&mut response, Duration::from_secs(1));
        }
        response
    }
}

/// An API of the hub, or its pages. It determines the format of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiSurface {
    /// The Flinks API, below `/api/v1`.
    Flinks,
    /// The FDX API, below `/api/fdx/5`.
    Fdx,
    /// The HTML pages for customers, and every other path of the public listener.
    Page,
    /// The admin API, below `/admin/v1` on its own listener.
    Admin,
    /// The probes for the platform, such as `/readyz`, on their own listener.
    Probe,
}

impl ApiSurface {
    pub(super) const ALL: [Self; 5] = [Self::Flinks, Self::Fdx, Self::Page, Self::Admin, Self::Probe];

    /// Returns the API to which a path of the public listener belongs.
    pub fn from_path(path: &str) -> Self {
        // The order matters: `/api/fdx/` is below `/api/`.
        if path.starts_with("/api/fdx/") {
            Self::Fdx
        } else if path.starts_with("/api/") {
            Self::Flinks
        } else {
            Self::Page
        }
    }

    /// Returns the name of the API in the labels of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flinks => "flinks",
            Self::Fdx => "fdx",
            Self::Page => "page",
            Self::Admin => "admin",
            Self::Probe => "probe",
        }
    }
}

/// Renders an error of the FDX API. FDX has error codes for 500 and 503; responses with another status contain only a
/// message.
fn render_fdx_error(status: StatusCode, message: &'static str) -> Response {
    let code = match status {
        StatusCode::SERVICE_UNAVAILABLE => fdx::ErrorCode::Maintenance,
        StatusCode::INTERNAL_SERVER_ERROR => fdx::ErrorCode::Internal,
        _ => return json_response(status, &json!({ "message": message })),
    };
    json_response(status, &fdx::ErrorBody::new(code, message))
}
