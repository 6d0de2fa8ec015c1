//! Lesson 1: a browser holds a random id and nothing else. Tokens stay here, on the server.
//!
//! Sessions live in memory, bounded and for an hour; an app with customers keeps its connections in a database.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::hub::{BankConnection, HubClient};
use super::notice::CustomerNotice;
use super::panel::{DemoStep, EndpointProbe, LoggedExchange};
use super::{Demo, internal_error, pages};
use crate::browser;
use crate::random::{constant_time_eq, generate_secret, hash};
use crate::text::SandboxLanguage;

const SESSION_TTL_MS: i64 = 3_600_000;
const MAX_SESSIONS: usize = 1_000;
const COOKIE: &str = "demo_session";

/// What is remembered of a browser.
#[derive(Default)]
pub(super) struct Session {
    id: String,
    last_seen_at: i64,
    language: Option<SandboxLanguage>,
    /// Stands in every form: a page of another site cannot know it.
    pub(super) csrf_token: String,
    pub(super) pending: Option<PendingAuthorization>,
    pub(super) connections: Vec<BankConnection>,
    last_step: DemoStep,
}

/// An authorization that was asked for and has not come back.
pub(super) struct PendingAuthorization {
    pub(super) state: String,
    pub(super) exchange: LoggedExchange,
    /// All but the code and the tokens.
    pub(super) connection: BankConnection,
}

impl Session {
    pub(super) fn find_connection(&self, bank: &str) -> Option<BankConnection> {
        self.connections.iter().find(|known| known.bank == bank).cloned()
    }

    /// Keeps a refreshed token, unless the connection went meanwhile.
    pub(super) fn store_refreshed(&mut self, refreshed: &BankConnection) {
        if let Some(known) = self.connections.iter_mut().find(|known| known.code == refreshed.code) {
            known.clone_from(refreshed);
        }
    }
}

/// Sessions by the hash of their id: the time of a lookup tells nothing of an id.
#[derive(Default)]
pub(super) struct Sessions(HashMap<String, Arc<Mutex<Session>>>);

impl Sessions {
    fn find_or_begin(&mut self, id: Option<&str>, now: i64) -> io::Result<Arc<Mutex<Session>>> {
        self.0.retain(|_, session| now < lock_session(session).last_seen_at + SESSION_TTL_MS);
        if let Some(known) = id.and_then(|id| self.0.get(&hash(id))) {
            lock_session(known).last_seen_at = now;
            return Ok(Arc::clone(known));
        }
        if self.0.len() >= MAX_SESSIONS {
            let oldest = self.0.iter().min_by_key(|(_, session)| lock_session(session).last_seen_at);
            let oldest = oldest.map(|(key, _)| key.clone()).unwrap_or_default();
            self.0.remove(&oldest);
        }
        let session = Session { last_seen_at: now, csrf_token: generate_secret()?, ..Session::default() };
        let session = Arc::new(Mutex::new(session));
        self.assign_id(&session)?;
        Ok(session)
    }

    /// Gives a session another id.
    fn assign_id(&mut self, session: &Arc<Mutex<Session>>) -> io::Result<()> {
        let id = generate_secret()?;
        self.0.insert(hash(&id), Arc::clone(session));
        let previous = std::mem::replace(&mut lock_session(session).id, id);
        self.0.remove(&hash(&previous));
        Ok(())
    }
}

