//! The pages on which a customer sees the active consents and ends them at the bank.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::super::consent_sessions::ConsentSession;
use super::super::grants::GrantRecord;
use super::super::ledger::BankCustomer;
use super::super::scope::{self, ScopeLabel};
use super::super::state::Bank;
use super::flow::render_sign_in;
use super::form::{FormSession, VerifiedForm, request_language};
use super::page::{BankPageFrame, internal_error, redirect_to, render_page};
use crate::language::SandboxLanguage;
use crate::random::generate_secret;

const PATH: &str = "/consents";
/// The maximum number of ended consents that the page lists.
const MAX_ENDED_SHOWN: usize = 10;

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route(PATH, get(show_consents).post(sign_in))
        .route("/consents/end", post(end_consent))
        .route("/consents/sign-out", post(sign_out))
}

/// A consent as the page of consents shows it, with formatted dates.
struct ConsentView {
    id: String,
    scopes: Vec<&'static ScopeLabel>,
    accounts: Vec<String>,
    granted_on: String,
    last_used_on: Option<String>,
    ended_on: Option<String>,
}

#[derive(Template)]
#[template(path = "bank/consents.html")]
struct ConsentsPage<'a> {
    frame: BankPageFrame,
    csrf_token: &'a str,
    first_name: &'a str,
    /// All active consents, then some of the ended ones.
    consents: Vec<ConsentView>,
    active_count: usize,
    just_ended: bool,
}

/// The consent session of the browser, found by its cookie. A form without a session is rejected like a foreign
/// form.
struct CurrentConsentSession {
    id: String,
    session: ConsentSession,
    language: SandboxLanguage,
}

impl FromRequestParts<Bank> for CurrentConsentSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, Response> {
        let language = request_language(parts, bank);
        let session = bank.find_consent_session(&parts.headers);
        session
            .map(|(id, session)| Self { id, session, language })
            .ok_or_else(|| bank.reject_foreign_form(language))
    }
}

impl FormSession for CurrentConsentSession {
    fn csrf_token(&self) -> &str {
        &self.session.csrf_token
    }
}

impl Bank {
    fn find_consent_session(&self, headers: &HeaderMap) -> Option<(String, ConsentSession)> {
        let id = self.find_cookie(headers, "customer")?;
        Some((id.to_owned(), self.consent_sessions().find(id, self.now())?.clone()))
    }

    /// Begins a consent session, and returns its `Set-Cookie` value and its CSRF token.
    fn begin_consent_session(&self, username: Option<&str>) -> std::io::Result<(String, String)> {
        let (id, csrf_token) = (generate_secret()?, generate_secret()?);
        let cookie = self.set_cookie("customer", &id, 900);
        self.consent_sessions().begin(id, csrf_token.clone(), username.map(str::to_owned), self.now());
        Ok((cookie, csrf_token))
    }
}

async fn show_consents(
    State(bank): State<Bank>,
    Extension(language): Extension<SandboxLanguage>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let frame = bank.page_frame(language, PATH);
    let Some((_, session)) = bank.find_consent_session(&headers) else {
        return match bank.begin_consent_session(None) {
            Ok((cookie, csrf_token)) => {
                let page = render_sign_in(frame, &csrf_token, "", false);
                ([(header::SET_COOKIE, cookie)], page).into_response()
            }
            Err(_) => internal_error(),
        };
    };
    let username = session.username.as_deref();
    let Some(customer) = username.and_then(|name| bank.profile().catalog.find_customer(name)) else {
        return render_sign_in(frame, &session.csrf_token, "", false);
    };
    let consents = list_consents(&bank, &frame, customer);
    let page = ConsentsPage {
        csrf_token: &session.csrf_token,
        first_name: customer.first_name,
        active_count: consents.iter().filter(|consent| consent.ended_on.is_none()).count(),
        consents,
        just_ended: query.as_deref() == Some("ended"),
        frame,
    };
    render_page(StatusCode::OK, &page)
}

fn list_consents(bank: &Bank, frame: &BankPageFrame, customer: &BankCustomer) -> Vec<ConsentView> {
    let choices = bank.ledger().choices(customer);
    let account_name = |id: &String| {
        let choice = choices.iter().find(|choice| choice.id == id);
        choice.map_or_else(|| id.clone(), |choice| format!("{} {}", choice.name, choice.number))
    };
    let to_view = |record: GrantRecord| ConsentView {
        scopes: scope::find_labels(&record.grant.scope),
        accounts: record.grant.accounts.iter().map(account_name).collect(),
        granted_on: frame.format_day(record.grant.granted_at),
        last_used_on: record.last_used_at.map(|at| frame.format_day(at)),
        ended_on: record.ended_at.map(|at| frame.format_day(at)),
        id: record.grant.id,
    };
    // The active grants come first in the list, so `take` drops only old ended ones.
    let records = bank.grants().list_for_customer(customer.username);
    let active_count = records.iter().filter(|record| record.ended_at.is_none()).count();
    records.into_iter().take(active_count + MAX_ENDED_SHOWN).map(to_view).collect()
}

async fn sign_in(
    State(bank): State<Bank>,
    VerifiedForm(current, form): VerifiedForm<CurrentConsentSession>,
) -> Response {
    let CurrentConsentSession { id, session, language } = current;
    let username = form.get("username").unwrap_or_default().trim();
    let Some(customer) = bank.identify(username, form.get("password").unwrap_or_default()) else {
        return render_sign_in(bank.page_frame(language, PATH), &session.csrf_token, username, true);
    };
    // The sign-in starts a new session with a new cookie, so that a cookie that was planted in the browser before the
    // sign-in never becomes an authenticated session (session fixation).
    bank.consent_sessions().end(&id);
    match bank.begin_consent_session(Some(customer.username)) {
        Ok((cookie, _)) => ([(header::SET_COOKIE, cookie)], Redirect::to(PATH)).into_response(),
        Err(_) => internal_error(),
    }
}

async fn end_consent(
    State(bank): State<Bank>,
    VerifiedForm(CurrentConsentSession { session, .. }, form): VerifiedForm<CurrentConsentSession>,
) -> Response {
    let id = form.get("grant_id").unwrap_or_default();
    let mut grants = bank.grants();
    let is_own = grants.find_active(id).is_some_and(|g| Some(&g.username) == session.username.as_ref());
    if is_own && bank.end_grant(&mut grants, id).is_err() {
        return internal_error();
    }
    redirect_to(if is_own { "/consents?ended" } else { PATH })
}

async fn sign_out(
    State(bank): State<Bank>,
    VerifiedForm(CurrentConsentSession { id, .. }, _): VerifiedForm<CurrentConsentSession>,
) -> Response {
    bank.consent_sessions().end(&id);
    redirect_to(PATH)
}
