//! How the tour is shown.

use super::super::browser::BrowserResponse;
use super::super::globals::GlobalArgs;

/// A door that was tried after the end.
pub(super) struct EndpointCheck {
    pub(super) name: String,
    pub(super) response: String,
    pub(super) closed: bool,
}

/// Prints exchanges as they happen.
pub(super) struct TourPrinter {
    json: bool,
    quiet: bool,
    color: bool,
    pending: (String, String),
}

impl TourPrinter {
    pub(super) fn new(globals: &GlobalArgs) -> Self {
        let color = globals.use_color();
        Self { json: globals.json, quiet: globals.quiet, color, pending: Default::default() }
    }

    fn is_silent(&self) -> bool {
        self.quiet || self.json
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn print_chapter(&self, title: &str) {
        if !self.is_silent() {
            println!("\n{}", self.paint("1", title));
        }
    }

    /// Remembers what is being asked, until it is known what to say of the answer.
    pub(super) fn set_pending(&mut self, method: &str, url: &str) {
        self.pending = (method.to_owned(), url.to_owned());
    }

    /// Says it, once.
    pub(super) fn print_pending(&mut self, response: &BrowserResponse, line: &str) {
        let (method, url) = std::mem::take(&mut self.pending);
        if !method.is_empty() {
            self.print_exchange(&method, &url, response, line);
        }
    }

    pub(super) fn print_exchange(&self, method: &str, url: &str, response: &BrowserResponse, line: &str) {
        if self.is_silent() {
            return;
        }
        let place = shorten_url(url);
        let status = if response.status < 400 { "32" } else { "33" };
        let millis = response.elapsed.as_micros() / 100;
        println!(
            "  {method:<6} {place:<44} {}  {:>4}.{} ms  {}",
            self.paint(status, &response.status.to_string()),
            millis / 10,
            millis % 10,
            self.paint("2", line)
        );
    }

    pub(super) fn print_endpoint_checks(&self, doors: &[EndpointCheck]) {
        if self.json {
            let table: Vec<_> = doors
                .iter()
                .map(|d| serde_json::json!({"door": d.name, "answer": d.response, "held": d.closed}))
                .collect();
            println!("{}", serde_json::json!({ "doors": table, "held": doors.iter().all(|d| d.closed) }));
            return;
        }
        println!("\n{}", self.paint("1", "Doors after the end"));
        for check in doors {
            let verdict = if check.closed { self.paint("32", "held") } else { self.paint("31", "OPEN") };
            println!("  {verdict}  {:<40} {}", check.name, check.response);
        }
        if doors.iter().all(|d| d.closed) {
            println!("\nAll {} doors held: the connection is cut, here and at the bank.", doors.len());
        }
    }
}

/// A URL without its query, and with names for the parties.
fn shorten_url(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return url.to_owned() };
    let path = parsed.path();
    let party =
        if path.starts_with("/api/") || path.starts_with("/consent/arq") || path.starts_with("/callback/") {
            "hub"
        } else {
            "bank"
        };
    let mut shown = format!("{party} {path}");
    if shown.chars().count() > 44 {
        shown = shown.chars().take(43).collect();
        shown.push('…');
    }
    shown
}
