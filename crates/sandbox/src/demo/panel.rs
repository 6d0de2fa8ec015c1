//! The panel *What just happened* on the pages of the demo app; a real app has none. It shows every call of the hub
//! without its secrets, and whether each endpoint still works after a disconnect.

use serde_json::Value;
use url::{Position, Url};

use super::notice::CustomerNotice;
use crate::random::hash;

/// An HTTP exchange that the panel shows.
#[derive(Clone)]
pub(super) struct LoggedExchange {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    pub(super) summary: String,
    /// The duration in milliseconds; none for a request of the browser, whose duration the app does not know.
    pub(super) elapsed_ms: Option<i64>,
}

/// The result of calling an endpoint after the connection has ended.
#[derive(Clone)]
pub(super) struct EndpointProbe {
    pub(super) key: &'static str,
    pub(super) status: Option<u16>,
    pub(super) code: String,
    /// The response is the one expected for an ended connection.
    pub(super) is_closed: bool,
}

impl EndpointProbe {
    /// Creates a probe from the response, if there was one, and the response that the endpoint must give after the
    /// connection has ended.
    pub(super) fn new(key: &'static str, response: Option<(u16, String)>, expected: (u16, &str)) -> Self {
        let is_closed = response.as_ref().is_some_and(|(status, code)| (*status, &**code) == expected);
        let (status, code) = response.map_or((None, String::new()), |(status, code)| (Some(status), code));
        Self { key, status, code, is_closed }
    }
}

/// The content of the panel (the calls and probes of one step) and the notice at the top of the page.
#[derive(Clone, Default)]
pub(super) struct DemoStep {
    pub(super) notice: Option<CustomerNotice>,
    pub(super) exchanges: Vec<LoggedExchange>,
    pub(super) probes: Vec<EndpointProbe>,
    was_shown: bool,
}

impl DemoStep {
    pub(super) const fn new(
        notice: CustomerNotice,
        exchanges: Vec<LoggedExchange>,
        probes: Vec<EndpointProbe>,
    ) -> Self {
        Self { notice: Some(notice), exchanges, probes, was_shown: false }
    }

    /// Adds the calls of a page to the step and returns it. A step that an earlier page has shown is replaced if the
    /// page made calls, and its notice is shown only once.
    pub(super) fn show(&mut self, exchanges: Vec<LoggedExchange>, language_switched: bool) -> Self {
        if self.was_shown && !exchanges.is_empty() {
            *self = Self::default();
        }
        // A notice is shown once. It stays when the customer only switches the language of the page.
        self.notice.take_if(|_| self.was_shown && !language_switched);
        self.exchanges.extend(exchanges);
        self.was_shown = true;
        self.clone()
    }
}

/// Returns the path and query of a URL, with long segments, such as ids and cursors, shortened.
pub(super) fn shorten_path(url: &Url) -> String {
    const SEPARATORS: [char; 4] = ['/', '?', '&', '='];
    let path = &url[Position::BeforePath..Position::AfterQuery];
    let shorten = |piece: &str| match piece.trim_end_matches(SEPARATORS) {
        segment if segment.len() > 24 => format!("{}…{}", &segment[..8], &piece[segment.len()..]),
        _ => piece.to_owned(),
    };
    path.split_inclusive(SEPARATORS).map(shorten).collect()
}

/// Returns the members of a response body that the panel shows, with tokens redacted and lists reduced to their
/// lengths.
pub(super) fn summarize_body(body: &Value) -> Vec<String> {
    let names = ["error", "error_description", "code", "message", "expires_in", "scope"];
    let names = names.into_iter().chain(["access_token", "refresh_token", "accounts", "transactions"]);
    let summarize = |name: &str| match &body[name] {
        Value::Null => None,
        Value::Array(list) => Some(format!("{name} {}", list.len())),
        Value::String(secret) if name.ends_with("_token") => Some(format!("{name} {}", redact(secret))),
        Value::String(text) => Some(format!("{name} {text}")),
        other => Some(format!("{name} {other}")),
    };
    names.filter_map(summarize).collect()
}

/// Returns the first 8 characters of a secret, its length, and a fingerprint that distinguishes two secrets.
pub(super) fn redact(secret: &str) -> String {
    let (start, length) = (secret.chars().take(8).collect::<String>(), secret.chars().count());
    format!("{start}… ({length}, #{})", &hash(secret)[..6])
}
