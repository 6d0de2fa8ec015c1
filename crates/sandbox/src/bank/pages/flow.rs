//! The authorization flow: authorization request, requested data, sign-in, choice of accounts, redirect back.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::super::form_fields::FormFields;
use super::super::ledger::{AccountChoice, BankCustomer};
use super::super::login_sessions::{AuthorizeParams, SessionEndReason, SignInSession};
use super::super::scope::{self, ScopeLabel};
use super::super::security::SecurityProfile;
use super::super::state::Bank;
use super::form::{FormSession, VerifiedForm, request_language};
use super::page::{BankPageFrame, internal_error, redirect_to, render_page};
use crate::language::SandboxLanguage;
use crate::random::{generate_secret, hash};

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
    frame: BankPageFrame,
    csrf_token: &'a str,
    scopes: Vec<&'static ScopeLabel>,
}

#[derive(Template)]
#[template(path = "bank/sign_in.html")]
struct SignInPage<'a> {
    frame: BankPageFrame,
    /// The path that the form is sent to.
    action: &'static str,
    /// The key of the text above the form's fields.
    lead_key: &'static str,
    csrf_token: &'a str,
    username: &'a str,
    has_failed: bool,
}

#[derive(Template)]
#[template(path = "bank/accounts.html")]
struct ChooseAccountsPage<'a> {
    frame: BankPageFrame,
    csrf_token: &'a str,
    first_name: &'a str,
    choices: Vec<AccountChoice>,
    scopes: Vec<&'static ScopeLabel>,
    none_chosen: bool,
}

/// The sign-in session of the browser, found by its cookie. The rejection is a page that explains why the sign-in
/// cannot continue.
struct CurrentSignIn {
    id: String,
    session: SignInSession,
    language: SandboxLanguage,
}

impl FromRequestParts<Bank> for CurrentSignIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, Response> {
        let language = request_language(parts, bank);
        let id = bank.find_cookie(&parts.headers, "visit").ok_or(SessionEndReason::Unknown);
        let session = id.and_then(|id| {
            let session = bank.sign_in_sessions().find(id, bank.now())?.clone();
            Ok(Self { id: id.to_owned(), session, language })
        });
        session.map_err(|reason| bank.session_ended_page(language, reason))
    }
}

impl FormSession for CurrentSignIn {
    fn csrf_token(&self) -> &str {
        &self.session.csrf_token
    }
}

impl Bank {
    /// Returns the path of the first page that the customer sees: the requested data or the sign-in form.
    fn first_page(&self) -> &'static str {
        if self.profile().shows_request_first { "/request" } else { "/sign-in" }
    }

    /// Returns true if the customer must agree to the requested data before signing in.
    fn must_show_request(&self, session: &SignInSession) -> bool {
        self.profile().shows_request_first && !session.agreed_to_request
    }

    /// Ends a sign-in session and redirects the browser to the client.
    fn finish_sign_in(
        &self,
        id: &str,
        session: &SignInSession,
        reason: SessionEndReason,
        result: (&str, &str),
    ) -> Response {
        self.sign_in_sessions().finish(id, reason);
        redirect_to_client(self, &session.request.redirect_uri, session.request.state.as_deref(), result)
    }

    /// Finds the authorization request of a browser: in its parameters, or among the pushed ones. The error is the response to a
    /// request that cannot be used.
    fn find_authorization_request(
        &self,
        language: SandboxLanguage,
        query: &FormFields,
    ) -> Result<AuthorizeParams, Box<Response>> {
        let client_id = query.get("client_id").unwrap_or_default();
        let must_be_pushed = matches!(self.settings().security, SecurityProfile::Fapi(_));
        if let Some(uri) = query.get("request_uri").filter(|_| must_be_pushed) {
            let pushed = self.pushed_requests().take(uri, client_id, self.now());
            let expired = || Box::new(self.session_ended_page(language, SessionEndReason::Expired));
            return pushed.ok_or_else(expired);
        }
        let redirect_uri = query.get("redirect_uri").unwrap_or_default();
        // Without a registered redirect URI the browser must not be redirected (RFC 6749, section 4.1.2.1).
        if !self.is_redirect_uri_registered(client_id, redirect_uri) {
            return Err(Box::new(self.message_page(language, StatusCode::BAD_REQUEST, "unknown-app")));
        }
        let reject =
            |code| Box::new(redirect_to_client(self, redirect_uri, query.get("state"), ("error", code)));
        // RFC 9126 §4: the bank accepts only pushed requests.
        if must_be_pushed {
            return Err(reject("invalid_request"));
        }
        self.read_authorization_request(client_id, redirect_uri, query).map_err(reject)
    }

    fn signed_in_customer(&self, session: &SignInSession) -> Option<&'static BankCustomer> {
        session.username.as_deref().and_then(|username| self.profile().catalog.find_customer(username))
    }
}

pub(super) fn render_sign_in(
    frame: BankPageFrame,
    csrf_token: &str,
    username: &str,
    has_failed: bool,
) -> Response {
    let is_for_consents = frame.path == "/consents";
    let (action, lead_key) =
        if is_for_consents { ("/consents", "bank-lead-consents") } else { ("/sign-in", "bank-lead-sign-in") };
    let status = if has_failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    render_page(status, &SignInPage { frame, action, lead_key, csrf_token, username, has_failed })
}

