//! Lesson 1 of the demo app's tutorial: sessions. The browser stores only a random id; tokens stay on the server.
//!
//! The demo keeps its sessions in memory, limited in number and time. A real app keeps connections in a database.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::notice::CustomerNotice;
use super::panel::{DemoStep, EndpointProbe, LoggedExchange};
use crate::language::SandboxLanguage;
use crate::random::{generate_secret, hash};

pub(super) const SESSION_TTL_MS: i64 = 3_600_000;
const MAX_SESSIONS: usize = 1_000;

/// A connection to a bank: the tokens that the hub issued after the customer's consent.
#[derive(Clone, Default)]
pub(super) struct BankConnection {
    /// The `provider_id`, or a generated name for a bank that the customer chose at the hub.
    pub(super) bank: String,
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    /// The used authorization code. The demo keeps it only to show that the hub rejects a second use.
    pub(super) code: String,
    /// The PKCE code verifier of the authorization request.
    pub(super) verifier: String,
}

/// The data that the app keeps for a browser.
#[derive(Default)]
pub(super) struct Session {
    id: String,
    last_seen_at: i64,
    pub(super) language: Option<SandboxLanguage>,
    /// The token in every form of this session. A page of another site cannot know it.
    pub(super) csrf_token: String,
    pub(super) pending: Option<PendingAuthorization>,
    pub(super) connections: Vec<BankConnection>,
    last_step: DemoStep,
}

/// An authorization request whose callback has not been received.
pub(super) struct PendingAuthorization {
    pub(super) state: String,
    pub(super) exchange: LoggedExchange,
    /// The connection that the callback completes. Its code and tokens are still empty.
    pub(super) connection: BankConnection,
}

impl Session {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn find_connection(&self, bank: &str) -> Option<BankConnection> {
        self.connections.iter().find(|connection| connection.bank == bank).cloned()
    }

    /// Stores a refreshed token, unless the connection was removed during the refresh.
    pub(super) fn store_refreshed(&mut self, refreshed: &BankConnection) {
        if let Some(known) = self.connections.iter_mut().find(|known| known.code == refreshed.code) {
            known.clone_from(refreshed);
        }
    }

    /// Stores the result of a step. The next page shows it.
    pub(super) fn store_step(
        &mut self,
        notice: CustomerNotice,
        exchanges: Vec<LoggedExchange>,
        probes: Vec<EndpointProbe>,
    ) {
        self.last_step = DemoStep::new(notice, exchanges, probes);
    }

    /// Returns the step that a page shows, including the calls of the page itself.
    pub(super) fn current_step(
        &mut self,
        exchanges: Vec<LoggedExchange>,
        language_switched: bool,
    ) -> DemoStep {
        self.last_step.show(exchanges, language_switched)
    }
}

/// All sessions. The key is the hash of the session id, so that the time of a lookup reveals nothing about a valid id.
#[derive(Default)]
pub(super) struct Sessions(HashMap<String, Arc<Mutex<Session>>>);

impl Sessions {
    pub(super) fn find_or_begin(&mut self, id: Option<&str>, now: i64) -> io::Result<Arc<Mutex<Session>>> {
        self.0.retain(|_, session| now < lock_session(session).last_seen_at + SESSION_TTL_MS);
        if let Some(session) = id.and_then(|id| self.0.get(&hash(id))) {
            lock_session(session).last_seen_at = now;
            return Ok(Arc::clone(session));
        }
        // The limit protects the memory against clients that send no cookie.
        if self.0.len() >= MAX_SESSIONS {
            let oldest = self.0.iter().min_by_key(|(_, session)| lock_session(session).last_seen_at);
            let oldest = oldest.map(|(key, _)| key.clone()).unwrap_or_default();
            self.0.remove(&oldest);
        }
        // An unknown id of a cookie is never adopted: the new session gets an id of its own.
        let session = Session { last_seen_at: now, csrf_token: generate_secret()?, ..Session::default() };
        let session = Arc::new(Mutex::new(session));
        self.assign_id(&session)?;
        Ok(session)
    }

    /// Generates a new random id for a session; the previous id is invalid from then on.
    pub(super) fn assign_id(&mut self, session: &Arc<Mutex<Session>>) -> io::Result<()> {
        let id = generate_secret()?;
        self.0.insert(hash(&id), Arc::clone(session));
        let previous = std::mem::replace(&mut lock_session(session).id, id);
        self.0.remove(&hash(&previous));
        Ok(())
    }
}

pub(super) fn lock_session(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
