//! From the authorization request to the bank's answer: what is asked for, sign-in, accounts.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::super::Bank;
use super::super::book::{AccountChoice, Person};
use super::super::login_sessions::{AuthorizeParams, SessionEndReason, SignInSession};
use super::super::scope::{self, ScopeLabel};
use super::form::{FormFields, FormSession, VerifiedForm, request_language};
use super::{Shell, internal_error, redirect_to, render_page};
use crate::text::SandboxLanguage;

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route("/authorize", get(authorize))
        .route("/request", get(show_request).post(decide_request))
        .route("/sign-in", get(show_sign_in).post(sign_in))
        .route("/consent", get(show_consent).post(decide_consent))
}

#[derive(Template)]
#[template(path = "bank/request.html")]
struct RequestPage<'a> {
    shell: Shell,
    csrf_token: &'a str,
    words: Vec<&'static ScopeLabel>,
}

#[derive(Template)]
#[template(path = "bank/sign_in.html")]
struct SignInPage<'a> {
    shell: Shell,
    /// Where the form goes.
    action: &'static str,
    lead: &'static str,
    csrf_token: &'a str,
    username: &'a str,
    wrong: bool,
}

#[derive(Template)]
#[template(path = "bank/accounts.html")]
struct ChooseAccountsPage<'a> {
    shell: Shell,
    csrf_token: &'a str,
    first_name: &'a str,
    choices: Vec<AccountChoice>,
    words: Vec<&'static ScopeLabel>,
    none_chosen: bool,
}

/// The visit of this browser, by its cookie; without one, the page that says why it cannot go on.
struct CurrentSignIn {
    id: String,
    session: SignInSession,
    text: SandboxLanguage,
}

impl FromRequestParts<Bank> for CurrentSignIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, Response> {
        let text = request_language(parts, bank);
        let id = bank.find_cookie(&parts.headers, "visit").ok_or(SessionEndReason::Unknown);
        let visit =
            id.and_then(|id| Ok((id.to_owned(), bank.sign_in_sessions().find(id, bank.now())?.clone())));
        visit
            .map(|(id, visit)| Self { id, session: visit, text })
            .map_err(|over| bank.session_ended_page(text, over))
    }
}

impl FormSession for CurrentSignIn {
    fn csrf_token(&self) -> &str {
        &self.session.csrf_token
    }
}

impl Bank {
    /// Where a visit begins.
    fn first_page(&self) -> &'static str {
        if self.0.profile.shows_request_first { "/request" } else { "/sign-in" }
    }

    /// Whether the customer has to be told first what is asked for.
    fn must_show_request(&self, visit: &SignInSession) -> bool {
        self.0.profile.shows_request_first && !visit.agreed
    }

    /// Ends a visit and sends the browser back.
    fn finish_sign_in(
        &self,
        id: &str,
        visit: &SignInSession,
        over: SessionEndReason,
        result: (&str, &str),
    ) -> Response {
        self.sign_in_sessions().finish(id, over);
        redirect_to_client(self, &visit.request.redirect_uri, visit.request.state.as_deref(), result)
    }
}

pub(super) fn render_sign_in(shell: Shell, csrf_token: &str, username: &str, wrong: bool) -> Response {
    let consents = shell.path == "/consents";
    let (action, lead) =
        if consents { ("/consents", "bank-lead-consents") } else { ("/sign-in", "bank-lead-sign-in") };
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    render_page(status, &SignInPage { shell, action, lead, csrf_token, username, wrong })
}

async fn authorize(
    State(bank): State<Bank>,
    Extension(text): Extension<SandboxLanguage>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = FormFields::parse(query.unwrap_or_default().as_bytes());
    let redirect_uri = query.get("redirect_uri").unwrap_or_default();
    let client_id = query.get("client_id").unwrap_or_default();
    if !bank.is_redirect_uri_registered(client_id, redirect_uri) {
        return bank.message_page(text, StatusCode::BAD_REQUEST, "unknown-app");
    }
    let state = query.get("state").map(str::to_owned);
    let challenge =
        query.get("code_challenge").filter(|_| query.get("code_challenge_method") == Some("S256"));
    let (Some(challenge), Some("code")) = (challenge, query.get("response_type")) else {
        return redirect_to_client(&bank, redirect_uri, state.as_deref(), ("error", "invalid_request"));
    };
    let scope = scope::filter_supported(query.get("scope").unwrap_or_default());
    if scope.is_empty() {
        return redirect_to_client(&bank, redirect_uri, state.as_deref(), ("error", "invalid_scope"));
    }
    let (redirect_uri, challenge) = (redirect_uri.to_owned(), challenge.to_owned());
    let ask = AuthorizeParams { client_id: client_id.to_owned(), redirect_uri, scope, state, challenge };
    let (Ok(id), Ok(csrf_token)) = (crate::random::generate_secret(), crate::random::generate_secret())
    else {
        return internal_error();
    };
    // The cookie outlives the visit, so that the bank can say that it is over.
    let cookie = bank.set_cookie("visit", &id, 3_600);
    bank.sign_in_sessions().begin(id, ask, text, csrf_token, bank.now());
    ([(header::SET_COOKIE, cookie)], Redirect::to(bank.first_page())).into_response()
}

