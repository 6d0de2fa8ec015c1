//! The pages of the flow: the hub's consent, and the provider's way back.

use askama::Template;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use domain::Secret;
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::rule::authorize::{AuthorizeQuery, Language};

use super::{
    NoticeKind, PageTexts, redirect_found, redirect_see_other, render_flow_page, render_notice,
    render_plain_page, serve_asset,
};
use crate::app::App;
use crate::context::RequestContext;
use crate::http::{
    ApiSurface, BoundedBody, RequestOrigin, Route, Segment, detect_request_origin, expire_flow_cookie,
    read_flow_cookies,
};
use crate::upstream::{self, AuthorizationStopped, Callback, ConsentError, ConsentPage};

/// The routes of the pages.
pub(crate) fn routes() -> Vec<Route> {
    let consent_path = "/consent/{request_id}";
    vec![
        Route::new(ApiSurface::Page, Method::GET, "/", get(show_home)),
        Route::new(ApiSurface::Page, Method::GET, consent_path, get(show_consent)),
        Route::new(ApiSurface::Page, Method::POST, consent_path, post(decide_consent)),
        Route::new(ApiSurface::Page, Method::GET, "/callback/{provider_id}", get(handle_callback)),
        Route::new(ApiSurface::Page, Method::GET, "/static/bowline.css", get(serve_css)),
        Route::new(ApiSurface::Page, Method::GET, "/static/bowline.svg", get(serve_logo)),
    ]
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentTemplate {
    text: PageTexts,
    page: ConsentPage,
    until: String,
    csrf_token: String,
}

/// The page of a request that may not go on.
#[derive(Template)]
#[template(path = "stopped.html")]
struct StoppedTemplate {
    text: PageTexts,
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
    let Ok(id) = AuthorizationRequestId::parse(&id) else {
        return render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound);
    };
    let flow = read_flow_cookies(&app, &headers, Some(&id));
    match upstream::load_consent_page(&ctx, &id, &flow.hashes(&app)).await {
        Ok(page) => {
            let text = PageTexts::new(Language::from_tags(&page.request.language));
            let (until, csrf_token) = (text.day(page.expires_at), flow.csrf_token(&app, &id));
            render_flow_page(
                StatusCode::OK,
                &ConsentTemplate { text, page, until, csrf_token },
                app.is_https(),
            )
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
    let Ok(id) = AuthorizationRequestId::parse(&id) else {
        return render_notice(StatusCode::NOT_FOUND, NoticeKind::NotFound);
    };
    let headers = request.headers().clone();
    let flow = read_flow_cookies(&app, &headers, Some(&id));
    let form = match BoundedBody::read(&app, request).await {
        Ok(body) if body.is_form() => AuthorizeQuery(body.form_fields()),
        Ok(_) => return render_notice(StatusCode::UNSUPPORTED_MEDIA_TYPE, NoticeKind::ForeignForm),
        Err(error) => return render_notice(error.to_status_and_error().0, NoticeKind::ForeignForm),
    };
    // A field that is given twice says nothing.
    let (Ok(token), Ok(decision)) = (form.single("csrf_token"), form.single("decision")) else {
        return render_notice(StatusCode::BAD_REQUEST, NoticeKind::ForeignForm);
    };
    let expected = flow.csrf_token(&app, &id);
    let ours =
        token.is_some_and(|token| domain::secret::constant_time_eq(token.as_bytes(), expected.as_bytes()));
    if !ours || detect_request_origin(&headers, app.public_url()) == RequestOrigin::CrossOrigin {
        return render_notice(StatusCode::FORBIDDEN, NoticeKind::ForeignForm);
    }
    match decision {
        Some("approve") => {
            let approved = upstream::approve(&ctx, &id, flow.hashes(&app)).await;
            approved.map_or_else(|error| render_flow_error(&app, &id, error), |url| redirect_see_other(&url))
        }
        Some("deny") => upstream::deny(&ctx, &id, flow.hashes(&app)).await.map_or_else(
            |error| render_flow_error(&app, &id, error),
            |url| clear_flow_cookie(&app, &id, redirect_see_other(&url)),
        ),
        _ => render_notice(StatusCode::BAD_REQUEST, NoticeKind::ForeignForm),
    }
}

/// Lets the browser forget a request that is over.
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
    let flow = read_flow_cookies(&app, &headers, None);
    match parse_callback(&provider, &AuthorizeQuery(pairs), flow.hashes(&app)) {
        Some(callback) => {
            upstream::receive_callback(ctx, callback).await.map_or_else(render_consent_error, |answered| {
                clear_flow_cookie(&app, &answered.request_id, redirect_found(&answered.url))
            })
        }
        None => render_notice(StatusCode::BAD_REQUEST, NoticeKind::FlowEnded),
    }
}

/// What the provider's redirect carried; none if it is no answer at all.
fn parse_callback(
    provider: &str,
    query: &AuthorizeQuery,
    cookies: domain::secret::TokenHashes,
) -> Option<Callback> {
    let single = |name| query.single(name).ok().map(|value| value.map(str::to_owned));
    let answer = match (single("code")?, single("error")?) {
        (Some(code), None) => Ok(Secret::new(code)),
        (None, Some(error)) => Err(error),
        _ => return None,
    };
    let (provider_id, state) = (ProviderId::parse(provider)?, single("state")??);
    Some(Callback { provider_id, state: Secret::new(state), issuer: single("iss")?, result: answer, cookies })
}

/// As [`refuse`], where a request that is stopped is over with it.
fn render_flow_error(app: &App, id: &AuthorizationRequestId, error: ConsentError) -> Response {
    let stopped = matches!(error, ConsentError::Stopped(_));
    let response = render_consent_error(error);
    if stopped { clear_flow_cookie(app, id, response) } else { response }
}

fn render_consent_error(error: ConsentError) -> Response {
    match error {
        ConsentError::Stopped(page) => {
            let shown = StoppedTemplate { text: PageTexts::new(page.language), page: *page };
            render_plain_page(StatusCode::FORBIDDEN, &shown)
        }
        ConsentError::Rejected(refusal) => render_notice(StatusCode::BAD_REQUEST, refusal.into()),
        ConsentError::Internal(fault) => super::render_internal_error(&fault),
    }
}
