//! How results are printed: tables for people, JSON for scripts.

use std::fmt::Write;

use serde_json::Value;

use super::reach::Desk;

impl Desk {
    /// Prints a page of a list: of each item these fields.
    pub(super) fn show_page(&self, page: &Value, columns: &[&str]) {
        if self.globals.json {
            println!("{page}");
            return;
        }
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        print!("{}", table(items, columns));
        if let (Some(next), false) = (page["next"].as_str(), self.globals.quiet) {
            eprintln!("There is more: --after {next}");
        }
    }

    /// Prints one thing with all that is known of it.
    pub(super) fn show_all(&self, thing: &Value) {
        if self.globals.json {
            println!("{thing}");
        } else {
            print!("{}", listing(thing));
        }
    }

    /// Prints one line: these fields of a thing.
    pub(super) fn show_line(&self, thing: &Value, fields: &[&str]) {
        if self.globals.json {
            println!("{thing}");
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

/// A value on one line. What would move a terminal's cursor is written out.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(plain).collect()
}

fn table(items: &[Value], columns: &[&str]) -> String {
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|column| (*column).to_owned()).collect()];
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
            let _ = write!(tables, "\n{name}\n{}", table(items, &columns));
        }
        value => rows.push(vec![name.to_owned(), cell(value)]),
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
    fn a_thing_is_shown_with_all_that_is_known_of_it() {
        let thing =
            json!({"id": "a", "terms": {"version": 1}, "jobs": [], "events": [{"at": "now", "seq": 1}]});
        let shown = listing(&thing);
        for line in ["id             a\n", "terms.version  1\n", "\nevents\nat   seq\nnow  1\n"] {
            assert!(shown.contains(line), "{line:?} in {shown}");
        }
    }
}
