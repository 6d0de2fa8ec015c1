//! Visits: a browser between the authorization request and the bank's answer, and the codes that follow.

use std::collections::BTreeMap;

const VISIT_LIFE: i64 = 600_000;
const CODE_LIFE: i64 = 60_000;
const MOST: usize = 10_000;

/// An authorization request whose client and redirect URI are known.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
}

#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) ask: Ask,
    pub(super) form_token: String,
    pub(super) username: Option<String>,
    began_at: i64,
}

/// What a code stands for.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) ask: Ask,
    pub(super) username: String,
    pub(super) accounts: Vec<String>,
    until: i64,
    /// The grant that came of it: a second use ends that (RFC 6749 §4.1.2).
    grant: Option<String>,
}

/// What a presented code is worth.
pub(super) enum Spent {
    Fresh(Code),
    Again { grant: Option<String> },
    Unknown,
}

/// Visits by cookie, codes by hash.
#[derive(Default)]
pub(super) struct Visits {
    visits: BTreeMap<String, Visit>,
    codes: BTreeMap<String, Code>,
}

impl Visits {
    pub(super) fn begin(&mut self, id: String, ask: Ask, form_token: String, now: i64) {
        self.visits.retain(|_, visit| now < visit.began_at + VISIT_LIFE);
        if self.visits.len() >= MOST {
            self.visits.pop_first();
        }
        self.visits.insert(id, Visit { ask, form_token, username: None, began_at: now });
    }

    pub(super) fn of(&self, id: &str, now: i64) -> Option<&Visit> {
        self.visits.get(id).filter(|visit| now < visit.began_at + VISIT_LIFE)
    }

    /// Signs the visitor in. The form's token changes with the identity.
    pub(super) fn sign_in(&mut self, id: &str, username: &str, form_token: String) {
        if let Some(visit) = self.visits.get_mut(id) {
            visit.username = Some(username.to_owned());
            visit.form_token = form_token;
        }
    }

    pub(super) fn finish(&mut self, id: &str) {
        self.visits.remove(id);
    }

    pub(super) fn issue(
        &mut self,
        hash: String,
        ask: Ask,
        username: String,
        accounts: Vec<String>,
        now: i64,
    ) {
        self.codes.retain(|_, code| now < code.until + VISIT_LIFE);
        self.codes.insert(hash, Code { ask, username, accounts, until: now + CODE_LIFE, grant: None });
    }

    pub(super) fn spend(
        &mut self,
        hash: &str,
        grant: &str,
        redirect_uri: &str,
        verifier: &str,
        now: i64,
    ) -> Spent {
        let Some(code) = self.codes.get_mut(hash) else {
            return Spent::Unknown;
        };
        if code.grant.is_some() {
            return Spent::Again { grant: code.grant.clone() };
        }
        let fits = code.ask.redirect_uri == redirect_uri
            && crate::random::equal(&code.ask.challenge, &crate::random::hash(verifier));
        if !fits || now >= code.until {
            return Spent::Unknown;
        }
        code.grant = Some(grant.to_owned());
        Spent::Fresh(code.clone())
    }
}
