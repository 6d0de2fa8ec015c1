//! Output of commands: tables for the terminal, JSON for scripts.
//!
//! Texts from the hub may contain anything. Every text passes [`escape_terminal`] or [`render_json`] before it is
//! printed, so that it cannot move the cursor, change the writing direction or hide characters.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use domain::rule::validation::is_invisible;
use serde_json::Value;

use super::globals::GlobalArgs;
use super::terminal::{print, print_error_line, print_line};

/// The output of a command: results as tables or JSON, and notes.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(super) const fn new(globals: &GlobalArgs) -> Self {
        Self { json: globals.json, quiet: globals.quiet }
    }

    /// Returns whether results are printed as JSON.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a page of a list as a table. Each column is the path of a field in the items, such as `subject.kind`.
    pub(super) fn print_page(&self, page: &Value, columns: &[&str]) {
        if self.json {
            print_json(page);
            return;
        }
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        print(render_items(items, columns));
        if let Some(count) = page["unverified"].as_u64().filter(|count| *count > 0) {
            self.print_note(&format!(
                "{count} rows were changed by another program and are not listed; see the log"
            ));
        }
        if let Some(next) = page["next"].as_str() {
            // A search examines a limited number of objects for each page, so a page may be empty before the last one.
            let note =
                if items.is_empty() { "No results so far; continue with" } else { "There are more results:" };
            self.print_note(&format!("{note} --after {}", escape_terminal(next)));
        }
    }

    /// Prints every field of an object.
    pub(super) fn print_object(&self, object: &Value) {
        if self.json {
            print_json(object);
        } else {
            print(render_object(object));
        }
    }

    /// Prints these fields of an object on one line.
    pub(super) fn print_fields(&self, object: &Value, fields: &[&str]) {
        if self.json {
            print_json(object);
        } else {
            let cells: Vec<_> = fields.iter().map(|field| render_cell(find_field(object, field))).collect();
            print_line(cells.join("  "));
        }
    }

    /// Prints a note to standard error, so that standard output contains only results. Prints nothing with `--quiet` or
    /// `--json`.
    pub(super) fn print_note(&self, text: &str) {
        if !self.quiet && !self.json {
            print_error_line(text);
        }
    }
}

pub(super) fn print_json(value: &Value) {
    print_line(render_json(value));
}

/// Returns a field by its path, such as `subject.kind`.
fn find_field<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |inner, name| &inner[name])
}

/// Replaces control and invisible characters by escape sequences that a terminal shows as text.
pub(super) fn escape_terminal(text: &str) -> String {
    let escape = |c: char| if is_printable(c) { c.into() } else { c.escape_default().to_string() };
    text.chars().map(escape).collect()
}

/// Renders a value as JSON in which control and invisible characters are escaped.
fn render_json(value: &Value) -> String {
    let escape_utf16 = |c: char| {
        let units =
            c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>();
        units.concat()
    };
    // The replacement keeps the JSON valid: these characters occur inside strings only.
    let escape = |c: char| if is_printable(c) { c.into() } else { escape_utf16(c) };
    value.to_string().chars().map(escape).collect::<String>()
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// Renders a value on one line: null as `-`, a list as its items separated by spaces.
fn render_cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(render_cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    escape_terminal(&text)
}

fn render_items(items: &[Value], columns: &[&str]) -> String {
    let header = columns.iter().map(|column| escape_terminal(column)).collect();
    let rows =
        items.iter().map(|item| columns.iter().map(|column| render_cell(find_field(item, column))).collect());
    render_table(std::iter::once(header).chain(rows))
}

/// Renders rows of escaped cells as a table with aligned columns and without borders.
fn render_table(rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    // Long cells are neither wrapped nor cut: ids must stay in one piece for copying and for grep.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.trim_fmt();
    if text.is_empty() { text } else { text + "\n" }
}

/// Renders the fields of an object, and below them one table for each list of objects.
fn render_object(object: &Value) -> String {
    let (mut rows, mut tables) = (Vec::new(), String::new());
    flatten("", object, &mut rows, &mut tables);
    render_table(rows.into_iter()) + &tables
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>, tables: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, rows, tables);
            }
        }
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            let columns: Vec<&str> =
                items[0].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let _ = write!(tables, "\n{}\n{}", escape_terminal(path), render_items(items, &columns));
        }
        value => rows.push(vec![escape_terminal(path), render_cell(value)]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_columns_are_aligned_and_control_chars_escaped() {
        let items = [
            json!({"id": "a", "who": {"kind": "operator"}, "scope": ["X", "Y"], "at": null}),
            json!({"id": "économe", "who": {"kind": "\u{1b}[2J"}, "scope": [], "at": 7}),
        ];

        let table = render_items(&items, &["id", "who.kind", "scope", "at"]);

        let expected = "id       who.kind   scope  at\n\
                        a        operator   X Y    -\n\
                        économe  \\u{1b}[2J         7\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn long_table_row_is_not_wrapped() {
        let items = [json!({"id": "x".repeat(500), "note": "a\nb\tc\u{1b}]0;title\u{7}"})];

        let table = render_items(&items, &["id", "note"]);

        assert_eq!(table.lines().count(), 2);
        assert!(table.ends_with("x  a\\nb\\tc\\u{1b}]0;title\\u{7}\n"), "{table}");
        assert_eq!(render_items(&[], &["id", "note"]), "id  note\n");
    }

    #[test]
    fn oversized_cell_is_printed_completely() {
        let items = [json!({"id": "x".repeat(100_000), "note": "y"})];

        let table = render_items(&items, &["id", "note"]);

        assert_eq!(table.matches('x').count(), 100_000);
    }

    #[test]
    fn invisible_characters_are_escaped_and_json_round_trips() {
        let value = json!({"a\u{9b}": ["\u{202e}", "\u{1b}", "\u{e0041}", "é💸"]});

        let text = render_json(&value);

        assert_eq!(text, r#"{"a\u009b":["\u202e","\u001b","\udb40\udc41","é💸"]}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(escape_terminal("é \u{202e}\u{9b}\u{e0041}"), "é \\u{202e}\\u{9b}\\u{e0041}");
    }

    #[test]
    fn object_is_rendered_with_nested_fields_and_tables() {
        let object =
            json!({"id": "a", "terms": {"version": 1}, "jobs": [], "events": [{"at": "now", "seq": 1}]});

        let text = render_object(&object);

        for line in ["id             a\n", "terms.version  1\n", "\nevents\nat   seq\nnow  1\n"] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }
}
