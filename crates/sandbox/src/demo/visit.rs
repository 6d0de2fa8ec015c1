//! Lesson 1 of the demo app's tutorial, after `session`: one request of a browser, with its session and language.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::Request;
use axum::http::{Method, header};
use axum::response::Redirect;

use super::notice::CustomerNotice;
use super::panel::{DemoStep, EndpointProbe, LoggedExchange};
use super::session::{SESSION_TTL_MS, Session, lock_session};
use super::state::Demo;
use crate::browser;
use crate::language::SandboxLanguage;

const COOKIE: &str = "demo_session";

/// One request of a browser, with its session and language.
#[derive(Clone)]
pub(super) struct DemoVisit {
    pub(super) demo: Demo,
    session: Arc<Mutex<Session>>,
    pub(super) language: SandboxLanguage,
    /// The link to the requested page in the other language.
    pub(super) other_language_link: String,
    language_switched: bool,
}

impl DemoVisit {
    pub(super) fn from_request(demo: Demo, request: &Request) -> io::Result<Self> {
        let id = browser::find_cookie(request.headers(), COOKIE);
        let session = demo.sessions().find_or_begin(id, demo.now())?;
        let query = request.uri().query().unwrap_or_default();
        let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let requested = pairs
            .iter()
            .find(|(name, _)| name == "lang")
            .and_then(|(_, tag)| SandboxLanguage::from_tags(tag));
        let chosen = requested.or(lock_session(&session).language);
        lock_session(&session).language = chosen;
        // A language from `Accept-Language` is not stored: only an explicit choice is.
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|tags| tags.to_str().ok());
        let language =
            chosen.or_else(|| SandboxLanguage::from_tags(accepted?)).unwrap_or(SandboxLanguage::En);
        // Only a page can be requested again in the other language. A form or a callback links to the home page.
        let is_page = request.method() == Method::GET && request.uri().path() != "/callback";
        pairs.retain(|(name, _)| is_page && name != "lang");
        pairs.push(("lang".into(), language.other().lang().into()));
        let path = if is_page { request.uri().path() } else { "/" };
        let other_language_link = browser::build_link(path, pairs);
        Ok(Self { demo, session, language, other_language_link, language_switched: requested.is_some() })
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        lock_session(&self.session)
    }

    /// Replaces the session id, so that an id that was planted in the browser before becomes useless (session
    /// fixation).
    pub(super) fn renew_session_id(&self) -> io::Result<()> {
        self.demo.sessions().assign_id(&self.session)
    }

    /// Stores the result of a step (a connect, refresh or disconnect) for the next page, and redirects to that page.
    pub(super) fn finish_step(
        &self,
        notice: CustomerNotice,
        exchanges: Vec<LoggedExchange>,
        probes: Vec<EndpointProbe>,
    ) -> Redirect {
        let is_connected = notice.key == "demo-done-connected";
        self.session().store_step(notice, exchanges, probes);
        Redirect::to(if is_connected { "/accounts" } else { "/" })
    }

    pub(super) fn current_step(&self, exchanges: Vec<LoggedExchange>) -> DemoStep {
        self.session().current_step(exchanges, self.language_switched)
    }

    /// Builds the `Set-Cookie` value with the id of the session.
    pub(super) fn session_cookie(&self) -> String {
        let secure = if self.demo.settings().origin.starts_with("https:") { "; Secure" } else { "" };
        let (id, max_age) = (self.session().id().to_owned(), SESSION_TTL_MS / 1000);
        // `Lax` and not `Strict`: the browser comes back from the hub by a redirect from another site.
        format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}")
    }
}
