//! Visits: a browser between the authorization request and the bank's answer, and the codes that follow.

use std::collections::BTreeMap;

use crate::text::Text;

const VISIT_LIFE: i64 = 600_000;
/// How long the bank remembers that a visit is over, to say so.
const MEMORY: i64 = 3_600_000;
const CODE_LIFE: i64 = 60_000;
const MOST: usize = 10_000;

/// An authorization request whose client and redirect URI are known.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
}

#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) ask: Ask,
    pub(super) text: Text,
    pub(super) form_token: String,
    /// Whether the customer agreed to what is asked for, at a bank that begins with that.
    pub(super) agreed: bool,
    pub(super) username: Option<String>,
    began_at: i64,
    over: Option<Over>,
}

/// Why there is no visit to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It began in another browser, or too long ago.
    Unknown,
    /// Ten minutes have passed.
    Expired,
    /// The customer agreed, and was sent back.
    Approved,
    /// The customer declined, and was sent back.
    Declined,
}

impl Over {
    /// The middle of its texts' keys.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Approved => "approved",
            Self::Declined => "declined",
        }
    }
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
    pub(super) fn begin(&mut self, id: String, ask: Ask, text: Text, form_token: String, now: i64) {
        self.visits.retain(|_, visit| now < visit.began_at + MEMORY);
        if self.visits.len() >= MOST {
            self.visits.pop_first();
        }
        let (agreed, username, over) = (false, None, None);
        self.visits.insert(id, Visit { ask, text, form_token, agreed, username, began_at: now, over });
    }

    /// The visit of a cookie, or why it cannot go on.
    pub(super) fn of(&self, id: &str, now: i64) -> Result<&Visit, Over> {
        let visit = self.visits.get(id).ok_or(Over::Unknown)?;
        match visit.over {
            Some(over) => Err(over),
            None if now >= visit.began_at + VISIT_LIFE => Err(Over::Expired),
            None => Ok(visit),
        }
    }

    /// The language of a visit, over or not.
    pub(super) fn text_of(&self, id: &str) -> Option<Text> {
        self.visits.get(id).map(|visit| visit.text)
    }

    pub(super) fn speak(&mut self, id: &str, text: Text) {
        if let Some(visit) = self.visits.get_mut(id) {
            visit.text = text;
        }
    }

    pub(super) fn agree(&mut self, id: &str) {
        if let Some(visit) = self.visits.get_mut(id) {
            visit.agreed = true;
        }
    }

    /// Signs the visitor in. The form's token changes with the identity.
    pub(super) fn sign_in(&mut self, id: &str, username: &str, form_token: String) {
        if let Some(visit) = self.visits.get_mut(id) {
            visit.username = Some(username.to_owned());
            visit.form_token = form_token;
        }
    }

    pub(super) fn finish(&mut self, id: &str, over: Over) {
        if let Some(visit) = self.visits.get_mut(id) {
            visit.over = Some(over);
        }
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
        (client_id, redirect_uri): (&str, &str),
        verifier: &str,
        now: i64,
    ) -> Spent {
        let Some(code) = self.codes.get_mut(hash).filter(|code| code.ask.client_id == client_id) else {
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
