//! What browsers send: fields, cookies, and whether a form is our own.

use axum::extract::{FromRequest, FromRequestParts, RawForm, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::super::Bank;
use crate::browser;
use crate::text::SandboxLanguage;

/// The fields of a query or a form, repeated ones included.
pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.get_all(name).next()
    }

    pub(super) fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Bank {
    /// One of the bank's cookies. Parties share a host, so that names begin with the bank's.
    pub(super) fn find_cookie<'a>(&self, headers: &'a HeaderMap, what: &str) -> Option<&'a str> {
        browser::find_cookie(headers, &format!("{}_{what}", self.0.profile.key))
    }

    pub(super) fn set_cookie(&self, what: &str, value: &str, seconds: u32) -> String {
        let key = self.0.profile.key;
        format!("{key}_{what}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}")
    }

    /// Whether a post may have come from a page of ours.
    pub(super) fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        browser::is_from_origin(headers, &self.0.settings.origin)
    }
}

/// The language that was found for the page.
pub(super) fn request_language(parts: &Parts, bank: &Bank) -> SandboxLanguage {
    parts.extensions.get().copied().unwrap_or(bank.0.profile.language)
}

/// A browser that was shown forms.
pub(super) trait FormSession: FromRequestParts<Bank, Rejection = Response> + Send {
    /// What they prove themselves with.
    fn csrf_token(&self) -> &str;
}

/// A form that this browser was shown, and its fields. There is no other way to get at them.
pub(super) struct VerifiedForm<B>(pub(super) B, pub(super) FormFields);

impl<B: FormSession> FromRequest<Bank> for VerifiedForm<B> {
    type Rejection = Response;

    async fn from_request(request: Request, bank: &Bank) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let browser = B::from_request_parts(&mut parts, bank).await?;
        let (text, is_same_origin) = (request_language(&parts, bank), bank.is_same_origin(&parts.headers));
        let form = RawForm::from_request(Request::from_parts(parts, body), bank).await;
        let RawForm(form) = form.map_err(IntoResponse::into_response)?;
        let form = FormFields::parse(&form);
        let token = form.get("csrf_token").unwrap_or_default();
        if is_same_origin && crate::random::constant_time_eq(token, browser.csrf_token()) {
            return Ok(Self(browser, form));
        }
        Err(bank.reject_foreign_form(text))
    }
}
