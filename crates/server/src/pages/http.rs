//! The pages of the flow: the hub's consent, and the provider's way back.

use askama::Template;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use domain::Secret;
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::rule::authorize::{Language, Query};

use super::{Notice, Text, asset, flow_page, found, message, plain_page, see_other};
use crate::app::App;
use crate::ctx::Ctx;
use crate::hub::{self, Callback, ConsentPage, StepError, Stopped};
use crate::web::{Face, Limited, Route, Sameness, Segment, flow_cookies, forgotten_flow_cookie, same_site};

/// The routes of the pages.
pub(crate) fn routes() -> Vec<Route> {
    let consent_path = "/consent/{request_id}";
    vec![
        Route::new(Face::Page, Method::GET, "/", get(home)),
        Route::new(Face::Page, Method::GET, consent_path, get(consent)),
        Route::new(Face::Page, Method::POST, consent_path, post(decide)),
        Route::new(Face::Page, Method::GET, "/callback/{provider_id}", get(callback)),
        Route::new(Face::Page, Method::GET, "/static/bowline.css", get(css)),
        Route::new(Face::Page, Method::GET, "/static/bowline.svg", get(mark)),
    ]
}

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent {
    text: Text,
    page: ConsentPage,
    until: String,
    form_token: String,
}

/// The page of a request that may not go on.
#[derive(Template)]
#[template(path = "stopped.html")]
struct StoppedPage {
    text: Text,
    page: Stopped,
}

async fn home() -> Response {
    message(StatusCode::OK, Notice::Welcome)
}

async fn css() -> Response {
    asset("text/css; charset=utf-8", include_str!("../../static/bowline.css"))
}

async fn mark() -> Response {
    asset("image/svg+xml", include_str!("../../static/bowline.svg"))
}

async fn consent(State(app): State<App>, ctx: Ctx, Segment(id): Segment, headers: HeaderMap) -> Response {
    let Ok(id) = AuthorizationRequestId::parse(&id) else {
        return message(StatusCode::NOT_FOUND, Notice::NotFound);
    };
    let flow = flow_cookies(&app, &headers, Some(&id));
    match hub::consent_page(&ctx, &id, &flow.hashes(&app)).await {
        Ok(page) => {
            let text = Text::new(Language::from_tags(&page.request.language));
            let (until, form_token) = (text.day(page.until), flow.form_token(&app, &id));
            flow_page(StatusCode::OK, &Consent { text, page, until, form_token }, app.is_https())
        }
        Err(error) => refuse(error),
    }
}

async fn decide(State(app): State<App>, ctx: Ctx, Segment(id): Segment, request: Request<Body>) -> Response {
    let Ok(id) = AuthorizationRequestId::parse(&id) else {
        return message(StatusCode::NOT_FOUND, Notice::NotFound);
    };
    let headers = request.headers().clone();
    let flow = flow_cookies(&app, &headers, Some(&id));
    let form = match Limited::read(&app, request).await {
        Ok(body) if body.is_form() => Query(body.form()),
        Ok(_) => return message(StatusCode::UNSUPPORTED_MEDIA_TYPE, Notice::ForeignForm),
        Err(error) => return message(error.shown().0, Notice::ForeignForm),
    };
    // A field that is given twice says nothing.
    let (Ok(token), Ok(decision)) = (form.single("form_token"), form.single("decision")) else {
        return message(StatusCode::BAD_REQUEST, Notice::ForeignForm);
    };
    let expected = flow.form_token(&app, &id);
    let ours = token.is_some_and(|token| domain::secret::equal(token.as_bytes(), expected.as_bytes()));
    if !ours || same_site(&headers, app.public_url()) == Sameness::Other {
        return message(StatusCode::FORBIDDEN, Notice::ForeignForm);
    }
    match decision {
        Some("approve") => {
            let approved = hub::approve(&ctx, &id, flow.hashes(&app)).await;
            approved.map_or_else(|error| over(&app, &id, error), |url| see_other(&url))
        }
        Some("deny") => hub::deny(&ctx, &id, flow.hashes(&app))
            .await
            .map_or_else(|error| over(&app, &id, error), |url| leaving(&app, &id, see_other(&url))),
        _ => message(StatusCode::BAD_REQUEST, Notice::ForeignForm),
    }
}

/// Lets the browser forget a request that is over.
fn leaving(app: &App, id: &AuthorizationRequestId, mut response: Response) -> Response {
    let cookie = HeaderValue::from_str(&forgotten_flow_cookie(app, id));
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

async fn callback(
    State(app): State<App>,
    ctx: Ctx,
    Segment(provider): Segment,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let flow = flow_cookies(&app, &headers, None);
    match answered(&provider, &Query(pairs), flow.hashes(&app)) {
        Some(callback) => hub::receive(ctx, callback)
            .await
            .map_or_else(refuse, |answered| leaving(&app, &answered.request_id, found(&answered.url))),
        None => message(StatusCode::BAD_REQUEST, Notice::Over),
    }
}

/// What the provider's redirect carried; none if it is no answer at all.
fn answered(provider: &str, query: &Query, cookies: domain::secret::TokenHashes) -> Option<Callback> {
    let single = |name| query.single(name).ok().map(|value| value.map(str::to_owned));
    let answer = match (single("code")?, single("error")?) {
        (Some(code), None) => Ok(Secret::new(code)),
        (None, Some(error)) => Err(error),
        _ => return None,
    };
    let (provider_id, state) = (ProviderId::parse(provider)?, single("state")??);
    Some(Callback { provider_id, state: Secret::new(state), issuer: single("iss")?, answer, cookies })
}

/// As [`refuse`], where a request that is stopped is over with it.
fn over(app: &App, id: &AuthorizationRequestId, error: StepError) -> Response {
    let stopped = matches!(error, StepError::Stopped(_));
    let response = refuse(error);
    if stopped { leaving(app, id, response) } else { response }
}

fn refuse(error: StepError) -> Response {
    match error {
        StepError::Stopped(page) => {
            let shown = StoppedPage { text: Text::new(page.language), page: *page };
            plain_page(StatusCode::FORBIDDEN, &shown)
        }
        StepError::Refused(refusal) => message(StatusCode::BAD_REQUEST, refusal.into()),
        StepError::Fault(fault) => super::fault(&fault),
    }
}
