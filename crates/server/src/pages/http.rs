//! HTTP handlers of the pages: home, the hub's consent page, and the callback to which a provider redirects.

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use domain::Secret;
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::rule::authorize::{AuthorizeQuery, Language};
use domain::secret::{TokenHashes, constant_time_eq};

use super::frame::PageFrame;
use super::login::render_login_page;
use super::notice::{
    NoticeKind, render_internal_error, render_notice, render_rate_limit_error, render_unavailable,
};
use super::redirect::{redirect_found, redirect_see_other};
use super::render::{render_flow_page, serve_asset};
use crate::app::App;
use crate::context::{RequestContext, fill_random};
use crate::error::InternalError;
use crate::http::{
    BoundedBody, FlowCookies, PageLocale, RequestOrigin, RequestState, Route, Segment, detect_request_origin,
    is_speculative, read_flow_cookies,
};
use crate::rate_limit::LoginStep;
use crate::upstream::{self, BrowserFlow, Callback, ConsentPage, LoginError, RequestPage};

/// The parameters of a provider's authorization response (RFC 6749 §4.1.2, RFC 9207).
const CALLBACK_PARAMETERS: [&str; 4] = ["code", "error", "state", "iss"];
/// The parameter that contains a sealed response, with which the browser returns after it has posted the response.
const POSTED_RESPONSE: &str = "response";
/// The maximum size of the parameters of a posted response. Their sealed form must fit into a URL.
const MAX_POSTED_BYTES: usize = 4 * 1024;

/// Returns the routes of the pages for customers.
pub(crate) fn routes() -> Vec<Route> {
    let consent_path = "/consent/{request_id}";
    vec![
        Route::page(Method::GET, "/", show_home),
        Route::page(Method::GET, consent_path, show_consent),
        Route::page(Method::POST, consent_path, decide_consent),
        Route::page(Method::GET, "/callback/{provider_id}", handle_callback),
        Route::page(Method::POST, "/callback/{provider_id}", receive_posted_callback),
        Route::page(Method::GET, "/static/bowline.css", serve_css),
        Route::page(Method::GET, "/static/bowline.svg", serve_logo),
    ]
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentTemplate {
    frame: PageFrame,
    page: ConsentPage,
    expiry_day: String,
    csrf_token: String,
}

async fn show_home(locale: PageLocale) -> Response {
    render_notice(StatusCode::OK, NoticeKind::Welcome, &locale)
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
    locale: PageLocale,
) -> Response {
    let Ok(id) = id.parse::<AuthorizationRequestId>() else {
        return render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound, &locale);
    };
    let cookies = read_flow_cookies(&app, &headers, Some(&id));
    let language = locale.requested_language();
    let csrf_token = cookies.csrf_token(&app, &id);
    match upstream::load_request_page(&ctx, build_flow(&app, id, &cookies), language).await {
        Ok(RequestPage::Consent(page)) => {
            let frame = PageFrame::new(&locale.or_language(page.language));
            let expiry_day = frame.texts.format_day(page.expires_at);
            let template = ConsentTemplate { frame, page: *page, expiry_day, csrf_token };
            render_flow_page(StatusCode::OK, &template, app.is_https())
        }
        Ok(RequestPage::Progress(page)) => render_login_page(*page, locale, csrf_token, app.is_https()),
        Err(error) => render_login_error(&app, error, locale),
    }
}

async fn decide_consent(
    State(state): State<RequestState>,
    ctx: RequestContext,
    Segment(id): Segment,
    locale: PageLocale,
    request: Request<Body>,
) -> Response {
    let app = state.app();
    let Ok(id) = id.parse::<AuthorizationRequestId>() else {
        return render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound, &locale);
    };
    let network = state.caller_network(request.headers());
    if let Err(error) = app.limits().ensure_login_step_allowed(LoginStep::Decide, network) {
        return render_rate_limit_error(error, &locale);
    }
    let cookies = read_flow_cookies(app, request.headers(), Some(&id));
    let form = match read_consent_form(app, &cookies.csrf_token(app, &id), request).await {
        Ok(form) => form,
        Err(status) => return render_notice(status, NoticeKind::InvalidForm, &locale),
    };
    let flow = build_flow(app, id, &cookies);
    let step = match form.decision {
        ConsentDecision::Approve => Box::pin(upstream::approve(&ctx, flow, form.language)).await,
        ConsentDecision::Deny => upstream::deny(&ctx, flow).await,
    };
    match step {
        Ok(url) => redirect_see_other(&url),
        // The browser continues with GET, so that a reload does not send the form again.
        Err(LoginError::NotPossibleNow(id)) => {
            let language = form.language.map(|language| format!("?lang={}", language.as_str()));
            redirect_see_other(&format!("/consent/{id}{}", language.unwrap_or_default()))
        }
        Err(error) => render_login_error(app, error, locale),
    }
}

fn build_flow(app: &App, id: AuthorizationRequestId, cookies: &FlowCookies) -> BrowserFlow {
    BrowserFlow { cookie: cookies.hashes(app), undecided: cookies.open(app, &id), id }
}