async fn show_request(
    State(bank): State<Bank>,
    CurrentSignIn { session: visit, text, .. }: CurrentSignIn,
) -> Response {
    if !bank.must_show_request(&visit) {
        return redirect_to("/sign-in");
    }
    let words = scope::find_labels(&visit.request.scope);
    render_page(
        StatusCode::OK,
        &RequestPage { shell: bank.shell(text, ""), csrf_token: &visit.csrf_token, words },
    )
}

async fn decide_request(
    State(bank): State<Bank>,
    VerifiedForm(CurrentSignIn { id, session: visit, .. }, form): VerifiedForm<CurrentSignIn>,
) -> Response {
    if form.get("decision") != Some("approve") {
        return bank.finish_sign_in(&id, &visit, SessionEndReason::Declined, ("error", "access_denied"));
    }
    bank.sign_in_sessions().record_agreement(&id);
    redirect_to("/sign-in")
}

async fn show_sign_in(
    State(bank): State<Bank>,
    CurrentSignIn { session: visit, text, .. }: CurrentSignIn,
) -> Response {
    if bank.must_show_request(&visit) {
        return redirect_to("/request");
    }
    render_sign_in(bank.shell(text, ""), &visit.csrf_token, "", false)
}

async fn sign_in(
    State(bank): State<Bank>,
    VerifiedForm(CurrentSignIn { id, session: visit, text }, form): VerifiedForm<CurrentSignIn>,
) -> Response {
    if bank.must_show_request(&visit) {
        return redirect_to("/request");
    }
    let username = form.get("username").unwrap_or_default().trim();
    let Some(person) = bank.identify(username, form.get("password").unwrap_or_default()) else {
        return render_sign_in(bank.shell(text, ""), &visit.csrf_token, username, true);
    };
    let Ok(csrf_token) = crate::random::generate_secret() else { return internal_error() };
    bank.sign_in_sessions().sign_in(&id, person.username, csrf_token);
    redirect_to("/consent")
}

async fn show_consent(
    State(bank): State<Bank>,
    CurrentSignIn { session: visit, text, .. }: CurrentSignIn,
) -> Response {
    match bank.signed_in_customer(&visit) {
        Some(person) => render_account_choice(&bank, text, &visit, person, false),
        None => redirect_to(bank.first_page()),
    }
}

impl Bank {
    fn signed_in_customer(&self, visit: &SignInSession) -> Option<&'static Person> {
        visit.username.as_deref().and_then(|username| self.0.profile.books.find_customer(username))
    }
}

fn render_account_choice(
    bank: &Bank,
    text: SandboxLanguage,
    visit: &SignInSession,
    person: &Person,
    none_chosen: bool,
) -> Response {
    let status = if none_chosen { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = ChooseAccountsPage {
        shell: bank.shell(text, ""),
        csrf_token: &visit.csrf_token,
        first_name: person.first,
        choices: bank.book().choices(person),
        words: scope::find_labels(&visit.request.scope),
        none_chosen,
    };
    render_page(status, &page)
}

async fn decide_consent(
    State(bank): State<Bank>,
    VerifiedForm(CurrentSignIn { id, session: visit, text }, form): VerifiedForm<CurrentSignIn>,
) -> Response {
    let Some(person) = bank.signed_in_customer(&visit) else {
        return redirect_to(bank.first_page());
    };
    if form.get("decision") != Some("approve") {
        return bank.finish_sign_in(&id, &visit, SessionEndReason::Declined, ("error", "access_denied"));
    }
    let offered = bank.book().choices(person);
    let chosen: Vec<&AccountChoice> =
        offered.iter().filter(|choice| form.get_all("accounts").any(|id| id == choice.id)).collect();
    if chosen.is_empty() {
        return render_account_choice(&bank, text, &visit, person, true);
    }
    let Ok(code) = crate::random::generate_secret() else { return internal_error() };
    let accounts = chosen.iter().map(|choice| choice.id.to_owned()).collect();
    let (hash, now) = (crate::random::hash(&code), bank.now());
    bank.sign_in_sessions().issue_code(
        hash,
        visit.request.clone(),
        person.username.to_owned(),
        accounts,
        now,
    );
    bank.finish_sign_in(&id, &visit, SessionEndReason::Approved, ("code", &code))
}

/// Sends the browser back, naming the issuer (RFC 9207).
fn redirect_to_client(
    bank: &Bank,
    redirect_uri: &str,
    state: Option<&str>,
    result: (&str, &str),
) -> Response {
    let Ok(mut url) = url::Url::parse(redirect_uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    url.query_pairs_mut().append_pair(result.0, result.1).append_pair("iss", &bank.0.settings.origin);
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Redirect::to(url.as_str()).into_response()
}
