//! Lesson 3 of the demo app's tutorial: errors. Each error of the hub becomes a message for the customer, advice on
//! what to do, and a code for the support team.

/// A message to the customer. Its texts have the keys `key` (the message) and `key-advice` (the advice).
#[derive(Clone)]
pub(super) struct CustomerNotice {
    pub(super) key: &'static str,
    /// The error code of the hub; for a success, details to show.
    pub(super) code: String,
    /// The number of seconds after which the hub allows another attempt.
    pub(super) retry_after_secs: Option<u64>,
    /// The HTTP status of a page that consists of this message.
    pub(super) status: u16,
}

impl CustomerNotice {
    pub(super) const fn new(key: &'static str, status: u16) -> Self {
        Self { key, code: String::new(), retry_after_secs: None, status }
    }

    /// Translates an error code of the hub: an OAuth `error`, an FDX `code`, or else an HTTP status.
    pub(super) fn from_code(error_code: &str) -> Self {
        let (key, status) = match error_code {
            "602" | "invalid_grant" => ("demo-ended", 403),
            "access_denied" => ("demo-denied", 502),
            "503" | "1207" | "temporarily_unavailable" => ("demo-unavailable", 503),
            "401" | "702" | "703" => ("demo-invalid-input", 400),
            "403" => ("demo-suspended", 502),
            "601" | "701" => ("demo-unknown-account", 404),
            "704" | "705" => ("demo-closed", 502),
            "invalid_client" | "invalid_request" | "invalid_scope" | "unauthorized_client" => {
                ("demo-setup", 502)
            }
            _ => ("demo-failed", 502),
        };
        // The code may come from the query of a callback, which anyone can write: only short, printable text is shown.
        let code = error_code.chars().filter(char::is_ascii_graphic).take(40).collect();
        Self { code, ..Self::new(key, status) }
    }

    /// Returns true if the connection has ended, so that only a new authorization helps.
    pub(super) fn has_connection_ended(&self) -> bool {
        self.key == "demo-ended"
    }
}
