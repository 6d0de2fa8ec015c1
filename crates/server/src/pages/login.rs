//! The page that shows the progress of a login to the customer who started it.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use domain::rule::authorization_progress::AuthorizationProgress;

use super::frame::PageFrame;
use super::render::render_flow_page;
use crate::http::PageLocale;
use crate::upstream::{LoginPage, LoginStatus};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginTemplate {
    frame: PageFrame,
    page: LoginPage,
    csrf_token: String,
    heading: String,
    message: String,
    /// The texts of the buttons of the form, with the decision that each sends.
    buttons: Vec<(&'static str, String)>,
    /// The text of the link to the recipient.
    link: String,
    /// True if the page reloads itself until the login is complete.
    reloads: bool,
}

/// Renders the page of a login.
pub(super) fn render_login_page(
    page: LoginPage,
    locale: PageLocale,
    csrf_token: String,
    is_https: bool,
) -> Response {
    let frame = PageFrame::new(&locale.or_language(page.language));
    let (texts, key) = (frame.texts, status_key(page.status));
    let day = page.expires_at.map(|at| texts.format_day(at)).unwrap_or_default();
    let values = [("recipient", page.recipient.as_str()), ("provider", &page.provider), ("day", &day)];
    let text = |key: &str| texts.format_values(key, &values);
    let buttons = match page.status {
        LoginStatus::Progress(AuthorizationProgress::AtProvider) => {
            vec![("approve", text("consent-approve")), ("deny", text("consent-deny"))]
        }
        LoginStatus::Progress(AuthorizationProgress::Confirmed) => vec![("approve", text("login-return"))],
        _ => Vec::new(),
    };
    let template = LoginTemplate {
        csrf_token,
        heading: text(&format!("{key}-heading")),
        message: text(&format!("{key}-text")),
        buttons,
        link: text("login-return"),
        reloads: page.status == LoginStatus::Progress(AuthorizationProgress::Exchanging),
        frame,
        page,
    };
    render_flow_page(http_status(template.page.status), &template, is_https)
}

/// Returns the prefix of the keys of a status in the locale files.
const fn status_key(status: LoginStatus) -> &'static str {
    match status {
        LoginStatus::Stopped => "stopped",
        LoginStatus::StoppedAtProvider => "stopped-at-provider",
        LoginStatus::ProviderUnavailable => "provider-unavailable",
        LoginStatus::Progress(progress) => match progress {
            // The consent page is shown instead, unless the request has just been changed.
            AuthorizationProgress::AwaitingConsent => "awaiting-consent",
            AuthorizationProgress::AtProvider => "at-provider",
            AuthorizationProgress::Exchanging => "exchanging",
            AuthorizationProgress::Confirmed => "confirmed",
            AuthorizationProgress::Shared => "shared",
            AuthorizationProgress::Ended => "ended",
            AuthorizationProgress::Replaced => "replaced",
            AuthorizationProgress::NotRedeemed => "not-redeemed",
            AuthorizationProgress::Declined => "declined",
            AuthorizationProgress::Failed => "failed",
            AuthorizationProgress::Expired => "expired",
        },
    }
}

const fn http_status(status: LoginStatus) -> StatusCode {
    match status {
        LoginStatus::Stopped | LoginStatus::StoppedAtProvider => StatusCode::FORBIDDEN,
        LoginStatus::ProviderUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        LoginStatus::Progress(AuthorizationProgress::Expired) => StatusCode::GONE,
        LoginStatus::Progress(_) => StatusCode::OK,
    }
}
