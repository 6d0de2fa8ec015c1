//! How results are printed: tables for people, JSON for scripts.

use std::fmt::Write;

use domain::rule::recipient::is_invisible;
use serde_json::Value;

use super::reach::Desk;

impl Desk {
    /// Prints a page of a list: of each item these fields.
    pub(super) fn show_page(&self, page: &Value, columns: &[&str]) {
        if self.globals.json {
            println!("{}", json_text(page));
            return;
        }
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        print!("{}", table(items, columns));
        if let (Some(next), false) = (page["next"].as_str(), self.globals.quiet) {
            eprintln!("There is more: --after {}", plain(next));
        }
    }

    /// Prints one thing with all that is known of it.
    pub(super) fn show_all(&self, thing: &Value) {
        if self.globals.json {
            println!("{}", json_text(thing));
        } else {
            print!("{}", listing(thing));
        }
    }

    /// Prints one line: these fields of a thing.
    pub(super) fn show_line(&self, thing: &Value, fields: &[&str]) {
        if self.globals.json {
            println!("{}", json_text(thing));
        } else {
            let cells: Vec<_> = fields.iter().map(|field| cell(at(thing, field))).collect();
            println!("{}", cells.join("  "));
        }
    }

    /// Says something that is no result.
    pub(super) fn say(&self, text: &str) {
        if !self.globals.quiet && !self.globals.json {
            eprintln!("{text}");
        }
    }
}

/// A field by its way, as in `subject.kind`.
fn at<'a>(thing: &'a Value, way: &str) -> &'a Value {
    way.split('.').fold(thing, |inner, name| &inner[name])
}

/// A text as it may stand on a terminal: what would move its cursor, turn the direction or not be seen is written out.
pub(super) fn plain(text: &str) -> String {
    let shown = |c: char| if is_plain(c) { c.into() } else { c.escape_default().to_string() };
    text.chars().map(shown).collect()
}

/// A value as JSON, in which the same characters are escaped: they stand within texts alone.
pub(super) fn json_text(value: &Value) -> String {
    let escaped = |c: char| {
        let units =
            c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>();
        units.concat()
    };
    let shown = |c: char| if is_plain(c) { c.into() } else { escaped(c) };
    value.to_string().chars().map(shown).collect::<String>()
}

fn is_plain(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// A value on one line.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    plain(&text)
}

fn table(items: &[Value], columns: &[&str]) -> String {
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|column| plain(column)).collect()];
    rows.extend(items.iter().map(|item| columns.iter().map(|column| cell(at(item, column))).collect()));
    aligned(&rows)
}

/// Rows with their cells below each other.
fn aligned(rows: &[Vec<String>]) -> String {
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
fn listing(thing: &Value) -> String {
    let (mut rows, mut tables) = (Vec::new(), String::new());
    gather("", thing, &mut rows, &mut tables);
    aligned(&rows) + &tables
}

fn gather(name: &str, value: &Value, rows: &mut Vec<Vec<String>>, tables: &mut String) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                gather(&name, value, rows, tables);
            }
        }
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            let columns: Vec<&str> =
                items[0].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let _ = write!(tables, "\n{}\n{}", plain(name), table(items, &columns));
        }
        value => rows.push(vec![plain(name), cell(value)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_its_cells_below_each_other_and_moves_no_cursor() {
        let items = [
            json!({"id": "a", "who": {"kind": "operator"}, "scope": ["X", "Y"], "at": null}),
            json!({"id": "économe", "who": {"kind": "\u{1b}[2J"}, "scope": [], "at": 7}),
        ];
        let columns = ["id", "who.kind", "scope", "at"];
        let expected = "id       who.kind   scope  at\n\
                        a        operator   X Y    -\n\
                        économe  \\u{1b}[2J         7\n";
        assert_eq!(table(&items, &columns), expected);
    }

    #[test]
    fn what_cannot_be_seen_is_written_out_and_json_stays_what_it_is() {
        assert_eq!(plain("é \u{202e}\u{9b}\u{e0041}"), "é \\u{202e}\\u{9b}\\u{e0041}");
        let odd = json!({"a\u{9b}": ["\u{202e}", "\u{1b}", "\u{e0041}", "é💸"]});
        let text = json_text(&odd);
        assert_eq!(text, r#"{"a\u009b":["\u202e","\u001b","\udb40\udc41","é💸"]}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), odd);
    }

    #[test]
    fn a_thing_is_shown_with_all_that_is_known_of_it() {
        let thing =
            json!({"id": "a", "terms": {"version": 1}, "jobs": [], "events": [{"at": "now", "seq": 1}]});
        let shown = listing(&thing);
        for line in ["id             a\n", "terms.version  1\n", "\nevents\nat   seq\nnow  1\n"] {
            assert!(shown.contains(line), "{line:?} in {shown}");
        }
    }
}
