//! Where a customer sees who may read what, and ends it: a consent that ends at the bank.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::super::Bank;
use super::super::grants::Kept;
use super::super::scope::{self, Word};
use super::super::stays::Stay;
use super::flow::sign_in_page;
use super::form::{Posted, Shown, language};
use super::{Shell, broken, onward, rendered};
use crate::text::Text;

const PATH: &str = "/consents";
/// Ended consents that are still shown.
const ENDED_SHOWN: usize = 10;

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route(PATH, get(show).post(sign_in))
        .route("/consents/end", post(end))
        .route("/consents/sign-out", post(sign_out))
}

/// A consent as its customer sees it.
struct Consent {
    id: String,
    words: Vec<&'static Word>,
    accounts: Vec<String>,
    granted: String,
    used: Option<String>,
    ended: Option<String>,
}

#[derive(Template)]
#[template(path = "bank/consents.html")]
struct Consents<'a> {
    shell: Shell,
    form_token: &'a str,
    first_name: &'a str,
    /// Those that live, then some that ended.
    listed: Vec<Consent>,
    live: usize,
    just_ended: bool,
}

/// The stay of this browser, by its cookie; a form without one is as good as foreign.
struct Stayed {
    id: String,
    stay: Stay,
    text: Text,
}

impl FromRequestParts<Bank> for Stayed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, Response> {
        let text = language(parts, bank);
        let stay = bank.stay(&parts.headers);
        stay.map(|(id, stay)| Self { id, stay, text }).ok_or_else(|| bank.foreign_form(text))
    }
}

impl Shown for Stayed {
    fn form_token(&self) -> &str {
        &self.stay.form_token
    }
}

impl Bank {
    fn stay(&self, headers: &HeaderMap) -> Option<(String, Stay)> {
        let id = self.cookie(headers, "customer")?;
        Some((id.to_owned(), self.stays().of(id, self.now())?.clone()))
    }

    /// Begins a stay: its cookie and its form token.
    fn begin_stay(&self, username: Option<&str>) -> std::io::Result<(String, String)> {
        let (id, form_token) = (crate::random::fresh()?, crate::random::fresh()?);
        let cookie = self.set_cookie("customer", &id, 900);
        self.stays().begin(id, form_token.clone(), username.map(str::to_owned), self.now());
        Ok((cookie, form_token))
    }
}

async fn show(
    State(bank): State<Bank>,
    Extension(text): Extension<Text>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let shell = bank.shell(text, PATH);
    let stay = bank.stay(&headers).map(|(_, stay)| stay);
    let person = stay.as_ref().and_then(|s| bank.0.look.books.person(s.username.as_deref()?));
    if let (Some(stay), Some(person)) = (&stay, person) {
        let listed = consents(&bank, &shell, person.username);
        let page = Consents {
            form_token: &stay.form_token,
            first_name: person.first,
            live: listed.iter().filter(|c| c.ended.is_none()).count(),
            listed,
            just_ended: query.as_deref() == Some("ended"),
            shell,
        };
        return rendered(StatusCode::OK, &page);
    }
    if let Some(stay) = stay {
        return sign_in_page(shell, &stay.form_token, "", false);
    }
    match bank.begin_stay(None) {
        Ok((cookie, form_token)) => {
            ([(header::SET_COOKIE, cookie)], sign_in_page(shell, &form_token, "", false)).into_response()
        }
        Err(_) => broken(),
    }
}

fn consents(bank: &Bank, shell: &Shell, username: &str) -> Vec<Consent> {
    let names = bank.0.look.books.person(username).map(|p| bank.book().choices(p)).unwrap_or_default();
    let name = |id: &String| {
        let choice = names.iter().find(|choice| choice.id == id);
        choice.map_or_else(|| id.clone(), |choice| format!("{} {}", choice.name, choice.number))
    };
    let shown = |kept: Kept| Consent {
        words: scope::known(&kept.grant.scope),
        accounts: kept.grant.accounts.iter().map(name).collect(),
        granted: shell.day(kept.grant.granted_at),
        used: kept.last_used_at.map(|at| shell.day(at)),
        ended: kept.ended_at.map(|at| shell.day(at)),
        id: kept.grant.id,
    };
    let theirs = bank.grants().of(username);
    let live = theirs.iter().filter(|kept| kept.ended_at.is_none()).count();
    theirs.into_iter().take(live + ENDED_SHOWN).map(shown).collect()
}

async fn sign_in(
    State(bank): State<Bank>,
    Posted(Stayed { id, stay, text }, form): Posted<Stayed>,
) -> Response {
    let username = form.get("username").unwrap_or_default().trim();
    let Some(person) = bank.identify(username, form.get("password").unwrap_or_default()) else {
        return sign_in_page(bank.shell(text, PATH), &stay.form_token, username, true);
    };
    bank.stays().end(&id);
    match bank.begin_stay(Some(person.username)) {
        Ok((cookie, _)) => ([(header::SET_COOKIE, cookie)], Redirect::to(PATH)).into_response(),
        Err(_) => broken(),
    }
}

async fn end(State(bank): State<Bank>, Posted(Stayed { stay, .. }, form): Posted<Stayed>) -> Response {
    let id = form.get("grant_id").unwrap_or_default();
    let mut grants = bank.grants();
    let own = grants.live(id).is_some_and(|grant| Some(&grant.username) == stay.username.as_ref());
    if own && bank.end_grant(&mut grants, id).is_err() {
        return broken();
    }
    onward(if own { "/consents?ended" } else { PATH })
}

async fn sign_out(State(bank): State<Bank>, Posted(Stayed { id, .. }, _): Posted<Stayed>) -> Response {
    bank.stays().end(&id);
    onward(PATH)
}
