//! From the authorization request to the bank's answer: what is asked for, sign-in, accounts.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::super::Bank;
use super::super::book::{Choice, Person};
use super::super::scope::{self, Word};
use super::super::visits::{Ask, Over, Visit};
use super::form::{Fields, Posted, Shown, language};
use super::{Shell, broken, onward, rendered};
use crate::text::Text;

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route("/authorize", get(authorize))
        .route("/request", get(show_request).post(request))
        .route("/sign-in", get(show_sign_in).post(sign_in))
        .route("/consent", get(show_consent).post(consent))
}

#[derive(Template)]
#[template(path = "bank/request.html")]
struct Asked<'a> {
    shell: Shell,
    form_token: &'a str,
    words: Vec<&'static Word>,
}

#[derive(Template)]
#[template(path = "bank/sign_in.html")]
struct SignIn<'a> {
    shell: Shell,
    /// Where the form goes.
    action: &'static str,
    lead: &'static str,
    form_token: &'a str,
    username: &'a str,
    wrong: bool,
}

#[derive(Template)]
#[template(path = "bank/accounts.html")]
struct Choose<'a> {
    shell: Shell,
    form_token: &'a str,
    first_name: &'a str,
    choices: Vec<Choice>,
    words: Vec<&'static Word>,
    none_chosen: bool,
}

/// The visit of this browser, by its cookie; without one, the page that says why it cannot go on.
struct Visited {
    id: String,
    visit: Visit,
    text: Text,
}

impl FromRequestParts<Bank> for Visited {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, Response> {
        let text = language(parts, bank);
        let id = bank.cookie(&parts.headers, "visit").ok_or(Over::Unknown);
        let visit = id.and_then(|id| Ok((id.to_owned(), bank.visits().of(id, bank.now())?.clone())));
        visit.map(|(id, visit)| Self { id, visit, text }).map_err(|over| bank.over(text, over))
    }
}

impl Shown for Visited {
    fn form_token(&self) -> &str {
        &self.visit.form_token
    }
}

impl Bank {
    /// Where a visit begins.
    fn first_page(&self) -> &'static str {
        if self.0.look.asks_first { "/request" } else { "/sign-in" }
    }

    /// Whether the customer has to be told first what is asked for.
    fn asks(&self, visit: &Visit) -> bool {
        self.0.look.asks_first && !visit.agreed
    }

    /// Ends a visit and sends the browser back.
    fn leave(&self, id: &str, visit: &Visit, over: Over, what: (&str, &str)) -> Response {
        self.visits().finish(id, over);
        answer(self, &visit.ask.redirect_uri, visit.ask.state.as_deref(), what)
    }
}

pub(super) fn sign_in_page(shell: Shell, form_token: &str, username: &str, wrong: bool) -> Response {
    let consents = shell.path == "/consents";
    let (action, lead) =
        if consents { ("/consents", "bank-lead-consents") } else { ("/sign-in", "bank-lead-sign-in") };
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    rendered(status, &SignIn { shell, action, lead, form_token, username, wrong })
}

async fn authorize(
    State(bank): State<Bank>,
    Extension(text): Extension<Text>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Fields::of(query.unwrap_or_default().as_bytes());
    let redirect_uri = query.get("redirect_uri").unwrap_or_default();
    let client_id = query.get("client_id").unwrap_or_default();
    if !bank.sends(client_id, redirect_uri) {
        return bank.message(text, StatusCode::BAD_REQUEST, "unknown-app");
    }
    let state = query.get("state").map(str::to_owned);
    let challenge =
        query.get("code_challenge").filter(|_| query.get("code_challenge_method") == Some("S256"));
    let (Some(challenge), Some("code")) = (challenge, query.get("response_type")) else {
        return answer(&bank, redirect_uri, state.as_deref(), ("error", "invalid_request"));
    };
    let scope = scope::granted(query.get("scope").unwrap_or_default());
    if scope.is_empty() {
        return answer(&bank, redirect_uri, state.as_deref(), ("error", "invalid_scope"));
    }
    let (redirect_uri, challenge) = (redirect_uri.to_owned(), challenge.to_owned());
    let ask = Ask { client_id: client_id.to_owned(), redirect_uri, scope, state, challenge };
    let (Ok(id), Ok(form_token)) = (crate::random::fresh(), crate::random::fresh()) else {
        return broken();
    };
    // The cookie outlives the visit, so that the bank can say that it is over.
    let cookie = bank.set_cookie("visit", &id, 3_600);
    bank.visits().begin(id, ask, text, form_token, bank.now());
    ([(header::SET_COOKIE, cookie)], Redirect::to(bank.first_page())).into_response()
}