fn lock_session(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request of a browser.
#[derive(Clone)]
pub(super) struct DemoVisit {
    pub(super) demo: Demo,
    session: Arc<Mutex<Session>>,
    pub(super) text: SandboxLanguage,
    /// This page in the other language.
    pub(super) other: String,
    language_switched: bool,
}

impl DemoVisit {
    pub(super) fn from_request(demo: Demo, request: &Request) -> io::Result<Self> {
        let id = browser::find_cookie(request.headers(), COOKIE);
        let session = demo.sessions().find_or_begin(id, (demo.0.settings.clock)())?;
        let query = request.uri().query().unwrap_or_default();
        let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let requested = pairs
            .iter()
            .find(|(name, _)| name == "lang")
            .and_then(|(_, tag)| SandboxLanguage::from_tags(tag));
        let chosen = requested.or(lock_session(&session).language);
        lock_session(&session).language = chosen;
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|tags| tags.to_str().ok());
        let text = chosen.or_else(|| SandboxLanguage::from_tags(accepted?)).unwrap_or(SandboxLanguage::En);
        let page = request.method() == Method::GET && request.uri().path() != "/callback";
        pairs.retain(|(name, _)| page && name != "lang");
        pairs.push(("lang".into(), text.other().lang().into()));
        let other = pages::build_link(if page { request.uri().path() } else { "/" }, pairs);
        Ok(Self { demo, session, text, other, language_switched: requested.is_some() })
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        lock_session(&self.session)
    }

    /// A step at the hub begins; what came before stands in the log.
    pub(super) const fn hub_client(
        &self,
        connection: BankConnection,
        log: Vec<LoggedExchange>,
    ) -> HubClient<'_> {
        HubClient { visit: self, connection, log }
    }

    /// Gives the session another id, so that one planted in the browser before is worth nothing.
    pub(super) fn renew_session_id(&self) -> Result<(), StatusCode> {
        self.demo.sessions().assign_id(&self.session).map_err(internal_error)
    }

    /// Remembers a step for the page that follows, and leads there.
    pub(super) fn finish_step(
        &self,
        notice: CustomerNotice,
        exchanges: Vec<LoggedExchange>,
        doors: Vec<EndpointProbe>,
    ) -> Redirect {
        let good = notice.key == "demo-done-connected";
        self.session().last_step = DemoStep::new(notice, exchanges, doors);
        Redirect::to(if good { "/accounts" } else { "/" })
    }

    /// What the panel shows on this page, with what the page itself did.
    pub(super) fn current_step(&self, exchanges: Vec<LoggedExchange>) -> DemoStep {
        self.session().last_step.show(exchanges, self.language_switched)
    }

    /// `Lax`, because the customer comes back from another site by a link.
    pub(super) fn session_cookie(&self) -> String {
        let secure = if self.demo.0.settings.origin.starts_with("https:") { "; Secure" } else { "" };
        let (id, age) = (self.session().id.clone(), SESSION_TTL_MS / 1000);
        format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
    }
}

/// The fields of a form that came from a page of ours. There is no other way to get at them.
pub(super) struct DemoForm(pub(super) DemoVisit, pub(super) HashMap<String, String>);

impl FromRequest<Demo> for DemoForm {
    type Rejection = Response;

    async fn from_request(request: Request, demo: &Demo) -> Result<Self, Response> {
        let visit = request.extensions().get::<DemoVisit>().cloned().ok_or(());
        let visit = visit.map_err(|()| internal_error(()).into_response())?;
        let is_same_origin = browser::is_from_origin(request.headers(), &demo.0.settings.origin);
        let form = Form::<HashMap<String, String>>::from_request(request, demo).await;
        let Form(fields) = form.map_err(IntoResponse::into_response)?;
        let right = fields
            .get("csrf_token")
            .is_some_and(|token| constant_time_eq(token, &visit.session().csrf_token));
        if is_same_origin && right {
            return Ok(Self(visit, fields));
        }
        Err(pages::render_message(&visit, &CustomerNotice::new("demo-form", 403), Vec::new()).into_response())
    }
}

/// The connection that a form of ours names.
pub(super) struct ChosenConnection(pub(super) DemoVisit, pub(super) BankConnection);

impl FromRequest<Demo> for ChosenConnection {
    type Rejection = Response;

    async fn from_request(request: Request, demo: &Demo) -> Result<Self, Response> {
        let DemoForm(visit, form) = DemoForm::from_request(request, demo).await?;
        let known = form.get("bank").and_then(|bank| visit.session().find_connection(bank));
        known.map(|connection| Self(visit, connection)).ok_or_else(|| Redirect::to("/").into_response())
    }
}
