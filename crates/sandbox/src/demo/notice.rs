//! Lesson 3: an error is a sentence for the customer, what to do about it, and the code for whoever helps.

/// What a customer is told: the text of `key`, and the advice of `key-do`.
#[derive(Clone)]
pub(super) struct CustomerNotice {
    pub(super) key: &'static str,
    /// The hub's word for it, or what a good end shows.
    pub(super) code: String,
    /// Seconds, where the hub says when to come back.
    pub(super) retry_after_secs: Option<u64>,
    /// The HTTP status of a page that says this alone.
    pub(super) status: u16,
}

impl CustomerNotice {
    pub(super) const fn new(key: &'static str, status: u16) -> Self {
        Self { key, code: String::new(), retry_after_secs: None, status }
    }

    /// What a code of the hub means: an OAuth `error`, an FDX `code`, or else a status.
    pub(super) fn from_code(error_code: &str) -> Self {
        let (key, status) = match error_code {
            "602" | "invalid_grant" => ("demo-over", 403),
            "access_denied" => ("demo-denied", 502),
            "503" | "1207" | "temporarily_unavailable" => ("demo-busy", 503),
            "401" | "702" | "703" => ("demo-input", 400),
            "403" => ("demo-suspended", 502),
            "601" | "701" => ("demo-gone", 404),
            "704" | "705" => ("demo-closed", 502),
            "invalid_client" | "invalid_request" | "invalid_scope" | "unauthorized_client" => {
                ("demo-setup", 502)
            }
            _ => ("demo-failed", 502),
        };
        let code = error_code.chars().filter(char::is_ascii_graphic).take(40).collect();
        Self { code, ..Self::new(key, status) }
    }

    /// Whether the connection has ended, so that only a new login helps.
    pub(super) fn is_over(&self) -> bool {
        self.key == "demo-over"
    }
}
