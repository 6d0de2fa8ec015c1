//! Reads input from browsers: form fields and cookies. Checks that a form comes from a page of the bank.

use axum::extract::{FromRequest, FromRequestParts, RawForm, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::super::form_fields::FormFields;
use super::super::state::Bank;
use crate::browser;
use crate::language::SandboxLanguage;

impl Bank {
    /// Returns the value of one of the bank's cookies. All parties of the sandbox share a host and therefore their
    /// cookies, so the names begin with the key of the bank.
    pub(super) fn find_cookie<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        browser::find_cookie(headers, &format!("{}_{name}", self.profile().key))
    }

    pub(super) fn set_cookie(&self, name: &str, value: &str, max_age_secs: u32) -> String {
        let key = self.profile().key;
        format!("{key}_{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_secs}")
    }

    pub(super) fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        browser::is_from_origin(headers, &self.settings().origin)
    }
}

/// Returns the language that the middleware has selected for the request.
pub(super) fn request_language(parts: &Parts, bank: &Bank) -> SandboxLanguage {
    parts.extensions.get().copied().unwrap_or(bank.profile().language)
}

/// A browser session whose forms contain a CSRF token.
pub(super) trait FormSession: FromRequestParts<Bank, Rejection = Response> + Send {
    /// Returns the token that the forms of this session contain.
    fn csrf_token(&self) -> &str;
}

/// The session and the fields of a form that was shown in this session.
///
/// Handlers get form fields only through this type, so that no handler can forget the CSRF check.
pub(super) struct VerifiedForm<S>(pub(super) S, pub(super) FormFields);

impl<S: FormSession> FromRequest<Bank> for VerifiedForm<S> {
    type Rejection = Response;

    async fn from_request(request: Request, bank: &Bank) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let session = S::from_request_parts(&mut parts, bank).await?;
        let (language, is_same_origin) =
            (request_language(&parts, bank), bank.is_same_origin(&parts.headers));
        let form = RawForm::from_request(Request::from_parts(parts, body), bank).await;
        let RawForm(form) = form.map_err(IntoResponse::into_response)?;
        let form = FormFields::parse(&form);
        let token = form.get("csrf_token").unwrap_or_default();
        if is_same_origin && crate::random::constant_time_eq(token, session.csrf_token()) {
            return Ok(Self(session, form));
        }
        Err(bank.reject_foreign_form(language))
    }
}
