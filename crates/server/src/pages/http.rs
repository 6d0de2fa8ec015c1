//! HTTP handlers of the pages: home, the hub's consent page, and the callback to which a provider redirects.

use askama::Template;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use domain::Secret;
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::rule::authorize::{AuthorizeQuery, Language};
use domain::secret::{TokenHashes, constant_time_eq};

use super::notice::{NoticeKind, render_internal_error, render_notice};
use super::redirect::{redirect_found, redirect_see_other};
use super::render::{render_flow_page, render_plain_page, serve_asset};
use super::text::PageTexts;
use crate::app::App;
use crate::context::RequestContext;
use crate::http::{
    BoundedBody, RequestOrigin, Route, Segment, detect_request_origin, expire_flow_cookie, read_flow_cookies,
};
use crate::upstream::{self, AuthorizationStopped, Callback, ConsentError, ConsentPage};

/// Returns the routes of the pages for customers.
pub(crate) fn routes() -> Vec<Route> {
    let consent_path = "/consent/{request_id}";
    vec![
        Route::page(Method::GET, "/", show_home),
        Route::page(Method::GET, consent_path, show_consent),
        Route::page(Method::POST, consent_path, decide_consent),
        Route::page(Method::GET, "/callback/{provider_id}", handle_callback),
        Route::page(Method::GET, "/static/bowline.css", serve_css),
        Route::page(Method::GET, "/static/bowline.svg", serve_logo),
    ]
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentTemplate {
    texts: PageTexts,
    page: ConsentPage,
    expiry_day: String,
    csrf_token: String,
}

/// The page for an authorization request that cannot continue.
#[derive(Template)]
#[template(path = "stopped.html")]
struct StoppedTemplate {
    texts: PageTexts,
    page: AuthorizationStopped,
}

async fn show_home() -> Response {
    render_notice(StatusCode::OK, NoticeKind::Welcome)
}

async fn serve_css() -> Response {
    serve_asset("text/css; charset=utf-8", include_str!("../../static/bowline.css"))
}

async fn serve_logo() -> Response {
    serve_asset("image/svg+xml", include_str!("../../static/bowline.svg"))
}

async fn show_consent(
    State(app): State<App>,
    ctx: RequestContext,
    Segment(id): Segment,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = id.parse::<AuthorizationRequestId>() else {
        return render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound);
    };
    let flow = read_flow_cookies(&app, &headers, Some(&id));
    match upstream::load_consent_page(&ctx, &id, &flow.hashes(&app)).await {
        Ok(page) => {
            let texts = PageTexts::new(Language::from_tags(&page.request.language));
            let (expiry_day, csrf_token) = (texts.format_day(page.expires_at), flow.csrf_token(&app, &id));
            let template = ConsentTemplate { texts, page, expiry_day, csrf_token };
            render_flow_page(StatusCode::OK, &template, app.is_https())
        }
        Err(error) => render_consent_error(error),
    }
}

async fn decide_consent(
    State(app): State<App>,
    ctx: RequestContext,
    Segment(id): Segment,
    request: Request<Body>,
) -> Response {
    let Ok(id) = id.parse::<AuthorizationRequestId>() else {
        return render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound);
    };
    let flow = read_flow_cookies(&app, request.headers(), Some(&id));
    match read_consent_form(&app, &flow.csrf_token(&app, &id), request).await {
        Ok(ConsentDecision::Approve) => match upstream::approve(&ctx, &id, flow.hashes(&app)).await {
            Ok(url) => redirect_see_other(&url),
            Err(error) => render_decision_error(&app, &id, error),
        },
        Ok(ConsentDecision::Deny) => match upstream::deny(&ctx, &id, flow.hashes(&app)).await {
            Ok(url) => clear_flow_cookie(&app, &id, redirect_see_other(&url)),
            Err(error) => render_decision_error(&app, &id, error),
        },
        Err(status) => render_notice(status, NoticeKind::InvalidForm),
    }
}

