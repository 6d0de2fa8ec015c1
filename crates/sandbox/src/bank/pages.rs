//! The bank's own pages: sign-in, account choice and consent. Plain forms, no script.

use askama::Template;
use axum::Router;
use axum::extract::{RawForm, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use super::visits::{Ask, Visit};
use super::{Bank, Look, book};

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route("/", get(home))
        .route("/authorize", get(authorize))
        .route("/sign-in", get(show_sign_in).post(sign_in))
        .route("/consent", get(show_consent).post(consent))
        .route("/static/bank.css", get(css))
        .layer(axum::middleware::map_response(secured))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    look: &'a Look,
    form_token: &'a str,
    username: &'a str,
    wrong: bool,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct Choose<'a> {
    look: &'a Look,
    form_token: &'a str,
    first_name: &'a str,
    accounts: &'a [(&'static str, &'static str, String)],
    none_chosen: bool,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    look: &'a Look,
    title: &'a str,
    text: &'a str,
}

impl Bank {
    fn message(&self, status: StatusCode, title: &str, text: &str) -> Response {
        rendered(status, &Message { look: self.0.look, title, text })
    }

    fn lost(&self) -> Response {
        let text = "This visit is over, or it began in another browser. Please start again from your app.";
        self.message(StatusCode::BAD_REQUEST, "Please start again", text)
    }

    /// The visit of this browser.
    fn visit(&self, headers: &HeaderMap) -> Option<(String, Visit)> {
        let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
        let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        let (_, id) = pairs.find(|(name, _)| *name == self.0.look.cookie)?;
        let visit = self.visits().of(id, self.now()).cloned()?;
        Some((id.to_owned(), visit))
    }

    /// The visit of a form that this browser was shown.
    fn posted(&self, headers: &HeaderMap, form: &Fields) -> Option<(String, Visit)> {
        let (id, visit) = self.visit(headers)?;
        let token = form.get("form_token").unwrap_or_default();
        crate::random::equal(token, &visit.form_token).then_some((id, visit))
    }
}

async fn home(State(bank): State<Bank>) -> Response {
    bank.message(StatusCode::OK, bank.0.look.name, bank.0.look.motto)
}

async fn css(State(bank): State<Bank>) -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], bank.0.look.css).into_response()
}

async fn authorize(State(bank): State<Bank>, RawQuery(query): RawQuery) -> Response {
    let query = Fields::of(query.unwrap_or_default().as_bytes());
    let settings = &bank.0.settings;
    let redirect_uri = query.get("redirect_uri").unwrap_or_default();
    let known = query.get("client_id") == Some(&settings.client_id)
        && settings.redirect_uris.iter().any(|uri| uri == redirect_uri);
    if !known {
        let text = "The app that sent you here is not one that this bank knows.";
        return bank.message(StatusCode::BAD_REQUEST, "Unknown app", text);
    }
    let state = query.get("state").map(str::to_owned);
    let challenge =
        query.get("code_challenge").filter(|_| query.get("code_challenge_method") == Some("S256"));
    let (Some(challenge), Some("code")) = (challenge, query.get("response_type")) else {
        return answer(&bank, redirect_uri, state.as_deref(), ("error", "invalid_request"));
    };
    let ask = Ask {
        redirect_uri: redirect_uri.to_owned(),
        scope: query.get("scope").unwrap_or_default().to_owned(),
        state,
        challenge: challenge.to_owned(),
    };
    let (Ok(id), Ok(form_token)) = (crate::random::fresh(), crate::random::fresh()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let cookie = format!("{}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age=600", bank.0.look.cookie);
    bank.visits().begin(id, ask, form_token, bank.now());
    ([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
}

async fn show_sign_in(State(bank): State<Bank>, headers: HeaderMap) -> Response {
    let Some((_, visit)) = bank.visit(&headers) else {
        return bank.lost();
    };
    let page = SignIn { look: bank.0.look, form_token: &visit.form_token, username: "", wrong: false };
    rendered(StatusCode::OK, &page)
}

async fn sign_in(State(bank): State<Bank>, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let form = Fields::of(&form);
    let Some((id, visit)) = bank.posted(&headers, &form) else {
        return bank.lost();
    };
    let username = form.get("username").unwrap_or_default();
    let known = book::person(username);
    let right = crate::random::equal(form.get("password").unwrap_or_default(), &bank.password(username));
    let (Some(person), true, Ok(form_token)) = (known, right, crate::random::fresh()) else {
        let page = SignIn { look: bank.0.look, form_token: &visit.form_token, username, wrong: true };
        return rendered(StatusCode::UNPROCESSABLE_ENTITY, &page);
    };
    bank.visits().sign_in(&id, person.username, form_token);
    Redirect::to("/consent").into_response()
}

async fn show_consent(State(bank): State<Bank>, headers: HeaderMap) -> Response {
    match bank.visit(&headers) {
        Some((_, visit)) => choose(&bank, &visit, StatusCode::OK, false),
        None => bank.lost(),
    }
}

fn choose(bank: &Bank, visit: &Visit, status: StatusCode, none_chosen: bool) -> Response {
    let Some(person) = visit.username.as_deref().and_then(book::person) else {
        return Redirect::to("/sign-in").into_response();
    };
    let customer = bank.book().customer(person);
    let first_name = customer.name.and_then(|n| n.first).unwrap_or_default();
    let accounts = bank.book().choices(person);
    let form_token = &visit.form_token;
    let look = bank.0.look;
    rendered(status, &Choose { look, form_token, first_name: &first_name, accounts: &accounts, none_chosen })
}

async fn consent(State(bank): State<Bank>, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let form = Fields::of(&form);
    let Some((id, visit)) = bank.posted(&headers, &form) else {
        return bank.lost();
    };
    let Some(person) = visit.username.as_deref().and_then(book::person) else {
        return bank.lost();
    };
    let state = visit.ask.state.as_deref();
    if form.get("decision") != Some("approve") {
        bank.visits().finish(&id);
        return answer(&bank, &visit.ask.redirect_uri, state, ("error", "access_denied"));
    }
    let offered = bank.book().choices(person);
    let mut chosen: Vec<String> = form.all("accounts").map(str::to_owned).collect();
    chosen.retain(|id| offered.iter().any(|(known, ..)| known == id));
    if chosen.is_empty() {
        return choose(&bank, &visit, StatusCode::UNPROCESSABLE_ENTITY, true);
    }
    let Ok(code) = crate::random::fresh() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (hash, ask, now) = (crate::random::hash(&code), visit.ask.clone(), bank.now());
    let mut visits = bank.visits();
    visits.issue(hash, ask, person.username.to_owned(), chosen, now);
    visits.finish(&id);
    drop(visits);
    answer(&bank, &visit.ask.redirect_uri, state, ("code", &code))
}

/// Sends the browser back, naming the issuer (RFC 9207).
fn answer(bank: &Bank, redirect_uri: &str, state: Option<&str>, what: (&str, &str)) -> Response {
    let Ok(mut url) = url::Url::parse(redirect_uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    url.query_pairs_mut().append_pair(what.0, what.1).append_pair("iss", &bank.0.settings.origin);
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Redirect::to(url.as_str()).into_response()
}

fn rendered(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `form-action` names schemes: `'self'` would stop the redirects that follow a form.
async fn secured(mut response: Response) -> Response {
    let policy = "default-src 'none'; style-src 'self'; form-action https: http://127.0.0.1:* http://localhost:*; \
                  frame-ancestors 'none'; base-uri 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The fields of a query or a form, repeated ones included.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
