//! The output of the tour: chapters, exchanges, and the result of each endpoint after the end of the connection.

use serde_json::json;

use super::super::browser::BrowserResponse;
use super::super::globals::GlobalArgs;
use super::super::terminal::print_line;

/// The result of calling an endpoint after the connection has ended.
pub(super) struct EndpointCheck {
    pub(super) name: String,
    pub(super) response: String,
    pub(super) closed: bool,
}

/// Prints chapters and exchanges as they happen, and the endpoint checks at the end.
pub(super) struct TourPrinter {
    json: bool,
    quiet: bool,
    color: bool,
}

/// SGR codes of terminal styles (ECMA-48 §8.3.117).
const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// The width of the column of URLs, in characters.
const URL_WIDTH: usize = 44;

impl TourPrinter {
    pub(super) fn new(globals: &GlobalArgs) -> Self {
        let color = globals.use_color_for(&std::io::stdout());
        Self { json: globals.json, quiet: globals.quiet, color }
    }

    fn is_silent(&self) -> bool {
        self.quiet || self.json
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn print_chapter(&self, title: &str) {
        if !self.is_silent() {
            print_line(format_args!("\n{}", self.paint(BOLD, title)));
        }
    }

    pub(super) fn print_exchange(&self, method: &str, url: &str, response: &BrowserResponse, comment: &str) {
        if self.is_silent() {
            return;
        }
        let place = shorten_url(url);
        let status_color = if response.status < 400 { GREEN } else { YELLOW };
        // Padding counts bytes of escape sequences too, so only cells without color are padded.
        let tenths = response.elapsed.as_micros() / 100;
        print_line(format_args!(
            "  {method:<6} {place:<URL_WIDTH$} {}  {:>4}.{} ms  {}",
            self.paint(status_color, &response.status.to_string()),
            tenths / 10,
            tenths % 10,
            self.paint(FAINT, comment)
        ));
    }

    pub(super) fn print_endpoint_checks(&self, checks: &[EndpointCheck]) {
        let all_closed = checks.iter().all(|check| check.closed);
        if self.json {
            let endpoints: Vec<_> = checks
                .iter()
                .map(|check| json!({"endpoint": check.name, "response": check.response, "closed": check.closed}))
                .collect();
            print_line(json!({ "endpoints": endpoints, "closed": all_closed }));
            return;
        }
        print_line(format_args!("\n{}", self.paint(BOLD, "Endpoints after the end")));
        for EndpointCheck { name, response, closed } in checks {
            let verdict =
                if *closed { self.paint(GREEN, "closed    ") } else { self.paint(RED, "still open") };
            print_line(format_args!("  {verdict}  {name:<40} {response}"));
        }
        if all_closed {
            let count = checks.len();
            print_line(format_args!(
                "\nAll {count} endpoints are closed: the connection has ended, at the hub and at the bank."
            ));
        }
    }
}

/// Replaces the origin of a URL by the name of its server, and drops the query.
fn shorten_url(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return url.to_owned() };
    let path = parsed.path();
    let is_hub = ["/api/", "/consent/arq", "/callback/"].iter().any(|prefix| path.starts_with(prefix));
    let mut text = format!("{} {path}", if is_hub { "hub" } else { "bank" });
    if text.chars().count() > URL_WIDTH {
        text = text.chars().take(URL_WIDTH - 1).collect();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shortened_to_server_and_path() {
        assert_eq!(shorten_url("http://127.0.0.1:1/callback/1000?code=x"), "hub /callback/1000");
        assert_eq!(shorten_url("http://127.0.0.1:2/faults/grants"), "bank /faults/grants");
        let long = shorten_url(&format!("http://127.0.0.1:1/consent/arq_{}", "0".repeat(60)));
        assert!(long.starts_with("hub /consent/arq_0") && long.ends_with("0…"), "{long}");
        assert_eq!(long.chars().count(), URL_WIDTH);
    }
}
