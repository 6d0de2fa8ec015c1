//! Sessions of customers who manage their consents on the bank's pages.

use std::collections::BTreeMap;

const SESSION_TTL_MS: i64 = 900_000;
const MAX_SESSIONS: usize = 10_000;

/// The session of a browser on the consent pages; without a user name until the customer signs in.
#[derive(Clone, Debug)]
pub(super) struct ConsentSession {
    pub(super) csrf_token: String,
    pub(super) username: Option<String>,
    expires_at: i64,
}

/// All consent sessions. The key is the value of the session cookie.
#[derive(Default)]
pub(super) struct ConsentSessions(BTreeMap<String, ConsentSession>);

impl ConsentSessions {
    pub(super) fn begin(&mut self, id: String, csrf_token: String, username: Option<String>, now: i64) {
        self.0.retain(|_, session| now < session.expires_at);
        // Ids are random, so this drops an arbitrary session. The limit only bounds the memory.
        if self.0.len() >= MAX_SESSIONS {
            self.0.pop_first();
        }
        self.0.insert(id, ConsentSession { csrf_token, username, expires_at: now + SESSION_TTL_MS });
    }

    pub(super) fn find(&self, id: &str, now: i64) -> Option<&ConsentSession> {
        self.0.get(id).filter(|session| now < session.expires_at)
    }

    pub(super) fn end(&mut self, id: &str) {
        self.0.remove(id);
    }
}