async fn show_request(State(bank): State<Bank>, Visited { visit, text, .. }: Visited) -> Response {
    if !bank.asks(&visit) {
        return onward("/sign-in");
    }
    let words = scope::known(&visit.ask.scope);
    rendered(StatusCode::OK, &Asked { shell: bank.shell(text, ""), form_token: &visit.form_token, words })
}

async fn request(
    State(bank): State<Bank>,
    Posted(Visited { id, visit, .. }, form): Posted<Visited>,
) -> Response {
    if form.get("decision") != Some("approve") {
        return bank.leave(&id, &visit, Over::Declined, ("error", "access_denied"));
    }
    bank.visits().agree(&id);
    onward("/sign-in")
}

async fn show_sign_in(State(bank): State<Bank>, Visited { visit, text, .. }: Visited) -> Response {
    if bank.asks(&visit) {
        return onward("/request");
    }
    sign_in_page(bank.shell(text, ""), &visit.form_token, "", false)
}

async fn sign_in(
    State(bank): State<Bank>,
    Posted(Visited { id, visit, text }, form): Posted<Visited>,
) -> Response {
    if bank.asks(&visit) {
        return onward("/request");
    }
    let username = form.get("username").unwrap_or_default().trim();
    let Some(person) = bank.identify(username, form.get("password").unwrap_or_default()) else {
        return sign_in_page(bank.shell(text, ""), &visit.form_token, username, true);
    };
    let Ok(form_token) = crate::random::fresh() else { return broken() };
    bank.visits().sign_in(&id, person.username, form_token);
    onward("/consent")
}

async fn show_consent(State(bank): State<Bank>, Visited { visit, text, .. }: Visited) -> Response {
    match bank.signed_in(&visit) {
        Some(person) => choose(&bank, text, &visit, person, false),
        None => onward(bank.first_page()),
    }
}

impl Bank {
    fn signed_in(&self, visit: &Visit) -> Option<&'static Person> {
        visit.username.as_deref().and_then(|username| self.0.look.books.person(username))
    }
}

fn choose(bank: &Bank, text: Text, visit: &Visit, person: &Person, none_chosen: bool) -> Response {
    let status = if none_chosen { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = Choose {
        shell: bank.shell(text, ""),
        form_token: &visit.form_token,
        first_name: person.first,
        choices: bank.book().choices(person),
        words: scope::known(&visit.ask.scope),
        none_chosen,
    };
    rendered(status, &page)
}

async fn consent(
    State(bank): State<Bank>,
    Posted(Visited { id, visit, text }, form): Posted<Visited>,
) -> Response {
    let Some(person) = bank.signed_in(&visit) else {
        return onward(bank.first_page());
    };
    if form.get("decision") != Some("approve") {
        return bank.leave(&id, &visit, Over::Declined, ("error", "access_denied"));
    }
    let offered = bank.book().choices(person);
    let chosen: Vec<&Choice> =
        offered.iter().filter(|choice| form.all("accounts").any(|id| id == choice.id)).collect();
    if chosen.is_empty() {
        return choose(&bank, text, &visit, person, true);
    }
    let Ok(code) = crate::random::fresh() else { return broken() };
    let accounts = chosen.iter().map(|choice| choice.id.to_owned()).collect();
    let (hash, now) = (crate::random::hash(&code), bank.now());
    bank.visits().issue(hash, visit.ask.clone(), person.username.to_owned(), accounts, now);
    bank.leave(&id, &visit, Over::Approved, ("code", &code))
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
