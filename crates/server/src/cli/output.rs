//! How results are printed: tables for people, JSON for scripts.

use std::fmt::Write;

use domain::rule::validation::is_invisible;
use serde_json::Value;

use super::admin_client::AdminClient;

impl AdminClient {
    /// Prints a page of a list: of each item these fields.
    pub(super) fn show_page(&self, page: &Value, columns: &[&str]) {
        if self.globals.json {
            println!("{}", render_json(page));
            return;
        }
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        print!("{}", render_table(items, columns));
        if let (Some(next), false) = (page["next"].as_str(), self.globals.quiet) {
            eprintln!("There is more: --after {}", escape_terminal(next));
        }
    }

    /// Prints one thing with all that is known of it.
    pub(super) fn show_all(&self, thing: &Value) {
        if self.globals.json {
            println!("{}", render_json(thing));
        } else {
            print!("{}", render_object(thing));
        }
    }

    /// Prints one line: these fields of a thing.
    pub(super) fn show_line(&self, thing: &Value, fields: &[&str]) {
        if self.globals.json {
            println!("{}", render_json(thing));
        } else {
            let cells: Vec<_> = fields.iter().map(|field| render_cell(find_field(thing, field))).collect();
            println!("{}", cells.join("  "));
        }
    }

    /// Says something that is no result.
    pub(super) fn print_note(&self, text: &str) {
        if !self.globals.quiet && !self.globals.json {
            eprintln!("{text}");
        }
    }
}

/// A field by its way, as in `subject.kind`.
fn find_field<'a>(thing: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(thing, |inner, name| &inner[name])
}

/// A text as it may stand on a terminal: what would move its cursor, turn the direction or not be seen is written out.
pub(super) fn escape_terminal(text: &str) -> String {
    let shown = |c: char| if is_printable(c) { c.into() } else { c.escape_default().to_string() };
    text.chars().map(shown).collect()
}

/// A value as JSON, in which the same characters are escaped: they stand within texts alone.
pub(super) fn render_json(value: &Value) -> String {
    let escaped = |c: char| {
        let units =
            c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>();
        units.concat()
    };
    let shown = |c: char| if is_printable(c) { c.into() } else { escaped(c) };
    value.to_string().chars().map(shown).collect::<String>()
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// A value on one line.
fn render_cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(render_cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    escape_terminal(&text)
}

fn render_table(items: &[Value], columns: &[&str]) -> String {
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|column| escape_terminal(column)).collect()];
    rows.extend(
        items.iter().map(|item| columns.iter().map(|column| render_cell(find_field(item, column))).collect()),
    );
    align_rows(&rows)
}

/// Rows with their cells below each other.
fn align_rows(rows: &[Vec<String>]) -> String {
    let wide = |text: &String| text.chars().count();
    let count = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..count).map(|nth| rows.iter().map(|row| wide(&row[nth])).max().unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Everything of a thing: its fields, and below them a table for each list of things.
fn render_object(thing: &Value) -> String {
    let (mut rows, mut tables) = (Vec::new(), String::new());
    flatten("", thing, &mut rows, &mut tables);
    align_rows(&rows) + &tables
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<Vec<String>>, tables: &mut String) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, rows, tables);
            }
        }
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            let columns: Vec<&str> =
                items[0].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let _ = write!(tables, "\n{}\n{}", escape_terminal(name), render_table(items, &columns));
        }
        value => rows.push(vec![escape_terminal(name), render_cell(value)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn table_columns_are_aligned_and_control_chars_escaped() {
        let items = [
            json!({"id": "a", "who": {"kind": "operator"}, "scope": ["X", "Y"], "at": null}),
            json!({"id": "économe", "who": {"kind": "\u{1b}[2J"}, "scope": [], "at": 7}),
        ];
        let columns = ["id", "who.kind", "scope", "at"];
        let expected = "id       who.kind   scope  at\n\
                        a        operator   X Y    -\n\
                        économe  \\u{1b}[2J         7\n";
        assert_eq!(render_table(&items, &columns), expected);
    }

    #[test]
    fn invisible_characters_are_escaped_and_json_round_trips() {
        assert_eq!(escape_terminal("é \u{202e}\u{9b}\u{e0041}"), "é \\u{202e}\\u{9b}\\u{e0041}");
        let odd = json!({"a\u{9b}": ["\u{202e}", "\u{1b}", "\u{e0041}", "é💸"]});
        let text = render_json(&odd);
        assert_eq!(text, r#"{"a\u009b":["\u202e","\u001b","\udb40\udc41","é💸"]}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), odd);
    }

    #[test]
    fn show_all_prints_nested_fields_and_list_tables() {
        let thing =
            json!({"id": "a", "terms": {"version": 1}, "jobs": [], "events": [{"at": "now", "seq": 1}]});
        let shown = render_object(&thing);
        for line in ["id             a\n", "terms.version  1\n", "\nevents\nat   seq\nnow  1\n"] {
            assert!(shown.contains(line), "{line:?} in {shown}");
        }
    }
}
