//! Sign-in sessions, which last from the authorization request to the bank's redirect, and the issued authorization
//! codes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::language::SandboxLanguage;

const SESSION_TTL_MS: i64 = 600_000;
/// Ended sessions are kept for this long, so that a page can explain why a sign-in cannot continue.
const ENDED_SESSION_RETENTION_MS: i64 = 3_600_000;
const CODE_TTL_MS: i64 = 60_000;
const MAX_SESSIONS: usize = 10_000;

/// An authorization request whose client and redirect URI have been validated.
#[derive(Clone, Debug)]
pub(super) struct AuthorizeParams {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
    /// The value that the id token repeats.
    pub(super) nonce: Option<String>,
    pub(super) has_refresh_token: bool,
    /// The consent request (RFC 9396), at a bank that requires one.
    pub(super) details: Option<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct SignInSession {
    pub(super) request: AuthorizeParams,
    pub(super) language: SandboxLanguage,
    pub(super) csrf_token: String,
    /// The customer has agreed to the requested data. Only a bank that shows the data before the sign-in requires this.
    pub(super) agreed_to_request: bool,
    pub(super) username: Option<String>,
    started_at: i64,
    end_reason: Option<SessionEndReason>,
}

/// The reason why a sign-in cannot continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEndReason {
    /// The session started in another browser or has been deleted.
    Unknown,
    Expired,
    /// The customer approved and was sent back to the client.
    Approved,
    /// The customer declined and was sent back to the client.
    Declined,
}

impl SessionEndReason {
    /// Returns the part of the text keys that names the reason.
    pub(super) const fn text_key(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Approved => "approved",
            Self::Declined => "declined",
        }
    }
}

/// The data that the bank stores for an authorization code that it issued.
#[derive(Clone, Debug)]
pub(super) struct IssuedCode {
    pub(super) request: AuthorizeParams,
    pub(super) username: String,
    pub(super) accounts: Vec<String>,
    expires_at: i64,
    /// The grant that the code was exchanged for. A second use of the code ends it (RFC 6749, section 4.1.2).
    grant_id: Option<String>,
}

/// The parameters of a token request with an authorization code.
pub(super) struct CodeRedemption<'a> {
    pub(super) code_hash: &'a str,
    pub(super) client_id: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) verifier: &'a str,
    /// The id of the grant that is created if the code is valid.
    pub(super) grant_id: &'a str,
}

/// The result of checking an authorization code.
pub(super) enum CodeOutcome {
    Valid(Box<IssuedCode>),
    Reused { grant_id: Option<String> },
    Invalid,
}

/// All sign-in sessions, with the value of the session cookie as key, and all issued codes, with their hash as key.
#[derive(Default)]
pub(super) struct SignInSessions {
    sessions: BTreeMap<String, SignInSession>,
    codes: BTreeMap<String, IssuedCode>,
}

impl SignInSessions {
    pub(super) fn begin(
        &mut self,
        id: String,
        request: AuthorizeParams,
        language: SandboxLanguage,
        csrf_token: String,
        now: i64,
    ) {
        self.sessions.retain(|_, session| now < session.started_at + ENDED_SESSION_RETENTION_MS);
        // Ids are random, so this drops an arbitrary session. The limit only bounds the memory.
        if self.sessions.len() >= MAX_SESSIONS {
            self.sessions.pop_first();
        }
        let session = SignInSession {
            request,
            language,
            csrf_token,
            agreed_to_request: false,
            username: None,
            started_at: now,
            end_reason: None,
        };
        self.sessions.insert(id, session);
    }

    /// Returns the sign-in session with an id, or the reason why the sign-in cannot continue.
    pub(super) fn find(&self, id: &str, now: i64) -> Result<&SignInSession, SessionEndReason> {
        let session = self.sessions.get(id).ok_or(SessionEndReason::Unknown)?;
        match session.end_reason {
            Some(reason) => Err(reason),
            None if now >= session.started_at + SESSION_TTL_MS => Err(SessionEndReason::Expired),
            None => Ok(session),
        }
    }

    /// Returns the language of a session, which may have ended: its last page is in the same language.
    pub(super) fn language_of(&self, id: &str) -> Option<SandboxLanguage> {
        self.sessions.get(id).map(|session| session.language)
    }

    pub(super) fn set_language(&mut self, id: &str, language: SandboxLanguage) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.language = language;
        }
    }

    pub(super) fn record_agreement(&mut self, id: &str) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.agreed_to_request = true;
        }
    }

    /// Signs the customer in and replaces the CSRF token, so that a form from before the sign-in is rejected.
    pub(super) fn sign_in(&mut self, id: &str, username: &str, csrf_token: String) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.username = Some(username.to_owned());
            session.csrf_token = csrf_token;
        }
    }

    pub(super) fn finish(&mut self, id: &str, reason: SessionEndReason) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.end_reason = Some(reason);
        }
    }

    pub(super) fn issue_code(
        &mut self,
        code_hash: String,
        request: AuthorizeParams,
        username: String,
        accounts: Vec<String>,
        now: i64,
    ) {
        // Expired codes are kept for a while, so that a late reuse still ends the grant.
        self.codes.retain(|_, code| now < code.expires_at + SESSION_TTL_MS);
        let expires_at = now + CODE_TTL_MS;
        self.codes.insert(code_hash, IssuedCode { request, username, accounts, expires_at, grant_id: None });
    }

    pub(super) fn redeem_code(&mut self, redemption: &CodeRedemption<'_>, now: i64) -> CodeOutcome {
        let code = self.codes.get_mut(redemption.code_hash);
        // The code of another client is treated as unknown: its reuse must not end a grant of the rightful client.
        let Some(code) = code.filter(|code| code.request.client_id == redemption.client_id) else {
            return CodeOutcome::Invalid;
        };
        if code.grant_id.is_some() {
            return CodeOutcome::Reused { grant_id: code.grant_id.clone() };
        }
        let challenge = crate::random::hash(redemption.verifier);
        let is_matching = code.request.redirect_uri == redemption.redirect_uri
            && crate::random::constant_time_eq(&code.request.challenge, &challenge);
        if !is_matching || now >= code.expires_at {
            return CodeOutcome::Invalid;
        }
        code.grant_id = Some(redemption.grant_id.to_owned());
        CodeOutcome::Valid(Box::new(code.clone()))
    }
}
