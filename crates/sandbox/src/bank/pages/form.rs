//! What browsers send: fields, cookies, and whether a form is our own.

use axum::http::{HeaderMap, header};

use super::super::Bank;

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
        let wanted = format!("{}_{what}", self.0.look.key);
        let mut cookies = headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
        cookies.find_map(|cookies| {
            let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
        })
    }

    pub(super) fn set_cookie(&self, what: &str, value: &str, seconds: u32) -> String {
        let key = self.0.look.key;
        format!("{key}_{what}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}")
    }

    /// Whether a post may have come from a page of ours: the browser says so, or says nothing.
    pub(super) fn own_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or_default());
        match (text("sec-fetch-site"), text("origin")) {
            (Some(site), _) => site == "same-origin",
            (None, Some(origin)) => origin == self.0.settings.origin,
            (None, None) => true,
        }
    }
}
