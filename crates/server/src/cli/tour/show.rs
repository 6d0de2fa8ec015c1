//! How the tour is shown.

use std::io::IsTerminal;

use super::super::{Color, Globals};
use super::Answer;

/// A door that was tried after the end.
pub(super) struct Door {
    pub(super) name: String,
    pub(super) answer: String,
    pub(super) held: bool,
}

/// Prints exchanges as they happen.
pub(super) struct Show {
    json: bool,
    quiet: bool,
    color: bool,
    at: (String, String),
}

impl Show {
    pub(super) fn new(globals: &Globals) -> Self {
        let color = match globals.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Self { json: globals.json, quiet: globals.quiet, color, at: Default::default() }
    }

    fn silent(&self) -> bool {
        self.quiet || self.json
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn chapter(&self, title: &str) {
        if !self.silent() {
            println!("\n{}", self.paint("1", title));
        }
    }

    /// Remembers what is being asked, until it is known what to say of the answer.
    pub(super) fn hold(&mut self, method: &str, url: &str) {
        self.at = (method.to_owned(), url.to_owned());
    }

    /// Says it, once.
    pub(super) fn shown(&mut self, answer: &Answer, line: &str) {
        let (method, url) = std::mem::take(&mut self.at);
        if !method.is_empty() {
            self.exchange(&method, &url, answer, line);
        }
    }

    pub(super) fn exchange(&self, method: &str, url: &str, answer: &Answer, line: &str) {
        if self.silent() {
            return;
        }
        let place = short(url);
        let status = if answer.status < 400 { "32" } else { "33" };
        let millis = answer.took.as_micros() / 100;
        println!(
            "  {method:<6} {place:<44} {}  {:>4}.{} ms  {}",
            self.paint(status, &answer.status.to_string()),
            millis / 10,
            millis % 10,
            self.paint("2", line)
        );
    }

    pub(super) fn doors(&self, doors: &[Door]) {
        if self.json {
            let table: Vec<_> = doors
                .iter()
                .map(|d| serde_json::json!({"door": d.name, "answer": d.answer, "held": d.held}))
                .collect();
            println!("{}", serde_json::json!({ "doors": table, "held": doors.iter().all(|d| d.held) }));
            return;
        }
        println!("\n{}", self.paint("1", "Doors after the end"));
        for door in doors {
            let verdict = if door.held { self.paint("32", "held") } else { self.paint("31", "OPEN") };
            println!("  {verdict}  {:<40} {}", door.name, door.answer);
        }
        if doors.iter().all(|d| d.held) {
            println!("\nAll {} doors held: the connection is cut, here and at the bank.", doors.len());
        }
    }
}

/// A URL without its query, and with names for the parties.
fn short(url: &str) -> String {
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
