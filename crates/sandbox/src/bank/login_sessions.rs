//! Visits: a browser between the authorization request and the bank's answer, and the codes that follow.

use std::collections::BTreeMap;

use crate::text::SandboxLanguage;

const SESSION_TTL_MS: i64 = 600_000;
/// How long the bank remembers that a visit is over, to say so.
const ENDED_SESSION_RETENTION_MS: i64 = 3_600_000;
const CODE_TTL_MS: i64 = 60_000;
const MAX_SESSIONS: usize = 10_000;

/// An authorization request whose client and redirect URI are known.
#[derive(Clone, Debug)]
pub(super) struct AuthorizeParams {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
}

#[derive(Clone, Debug)]
pub(super) struct SignInSession {
    pub(super) request: AuthorizeParams,
    pub(super) language: SandboxLanguage,
    pub(super) csrf_token: String,
    /// Whether the customer agreed to what is asked for, at a bank that begins with that.
    pub(super) agreed: bool,
    pub(super) username: Option<String>,
    started_at: i64,
    end_reason: Option<SessionEndReason>,
}

/// Why there is no visit to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEndReason {
    /// It began in another browser, or too long ago.
    Unknown,
    /// Ten minutes have passed.
    Expired,
    /// The customer agreed, and was sent back.
    Approved,
    /// The customer declined, and was sent back.
    Declined,
}

impl SessionEndReason {
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
pub(super) struct IssuedCode {
    pub(super) request: AuthorizeParams,
    pub(super) username: String,
    pub(super) accounts: Vec<String>,
    expires_at: i64,
    /// The grant that came of it: a second use ends that (RFC 6749 §4.1.2).
    grant_id: Option<String>,
}

/// What a presented code is worth.
pub(super) enum CodeOutcome {
    Valid(IssuedCode),
    Reused { grant: Option<String> },
    Unknown,
}

/// Visits by cookie, codes by hash.
#[derive(Default)]
pub(super) struct SignInSessions {
    sessions: BTreeMap<String, SignInSession>,
    codes: BTreeMap<String, IssuedCode>,
}

impl SignInSessions {
    pub(super) fn begin(
        &mut self,
        id: String,
        ask: AuthorizeParams,
        text: SandboxLanguage,
        csrf_token: String,
        now: i64,
    ) {
        self.sessions.retain(|_, visit| now < visit.started_at + ENDED_SESSION_RETENTION_MS);
        if self.sessions.len() >= MAX_SESSIONS {
            self.sessions.pop_first();
        }
        let (agreed, username, over) = (false, None, None);
        self.sessions.insert(
            id,
            SignInSession {
                request: ask,
                language: text,
                csrf_token,
                agreed,
                username,
                started_at: now,
                end_reason: over,
            },
        );
    }

    /// The visit of a cookie, or why it cannot go on.
    pub(super) fn find(&self, id: &str, now: i64) -> Result<&SignInSession, SessionEndReason> {
        let visit = self.sessions.get(id).ok_or(SessionEndReason::Unknown)?;
        match visit.end_reason {
            Some(over) => Err(over),
            None if now >= visit.started_at + SESSION_TTL_MS => Err(SessionEndReason::Expired),
            None => Ok(visit),
        }
    }

    /// The language of a visit, over or not.
    pub(super) fn language_of(&self, id: &str) -> Option<SandboxLanguage> {
        self.sessions.get(id).map(|visit| visit.language)
    }

    pub(super) fn set_language(&mut self, id: &str, text: SandboxLanguage) {
        if let Some(visit) = self.sessions.get_mut(id) {
            visit.language = text;
        }
    }

    pub(super) fn record_agreement(&mut self, id: &str) {
        if let Some(visit) = self.sessions.get_mut(id) {
            visit.agreed = true;
        }
    }

    /// Signs the visitor in. The form's token changes with the identity.
    pub(super) fn sign_in(&mut self, id: &str, username: &str, csrf_token: String) {
        if let Some(visit) = self.sessions.get_mut(id) {
            visit.username = Some(username.to_owned());
            visit.csrf_token = csrf_token;
        }
    }

    pub(super) fn finish(&mut self, id: &str, over: SessionEndReason) {
        if let Some(visit) = self.sessions.get_mut(id) {
            visit.end_reason = Some(over);
        }
    }

    pub(super) fn issue_code(
        &mut self,
        hash: String,
        ask: AuthorizeParams,
        username: String,
        accounts: Vec<String>,
        now: i64,
    ) {
        self.codes.retain(|_, code| now < code.expires_at + SESSION_TTL_MS);
        self.codes.insert(
            hash,
            IssuedCode { request: ask, username, accounts, expires_at: now + CODE_TTL_MS, grant_id: None },
        );
    }

    pub(super) fn redeem_code(
        &mut self,
        hash: &str,
        grant: &str,
        (client_id, redirect_uri): (&str, &str),
        verifier: &str,
        now: i64,
    ) -> CodeOutcome {
        let Some(code) = self.codes.get_mut(hash).filter(|code| code.request.client_id == client_id) else {
            return CodeOutcome::Unknown;
        };
        if code.grant_id.is_some() {
            return CodeOutcome::Reused { grant: code.grant_id.clone() };
        }
        let fits = code.request.redirect_uri == redirect_uri
            && crate::random::constant_time_eq(&code.request.challenge, &crate::random::hash(verifier));
        if !fits || now >= code.expires_at {
            return CodeOutcome::Unknown;
        }
        code.grant_id = Some(grant.to_owned());
        CodeOutcome::Valid(code.clone())
    }
}
