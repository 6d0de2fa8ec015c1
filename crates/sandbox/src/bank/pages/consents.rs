//! Where a customer sees who may read what, and ends it: a consent that ends at the bank.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::super::Bank;
use super::super::grants::GrantRecord;
use super::super::scope::{self, ScopeLabel};
use super::super::stays::ConsentSession;
use super::flow::render_sign_in;
use super::form::{FormSession, VerifiedForm, request_language};
use super::{Shell, internal_error, redirect_to, render_page};
use crate::text::SandboxLanguage;

const PATH: &str = "/consents";
/// Ended consents that are still shown.
const MAX_ENDED_SHOWN: usize = 10;

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route(PATH, get(show_consents).post(sign_in))
        .route("/consents/end", post(end_consent))
        .route("/consents/sign-out", post(sign_out))
}

/// A consent as its customer sees it.
struct ConsentView {
    id: String,
    words: Vec<&'static ScopeLabel>,
    accounts: Vec<String>,
    granted: String,
    used: Option<String>,
    ended: Option<String>,
}

#[derive(Template)]
#[template(path = "bank/consents.html")]
struct ConsentsPage<'a> {
    shell: Shell,
    csrf_token: &'a str,
    first_name: &'a str,
    /// Those that live, then some that ended.
    listed: Vec<ConsentView>,
    live: usize,
    just_ended: bool,
}

/// The stay of this browser, by its cookie; a form without one is as good as foreign.
struct CurrentConsentSession {
    id: String,
    session: ConsentSession,
    text: SandboxLanguage,
}

impl FromRequestParts<Bank> for CurrentConsentSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, Response> {
        let text = request_language(parts, bank);
        let stay = bank.find_consent_session(&parts.headers);
        stay.map(|(id, stay)| Self { id, session: stay, text }).ok_or_else(|| bank.reject_foreign_form(text))
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

    /// Begins a stay: its cookie and its form token.
    fn begin_consent_session(&self, username: Option<&str>) -> std::io::Result<(String, String)> {
        let (id, csrf_token) = (crate::random::generate_secret()?, crate::random::generate_secret()?);
        let cookie = self.set_cookie("customer", &id, 900);
        self.consent_sessions().begin(id, csrf_token.clone(), username.map(str::to_owned), self.now());
        Ok((cookie, csrf_token))
    }
}

async fn show_consents(
    State(bank): State<Bank>,
    Extension(text): Extension<SandboxLanguage>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let shell = bank.shell(text, PATH);
    let stay = bank.find_consent_session(&headers).map(|(_, stay)| stay);
    let person = stay.as_ref().and_then(|s| bank.0.profile.books.find_customer(s.username.as_deref()?));
    if let (Some(stay), Some(person)) = (&stay, person) {
        let listed = list_consents(&bank, &shell, person.username);
        let page = ConsentsPage {
            csrf_token: &stay.csrf_token,
            first_name: person.first,
            live: listed.iter().filter(|c| c.ended.is_none()).count(),
            listed,
            just_ended: query.as_deref() == Some("ended"),
            shell,
        };
        return render_page(StatusCode::OK, &page);
    }
    if let Some(stay) = stay {
        return render_sign_in(shell, &stay.csrf_token, "", false);
    }
    match bank.begin_consent_session(None) {
        Ok((cookie, csrf_token)) => {
            ([(header::SET_COOKIE, cookie)], render_sign_in(shell, &csrf_token, "", false)).into_response()
        }
        Err(_) => internal_error(),
    }
}

fn list_consents(bank: &Bank, shell: &Shell, username: &str) -> Vec<ConsentView> {
    let names =
        bank.0.profile.books.find_customer(username).map(|p| bank.book().choices(p)).unwrap_or_default();
    let name = |id: &String| {
        let choice = names.iter().find(|choice| choice.id == id);
        choice.map_or_else(|| id.clone(), |choice| format!("{} {}", choice.name, choice.number))
    };
    let to_view = |kept: GrantRecord| ConsentView {
        words: scope::find_labels(&kept.grant.scope),
        accounts: kept.grant.accounts.iter().map(name).collect(),
        granted: shell.day(kept.grant.granted_at),
        used: kept.last_used_at.map(|at| shell.day(at)),
        ended: kept.ended_at.map(|at| shell.day(at)),
        id: kept.grant.id,
    };
    let records = bank.grants().list_for_customer(username);
    let active = records.iter().filter(|kept| kept.ended_at.is_none()).count();
    records.into_iter().take(active + MAX_ENDED_SHOWN).map(to_view).collect()
}

async fn sign_in(
    State(bank): State<Bank>,
    VerifiedForm(CurrentConsentSession { id, session: stay, text }, form): VerifiedForm<
        CurrentConsentSession,
    >,
) -> Response {
    let username = form.get("username").unwrap_or_default().trim();
    let Some(person) = bank.identify(username, form.get("password").unwrap_or_default()) else {
        return render_sign_in(bank.shell(text, PATH), &stay.csrf_token, username, true);
    };
    bank.consent_sessions().end(&id);
    match bank.begin_consent_session(Some(person.username)) {
        Ok((cookie, _)) => ([(header::SET_COOKIE, cookie)], Redirect::to(PATH)).into_response(),
        Err(_) => internal_error(),
    }
}

async fn end_consent(
    State(bank): State<Bank>,
    VerifiedForm(CurrentConsentSession { session: stay, .. }, form): VerifiedForm<CurrentConsentSession>,
) -> Response {
    let id = form.get("grant_id").unwrap_or_default();
    let mut grants = bank.grants();
    let own = grants.find_active(id).is_some_and(|grant| Some(&grant.username) == stay.username.as_ref());
    if own && bank.end_grant(&mut grants, id).is_err() {
        return internal_error();
    }
    redirect_to(if own { "/consents?ended" } else { PATH })
}

async fn sign_out(
    State(bank): State<Bank>,
    VerifiedForm(CurrentConsentSession { id, .. }, _): VerifiedForm<CurrentConsentSession>,
) -> Response {
    bank.consent_sessions().end(&id);
    redirect_to(PATH)
}
