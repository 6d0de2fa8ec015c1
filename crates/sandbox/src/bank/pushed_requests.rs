//! The store of pushed authorization requests (RFC 9126), which are in memory only.

use std::collections::BTreeMap;

use super::login_sessions::AuthorizeParams;

/// The time for which a browser can use the URI of a pushed request.
pub(super) const REQUEST_URI_TTL_SECS: i64 = 60;
const MAX_PUSHED_REQUESTS: usize = 10_000;

/// The pushed requests that no browser has used yet, by their URIs.
#[derive(Default)]
pub(super) struct PushedRequestStore(BTreeMap<String, PushedRequest>);

struct PushedRequest {
    request: AuthorizeParams,
    expires_at: i64,
}

impl PushedRequestStore {
    pub(super) fn add(&mut self, uri: String, request: AuthorizeParams, now: i64) {
        self.0.retain(|_, pushed| now < pushed.expires_at);
        // URIs are random, so this drops an arbitrary request. The limit only bounds the memory.
        if self.0.len() >= MAX_PUSHED_REQUESTS {
            self.0.pop_first();
        }
        self.0.insert(uri, PushedRequest { request, expires_at: now + REQUEST_URI_TTL_SECS * 1000 });
    }

    /// Returns the request that a client pushed. Its URI cannot be used again (RFC 9126 §7.3).
    pub(super) fn take(&mut self, uri: &str, client_id: &str, now: i64) -> Option<AuthorizeParams> {
        // Another client must not be able to invalidate the URI.
        self.0.get(uri).filter(|pushed| pushed.request.client_id == client_id)?;
        self.0.remove(uri).filter(|pushed| now < pushed.expires_at).map(|pushed| pushed.request)
    }
}