/// The form of the consent page, and of the pages on which the customer continues.
struct ConsentForm {
    decision: ConsentDecision,
    /// The language in which the page was shown.
    language: Option<Language>,
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
) -> Result<ConsentForm, StatusCode> {
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
    let decision = match decision {
        Some("approve") => ConsentDecision::Approve,
        Some("deny") => ConsentDecision::Deny,
        _ => return Err(StatusCode::BAD_REQUEST),
    };
    Ok(ConsentForm { decision, language: Language::from_query(&form) })
}

async fn handle_callback(
    State(state): State<RequestState>,
    ctx: RequestContext,
    Segment(provider): Segment,
    method: Method,
    headers: HeaderMap,
    locale: PageLocale,
) -> Response {
    if is_speculative(&method, &headers) {
        return render_unavailable(&locale);
    }
    let (app, network) = (state.app(), state.caller_network(&headers));
    let opened = open_posted_response(app, &ctx, &provider, locale.query());
    let kept = if opened.is_some() { &[POSTED_RESPONSE][..] } else { &CALLBACK_PARAMETERS };
    if let Err(error) = app.limits().ensure_login_step_allowed(LoginStep::Callback, network) {
        return render_rate_limit_error(error, &locale.keep_in_link(kept));
    }
    // The path contains the id of the provider but not of the request, so all flow cookies are tried.
    let cookies = read_flow_cookies(app, &headers, None);
    let query = opened.as_ref().unwrap_or(locale.query());
    let Some(callback) = parse_callback(&provider, query, cookies.hashes(app)) else {
        return render_notice(StatusCode::BAD_REQUEST, NoticeKind::UnknownLink, &locale);
    };
    let callback = Callback { customer_address: state.caller_address(&headers), ..callback };
    let locale = locale.keep_in_link(kept);
    match Box::pin(upstream::receive_callback(ctx, callback)).await {
        Ok(url) => redirect_found(&url),
        Err(error) => render_login_error(app, error, locale),
    }
}

/// Receives a response that a page of the provider lets the browser post (`response_mode=form_post`). Such a request has no flow
/// cookies, because they are `Lax`. So the browser is sent to the same callback with `GET`, and brings the response again.
async fn receive_posted_callback(
    State(state): State<RequestState>,
    ctx: RequestContext,
    Segment(provider): Segment,
    locale: PageLocale,
    request: Request<Body>,
) -> Response {
    let app = state.app();
    let network = state.caller_network(request.headers());
    if let Err(error) = app.limits().ensure_login_step_allowed(LoginStep::PostedResponse, network) {
        return render_rate_limit_error(error, &locale);
    }
    let reject = |status| render_notice(status, NoticeKind::UnknownLink, &locale);
    let Ok(provider) = provider.parse::<ProviderId>() else { return reject(StatusCode::BAD_REQUEST) };
    let body = match BoundedBody::read(app, request).await {
        Ok(body) if !body.is_form() => return reject(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Ok(body) => body,
        Err(error) => return reject(error.to_status_and_error().0),
    };
    // The response may contain much more, such as an id token of the front channel.
    let kept =
        body.form_fields().into_iter().filter(|(name, _)| CALLBACK_PARAMETERS.contains(&name.as_str()));
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    if form.len() > MAX_POSTED_BYTES {
        return reject(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match seal_posted_response(&ctx, provider, &form) {
        Ok(sealed) => redirect_see_other(&format!("/callback/{provider}?{POSTED_RESPONSE}={sealed}")),
        Err(error) => render_internal_error(&error, &locale),
    }
}

fn seal_posted_response(
    ctx: &RequestContext,
    provider: ProviderId,
    form: &str,
) -> Result<String, InternalError> {
    let mut salt = [0; 16];
    fill_random(&mut salt)?;
    Ok(ctx.app().vault().seal_posted_response(provider, ctx.now(), salt, form)?)
}

/// Opens the response in a query, if the browser has posted it before.
fn open_posted_response(
    app: &App,
    ctx: &RequestContext,
    provider: &str,
    query: &AuthorizeQuery,
) -> Option<AuthorizeQuery> {
    let value = query.single(POSTED_RESPONSE).ok()??;
    let form = app.vault().open_posted_response(provider.parse().ok()?, ctx.now(), value)?;
    Some(AuthorizeQuery(form_urlencoded::parse(form.expose().as_bytes()).into_owned().collect()))
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
    let (state, issuer) = (Secret::new(state), single("iss")?);
    Some(Callback { provider_id, state, issuer, result, cookies, customer_address: None })
}

fn render_login_error(app: &App, error: LoginError, locale: PageLocale) -> Response {
    match error {
        // This page has no form, so it needs no CSRF token.
        LoginError::Stopped(page) => render_login_page(*page, locale, String::new(), app.is_https()),
        LoginError::Rejected(error) => render_notice(StatusCode::BAD_REQUEST, error.into(), &locale),
        // Unlike the URL of a callback, that of this page has no code.
        LoginError::NotPossibleNow(id) => redirect_see_other(&format!("/consent/{id}")),
        LoginError::Internal(error) => render_internal_error(&error, &locale),
    }
}
