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

use super::hub::{Connection, Hub};
use super::notice::Notice;
use super::panel::{Door, Exchange, Step};
use super::{Demo, broken, pages};
use crate::browser;
use crate::random::{equal, fresh, hash};
use crate::text::Text;

const LIFE: i64 = 3_600_000;
const MOST: usize = 1_000;
const COOKIE: &str = "demo_session";

/// What is remembered of a browser.
#[derive(Default)]
pub(super) struct Session {
    id: String,
    seen_at: i64,
    text: Option<Text>,
    /// Stands in every form: a page of another site cannot know it.
    pub(super) form_token: String,
    pub(super) asked: Option<Asked>,
    pub(super) connections: Vec<Connection>,
    last: Step,
}

/// An authorization that was asked for and has not come back.
pub(super) struct Asked {
    pub(super) state: String,
    pub(super) sent: Exchange,
    /// All but the code and the tokens.
    pub(super) connection: Connection,
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
    fn find_or_begin(&mut self, id: Option<&str>, now: i64) -> io::Result<Arc<Mutex<Session>>> {
        self.0.retain(|_, session| now < locked(session).seen_at + LIFE);
        if let Some(known) = id.and_then(|id| self.0.get(&hash(id))) {
            locked(known).seen_at = now;
            return Ok(Arc::clone(known));
        }
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, session)| locked(session).seen_at);
            let oldest = oldest.map(|(key, _)| key.clone()).unwrap_or_default();
            self.0.remove(&oldest);
        }
        let session = Session { seen_at: now, form_token: fresh()?, ..Session::default() };
        let session = Arc::new(Mutex::new(session));
        self.name(&session)?;
        Ok(session)
    }

    /// Gives a session another id.
    fn name(&mut self, session: &Arc<Mutex<Session>>) -> io::Result<()> {
        let id = fresh()?;
        self.0.insert(hash(&id), Arc::clone(session));
        let former = std::mem::replace(&mut locked(session).id, id);
        self.0.remove(&hash(&former));
        Ok(())
    }
}

fn locked(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request of a browser.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) demo: Demo,
    session: Arc<Mutex<Session>>,
    pub(super) text: Text,
    /// This page in the other language.
    pub(super) other: String,
    switched: bool,
}

impl Visit {
    pub(super) fn of(demo: Demo, request: &Request) -> io::Result<Self> {
        let id = browser::cookie(request.headers(), COOKIE);
        let session = demo.sessions().find_or_begin(id, (demo.0.settings.clock)())?;
        let query = request.uri().query().unwrap_or_default();
        let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let asked = pairs.iter().find(|(name, _)| name == "lang").and_then(|(_, tag)| Text::from_tags(tag));
        let chosen = asked.or(locked(&session).text);
        locked(&session).text = chosen;
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|tags| tags.to_str().ok());
        let text = chosen.or_else(|| Text::from_tags(accepted?)).unwrap_or(Text::En);
        let page = request.method() == Method::GET && request.uri().path() != "/callback";
        pairs.retain(|(name, _)| page && name != "lang");
        pairs.push(("lang".into(), text.other().lang().into()));
        let other = pages::link(if page { request.uri().path() } else { "/" }, pairs);
        Ok(Self { demo, session, text, other, switched: asked.is_some() })
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        locked(&self.session)
    }

    /// A step at the hub begins; what came before stands in the log.
    pub(super) const fn hub(&self, connection: Connection, log: Vec<Exchange>) -> Hub<'_> {
        Hub { visit: self, connection, log }
    }

    /// Gives the session another id, so that one planted in the browser before is worth nothing.
    pub(super) fn renew(&self) -> Result<(), StatusCode> {
        self.demo.sessions().name(&self.session).map_err(broken)
    }

    /// Remembers a step for the page that follows, and leads there.
    pub(super) fn did(&self, notice: Notice, exchanges: Vec<Exchange>, doors: Vec<Door>) -> Redirect {
        let good = notice.key == "demo-done-connected";
        self.session().last = Step::new(notice, exchanges, doors);
        Redirect::to(if good { "/accounts" } else { "/" })
    }

    /// What the panel shows on this page, with what the page itself did.
    pub(super) fn step(&self, exchanges: Vec<Exchange>) -> Step {
        self.session().last.shown(exchanges, self.switched)
    }

    /// `Lax`, because the customer comes back from another site by a link.
    pub(super) fn cookie(&self) -> String {
        let secure = if self.demo.0.settings.origin.starts_with("https:") { "; Secure" } else { "" };
        let (id, age) = (self.session().id.clone(), LIFE / 1000);
        format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
    }
}

/// The fields of a form that came from a page of ours. There is no other way to get at them.
pub(super) struct Posted(pub(super) Visit, pub(super) HashMap<String, String>);

impl FromRequest<Demo> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, demo: &Demo) -> Result<Self, Response> {
        let visit = request.extensions().get::<Visit>().cloned().ok_or(());
        let visit = visit.map_err(|()| broken(()).into_response())?;
        let ours = browser::from_origin(request.headers(), &demo.0.settings.origin);
        let form = Form::<HashMap<String, String>>::from_request(request, demo).await;
        let Form(fields) = form.map_err(IntoResponse::into_response)?;
        let right = fields.get("form_token").is_some_and(|token| equal(token, &visit.session().form_token));
        if ours && right {
            return Ok(Self(visit, fields));
        }
        Err(pages::message(&visit, &Notice::new("demo-form", 403), Vec::new()).into_response())
    }
}

/// The connection that a form of ours names.
pub(super) struct Chosen(pub(super) Visit, pub(super) Connection);

impl FromRequest<Demo> for Chosen {
    type Rejection = Response;

    async fn from_request(request: Request, demo: &Demo) -> Result<Self, Response> {
        let Posted(visit, form) = Posted::from_request(request, demo).await?;
        let known = form.get("bank").and_then(|bank| visit.session().connection(bank));
        known.map(|connection| Self(visit, connection)).ok_or_else(|| Redirect::to("/").into_response())
    }
}
