//! Lesson 2: an error is a sentence for the customer, what to do about it, and the code for whoever helps.

use axum::http::StatusCode;

use crate::text::Text;

/// What a customer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    key: &'static str,
    /// The hub's word for it, or what a good end shows.
    pub(super) code: String,
    wait: Option<u64>,
}

impl Notice {
    pub(super) const fn new(key: &'static str) -> Self {
        Self { key, code: String::new(), wait: None }
    }

    pub(super) fn with(key: &'static str, code: impl Into<String>) -> Self {
        Self { key, code: code.into(), wait: None }
    }

    /// What a code of the hub means: an OAuth `error`, an FDX `code`, or else a status.
    pub(super) fn of(word: &str, wait: Option<u64>) -> Self {
        let key = match word {
            "602" | "invalid_grant" => "demo-over",
            "access_denied" => "demo-denied",
            "503" | "1207" | "temporarily_unavailable" => "demo-busy",
            "401" | "702" | "703" => "demo-input",
            "403" => "demo-suspended",
            "601" | "701" => "demo-gone",
            "704" | "705" => "demo-closed",
            "invalid_client" | "invalid_request" | "invalid_scope" | "unauthorized_client" => "demo-setup",
            _ => "demo-failed",
        };
        let code = word.chars().filter(char::is_ascii_graphic).take(40).collect();
        Self { key, code, wait }
    }

    /// Whether the connection has ended, so that only a new login helps.
    pub(super) fn is_over(&self) -> bool {
        self.key == "demo-over"
    }

    /// How it looks: a customer who said no did nothing wrong.
    pub(super) fn tone(&self) -> &'static str {
        match self.key {
            "demo-denied" => "calm",
            key if key.starts_with("demo-done-") => "good",
            _ => "bad",
        }
    }

    pub(super) fn words(&self, text: Text) -> String {
        text.t(self.key)
    }

    pub(super) fn advice(&self, text: Text) -> String {
        match self.wait {
            Some(seconds) => text.with("demo-wait", "seconds", &seconds.to_string()),
            None => text.t(&format!("{}-do", self.key)),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self.key {
            "demo-over" => StatusCode::FORBIDDEN,
            "demo-busy" => StatusCode::SERVICE_UNAVAILABLE,
            "demo-gone" => StatusCode::NOT_FOUND,
            "demo-input" => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}
