//! Lesson 1: a browser holds a random id and nothing else. Tokens stay here, on the server.
//!
//! Sessions live in memory, bounded and for an hour; an app with customers keeps its connections in a database.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::hub::{Door, Exchange};
use super::notice::Notice;
use super::{Demo, pages};
use crate::random::{equal, fresh, hash};
use crate::text::Text;

const LIFE: i64 = 3_600_000;
const MOST: usize = 1_000;
const COOKIE: &str = "demo_session";

/// What is remembered of a browser.
pub(super) struct Session {
    id: String,
    seen_at: i64,
    text: Option<Text>,
    /// Stands in every form: a page of another site cannot know it.
    pub(super) form_token: String,
    pub(super) asked: Option<Asked>,
    pub(super) connections: Vec<Connection>,
    pub(super) last: Step,
}

/// An authorization that was asked for and has not come back.
pub(super) struct Asked {
    pub(super) state: String,
    pub(super) verifier: String,
    pub(super) bank: String,
    pub(super) sent: Exchange,
}

/// A connection to a bank: what the hub gave for the customer's yes.
#[derive(Clone)]
pub(super) struct Connection {
    /// The `provider_id`, or a word for a bank that was picked at the hub.
    pub(super) bank: String,
    pub(super) access: String,
    pub(super) refresh: String,
    /// Kept for one purpose: to show that it does not work twice.
    pub(super) code: String,
    pub(super) verifier: String,
}

/// What just happened: the panel of every page.
#[derive(Clone, Default)]
pub(super) struct Step {
    pub(super) notice: Option<Notice>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) doors: Vec<Door>,
    shown: bool,
}

impl Session {
    pub(super) fn connection(&self, bank: &str) -> Option<Connection> {
        self.connections.iter().find(|known| known.bank == bank).cloned()
    }

    /// Keeps a refreshed token, unless the connection went meanwhile.
    pub(super) fn keep(&mut self, fresh: &Connection) {
        if let Some(known) = self.connections.iter_mut().find(|known| known.code == fresh.code) {
            known.clone_from(fresh);
        }
    }
}

/// Sessions by the hash of their id: the time of a lookup tells nothing of an id.
#[derive(Default)]
pub(super) struct Sessions(HashMap<String, Arc<Mutex<Session>>>);

impl Sessions {
    fn find(&mut self, id: &str, now: i64) -> Option<Arc<Mutex<Session>>> {
        self.0.retain(|_, session| now < locked(session).seen_at + LIFE);
        let session = self.0.get(&hash(id))?;
        locked(session).seen_at = now;
        Some(Arc::clone(session))
    }

    fn begin(&mut self, now: i64) -> io::Result<Arc<Mutex<Session>>> {
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, session)| locked(session).seen_at);
            let oldest = oldest.map(|(id, _)| id.clone()).unwrap_or_default();
            self.0.remove(&oldest);
        }
        let (id, form_token) = (fresh()?, fresh()?);
        let key = hash(&id);
        let (asked, connections, last) = (None, Vec::new(), Step::default());
        let session = Session { id, seen_at: now, text: None, form_token, asked, connections, last };
        let session = Arc::new(Mutex::new(session));
        self.0.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// Gives a session another id, so that one planted in the browser before is worth nothing.
    pub(super) fn renew(&mut self, visit: &Visit) -> io::Result<()> {
        let id = fresh()?;
        let former = std::mem::replace(&mut visit.session().id, id.clone());
        self.0.remove(&hash(&former));
        self.0.insert(hash(&id), Arc::clone(&visit.session));
        Ok(())
    }
}

fn locked(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request of a browser.
#[derive(Clone)]
pub(super) struct Visit {
    session: Arc<Mutex<Session>>,
    pub(super) text: Text,
    /// This page, as the links to the other language have it.
    pub(super) here: String,
    switched: bool,
}

impl Visit {
    pub(super) fn of(demo: &Demo, request: &Request) -> io::Result<Self> {
        let now = (demo.0.settings.clock)();
        let known = |sessions: &mut Sessions| sessions.find(cookie_of(request.headers())?, now);
        let found = demo.with_sessions(known);
        let session = found.map_or_else(|| demo.with_sessions(|sessions| sessions.begin(now)), Ok)?;
        let query = request.uri().query().unwrap_or_default();
        let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let asked = pairs.iter().find(|(name, _)| name == "lang").and_then(|(_, tag)| Text::from_tags(tag));
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|tags| tags.to_str().ok());
        let remembered = asked.or(locked(&session).text);
        locked(&session).text = remembered;
        let text = remembered.or_else(|| Text::from_tags(accepted?)).unwrap_or(Text::En);
        pairs.retain(|(name, _)| name != "lang");
        let path = request.uri().path();
        let page = request.method() == Method::GET && path != "/callback";
        let here = if page { pages::link(path, &pairs) } else { "/".to_owned() };
        Ok(Self { session, text, here, switched: asked.is_some() })
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        locked(&self.session)
    }

    /// Remembers a step for the page that follows.
    pub(super) fn did(&self, notice: Notice, exchanges: Vec<Exchange>, doors: Vec<Door>) {
        self.session().last = Step { notice: Some(notice), exchanges, doors, shown: false };
    }

    /// What the panel shows: the step that led here, and what this page itself did. A notice is shown once,
    /// and again in the other language.
    pub(super) fn step(&self, exchanges: Vec<Exchange>) -> Step {
        let last = &mut self.session().last;
        if last.shown && !exchanges.is_empty() {
            *last = Step::default();
        }
        if last.shown && !self.switched {
            last.notice = None;
        }
        last.exchanges.extend(exchanges);
        last.shown = true;
        last.clone()
    }

    /// `Lax`, because the customer comes back from another site by a link.
    pub(super) fn cookie(&self, demo: &Demo) -> String {
        let secure = if demo.0.settings.origin.starts_with("https:") { "; Secure" } else { "" };
        let (id, age) = (self.session().id.clone(), LIFE / 1000);
        format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
    }
}

fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let mut cookies = headers.get(header::COOKIE)?.to_str().ok()?.split("; ");
    cookies.find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether the browser says so; a very old one says nothing, and the form's token decides.
fn from_our_page(headers: &HeaderMap, ours: &str) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match header("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => header("origin").is_none_or(|origin| origin == ours),
    }
}

/// The fields of a form that came from a page of ours. There is no other way to get at them.
pub(super) struct Posted(pub(super) HashMap<String, String>);

impl FromRequest<Demo> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, demo: &Demo) -> Result<Self, Response> {
        let Some(visit) = request.extensions().get::<Visit>().cloned() else {
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        let ours = from_our_page(request.headers(), &demo.0.settings.origin);
        let form = Form::<HashMap<String, String>>::from_request(request, demo).await;
        let Form(fields) = form.map_err(IntoResponse::into_response)?;
        let right = fields.get("form_token").is_some_and(|token| equal(token, &visit.session().form_token));
        if ours && right {
            return Ok(Self(fields));
        }
        Err(pages::message(&visit, StatusCode::FORBIDDEN, &Notice::new("demo-form"), Vec::new()))
    }
}