/// The customer's decision on the consent page.
enum ConsentDecision {
    Approve,
    Deny,
}

/// Reads the form of the consent page, and verifies by its CSRF token and its origin that it was sent from this page. The
/// error is the HTTP status of the response.
async fn read_consent_form(
    app: &App,
    expected_token: &str,
    request: Request<Body>,
) -> Result<ConsentDecision, StatusCode> {
    let origin = detect_request_origin(request.headers(), app.public_url());
    let body = BoundedBody::read(app, request).await.map_err(|error| error.to_status_and_error().0)?;
    if !body.is_form() {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let form = AuthorizeQuery(body.form_fields());
    // A repeated field is ambiguous: which value counts must not depend on the parser.
    let (Ok(token), Ok(decision)) = (form.single("csrf_token"), form.single("decision")) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let token_matches =
        token.is_some_and(|token| constant_time_eq(token.as_bytes(), expected_token.as_bytes()));
    // Two independent defences against CSRF: the token is bound to the flow cookie, the origin is set by the browser.
    if !token_matches || origin == RequestOrigin::CrossOrigin {
        return Err(StatusCode::FORBIDDEN);
    }
    match decision {
        Some("approve") => Ok(ConsentDecision::Approve),
        Some("deny") => Ok(ConsentDecision::Deny),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// Deletes the flow cookie of a completed authorization request. The cookies of other requests in the same browser
/// stay.
fn clear_flow_cookie(app: &App, id: &AuthorizationRequestId, mut response: Response) -> Response {
    let cookie = HeaderValue::from_str(&expire_flow_cookie(app, id));
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

async fn handle_callback(
    State(app): State<App>,
    ctx: RequestContext,
    Segment(provider): Segment,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    // The path contains the id of the provider but not of the request, so all flow cookies are tried.
    let flow = read_flow_cookies(&app, &headers, None);
    let Some(callback) = parse_callback(&provider, &AuthorizeQuery(pairs), flow.hashes(&app)) else {
        return render_notice(StatusCode::BAD_REQUEST, NoticeKind::FlowEnded);
    };
    match upstream::receive_callback(ctx, callback).await {
        Ok(outcome) => clear_flow_cookie(&app, &outcome.request_id, redirect_found(&outcome.url)),
        Err(error) => render_consent_error(error),
    }
}

/// Parses a provider's authorization response (RFC 6749 §4.1.2); `None` if it is not a valid one.
fn parse_callback(provider: &str, query: &AuthorizeQuery, cookies: TokenHashes) -> Option<Callback> {
    let single = |name| query.single(name).ok().map(|value| value.map(str::to_owned));
    let result = match (single("code")?, single("error")?) {
        (Some(code), None) => Ok(Secret::new(code)),
        (None, Some(error)) => Err(error),
        // RFC 6749 defines no response with both `code` and `error`, or with neither.
        _ => return None,
    };
    let (provider_id, state) = (provider.parse::<ProviderId>().ok()?, single("state")??);
    Some(Callback { provider_id, state: Secret::new(state), issuer: single("iss")?, result, cookies })
}

/// Renders the error of a consent decision. A stopped request cannot continue, so its flow cookie is deleted.
fn render_decision_error(app: &App, id: &AuthorizationRequestId, error: ConsentError) -> Response {
    let is_complete = matches!(error, ConsentError::Stopped(_));
    let response = render_consent_error(error);
    if is_complete { clear_flow_cookie(app, id, response) } else { response }
}

fn render_consent_error(error: ConsentError) -> Response {
    match error {
        ConsentError::Stopped(page) => {
            let template = StoppedTemplate { texts: PageTexts::new(page.language), page: *page };
            render_plain_page(StatusCode::FORBIDDEN, &template)
        }
        ConsentError::Rejected(error) => render_notice(StatusCode::BAD_REQUEST, error.into()),
        ConsentError::Internal(error) => render_internal_error(&error),
    }
}
