//! What browsers send: fields, cookies, and whether a form is our own.

use axum::http::HeaderMap;

use super::super::Bank;
use crate::browser;

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
