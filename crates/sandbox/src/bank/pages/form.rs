//! What browsers send: fields, cookies, and whether a form is our own.

use axum::extract::{FromRequest, FromRequestParts, RawForm, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::super::Bank;
use crate::browser;
use crate::text::Text;

/// The fields of a query or a form, repeated ones included.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn of(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Bank {
    /// One of the bank's cookies. Parties share a host, so that names begin with the bank's.
    pub(super) fn cookie<'a>(&self, headers: &'a HeaderMap, what: &str) -> Option<&'a str> {
        browser::cookie(headers, &format!("{}_{what}", self.0.look.key))
    }

    pub(super) fn set_cookie(&self, what: &str, value: &str, seconds: u32) -> String {
        let key = self.0.look.key;
        format!("{key}_{what}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}")
    }

    /// Whether a post may have come from a page of ours.
    pub(super) fn own_origin(&self, headers: &HeaderMap) -> bool {
        browser::from_origin(headers, &self.0.settings.origin)
    }
}

/// The language that was found for the page.
pub(super) fn language(parts: &Parts, bank: &Bank) -> Text {
    parts.extensions.get().copied().unwrap_or(bank.0.look.language)
}

/// A browser that was shown forms.
pub(super) trait Shown: FromRequestParts<Bank, Rejection = Response> + Send {
    /// What they prove themselves with.
    fn form_token(&self) -> &str;
}

/// A form that this browser was shown, and its fields. There is no other way to get at them.
pub(super) struct Posted<B>(pub(super) B, pub(super) Fields);

impl<B: Shown> FromRequest<Bank> for Posted<B> {
    type Rejection = Response;

    async fn from_request(request: Request, bank: &Bank) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let browser = B::from_request_parts(&mut parts, bank).await?;
        let (text, ours) = (language(&parts, bank), bank.own_origin(&parts.headers));
        let form = RawForm::from_request(Request::from_parts(parts, body), bank).await;
        let RawForm(form) = form.map_err(IntoResponse::into_response)?;
        let form = Fields::of(&form);
        let token = form.get("form_token").unwrap_or_default();
        if ours && crate::random::equal(token, browser.form_token()) {
            return Ok(Self(browser, form));
        }
        Err(bank.foreign_form(text))
    }
}