async fn authorize(
    State(bank): State<Bank>,
    Extension(language): Extension<SandboxLanguage>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = FormFields::parse(query.unwrap_or_default().as_bytes());
    let request = match bank.find_authorization_request(language, &query) {
        Ok(request) => request,
        Err(response) => return *response,
    };
    let (Ok(id), Ok(csrf_token)) = (generate_secret(), generate_secret()) else {
        return internal_error();
    };
    // The cookie lives longer than the session, so that the bank can tell an expired session from an unknown one.
    let cookie = bank.set_cookie("visit", &id, 3_600);
    bank.sign_in_sessions().begin(id, request, language, csrf_token, bank.now());
    ([(header::SET_COOKIE, cookie)], Redirect::to(bank.first_page())).into_response()
}

async fn show_request(
    State(bank): State<Bank>,
    CurrentSignIn { session, language, .. }: CurrentSignIn,
) -> Response {
    if !bank.must_show_request(&session) {
        return redirect_to("/sign-in");
    }
    let scopes = scope::find_labels(&session.request.scope);
    let frame = bank.page_frame(language, "");
    render_page(StatusCode::OK, &RequestPage { frame, csrf_token: &session.csrf_token, scopes })
}

async fn decide_request(
    State(bank): State<Bank>,
    VerifiedForm(CurrentSignIn { id, session, .. }, form): VerifiedForm<CurrentSignIn>,
) -> Response {
    if form.get("decision") != Some("approve") {
        return bank.finish_sign_in(&id, &session, SessionEndReason::Declined, ("error", "access_denied"));
    }
    bank.sign_in_sessions().record_agreement(&id);
    redirect_to("/sign-in")
}

async fn show_sign_in(
    State(bank): State<Bank>,
    CurrentSignIn { session, language, .. }: CurrentSignIn,
) -> Response {
    if bank.must_show_request(&session) {
        return redirect_to("/request");
    }
    render_sign_in(bank.page_frame(language, ""), &session.csrf_token, "", false)
}

async fn sign_in(
    State(bank): State<Bank>,
    VerifiedForm(CurrentSignIn { id, session, language }, form): VerifiedForm<CurrentSignIn>,
) -> Response {
    if bank.must_show_request(&session) {
        return redirect_to("/request");
    }
    let username = form.get("username").unwrap_or_default().trim();
    let Some(customer) = bank.identify(username, form.get("password").unwrap_or_default()) else {
        return render_sign_in(bank.page_frame(language, ""), &session.csrf_token, username, true);
    };
    let Ok(csrf_token) = generate_secret() else { return internal_error() };
    bank.sign_in_sessions().sign_in(&id, customer.username, csrf_token);
    redirect_to("/consent")
}

async fn show_consent(
    State(bank): State<Bank>,
    CurrentSignIn { session, language, .. }: CurrentSignIn,
) -> Response {
    match bank.signed_in_customer(&session) {
        Some(customer) => render_account_choice(&bank, language, &session, customer, false),
        None => redirect_to(bank.first_page()),
    }
}

fn render_account_choice(
    bank: &Bank,
    language: SandboxLanguage,
    session: &SignInSession,
    customer: &BankCustomer,
    none_chosen: bool,
) -> Response {
    let status = if none_chosen { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = ChooseAccountsPage {
        frame: bank.page_frame(language, ""),
        csrf_token: &session.csrf_token,
        first_name: customer.first_name,
        choices: bank.ledger().choices(customer),
        scopes: scope::find_labels(&session.request.scope),
        none_chosen,
    };
    render_page(status, &page)
}

async fn decide_consent(
    State(bank): State<Bank>,
    VerifiedForm(CurrentSignIn { id, session, language }, form): VerifiedForm<CurrentSignIn>,
) -> Response {
    let Some(customer) = bank.signed_in_customer(&session) else {
        return redirect_to(bank.first_page());
    };
    if form.get("decision") != Some("approve") {
        return bank.finish_sign_in(&id, &session, SessionEndReason::Declined, ("error", "access_denied"));
    }
    // Only the customer's own accounts count, whatever ids the form contains.
    let offered = bank.ledger().choices(customer).into_iter().map(|choice| choice.id);
    let accounts: Vec<String> = offered
        .filter(|id| form.get_all("accounts").any(|chosen| chosen == *id))
        .map(str::to_owned)
        .collect();
    if accounts.is_empty() {
        return render_account_choice(&bank, language, &session, customer, true);
    }
    let Ok(code) = generate_secret() else { return internal_error() };
    let (request, username) = (session.request.clone(), customer.username.to_owned());
    bank.sign_in_sessions().issue_code(hash(&code), request, username, accounts, bank.now());
    bank.finish_sign_in(&id, &session, SessionEndReason::Approved, ("code", &code))
}

/// Redirects the browser to the client, with the result (a parameter name and its value) and the issuer (RFC 9207).
fn redirect_to_client(
    bank: &Bank,
    redirect_uri: &str,
    state: Option<&str>,
    (name, value): (&str, &str),
) -> Response {
    let Ok(mut url) = url::Url::parse(redirect_uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    url.query_pairs_mut().append_pair(name, value).append_pair("iss", &bank.settings().origin);
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Redirect::to(url.as_str()).into_response()
}
