//! The panel *What just happened*: no part of a recipient, an exhibit of this demo. It shows every call with its
//! secrets left out, and every door that was tried.

use serde_json::Value;
use url::{Position, Url};

use super::notice::CustomerNotice;
use crate::random::hash;

/// One HTTP exchange as the panel shows it: of the app, or of the browser (which has no time).
#[derive(Clone)]
pub(super) struct LoggedExchange {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    pub(super) line: String,
    pub(super) took: Option<i64>,
}

/// A way to the data, tried after the end.
#[derive(Clone)]
pub(super) struct EndpointProbe {
    pub(super) key: &'static str,
    pub(super) status: Option<u16>,
    pub(super) word: String,
    pub(super) held: bool,
}

impl EndpointProbe {
    /// A door whose closed state is known by a status and a word.
    pub(super) fn new(key: &'static str, answer: Option<(u16, String)>, closed: (u16, &str)) -> Self {
        let held = answer.as_ref().is_some_and(|(status, word)| (*status, &**word) == closed);
        let (status, word) = answer.map_or((None, String::new()), |(status, word)| (Some(status), word));
        Self { key, status, word, held }
    }
}

/// What just happened: the panel of every page.
#[derive(Clone, Default)]
pub(super) struct DemoStep {
    pub(super) notice: Option<CustomerNotice>,
    pub(super) exchanges: Vec<LoggedExchange>,
    pub(super) doors: Vec<EndpointProbe>,
    was_shown: bool,
}

impl DemoStep {
    pub(super) const fn new(
        notice: CustomerNotice,
        exchanges: Vec<LoggedExchange>,
        doors: Vec<EndpointProbe>,
    ) -> Self {
        Self { notice: Some(notice), exchanges, doors, was_shown: false }
    }

    /// The step that led to a page, and what the page itself did. A notice is shown once, and again in the other
    /// language.
    pub(super) fn show(&mut self, exchanges: Vec<LoggedExchange>, switched: bool) -> Self {
        if self.was_shown && !exchanges.is_empty() {
            *self = Self::default();
        }
        self.notice.take_if(|_| self.was_shown && !switched);
        self.exchanges.extend(exchanges);
        self.was_shown = true;
        self.clone()
    }
}

/// A path and query with their ids and cursors cut short.
pub(super) fn shorten_path(url: &Url) -> String {
    const SEPARATORS: [char; 4] = ['/', '?', '&', '='];
    let whole = &url[Position::BeforePath..Position::AfterQuery];
    let short = |piece: &str| match piece.trim_end_matches(SEPARATORS) {
        word if word.len() > 24 => format!("{}…{}", &word[..8], &piece[word.len()..]),
        _ => piece.to_owned(),
    };
    whole.split_inclusive(SEPARATORS).map(short).collect()
}

/// What matters of an answer.
pub(super) fn summarize_body(body: &Value) -> Vec<String> {
    let plain = ["error", "error_description", "code", "message", "expires_in", "scope"];
    let names = plain.into_iter().chain(["access_token", "refresh_token", "accounts", "transactions"]);
    let fact = |name: &str| match &body[name] {
        Value::Null => None,
        Value::Array(list) => Some(format!("{name} {}", list.len())),
        Value::String(secret) if name.ends_with("_token") => Some(format!("{name} {}", redact(secret))),
        Value::String(text) => Some(format!("{name} {text}")),
        other => Some(format!("{name} {other}")),
    };
    names.filter_map(fact).collect()
}

/// As much of a secret as may be seen: its first 8 characters, its length, and a fingerprint to tell it by.
pub(super) fn redact(secret: &str) -> String {
    let (start, length) = (secret.chars().take(8).collect::<String>(), secret.chars().count());
    format!("{start}… ({length}, #{})", &hash(secret)[..6])
}
