//! Stays: a browser at the page where a customer looks after consents.

use std::collections::BTreeMap;

const LIFE: i64 = 900_000;
const MOST: usize = 10_000;

/// A browser, and who signed in with it.
#[derive(Clone, Debug)]
pub(super) struct Stay {
    pub(super) form_token: String,
    pub(super) username: Option<String>,
    until: i64,
}

/// Stays by cookie.
#[derive(Default)]
pub(super) struct Stays(BTreeMap<String, Stay>);

impl Stays {
    /// Begins one. Signing in begins another, so that no cookie outlives a change of identity.
    pub(super) fn begin(&mut self, id: String, form_token: String, username: Option<String>, now: i64) {
        self.0.retain(|_, stay| now < stay.until);
        if self.0.len() >= MOST {
            self.0.pop_first();
        }
        self.0.insert(id, Stay { form_token, username, until: now + LIFE });
    }

    pub(super) fn of(&self, id: &str, now: i64) -> Option<&Stay> {
        self.0.get(id).filter(|stay| now < stay.until)
    }

    pub(super) fn end(&mut self, id: &str) {
        self.0.remove(id);
    }
}
