//! Stays: a browser at the page where a customer looks after consents.

use std::collections::BTreeMap;

const SESSION_TTL_MS: i64 = 900_000;
const MAX_SESSIONS: usize = 10_000;

/// A browser, and who signed in with it.
#[derive(Clone, Debug)]
pub(super) struct ConsentSession {
    pub(super) csrf_token: String,
    pub(super) username: Option<String>,
    expires_at: i64,
}

/// Stays by cookie.
#[derive(Default)]
pub(super) struct ConsentSessions(BTreeMap<String, ConsentSession>);

impl ConsentSessions {
    /// Begins one. Signing in begins another, so that no cookie outlives a change of identity.
    pub(super) fn begin(&mut self, id: String, csrf_token: String, username: Option<String>, now: i64) {
        self.0.retain(|_, stay| now < stay.expires_at);
        if self.0.len() >= MAX_SESSIONS {
            self.0.pop_first();
        }
        self.0.insert(id, ConsentSession { csrf_token, username, expires_at: now + SESSION_TTL_MS });
    }

    pub(super) fn find(&self, id: &str, now: i64) -> Option<&ConsentSession> {
        self.0.get(id).filter(|stay| now < stay.expires_at)
    }

    pub(super) fn end(&mut self, id: &str) {
        self.0.remove(id);
    }
}
